from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scim_server.protocol import validation
from scim_server.protocol.compatibility import resource
from scim_server.protocol.errors import ERROR_SCHEMA, ScimError
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.validation import schemas_in_use
from tests.protocol import WARRANTY, json_values, load, names, outcome, refused, resource_type, schema
from tests.scim import ACCOUNT_USER, ENTERPRISE, GROUP, SERVICE, USER

BJENSEN = {"userName": "bjensen"}


@pytest.fixture(scope="session")
def user(registry: Registry) -> ResourceType:
    return registry.resource_types["User"]


@pytest.fixture(scope="session")
def group(registry: Registry) -> ResourceType:
    return registry.resource_types["Group"]


@pytest.fixture(scope="module")
def gadget(tmp_path_factory: pytest.TempPathFactory) -> ResourceType:
    """A type with an attribute of every data type, required values and a required extension."""
    ports = [{"name": "value", "required": True}, {"name": "type"}, {"name": "primary", "type": "boolean"}]
    place = [{"name": "room", "required": True}, {"name": "floor", "type": "integer"}]
    attributes: list[dict[str, Any]] = [
        {"name": "serial", "required": True, "uniqueness": "server"},
        {"name": "grade", "caseExact": True, "canonicalValues": ["A", "B"]},
        {"name": "weight", "type": "decimal"},
        {"name": "slots", "type": "integer"},
        {"name": "built", "type": "dateTime"},
        {"name": "image", "type": "binary"},
        {"name": "manual", "type": "reference"},
        {"name": "online", "type": "boolean"},
        {"name": "tags", "multiValued": True, "required": True},
        {"name": "readings", "type": "decimal", "multiValued": True},
        {"name": "place", "type": "complex", "required": True, "subAttributes": [{"name": "hint"}]},
        {"name": "ports", "type": "complex", "multiValued": True, "required": True, "subAttributes": ports},
        {"name": "spare", "type": "complex", "subAttributes": place},
        {"name": "owner", "mutability": "readOnly", "required": True},
    ]
    extension = schema({"name": "until", "type": "dateTime"}, {"name": "note"}, urn=WARRANTY)
    kind = resource_type({"schema": WARRANTY, "required": True})
    made = load(tmp_path_factory.mktemp("gadget"), extension, schema(*attributes), kind)
    return made.resource_types["Device"]


GADGET = {
    "serial": "1",
    "tags": ["a"],
    "place": {"hint": "left"},
    "ports": [{"value": "x"}],
    WARRANTY: {"note": "two years"},
}


def check(resource_type: ResourceType, body: Any) -> Any:
    """Read a body as the RFC says, with the schemas that it does not name."""
    if isinstance(body, dict) and not any(name.lower() == "schemas" for name in body):
        body = {"schemas": [resource_type.schema.id]} | body
    return validation.check(resource_type, body)


def understood(resource_type: ResourceType, body: Any) -> Any:
    """Read a body as its sender means it."""
    return Habits(ALL).read(
        lambda sent: validation.check(resource_type, sent),
        body,
        lambda sent, found: resource(resource_type, sent, found),
    )


# The body as a whole


@pytest.mark.parametrize("body", [None, True, 5, "x", [], [BJENSEN]])
def test_a_body_is_an_object(user: ResourceType, body: Any) -> None:
    with refused("invalidSyntax", "The body must be a JSON object."):
        check(user, body)


def test_what_fits_is_returned_in_the_order_of_the_schema(user: ResourceType) -> None:
    body = {
        ENTERPRISE: {"manager": {"value": "26118915"}, "department": "Tours"},
        "active": False,
        "name": {"givenName": "Barbara", "familyName": "Jensen"},
        "externalId": "701984",
        **BJENSEN,
    }
    document = check(user, body)
    assert document == body
    assert list(document) == ["externalId", "userName", "name", "active", ENTERPRISE]
    assert list(document["name"]) == ["familyName", "givenName"]
    assert list(document[ENTERPRISE]) == ["department", "manager"]


