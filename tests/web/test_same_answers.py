"""Both databases answer the same requests with the same bytes.

Ids and instants come from a counter, so that not even they differ; cursors are sealed with the same key.
"""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from scim_server import clock
from scim_server.app import create_app
from scim_server.protocol.registry import Registry
from scim_server.resources import base, paging
from tests.cluster import Databases
from tests.filters import INSTANTS, Maker
from tests.scim import ACCOUNT_GROUP, ACCOUNT_USER, BULK_REQUEST, ENTERPRISE, PATCH_OP
from tests.server import Server

BATCHES = int(os.environ.get("SAME_BATCHES", "1"))
REQUESTS = 400
"""Requests in a batch. More batches on demand."""
KINDS = {"Users": "User", "Groups": "Group", "Services": "Service"}
Answer = tuple[str, int, dict[str, str], bytes]


class Client:
    """Sends random requests, which depend on the seed and on the answers before."""

    def __init__(self, http: FlaskClient, headers: dict[str, str], registry: Registry, seed: int) -> None:
        self.http = http
        self.headers = headers
        self.registry = registry
        self.random = Random(seed)
        self.make = Maker(self.random)
        self.ids: dict[str, list[str]] = {endpoint: [] for endpoint in KINDS}
        self.tags: dict[str, str] = {}
        self.answers: list[Answer] = []

    def run(self, requests: int) -> list[Answer]:
        """Send so many requests at least and return their answers."""
        steps = [
            self.create, self.create, self.change, self.patch, self.remove, self.bulk, self.read, self.find, self.find,
            self.find, self.walk,
        ]  # fmt: skip
        while len(self.answers) < requests:
            self.random.choice(steps)()
        return self.answers

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.http.open(
            f"/scim/v2/{path}",
            method=method,
            json=body,
            headers=self.headers | headers,
        )
        shown = {name: value for name, value in answer.headers.items() if name != "Date"}
        self.answers.append((f"{method} {path} {json.dumps(body)}", answer.status_code, shown, answer.data))
        return answer.get_json() if answer.data and answer.status_code < 300 else {}

    def endpoint(self) -> str:
        return self.random.choice(["Users", "Users", "Users", "Groups", "Services"])

    def some_id(self, endpoint: str) -> str:
        return self.random.choice([*self.ids[endpoint][-30:], "nobody"])

    def document(self, endpoint: str) -> dict[str, Any]:
        make = self.make
        match endpoint:
            case "Users":
                return self.user()
            case "Groups":
                members = [
                    self.some_id(self.random.choice(["Users", "Groups"])) for _ in range(self.random.randrange(4))
                ]
                document = make.some(
                    externalId=make.word,
                    members=lambda: [{"value": id} for id in members],
                )
                services = [{"value": self.some_id("Services")}] if self.random.random() < 0.3 else []
                return document | {"displayName": make.word(), ACCOUNT_GROUP: {"services": services}}
        return {"displayName": make.word()}

    def user(self) -> dict[str, Any]:
        make, random = self.make, self.random
        document = make.some(
            title=make.word, nickName=make.word, externalId=make.word, displayName=make.word,
            active=lambda: random.random() < 0.5,
            name=lambda: make.some(familyName=make.word, givenName=make.word),
            emails=lambda: make.several(value=make.word, type=lambda: random.choice(["work", "home"])),
        )  # fmt: skip
        document[ENTERPRISE] = make.some(department=make.word, manager=lambda: {"value": self.some_id("Users")})
        document[ACCOUNT_USER] = make.some(validFrom=lambda: random.choice(INSTANTS))
        return document | {"userName": f"{make.name()}{random.randrange(500)}"}

    def create(self) -> None:
        endpoint = self.endpoint()
        made = self.send("POST", endpoint, self.document(endpoint))
        if "id" in made:
            self.ids[endpoint].append(made["id"])
            self.tags[made["id"]] = made["meta"]["version"]

    def precondition(self, id: str) -> dict[str, str]:
        return {"If-Match": self.tags.get(id, 'W/"1"')} if self.random.random() < 0.3 else {}

    def change(self) -> None:
        endpoint = self.endpoint()
        id = self.some_id(endpoint)
        self.send("PUT", f"{endpoint}/{id}", self.document(endpoint), **self.precondition(id))

    def operations(self, endpoint: str) -> dict[str, Any]:
        document, operations = self.document(endpoint), []
        for name in self.random.sample(sorted(document), min(2, len(document))):
            op = self.random.choice(["add", "replace", "remove"])
            path = self.random.choice(
                [name, 'members[type eq "User"]', 'members[display co "a"]', 'emails[type eq "work"]']
            )
            operations.append({"op": op, "path": path, **({} if op == "remove" else {"value": document[name]})})
        return {"schemas": [PATCH_OP], "Operations": operations}

    def patch(self) -> None:
        endpoint = self.endpoint()
        id = self.some_id(endpoint)
        self.send("PATCH", f"{endpoint}/{id}", self.operations(endpoint), **self.precondition(id))

    def remove(self) -> None:
        endpoint = self.endpoint()
        self.send("DELETE", f"{endpoint}/{self.some_id(endpoint)}")

    def bulk(self) -> None:
        operations: list[dict[str, Any]] = []
        for number in range(self.random.randrange(1, 8)):
            endpoint = self.endpoint()
            path = f"/{endpoint}/{self.some_id(endpoint)}"
            operations.append(
                self.random.choice(
                    [
                        {
                            "method": "POST",
                            "path": f"/{endpoint}",
                            "bulkId": f"b{number}",
                            "data": self.document(endpoint),
                        },
                        {"method": "PUT", "path": path, "data": self.document(endpoint)},
                        {"method": "PATCH", "path": path, "data": self.operations(endpoint)},
                        {"method": "DELETE", "path": path},
                    ]
                )
            )
        key = {"Idempotency-Key": f"k{self.random.randrange(10)}"} if self.random.random() < 0.3 else {}
        done = self.send("POST", "Bulk", {"schemas": [BULK_REQUEST], "Operations": operations}, **key)
        for result in done.get("Operations", ()):
            if result["status"] == "201":
                endpoint, id = result["location"].split("/")[-2:]
                self.ids[endpoint].append(id)

    def read(self) -> None:
        endpoint = self.endpoint()
        shown = self.random.choice(["", "?attributes=userName,groups", "?excludedAttributes=members"])
        self.send("GET", f"{endpoint}/{self.some_id(endpoint)}{shown}")

    def query(self) -> tuple[str, dict[str, Any]]:
        endpoint = self.endpoint()
        resource_type = self.registry.resource_types[KINDS[endpoint]]
        documents = self.send("POST", f"{endpoint}/.search", {"count": 20})["Resources"] or [{"id": "x"}]
        asked: dict[str, Any] = {"count": self.random.randrange(1, 12)}
        if self.random.random() < 0.8:
            asked["filter"] = self.make.filter(resource_type, documents)
        if self.random.random() < 0.6:
            paths = [a.path for a in resource_type.by_path.values() if not a.sub_attributes and a.returned != "never"]
            asked["sortBy"] = self.random.choice(paths)
            asked["sortOrder"] = self.random.choice(["ascending", "descending"])
        return endpoint, asked

    def find(self) -> None:
        endpoint, asked = self.query()
        self.send("POST", f"{endpoint}/.search", asked | {"startIndex": self.random.randrange(1, 9)})

    def walk(self) -> None:
        """Go through pages by cursor, and back."""
        endpoint, asked = self.query()
        cursor: str | None = ""
        for way in ("nextCursor", "nextCursor", "previousCursor"):
            if cursor is not None:
                page = self.send("POST", f"{endpoint}/.search", asked | {"cursor": cursor})
                cursor = page.get(way)


