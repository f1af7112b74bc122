"""One real server for the whole run; every test gets a tenant of its own, so order does not matter."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import pytest
from flask import Flask

from scim_server import config, tenants, tokens
from scim_server.protocol.registry import Registry, load_registry
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database
from tests.cluster import Databases
from tests.postgres import databases
from tests.server import Server

_names = count(1)
ON_SQLITE = pytest.mark.parametrize("kind", ["sqlite"], indirect=True, scope="session")
"""For what only SQLite does, or what is told by its means: plans, steps, files."""
_ORDER = ["sqlite", "postgres"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Finish with one kind of database before the next: a change of it ends its servers and all that modules prepared.

    pytest brings together what has a parameter in common, but alternates where there are two of them.
    """

    def place(item: pytest.Item) -> tuple[int, Path]:
        kind = item.callspec.params.get("kind") if isinstance(item, pytest.Function) and "callspec" in vars(item) else 0
        return _ORDER.index(kind) + 1 if kind in _ORDER else 0, item.path

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def no_late_writes() -> Iterator[None]:
    """Let applications in this process write nothing at its end, when their databases are gone."""

    def register(_: object) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scim_server.app.atexit", SimpleNamespace(register=register))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """A PostgreSQL server in which tests make databases."""
    with databases() as made:
        yield made


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database that a test runs on; it runs on each."""
    return str(request.param)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def reused(postgres: Databases) -> Iterator[tuple[str, Database]]:
    """A PostgreSQL database that is emptied after each test, which is quicker than to make another one; its URL."""
    url = postgres.prepared()
    with closing(open_database(url)) as opened:
        yield url, opened


@pytest.fixture(scope="session")
def with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to copy, which is quicker than to make another one."""
    path = tmp_path_factory.mktemp("with_tables") / "x.db"
    with closing(open_database(f"sqlite:///{path}")) as opened:
        opened.upgrade()
    return path


@pytest.fixture
def prepared_url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database with all tables, and nothing in them."""
    if kind == "sqlite":
        yield f"sqlite:///{shutil.copy(request.getfixturevalue('with_tables'), tmp_path)}"
        return
    url, opened = request.getfixturevalue("reused")
    yield url
    tables = set(opened.peewee.get_tables()) - {"schema_migration"}
    opened.run(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")


@pytest.fixture
def prepared(kind: str, prepared_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with all tables, and nothing in them."""
    if kind == "postgres":
        yield request.getfixturevalue("reused")[1]
        return
    with closing(open_database(prepared_url)) as opened:
        yield opened


@pytest.fixture(scope="session")
def fresh(kind: str, request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Return a function that returns the settings of a server on a fresh database without tables."""
    if kind == "sqlite":
        return dict
    postgres: Databases = request.getfixturevalue("postgres")
    return lambda: {"SCIM_DATABASE_URL": postgres.empty()}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, fresh: Callable[[], dict[str, str]]) -> Iterator[Server]:
    """A gunicorn with two workers over a fresh database, with which nothing is wrong after all tests."""
    directory = tmp_path_factory.mktemp("server")
    with Server(directory, fresh()).initialised().started() as running:
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
def callers(server: Server, registry: Registry) -> Iterator[Callable[[], Caller]]:
    """Make callers, each of a tenant of its own."""
    database = open_database(server.settings.database_url)
    key = config.server_key(server.settings)
    clients: list[httpx.Client] = []

    def make() -> Caller:
        tenant = tenants.create(database, f"t{next(_names)}-{os.getpid()}", "Example Company")

        def token_for(*scopes: str, user: str | None = None) -> httpx.Client:
            chosen = tokens.read_scopes(registry, scopes)
            token = tokens.create(database, key, tenant, "test", chosen, 1, user)
            headers = {"Authorization": f"Bearer {token}"}
            # To verify, a client reads all certificates of the machine, which takes longer than its requests.
            client = httpx.Client(base_url=server.settings.base_url, headers=headers, timeout=30, verify=False)
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
    opened = open_database(server.settings.database_url)
    yield opened
    opened.close()