def test_the_given_body_is_left_as_it_was(user: ResourceType) -> None:
    body = {**BJENSEN, "emails": [{"value": "a", "type": "WORK"}, {"value": "a", "type": "work", "primary": True}]}
    check(user, body)
    assert body["emails"] == [{"value": "a", "type": "WORK"}, {"value": "a", "type": "work", "primary": True}]


def test_names_match_in_any_letter_case(user: ResourceType) -> None:
    body = {
        "USERNAME": "bjensen",
        "EXTERNALID": "701984",
        "Emails": [{"VALUE": "a@b", "Type": "work"}],
        "NAME": {"FAMILYNAME": "J"},
    }
    assert check(user, body) == {
        "externalId": "701984",
        "userName": "bjensen",
        "name": {"familyName": "J"},
        "emails": [{"value": "a@b", "type": "work"}],
    }


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"userName": "a", "USERNAME": "b"}, "User"),
        ({"userName": "a", "unknown": 1, "Unknown": 1}, "User"),
        ({**BJENSEN, "name": {"givenName": "a", "givenname": "b"}}, "name"),
        ({**BJENSEN, "emails": [{"value": "a", "VALUE": "b"}]}, "emails"),
        ({**BJENSEN, ENTERPRISE: {"department": "a", "Department": "b"}}, ENTERPRISE),
        ({**BJENSEN, ENTERPRISE: {}, ENTERPRISE.upper(): {}}, "User"),
    ],
)
def test_two_names_may_not_differ_in_letter_case_only(user: ResourceType, body: Any, where: str) -> None:
    with refused("invalidSyntax", f"{where} has two members whose names differ in letter case only."):
        check(user, body)


def test_unknown_attributes_are_dropped(user: ResourceType) -> None:
    body = {
        **BJENSEN,
        "favouriteColour": "blue",
        "department": "Tours",
        "value": "x",
        "name": {"nick": "Babs", "givenName": "Barbara"},
        "emails": [{"value": "a@b", "colour": "blue"}],
        "urn:x:unknown": {"a": 1},
        USER: {"title": "x"},
        ENTERPRISE: {"colour": "blue", "division": "x"},
    }
    assert understood(user, body) == {
        **BJENSEN,
        "title": "x",
        "name": {"givenName": "Barbara"},
        "emails": [{"value": "a@b"}],
        ENTERPRISE: {"division": "x"},
    }


@pytest.mark.parametrize(
    ("members", "where", "name"),
    [
        ({"favouriteColour": "blue"}, "User", "favouritecolour"),
        ({"department": "Tours"}, "User", "department"),
        ({"name.givenName": "Barbara"}, "User", "name.givenname"),
        ({"urn:x:unknown": {"a": 1}}, "User", "urn:x:unknown"),
        ({USER: {"title": "x"}}, "User", USER.lower()),
        ({"name": {"nick": "Babs"}}, "name", "nick"),
        ({"emails": [{"colour": "blue"}]}, "emails", "colour"),
        ({ENTERPRISE: {"colour": "blue"}}, ENTERPRISE, "colour"),
    ],
)
def test_unknown_attributes_are_refused_by_the_rfc(
    user: ResourceType, members: dict[str, Any], where: str, name: str
) -> None:
    with refused("invalidSyntax", f"{where} has no attribute {name!a}."):
        check(user, BJENSEN | members)


def test_read_only_attributes_are_dropped_whatever_they_are(user: ResourceType) -> None:
    body = {
        **BJENSEN,
        "id": 5,
        "meta": "x",
        "groups": {"value": ["x"]},
        ENTERPRISE: {"manager": {"value": "1", "$ref": 5, "displayName": "evil"}},
        ACCOUNT_USER: {"companyName": 1, "accountStatus": [], "services": 7},
    }
    assert check(user, body) == {**BJENSEN, ENTERPRISE: {"manager": {"value": "1"}}}


