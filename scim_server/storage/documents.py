"""How is a resource written, read, listed and deleted?

Writing functions run inside the caller's `Database.transaction`, so that a change, its index rows
and its audit row are one.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import orjson

from scim_server.storage import grams
from scim_server.storage.database import Database
from scim_server.storage.keys import key_of, scope_in, scope_range
from scim_server.storage.pages import INDEXED_LENGTH, Selection
from scim_server.storage.parts import Part, Parts
from scim_server.storage.rows import Rows, ValueRow, digest_of
from scim_server.storage.sources import Condition
from scim_server.storage.tombstones import Deleted

COLUMNS = (
    "external_id", "user_name", "display_name", "family_name", "given_name", "title", "user_type", "active",
    "employee_number", "organization", "department", "manager", "valid_from", "valid_until",
)  # fmt: skip
"""The promoted columns that come from the document; created and modified are set by the caller."""

_INSERT = (
    f"INSERT INTO resource (key, scope, id, version, created, modified, display, {', '.join(COLUMNS)})"
    f" VALUES ({', '.join('?' * (7 + len(COLUMNS)))})"
)
_UPDATE = (
    f"UPDATE resource SET version = version + 1, modified = ?, display = ?,"
    f" {', '.join(f'{column} = ?' for column in COLUMNS)} WHERE key = ?"
)


class Stored(NamedTuple):
    """A resource as it is kept; ``parts`` holds what was read along, in the order asked for."""

    key: int
    id: str
    version: int
    created: str
    modified: str
    template: bytes
    parts: Parts


@dataclass(frozen=True, slots=True)
class Content:
    """What is written of a resource: its template, what is indexed of it, and its display name."""

    template: bytes
    rows: Rows
    display: str | None


class Taken(Exception):
    """Another resource has a value that must be unique: its id, and the attribute's number."""

    def __init__(self, attribute: int, holder: str) -> None:
        super().__init__(attribute, holder)
        self.attribute = attribute
        self.holder = holder


def get(database: Database, scope: int, id: str, parts: tuple[Part, ...] = ()) -> Stored | None:
    """Return the resource with this id in the scope, or None. One statement."""
    found = database.row(f"SELECT {_columns(parts)} {_FROM} WHERE r.id = ? AND r.scope = ?", (id, scope))
    return _stored(found) if found else None


def on_page(
    database: Database, page: Selection, scope: int, parts: tuple[Part, ...], *, counted: bool = False
) -> tuple[list[tuple[str | None, Stored]], int | None]:
    """Return the resources of a page that are in the scope, each after what it is sorted by, and how many there are.

    The resources come in any order. They are not counted unless that is asked for and the page is full or begins at a
    position. One statement.
    """
    total = page.total if counted else Condition("NULL")
    sql = f"WITH {page.tables.sql} SELECT {total.sql}, {_of_page(parts)}"
    row = database.row(sql, (*page.tables.parameters, *total.parameters, *scope_range(scope)))
    assert row
    count, texts, templates = row
    if templates is None:
        return [], count
    end = 0
    found = [
        (sort_key, Stored(key, id, version, created, modified, templates[end : (end := end + size)], read))
        for sort_key, size, key, id, version, created, modified, *read in orjson.loads(texts)
    ]
    return found, count


@cache
def _of_page(parts: tuple[Part, ...]) -> str:
    """Return what a page's statement reads after the total.

    All is one row, as JSON but for the templates: with each row, another thread would take its turn.
    """
    texts = ", ".join(["page.s", "length(b.template)", *_OWN[:-1], *(part.sql() for part in parts)])
    return (
        f"CAST(json_group_array(json_array({texts})) AS TEXT), CAST(group_concat(b.template, x'') AS BLOB)"
        " FROM page CROSS JOIN resource r ON r.key = page.key JOIN body b ON b.key = r.key"
        " WHERE r.key >= ? AND r.key < ?"
    )


def with_ids(database: Database, scope: int, ids: Iterable[str], parts: tuple[Part, ...] = ()) -> list[Stored]:
    """Return the resources with these ids in the scope, in any order. One statement."""
    sql = f"SELECT {_columns(parts)} {_FROM} WHERE r.id IN (SELECT j.value FROM json_each(?) j) AND r.scope = ?"
    return [_stored(row) for row in database.rows(sql, (json.dumps(list(ids)), scope))]


