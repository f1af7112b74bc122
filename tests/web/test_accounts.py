"""The rules of accounts: administrators, addresses, policies of the tenant."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from scim_server.protocol.registry import Registry
from scim_server.resources import policies
from scim_server.storage.database import Database
from scim_server.tenants import MANUAL, TenantError
from tests.conftest import Caller
from tests.scim import (
    ACCOUNT_USER,
    BULK_REQUEST,
    ENTERPRISE,
    PATCH_OP,
    USER,
    assert_scim_error,
    create_group,
    create_user,
    patch,
)

ADMINISTRATOR = {"userType": "Administrator"}
SCOPED = "An administrator's account needs the scope administrators."


def body(name: str, **members: Any) -> dict[str, Any]:
    return {"schemas": [USER], "userName": name, **members}


def retype(value: str) -> dict[str, Any]:
    return {"op": "replace", "path": "userType", "value": value}


def whole(user: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": user["schemas"], "userName": user["userName"]}


# Administrators


@pytest.fixture
def clerk(caller: Caller) -> httpx2.Client:
    """A client that may do everything but touch administrators."""
    return caller.token_for("users:*", "groups:*", "bulk")


@pytest.mark.parametrize("user_type", ["Administrator", "administrator", "ADMINISTRATOR", "Ａｄｍｉｎｉｓｔｒａｔｏｒ"])
def test_who_lacks_the_scope_makes_no_administrator(clerk: httpx2.Client, user_type: str) -> None:
    user = create_user(clerk, "bjensen", userType="Employee")
    path = f"Users/{user['id']}"
    for response in (
        clerk.post("Users", json=body("new", userType=user_type)),
        clerk.put(path, json=body("bjensen", userType=user_type)),
        patch(clerk, path, retype(user_type)),
        patch(clerk, path, {"op": "add", "value": {"userType": user_type}}),
    ):
        assert assert_scim_error(response, 403) == SCOPED
    assert clerk.get(path).json() == user
    assert clerk.get("Users").json()["totalResults"] == 1


@pytest.mark.parametrize(
    "touch",
    [
        lambda http, user: http.put(f"Users/{user['id']}", json=whole(user)),
        lambda http, user: http.put(f"Users/{user['id']}", json=whole(user) | ADMINISTRATOR),
        lambda http, user: patch(http, f"Users/{user['id']}", retype("Employee")),
        lambda http, user: patch(http, f"Users/{user['id']}", {"op": "replace", "path": "active", "value": False}),
        lambda http, user: patch(http, f"Users/{user['id']}", {"op": "remove", "path": "userType"}),
        lambda http, user: patch(
            http, f"Users/{user['id']}", {"op": "replace", "path": "password", "value": "correct horse battery"}
        ),
        lambda http, user: http.delete(f"Users/{user['id']}"),
    ],
)
def test_who_lacks_the_scope_touches_no_administrator(
    caller: Caller, clerk: httpx2.Client, touch: Callable[[httpx2.Client, dict[str, Any]], httpx2.Response]
) -> None:
    user = create_user(caller.http, "root", **ADMINISTRATOR)
    assert assert_scim_error(touch(clerk, user), 403) == SCOPED
    assert clerk.get(f"Users/{user['id']}").json() == user
    holder = caller.token_for("users:*", "administrators")
    assert touch(holder, user).is_success


def test_in_a_bulk_such_an_operation_fails_alone(caller: Caller, clerk: httpx2.Client) -> None:
    root = create_user(caller.http, "root", **ADMINISTRATOR)
    path = f"/Users/{root['id']}"
    change = {"schemas": [PATCH_OP], "Operations": [retype("Employee")]}
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": "a", "data": body("new", **ADMINISTRATOR)},
        {"method": "PUT", "path": path, "data": whole(root)},
        {"method": "PATCH", "path": path, "data": change},
        {"method": "DELETE", "path": path},
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": body("other")},
    ]
    message = {"schemas": [BULK_REQUEST], "Operations": operations}
    results = clerk.post("Bulk", json=message).json()["Operations"]
    assert [result["status"] for result in results] == ["403", "403", "403", "403", "201"]
    assert {result["response"]["detail"] for result in results[:4]} == {SCOPED}
    assert caller.http.get(f"Users/{root['id']}").json() == root


def test_an_administrator_needs_the_scope_for_itself_too(caller: Caller) -> None:
    root = create_user(caller.http, "root", **ADMINISTRATOR)
    own = caller.token_for("users:*", user=root["id"])
    assert_scim_error(patch(own, "Me", retype("Employee")), 403)
    assert_scim_error(own.delete("Me"), 403)
    assert own.get("Me").json()["userName"] == "root"


def test_being_put_into_a_group_touches_nobody(caller: Caller, clerk: httpx2.Client) -> None:
    root = create_user(caller.http, "root", **ADMINISTRATOR)
    group = create_group(clerk, "Guides", root["id"])
    assert clerk.get(f"Users/{root['id']}").json()["groups"][0]["display"] == "Guides"
    assert clerk.delete(f"Groups/{group['id']}").is_success


# Addresses


@pytest.mark.parametrize("name", ["bjensen@example.com", "b.jensen+x@host", "山田@例え.jp"])
def test_an_address_that_is_the_user_name_is_the_work_address(http: httpx2.Client, name: str) -> None:
    user = create_user(http, name)
    assert user["emails"] == [{"value": name, "type": "work", "primary": True}]
    assert http.get("Users", params={"filter": f'emails.value eq "{name}"'}).json()["totalResults"] == 1


@pytest.mark.parametrize(
    "name", ["bjensen", "a@b@c", "@example.com", "b jensen@example.com", "a..b@example.com", "=?utf-8?q?a=2Cb?=@x"]
)
def test_another_user_name_is_none(http: httpx2.Client, name: str) -> None:
    assert "emails" not in create_user(http, name)


def test_who_names_an_address_has_no_other(http: httpx2.Client) -> None:
    emails = [{"value": "b@x.org", "type": "home"}]
    assert create_user(http, "bjensen@example.com", emails=emails)["emails"] == emails


def test_only_a_new_account_gets_one(http: httpx2.Client) -> None:
    user = create_user(http, "bjensen@example.com")
    path = f"Users/{user['id']}"
    assert "emails" not in http.put(path, json=whole(user)).json()
    assert "emails" not in patch(http, path, {"op": "replace", "path": "userName", "value": "x@example.com"}).json()


# Policies


@pytest.fixture
def under(caller: Caller, database: Database, registry: Registry) -> Callable[..., None]:
    """Give the caller's tenant policies."""

    def change(*names: str) -> None:
        policies.change(database, registry, caller.tenant.name, frozenset(names))

    return change


