"""How is work measured? In turns with what it is compared with, by the CPU time of the processes that do it."""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.clients import Sent


@dataclass
class Times:
    """What one kind of work took, in seconds for each request, round by round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    """Of single requests, where clients sent them."""

    def add(self, other: "Times") -> None:
        """Add further rounds."""
        self.cpu += other.cpu
        self.wall += other.wall
        self.latencies += other.latencies


def measured(
    works: Mapping[str, Callable[[int], object]], cpu: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, Times]:
    """Do every work once in each round, in random order; ``cpu`` has the clock of each.

    A work is given the number of the round, and may return of how many requests it was. The first tenth of the rounds
    is not counted, nor is the very first.
    """
    times = {name: Times() for name in works}
    names = list(works)
    for number in range(rounds):
        random.shuffle(names)
        for name in names:
            used, since = cpu[name](), time.perf_counter()
            done = works[name](number)
            took, spent = time.perf_counter() - since, cpu[name]() - used
            if number >= max(1, rounds // 10):
                sent = done if isinstance(done, Sent) else None
                count = len(sent.latencies) if sent else done if isinstance(done, int) else 1
                times[name].cpu.append(spent / count)
                times[name].wall.append((sent.took if sent else took) / count)
                times[name].latencies += sent.latencies if sent else []
    return times


class Than(NamedTuple):
    """What a work is compared with, and what its share of that may be."""

    other: str
    most: float | None = None
    least: float | None = None
    by: str = "cpu"
    """Whether CPU or wall time is divided."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: the median of its ratios round by round, and their quartiles."""

    work: str
    other: str
    ratio: float
    low: float
    high: float
    most: float | None = None
    least: float | None = None
    unit: str = "CPU"
    cpu: float | None = None
    """Microseconds of a request, as those that follow."""
    throughput: float | None = None
    p50: float | None = None
    p99: float | None = None
    note: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Tell whether the ratio is what it should be; None if nothing is asked."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.ratio <= self.most) and (self.least is None or self.ratio >= self.least)

    @property
    def wanted(self) -> str:
        if self.most is not None:
            return f"≤ {self.most:g}"
        return "" if self.least is None else f"≥ {self.least:g}"


def compared(times: Mapping[str, Times], against: Mapping[str, Than | Sequence[Than]]) -> list[Row]:
    """Return a row for every comparison."""
    rows = []
    for work, thans in against.items():
        each = [thans] if isinstance(thans, Than) else thans
        rows += [_row(work, times[work], than, times[than.other]) for than in each]
    return rows


def _row(work: str, mine: Times, than: Than, theirs: Times) -> Row:
    """Divide round by round; of throughputs, what is done in a time is the inverse of what each takes."""
    if than.by == "cpu":
        ratios = [a / b for a, b in zip(mine.cpu, theirs.cpu, strict=True)]
    else:
        ratios = [b / a for a, b in zip(mine.wall, theirs.wall, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    points = statistics.quantiles(mine.latencies, n=100) if len(mine.latencies) > 1 else None
    return Row(
        work, than.other, middle, low, high, than.most, than.least, "CPU" if than.by == "cpu" else "requests/s",
        statistics.median(mine.cpu) * 1e6, 1 / statistics.median(mine.wall),
        points[49] * 1e6 if points else None, points[98] * 1e6 if points else None,
    )  # fmt: skip


def show(rows: Sequence[Row]) -> None:
    """Print ratios, with what they should be."""
    print(f"\n{'work':44} {'x':>7} {'quartiles':>13} {'wanted':>7}     {'CPU µs':>9} {'req/s':>7}  compared with")
    for row in rows:
        spread = f"{row.low:.2f}-{row.high:.2f}"
        mark = {None: "", True: "yes", False: "NO"}[row.is_reached]
        absolute = f"{row.cpu or 0:>9.0f} {row.throughput or 0:>7.0f}"
        print(
            f"{row.work:44} {row.ratio:7.2f} {spread:>13} {row.wanted:>7} {mark:>3} {absolute}  {row.other}", flush=True
        )
        if row.note:
            print(f"    {row.note}")
