"""Where are the keys of an attribute found?

A source says how a searched attribute is reached from the row ``r`` of ``resource``. What is stored has its source
by itself (`storage/search.py`); what is derived gets one here, from the same rows that it is read from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from scim_server.protocol.schema import Attribute
from scim_server.storage.keys import LAST_TYPE

Parameters = tuple[str | int, ...]


class Condition(NamedTuple):
    """SQL text over ``r`` and the parameters of its question marks."""

    sql: str
    parameters: Parameters = ()

    @property
    def depth(self) -> int:
        """How many parentheses stand within one another; parameters are none of the text."""
        depth = deepest = 0
        for char in self.sql:
            if char == "(":
                depth += 1
                deepest = max(deepest, depth)
            elif char == ")":
                depth -= 1
        return deepest

    def within(self, before: str, after: str = "") -> "Condition":
        return Condition(before + self.sql + after, self.parameters)


TRUE, FALSE = Condition("1 = 1"), Condition("1 = 0")
ALL = 1 << 62
"""The limit that is none."""


def joined(word: str, conditions: list[Condition]) -> Condition:
    """Join conditions by AND or OR; of none, AND is true and OR is false.

    The deepest comes first: SQLite's parser has a stack of 100 symbols, and what stands before a
    parenthesis stays on it.
    """
    if not conditions:
        return TRUE if word == "AND" else FALSE
    if len(conditions) == 1:
        return conditions[0]
    conditions = sorted(conditions, key=lambda condition: -condition.depth)
    sql = f" {word} ".join(condition.sql for condition in conditions)
    return Condition(f"({sql})", tuple(p for condition in conditions for p in condition.parameters))


@dataclass(frozen=True, slots=True)
class Single:
    """One key, or NULL: an expression over ``r``. ``indexed`` tells that an index holds its beginning."""

    expression: Condition
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Values:
    """Rows of the table ``value``."""


@dataclass(frozen=True, slots=True)
class Finite:
    """One of few keys that are known beforehand, each under a condition over ``r``."""

    keys: tuple[tuple[str, Condition], ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """Elements that are other resources ``t``.

    ``elements`` is what follows SELECT 1 to find the elements of ``r``; ``holders`` starts and ends a query for the
    keys of all resources that have an element which fits a test. ``keys`` has an expression over ``t``, and over ``r``
    for those in ``beside``, for each sub-attribute.
    """

    elements: Condition
    holders: tuple[Condition, str]
    keys: Mapping[str, Condition]
    beside: frozenset[str] = field(default=frozenset())


Source = Single | Values | Finite | Linked


def names_of(number: str, names: Mapping[int, str]) -> str:
    """Return an expression for the folded name of the resource type of a key."""
    cases = " ".join(f"WHEN {n} THEN '{name.lower()}'" for n, name in sorted(names.items()))
    return f"CASE {number} >> 34 & {LAST_TYPE} {cases} END COLLATE BINARY"


def _locations(roots: Mapping[int, str]) -> Condition:
    """Return an expression for the URI of ``t``; ``roots`` has the URI of each type's endpoint."""
    cases = " ".join(f"WHEN {number} THEN ?" for number in sorted(roots))
    parameters = tuple(f"{roots[number]}/" for number in sorted(roots))
    return Condition(f"(CASE t.key >> 34 & {LAST_TYPE} {cases} END || t.id)", parameters)


def _scopes(scopes: list[int]) -> Condition:
    return Condition(f"t.scope IN ({', '.join('?' * len(scopes))})", tuple(scopes))


def targets(attribute: Attribute, scopes: list[int], names: Mapping[int, str], roots: Mapping[int, str]) -> Linked:
    """Return the source of a reference attribute, whose elements are in the given scopes."""
    join = f"FROM reference m JOIN resource t ON t.key = m.target WHERE m.attribute = {attribute.number} AND "
    keys = {
        "value": Condition("t.id"),
        "display": Condition("t.display_name"),
        "$ref": _locations(roots),
        "type": Condition(names_of("t.key", names)),
    }
    holders = _scopes(scopes).within(f"SELECT m.source {join}", " AND ")
    return Linked(Condition(f"{join}m.source = r.key AND "), (holders, ""), keys)


