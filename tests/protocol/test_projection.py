from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim_server.protocol.projection import DEFAULT, NOTHING, Projection, project, read_projection
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import ResourceType
from tests.protocol import DEVICE, WARRANTY, load, refused, resource_type, schema
from tests.scim import ACCOUNT_USER, ENTERPRISE, USER

BARBARA: dict[str, Any] = {
    "schemas": [USER, ENTERPRISE],
    "id": "2819c223",
    "externalId": "701984",
    "userName": "bjensen",
    "name": {"formatted": "Ms. Barbara Jensen", "familyName": "Jensen", "givenName": "Barbara"},
    "emails": [{"value": "bjensen@example.com", "type": "work", "primary": True}, {"value": "babs@jensen.org"}],
    "groups": [{"value": "e9e30dba", "display": "Tour Guides"}],
    ENTERPRISE: {"department": "Tours", "manager": {"value": "26118915", "displayName": "John Smith"}},
    "meta": {"resourceType": "User", "version": 'W/"1"'},
}
ALWAYS = {"schemas": BARBARA["schemas"], "id": BARBARA["id"]}


@pytest.fixture(scope="session")
def user(registry: Registry) -> ResourceType:
    return registry.resource_types["User"]


def only(user: ResourceType, *names: str) -> dict[str, Any]:
    """Return what the attributes parameter leaves, beyond what is always returned."""
    shown = project(user, read_projection([user], names, None), BARBARA)
    assert shown.items() >= ALWAYS.items()
    return {name: value for name, value in shown.items() if name not in ALWAYS}


def without(user: ResourceType, *names: str) -> dict[str, Any]:
    """Return what the excludedAttributes parameter leaves."""
    return project(user, read_projection([user], None, names), BARBARA)


# What is named


def test_without_parameters_the_defaults_are_shown(user: ResourceType) -> None:
    projection = read_projection([user], None, None)
    assert projection == DEFAULT
    assert projection.is_default()
    assert project(user, projection, BARBARA) == BARBARA


@pytest.mark.parametrize("projection", [NOTHING, Projection(excluded=frozenset({"title"}))])
def test_a_named_attribute_makes_the_answer_special(projection: Projection) -> None:
    assert not projection.is_default()


@pytest.mark.parametrize(("attributes", "excluded"), [(["userName"], ["title"]), ([], []), (["nosuch"], [])])
def test_both_parameters_together_are_refused(user: ResourceType, attributes: list[str], excluded: list[str]) -> None:
    with refused("invalidValue", "attributes and excludedAttributes cannot be used together."):
        read_projection([user], attributes, excluded)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("userName", {"userName": "bjensen"}),
        (" USERNAME ", {"userName": "bjensen"}),
        (f"{USER}:userName", {"userName": "bjensen"}),
        (f"{USER.lower()}:NAME.givenname", {"name": {"givenName": "Barbara"}}),
        ("name.givenName", {"name": {"givenName": "Barbara"}}),
        ("name", {"name": BARBARA["name"]}),
        ("emails.value", {"emails": [{"value": "bjensen@example.com"}, {"value": "babs@jensen.org"}]}),
        ("emails.type", {"emails": [{"type": "work"}]}),
        ("meta.version", {"meta": {"version": 'W/"1"'}}),
        (f"{ENTERPRISE}:department", {ENTERPRISE: {"department": "Tours"}}),
        ("Department", {ENTERPRISE: {"department": "Tours"}}),
        (f"{ENTERPRISE}:MANAGER.displayName", {ENTERPRISE: {"manager": {"displayName": "John Smith"}}}),
        (ENTERPRISE, {ENTERPRISE: BARBARA[ENTERPRISE]}),
        (ENTERPRISE.upper(), {ENTERPRISE: BARBARA[ENTERPRISE]}),
    ],
)
def test_attributes_name_what_is_shown(user: ResourceType, name: str, shown: dict[str, Any]) -> None:
    assert only(user, name) == shown


def test_several_attributes_are_shown_together(user: ResourceType) -> None:
    assert only(user, "emails.type", "emails.value", "userName", f"{ENTERPRISE}:department") == {
        "userName": "bjensen",
        "emails": [{"value": "bjensen@example.com", "type": "work"}, {"value": "babs@jensen.org"}],
        ENTERPRISE: {"department": "Tours"},
    }


