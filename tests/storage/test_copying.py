"""A copied database is the same in everything but where it is."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scim_server import outbox, tokens
from scim_server.protocol.query import Query
from scim_server.protocol.registry import Registry
from scim_server.resources import listing
from scim_server.resources.upkeep import kinds_in
from scim_server.storage import copying, integrity
from scim_server.storage.copying import CopyError
from scim_server.storage.database import Database
from scim_server.storage.sqlite import Sqlite
from scim_server.storage.tables import TABLES
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
        house.database.run("INSERT OR IGNORE INTO password SELECT key, 'x' FROM resource WHERE id = ?", (user,))
        house.database.run("INSERT INTO answer SELECT 'x', 'x', created, 200, '{}', x'00ff' FROM tenant")
    return life.house


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Database]:
    with closing(Sqlite(f"sqlite:///{tmp_path / 'target.db'}")) as database:
        yield database


def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return {
        table.name: database.rows(f"SELECT * FROM {table.name} ORDER BY {', '.join(table.key)}") for table in TABLES
    }


def test_everything_is_copied(lived: House, target: Database, registry: Registry) -> None:
    steps: list[int] = []
    copied = copying.copy(lived.database, target, steps.append)
    assert content(target) == content(lived.database)
    assert all(content(target).values())
    assert {table.table: table.count for table in copied} == {name: len(rows) for name, rows in content(target).items()}
    assert sum(steps) == copying.size(lived.database)
    assert list(integrity.check(target, kinds_in(registry))) == []
    assert target.path.stat().st_mode & 0o777 == 0o600


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


def test_equal_rows_have_equal_hashes_and_others_have_others(lived: House, target: Database, tmp_path: Path) -> None:
    first = copying.copy(lived.database, target)
    with lived.database.transaction():
        lived.database.run("UPDATE resource SET version = version + 1 WHERE key = (SELECT min(key) FROM resource)")
    with closing(Sqlite(f"sqlite:///{tmp_path / 'second.db'}")) as other:
        second = copying.copy(lived.database, other)
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
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'gram%'"
    assert {name for (name,) in house.database.rows(sql)} == {table.name for table in TABLES} | {"schema_migration"}
