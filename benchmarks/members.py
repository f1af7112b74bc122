"""What do changes and answers of huge groups cost, against those of empty ones and against raw SQL?

Run it as ``python -m benchmarks.members``.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, Than, Times, compared, measured, show
from benchmarks.options import Options, read_options
from benchmarks.serving import Running, raw_copy, server
from scim_server.protocol.registry import load_registry
from scim_server.resources.base import new_id
from scim_server.storage.keys import key_of, scope_of

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MEMBERS = 100_000
BATCH = 1_000
ROUNDS = 60


def fill(running: Running) -> tuple[list[str], list[int], int]:
    """Write users straight into the tables; return their ids, their keys and the number of the attribute."""
    database = running.database
    registry = load_registry()
    numbers = database.type_numbers(registry.resource_types)
    (tenant,) = database.row("SELECT number FROM tenant") or (0,)
    scope = scope_of(tenant, numbers["User"])
    count = MEMBERS + BATCH * (ROUNDS + 2)
    ids = [new_id() for _ in range(count)]
    keys = [key_of(scope, order) for order in range(1, count + 1)]
    now = "2026-01-01T00:00:00.000"
    with database.transaction():
        database.run_many(
            "INSERT INTO resource (key, scope, id, version, created, modified, display, user_name, display_name)"
            " VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?)",
            [
                (key, scope, id, now, now, f"User {n}", f"u{n}", f"user {n}")
                for n, (key, id) in enumerate(zip(keys, ids, strict=True))
            ],
        )
        database.run("INSERT INTO collection (scope, next, total) VALUES (?, ?, ?)", (scope, count + 1, count))
    return ids, keys, registry.resource_types["Group"].by_path["members"].number


def group(running: Running, name: str) -> tuple[str, int]:
    id = str(running.http.post("Groups", json={"displayName": name}).raise_for_status().json()["id"])
    (key,) = running.database.row("SELECT key FROM resource WHERE id = ?", (id,)) or (0,)
    return id, key


def patch(running: Running, id: str, *operations: dict[str, object]) -> None:
    running.http.patch(f"Groups/{id}", json={"schemas": [PATCH_OP], "Operations": operations}).raise_for_status()


def add(running: Running, id: str, users: list[str]) -> Callable[[int], object]:
    """Return what adds one user after another to a group."""
    return lambda n: patch(running, id, {"op": "add", "path": "members", "value": [{"value": users[n]}]})


def remove(running: Running, id: str, users: list[str]) -> Callable[[int], object]:
    return lambda n: patch(running, id, {"op": "remove", "path": f'members[value eq "{users[n]}"]'})


def add_many(running: Running, id: str, users: list[str]) -> Callable[[int], object]:
    """Return what adds a thousand after a thousand."""

    def work(n: int) -> None:
        some = users[BATCH * n : BATCH * (n + 1)]
        patch(running, id, {"op": "add", "path": "members", "value": [{"value": id} for id in some]})

    return work


def insert_many(raw: sqlite3.Connection, attribute: int, keys: list[int]) -> Callable[[int], object]:
    def work(n: int) -> None:
        some = keys[BATCH * n : BATCH * (n + 1)]
        raw.execute("BEGIN IMMEDIATE")
        raw.executemany(
            "INSERT INTO reference (source, attribute, target) VALUES (1, ?, ?)", [(attribute, key) for key in some]
        )
        raw.execute("COMMIT")

    return work


def changes(running: Running, ids: list[str], keys: list[int], attribute: int, large: str, batched: str) -> list[Row]:
    """Measure what is added to and removed from a large group, and from small ones."""
    empty, _ = group(running, "Empty")
    raw = raw_copy(running, "raw")
    few, many = ids[MEMBERS : MEMBERS + ROUNDS], ids[MEMBERS + BATCH :]
    adds = {
        "add 1 member to an empty group": add(running, empty, few),
        f"add 1 member to {MEMBERS:,}": add(running, large, few),
        f"add {BATCH:,} members to a group of few": add_many(running, batched, many),
        f"add {BATCH:,} members to {MEMBERS:,}": add_many(running, large, many),
        f"raw executemany of {BATCH:,} rows": insert_many(raw, attribute, keys[MEMBERS + BATCH :]),
    }
    one, one_of_many, thousand, thousand_of_many, bare = adds
    clocks = dict.fromkeys(adds, running.cpu) | {bare: time.process_time}
    times: dict[str, Times] = measured(adds, clocks, ROUNDS)
    removes = {
        "remove 1 member of few": remove(running, empty, few),
        f"remove 1 member of {MEMBERS:,}": remove(running, large, few),
    }
    removed, removed_of_many = removes
    times |= measured(removes, dict.fromkeys(removes, running.cpu), ROUNDS)
    against = {
        one_of_many: Than(one, 1.2), thousand_of_many: Than(thousand, 1.25), thousand: Than(bare, 3),
        removed_of_many: Than(removed, 1.5),
    }  # fmt: skip
    return compared(times, against)


def reads(running: Running, ids: list[str], large: str, batched: str) -> list[Row]:
    """Measure what a large group shows of itself."""
    works = {
        "read an empty group": lambda _: running.http.get(f"Groups/{batched}?excludedAttributes=members"),
        f"read {MEMBERS:,} without members": lambda _: running.http.get(f"Groups/{large}?excludedAttributes=members"),
        f"groups of a member of {MEMBERS:,}": lambda n: running.http.get(
            "Groups", params={"filter": f'members.value eq "{ids[n]}"', "excludedAttributes": "members"}
        ),
        f"a page of 100 of {MEMBERS:,}": lambda _: running.http.get(f"Groups/{large}/members?count=100"),
    }
    empty, *others = works
    return compared(
        measured(works, dict.fromkeys(works, running.cpu), ROUNDS), {other: Than(empty) for other in others}
    )


def run(options: Options) -> list[Row]:
    with server() as running:
        ids, keys, attribute = fill(running)
        large, key = group(running, "Large")
        with running.database.transaction():
            rows = [(key, attribute, target) for target in keys[:MEMBERS]]
            running.database.run_many("INSERT INTO reference (source, attribute, target) VALUES (?, ?, ?)", rows)
        batched, _ = group(running, "Batched")
        # While it has as many members as one request may name.
        whole = _whole(running, large)
        shown = reads(running, ids, large, batched)
        return changes(running, ids, keys, attribute, large, batched) + shown + whole


def _whole(running: Running, id: str) -> list[Row]:
    """Return what sending all members takes of time and memory, and what replacing them by the same does."""
    members = running.http.get(f"Groups/{id}").json()["members"]
    body = {"displayName": "Large", "members": [{"value": member["value"]} for member in members]}
    works: dict[str, Callable[[], Any]] = {
        "PUT of all members, nothing changed": lambda: running.http.put(f"Groups/{id}", json=body),
        "GET of all members": lambda: running.http.get(f"Groups/{id}"),
    }
    spent: dict[str, float] = {}
    notes = []
    for name, ask in works.items():
        running.peak_memory()
        before = running.peak_memory()
        used = running.cpu()
        size = len(ask().raise_for_status().content)
        spent[name] = running.cpu() - used
        grown = running.peak_memory() - before
        notes.append(f"an answer of {size / 1e6:.1f} MB to a {name}: a worker grows by {grown / 1e6:.1f} MB at most")
    put, get = works
    ratio = spent[put] / spent[get]
    return [Row(put, get, ratio, ratio, ratio, cpu=spent[put] * 1e6, note="; ".join(notes))]


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
