"""What is sent as the body of an answer, and where does it wait when it is large?"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from scim_server.protocol.errors import ScimError
from scim_server.protocol.wording import say

log = logging.getLogger(__name__)
Body = bytes | IO[bytes]
"""A body in memory, or a file at its beginning."""
_IN_MEMORY = 1024 * 1024
"""Bytes that a large body may have before it goes to a temporary file."""


class Text(NamedTuple):
    """JSON text; its ``rest``, if any, is still in the database and must be read in the same transaction."""

    head: bytes
    rest: Callable[[], Iterator[bytes]] | None = None

    def pieces(self) -> Iterator[bytes]:
        yield self.head
        if self.rest:
            yield from self.rest()


def gathered(texts: Sequence[Text], before: bytes = b"", after: bytes = b"") -> Body:
    """Return texts, separated by commas, as one body. Raises 503 when there is no room for it.

    With a rest of any text it is a file, so that neither memory nor a client's pace matters from here on.
    """
    if not any(text.rest for text in texts):
        heads = [text.head for text in texts] or [b""]
        # All is copied once.
        heads[0] = before + heads[0]
        heads[-1] += after
        return b",".join(heads)
    file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (it is closed when it has been sent)
    try:
        return _put(file, texts, before, after)
    except OSError as error:
        log.error("a temporary file cannot be written: %s", error)  # noqa: TRY400 (its text says all)
        with suppress(OSError):
            file.close()
        detail = say("The server has no room for an answer as large as this one; ask for less of it or try again.")
        raise ScimError(503, detail, None, {"Retry-After": "5"}) from None


def _put(file: "SpooledTemporaryFile[bytes]", texts: Sequence[Text], before: bytes, after: bytes) -> Body:
    file.write(before)
    for number, text in enumerate(texts):
        if number:
            file.write(b",")
        for piece in text.pieces():
            file.write(piece)
    file.write(after)
    is_small = file.tell() <= _IN_MEMORY
    file.seek(0)
    if is_small:
        # Sending a file takes one on the disk.
        with file:
            return file.read()
    return file
