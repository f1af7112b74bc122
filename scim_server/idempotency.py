"""Has this request been answered before? What a client repeats with its Idempotency-Key is done once.

An answer is kept in the transaction that it tells of, for 24 hours. Of the request only HMACs are kept.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import IO

from scim_server import clock
from scim_server.protocol.errors import ScimError
from scim_server.protocol.limits import ANSWER_BYTES
from scim_server.protocol.wording import say
from scim_server.storage.database import Database

_KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, headers, and a body in memory or in a file at its beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes | IO[bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """A request under an Idempotency-Key: digests of whose it is, and of what it says."""

    name: str
    digest: str


class Answers:
    """The answers to requests with an Idempotency-Key."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._secret = secret

    def request(self, credential: str, method: str, path: str, key: str, content: bytes) -> Request:
        """Return what identifies a request; keys belong to credential, method and path."""
        name = f"{credential}\n{method}\n{path}\n{key}".encode()
        return Request(self._hmac(b"key", name), self._hmac(b"content", content))

    def _hmac(self, purpose: bytes, text: bytes) -> str:
        return hmac.new(self._secret, b"idempotency " + purpose + b"\n" + text, hashlib.sha256).hexdigest()

    @contextmanager
    def alone(self, request: Request) -> Iterator[None]:
        """Let a request run once at a time. Raises 409 while the same one runs elsewhere."""
        with self._database.claim(request.name) as is_alone:
            if not is_alone:
                detail = say("A request with this Idempotency-Key is still being worked on.")
                raise ScimError(409, detail, None, {"Retry-After": "1"})
            yield

    def find(self, request: Request) -> Reply | None:
        """Return the answer that the request had. Raises 422 when the key was used for another one."""
        found = self._database.row(
            "SELECT digest, status, headers, body FROM answer WHERE name = ? AND at >= ?",
            (request.name, clock.now(-_KEPT)),
        )
        if found is None:
            return None
        digest, status, headers, body = found
        if not hmac.compare_digest(digest, request.digest):
            raise ScimError(422, say("The Idempotency-Key was used for a request with another body or query."))
        return Reply(status, json.loads(headers), body)

    def keep(self, request: Request, reply: Reply) -> None:
        """Keep an answer, within the caller's transaction, and let go of old ones."""
        body = reply.body
        if isinstance(body, bytes):
            content = body
        else:
            content = body.read()
            body.seek(0)
        if len(content) > ANSWER_BYTES:
            raise ScimError(
                413,
                say(
                    "With an Idempotency-Key the answer may have at most {most} bytes; excludedAttributes makes it"
                    " smaller.",
                    most=ANSWER_BYTES,
                ),
            )
        self._database.run("DELETE FROM answer WHERE at < ?", (clock.now(-_KEPT),))
        self._database.run(
            "INSERT INTO answer (name, digest, at, status, headers, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name)"
            " DO UPDATE SET digest = excluded.digest, at = excluded.at, status = excluded.status,"
            " headers = excluded.headers, body = excluded.body",
            (request.name, request.digest, clock.now(), reply.status, json.dumps(dict(reply.headers)), content),
        )

    def keep_refusal(self, request: Request, reply: Reply) -> None:
        """Keep the answer to a request that changed nothing."""
        with self._database.transaction():
            self.keep(request, reply)


def let_go(database: Database, until: str) -> None:
    """Remove the answers given until an instant, and the old ones, within the caller's transaction."""
    database.run("DELETE FROM answer WHERE at <= ?", (max(until, clock.now(-_KEPT)),))
