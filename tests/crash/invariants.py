"""What must hold of a database whatever happened to it?"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from scim_server import tenants
from scim_server.protocol import template
from scim_server.protocol.registry import Registry
from scim_server.storage import grams
from scim_server.storage.database import Database, SqlError
from scim_server.storage.documents import COLUMNS
from scim_server.storage.keys import key_of, scope_in, tenant_in, type_in
from scim_server.storage.rows import Rows, rows_of

_LIVE = "SELECT key FROM resource"
_KEPT = f"{_LIVE} UNION ALL SELECT key FROM tombstone"
_RULES = {
    "every resource has a body": f"{_LIVE} WHERE key NOT IN (SELECT key FROM body)",
    "every body belongs to a resource": f"SELECT key FROM body WHERE key NOT IN ({_LIVE})",
    "a resource is live or deleted": f"{_LIVE} WHERE key IN (SELECT key FROM tombstone) OR id IN (SELECT id FROM tombstone)",
    "a value belongs to a resource": f"SELECT resource, attribute FROM value WHERE resource NOT IN ({_LIVE})",
    "a unique key belongs to a resource": f"SELECT resource, attribute FROM unique_key WHERE resource NOT IN ({_LIVE})",
    "a password belongs to a resource": f"SELECT resource FROM password WHERE resource NOT IN ({_LIVE})",
    "what refers is a resource": f"SELECT source, target FROM reference WHERE source NOT IN ({_LIVE})",
    "what is referred to is a resource": f"SELECT source, target FROM reference WHERE target NOT IN ({_LIVE})",
    "a total is the number of resources": (
        "SELECT c.scope, c.total, n FROM collection c LEFT JOIN (SELECT scope, count(*) AS n FROM resource GROUP BY scope) r"
        " ON r.scope = c.scope WHERE c.total <> coalesce(n, 0)"
    ),
    "every resource is counted": f"{_LIVE} WHERE scope NOT IN (SELECT scope FROM collection)",
    "no time lies before the one it follows": (
        "SELECT id FROM resource WHERE modified < created"
        " UNION ALL SELECT id FROM tombstone WHERE modified < created OR deleted < modified"
    ),
    "the audit begins with the one creation": (
        "SELECT resource_id FROM audit GROUP BY resource_id HAVING sum(operation = 'create') <> 1"
        " OR min(number) <> min(CASE operation WHEN 'create' THEN number END)"
    ),
    "whatever is deleted was deleted once more than it was restored": (
        "SELECT id FROM (SELECT id, 0 AS gone FROM resource UNION ALL SELECT id, 1 FROM tombstone) WHERE gone <> (SELECT"
        " coalesce(sum(operation = 'delete'), 0) - coalesce(sum(operation = 'restore'), 0) FROM audit WHERE resource_id = id)"
    ),
    "a lost reference has a side that is deleted": (
        f"SELECT source, target FROM lost_reference WHERE source IN ({_LIVE}) AND target IN ({_LIVE})"
    ),
    "both sides of a lost reference are kept": (
        f"SELECT source, target FROM lost_reference WHERE source NOT IN ({_KEPT}) OR target NOT IN ({_KEPT})"
    ),
    "mail is about a resource that is or was": (
        "SELECT number FROM outbox WHERE resource_id NOT IN (SELECT id FROM resource UNION ALL SELECT id FROM tombstone)"
    ),
}
"""Sentences, and statements that find what breaks them."""
_HISTORY = (
    "SELECT r.id, r.version, count(a.number) FROM (SELECT id, version, 0 AS gone FROM resource UNION ALL"
    " SELECT id, version, 1 FROM tombstone) r LEFT JOIN audit a ON a.resource_id = r.id AND a.operation <> 'delete'"
    " GROUP BY r.id HAVING r.version <> count(a.number)"
)


def broken(database: Database, registry: Registry) -> list[str]:
    """Return a sentence for everything in a database that must not be, none for a sound one."""
    try:
        return _broken(database, registry)
    except SqlError as error:
        return [f"the database can be read: {error}"]


def _broken(database: Database, registry: Registry) -> list[str]:
    found = [f"integrity_check: {row[0]}" for row in database.rows("PRAGMA integrity_check") if row[0] != "ok"]
    if found:
        return found
    with database.snapshot():
        for sentence, sql in (*_RULES.items(), ("a version counts the changes that were audited", _HISTORY)):
            found += [f"{sentence}: {row}" for row in database.rows(sql)]
        found += _wrong_orders(database)
        found += _wrong_rows(database, registry)
        found += _wrong_references(database)
    return found


def _wrong_orders(database: Database) -> Iterator[str]:
    """Yield the scopes whose next creation number was given already."""
    last: dict[int, int] = defaultdict(int)
    for (key,) in database.rows("SELECT key FROM resource UNION ALL SELECT key FROM tombstone"):
        last[scope_in(key)] = max(last[scope_in(key)], key)
    for scope, following in database.rows("SELECT scope, next FROM collection"):
        if key_of(scope, following) <= last[scope]:
            yield f"the next creation number is free: {scope}, {following}"


def _wrong_rows(database: Database, registry: Registry) -> Iterator[str]:
    """Yield the resources whose columns, values, unique keys or grams are not those of their bodies."""
    names = {number: name for name, number in database.rows("SELECT name, number FROM resource_type")}
    policies = {tenant.number: tenant.policies for tenant in tenants.every(database)}
    values, unique = defaultdict[int, set[tuple[int, int, str]]](set), defaultdict[int, set[tuple[int, str]]](set)
    for key, attribute, element, text in database.rows("SELECT resource, attribute, element, key FROM value"):
        values[key].add((attribute, element, text))
    for key, attribute, digest in database.rows("SELECT resource, attribute, digest FROM unique_key"):
        unique[key].add((attribute, digest))
    pending = {key for (key,) in database.rows("SELECT key FROM gram_pending")}
    sql = f"SELECT r.key, r.id, r.scope, r.display, b.template, {', '.join(COLUMNS)} FROM resource r JOIN body b USING (key)"
    for key, id, scope, display, text, *columns in database.rows(sql):
        try:
            document = template.stored(text)
        except ValueError:
            yield f"a body is JSON: {id}"
            continue
        definition = registry.under(policies[tenant_in(key)]).resource_types[names[type_in(key)]]
        wanted = rows_of(definition, document)
        filled = {name: value for name, value in zip(COLUMNS, columns, strict=True) if value is not None}
        if (scope, document["id"], document.get("displayName")) != (scope_in(key), id, display):
            yield f"a row says what its body says: {id}"
        if Rows(filled, values[key], unique[key]) != wanted:
            yield f"a resource is indexed by what its body says: {id}"
        if key not in pending and (tokens := grams.tokens_of(filled)):
            sql = "SELECT 1 FROM gram WHERE gram MATCH ? AND rowid = ?"
            if not database.row(sql, (tokens, key)):
                yield f"a resource is found by its grams: {id}"


def _wrong_references(database: Database) -> Iterator[str]:
    """Yield references into another tenant, and circles of groups."""
    groups: dict[int, list[int]] = defaultdict(list)
    for source, target in database.rows("SELECT source, target FROM reference"):
        if tenant_in(source) != tenant_in(target):
            yield f"references stay in their tenant: {source}, {target}"
        if scope_in(source) == scope_in(target):
            groups[source].append(target)
    if circle := _in_circles(groups):
        yield f"no group contains itself: {sorted(circle)}"


def _in_circles(arrows: Mapping[int, list[int]]) -> set[int]:
    """Return what is left when everything that nothing points to is taken away, again and again."""
    pointed = Counter(target for targets in arrows.values() for target in targets)
    left = {*arrows, *pointed}
    free = [each for each in left if not pointed[each]]
    while free:
        each = free.pop()
        left.discard(each)
        for target in arrows.get(each, ()):
            pointed[target] -= 1
            if not pointed[target]:
                free.append(target)
    return left
