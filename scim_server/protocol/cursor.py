"""Where does a page of a walk begin? (RFC 9865)

A cursor is a position, sealed: only this server makes one, and it fits only the query it was made
for. It grants nothing: every page is authorised and computed anew.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

from scim_server.protocol.errors import ScimError
from scim_server.protocol.limits import CURSOR_SECONDS
from scim_server.protocol.wording import say

_SEAL_BYTES = 16


@dataclass(frozen=True, slots=True)
class Cursor:
    """The resource beside which the page begins, the direction, the page size and the time of issue in seconds."""

    sort_key: str | None
    key: int
    backwards: bool
    count: int
    issued: int


def seal(cursor: Cursor, secret: bytes, query: str) -> str:
    """Return a cursor's text for a query: unreserved URI characters only (section 2)."""
    content = json.dumps([cursor.sort_key, cursor.key, cursor.backwards, cursor.count, cursor.issued]).encode()
    return base64.urlsafe_b64encode(_tag(secret, query, content) + content).decode().rstrip("=")


def unseal(text: str, secret: bytes, query: str, count: int, now: int) -> Cursor:
    """Return the cursor that a text is for this query (section 2.1).

    Raises invalidCursor, with one message whatever is wrong; expiredCursor; invalidCount when the page size changed.
    """
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise _invalid() from None
    tag, content = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if not hmac.compare_digest(tag, _tag(secret, query, content)) or not content:
        raise _invalid()
    cursor = Cursor(*json.loads(content))
    if now > cursor.issued + CURSOR_SECONDS:
        detail = say("The cursor is older than {seconds} seconds; start again.", seconds=CURSOR_SECONDS)
        raise ScimError(400, detail, "expiredCursor")
    if count != cursor.count:
        detail = say("count must stay {count} from page to page.", count=cursor.count)
        raise ScimError(400, detail, "invalidCount")
    return cursor


def _invalid() -> ScimError:
    return ScimError(400, say("The cursor is not valid for this query."), "invalidCursor")


def _tag(secret: bytes, query: str, content: bytes) -> bytes:
    message = b"cursor\0" + hashlib.sha256(query.encode()).digest() + content
    return hmac.new(secret, message, hashlib.sha256).digest()[:_SEAL_BYTES]
