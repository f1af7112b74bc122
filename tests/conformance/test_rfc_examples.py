"""The examples of RFC 7643 section 8 can be created and read back."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.scim import ENTERPRISE, USER, create_user

EXAMPLES = Path(__file__).parent.parent / "fixtures" / "rfc"


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"rfc7643-{name}.json").read_text(encoding="utf-8"))


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


@pytest.mark.parametrize("name", ["8.1-minimal-user", "8.2-full-user", "8.3-enterprise-user"])
def test_a_user_is_read_back_as_it_was_sent(http: httpx2.Client, name: str) -> None:
    sent = example(name)
    made = http.post("Users", json=sent)
    assert made.status_code == 201
    read = http.get(made.headers["Location"]).json()
    assert read == made.json()
    set_by_server = ("schemas", "id", "meta", "groups", "password")
    expected = without(sent, *set_by_server)
    if ENTERPRISE in expected:
        # The manager of the example is no user here, so nothing can be derived from it.
        expected[ENTERPRISE]["manager"] = {"value": expected[ENTERPRISE]["manager"]["value"]}
    assert {name: read.get(name) for name in expected} == expected
    assert set(sent["schemas"]) <= set(read["schemas"])
    assert read["id"] != sent["id"]
    assert "password" not in read
    assert "groups" not in read


def test_a_group_is_read_back_with_its_members(http: httpx2.Client) -> None:
    sent = example("8.4-group")
    for member in sent["members"]:
        user = create_user(http, f"user{member['value']}", displayName=member["display"])
        member |= {"value": user["id"], "$ref": user["meta"]["location"]}
    made = http.post("Groups", json=sent)
    assert made.status_code == 201
    read = http.get(made.headers["Location"]).json()
    assert read["displayName"] == sent["displayName"]
    assert read["members"] == [member | {"type": "User"} for member in sent["members"]]


def test_the_service_provider_config_has_the_structure_of_the_example(http: httpx2.Client) -> None:
    expected = example("8.5-service-provider-config")
    config = http.get("ServiceProviderConfig").json()
    assert config["schemas"] == expected["schemas"]
    for feature in ("patch", "bulk", "filter", "changePassword", "sort", "etag"):
        assert {name: type(value) for name, value in config[feature].items()} == {
            name: type(value) for name, value in expected[feature].items()
        }
    assert {"type", "name", "description"} <= set(config["authenticationSchemes"][0])


def test_the_resource_types_have_the_values_of_the_example(http: httpx2.Client) -> None:
    types = {found["id"]: found for found in http.get("ResourceTypes").json()["Resources"]}
    for expected in example("8.6-resource-types"):
        shown = types[expected["id"]]
        for name in ("schemas", "name", "endpoint", "schema"):
            assert shown[name] == expected[name]
    assert {"schema": ENTERPRISE, "required": False} in types["User"]["schemaExtensions"]
    assert types["User"]["schema"] == USER
