"""How is an SQLite file read by many and written by one at a time?"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from scim_server.storage.commits import Commits, File
from scim_server.storage.database import Busy, Damage, Database, DatabaseError, Row, Unavailable, refusals
from scim_server.storage.layout import OBJECTS_OF_SQLITE, PARTS_OF_SQLITE, Layout, of_sqlite
from scim_server.storage.locks import LockFile

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
_OLDEST = (3, 35, 0)
_OF_INDEXES = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


class Sqlite(Database):
    """One SQLite file."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.path = path_in(url)
        self.name = str(self.path)
        self.directory = self.path.parent
        if sqlite3.sqlite_version_info < _OLDEST:
            raise DatabaseError(f"SQLite {sqlite3.sqlite_version} is too old; 3.35 or later is needed.")
        self.peewee = self._file()
        self._commits = Commits(self.peewee, LockFile(Path(f"{self.path}.lock")))
        self._claims = LockFile(Path(f"{self.path}.claims"))

    def _file(self) -> File:
        # Threads that go on with a connection wait for one another.
        return File(self.name, pragmas=PRAGMAS, check_same_thread=False)

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Run a statement and yield its rows as they are asked for; within a `snapshot` they are of one state."""
        with refusals:
            yield from self.peewee.execute_sql(sql, parameters)

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        with refusals:
            self.peewee.connection().executemany(sql, rows)

    @contextmanager
    def transaction(self, *, waits: bool = True) -> Iterator[None]:
        """Write atomically: all of the block is committed and on disk at its end, or nothing is.

        Writers of all threads and processes queue, and threads that wait for one another may share a commit.
        Raises Busy when another one writes and this one does not wait.
        """
        try:
            with self._commits.transaction(waits=waits):
                yield
        except Busy:
            raise
        except Unavailable:
            # A connection that was opened while the file could not be written would never write.
            self.close()
            raise

    def writing(self, *, waits: bool = True) -> AbstractContextManager[None]:
        """Let no other thread or process write. Raises Busy as `transaction` does."""
        return self._commits.alone(waits=waits)

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
    def snapshot(self) -> Iterator[None]:
        """Let all reads of the block see one state of the database."""
        with self.peewee.atomic("DEFERRED"):
            yield

    def _claim_of_process(self, number: int) -> AbstractContextManager[bool]:
        return self._claims.byte(number)

    def check(self) -> None:
        """Refuse a database that can never be used as it is. Raises DatabaseError."""
        for path in (self.path.parent, self.path):
            # Where nothing can be written, SQLite says no more than that it cannot open the file.
            if path.exists() and not os.access(path, os.W_OK):
                raise DatabaseError(f"{path} cannot be written to; the server needs the database and its directory.")

    def exists(self) -> bool:
        """Tell whether there is a database, prepared or empty."""
        return self.path.exists()

    def damage(self) -> Iterator[Damage]:
        """Yield what is wrong with the database by its own account."""
        for (message,) in self.each("PRAGMA integrity_check"):
            if message != "ok":
                yield Damage("The file", "", message, any(words in message for words in _OF_INDEXES))
        for table, row, parent, _ in self.each("PRAGMA foreign_key_check"):
            yield Damage(table, str(row or ""), f"it belongs to no {parent}", is_of_index=False)

    def layout(self) -> dict[str, Layout]:
        """Return the tables and indexes by their names."""
        return of_sqlite(self.rows(OBJECTS_OF_SQLITE), self.rows(PARTS_OF_SQLITE))

    def expected(self, made: Mapping[str, Layout]) -> Mapping[str, Layout]:
        """Return what the layout should be if the migrations make this one in SQLite."""
        return made

    def rebuild_indexes(self) -> None:
        """Make all indexes anew, within the caller's transaction."""
        self.run("REINDEX")

    def last_numbers(self) -> dict[str, int]:
        """Return the last number that was given to a row, of each table that never gives one twice."""
        return dict(self.rows("SELECT name, seq FROM sqlite_sequence"))

    def continue_numbers(self, last: Mapping[str, int]) -> None:
        """Give further rows of tables numbers after the last ones, within the caller's transaction."""
        self.run_many("DELETE FROM sqlite_sequence WHERE name = ?", [(name,) for name in last])
        self.run_many("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", last.items())

    def upgrade(self) -> list[str]:
        """Apply the pending migrations, each in a transaction, and return their names."""
        create_private(self.path)
        return super().upgrade()


def path_in(url: str) -> Path:
    """Return the file of ``sqlite:////absolute`` or ``sqlite:///relative-to-cwd``.

    Raises DatabaseError for any other URL.
    """
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "?" in path or path == ":memory:":
        raise DatabaseError(
            "The database URL must be sqlite:////absolute/path, sqlite:///relative/path or"
            " postgresql://user@host/database."
        )
    return Path(path)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner may read, unless the file exists; its name is on the disk then."""
    os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Let the names in a directory be on the disk."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
