"""What must each kind of database do to be backed up and restored?"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scim_server.storage.database import Database, DatabaseError
from scim_server.storage.integrity.findings import Advance
from scim_server.storage.tables import TABLES, count

_DATA = ("audit", "resource", "token", "tombstone")
"""The tables that are empty after scim-server init."""


class BackupError(DatabaseError):
    """A backup cannot be made, or a file cannot be restored."""


class Contents(NamedTuple):
    """What a database has: its migrations, and the rows of each table."""

    migrations: list[str]
    rows: dict[str, int]


def contents(database: Database) -> Contents:
    """Return what is in one state of a database, within the caller's snapshot."""
    migrations = [name for (name,) in database.rows("SELECT name FROM schema_migration ORDER BY name")]
    return Contents(migrations, {table.name: count(database, table) for table in TABLES})


def filled(present: set[str]) -> str:
    """Return a query for whether there is data, in a database with some tables."""
    parts = [f"EXISTS (SELECT 1 FROM {table})" for table in _DATA if table in present]
    return f"SELECT {' OR '.join(parts or ['1 = 0'])}"


class Engine(ABC):
    """The part of backups that is a kind of database's own."""

    name: str
    """What manifests call it."""

    @abstractmethod
    def size(self) -> int:
        """Return how many steps a dump tells of when it advances."""

    @abstractmethod
    def refuse(self, path: Path) -> None:
        """Refuse the name of a file that no backup may have. Raises BackupError."""

    @abstractmethod
    def dump(self, to: Path, advance: Advance) -> Contents:
        """Write one state of the database to a file, look whether it can be read, and return what is in it.

        Raises BackupError.
        """

    @abstractmethod
    def put(self, path: Path, rows: Mapping[str, int], advance: Advance, *, replaces: bool) -> None:
        """Let the database be what a file holds after which a seal stands, all of it or nothing.

        Raises BackupError, also for a database with data unless it ``replaces`` it.
        """
