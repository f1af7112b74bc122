"""How is a resource written, read, listed and deleted?

Writing functions run inside the caller's `Database.transaction`, so that a change, its index rows
and its audit row are one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from scim_server.storage import grams
from scim_server.storage.database import Database
from scim_server.storage.keys import key_of, scope_in, scope_range
from scim_server.storage.parts import Part
from scim_server.storage.rows import Rows
from scim_server.storage.sources import Condition

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


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as it is kept; ``parts`` holds what was read along, in the order asked for."""

    key: int
    id: str
    version: int
    created: str
    modified: str
    template: bytes
    parts: tuple[Any, ...]


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
    found = database.row(_select(parts) + " WHERE r.id = ? AND r.scope = ?", (id, scope))
    return _stored(found) if found else None


def on_page(
    database: Database, page: Condition, scope: int, parts: tuple[Part, ...]
) -> list[tuple[int, str | None, Stored]]:
    """Return key, sort key and resource of a page that `pages.page` selects, as far as they are in the scope.

    The rows come in any order.
    """
    low, high = scope_range(scope)
    sql = f"WITH page (key, s) AS ({page.sql}) {_select(parts, 'page.s')} JOIN page ON page.key = r.key"
    rows = database.rows(f"{sql} WHERE r.key >= ? AND r.key < ?", (*page.parameters, low, high))
    return [(row[1], row[0], _stored(row[1:])) for row in rows]


def create(database: Database, scope: int, id: str, now: str, content: Content) -> int:
    """Insert a resource and return its key. Raises Taken when a unique value belongs to another."""
    key = key_of(scope, _next(database, scope))
    _take(database, scope, key, content.rows.unique)
    columns = [content.rows.columns.get(column) for column in COLUMNS]
    database.run(_INSERT, (key, scope, id, 1, now, now, content.display, *columns))
    database.run("INSERT INTO body (key, template) VALUES (?, ?)", (key, content.template))
    _add_values(database, key, content.rows.values)
    grams.changed(database, key, {}, content.rows.columns)
    return key


def _next(database: Database, scope: int) -> int:
    found = database.row(
        "INSERT INTO collection (scope, next, total) VALUES (?, 2, 1) ON CONFLICT (scope)"
        " DO UPDATE SET next = next + 1, total = total + 1 RETURNING next - 1",
        (scope,),
    )
    assert found
    return int(found[0])


def update(database: Database, key: int, now: str, old: Rows, new: Content) -> None:
    """Write a changed resource; its version goes up by one. Raises Taken."""
    scope = scope_in(key)
    _give_back(database, scope, old.unique - new.rows.unique)
    _take(database, scope, key, new.rows.unique - old.unique)
    columns = [new.rows.columns.get(column) for column in COLUMNS]
    database.run(_UPDATE, (now, new.display, *columns, key))
    database.run("UPDATE body SET template = ? WHERE key = ?", (new.template, key))
    gone = old.values - new.rows.values
    database.run_many(
        "DELETE FROM value WHERE resource = ? AND attribute = ? AND element = ?",
        [(key, attribute, element) for attribute, element, _ in gone],
    )
    _add_values(database, key, new.rows.values - old.values)
    grams.changed(database, key, old.columns, new.rows.columns)


def delete(database: Database, stored: Stored, now: str, old: Rows, links: Mapping[str, Any]) -> None:
    """Move a resource to the tombstones; ``links`` are the references it had, for a restore."""
    scope = scope_in(stored.key)
    database.run(
        "INSERT INTO tombstone (key, scope, id, version, created, modified, deleted, template, links)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (stored.key, scope, stored.id, stored.version, stored.created, stored.modified, now, stored.template,
         json.dumps(links)),
    )  # fmt: skip
    _give_back(database, scope, old.unique)
    for table, column in (("value", "resource"), ("password", "resource"), ("body", "key"), ("resource", "key")):
        database.run(f"DELETE FROM {table} WHERE {column} = ?", (stored.key,))
    database.run("UPDATE collection SET total = total - 1 WHERE scope = ?", (scope,))
    grams.changed(database, stored.key, old.columns, {})


def touch(database: Database, keys: Iterable[int], now: str) -> dict[int, str]:
    """Raise version and modification time of resources that changed through another one; return their ids."""
    sql = "UPDATE resource SET version = version + 1, modified = max(modified, ?) WHERE key = ? RETURNING id"
    return {key: id for key in keys for (id,) in database.rows(sql, (now, key))}


def set_password(database: Database, key: int, hash: str | None) -> bool:
    """Keep the hash of a resource's password, or remove it; tell whether anything changed."""
    if hash is None:
        return database.run("DELETE FROM password WHERE resource = ?", (key,)) > 0
    changed = database.run(
        "INSERT INTO password (resource, hash) VALUES (?, ?) ON CONFLICT (resource) DO UPDATE SET hash = excluded.hash",
        (key, hash),
    )
    return changed > 0


@cache
def _select(parts: tuple[Part, ...], *before: str) -> str:
    own = ("r.key", "r.id", "r.version", "r.created", "r.modified", "b.template")
    read = ", ".join([*before, *own, *(part.sql() for part in parts)])
    return f"SELECT {read} FROM resource r JOIN body b ON b.key = r.key"


def _stored(row: tuple[Any, ...]) -> Stored:
    key, id, version, created, modified, filled, *parts = row
    return Stored(key, id, version, created, modified, filled, tuple(parts))


def _add_values(database: Database, key: int, values: Iterable[tuple[int, int, str]]) -> None:
    scope = scope_in(key)
    database.run_many(
        "INSERT INTO value (resource, attribute, element, scope, key) VALUES (?, ?, ?, ?, ?)",
        [(key, attribute, element, scope, text) for attribute, element, text in sorted(values)],
    )


def _take(database: Database, scope: int, key: int, unique: Iterable[tuple[int, str]]) -> None:
    for attribute, digest in unique:
        holder = database.row(
            "SELECT r.id FROM unique_key u JOIN resource r ON r.key = u.resource"
            " WHERE u.scope = ? AND u.attribute = ? AND u.digest = ?",
            (scope, attribute, digest),
        )
        if holder:
            raise Taken(attribute, holder[0])
        database.run(
            "INSERT INTO unique_key (scope, attribute, digest, resource) VALUES (?, ?, ?, ?)",
            (scope, attribute, digest, key),
        )


def _give_back(database: Database, scope: int, unique: Iterable[tuple[int, str]]) -> None:
    database.run_many(
        "DELETE FROM unique_key WHERE scope = ? AND attribute = ? AND digest = ?",
        [(scope, attribute, digest) for attribute, digest in unique],
    )
