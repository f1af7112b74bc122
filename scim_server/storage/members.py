"""How do resources refer to one another? Rows (source, attribute, target), in both directions."""

import json
from collections.abc import Collection, Iterator
from typing import NamedTuple

from scim_server.storage.database import Database, Row
from scim_server.storage.keys import tenant_range
from scim_server.storage.sources import TRUE, Condition


class Found(NamedTuple):
    """A resource that is a target, or may become one: its key, its display name, and whether it is one."""

    key: int
    display: str | None
    is_target: bool


def named(database: Database, scope: int, source: int, attribute: int, ids: Collection[str]) -> dict[str, Found]:
    """Return those ids that are live resources of the scope's tenant. One statement."""
    if not ids:
        return {}
    sql = (
        "SELECT r.id, r.key, r.display, EXISTS (SELECT 1 FROM reference m WHERE m.source = ? AND m.attribute = ?"
        " AND m.target = r.key) FROM json_each(?) j JOIN resource r ON r.id = j.value WHERE r.key >= ? AND r.key < ?"
    )
    rows = database.rows(sql, (source, attribute, json.dumps(list(ids)), *tenant_range(scope)))
    return {id: Found(key, display, bool(is_target)) for id, key, display, is_target in rows}


def matching(database: Database, source: int, attribute: int, condition: Condition = TRUE) -> dict[str, Found]:
    """Return the targets ``t`` that fit a condition."""
    rows = list(walk(database, source, attribute, condition))
    return {id: Found(key, display, is_target=True) for key, id, display in rows}


def walk(
    database: Database,
    source: int,
    attribute: int,
    condition: Condition = TRUE,
    after: int = 0,
    *,
    backwards: bool = False,
    limit: int = -1,
    offset: int = 0,
) -> Iterator[Row]:
    """Yield key, id and display of the targets ``t`` that fit a condition, in the order of creation.

    They come after the key ``after``, or before it when the walk goes backwards. One statement, read as it is walked.
    """
    sign, direction = ("<", "DESC") if backwards else (">", "ASC")
    sql = (
        "SELECT m.target, t.id, t.display FROM reference m JOIN resource t ON t.key = m.target WHERE m.source = ?"
        f" AND m.attribute = ? AND m.target {sign} ? AND {condition.sql} ORDER BY m.target {direction} LIMIT ? OFFSET ?"
    )
    return database.each(sql, (source, attribute, after, *condition.parameters, limit, offset))


def count(database: Database, source: int, attribute: int, condition: Condition = TRUE) -> int:
    """Return how many targets ``t`` fit a condition."""
    join = "" if condition is TRUE else " JOIN resource t ON t.key = m.target"
    sql = f"SELECT count(*) FROM reference m{join} WHERE m.source = ? AND m.attribute = ? AND {condition.sql}"
    found = database.row(sql, (source, attribute, *condition.parameters))
    return int(found[0]) if found else 0


def has_more_than(database: Database, source: int, attribute: int, most: int) -> bool:
    """Tell whether there are more targets than ``most``, without counting further."""
    sql = "SELECT 1 FROM reference WHERE source = ? AND attribute = ? LIMIT 1 OFFSET ?"
    return database.row(sql, (source, attribute, most)) is not None


def add(database: Database, source: int, attribute: int, keys: Collection[int]) -> int:
    """Add targets; return how many were none yet. One statement."""
    if not keys:
        return 0
    sql = (
        "INSERT INTO reference (source, attribute, target) SELECT ?, ?, value FROM json_each(?) WHERE true"
        " ON CONFLICT DO NOTHING"
    )
    return database.run(sql, (source, attribute, json.dumps(sorted(keys))))


def remove(database: Database, source: int, attribute: int, keys: Collection[int]) -> int:
    """Remove targets; return how many were there. One statement."""
    if not keys:
        return 0
    sql = "DELETE FROM reference WHERE source = ? AND attribute = ? AND target IN (SELECT value FROM json_each(?))"
    return database.run(sql, (source, attribute, json.dumps(list(keys))))


def keep(database: Database, source: int, attribute: int, keys: Collection[int]) -> int:
    """Remove every other target; return how many there were. One statement."""
    sql = "DELETE FROM reference WHERE source = ? AND attribute = ? AND target NOT IN (SELECT value FROM json_each(?))"
    return database.run(sql, (source, attribute, json.dumps(list(keys))))


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
