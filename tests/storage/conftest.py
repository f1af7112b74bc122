from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from scim_server import tenants
from scim_server.config import read_settings
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.registry import Registry
from scim_server.resources.base import Resources
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.storage.database import Database
from scim_server.tokens import Principal

BASE_URL = "https://x.example/scim/v2"


@dataclass(frozen=True)
class House:
    """A fresh database with one tenant, and the operations on it without HTTP."""

    database: Database
    resources: dict[str, Resources]
    by: Principal

    def renewed(self) -> "House":
        """Return the house for the caller's next request, which has the tenant's policies of then."""
        return replace(self, by=replace(self.by, tenant=tenants.find(self.database, self.by.tenant.name)))


def house_on(database: Database, registry: Registry, **settings: str) -> House:
    """Return what works on a database, which has one tenant or gets it."""
    database.upgrade()
    if not tenants.every(database):
        tenants.create(database, "default", "Example Company")
    tenant = tenants.find(database, None)
    numbers = database.type_numbers(registry.resource_types)
    shared = Shared(database, registry, read_settings({"SCIM_BASE_URL": BASE_URL, **settings}), numbers, b"k" * 32)
    return House(database, all_resources(shared), Principal("test", tenant, frozenset({"admin"}), habits=Habits(ALL)))


@contextmanager
def housed(path: Path, registry: Registry, **settings: str) -> Iterator[House]:
    """A house in a file."""
    made = house_on(Database(f"sqlite:///{path}"), registry, **settings)
    yield made
    made.database.close()


@pytest.fixture
def house(tmp_path: Path, registry: Registry) -> Iterator[House]:
    with housed(tmp_path / "x.db", registry) as made:
        yield made


@pytest.fixture
def statements(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], list[tuple[str, Any]]]:
    """Return the statements that a call sends, with their parameters."""

    def record(call: Callable[[], Any]) -> list[tuple[str, Any]]:
        seen: list[tuple[str, Any]] = []
        execute = house.database.peewee.execute_sql

        def listen(sql: str, params: Any = None) -> Any:
            seen.append((sql, params))
            return execute(sql, params)

        with monkeypatch.context() as patch:
            patch.setattr(house.database.peewee, "execute_sql", listen)
            call()
        return seen

    return record
