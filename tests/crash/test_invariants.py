"""What breaks the database or its audit is noticed; each thing that the check finds has a test of its own."""

from contextlib import closing
from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.grams import index_pending
from scim_server.storage.opening import open_database
from tests.crash.invariants import broken
from tests.crash.model import write
from tests.storage.conftest import house_on

A_USER = "(SELECT key FROM resource WHERE user_name = 'w0-3')"
BREAKS = {
    "the audit begins with the one creation": "UPDATE audit SET operation = 'patch' WHERE operation = 'create'",
    "whatever is deleted was deleted once more than it was restored": "DELETE FROM audit WHERE operation = 'delete'",
    "a version counts the changes that were audited": f"UPDATE resource SET version = version + 1 WHERE key = {A_USER}",
    "the audit can be read": "DROP TABLE audit",
    "The database: the table habit is missing": "DROP TABLE habit",
    "resource": f"DELETE FROM body WHERE key = {A_USER}",
    "value": f"DELETE FROM value WHERE resource = {A_USER}",
    "reference": f"UPDATE reference SET target = 1 WHERE target = {A_USER}",
    "collection": "UPDATE collection SET total = total + 1",
    "gram": "INSERT INTO gram (gram) VALUES ('delete-all')",
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_what_breaks_an_invariant_is_noticed(prepared: Path, registry: Registry, sentence: str) -> None:
    with closing(open_database(f"sqlite:///{prepared / 'x.db'}")) as database:
        house = house_on(database, registry)
        for number in range(6):
            write(house, "w", number)
        with database.transaction():
            index_pending(database)
        assert broken(database, registry) == []
        database.run(BREAKS[sentence])
        assert any(line.startswith(sentence) for line in broken(database, registry))
