"""How is a PostgreSQL database dumped under load, and how do its tables come back?

pg_dump writes the dump, of the state that this session exports. What pg_restore makes of it runs in a transaction of
this session: only so can tables go that the dump has not, and the rows be counted before anything is kept.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scim_server.storage.backup.engine import BackupError, Contents, Engine, contents, filled
from scim_server.storage.backup.programs import dumping, scripting
from scim_server.storage.connections import told_apart
from scim_server.storage.database import Busy, Database, SqlError, Unavailable
from scim_server.storage.integrity.findings import Advance
from scim_server.storage.postgres import Postgres

_OTHERS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND application_name IN ('scim-server', current_setting('application_name')) LIMIT 1"
)
_LOOKS, _PAUSE = 20, 0.05
_WAIT = "5s"
_PAGE = 4096
_BLOCK = 64 * 1024
# What is for psql, and what servers before 17 do not know.
_UNWANTED = (b"\\", b"SET transaction_timeout ")
_END_OF_ROWS = b"\\.\n"


class PostgresEngine(Engine):
    """A dump is what pg_dump writes of all tables."""

    name = "postgresql"

    def __init__(self, database: Postgres) -> None:
        self._database = database

    @classmethod
    def of(cls, database: Database) -> "PostgresEngine":
        assert isinstance(database, Postgres)
        return cls(database)

    def size(self) -> int:
        """Return the number of tables."""
        return len(self._database.peewee.get_tables())

    def refuse(self, path: Path) -> None:
        """Refuse nothing: the database is no file."""

    def dump(self, to: Path, advance: Advance) -> Contents:
        """Let pg_dump write the tables, and pg_restore read them. Raises BackupError."""
        with self._database.unhurried(), self._database.snapshot():
            found = contents(self._database)
            ((snapshot, schema),) = self._database.rows("SELECT pg_export_snapshot(), quote_ident(current_schema())")
            tables = [f'--table={schema}."{name}"' for name in self._database.peewee.get_tables()]
            conninfo, secrets = self._database.for_programs()
            with dumping(to, [f"--snapshot={snapshot}", f"--dbname={conninfo}", *tables], secrets) as dumped:
                for _table in dumped:
                    advance(1)
        with to.open("rb") as file, scripting(file) as script:
            for _ in iter(lambda: script.read(_BLOCK), b""):
                """Until all of it was read."""
        return found

    def put(self, path: Path, rows: Mapping[str, int], advance: Advance, *, replaces: bool) -> None:
        """Drop all tables and make those of the dump, in one transaction. Raises BackupError."""
        self._database.check()
        with self._database.unhurried(), self._turn():
            tables = self._database.peewee.get_tables()
            if not replaces and self._database.row(filled(set(tables))) == (True,):
                raise BackupError(f"The database {self._database.name} has data; --force replaces it.")
            ((search_path,),) = self._database.rows("SHOW search_path")
            self._drop(tables)
            try:
                with path.open("rb", buffering=0) as file, scripting(file) as script:
                    self._run(script, _teller(file, advance))
                self._database.row("SELECT set_config('search_path', ?, true)", (search_path,))
                self._compare(rows)
            except SqlError as error:
                raise BackupError(f"{path} cannot be restored: {error}.") from None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._has_others():
            raise self._in_use()
        try:
            with self._database.transaction(waits=False):
                yield
        except Busy:
            raise self._in_use() from None

    def _has_others(self) -> bool:
        """Tell whether a server is connected, and stays: the session of one that ended is there for a moment."""
        for _ in range(_LOOKS):
            if not self._database.row(_OTHERS):
                return False
            time.sleep(_PAUSE)
        return True

    def _in_use(self) -> BackupError:
        name = self._database.name
        return BackupError(f"The database {name} is in use; stop all servers and whatever else has it open.")

    def _drop(self, tables: list[str]) -> None:
        # Whoever reads without being a server of ours has some seconds to end.
        self._database.run(f"SET LOCAL lock_timeout = '{_WAIT}'")
        try:
            if tables:
                self._database.run(f"DROP TABLE {', '.join(tables)}")
        except Unavailable:
            raise self._in_use() from None

    def _run(self, script: IO[bytes], tell: Callable[[], None]) -> None:
        """Run a script of statements and, after each COPY, rows."""
        connection = self._database.peewee.driver
        statements: list[bytes] = []
        with told_apart:
            for line in script:
                if line.startswith(b"COPY "):
                    connection.execute(b"".join(statements))
                    statements.clear()
                    with connection.cursor() as cursor, cursor.copy(line) as copy:
                        for block in _blocks(script):
                            copy.write(block)
                            tell()
                elif not line.startswith(_UNWANTED):
                    statements.append(line)
            connection.execute(b"".join(statements))

    def _compare(self, rows: Mapping[str, int]) -> None:
        """Count what was restored. Raises SqlError, or BackupError."""
        for table, number in rows.items():
            if self._database.row(f"SELECT count(*) FROM {table}") != (number,):
                raise BackupError(f"The table {table} has not the rows that were backed up; nothing was restored.")


def _blocks(script: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the rows up to their end, many at once."""
    rows, size = [], 0
    for row in script:
        if row == _END_OF_ROWS:
            break
        rows.append(row)
        size += len(row)
        if size >= _BLOCK:
            yield b"".join(rows)
            rows, size = [], 0
    yield b"".join(rows)


def _teller(file: IO[bytes], advance: Advance) -> Callable[[], None]:
    """Return what tells how far another process has read a file that it was given open: they share the position."""
    last = 0

    def tell() -> None:
        nonlocal last
        now = max(last, file.tell() // _PAGE)
        advance(now - last)
        last = now

    return tell
