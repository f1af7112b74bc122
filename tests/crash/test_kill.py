"""kill -9: what was acknowledged is there, what was not is there whole or not at all."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event

import httpx2 as httpx
import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.opening import open_database
from tests.crash.apps import command
from tests.crash.model import Model, lost_or_halved, send
from tests.crash.writer import PREFIX, Nursery
from tests.releases import ROOT
from tests.server import SCIM_SERVER, Server, wait_for

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
SERVER_KILLS = int(os.environ.get("CRASH_SERVER_KILLS", "8"))
LIVES = 50
"""Kills of writers on one database."""
SERVER_LIVES = 20
"""The same, of servers."""
LONGEST = 0.025
"""Seconds until a writer is killed: about ten writes."""


def killed(directory: Path, registry: Registry, kills: int, seed: int, fault: str = "none") -> Iterator[list[str]]:
    """Yield what was wrong after each kill of a writer."""
    chance = random.Random(seed)
    database = open_database(f"sqlite:///{directory / 'x.db'}")
    with closing(Nursery(database.path, fault)) as nursery, closing(database):
        model = Model(PREFIX)
        for _ in range(kills):
            done = nursery.live(model.done, chance.uniform(0, LONGEST))
            yield lost_or_halved(database, registry, model, done)
            if chance.random() < 0.5:
                # The last one to leave takes the log with it; while it stays, the next writer goes on with it.
                database.close()


def test_of_a_killed_writer_nothing_is_lost_or_halved(tmp_path: Path, registry: Registry) -> None:
    """Kill as often as CRASH_KILLS says."""
    for number in range(0, KILLS, LIVES):
        directory = tmp_path / str(number)
        directory.mkdir()
        for wrong in killed(directory, registry, min(LIVES, KILLS - number), number):
            assert wrong == []
        shutil.rmtree(directory)


@pytest.mark.parametrize("fault", ["hasty", "torn"])
def test_a_writer_that_is_hasty_or_has_no_transactions_is_found_out(
    tmp_path: Path, registry: Registry, fault: str
) -> None:
    # The first kills find it, unless they all come while the disk or the processor is slow.
    assert any(killed(tmp_path, registry, KILLS, 0, fault))


SERVE = (*SCIM_SERVER, "serve")
CLIENTS = "abcd"


class Sender:
    """A client of the server, all of whose requests are writes of one model."""

    def __init__(self, server: Server, token: str, prefix: str) -> None:
        self.http = httpx.Client(base_url=server.settings.base_url, headers={"Authorization": f"Bearer {token}"})
        self.model = Model(prefix)
        self.done = 0
        self.refused: list[str] = []

    def send(self, stop: Event) -> None:
        """Write until told to stop, or until the server is gone."""
        self.done = self.model.done
        try:
            while not stop.is_set():
                if not send(self.http, self.model.prefix, self.done):
                    self.refused.append(f"refused: write {self.done} of {self.model.prefix}")
                    return
                self.done += 1
        except httpx.TransportError:
            return


def workers(server: Server) -> list[int]:
    assert server.process
    master = server.process.pid
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def killed_servers(server: Server, registry: Registry, kills: int, serve: Sequence[str] = SERVE) -> Iterator[list[str]]:
    """Yield what was wrong after each kill, of a worker or every fourth time of the whole server, under four clients."""
    chance, number, token = random.Random(kills), 0, server.token("admin")
    senders = [Sender(server, token, prefix) for prefix in CLIENTS]
    with ExitStack() as stack:
        database = stack.enter_context(closing(open_database(server.settings.database_url)))
        pool = stack.enter_context(ThreadPoolExecutor(len(senders)))
        for sender in senders:
            stack.enter_context(sender.http)
        while number < kills:
            with server.started(serve, ROOT):
                while number < kills and server.process and server.process.poll() is None:
                    number += 1
                    wait_for(lambda: len(workers(server)) == server.settings.workers)
                    stop = Event()
                    sending = [pool.submit(sender.send, stop) for sender in senders]
                    time.sleep(chance.uniform(0.05, 0.3))
                    if number % 4:
                        os.kill(chance.choice(workers(server)), signal.SIGKILL)
                    else:
                        server.kill()
                    stop.set()
                    for each in sending:
                        each.result()
                    wrong = [lost_or_halved(database, registry, sender.model, sender.done) for sender in senders]
                    yield sum(wrong, [refused for sender in senders for refused in sender.refused])


def test_of_a_server_whose_processes_are_killed_nothing_is_lost_or_halved(tmp_path: Path, registry: Registry) -> None:
    """Kill as often as CRASH_SERVER_KILLS says."""
    for number in range(0, SERVER_KILLS, SERVER_LIVES):
        directory = tmp_path / str(number)
        directory.mkdir()
        for wrong in killed_servers(
            Server(directory).initialised(), registry, min(SERVER_LIVES, SERVER_KILLS - number)
        ):
            assert wrong == []
        shutil.rmtree(directory)


def test_a_server_without_transactions_is_found_out(tmp_path: Path, registry: Registry) -> None:
    found = killed_servers(Server(tmp_path).initialised(), registry, 12, command("torn"))
    assert any(not line.startswith("refused") for wrong in found for line in wrong)
