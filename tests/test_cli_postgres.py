"""The commands on PostgreSQL: set up, show, refuse, and never a password."""

import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx

from tests.cluster import Databases
from tests.server import Server, free_port


def test_a_database_is_set_up_upgraded_and_served(tmp_path: Path, postgres: Databases) -> None:
    url = tmp_path / "url"
    url.write_text(postgres.empty() + "\n")
    server = Server(tmp_path, {"SCIM_DATABASE_URL_FILE": str(url)})
    refused = server.command("tenant", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("is not initialised; run scim-server init.\n")
    assert server.command("db", "status").stdout == "pending  everything: run scim-server init\n"
    assert server.command("db", "upgrade").returncode == 1
    first, second = server.command("init"), server.command("init")
    assert "Prepared the database scim_test_" in first.stdout and 'Created the tenant "default".' in first.stdout
    assert second.stdout == "The server is initialised; scim-server serve starts it.\n"
    assert "pending" not in server.command("db", "status").stdout
    assert server.command("db", "upgrade").stdout == "The database is up to date.\n"
    assert {path.name for path in server.settings.data_dir.iterdir()} == {"secret.key"}
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    with server.started():
        made = httpx.post(f"{server.settings.base_url}/Users", json={"userName": "bjensen"}, headers=headers)
        assert made.status_code == 201


def test_a_password_is_shown_nowhere(tmp_path: Path, postgres: Databases) -> None:
    url = postgres.of_role("s3cret")
    role, name = urlsplit(url).username, urlsplit(url).path[1:]
    server = Server(tmp_path, {"SCIM_DATABASE_URL": url, "SCIM_LOG_LEVEL": "debug"})
    shown = [server.command(*command) for command in (["init"], ["check"], ["db", "status"])]
    assert [done.returncode for done in shown] == [0, 0, 0]
    assert f"SCIM_DATABASE_URL=postgresql://{role}:********@" in shown[1].stdout
    with server.started():
        for worker in (server.process.pid if server.process else 0, *server.workers()):
            assert b"s3cret" not in Path(f"/proc/{worker}/cmdline").read_bytes()
        postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")
        headers = {"Authorization": "Bearer scim_000000000000_" + "0" * 43 + "000000"}
        httpx.get(f"{server.settings.base_url}/Users", headers=headers)
        refused = server.command("db", "status")
        assert refused.returncode == 1 and "not currently accepting connections" in refused.stderr
    for done in (*shown, refused):
        assert "s3cret" not in done.stdout + done.stderr
    assert "s3cret" not in server.log.read_text()


def test_a_running_server_is_backed_up_and_restored_when_it_is_stopped(tmp_path: Path, postgres: Databases) -> None:
    server = Server(tmp_path, {"SCIM_DATABASE_URL": postgres.empty()}).initialised()
    file = str(tmp_path / "x.backup")
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    with server.started():
        for name in ("kept", "later"):
            made = httpx.post(f"{server.settings.base_url}/Users", json={"userName": name}, headers=headers)
            assert made.status_code == 201
            if name == "kept":
                done = server.command("backup", file)
                assert (done.returncode, done.stderr) == (0, "")
                assert done.stdout.startswith(f"Wrote {file}: 1 resources of 1 tenants, ")
        refused = server.command("restore", file, "--force")
        assert refused.returncode == 1 and "is in use; stop all servers" in refused.stderr
    assert "has data; --force replaces it" in server.command("restore", file).stderr
    done = server.command("restore", file, "--force")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Restored {file}: 1 resources of 1 tenants, ")
    assert server.command("check", "--data").stderr == "Nothing is wrong with the data.\n"
    with server.started():
        answer = httpx.get(f"{server.settings.base_url}/Users", headers=headers)
        assert [user["userName"] for user in answer.json()["Resources"]] == ["kept"]


def test_everything_moves_from_sqlite_to_postgresql_and_back(tmp_path: Path, postgres: Databases) -> None:
    first = Server(tmp_path).initialised()
    headers = {"Authorization": f"Bearer {first.token('admin')}"}
    with first.started():
        httpx.post(f"{first.settings.base_url}/Users", json={"userName": "moved"}, headers=headers)
    urls = [first.settings.database_url, postgres.empty(), f"sqlite:///{tmp_path / 'back.db'}"]
    copies = [first.command("db", "copy", "--from", source, "--to", target) for source, target in pairwise(urls)]
    assert [done.stderr for done in copies] == ["Everything was copied, and is the same.\n"] * 2
    assert copies[0].stdout == copies[1].stdout
    second = Server(tmp_path, {"SCIM_DATABASE_URL": urls[1]})
    assert second.command("check", "--data").stderr == "Nothing is wrong with the data.\n"
    assert second.command("db", "reindex").stdout == "1 resources: 0 changed, 0 left as they are.\n"
    with second.started():
        answer = httpx.get(f"{second.settings.base_url}/Users", headers=headers)
        assert [user["userName"] for user in answer.json()["Resources"]] == ["moved"]
        made = httpx.post(f"{second.settings.base_url}/Users", json={"userName": "new"}, headers=headers)
        assert made.status_code == 201


def test_a_server_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    url = f"postgresql://scim:s3cret@127.0.0.1:{free_port()}/scim"
    for command in (["init"], ["serve"], ["tenant", "list"]):
        done = Server(tmp_path, {"SCIM_DATABASE_URL": url}).command(*command)
        assert done.returncode == 1
        assert done.stderr.startswith("scim-server: The database cannot be used: connection failed")
        assert "s3cret" not in done.stderr and "Traceback" not in done.stderr


def test_without_the_driver_the_advice_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError")
    server = Server(tmp_path, {"SCIM_DATABASE_URL": "postgresql:///scim", "PYTHONPATH": str(tmp_path)})
    done = server.run([sys.executable, "-m", "scim_server", "init"])
    assert (
        done.stderr == "scim-server: PostgreSQL needs psycopg, which the extra postgres brings; see docs/install.md.\n"
    )
