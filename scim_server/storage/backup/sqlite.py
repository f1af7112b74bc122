"""How is an SQLite file copied under load, and how are its pages replaced?"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from scim_server.storage.backup.engine import BackupError, Contents, Engine, contents, filled
from scim_server.storage.database import Busy, SqlError
from scim_server.storage.integrity.findings import Advance
from scim_server.storage.sqlite import Sqlite, create_private, sync_directory

_PAGES = 1000
_DAMAGED = "The database is damaged; scim-server check --data says more."


class SqliteEngine(Engine):
    """A dump is the file as SQLite's backup interface copies it."""

    name = "sqlite"

    def __init__(self, database: Sqlite) -> None:
        self._database = database

    def size(self) -> int:
        """Return the number of pages."""
        found = self._database.row("PRAGMA page_count")
        return int(found[0]) if found else 0

    def refuse(self, path: Path) -> None:
        """Refuse the file that is the database. Raises BackupError."""
        if path.resolve() == self._database.path.resolve():
            raise BackupError(f"{path} is the database itself; choose another name.")

    def dump(self, to: Path, advance: Advance) -> Contents:
        """Copy the pages and check the copy. Raises BackupError."""
        # In the snapshot the copy is of one state, and what writers do meanwhile does not make it start again.
        with self._database.snapshot(), closing(_opened(to, "vfs=unix-none")) as target:
            try:
                found = contents(self._database)
            except SqlError:
                raise BackupError(_DAMAGED) from None
            target.execute("PRAGMA journal_mode = off")
            target.execute("PRAGMA synchronous = off")
            _copy_pages(self._database.peewee.connection(), target, advance)
        with closing(_opened(to, "mode=ro", "immutable=1")) as made:
            _check(made, _DAMAGED)
        return found

    def put(self, path: Path, rows: Mapping[str, int], advance: Advance, *, replaces: bool) -> None:
        """Replace the pages, in one transaction of SQLite's. Raises BackupError."""
        place = self._database.path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private(place)
        with closing(_opened(path, "mode=ro", "immutable=1")) as source, self._turn():
            _check(source, f"{path} is damaged.")
            _put(place, source, advance, replaces=replaces)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            with self._database.writing(waits=False):
                yield
        except Busy:
            raise _in_use(self._database.path) from None


def _copy_pages(source: sqlite3.Connection, target: sqlite3.Connection, advance: Advance) -> None:
    left = 0

    def step(_status: int, remaining: int, total: int) -> None:
        nonlocal left
        advance((left or total) - remaining)
        left = remaining

    source.backup(target, pages=_PAGES, progress=step)


def _in_use(path: Path) -> BackupError:
    return BackupError(f"The database {path} is in use; stop the server and whatever else has it open.")


def _put(path: Path, source: sqlite3.Connection, advance: Advance, *, replaces: bool) -> None:
    with closing(_opened(path)) as target:
        # Whoever has the database open holds a lock that this mode does not share; nobody can open it from here on.
        target.execute("PRAGMA locking_mode = exclusive")
        try:
            has_data = _has_data(target)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise _in_use(path) from None
            has_data = None
        except sqlite3.DatabaseError:
            has_data = None
        if has_data is not False and not replaces:
            raise BackupError(f"The database {path} has data, or cannot be read; --force replaces it.")
        if has_data is not None:
            target.execute("PRAGMA synchronous = full")
            # One transaction of SQLite's: whoever else opens the file sees the old pages or the new ones.
            _copy_pages(source, target, advance)
            return
    _replace(path, source, advance)


def _has_data(target: sqlite3.Connection) -> bool:
    present = {name for (name,) in target.execute("SELECT name FROM sqlite_master")}
    return bool(target.execute(filled(present)).fetchone()[0])


def _replace(path: Path, source: sqlite3.Connection, advance: Advance) -> None:
    """Put a new file in the place of one that is no database."""
    new = path.with_name(f"{path.name}.restoring")
    new.unlink(missing_ok=True)
    with closing(_opened(new)) as target:
        new.chmod(0o600)
        _copy_pages(source, target, advance)
    # A log of the old file must never be applied to the new one.
    for ending in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    new.replace(path)
    sync_directory(path.parent)


def _check(connection: sqlite3.Connection, problem: str) -> None:
    with suppress(sqlite3.DatabaseError):
        if connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
            return
    raise BackupError(problem)


def _opened(path: Path, *options: str) -> sqlite3.Connection:
    query = "&".join(options)
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?{query}", uri=True, isolation_level=None, timeout=0)
