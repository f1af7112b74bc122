"""Who is asking? Every route needs a bearer token unless it is marked public. (RFC 7644 section 2)"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from flask import request

from scim_server.protocol.errors import ScimError
from scim_server.protocol.wording import say
from scim_server.tokens import Authenticator, Principal
from scim_server.web.negotiation import language_in
from scim_server.web.paths import OTHER_CASE

_View = TypeVar("_View", bound=Callable[..., object])
_CHALLENGE = 'Bearer realm="scim"'


def public(view: _View) -> _View:
    """Mark a view as readable without a token."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def authenticated(authenticator: Authenticator, environ: Mapping[str, Any]) -> Principal:
    """Return who makes a request. Raises 401."""
    header: str | None = environ.get("HTTP_AUTHORIZATION")
    if header is None:
        raise ScimError(401, say("The request needs a bearer token."), None, {"WWW-Authenticate": _CHALLENGE})
    scheme, _, token = header.partition(" ")
    principal = authenticator.principal(token.strip(), language_in(environ)) if scheme.lower() == "bearer" else None
    if principal is None:
        challenge = f'{_CHALLENGE}, error="invalid_token"'
        detail = say("The bearer token is malformed, unknown, expired or revoked.")
        raise ScimError(401, detail, None, {"WWW-Authenticate": challenge})
    if OTHER_CASE in environ:
        principal.habits.accepts("endpoint-case")
    return principal


def known_principal() -> Principal | None:
    """Return the caller, None on a public route without a token."""
    principal: Principal | None = request.principal  # type: ignore[attr-defined]
    return principal


def require(scope: str) -> Principal:
    """Return the caller, who must hold the scope. Raises 403."""
    return require_any([scope])


def require_any(scopes: Sequence[str]) -> Principal:
    """Return the caller, who must hold one of the scopes at least. Raises 403."""
    principal = known_principal()
    assert principal
    principal.check(*scopes)
    return principal
