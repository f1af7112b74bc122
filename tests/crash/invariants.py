"""What must hold of a database whatever happened to it? All that its check verifies, and what the audit counts."""

from functools import cache

from scim_server.protocol.registry import Registry
from scim_server.resources.upkeep import kinds_in
from scim_server.storage import integrity
from scim_server.storage.database import Database, SqlError

_kinds_in = cache(kinds_in)
_ALL = "(SELECT id, version, 0 AS gone FROM resource UNION ALL SELECT id, version, 1 FROM tombstone)"
_RULES = {
    "the audit begins with the one creation": (
        "SELECT resource_id FROM audit GROUP BY resource_id HAVING sum(operation = 'create') <> 1"
        " OR min(number) <> min(CASE operation WHEN 'create' THEN number END)"
    ),
    "whatever is deleted was deleted once more than it was restored": (
        f"SELECT id FROM {_ALL} WHERE gone <> (SELECT coalesce(sum(operation = 'delete'), 0)"
        " - coalesce(sum(operation = 'restore'), 0) FROM audit WHERE resource_id = id)"
    ),
    "a version counts the changes that were audited": (
        f"SELECT r.id, r.version, count(a.number) FROM {_ALL} r LEFT JOIN audit a ON a.resource_id = r.id"
        " AND a.operation <> 'delete' GROUP BY r.id HAVING r.version <> count(a.number)"
    ),
}
"""Sentences, and statements that find what breaks them."""


def broken(database: Database, registry: Registry) -> list[str]:
    """Return a sentence for everything in a database that must not be, none for a sound one."""
    found = [str(finding) for finding in integrity.check(database, _kinds_in(registry))]
    try:
        return found + [f"{sentence}: {row}" for sentence, sql in _RULES.items() for row in database.rows(sql)]
    except SqlError as error:
        return [*found, f"the audit can be read: {error}"]
