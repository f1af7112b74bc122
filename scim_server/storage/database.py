"""How is the database opened, read, and written by one writer at a time?"""

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import peewee
from peewee import SqliteDatabase
from playhouse.migrations import Runner

from scim_server.storage.keys import LAST_TYPE

Conflict = peewee.IntegrityError
Unavailable = peewee.OperationalError
SqlError = peewee.DatabaseError
"""Whatever the database itself refuses, the two above included."""
Row = tuple[Any, ...]

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
PRAGMAS = {
    "journal_mode": "wal",
    # FULL syncs at every commit: with NORMAL a power cut loses acknowledged writes.
    "synchronous": "full",
    "wal_autocheckpoint": 4000,
    "secure_delete": 0,
    "cache_size": -16_000,
    "temp_store": "memory",
    "busy_timeout": 10_000,
}
_OLDEST_SQLITE = (3, 35, 0)

# At level debug peewee logs the parameters of every statement: personal data.
logging.getLogger("peewee").setLevel(logging.WARNING)


class Busy(Unavailable):
    """Another transaction is writing, and this one does not wait."""


class _Refusals(peewee.ExceptionWrapper):
    """Turns the driver's errors into peewee's, as `execute_sql` does: fetching and many rows at once go past it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, peewee.PeeweeException):
            super().__exit__(kind, error, traceback)


_refusals = _Refusals(peewee.EXCEPTIONS)  # type: ignore[attr-defined]


class _Undone(Exception):
    """What was written is not to be kept."""


class DatabaseError(Exception):
    """The database cannot be used as it is; the message says what to do."""


class Database:
    """One SQLite file: a connection per thread, opened at first use, so after a fork."""

    def __init__(self, url: str) -> None:
        self.path = path_in(url)
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise DatabaseError(f"SQLite {sqlite3.sqlite_version} is too old; 3.35 or later is needed.")
        self.peewee = SqliteDatabase(str(self.path), pragmas=PRAGMAS)
        self._writer = threading.Lock()
        self._lock_files: dict[str, tuple[int, int]] = {}
        self._claimed: set[str] = set()
        self._claiming = threading.Lock()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement and return all its rows."""
        with _refusals:
            found: list[Row] = self.peewee.execute_sql(sql, parameters).fetchall()
        return found

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Run a statement and yield its rows as they are asked for; within a `snapshot` they are of one state."""
        with _refusals:
            yield from self.peewee.execute_sql(sql, parameters)

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Run a statement and return its first row, if any."""
        with _refusals:
            found: Row | None = self.peewee.execute_sql(sql, parameters).fetchone()
        return found

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement and return the number of rows it changed."""
        changed: int = self.peewee.execute_sql(sql, parameters).rowcount
        return changed

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        with _refusals:
            self.peewee.connection().executemany(sql, rows)

    @contextmanager
    def transaction(self, *, waits: bool = True) -> Iterator[None]:
        """Write atomically: all of the block is committed and on disk at its end, or nothing is.

        Writers of all threads and processes queue at a file lock, which is fair; SQLite's own busy
        handler is not. The lock is taken before BEGIN IMMEDIATE, so a transaction never fails as locked.
        Raises Busy when another one writes and this one does not wait.
        """
        with self.writing(waits=waits), self.peewee.atomic("IMMEDIATE"):
            yield

    @contextmanager
    def writing(self, *, waits: bool = True) -> Iterator[None]:
        """Let no other thread or process write. Raises Busy as `transaction` does."""
        if not self._writer.acquire(blocking=waits):
            raise Busy
        try:
            descriptor = self._lock_descriptor("lock")
            how = fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB
            if not _is_locked(lambda: fcntl.flock(descriptor, how)):
                raise Busy
            try:
                yield
            except Unavailable:
                # One that was opened while the file could not be written would never write.
                self.close()
                raise
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self._writer.release()

    def rewrite(self) -> bool:
        """Write the file anew, without what is left in it of deleted rows, and empty the write-ahead log.

        Readers go on, writers wait. Return False when a reader kept the log from being emptied.
        """
        with self.writing(), self.waiting_in_files():
            self.run("VACUUM")
            return self.row("PRAGMA wal_checkpoint(TRUNCATE)") == (0, 0, 0)

    @contextmanager
    def waiting_in_files(self) -> Iterator[None]:
        """Keep what may be larger than the memory, a copy or what is sorted, in files; around a `transaction`."""
        self.run("PRAGMA temp_store = file")
        try:
            yield
        finally:
            self.run(f"PRAGMA temp_store = {PRAGMAS['temp_store']}")

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Undo the block's writes at its end, whether it fails or not; within a `transaction` or as one."""
        within = self.savepoint() if self.peewee.in_transaction() else self.transaction()
        with suppress(_Undone), within:
            yield
            raise _Undone

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block's writes when it fails, and nothing before it; within a `transaction`."""
        with self.peewee.savepoint():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of the block see one state of the database."""
        with self.peewee.atomic("DEFERRED"):
            yield

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Hold a name, 64 hexadecimal digits, if no thread of any process holds it; tell whether.

        What a process holds ends with it, even if it is killed.
        """
        with self._claiming:
            descriptor = self._lock_descriptor("claims")
            is_ours = name not in self._claimed
            self._claimed.add(name)
        if not is_ours:
            yield False
            return
        try:
            # Of processes, each name is a byte of a file that can be locked, though it is not there.
            with _byte_lock(descriptor, int(name[:15], 16)) as is_locked:
                yield is_locked
        finally:
            self._claimed.discard(name)

    def _lock_descriptor(self, ending: str) -> int:
        # A descriptor inherited over fork shares its lock with the parent, so each process opens its own.
        process, descriptor = self._lock_files.get(ending, (0, 0))
        if process != os.getpid():
            path = self.path.with_name(f"{self.path.name}.{ending}")
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise Unavailable(f"{path}: {error.strerror}") from error
            self._lock_files[ending] = os.getpid(), descriptor
        return descriptor

    def close(self) -> None:
        """Close this thread's connection."""
        self.peewee.close()

    def pending(self) -> list[str]:
        """Return the names of the migrations that were not applied yet."""
        return [step.name for step in self._runner().status() if not step.applied]

    def applied(self) -> list[str]:
        """Return the names of the applied migrations, none for an empty database."""
        if not self.path.exists():
            return []
        return [step.name for step in self._runner().status() if step.applied]

    def known(self) -> list[str]:
        """Return the names of all migrations of this release."""
        return [step.name for step in self._runner().migrations()]

    def upgrade(self) -> list[str]:
        """Apply the pending migrations, each in a transaction, and return their names."""
        create_private(self.path)
        applied: list[str] = self._runner().up()
        return applied

    def _runner(self) -> Runner:
        return Runner(self.peewee, str(_MIGRATIONS))

    def last_numbers(self) -> dict[str, int]:
        """Return the last number that was given to a row, of each table that never gives one twice."""
        return dict(self.rows("SELECT name, seq FROM sqlite_sequence"))

    def continue_numbers(self, last: Mapping[str, int]) -> None:
        """Give further rows of tables numbers after the last ones, within the caller's transaction."""
        self.run_many("DELETE FROM sqlite_sequence WHERE name = ?", [(name,) for name in last])
        self.run_many("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", last.items())

    def type_numbers(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of each resource type, giving the next free one to a new name."""
        known: dict[str, int] = dict(self.rows("SELECT name, number FROM resource_type"))
        if new := [name for name in names if name not in known]:
            with self.transaction():
                self.run_many("INSERT INTO resource_type (name) VALUES (?) ON CONFLICT DO NOTHING", [(n,) for n in new])
            known = dict(self.rows("SELECT name, number FROM resource_type"))
        if max(known.values(), default=0) > LAST_TYPE:
            raise DatabaseError(f"A database holds at most {LAST_TYPE} resource types.")
        return known


@contextmanager
def _byte_lock(descriptor: int, offset: int) -> Iterator[bool]:
    """Lock one byte of a file, unless another process has; tell whether."""
    if not _is_locked(lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)):
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, offset)


def first_of(error: SqlError) -> BaseException:
    """Return the failure that others followed from.

    With a full disk SQLite rolls back by itself, and then there is nothing left to roll back, which fails as well.
    """
    first: BaseException = error
    while first.__context__:
        first = first.__context__
    return first


def _is_locked(lock: Callable[[], None]) -> bool:
    """Lock, unless another process has; tell whether. Raises Unavailable."""
    try:
        lock()
    except BlockingIOError:
        return False
    except OSError as error:
        raise Unavailable(f"a lock: {error.strerror}") from error
    return True


def open_prepared(url: str) -> Database:
    """Return the database, which must be initialised, up to date and open to writing. Raises DatabaseError."""
    database = Database(url)
    for path in (database.path.parent, database.path):
        # Where nothing can be written, SQLite says no more than that it cannot open the file.
        if path.exists() and not os.access(path, os.W_OK):
            raise DatabaseError(f"{path} cannot be written to; the server needs the database and its directory.")
    if not database.applied():
        raise DatabaseError(f"The database {database.path} is not initialised; run scim-server init.")
    if pending := database.pending():
        raise DatabaseError(f"The database {database.path} lacks {', '.join(pending)}; run scim-server db upgrade.")
    return database


def path_in(url: str) -> Path:
    """Return the file of ``sqlite:////absolute`` or ``sqlite:///relative-to-cwd``.

    Raises DatabaseError for any other URL.
    """
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "?" in path or path == ":memory:":
        raise DatabaseError("The database URL must be sqlite:////absolute/path or sqlite:///relative/path.")
    return Path(path)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner may read, unless the file exists; its name is on the disk then."""
    os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