@pytest.mark.parametrize("nothing", [None, "", []])
def test_null_and_empty_values_count_as_absent(user: ResourceType, nothing: Any) -> None:
    body = {
        **BJENSEN,
        "nickName": nothing,
        "name": {"givenName": nothing, "familyName": "Jensen"},
        "emails": [{"value": "a@b", "display": nothing}],
        "addresses": nothing,
        "active": nothing,
        ACCOUNT_USER: nothing,
        ENTERPRISE: {"department": nothing, "division": "x", "manager": nothing},
    }
    expected = {
        **BJENSEN,
        "name": {"familyName": "Jensen"},
        "emails": [{"value": "a@b"}],
        ENTERPRISE: {"division": "x"},
    }
    assert understood(user, body) == expected
    if nothing != "":
        assert check(user, body) == expected


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"nickName": ""}, "nickName must not be an empty text; null clears it."),
        ({"name": {"givenName": ""}}, "name.givenName must not be an empty text; null clears it."),
        ({"emails": [{"value": ""}]}, "emails[0].value must not be an empty text; null clears it."),
        ({"emails": ""}, "emails must be an array."),
        ({ENTERPRISE: {"manager": ""}}, f"{ENTERPRISE}:manager must be an object."),
    ],
)
def test_an_empty_text_is_no_value_by_the_rfc(user: ResourceType, members: dict[str, Any], detail: str) -> None:
    with refused("invalidValue", detail):
        check(user, BJENSEN | members)


@pytest.mark.parametrize(
    "members",
    [
        {"name": {"givenName": None}},
        {"name": {"unknown": 1}},
        {"name": {}},
        {"emails": [None]},
        {"emails": [{}, {"value": ""}]},
        {ENTERPRISE: {"manager": {"value": ""}}},
        {ENTERPRISE: {"unknown": 1}},
    ],
)
def test_what_has_nothing_in_it_is_absent(user: ResourceType, members: dict[str, Any]) -> None:
    assert understood(user, BJENSEN | members) == BJENSEN


def test_false_and_zero_are_values(gadget: ResourceType) -> None:
    document = check(gadget, GADGET | {"online": False, "slots": 0, "weight": 0.0, "readings": [0, 0.5]})
    assert (document["online"], document["slots"], document["weight"]) == (False, 0, 0.0)
    assert document["readings"] == [0, 0.5]


# schemas


@pytest.mark.parametrize(
    "schemas",
    [
        None,
        [],
        [USER],
        USER,
        [USER.upper()],
        [ENTERPRISE, USER],
        [USER, USER],
        [USER, GROUP],
        [ENTERPRISE],
        ["urn:scim:schemas:core:1.0"],
        [USER, "urn:x:unknown"],
        [""],
    ],
)
def test_missing_legacy_and_unknown_schemas_are_tolerated(user: ResourceType, schemas: Any) -> None:
    assert understood(user, BJENSEN | {"SCHEMAS": schemas}) == BJENSEN


@pytest.mark.parametrize(
    ("schemas", "detail"),
    [
        (None, f"schemas must be an array that contains {USER}."),
        ([], f"schemas must contain {USER}."),
        ([ENTERPRISE], f"schemas must contain {USER}."),
        ([USER, USER], "schemas must not name a URN twice."),
        ([USER, GROUP], f"schemas must not contain {GROUP!a}."),
        ([USER, "urn:x:unknown"], "schemas must not contain 'urn:x:unknown'."),
    ],
)
def test_schemas_must_be_those_of_the_type_by_the_rfc(user: ResourceType, schemas: Any, detail: str) -> None:
    with refused("invalidSyntax", detail):
        check(user, BJENSEN | {"schemas": schemas})


@pytest.mark.parametrize("schemas", [[GROUP], [GROUP.upper(), ENTERPRISE], ["urn:ietf:params:scim:schemas:core:2.0:"]])
def test_the_schema_of_another_resource_is_refused(user: ResourceType, schemas: Any) -> None:
    with refused("invalidSyntax", f"schemas must contain {USER}."):
        check(user, BJENSEN | {"schemas": schemas})


def test_a_type_outside_the_core_refuses_the_core_schemas(registry: Registry) -> None:
    service = registry.resource_types["Service"]
    assert check(service, {"schemas": [SERVICE], "displayName": "Mail"}) == {"displayName": "Mail"}
    with refused("invalidSyntax", f"schemas must contain {SERVICE}."):
        check(service, {"schemas": [USER], "displayName": "Mail"})


