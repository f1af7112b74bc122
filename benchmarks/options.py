"""How much is measured? As much as the command line says."""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Sizes and times of a run."""

    users: int = 100_000
    rounds: int = 20
    peer_users: int = 10_000
    mixed_requests: int = 100_000
    seconds: float = 5
    parts: tuple[str, ...] = ()
    """Those to run, none for all."""


def read_options(parts: Iterable[str] = ()) -> Options:
    parser = argparse.ArgumentParser(description="Measure the server; prints ratios.")
    parser.add_argument("--users", type=int, default=Options.users, help="users of the larger data set")
    parser.add_argument("--rounds", type=int, default=Options.rounds, help="rounds, of which a tenth is not counted")
    parser.add_argument("--peer-users", type=int, default=Options.peer_users, help="users that peers have to bear")
    parser.add_argument("--mixed-requests", type=int, default=Options.mixed_requests, help="until memory is looked at")
    parser.add_argument("--seconds", type=float, default=Options.seconds, help="of writing by several processes")
    if parts:
        parser.add_argument("parts", nargs="*", help=f"what to run, of {', '.join(parts)}; all, if none is named")
    given = vars(parser.parse_args())
    return Options(**given | {"parts": tuple(given.get("parts", ()))})
