"""What does every request go through? Flask's routes, contexts and error handlers, and nothing else of it.

Sessions, signals, templates and the hooks of blueprints have no use here, and would cost a read a third of its time.
"""

from collections.abc import Callable
from typing import Any, cast

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

    def is_null_session(self, obj: object) -> bool:
        return True


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

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function as it is: none is asynchronous."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Find views by path and method alone: hosts and schemes mean nothing, and nothing redirects."""
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)

    def preprocess_request(self) -> None:
        """Refuse a request without a valid token before anything else looks at it (RFC 7644 section 2)."""
        request = cast("_Request", request_ctx.request)
        rule = request.url_rule
        view = self.view_functions[rule.endpoint] if rule else None
        if self._public_discovery and getattr(view, "is_public", False) and "Authorization" not in request.headers:
            return
        request.principal = authenticated(self._authenticator, request.environ)

    def process_response(self, response: Response) -> Response:
        """Note who asked."""
        principal = cast("_Request", request_ctx.request).principal
        if principal:
            self._authenticator.note(principal)
        return response

    def make_response(self, rv: Any) -> Response:
        """Return what a view or an error handler returned, which is a response."""
        return cast("Response", rv)

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Do nothing; requests hold nothing."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Do nothing; requests hold nothing."""
