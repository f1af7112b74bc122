import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_server.protocol.registry import Registry, SchemaError, bundled_schemas, load_registry
from scim_server.protocol.schema import RESOURCE_TYPE_URN, SCHEMA_URN
from tests.protocol import DEVICE, WARRANTY, device, load, names, outcome, resource_type, schema
from tests.scim import ACCOUNT_GROUP, ACCOUNT_USER, ENTERPRISE, GROUP, SERVICE, USER

SERVICE_PROVIDER = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
BUNDLED = {USER, GROUP, SERVICE, ENTERPRISE, ACCOUNT_USER, ACCOUNT_GROUP, SCHEMA_URN, RESOURCE_TYPE_URN}
TYPES = {"string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"}
STATED = {"name", "type", "multiValued", "description", "required", "mutability", "returned"}


def published(registry: Registry) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every published attribute and sub-attribute with its path."""

    def walk(where: str, attributes: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for attribute in attributes:
            path = f"{where} {attribute['name']}"
            yield path, attribute
            yield from walk(path, attribute.get("subAttributes", []))

    for known in registry.schemas.values():
        yield from walk(known.id, known.as_json()["attributes"])


def shown(registry: Registry, urn: str, *names: str) -> dict[str, Any]:
    """Return a published attribute."""
    found = registry.schemas[urn.lower()].as_json()
    for key, name in zip(("attributes", *["subAttributes"] * len(names)), names, strict=False):
        found = next(attribute for attribute in found[key] if attribute["name"] == name)
    return found


def problem(directory: Path, *documents: Any) -> str:
    with pytest.raises(SchemaError) as caught:
        load(directory, *documents)
    return str(caught.value)


def problem_of(directory: Path, **attribute: Any) -> str:
    """Return why an attribute cannot be used."""
    return problem(directory, schema({"name": "x"} | attribute), resource_type())


# What is bundled


def test_the_bundled_schemas_and_resource_types_are_known(registry: Registry) -> None:
    assert {known.id for known in registry.schemas.values()} == BUNDLED | {SERVICE_PROVIDER}
    endpoints = {name: known.endpoint for name, known in registry.resource_types.items()}
    assert endpoints == {"User": "/Users", "Group": "/Groups", "Service": "/Services"}
    extensions = {name: [e.schema.id for e in known.extensions] for name, known in registry.resource_types.items()}
    assert extensions == {"User": [ENTERPRISE, ACCOUNT_USER], "Group": [ACCOUNT_GROUP], "Service": []}


def test_the_bundled_schemas_lie_in_one_directory() -> None:
    assert {path.name for path in bundled_schemas().glob("*.json")} >= {"user.json", "common.json", "policies.json"}


def test_no_message_schema_is_published(registry: Registry) -> None:
    assert not [urn for urn in registry.schemas if ":api:" in urn]


@pytest.mark.parametrize("urn", [USER, USER.upper(), USER.lower()])
def test_schemas_are_found_in_any_letter_case(registry: Registry, urn: str) -> None:
    found = registry.schema(urn)
    assert found
    assert found.id == USER


def test_an_unknown_schema_is_not_found(registry: Registry) -> None:
    assert registry.schema("urn:x:nope") is None


# What is published


def test_every_characteristic_is_published(registry: Registry) -> None:
    for path, attribute in published(registry):
        expected = set(STATED)
        if attribute["type"] == "complex":
            expected |= {"subAttributes"}
        else:
            expected |= {"uniqueness"}
        if attribute["type"] in ("string", "reference", "binary"):
            expected |= {"caseExact"}
        if attribute["type"] == "reference":
            expected |= {"referenceTypes"}
        assert attribute.keys() - {"canonicalValues"} == expected, path
        assert all(value not in (None, "", []) for value in attribute.values()), path


def test_published_characteristics_have_the_standards_words(registry: Registry) -> None:
    for path, attribute in published(registry):
        assert attribute["type"] in TYPES, path
        assert attribute["mutability"] in ("readOnly", "readWrite", "immutable", "writeOnly"), path
        assert attribute["returned"] in ("always", "never", "default", "request"), path
        assert attribute.get("uniqueness", "none") in ("none", "server", "global"), path
        assert re.fullmatch(r"[A-Za-z][\w-]*|\$ref", attribute["name"], re.ASCII), path


def test_published_references_are_exact_and_say_what_they_name(registry: Registry) -> None:
    targets = {"external", "uri", *registry.resource_types}
    references = [found for found in published(registry) if found[1]["type"] == "reference"]
    assert references
    for path, attribute in references:
        assert attribute["caseExact"] is True, path
        assert targets.issuperset(attribute["referenceTypes"]), path


def test_only_the_schema_of_schemas_nests_complex_attributes(registry: Registry) -> None:
    nested = [
        f"{path}.{sub['name']}"
        for path, attribute in published(registry)
        for sub in attribute.get("subAttributes", [])
        if sub["type"] == "complex"
    ]
    assert nested == [f"{SCHEMA_URN} attributes.subAttributes"]


def test_published_schemas_are_what_the_schema_of_schemas_describes(registry: Registry) -> None:
    def conforms(value: dict[str, Any], attributes: list[dict[str, Any]]) -> None:
        known = {attribute["name"]: attribute for attribute in attributes}
        assert value.keys() <= known.keys() | {"schemas"}
        for name, attribute in known.items():
            assert name in value or not attribute["required"], f"{value['name']}.{name}"
            if name in value:
                fits(value[name], attribute)

    def fits(value: Any, attribute: dict[str, Any]) -> None:
        assert isinstance(value, list) == attribute["multiValued"]
        for one in value if isinstance(value, list) else [value]:
            if attribute["type"] == "complex":
                conforms(one, attribute["subAttributes"])
            else:
                assert isinstance(one, bool if attribute["type"] == "boolean" else str)
                assert one in attribute.get("canonicalValues", [one])

    # Its own attribute "attributes" is the one that nests deeper than it can say (erratum 8415).
    for known in (known for known in registry.schemas.values() if known.id != SCHEMA_URN):
        conforms(known.as_json(), registry.schemas[SCHEMA_URN.lower()].as_json()["attributes"])
    for kind in registry.resource_types.values():
        conforms(kind.as_json(), registry.schemas[RESOURCE_TYPE_URN.lower()].as_json()["attributes"])


def test_a_schema_is_published_with_its_own_schema(registry: Registry) -> None:
    body = registry.schemas[GROUP.lower()].as_json()
    assert (body["schemas"], body["id"], body["name"]) == ([SCHEMA_URN], GROUP, "Group")
    assert [attribute["name"] for attribute in body["attributes"]] == ["displayName", "members"]


def test_a_resource_type_is_published_with_its_extensions(registry: Registry) -> None:
    assert registry.resource_types["User"].as_json() == {
        "schemas": [RESOURCE_TYPE_URN],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "description": "A person's account.",
        "schema": USER,
        "schemaExtensions": [{"schema": ENTERPRISE, "required": False}, {"schema": ACCOUNT_USER, "required": False}],
    }


def test_what_is_not_checked_is_no_published_characteristic(registry: Registry) -> None:
    assert registry.resource_types["User"].by_path["profileurl"].unchecked
    assert "unchecked" not in shown(registry, USER, "profileUrl")
    assert "column" not in json.dumps([known.as_json() for known in registry.schemas.values()])


def test_canonical_values_are_published(registry: Registry) -> None:
    assert shown(registry, USER, "emails", "type")["canonicalValues"] == ["work", "home", "other"]


# RFC 7643 section 8.7 prints these wrong; the errata correct them.


@pytest.mark.parametrize(
    ("path", "characteristic", "value"),
    [
        ((GROUP, "displayName"), "required", True),
        ((GROUP, "members", "display"), "type", "string"),
        ((USER, "userName"), "required", True),
        ((USER, "groups", "$ref"), "referenceTypes", ["Group"]),
        ((USER, "x509Certificates", "value"), "type", "binary"),
        ((USER, "x509Certificates", "value"), "caseExact", True),
        ((USER, "password"), "returned", "never"),
        ((USER, "password"), "mutability", "writeOnly"),
        ((ENTERPRISE, "manager", "value"), "caseExact", True),
        ((ENTERPRISE, "manager", "displayName"), "mutability", "readOnly"),
        ((SERVICE_PROVIDER, "etag", "supported"), "type", "boolean"),
        ((SERVICE_PROVIDER, "authenticationSchemes"), "multiValued", True),
        ((SERVICE_PROVIDER, "authenticationSchemes", "type"), "required", True),
        ((RESOURCE_TYPE_URN, "schemaExtensions"), "multiValued", True),
        ((SCHEMA_URN, "attributes", "referenceTypes"), "multiValued", True),
        ((SCHEMA_URN, "attributes", "subAttributes", "referenceTypes"), "multiValued", True),
    ],
)
def test_errata_are_served(registry: Registry, path: tuple[str, ...], characteristic: str, value: Any) -> None:
    assert shown(registry, *path)[characteristic] == value


def test_the_schema_of_schemas_knows_binary(registry: Registry) -> None:
    assert set(shown(registry, SCHEMA_URN, "attributes", "type")["canonicalValues"]) == TYPES
    inner = shown(registry, SCHEMA_URN, "attributes", "subAttributes", "type")["canonicalValues"]
    assert set(inner) == TYPES - {"complex"}


def test_complex_attributes_have_neither_uniqueness_nor_letter_case(registry: Registry) -> None:
    complex_ones = [attribute for _, attribute in published(registry) if attribute["type"] == "complex"]
    assert complex_ones
    assert not [attribute["name"] for attribute in complex_ones if attribute.keys() & {"uniqueness", "caseExact"}]


def test_instant_messaging_has_a_type_for_the_rest(registry: Registry) -> None:
    assert "other" in shown(registry, USER, "ims", "type")["canonicalValues"]


def test_free_types_have_no_canonical_values(registry: Registry) -> None:
    for name in ("roles", "entitlements", "x509Certificates"):
        assert "canonicalValues" not in shown(registry, USER, name, "type")


def test_addresses_can_be_primary_and_have_no_value(registry: Registry) -> None:
    subs = {sub["name"] for sub in shown(registry, USER, "addresses")["subAttributes"]}
    assert "primary" in subs
    assert not subs & {"value", "display"}


# How attributes are addressed


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("userName", "userName"),
        ("USERNAME", "userName"),
        ("name.familyName", "name.familyName"),
        ("emails.VALUE", "emails.value"),
        (f"{USER}:userName", "userName"),
        (f"{USER.upper()}:name.GIVENNAME", "name.givenName"),
        (f"{ENTERPRISE}:manager", f"{ENTERPRISE}:manager"),
        (f"{ENTERPRISE.lower()}:Manager.DisplayName", f"{ENTERPRISE}:manager.displayName"),
        ("id", "id"),
        ("externalid", "externalId"),
        ("meta.lastModified", "meta.lastModified"),
    ],
)
def test_attributes_are_found_by_path_in_any_letter_case(registry: Registry, path: str, found: str) -> None:
    attribute = registry.resource_types["User"].attribute(path)
    assert attribute
    assert attribute.path == found


@pytest.mark.parametrize(
    "path", ["", "nosuch", "manager.nosuch", "name.value", f"{ENTERPRISE}", f"{GROUP}:displayName"]
)
def test_other_paths_lead_nowhere(registry: Registry, path: str) -> None:
    assert registry.resource_types["User"].attribute(path) is None


def test_an_attribute_knows_its_extension_and_its_sub_attributes(registry: Registry) -> None:
    user = registry.resource_types["User"]
    manager = user.by_path[f"{ENTERPRISE}:manager".lower()]
    assert manager.urn == ENTERPRISE
    assert user.by_path["emails"].urn == ""
    assert manager.sub("DISPLAYNAME") is user.attribute(f"{ENTERPRISE}:manager.displayName")
    assert manager.sub("nosuch") is None
    assert [attribute.name for attribute in manager.walk()] == ["manager", "value", "$ref", "displayName"]


def test_top_level_attributes_come_in_the_order_of_the_schemas(registry: Registry) -> None:
    paths = [attribute.path for attribute in registry.resource_types["Group"].attributes]
    assert paths == [
        "externalId", "displayName", "members", f"{ACCOUNT_GROUP}:description", f"{ACCOUNT_GROUP}:services",
    ]  # fmt: skip


def test_the_number_of_an_attribute_depends_on_its_path_only(registry: Registry, tmp_path: Path) -> None:
    other = load(tmp_path, schema({"name": "userName", "type": "integer"}), resource_type())
    numbers = {
        kinds.resource_types[name].by_path["username"].number for kinds, name in ((registry, "User"), (other, "Device"))
    }
    assert len(numbers) == 1
    assert 0 <= numbers.pop() < 2**31


def test_single_simple_attributes_are_promoted_to_columns(registry: Registry, tmp_path: Path) -> None:
    user = registry.resource_types["User"].by_path
    assert user["username"].column == "user_name"
    assert user["nickname"].column is None
    several = device(tmp_path, {"name": "userName", "multiValued": True}).by_path
    assert several["username"].column is None


# Custom schemas


def test_unstated_characteristics_have_the_defaults_of_the_standard(tmp_path: Path) -> None:
    assert device(tmp_path, {"name": "model"}).schema.as_json() == {
        "schemas": [SCHEMA_URN],
        "id": DEVICE,
        "name": DEVICE,
        "description": "",
        "attributes": [
            {
                "name": "model",
                "type": "string",
                "multiValued": False,
                "description": "",
                "required": False,
                "caseExact": False,
                "mutability": "readWrite",
                "returned": "default",
                "uniqueness": "none",
            }
        ],
    }


@pytest.mark.parametrize(("kind", "exact"), [("string", False), ("reference", True), ("binary", True)])
def test_references_and_binaries_are_exact_unless_stated(tmp_path: Path, kind: str, exact: bool) -> None:
    assert device(tmp_path, {"name": "x", "type": kind}).by_path["x"].case_exact is exact


def test_null_is_as_good_as_unstated(tmp_path: Path) -> None:
    nothing = dict.fromkeys(["type", "multiValued", "required", "caseExact", "canonicalValues", "subAttributes"])
    assert (
        device(tmp_path, {"name": "x", **nothing}).schema.as_json() == device(tmp_path, {"name": "x"}).schema.as_json()
    )


def test_stated_characteristics_are_kept(tmp_path: Path) -> None:
    stated = {
        "name": "serial",
        "type": "reference",
        "multiValued": False,
        "description": "Where it is.",
        "required": True,
        "canonicalValues": ["a", "b"],
        "caseExact": False,
        "mutability": "immutable",
        "returned": "request",
        "uniqueness": "global",
        "referenceTypes": ["User"],
    }
    attribute = device(tmp_path, stated).by_path["serial"]
    assert attribute.as_json() == stated
    assert attribute.canonical_values == ("a", "b") and attribute.reference_types == ("User",)


def test_a_custom_type_has_the_common_attributes(tmp_path: Path) -> None:
    made = device(tmp_path, {"name": "model"})
    assert {"id", "externalid", "meta", "meta.version", "schemas", "model"} <= made.by_path.keys()
    assert made.as_json()["endpoint"] == "/Devices"
    assert made.description == "Device"


@pytest.mark.parametrize("name", ["id", "ID", "meta", "Meta", "externalId", "EXTERNALID", "schemas"])
def test_a_schema_cannot_redefine_a_common_attribute(tmp_path: Path, name: str) -> None:
    made = device(tmp_path, {"name": name, "type": "integer", "mutability": "writeOnly"}, {"name": "model"})
    assert [attribute.name for attribute in made.schema.attributes] == ["model"]
    common = made.common[{"id": "id", "meta": "meta", "externalid": "externalId", "schemas": "schemas"}[name.lower()]]
    assert made.attribute(name) is common
    assert made.attribute(f"{DEVICE}:{name}") is None
    assert common.type != "integer"


def test_an_extension_is_addressed_by_its_urn(tmp_path: Path) -> None:
    extension = schema({"name": "until", "type": "dateTime"}, urn=WARRANTY)
    for urn in (WARRANTY, WARRANTY.upper()):
        kind = resource_type({"schema": urn, "required": True})
        made = load(tmp_path, extension, schema({"name": "model"}), kind).resource_types["Device"]
        assert [(e.schema.id, e.required) for e in made.extensions] == [(WARRANTY, True)]
        until = made.attribute(f"{WARRANTY}:UNTIL")
        assert until and until.urn == WARRANTY
        assert made.attribute("Until") is until
        assert made.by_urn.keys() == {WARRANTY.lower()}


def test_a_name_that_means_several_attributes_needs_its_urn(tmp_path: Path) -> None:
    other = f"{WARRANTY}:other"
    kind = resource_type({"schema": WARRANTY}, {"schema": other})
    shared, own = {"name": "until"}, {"name": "model"}
    extensions = [schema(shared, own, urn=WARRANTY), schema(shared, urn=other)]
    made = load(tmp_path, *extensions, schema(own), kind).resource_types["Device"]
    assert made.attribute("until") is None
    model = made.attribute("model")
    assert model and model.urn == ""
    assert made.attribute(f"{other}:until") is not made.attribute(f"{WARRANTY}:until")


def test_an_extension_is_required_only_where_it_is_stated(tmp_path: Path) -> None:
    made = load(tmp_path, schema(), schema(urn=WARRANTY), resource_type({"schema": WARRANTY})).resource_types["Device"]
    assert made.as_json()["schemaExtensions"] == [{"schema": WARRANTY, "required": False}]


def test_a_directory_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps(schema({"name": "model"})))
    (tmp_path / "2.json").write_text(json.dumps([resource_type()]))
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "README.md").write_text("not a schema")
    made = load_registry(tmp_path).resource_types
    assert made.keys() == {"User", "Group", "Service", "Device"}
    assert made["Device"].attribute("model")


def test_files_may_be_named_as_the_bundled_ones(tmp_path: Path) -> None:
    (tmp_path / "common.json").write_text(json.dumps([schema({"name": "model"}), resource_type()]))
    assert "Device" in load_registry(tmp_path).resource_types


@pytest.mark.parametrize("name", ["a", "A-1_b", "$ref", "x" * 200])
def test_attribute_names_of_the_standard_are_accepted(tmp_path: Path, name: str) -> None:
    assert device(tmp_path, {"name": name}).attribute(name)


@pytest.mark.parametrize(
    "name", ["1abc", "a.b", "a:b", "", "$", "$value", "_a", "-a", "a b", "é", "a\n", "名", None, 5]
)
def test_other_attribute_names_are_refused(tmp_path: Path, name: Any) -> None:
    assert problem(tmp_path, schema({"name": name})) == f"{name} is not an attribute name."
    inner = {"name": "c", "type": "complex", "subAttributes": [{"name": name}]}
    assert problem(tmp_path, schema(inner)) == f"c.{name} is not an attribute name."


@pytest.mark.parametrize(("one", "other"), [("Model", "model"), ("model", "Model"), ("model", "model")])
def test_names_differ_in_more_than_letter_case(tmp_path: Path, one: str, other: str) -> None:
    twice = [{"name": one}, {"name": other}]
    assert problem(tmp_path, schema(*twice)) == f"{DEVICE} has two attributes named {other}."
    inner = {"name": "c", "type": "complex", "subAttributes": twice}
    assert problem(tmp_path, schema(inner)) == f"c has two attributes named {other}."


@pytest.mark.parametrize(
    ("characteristic", "value", "allowed"),
    [
        ("type", "text", "binary, boolean, complex, dateTime, decimal, integer, reference, string"),
        ("mutability", "readwrite", "immutable, readOnly, readWrite, writeOnly"),
        ("returned", "sometimes", "always, default, never, request"),
        ("uniqueness", "tenant", "global, none, server"),
    ],
)
def test_words_that_are_not_the_standards_are_refused(
    tmp_path: Path, characteristic: str, value: str, allowed: str
) -> None:
    assert problem_of(tmp_path, **{characteristic: value}) == f"x: {value!r} is none of {allowed}."


@pytest.mark.parametrize(
    ("characteristic", "value", "expected"),
    [
        ("type", ["string"], "x: type must be a string."),
        ("required", "yes", "x: required must be true or false."),
        ("multiValued", 1, "x: multiValued must be true or false."),
        ("caseExact", "false", "x: caseExact must be true or false."),
        ("unchecked", 0, "x: unchecked must be true or false."),
        ("description", {"en": "x"}, "x: description must be a string."),
        ("mutability", True, "x: mutability must be a string."),
        ("returned", [], "x: returned must be a string."),
        ("uniqueness", {}, "x: uniqueness must be a string."),
        ("canonicalValues", "work", "x: canonicalValues must be an array."),
        ("canonicalValues", ["work", 1], "x: each of canonicalValues must be a string."),
        ("referenceTypes", [{}], "x: each of referenceTypes must be a string."),
        ("subAttributes", {"name": "y"}, "x: subAttributes must be an array."),
        ("subAttributes", ["y"], "x: each of subAttributes must be an object."),
    ],
)
def test_characteristics_of_another_json_type_are_refused(
    tmp_path: Path, characteristic: str, value: Any, expected: str
) -> None:
    assert problem_of(tmp_path, **{characteristic: value}) == expected


def test_a_complex_attribute_needs_sub_attributes(tmp_path: Path) -> None:
    assert problem_of(tmp_path, type="complex") == "x is complex and has no subAttributes."
    assert problem_of(tmp_path, type="complex", subAttributes=[]) == "x is complex and has no subAttributes."


def test_only_a_complex_attribute_has_sub_attributes(tmp_path: Path) -> None:
    assert problem_of(tmp_path, subAttributes=[{"name": "y"}]) == "x has subAttributes and is not complex."


@pytest.mark.parametrize(
    "sub",
    [
        {"name": "y", "multiValued": True},
        {"name": "y", "type": "complex", "subAttributes": [{"name": "z"}]},
    ],
)
def test_a_sub_attribute_is_a_single_simple_value(tmp_path: Path, sub: dict[str, Any]) -> None:
    nested = {"name": "x", "type": "complex", "subAttributes": [sub]}
    assert problem_of(tmp_path, **nested) == "x: a sub-attribute must be a single simple value."
    extended = problem(
        tmp_path, schema(), schema(nested, urn=WARRANTY), resource_type({"schema": WARRANTY, "required": False})
    )
    assert extended == f"{WARRANTY}:x: a sub-attribute must be a single simple value."


@pytest.mark.parametrize(
    ("sub", "kind", "wanted"),
    [
        ("primary", "string", "boolean"),
        ("Primary", "string", "boolean"),
        ("type", "integer", "string"),
        ("display", "boolean", "string"),
        ("$ref", "string", "reference"),
    ],
)
def test_the_usual_sub_attributes_of_several_values_keep_their_meaning(
    tmp_path: Path, sub: str, kind: str, wanted: str
) -> None:
    subs = [{"name": sub, "type": kind}]
    assert problem_of(tmp_path, type="complex", multiValued=True, subAttributes=subs) == (
        f"x.{sub} must be of type {wanted}."
    )
    single = device(tmp_path, {"name": "x", "type": "complex", "subAttributes": subs})
    assert single.by_path[f"x.{sub}".lower()].type == kind


@pytest.mark.parametrize(
    "characteristics",
    [{"multiValued": True}, {"type": "complex", "subAttributes": [{"name": "value"}]}],
)
def test_only_a_single_simple_value_can_be_unique(tmp_path: Path, characteristics: dict[str, Any]) -> None:
    wanted = "x cannot be unique: only a single simple value can be."
    assert problem_of(tmp_path, uniqueness="server", **characteristics) == wanted


def test_what_is_write_only_is_never_returned(tmp_path: Path) -> None:
    made = load(tmp_path, schema({"name": "pin", "mutability": "writeOnly"}), resource_type()).resource_types["Device"]
    pin = made.attribute("pin")
    assert pin and pin.returned == "never"
    assert problem_of(tmp_path, mutability="writeOnly", returned="default") == "x is writeOnly: it is returned never."
    assert problem_of(tmp_path, uniqueness="server", returned="never") == "x is returned never: it cannot be unique."


@pytest.mark.parametrize("urn", [None, "", "Device", 5, "https://example.com/Device"])
def test_a_schema_has_a_urn(tmp_path: Path, urn: Any) -> None:
    assert problem(tmp_path, {"id": urn, "attributes": []}) == f"The schema {urn!r} has no URN as its id."


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"attributes": "model"}, "attributes must be an array."),
        ({"attributes": ["model"]}, "each of attributes must be an object."),
        ({"name": 5}, "name must be a string."),
        ({"description": []}, "description must be a string."),
    ],
)
def test_members_of_a_schema_of_another_json_type_are_refused(
    tmp_path: Path, members: dict[str, Any], expected: str
) -> None:
    assert problem(tmp_path, schema() | members) == f"{DEVICE}: {expected}"


@pytest.mark.parametrize("urn", [DEVICE, DEVICE.upper(), USER])
def test_two_schemas_cannot_have_one_id(tmp_path: Path, urn: str) -> None:
    assert problem(tmp_path, schema(), schema(urn=urn)) == f"Two schemas have the id {urn}."


@pytest.mark.parametrize(
    ("name", "endpoint"), [("User", "/People"), ("Person", "/Users"), ("Person", "/users"), ("Device", "/Things")]
)
def test_two_resource_types_cannot_have_one_name_or_endpoint(tmp_path: Path, name: str, endpoint: str) -> None:
    documents = schema({"name": "model"}), resource_type(), resource_type(name=name, endpoint=endpoint)
    assert problem(tmp_path, *documents) == f"Two resource types have the name {name} or the endpoint {endpoint}."


@pytest.mark.parametrize("name", [None, "", "1x", "a b", "a/b", 5])
def test_a_resource_type_has_a_usable_name(tmp_path: Path, name: Any) -> None:
    assert problem(tmp_path, schema(), resource_type(name=name)) == f"The resource type {name!r} has no usable name."


@pytest.mark.parametrize("endpoint", [None, "", "Devices", "/", "/a/b", "/Devices/", "/.search", "/a b", 5])
def test_an_endpoint_is_one_segment(tmp_path: Path, endpoint: Any) -> None:
    expected = f"Device: the endpoint {endpoint!r} is not of the form /Names."
    assert problem(tmp_path, schema(), resource_type(endpoint=endpoint)) == expected


@pytest.mark.parametrize("endpoint", ["/Bulk", "/Me", "/Schemas", "/ResourceTypes", "/ServiceProviderConfig", "/me"])
def test_endpoints_of_the_protocol_are_taken(tmp_path: Path, endpoint: str) -> None:
    expected = f"Device: the endpoint {endpoint} is taken by the protocol."
    assert problem(tmp_path, schema(), resource_type(endpoint=endpoint)) == expected


def test_a_resource_type_names_schemas_that_exist(tmp_path: Path) -> None:
    assert problem(tmp_path, resource_type()) == f"Device: there is no schema {DEVICE}."
    assert problem(tmp_path, resource_type(schema=None)) == "Device: there is no schema None."
    extended = problem(tmp_path, schema(), resource_type({"schema": WARRANTY, "required": False}))
    assert extended == f"Device: there is no schema {WARRANTY}."
    assert problem(tmp_path, schema(), resource_type({})) == "Device: there is no schema None."


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"schemaExtensions": {}}, "Device: schemaExtensions must be an array."),
        ({"schemaExtensions": [WARRANTY]}, "Device: each of schemaExtensions must be an object."),
        ({"schemaExtensions": [{"schema": DEVICE, "required": "no"}]}, "Device: required must be true or false."),
        ({"description": 5}, "Device: description must be a string."),
    ],
)
def test_members_of_a_resource_type_of_another_json_type_are_refused(
    tmp_path: Path, members: dict[str, Any], expected: str
) -> None:
    assert problem(tmp_path, schema(), resource_type(**members)) == expected


def test_two_attributes_cannot_share_an_index_number(tmp_path: Path) -> None:
    # CRC-32 gives these two names one number.
    expected = "floorBlueDoor and doorCodeRed share an index number; rename one."
    assert problem(tmp_path, schema({"name": "doorCodeRed"}, {"name": "floorBlueDoor"}), resource_type()) == expected


@pytest.mark.parametrize("content", ["", "{", '{"id": }', "[1,", "\ufeff[]"])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content, encoding="utf-8")
    with pytest.raises(SchemaError, match=r"^broken\.json is not JSON: "):
        load_registry(tmp_path)


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_bytes(b'{"id":"\xff"}')
    with pytest.raises(SchemaError, match=r"^broken\.json is not JSON: "):
        load_registry(tmp_path)


@pytest.mark.parametrize("entry", [{}, {"id": DEVICE}, [], "schema", 5, None])
def test_an_entry_is_a_schema_or_a_resource_type(tmp_path: Path, entry: Any) -> None:
    assert problem(tmp_path, entry) == "custom.json: an entry is neither a Schema nor a ResourceType."


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="nowhere is not a directory"):
        load_registry(tmp_path / "nowhere")


CHARACTERISTICS = ["name", "type", "multiValued", "required", "uniqueness", "subAttributes", "canonicalValues"]
WORDS = st.sampled_from(
    ["id", "string", "complex", "reference", "server", "none", "primary", "$ref", DEVICE, "/Devices"]
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["id", "name", "attributes", "endpoint", "schema", "schemaExtensions", "description"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | names() | WORDS,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(CHARACTERISTICS), inner),
            max_leaves=8,
        ),
    )
)
def test_any_document_is_used_or_refused_in_a_sentence(tmp_path: Path, document: dict[str, Any]) -> None:
    result = outcome(load, tmp_path, document)
    if isinstance(result, SchemaError):
        assert str(result).endswith(".")
    else:
        urns = {known.id for known in result.schemas.values()} - BUNDLED - {SERVICE_PROVIDER}
        assert urns == {document["id"]}


# Policies


def test_a_policy_changes_the_registry_of_its_tenants_only(registry: Registry) -> None:
    strict = registry.under(frozenset({"group_name_unique"}))
    assert strict.resource_types["Group"].by_path["displayname"].uniqueness == "server"
    assert shown(strict, GROUP, "displayName")["uniqueness"] == "server"
    assert strict.resource_types["User"].by_path["displayname"].uniqueness == "none"
    assert registry.resource_types["Group"].by_path["displayname"].uniqueness == "none"
    assert shown(registry, GROUP, "displayName")["uniqueness"] == "none"


def test_a_policy_leaves_paths_numbers_and_columns_alone(registry: Registry) -> None:
    strict = registry.under(frozenset({"group_name_unique"}))
    for name, kind in registry.resource_types.items():
        other = strict.resource_types[name].by_path
        assert {path: (a.number, a.column) for path, a in kind.by_path.items()} == {
            path: (a.number, a.column) for path, a in other.items()
        }


def test_a_registry_is_built_once_for_each_set_of_policies(registry: Registry) -> None:
    policies = frozenset({"group_name_unique"})
    assert registry.under(frozenset()) is registry
    assert registry.under(policies) is registry.under(frozenset(policies))
