"""A copied database is the same in everything but where it is."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scim_server import outbox, tenants, tokens
from scim_server.protocol.query import Query
from scim_server.protocol.registry import Registry
from scim_server.resources import listing
from scim_server.resources.upkeep import kinds_in
from scim_server.storage import copying, integrity
from scim_server.storage.copying import CopyError
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database
from scim_server.storage.sqlite import Sqlite
from scim_server.storage.tables import TABLES, batches
from tests.storage.conftest import House, house_on, housed
from tests.storage.life import Life


@pytest.fixture
def lived(house: House) -> House:
    """A house with rows in every table."""
    life = Life(house, 3)
    life.go_on(120)
    life.lose_a_member()
    user = life.ids["User"][0]
    tokens.create(house.database, b"k" * 32, house.by.tenant, "bound", ["users:read"], 1, user)
    with house.database.transaction():
        outbox.queue(house.database, house.by.tenant.number, "example.com", [user, user])
        house.database.run("DELETE FROM outbox WHERE number = 2")
        house.database.run("INSERT INTO erasure SELECT 1, created FROM tenant")
        house.database.run("INSERT INTO habit SELECT id, 'x', 1, created FROM token")
        house.database.run(
            "INSERT INTO password SELECT key, 'x' FROM resource WHERE id = ? ON CONFLICT DO NOTHING", (user,)
        )
        house.database.run("INSERT INTO answer SELECT 'x', 'x', created, 200, '{}', ? FROM tenant", (b"\0\xff",))
    return life.house


KINDS = ["sqlite", "postgres"]


@pytest.fixture
def empty(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Database]]:
    """Return a new database of a kind, without tables."""
    opened: list[Database] = []

    def make(kind: str) -> Database:
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path / f'empty{len(opened)}.db'}"
        else:
            url = request.getfixturevalue("postgres").empty()
        opened.append(open_database(url))
        return opened[-1]

    yield make
    for database in opened:
        database.close()


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, empty: Callable[[str], Database]) -> Database:
    return empty(request.param)


def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return {
        table.name: [tuple(row) for rows in batches(database, table, columns) for row in rows]
        for table in TABLES
        for columns in [copying._columns(database, table)]
    }


def test_everything_is_copied(lived: House, target: Database, registry: Registry) -> None:
    steps: list[int] = []
    copied = copying.copy(lived.database, target, steps.append)
    assert content(target) == content(lived.database)
    assert all(content(target).values())
    assert {table.table: table.count for table in copied} == {name: len(rows) for name, rows in content(target).items()}
    assert sum(steps) == copying.size(lived.database)
    assert list(integrity.check(target, kinds_in(registry))) == []


def test_what_went_to_another_kind_and_back_is_the_same(
    lived: House, empty: Callable[[str], Database], registry: Registry
) -> None:
    there = empty("postgres" if isinstance(lived.database, Sqlite) else "sqlite")
    back = empty("sqlite" if isinstance(lived.database, Sqlite) else "postgres")
    first = copying.copy(lived.database, there)
    assert copying.copy(there, back) == first
    assert content(back) == content(lived.database)
    assert back.last_numbers() == there.last_numbers() == lived.database.last_numbers()
    for database in (there, back):
        assert list(integrity.check(database, kinds_in(registry))) == []


def test_a_copy_is_searched_and_written_as_the_first(
    lived: House, target: Database, tmp_path: Path, registry: Registry
) -> None:
    query = Query(count=1000, filter='displayName co "en"')
    before = json.loads(listing.answer([lived.resources["User"]], lived.by, query))
    copying.copy(lived.database, target)
    assert target.last_numbers() == lived.database.last_numbers()
    assert target.last_numbers()["outbox"] == 2
    moved = house_on(target, registry)
    assert json.loads(listing.answer([moved.resources["User"]], moved.by, query)) == before
    Life(moved, 5).go_on(40)
    assert list(integrity.check(target, kinds_in(registry))) == []


NUMBERED = ("tenant", "resource_type", "audit", "outbox", "erasure")


def numbers_in(database: Database, table: str) -> set[int]:
    return {number for (number,) in database.rows(f"SELECT number FROM {table}")}


def test_numbers_that_the_database_gives_go_on(lived: House, target: Database, registry: Registry) -> None:
    copying.copy(lived.database, target)
    moved = house_on(target, registry)
    numbers = {name: numbers_in(target, name) for name in NUMBERED}
    tenants.create(target, "second", "Second Company")
    target.type_numbers(["Robot"])
    moved.resources["User"].create(moved.by, {"userName": "audited"})
    with target.transaction():
        outbox.queue(target, moved.by.tenant.number, "example.com", [moved.by.tenant.name])
        target.run("INSERT INTO erasure (at) SELECT created FROM tenant WHERE number = 1")
    for name, before in numbers.items():
        (new,) = numbers_in(target, name) - before
        assert new > max(before), name


def test_equal_rows_have_equal_hashes_and_others_have_others(
    lived: House, target: Database, empty: Callable[[str], Database]
) -> None:
    first = copying.copy(lived.database, target)
    with lived.database.transaction():
        lived.database.run("UPDATE resource SET version = version + 1 WHERE key = (SELECT min(key) FROM resource)")
    second = copying.copy(lived.database, empty("sqlite"))
    assert [table.table for table, again in zip(first, second, strict=True) if table != again] == ["resource"]


def test_a_database_that_is_not_empty_is_not_copied_to(lived: House, tmp_path: Path, registry: Registry) -> None:
    with (
        housed(tmp_path / "full.db", registry) as full,
        pytest.raises(CopyError, match="rows in tenant, resource_type"),
    ):
        copying.copy(lived.database, full.database)
    with pytest.raises(CopyError, match="not empty"):
        copying.copy(lived.database, lived.database)


def test_a_copy_that_is_not_the_same_is_undone(lived: House, target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run_many = target.run_many

    def forgetful(sql: str, rows: list[tuple[object, ...]]) -> None:
        run_many(sql, rows[1:] if "INTO reference " in sql else rows)

    monkeypatch.setattr(target, "run_many", forgetful)
    with pytest.raises(CopyError, match="The table reference is not what was read; nothing was copied"):
        copying.copy(lived.database, target)
    assert not any(content(target).values())


def test_every_table_is_copied_or_derived(house: House) -> None:
    derived = {"gram", "gram_pending", "schema_migration"}
    parts = {"gram_data", "gram_idx", "gram_config", "sqlite_sequence"}
    assert set(house.database.peewee.get_tables()) - parts == {table.name for table in TABLES} | derived


def test_a_copied_file_is_for_its_owner_only(lived: House, tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path / 'private.db'}")) as target:
        copying.copy(lived.database, target)
    assert (tmp_path / "private.db").stat().st_mode & 0o777 == 0o600
