"""Which resources make a page, and in which order?

Missing sort keys come last ascending and first descending (RFC 7644 section 3.4.2.3); ties stand in
the order of creation. A page is read in two phases, rows with a sort key and rows without, so that
each is a range of an index.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from scim_server.storage.database import Database
from scim_server.storage.keys import scope_range
from scim_server.storage.sources import Condition, Parameters, Single

_Row = TypeVar("_Row", bound=tuple[Any, ...])
INDEXED_LENGTH = 200
"""Characters of a key that an index holds; equal beginnings are compared whole."""


@dataclass(frozen=True, slots=True)
class Branch:
    """The resources of one scope that fit a condition, and the key they are sorted by."""

    scope: int
    condition: Condition | None
    sort: Single | None
    is_led: bool = False
    """An index leads to what the condition fits, better than a walk in the order of creation."""


class Position(NamedTuple):
    """Where a page begins: after this resource, or before it when the walk goes backwards."""

    sort_key: str | None
    key: int


@dataclass(frozen=True, slots=True)
class Order:
    """How pages follow one another."""

    is_sorted: bool = False
    descending: bool = False
    backwards: bool = False

    @property
    def rises(self) -> bool:
        """Tell whether the sort keys rise in the direction of the walk."""
        return self.descending == self.backwards


@dataclass(frozen=True, slots=True)
class Selection:
    """What selects a page: the tables of a WITH clause, of which ``page`` has keys and sort keys, (key, s).

    ``total`` is an expression for how many resources there are in all; NULL where the page that is not full tells.
    """

    tables: Condition
    total: Condition


def total(database: Database, branches: list[Branch]) -> int:
    """Return how many resources the branches have; without a condition, from the scope's counter."""
    counted = _total(branches)
    found = database.row(f"SELECT {counted.sql}", counted.parameters)
    return int(found[0]) if found else 0


def _total(branches: list[Branch]) -> Condition:
    counts = [_count(branch) for branch in branches]
    sql = " + ".join(f"({count.sql})" for count in counts)
    return Condition(sql, tuple(p for count in counts for p in count.parameters))


def _count(branch: Branch) -> Condition:
    if branch.condition is None:
        return Condition("SELECT coalesce(sum(total), 0) FROM collection WHERE scope = ?", (branch.scope,))
    return _where(branch, scope_range(branch.scope)).within("SELECT count(*) FROM resource r ")


def page(branches: list[Branch], order: Order, position: Position | None, offset: int, limit: int) -> Selection:
    """Return what selects a page after a position, or before it when the walk goes backwards."""
    if order.is_sorted:
        tables, every = _table("page", _sorted(branches, order, position, offset, limit)), _total(branches)
    else:
        rows = _rows(branches, order, position)
        # Ordering by an expression keeps the planner from walking the primary key past every row.
        is_led = any(branch.is_led for branch in branches)
        direction = "DESC" if order.backwards else "ASC"
        ordered = f" ORDER BY {'+' if is_led else ''}key {direction} LIMIT ? OFFSET ?"
        if is_led and position is None and len(branches) == 1:
            # What an index leads to is looked for once, both for the page and to be counted.
            found = _table("found", rows.within("SELECT key, s FROM (", ") AS rows"))
            tables = found.within("", f", {_HEAD.format('page')} SELECT key, s FROM found{ordered})")
            every = Condition("(SELECT count(*) FROM found)")
        else:
            tables = _table("page", rows.within("SELECT key, s FROM (", f") AS found{ordered}"))
            every = _total(branches)
        tables = Condition(tables.sql, (*tables.parameters, limit, offset))
    if position is not None:
        return Selection(tables, every)
    full = every.within("CASE WHEN (SELECT count(*) FROM page) < ? THEN NULL ELSE ", " END")
    return Selection(tables, Condition(full.sql, (limit, *full.parameters)))


def having(keys: list[int]) -> Selection:
    """Return what selects the resources with some keys."""
    rows = Condition("SELECT CAST(j.value AS INTEGER), NULL FROM json_each(?) j", (json.dumps(keys),))
    return Selection(_table("page", rows), Condition("NULL"))


def keys(database: Database, selection: Selection) -> Iterator[int]:
    """Yield the keys of what is selected, in the order of creation."""
    tables = selection.tables
    return (key for (key,) in database.each(f"WITH {tables.sql} SELECT key FROM page ORDER BY key", tables.parameters))


_HEAD = "{} (key, s) AS MATERIALIZED ("


def _table(name: str, rows: Condition) -> Condition:
    return rows.within(_HEAD.format(name), ")")


def _sorted(branches: list[Branch], order: Order, position: Position | None, offset: int, limit: int) -> Condition:
    phases = [_with_key(branches, order, position), _without_key(branches, order, position)]
    wanted = [phase for phase in (phases if order.rises else reversed(phases)) if phase]
    most = limit + offset
    sql = " UNION ALL ".join(f"SELECT key, s FROM ({phase.sql} LIMIT {most}) AS phase" for phase in wanted)
    parameters = tuple(p for phase in wanted for p in phase.parameters)
    return Condition(f"{sql} LIMIT ? OFFSET ?", (*parameters, limit, offset))


