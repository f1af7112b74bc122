"""How is everything derived made anew from the bodies? Columns, values, unique keys, grams, totals, indexes.

All of it is one transaction: after a refusal, or a crash, everything is as before. Bodies, references, versions and
times stay as they are. What has no readable body is left as it is.
"""

from collections import Counter
from collections.abc import Iterator

from scim_server.storage import grams
from scim_server.storage.database import Database, DatabaseError
from scim_server.storage.documents import COLUMNS, add_values
from scim_server.storage.integrity.file import lacking
from scim_server.storage.integrity.findings import Advance, Finding, Kind, KindOf, Scopes
from scim_server.storage.integrity.links import expected_totals
from scim_server.storage.integrity.resources import (
    LAST,
    Batch,
    Damaged,
    Kept,
    display_of,
    document_of,
    unique_attributes,
)
from scim_server.storage.keys import scope_in
from scim_server.storage.rows import Rows, digest_of
from scim_server.storage.tables import RESOURCE, batches

_UPDATE = f"UPDATE resource SET display = ?, {', '.join(f'{column} = ?' for column in COLUMNS)} WHERE key = ?"
_TAKE = "INSERT INTO unique_key (scope, attribute, digest, resource) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"


class Collision(DatabaseError):
    """Two resources have the same value of what must be unique."""


def rebuild(database: Database, kind_of: KindOf, advance: Advance = lambda _: None) -> Counter[str]:
    """Make anew what differs, and return how many resources were looked at, changed and left as they were.

    Raises Collision, which names the resources.
    """
    with database.unhurried(), database.waiting_in_files(), database.transaction():
        _rebuild_indexes(database)
        database.run("UPDATE resource SET scope = key >> 34 WHERE scope <> key >> 34")
        database.run("UPDATE tombstone SET scope = key >> 34 WHERE scope <> key >> 34")
        gone = "WHERE NOT EXISTS (SELECT 1 FROM resource r WHERE r.key = {0}.resource)"
        for table in ("value", "unique_key"):
            database.run(f"DELETE FROM {table} {gone.format(table)}")
        counts = Resources(database, kind_of).rebuild(advance)
        grams.rebuild(database, columns_of_all(database, advance))
        _rebuild_totals(database)
    return counts


class Resources:
    """The rebuilding of what is derived of each resource, in the order of their keys, so scope by scope."""

    def __init__(self, database: Database, kind_of: KindOf) -> None:
        self.database = database
        self.scopes = Scopes(database, kind_of)
        self.scope = -1
        self.counts: Counter[str] = Counter()

    def rebuild(self, advance: Advance) -> Counter[str]:
        last = -1
        while last < LAST:
            batch = Batch(self.database, last)
            for kept in batch.kept:
                kind = self.scopes.kind(scope_in(kept.key))
                self._enter(scope_in(kept.key), kind)
                self.counts[self._rebuild(kept, kind)] += 1
            advance(len(batch.kept))
            last = batch.last
        return self.counts

    def _enter(self, scope: int, kind: Kind | Finding) -> None:
        """Let no values of a scope be taken, unless it is unknown which are to be."""
        if scope != self.scope:
            self.scope = scope
            if isinstance(kind, Kind):
                self.database.run("DELETE FROM unique_key WHERE scope = ?", (scope,))

    def _rebuild(self, kept: Kept, kind: Kind | Finding) -> str:
        if isinstance(kind, Finding):
            return "left"
        try:
            document, rows = document_of(kept, kind)
        except Damaged:
            self._take(kept, _as_kept(kept, kind))
            return "left"
        self._take(kept, rows.unique)
        return "changed" if self._write(kept, display_of(document), rows) else "right"

    def _take(self, kept: Kept, unique: set[tuple[int, str]]) -> None:
        scope = scope_in(kept.key)
        for attribute, digest in sorted(unique):
            key = (scope, attribute, digest)
            if not self.database.run(_TAKE, (*key, kept.key)):
                raise self._collision(kept, key)

    def _collision(self, kept: Kept, key: tuple[int, int, str]) -> Collision:
        sql = (
            "SELECT r.id FROM unique_key u JOIN resource r ON r.key = u.resource"
            " WHERE u.scope = ? AND u.attribute = ? AND u.digest = ?"
        )
        (other,) = self.database.row(sql, key) or ("?",)
        return Collision(
            f"The resources {other} and {kept.id} have the same value of what must be unique; nothing was changed."
            " Give one of them another value first."
        )

    def _write(self, kept: Kept, display: str | None, rows: Rows) -> bool:
        """Write what differs; tell whether anything did."""
        columns = [rows.columns.get(column) for column in COLUMNS]
        is_changed = kept.display != display or [kept.columns.get(column) for column in COLUMNS] != columns
        if is_changed:
            self.database.run(_UPDATE, (display, *columns, kept.key))
        if kept.values != rows.values or kept.has_strayed:
            self.database.run("DELETE FROM value WHERE resource = ?", (kept.key,))
            add_values(self.database, scope_in(kept.key), [(kept.key, rows.values)])
            is_changed = True
        return is_changed


def _as_kept(kept: Kept, kind: Kind) -> set[tuple[int, str]]:
    """Return attribute number and digest of what must be unique, as columns and values have it."""
    values = {attribute: text for attribute, _, text in kept.values}
    texts = {
        attribute.number: kept.columns.get(attribute.column) if attribute.column else values.get(attribute.number)
        for attribute in unique_attributes(kind).values()
    }
    return {(number, digest_of(text)) for number, text in texts.items() if text is not None}


def _rebuild_indexes(database: Database) -> None:
    for name, made in lacking(database).items():
        if made.kind == "index":
            database.run(f"DROP INDEX IF EXISTS {name}")
            database.run(made.sql)
    database.rebuild_indexes()


def columns_of_all(database: Database, advance: Advance) -> Iterator[list[tuple[int, grams.Columns]]]:
    """Yield key and columns of all resources, some at a time."""
    for rows in batches(database, RESOURCE, grams.COLUMNS):
        yield [(key, dict(zip(grams.COLUMNS, columns, strict=True))) for key, *columns in rows]
        advance(len(rows))


def _rebuild_totals(database: Database) -> None:
    expected = expected_totals(database)
    database.run("UPDATE collection SET total = 0")
    database.run_many(
        "INSERT INTO collection (scope, next, total) VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE"
        " SET total = excluded.total,"
        " next = CASE WHEN collection.next < excluded.next THEN excluded.next ELSE collection.next END",
        [(scope, highest + 1, total) for scope, (highest, total) in expected.items()],
    )
