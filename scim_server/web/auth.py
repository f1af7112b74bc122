"""Who is asking? Every route needs a bearer token unless it is marked public. (RFC 7644 section 2)"""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from flask import Flask, Response, current_app, g, request

from scim_server.protocol.errors import ScimError
from scim_server.protocol.wording import say
from scim_server.tokens import Authenticator, Principal
from scim_server.web.negotiation import language
from scim_server.web.paths import OTHER_CASE

_View = TypeVar("_View", bound=Callable[..., object])
_CHALLENGE = 'Bearer realm="scim"'


def public(view: _View) -> _View:
    """Mark a view as readable without a token."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def install(app: Flask, authenticator: Authenticator, public_discovery: bool) -> None:
    """Refuse every request without a valid token before anything else looks at it."""

    @app.before_request
    def authenticate() -> None:
        g.principal = None
        header = request.headers.get("Authorization")
        view = current_app.view_functions.get(request.endpoint or "")
        if header is None and public_discovery and getattr(view, "is_public", False):
            return
        g.principal = _read_principal(authenticator, header)
        if OTHER_CASE in request.environ:
            g.principal.habits.accepts("endpoint-case")

    @app.after_request
    def note(response: Response) -> Response:
        if g.principal:
            authenticator.note(g.principal)
        return response


def _read_principal(authenticator: Authenticator, header: str | None) -> Principal:
    if header is None:
        raise ScimError(401, say("The request needs a bearer token."), None, {"WWW-Authenticate": _CHALLENGE})
    scheme, _, token = header.partition(" ")
    principal = authenticator.principal(token.strip(), language()) if scheme.lower() == "bearer" else None
    if principal is None:
        challenge = f'{_CHALLENGE}, error="invalid_token"'
        detail = say("The bearer token is malformed, unknown, expired or revoked.")
        raise ScimError(401, detail, None, {"WWW-Authenticate": challenge})
    return principal


def known_principal() -> Principal | None:
    """Return the caller, None on a public route without a token."""
    return cast("Principal | None", g.principal)


def require(scope: str) -> Principal:
    """Return the caller, who must hold the scope. Raises 403."""
    return require_any([scope])


def require_any(scopes: Sequence[str]) -> Principal:
    """Return the caller, who must hold one of the scopes at least. Raises 403."""
    principal = known_principal()
    assert principal
    principal.check(*scopes)
    return principal
