"""Where are the hashes of passwords?"""

from typing import NamedTuple

from scim_server.storage.database import Database


class Account(NamedTuple):
    """What decides on a sign-in: the comparison keys of columns, and the password's hash."""

    id: str
    hash: str | None
    active: str | None
    valid_from: str | None
    valid_until: str | None


def get(database: Database, scope: int, id: str) -> str | None:
    """Return the hash of a resource's password, if both exist."""
    sql = "SELECT p.hash FROM resource r JOIN password p ON p.resource = r.key WHERE r.id = ? AND r.scope = ?"
    found = database.row(sql, (id, scope))
    return str(found[0]) if found else None


def put(database: Database, key: int, hash: str | None) -> bool:
    """Keep the hash of a resource's password, or remove it; tell whether anything changed."""
    if hash is None:
        return database.run("DELETE FROM password WHERE resource = ?", (key,)) > 0
    changed = database.run(
        "INSERT INTO password (resource, hash) VALUES (?, ?) ON CONFLICT (resource) DO UPDATE SET hash = excluded.hash"
        " WHERE password.hash <> excluded.hash",
        (key, hash),
    )
    return changed > 0


def account(database: Database, scope: int, user_name: str) -> Account | None:
    """Return the account whose userName has a comparison key, if there is one."""
    found = database.row(
        "SELECT r.id, p.hash, r.active, r.valid_from, r.valid_until FROM resource r LEFT JOIN password p"
        " ON p.resource = r.key WHERE r.scope = ? AND substr(r.user_name, 1, 200) = ? AND r.user_name = ?",
        (scope, user_name[:200], user_name),
    )
    return Account._make(found) if found else None
