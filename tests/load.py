"""Sends requests from several threads while something happens to the server, and remembers every answer."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx2 as httpx

from tests.server import Server, wait_for

_names = count(1)


@dataclass
class Load:
    """What a server answered under load: reads and creations, until it is stopped."""

    server: Server
    token: str
    answers: Counter[int] = field(default_factory=Counter)
    created: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What no client should see: other statuses, 503 without a time to try again, answers that never came."""
    refused: int = 0
    """Connections that nobody took: the server was not there, and the client knows that nothing was done."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, threads: int = 6) -> Iterator["Load"]:
        started = [threading.Thread(target=self._send) for _ in range(threads)]
        for thread in started:
            thread.start()
        try:
            self.wait_for_more()
            yield self
        finally:
            self._stopped.set()
            for thread in started:
                thread.join()

    def wait_for_more(self, statuses: tuple[int, ...] = (200, 201), number: int = 30) -> None:
        """Wait until so many more answers of each of these statuses came."""
        before = {status: self.answers[status] for status in statuses}
        wait_for(lambda: all(self.answers[status] >= before[status] + number for status in statuses))

    def _send(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=self.server.settings.base_url, headers=headers, timeout=30) as http:
            while not self._stopped.is_set():
                self._one(http)

    def _one(self, http: httpx.Client) -> None:
        number = next(_names)
        try:
            if number % 2:
                answer = http.get("Users", params={"filter": f'userName eq "load{number - 1}"'})
            else:
                answer = http.post("Users", json={"userName": f"load{number}"})
        except httpx.ConnectError:
            self.refused += 1
            self._stopped.wait(0.02)
            return
        except httpx.TransportError as error:
            self.wrong.append(repr(error))
            return
        self.answers[answer.status_code] += 1
        if answer.status_code == 201:
            self.created.append(answer.json()["id"])
        elif answer.status_code == 503 and answer.headers.get("Retry-After"):
            self._stopped.wait(0.02)
        elif answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text}")

    def assert_kept(self) -> None:
        """Assert that everything that was answered with 201 is there."""
        with httpx.Client(
            base_url=self.server.settings.base_url, headers={"Authorization": f"Bearer {self.token}"}
        ) as http:
            missing = [id for id in self.created if http.get(f"Users/{id}").status_code != 200]
        assert not missing
