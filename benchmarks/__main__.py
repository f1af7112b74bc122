"""Run every part, or those that are named, and write docs/benchmarks.md after each.

The parts that are not named keep the rows that they had, with the commit that these are of.
"""

import os
import sys
import time
from collections.abc import Callable

from benchmarks import bulk, bulk_postgres, instructions, members, memory, profiles, refusals, report, requests, writers
from benchmarks.harness import Row, show
from benchmarks.options import Options, read_options
from benchmarks.peers import comparison

PARTS: dict[str, tuple[str, Callable[[Options], list[Row]]]] = {
    "requests": ("Requests", requests.run),
    "instructions": ("Instructions", instructions.run),
    "members": ("Groups of 100,000 members", members.run),
    "bulk": ("Bulk", bulk.run),
    "postgres": ("Bulk on PostgreSQL", bulk_postgres.run),
    "writers": ("Writing processes", writers.run),
    "memory": ("Memory", memory.run),
    "peers": ("Peers", comparison.run),
    "refusals": ("Refused requests", refusals.run),
}


def main() -> None:
    options = read_options(parts=PARTS)
    kept = report.read() if options.parts else {}
    for name, (title, run) in PARTS.items():
        if options.parts and name not in options.parts:
            continue
        since, load = time.perf_counter(), os.getloadavg()[0]
        print(f"\n{title}", file=sys.stderr, flush=True)
        rows = run(options)
        show(rows)
        print(f"{title} took {time.perf_counter() - since:.0f} s", file=sys.stderr, flush=True)
        kept[title] = report.Part(rows, report.circumstances(options, load))
        # Whatever ends the run, what was measured stays.
        report.write({title: kept[title] for title, _ in PARTS.values() if title in kept}, {})
    report.write({title: kept[title] for title, _ in PARTS.values() if title in kept}, profiles.run(options))


if __name__ == "__main__":
    main()
