"""How do resources refer to one another? Rows (source, attribute, target), in both directions."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import orjson

from scim_server.storage.database import Database, Row
from scim_server.storage.keys import tenant_range
from scim_server.storage.sources import ALL, TRUE, Condition


class Found(NamedTuple):
    """A resource that is a target, or may become one."""

    id: str
    key: int
    display: str | None
    is_target: bool


def _json(values: Collection[int | str]) -> str:
    return orjson.dumps(list(values)).decode()


def named(database: Database, scope: int, source: int, attribute: int, ids: Collection[str]) -> dict[str, Found]:
    """Return those ids that are live resources of the scope's tenant. One statement."""
    if not ids:
        return {}
    sql = (
        "SELECT r.id, r.key, r.display, EXISTS (SELECT 1 FROM reference m WHERE m.source = ? AND m.attribute = ?"
        " AND m.target = r.key) FROM json_each(?) j JOIN resource r ON r.id = j.value WHERE r.key >= ? AND r.key < ?"
    )
    rows = database.rows(sql, (source, attribute, _json(ids), *tenant_range(scope)))
    return {row[0]: Found._make(row) for row in rows}


def matching(database: Database, source: int, attribute: int, condition: Condition = TRUE) -> dict[str, Found]:
    """Return the targets ``t`` that fit a condition."""
    rows = walk(database, source, attribute, condition)
    return {id: Found(id, key, display, is_target=True) for key, id, display in rows}


def walk(
    database: Database,
    source: int,
    attribute: int,
    condition: Condition = TRUE,
    after: int = 0,
    *,
    backwards: bool = False,
    limit: int = ALL,
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


def counts(database: Database, scope: int, attribute: int, ids: Collection[str]) -> dict[str, int]:
    """Return how many targets resources of a scope have, by id, of those that have any. One statement."""
    sql = (
        "SELECT r.id, count(*) FROM json_each(?) j CROSS JOIN resource r ON r.id = j.value"
        " JOIN reference m ON m.source = r.key AND m.attribute = ? WHERE r.scope = ? GROUP BY r.key"
    )
    return dict(database.rows(sql, (_json(ids), attribute, scope)))


def has_more_than(database: Database, source: int, attribute: int, most: int) -> bool:
    """Tell whether there are more targets than ``most``, without counting further."""
    sql = "SELECT 1 FROM reference WHERE source = ? AND attribute = ? LIMIT 1 OFFSET ?"
    return database.row(sql, (source, attribute, most)) is not None


def _keys_of(scopes: Collection[int], columns: str = "r.key") -> str:
    """Return a query for the keys of ids that are live resources of some scopes; each id is looked up by index."""
    return (
        f"SELECT {columns} FROM json_each(?) j CROSS JOIN resource r ON r.id = j.value"
        f" WHERE r.scope IN ({', '.join('?' * len(scopes))})"
    )


def add(database: Database, source: int, attribute: int, scopes: Sequence[int], ids: Collection[str]) -> int:
    """Add targets by their ids, those that exist; return how many were none yet. One statement."""
    if not ids:
        return 0
    found = _keys_of(scopes, "?, ?, r.key")
    sql = f"INSERT INTO reference (source, attribute, target) {found} ON CONFLICT DO NOTHING"
    return database.run(sql, (source, attribute, _json(ids), *scopes))


def remove(database: Database, source: int, attribute: int, scopes: Sequence[int], ids: Collection[str]) -> int:
    """Remove targets by their ids; return how many were there. One statement."""
    if not ids:
        return 0
    sql = f"DELETE FROM reference WHERE source = ? AND attribute = ? AND target IN ({_keys_of(scopes)})"
    return database.run(sql, (source, attribute, _json(ids), *scopes))


def keep(database: Database, source: int, attribute: int, scopes: Sequence[int], ids: Collection[str]) -> int:
    """Remove every target but those with the ids; return how many there were. One statement."""
    sql = f"DELETE FROM reference WHERE source = ? AND attribute = ? AND target NOT IN ({_keys_of(scopes)})"
    return database.run(sql, (source, attribute, _json(ids), *scopes))


def first_unknown(database: Database, scopes: Sequence[int], ids: Collection[str]) -> str | None:
    """Return an id that is no live resource of the scopes, or None. One statement."""
    sql = (
        "SELECT j.value FROM json_each(?) j WHERE NOT EXISTS (SELECT 1 FROM resource r WHERE r.id = j.value"
        f" AND r.scope IN ({', '.join('?' * len(scopes))})) LIMIT 1"
    )
    found = database.row(sql, (_json(ids), *scopes))
    return str(found[0]) if found else None


def enclosing(database: Database, key: int, attribute: int) -> set[int]:
    """Return the keys of everything that holds a resource through an attribute, at any depth."""
    sql = (
        "WITH RECURSIVE up (key) AS (SELECT source FROM reference WHERE target = ? AND attribute = ? UNION"
        " SELECT m.source FROM reference m JOIN up ON m.target = up.key AND m.attribute = ?) SELECT key FROM up"
    )
    return {found for (found,) in database.rows(sql, (key, attribute, attribute))}


def lose(database: Database, key: int) -> list[tuple[int, int]]:
    """Let all references from and to a deleted resource be lost; return source and attribute of those to it."""
    holders = database.rows(
        "SELECT source, attribute FROM reference WHERE target = ? ORDER BY attribute, source", (key,)
    )
    for end in ("source", "target"):
        _move(database, "reference", "lost_reference", f"{end} = ?", key)
    return holders


class Regained(NamedTuple):
    """What became of the lost references of a restored resource."""

    holders: list[tuple[int, int]]
    """Source and attribute of those to it that came back."""
    targets: int
    """How many came back from it."""
    waiting: int
    """How many wait until the other side is restored too."""


def regain(database: Database, key: int) -> Regained:
    """Bring the lost references of a restored resource back, as far as the other side lives."""
    lives = "EXISTS (SELECT 1 FROM resource r WHERE r.key = {end})"
    to, from_ = f"target = ? AND {lives.format(end='source')}", f"source = ? AND {lives.format(end='target')}"
    holders = database.rows(
        f"SELECT source, attribute FROM lost_reference WHERE {to} ORDER BY attribute, source", (key,)
    )
    _move(database, "lost_reference", "reference", to, key)
    targets = _move(database, "lost_reference", "reference", from_, key)
    waiting = database.row("SELECT count(*) FROM lost_reference WHERE source = ? OR target = ?", (key, key))
    return Regained(holders, targets, int(waiting[0]) if waiting else 0)


def _move(database: Database, here: str, there: str, where: str, key: int) -> int:
    columns = "source, attribute, target"
    sql = f"INSERT INTO {there} ({columns}) SELECT {columns} FROM {here} WHERE {where} ON CONFLICT DO NOTHING"
    database.run(sql, (key,))
    return database.run(f"DELETE FROM {here} WHERE {where}", (key,))
