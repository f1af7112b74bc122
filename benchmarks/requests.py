"""What do single requests cost, against bare Flask views with answers of the same size, and against raw SQL?

Run it as ``python -m benchmarks.requests``.
"""

import itertools
import json
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from benchmarks.bulk import user
from benchmarks.clients import Clients, Request, answer, request
from benchmarks.data import Person, prepared, some_people
from benchmarks.harness import Row, Than, Times, compared, measured, show
from benchmarks.options import Options, read_options
from benchmarks.serving import FLOOR, Running, Serving, gunicorn, raw_connection, server
from scim_server.config import server_key
from scim_server.demo import words
from scim_server.demo.company import Company
from scim_server.protocol.cursor import Cursor, seal
from scim_server.protocol.query import Query
from scim_server.storage.keys import scope_in, scope_range
from scim_server.storage.sqlite import path_in

SMALL = 1000
_MANY = 1_000_000
_CONNECTIONS = 8
_STARTS = 6
_RAW = "raw SQL: the row and body of a user"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
Make = Callable[[], Request]


@dataclass(frozen=True)
class Asking:
    """A server, and the people whom requests ask for, each time others."""

    running: Running
    people: list[Person]

    @property
    def scope(self) -> int:
        return scope_in(self.people[0].key)

    @property
    def count(self) -> int:
        (count,) = self.running.database.row("SELECT total FROM collection WHERE scope = ?", (self.scope,)) or (0,)
        return int(count)

    def get(self, path: str) -> Request:
        return request("GET", f"/scim/v2/{path}", self.running.token)

    def search(self, filter: str, **options: int) -> Request:
        further = "".join(f"&{name}={value}" for name, value in options.items())
        return self.get(f"Users?filter={quote(filter)}{further}")

    def person(self) -> Person:
        return random.choice(self.people)

    def by_id(self) -> Request:
        return self.get(f"Users/{self.person().id}")

    def by_name(self) -> Request:
        return self.search(f'userName eq "{self.person().user_name}"')

    def by_external_id(self) -> Request:
        return self.search(f'externalId eq "{self.person().external_id}"')

    def by_email(self) -> Request:
        return self.search(f'emails.value eq "{self.person().user_name}"')

    def page(self) -> Request:
        return self.get(f"Users?count=100&startIndex={random.randrange(1, 500)}")

    def first_by_cursor(self) -> Request:
        return self.get("Users?cursor=&count=100")

    def by_cursor(self, count: int = 100) -> Request:
        """Ask for the page after anybody."""
        settings, key = self.running.settings, self.person().key
        mark = Query(cursor="x").mark(1, ["User"])
        cursor = Cursor(None, key, backwards=False, count=count, issued=int(time.time()))
        text = seal(cursor, server_key(settings), mark)
        return self.get(f"Users?cursor={text}&count={count}")

    def containing(self) -> Request:
        """Search for a part of a name that fewer than one of a hundred has, in Latin or Japanese letters."""
        name = random.choice(words.JAPANESE_FAMILY)
        if random.random() < 0.5 or len(name.latin) < 6:
            return self.search(f'displayName co "{name.written[:2]}"', count=10)
        return self.search(f'userName co "{name.latin}"', count=10)

    def count_all(self) -> Request:
        return self.get("Users?count=0")

    def count_name(self) -> Request:
        return self.search(f'userName eq "{self.person().user_name}"', count=0)

    def count_family(self) -> Request:
        return self.search(f'name.familyName eq "{self.person().family_name}"', count=0)

    def floor(self, make: Make) -> Make:
        """Return what asks the floor for an answer as large as this server's."""
        size = len(answer(self.running.port, make()))
        return lambda: request("GET", f"/scim/v2/Users/{size}", self.running.token)


