"""Which writes of threads share a commit, and what becomes of the others when one fails?"""

import concurrent.futures
import gc
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest

from scim_server.storage import commits
from scim_server.storage.database import Busy, Conflict, SqlError, Unavailable
from scim_server.storage.sqlite import Sqlite
from tests.server import wait_for

WRITERS = 5


class Writers:
    """Threads that write to one file, and what SQLite was told to do on each of their connections."""

    def __init__(self, path: Path, pool: ThreadPoolExecutor) -> None:
        self.path = path
        self.database = Sqlite(f"sqlite:///{path}")
        self.told: list[str] = []
        self._pool = pool

    def use(self, connection: type[sqlite3.Connection]) -> None:
        """Open further connections of this kind."""
        self.database.close()
        self.database.peewee.connect_params["factory"] = connection

    def add(self, number: int) -> None:
        self.database.run("INSERT INTO number (n) VALUES (?)", (number,))

    def write(self, number: int, then: Callable[[], object] = lambda: None) -> None:
        """Write a number, and do something else before it is committed."""
        connection = self.database.peewee.connection()
        connection.set_trace_callback(self.told.append)
        connection.execute("PRAGMA foreign_keys = 1")
        with self.database.transaction():
            self.add(number)
            then()

    @contextmanager
    def held_up(self, first: Callable[[], object] = lambda: None) -> Iterator[list[Future[None]]]:
        """Let who is started within the block wait for a transaction that writes 0 and then does something."""
        begun, goes_on = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            assert goes_on.wait(30)
            first()

        futures = [self._pool.submit(self.write, 0, hold)]
        assert begun.wait(30)
        yield futures
        wait_for(lambda: len(self.database._commits._waiting) == len(futures) - 1)
        goes_on.set()

    def start(self, work: Callable[..., None], *arguments: object) -> Future[None]:
        return self._pool.submit(work, *arguments)

    def kept(self) -> set[int]:
        """Return the numbers that another connection sees."""
        with closing(sqlite3.connect(self.path)) as other:
            return {number for (number,) in other.execute("SELECT n FROM number")}

    def commits(self) -> int:
        return self.told.count("COMMIT")


@pytest.fixture
def writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writers]:
    monkeypatch.setattr(commits, "_LONGEST", 60)
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        writers = Writers(tmp_path / "x.db", pool)
        writers.database.run("CREATE TABLE parent (n INTEGER PRIMARY KEY)")
        writers.database.run(
            "CREATE TABLE number (n INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
        )
        yield writers
        writers.database.close()


class Starved(sqlite3.Connection):
    """A connection that lacks memory for some statements, each once."""

    without: ClassVar[list[str]] = []

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql not in self.without:
            return super().execute(sql, *parameters)
        self.without.remove(sql)
        if sql == "RELEASE member":
            super().execute(sql)
            raise KeyboardInterrupt
        raise MemoryError


def nothing() -> None: ...


def fail() -> None:
    raise ZeroDivisionError


def test_those_who_wait_for_one_another_share_a_commit(writers: Writers) -> None:
    with writers.held_up() as futures:
        futures += [writers.start(writers.write, number) for number in range(1, WRITERS)]
    for future in futures:
        future.result(30)
    assert writers.kept() == set(range(WRITERS))
    assert writers.commits() == 1


