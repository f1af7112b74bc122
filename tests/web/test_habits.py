"""No habit of a client removes what the client did not name, or changes what a message of the RFC does."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_server.app import create_app
from tests.conftest import Caller
from tests.scim import ACCOUNT_GROUP, GROUP, PATCH_OP, create, create_user
from tests.server import Server

PLACES = ["<0>", "<1>", "<2>"]
"""What stands for the ids of three users, or of three services."""
SETS = [("members", GROUP), ("services", ACCOUNT_GROUP)]
"""The attributes of a group that point to others, and the schema of each."""

ids = st.sampled_from(PLACES)
nothings = st.sampled_from(
    ["", [], {}, None, [{}], [""], [None], [[]], {"value": None}, [{"value": ""}], {"x": 1}, 0, False]
)
described = st.builds(
    lambda key, id, more: {key: id} | more,
    st.sampled_from(["value", "Value", "VALUE", "id", "$ref", "nosuch"]),
    ids,
    st.sampled_from([{}, {"display": ""}, {"type": "user"}, {"nosuch": 1}, {"display": None}, {"type": ""}]),
)
one = st.one_of(ids, described, nothings)
values = st.one_of(one, st.lists(one, max_size=3), ids.map(lambda id: f"{id},<0>"))


def cased(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([text, text, text.upper(), text.title()])


@st.composite
def operations(draw: st.DrawFn, name: str, urn: str) -> dict[str, Any]:
    """Draw an operation on an attribute of a group, as a client might send it."""
    op = draw(st.sampled_from(["add", "remove", "replace"]).flatmap(cased))
    id = draw(ids)
    brackets = [
        f'[value eq "{id}"]', f"[value eq {id}]", f'[VALUE EQ "{id}"]', f'[value eq "{id}"].value', "[]", "[value]",
        ".value", ".display", "",
    ]  # fmt: skip
    bare = f"{draw(cased(name))}{draw(st.sampled_from(brackets))}"
    path = draw(st.sampled_from([None, bare, f" {bare}", f"{urn}:{bare}", f"{urn}.{bare}", urn, f"{urn}[{bare}]"]))
    operation: dict[str, Any] = {"op": op}
    value = draw(values)
    if path is not None and draw(st.booleans()):
        operation["path"] = path
        value = {name: value} if path == urn else value
    elif draw(st.booleans()):
        value = {path or name: value}
    else:
        value = {urn: {name: value}}
    return operation if draw(st.integers(0, 4)) == 0 else operation | {"value": value}


class Fleet(NamedTuple):
    """A group with three members and three services, seen by a tolerant and by a strict server."""

    tolerant: httpx2.Client
    strict: httpx2.Client
    path: str
    body: dict[str, Any]
    ids: dict[str, list[str]]

    def reset(self) -> None:
        assert self.tolerant.put(self.path, json=self.body).is_success

    def send(self, http: httpx2.Client, operation: dict[str, Any], name: str) -> httpx2.Response:
        text = json.dumps({"schemas": [PATCH_OP], "Operations": [operation]})
        for place, id in zip(PLACES, self.ids[name], strict=True):
            text = text.replace(place, id)
        response = http.patch(self.path, content=text, headers={"Content-Type": "application/scim+json"})
        assert response.is_success or response.status_code == 400, response.text
        return response

    def left(self) -> dict[str, set[str]]:
        """Return who is still in the group, by the attribute."""
        group = self.tolerant.get(self.path).json()
        found = {"members": group.get("members", []), "services": group.get(ACCOUNT_GROUP, {}).get("services", [])}
        return {
            name: {place for place, id in zip(PLACES, self.ids[name], strict=True) if id in str(elements)}
            for name, elements in found.items()
        }


@pytest.fixture
def fleet(server: Server, caller: Caller) -> Iterator[Fleet]:
    with ExitStack() as opened:
        tolerant, strict = (
            opened.enter_context(caller.local(create_app(replace(server.settings, compatibility=accepted))))
            for accepted in (server.settings.compatibility, frozenset[str]())
        )
        users = [create_user(tolerant, f"user{number}")["id"] for number in range(3)]
        services = [create(tolerant, "Services", displayName=f"S{number}")["id"] for number in range(3)]
        body = {
            "schemas": [GROUP, ACCOUNT_GROUP],
            "displayName": "G",
            "members": [{"value": id} for id in users],
            ACCOUNT_GROUP: {"services": [{"value": id} for id in services]},
        }
        path = f"Groups/{create(tolerant, 'Groups', displayName='G')['id']}"
        yield Fleet(tolerant, strict, path, body, {"members": users, "services": services})


def says_nobody(operation: dict[str, Any]) -> bool:
    """Tell whether an operation says plainly that nobody is to be left."""
    value = operation.get("value")
    while isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if operation["op"].lower() == "remove":
        return value is None and "path" in operation and "[" not in operation["path"]
    return operation["op"].lower() == "replace" and (value is None or value == [])


several = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(("name", "urn"), SETS)
@several
@given(data=st.data())
def test_only_what_is_named_is_removed(fleet: Fleet, name: str, urn: str, data: st.DataObject) -> None:
    fleet.reset()
    operation = data.draw(operations(name, urn))
    response = fleet.send(fleet.tolerant, operation, name)
    left = fleet.left()
    assert all(found == set(PLACES) for other, found in left.items() if other != name)
    gone = set(PLACES) - left[name]
    if not response.is_success:
        assert not gone
        return
    if says_nobody(operation):
        return
    text = json.dumps(operation)
    selected = {place for place in PLACES if place in text.partition("]")[0]} if "[" in text else set()
    named = {place for place in PLACES if place in text}
    match operation["op"].lower():
        case "add":
            assert gone <= selected
        case "remove":
            assert gone <= named
        case _:
            # What replaces all values names at least one that stays.
            assert gone <= selected or gone == set(PLACES) - named != set(PLACES)


@pytest.mark.parametrize(("name", "urn"), SETS)
@several
@given(data=st.data())
def test_what_the_rfc_allows_means_the_same_with_every_habit(
    fleet: Fleet, name: str, urn: str, data: st.DataObject
) -> None:
    fleet.reset()
    operation = data.draw(operations(name, urn))
    if fleet.send(fleet.strict, operation, name).is_success:
        strictly = fleet.left()
        fleet.reset()
        assert fleet.send(fleet.tolerant, operation, name).is_success
        assert fleet.left() == strictly