def having(
    database: Database, scope: int, column: str, keys: Iterable[str], parts: tuple[Part, ...] = ()
) -> list[tuple[str, Stored]]:
    """Return the resources that have one of some comparison keys in a promoted column, each with its key.

    They come in the order of creation. One statement; the index of the column leads to each.
    """
    found = (
        f"SELECT f.key FROM json_each(?) j CROSS JOIN resource f ON f.scope = ?"
        f" AND substr(f.{column}, 1, {INDEXED_LENGTH}) = substr(j.value, 1, {INDEXED_LENGTH})"
        f" AND f.{column} = j.value"
    )
    sql = f"SELECT r.{column}, {_columns(parts)} {_FROM} WHERE r.key IN ({found}) ORDER BY r.key"
    rows = database.rows(sql, (json.dumps(list(keys)), scope))
    return [(row[0], _stored(row[1:])) for row in rows]


def create(database: Database, scope: int, now: str, new: Sequence[tuple[str, Content]]) -> list[int]:
    """Insert resources, of each its id and content, and return their keys.

    None of their unique values may be `taken`.
    """
    if not new:
        return []
    first = _next(database, scope, len(new))
    made = [(key_of(scope, order), id, content) for order, (id, content) in enumerate(new, first)]
    _insert(database, scope, [(key, id, 1, now, now, content) for key, id, content in made])
    return [key for key, _, _ in made]


def restore(database: Database, deleted: Deleted, now: str, content: Content) -> None:
    """Let a deleted resource live again, under its key, with the version after its last.

    None of its unique values may be `taken`.
    """
    scope = scope_in(deleted.key)
    _insert(database, scope, [(deleted.key, deleted.id, deleted.version + 1, deleted.created, now, content)])
    database.run("DELETE FROM tombstone WHERE key = ?", (deleted.key,))
    database.run("UPDATE collection SET total = total + 1 WHERE scope = ?", (scope,))


def _insert(database: Database, scope: int, made: Sequence[tuple[int, str, int, str, str, Content]]) -> None:
    """Insert rows of key, id, version, times and content."""
    rows = (
        (key, scope, id, version, created, modified, content.display, *map(content.rows.columns.get, COLUMNS))
        for key, id, version, created, modified, content in made
    )
    database.run_many(_INSERT, rows)
    contents = [(key, content) for key, *_, content in made]
    bodies = ((key, content.template) for key, content in contents)
    database.run_many("INSERT INTO body (key, template) VALUES (?, ?)", bodies)
    add_values(database, scope, ((key, content.rows.values) for key, content in contents))
    _take(database, ((key, content.rows.unique) for key, content in contents))
    grams.created(database, [(key, content.rows.columns) for key, content in contents])


def _next(database: Database, scope: int, count: int) -> int:
    found = database.row(
        "INSERT INTO collection (scope, next, total) VALUES (?, 1 + ?, ?) ON CONFLICT (scope) DO UPDATE"
        " SET next = collection.next + excluded.total, total = collection.total + excluded.total RETURNING next",
        (scope, count, count),
    )
    assert found
    return int(found[0]) - count


class Counts(NamedTuple):
    """How many resources a scope ever had, and how many live."""

    ever: int
    living: int


def counts(database: Database, scope: int) -> Counts:
    """Return how many resources a scope has. One statement."""
    return Counts._make(database.row("SELECT next - 1, total FROM collection WHERE scope = ?", (scope,)) or (0, 0))


def update(database: Database, stored: Stored, now: str, old: Rows, new: Content) -> None:
    """Write a changed resource; its version goes up by one. Raises Taken."""
    key, scope = stored.key, scope_in(stored.key)
    if conflict := next(taken(database, scope, [(stored.id, new.rows.unique - old.unique)])):
        raise conflict
    _give_back(database, scope, old.unique - new.rows.unique)
    _take(database, [(key, new.rows.unique - old.unique)])
    columns = [new.rows.columns.get(column) for column in COLUMNS]
    database.run(_UPDATE, (now, new.display, *columns, key))
    database.run("UPDATE body SET template = ? WHERE key = ?", (new.template, key))
    gone = old.values - new.rows.values
    database.run_many(
        "DELETE FROM value WHERE resource = ? AND attribute = ? AND element = ?",
        [(key, attribute, element) for attribute, element, _ in gone],
    )
    add_values(database, scope, [(key, new.rows.values - old.values)])
    grams.changed(database, [(key, old.columns, new.rows.columns)])


