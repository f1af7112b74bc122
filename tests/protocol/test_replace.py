from pathlib import Path
from typing import Any

import pytest

from scim_server.protocol.registry import Registry
from scim_server.protocol.replace import apply
from scim_server.protocol.schema import ResourceType
from tests.protocol import DEVICE, WARRANTY, device, load, refused, resource_type, schema
from tests.scim import ENTERPRISE, USER

BARBARA: dict[str, Any] = {
    "schemas": [USER, ENTERPRISE],
    "id": "2819c223",
    "externalId": "701984",
    "userName": "bjensen",
    "name": {"familyName": "Jensen", "givenName": "Barbara"},
    "nickName": "Babs",
    "emails": [{"value": "bjensen@example.com", "type": "work"}, {"value": "babs@jensen.org"}],
    "password": "secret",
    ENTERPRISE: {"department": "Tours", "manager": {"value": "26118915"}},
}
KEPT = {"schemas": [USER], "id": "2819c223", "password": "secret"}


@pytest.fixture(scope="session")
def user(registry: Registry) -> ResourceType:
    return registry.resource_types["User"]


# What PUT leaves out


def test_what_is_left_out_is_cleared_but_for_id_and_password(user: ResourceType) -> None:
    assert apply(user, BARBARA, {"userName": "bjensen"}) == KEPT | {"userName": "bjensen"}


def test_what_is_given_replaces_what_was_there(user: ResourceType) -> None:
    wanted = {
        "userName": "babs",
        "name": {"givenName": "Babs"},
        "emails": [{"value": "babs@jensen.org"}],
        "password": "new",
        "title": "Guide",
    }
    assert apply(user, BARBARA, wanted) == {"schemas": [USER], "id": "2819c223", **wanted}


def test_putting_back_what_was_got_changes_nothing(user: ResourceType) -> None:
    wanted = {name: value for name, value in BARBARA.items() if name not in ("schemas", "id", "password")}
    assert apply(user, BARBARA, wanted) == BARBARA


def test_an_extension_comes_and_goes_with_its_urn(user: ResourceType) -> None:
    gone = apply(user, BARBARA, {"userName": "bjensen"})
    assert gone["schemas"] == [USER]
    assert ENTERPRISE not in gone
    back = apply(user, gone, {"userName": "bjensen", ENTERPRISE: {"division": "Theme Park"}})
    assert back["schemas"] == [USER, ENTERPRISE]
    assert back[ENTERPRISE] == {"division": "Theme Park"}


def test_an_extension_is_replaced_whole(user: ResourceType) -> None:
    wanted = {"userName": "bjensen", ENTERPRISE: {"division": "Theme Park"}}
    assert apply(user, BARBARA, wanted)[ENTERPRISE] == {"division": "Theme Park"}


def test_neither_document_is_changed(user: ResourceType) -> None:
    current = {**BARBARA, ENTERPRISE: {"manager": {"value": "26118915"}}}
    wanted = {"userName": "babs", "name": {"givenName": "Babs"}}
    apply(user, current, wanted)
    assert current == {**BARBARA, ENTERPRISE: {"manager": {"value": "26118915"}}}
    assert wanted == {"userName": "babs", "name": {"givenName": "Babs"}}


# Immutable and writeOnly attributes of a schema of one's own


@pytest.fixture(scope="module")
def gadget(tmp_path_factory: pytest.TempPathFactory) -> ResourceType:
    place = [
        {"name": "room"},
        {"name": "building", "mutability": "immutable"},
        {"name": "code", "mutability": "writeOnly"},
    ]
    attributes: list[dict[str, Any]] = [
        {"name": "model"},
        {"name": "serial", "mutability": "immutable"},
        {"name": "pin", "mutability": "writeOnly", "returned": "never"},
        {"name": "tags", "multiValued": True, "mutability": "immutable"},
        {"name": "place", "type": "complex", "subAttributes": place},
        {"name": "seal", "type": "complex", "mutability": "immutable", "subAttributes": [{"name": "value"}]},
    ]
    extension = schema({"name": "until", "mutability": "immutable"}, {"name": "note"}, urn=WARRANTY)
    kind = resource_type({"schema": WARRANTY, "required": False})
    return load(tmp_path_factory.mktemp("gadget"), extension, schema(*attributes), kind).resource_types["Device"]


