"""How do resources refer to one another? Rows (source, attribute, target), in both directions."""

import json
from collections.abc import Collection, Iterable

from scim_server.storage.database import Database
from scim_server.storage.keys import tenant_range


def keys_of(database: Database, scope: int, ids: Collection[str]) -> dict[str, int]:
    """Return the keys of those ids that are live resources of the scope's tenant. One statement."""
    if not ids:
        return {}
    sql = "SELECT r.id, r.key FROM json_each(?) j JOIN resource r ON r.id = j.value WHERE r.key >= ? AND r.key < ?"
    return dict(database.rows(sql, (json.dumps(list(ids)), *tenant_range(scope))))


def targets(database: Database, source: int, attribute: int) -> set[int]:
    """Return the keys that a resource's attribute points to."""
    sql = "SELECT target FROM reference WHERE source = ? AND attribute = ?"
    return {key for (key,) in database.rows(sql, (source, attribute))}


def add(database: Database, source: int, attribute: int, keys: Iterable[int]) -> None:
    rows = [(source, attribute, key) for key in sorted(keys)]
    database.run_many("INSERT INTO reference (source, attribute, target) VALUES (?, ?, ?)", rows)


def remove(database: Database, source: int, attribute: int, keys: Iterable[int]) -> None:
    rows = [(source, attribute, key) for key in keys]
    database.run_many("DELETE FROM reference WHERE source = ? AND attribute = ? AND target = ?", rows)


def enclosing(database: Database, key: int, attribute: int) -> set[int]:
    """Return the keys of everything that holds a resource through an attribute, at any depth."""
    sql = (
        "WITH RECURSIVE up (key) AS (SELECT source FROM reference WHERE target = ? AND attribute = ? UNION"
        " SELECT m.source FROM reference m JOIN up ON m.target = up.key AND m.attribute = ?) SELECT key FROM up"
    )
    return {found for (found,) in database.rows(sql, (key, attribute, attribute))}


def links(database: Database, key: int) -> dict[str, list[tuple[int, int]]]:
    """Return all references from and to a resource: (attribute, target) and (source, attribute)."""
    return {
        "from": database.rows("SELECT attribute, target FROM reference WHERE source = ?", (key,)),
        "to": database.rows("SELECT source, attribute FROM reference WHERE target = ?", (key,)),
    }


def unlink(database: Database, key: int) -> None:
    """Remove all references from and to a resource."""
    database.run("DELETE FROM reference WHERE source = ?", (key,))
    database.run("DELETE FROM reference WHERE target = ?", (key,))
