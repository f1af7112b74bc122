"""How does everything move from one database to another?

Rows are read and written table by table, in the order of their keys, by SQL that all databases know; the full-text
index is made anew. What was written is read again before it is kept, and must have the count and hash of what was read.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scim_server.storage import grams
from scim_server.storage.database import Database, DatabaseError, Row
from scim_server.storage.integrity.findings import Advance
from scim_server.storage.reindex import columns_of_all
from scim_server.storage.tables import RESOURCE, TABLES, Table, batches, count

_HASHES = 1 << 128


class CopyError(DatabaseError):
    """A database cannot be copied; the message says why."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was moved of a table: how many rows, and a hash of them all, whatever their order."""

    table: str
    count: int
    hash: str


def size(source: Database) -> int:
    """Return how many rows a copying tells of when it advances: each is read, and read again; resources are indexed."""
    return 2 * sum(count(source, table) for table in TABLES) + count(source, RESOURCE)


def copy(source: Database, target: Database, advance: Advance = lambda _: None) -> list[Copied]:
    """Move everything to an empty database, all of it or nothing; the source must be up to date.

    What is written to the source meanwhile is not moved. Raises CopyError.
    """
    target.upgrade()
    if target.applied() != source.applied():
        raise CopyError("The databases have not the same migrations; run scim-server db upgrade for both.")
    if filled := [table.name for table in TABLES if count(target, table)]:
        raise CopyError(f"The database to copy to is not empty; it has rows in {', '.join(filled)}.")
    with source.unhurried(), target.unhurried(), source.snapshot(), target.transaction():
        copied = [_copy(source, target, table, advance) for table in TABLES]
        target.continue_numbers(source.last_numbers())
        grams.rebuild(target, columns_of_all(target, advance))
        for table, read in zip(TABLES, copied, strict=True):
            if _summed(table, _told(batches(target, table, _columns(target, table)), advance)) != read:
                raise CopyError(f"The table {table.name} is not what was read; nothing was copied.")
    return copied


def _copy(source: Database, target: Database, table: Table, advance: Advance) -> Copied:
    columns = _columns(source, table)
    names = (*table.key, *columns)
    sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"

    def written() -> Iterator[list[Row]]:
        for rows in batches(source, table, columns):
            target.run_many(sql, rows)
            yield rows

    return _summed(table, _told(written(), advance))


def _columns(database: Database, table: Table) -> list[str]:
    """Return the names of the columns beside the key, in an order that all databases share."""
    described = database.peewee.execute_sql(f"SELECT * FROM {table.name} LIMIT 0").description
    return sorted({column[0] for column in described} - set(table.key))


def _told(batches: Iterable[list[Row]], advance: Advance) -> Iterator[Row]:
    for rows in batches:
        yield from rows
        advance(len(rows))


def _summed(table: Table, rows: Iterable[Row]) -> Copied:
    # A sum, because databases order text by rules of their own.
    total = number = 0
    for row in rows:
        total += int.from_bytes(hashlib.sha256(repr(row).encode()).digest()[:16], "big")
        number += 1
    return Copied(table.name, number, f"{total % _HASHES:032x}")
