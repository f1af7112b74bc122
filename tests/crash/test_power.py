"""Power cuts: what was acknowledged is on the disk, whatever else the disk has of what was not synced."""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from scim_server.protocol.registry import Registry
from tests.crash.disk import DatabaseOn, Disk, Glance, put_back
from tests.crash.invariants import broken
from tests.crash.model import Model, lost_or_halved, write
from tests.storage.conftest import house_on

CUTS = int(os.environ.get("CRASH_CUTS", "200"))
LIVES = 25
"""Cuts on one database."""
LONGEST = 500
"""Changes of files until the power goes: about ten writes."""


def cut(prepared: Path, registry: Registry, cuts: int, seed: int, **pragmas: Any) -> Iterator[list[str]]:
    """Yield what was wrong after each power cut; each life goes on with what the one before left."""
    chance = random.Random(seed)
    model = Model("c")
    directory = Path(shutil.copytree(prepared, prepared.with_name("before")))
    for number in range(cuts):
        # With few pages between checkpoints the power goes in the midst of one.
        options = {"wal_autocheckpoint": chance.choice((None, 20, 100))} | pragmas
        disk = Disk(directory, chance, chance.randrange(LONGEST))
        database = DatabaseOn(directory / "x.db", disk, **{k: v for k, v in options.items() if v is not None})
        house = house_on(database, registry)
        for done in count(model.done):
            write(house, model.prefix, done)
            if disk.left is not None:
                break
        database.close()
        left = prepared.with_name(f"after {number}")
        put_back(disk.left, left)
        if chance.random() < 0.5 and (directory / "x.db-shm").exists():
            shutil.copy(directory / "x.db-shm", left)
        looked_at = prepared.with_name(f"looked at {number}")
        shutil.copytree(left, looked_at)
        with closing(Glance(looked_at / "x.db")) as found:
            yield lost_or_halved(found, registry, model, done)
        shutil.rmtree(looked_at)
        shutil.rmtree(directory)
        directory = left
    shutil.rmtree(directory)


def test_a_power_cut_takes_nothing_that_was_acknowledged(prepared: Path, registry: Registry) -> None:
    """Cut as often as CRASH_CUTS says."""
    for number in range(0, CUTS, LIVES):
        for wrong in cut(prepared, registry, min(LIVES, CUTS - number), number):
            assert wrong == []


def test_after_a_power_cut_during_the_preparation_another_one_completes_it(tmp_path: Path, registry: Registry) -> None:
    cuts = 0
    for seed in range(CUTS // 10):
        chance = random.Random(seed)
        new, left = tmp_path / f"new {seed}", tmp_path / f"left {seed}"
        new.mkdir()
        disk = Disk(new, chance, chance.randrange(200))
        house_on(DatabaseOn(new / "x.db", disk), registry).database.close()
        put_back(disk.left or {}, left)
        cuts += disk.left is not None
        with closing(Glance(left / "x.db")) as found:
            write(house_on(found, registry), "c", 0)
            assert broken(found, registry) == []
    assert cuts >= CUTS // 20


@pytest.mark.parametrize(("synchronous", "breaks"), [("normal", False), ("off", True)])
def test_a_database_that_syncs_less_loses_acknowledged_writes(
    prepared: Path, registry: Registry, synchronous: str, breaks: bool
) -> None:
    """Less than FULL forgets, and nothing at all even breaks the file: so the cuts above would have shown it."""
    losses = []
    for seed in range(20):
        (wrong,) = cut(prepared, registry, 1, seed, synchronous=synchronous)
        losses += wrong
    assert any(each.startswith("after ") for each in losses)
    assert any(not each.startswith("after ") for each in losses) == breaks
