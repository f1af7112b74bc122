import uuid

import httpx2
import pytest

from scim_server.storage.database import Database
from tests.scim import ACCOUNT_GROUP, GROUP, assert_scim_error, create, create_group, create_user


def test_members_are_described_by_the_server(http: httpx2.Client) -> None:
    babs = create_user(http, "babs", displayName="Babs Jensen")
    plain = create_user(http, "plain")
    inner = create_group(http, "Inner")
    group = create(
        http, "Groups", displayName="Guides",
        members=[
            {"value": babs["id"], "type": "Group", "display": "evil", "$ref": "https://evil.example/"},
            {"value": plain["id"]},
            {"$ref": inner["meta"]["location"]},
        ],
    )  # fmt: skip
    assert group["members"] == [
        {"value": babs["id"], "$ref": babs["meta"]["location"], "type": "User", "display": "Babs Jensen"},
        {"value": plain["id"], "$ref": plain["meta"]["location"], "type": "User"},
        {"value": inner["id"], "$ref": inner["meta"]["location"], "type": "Group", "display": "Inner"},
    ]


@pytest.mark.parametrize("members", [None, []])
def test_a_group_may_be_empty(http: httpx2.Client, members: object) -> None:
    group = create(http, "Groups", schemas=[GROUP], displayName="Empty", members=members)
    assert "members" not in group


def test_one_member_is_listed_once(http: httpx2.Client) -> None:
    user = create_user(http)
    assert len(create_group(http, "G", user["id"], user["id"])["members"]) == 1


def test_a_group_needs_a_display_name(http: httpx2.Client) -> None:
    assert "displayName is required" in assert_scim_error(
        http.post("Groups", json={"members": []}), 400, "invalidValue"
    )


def test_a_display_name_belongs_to_one_group(http: httpx2.Client) -> None:
    made = create_group(http, "Tour Guides")
    response = http.post("Groups", json={"displayName": "TOUR GUIDES"})
    assert_scim_error(response, 409, "uniqueness")
    assert response.headers["Location"] == made["meta"]["location"]


@pytest.mark.parametrize("member", [{"value": "nope"}, {"value": str(uuid.uuid4())}, {"$ref": "https://x/Users/nope"}])
def test_an_unknown_member_is_refused_and_nothing_is_stored(http: httpx2.Client, member: dict[str, str]) -> None:
    response = http.post("Groups", json={"displayName": "G", "members": [member]})
    assert "members" in assert_scim_error(response, 400, "invalidValue")
    assert http.get("Groups").json()["totalResults"] == 0


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"type": "User"},
        {"display": "Bob"},
        {"$ref": "/"},
        {"$ref": "https://evil.example/Users/x"},
        "id",
        5,
    ],
)
def test_a_member_that_names_no_resource_is_refused_and_nobody_is_removed(http: httpx2.Client, member: object) -> None:
    user = create_user(http)
    if isinstance(member, dict) and "evil" in member.get("$ref", ""):
        member = {"$ref": f"https://evil.example/Users/{user['id']}"}
    group = create_group(http, "G", user["id"])
    body = {"displayName": "G", "members": [member]}
    assert "members" in assert_scim_error(http.put(f"Groups/{group['id']}", json=body), 400, "invalidValue")
    assert http.get(f"Groups/{group['id']}").json() == group


def test_a_service_cannot_be_a_member_nor_a_user_a_service(http: httpx2.Client) -> None:
    user, service = create_user(http), create(http, "Services", displayName="Mail")
    refused = http.post("Groups", json={"displayName": "G", "members": [{"value": service["id"]}]})
    assert_scim_error(refused, 400, "invalidValue")
    extension = {ACCOUNT_GROUP: {"services": [{"value": user["id"]}]}}
    assert_scim_error(http.post("Groups", json={"displayName": "G", **extension}), 400, "invalidValue")


def test_put_replaces_the_members(http: httpx2.Client, database: Database) -> None:
    first, second, third = (create_user(http, name)["id"] for name in "abc")
    group = create_group(http, "G", first, second)
    body = http.put(
        f"Groups/{group['id']}", json={"displayName": "G", "members": [{"value": second}, {"value": third}]}
    ).json()
    assert [member["value"] for member in body["members"]] == [second, third]
    assert body["meta"]["version"] != group["meta"]["version"]
    assert "groups" not in http.get(f"Users/{first}").json()
    assert http.get(f"Users/{third}").json()["groups"][0]["value"] == group["id"]
    (names,) = (
        database.row("SELECT attributes FROM audit WHERE resource_id = ? AND operation = 'replace'", (group["id"],))
        or ()
    )
    assert names == "members"
    emptied = http.put(f"Groups/{group['id']}", json={"displayName": "G"}).json()
    assert "members" not in emptied


