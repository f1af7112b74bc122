"""What is special about SQLite: its file, its settings, its locks."""

import errno
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest

from scim_server.protocol.errors import ScimError
from scim_server.protocol.query import Query
from scim_server.protocol.registry import Registry
from scim_server.resources import listing
from scim_server.storage.database import Database, DatabaseError, Unavailable, first_of
from scim_server.storage.opening import open_database, open_prepared
from scim_server.storage.sqlite import path_in
from tests.storage.conftest import housed


def test_acknowledged_writes_are_synced_to_the_disk(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    pragmas = {name: database.row(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "secure_delete")}
    assert pragmas == {"journal_mode": ("wal",), "synchronous": (2,), "secure_delete": (0,)}
    database.close()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y", "x.db", "sqlite:///a?b=c", ""]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="must be sqlite:////absolute"):
        path_in(url)


def test_three_slashes_are_relative_and_four_absolute() -> None:
    assert path_in("sqlite:///x/y.db") == Path("x/y.db")
    assert path_in("sqlite:////x/y.db") == Path("/x/y.db")


def test_only_its_owner_may_read_the_file_and_looking_for_it_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with pytest.raises(DatabaseError, match="run scim-server init"):
        open_prepared(f"sqlite:///{path}")
    assert not path.exists()
    open_database(f"sqlite:///{path}").upgrade()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_is_given_back_when_it_cannot_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    for name in ("os.open", "fcntl.lockf"):
        with monkeypatch.context() as patch:
            patch.setattr(name, fail)
            with pytest.raises(Unavailable, match="no locks"), database.claim("a" * 64):
                pass
        with database.claim("a" * 64) as held:
            assert held


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Database]:
    with closing(open_database(f"sqlite:///{tmp_path / 'x.db'}")) as database:
        database.run("CREATE TABLE counter (n INTEGER)")
        database.run("INSERT INTO counter VALUES (0)")
        yield database


OVERFLOW = -(2**63)
"""abs() of it fails, but only when its row is reached."""


@pytest.mark.parametrize(
    "work",
    [
        lambda database: database.rows("SELECT abs(n) FROM counter"),
        lambda database: database.row("SELECT max(abs(n)) FROM counter"),
        lambda database: database.row("SELECT abs(n) FROM counter WHERE n < 1 ORDER BY rowid"),
        lambda database: list(database.each("SELECT abs(n) FROM counter")),
        lambda database: database.run_many("UPDATE counter SET n = abs(?)", [(1,), (OVERFLOW,)]),
    ],
)
def test_a_failure_at_any_row_is_one_of_the_database(counter: Database, work: Callable[[Database], object]) -> None:
    counter.run_many("INSERT INTO counter VALUES (?)", [(1,), (OVERFLOW,)])
    with pytest.raises(Unavailable, match="overflow"):
        work(counter)


@pytest.mark.parametrize("name", ["os.open", "fcntl.flock"])
def test_a_lock_that_cannot_be_had_is_a_failure_of_the_database(
    counter: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(name, fail)
        with pytest.raises(Unavailable, match="read-only"), counter.transaction():
            counter.run("UPDATE counter SET n = 1")
    with counter.transaction():
        assert counter.row("SELECT n FROM counter") == (0,)


@pytest.mark.parametrize("within", [Database.savepoint, lambda _: nullcontext()])
def test_a_full_disk_is_what_is_said_though_undoing_fails_too(
    counter: Database, within: Callable[[Database], AbstractContextManager[None]]
) -> None:
    counter.run("PRAGMA max_page_count = 4")
    with pytest.raises(Unavailable) as failure, counter.transaction():
        counter.run("UPDATE counter SET n = 1")
        with within(counter):
            counter.run("INSERT INTO counter VALUES (zeroblob(100000))")
    assert "full" in str(first_of(failure.value))
    assert counter.rows("SELECT n FROM counter") == [(0,)]


def test_a_connection_that_cannot_write_is_not_used_again(counter: Database) -> None:
    counter.run("PRAGMA query_only = 1")
    with pytest.raises(Unavailable, match="readonly"), counter.transaction():
        counter.run("UPDATE counter SET n = 1")
    with counter.transaction():
        counter.run("UPDATE counter SET n = 2")
    assert counter.row("SELECT n FROM counter") == (2,)


def test_a_page_that_is_larger_than_the_database_can_say_is_refused(tmp_path: Path, registry: Registry) -> None:
    with housed(tmp_path / "x.db", registry) as house:
        users = [house.resources["User"]]
        for number in range(3):
            users[0].create(house.by, {"userName": f"u{number}", "displayName": "x" * 500_000})
        house.database.peewee.connection().setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_200_000)
        with pytest.raises(ScimError) as refusal:
            listing.answer(users, house.by, Query(count=3))
        assert (refusal.value.status, refusal.value.scim_type) == (400, "tooMany")
        assert len(json.loads(listing.answer(users, house.by, Query(count=2)))["Resources"]) == 2
