"""How do many clients send at the same time?"""

import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.scim import MEDIA_TYPE, PATCH_OP
from tests.server import Server


class Asked(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None = None


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


def add_members(group: str, *members: str) -> Asked:
    operation = {"op": "add", "path": "members", "value": [{"value": member} for member in members]}
    return Asked("PATCH", f"Groups/{group}", {"schemas": [PATCH_OP], "Operations": [operation]})


class Crowd(ExitStack):
    """Clients with a connection each. All requests are on their way before the first answer is read.

    One thread does it, so that the server is what is busy; the workers of the server share the connections.
    """

    def __init__(self, server: Server, token: str, size: int) -> None:
        super().__init__()
        url = urlsplit(server.settings.base_url)
        assert url.hostname
        self.root = url.path
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": MEDIA_TYPE}
        self.connections = [
            self.enter_context(closing(HTTPConnection(url.hostname, url.port, timeout=60))) for _ in range(size)
        ]

    def send(self, asked: Sequence[Asked]) -> list[Answer]:
        """Send requests at once and return their answers."""
        connections = self.connections[: len(asked)]
        for connection, (method, path, body) in zip(connections, asked, strict=True):
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, f"{self.root}/{path}", content, self.headers)
        return [self._answer(connection) for connection in connections]

    def send_one(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        return self.send([Asked(method, path, body)])[0]

    def create(self, path: str, body: dict[str, Any]) -> str:
        """Create a resource and return its id."""
        answer = self.send_one("POST", path, body)
        assert answer.status == 201, answer
        return str(answer.body["id"])

    def _answer(self, connection: HTTPConnection) -> Answer:
        with connection.getresponse() as response:
            content = response.read()
            return Answer(response.status, json.loads(content) if content else {})
