"""What do changes and answers of huge groups cost, against those of empty ones and against raw SQL?

Run it as ``python -m benchmarks.members``.
"""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Running, measured, raw_copy, server, show
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


def main() -> None:
    with server() as running:
        ids, keys, attribute = fill(running)
        further = ids[MEMBERS:]
        large, key = group(running, "Large")
        with running.database.transaction():
            rows = [(key, attribute, target) for target in keys[:MEMBERS]]
            running.database.run_many("INSERT INTO reference (source, attribute, target) VALUES (?, ?, ?)", rows)
        empty, _ = group(running, "Empty")
        batched, _ = group(running, "Batched")
        raw = raw_copy(running, "raw")

        def add(id: str) -> Callable[[int], object]:
            return lambda n: patch(running, id, {"op": "add", "path": "members", "value": [{"value": further[n]}]})

        def remove(id: str) -> Callable[[int], object]:
            return lambda n: patch(running, id, {"op": "remove", "path": f'members[value eq "{further[n]}"]'})

        def add_many(n: int) -> None:
            some = further[BATCH * (n + 1) : BATCH * (n + 2)]
            patch(running, batched, {"op": "add", "path": "members", "value": [{"value": id} for id in some]})

        def insert_many(n: int) -> None:
            some = keys[MEMBERS + BATCH * (n + 1) : MEMBERS + BATCH * (n + 2)]
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany(
                "INSERT INTO reference (source, attribute, target) VALUES (1, ?, ?)", [(attribute, k) for k in some]
            )
            raw.execute("COMMIT")

        clocks = {"server": running.cpu, "here": time.process_time}
        print(f"A group of {MEMBERS:,} members, one worker, SQLite at synchronous=FULL, {ROUNDS} rounds\n")
        adds = {
            "add 1 member to an empty group": add(empty),
            f"add 1 member to {MEMBERS:,}": add(large),
            f"add {BATCH:,} members": add_many,
            f"raw executemany of {BATCH:,} rows": insert_many,
        }
        times = measured(adds, {n: clocks["here" if "raw" in n else "server"] for n in adds}, ROUNDS)
        removes = {"remove 1 member of few": remove(empty), f"remove 1 member of {MEMBERS:,}": remove(large)}
        times |= measured(removes, dict.fromkeys(removes, clocks["server"]), ROUNDS)
        reads = {
            "read an empty group": lambda _: running.http.get(f"Groups/{batched}?excludedAttributes=members"),
            f"read {MEMBERS:,} without members": lambda _: running.http.get(
                f"Groups/{large}?excludedAttributes=members"
            ),
            f"groups of a member of {MEMBERS:,}": lambda n: running.http.get(
                "Groups", params={"filter": f'members.value eq "{ids[n]}"', "excludedAttributes": "members"}
            ),
            f"a page of 100 of {MEMBERS:,}": lambda _: running.http.get(f"Groups/{large}/members?count=100"),
        }
        times |= measured(reads, dict.fromkeys(reads, clocks["server"]), ROUNDS)
        names = list(times)
        pairs = {1: (0, 1.2), 2: (3, 3), 5: (4, 1.5), 7: (6, None)}
        show(times, {names[mine]: (names[other], most) for mine, (other, most) in pairs.items()})
        _whole(running, large)


def _whole(running: Running, id: str) -> None:
    """Print what sending and replacing all members takes of time and memory."""
    members = running.http.get(f"Groups/{id}").json()["members"]
    body = {"displayName": "Large", "members": [{"value": member["value"]} for member in members]}
    works: dict[str, Callable[[], Any]] = {
        f"GET of {MEMBERS:,} members": lambda: running.http.get(f"Groups/{id}"),
        f"PUT of the same {MEMBERS:,} members": lambda: running.http.put(f"Groups/{id}", json=body),
    }
    for name, ask in works.items():
        running.peak_memory()
        before = running.peak_memory()
        used, since = running.cpu(), time.perf_counter()
        size = len(ask().raise_for_status().content)
        took, spent = time.perf_counter() - since, running.cpu() - used
        grown = running.peak_memory() - before
        print(
            f"\n{name}: an answer of {size / 1e6:.1f} MB, CPU {spent:.2f} s, wall {took:.2f} s;"
            f" a worker of {before / 1e6:.0f} MB grows by {grown / 1e6:.1f} MB at most"
        )


if __name__ == "__main__":
    main()