def answers(server: Server, registry: Registry, seed: int, monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """Return what a server answers to the requests of a seed."""
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    ticks = count(1_700_000_000_000)

    def now(later: timedelta = timedelta(0)) -> str:
        instant = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=next(ticks) - 1_700_000_000_000) + later
        return instant.replace(tzinfo=None).isoformat(timespec="milliseconds")

    def randbits(_: int) -> int:
        return next(ticks)

    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", now)
        patch.setattr(base, "time", SimpleNamespace(time_ns=lambda: next(ticks) * 1_000_000))
        patch.setattr(base, "secrets", SimpleNamespace(randbits=randbits))
        patch.setattr(paging, "time", SimpleNamespace(time=lambda: 1_700_000_000))
        app = create_app(server.settings)
        return Client(app.test_client(), headers, registry, seed).run(REQUESTS)


@pytest.mark.parametrize("seed", range(BATCHES))
def test_both_databases_answer_with_the_same_bytes(
    tmp_path: Path, postgres: Databases, registry: Registry, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    found = []
    for name, further in (("sqlite", {}), ("postgres", {"SCIM_DATABASE_URL": postgres.empty()})):
        directory = tmp_path / name
        directory.mkdir()
        settings = {
            "SCIM_SECRET_KEY": "k" * 32,
            "SCIM_BASE_URL": "https://x.example/scim/v2",
            "SCIM_LOG_LEVEL": "error",
        }
        found.append(answers(Server(directory, settings | further).initialised(), registry, seed, monkeypatch))
    for one, other in zip(*found, strict=True):
        assert one == other
    statuses = Counter(status for _, status, *_ in found[0])
    # Answers that are all empty or refused would prove little.
    assert min(statuses[status] for status in (200, 201, 204, 400, 404, 412)) > 0
    assert statuses[200] + statuses[201] + statuses[204] > REQUESTS / 2
    assert statuses[500] == 0
    shown = [json.loads(body) for *_, body in found[0] if b"totalResults" in body]
    assert sum(bool(page.get("Resources")) for page in shown) > REQUESTS / 5
