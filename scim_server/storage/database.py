"""What does every database do? It is read, and written by one writer at a time.

SQL is written as SQLite understands it, with question marks; another database spells it in its own way.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import peewee
from playhouse.migrations import Runner

from scim_server.storage.keys import LAST_TYPE
from scim_server.storage.layout import Layout

Conflict = peewee.IntegrityError
Unavailable = peewee.OperationalError
TooLarge = peewee.DataError
"""What is asked for is larger than the database can say at once."""
SqlError = peewee.DatabaseError
"""Whatever the database itself refuses, those above included."""
Row = tuple[Any, ...]


class Damage(NamedTuple):
    """What is wrong with a table, or with its indexes only, and with which row."""

    table: str
    row: str
    message: str
    is_of_index: bool


_MIGRATIONS = Path(__file__).resolve().parent / "migrations"

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


refusals = _Refusals(peewee.EXCEPTIONS)  # type: ignore[attr-defined]


class _Undone(Exception):
    """What was written is not to be kept."""


class DatabaseError(Exception):
    """The database cannot be used as it is; the message says what to do."""


class Database(ABC):
    """A database: a connection per thread, opened at first use, so after a fork."""

    name: str
    """What messages call it."""
    directory: Path | None = None
    """Where its files are, if this server keeps them."""
    peewee: peewee.Database

    def __init__(self) -> None:
        self._claimed: set[str] = set()
        self._claiming = threading.Lock()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement and return all its rows."""
        with refusals:
            found: list[Row] = self.peewee.execute_sql(sql, parameters).fetchall()
        return found

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Run a statement and return its first row, if any."""
        cursor = self.peewee.execute_sql(sql, parameters)
        # What is read all the time is not to pay for a context that it needs when it fails.
        try:
            found: Row | None = cursor.fetchone()
        except Exception:
            with refusals:
                raise
        return found

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement and return the number of rows it changed."""
        changed: int = self.peewee.execute_sql(sql, parameters).rowcount
        return changed

    @abstractmethod
    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Run a statement and yield its rows as they are asked for; within a `snapshot` they are of one state."""

    @abstractmethod
    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""

    @abstractmethod
    def transaction(self, *, waits: bool = True) -> AbstractContextManager[None]:
        """Write atomically: all of the block is committed and on disk at its end, or nothing is.

        Writers of all threads and processes queue. Raises Busy when another one writes and this one does not wait.
        """

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads of the block see one state of the database."""

    @abstractmethod
    def rewrite(self) -> bool:
        """Write everything anew, without what is left of deleted rows, while writers wait.

        Return False when a reader kept that from being finished.
        """

    @contextmanager
    def waiting_in_files(self) -> Iterator[None]:
        """Keep what may be larger than the memory, a copy or what is sorted, in files; around a `transaction`."""
        yield

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Let what the block does take as long as it needs; around a `transaction` or a `snapshot`."""
        yield

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
    def claim(self, name: str) -> Iterator[bool]:
        """Hold a name, 64 hexadecimal digits, if no thread of any process holds it; tell whether.

        What a process holds ends with it, even if it is killed.
        """
        with self._claiming:
            is_ours = name not in self._claimed
            self._claimed.add(name)
        if not is_ours:
            yield False
            return
        try:
            with self._claim_of_process(int(name[:15], 16)) as is_held:
                yield is_held
        finally:
            self._claimed.discard(name)

    @abstractmethod
    def _claim_of_process(self, number: int) -> AbstractContextManager[bool]:
        """Hold a number of 60 bits, if no other process holds it; tell whether."""

    def close(self) -> None:
        """Close this thread's connection."""
        self.peewee.close()

    @abstractmethod
    def check(self) -> None:
        """Refuse a database that can never be used as it is. Raises DatabaseError."""

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether there is a database, prepared or empty."""

    def pending(self) -> list[str]:
        """Return the names of the migrations that were not applied yet."""
        return [step.name for step in self._runner().status() if not step.applied]

    def applied(self) -> list[str]:
        """Return the names of the applied migrations, none for an empty database."""
        if not self.exists():
            return []
        return [step.name for step in self._runner().status() if step.applied]

    def known(self) -> list[str]:
        """Return the names of all migrations of this release."""
        return [step.name for step in self._runner().migrations()]

    def upgrade(self) -> list[str]:
        """Apply the pending migrations, each in a transaction, and return their names."""
        applied: list[str] = self._runner().up()
        return applied

    def _runner(self) -> Runner:
        return Runner(self.peewee, str(_MIGRATIONS))

    @abstractmethod
    def damage(self) -> Iterator[Damage]:
        """Yield what is wrong with the database by its own account."""

    @abstractmethod
    def layout(self) -> dict[str, Layout]:
        """Return the tables and indexes by their names."""

    @abstractmethod
    def expected(self, made: Mapping[str, Layout]) -> Mapping[str, Layout]:
        """Return what the layout should be if the migrations make this one in SQLite."""

    @abstractmethod
    def rebuild_indexes(self) -> None:
        """Make all indexes anew, within the caller's transaction."""

    @abstractmethod
    def last_numbers(self) -> dict[str, int]:
        """Return the last number that was given to a row, of each table that never gives one twice."""

    @abstractmethod
    def continue_numbers(self, last: Mapping[str, int]) -> None:
        """Give further rows of tables numbers after the last ones, within the caller's transaction."""

    def type_numbers(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of each resource type, giving the next free one to a new name."""
        wanted = list(names)
        known = self._type_numbers()
        if not known.keys() >= set(wanted):
            with self.transaction():
                # A number that is asked for in vain may be lost, and there are few.
                new = [name for name in wanted if name not in self._type_numbers()]
                self.run_many("INSERT INTO resource_type (name) VALUES (?)", [(name,) for name in new])
            known = self._type_numbers()
        if max(known.values(), default=0) > LAST_TYPE:
            raise DatabaseError(f"A database holds at most {LAST_TYPE} resource types.")
        return known

    def _type_numbers(self) -> dict[str, int]:
        return dict(self.rows("SELECT name, number FROM resource_type"))


def first_of(error: SqlError) -> BaseException:
    """Return the failure that others followed from.

    With a full disk SQLite rolls back by itself, and then there is nothing left to roll back, which fails as well.
    """
    first: BaseException = error
    while first.__context__:
        first = first.__context__
    return first
