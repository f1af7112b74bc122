"""Do rows that name others name what is there, and do totals tell the truth?"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from scim_server.protocol import template
from scim_server.storage.database import Database, Row
from scim_server.storage.integrity.findings import (
    MAIL,
    REINDEX,
    RESTORE,
    TOKEN,
    Advance,
    Finding,
    KindOf,
    broken,
    stale,
)
from scim_server.storage.integrity.resources import UNREADABLE, is_instant
from scim_server.storage.keys import order_in, scope_in, tenant_in_scope
from scim_server.storage.tables import RESOURCE, TABLES, TOMBSTONE, batches


class _Rule(NamedTuple):
    """A query for rows that must not be there; ``row`` names each by the columns that the query returns."""

    table: str
    row: str
    problem: str
    mend: str
    sql: str


_NO_ACCOUNT = (
    "NOT EXISTS (SELECT 1 FROM resource r WHERE r.id = {id} AND r.key >> 40 = o.tenant)"
    " AND NOT EXISTS (SELECT 1 FROM tombstone d WHERE d.id = {id} AND d.key >> 40 = o.tenant)"
)
_LINK = "{0} -> {1}"
_NONE = "-1"
"""The number of no resource type."""
_RULES = (
    *(
        _Rule(
            "reference", _LINK, f"the {end} is not there", RESTORE,
            "SELECT m.source, m.target FROM reference m"
            f" WHERE NOT EXISTS (SELECT 1 FROM resource r WHERE r.key = m.{end})",
        )
        for end in ("source", "target")
    ),
    *(
        _Rule(
            table, _LINK, "they belong to different tenants", RESTORE,
            f"SELECT source, target FROM {table} WHERE source >> 40 <> target >> 40",
        )
        for table in ("reference", "lost_reference")
    ),
    *(
        _Rule(
            "lost_reference", _LINK, f"the {end} neither is there nor was deleted", RESTORE,
            "SELECT m.source, m.target FROM lost_reference m"
            f" WHERE NOT EXISTS (SELECT 1 FROM resource r WHERE r.key = m.{end})"
            f" AND NOT EXISTS (SELECT 1 FROM tombstone d WHERE d.key = m.{end})",
        )
        for end in ("source", "target")
    ),
    _Rule(
        "lost_reference", _LINK, "both are there", RESTORE,
        "SELECT m.source, m.target FROM lost_reference m"
        " JOIN resource s ON s.key = m.source JOIN resource t ON t.key = m.target",
    ),
    _Rule(
        "tombstone", "{0} ({1})", "the resource is there", RESTORE,
        "SELECT t.key, t.id FROM tombstone t JOIN resource r ON r.id = t.id OR r.key = t.key",
    ),
    _Rule(
        "tombstone", "{0} ({1})", "it is filed under another scope than its key's", REINDEX,
        "SELECT key, id FROM tombstone WHERE scope <> key >> 34",
    ),
    _Rule(
        "token", "{0}", "there never was such a user in its tenant", TOKEN,
        f"SELECT o.id FROM token o WHERE o.user_id IS NOT NULL AND {_NO_ACCOUNT.format(id='o.user_id')}",
    ),
    _Rule(
        "outbox", "{0}", "there never was such an account in its tenant", MAIL,
        f"SELECT o.number FROM outbox o WHERE {_NO_ACCOUNT.format(id='o.resource_id')}",
    ),
    _Rule(
        "audit", "of tenant {0}", "there is no such tenant", RESTORE,
        "SELECT DISTINCT a.tenant FROM audit a WHERE NOT EXISTS (SELECT 1 FROM tenant t WHERE t.number = a.tenant)",
    ),
    _Rule(
        "audit", "from {0} on", "there is no such resource type", RESTORE,
        "SELECT min(a.number) FROM audit a WHERE NOT EXISTS (SELECT 1 FROM resource_type t"
        " WHERE t.name = a.resource_type) GROUP BY a.resource_type",
    ),
)  # fmt: skip


def check_rules(database: Database, _kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield what names something that is not there, each rule for itself."""
    for rule in _RULES:
        for row in database.each(rule.sql):
            yield Finding(rule.table, rule.row.format(*row), rule.problem, rule.mend)