def test_put_with_the_same_members_in_another_order_changes_nothing(http: httpx2.Client) -> None:
    first, second = (create_user(http, name)["id"] for name in "ab")
    group = create_group(http, "G", first, second)
    body = http.put(
        f"Groups/{group['id']}", json={"displayName": "G", "members": [{"value": second}, {"value": first}]}
    ).json()
    assert body == group


def test_put_with_an_unknown_member_changes_nothing(http: httpx2.Client) -> None:
    user = create_user(http)
    group = create_group(http, "G", user["id"])
    body = {"displayName": "renamed", "members": [{"value": "nope"}]}
    assert_scim_error(http.put(f"Groups/{group['id']}", json=body), 400, "invalidValue")
    assert http.get(f"Groups/{group['id']}").json() == group


def test_groups_never_form_a_cycle(http: httpx2.Client) -> None:
    inner = create_group(http, "Inner")
    middle = create_group(http, "Middle", inner["id"])
    outer = create_group(http, "Outer", middle["id"])
    for container, member in ((inner, inner), (inner, middle), (inner, outer), (middle, outer)):
        body = {"displayName": container["displayName"], "members": [{"value": member["id"]}]}
        detail = assert_scim_error(http.put(f"Groups/{container['id']}", json=body), 400, "invalidValue")
        assert "cannot contain itself" in detail
    assert http.get(f"Groups/{inner['id']}").json() == inner


def test_a_deleted_member_leaves_every_group(http: httpx2.Client, database: Database) -> None:
    user, inner = create_user(http), create_group(http, "Inner")
    first, second = create_group(http, "First", user["id"]), create_group(http, "Second", user["id"], inner["id"])
    http.delete(f"Users/{user['id']}")
    http.delete(f"Groups/{inner['id']}")
    for group in (first, second):
        read = http.get(f"Groups/{group['id']}").json()
        assert "members" not in read
        assert read["meta"]["version"] != group["meta"]["version"]
        assert read["meta"]["lastModified"] >= group["meta"]["lastModified"]
        rows = database.rows(
            "SELECT operation, attributes FROM audit WHERE resource_id = ? ORDER BY number", (group["id"],)
        )
        assert ("replace", "members") in rows


def test_a_deleted_group_leaves_its_members(http: httpx2.Client) -> None:
    user = create_user(http)
    group = create_group(http, "G", user["id"])
    assert http.delete(f"Groups/{group['id']}").status_code == 204
    assert http.get(f"Users/{user['id']}").json() == user


def test_services_of_a_group_are_described_and_leave_with_the_service(http: httpx2.Client) -> None:
    service = create(http, "Services", displayName="Mail")
    reference = {"services": [{"value": service["id"]}]}
    with_text = create_group(http, "A", **{ACCOUNT_GROUP: {"description": "first", **reference}})
    without = create_group(http, "B", **{ACCOUNT_GROUP: reference})
    described = [{"value": service["id"], "$ref": service["meta"]["location"], "display": "Mail"}]
    assert with_text[ACCOUNT_GROUP] == {"description": "first", "services": described}
    assert without[ACCOUNT_GROUP] == {"services": described}
    assert with_text["schemas"] == without["schemas"] == [GROUP, ACCOUNT_GROUP]
    assert http.put(f"Groups/{without['id']}", json=without).json() == without
    http.delete(f"Services/{service['id']}")
    assert http.get(f"Groups/{with_text['id']}").json()[ACCOUNT_GROUP] == {"description": "first"}
    read = http.get(f"Groups/{without['id']}").json()
    assert ACCOUNT_GROUP not in read
    assert read["schemas"] == [GROUP]
    assert read["meta"]["version"] != without["meta"]["version"]


def test_a_renamed_user_is_shown_by_its_new_name(http: httpx2.Client) -> None:
    user = create_user(http, displayName="Old")
    group = create_group(http, "G", user["id"])
    http.put(f"Users/{user['id']}", json={"userName": "bjensen", "displayName": "New"})
    assert http.get(f"Groups/{group['id']}").json()["members"][0]["display"] == "New"


def test_excluded_members_are_not_shown(http: httpx2.Client) -> None:
    user = create_user(http)
    group = create_group(http, "G", user["id"])
    for query in ("excludedAttributes=members", "attributes=displayName"):
        answer = http.get(f"Groups/{group['id']}?{query}")
        assert "members" not in answer.json()
        assert answer.headers["ETag"] == group["meta"]["version"]
    listed = http.get("Groups?attributes=members.value").json()["Resources"][0]
    assert listed == {"schemas": [GROUP], "id": group["id"], "members": [{"value": user["id"]}]}


def test_more_members_than_a_request_may_have_are_refused(http: httpx2.Client) -> None:
    body = {"displayName": "G", "members": [{"value": str(number)} for number in range(100_001)]}
    assert "more than 100000" in assert_scim_error(http.post("Groups", json=body), 400, "invalidValue")