GOOD = {"displayName": "Babs", ACCOUNT_USER: {"validFrom": "2026-01-01T00:00:00Z"}}


@pytest.mark.parametrize(
    ("policy", "name", "members", "detail"),
    [
        ("user_name_is_email", "bjensen", {}, "userName must be an e-mail address."),
        ("user_name_is_email", "b..jensen@x.org", {}, "userName must be an e-mail address."),
        ("name_required", "b@x.org", {}, "displayName is required."),
        ("valid_from_required", "b@x.org", {}, f"{ACCOUNT_USER}:validFrom is required."),
        ("valid_from_required", "b@x.org", {ACCOUNT_USER: {"validUntil": "2026-01-01T00:00:00Z"}}, f"{ACCOUNT_USER}:validFrom is required."),
        ("valid_from_required", "b@x.org", {ACCOUNT_USER: {"validFrom": "2026-01-02T00:00:00Z", "validUntil": "2026-01-01T23:59:59Z"}},
         f"{ACCOUNT_USER}:validUntil must not be before validFrom."),
        ("sms_authentication", "b@x.org", {"phoneNumbers": [{"value": "5", "type": "work"}]}, "A phone number of type mobile is required."),
    ],
)  # fmt: skip
def test_a_policy_is_held_by_every_write(
    http: httpx2.Client, under: Callable[..., None], policy: str, name: str, members: dict[str, Any], detail: str
) -> None:
    assert http.post("Users", json=body(f"before-{name}", **members)).is_success
    under(policy)
    assert assert_scim_error(http.post("Users", json=body(name, **members)), 400, "invalidValue") == detail
    user = create_user(http, "b@x.org", phoneNumbers=[{"value": "5", "type": "Mobile"}], **GOOD)
    assert assert_scim_error(http.put(f"Users/{user['id']}", json=body(name, **members)), 400, "invalidValue") == detail
    assert http.get(f"Users/{user['id']}").json() == user


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        ("user_name_is_email", {"op": "replace", "path": "userName", "value": "bjensen"}),
        ("user_name_immutable", {"op": "replace", "path": "userName", "value": "other@x.org"}),
        ("name_required", {"op": "remove", "path": "displayName"}),
        ("valid_from_required", {"op": "remove", "path": f"{ACCOUNT_USER}:validFrom"}),
        ("valid_from_required", {"op": "remove", "path": ACCOUNT_USER}),
        ("valid_from_required", {"op": "add", "path": f"{ACCOUNT_USER}:validUntil", "value": "2025-12-31T23:59:59Z"}),
        ("sms_authentication", {"op": "remove", "path": 'phoneNumbers[type eq "mobile"]'}),
    ],
)
def test_so_is_it_by_a_patch(
    http: httpx2.Client, under: Callable[..., None], policy: str, change: dict[str, Any]
) -> None:
    under(policy)
    user = create_user(http, "b@x.org", phoneNumbers=[{"value": "5", "type": "mobile"}], **GOOD)
    refused = patch(http, f"Users/{user['id']}", change)
    assert refused.status_code == 400, refused.text
    assert refused.json()["scimType"] in ("invalidValue", "mutability")
    assert http.get(f"Users/{user['id']}").json() == user


