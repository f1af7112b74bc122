from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from scim_server.protocol import patch, validation
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.limits import PATCH_COMPARISONS, PATCH_OPERATIONS
from scim_server.protocol.operations import PATCH_OP, read_operations
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import ResourceType
from tests.protocol import DEVICE, WARRANTY, device, load, refused, resource_type, schema
from tests.scim import ACCOUNT_USER, ENTERPRISE, USER

BABS: dict[str, Any] = {
    "schemas": [USER, ENTERPRISE],
    "id": "2819c223",
    "userName": "bjensen",
    "name": {"familyName": "Jensen", "givenName": "Barbara"},
    "title": "Tour Guide",
    "active": True,
    "emails": [
        {"value": "bjensen@example.com", "type": "work", "primary": True},
        {"value": "babs@jensen.org", "display": "Babs", "type": "home"},
    ],
    "addresses": [
        {"streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "type": "work"},
        {"streetAddress": "456 Hollywood Blvd", "type": "home", "primary": True},
    ],
    ENTERPRISE: {"department": "Tours", "manager": {"value": "26118915"}},
}
WORK, HOME = BABS["emails"]
OTHER = {"value": "b@example.org", "type": "other"}
HEAD = {"schemas": [PATCH_OP]}


@pytest.fixture(scope="session")
def user(registry: Registry) -> ResourceType:
    return registry.resource_types["User"]


def patched(
    resource_type: ResourceType, *operations: Any, document: dict[str, Any] = BABS, shown: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document after operations, which are made from (op, path, value) or given whole."""
    listed = [o if isinstance(o, dict) else dict(zip(("op", "path", "value"), o, strict=False)) for o in operations]
    before = deepcopy(document)
    operations = read_operations(resource_type, HEAD | {"Operations": listed}, Habits(ALL))
    result = patch.apply(resource_type, document, operations, shown)
    assert document == before
    return result


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the members that differ, None for those that are gone."""
    return {name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}


CHANGED: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    # op, path, value and what becomes of the user
    ("PAT-10 paths in any letter case", ("replace", f"{USER}:NAME.familyname", "J"), {"name": {"familyName": "J", "givenName": "Barbara"}}),
    ("PAT-05 an op in other letters", ("Replace", "title", "T"), {"title": "T"}),
    ("PAT-10 with the URN of an extension", ("replace", f"{ENTERPRISE}:department", "D"), {ENTERPRISE: {"department": "D", "manager": {"value": "26118915"}}}),
    ("ADD-03 a single value is replaced", ("add", "title", "T"), {"title": "T"}),
    ("ADD-03 an unassigned attribute is added", ("add", "nickName", "Babs"), {"nickName": "Babs"}),
    ("ADD-04 values are appended", ("add", "emails", [OTHER]), {"emails": [WORK, HOME, OTHER]}),
    ("ADD-04 one value without an array", ("add", "emails", OTHER), {"emails": [WORK, HOME, OTHER]}),
    ("ADD-05 a complex value is merged", ("add", "name", {"middleName": "J"}), {"name": BABS["name"] | {"middleName": "J"}}),
    ("ADD-06 a sub-attribute makes its parent", ("add", "phoneNumbers.value", "555"), {"phoneNumbers": [{"value": "555"}]}),
    ("ADD-07 a value that is there", ("add", "emails", [HOME]), {}),
    ("ADD-07 an address that is there", ("add", "addresses", BABS["addresses"][0]), {}),
    ("ADD-09 what matches is set", ("add", 'emails[type eq "home"].value', "x@y"), {"emails": [WORK, HOME | {"value": "x@y"}]}),
    ("ADD-09 what matches is merged", ("add", 'emails[type eq "home"]', {"display": "B"}), {"emails": [WORK, HOME | {"display": "B"}]}),
    ("ADD-09 what matches nothing is made from eq", ("add", 'phoneNumbers[type eq "Mobile"].value', "555"), {"phoneNumbers": [{"value": "555", "type": "mobile"}]}),
    ("ADD-09 from several eq", ("add", 'emails[type eq "other" and value eq "b@example.org"]', {"display": "b"}), {"emails": [WORK, HOME, OTHER | {"display": "b"}]}),
    ("REP-08 replace creates it too", ("replace", 'emails[type eq "other"].value', "b@example.org"), {"emails": [WORK, HOME, OTHER]}),
    ("a value that is not primary and matches nothing", ("add", 'phoneNumbers[type eq "work" and primary eq false].value', "5"), {"phoneNumbers": [{"value": "5", "type": "work", "primary": False}]}),
    ("a primary value that matches nothing", ("replace", 'phoneNumbers[type eq "work" and primary eq true].value', "5"), {"phoneNumbers": [{"value": "5", "type": "work", "primary": True}]}),
    ("REM-02 a single value", ("remove", "title"), {"title": None}),
    ("REM-02 all values", ("remove", "emails"), {"emails": None}),
    ("REM-02 a complex value", ("remove", "name"), {"name": None}),
    ("a sub-attribute", ("remove", "name.givenName"), {"name": {"familyName": "Jensen"}}),
    ("REM-03 what matches", ("remove", 'emails[type eq "work" and value ew "example.com"]'), {"emails": [HOME]}),
    ("REM-03 none left means unassigned", ("remove", "emails[value pr]"), {"emails": None}),
    ("REM-04 a sub-attribute of what matches", ("remove", 'emails[type eq "home"].display'), {"emails": [WORK, {"value": "babs@jensen.org", "type": "home"}]}),
    ("a sub-attribute of all values", ("remove", "emails.type"), {"emails": [{"value": "bjensen@example.com", "primary": True}, {"value": "babs@jensen.org", "display": "Babs"}]}),
    ("REM-06 no match", ("remove", 'emails[type eq "other"]'), {}),
    ("REM-07 an unassigned attribute", ("remove", "nickName"), {}),
    ("REM-07 an unassigned sub-attribute", ("remove", "name.middleName"), {}),
    ("REM-08 only the named values", ("remove", "emails", [{"value": "BABS@jensen.org"}]), {"emails": [WORK]}),
    ("REM-08 one without an array", ("remove", "emails", {"value": "babs@jensen.org", "type": "Home"}), {"emails": [WORK]}),
    ("REM-08 a value of another type", ("remove", "emails", [{"value": "babs@jensen.org", "type": "work"}]), {}),
    ("REM-08 an empty list removes nothing", ("remove", "emails", []), {}),
    ("REM-08 what says nothing selects nothing", ("remove", "addresses", [{}, {"type": None}]), {}),
    ("REM-08 null is no value", ("remove", "emails", None), {"emails": None}),
    ("REM-08 an address by what it has", ("remove", "addresses", [{"type": "work", "locality": "hollywood"}]), {"addresses": [BABS["addresses"][1]]}),
    ("REM-08 a single value that is another", ("remove", "title", "Other"), {}),
    ("REM-08 a single value", ("remove", "title", "Tour Guide"), {"title": None}),
    ("REM-10 a whole extension", ("remove", ENTERPRISE), {ENTERPRISE: None, "schemas": [USER]}),
    ("REP-02 all values are replaced", ("replace", "emails", [OTHER]), {"emails": [OTHER]}),
    ("REP-03 an unassigned attribute", ("replace", "nickName", "B"), {"nickName": "B"}),
    ("REP-04 a complex value is merged", ("replace", "name", {"givenName": "Babs"}), {"name": {"familyName": "Jensen", "givenName": "Babs"}}),
    ("REP-04 null within clears", ("replace", "name", {"givenName": None}), {"name": {"familyName": "Jensen"}}),
    ("adding null within changes nothing", ("add", "name", {"givenName": None}), {}),
    ("REP-05 what matches is overwritten", ("replace", 'emails[type eq "home"]', OTHER), {"emails": [WORK, OTHER]}),
    ("REP-07 a sub-attribute of what matches", ("replace", 'addresses[type eq "home"].locality', "LA"), {"addresses": [BABS["addresses"][0], BABS["addresses"][1] | {"locality": "LA"}]}),
    ("REP-09 null", ("replace", "title", None), {"title": None}),
    ("REP-09 an empty text", ("replace", "title", ""), {"title": None}),
    ("REP-09 an empty array", ("replace", "emails", []), {"emails": None}),
    ("REP-09 what matches", ("replace", 'emails[type eq "work"]', None), {"emails": [HOME]}),
    ("REP-11 the same value", ("replace", "title", "Tour Guide"), {}),
    ("REP-11 the same values", ("replace", "emails", [WORK, HOME]), {}),
    ("adding nothing", ("add", "emails", []), {}),
    ("adding nothing to a complex value", ("add", "name", {}), {}),
    ("an extension as a whole", ("replace", ENTERPRISE, {"division": "D"}), {ENTERPRISE: {"division": "D", **BABS[ENTERPRISE]}}),
    ("an extension as a whole by null", ("replace", ENTERPRISE, None), {ENTERPRISE: None, "schemas": [USER]}),
    ("a sub-attribute of an extension", ("replace", f"{ENTERPRISE}:manager.value", "1"), {ENTERPRISE: {"department": "Tours", "manager": {"value": "1"}}}),
    ("a derived sub-attribute within a value is ignored", ("replace", f"{ENTERPRISE}:manager", {"value": "1", "displayName": "x"}), {ENTERPRISE: {"department": "Tours", "manager": {"value": "1"}}}),
    ("PAT-20 schemas follow from what is in use", ("add", "schemas", [ACCOUNT_USER]), {}),
    ("PAT-18 a new primary value", ("add", "emails", [OTHER | {"primary": True}]), {"emails": [WORK | {"primary": False}, HOME, OTHER | {"primary": True}]}),
    ("PAT-18 by its sub-attribute", ("replace", 'emails[type eq "home"].primary', True), {"emails": [WORK | {"primary": False}, HOME | {"primary": True}]}),
    ("PAT-18 by adding a value that is there", ("add", "emails", [HOME | {"primary": True}]), {"emails": [WORK | {"primary": False}, HOME | {"primary": True}]}),
    ("REP-12 an overwritten value", ("replace", 'addresses[type eq "work"]', {"type": "work", "primary": True}), {"addresses": [{"type": "work", "primary": True}, BABS["addresses"][1] | {"primary": False}]}),
    ("two that became the same are one", ("replace", "emails.value", "x"), {"emails": [WORK | {"value": "x"}, HOME | {"value": "x"}]}),
    ("two that became the same are one", ("replace", 'emails[type eq "home"]', {"value": "bjensen@example.com", "type": "work"}), {"emails": [WORK]}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "expected"), [row[1:] for row in CHANGED], ids=[row[0] for row in CHANGED])
def test_one_operation(user: ResourceType, operation: tuple[Any, ...], expected: dict[str, Any]) -> None:
    result = patched(user, operation)
    assert changes(BABS, result) == expected
    body = {name: value for name, value in result.items() if name not in ("schemas", "id")}
    assert validation.check(user, body | {"schemas": [USER]}) == body


WITHOUT_PATH: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("ADD-02 attributes are added", "add", {"emails": [OTHER], "nickName": "B"}, {"emails": [WORK, HOME, OTHER], "nickName": "B"}),
    ("REP-01 attributes are replaced", "replace", {"emails": [OTHER], "NICKNAME": "B"}, {"emails": [OTHER], "nickName": "B"}),
    ("REP-04 complex ones are merged", "replace", {"name": {"givenName": "B"}}, {"name": {"familyName": "Jensen", "givenName": "B"}}),
    ("ADD-10 an extension is merged", "add", {ENTERPRISE: {"division": "D"}}, {ENTERPRISE: {"division": "D", **BABS[ENTERPRISE]}}),
    ("an extension in other letters", "replace", {ENTERPRISE.upper(): {"DEPARTMENT": None}}, {ENTERPRISE: {"manager": {"value": "26118915"}}}),
    ("an extension by null", "replace", {ENTERPRISE: None}, {ENTERPRISE: None, "schemas": [USER]}),
    ("adding no extension", "add", {ENTERPRISE: None}, {}),
    ("ADD-12 meta is ignored", "replace", {"meta": {"version": "x"}, "title": "T"}, {"title": "T"}),
    ("unknown attributes are ignored", "replace", {"nosuch": 1, "title": "T"}, {"title": "T"}),
    ("PAT-19 the URN comes with the first attribute", "add", {ACCOUNT_USER: {"validFrom": "2026-01-01T00:00:00Z"}}, {ACCOUNT_USER: {"validFrom": "2026-01-01T00:00:00Z"}, "schemas": [USER, ENTERPRISE, ACCOUNT_USER]}),
    ("nothing", "replace", {}, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "value", "expected"), [row[1:] for row in WITHOUT_PATH], ids=[row[0] for row in WITHOUT_PATH]
)
def test_an_operation_without_a_path(
    user: ResourceType, op: str, value: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert changes(BABS, patched(user, {"op": op, "value": value})) == expected
    assert changes(BABS, patched(user, {"op": op, "path": None, "value": value})) == expected


REFUSED: list[tuple[str, str, tuple[Any, ...]]] = [
    ("PAT-04 another op", "invalidSyntax", ("move", "title", "x")),
    ("PAT-04 no op", "invalidSyntax", (None, "title", "x")),
    ("PAT-04 an op of another type", "invalidSyntax", (["add"], "title", "x")),
    ("PAT-06 a number in brackets", "invalidPath", ("replace", "emails[0].value", "x")),
    ("PAT-07 a broken path", "invalidPath", ("replace", "emails[", "x")),
    ("PAT-07 an empty path", "invalidPath", ("replace", "", "x")),
    ("PAT-07 a path of another type", "invalidPath", ("replace", 5, "x")),
    ("PAT-08 a wrong filter", "invalidFilter", ("replace", 'emails[type regex "x"]', {})),
    ("PAT-09 an unknown attribute", "invalidPath", ("replace", "nosuch", "x")),
    ("PAT-13 id", "mutability", ("replace", "id", "x")),
    ("PAT-13 meta.created", "mutability", ("replace", "meta.created", "2026-01-01T00:00:00Z")),
    ("PAT-13 groups", "mutability", ("add", "groups", [{"value": "x"}])),
    ("PAT-13 one of several groups", "mutability", ("remove", 'groups[value eq "x"]')),
    ("PAT-13 a derived attribute", "mutability", ("replace", f"{ACCOUNT_USER}:companyName", "x")),
    ("PAT-13 a derived sub-attribute", "mutability", ("replace", f"{ENTERPRISE}:manager.displayName", "x")),
    ("PAT-15 a text for a boolean", "invalidValue", ("replace", "active", "maybe")),
    ("PAT-15 a text for several values", "invalidValue", ("replace", "emails", "x")),
    ("PAT-15 an array for a single value", "invalidValue", ("replace", "title", ["x", "y"])),
    ("PAT-15 a sub-attribute", "invalidValue", ("replace", "name", {"givenName": 5})),
    ("PAT-15 a value that is refused elsewhere too", "invalidValue", ("replace", "userName", "a\tb")),
    ("PAT-15 an array for the values that match", "invalidValue", ("replace", 'emails[type eq "work"]', [OTHER, OTHER])),
    ("ADD-01 no value", "invalidValue", ("add", "title")),
    ("REP-10 no value", "invalidValue", ("replace", "title")),
    ("REP-08 nothing matches", "noTarget", ("replace", 'emails[value co "nobody"]', OTHER)),
    ("ADD-09 nothing matches", "noTarget", ("add", 'emails[type eq "a" or type eq "b"].value', "x")),
    ("nothing can match", "noTarget", ("add", 'emails[type eq "a" and type eq "b"].value', "x")),
    ("what is made would not match", "noTarget", ("replace", 'emails[value eq "old@x.org"].value', "new@x.org")),
    ("a missing value cannot be made", "noTarget", ("replace", "emails[type eq null].value", "x")),
    ("REM-01 no path", "noTarget", ("remove",)),
    ("REM-05 a required attribute", "mutability", ("remove", "userName")),
    ("REM-05 a readOnly attribute", "mutability", ("remove", "groups")),
    ("REM-05 schemas", "mutability", ("remove", "schemas")),
    ("REM-09 an attribute expression", "invalidPath", ("remove", f'schemas eq "{ENTERPRISE}"')),
    ("REP-09 null for a required attribute", "mutability", ("replace", "userName", None)),
    ("PAT-18 two primary values", "invalidValue", ("add", "emails", [OTHER | {"primary": True}, {"value": "z", "primary": True}])),
    ("PAT-18 two primary values by their sub-attribute", "invalidValue", ("replace", "emails.primary", True)),
    ("schemas of another type", "invalidValue", ("add", "schemas", [5])),
]  # fmt: skip


@pytest.mark.parametrize(("scim_type", "operation"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_refused_operation(user: ResourceType, scim_type: str, operation: tuple[Any, ...]) -> None:
    with pytest.raises(Exception, match=r"^Operation 2: ") as caught:
        patched(user, ("replace", "nickName", "B"), operation)
    assert getattr(caught.value, "scim_type", None) == scim_type


@pytest.mark.parametrize(
    ("scim_type", "operation"),
    [
        ("invalidSyntax", "x"),
        ("invalidSyntax", {"op": "replace", "OP": "add", "path": "title", "value": "x"}),
        ("invalidValue", {"op": "add", "value": "x"}),
        ("invalidValue", {"op": "replace", "value": ["x"]}),
        ("invalidValue", {"op": "replace", "value": {ENTERPRISE: "x"}}),
        ("invalidValue", {"op": "replace", "path": ENTERPRISE, "value": "x"}),
        ("mutability", {"op": "replace", "path": "id", "value": "other"}),
    ],
)
def test_a_refused_message(user: ResourceType, scim_type: str, operation: Any) -> None:
    with refused(scim_type):
        patched(user, operation)


@pytest.mark.parametrize(
    "body",
    [
        None, [], "x", {}, HEAD, HEAD | {"Operations": []}, HEAD | {"Operations": {}}, HEAD | {"Operations": "x"},
        {"schemas": [USER], "Operations": [{"op": "remove", "path": "title"}]},
        {"schemas": [5], "Operations": [{"op": "remove", "path": "title"}]},
        {"Operations": [{"op": "remove", "path": "title"}], "operations": []},
    ],
)  # fmt: skip
def test_what_is_no_patch_op_is_refused(user: ResourceType, body: Any) -> None:
    with refused("invalidSyntax"):
        read_operations(user, body, Habits(ALL))


@pytest.mark.parametrize(
    "schemas", [{}, {"schemas": None}, {"schemas": ["urn:x:legacy"]}, {"SCHEMAS": [PATCH_OP.upper()]}]
)
def test_schemas_may_be_missing_or_unknown(user: ResourceType, schemas: dict[str, Any]) -> None:
    assert len(read_operations(user, schemas | {"operations": [{"OP": "remove", "Path": "title"}]}, Habits(ALL))) == 1


def test_operations_see_what_the_earlier_ones_did(user: ResourceType) -> None:
    result = patched(
        user, ("add", "title", "A"), ("replace", "title", "B"), ("remove", "emails"), ("add", "emails", [OTHER]),
        ("replace", 'emails[type eq "other"].display', "O"), ("add", f"{ENTERPRISE}:division", "D"), ("remove", ENTERPRISE),
    )  # fmt: skip
    assert changes(BABS, result) == {
        "title": "B", "emails": [OTHER | {"display": "O"}], ENTERPRISE: None, "schemas": [USER],
    }  # fmt: skip


def test_a_value_that_is_no_longer_primary_can_still_be_changed_and_removed(user: ResourceType) -> None:
    work = BABS["addresses"][0]
    added = {"type": "other", "locality": "Kyoto", "primary": True}
    result = patched(user, ("add", "addresses", added), ("remove", 'addresses[type eq "home"]'))
    assert result["addresses"] == [work, added]


def test_a_new_primary_value_beside_the_one_that_is_there(user: ResourceType) -> None:
    result = patched(user, ("add", "emails", [{"value": WORK["value"], "type": "work"}, OTHER | {"primary": True}]))
    assert result["emails"] == [WORK | {"primary": False}, HOME, OTHER | {"primary": True}]


def test_a_readonly_value_may_be_written_again(user: ResourceType) -> None:
    shown = {"id": "2819c223", "groups": [{"value": "g", "type": "direct"}], ACCOUNT_USER: {"companyName": "Example"}}
    result = patched(
        user, ("replace", "id", "2819c223"), ("replace", "groups", [{"value": "g", "type": "direct"}]), ("replace", 'groups[value eq "g"].type', "direct"),
        ("add", f"{ACCOUNT_USER}:companyName", "Example"), {"op": "replace", "value": {"id": "2819c223"}}, shown=shown,
    )  # fmt: skip
    assert result == BABS
    for path, value in (
        ("groups", []),
        ('groups[value eq "g"].type', "indirect"),
        ('groups[value eq "h"].type', "direct"),
    ):
        with refused("mutability"):
            patched(user, ("replace", path, value), shown=shown)


def test_a_value_that_the_server_alone_may_set_changes_no_element(user: ResourceType) -> None:
    # Overwriting with nothing would remove it.
    assert patched(user, ("replace", 'emails[type eq "work"]', {"nosuch": 1})) == BABS


def test_values_that_are_stored_twice_stay_so_until_they_change(user: ResourceType) -> None:
    document = {**BABS, "addresses": [{"locality": "a"}, {"locality": "a"}]}
    assert patched(user, ("add", "addresses", []), ("remove", 'addresses[type eq "x"]'), document=document) == document
    assert "addresses" not in patched(user, ("remove", 'addresses[locality eq "a"]'), document=document)


def test_too_many_characters_of_paths_are_refused(user: ResourceType) -> None:
    long = 'emails[value eq "' + "x" * 1000 + '"]'
    operations = [{"op": "remove", "PATH": long}] * 250
    assert len(read_operations(user, HEAD | {"Operations": operations}, Habits(ALL))) == 250
    with refused(None, status=413):
        read_operations(user, HEAD | {"Operations": [*operations, *operations[:10]]}, Habits(ALL))


def test_long_values_and_many_comparisons_count_for_more(user: ResourceType) -> None:
    terms = " or ".join(f'display co "{n}"' for n in range(100))
    document = {**BABS, "emails": [{"value": "a@b", "display": "x" * 500_000}]}
    with refused(None, status=413):
        patched(user, *[("remove", f"emails[{terms}]")] * 20, document=document)


def test_a_password_can_be_set_and_removed(user: ResourceType) -> None:
    result = patched(user, ("replace", "password", "secret"))
    assert result["password"] == "secret"
    assert "password" not in patched(user, ("remove", "password"), document=result)


def test_members_come_in_the_order_of_the_schema(user: ResourceType) -> None:
    result = patched(
        user,
        ("add", "title", "T"),
        ("add", "externalId", "e"),
        document={"schemas": [USER], "id": "1", "userName": "x"},
    )
    assert list(result) == ["schemas", "id", "externalId", "userName", "title"]


def test_too_many_operations_are_refused(user: ResourceType) -> None:
    operations = [{"op": "remove", "path": "title"}] * PATCH_OPERATIONS
    assert len(read_operations(user, HEAD | {"Operations": operations}, Habits(ALL))) == PATCH_OPERATIONS
    with refused(None, status=413):
        read_operations(user, HEAD | {"Operations": [*operations, operations[0]]}, Habits(ALL))


def test_searching_too_many_values_is_refused_but_a_named_value_is_found_without(user: ResourceType) -> None:
    document = {**BABS, "emails": [{"value": f"{n}@x.org"} for n in range(2000)]}
    every = PATCH_COMPARISONS // 2000
    with refused(None, status=413):
        patched(user, *[("remove", 'emails[display eq "x"]')] * (every + 1), document=document)
    patched(user, *[("remove", 'emails[display eq "x"]')] * every, document=document)
    emptied = patched(user, *[("remove", f'emails[value eq "{n}@X.org"]') for n in range(1000)], document=document)
    assert len(emptied["emails"]) == 1000


# Immutable and required attributes of a schema of one's own


@pytest.fixture(scope="module")
def gadget(tmp_path_factory: pytest.TempPathFactory) -> ResourceType:
    return device(
        tmp_path_factory.mktemp("gadget"),
        {"name": "serial", "mutability": "immutable"},
        {"name": "tags", "multiValued": True},
        {"name": "marks", "multiValued": True, "mutability": "immutable"},
        {"name": "keys", "multiValued": True, "required": True},
        {"name": "chip", "type": "complex", "subAttributes": [{"name": "id", "mutability": "immutable"}, {"name": "note", "required": True}]},
        {"name": "parts", "type": "complex", "multiValued": True,
         "subAttributes": [{"name": "value", "mutability": "immutable"}, {"name": "note"}, {"name": "kind", "required": True}]},
    )  # fmt: skip


GADGET: dict[str, Any] = {
    "schemas": [DEVICE], "id": "1", "tags": ["a", "b"], "keys": ["k"], "parts": [{"value": "p", "note": "n", "kind": "x"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (("add", "serial", "s"), {"serial": "s"}),
        (("add", "marks", ["a", "b"]), {"marks": ["a", "b"]}),
        (("add", "tags", "c"), {"tags": ["a", "b", "c"]}),
        (("add", "tags", ["b", "c", "c"]), {"tags": ["a", "b", "c"]}),
        (("remove", "tags", ["b", "z"]), {"tags": ["a"]}),
        (("remove", "tags", "B"), {"tags": ["a"]}),
        (("remove", "parts", [{"value": "p"}, {"value": "q"}]), {"parts": None}),
        (("remove", "chip.id"), {}),
        (("replace", "chip", {"note": None}), {}),
        (("replace", "tags", ["z"]), {"tags": ["z"]}),
        (("add", "chip", {"id": "1", "note": "n"}), {"chip": {"id": "1", "note": "n"}}),
        (("replace", 'parts[value eq "p"]', {"kind": "y"}), {"parts": [{"value": "p", "kind": "y"}]}),
        (("replace", 'parts[value eq "p"].value', "p"), {}),
        (("remove", 'parts[value eq "p"]'), {"parts": None}),
        (("add", "parts", [{"value": "q", "kind": "z"}]), {"parts": [*GADGET["parts"], {"value": "q", "kind": "z"}]}),
    ],
)
def test_immutable_values_may_be_set_and_go_with_their_element(
    gadget: ResourceType, operation: tuple[Any, ...], expected: dict[str, Any]
) -> None:
    assert changes(GADGET, patched(gadget, operation, document=GADGET)) == expected


@pytest.mark.parametrize(
    ("scim_type", "operations"),
    [
        ("mutability", [("add", "serial", "s"), ("replace", "serial", "t")]),
        ("mutability", [("add", "serial", "s"), ("remove", "serial")]),
        ("mutability", [("replace", "marks", ["a"]), ("add", "marks", ["b"])]),
        ("mutability", [("replace", "marks", ["a"]), ("remove", "marks")]),
        ("mutability", [("remove", "keys")]),
        ("mutability", [("remove", "keys", ["k"])]),
        ("mutability", [("replace", "keys", [])]),
        ("invalidValue", [("add", "chip", {"id": "1"})]),
        ("invalidValue", [("add", "chip.id", "1")]),
        ("mutability", [("add", "chip", {"id": "1", "note": "n"}), ("replace", "chip.id", "2")]),
        ("mutability", [("add", "chip", {"id": "1", "note": "n"}), ("remove", "chip.note")]),
        ("mutability", [("replace", 'parts[value eq "p"].value', "q")]),
        ("mutability", [("replace", 'parts[value eq "p"]', {"value": "q", "kind": "x"})]),
        ("mutability", [("remove", 'parts[value eq "p"].value')]),
        ("mutability", [("remove", 'parts[value eq "p"].kind')]),
        ("invalidValue", [("add", "parts", [{"value": "q"}])]),
        ("invalidValue", [("add", 'parts[value eq "q"].note', "n")]),
        ("invalidPath", [("remove", 'tags[value eq "a"]')]),
    ],
)
def test_immutable_and_required_values_are_kept(
    gadget: ResourceType, scim_type: str, operations: list[tuple[Any, ...]]
) -> None:
    with refused(scim_type):
        patched(gadget, *operations, document=GADGET)


def test_a_required_extension_is_kept(tmp_path: Path) -> None:
    registry = load(
        tmp_path, schema({"name": "note"}), schema({"name": "until"}, urn=WARRANTY),
        resource_type({"schema": WARRANTY, "required": True}),
    )  # fmt: skip
    document = {"schemas": [DEVICE, WARRANTY], "id": "1", WARRANTY: {"until": "x"}}
    kind = registry.resource_types["Device"]
    assert patched(kind, ("replace", f"{WARRANTY}:until", "y"), document=document)[WARRANTY] == {"until": "y"}
    for operation in (("remove", WARRANTY), ("remove", f"{WARRANTY}:until"), ("replace", f"{WARRANTY}:until", None)):
        with refused("mutability"):
            patched(kind, operation, document=document)
