"""One real server for the whole run; every test gets a tenant of its own, so order does not matter."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import httpx2 as httpx
import pytest
from flask import Flask

from scim_server import config, tenants, tokens
from scim_server.protocol.registry import Registry, load_registry
from scim_server.storage.database import Database
from tests.server import Server

_names = count(1)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gunicorn with two workers over a fresh SQLite file, with which nothing is wrong after all tests."""
    directory = tmp_path_factory.mktemp("server")
    with Server(directory).initialised().started() as running:
        yield running
    done = running.command("check", "--data")
    assert done.returncode == 0, done.stdout


@dataclass(frozen=True)
class Caller:
    """A tenant and an HTTP client that acts for it."""

    tenant: tenants.Tenant
    http: httpx.Client
    token_for: Callable[..., httpx.Client]
    """Return a client whose token has only the given scopes, and may be a user's own."""

    def local(self, app: Flask) -> httpx.Client:
        """Return a client of an application in this process, with the same token."""
        return httpx.Client(
            transport=httpx.WSGITransport(app=app),
            base_url=self.http.base_url,
            headers={"Authorization": self.http.headers["Authorization"]},
        )


@pytest.fixture
def callers(server: Server) -> Iterator[Callable[[], Caller]]:
    """Make callers, each of a tenant of its own."""
    database = Database(server.settings.database_url)
    registry = load_registry()
    key = config.server_key(server.settings)
    clients: list[httpx.Client] = []

    def make() -> Caller:
        tenant = tenants.create(database, f"t{next(_names)}-{os.getpid()}", "Example Company")

        def token_for(*scopes: str, user: str | None = None) -> httpx.Client:
            chosen = tokens.read_scopes(registry, scopes)
            token = tokens.create(database, key, tenant, "test", chosen, 1, user)
            client = httpx.Client(
                base_url=server.settings.base_url, headers={"Authorization": f"Bearer {token}"}, timeout=30
            )
            clients.append(client)
            return client

        return Caller(tenant, token_for("admin"), token_for)

    yield make
    for client in clients:
        client.close()
    database.close()


@pytest.fixture
def caller(callers: Callable[[], Caller]) -> Caller:
    return callers()


@pytest.fixture
def http(caller: Caller) -> httpx.Client:
    """A client with every scope in a tenant of its own."""
    return caller.http


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """The running server's database, for looking behind the answers."""
    opened = Database(server.settings.database_url)
    yield opened
    opened.close()
