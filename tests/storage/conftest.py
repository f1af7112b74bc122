from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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
from scim_server.storage.opening import open_database
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


@pytest.fixture
def house(prepared: Database, registry: Registry) -> House:
    return furnished(prepared, registry)


def furnished(database: Database, registry: Registry, **settings: str) -> House:
    """Return what works on a database that has all tables; it has one tenant or gets it."""
    if not tenants.every(database):
        tenants.create(database, "default", "Example Company")
    tenant = tenants.find(database, None)
    numbers = database.type_numbers(registry.resource_types)
    shared = Shared(database, registry, read_settings({"SCIM_BASE_URL": BASE_URL, **settings}), numbers, b"k" * 32)
    return House(database, all_resources(shared), Principal("test", tenant, frozenset({"admin"}), habits=Habits(ALL)))


def house_on(database: Database, registry: Registry, **settings: str) -> House:
    """Return what works on a database, whatever its state."""
    database.upgrade()
    return furnished(database, registry, **settings)


@contextmanager
def housed(path: Path, registry: Registry, **settings: str) -> Iterator[House]:
    """A house on an SQLite file."""
    with closing(open_database(f"sqlite:///{path}")) as database:
        yield house_on(database, registry, **settings)


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
