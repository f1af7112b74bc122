"""What does the server say of itself? (RFC 7644 section 4, RFC 7643 sections 5 to 7)"""

from typing import Any

import orjson
from flask import Blueprint, Response, request

from scim_server.config import Settings
from scim_server.idempotency import Reply
from scim_server.protocol import limits
from scim_server.protocol.errors import ScimError, not_found
from scim_server.protocol.query import list_head
from scim_server.protocol.registry import Registry
from scim_server.protocol.wording import say
from scim_server.web.auth import known_principal, public
from scim_server.web.replies import respond

CONFIG_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"


def blueprint(registry: Registry, settings: Settings) -> Blueprint:
    """Return the discovery endpoints. Query parameters are ignored, but a filter is 403 (section 4)."""
    routes = Blueprint("discovery", __name__)
    base_url = settings.base_url

    def current() -> Registry:
        principal = known_principal()
        return registry.under(principal.tenant.policies) if principal else registry

    def schemas() -> list[dict[str, Any]]:
        return [_with_meta(s.as_json(), "Schema", f"{base_url}/Schemas/{s.id}") for s in current().schemas.values()]

    def resource_types() -> list[dict[str, Any]]:
        return [
            _with_meta(r.as_json(), "ResourceType", f"{base_url}/ResourceTypes/{r.name}")
            for r in current().resource_types.values()
        ]

    @routes.get("/ServiceProviderConfig")
    @public
    def service_provider_config() -> Response:
        location = f"{base_url}/ServiceProviderConfig"
        return _respond(_with_meta(_config(settings), "ServiceProviderConfig", location))

    @routes.get("/Schemas")
    @public
    def list_schemas() -> Response:
        return _respond_list(schemas())

    @routes.get("/Schemas/<id>")
    @public
    def show_schema(id: str) -> Response:
        return _respond_one(schemas(), id, "Schema")

    @routes.get("/ResourceTypes")
    @public
    def list_resource_types() -> Response:
        return _respond_list(resource_types())

    @routes.get("/ResourceTypes/<id>")
    @public
    def show_resource_type(id: str) -> Response:
        return _respond_one(resource_types(), id, "ResourceType")

    return routes


def _config(settings: Settings) -> dict[str, Any]:
    return {
        "schemas": [CONFIG_URN],
        "patch": {"supported": True},
        "bulk": {
            "supported": True,
            "maxOperations": settings.bulk_max_operations,
            "maxPayloadSize": settings.bulk_max_payload,
        },
        "filter": {"supported": True, "maxResults": limits.MAX_RESULTS},
        "changePassword": {"supported": True},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": limits.DEFAULT_COUNT,
            "maxPageSize": limits.MAX_RESULTS,
            "cursorTimeout": limits.CURSOR_SECONDS,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "Bearer token",
                "description": "A token in the Authorization header, made with scim-server token create.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
    }


def _with_meta(body: dict[str, Any], resource_type: str, location: str) -> dict[str, Any]:
    return body | {"meta": {"resourceType": resource_type, "location": location}}


def _respond_one(found: list[dict[str, Any]], id: str, kind: str) -> Response:
    for body in found:
        if body["id"].lower() == id.lower() if kind == "Schema" else body["id"] == id:
            return _respond(body)
    raise not_found(say("{kind} {id}", kind=kind, id=ascii(id[:200])))


def _respond_list(found: list[dict[str, Any]]) -> Response:
    _refuse_filter()
    head = list_head(len(found), len(found), startIndex=1)
    return respond(Reply(200, {}, head + orjson.dumps(found)[1:] + b"}"))


def _respond(body: dict[str, Any]) -> Response:
    return respond(Reply(200, {"Content-Location": body["meta"]["location"]}, orjson.dumps(body)))


def _refuse_filter() -> None:
    if "filter" in request.args:
        raise ScimError(403, say("Discovery endpoints cannot be filtered."))
