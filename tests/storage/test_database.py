import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from playhouse.migrations import Runner

from scim_server.storage import migrations
from scim_server.storage.database import Busy, Database, DatabaseError, Unavailable, first_of, open_prepared, path_in


@pytest.fixture
def counter(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.run("CREATE TABLE counter (n INTEGER)")
    database.run("INSERT INTO counter VALUES (0)")
    return database


def test_acknowledged_writes_are_synced_to_the_disk(counter: Database) -> None:
    pragmas = {name: counter.row(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "secure_delete")}
    assert pragmas == {"journal_mode": ("wal",), "synchronous": (2,), "secure_delete": (0,)}


def test_a_failed_transaction_leaves_nothing(counter: Database) -> None:
    with pytest.raises(ZeroDivisionError), counter.transaction():
        counter.run("UPDATE counter SET n = 5")
        raise ZeroDivisionError
    assert counter.row("SELECT n FROM counter") == (0,)
    with counter.transaction():
        counter.run("UPDATE counter SET n = 6")
    assert counter.row("SELECT n FROM counter") == (6,)


OVERFLOW = -(2**63)
"""abs() of it fails, but only when its row is reached."""


@pytest.mark.parametrize(
    "work",
    [
        lambda database: database.rows("SELECT abs(n) FROM counter"),
        lambda database: database.row("SELECT max(abs(n)) FROM counter"),
        lambda database: list(database.each("SELECT abs(n) FROM counter")),
        lambda database: database.run_many("UPDATE counter SET n = abs(?)", [(1,), (OVERFLOW,)]),
    ],
)
def test_a_failure_at_any_row_is_one_of_the_database(counter: Database, work: Callable[[Database], object]) -> None:
    counter.run_many("INSERT INTO counter VALUES (?)", [(1,), (OVERFLOW,)])
    with pytest.raises(Unavailable, match="overflow"):
        work(counter)


def test_writers_of_threads_and_processes_queue(counter: Database) -> None:
    program = (
        "import sys\n"
        "from scim_server.storage.database import Database\n"
        "database = Database(sys.argv[1])\n"
        "for _ in range(40):\n"
        "    with database.transaction():\n"
        "        (n,) = database.row('SELECT n FROM counter')\n"
        "        database.run('UPDATE counter SET n = ?', (n + 1,))\n"
    )
    url = f"sqlite:///{counter.path}"
    processes = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(3)]

    def write() -> None:
        for _ in range(20):
            with counter.transaction():
                (n,) = counter.row("SELECT n FROM counter") or (0,)
                counter.run("UPDATE counter SET n = ?", (n + 1,))
        counter.close()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert counter.row("SELECT n FROM counter") == (3 * 40 + 3 * 20,)


def test_a_forked_process_does_not_share_the_lock_of_its_parent(counter: Database) -> None:
    with counter.transaction():
        pass
    counter.close()
    child = os.fork()
    if child == 0:
        try:
            with counter.transaction():
                counter.run("UPDATE counter SET n = n + 1")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with counter.transaction():
        assert counter.row("SELECT n FROM counter") == (1,)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y", "x.db", "sqlite:///a?b=c", ""]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="must be sqlite:////absolute"):
        path_in(url)


def test_three_slashes_are_relative_and_four_absolute() -> None:
    assert path_in("sqlite:///x/y.db") == Path("x/y.db")
    assert path_in("sqlite:////x/y.db") == Path("/x/y.db")


def test_a_database_must_be_prepared_and_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with pytest.raises(DatabaseError, match="run scim-server init"):
        open_prepared(url)
    assert not (tmp_path / "x.db").exists()
    database = Database(url)
    applied = database.upgrade()
    assert applied == database.applied()
    assert database.upgrade() == []
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600
    open_prepared(url).close()
    database.run("DELETE FROM schema_migration WHERE name = ?", (applied[-1],))
    database.run("INSERT INTO schema_migration (name, applied) VALUES ('0000_other', '2026-01-01')")
    with pytest.raises(DatabaseError, match=f"lacks {applied[-1]}; run scim-server db upgrade"):
        open_prepared(url)


def test_a_resource_type_keeps_its_number(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.upgrade()
    first = database.type_numbers(["User", "Group"])
    second = database.type_numbers(["Device", "Group", "User"])
    assert len(set(second.values())) == 3
    assert {name: second[name] for name in first} == first
    with pytest.raises(DatabaseError, match="at most 63"):
        database.type_numbers([f"T{number}" for number in range(64)])


RELEASED = {"0001_initial": "38054a31e0494aed2b4da647e4ed34157e843cd5359405773ff336f5a2a0a6fc"}
"""SHA-256 of the migrations that databases may have applied."""


def test_a_released_migration_never_changes() -> None:
    directory = Path(migrations.__file__).parent
    found = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("[0-9]*.py")}
    assert {name: found.get(name) for name in RELEASED} == RELEASED


def test_references_of_deleted_resources_survive_the_upgrade(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    Runner(database.peewee, str(Path(migrations.__file__).parent)).up("0005_outbox")
    insert = "INSERT INTO tombstone VALUES (?, 1, ?, 1, '', '', '', x'7b7d', ?)"
    database.run(insert, (7, "a", json.dumps({"from": [[5, 8], [5, 9]], "to": [[6, 5]]})))
    database.run(insert, (8, "b", json.dumps({"from": [], "to": [[7, 5]]})))
    assert database.upgrade()[0] == "0006_lost_references"
    assert database.rows("SELECT * FROM lost_reference ORDER BY 1, 3") == [(6, 5, 7), (7, 5, 8), (7, 5, 9)]
    assert database.rows("SELECT key, id, template FROM tombstone") == [(7, "a", b"{}"), (8, "b", b"{}")]
    database.close()


def test_a_name_is_held_by_one_at_a_time_and_given_back(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    name, other = "a" * 64, "b" * 64
    for _ in range(2):
        with database.claim(name) as first, database.claim(name) as second, database.claim(other) as third:
            assert (first, second, third) == (True, False, True)
            with database.claim(name) as fourth:
                assert not fourth
    with pytest.raises(ValueError, match="within"), database.claim(name):
        raise ValueError("within")
    with database.claim(name) as free:
        assert free


def test_what_a_process_holds_ends_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from scim_server.storage.database import Database; database = Database(sys.argv[1])\n"
        "with database.claim('a' * 64) as held: print(held, flush=True); time.sleep(60)"
    )
    url = f"sqlite:///{tmp_path / 'x.db'}"
    holder = subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"True\n"
    database = Database(url)
    with database.claim("a" * 64) as held:
        assert not held
    holder.kill()
    holder.wait(30)
    holder.stdout.close()
    with database.claim("a" * 64) as held:
        assert held


def test_a_name_is_given_back_when_it_cannot_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    for name in ("os.open", "fcntl.lockf"):
        with monkeypatch.context() as patch:
            patch.setattr(name, fail)
            with pytest.raises(Unavailable, match="no locks"), database.claim("a" * 64):
                pass
        with database.claim("a" * 64) as held:
            assert held


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


def test_who_does_not_wait_is_told_that_another_one_writes(counter: Database) -> None:
    other = Database(f"sqlite:///{counter.path}")
    with other.transaction(), pytest.raises(Busy), counter.transaction(waits=False):
        counter.run("UPDATE counter SET n = 1")
    with counter.transaction(waits=False):
        with pytest.raises(Busy), other.transaction(waits=False):
            pass
        counter.run("UPDATE counter SET n = 2")
    assert other.row("SELECT n FROM counter") == (2,)