@pytest.mark.parametrize("schemas", [USER, "", {}, 5, False, [None], [USER, 5], [[USER]]])
def test_schemas_are_an_array_of_strings(user: ResourceType, schemas: Any) -> None:
    with refused("invalidSyntax", f"schemas must be an array that contains {USER}."):
        check(user, BJENSEN | {"schemas": schemas})


def test_schemas_in_use_are_the_types_own_and_those_of_present_extensions(user: ResourceType) -> None:
    assert schemas_in_use(user, check(user, BJENSEN)) == [USER]
    document = {**BJENSEN, ACCOUNT_USER: {"validFrom": "2026-01-31T00:00:00Z"}, ENTERPRISE: {"department": "x"}}
    assert schemas_in_use(user, document) == [USER, ENTERPRISE, ACCOUNT_USER]


# Extensions


@pytest.mark.parametrize("urn", [ENTERPRISE, ENTERPRISE.lower(), ENTERPRISE.upper()])
def test_an_extension_is_found_in_any_letter_case(user: ResourceType, urn: str) -> None:
    assert check(user, BJENSEN | {urn: {"Department": "Tours"}}) == BJENSEN | {ENTERPRISE: {"department": "Tours"}}


@pytest.mark.parametrize("container", ["Tours", 5, True, False, 0, ["Tours"], [{"department": "Tours"}]])
def test_an_extension_is_an_object(user: ResourceType, container: Any) -> None:
    with refused("invalidValue", f"{ENTERPRISE} must be an object."):
        check(user, BJENSEN | {ENTERPRISE: container})


@pytest.mark.parametrize("container", [None, {}, [], {"note": None}])
def test_a_required_extension_is_required(gadget: ResourceType, container: Any) -> None:
    with refused("invalidValue", f"{WARRANTY} is required."):
        check(gadget, GADGET | {WARRANTY: container})


def test_a_required_extension_may_not_be_missing(gadget: ResourceType) -> None:
    without = {name: value for name, value in GADGET.items() if name != WARRANTY}
    with refused("invalidValue", f"{WARRANTY} is required."):
        check(gadget, without)


@pytest.mark.parametrize("required", [True, False])
def test_required_attributes_of_an_extension_in_use_are_required(tmp_path: Path, required: bool) -> None:
    extension = schema({"name": "until", "required": True}, {"name": "note"}, urn=WARRANTY)
    kind = resource_type({"schema": WARRANTY, "required": required})
    made = load(tmp_path, extension, schema({"name": "model"}), kind).resource_types["Device"]
    with refused("invalidValue", f"{WARRANTY}:until is required."):
        check(made, {WARRANTY: {"note": "x"}})
    if required:
        with refused("invalidValue", f"{WARRANTY}:until is required."):
            check(made, {"model": "x"})
    else:
        assert check(made, {"model": "x"}) == {"model": "x"}


# Values