def _past(order: Order, position: Position) -> tuple[str, Parameters]:
    """Return the condition that a key comes after the position in the direction of the walk."""
    return f"key {'<' if order.backwards else '>'} ?", (position.key,)


def _with_key(branches: list[Branch], order: Order, position: Position | None) -> Condition | None:
    if position and position.sort_key is None and order.rises:
        return None
    rows = _keyed(branches, order)
    sql, parameters = f"{rows.sql} WHERE p IS NOT NULL", rows.parameters
    if position and position.sort_key is not None:
        sign = ">" if order.rises else "<"
        past, past_parameters = _past(order, position)
        sql += f" AND p {sign}= ? AND (s {sign} ? OR (s = ? AND {past}))"
        text = position.sort_key
        start = text[:INDEXED_LENGTH] if _is_indexed(branches) else text
        parameters += (start, text, text, *past_parameters)
    direction = "ASC" if order.rises else "DESC"
    sql += f" ORDER BY p {direction}, s {direction}, key {'DESC' if order.backwards else 'ASC'}"
    return Condition(sql, parameters)


def _without_key(branches: list[Branch], order: Order, position: Position | None) -> Condition | None:
    if position and position.sort_key is not None and not order.rises:
        return None
    rows = _keyed(branches, order)
    sql, parameters = f"{rows.sql} WHERE p IS NULL", rows.parameters
    if position and position.sort_key is None:
        past, past_parameters = _past(order, position)
        sql, parameters = f"{sql} AND {past}", parameters + past_parameters
    return Condition(f"{sql} ORDER BY key {'DESC' if order.backwards else 'ASC'}", parameters)


def _keyed(branches: list[Branch], order: Order) -> Condition:
    """Return the rows of `_rows` so that an index gives their order, or else so that each key is computed once.

    Computed keys must not be merged into the conditions around them: where those are joined by OR, SQLite 3.40
    then finds too few rows.
    """
    rows = _rows(branches, order)
    if _is_indexed(branches):
        return rows.within("SELECT key, s FROM (", ") AS found")
    return rows.within("WITH found (key, s, p) AS MATERIALIZED (", ") SELECT key, s FROM found")


def _rows(branches: list[Branch], order: Order, after: Position | None = None) -> Condition:
    """Return a query for key, sort key and its indexed beginning of all rows of the branches.

    Those whose keys come ``after`` a position in the direction of the walk are enough.
    """
    queries = []
    for branch in branches:
        where = _where(branch, _span(branch, order, after), by_scope=order.is_sorted)
        sort = branch.sort.expression if branch.sort else Condition("NULL")
        start = sort.within("substr(", f", 1, {INDEXED_LENGTH})") if _is_indexed(branches) else sort
        sql = f"SELECT r.key AS key, {sort.sql} AS s, {start.sql} AS p FROM resource r {where.sql}"
        queries.append(Condition(sql, (*sort.parameters, *start.parameters, *where.parameters)))
    sql = " UNION ALL ".join(query.sql for query in queries)
    return Condition(sql, tuple(p for query in queries for p in query.parameters))


def _is_indexed(branches: list[Branch]) -> bool:
    """Tell whether the sort keys' beginnings, p, are what an index holds; else p is the whole key."""
    return all(branch.sort and branch.sort.indexed for branch in branches)


def _span(branch: Branch, order: Order, after: Position | None) -> tuple[int, int]:
    """Return the first key, and the one after the last, that can come after a position.

    As a bound of its own beside those of the scope, the position would not be where SQLite begins to read.
    """
    first, end = scope_range(branch.scope)
    if after is None:
        return first, end
    return (first, min(end, after.key)) if order.backwards else (max(first, after.key + 1), end)


def _where(branch: Branch, span: tuple[int, int], by_scope: bool = False) -> Condition:
    if branch.condition is None and not by_scope:
        return Condition("WHERE r.key >= ? AND r.key < ?", span)
    if branch.condition is None:
        return Condition("WHERE r.scope = ?", (branch.scope,))
    # The range bounds the search without being an index that competes with the condition's own.
    sql = f"WHERE r.key >= ? AND r.key < ? AND ({branch.condition.sql})"
    return Condition(sql, (*span, *branch.condition.parameters))


def in_order(rows: list[_Row], order: Order) -> list[_Row]:
    """Return rows, which begin with sort key and key, in the order of the walk; a join need not keep it."""
    by_key = sorted(rows, key=itemgetter(1), reverse=order.backwards)
    if not order.is_sorted:
        return by_key
    having = sorted((row for row in by_key if row[0] is not None), key=itemgetter(0), reverse=not order.rises)
    lacking = [row for row in by_key if row[0] is None]
    return having + lacking if order.rises else lacking + having
