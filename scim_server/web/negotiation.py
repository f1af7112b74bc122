"""What does a request say? Its body (media type, size, strict JSON), its query, its language. (RFC 7644 section 3)"""

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from flask import request
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import parse_accept_header

from scim_server.protocol.errors import ScimError, invalid_syntax, invalid_value, too_large
from scim_server.protocol.query import PARAMETERS
from scim_server.protocol.text import read_json
from scim_server.protocol.wording import LANGUAGES, Text, say

_MEDIA_TYPES = {"application/scim+json", "application/json"}
_LIMIT = say("the limit")
_DRAIN_BYTES = 8 * 1024 * 1024


def read_body(limit: int) -> Any:
    """Return the JSON value of the body. Raises what `read_text` raises; invalidSyntax for what is not strict JSON."""
    return read_json(read_text(limit))


def read_text(limit: int, limit_name: Text = _LIMIT) -> bytes:
    """Return the body, which is said to be JSON.

    Raises 415 for another media type, 413 for more than ``limit`` bytes with or without Content-Length, invalidSyntax
    for none.
    """
    body = read_bytes(limit, limit_name)
    if not body:
        raise invalid_syntax(say("The request needs a JSON body."))
    if request.mimetype not in _MEDIA_TYPES:
        raise ScimError(415, say("The body must be application/scim+json or application/json."))
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8"):
        raise ScimError(415, say("The body must be in UTF-8."))
    return body


def read_bytes(limit: int, limit_name: Text) -> bytes:
    """Return the body, whatever it is. Raises 413, and invalidSyntax when it is broken off."""
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(limit_name, limit)
    # MAX_CONTENT_LENGTH would cut a chunked body short without a word: read one byte more instead.
    body = _read(limit + 1)
    if len(body) > limit:
        raise too_large(limit_name, limit)
    if length is not None and len(body) < length:
        raise invalid_syntax(say("The body is shorter than its Content-Length says."))
    return body


def _read(most: int) -> bytes:
    try:
        return request.stream.read(most)
    except (ParseException, ClientDisconnected, OSError):
        # What was wrong is part of the body, so it is neither answered nor logged.
        raise invalid_syntax(say("The body cannot be read: its transfer is broken.")) from None


def drain() -> None:
    """Read away what a client still sends, so that it gets to see why it is refused."""
    most = _DRAIN_BYTES
    with suppress(ScimError):
        while most > 0 and (chunk := _read(min(most, 65_536))):
            most -= len(chunk)


def language() -> str:
    """Return the language in which a refusal is to speak."""
    return language_in(request.environ)


def language_in(environ: Mapping[str, Any]) -> str:
    """Return the language that a request asks for, by lookup (RFC 4647 section 3.4)."""
    return _language(environ.get("HTTP_ACCEPT_LANGUAGE", ""))


@lru_cache(256)
def _language(header: str) -> str:
    wanted = (
        tag.partition("-")[0].lower() for tag, quality in parse_accept_header(header, LanguageAccept) if quality > 0
    )
    return next((tag for tag in wanted if tag in LANGUAGES), LANGUAGES[0])


def query_parameters() -> dict[str, str]:
    """Return the URL's parameters by their names, in any letter case; of several with one name the first.

    Names of attributes are put together instead: none that is to be left out may be missed. What some clients leave at
    the end of a URL says nothing. Raises invalidValue for what is not UTF-8.
    """
    if not request.query_string:
        return {}
    try:
        text = request.query_string.decode("ascii").rstrip("?&")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        raise invalid_value(say("The query of the URL is not percent-encoded UTF-8.")) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        known = PARAMETERS.get(name.lower(), name)
        if known in ("attributes", "excludedAttributes") and known in found:
            found[known] += f",{value}"
        else:
            found.setdefault(known, value)
    return found
