"""How is a writer killed at a random moment?

As a program this is a nursery: it loads everything once, and for each line that it reads it forks a writer, which says
the number of each write when it was done, until the nursery kills it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NoReturn

from scim_server.protocol.registry import load_registry
from scim_server.storage.sqlite import Sqlite
from tests.crash.model import write
from tests.releases import ROOT
from tests.storage.conftest import House, house_on

PREFIX = "w"
FAULTS = ("none", "hasty", "torn")
"""A hasty writer says that a write was done before it is; a torn one writes without transactions."""


class Torn(Sqlite):
    """A database without transactions, of which a control is made."""

    @contextmanager
    def transaction(self, *, waits: bool = True) -> Iterator[None]:
        yield


class Nursery:
    """The program, and what its writers said."""

    def __init__(self, database: Path, fault: str = "none") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(database), fault],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, first: int, seconds: float) -> int:
        """Let a writer write from a number on for some time; return how many writes there are that it said were done."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{first} {seconds}\n")
        self.process.stdin.flush()
        done = first
        for line in self.process.stdout:
            match line.split():
                case ["done", number]:
                    done = int(number) + 1
                case ["ended", status]:
                    assert int(status) == -signal.SIGKILL, "the writer failed by itself"
                    return done
        raise AssertionError("the nursery ended")

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


def main() -> None:
    path, fault = sys.argv[1:]
    house = house_on((Torn if fault == "torn" else Sqlite)(f"sqlite:///{path}"), load_registry())
    house.database.close()
    for line in sys.stdin:
        first, seconds = line.split()
        child = os.fork()
        if not child:
            _write(house, int(first), fault)
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, f"ended {status}\n".encode())


def _write(house: House, first: int, fault: str) -> NoReturn:
    try:
        for number in count(first):
            if fault == "hasty":
                os.write(1, f"done {number}\n".encode())
            write(house, PREFIX, number)
            if fault != "hasty":
                os.write(1, f"done {number}\n".encode())
    except BaseException:  # noqa: BLE001 (a fork must not go on as a nursery)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
