"""Which routes does each resource type have? (RFC 7644 section 3.2)"""

from collections.abc import Callable

from flask import Blueprint, Response, request

from scim_server.idempotency import Answers, Reply
from scim_server.protocol.compatibility import read_message
from scim_server.protocol.errors import ScimError, not_implemented
from scim_server.protocol.limits import RESOURCE_BYTES
from scim_server.protocol.query import (
    SEARCH_MEMBERS,
    SEARCH_REQUEST,
    Query,
    projection_in,
    read_parameters,
    read_search,
)
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.text import read_json
from scim_server.protocol.wording import Text, say
from scim_server.resources import listing, memberships
from scim_server.resources.base import Resources
from scim_server.resources.bulk import Bulk
from scim_server.resources.shared import Shared
from scim_server.resources.values import Answer
from scim_server.tokens import Principal, scope_prefix
from scim_server.web.auth import known_principal, require, require_any
from scim_server.web.idempotency import Keep, once
from scim_server.web.negotiation import query_parameters, read_body, read_text
from scim_server.web.replies import respond

_PAYLOAD = say("maxPayloadSize")
View = Callable[..., Response]


def blueprint(shared: Shared, resources: dict[str, Resources]) -> Blueprint:
    """Return the endpoints of every resource type and those over all of them."""
    routes = Blueprint("scim", __name__)
    answers = Answers(shared.database, shared.secret)
    for of_type in resources.values():
        _add_collection(routes, of_type, answers)
        _add_resource(routes, of_type)
        for attribute in of_type.references.attributes:
            if not attribute.urn:
                _add_elements(routes, of_type, attribute)
    _add_root(routes, list(resources.values()))
    routes.add_url_rule("/Me", "me-create", _absent(say("POST to /Me")), methods=["POST"])
    _add_bulk(routes, Bulk(shared, resources.values()), answers)
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
        return _respond_list(found, by, _read_search(_types(found), by))

    routes.add_url_rule("", "root", query_all, methods=["GET"])
    routes.add_url_rule("/.search", "root-search", search_all, methods=["POST"])


def _types(kinds: list[Resources]) -> list[ResourceType]:
    return [kind.resource_type for kind in kinds]


def _read_search(types: list[ResourceType], by: Principal) -> Query:
    body = read_body(RESOURCE_BYTES)
    return read_message(lambda sent: read_search(types, sent), body, SEARCH_REQUEST, SEARCH_MEMBERS, by.habits)


def _respond_list(kinds: list[Resources], by: Principal, query: Query) -> Response:
    return respond(Reply(200, {}, listing.answer(kinds, by, query)))


def _add_collection(routes: Blueprint, of_type: Resources, answers: Answers) -> None:
    """Add what is done at the endpoint of a resource type."""
    endpoint = of_type.resource_type.endpoint
    scope = scope_prefix(of_type.resource_type)
    types = [of_type.resource_type]

    def query() -> Response:
        by = require(f"{scope}:read")
        return _respond_list([of_type], by, read_parameters(types, query_parameters()))

    def search() -> Response:
        by = require(f"{scope}:read")
        return _respond_list([of_type], by, _read_search(types, by))

    def create() -> Response:
        by = require(f"{scope}:write")
        content = read_text(of_type.body_limit)
        projection = projection_in(types, query_parameters())

        def work(keep: Keep | None) -> Reply:
            within = (lambda made: keep(_reply(made, 201))) if keep else None
            return _reply(of_type.create(by, read_json(content), projection, within), 201)

        return respond(once(answers, by, content, work))

    for path, name, view, method in (
        (endpoint, "query", query, "GET"),
        (endpoint, "create", create, "POST"),
        (f"{endpoint}/.search", "search", search, "POST"),
    ):
        routes.add_url_rule(path, f"{scope}-{name}", view, methods=[method])


