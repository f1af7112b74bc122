"""What do requests cost that the peers answer too?

Run it as ``python -m benchmarks.peers``; it needs requirements-bench.txt.
"""

import importlib.util
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from benchmarks.clients import Clients, Request, answer, request
from benchmarks.harness import Row, Than, compared, measured
from benchmarks.options import Options
from benchmarks.peers.people import GROUPS, TOKEN
from benchmarks.serving import Serving, gunicorn, server
from scim_server.demo import words
from scim_server.demo.company import Company

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
CORE = "urn:ietf:params:scim:schemas:core:2.0"
MINE = "scim-server"


@dataclass(frozen=True)
class Peer:
    """A server with the same people; ``user`` and ``group`` give the id of a number from 1."""

    name: str
    serving: Serving
    root: str
    token: str
    user: Callable[[int], str]
    group: Callable[[int], str]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ask(self, method: str, path: str, body: Any = None) -> Request:
        sent = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        return request(method, f"{self.root}{path}", self.token, sent)


@dataclass(frozen=True)
class Kind:
    """A kind of request, how many times as dear it should be with a peer, and how many are sent in a round."""

    name: str
    make: Callable[[Peer, list[dict[str, Any]]], Request]
    least: float = 1
    count: int = 4
    status: int = 200
    total: int | None = None
    """How many resources the answer of a list must find; None for other answers, -1 for any but none."""


def _search(peer: Peer, filter: str) -> Request:
    return peer.ask("GET", f"Users?filter={quote(filter)}&count=10")


def _new(peer: Peer) -> dict[str, Any]:
    name = f"new{next(peer.numbers)}@example.com"
    return {
        "schemas": [f"{CORE}:User"], "userName": name, "externalId": name,
        "name": {"familyName": "山田", "givenName": "太郎"}, "active": True,
        "emails": [{"value": name, "type": "work", "primary": True}],
    }  # fmt: skip


def _patch(peer: Peer, path: str, operation: dict[str, Any]) -> Request:
    return peer.ask("PATCH", path, {"schemas": [PATCH_OP], "Operations": [operation]})


def _joining(number: int) -> Callable[[Peer, list[dict[str, Any]]], Request]:
    """Return what adds users to a group, who are in no group yet as far as there are such."""

    def make(peer: Peer, people: list[dict[str, Any]]) -> Request:
        member = [{"value": peer.user(random.randrange(min(GROUPS[0], len(people) - 1) + 1, len(people) + 1))}]
        return _patch(peer, f"Groups/{peer.group(number)}", {"op": "add", "path": "members", "value": member})

    return make


def _bulk(peer: Peer, people: list[dict[str, Any]]) -> Request:
    operations = [{"method": "POST", "path": "/Users", "bulkId": str(n), "data": _new(peer)} for n in range(300)]
    return peer.ask("POST", "Bulk", {"schemas": [BULK_REQUEST], "Operations": operations})


def _any(people: list[dict[str, Any]], name: str) -> str:
    return str(random.choice(people)[name])


KINDS = (
    Kind(
        "GET a user", lambda p, people: p.ask("GET", f"Users/{p.user(random.randrange(1, len(people) + 1))}"), count=20
    ),
    Kind("userName eq", lambda p, people: _search(p, f'userName eq "{_any(people, "userName")}"'), count=20, total=1),
    Kind(
        "externalId eq", lambda p, people: _search(p, f'externalId eq "{_any(people, "externalId")}"'), count=4, total=1
    ),
    Kind(
        "emails.value eq",
        lambda p, people: _search(p, f'emails.value eq "{_any(people, "userName")}"'),
        count=4,
        total=1,
    ),
    Kind(
        "userName co, a page of 10",
        lambda p, _: _search(p, f'userName co "{random.choice(words.JAPANESE_FAMILY).latin}"'),
        least=20,
        total=-1,
    ),
    Kind("list of 100", lambda p, _: p.ask("GET", "Users?count=100"), least=20, total=0),
    Kind("POST a user", lambda p, _: p.ask("POST", "Users", _new(p)), count=20, status=201),
    Kind(
        "PATCH active=false",
        lambda p, people: _patch(
            p,
            f"Users/{p.user(random.randrange(1, len(people) + 1))}",
            {"op": "replace", "path": "active", "value": random.random() < 0.5},
        ),
        count=20,
    ),
    Kind(f"add 1 member to {GROUPS[0]:,}", _joining(1), least=20),
    Kind(f"add 1 member to {GROUPS[1]:,}", _joining(2), least=20, count=1),
    Kind(
        f"GET a group of {GROUPS[1]:,} without members",
        lambda p, _: p.ask("GET", f"Groups/{p.group(2)}?excludedAttributes=members"),
        count=1,
    ),
    Kind("Bulk of 300", _bulk, count=1),
)


