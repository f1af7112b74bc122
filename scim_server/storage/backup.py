"""How is the database kept in a file while it is written to, and how does it come back?

A backup is the SQLite database as it was at one moment, then one line: what it is, and a hash of everything before the
hash. A file without that line is no backup, or half of one.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any
from urllib.parse import quote

from scim_server.storage.database import Busy, DatabaseError, SqlError
from scim_server.storage.integrity.findings import Advance
from scim_server.storage.sqlite import Sqlite, create_private
from scim_server.storage.tables import TABLES, count

_MARK = b"\nscim-server backup "
_LONGEST_MARK = 64 * 1024
_PIECE = 1024 * 1024
_PAGES = 1000
_ENGINE = "sqlite"
_DAMAGED = "The database is damaged; scim-server check --data says more."
_DATA = {"resource", "token", "tombstone", "audit"}
"""The tables that are empty after scim-server init."""


class BackupError(DatabaseError):
    """A backup cannot be made, or a file cannot be restored."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is: the database's engine, the server that made it, when, its migrations, the rows of each table.

    ``key`` tells server keys apart without telling anything of them.
    """

    engine: str
    server: str
    at: str
    key: str
    migrations: list[str]
    rows: dict[str, int]


def write(
    database: Sqlite, path: Path, about: dict[str, str], advance: Advance = lambda _: None, *, replaces: bool = False
) -> Manifest:
    """Write a backup, which appears when it is complete; ``about`` has server, at and key of its manifest.

    Everything that was committed before is in it. Writers go on. Raises BackupError.
    """
    if path.resolve() == database.path.resolve():
        raise BackupError(f"{path} is the database itself; choose another name.")
    if path.exists() and not replaces:
        raise BackupError(f"{path} exists; choose another name, or --force to replace it.")
    descriptor, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    unfinished = Path(name)
    try:
        manifest = _copy(database, unfinished, about, advance)
        with closing(_opened(unfinished, "mode=ro", "immutable=1")) as made:
            _check(made, _DAMAGED)
        _seal(unfinished, manifest)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync(path.parent)
    return manifest


def _copy(database: Sqlite, to: Path, about: dict[str, str], advance: Advance) -> Manifest:
    # In the snapshot the copy is of one state, and what writers do meanwhile does not make it start again.
    with database.snapshot(), closing(_opened(to, "vfs=unix-none")) as target:
        try:
            rows = {table.name: count(database, table) for table in TABLES}
            migrations = [name for (name,) in database.rows("SELECT name FROM schema_migration ORDER BY name")]
        except SqlError:
            raise BackupError(_DAMAGED) from None
        target.execute("PRAGMA journal_mode = off")
        target.execute("PRAGMA synchronous = off")
        _copy_pages(database.peewee.connection(), target, advance)
    return Manifest(_ENGINE, about["server"], about["at"], about["key"], migrations, rows)


def _copy_pages(source: sqlite3.Connection, target: sqlite3.Connection, advance: Advance) -> None:
    left = 0

    def step(_status: int, remaining: int, total: int) -> None:
        nonlocal left
        advance((left or total) - remaining)
        left = remaining

    source.backup(target, pages=_PAGES, progress=step)


def _seal(path: Path, manifest: Manifest) -> None:
    """Add the line that makes a backup of a database, and let all of it be on the disk."""
    line = _MARK + json.dumps(asdict(manifest)).encode() + b" "
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size)
        digest.update(line)
        file.write(line + digest.hexdigest().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _digest(file: IO[bytes], size: int) -> Any:
    """Return a hash of the next bytes of a file."""
    digest = hashlib.sha256()
    while size and (piece := file.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> Manifest:
    """Return what a whole backup is. Raises BackupError for half ones, damaged ones and other files."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_MARK))
        end = file.read()
        at = end.rfind(_MARK)
        if at < 0:
            raise BackupError(f"{path} is no backup, or only half of one.")
        text, _, sealed = end[at:].rpartition(b" ")
        file.seek(0)
        digest = _digest(file, size - len(end) + at + len(text) + 1)
        if sealed != digest.hexdigest().encode() + b"\n":
            raise BackupError(f"{path} is damaged, or only half of a backup.")
    return Manifest(**json.loads(text.removeprefix(_MARK)))


def restore(database: Sqlite, path: Path, advance: Advance = lambda _: None, *, replaces: bool = False) -> Manifest:
    """Put a backup in the place of a database, which is the old one or the new one even after a crash.

    Raises BackupError for what is no whole backup of this or an earlier release, for a database with data unless it
    ``replaces`` it, and for one that another process has open.
    """
    manifest = read(path)
    if manifest.engine != _ENGINE:
        raise BackupError(f"{path} is a backup of {manifest.engine}, not of {_ENGINE}.")
    if unknown := sorted(set(manifest.migrations) - set(database.known())):
        raise BackupError(
            f"{path} was made by scim-server {manifest.server}, which is newer: it has {', '.join(unknown)}."
        )
    database.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_private(database.path)
    with closing(_opened(path, "mode=ro", "immutable=1")) as source, _turn(database):
        _check(source, f"{path} is damaged.")
        _put(database.path, source, advance, replaces=replaces)
    return manifest


@contextmanager
def _turn(database: Sqlite) -> Iterator[None]:
    try:
        with database.writing(waits=False):
            yield
    except Busy:
        raise _in_use(database.path) from None


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
    return any(target.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in sorted(_DATA & present))


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
    _sync(path.parent)


def _check(connection: sqlite3.Connection, problem: str) -> None:
    with suppress(sqlite3.DatabaseError):
        if connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
            return
    raise BackupError(problem)


def _opened(path: Path, *options: str) -> sqlite3.Connection:
    query = "&".join(options)
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?{query}", uri=True, isolation_level=None, timeout=0)
