"""/Me: the user whose own the token is (RFC 7644 section 3.11)."""

import httpx2
import pytest

from tests.conftest import Caller
from tests.scim import PATCH_OP, assert_scim_error, create_user

METHODS = ("GET", "PUT", "PATCH", "DELETE")


def test_me_is_the_user_of_the_token_under_its_own_location(caller: Caller) -> None:
    user = create_user(caller.http, displayName="Babs")
    me = caller.token_for("users:*", user=user["id"])
    read = me.get("Me")
    assert read.status_code == 200
    assert read.json() == user
    location = user["meta"]["location"]
    assert location.endswith(f"/Users/{user['id']}")
    assert read.headers["Location"] == read.headers["Content-Location"] == location
    assert read.headers["ETag"] == user["meta"]["version"]
    assert me.get("Me?attributes=displayName").json().keys() == {"schemas", "id", "displayName"}
    assert me.get("Me", headers={"If-None-Match": "*"}).status_code == 304

    put = me.put(
        "Me", json={"userName": "bjensen", "displayName": "Barbara"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert put.status_code == 200
    assert put.headers["Location"] == location
    assert_scim_error(me.put("Me", json={"userName": "x"}, headers={"If-Match": read.headers["ETag"]}), 412)
    operations = {"schemas": [PATCH_OP], "Operations": [{"op": "add", "path": "title", "value": "Guide"}]}
    patched = me.patch("Me", json=operations)
    assert patched.status_code == 200
    assert patched.json() == caller.http.get(f"Users/{user['id']}").json()
    assert patched.json()["title"] == "Guide"

    assert me.delete("Me").status_code == 204
    assert_scim_error(me.get("Me"), 401)
    assert_scim_error(caller.http.get(f"Users/{user['id']}"), 404)


def test_the_user_is_named_by_id_or_name(caller: Caller) -> None:
    user = create_user(caller.http, "BJensen")
    for named in (user["id"], "BJensen", "bjensen"):
        assert caller.token_for("users:read", user=named).get("Me").json()["id"] == user["id"]


def test_a_token_ends_with_its_user_and_rests_while_that_is_disabled(caller: Caller) -> None:
    user = create_user(caller.http)
    me = caller.token_for("admin", user=user["id"])
    for active, status in ((True, 200), (False, 401), (True, 200)):
        caller.http.put(f"Users/{user['id']}", json={"userName": "bjensen", "active": active})
        assert me.get("Me").status_code == status
        assert me.get("Groups").status_code == status
    caller.http.delete(f"Users/{user['id']}")
    assert_scim_error(me.get("Groups"), 401)
    assert_scim_error(me.post("Users", json={"userName": "other"}), 401)
    assert caller.http.get("Users").json()["totalResults"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_without_a_user_there_is_nothing_at_me(http: httpx2.Client, method: str) -> None:
    assert "/Me" in assert_scim_error(http.request(method, "Me", json={} if method != "GET" else None), 501)


@pytest.mark.parametrize("method", METHODS)
def test_scopes_hold_at_me_as_for_users(caller: Caller, method: str) -> None:
    user = create_user(caller.http)
    scope = "users:write" if method == "GET" else "users:read"
    me = caller.token_for(scope, "groups:*", user=user["id"])
    assert_scim_error(me.request(method, "Me", json={"userName": "x"} if method != "GET" else None), 403)
    assert caller.http.get(f"Users/{user['id']}").json() == user


def test_nobody_is_created_at_me(caller: Caller) -> None:
    me = caller.token_for("users:*", user=create_user(caller.http)["id"])
    assert_scim_error(me.post("Me", json={"userName": "other"}), 501)
    assert_scim_error(caller.http.post("Me", json={"userName": "other"}), 501)
