"""How do statements reach PostgreSQL? Over a connection of each thread, which is replaced when it is lost."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from peewee import PostgresqlDatabase
from psycopg.adapt import AdaptersMap
from psycopg.errors import IdleInTransactionSessionTimeout, ProgramLimitExceeded, ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from scim_server.storage.database import Conflict, SqlError, TooLarge, Unavailable
from scim_server.storage.spelling import is_definition, spelled

_T = TypeVar("_T")

# Whatever its size, a number is one type: a statement is prepared once.
_ADAPTERS = AdaptersMap(psycopg.adapters)
_ADAPTERS.register_dumper(int, Int8Dumper)
_ADAPTERS.register_dumper(int, Int8BinaryDumper)


class _ToldApart:
    """Raises what the driver raises as what it means here, without the values that the driver may quote."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, psycopg.Error):
            raise _meaning(error)(error.diag.message_primary or str(error)) from None


def _meaning(error: psycopg.Error) -> type[Exception]:
    if isinstance(error, psycopg.IntegrityError):
        return Conflict
    if isinstance(error, ProgramLimitExceeded):
        return TooLarge
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return Unavailable
    # The first ends the connection; the second is what a server says that has become a standby.
    if isinstance(error, (IdleInTransactionSessionTimeout, ReadOnlySqlTransaction)):
        return Unavailable
    return SqlError


told_apart = _ToldApart()


class _Held(threading.local):
    """How many claims this thread's connection holds."""

    claims = 0


class Connections(PostgresqlDatabase):
    """peewee's view of the database: SQL with question marks, a connection per thread that replaces a lost one."""

    param = "?"

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(str(parameters["dbname"]), prefer_psycopg3=True)
        self._parameters = parameters
        self.held = _Held()

    def _connect(self) -> Any:
        with told_apart:
            return psycopg.connect(**self._parameters, autocommit=True, context=_ADAPTERS)

    def cursor(self, named_cursor: Any = None) -> Any:
        """Return a cursor of this thread's connection; outside a transaction, of a new one if it was lost."""
        if not self.is_closed() and not self.in_transaction() and not self._is_idle():
            if self.held.claims:
                # What is held ended with the connection that held it.
                raise Unavailable("the connection was lost")
            self.close()
        return self.driver.cursor(binary=True)

    @property
    def driver(self) -> Any:
        """Return this thread's connection, as the driver has it."""
        return self.connection()  # type: ignore[no-untyped-call]

    def _is_idle(self) -> bool:
        status: TransactionStatus = self.driver.info.transaction_status
        return status == TransactionStatus.IDLE

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        """Run a statement, spelled as SQLite understands it."""
        text = spelled(sql)
        if is_definition(sql):
            with told_apart:
                # In text and without parameters, a statement may be several.
                self.cursor().close()
                return self.driver.execute(text, prepare=False)
        with told_apart:
            try:
                return self._run(sql, text, params or ())
            except psycopg.DataError:
                # Nothing stored has control characters, so that U+0001 compares with it as U+0000 does.
                cleaned = [p.replace("\0", "\1") if isinstance(p, str) else p for p in params or ()]
                if cleaned == list(params or ()):
                    raise
                return self._run(sql, text, cleaned)

    def _run(self, sql: str, text: str, params: Sequence[Any]) -> Any:
        # A plan for any text in any tenant would not use the index of grams.
        prepare = False if "@>" in text else None
        if self.in_transaction() or not sql.startswith(("SELECT", "WITH")):
            return self.cursor().execute(text, params, prepare=prepare)
        return self._again_if_lost(lambda: self.cursor().execute(text, params, prepare=prepare))

    def _again_if_lost(self, call: Callable[[], _T]) -> _T:
        """Do what begins the use of a connection once more, if the connection turns out to be lost."""
        try:
            return call()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if self.held.claims or self.is_closed() or not self.driver.closed:
                raise
        return call()

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction by a statement."""
        with told_apart:
            self._again_if_lost(lambda: self.cursor().execute(isolation_level or "BEGIN"))

    def commit(self) -> None:
        """Commit the transaction. Raises Unavailable when it was undone instead."""
        with told_apart:
            done = self.driver.execute("COMMIT")
        if done.statusmessage != "COMMIT":
            raise Unavailable("a statement had failed, so the transaction was undone")

    def rollback(self) -> None:
        """Undo the transaction; with a connection that is lost it is undone already."""
        connection = self.driver
        if connection.closed:
            return
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()

    def get_tables(self, schema: str | None = None) -> list[str]:
        """Return the names of all tables."""
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
        return [name for (name,) in self.execute_sql(sql)]
