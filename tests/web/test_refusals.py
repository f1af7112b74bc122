"""Requests that are refused again and again: they hash nothing, write nothing and look at no more than a read."""

import json
from typing import Any

import httpx2
import pytest

from scim_server import passwords
from scim_server.app import create_app
from scim_server.resources import users
from scim_server.storage.database import Database
from tests.conftest import Caller
from tests.scim import ENTERPRISE, PATCH_OP, USER, assert_scim_error, create_user, patch
from tests.server import Server
from tests.web.test_bulk import bulk

SECRET = "correct horse battery staple"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed."""
    found: list[str] = []
    hash_of = users.hash_of

    def noted(password: str, stored: str | None) -> str:
        found.append(password)
        return hash_of(password, stored)

    monkeypatch.setattr(users, "hash_of", noted)
    return found


@pytest.fixture
def local(server: Server, caller: Caller) -> httpx2.Client:
    """A client of an application in this process."""
    return caller.local(create_app(server.settings))


def with_password(**members: Any) -> dict[str, Any]:
    return {"schemas": [USER], "password": SECRET, **members}


def test_a_refused_write_hashes_no_password(local: httpx2.Client, database: Database, hashed: list[str]) -> None:
    user = create_user(local, "bjensen", emails=[{"value": "a@b"}])["id"]
    create_user(local, "taken")
    before = local.get(f"Users/{user}").json()
    stale = {"If-Match": 'W/"0"'}
    secret = {"op": "replace", "path": "password", "value": SECRET}
    for response, status, scim_type in (
        (local.post("Users", json=with_password(userName="Taken")), 409, "uniqueness"),
        (local.put(f"Users/{user}", json=with_password(userName="taken")), 409, "uniqueness"),
        (local.put(f"Users/{user}", json=with_password(userName="x"), headers=stale), 412, None),
        (local.put("Users/nobody", json=with_password(userName="x")), 404, None),
        (patch(local, f"Users/{user}", secret, headers=stale), 412, None),
        (patch(local, f"Users/{user}", secret, {"op": "replace", "path": "userName", "value": "TAKEN"}), 409, "uniqueness"),
        (patch(local, f"Users/{user}", secret, {"op": "add", "path": 'emails[value co "z"].type', "value": "x"}), 400, "noTarget"),
        (patch(local, "Users/nobody", secret), 404, None),
    ):  # fmt: skip
        assert_scim_error(response, status, scim_type)
    assert hashed == []
    assert local.get(f"Users/{user}").json() == before
    assert (
        database.rows("SELECT * FROM password WHERE resource IN (SELECT key FROM resource WHERE id = ?)", (user,)) == []
    )


def post(user_name: str, **members: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/Users", "data": with_password(userName=user_name), **members}


def test_a_refused_operation_of_a_bulk_hashes_no_password(local: httpx2.Client, hashed: list[str]) -> None:
    user = create_user(local, "bjensen")["id"]
    first = post("first", bulkId="first")
    first["data"][ENTERPRISE] = {"manager": {"value": "bulkId:second"}}
    second = post("Bjensen", bulkId="second")
    second["data"][ENTERPRISE] = {"manager": {"value": "bulkId:first"}}
    secret = {"op": "replace", "path": "password", "value": SECRET}
    stale = {"method": "PATCH", "path": f"/Users/{user}", "version": 'W/"0"'}
    operations = [
        post("BJENSEN", bulkId="taken"),
        {"method": "PUT", "path": "/Users/nobody", "data": with_password(userName="x")},
        stale | {"data": {"schemas": [PATCH_OP], "Operations": [secret]}},
        first,
        second,
    ]
    results = bulk(local, *operations)
    assert [result["status"] for result in results] == ["409", "404", "412", "409", "409"]
    assert hashed == []
    assert bulk(local, *operations, post("never", bulkId="never"), failOnErrors=1) == results[:1]
    assert hashed == []


def test_what_a_bulk_accepts_is_hashed_once_even_if_a_version_depends_on_it(
    local: httpx2.Client, database: Database, hashed: list[str]
) -> None:
    user = create_user(local, "bjensen")
    change = {"method": "PATCH", "path": f"/Users/{user['id']}"}
    before = user["meta"]["version"]
    after = before.replace('W/"1', 'W/"2')
    new, newest = ({"op": "add", "path": "password", "value": SECRET + end} for end in ("1", "2"))
    results = bulk(
        local,
        post("smith", bulkId="smith"),
        change | {"version": before, "data": {"schemas": [PATCH_OP], "Operations": [new]}},
        change | {"version": after, "data": {"schemas": [PATCH_OP], "Operations": [newest]}},
    )
    assert [result["status"] for result in results] == ["201", "200", "200"]
    assert sorted(hashed) == [SECRET, SECRET + "1", SECRET + "2"]
    hash_of = "SELECT hash FROM password WHERE resource = (SELECT key FROM resource WHERE id = ?)"
    assert passwords.is_right(SECRET + "2", database.rows(hash_of, (user["id"],))[0][0])


def test_a_password_that_is_accepted_is_hashed_once_and_kept(
    local: httpx2.Client, database: Database, hashed: list[str]
) -> None:
    user = local.post("Users", json=with_password(userName="bjensen")).json()
    assert hashed == [SECRET]
    rows = database.rows(
        "SELECT hash FROM password WHERE resource = (SELECT key FROM resource WHERE id = ?)", (user["id"],)
    )
    assert len(rows) == 1
    audited = database.rows("SELECT attributes FROM audit WHERE resource_id = ? ORDER BY number", (user["id"],))
    assert audited == [("userName password",)]
    assert SECRET not in json.dumps(user)