def test_what_was_there_before_a_policy_can_still_be_changed(http: httpx2.Client, under: Callable[..., None]) -> None:
    user = create_user(http, "bjensen")
    under(*MANUAL, "sms_authentication")
    changed = patch(http, f"Users/{user['id']}", {"op": "replace", "path": "active", "value": False})
    assert changed.is_success, changed.text
    assert changed.json()["active"] is False
    assert patch(
        http, f"Users/{user['id']}", {"op": "add", "path": f"{ENTERPRISE}:department", "value": "D"}
    ).is_success


def test_the_schemas_show_the_tenants_policies(http: httpx2.Client, under: Callable[..., None]) -> None:
    def characteristics(urn: str, name: str) -> dict[str, Any]:
        attributes = http.get(f"Schemas/{urn}").json()["attributes"]
        found: dict[str, Any] = next(attribute for attribute in attributes if attribute["name"] == name)
        return found

    under(*MANUAL)
    assert characteristics(USER, "userName")["mutability"] == "immutable"
    assert characteristics(USER, "displayName")["required"] is True
    assert characteristics(ACCOUNT_USER, "validFrom")["required"] is True
    extensions = http.get("ResourceTypes/User").json()["schemaExtensions"]
    assert {extension["schema"]: extension["required"] for extension in extensions}[ACCOUNT_USER] is True


def test_names_of_groups_become_unique_unless_two_are_the_same(http: httpx2.Client, under: Callable[..., None]) -> None:
    under()
    first, second = create_group(http, "Guides"), create_group(http, "GUIDES")
    with pytest.raises(TenantError, match="Two of the tenant's Groups have the displayName 'guides'"):
        under("group_name_unique")
    create_group(http, "guides")
    for group in http.get("Groups").json()["Resources"][1:]:
        http.delete(f"Groups/{group['id']}")
    under("group_name_unique")
    assert_scim_error(http.post("Groups", json={"displayName": "guides"}), 409, "uniqueness")
    assert {first["id"]} == {group["id"] for group in http.get("Groups").json()["Resources"]} != {second["id"]}
    under()
    create_group(http, "guides")
