"""How is a PostgreSQL database read by many and written by one at a time?"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scim_server.storage.connections import Connections, told_apart
from scim_server.storage.database import Busy, Damage, Database, DatabaseError, Row, SqlError, Unavailable
from scim_server.storage.layout import INDEXES_OF_POSTGRES, PARTS_OF_POSTGRES, Layout, for_postgres, of_postgres
from scim_server.storage.spelling import spelled

_OLDEST = 15
# Advisory locks of two numbers: a claim, which is one number, is never the same.
_WRITER, _UPGRADE = "1935894893, 1", "1935894893, 2"
_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FETCHED_AT_ONCE = 1000
_NUMBERED = ("erasure", "outbox")
"""Tables that never give a number twice."""
_LOOKS, _PAUSE = 100, 0.1
_CONNECTION = {
    "application_name": "scim-server",
    "client_encoding": "UTF8",
    # Nobody waits for ever: neither for a server that is away, nor for one that does not answer any more.
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
_SESSION = {
    "lock_timeout": "20s",
    "statement_timeout": "60s",
    # A node that stands still within a transaction must not keep the others from writing.
    "idle_in_transaction_session_timeout": "30s",
    # Statements are short and many: to compile them costs more than it saves.
    "jit": "off",
    # The parts of a page stand in the order in which they were asked for.
    "max_parallel_workers_per_gather": "0",
}
_TIMEOUTS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
_SECRETS = {"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"}
# With less, a change that was answered could be lost; not even the URL may ask for that.
_DURABLE = "-c synchronous_commit=on"


class Postgres(Database):
    """A database of a PostgreSQL server. The connections of the threads of all processes are its pool."""

    peewee: Connections

    def __init__(self, url: str) -> None:
        super().__init__()
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:
            raise DatabaseError("The database URL cannot be read; special characters are written as %XX.") from None
        self._given = {**_CONNECTION, **given}
        session = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
        options = f"{session} {given.get('options', '')} {_DURABLE}"
        self.name = f"{given['dbname']} on {given.get('host', 'this machine')}"
        self.peewee = Connections({**self._given, "options": options})
        self._cursors = count()

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Run a statement and yield its rows as they are asked for; within a `snapshot` they are of one state."""
        if not self.peewee.in_transaction():
            yield from self.rows(sql, parameters)
            return
        # A cursor that is not read to its end closes with its transaction.
        name = f"each_{next(self._cursors)}"
        self.peewee.execute_sql(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", parameters)
        found = [()] * _FETCHED_AT_ONCE
        while len(found) == _FETCHED_AT_ONCE:
            found = self.rows(f"FETCH {_FETCHED_AT_ONCE} FROM {name}")
            yield from found
        self.run(f"CLOSE {name}")

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        with told_apart:
            self.peewee.cursor().executemany(spelled(sql), rows)

    @contextmanager
    def transaction(self, *, waits: bool = True) -> Iterator[None]:
        """Write atomically: all of the block is committed and on disk at its end, or nothing is.

        Writers of all threads, processes and nodes queue at an advisory lock of the database, which is fair. It is
        taken before the first statement, so what the block reads is what the writer before it has left.
        Raises Busy when another one writes and this one does not wait.
        """
        with self.peewee.atomic(_BEGIN_WRITING):
            if waits:
                self.row(f"SELECT pg_advisory_xact_lock({_WRITER})")
            elif self.row(f"SELECT pg_try_advisory_xact_lock({_WRITER})") != (True,):
                raise Busy
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of the block see one state of the database."""
        with self.peewee.atomic(_BEGIN_READING):
            yield

    def rewrite(self) -> bool:
        """Write all tables anew, without what is left in them of deleted rows.

        Writers wait, and so do readers of the table at hand. Return False when an old snapshot still shows such rows.
        """
        with self.unhurried():
            self.row(f"SELECT pg_advisory_lock({_WRITER})")
            if not self._is_past(self.row("SELECT clock_timestamp()") or ()):
                return False
            # One after another, so that no reader waits for all of them.
            for table in self.peewee.get_tables():
                self.run(f"VACUUM (FULL) {table}")
            return True

    def _is_past(self, instant: Row) -> bool:
        """Wait for the end of what began to read before an instant; tell whether it ended in time."""
        sql = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_xmin IS NOT NULL AND xact_start < ? LIMIT 1"
        )
        for _ in range(_LOOKS):
            if self.row(sql, instant) is None:
                return True
            time.sleep(_PAUSE)
        return False

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Let what the block does take as long as it needs; around a `transaction` or a `snapshot`.

        The connection is closed at its end.
        """
        try:
            for timeout in _TIMEOUTS:
                self.run(f"SET {timeout} = 0")
            yield
        finally:
            # The settings, and the locks of the block, end with the connection.
            self.close()

    def for_programs(self) -> tuple[str, dict[str, str]]:
        """Return what tells PostgreSQL's own programs where to connect, and the environment that they need for it.

        Everybody on the machine can see the first; no secret is in it.
        """
        shown = {name: value for name, value in self._given.items() if name not in _SECRETS}
        password = self._given.get("password")
        return make_conninfo("", **shown), {"PGPASSWORD": str(password)} if password else {}

    @contextmanager
    def _claim_of_process(self, number: int) -> Iterator[bool]:
        if self.row("SELECT pg_try_advisory_lock(?)", (number,)) != (True,):
            yield False
            return
        self.peewee.held.claims += 1
        try:
            yield True
        finally:
            self.peewee.held.claims -= 1
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        try:
            self.row("SELECT pg_advisory_unlock(?)", (number,))
        except Unavailable:
            # What a connection holds ends with it.
            with suppress(SqlError):
                self.close()

    def exists(self) -> bool:
        """Tell whether there is a database, prepared or empty."""
        self.row("SELECT 1")
        return True

    def check(self) -> None:
        """Refuse a database that can never be used as it is. Raises DatabaseError."""
        (version,), (encoding,) = self.rows("SHOW server_version_num"), self.rows("SHOW server_encoding")
        if int(version[0]) // 10_000 < _OLDEST:
            raise DatabaseError(f"PostgreSQL {int(version[0]) // 10_000} is too old; {_OLDEST} or later is needed.")
        if encoding != ("UTF8",):
            raise DatabaseError(
                f"The database {self.name} has the encoding {encoding[0]}; create it with"
                " ENCODING 'UTF8' TEMPLATE template0."
            )

    def damage(self) -> Iterator[Damage]:
        """Yield what is wrong with the database by its own account.

        Foreign keys, which are in the layout, it keeps itself.
        """
        for (index,) in self.rows("SELECT CAST(indexrelid AS regclass) FROM pg_index WHERE NOT indisvalid"):
            yield Damage("The database", "", f"the index {index} is not valid", is_of_index=True)

    def layout(self) -> dict[str, Layout]:
        """Return the tables and indexes by their names."""
        return of_postgres(self.rows(INDEXES_OF_POSTGRES), self.rows(PARTS_OF_POSTGRES))

    def expected(self, made: Mapping[str, Layout]) -> Mapping[str, Layout]:
        """Return what the layout should be if the migrations make this one in SQLite."""
        return for_postgres(made)

    def rebuild_indexes(self) -> None:
        """Make all indexes anew, within the caller's transaction."""
        for table in self.peewee.get_tables():
            self.run(f"REINDEX TABLE {table}")

    def last_numbers(self) -> dict[str, int]:
        """Return the last number that was given to a row, of each table that never gives one twice."""
        return {table: self._last_number(table) for table in _NUMBERED}

    def _last_number(self, table: str) -> int:
        ((sequence,),) = self.rows(f"SELECT pg_get_serial_sequence('{table}', 'number')")
        ((last, is_used),) = self.rows(f"SELECT last_value, is_called FROM {sequence}")
        return int(last) if is_used else 0

    def continue_numbers(self, last: Mapping[str, int]) -> None:
        """Give further rows of tables numbers after the last ones, within the caller's transaction."""
        sql = "SELECT table_name FROM information_schema.columns WHERE table_schema = current_schema()"
        for (table,) in self.rows(f"{sql} AND is_identity = 'YES'"):
            # Numbers that came with copied rows were not given by the sequence.
            ((most,),) = self.rows(f"SELECT coalesce(max(number), 0) FROM {table}")
            number = max(most, last.get(table, 0))
            if number:
                self.row(f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), ?)", (number,))

    def upgrade(self) -> list[str]:
        """Apply the pending migrations, each in a transaction, and return their names.

        Of several nodes, one does; the others wait for it.
        """
        self.check()
        with self.unhurried():
            self.row(f"SELECT pg_advisory_lock({_UPGRADE})")
            return super().upgrade()
