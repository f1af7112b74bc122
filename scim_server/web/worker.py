"""What becomes of a request in gunicorn, outside the application?

gunicorn answers such requests itself, in HTML, and repeats what was sent, which may be personal data
or a token, in the answer and in its log.
"""

import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
from gunicorn.glogging import Logger
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from scim_server.protocol.errors import ScimError
from scim_server.protocol.wording import say
from scim_server.web.replies import MEDIA_TYPE


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with SCIM errors (RFC 7644 section 3.12)."""

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections or not; a worker that ends takes those that are waiting, and lets no more come.

        They would be cut off when it has ended. Without its listeners, a client is refused at once and knows that
        nothing was done.
        """
        super().set_accept_enabled(enabled)
        if self.alive or enabled:
            return
        # Who comes between the last look and the closing is cut off: no busy thread may keep this one for 5 ms then.
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        for listener in self.sockets:
            listener.setblocking(0)
            taken = -1
            while taken != self.nr_conns:
                taken = self.nr_conns
                self.accept(listener)
            listener.close()
        sys.setswitchinterval(before)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that gunicorn could not parse, or that failed outside the application."""
        error = _refusal(exc)
        self.log.warning("a request was refused unread: %s (%s)", error.detail, type(exc).__name__)
        body = orjson.dumps(error.body())
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\nConnection: close\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            write_nonblock(client, head.encode() + body)
        except OSError:
            self.log.debug("the client had gone before its refusal could be sent")


class AccessLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, whose access log shows a path percent-encoded: one request stays one line."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        """Return what the access log may show of a request."""
        shown: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        shown["U"] = quote(environ.get("PATH_INFO", ""), safe="/:", encoding="latin-1")
        return shown


def _refusal(exc: BaseException) -> ScimError:
    match exc:
        case LimitRequestLine():
            return ScimError(414, say("The URL is too long; a long filter goes into the body of POST …/.search."))
        case LimitRequestHeaders():
            return ScimError(431, say("The request has too many or too long headers."))
        case ParseException():
            return ScimError(400, say("The request is not valid HTTP."), "invalidSyntax")
        case _:
            return ScimError(500, say("The server failed before it could read the request."))
