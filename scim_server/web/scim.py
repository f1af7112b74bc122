"""Which routes does each resource type have? (RFC 7644 section 3.2)"""

from collections.abc import Callable

from flask import Blueprint, Response, request

from scim_server.protocol import version
from scim_server.protocol.errors import not_implemented
from scim_server.protocol.limits import RESOURCE_BYTES
from scim_server.protocol.query import Query, projection_in, read_parameters, read_search
from scim_server.protocol.schema import ResourceType
from scim_server.resources import listing
from scim_server.resources.base import Representation, Resources
from scim_server.tokens import Principal, scope_prefix
from scim_server.web.auth import require, require_any
from scim_server.web.errors import MEDIA_TYPE
from scim_server.web.negotiation import query_parameters, read_body

View = Callable[..., Response]


def blueprint(resources: dict[str, Resources]) -> Blueprint:
    """Return the endpoints of every resource type, and the refusal of what is not offered yet."""
    routes = Blueprint("scim", __name__)
    for of_type in resources.values():
        _add(routes, of_type)
    _add_root(routes, list(resources.values()))
    for path, methods, what in (
        ("/Bulk", ["POST"], "Bulk"),
        ("/Me", ["GET", "POST", "PUT", "PATCH", "DELETE"], "/Me"),
    ):
        routes.add_url_rule(path, f"absent{path}", _absent(what), methods=methods)
    return routes


def _add_root(routes: Blueprint, kinds: list[Resources]) -> None:
    """Add the queries over all types that the caller may read (RFC 7644 section 3.4.2.1)."""

    def readable() -> tuple[Principal, list[Resources]]:
        by = require_any([f"{scope_prefix(kind.resource_type)}:read" for kind in kinds])
        return by, [kind for kind in kinds if by.may(f"{scope_prefix(kind.resource_type)}:read")]

    def query_all() -> Response:
        by, found = readable()
        return _respond_list(found, by, read_parameters(_types(found), query_parameters()))

    def search_all() -> Response:
        by, found = readable()
        return _respond_list(found, by, read_search(_types(found), read_body(RESOURCE_BYTES)))

    routes.add_url_rule("", "root", query_all, methods=["GET"])
    routes.add_url_rule("/.search", "root-search", search_all, methods=["POST"])


def _types(kinds: list[Resources]) -> list[ResourceType]:
    return [kind.resource_type for kind in kinds]


def _respond_list(kinds: list[Resources], by: Principal, query: Query) -> Response:
    return Response(listing.answer(kinds, by, query), content_type=MEDIA_TYPE)


def _add(routes: Blueprint, of_type: Resources) -> None:
    endpoint = of_type.resource_type.endpoint
    scope = scope_prefix(of_type.resource_type)
    types = [of_type.resource_type]

    def query() -> Response:
        by = require(f"{scope}:read")
        return _respond_list([of_type], by, read_parameters(types, query_parameters()))

    def search() -> Response:
        by = require(f"{scope}:read")
        return _respond_list([of_type], by, read_search(types, read_body(RESOURCE_BYTES)))

    def create() -> Response:
        by = require(f"{scope}:write")
        made = of_type.create(by, read_body(of_type.body_limit), projection_in(types, query_parameters()))
        return respond_resource(made, 201)

    def read(id: str) -> Response:
        by = require(f"{scope}:read")
        found = of_type.read(by, id, projection_in(types, query_parameters()))
        if version.is_known(found.version, request.headers.get("If-None-Match")):
            return Response(status=304, headers={"ETag": found.version})
        return respond_resource(found, 200)

    def replace(id: str) -> Response:
        by = require(f"{scope}:write")
        body = read_body(of_type.body_limit)
        made = of_type.replace(by, id, body, request.headers.get("If-Match"), projection_in(types, query_parameters()))
        return respond_resource(made, 200)

    def delete(id: str) -> Response:
        of_type.delete(require(f"{scope}:write"), id, request.headers.get("If-Match"))
        response = Response(status=204)
        del response.headers["Content-Type"]
        return response

    one = f"{endpoint}/<id>"
    for path, name, view, method in (
        (endpoint, "query", query, "GET"),
        (endpoint, "create", create, "POST"),
        (one, "read", read, "GET"),
        (one, "replace", replace, "PUT"),
        (one, "patch", _absent("PATCH"), "PATCH"),
        (one, "delete", delete, "DELETE"),
        (f"{endpoint}/.search", "search", search, "POST"),
    ):
        routes.add_url_rule(path, f"{scope}-{name}", view, methods=[method])


def _absent(what: str) -> View:
    def refuse(id: str | None = None) -> Response:
        raise not_implemented(what)

    return refuse


def respond_resource(made: Representation, status: int) -> Response:
    """Answer with a resource: Location, Content-Location and ETag (sections 3.3, 3.14; RFC 7643 3.1)."""
    headers = {"Location": made.location, "Content-Location": made.location, "ETag": made.version}
    return Response(made.body, status, headers, content_type=MEDIA_TYPE)
