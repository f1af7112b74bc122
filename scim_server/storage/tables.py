"""Which tables are there, and how are all rows of one read?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scim_server.storage.database import Database, Row, SqlError

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is not derived from others: its primary key, and its columns that hold instants."""

    name: str
    key: tuple[str, ...]
    instants: tuple[str, ...] = ()


RESOURCE = Table("resource", ("key",), ("created", "modified"))
UNIQUE_KEY = Table("unique_key", ("scope", "attribute", "digest"))
TOMBSTONE = Table("tombstone", ("key",), ("created", "modified", "deleted"))
TABLES = (
    Table("tenant", ("number",), ("created",)),
    Table("resource_type", ("number",)),
    Table("token", ("id",), ("created", "expires", "revoked", "last_used")),
    Table("habit", ("token", "name"), ("last_used",)),
    Table("collection", ("scope",)),
    RESOURCE,
    Table("body", ("key",)),
    Table("value", ("resource", "attribute", "element")),
    UNIQUE_KEY,
    Table("reference", ("source", "attribute", "target")),
    Table("password", ("resource",)),
    TOMBSTONE,
    Table("lost_reference", ("source", "attribute", "target")),
    Table("erasure", ("number",), ("at",)),
    Table("answer", ("name",), ("at",)),
    Table("outbox", ("number",), ("created", "next_at")),
    Table("audit", ("number",), ("at",)),
)
"""Every table with rows of its own, a table after those that it refers to; migrations and the full-text index aside."""


def batches(database: Database, table: Table, columns: Sequence[str], size: int = _AT_ONCE) -> Iterator[list[Row]]:
    """Yield all rows, some at a time, in the order of their primary key, which stands before the columns.

    Raises SqlError if a damaged table has them in another order, in which there may be no end.
    """
    key = ", ".join(table.key)
    read = f"SELECT {', '.join([*table.key, *columns])} FROM {table.name}"
    beyond = f" WHERE ({key}) > ({', '.join('?' * len(table.key))})"
    last: Row = ()
    while rows := database.rows(f"{read}{beyond if last else ''} ORDER BY {key} LIMIT ?", (*last, size)):
        last = following(table.name, last, rows[-1][: len(table.key)])
        yield rows


def following(table: str, before: Row, last: Row) -> Row:
    """Return the last key that was read of a table; one that does not come after the last before it leads nowhere.

    Raises SqlError.
    """
    if not before < last:
        raise SqlError(f"the rows of {table} are not in the order of their keys")
    return last


def count(database: Database, table: Table) -> int:
    found = database.row(f"SELECT count(*) FROM {table.name}")
    return int(found[0]) if found else 0