def enclosing(members: Attribute, scope: int, root: str) -> Linked:
    """Return the source of the groups around a resource, which are in one scope."""
    number = members.number
    elements = f"FROM ({_up(number)}) u JOIN resource t ON t.key = u.key WHERE "
    direct = (
        f"CASE WHEN EXISTS (SELECT 1 FROM reference d WHERE d.source = t.key AND d.attribute = {number}"
        " AND d.target = r.key) THEN 'direct' ELSE 'indirect' END COLLATE BINARY"
    )
    keys = {
        "value": Condition("t.id"),
        "display": Condition("t.display_name"),
        "$ref": Condition("(? || t.id)", (f"{root}/",)),
        "type": Condition(direct),
    }
    start = Condition("WITH RECURSIVE down (key) AS (SELECT t.key FROM resource t WHERE t.scope = ? AND ", (scope,))
    return Linked(Condition(elements), (start, _down(number)), keys, frozenset({"type"}))


def granted(members: Attribute, grants: Attribute, scope: int, root: str) -> Linked:
    """Return the source of what the groups around a resource point to, which is in one scope."""
    number = members.number
    elements = (
        f"FROM ({_up(number)}) u JOIN reference x ON x.source = u.key"
        f" AND x.attribute = {grants.number} JOIN resource t ON t.key = x.target WHERE "
    )
    keys = {
        "value": Condition("t.id"),
        "display": Condition("t.display_name"),
        "$ref": Condition("(? || t.id)", (f"{root}/",)),
    }
    start = Condition(
        "WITH RECURSIVE down (key) AS (SELECT x.source FROM resource t JOIN reference x ON x.target = t.key"
        f" AND x.attribute = {grants.number} WHERE t.scope = ? AND ",
        (scope,),
    )
    return Linked(Condition(elements), (start, _down(number)), keys)


def _up(number: int) -> str:
    """Return a query for the keys of everything around ``r``, at any depth."""
    return (
        "WITH RECURSIVE up (key) AS (SELECT m.source FROM reference m WHERE m.target = r.key"
        f" AND m.attribute = {number} UNION SELECT m.source FROM reference m JOIN up ON m.target = up.key"
        f" AND m.attribute = {number}) SELECT key FROM up"
    )


def _down(number: int) -> str:
    return (
        f" UNION SELECT m.target FROM reference m JOIN down ON m.source = down.key AND m.attribute = {number})"
        " SELECT key FROM down"
    )


def named(attribute: Attribute, root: str | None) -> Single:
    """Return the source of the display name, or with ``root`` the URI, of the resource whose id a column holds."""
    shown = Condition("? || n.id", (f"{root}/",)) if root else Condition("n.display_name")
    return Single(
        shown.within("(SELECT ", f" FROM resource n WHERE n.id = r.{attribute.column} AND n.scope = r.scope)")
    )


def window(active: Attribute, begins: Attribute, ends: Attribute, now: str) -> Finite:
    """Return the source of an account's status at an instant: disabled, pending, expired or active."""
    second = now[:19]
    enabled = f"coalesce(r.{active.column}, '') <> 'false'"
    begun = Condition(f"(r.{begins.column} IS NULL OR substr(r.{begins.column}, 1, 19) <= ?)", (second,))
    open_ = Condition(f"(r.{ends.column} IS NULL OR substr(r.{ends.column}, 1, 19) >= ?)", (second,))
    is_enabled = Condition(enabled)
    return Finite(
        (
            ("disabled", Condition(f"r.{active.column} = 'false'")),
            ("pending", joined("AND", [is_enabled, begun.within("NOT ")])),
            ("expired", joined("AND", [is_enabled, begun, open_.within("NOT ")])),
            ("active", joined("AND", [is_enabled, begun, open_])),
        )
    )
