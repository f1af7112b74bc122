"""How many instructions does a request take in a worker, gunicorn's own included? callgrind counts them.

Counts repeat to a hundredth, unlike times. Run it as ``python -m benchmarks.instructions``; valgrind must be installed.
"""

import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.clients import Clients, Request
from benchmarks.data import prepared, some_people
from benchmarks.harness import Row, show
from benchmarks.options import Options, read_options
from benchmarks.requests import Asking
from benchmarks.serving import FLOOR, Serving, gunicorn, server

_USERS = 1000
_WARM, _COUNT = 1000, 300


def run(options: Options) -> list[Row]:
    """Count for a GET and a search, as ratios to a Flask view that answers with as many bytes."""
    wanted = {"GET a user with groups": 1.25, "userName eq": 1.5}
    if not shutil.which("valgrind"):
        return [Row(kind, "Flask view, instructions", 0, 0, 0, note="valgrind is not installed") for kind in wanted]
    # The same people each time.
    random.seed(1)
    with tempfile.TemporaryDirectory() as directory, Clients(1) as clients:
        counts = Path(directory)
        tool = [
            "valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={counts}/%p"
        ]  # fmt: skip
        with server(1, prepared(_USERS), tool=tool) as running, gunicorn(FLOOR, 1, tool=tool) as floor:
            asking = Asking(running, some_people(running.database, _USERS))
            rows = []
            for (kind, most), make in zip(wanted.items(), (asking.by_id, asking.by_name), strict=True):
                bare = asking.floor(make)
                mine = _counted(running, clients, [make() for _ in range(_WARM + _COUNT)], counts)
                theirs = _counted(floor, clients, [bare() for _ in range(_WARM + _COUNT)], counts)
                note = f"{mine:,} instructions, the Flask view {theirs:,}"
                ratio = mine / theirs
                rows.append(
                    Row(kind, "Flask view, as large", ratio, ratio, ratio, most, unit="instructions", note=note)
                )
            return rows


def _counted(serving: Serving, clients: Clients, requests: list[Request], counts: Path) -> int:
    """Return the instructions of a request: of the last of some, for which nothing is new."""
    (worker,) = serving.workers()
    clients.send(serving.port, requests[:_WARM])
    _tell("--zero", worker)
    clients.send(serving.port, requests[_WARM:])
    _tell("--dump", worker)
    (dump,) = counts.glob(f"{worker}.*")
    found = re.search(r"^summary: (\d+)", dump.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, dump
    dump.unlink()
    return int(found[1]) // _COUNT


def _tell(what: str, worker: int) -> None:
    subprocess.run(["callgrind_control", what, str(worker)], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