BASE64 = "must be base64 with the alphabet A-Z a-z 0-9 + /"
MOMENT = "must be a date and time that exist"
DATE_TIME = "must be a dateTime such as 2026-01-31T09:30:00Z"


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"title": 123}, "title must be a string, not a number."),
        ({"title": ["x"]}, "title must be a string, not an array."),
        ({"title": {"value": "x"}}, "title must be a string, not an object."),
        ({"active": "true"}, "active must be true or false, not a string."),
        ({"externalId": 5}, "externalId must be a string, not a number."),
        ({"password": 5}, "password must be a string, not a number."),
        ({"name": "Barbara"}, "name must be an object."),
        ({"name": [{"givenName": "B"}]}, "name must be an object."),
        ({"name": {"givenName": True}}, "name.givenName must be a string, not a boolean."),
        ({"emails": "a@b"}, "emails must be an array."),
        ({"emails": {"value": "a@b"}}, "emails must be an array."),
        ({"emails": ["a@b"]}, "emails[0] must be an object."),
        ({"emails": [None, {"value": "a"}, {"value": 5}]}, "emails[2].value must be a string, not a number."),
        ({"emails": [{"primary": "true"}]}, "emails[0].primary must be true or false, not a string."),
        ({"photos": [{"value": "x y"}]}, "photos[0].value must be a URI."),
        ({"x509Certificates": [{"value": "!!!"}]}, f"x509Certificates[0].value {BASE64}."),
        ({"x509Certificates": [{"value": "QQ-_"}]}, f"x509Certificates[0].value {BASE64}."),
        ({ENTERPRISE: {"department": 5}}, f"{ENTERPRISE}:department must be a string, not a number."),
        ({ENTERPRISE: {"manager": "26118915"}}, f"{ENTERPRISE}:manager must be an object."),
        ({ENTERPRISE: {"manager": {"value": 5}}}, f"{ENTERPRISE}:manager.value must be a string, not a number."),
        ({ACCOUNT_USER: {"validFrom": "2008-02-30T00:00:00Z"}}, f"{ACCOUNT_USER}:validFrom {MOMENT}."),
        ({ACCOUNT_USER: {"validUntil": "tomorrow"}}, f"{ACCOUNT_USER}:validUntil {DATE_TIME}."),
    ],
)
def test_an_unfit_value_is_refused_by_the_name_of_its_attribute(
    user: ResourceType, members: dict[str, Any], detail: str
) -> None:
    with refused("invalidValue", detail):
        check(user, BJENSEN | members)


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"weight": "1.5"}, "weight must be a number, not a string."),
        ({"slots": 1.5}, "slots must be an integer, not a number with a fraction or exponent."),
        ({"slots": 2**63}, "slots must fit into 64 bits."),
        ({"online": 1}, "online must be true or false, not a number."),
        ({"built": 5}, "built must be a dateTime string, not a number."),
        ({"image": 5}, "image must be a base64 string, not a number."),
        ({"manual": 5}, "manual must be a URI string, not a number."),
        ({"tags": ["a", 5]}, "tags[1] must be a string, not a number."),
        ({"tags": ["a", ["b"]]}, "tags[1] must be a string, not an array."),
        ({"readings": [1, "2"]}, "readings[1] must be a number, not a string."),
    ],
)
def test_every_data_type_is_held(gadget: ResourceType, members: dict[str, Any], detail: str) -> None:
    with refused("invalidValue", detail):
        check(gadget, GADGET | members)


def test_values_become_canonical(gadget: ResourceType) -> None:
    members = {
        "built": "2008-01-23T04:56:22.50+02:00",
        "image": "QQ",
        "weight": 1.5,
        "slots": 42,
        "manual": "../Users/1",
    }
    document = check(gadget, GADGET | members)
    assert {name: document[name] for name in members} == members | {"built": "2008-01-23T02:56:22.5Z"}


def test_several_problems_are_told_at_once_but_five_at_most(user: ResourceType) -> None:
    names = ["nickName", "title", "userType", "preferredLanguage", "locale", "timezone"]
    expected = "; ".join(f"{name} must be a string, not a number" for name in names[:5])
    with refused("invalidValue", f"{expected}."):
        check(user, BJENSEN | dict.fromkeys(names, 5))
    with refused("invalidValue", "userName is required; emails[0].value must be a string, not a number; "
                                 "emails[1].type must be a string, not a boolean."):  # fmt: skip
        check(user, {"emails": [{"value": 5}, {"type": True}]})


def test_a_refusal_never_repeats_the_value(user: ResourceType) -> None:
    for members in ({"password": ["hunter2"]}, {"photos": [{"value": "hunter2 %"}]}, {ENTERPRISE: "hunter2"}):
        with pytest.raises(ScimError) as caught:
            check(user, BJENSEN | members)
        assert "hunter2" not in str(caught.value.body())


def test_a_refusal_is_an_error_message(user: ResourceType) -> None:
    with pytest.raises(ScimError) as caught:
        check(user, {})
    assert caught.value.body() == {
        "schemas": [ERROR_SCHEMA],
        "status": "400",
        "scimType": "invalidValue",
        "detail": "userName is required.",
    }


@pytest.mark.parametrize("url", ["not a uri %%", "example.com/~babs jensen", "プロフィール"])
def test_a_profile_url_is_stored_unchecked(user: ResourceType, url: str) -> None:
    assert check(user, BJENSEN | {"profileUrl": url})["profileUrl"] == url
    with refused("invalidValue", "profileUrl must be a string, not a number."):
        check(user, BJENSEN | {"profileUrl": 5})


