"""kill -9: what was acknowledged is there, what was not is there whole or not at all."""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.database import Database
from tests.crash.model import Model, lost_or_halved
from tests.crash.writer import PREFIX, Nursery

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
LIVES = 50
"""Kills of writers on one database."""
LONGEST = 0.025
"""Seconds until a writer is killed: about ten writes."""


def killed(directory: Path, registry: Registry, kills: int, fault: str = "none") -> Iterator[list[str]]:
    """Yield what was wrong after each kill of a writer."""
    chance = random.Random(kills)
    database = Database(f"sqlite:///{directory / 'x.db'}")
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
        for wrong in killed(directory, registry, min(LIVES, KILLS - number)):
            assert wrong == []


@pytest.mark.parametrize("fault", ["hasty", "torn"])
def test_a_writer_that_is_hasty_or_has_no_transactions_is_found_out(
    tmp_path: Path, registry: Registry, fault: str
) -> None:
    assert any(killed(tmp_path, registry, 40, fault))