@pytest.mark.parametrize("name", ["nosuch", "", "division", "name.nosuch", "name.middleName", "title", "password"])
def test_what_is_unknown_absent_or_secret_shows_nothing(user: ResourceType, name: str) -> None:
    assert only(user, name) == {}


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("emails", ["emails"]),
        ("NAME", ["name"]),
        (f"{USER}:groups", ["groups"]),
        (ENTERPRISE, [ENTERPRISE]),
        ("nosuch", []),
        ("id", []),
        ("schemas", []),
        ("emails.display", []),
    ],
)
def test_excluded_attributes_are_left_out_unless_always_returned(
    user: ResourceType, name: str, missing: list[str]
) -> None:
    assert without(user, name) == {key: value for key, value in BARBARA.items() if key not in missing}


@pytest.mark.parametrize(
    ("name", "key", "left"),
    [
        ("name.familyName", "name", {"formatted": "Ms. Barbara Jensen", "givenName": "Barbara"}),
        ("emails.VALUE", "emails", [{"type": "work", "primary": True}]),
        ("meta.version", "meta", {"resourceType": "User"}),
        (f"{ENTERPRISE}:department", ENTERPRISE, {"manager": BARBARA[ENTERPRISE]["manager"]}),
        (f"{ENTERPRISE}:manager.displayName", ENTERPRISE, {"department": "Tours", "manager": {"value": "26118915"}}),
    ],
)
def test_excluded_sub_attributes_trim_every_element(user: ResourceType, name: str, key: str, left: Any) -> None:
    assert without(user, name) == BARBARA | {key: left}


def test_an_attribute_of_which_nothing_is_left_is_left_out(user: ResourceType) -> None:
    shown = without(user, "groups.value", "groups.display", f"{ENTERPRISE}:department", f"{ENTERPRISE}:manager")
    assert shown == {key: value for key, value in BARBARA.items() if key not in ("groups", ENTERPRISE)}
    assert "name" not in without(user, "name.formatted", "name.familyName", "name.givenName")


def test_members_of_no_schema_are_never_shown(user: ResourceType) -> None:
    document = BARBARA | {"secret": 1, "urn:x:unknown": {"a": 1}, ENTERPRISE: {"department": "Tours", "secret": 1}}
    assert project(user, DEFAULT, document) == BARBARA | {ENTERPRISE: {"department": "Tours"}}


def test_a_password_is_never_shown(user: ResourceType) -> None:
    document = BARBARA | {"password": "t1meMa$heen"}
    for projection in (DEFAULT, read_projection([user], ["password"], None), read_projection([user], None, ["id"])):
        assert "password" not in project(user, projection, document, frozenset({"password"}))


def test_the_document_is_left_as_it_was(user: ResourceType) -> None:
    document = {**BARBARA, "name": dict(BARBARA["name"])}
    project(user, read_projection([user], ["name.givenName"], None), document)
    assert document == BARBARA


def test_names_of_any_of_several_types_are_known(registry: Registry) -> None:
    kinds = registry.resource_types.values()
    projection = read_projection(kinds, ["members", "USERNAME", "nosuch", f"{ACCOUNT_USER}:validFrom"], None)
    assert projection.included == frozenset({"members", "username", f"{ACCOUNT_USER}:validFrom".lower()})


# What need not be read


@pytest.mark.parametrize(
    ("attributes", "excluded", "shows"),
    [
        (None, None, True),
        (["members"], None, True),
        (["members.value"], None, True),
        (["displayName"], None, False),
        ([], None, False),
        (None, ["members"], False),
        (None, ["members.value"], True),
        (None, ["displayName"], True),
    ],
)
def test_members_are_read_only_when_some_of_them_are_shown(
    registry: Registry, attributes: list[str] | None, excluded: list[str] | None, shows: bool
) -> None:
    group = registry.resource_types["Group"]
    assert read_projection([group], attributes, excluded).shows(group.by_path["members"]) is shows


def test_the_projection_of_nothing_shows_what_is_always_returned(user: ResourceType) -> None:
    assert project(user, NOTHING, BARBARA) == ALWAYS
    assert NOTHING.shows(user.by_path["id"])
    assert not NOTHING.shows(user.by_path["username"])


# Every "returned" of a schema of one's own


