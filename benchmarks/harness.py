"""How is work measured? In turns with what it is compared with, by the CPU time of the processes that do it."""

import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from scim_server import tenants, tokens
from scim_server.config import Settings, read_settings, server_key
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database
from scim_server.storage.sqlite import PRAGMAS


@dataclass(frozen=True)
class Running:
    """A server with an empty database, and a client that may do everything."""

    settings: Settings
    database: Database
    http: httpx.Client
    master: int

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def cpu(self) -> float:
        """Return the seconds of CPU time that the workers have used."""
        return sum(_cpu(pid) for pid in self.workers())

    def peak_memory(self) -> int:
        """Return the most memory that a worker has held since it was last asked, in bytes."""
        peaks = []
        for pid in self.workers():
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            peaks.append(next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")))
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        return max(peaks)


def _cpu(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


@contextmanager
def server(workers: int = 1) -> Iterator[Running]:
    """Start the real server on a fresh database in a temporary directory."""
    with tempfile.TemporaryDirectory() as directory:
        port = 20_000 + os.getpid() % 20_000
        environment = {
            "SCIM_DATA_DIR": directory,
            "SCIM_BIND": f"127.0.0.1:{port}",
            "SCIM_WORKERS": str(workers),
            "SCIM_LOG_LEVEL": "error",
        }
        settings = read_settings(environment)
        command = [sys.executable, "-m", "scim_server"]
        subprocess.run([*command, "init"], env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)
        database = open_database(settings.database_url)
        token = tokens.create(database, server_key(settings), tenants.find(database, None), "bench", ["admin"], 1)
        process = subprocess.Popen([*command, "serve"], env=os.environ | environment, stdout=subprocess.DEVNULL)
        http = httpx.Client(base_url=settings.base_url, headers={"Authorization": f"Bearer {token}"}, timeout=120)
        try:
            _wait(http)
            yield Running(settings, database, http, process.pid)
        finally:
            http.close()
            process.terminate()
            process.wait(30)
            database.close()


def _wait(http: httpx.Client) -> None:
    for _ in range(200):
        try:
            http.get("ServiceProviderConfig")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    sys.exit("the server did not start")


def raw_copy(running: Running, name: str) -> sqlite3.Connection:
    """Return a copy of the database on the same disk, with the server's settings, for raw rows."""
    path = str(running.settings.data_dir / f"{name}.db")
    running.database.run("VACUUM INTO ?", (path,))
    raw = sqlite3.connect(path, isolation_level=None)
    for pragma, value in PRAGMAS.items():
        raw.execute(f"PRAGMA {pragma} = {value}")
    return raw


@dataclass
class Times:
    """What one kind of work took, in seconds, run by run."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def measured(
    works: Mapping[str, Callable[[int], object]], cpu: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, Times]:
    """Do every work once in each round, in random order; ``cpu`` has the clock of each.

    A work is given the number of the round. The first tenth of the rounds is not counted.
    """
    times = {name: Times() for name in works}
    names = list(works)
    for number in range(rounds):
        random.shuffle(names)
        for name in names:
            used, since = cpu[name](), time.perf_counter()
            works[name](number)
            took, spent = time.perf_counter() - since, cpu[name]() - used
            if number >= rounds // 10:
                times[name].cpu.append(spent)
                times[name].wall.append(took)
    return times


def show(times: Mapping[str, Times], against: Mapping[str, tuple[str, float | None]]) -> None:
    """Print medians, and ratios to what each work is compared with; the last column is the most it should be."""
    print(f"{'work':40} {'CPU µs':>8} {'quartiles':>15} {'wall µs':>8} {'CPU x':>7} {'wall x':>7} {'at most':>8}")
    for name, taken in times.items():
        low, median, high = (_us(each) for each in statistics.quantiles(taken.cpu, n=4))
        row = f"{name:40} {median:>8} {f'{low}-{high}':>15} {_us(statistics.median(taken.wall)):>8}"
        if name in against:
            other, most = against[name]
            for mine, theirs in ((taken.cpu, times[other].cpu), (taken.wall, times[other].wall)):
                row += f" {statistics.median(mine) / statistics.median(theirs):7.2f}"
            row += f" {most or '':>8}  {other}"
        print(row)


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f}"
