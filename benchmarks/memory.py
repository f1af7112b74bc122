"""Does a worker grow while it answers requests of all kinds?

Run it as ``python -m benchmarks.memory``.
"""

import json
import random
import statistics

from benchmarks.bulk import user
from benchmarks.clients import Clients, Request, answer, request
from benchmarks.data import prepared, some_people
from benchmarks.harness import Row, show
from benchmarks.options import Options, read_options
from benchmarks.requests import PATCH_OP, Asking
from benchmarks.serving import server

_USERS = 10_000
_BATCH = 1000
_LARGE_PAGES = 400


class Mixed:
    """Requests of all kinds: of a hundred, 80 read and 20 write."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.token = asking.running.token
        self.created = 0
        self.deletable: list[str] = []

    def some(self, count: int) -> list[Request]:
        asking = self.asking
        kinds = [
            asking.by_id, asking.by_name, asking.by_external_id, asking.by_email, asking.containing, asking.page,
            asking.by_cursor, asking.count_all, self.nobody, self.post, self.patch,
        ]  # fmt: skip
        weights = [30, 15, 8, 8, 5, 2, 2, 5, 5, 10, 10]
        return [make() for make in random.choices(kinds, weights, k=count)]

    def nobody(self) -> Request:
        return self.asking.get(f"Users/{random.getrandbits(64)}")

    def post(self) -> Request:
        self.created += 1
        body = json.dumps(user(f"mixed{self.created}")).encode()
        return request("POST", "/scim/v2/Users", self.token, body)

    def patch(self) -> Request:
        operation = {"op": "replace", "path": "title", "value": f"Title {random.random()}"}
        body = json.dumps({"schemas": [PATCH_OP], "Operations": [operation]}).encode()
        return request("PATCH", f"/scim/v2/Users/{self.asking.person().id}", self.token, body)


def run(options: Options) -> list[Row]:
    """Compare what the workers hold at the end with what they held after a fifth of the requests."""
    with server(2, prepared(_USERS)) as running, Clients(8) as clients:
        mixed = Mixed(Asking(running, some_people(running.database, _USERS)))
        # SQLite's caches, one for each thread, grow up to their limit with what is read.
        clients.send(running.port, [mixed.asking.by_cursor(1000) for _ in range(_LARGE_PAGES)])
        held: list[int] = []
        for _ in range(max(20, options.mixed_requests // _BATCH)):
            sent = clients.send(running.port, mixed.some(_BATCH), None)
            assert sent.statuses <= {200, 201, 404}, sent.statuses
            held.append(running.memory())
        assert answer(running.port, mixed.asking.by_id())
    fifth = len(held) // 5
    warm = statistics.median(held[fifth : fifth + max(3, fifth // 4)])
    ratios = [each / warm for each in held[-fifth:]]
    low, middle, high = statistics.quantiles(ratios, n=4)
    least, most = min(held[fifth:]) / warm, max(held[fifth:]) / warm
    note = f"{warm / 2e6:.1f} MB a worker; from then on never outside of {least:.3f} to {most:.3f} times that"
    name = f"memory of a worker after {len(held) * _BATCH:,} mixed requests"
    return [Row(name, f"after {fifth * _BATCH:,}", middle, low, high, 1.05, unit="bytes", note=note)]


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
