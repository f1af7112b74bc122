"""Is the database sound by its own account, and has it the tables and indexes that the migrations make?"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from scim_server.storage.database import Database
from scim_server.storage.integrity.findings import Advance, Finding, KindOf, broken, stale
from scim_server.storage.layout import Layout
from scim_server.storage.sqlite import Sqlite


def check(database: Database, _kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield what the database finds itself."""
    for damage in database.damage():
        found = stale if damage.is_of_index else broken
        yield found(damage.table, damage.row, damage.message)


def check_schema(database: Database, _kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield the tables and indexes that are missing, or not as the migrations make them."""
    for name, made in lacking(database).items():
        found = stale if made.kind == "index" else broken
        yield found("The database", "", f"the {made.kind} {name} is missing, or not as the migrations make it")


def lacking(database: Database) -> Mapping[str, Layout]:
    """Return the tables and indexes that are missing or different, as they should be."""
    kept = database.layout()
    return {name: made for name, made in database.expected(_prepared_layout()).items() if kept.get(name) != made}


@cache
def _prepared_layout() -> Mapping[str, Layout]:
    """Return what the migrations make, as SQLite has it."""
    with TemporaryDirectory() as directory, closing(Sqlite(f"sqlite:///{Path(directory, 'scim.db')}")) as fresh:
        fresh.upgrade()
        return fresh.layout()
