"""What does a request body say? Media type, size, strict JSON. (RFC 7644 sections 3.1 and 3.8)"""

from typing import Any

from flask import request

from scim_server.protocol.errors import ScimError, invalid_syntax, too_large
from scim_server.protocol.text import read_json

_MEDIA_TYPES = {"application/scim+json", "application/json"}
_DRAIN_BYTES = 8 * 1024 * 1024


def read_body(limit: int, limit_name: str = "the limit") -> Any:
    """Return the JSON value of the body.

    Raises 415 for another media type, 413 for more than ``limit`` bytes with or without
    Content-Length, invalidSyntax for anything that is not strict JSON.
    """
    body = _read_bytes(limit, limit_name)
    if not body:
        raise invalid_syntax("The request needs a JSON body.")
    if request.mimetype not in _MEDIA_TYPES:
        raise ScimError(415, "The body must be application/scim+json or application/json.")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8"):
        raise ScimError(415, "The body must be in UTF-8.")
    return read_json(body)


def _read_bytes(limit: int, limit_name: str) -> bytes:
    stream = request.stream
    if request.content_length is not None and request.content_length > limit:
        _drain(stream, min(request.content_length, _DRAIN_BYTES))
        raise too_large(limit_name, limit)
    # MAX_CONTENT_LENGTH would cut a chunked body short without a word: read one byte more instead.
    body = stream.read(limit + 1)
    if len(body) > limit:
        _drain(stream, _DRAIN_BYTES)
        raise too_large(limit_name, limit)
    return body


def _drain(stream: Any, most: int) -> None:
    """Read away what a client still sends, so that it gets to see the answer."""
    while most > 0 and (chunk := stream.read(min(most, 65_536))):
        most -= len(chunk)
