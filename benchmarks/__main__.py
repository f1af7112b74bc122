"""Run every part and write docs/benchmarks.md."""

import os
import sys
import time
from collections.abc import Callable

from benchmarks import bulk, instructions, members, memory, profiles, refusals, report, requests, writers
from benchmarks.harness import Row, show
from benchmarks.options import Options, read_options
from benchmarks.peers import comparison

PARTS: dict[str, Callable[[Options], list[Row]]] = {
    "Requests": requests.run,
    "Instructions": instructions.run,
    "Groups of 100,000 members": members.run,
    "Bulk": bulk.run,
    "Writing processes": writers.run,
    "Memory": memory.run,
    "Peers": comparison.run,
    "Refused requests": refusals.run,
}


def main() -> None:
    options = read_options()
    before = os.getloadavg()[0]
    found: dict[str, list[Row]] = {}
    for title, run in PARTS.items():
        since = time.perf_counter()
        print(f"\n{title}", file=sys.stderr, flush=True)
        found[title] = run(options)
        show(found[title])
        print(f"{title} took {time.perf_counter() - since:.0f} s", file=sys.stderr, flush=True)
    report.write(options, found, profiles.run(options), f"{before:.1f}, {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