def test_a_transaction_that_has_taken_long_is_committed_though_others_wait(
    writers: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_LONGEST", 0)
    with writers.held_up() as futures:
        futures += [writers.start(writers.write, number) for number in range(1, WRITERS)]
    for future in futures:
        future.result(30)
    assert writers.kept() == set(range(WRITERS))
    assert writers.commits() == WRITERS


def test_nobody_is_told_before_the_commit(writers: Writers) -> None:
    """A refusal waits as well: what it refers to may not be kept."""
    second, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        second.set()
        assert goes_on.wait(30)

    with writers.held_up() as futures:
        futures += [writers.start(writers.write, 1, hold), writers.start(writers.write, 2, hold)]
    assert second.wait(30)
    assert not any(future.done() for future in futures)
    assert writers.kept() == set()
    goes_on.set()
    for future in futures:
        future.result(30)
    assert writers.kept() == {0, 1, 2}


@pytest.mark.parametrize("failing", range(3))
def test_what_fails_is_undone_alone(writers: Writers, failing: int) -> None:
    thens = [fail if number == failing else nothing for number in range(3)]
    with writers.held_up(thens[0]) as futures:
        futures += [writers.start(writers.write, number, thens[number]) for number in (1, 2)]
    errors = [future.exception(30) for future in futures]
    assert [type(error) for error in errors] == [ZeroDivisionError if n == failing else type(None) for n in range(3)]
    assert writers.kept() == {0, 1, 2} - {failing}


def test_a_commit_that_fails_keeps_nothing_and_everyone_is_told(writers: Writers) -> None:
    def orphan() -> None:
        writers.database.run("INSERT INTO number VALUES (8, 8)")

    with writers.held_up() as futures:
        futures += [writers.start(writers.write, 1, orphan), writers.start(writers.write, 2, fail)]
    errors = [future.exception(30) for future in futures]
    assert [str(error) for error in errors] == ["FOREIGN KEY constraint failed"] * 3
    assert [type(error) for error in errors] == [Conflict] * 3
    assert writers.kept() == set()
    writers.write(3)
    assert writers.kept() == {3}


@pytest.mark.parametrize(
    ("sql", "kept"),
    [("INSERT INTO big VALUES (zeroblob(?))", set()), ("INSERT INTO big SELECT zeroblob(?) UNION ALL SELECT 1", {0})],
)
def test_on_a_full_disk_everyone_is_told_unless_one_could_be_undone_alone(
    writers: Writers, sql: str, kept: set[int]
) -> None:
    """SQLite undoes all by itself where it keeps nothing to undo a single statement."""
    writers.database.run("CREATE TABLE big (b)")

    def small() -> None:
        writers.database.run("PRAGMA max_page_count = 8")

    def fill() -> None:
        writers.database.run(sql, (100_000,))

    with writers.held_up(small) as futures:
        futures += [writers.start(writers.write, 1, fill)]
    told = [str(future.exception(30)) for future in futures]
    assert told == ["None" if kept else "database or disk is full", "database or disk is full"]
    assert writers.kept() == kept
    writers.write(2, fill)
    assert writers.kept() == kept | {2}


def test_nobody_goes_on_with_what_a_full_disk_has_undone(writers: Writers) -> None:
    writers.database.run("CREATE TABLE big (b)")

    def fill() -> None:
        writers.database.run("PRAGMA max_page_count = 8")
        with suppress(Unavailable):
            writers.database.run("INSERT INTO big VALUES (zeroblob(100000))")

    with writers.held_up(fill) as futures:
        futures += [writers.start(writers.write, 1)]
    assert "no transaction is active" in str(futures[0].exception(30))
    futures[1].result(30)
    assert writers.kept() == {1}


def test_what_cannot_be_undone_alone_undoes_all(writers: Writers) -> None:
    def deny(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_SAVEPOINT else sqlite3.SQLITE_OK

    def break_it() -> None:
        writers.database.peewee.connection().set_authorizer(deny)
        fail()

    with writers.held_up() as futures:
        futures += [writers.start(writers.write, 1, break_it)]
    assert ["not authorized" in str(future.exception(30)) for future in futures] == [True] * 2
    assert writers.kept() == set()


@pytest.mark.parametrize("without", [["COMMIT"], ["COMMIT", "ROLLBACK"], ["ROLLBACK TO member"], ["ROLLBACK"]])
def test_without_memory_all_is_undone_and_everyone_is_told(writers: Writers, without: list[str]) -> None:
    def starve() -> None:
        Starved.without[:] = without

    def orphan() -> None:
        writers.database.run("INSERT INTO number VALUES (8, 8)")

    writers.use(Starved)
    with writers.held_up(starve) as futures:
        futures += [writers.start(writers.write, 1, orphan if without == ["ROLLBACK"] else fail)]
    assert [isinstance(future.exception(30), Unavailable) for future in futures] == [True] * 2
    assert not Starved.without
    assert writers.kept() == set()
    with closing(Sqlite(f"sqlite:///{writers.path}")) as other, other.transaction():
        other.run("INSERT INTO number (n) VALUES (9)")
    writers.write(10)
    assert writers.kept() == {9, 10}


@pytest.mark.parametrize(
    ("sql", "told", "kept"), [("SAVEPOINT member", MemoryError, {0, 2}), ("RELEASE member", Unavailable, set())]
)
def test_nobody_undoes_what_came_after_one_that_was_undone(
    writers: Writers, sql: str, told: type[Exception], kept: set[int]
) -> None:
    """Those who come are 0, 1 which is undone, 2, and 3 whose SQL fails, or is done and the thread is interrupted."""

    def starve() -> None:
        Starved.without[:] = [sql]

    def in_order(then: Callable[[], object], reached: threading.Event) -> None:
        """Let the next one wait before this one ends."""
        reached.set()
        wait_for(lambda: writers.database._commits._waiting)
        then()

    writers.use(Starved)
    first, second = threading.Event(), threading.Event()
    with writers.held_up() as futures:
        futures += [writers.start(writers.write, 1, partial(in_order, fail, first))]
    assert first.wait(30)
    before_it_begins, within = (starve, nothing) if sql.startswith("SAVEPOINT") else (nothing, starve)
    futures += [writers.start(writers.write, 2, partial(in_order, before_it_begins, second))]
    assert second.wait(30)
    futures += [writers.start(writers.write, 3, within)]
    errors = [future.exception(30) for future in futures]
    assert isinstance(errors[3], KeyboardInterrupt if told is Unavailable else told)
    assert [isinstance(error, Unavailable) for error in errors[::2]] == [told is Unavailable] * 2
    assert writers.kept() == kept


@pytest.mark.parametrize(
    "sql",
    ["INSERT INTO number VALUES (8, 8)", "INSERT INTO big VALUES (zeroblob(100000))"],
)
def test_of_what_failed_nothing_is_held_on_to(writers: Writers, sql: str) -> None:
    class Sent:
        """What a client sent."""

    def write() -> "weakref.ref[Sent]":
        sent = Sent()
        with suppress(SqlError):
            writers.write(1, partial(work, sent))
        return weakref.ref(sent)

    def work(_: Sent) -> None:
        writers.database.run(sql)

    writers.database.run("CREATE TABLE big (b)")
    writers.database.run("PRAGMA max_page_count = 8")
    gc.disable()
    try:
        assert write()() is None
    finally:
        gc.enable()


def test_a_beginning_that_fails_keeps_no_lock(writers: Writers) -> None:
    with closing(Sqlite(f"sqlite:///{writers.path}")) as other:
        with writers.database.snapshot(), pytest.raises(RuntimeError, match="within another"):
            writers.write(1)
        connection = writers.database.peewee.connection()
        connection.execute("BEGIN")
        with pytest.raises(Unavailable, match="within a transaction"):
            writers.write(1)
        with other.transaction(waits=False):
            other.run("INSERT INTO number (n) VALUES (2)")
    writers.write(3)
    assert writers.kept() == {2, 3}


def test_who_writes_alone_keeps_other_processes_from_writing(writers: Writers) -> None:
    with closing(Sqlite(f"sqlite:///{writers.path}")) as other:
        with writers.database.writing(), pytest.raises(Busy), other.transaction(waits=False):
            pass
        with other.transaction(waits=False):
            pass


def test_who_writes_alone_commits_what_others_share(writers: Writers) -> None:
    def rewrite() -> None:
        assert writers.database.rewrite()

    with writers.held_up() as futures:
        futures += [writers.start(rewrite)]
        futures += [writers.start(writers.write, number) for number in (1, 2)]
    for future in futures:
        future.result(30)
    assert writers.kept() == {0, 1, 2}


def test_who_does_not_wait_leaves_what_others_share(writers: Writers) -> None:
    def hurry() -> None:
        with pytest.raises(Busy), writers.database.transaction(waits=False):
            writers.add(9)

    with writers.held_up() as futures:
        hurry()
        futures += [writers.start(writers.write, 1)]
        hurry()
    for future in futures:
        future.result(30)
    assert writers.kept() == {0, 1}


def test_who_does_not_wait_ends_what_it_joins(writers: Writers) -> None:
    """It comes between one who leaves a transaction to another and that one."""
    queue = writers.database._commits

    def hurry() -> None:
        with writers.database.transaction(waits=False):
            writers.add(1)

    queue._waiting.append(None)
    futures = [writers.start(writers.write, 0)]
    wait_for(lambda: queue._group and not queue._turn.locked())
    futures += [writers.start(hurry)]
    done = concurrent.futures.wait(futures, timeout=10).done
    queue._waiting.pop()
    writers.write(2)
    assert done == set(futures)
    assert writers.kept() == {0, 1, 2}


def test_what_is_read_and_nested_within_sees_those_before(writers: Writers) -> None:
    def look() -> None:
        assert writers.database.rows("SELECT n FROM number ORDER BY n") == [(0,), (1,)]
        with writers.database.snapshot(), writers.database.rehearsal():
            writers.add(7)
        with pytest.raises(Conflict), writers.database.savepoint():
            writers.add(0)

    with writers.held_up() as futures:
        futures += [writers.start(writers.write, 1, look)]
    for future in futures:
        future.result(30)
    assert writers.kept() == {0, 1}
    assert writers.commits() == 1


@pytest.mark.parametrize("longest", [60.0, commits._LONGEST, 0.0])
def test_what_many_write_at_random_is_there_or_was_refused(
    writers: Writers, monkeypatch: pytest.MonkeyPatch, longest: float
) -> None:
    monkeypatch.setattr(commits, "_LONGEST", longest)

    def write(seed: int) -> set[int]:
        random, done = Random(seed), set()
        for number in range(seed * 100, seed * 100 + 60):
            is_good = random.random() < 0.7
            with nullcontext() if is_good else pytest.raises(ZeroDivisionError):
                writers.write(number, nothing if is_good else fail)
            done |= {number} if is_good else set()
            assert done <= writers.kept()
        return done

    with ThreadPoolExecutor(WRITERS) as pool:
        done = list(pool.map(write, range(WRITERS)))
    assert writers.kept() == set().union(*done)


def test_a_thread_goes_on_with_its_own_connection(writers: Writers) -> None:
    def own() -> sqlite3.Connection:
        connection: sqlite3.Connection = writers.database.peewee.connection()
        return connection

    def write() -> None:
        before = own()
        writers.write(1, lambda: used.append(own()))
        assert own() is before
        assert used[0] is not before

    used: list[sqlite3.Connection] = []
    with writers.held_up() as futures:
        futures += [writers.start(write)]
    for future in futures:
        future.result(30)
