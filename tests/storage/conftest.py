from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scim_server import tenants
from scim_server.protocol.registry import Registry
from scim_server.resources.base import Resources
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.storage.database import Database
from scim_server.tokens import Principal


@dataclass(frozen=True)
class House:
    """A fresh database with one tenant, and the operations on it without HTTP."""

    database: Database
    resources: dict[str, Resources]
    by: Principal


@pytest.fixture
def house(tmp_path: Path, registry: Registry) -> Iterator[House]:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.upgrade()
    tenant = tenants.create(database, "default", "Example Company")
    shared = Shared(
        database, registry, "https://x.example/scim/v2", database.type_numbers(registry.resource_types), b"k" * 32, 100
    )
    yield House(database, all_resources(shared), Principal("test", tenant, frozenset({"admin"})))
    database.close()
