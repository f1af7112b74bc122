"""How is an answer sent? (RFC 7644 section 3.1)"""

from os import SEEK_END

from flask import Response, request
from werkzeug.wsgi import wrap_file

from scim_server.idempotency import Reply

MEDIA_TYPE = "application/scim+json"


def respond(reply: Reply) -> Response:
    """Send an answer; a large one is a file."""
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, dict(reply.headers), content_type=MEDIA_TYPE)
    response = Response(
        status=reply.status, headers=dict(reply.headers), content_type=MEDIA_TYPE, direct_passthrough=True
    )
    response.content_length = reply.body.seek(0, SEEK_END)
    reply.body.seek(0)
    response.response = wrap_file(request.environ, reply.body)
    return response