@pytest.fixture(scope="module")
def gadget(tmp_path_factory: pytest.TempPathFactory) -> ResourceType:
    subs = [
        {"name": "mark", "returned": "always"},
        {"name": "value"},
        {"name": "note", "returned": "request"},
        {"name": "code", "returned": "never"},
    ]
    attributes: list[dict[str, Any]] = [
        {"name": "serial", "returned": "always"},
        {"name": "model"},
        {"name": "history", "returned": "request"},
        {"name": "pin", "returned": "never"},
        {"name": "ports", "type": "complex", "multiValued": True, "subAttributes": subs},
        {"name": "place", "type": "complex", "subAttributes": subs},
        {"name": "seal", "type": "complex", "returned": "always", "subAttributes": [{"name": "value"}]},
    ]
    extension = schema({"name": "until"}, {"name": "terms", "returned": "request"}, urn=WARRANTY)
    kind = resource_type({"schema": WARRANTY, "required": False})
    return load(tmp_path_factory.mktemp("gadget"), extension, schema(*attributes), kind).resource_types["Device"]


WHOLE = {"mark": "m", "value": "v", "note": "n", "code": "c"}
GADGET: dict[str, Any] = {
    "schemas": [DEVICE, WARRANTY],
    "id": "1",
    "serial": "s",
    "model": "m",
    "history": "h",
    "pin": "p",
    "ports": [WHOLE, {"note": "n"}, {"value": "v"}],
    "place": WHOLE,
    "seal": {"value": "v"},
    WARRANTY: {"until": "u", "terms": "t"},
}
KEPT = {name: GADGET[name] for name in ("schemas", "id", "serial", "seal")}


def seen(gadget: ResourceType, attributes: list[str] | None, excluded: list[str] | None, *supplied: str) -> Any:
    projection = read_projection([gadget], attributes, excluded)
    return project(gadget, projection, GADGET, frozenset(supplied))


def test_by_default_only_always_and_default_are_shown(gadget: ResourceType) -> None:
    assert seen(gadget, None, None) == KEPT | {
        "model": "m",
        "ports": [{"mark": "m", "value": "v"}, {"value": "v"}],
        "place": {"mark": "m", "value": "v"},
        WARRANTY: {"until": "u"},
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("history", {"history": "h"}),
        ("pin", {}),
        ("place", {"place": {"mark": "m", "value": "v"}}),
        ("place.value", {"place": {"mark": "m", "value": "v"}}),
        ("place.note", {"place": {"mark": "m", "note": "n"}}),
        ("place.code", {"place": {"mark": "m"}}),
        ("ports.note", {"ports": [{"mark": "m", "note": "n"}, {"note": "n"}]}),
        (f"{WARRANTY}:terms", {WARRANTY: {"terms": "t"}}),
        ("seal.value", {}),
    ],
)
def test_what_is_returned_on_request_or_always_with_its_parent_is_shown(
    gadget: ResourceType, name: str, shown: dict[str, Any]
) -> None:
    assert seen(gadget, [name], None) == KEPT | shown


def test_what_is_always_returned_cannot_be_excluded(gadget: ResourceType) -> None:
    shown = seen(
        gadget, None, ["serial", "seal", "seal.value", "place.mark", "place.value", "ports", "model", WARRANTY]
    )
    assert shown == KEPT | {"place": {"mark": "m"}}


def test_a_write_answers_what_the_client_itself_sent(gadget: ResourceType) -> None:
    terms = f"{WARRANTY}:terms".lower()
    assert seen(gadget, None, None, "history")["history"] == "h"
    assert seen(gadget, None, None, terms)[WARRANTY] == {"until": "u", "terms": "t"}
    assert seen(gadget, None, ["model"], "history")["history"] == "h"


def test_what_the_client_sent_is_not_answered_when_it_asks_for_less(gadget: ResourceType) -> None:
    terms = f"{WARRANTY}:terms".lower()
    assert "history" not in seen(gadget, ["model"], None, "history")
    assert "history" not in seen(gadget, None, ["history"], "history")
    assert WARRANTY not in seen(gadget, None, [WARRANTY], terms)
    assert "pin" not in seen(gadget, None, None, "pin")


NAMES = st.sampled_from(
    [
        "serial",
        "model",
        "history",
        "pin",
        "ports",
        "ports.note",
        "place.value",
        "place.mark",
        "place",
        "nosuch",
        WARRANTY,
    ]
)


@given(st.lists(NAMES))
def test_inclusion_and_exclusion_of_the_same_names_never_overlap(gadget: ResourceType, names: list[str]) -> None:
    top = {name for name in names if "." not in name}
    included, excluded = seen(gadget, names, None), seen(gadget, None, names)
    assert excluded.keys() & top <= KEPT.keys()
    assert included.keys() <= KEPT.keys() | {name.partition(".")[0] for name in names} | top
    assert "pin" not in included and "pin" not in excluded
