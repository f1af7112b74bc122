"""How many instructions does a request take? They repeat exactly, unlike times; callgrind counts them.

Run it as ``python -m benchmarks.instructions``; valgrind must be installed.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from benchmarks.data import prepared, some_people
from benchmarks.harness import Row, show
from benchmarks.loop import COUNT
from benchmarks.options import Options, read_options
from benchmarks.serving import server

_USERS = 1000


def run(options: Options) -> list[Row]:
    """Count for a GET and a search, as ratios to a Flask view that answers with as many bytes."""
    kinds = ["GET a user with groups", "userName eq"]
    wanted = {kinds[0]: 1.25, kinds[1]: 1.5}
    if not shutil.which("valgrind"):
        return [Row(kind, "Flask view, instructions", 0, 0, 0, note="valgrind is not installed") for kind in kinds]
    # The same people each time.
    random.seed(1)
    with server(1, prepared(_USERS)) as running:
        people = some_people(running.database, _USERS)
        targets = [[f"/scim/v2/Users/{p.id}" for p in people] * 4]
        targets.append(
            [f"/scim/v2/Users?filter={quote(f'userName eq {chr(34)}{p.user_name}{chr(34)}')}" for p in people]
        )
        targets[1] *= 4
        sizes = [len(running.http.get(each[0].removeprefix("/scim/v2/")).content) for each in targets]
        data = str(running.settings.data_dir)
        mine = counted("server", targets, running.token, data)
        bare = counted("floor", [[f"/scim/v2/Users/{size}"] * 400 for size in sizes], running.token, data)
    return [
        Row(kind, "Flask view, as large", a / b, a / b, a / b, wanted[kind], unit="instructions",
            note=f"{a:,} instructions, the Flask view {b:,}")
        for kind, a, b in zip(kinds, mine, bare, strict=True)
    ]  # fmt: skip


def counted(name: str, kinds: list[list[str]], token: str, data: str) -> list[int]:
    """Return the instructions of a request of each kind: what the longer of two counts has more than the shorter."""
    with tempfile.TemporaryDirectory() as directory:
        tool = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={directory}/out"]
        command = [*tool, sys.executable, "-m", "benchmarks.loop", name, token]
        environment = os.environ | {"PYTHONHASHSEED": "0", "SCIM_DATA_DIR": data, "SCIM_LOG_LEVEL": "error"}
        lines = "\n".join(" ".join(targets) for targets in kinds)
        done = subprocess.run(
            command, env=environment, input=lines, capture_output=True, text=True, check=False, timeout=900
        )
        if done.returncode:
            sys.exit(done.stderr)
        parts = [_total(Path(f"{directory}/out.{3 * kind + part}")) for kind in range(len(kinds)) for part in (2, 3)]
    return [(longer - shorter) // COUNT for shorter, longer in zip(parts[::2], parts[1::2], strict=True)]


def _total(path: Path) -> int:
    """Return how many instructions a part of callgrind's output has."""
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, path
    return int(found[1])


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
