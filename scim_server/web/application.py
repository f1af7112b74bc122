"""What does every request go through? Flask's routes, contexts and error handlers, and nothing else of it.

Sessions, signals, templates and the hooks of blueprints have no use here, and would cost a read a third of its time.
"""

from typing import cast

from flask import Flask, Request, Response
from flask.globals import request_ctx
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter

from scim_server.tokens import Authenticator, Principal
from scim_server.web.auth import authenticated


class _Request(Request):
    """A request, and who makes it, as soon as that is known."""

    principal: Principal | None = None


class _Stateless(SessionInterface):
    """No request has a session, so that nothing is looked for in cookies or written to them."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        return self._none


class Application(Flask):
    """Answers no request without a valid token, but for views marked `public` where discovery is."""

    session_interface = _Stateless()
    request_class = _Request

    def __init__(self, authenticator: Authenticator, *, public_discovery: bool) -> None:
        super().__init__("scim_server", static_folder=None)
        self.url_map.strict_slashes = False
        self.url_map.merge_slashes = False
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        self._authenticator = authenticator
        self._public_discovery = public_discovery

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Find views by path and method alone: hosts and schemes mean nothing, and nothing redirects."""
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)

    def full_dispatch_request(self) -> Response:
        """Answer a request, of which nothing is looked at before its token (RFC 7644 section 2)."""
        request = cast("_Request", request_ctx.request)
        try:
            rule = request.url_rule
            view = self.view_functions[rule.endpoint] if rule else None
            if self._needs_token(view, request):
                request.principal = authenticated(self._authenticator, request.environ)
            if view is None:
                self.raise_routing_exception(request)
            response = view(**request.view_args or {})
        except Exception as error:  # noqa: BLE001 -- the handlers answer whatever it is
            response = self.handle_user_exception(error)
        if request.principal:
            self._authenticator.note(request.principal)
        return cast("Response", response)

    def _needs_token(self, view: object, request: Request) -> bool:
        is_public = self._public_discovery and getattr(view, "is_public", False)
        return not is_public or "HTTP_AUTHORIZATION" in request.environ

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Do nothing; requests hold nothing."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Do nothing; requests hold nothing."""