class Works:
    """Requests to several servers, each with the clock of the server that answers it."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.works: dict[str, Callable[[int], object]] = {}
        self.clocks: dict[str, Callable[[], float]] = {}

    def add(self, name: str, target: Serving, make: Make, count: int, expected: int = 200) -> None:
        """Let a number of requests be a work."""
        self.works[name] = lambda _: self.clients.send(target.port, [make() for _ in range(count)], expected)
        self.clocks[name] = target.cpu

    def add_here(self, name: str, work: Callable[[], object], count: int) -> None:
        """Let what happens in this process, some times, be a work."""

        def repeat(_: int) -> int:
            for _ in range(count):
                work()
            return count

        self.works[name] = repeat
        self.clocks[name] = time.process_time


def _reads(works: Works, large: Asking, small: Asking, floor: Serving) -> dict[str, Than | list[Than]]:
    """Add what reads one or few users; return what each is compared with."""
    against: dict[str, Than | list[Than]] = {}
    kinds: dict[str, tuple[Callable[[Asking], Make], float, float | None]] = {
        "GET a user with groups": (lambda a: a.by_id, 1.25, None),
        "userName eq": (lambda a: a.by_name, 1.5, 1.15),
        "externalId eq": (lambda a: a.by_external_id, 1.5, 1.15),
        "emails.value eq": (lambda a: a.by_email, 1.5, 1.15),
    }
    for name, (make, most, beside) in kinds.items():
        bare, few = f"Flask view, as large as {name}", f"{name} of {small.count:,} users"
        works.add(name, large.running, make(large), 200)
        works.add(bare, floor, large.floor(make(large)), 200)
        if beside:
            works.add(few, small.running, make(small), 200)
        against[name] = [Than(bare, most), Than(few, beside) if beside else Than(_RAW)]
    return against


def _pages(works: Works, large: Asking, floor: Serving) -> dict[str, Than | list[Than]]:
    works.add("list of 100", large.running, large.page, 16)
    works.add("Flask view, as large as a list of 100", floor, large.floor(large.page), 16)
    works.add("first page of 100 by cursor", large.running, large.first_by_cursor, 16)
    works.add("page of 100 by cursor, at any depth", large.running, large.by_cursor, 16)
    return {
        "list of 100": Than("Flask view, as large as a list of 100", 3),
        "page of 100 by cursor, at any depth": Than("first page of 100 by cursor", 1.5),
    }


def _searches(works: Works, large: Asking, small: Asking, raw: sqlite3.Connection) -> dict[str, Than | list[Than]]:
    def scan() -> None:
        needle = random.choice(words.JAPANESE_FAMILY).latin
        # By the primary key, as the server would scan: the index of the scope would lead to each row by itself.
        where = "FROM resource WHERE key >= ? AND key < ? AND instr(user_name, ?)"
        raw.execute(f"SELECT count(*) {where}", (*scope_range(large.scope), needle)).fetchall()
        raw.execute(f"SELECT key {where} ORDER BY key LIMIT 10", (*scope_range(large.scope), needle)).fetchall()

    def count() -> None:
        name = random.choice(words.JAPANESE_FAMILY).written
        sql = "SELECT count(*) FROM resource WHERE scope = ? AND substr(family_name, 1, 200) = ?"
        raw.execute(sql, (large.scope, name)).fetchall()

    few = f"{small.count:,}"
    works.add("totalResults of familyName eq", large.running, large.count_family, 50)
    works.add_here("raw SQL: the same by a covering index", count, 50)
    works.add("co, a page of 10 and the total", large.running, large.containing, 16)
    works.add_here("raw SQL: the same by a scan of the column", scan, 2)
    works.add("totalResults of all", large.running, large.count_all, 100)
    works.add(f"totalResults of {few}", small.running, small.count_all, 100)
    works.add("totalResults of userName eq", large.running, large.count_name, 100)
    works.add(f"totalResults of userName eq of {few} users", small.running, small.count_name, 100)
    return {
        "co, a page of 10 and the total": Than(
            # Of few users a scan is soon done.
            "raw SQL: the same by a scan of the column",
            0.1 if large.count >= _MANY else None,
        ),
        "totalResults of all": Than(f"totalResults of {few}", 1.15),
        "totalResults of familyName eq": Than("raw SQL: the same by a covering index"),
        "totalResults of userName eq": Than(f"totalResults of userName eq of {few} users", 1.15),
    }


def _add_raw(works: Works, large: Asking, raw: sqlite3.Connection) -> None:
    """Add what SQLite alone takes for the rows that a request reads."""

    def read() -> None:
        sql = "SELECT * FROM resource r JOIN body b ON b.key = r.key WHERE r.id = ?"
        raw.execute(sql, (large.person().id,)).fetchall()

    works.add_here(_RAW, read, 200)


def _writes(works: Works, large: Asking, floor: Serving) -> dict[str, Than | list[Than]]:
    """Add what writes a user: one like those of the data, and one with everything that a user may have."""
    numbers = itertools.count()
    people = iter(large.people)
    new = Company(_MANY, 0, 0, seed=2, first=large.count).people()

    def post_one(document: dict[str, Any]) -> Request:
        return request("POST", "/scim/v2/Users", large.running.token, json.dumps(document, ensure_ascii=False).encode())

    def post() -> Request:
        return post_one({"schemas": [USER]} | next(new))

    def post_full() -> Request:
        return post_one(user(f"new{next(numbers)}"))

    def disable() -> Request:
        operation = {"op": "replace", "path": "active", "value": False}
        body = json.dumps({"schemas": [PATCH_OP], "Operations": [operation]}).encode()
        return request("PATCH", f"/scim/v2/Users/{next(people).id}", large.running.token, body)

    against: dict[str, Than | list[Than]] = {}
    for name, make in {"a user": post, "the user of RFC 7643 section 8.3": post_full}.items():
        echo = f"Flask view that echoes {name}"
        works.add(f"POST {name}", large.running, make, 96, 201)
        works.add(echo, floor, make, 200, 201)
        against[f"POST {name}"] = [Than(echo, least=0.25, by="wall"), Than(echo)]
    works.add("PATCH active=false", large.running, disable, 96)
    return against | {"PATCH active=false": Than("POST a user", 1)}


def run(options: Options) -> list[Row]:
    """Measure all requests in interleaved runs, each of servers of their own: no two processes are equally fast."""
    times: dict[str, Times] = {}
    rounds = -(-options.rounds // _STARTS)
    for _ in range(_STARTS):
        found, against = _once(replace(options, rounds=rounds))
        for name, each in found.items():
            times.setdefault(name, Times()).add(each)
    return compared(times, against)


def _once(options: Options) -> tuple[dict[str, Times], dict[str, Than | list[Than]]]:
    with (
        server(2, prepared(options.users)) as many,
        server(2, prepared(SMALL)) as few,
        gunicorn(FLOOR, 2) as floor,
        Clients(_CONNECTIONS) as clients,
    ):
        large, small = (Asking(each, some_people(each.database, options.rounds * 96)) for each in (many, few))
        raw = raw_connection(path_in(many.settings.database_url))
        works = Works(clients)
        against = _reads(works, large, small, floor) | _pages(works, large, floor)
        against |= _searches(works, large, small, raw)
        _add_raw(works, large, raw)
        times = measured(works.works, works.clocks, options.rounds)
        writes = Works(clients)
        against |= _writes(writes, large, floor)
        return times | measured(writes.works, writes.clocks, options.rounds), against


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
