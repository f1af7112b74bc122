"""What do four writing processes get done on one database, against one, and is it shared fairly?

Run it as ``python -m benchmarks.writers``.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.bulk import user
from benchmarks.harness import Row, show
from benchmarks.options import Options, read_options
from scim_server import tenants
from scim_server.config import read_settings
from scim_server.protocol.registry import load_registry
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.storage.sqlite import Sqlite
from scim_server.tokens import ADMIN, Principal

_WRITERS = 4
_ROUNDS = 4
_SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Share:
    """What one process got done: users created, and the longest that one took, in seconds."""

    created: int
    longest: float


def _write(path: str, name: str, seconds: float, pipe: Connection) -> None:
    """Create users for some time, once told to begin."""
    database = Sqlite(f"sqlite:///{path}")
    registry = load_registry(None)
    settings = read_settings({})
    shared = Shared(database, registry, settings, database.type_numbers(registry.resource_types), b"k" * 32)
    users = all_resources(shared)["User"]
    by = Principal("bench", tenants.find(database, None), frozenset({ADMIN}))
    users.create(by, user(f"{name}first"))
    pipe.send(None)
    pipe.recv()
    count, longest, end = 0, 0.0, time.perf_counter() + seconds
    while (since := time.perf_counter()) < end:
        users.create(by, user(f"{name}{count}"))
        longest = max(longest, time.perf_counter() - since)
        count += 1
    pipe.send(Share(count, longest))
    database.close()


def written(path: Path, writers: int, seconds: float, name: str) -> list[Share]:
    """Let some processes write at once; return what each got done."""
    pipes = []
    for number in range(writers):
        ours, theirs = _SPAWN.Pipe()
        arguments = (str(path), f"{name}-{number}-", seconds, theirs)
        _SPAWN.Process(target=_write, args=arguments, daemon=True).start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send(None)
    return [pipe.recv() for pipe in pipes]


def run(options: Options) -> list[Row]:
    """Let one write and then four, round by round."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "scim.db"
        database = Sqlite(f"sqlite:///{path}")
        database.upgrade()
        tenants.create(database, "default", "Example")
        database.close()
        gains, spreads, longest = [], [], []
        for number in range(_ROUNDS):
            (one,) = written(path, 1, options.seconds, f"one{number}")
            many = written(path, _WRITERS, options.seconds, f"many{number}")
            counts = [share.created for share in many]
            gains.append(sum(counts) / one.created)
            spreads.append(max(counts) / min(counts))
            longest.append(max(share.longest for share in many))
    four = f"{_WRITERS} writing processes"
    return [
        _row(four, "one writing process", gains, least=0.85, unit="creations/s"),
        _row(f"{four}: the busiest", "the least busy", spreads, most=2, unit="creations"),
        _row(f"{four}: the longest wait", "a second", longest, most=0.5, unit="time"),
    ]


def _row(
    work: str, other: str, ratios: list[float], most: float | None = None, least: float | None = None, unit: str = ""
) -> Row:
    low, middle, high = statistics.quantiles(ratios, n=4)
    # One long wait is one too many.
    middle = max(ratios) if unit == "time" else middle
    return Row(work, other, middle, low, high, most, least, unit)


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
