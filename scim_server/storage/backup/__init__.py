"""How is the database kept in a file while it is written to, and how does it come back?

A backup is the database as it was at one moment, in the form that its engine gives it, then one line that seals it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkstemp

from scim_server.storage.backup.engine import BackupError, Engine
from scim_server.storage.backup.seal import Manifest, read, seal
from scim_server.storage.backup.sqlite import SqliteEngine
from scim_server.storage.database import Database
from scim_server.storage.integrity.findings import Advance
from scim_server.storage.sqlite import Sqlite, sync_directory

__all__ = ["BackupError", "Manifest", "read", "restore", "size", "write"]


def size(database: Database) -> int:
    """Return how many steps writing a backup tells of when it advances; restoring tells of 4096 bytes each."""
    return _engine(database).size()


def write(
    database: Database,
    path: Path,
    about: Mapping[str, str],
    advance: Advance = lambda _: None,
    *,
    replaces: bool = False,
) -> Manifest:
    """Write a backup, which appears when it is complete; ``about`` has server, at and key of its manifest.

    Everything that was committed before is in it. Writers go on. Raises BackupError.
    """
    engine = _engine(database)
    engine.refuse(path)
    if path.exists() and not replaces:
        raise BackupError(f"{path} exists; choose another name, or --force to replace it.")
    descriptor, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    unfinished = Path(name)
    try:
        migrations, rows = engine.dump(unfinished, advance)
        manifest = Manifest(engine.name, about["server"], about["at"], about["key"], migrations, rows)
        seal(unfinished, manifest)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_directory(path.parent)
    return manifest


def restore(database: Database, path: Path, advance: Advance = lambda _: None, *, replaces: bool = False) -> Manifest:
    """Put a backup in the place of a database, which is the old one or the new one even after a crash.

    Raises BackupError for what is no whole backup of this or an earlier release, for a database with data unless it
    ``replaces`` it, and for one that another process has open.
    """
    engine, manifest = _engine(database), read(path)
    if manifest.engine != engine.name:
        raise BackupError(
            f"{path} is a backup of {manifest.engine}, not of {engine.name}: restore it into a database of"
            " its own, and move that with scim-server db copy."
        )
    if unknown := sorted(set(manifest.migrations) - set(database.known())):
        raise BackupError(
            f"{path} was made by scim-server {manifest.server}, which is newer: it has {', '.join(unknown)}."
        )
    engine.put(path, manifest.rows, advance, replaces=replaces)
    return manifest


def _engine(database: Database) -> Engine:
    if isinstance(database, Sqlite):
        return SqliteEngine(database)
    # Its driver is an extra, which is there if such a database was opened.
    from scim_server.storage.backup.postgres import PostgresEngine  # noqa: PLC0415

    return PostgresEngine.of(database)