BASE = {"schemas": [DEVICE], "id": "1"}


def put(gadget: ResourceType, current: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what PUT makes of a device, beyond schemas and id."""
    made = apply(gadget, BASE | current, wanted)
    assert made.pop("id") == "1"
    assert made.pop("schemas") == [DEVICE, *(urn for urn in [WARRANTY] if urn in made)]
    return made


@pytest.mark.parametrize(
    "value",
    [
        {"serial": "s"},
        {"pin": "1234"},
        {"tags": ["a", "b"]},
        {"seal": {"value": "x"}},
        {"place": {"building": "A"}},
        {"place": {"code": "x"}},
        {WARRANTY: {"until": "2030"}},
    ],
)
def test_an_immutable_or_secret_value_is_set_once_and_kept(gadget: ResourceType, value: dict[str, Any]) -> None:
    assert put(gadget, {}, value) == value
    assert put(gadget, value, value) == value
    assert put(gadget, value, {}) == value
    assert put(gadget, value, {"model": "m"}) == {"model": "m"} | value


@pytest.mark.parametrize(
    ("current", "wanted", "path"),
    [
        ({"serial": "s"}, {"serial": "t"}, "serial"),
        ({"tags": ["a"]}, {"tags": ["a", "b"]}, "tags"),
        ({"seal": {"value": "x"}}, {"seal": {"value": "y"}}, "seal"),
        ({"place": {"building": "A"}}, {"place": {"building": "B"}}, "place.building"),
        ({WARRANTY: {"until": "2030"}}, {WARRANTY: {"until": "2031"}}, f"{WARRANTY}:until"),
    ],
)
def test_an_immutable_value_cannot_change(
    gadget: ResourceType, current: dict[str, Any], wanted: dict[str, Any], path: str
) -> None:
    with refused("mutability", f"{path} cannot be changed once it is set."):
        put(gadget, current, wanted)


def test_a_secret_can_change(gadget: ResourceType) -> None:
    assert put(gadget, {"pin": "1234"}, {"pin": "5678"}) == {"pin": "5678"}
    assert put(gadget, {"place": {"code": "x"}}, {"place": {"code": "y"}}) == {"place": {"code": "y"}}


def test_of_a_complex_value_only_what_cannot_be_cleared_is_kept(gadget: ResourceType) -> None:
    current = {"place": {"room": "1", "building": "A", "code": "x"}}
    assert put(gadget, current, {}) == {"place": {"building": "A", "code": "x"}}
    assert put(gadget, current, {"place": {"room": "2"}}) == {"place": {"room": "2", "building": "A", "code": "x"}}
    assert put(gadget, {"place": {"room": "1"}}, {"model": "m"}) == {"model": "m"}


def test_of_an_extension_only_what_cannot_be_cleared_is_kept(gadget: ResourceType) -> None:
    current = {WARRANTY: {"until": "2030", "note": "x"}}
    assert put(gadget, current, {"model": "m"}) == {"model": "m", WARRANTY: {"until": "2030"}}
    assert put(gadget, {WARRANTY: {"note": "x"}}, {"model": "m"}) == {"model": "m"}


def test_false_and_zero_are_values_and_not_left_out(tmp_path: Path) -> None:
    made = device(
        tmp_path,
        {"name": "online", "type": "boolean", "mutability": "immutable"},
        {"name": "slots", "type": "integer"},
    )
    assert apply(made, BASE, {"online": False, "slots": 0}) == BASE | {"online": False, "slots": 0}
    with refused("mutability"):
        apply(made, BASE | {"online": False}, {"online": True})


def test_members_of_a_group_are_replaced_whole(registry: Registry) -> None:
    group = registry.resource_types["Group"]
    current = {"schemas": [group.schema.id], "id": "1", "displayName": "Guides", "members": [{"value": "1"}]}
    made = apply(group, current, {"displayName": "Guides", "members": [{"value": "2"}]})
    assert made["members"] == [{"value": "2"}]
