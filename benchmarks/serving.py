"""What is measured? Servers in processes of their own, by the CPU time of their workers."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

from scim_server import tenants, tokens
from scim_server.config import Settings, read_settings, server_key
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database
from scim_server.storage.sqlite import PRAGMAS

FLOOR = "benchmarks.floor:create_app()"


@dataclass(frozen=True)
class Serving:
    """A gunicorn on a port of the loopback, by the id of its master."""

    master: int
    port: int

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def cpu(self) -> float:
        """Return the seconds of CPU time that the workers have used."""
        return sum(_cpu(pid) for pid in self.workers())

    def memory(self) -> int:
        """Return the bytes that the workers hold and share with nothing."""
        held = 0
        for pid in self.workers():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            held += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty"))
        return held

    def peak_memory(self) -> int:
        """Return the most memory that a worker has held since it was last asked, in bytes."""
        peaks = []
        for pid in self.workers():
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            peaks.append(next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")))
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        return max(peaks)


@dataclass(frozen=True)
class Running(Serving):
    """The real server, its database, and a client that may do everything."""

    settings: Settings
    database: Database
    http: httpx.Client
    token: str


def _cpu(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def server(
    workers: int = 1, data: Path | None = None, database_url: str | None = None, tool: Sequence[str] = ()
) -> Iterator[Running]:
    """Start the real server in a temporary directory, on a fresh database, a copy of a prepared one, or another one.

    A ``tool`` is the command that runs it, if one does.
    """
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        environment = {
            "SCIM_DATA_DIR": directory,
            "SCIM_BIND": f"127.0.0.1:{port}",
            "SCIM_WORKERS": str(workers),
            "SCIM_LOG_LEVEL": "error",
        }
        if database_url:
            environment["SCIM_DATABASE_URL"] = database_url
        settings = read_settings(environment)
        if data:
            shutil.copytree(data, directory, dirs_exist_ok=True)
        command = [sys.executable, "-m", "scim_server"]
        subprocess.run([*command, "init"], env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)
        database = open_database(settings.database_url)
        token = tokens.create(database, server_key(settings), tenants.find(database, None), "bench", ["admin"], 1)
        process = subprocess.Popen([*tool, *command, "serve"], env=os.environ | environment, stdout=subprocess.DEVNULL)
        http = httpx.Client(base_url=settings.base_url, headers={"Authorization": f"Bearer {token}"}, timeout=120)
        try:
            _wait(port, process)
            yield Running(process.pid, port, settings, database, http, token)
        finally:
            http.close()
            process.terminate()
            process.wait(30)
            database.close()


@contextmanager
def gunicorn(
    application: str, workers: int, environment: dict[str, str] | None = None, tool: Sequence[str] = ()
) -> Iterator[Serving]:
    """Serve another application as the server is served: the kind of its workers, its threads, its connections."""
    port = free_port()
    settings = {"SCIM_BIND": f"127.0.0.1:{port}", "SCIM_WORKERS": str(workers), "SCIM_LOG_LEVEL": "error"}
    command = [*tool, sys.executable, "-m", "gunicorn", "--config", "python:scim_server.gunicorn_conf", application]
    process = subprocess.Popen(command, env=os.environ | settings | (environment or {}), stdout=subprocess.DEVNULL)
    try:
        _wait(port, process)
        yield Serving(process.pid, port)
    finally:
        process.terminate()
        process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2400):
        if process.poll() is not None:
            break
        try:
            # Any answer will do, also a 404.
            httpx.get(f"http://127.0.0.1:{port}/scim/v2/ServiceProviderConfig", timeout=120)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    sys.exit("the server did not start")


def raw_copy(running: Running, name: str) -> sqlite3.Connection:
    """Return a copy of the database on the same disk, with the server's settings, for raw rows."""
    path = str(running.settings.data_dir / f"{name}.db")
    running.database.run("VACUUM INTO ?", (path,))
    return raw_connection(Path(path))


def raw_connection(path: Path) -> sqlite3.Connection:
    """Return a bare connection with the server's settings."""
    raw = sqlite3.connect(path, isolation_level=None)
    for pragma, value in PRAGMAS.items():
        raw.execute(f"PRAGMA {pragma} = {value}")
    return raw
