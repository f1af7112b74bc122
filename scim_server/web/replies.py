"""How is an answer sent? (RFC 7644 section 3.1)"""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from os import SEEK_END
from typing import TYPE_CHECKING, cast

from flask import Response
from werkzeug.wsgi import wrap_file

from scim_server.idempotency import Reply

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MEDIA_TYPE = "application/scim+json"
_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class _Sent:
    """A reply as WSGI has it, whose headers are sent as they were set: URIs are percent-encoded already.

    Flask's own response would look at each header several times, which takes as long as reading a user.
    """

    reply: Reply

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        body, headers = self.reply.body, [*self.reply.headers.items()]
        if "Content-Type" not in self.reply.headers:
            headers.append(("Content-Type", MEDIA_TYPE))
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
        else:
            headers.append(("Content-Length", str(body.seek(0, SEEK_END))))
            body.seek(0)
        start_response(_LINES[self.reply.status], headers)
        if isinstance(body, bytes):
            return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)
        if environ["REQUEST_METHOD"] == "HEAD":
            body.close()
            return ()
        return wrap_file(environ, body)


def respond(reply: Reply) -> Response:
    """Return what sends an answer, which is of SCIM unless its headers say otherwise; a large one is a file."""
    return cast("Response", _Sent(reply))
