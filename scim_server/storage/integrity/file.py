"""Is the SQLite file sound, and has it the tables and indexes that the migrations make?"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from scim_server.storage.database import Database
from scim_server.storage.integrity.findings import Advance, Finding, KindOf, broken, stale

_OF_INDEXES = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


def check(database: Database, _kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield what SQLite finds itself."""
    for (message,) in database.each("PRAGMA integrity_check"):
        if message != "ok":
            found = stale if any(words in message for words in _OF_INDEXES) else broken
            yield found("The file", "", message)
    for table, row, parent, _ in database.each("PRAGMA foreign_key_check"):
        yield broken(table, str(row or ""), f"it belongs to no {parent}")


def check_schema(database: Database, _kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield the tables and indexes that are missing, or not as the migrations make them."""
    kept, made = schema(database), prepared_schema()
    for name, (kind, sql) in made.items():
        if kept.get(name) != (kind, sql):
            found = stale if kind == "index" else broken
            yield found("The file", "", f"the {kind} {name} is missing, or not as the migrations make it")


def schema(database: Database) -> dict[str, tuple[str, str]]:
    """Return what a database is made of: by name, whether it is a table or an index, and its SQL."""
    sql = (
        "SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'index')"
        # This table is peewee's.
        " AND tbl_name <> 'schema_migration'"
    )
    return {name: (kind, text) for name, kind, text in database.rows(sql)}


@cache
def prepared_schema() -> dict[str, tuple[str, str]]:
    """Return what the migrations make."""
    with TemporaryDirectory() as directory:
        fresh = Database(f"sqlite:///{Path(directory, 'scim.db')}")
        fresh.upgrade()
        try:
            return schema(fresh)
        finally:
            fresh.close()