def test_locale_timezone_and_manager_are_stored_unchecked(user: ResourceType) -> None:
    members = {"locale": "e n", "timezone": "nowhere", ENTERPRISE: {"manager": {"value": "no such user"}}}
    assert check(user, BJENSEN | members) == BJENSEN | members


def test_free_text_keeps_its_line_breaks_and_spaces(user: ResourceType) -> None:
    members = {
        "title": " Tour\tGuide\r\n",
        "nickName": " ",
        "addresses": [{"formatted": "100 Universal City Plaza\nHollywood"}],
    }
    assert check(user, BJENSEN | members) == BJENSEN | members


# Required values and names that identify


@pytest.mark.parametrize("body", [{}, {"userName": None}, {"userName": ""}, {"userName": []}])
def test_a_user_has_a_user_name(user: ResourceType, body: Any) -> None:
    with refused("invalidValue", "userName is required."):
        understood(user, body)


@pytest.mark.parametrize("name", [" ", "\t\n", "\u3000", "\xa0 "])
def test_a_required_text_is_not_blank(user: ResourceType, group: ResourceType, name: str) -> None:
    with refused("invalidValue", "userName must not be blank."):
        check(user, {"userName": name})
    with refused("invalidValue", "displayName must not be blank."):
        check(group, {"displayName": name})


@pytest.mark.parametrize("char", ["\u200b", "\u200d", "\ufeff", "\u2060", "\xad", "\u202e"])
def test_a_user_name_has_no_invisible_characters(user: ResourceType, char: str) -> None:
    with refused("invalidValue", f"userName must not contain the invisible character U+{ord(char):04X}."):
        check(user, {"userName": f"bjen{char}sen"})
    assert check(user, BJENSEN | {"displayName": f"B{char}J"})["displayName"] == f"B{char}J"


@pytest.mark.parametrize("char", ["\t", "\n", "\r"])
def test_a_user_name_is_one_line(user: ResourceType, char: str) -> None:
    with refused("invalidValue", "userName must not contain line breaks or tabs."):
        check(user, {"userName": f"bjen{char}sen"})


@pytest.mark.parametrize(
    "name", ["BJensen", "山田 太郎", "José", "\N{FULLWIDTH LATIN CAPITAL LETTER B}jensen", "👩", "a@b", "5"]
)
def test_a_user_name_is_kept_as_it_is_written(user: ResourceType, name: str) -> None:
    assert check(user, {"userName": name}) == {"userName": name}


def test_a_group_has_a_display_name_and_needs_no_members(group: ResourceType) -> None:
    with refused("invalidValue", "displayName is required."):
        check(group, {"members": [{"value": "1"}]})
    assert check(group, {"displayName": "Guides", "members": []}) == {"displayName": "Guides"}


def test_a_policy_makes_the_group_name_an_identifier(registry: Registry, group: ResourceType) -> None:
    unique = registry.under(frozenset({"group_name_unique"})).resource_types["Group"]
    body = {"displayName": "Tour\u200bGuides"}
    assert check(group, body) == body
    with refused("invalidValue", "displayName must not contain the invisible character U+200B."):
        check(unique, body)


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"tags": []}, "tags is required."),
        ({"tags": [None]}, "tags is required."),
        ({"tags": ["a", " "]}, "tags[1] must not be blank."),
        ({"place": {}}, "place is required."),
        ({"ports": [{}]}, "ports is required."),
        ({"ports": [{"type": "x"}]}, "ports[0].value is required."),
        ({"ports": [{"value": None, "type": "x"}]}, "ports[0].value is required."),
        ({"spare": {"floor": 2}}, "spare.room is required."),
        ({"tags": [None], "place": {}}, "tags is required; place is required."),
    ],
)
def test_required_values_are_required_in_every_form(gadget: ResourceType, members: dict[str, Any], detail: str) -> None:
    with refused("invalidValue", detail):
        check(gadget, GADGET | members)


def test_an_absent_complex_value_misses_nothing(gadget: ResourceType) -> None:
    assert check(gadget, GADGET | {"spare": None}) == GADGET


