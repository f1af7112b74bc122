"""A PostgreSQL server that goes away, ends connections or has none left: 503 meanwhile, and nothing is lost."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import psycopg
import pytest

from scim_server.storage.database import Unavailable
from scim_server.storage.opening import open_database
from tests.cluster import Cluster, Databases
from tests.load import Load
from tests.scim import assert_scim_error
from tests.server import Server, wait_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of its own that syncs to the disk, since it is killed."""
    with Cluster(durable=True).running() as running:
        yield running


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Databases]:
    made = Databases(cluster.url)
    yield made
    made.drop_all()


def started(directory: Path, url: str, **settings: str) -> Load:
    server = Server(directory, {"SCIM_DATABASE_URL": url, **settings}).initialised()
    return Load(server, server.token("admin"))


TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'scim-server'"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT])
def test_a_server_that_is_killed_under_load_is_503_while_it_is_away(
    cluster: Cluster, place: Databases, tmp_path: Path, how: int
) -> None:
    load = started(tmp_path, place.empty())
    with load.server.started():
        workers = load.server.workers()
        with load.running():
            cluster.stop(how)
            load.wait_for_more((503,))
            before = load.answers[200] + load.answers[201]
            load.wait_for_more((503,))
            assert load.answers[200] + load.answers[201] == before
            cluster.start()
            load.wait_for_more()
        assert load.wrong == []
        assert load.refused == 0
        assert load.server.workers() == workers
        load.assert_kept()


def reload(server: Server) -> None:
    before = server.workers()
    assert server.process
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not set(before) & set(server.workers()))


def lose_workers(server: Server) -> None:
    before = server.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not set(before) & set(server.workers()))


def assert_away(http: httpx.Client) -> None:
    response = http.get("Users")
    assert_scim_error(response, 503)
    assert response.headers["Retry-After"]


@pytest.mark.parametrize("replace", [reload, lose_workers])
def test_workers_that_start_while_the_server_is_away_are_503_until_it_is_back(
    cluster: Cluster, place: Databases, tmp_path: Path, replace: Callable[[Server], None]
) -> None:
    load = started(tmp_path, place.empty())
    headers = {"Authorization": f"Bearer {load.token}", "Connection": "close"}
    with load.server.started(), httpx.Client(base_url=load.server.settings.base_url, headers=headers) as http:
        cluster.stop()
        replace(load.server)
        for _ in range(20):
            assert_away(http)
        cluster.start()
        with load.running():
            load.wait_for_more()
        assert load.wrong == []
        assert load.refused == 0
        load.assert_kept()


def test_a_worker_that_started_without_its_database_takes_no_other_one_for_it(place: Databases, tmp_path: Path) -> None:
    url = place.empty()
    name = urlsplit(url).path[1:]
    load = started(tmp_path, url, SCIM_WORKERS="1")
    headers = {"Authorization": f"Bearer {load.token}"}
    with load.server.started(), httpx.Client(base_url=load.server.settings.base_url, headers=headers) as http:
        place.execute(TERMINATE)
        wait_for(lambda: place.execute("SELECT count(*) FROM pg_stat_activity WHERE datname <> 'postgres'") == [(0,)])
        place.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
        reload(load.server)
        assert_away(http)
        place.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        assert_away(http)
        assert "is not initialised; run scim-server init." in load.server.log.read_text()
        place.execute(f"DROP DATABASE {name}")
        place.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
        assert http.post("Users", json={"userName": "first"}).status_code == 201


def test_connections_that_are_ended_under_load_cost_a_503_at_most(place: Databases, tmp_path: Path) -> None:
    load = started(tmp_path, place.empty())
    with load.server.started():
        with load.running():
            for _ in range(20):
                place.execute(TERMINATE)
                time.sleep(0.05)
            load.wait_for_more()
        assert load.wrong == []
        load.assert_kept()


def test_a_connection_that_was_lost_while_nobody_used_it_is_replaced_unnoticed(
    cluster: Cluster, place: Databases, tmp_path: Path
) -> None:
    load = started(tmp_path, place.empty(), SCIM_WORKERS="1", SCIM_THREADS="1")
    headers = {"Authorization": f"Bearer {load.token}"}
    with load.server.started(), httpx.Client(base_url=load.server.settings.base_url, headers=headers) as http:
        assert http.post("Users", json={"userName": "u0"}).status_code == 201
        place.execute(TERMINATE)
        assert http.get("Users").status_code == 200
        place.execute(TERMINATE)
        assert http.post("Users", json={"userName": "u1"}).status_code == 201
        cluster.stop()
        cluster.start()
        assert http.get("Users").json()["totalResults"] == 2


def test_a_server_without_a_connection_left_is_503_and_recovers(place: Databases, tmp_path: Path) -> None:
    url = place.of_role("few", "CONNECTION LIMIT 2")
    # A second worker might start only when no connection is left for it to look at the database.
    load = started(tmp_path, url, SCIM_WORKERS="1")
    with load.server.started():
        with load.running(threads=8):
            load.wait_for_more((503,))
            load.wait_for_more()
        assert load.wrong == []
        place.execute(f"ALTER ROLE {urlsplit(url).username} CONNECTION LIMIT 20")
        with Load(load.server, load.token).running(threads=8) as later:
            later.wait_for_more()
        assert later.wrong == []
        assert later.answers[503] == 0
        load.assert_kept()


def test_a_writer_that_stands_still_makes_the_others_503_until_it_is_ended(place: Databases, tmp_path: Path) -> None:
    url = place.empty()
    quick = "&options=-clock_timeout%3D200ms%20-cidle_in_transaction_session_timeout%3D1s"
    load = started(tmp_path, url + quick, SCIM_WORKERS="1")
    headers = {"Authorization": f"Bearer {load.token}"}
    stuck = open_database(url + quick)
    http = httpx.Client(base_url=load.server.settings.base_url, headers=headers)
    with load.server.started(), http, pytest.raises(Unavailable), stuck.transaction():
        stuck.run("UPDATE tenant SET company_name = 'never'")
        response = http.post("Users", json={"userName": "x"})
        assert_scim_error(response, 503)
        assert response.headers["Retry-After"]
        assert http.get("Users").status_code == 200
        wait_for(lambda: http.post("Users", json={"userName": "y"}).status_code == 201)
        stuck.run("UPDATE tenant SET company_name = 'never'")
    stuck.close()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT company_name FROM tenant").fetchone() == ("Default Company",)


def test_a_request_under_a_key_is_done_once_though_its_connection_is_lost(place: Databases, tmp_path: Path) -> None:
    load = started(tmp_path, place.empty())
    headers = {"Authorization": f"Bearer {load.token}"}
    with load.server.started(), httpx.Client(base_url=load.server.settings.base_url, headers=headers) as http:
        for number in range(30):
            place.execute(TERMINATE)
            statuses = []
            while statuses[-1:] != [201]:
                response = http.post(
                    "Users", json={"userName": f"u{number}"}, headers={"Idempotency-Key": f"k{number}"}
                )
                statuses.append(response.status_code)
                assert response.status_code in (201, 503), response.text
        assert http.get("Users").json()["totalResults"] == 30
