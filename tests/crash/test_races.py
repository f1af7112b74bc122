"""Races between requests: whoever comes first, what is left is what one after the other would have left."""

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.opening import open_database
from tests.crash.apps import command
from tests.crash.crowd import Asked, Crowd, add_members
from tests.crash.invariants import broken
from tests.releases import ROOT
from tests.server import Server

ROUNDS = int(os.environ.get("RACE_ROUNDS", "200"))
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
SETTINGS = {"SCIM_THREADS": "8", "SCIM_LOG_LEVEL": "warning"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("races"), SETTINGS).initialised().started() as server:
        yield server


@pytest.fixture
def crowd(server: Server, registry: Registry) -> Iterator[Crowd]:
    """A crowd after which the database must be sound."""
    with Crowd(server, server.token("admin"), 64) as crowd:
        yield crowd
    with closing(open_database(server.settings.database_url)) as database:
        assert broken(database, registry) == []


def variants(name: str, count: int) -> list[str]:
    """Return as many names as wanted that are one: in capitals, in full width, both, or as given."""
    each = (name, name.upper(), name.translate(FULL_WIDTH), name.upper().translate(FULL_WIDTH))
    return [each[number % len(each)] for number in range(count)]


def created_at_once(crowd: Crowd, name: str) -> Counter[int]:
    answers = crowd.send([Asked("POST", "Users", {"userName": each}) for each in variants(name, 64)])
    return Counter(answer.status for answer in answers)


def test_of_64_creations_of_one_name_one_is_done(crowd: Crowd) -> None:
    """Race as often as RACE_ROUNDS says."""
    for number in range(ROUNDS):
        assert created_at_once(crowd, f"racer{number}") == {201: 1, 409: 63}
    found = crowd.send_one("GET", "Users?count=0&filter=userName%20sw%20%22racer%22")
    assert found.body["totalResults"] == ROUNDS


@pytest.mark.parametrize(("endpoint", "attribute"), [("Users", "userName"), ("Groups", "displayName")])
def test_of_many_renamings_to_one_name_one_is_done(crowd: Crowd, endpoint: str, attribute: str) -> None:
    ids = [crowd.create(endpoint, {attribute: f"runner{number}"}) for number in range(15)]
    for number in range(ROUNDS // 10):
        name = f"goal{number}"
        asked = [
            Asked("PUT", f"{endpoint}/{id}", {attribute: name})
            for id, name in zip(ids, variants(name, 15), strict=True)
        ]
        asked.append(Asked("POST", endpoint, {attribute: name}))
        statuses = Counter(answer.status // 100 for answer in crowd.send(asked))
        assert statuses == {2: 1, 4: 15}


def close_ring(crowd: Crowd, groups: list[str]) -> Counter[int]:
    asked = [add_members(group, groups[number - 1]) for number, group in enumerate(groups)]
    return Counter(answer.status for answer in crowd.send(asked))


def test_groups_that_are_put_into_one_another_at_once_never_close_a_circle(crowd: Crowd) -> None:
    groups = [crowd.create("Groups", {"displayName": f"ring{number}"}) for number in range(4)]
    for number in range(ROUNDS // 4):
        ring = groups[: 2 + number % 3]
        statuses = close_ring(crowd, ring)
        assert statuses == {200: len(ring) - 1, 400: 1}
        for group in ring:
            crowd.send_one("PUT", f"Groups/{group}", {"displayName": f"{group} {number}"})


def test_no_member_is_left_of_a_user_that_is_deleted_while_it_is_added(crowd: Crowd) -> None:
    chance = random.Random(ROUNDS)
    groups = [crowd.create("Groups", {"displayName": f"team{number}"}) for number in range(4)]
    orders = set()
    for number in range(ROUNDS // 4):
        user = crowd.create("Users", {"userName": f"leaver{number}"})
        named = {"displayName": "team0", "members": [{"value": user}]}
        asked = [*(add_members(group, user) for group in groups[1:]), Asked("PUT", f"Groups/{groups[0]}", named)]
        place = chance.randrange(len(asked) + 1)
        asked.insert(place, Asked("DELETE", f"Users/{user}"))
        statuses = [answer.status for answer in crowd.send(asked)]
        assert statuses.pop(place) == 204
        assert set(statuses) <= {200, 400}
        orders.add(tuple(statuses))
        for group in groups:
            assert "members" not in crowd.send_one("GET", f"Groups/{group}").body
    assert len(orders) > 1


def test_a_server_without_transactions_loses_these_races(tmp_path: Path, registry: Registry) -> None:
    server = Server(tmp_path, SETTINGS).initialised()
    with server.started(command("torn"), ROOT), Crowd(server, server.token("admin"), 64) as crowd:
        assert any(created_at_once(crowd, f"racer{number}") != {201: 1, 409: 63} for number in range(20))
        close_ring(crowd, [crowd.create("Groups", {"displayName": f"ring{number}"}) for number in range(2)])
    with closing(open_database(server.settings.database_url)) as database:
        assert any("contain themselves" in line for line in broken(database, registry))
