"""A full disk, files that cannot be written: writes are refused whole and can be repeated, reads go on."""

import random
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from scim_server.protocol.errors import ScimError
from scim_server.protocol.registry import Registry
from scim_server.resources.body import Text, gathered
from scim_server.storage.database import Database, Unavailable
from scim_server.storage.opening import open_database
from tests.crash import ordinary
from tests.crash.disk import DatabaseOn, Disk
from tests.crash.invariants import broken
from tests.crash.model import Model, id_in, observed, write
from tests.scim import BULK_REQUEST, PATCH_OP, assert_scim_error
from tests.server import SCIM_SERVER, Server
from tests.storage.conftest import house_on

ORDINARY = (sys.executable, ordinary.__file__, *SCIM_SERVER, "serve")
"""Starts the server so that permissions bind it."""


@pytest.mark.parametrize("pages", [4000, 1])
def test_a_disk_that_is_full_from_any_write_on_refuses_a_request_whole(
    prepared: Path, registry: Registry, pages: int
) -> None:
    """With a cache of one page the disk is full before the commit already."""
    disk = Disk(prepared, random.Random(0))
    database, other = (DatabaseOn(prepared / "x.db", disk, cache_size=pages) for _ in range(2))
    house, model = house_on(database, registry), Model("f")
    # While another process has the database open, none that closes it moves the log into it.
    assert other.applied()
    refused = 0
    for number in range(6):
        for disk.room in count():
            try:
                write(house, model.prefix, number)
            except Unavailable:
                refused += 1
                assert observed(database, model.prefix) == model.state()
            else:
                break
        disk.room = None
        model.apply()
        assert observed(database, model.prefix) == model.state()
        assert broken(database, registry) == []
    assert refused > 100
    database.close()
    other.close()
    with closing(open_database(f"sqlite:///{database.path}")) as found:
        assert broken(found, registry) == []
        assert observed(found, model.prefix) == model.state()


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path, {"SCIM_WORKERS": "2", "SCIM_THREADS": "1"}).initialised()


@dataclass(frozen=True)
class Client:
    """A client with a user and a group, each of whose requests may reach another worker."""

    http: httpx.Client
    user: str
    group: str
    registry: Registry
    database: Database

    def read(self) -> dict[str, Any]:
        answer = self.http.get("")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    def writes(self) -> Sequence[Callable[[], httpx.Response]]:
        """Return a write of each kind."""
        add = [{"op": "add", "path": "members", "value": [{"value": self.user}]}]
        operation = {"method": "POST", "path": "/Users", "bulkId": "b", "data": {"userName": "in bulk"}}
        return (
            lambda: self.http.post("Users", json={"userName": "alone"}),
            lambda: self.http.post("Users", json={"userName": "once"}, headers={"Idempotency-Key": "k"}),
            lambda: self.http.put(f"Users/{self.user}", json={"userName": "renamed"}),
            lambda: self.http.patch(f"Groups/{self.group}", json={"schemas": [PATCH_OP], "Operations": add}),
            lambda: self.http.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": [operation]}),
            lambda: self.http.delete(f"Groups/{self.group}"),
        )

    def assert_only_reads(self, before: dict[str, Any]) -> None:
        for write_one in self.writes() * 2:
            refused = write_one()
            assert_scim_error(refused, 503)
            assert refused.headers["Retry-After"] == "5"
            assert self.read() == before

    def assert_writes(self) -> None:
        for write_one in self.writes():
            # A worker may have opened the files while it could not write them; it finds that out once.
            answers = (write_one() for _ in range(3))
            assert next(answer for answer in answers if answer.status_code != 503).is_success
        names = {found.get("userName") or found["displayName"] for found in self.read()["Resources"]}
        assert names == {"alone", "once", "renamed", "in bulk"}
        assert broken(self.database, self.registry) == []


@pytest.fixture
def client(server: Server, registry: Registry) -> Iterator[Client]:
    headers = {"Authorization": f"Bearer {server.token('admin')}", "Connection": "close"}
    database = open_database(server.settings.database_url)
    house = house_on(database, registry)
    house.resources["User"].create(house.by, {"userName": "bjensen"})
    house.resources["Group"].create(house.by, {"displayName": "Guides"})
    ids = (id_in(database, "User", "bjensen"), id_in(database, "Group", "guides"))
    database.close()
    with closing(database), httpx.Client(base_url=server.settings.base_url, headers=headers) as http:
        yield Client(http, *ids, registry, database)


def test_on_a_full_disk_writes_are_503_and_reads_go_on(server: Server, client: Client) -> None:
    """No file of the server may grow any more, which anybody may ask of the system: no disk need be filled."""

    def let_files_grow_to(size: int) -> None:
        assert server.process
        master = server.process.pid
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for process in (master, *map(int, workers)):
            resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    with server.started():
        # The log of the database grows a little, and is not empty.
        assert client.http.put(f"Users/{client.user}", json={"userName": "bjensen", "title": "Guide"}).is_success
        before = client.read()
        let_files_grow_to((server.settings.data_dir / "scim.db-wal").stat().st_size)
        client.assert_only_reads(before)
        let_files_grow_to(resource.RLIM_INFINITY)
        client.assert_writes()


@contextmanager
def unwritable(directory: Path) -> Iterator[None]:
    """Let nobody whom permissions bind write in a directory."""
    files = list(directory.iterdir())
    for path in files:
        path.chmod(0o400)
    directory.chmod(0o500)
    try:
        yield
    finally:
        directory.chmod(0o700)
        for path in files:
            path.chmod(0o600)


def test_where_files_can_only_be_read_writes_are_503_and_reads_go_on(server: Server, client: Client) -> None:
    """The workers open their files when they get the first request that needs them."""
    with server.started(ORDINARY):
        # The files that readers need are there, as another process has the database open.
        before = client.database.rows("SELECT id FROM resource")
        with unwritable(server.settings.data_dir):
            seen = client.read()
            assert {found["id"] for found in seen["Resources"]} == {id for (id,) in before}
            client.assert_only_reads(seen)
        client.assert_writes()


def test_where_files_can_only_be_read_the_server_says_so_and_does_not_start(server: Server) -> None:
    data = server.settings.data_dir
    with unwritable(data):
        for command in (ORDINARY, (*ORDINARY[:-1], "check")):
            done = server.run(command)
            assert done.returncode == 1
            last = done.stderr.splitlines()[-1]
            assert last == f"scim-server: {data} cannot be written to; the server needs the database and its directory."
    assert server.run((*ORDINARY[:-1], "check")).returncode == 0


def test_an_answer_for_which_there_is_no_room_is_503(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    large = Text(b"[", lambda: iter([b"0" * 2_000_000, b"]"]))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(ScimError, match="no room") as refusal:
        gathered([large])
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "5"})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = gathered([large])
    assert not isinstance(file, bytes)
    with file:
        assert len(file.read()) == 2_000_002
