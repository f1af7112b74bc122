"""What every database promises: transactions that queue, claims that end with their process, migrations applied once."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playhouse.migrations import Runner

from scim_server.storage import migrations
from scim_server.storage.database import Busy, Conflict, Database, DatabaseError
from scim_server.storage.opening import open_database, open_prepared
from tests.server import wait_for

NAME, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def url(fresh: Callable[[], dict[str, str]], tmp_path: Path) -> str:
    """The URL of a database without tables; of SQLite, of a file that is not there."""
    return fresh().get("SCIM_DATABASE_URL", f"sqlite:///{tmp_path / 'x.db'}")


@pytest.fixture
def counter(url: str) -> Iterator[Database]:
    with closing(open_database(url)) as database:
        database.run("CREATE TABLE counter (n INTEGER UNIQUE)")
        database.run("INSERT INTO counter VALUES (0)")
        yield database


def test_a_failed_transaction_leaves_nothing(counter: Database) -> None:
    with pytest.raises(ZeroDivisionError), counter.transaction():
        counter.run("UPDATE counter SET n = 5")
        raise ZeroDivisionError
    assert counter.row("SELECT n FROM counter") == (0,)
    with counter.transaction():
        counter.run("UPDATE counter SET n = 6")
    assert counter.row("SELECT n FROM counter") == (6,)


def test_what_is_rehearsed_is_undone_alone_or_within_a_transaction(counter: Database) -> None:
    with counter.rehearsal():
        assert counter.run("UPDATE counter SET n = 5") == 1
    with counter.transaction():
        counter.run("UPDATE counter SET n = 6")
        with counter.rehearsal():
            counter.run("UPDATE counter SET n = 7")
        with pytest.raises(ZeroDivisionError), counter.savepoint():
            counter.run("UPDATE counter SET n = 8")
            raise ZeroDivisionError
    assert counter.row("SELECT n FROM counter") == (6,)


def test_a_value_that_is_there_already_is_a_conflict(counter: Database) -> None:
    insert = "INSERT INTO counter VALUES (?)"
    for write in (lambda: counter.run(insert, (0,)), lambda: counter.run_many(insert, [(1,), (0,)])):
        with pytest.raises(Conflict) as conflict, counter.transaction():
            write()
        assert "(0)" not in str(conflict.value)
    assert counter.rows("SELECT n FROM counter") == [(0,)]


def test_writers_of_threads_and_processes_queue(counter: Database, url: str) -> None:
    program = (
        "import sys\n"
        "from scim_server.storage.opening import open_database\n"
        "database = open_database(sys.argv[1])\n"
        "for _ in range(40):\n"
        "    with database.transaction():\n"
        "        (n,) = database.row('SELECT n FROM counter')\n"
        "        database.run('UPDATE counter SET n = ?', (n + 1,))\n"
    )
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


def test_a_snapshot_is_of_one_state(counter: Database, url: str) -> None:
    with closing(open_database(url)) as other, counter.snapshot():
        before = counter.row("SELECT n FROM counter")
        with other.transaction():
            other.run("UPDATE counter SET n = n + 1")
        assert counter.row("SELECT n FROM counter") == before
        # Nothing hinders what is read within it to be read within another.
        with counter.snapshot():
            assert counter.row("SELECT n FROM counter") == before
    assert counter.row("SELECT n FROM counter") == (1,)


def test_rows_are_read_as_they_are_asked_for(counter: Database) -> None:
    with counter.transaction():
        counter.run_many("INSERT INTO counter VALUES (?)", ((n,) for n in range(1, 3000)))
    sql = "SELECT n FROM counter WHERE n >= ? ORDER BY n"
    everything = [(n,) for n in range(3000)]
    assert list(counter.each(sql, (0,))) == everything
    with counter.snapshot():
        first, second = counter.each(sql, (0,)), counter.each(sql, (1,))
        assert (next(first), next(second)) == ((0,), (1,))
        assert [*first] == everything[1:]
        # The second is left as it is.
    assert list(counter.each(sql, (2999,))) == [(2999,)]


def test_a_database_must_be_prepared_and_up_to_date(url: str) -> None:
    with pytest.raises(DatabaseError, match="run scim-server init"):
        open_prepared(url)
    with closing(open_database(url)) as database:
        applied = database.upgrade()
        assert applied == database.applied()
        assert database.upgrade() == []
        open_prepared(url).close()
        database.run("DELETE FROM schema_migration WHERE name = ?", (applied[-1],))
        database.run("INSERT INTO schema_migration (name, applied) VALUES ('0000_other', '2026-01-01')")
        with pytest.raises(DatabaseError, match=f"lacks {applied[-1]}; run scim-server db upgrade"):
            open_prepared(url)


def test_a_resource_type_keeps_its_number(url: str) -> None:
    with closing(open_database(url)) as database:
        database.upgrade()
        first = database.type_numbers(["User", "Group"])
        second = database.type_numbers(["Device", "Group", "User"])
        assert sorted(second.values()) == [1, 2, 3]
        assert {name: second[name] for name in first} == first
        with pytest.raises(DatabaseError, match="at most 63"):
            database.type_numbers([f"T{number}" for number in range(64)])


RELEASED = {"0001_initial": "38054a31e0494aed2b4da647e4ed34157e843cd5359405773ff336f5a2a0a6fc"}
"""SHA-256 of the migrations that databases may have applied."""


def test_a_released_migration_never_changes() -> None:
    directory = Path(migrations.__file__).parent
    found = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("[0-9]*.py")}
    assert {name: found.get(name) for name in RELEASED} == RELEASED


def test_references_of_deleted_resources_survive_the_upgrade(url: str) -> None:
    with closing(open_database(url)) as database:
        Runner(database.peewee, str(Path(migrations.__file__).parent)).up("0005_outbox")
        insert = "INSERT INTO tombstone VALUES (?, 1, ?, 1, '', '', '', ?, ?)"
        database.run(insert, (7, "a", b"{}", json.dumps({"from": [[5, 8], [5, 9]], "to": [[6, 5]]})))
        database.run(insert, (8, "b", b"{}", json.dumps({"from": [], "to": [[7, 5]]})))
        assert database.upgrade()[0] == "0006_lost_references"
        assert database.rows("SELECT * FROM lost_reference ORDER BY 1, 3") == [(6, 5, 7), (7, 5, 8), (7, 5, 9)]
        assert database.rows("SELECT key, id, template FROM tombstone") == [(7, "a", b"{}"), (8, "b", b"{}")]


def test_a_name_is_held_by_one_at_a_time_and_given_back(url: str) -> None:
    with closing(open_database(url)) as database, closing(open_database(url)) as other:
        for _ in range(2):
            with database.claim(NAME) as first, database.claim(NAME) as second, database.claim(OTHER) as third:
                assert (first, second, third) == (True, False, True)
                with database.claim(NAME) as fourth:
                    assert not fourth
        with pytest.raises(ValueError, match="within"), database.claim(NAME):
            raise ValueError("within")
        with database.claim(NAME) as free:
            assert free
        with other.claim(NAME) as free:
            assert free


def test_what_a_process_holds_ends_with_it(url: str) -> None:
    script = (
        "import sys, time; from scim_server.storage.opening import open_database; database = open_database(sys.argv[1])\n"
        "with database.claim('a' * 64) as held: print(held, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"True\n"
    with closing(open_database(url)) as database:
        with database.claim(NAME) as held:
            assert not held
        holder.kill()
        holder.wait(30)
        holder.stdout.close()

        def is_free() -> bool:
            with database.claim(NAME) as held:
                return held

        # A server may take a moment to see that a connection has ended.
        wait_for(is_free)


def test_who_does_not_wait_is_told_that_another_one_writes(counter: Database, url: str) -> None:
    with closing(open_database(url)) as other:
        with other.transaction(), pytest.raises(Busy), counter.transaction(waits=False):
            counter.run("UPDATE counter SET n = 1")
        with counter.transaction(waits=False):
            with pytest.raises(Busy), other.transaction(waits=False):
                pass
            counter.run("UPDATE counter SET n = 2")
        assert other.row("SELECT n FROM counter") == (2,)
