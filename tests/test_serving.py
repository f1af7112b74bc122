"""Starting, stopping and dying of the real server, and what its log tells."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest

from scim_server.storage.opening import open_database
from tests.releases import ROOT
from tests.scim import create_user
from tests.server import Server


@pytest.fixture
def server(tmp_path: Path, fresh: Callable[[], dict[str, str]]) -> Server:
    return Server(tmp_path, {"SCIM_WORKERS": "1", **fresh()}).initialised()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A client that leaves no connection open, for which a server that ends would wait two seconds."""
    headers = {"Authorization": f"Bearer {server.token('admin')}", "Connection": "close"}
    with httpx.Client(base_url=server.settings.base_url, headers=headers) as http:
        yield http


def test_sigterm_ends_it_quickly_with_status_0_while_a_client_stays_connected(server: Server) -> None:
    with server.started(), httpx.Client(base_url=server.settings.base_url) as http:
        assert http.get("Users").status_code == 401
        started = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - started < 10


def test_a_restart_keeps_the_data_and_nothing_else_is_left_behind(
    server: Server, http: httpx.Client, kind: str
) -> None:
    with server.started():
        user = create_user(http)
    left = {str(path.relative_to(server.directory)) for path in server.directory.rglob("*") if path.is_file()}
    names = {"secret.key"} if kind == "postgres" else {"secret.key", "scim.db", "scim.db.lock"}
    assert left == {"server.log", *(f"data/{name}" for name in names)}
    with server.started():
        assert http.get(f"Users/{user['id']}").json() == user


def test_it_starts_again_unaided_after_kill_9(server: Server, http: httpx.Client) -> None:
    with server.started():
        users = [create_user(http, f"user{number}") for number in range(5)]
        server.kill()
    with pytest.raises(httpx.TransportError):
        http.get("Users")
    with server.started():
        assert http.get("Users").json()["Resources"] == users
        create_user(http, "later")


def test_a_worker_that_dies_is_replaced(server: Server, http: httpx.Client) -> None:
    with server.started():
        assert server.process
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), signal.SIGKILL)
        server.wait()
        create_user(http)


def test_the_last_use_of_a_token_outlives_the_server(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token('users:read')}"}
    with server.started(), closing(open_database(server.settings.database_url)) as database:
        httpx.get(f"{server.settings.base_url}/Users", headers=headers)
        assert database.run("UPDATE token SET last_used = NULL WHERE last_used > ''") == 1
        httpx.get(f"{server.settings.base_url}/Users", headers=headers)
        assert database.row("SELECT last_used FROM token") == (None,)
        assert server.stop() == 0
        assert (database.row("SELECT last_used FROM token") or ()) > ("",)


def test_the_log_has_neither_queries_nor_tokens_even_at_level_debug(tmp_path: Path) -> None:
    server = Server(tmp_path, {"SCIM_LOG_LEVEL": "debug", "SCIM_WORKERS": "1"}).initialised()
    token = server.token("users:read")
    with server.started():
        for number, authorization in enumerate((f"Bearer {token}", f"Bearer {token}x", f"Basic {token}")):
            httpx.get(
                f"{server.settings.base_url}/Users",
                params={"filter": f'userName eq "person{number}"'},
                headers={"Authorization": authorization},
            )
        httpx.post(
            f"{server.settings.base_url}/Users/.search",
            json={"filter": 'userName eq "person3"'},
            headers={"Authorization": f"Bearer {token}"},
        )
    log = server.log.read_text()
    assert '"GET /scim/v2/Users" 200' in log
    assert '"GET /scim/v2/Users" 401' in log
    assert "person" not in log
    assert "filter" not in log
    assert "scim_" not in log.replace("scim_server", "")
    assert token.split("_")[2] not in log


def test_a_quiet_log_has_no_requests(tmp_path: Path) -> None:
    server = Server(tmp_path, {"SCIM_LOG_LEVEL": "warning", "SCIM_WORKERS": "1"}).initialised()
    with server.started():
        httpx.get(f"{server.settings.base_url}/Users")
    assert server.log.read_text() == f"Serving {server.settings.base_url} on {server.settings.bind}.\n"


@pytest.mark.parametrize("application", [[], ["wsgi:app"]])
def test_gunicorn_in_a_checkout_serves_the_same(server: Server, http: httpx.Client, application: list[str]) -> None:
    with server.started([sys.executable, "-m", "gunicorn", *application], ROOT):
        create_user(http)
        assert server.stop() == 0
    assert '"POST /scim/v2/Users" 201' in server.log.read_text()


def test_gunicorn_in_a_checkout_refuses_a_wrong_setting_in_one_sentence(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.environment["SCIM_THREADS"] = "many"
    done = server.run([sys.executable, "-m", "gunicorn"], ROOT)
    assert done.returncode == 1
    assert done.stderr == "scim-server: SCIM_THREADS must be a whole number from 1 to 64.\n"
