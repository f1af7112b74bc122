"""Starts the real server for tests, as an administrator would: init, serve, SIGTERM."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx2 as httpx

from scim_server import tenants, tokens
from scim_server.config import Settings, read_settings, server_key
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database

SCIM_SERVER = (sys.executable, "-m", "scim_server")


_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port() -> int:
    """Return a port that stays free until a server listens: the kernel gives it to no client, no other test takes it."""
    while True:
        port = 10_000 + secrets.randbelow(20_000 // _PROCESSES) * _PROCESSES + _PROCESS
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, but not for ever."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kept_rows(database: Database) -> Iterator[str]:
    """Yield all rows of a database as text."""
    # A full-text index keeps itself in tables of its own.
    for table in (name for name in database.peewee.get_tables() if not name.startswith("gram")):
        yield from (str(row) for row in database.rows(f"SELECT * FROM {table}"))


class Server:
    """A server in a directory of its own."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        port = free_port()
        self.environment = {
            "SCIM_DATA_DIR": str(directory / "data"),
            "SCIM_BIND": f"127.0.0.1:{port}",
            **(environment or {}),
        }
        self.settings: Settings = read_settings(self.environment)
        self.log = directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``scim-server`` with this server's settings."""
        return self.run([*SCIM_SERVER, *arguments])

    def run(self, command: Sequence[str], directory: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run any command with this server's settings."""
        return subprocess.run(
            command,
            env=self._environment(),
            cwd=directory or self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def initialised(self) -> "Server":
        done = self.command("init")
        assert done.returncode == 0, done.stderr
        return self

    def token(self, *scopes: str, name: str = "test") -> str:
        """Make a token of the only tenant."""
        with closing(open_database(self.settings.database_url)) as database:
            tenant = tenants.find(database, None)
            return tokens.create(database, server_key(self.settings), tenant, name, scopes, 1)

    def kept(self, database: Database) -> Iterator[str]:
        """Yield all that the server has written: its files, and the rows of its database."""
        yield self.written().decode(errors="replace")
        yield from kept_rows(database)

    def start(self, command: Sequence[str] = (*SCIM_SERVER, "serve"), directory: Path | None = None) -> None:
        """Start the server and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=self._environment(),
                cwd=directory or self.directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait()

    def wait(self) -> None:
        """Wait until the server answers."""
        assert self.process
        deadline = time.monotonic() + 30
        # To verify, a client reads all certificates of the machine, which takes longer than its requests.
        with httpx.Client(verify=False) as http:
            while time.monotonic() < deadline:
                assert self.process.poll() is None, self.log.read_text()
                try:
                    http.get(f"{self.settings.base_url}/ServiceProviderConfig")
                except httpx.TransportError:
                    time.sleep(0.05)
                else:
                    return
        raise AssertionError(f"the server did not start: {self.log.read_text()}")

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        assert self.process
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """End the master and its workers at once, as a power cut would."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def written(self) -> bytes:
        """Return what is in the files of the data directory and in the log.

        Another process reads them: one that has a database open must not open and close its file by other means, as
        it would lose SQLite's locks (https://sqlite.org/howtocorrupt.html, section 2.2).
        """
        files = [*self.settings.data_dir.iterdir(), self.log]
        return subprocess.run(["cat", *files], stdout=subprocess.PIPE, check=True).stdout

    def logged(self, text: str) -> str:
        """Wait for a text in the log, which is written after the answer; return the whole log."""
        wait_for(lambda: text in self.log.read_text())
        return self.log.read_text()

    @contextmanager
    def started(
        self, command: Sequence[str] = (*SCIM_SERVER, "serve"), directory: Path | None = None
    ) -> Iterator["Server"]:
        try:
            self.start(command, directory)
            yield self
        finally:
            if self.process and self.process.poll() is None:
                self.stop()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCIM_")}
        return kept | self.environment
