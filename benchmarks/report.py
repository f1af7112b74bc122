"""How does a run read? As a page of the documentation, with a plot."""

import json
import os
import platform
import re
import sqlite3
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import DIRECTORY
from benchmarks.harness import Row
from benchmarks.options import Options

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PLOT = DOCS / "benchmarks.md", DOCS / "benchmarks.svg"
RESULTS = DIRECTORY / "results.json"
_VERSIONS = ("flask", "gunicorn", "peewee", "orjson", "scim2-server", "django-scim2", "django")
_INTRODUCTION = """\
# Benchmarks

This page and its plot are written by `make bench`, which compares the server with what Flask and SQLite themselves
cost, and with the servers of SCIM that PyPI has, on data that `scim-server demo` made. Every figure is a **ratio within
one run**: works are done in turns, in random order, and each is divided by its neighbour of the same round; shown are
the median of these ratios and their quartiles. *CPU* is the time that the worker processes use, as the kernel counts
it; clients are other processes. A Flask view answers with as many bytes under the same gunicorn: the same kind of
worker, threads, connections. For single requests all servers are started anew several times, since of two processes of
one program the first may be a third faster than the second: that is what wide quartiles come from. Operands differ from
request to request. Absolute times say something about the machine only; no test asserts them: the suite counts
statements and looks at plans instead.
"""


class Part(NamedTuple):
    """The rows of a part, and the circumstances in which they were measured."""

    rows: list[Row]
    when: dict[str, str]


def read() -> dict[str, Part]:
    """Return what was measured before."""
    if not RESULTS.exists():
        return {}
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {title: Part([Row(**row) for row in part["rows"]], part["when"]) for title, part in found.items()}


def write(parts: Mapping[str, Part], profiles: Mapping[str, str]) -> None:
    """Write the page and the plot, and keep what they show."""
    plain = {title: {"rows": [asdict(row) for row in part.rows], "when": part.when} for title, part in parts.items()}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(plain), encoding="utf-8")
    rows = [row for part in parts.values() for row in part.rows]
    text = [_INTRODUCTION, _conditions()]
    if find_spec("matplotlib"):
        plot(rows)
        text.append("![Share of what each row may cost](benchmarks.svg)\n")
    for title, part in parts.items():
        described = "; ".join(f"{name} {what}" for name, what in part.when.items())
        text += [f"## {title}\n", f"{described}.\n", table(part.rows)]
    text.append(_missed(rows))
    if profiles:
        text.append("## Where the time goes\n")
        text.append("Shares of the time that Python's profiler sees, itself included, by what the code belongs to.\n")
        text += [f"{name}:\n\n{shares}" for name, shares in profiles.items()]
    PAGE.write_text("\n".join(text).rstrip("\n") + "\n", encoding="utf-8")


def circumstances(options: Options, load: float) -> dict[str, str]:
    """Return when a part is measured, of what, and how busy the machine was before."""
    return {
        "Measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": _commit(),
        "load average before": f"{load:.1f}",
        "users": f"{options.users:,}",
        "rounds": str(options.rounds),
    }


def _conditions() -> str:
    described = {
        "machine": _machine(),
        "software": ", ".join(_software()),
        "server": "2 workers, 1 for groups, Bulk and refusals; SQLite at synchronous=FULL",
    }
    return "\n".join(["|  |  |", "|---|---|", *(f"| {name} | {what} |" for name, what in described.items())]) + "\n"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=DOCS.parent
    )
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    size = f", {int(memory[1]) / 1024**2:.0f} GiB" if memory else ""
    return f"{os.cpu_count()} cores ({cpu[1].strip() if cpu else platform.machine()}){size}, Linux {platform.release()}"


def _software() -> list[str]:
    found = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    for name in _VERSIONS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return found


def table(rows: Sequence[Row]) -> str:
    """Return rows as a table of Markdown."""
    lines = [
        "| work | compared with | of | x | quartiles | wanted | reached | CPU µs | per second | p50 µs | p99 µs |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for row in rows]
    notes = [f"- {row.work}: {row.note}" for row in rows if row.note]
    return "\n".join(lines) + "\n" + ("\n" + "\n".join(notes) + "\n" if notes else "")


def _line(row: Row) -> str:
    if not row.ratio:
        return f"| {row.work} | {row.other} | | - | | {row.wanted} | - | | | | |"
    reached = {None: "", True: "yes", False: "**no**"}[row.is_reached]
    spread = "" if row.low == row.high else f"{row.low:.2f}-{row.high:.2f}"
    absolute = [_whole(each) for each in (row.cpu, row.throughput, row.p50, row.p99)]
    cells = [row.work, row.other, row.unit, f"{row.ratio:.2f}", spread, row.wanted, reached, *absolute]
    return f"| {' | '.join(cells)} |"


def _whole(figure: float | None) -> str:
    return "" if figure is None else f"{figure:,.0f}"


def _missed(rows: Sequence[Row]) -> str:
    """Return what is not reached, and by how much."""
    missed = [row for row in rows if row.ratio and row.is_reached is False]
    if not missed:
        return "Every row is reached.\n"
    lines = [
        f"- {row.work}: {row.ratio:.2f} x {row.other} ({row.unit}), wanted {row.wanted}; {distance(row):.2f} of that."
        for row in missed
    ]
    return "## Not reached\n\n" + "\n".join(lines) + "\n"


def distance(row: Row) -> float:
    """Return how many times of what is allowed a row takes; more than 1 is too much."""
    if row.most is not None:
        return row.ratio / row.most
    return (row.least or 0) / row.ratio


def plot(rows: Sequence[Row]) -> None:
    """Draw how far each row is from what it may take."""
    import matplotlib as mpl  # noqa: PLC0415 - the bench extra only

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "scim-server", "svg.fonttype": "none"}
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the back end was chosen

    shown = sorted((row for row in rows if row.ratio and row.is_reached is not None), key=distance, reverse=True)
    figure, axes = plt.subplots(figsize=(8, 0.2 * len(shown) + 1))
    names = [f"{row.work} / {row.other}"[:80] for row in shown]
    colours = ["#4878a8" if row.is_reached else "#c44e52" for row in shown]
    axes.barh(range(len(shown)), [distance(row) for row in shown], color=colours)
    axes.set_yticks(range(len(shown)), names, fontsize=6)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("share of what is allowed (blue: reached)", fontsize=7)
    axes.tick_params(axis="x", labelsize=6)
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})
    plt.close(figure)
