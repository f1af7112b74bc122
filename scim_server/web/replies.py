"""How is an answer sent? (RFC 7644 section 3.1)"""

from os import SEEK_END

from flask import Response, request
from werkzeug.wsgi import wrap_file

from scim_server.idempotency import Reply

MEDIA_TYPE = "application/scim+json"


def respond(reply: Reply) -> Response:
    """Send an answer, which is of SCIM unless its headers say otherwise; a large one is a file."""
    content_type = reply.headers.get("Content-Type", MEDIA_TYPE)
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, dict(reply.headers), content_type=content_type)
    response = Response(
        status=reply.status, headers=dict(reply.headers), content_type=content_type, direct_passthrough=True
    )
    response.content_length = reply.body.seek(0, SEEK_END)
    reply.body.seek(0)
    response.response = wrap_file(request.environ, reply.body)
    return response
