"""The upkeep of the database, as an administrator does it: real processes, also beside a running server."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest

from scim_server import __version__
from tests.scim import create_user
from tests.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server of its own with a few users."""
    with Server(tmp_path).initialised().started() as running:
        with client(running) as http:
            for number in range(3):
                create_user(http, f"u{number}", title="Engineer")
        yield running


def client(server: Server) -> httpx.Client:
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    return httpx.Client(base_url=server.settings.base_url, headers=headers, timeout=30)


def database(server: Server) -> Path:
    return server.directory / "data" / "scim.db"


def spoil(server: Server, statement: str) -> None:
    with closing(sqlite3.connect(database(server))) as connection, connection:
        connection.execute(statement)


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_the_data_of_a_running_server_is_verified(server: Server) -> None:
    assert said(server.command("check", "--data")) == (0, "", "Nothing is wrong with the data.\n")


def test_what_is_wrong_is_listed_and_what_is_derived_is_rebuilt(server: Server) -> None:
    spoil(server, "UPDATE resource SET title = 'Spy' WHERE user_name = 'u1'")
    done = server.command("check", "--data")
    assert (done.returncode, done.stderr) == (1, "scim-server: 1 found.\n")
    (line,) = done.stdout.splitlines()
    assert line.startswith("resource ") and "(" in line
    assert line.endswith(": the columns title are not what the body says; scim-server db reindex mends it.")
    assert "Spy" not in done.stdout and "Engineer" not in done.stdout and "u1" not in done.stdout
    done = server.command("db", "reindex")
    assert said(done) == (0, "3 resources: 1 changed, 0 left as they are.\n", "")
    assert server.command("check", "--data").returncode == 0


def test_what_has_no_body_is_left_as_it_is(server: Server) -> None:
    spoil(server, "DELETE FROM body WHERE key = (SELECT min(key) FROM body)")
    done = server.command("db", "reindex")
    assert done.returncode == 1
    assert done.stderr == "scim-server: What is wrong with these, scim-server check --data says.\n"
    assert done.stdout == "3 resources: 0 changed, 1 left as they are.\n"
    assert "the body is missing; restore a backup." in server.command("check", "--data").stdout


def test_a_damaged_file_is_one_sentence_and_no_traceback(server: Server) -> None:
    server.stop()
    content = bytearray(database(server).read_bytes())
    content[4096:8192] = bytes(4096)
    database(server).write_bytes(content)
    done = server.command("check", "--data")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("scim-server: ")


def test_a_backup_of_a_running_server_is_restored_elsewhere(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    done = server.command("backup", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Wrote {file}: 3 resources of 1 tenants, scim-server {__version__}, 20")
    key = (server.directory / "data" / "secret.key").read_bytes()
    assert key.strip() not in file.read_bytes()
    refused = server.command("backup", str(file))
    assert said(refused) == (1, "", f"scim-server: {file} exists; choose another name, or --force to replace it.\n")
    assert server.command("backup", str(file), "--force").returncode == 0

    (tmp_path / "other").mkdir()
    other = Server(tmp_path / "other")
    done = other.command("restore", str(file))
    assert done.returncode == 0
    assert done.stdout.startswith(f"Restored {file}: 3 resources of 1 tenants")
    assert "bring back its secret.key" in done.stderr
    (other.directory / "data" / "secret.key").write_bytes(key)
    assert (
        other.command("restore", str(file)).stderr
        == f"scim-server: The database {database(other)} has data, or cannot be read; --force replaces it.\n"
    )
    assert other.command("restore", str(file), "--force").stderr == ""
    with client(server) as http:
        token = http.headers["Authorization"]
    assert server.command("backup", str(file), "--force").returncode == 0
    assert other.command("restore", str(file), "--force").returncode == 0
    with other.started(), httpx.Client(base_url=other.settings.base_url, headers={"Authorization": token}) as http:
        assert http.get("/Users").json()["totalResults"] == 3


def test_the_database_of_a_running_server_is_not_replaced(server: Server, tmp_path: Path) -> None:
    server.command("backup", str(tmp_path / "x.backup"))
    done = server.command("restore", str(tmp_path / "x.backup"), "--force")
    sentence = f"The database {database(server)} is in use; stop the server and whatever else has it open."
    assert said(done) == (1, "", f"scim-server: {sentence}\n")
    server.stop()
    assert server.command("restore", str(tmp_path / "x.backup"), "--force").returncode == 0


@pytest.mark.parametrize("name", ["missing.backup", "no/such/directory"])
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, name: str) -> None:
    server = Server(tmp_path).initialised()
    for command in ("restore", "backup"):
        if command == "backup" and "/" not in name:
            continue
        done = server.command(command, str(tmp_path / name))
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("scim-server: ") and done.stderr.count("\n") == 1


def test_everything_is_copied_to_another_database(server: Server, tmp_path: Path) -> None:
    source, target = (f"sqlite:///{path}" for path in (database(server), tmp_path / "copy.db"))
    done = server.command("db", "copy", "--from", source, "--to", target)
    assert (done.returncode, done.stderr) == (0, "Everything was copied, and is the same.\n")
    counts = {line.split()[2]: int(line.split()[0]) for line in done.stdout.splitlines()}
    assert counts["resource"] == counts["body"] == 3
    server.environment["SCIM_DATABASE_URL"] = target
    assert server.command("check", "--data").returncode == 0
    again = server.command("db", "copy", "--from", source, "--to", target)
    assert again.returncode == 1
    assert again.stderr.startswith("scim-server: The database to copy to is not empty; it has rows in tenant,")


def test_how_far_it_is_is_shown_on_a_terminal(server: Server, tmp_path: Path) -> None:
    shown = server.run([sys.executable, "-c", TERMINAL, *("check", "--data")]).stdout
    assert "Checking" in shown and "100%" in shown


TERMINAL = """
import os, pty, sys
pty.spawn([sys.executable, "-m", "scim_server", *sys.argv[1:]])
"""