def test_an_empty_element_is_left_out_even_of_a_required_list(gadget: ResourceType) -> None:
    assert check(gadget, GADGET | {"ports": [{"value": "x"}, {}, None]}) == GADGET


# Several values


@pytest.mark.parametrize(
    ("given", "canonical"), [("WORK", "work"), ("Work", "work"), ("school", "school"), ("School", "School")]
)
def test_a_canonical_value_gets_its_letter_case_and_another_keeps_it(
    user: ResourceType, given: str, canonical: str
) -> None:
    assert check(user, BJENSEN | {"emails": [{"type": given}]})["emails"] == [{"type": canonical}]


def test_a_case_exact_value_keeps_its_letter_case(gadget: ResourceType, user: ResourceType) -> None:
    assert check(gadget, GADGET | {"grade": "a"})["grade"] == "a"
    assert check(user, BJENSEN | {"externalId": "AbC"})["externalId"] == "AbC"


@pytest.mark.parametrize(
    "elements",
    [
        [{"value": "a", "primary": True}, {"value": "b", "primary": True}],
        [{"value": "a", "primary": True}, {"value": "b"}, {"value": "c", "PRIMARY": True}],
        [{"value": "a", "type": "work", "primary": True}, {"value": "a", "type": "work", "primary": True}],
    ],
)
def test_two_primaries_are_refused(user: ResourceType, elements: list[Any]) -> None:
    with refused("invalidValue", "emails must not have more than one primary value."):
        check(user, BJENSEN | {"emails": elements})


def test_a_missing_primary_counts_as_none(user: ResourceType) -> None:
    elements = [{"value": "a"}, {"value": "b", "primary": False}, {"value": "c", "primary": True}]
    assert check(user, BJENSEN | {"emails": elements})["emails"] == elements


def test_each_attribute_has_its_own_primary(user: ResourceType) -> None:
    members = {
        "emails": [{"value": "a", "primary": True}],
        "addresses": [{"locality": "Hollywood", "primary": True}],
    }
    assert check(user, BJENSEN | members) == BJENSEN | members


@pytest.mark.parametrize(
    ("elements", "kept"),
    [
        (
            [{"value": "a", "type": "work", "display": "1"}, {"value": "a", "type": "WORK", "display": "2"}],
            [{"value": "a", "type": "work", "display": "1"}],
        ),
        (
            [{"value": "a", "type": "work"}, {"value": "a", "type": "work", "primary": True}],
            [{"value": "a", "type": "work", "primary": True}],
        ),
        (
            [{"value": "a", "primary": False}, {"value": "a", "primary": True}],
            [{"value": "a", "primary": True}],
        ),
        ([{"value": "a"}, {"value": "a"}], [{"value": "a"}]),
        (
            [{"value": "a", "type": "work"}, {"value": "a", "type": "home"}, {"value": "a"}],
            [{"value": "a", "type": "work"}, {"value": "a", "type": "home"}, {"value": "a"}],
        ),
        (
            [{"value": "a", "type": "work"}, {"value": "b", "type": "work"}],
            [{"value": "a", "type": "work"}, {"value": "b", "type": "work"}],
        ),
        ([{"type": "work"}, {"type": "work"}], [{"type": "work"}, {"type": "work"}]),
    ],
)
def test_one_type_and_value_stands_once(user: ResourceType, elements: list[Any], kept: list[Any]) -> None:
    assert check(user, BJENSEN | {"emails": elements})["emails"] == kept


def test_one_member_stands_once(group: ResourceType) -> None:
    members = [{"value": "1"}, {"value": "2", "type": "user"}, {"value": "1"}, {"value": "2", "type": "User"}]
    document = check(group, {"displayName": "Guides", "members": members})
    assert document["members"] == [{"value": "1"}, {"value": "2", "type": "User"}]


def test_simple_values_stand_once_in_their_order(gadget: ResourceType) -> None:
    document = check(gadget, GADGET | {"tags": ["b", "a", "b"], "readings": [2, 1, 2.0]})
    assert (document["tags"], document["readings"]) == (["b", "a"], [2, 1])


