"""What does every request go through? Flask's routes and error handlers, and nothing else of it.

Sessions, signals, templates, the context of an application and the hooks of blueprints have no use here, and would cost
a read a third of its time.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, cast

from flask import Flask, Request, Response
from flask.globals import _cv_request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule

from scim_server.tokens import Authenticator, Principal
from scim_server.web.auth import authenticated

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask.ctx import RequestContext

_AT = 4
"""Which segment of the path of a resource is its id."""


class _Request(Request):
    """A request, and who makes it, as soon as that is known."""

    principal: Principal | None = None


class _Context:
    """All of a request's context that `flask.request` looks at, in a variable private to Flask: setup.cfg bounds it."""

    def __init__(self, request: _Request) -> None:
        self.request = request


class Application(Flask):
    """Answers no request without a valid token, but for views marked `public` where discovery is."""

    def __init__(self, authenticator: Authenticator, *, public_discovery: bool) -> None:
        super().__init__("scim_server", static_folder=None)
        self.url_map.strict_slashes = False
        self.url_map.merge_slashes = False
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        self._authenticator = authenticator
        self._public_discovery = public_discovery

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request as WSGI has it."""
        request = _Request(environ, populate_request=False)
        before = _cv_request.set(cast("RequestContext", _Context(request)))
        try:
            response = self._response(request)
            if request.principal:
                self._authenticator.note(request.principal)
            return response(environ, start_response)
        finally:
            _cv_request.reset(before)

    def _response(self, request: _Request) -> Response:
        """Return the answer to a request, of which nothing is looked at before its token (RFC 7644 section 2)."""
        try:
            self._match(request)
            rule = request.url_rule
            view = self.view_functions[rule.endpoint] if rule else None
            if self._needs_token(view, request):
                request.principal = authenticated(self._authenticator, request.environ)
            if view is None:
                self.raise_routing_exception(request)
            return cast("Response", view(**request.view_args or {}))
        except Exception as error:  # noqa: BLE001 -- the handlers answer whatever it is
            return cast("Response", self.handle_user_exception(error))

    def _match(self, request: _Request) -> None:
        """Find the view by path and method alone: hosts and schemes mean nothing, and nothing redirects."""
        method, parts = request.method, request.path.split("/")
        rule, named = self._rules.get((method, *parts)), {}
        if rule is None and len(parts) > _AT and (id := parts[_AT]):
            rule, named = self._rules.get((method, *parts[:_AT], None, *parts[_AT + 1 :])), {"id": id}
        if rule:
            request.url_rule, request.view_args = rule, named
            return
        try:
            # Whatever it is, this knows it, or why there is nothing.
            adapter = MapAdapter(self.url_map, "", "/", "", "http", request.path, method)
            request.url_rule, found = adapter.match(return_rule=True)
            request.view_args = dict(found)
        except HTTPException as error:
            request.routing_exception = error

    @cached_property
    def _rules(self) -> dict[tuple[str | None, ...], Rule]:
        """Return the rules of the paths that are looked for most, by method and segments, an id being None."""
        found: dict[tuple[str | None, ...], Rule] = {}
        for rule in self.url_map.iter_rules():
            parts = [None if at == _AT and part == "<id>" else part for at, part in enumerate(rule.rule.split("/"))]
            if not any(part and "<" in part for part in parts):
                found |= {(method, *parts): rule for method in rule.methods or ()}
        return found

    def _needs_token(self, view: object, request: Request) -> bool:
        is_public = self._public_discovery and getattr(view, "is_public", False)
        return not is_public or "HTTP_AUTHORIZATION" in request.environ
