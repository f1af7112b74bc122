"""Every invariant is broken once, and that is noticed."""

from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.grams import index_pending
from scim_server.storage.opening import open_database
from tests.crash.invariants import broken
from tests.crash.model import write
from tests.storage.conftest import house_on

A_USER = "(SELECT key FROM resource WHERE user_name = 'w0-3')"
ANOTHER = "(SELECT key FROM resource WHERE user_name = 'w0-4')"
GROUP = "(SELECT key FROM resource WHERE display_name = 'w0')"
BREAKS = {
    "every resource has a body": f"DELETE FROM body WHERE key = {A_USER}",
    "every body belongs to a resource": "INSERT INTO body VALUES (1, x'7b7d')",
    "a resource is live or deleted": (
        "INSERT INTO tombstone SELECT key, scope, id, version, created, modified, modified, template"
        f" FROM resource JOIN body USING (key) WHERE key = {A_USER}"
    ),
    "a value belongs to a resource": "INSERT INTO value VALUES (1, 1, 1, 1, 'x')",
    "a unique key belongs to a resource": "INSERT INTO unique_key VALUES (1, 1, 'x', 1)",
    "a password belongs to a resource": "INSERT INTO password VALUES (1, 'x')",
    "what refers is a resource": f"UPDATE reference SET source = 1 WHERE target = {A_USER}",
    "what is referred to is a resource": f"UPDATE reference SET target = 1 WHERE target = {A_USER}",
    "a total is the number of resources": "UPDATE collection SET total = total + 1",
    "every resource is counted": "DELETE FROM collection",
    "no time lies before the one it follows": f"UPDATE resource SET modified = '2000' WHERE key = {A_USER}",
    "the audit begins with the one creation": "UPDATE audit SET operation = 'patch' WHERE operation = 'create'",
    "whatever is deleted was deleted once more than it was restored": "DELETE FROM audit WHERE operation = 'delete'",
    "a lost reference has a side that is deleted": "INSERT INTO lost_reference SELECT * FROM reference",
    "both sides of a lost reference are kept": "UPDATE lost_reference SET target = 1",
    "mail is about a resource that is or was": (
        "INSERT INTO outbox (tenant, resource_id, message_id, created, tries) SELECT number, 'x', 'x', 'x', 0 FROM tenant"
    ),
    "a version counts the changes that were audited": f"UPDATE resource SET version = version + 1 WHERE key = {A_USER}",
    "the next creation number is free": "UPDATE collection SET next = 2",
    "a body is JSON": f"UPDATE body SET template = x'7b' WHERE key = {A_USER}",
    "a row says what its body says": f"UPDATE resource SET display = 'x' WHERE key = {A_USER}",
    "a resource is indexed by what its body says": f"UPDATE resource SET title = 'x' WHERE key = {A_USER}",
    "a resource is found by its grams": "INSERT INTO gram (gram) VALUES ('delete-all')",
    "references stay in their tenant": (
        f"INSERT INTO resource (key, scope, id, version, created, modified) SELECT key + (1 << 40), scope, 'x', 1, created, modified"
        f" FROM resource WHERE key = {A_USER}; UPDATE reference SET target = target + (1 << 40) WHERE target = {A_USER}"
    ),
    "no group contains itself": f"INSERT INTO reference SELECT {GROUP}, attribute, {GROUP} FROM reference WHERE target = {A_USER}",
    "integrity_check": "CREATE TABLE x (n CHECK (n > 0)); PRAGMA ignore_check_constraints = 1; INSERT INTO x VALUES (0); PRAGMA ignore_check_constraints = 0",
    "the database can be read": "DROP TABLE audit",
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_what_breaks_an_invariant_is_noticed(prepared: Path, registry: Registry, sentence: str) -> None:
    house = house_on(open_database(f"sqlite:///{prepared / 'x.db'}"), registry)
    for number in range(6):
        write(house, "w", number)
    with house.database.transaction():
        index_pending(house.database)
    assert broken(house.database, registry) == []
    for sql in BREAKS[sentence].split("; "):
        house.database.run(sql)
    assert {line.partition(":")[0] for line in broken(house.database, registry)} >= {sentence}
    house.database.close()