def check_kinds(database: Database, kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield the references that no attribute allows."""
    numbers: dict[str, int] = dict(database.rows("SELECT name, number FROM resource_type"))
    kinds = {number: kind for name, number in numbers.items() if (kind := kind_of(name, frozenset()))}
    allowed = ["1 = 0"]
    for number, kind in kinds.items():
        for attribute, targets in kind.targets.items():
            types = ", ".join(str(numbers[name]) for name in sorted(targets & numbers.keys())) or _NONE
            allowed.append(
                f"(source >> 34) & 63 = {number} AND attribute = {attribute} AND (target >> 34) & 63 IN ({types})"
            )
    sources = ", ".join(map(str, kinds)) or _NONE
    for table in ("reference", "lost_reference"):
        wrong = f"(source >> 34) & 63 IN ({sources}) AND NOT ({' OR '.join(allowed)})"
        sql = f"SELECT source, target FROM {table} WHERE {wrong}"
        for source, target in database.each(sql):
            yield broken(table, _LINK.format(source, target), "no attribute allows it")


def check_cycles(database: Database, _kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield what contains itself; of one tenant's resources at a time."""
    sql = "SELECT source, target, attribute FROM reference WHERE source >> 34 = target >> 34 ORDER BY source, attribute"
    for _, rows in groupby(database.each(sql), key=lambda row: scope_in(row[0])):
        edges: defaultdict[int, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for source, target, attribute in rows:
            edges[attribute][source].add(target)
        for targets in edges.values():
            if circle := _circle(targets):
                first = min(circle)
                yield broken("reference", f"from {first} on", f"{len(circle)} resources contain themselves")


def _circle(targets: dict[int, set[int]]) -> set[int]:
    """Return the nodes of a graph that are in circles or between them."""
    backwards: defaultdict[int, set[int]] = defaultdict(set)
    for source, found in targets.items():
        for target in found:
            backwards[target].add(source)
    nodes = targets.keys() & backwards.keys()
    for onwards, back in ((targets, backwards), (backwards, targets)):
        left = {node: len(onwards.get(node, set()) & nodes) for node in nodes}
        ends = [node for node, count in left.items() if not count]
        while ends:
            node = ends.pop()
            nodes.discard(node)
            for neighbour in back.get(node, set()) & nodes:
                left[neighbour] -= 1
                if not left[neighbour]:
                    ends.append(neighbour)
    return nodes


def check_totals(database: Database, _kind_of: KindOf, _advance: Advance) -> Iterator[Finding]:
    """Yield the collections whose total, or next number, is not what the resources say."""
    with database.snapshot():
        known = {scope: (next_, total) for scope, next_, total in database.rows("SELECT * FROM collection")}
        tenants = {number for (number,) in database.each("SELECT number FROM tenant")}
        expected = expected_totals(database)
    for scope in sorted(known.keys() | expected.keys()):
        highest, total = expected.get(scope, (0, 0))
        if tenant_in_scope(scope) not in tenants:
            yield broken("collection", str(scope), "there is no such tenant")
        if scope not in known:
            yield stale("collection", str(scope), "it is missing")
            continue
        if known[scope][1] != total:
            yield stale("collection", str(scope), f"the total is {known[scope][1]} and should be {total}")
        if known[scope][0] <= highest:
            yield stale("collection", str(scope), f"the next number is {known[scope][0]}, after {highest}")


def expected_totals(database: Database) -> dict[int, tuple[int, int]]:
    """Return of each scope the highest number that was given to a resource, and how many are there."""
    found = {
        scope: (order_in(key), total)
        for scope, total, key in database.each("SELECT scope, count(*), max(key) FROM resource GROUP BY scope")
    }
    for scope, key in database.each("SELECT scope, max(key) FROM tombstone GROUP BY scope"):
        highest, total = found.get(scope, (0, 0))
        found[scope] = max(highest, order_in(key)), total
    return found


def check_tombstones(database: Database, _kind_of: KindOf, advance: Advance) -> Iterator[Finding]:
    """Yield what is wrong with what was deleted."""
    columns = ["id", "version", "created", "modified", "deleted", "template"]
    for rows in batches(database, TOMBSTONE, columns):
        for row in rows:
            for problem in _wrong_with(row):
                yield broken("tombstone", f"{row[0]} ({row[1]})", problem)
        advance(len(rows))


def _wrong_with(tombstone: Row) -> Iterator[str]:
    _, id, version, created, modified, deleted, body = tombstone
    if not isinstance(version, int) or version < 1:
        yield "the version is no positive number"
    if not all(map(is_instant, (created, modified, deleted))):
        yield "the times of creation, change and deletion are not such"
    elif not created <= modified <= deleted:
        yield "it was changed before it was created, or after it was deleted"
    try:
        if template.stored(body).get("id") != id:
            yield "the body is that of another resource"
    except UNREADABLE:
        yield "the body cannot be read"


def check_instants(database: Database, _kind_of: KindOf, advance: Advance) -> Iterator[Finding]:
    """Yield times that are none."""
    for table in TABLES:
        if table is RESOURCE or not table.instants:
            continue
        for rows in batches(database, table, table.instants):
            for row in rows:
                key, instants = row[: len(table.key)], row[len(table.key) :]
                if wrong := [n for n, at in zip(table.instants, instants, strict=True) if not _may_be(at)]:
                    yield broken(table.name, " ".join(map(str, key)), f"{', '.join(wrong)}: not a time")
            advance(len(rows))


def _may_be(at: object) -> bool:
    return at is None or is_instant(at)