def _add_resource(routes: Blueprint, of_type: Resources) -> None:
    """Add what is done with one resource."""
    scope = scope_prefix(of_type.resource_type)
    types = [of_type.resource_type]

    def read(id: str) -> Response:
        by = require(f"{scope}:read")
        known = request.environ.get("HTTP_IF_NONE_MATCH")
        found = of_type.read(by, id, projection_in(types, query_parameters()), known)
        return respond(_reply(found, 200)) if found.body is not None else _respond_version(found, 304)

    def replace(id: str) -> Response:
        by = require(f"{scope}:write")
        body = read_body(of_type.body_limit)
        made = of_type.replace(by, id, body, request.headers.get("If-Match"), projection_in(types, query_parameters()))
        return respond(_reply(made, 200))

    def patch(id: str) -> Response:
        by = require(f"{scope}:write")
        body, parameters = read_body(of_type.body_limit), query_parameters()
        projection = projection_in(types, parameters)
        # RFC 7644 section 3.5.2: whoever names attributes gets them, even if the answer has them all.
        wants_body = bool({"attributes", "excludedAttributes"} & parameters.keys())
        made = of_type.patch(by, id, body, request.headers.get("If-Match"), projection, wants_body=wants_body)
        return respond(_reply(made, 200)) if made.body is not None else _respond_version(made, 204)

    def delete(id: str) -> Response:
        of_type.delete(require(f"{scope}:write"), id, request.headers.get("If-Match"))
        return _without_body(204)

    path = f"{of_type.resource_type.endpoint}/<id>"
    for view, method in ((read, "GET"), (replace, "PUT"), (patch, "PATCH"), (delete, "DELETE")):
        routes.add_url_rule(path, f"{scope}-{view.__name__}", view, methods=[method])
        if of_type.name == "User":
            routes.add_url_rule("/Me", f"me-{view.__name__}", _of_caller(view), methods=[method])


def _of_caller(view: View) -> View:
    """Return the view of the user that the caller is (RFC 7644 section 3.11)."""

    def act() -> Response:
        by = known_principal()
        if not (by and by.user):
            raise ScimError(501, say("The token belongs to no user, so there is nothing at /Me."))
        return view(by.user)

    return act


def _add_elements(routes: Blueprint, of_type: Resources, attribute: Attribute) -> None:
    """Add the queries over the elements of a reference attribute of one resource."""
    scope = scope_prefix(of_type.resource_type)
    types = [of_type.resource_type]

    def query(id: str) -> Response:
        by = require(f"{scope}:read")
        found = memberships.answer(of_type, attribute, by, id, read_parameters(types, query_parameters()))
        return respond(Reply(200, {}, found))

    def search(id: str) -> Response:
        by = require(f"{scope}:read")
        found = memberships.answer(of_type, attribute, by, id, _read_search(types, by))
        return respond(Reply(200, {}, found))

    path = f"{of_type.resource_type.endpoint}/<id>/{attribute.name}"
    routes.add_url_rule(path, f"{scope}-{attribute.name}", query, methods=["GET"])
    routes.add_url_rule(f"{path}/.search", f"{scope}-{attribute.name}-search", search, methods=["POST"])


def _add_bulk(routes: Blueprint, bulk: Bulk, answers: Answers) -> None:
    """Add many operations in one request (RFC 7644 section 3.7)."""

    def run() -> Response:
        by = require("bulk")
        content = read_text(bulk.shared.settings.bulk_max_payload, _PAYLOAD)

        def work(keep: Keep | None) -> Reply:
            within = (lambda body: keep(Reply(200, {}, body))) if keep else None
            return Reply(200, {}, bulk.run(by, content, within))

        return respond(once(answers, by, content, work))

    routes.add_url_rule("/Bulk", "bulk", run, methods=["POST"])


def _absent(what: Text) -> View:
    def refuse(id: str | None = None) -> Response:
        raise not_implemented(what)

    return refuse


def _reply(made: Answer, status: int) -> Reply:
    """Answer with a resource: Location, Content-Location and ETag (sections 3.3, 3.14; RFC 7643 3.1)."""
    assert made.body is not None
    headers = {"Location": made.location, "Content-Location": made.location, "ETag": made.version}
    return Reply(status, headers, made.body)


def _respond_version(made: Answer, status: int) -> Response:
    """Answer without a body, but say which version the resource has (section 3.14)."""
    response = _without_body(status)
    response.headers["ETag"] = made.version
    return response


def _without_body(status: int) -> Response:
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response
