"""Policies that change while somebody writes: what must be unique stays so, whatever comes first."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from scim_server.protocol.errors import ScimError
from scim_server.protocol.registry import Registry
from scim_server.resources import policies, tombstones
from scim_server.storage.database import Database
from scim_server.storage.keys import scope_of
from tests.scim import PATCH_OP
from tests.storage.conftest import House

UNIQUE, LOOSE = frozenset({"group_name_unique"}), frozenset[str]()
Switch = Callable[[frozenset[str]], None]


@pytest.fixture
def switch(house: House, registry: Registry) -> Switch:
    def change(names: frozenset[str]) -> None:
        policies.change(house.database, registry, house.by.tenant.name, names)

    return change


def group(house: House, name: str) -> str:
    body = house.resources["Group"].create(house.by, {"displayName": name}).body
    assert isinstance(body, bytes)
    return str(json.loads(body)["id"])


def rename(name: str) -> dict[str, Any]:
    return {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": "displayName", "value": name}]}


WRITES: dict[str, Callable[[House, str], object]] = {
    "create": lambda house, _: group(house, "Others"),
    "replace": lambda house, id: house.resources["Group"].replace(house.by, id, {"displayName": "Others"}),
    "patch": lambda house, id: house.resources["Group"].patch(house.by, id, rename("Others")),
    "delete": lambda house, id: house.resources["Group"].delete(house.by, id),
}


def assert_keys_are_complete(house: House, *, unique: bool) -> None:
    """Hold the keys of groups to their names, as the policies want them."""
    scope = scope_of(house.by.tenant.number, house.resources["Group"].number)
    keys = house.database.rows("SELECT resource FROM unique_key WHERE scope = ? ORDER BY 1", (scope,))
    assert keys == (
        house.database.rows("SELECT key FROM resource WHERE scope = ? ORDER BY 1", (scope,)) if unique else []
    )


@pytest.mark.parametrize("before", [UNIQUE, LOOSE])
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_a_switch_overtakes_is_to_be_sent_again(
    house: House, switch: Switch, monkeypatch: pytest.MonkeyPatch, before: frozenset[str], write: str
) -> None:
    guides = group(house, "Guides")
    switch(before)
    caller = house.renewed()
    kind = type(house.database)
    transaction, after = kind.transaction, UNIQUE - before

    def overtaken(database: Database, *, waits: bool = True) -> Any:
        # The write has read and checked everything, and waits for the lock that the switch holds.
        monkeypatch.setattr(kind, "transaction", transaction)
        switch(after)
        return transaction(database, waits=waits)

    monkeypatch.setattr(kind, "transaction", overtaken)
    with pytest.raises(ScimError) as refusal:
        WRITES[write](caller, guides)
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
    assert_keys_are_complete(house, unique=bool(after))
    WRITES[write](house.renewed(), guides)
    assert_keys_are_complete(house, unique=bool(after))


def test_what_comes_back_has_the_keys_of_the_policies_that_hold(house: House, switch: Switch) -> None:
    guides = group(house, "Guides")
    house.resources["Group"].delete(house.by, guides)
    switch(LOOSE)
    with pytest.raises(ScimError, match="just changed"):
        tombstones.restore(house.resources["Group"], house.by, guides)
    tombstones.restore(house.resources["Group"], house.renewed().by, guides)
    assert_keys_are_complete(house, unique=False)
    switch(UNIQUE)
    assert_keys_are_complete(house, unique=True)


def test_a_switch_builds_on_the_policies_that_hold_when_it_has_the_lock(
    house: House, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(house, "Guides")
    switch(LOOSE)
    kind = type(house.database)
    transaction = kind.transaction

    def overtaken(database: Database, *, waits: bool = True) -> Any:
        monkeypatch.setattr(kind, "transaction", transaction)
        switch(UNIQUE)
        return transaction(database, waits=waits)

    monkeypatch.setattr(kind, "transaction", overtaken)
    switch(LOOSE | {"name_required"})
    assert_keys_are_complete(house, unique=False)
    switch(UNIQUE)
    assert_keys_are_complete(house, unique=True)