@contextmanager
def _mine(people: int) -> Iterator[Peer]:
    """Serve this server with the same people and groups."""
    with server(2) as running:
        ids: list[str] = []
        _fill(running.settings.data_dir, people)
        rows = running.database.rows(
            "SELECT r.id FROM resource r JOIN resource_type t ON t.number = (r.key >> 34) & 63 WHERE t.name = 'User'"
            " ORDER BY r.key"
        )
        ids = [id for (id,) in rows]
        groups = []
        for number, size in enumerate(GROUPS, 1):
            body = {"displayName": f"Group {number}", "members": [{"value": id} for id in ids[:size]]}
            groups.append(running.http.post("Groups", json=body).raise_for_status().json()["id"])
        yield Peer(MINE, running, "/scim/v2/", running.token, lambda n: ids[n - 1], lambda n: groups[n - 1])


def _fill(directory: Path, people: int) -> None:
    command = [sys.executable, "-m", "scim_server", "demo", f"--users={people}", "--groups=0", "--seed=1"]
    environment = os.environ | {"SCIM_DATA_DIR": str(directory)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _scim2_server(people: int) -> Iterator[Peer]:
    environment = {"BENCH_PEER_USERS": str(people)}
    with gunicorn("benchmarks.peers.memory_peer:create_app()", 1, environment) as serving:
        yield Peer("scim2-server", serving, "/v2/", TOKEN, lambda n: f"user{n}", lambda n: f"group{n}")


@contextmanager
def _django_scim2(people: int) -> Iterator[Peer]:
    with tempfile.TemporaryDirectory() as directory:
        environment = {"BENCH_PEER_USERS": str(people), "BENCH_PEER_DATABASE": f"{directory}/django.db"}
        command = [sys.executable, "-m", "benchmarks.peers.django_peer"]
        subprocess.run(command, env=os.environ | environment, check=True)
        with gunicorn("benchmarks.peers.django_peer:create_app()", 2, environment) as serving:
            yield Peer("django-scim2", serving, "/scim/v2/", TOKEN, str, str)


PEERS = {"scim2-server": ("scim2_server", _scim2_server), "django-scim2": ("django_scim", _django_scim2)}


def _refusal(peer: Peer, kind: Kind, clients: Clients, people: list[dict[str, Any]]) -> str | None:
    """Return why a peer cannot be compared, None if it can: it answers as it should."""
    asked = kind.make(peer, people)
    sent = clients.send(peer.serving.port, [asked], None)
    if not sent.statuses <= {kind.status, 204 if kind.status == 200 else kind.status}:
        return f"{peer.name} answers {min(sent.statuses)}"
    if kind.total is None:
        return None
    found = orjson.loads(answer(peer.serving.port, asked)).get("totalResults")
    wrong = found != kind.total if kind.total > 0 else not found
    return f"{peer.name} finds {found}" if wrong else None


def run(options: Options) -> list[Row]:
    """Compare with every peer that is installed, all in one interleaved run."""
    people = [dict(person) for person in Company(options.peer_users, 0, 0, seed=1).people()]
    rows: list[Row] = []
    with ExitStack() as stack:
        clients = stack.enter_context(Clients(2))
        mine = stack.enter_context(_mine(options.peer_users))
        peers = []
        for name, (module, serve) in PEERS.items():
            if importlib.util.find_spec(module):
                peers.append(stack.enter_context(serve(options.peer_users)))
            else:
                rows.append(Row("all requests", name, 0, 0, 0, note=f"{name} is not installed"))
        for kind in KINDS:
            rows += _compared(kind, mine, peers, clients, people, max(4, options.rounds // 2))
    return rows


def _compared(
    kind: Kind, mine: Peer, peers: list[Peer], clients: Clients, people: list[dict[str, Any]], rounds: int
) -> list[Row]:
    """Return a row for each peer: what it takes, as a multiple of what this server takes."""
    refused = {peer.name: _refusal(peer, kind, clients, people) for peer in (mine, *peers)}
    assert not refused[MINE], refused
    able = [peer for peer in (mine, *peers) if not refused[peer.name]]

    def work(peer: Peer) -> Callable[[int], object]:
        return lambda _: clients.send(peer.serving.port, [kind.make(peer, people) for _ in range(kind.count)], None)

    works = {peer.name: work(peer) for peer in able}
    times = measured(works, {peer.name: peer.serving.cpu for peer in able}, rounds)
    found = compared(times, {peer.name: Than(MINE, least=kind.least) for peer in able if peer is not mine})
    rows = {row.work: row for row in found}
    result = []
    for peer in peers:
        if reason := refused[peer.name]:
            result.append(Row(f"{kind.name}: {peer.name}", MINE, 0, 0, 0, note=f"not comparable: {reason}"))
        else:
            row = rows[peer.name]
            result.append(replace(row, work=f"{kind.name}: {peer.name}"))
    return result
