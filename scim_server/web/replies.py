"""How is an answer sent? (RFC 7644 section 3.1)"""

from os import SEEK_END
from typing import TYPE_CHECKING

from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.wsgi import wrap_file

from scim_server.idempotency import Reply

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MEDIA_TYPE = "application/scim+json"


class _Response(Response):
    """A response whose headers are sent as they were set: its URIs are absolute and percent-encoded already."""

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """Return the headers; every reply has a body, whose length is one of them."""
        return self.headers


def respond(reply: Reply) -> Response:
    """Send an answer, which is of SCIM unless its headers say otherwise; a large one is a file."""
    content_type = reply.headers.get("Content-Type", MEDIA_TYPE)
    if isinstance(reply.body, bytes):
        headers = [*reply.headers.items(), ("Content-Length", str(len(reply.body)))]
        return _Response(reply.body, reply.status, headers, content_type=content_type)
    response = _Response(
        status=reply.status, headers=dict(reply.headers), content_type=content_type, direct_passthrough=True
    )
    response.content_length = reply.body.seek(0, SEEK_END)
    reply.body.seek(0)
    response.response = wrap_file(request.environ, reply.body)
    return response
