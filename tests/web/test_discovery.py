from typing import Any

import httpx2
import pytest

from tests.scim import (
    ACCOUNT_GROUP,
    ACCOUNT_USER,
    ENTERPRISE,
    GROUP,
    SERVICE,
    USER,
    assert_scim_error,
    create,
    create_group,
    create_user,
)
from tests.server import Server

CORE = "urn:ietf:params:scim:schemas:core:2.0"


def test_all_schemas_and_types_are_listed(http: httpx2.Client) -> None:
    for path, wanted in (
        ("Schemas", {USER, GROUP, ENTERPRISE, ACCOUNT_USER, ACCOUNT_GROUP, SERVICE, f"{CORE}:ServiceProviderConfig",
                     f"{CORE}:ResourceType", f"{CORE}:Schema"}),
        ("ResourceTypes", {"User", "Group", "Service"}),
    ):  # fmt: skip
        answer = http.get(path).json()
        assert {found["id"] for found in answer["Resources"]} == wanted
        assert answer["totalResults"] == answer["itemsPerPage"] == len(wanted)
        for found in answer["Resources"]:
            assert http.get(f"{path}/{found['id']}").json() == found
            assert http.get(found["meta"]["location"]).headers["Content-Location"] == found["meta"]["location"]


def test_query_parameters_are_ignored_but_a_filter_is_forbidden(http: httpx2.Client) -> None:
    for path in ("Schemas", "ResourceTypes"):
        everything = http.get(path).json()
        assert http.get(f"{path}?count=1&startIndex=2&sortBy=id&attributes=name").json() == everything
        assert_scim_error(http.get(f'{path}?filter=name eq "User"'), 403)
    config = http.get("ServiceProviderConfig").json()
    assert http.get("ServiceProviderConfig?filter=x&attributes=patch").json() == config


def test_a_schema_is_found_in_any_letter_case_and_percent_encoded(http: httpx2.Client) -> None:
    for id in (USER, USER.upper(), USER.replace(":", "%3A")):
        assert http.get(f"Schemas/{id}").json()["id"] == USER
    assert_scim_error(http.get("ResourceTypes/user"), 404)


def test_every_schema_that_is_used_can_be_read(http: httpx2.Client) -> None:
    user = create_user(http, **{ENTERPRISE: {"department": "D"}})
    create_group(http, "G", user["id"], **{ACCOUNT_GROUP: {"description": "x"}})
    create(http, "Services", displayName="S")
    used: set[str] = set()
    for path in ("Users", "Groups", "Services", "Schemas", "ResourceTypes"):
        for resource in http.get(path).json()["Resources"]:
            used |= set(resource["schemas"])
    used |= set(http.get("ServiceProviderConfig").json()["schemas"])
    assert len(used) == 9
    for urn in used:
        assert http.get(f"Schemas/{urn}").status_code == 200


def attribute(schema: dict[str, Any], name: str) -> dict[str, Any]:
    head, _, rest = name.partition(".")
    found: dict[str, Any] = next(a for a in schema["attributes"] if a["name"] == head)
    return attribute({"attributes": found["subAttributes"]}, rest) if rest else found


def test_the_mistakes_of_the_printed_schemas_are_not_repeated(http: httpx2.Client) -> None:
    def of(urn: str, name: str) -> dict[str, Any]:
        return attribute(http.get(f"Schemas/{urn}").json(), name)

    assert of(GROUP, "displayName")["required"] is True
    assert of(USER, "groups.$ref")["referenceTypes"] == ["Group"]
    assert of(ENTERPRISE, "manager.value")["caseExact"] is True
    assert of(GROUP, "members.display")["type"] == "string"
    assert of(f"{CORE}:ServiceProviderConfig", "etag.supported")["type"] == "boolean"
    assert of(f"{CORE}:ServiceProviderConfig", "authenticationSchemes.type")["required"] is True
    assert of(f"{CORE}:ResourceType", "schemaExtensions")["multiValued"] is True
    assert of(f"{CORE}:Schema", "attributes.referenceTypes")["multiValued"] is True
    assert "binary" in of(f"{CORE}:Schema", "attributes.type")["canonicalValues"]
    assert of(USER, "x509Certificates.value")["type"] == "binary"
    assert "other" in of(USER, "ims.type")["canonicalValues"]
    for name in ("name", "emails", "addresses"):
        assert not {"uniqueness", "caseExact"} & set(of(USER, name))


def test_a_tenants_policy_shows_in_its_own_schemas_only(http: httpx2.Client, server: Server) -> None:
    mine = http.get(f"Schemas/{GROUP}").json()
    free = httpx2.get(f"{server.settings.base_url}/Schemas/{GROUP}").json()
    assert attribute(mine, "displayName")["uniqueness"] == "server"
    assert attribute(free, "displayName")["uniqueness"] == "none"


def test_what_is_advertised_is_enforced(http: httpx2.Client) -> None:
    config = http.get("ServiceProviderConfig").json()
    for number in range(3):
        create_user(http, f"u{number}")
    most = config["filter"]["maxResults"]
    assert config["pagination"]["maxPageSize"] == most == 1000
    assert http.get(f"Users?count={most + 1}").json()["itemsPerPage"] == 3
    assert http.get('Users?filter=userName eq "u1"').json()["totalResults"] == (
        1 if config["filter"]["supported"] else 0
    )
    made = http.get("Users").json()["Resources"][0]
    assert ("ETag" in http.get(f"Users/{made['id']}").headers) is config["etag"]["supported"]
    assert config["sort"]["supported"] is config["pagination"]["cursor"] is config["pagination"]["index"] is True


@pytest.mark.parametrize(
    "path", ["ServiceProviderConfig", "Schemas", "ResourceTypes", f"Schemas/{USER}", "ResourceTypes/User"]
)
def test_discovery_is_readable_without_a_token(server: Server, path: str) -> None:
    response = httpx2.get(f"{server.settings.base_url}/{path}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/scim+json"
    head = httpx2.head(f"{server.settings.base_url}/{path}")
    assert head.status_code == 200
    assert head.content == b""
