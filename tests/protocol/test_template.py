import json
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scim_server.protocol.template import Slot, build, fill, stored
from tests.protocol import json_values, names
from tests.scim import ACCOUNT_USER, ENTERPRISE, USER

SLOTS = (Slot("m", (ENTERPRISE, "manager")), Slot("a", (ACCOUNT_USER,)), Slot("t", ()))
BY_LETTER = {slot.letter: slot for slot in SLOTS}
MINIMAL = {"schemas": [USER], "id": "1"}


def members(derived: dict[str, Any]) -> bytes:
    return orjson.dumps(derived)[1:-1]


def filled(document: dict[str, Any], **derived: dict[str, Any]) -> dict[str, Any]:
    body = fill(build(document, SLOTS), BY_LETTER, {letter: members(found) for letter, found in derived.items()})
    read: dict[str, Any] = json.loads(body)
    return read


def test_derived_members_follow_those_of_the_resource() -> None:
    shown = filled(MINIMAL, t={"groups": [], "meta": {"version": "1"}})
    assert shown == MINIMAL | {"groups": [], "meta": {"version": "1"}}
    assert list(shown) == ["schemas", "id", "groups", "meta"]


def test_derived_members_join_an_object_that_is_there() -> None:
    document = MINIMAL | {ENTERPRISE: {"manager": {"value": "2"}, "department": "Tours"}}
    assert filled(document, m={"displayName": "John"}) == MINIMAL | {
        ENTERPRISE: {"manager": {"value": "2", "displayName": "John"}, "department": "Tours"}
    }


def test_an_extension_that_is_all_derived_appears_with_its_urn() -> None:
    assert filled(MINIMAL, a={"accountStatus": "active"}) == {
        "schemas": [USER, ACCOUNT_USER],
        "id": "1",
        ACCOUNT_USER: {"accountStatus": "active"},
    }


def test_an_extension_that_is_there_is_not_listed_again() -> None:
    document = {"schemas": [USER, ACCOUNT_USER], ACCOUNT_USER: {"validFrom": "x"}}
    assert filled(document, a={"accountStatus": "active"}) == {
        "schemas": [USER, ACCOUNT_USER],
        ACCOUNT_USER: {"validFrom": "x", "accountStatus": "active"},
    }


def test_each_extension_that_appears_is_listed() -> None:
    slots = (Slot("a", (ACCOUNT_USER,)), Slot("e", (ENTERPRISE,)), Slot("t", ()))
    derived = {"a": b'"b":1', "e": b'"c":2', "t": b'"d":3'}
    body = fill(build(MINIMAL, slots), {slot.letter: slot for slot in slots}, derived)
    assert json.loads(body) == {
        "schemas": [USER, ACCOUNT_USER, ENTERPRISE],
        "id": "1",
        ACCOUNT_USER: {"b": 1},
        ENTERPRISE: {"c": 2},
        "d": 3,
    }


def test_without_derived_members_the_document_comes_back() -> None:
    document = MINIMAL | {ENTERPRISE: {"manager": {"value": "2"}}, ACCOUNT_USER: {"validFrom": "x"}}
    for value in (MINIMAL, document):
        assert filled(value) == filled(value, m={}, a={}, t={}) == value


def test_derived_members_of_a_missing_object_are_left_out() -> None:
    for document in (MINIMAL, MINIMAL | {ENTERPRISE: {"department": "Tours"}}):
        assert filled(document, m={"displayName": "John"}) == document


@pytest.mark.parametrize("value", [None, True, 5, "x", ["x"], [{"value": "x"}]])
def test_a_value_in_the_place_of_an_object_is_left_alone(value: Any) -> None:
    document = MINIMAL | {ENTERPRISE: {"manager": value}, ACCOUNT_USER: value}
    assert filled(document, m={"displayName": "John"}, a={"accountStatus": "active"}) == document


def test_only_a_missing_extension_appears() -> None:
    slot = Slot("n", ("name",))
    derived = {"n": members({"formatted": "Barbara"})}
    assert json.loads(fill(build(MINIMAL, (slot,)), {"n": slot}, derived)) == MINIMAL
    named = MINIMAL | {"name": {"givenName": "Barbara"}}
    assert json.loads(fill(build(named, (slot,)), {"n": slot}, derived))["name"] == {
        "givenName": "Barbara",
        "formatted": "Barbara",
    }


def test_a_template_without_slots_is_the_document() -> None:
    assert json.loads(fill(build(MINIMAL, ()), {}, {"t": b'"a":1'})) == MINIMAL


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\\", '"', '",0,"', "{}", "\x1f", "\u2028", "\ufeff", "😀"])
def test_text_that_looks_like_a_hole_is_text(text: str) -> None:
    document = {"schemas": [USER], "id": text, text: [text, {text: text}], ENTERPRISE: {"manager": {text: text}}}
    assert filled(document, m={"displayName": text}, t={"meta": text}) == {
        "schemas": [USER],
        "id": text,
        text: [text, {text: text}],
        ENTERPRISE: {"manager": {text: text, "displayName": text}},
        "meta": text,
    }
    assert stored(build(document, SLOTS)) == document


def objects(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects with a member at least, whose own names derived members cannot have."""
    free = names().map(lambda name: f"x{name}")
    made = st.dictionaries(free, json_values(leaves=5), min_size=1, max_size=3)
    return st.tuples(made, st.fixed_dictionaries({}, optional=known)).map(lambda parts: parts[0] | parts[1])


DERIVED = st.dictionaries(names().map(lambda name: f"y{name}"), json_values(leaves=4), max_size=3)


@settings(max_examples=50)
@given(
    top=objects(),
    enterprise=st.none() | objects(manager=objects() | json_values(leaves=3).filter(lambda value: value != {})),
    account=st.none() | objects(),
    derived=st.fixed_dictionaries({"m": DERIVED, "a": DERIVED, "t": DERIVED}),
)
def test_a_filled_template_is_the_document_and_what_is_derived(
    top: dict[str, Any], enterprise: Any, account: Any, derived: dict[str, dict[str, Any]]
) -> None:
    extensions = {urn: found for urn, found in ((ENTERPRISE, enterprise), (ACCOUNT_USER, account)) if found}
    document = {"schemas": [USER, *extensions], **top, **extensions}
    expected = deepcopy(document) | derived["t"]
    if isinstance(expected.get(ENTERPRISE, {}).get("manager"), dict):
        expected[ENTERPRISE]["manager"] |= derived["m"]
    if derived["a"]:
        expected[ACCOUNT_USER] = expected.get(ACCOUNT_USER, {}) | derived["a"]
        expected["schemas"] = list(dict.fromkeys([*document["schemas"], ACCOUNT_USER]))
    assert filled(document, **derived) == expected
    assert stored(build(document, SLOTS)) == document
