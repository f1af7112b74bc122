"""How does every failure become a SCIM error? (RFC 7644 section 3.12)"""

import logging
import secrets
from collections.abc import Callable
from typing import TypeVar

import orjson
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from scim_server.idempotency import Reply
from scim_server.protocol.errors import ScimError
from scim_server.protocol.wording import say
from scim_server.web.negotiation import drain, language
from scim_server.web.replies import respond

_Failure = TypeVar("_Failure", bound=Exception)
log = logging.getLogger(__name__)

_DETAILS = {
    404: say("There is no such endpoint."),
    405: say("The endpoint does not allow this method."),
}


def install(app: Flask, unavailable: type[_Failure], why: Callable[[_Failure], BaseException]) -> None:
    """Answer every exception with an Error message; ``unavailable`` is what a database out of reach raises."""

    @app.errorhandler(ScimError)
    def respond_scim(error: ScimError) -> Response:
        return _respond(error)

    @app.errorhandler(HTTPException)
    def respond_http(error: HTTPException) -> Response:
        status = error.code or 500
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        detail = _DETAILS.get(status) or say("{problem}", problem=error.description or error.name)
        return _respond(ScimError(status, detail, None, headers))

    @app.errorhandler(unavailable)
    def respond_unavailable(error: _Failure) -> Response:
        log.error("the database is unavailable: %s", why(error))
        detail = say("The server cannot reach its database; try again.")
        return _respond(ScimError(503, detail, None, {"Retry-After": "5"}))

    @app.errorhandler(Exception)
    def respond_unexpected(error: Exception) -> Response:
        reference = secrets.token_hex(6)
        log.error("unexpected error %s", reference, exc_info=error)
        detail = say("The server failed; its log has the cause under {reference}.", reference=reference)
        return _respond(ScimError(500, detail))


def reply_to(error: ScimError) -> Reply:
    """Return the answer to a refused request, in the language that it asks for."""
    chosen = language()
    return Reply(error.status, error.headers | {"Content-Language": chosen}, orjson.dumps(error.body(chosen)))


def _respond(error: ScimError) -> Response:
    drain()
    return respond(reply_to(error))