def delete(database: Database, stored: Stored, now: str, old: Rows) -> None:
    """Move a resource to the tombstones."""
    scope = scope_in(stored.key)
    database.run(
        "INSERT INTO tombstone (key, scope, id, version, created, modified, deleted, template)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (stored.key, scope, stored.id, stored.version, stored.created, stored.modified, now, stored.template),
    )
    _give_back(database, scope, old.unique)
    for table, column in (("value", "resource"), ("password", "resource"), ("body", "key"), ("resource", "key")):
        database.run(f"DELETE FROM {table} WHERE {column} = ?", (stored.key,))
    database.run("UPDATE collection SET total = total - 1 WHERE scope = ?", (scope,))
    grams.changed(database, [(stored.key, old.columns, {})])


def touch(database: Database, keys: Iterable[int], now: str) -> dict[int, str]:
    """Raise version and modification time of resources that changed through another one; return their ids."""
    sql = (
        "UPDATE resource SET version = version + 1, modified = CASE WHEN modified < ? THEN ? ELSE modified END"
        " WHERE key = ? RETURNING id"
    )
    return {key: id for key in keys for (id,) in database.rows(sql, (now, now, key))}


_OWN = ("r.key", "r.id", "r.version", "r.created", "r.modified", "b.template")
_FROM = "FROM resource r JOIN body b ON b.key = r.key"


@cache
def _columns(parts: tuple[Part, ...]) -> str:
    return ", ".join([*_OWN, *(part.sql() for part in parts)])


def _stored(row: tuple[Any, ...]) -> Stored:
    return Stored._make((*row[: len(_OWN)], row[len(_OWN) :]))


def add_values(database: Database, scope: int, values: Iterable[tuple[int, Iterable[ValueRow]]]) -> None:
    """Write value rows of resources, by their keys."""
    rows = ((key, attribute, element, scope, text) for key, rows in values for attribute, element, text in sorted(rows))
    database.run_many("INSERT INTO value (resource, attribute, element, scope, key) VALUES (?, ?, ?, ?, ?)", rows)


def taken(
    database: Database, scope: int, wanted: Sequence[tuple[str, Collection[tuple[int, str]]]]
) -> Iterator[Taken | None]:
    """Tell of each resource, by its id and unique keys, whether another has one of them. One statement.

    The keys of a resource that is not refused are taken for those after it.
    """
    holders: dict[tuple[int, str], str] = {}
    if keys := [key for _, unique in wanted for key in unique]:
        sql = (
            "SELECT u.attribute, u.digest, r.id FROM json_each(?) j CROSS JOIN unique_key u ON u.scope = ?"
            " AND u.attribute = CAST(json_extract(j.value, '$[0]') AS INTEGER)"
            " AND u.digest = json_extract(j.value, '$[1]') JOIN resource r ON r.key = u.resource"
        )
        found = database.rows(sql, (json.dumps(keys), scope))
        holders = {(attribute, digest): id for attribute, digest, id in found}
    for id, unique in wanted:
        if conflict := next((key for key in unique if key in holders), None):
            yield Taken(conflict[0], holders[conflict])
        else:
            holders |= dict.fromkeys(unique, id)
            yield None


def _take(database: Database, unique: Iterable[tuple[int, Iterable[tuple[int, str]]]]) -> None:
    database.run_many(
        "INSERT INTO unique_key (scope, attribute, digest, resource) VALUES (?, ?, ?, ?)",
        [(scope_in(key), attribute, digest, key) for key, keys in unique for attribute, digest in keys],
    )


def take_all(database: Database, scope: int, attribute: int, column: str) -> str | None:
    """Let the values of a promoted column be unique from now on; return one that two resources have, if any."""
    rows = database.rows(f"SELECT key, {column} FROM resource WHERE scope = ? AND {column} IS NOT NULL", (scope,))
    holders: dict[str, int] = {}
    for key, value in rows:
        if holders.setdefault(value, key) != key:
            return str(value)
    _take(database, ((key, [(attribute, digest_of(value))]) for value, key in holders.items()))
    return None


def give_all_back(database: Database, scope: int, attribute: int) -> None:
    """Let the values of an attribute be unique no longer."""
    database.run("DELETE FROM unique_key WHERE scope = ? AND attribute = ?", (scope, attribute))


def _give_back(database: Database, scope: int, unique: Iterable[tuple[int, str]]) -> None:
    database.run_many(
        "DELETE FROM unique_key WHERE scope = ? AND attribute = ? AND digest = ?",
        [(scope, attribute, digest) for attribute, digest in unique],
    )