# Whatever comes


@cache
def bodies(kind: ResourceType) -> st.SearchStrategy[Any]:
    """Make any JSON, with many of the names that the type knows in two spellings."""
    found = {part for path in kind.by_path for part in (path, path.rpartition(":")[2].rpartition(".")[2])}
    found |= {name.title() for name in found} | {"schemas", USER, ENTERPRISE, ACCOUNT_USER, WARRANTY}
    keys = st.sampled_from(sorted(found)) | names()
    return st.dictionaries(keys, json_values(keys, leaves=5), max_size=6) | json_values(keys)


@settings(max_examples=50)
@given(data=st.data())
@pytest.mark.parametrize("name", ["User", "Group", "Service", "Device"])
def test_any_json_is_accepted_or_refused_as_scim_says(
    registry: Registry, gadget: ResourceType, name: str, data: st.DataObject
) -> None:
    kind = registry.resource_types.get(name, gadget)
    body = data.draw(bodies(kind))
    result = outcome(check, kind, body)
    if isinstance(result, ScimError):
        assert (result.status, result.scim_type) in [(400, "invalidSyntax"), (400, "invalidValue")]
        assert result.detail.endswith(".")
    else:
        assert check(kind, result) == result


SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text("aAé太 ", min_size=1, max_size=3).filter(str.strip),
    "boolean": st.booleans(),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "decimal": st.integers(-9, 9) | st.floats(-1e9, 1e9),
    "dateTime": st.sampled_from(["2008-01-23T04:56:22", "2008-01-23T04:56:22.50+02:00", "0001-01-01T00:00:00Z"]),
    "binary": st.sampled_from(["QQ", "QQ==", "QUI", "+/+/"]),
    "reference": st.sampled_from(["../Users/1", "https://example.com/%20"]),
}
EMPTY: st.SearchStrategy[Any] = st.sampled_from([None, "", [], {}])


@st.composite
def fitting(draw: st.DrawFn, attribute: Attribute) -> Any:
    """Make a value that an attribute takes."""
    if not attribute.multi_valued:
        return draw(fitting_one(attribute))
    elements = draw(st.lists(fitting_one(attribute), min_size=1, max_size=3))
    for element in elements[1:]:
        if isinstance(element, dict):
            element.pop("primary", None)
    return elements + draw(st.lists(st.none() if attribute.sub("$ref") else EMPTY, max_size=1))


@st.composite
def fitting_one(draw: st.DrawFn, attribute: Attribute) -> Any:
    if attribute.sub_attributes:
        members = draw(fitting_members(attribute.sub_attributes))
        return members if attribute.multi_valued else {"unknown": 1} | members
    if attribute.canonical_values and not attribute.case_exact:
        return draw(st.sampled_from(attribute.canonical_values)).title()
    return draw(SIMPLE[attribute.type])


@st.composite
def fitting_members(draw: st.DrawFn, attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    """Make members for the required attributes and some of the others, but for one at least."""
    writable = [attribute for attribute in attributes if attribute.mutability != "readOnly"]
    chosen = draw(st.lists(st.sampled_from(writable), min_size=1, max_size=4))
    members = {attribute.name: draw(fitting(attribute)) for attribute in chosen}
    for attribute in writable:
        if attribute.required:
            members[attribute.name] = draw(fitting(attribute))
        elif attribute.name not in members and draw(st.integers(0, 9)) == 0:
            members[attribute.name.upper()] = draw(st.sampled_from([None, []]) if attribute.multi_valued else EMPTY)
    return members


@settings(max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("name", ["User", "Group", "Service", "Device"])
def test_what_was_accepted_is_accepted_unchanged(
    registry: Registry, gadget: ResourceType, name: str, data: st.DataObject
) -> None:
    kind = registry.resource_types.get(name, gadget)
    body = data.draw(fitting_members(kind.schema.attributes))
    for extension in kind.extensions:
        body[extension.schema.id] = data.draw(fitting_members(extension.schema.attributes))
    document = understood(kind, body)
    assert check(kind, document) == document
    assert {*body}.intersection(extension.schema.id for extension in kind.extensions) <= document.keys()
