"""Bulk: many operations in one request (RFC 7644 section 3.7)."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_server import passwords
from scim_server.protocol.bulk import BULK_REQUEST, BULK_RESPONSE
from scim_server.storage.database import Database
from tests.conftest import Caller
from tests.scim import (
    ACCOUNT_GROUP,
    ENTERPRISE,
    ERROR,
    GROUP,
    LIST,
    MEDIA_TYPE,
    PATCH_OP,
    USER,
    assert_scim_error,
    create,
    create_group,
    create_user,
)

Asked = dict[str, Any]
"""An operation of a BulkRequest."""
Result = dict[str, Any]

JSON = {"Content-Type": MEDIA_TYPE}
MAX_OPERATIONS = 300
MAX_PAYLOAD = 4 * 1024 * 1024
MEBIBYTE = 1024 * 1024
ENDPOINTS = ("Users", "Groups", "Services")
METHODS = ("POST", "PUT", "PATCH", "DELETE")
SUCCESSES = {"POST": {"201"}, "PUT": {"200"}, "PATCH": {"200", "204"}, "DELETE": {"204"}}


# Operations


def post(bulk_id: str | None, endpoint: str = "Users", **data: Any) -> Asked:
    named = {} if bulk_id is None else {"bulkId": bulk_id}
    return {"method": "POST", "path": f"/{endpoint}", "data": data} | named


def post_user(bulk_id: str, name: str | None = None, **attributes: Any) -> Asked:
    return post(bulk_id, userName=name or bulk_id, **attributes)


def post_group(bulk_id: str, *members: str, **attributes: Any) -> Asked:
    listed = {"members": [{"value": member} for member in members]} if members else {}
    return post(bulk_id, "Groups", **({"displayName": bulk_id} | listed | attributes))


def reports_to(manager: str) -> dict[str, Any]:
    return {ENTERPRISE: {"manager": {"value": manager}}}


def put(path: str, *, version: Any = None, **data: Any) -> Asked:
    return {"method": "PUT", "path": path, "version": version, "data": data}


def change(path: str, *operations: dict[str, Any], version: Any = None) -> Asked:
    data = {"schemas": [PATCH_OP], "Operations": list(operations)}
    return {"method": "PATCH", "path": path, "version": version, "data": data}


def retitle(path: str, title: str = "Guide", version: Any = None) -> Asked:
    return change(path, {"op": "replace", "path": "title", "value": title}, version=version)


def add_members(path: str, *members: str) -> Asked:
    return change(path, {"op": "add", "path": "members", "value": [{"value": member} for member in members]})


def delete(path: str, version: Any = None) -> Asked:
    return {"method": "DELETE", "path": path, "version": version}


def filled(value: Any, **words: str) -> Any:
    """Return a JSON value with words in the place of <their names>."""
    text = json.dumps(value)
    for name, word in words.items():
        text = text.replace(f"<{name}>", word)
    return json.loads(text)


# Answers


def bulk(http: httpx2.Client, *operations: Any, **members: Any) -> list[Result]:
    """Do operations and return their results, after checking what holds for all results."""
    response = http.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations} | members)
    return results_of(response, str(http.base_url))


def results_of(response: httpx2.Response, base_url: str) -> list[Result]:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == MEDIA_TYPE
    body = response.json()
    assert body.keys() == {"schemas", "Operations"}
    assert body["schemas"] == [BULK_RESPONSE]
    results: list[Result] = body["Operations"]
    for result in results:
        assert_well_formed(result, base_url)
    return results


def assert_well_formed(result: Result, base_url: str) -> None:
    assert result.keys() <= {"location", "method", "bulkId", "version", "status", "response"}
    assert isinstance(result["status"], str)
    assert re.fullmatch("[24][0-9]{2}", result["status"])
    assert "location" not in result or result["location"].startswith(base_url)
    if result["status"].startswith("2"):
        assert result["status"] in SUCCESSES[result["method"]]
        assert "location" in result
    else:
        response = result["response"]
        assert response.keys() <= {"schemas", "status", "scimType", "detail"}
        assert (response["schemas"], response["status"]) == ([ERROR], result["status"])
        assert isinstance(response["detail"], str) and response["detail"]
        assert "location" not in result or result.get("method") != "POST"


def statuses(results: list[Result]) -> list[str]:
    return [result["status"] for result in results]


def assert_refused(result: Result, status: int, scim_type: str | None = None) -> None:
    assert (result["status"], result["response"].get("scimType")) == (str(status), scim_type), result


def id_in(result: Result) -> str:
    return str(result["location"].rpartition("/")[2])


def assert_current(http: httpx2.Client, results: list[Result]) -> None:
    """Assert that versions are those of the resources as they are now, or missing where there is none."""
    for result in results:
        tag = http.get(result["location"]).headers.get("ETag")
        assert result.get("version") == tag, result


def names_in(http: httpx2.Client, endpoint: str = "Users") -> list[str]:
    """Return the names of all resources of one type in the order of their creation."""
    name = "userName" if endpoint == "Users" else "displayName"
    return [found[name] for found in http.get(f"{endpoint}?count=1000").json().get("Resources", [])]


def member_names(http: httpx2.Client, group: str) -> list[str]:
    """Return the names of a group's members, sorted."""
    members = http.get(f"Groups/{group}").json().get("members", [])
    shown = [http.get(member["$ref"]).json() for member in members]
    return sorted(found.get("userName") or found["displayName"] for found in shown)


def manager_of(http: httpx2.Client, user: str) -> str | None:
    manager = http.get(f"Users/{user}").json().get(ENTERPRISE, {}).get("manager", {})
    assert "value" not in manager or manager["$ref"].endswith(f"/Users/{manager['value']}")
    found: str | None = manager.get("value")
    return found


def everything(http: httpx2.Client) -> list[Any]:
    return [http.get(f"{endpoint}?count=1000").json() for endpoint in ENDPOINTS]


def audited(database: Database, caller: Caller) -> list[tuple[str, str]]:
    """Return what was done in a tenant, in the order of its doing: operation and id."""
    sql = "SELECT operation, resource_id FROM audit WHERE tenant = ? ORDER BY number"
    return [(row[0], row[1]) for row in database.rows(sql, (caller.tenant.number,))]


def assert_no_literals(http: httpx2.Client) -> None:
    for endpoint in ENDPOINTS:
        assert "bulkId:" not in http.get(f"{endpoint}?count=1000").text


# Being offered


def test_bulk_is_announced_with_its_limits(http: httpx2.Client) -> None:
    assert http.get("ServiceProviderConfig").json()["bulk"] == {
        "supported": True,
        "maxOperations": MAX_OPERATIONS,
        "maxPayloadSize": MAX_PAYLOAD,
    }


def test_bulk_is_only_posted(http: httpx2.Client) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = {"Operations": [post_user("a")]} if method in {"PUT", "PATCH"} else None
        response = http.request(method, "Bulk", json=body)
        assert_scim_error(response, 405)
        assert "POST" in response.headers["Allow"]


def test_bulk_needs_a_token_and_its_scope(caller: Caller) -> None:
    body = {"Operations": [post_user("a")]}
    assert_scim_error(httpx2.post(f"{caller.http.base_url}Bulk", json=body), 401)
    for scopes in (["users:*", "groups:*", "services:*"], ["users:write"]):
        assert_scim_error(caller.token_for(*scopes).post("Bulk", json=body), 403)
    assert names_in(caller.http) == []
    assert statuses(bulk(caller.token_for("bulk", "users:write"), post_user("a"))) == ["201"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_operation_needs_the_scope_of_the_single_request(caller: Caller, endpoint: str) -> None:
    body: dict[str, Any] = {"userName": "x"} if endpoint == "Users" else {"displayName": "x"}
    made = create(caller.http, endpoint, **body)
    scope = f"{endpoint.lower()}:write"
    others = {f"{name.lower()}:write" for name in ENDPOINTS} - {scope}
    path = f"/{endpoint}/{made['id']}"
    replace = {"op": "add", "path": "externalId", "value": "e"}
    asked = [post("x", endpoint, **body), put(path, **body), change(path, replace), delete(path)]
    results = bulk(caller.token_for("bulk", f"{endpoint.lower()}:read", *others), *asked)
    for result in results:
        assert_refused(result, 403)
    assert [result.get("location") for result in results] == [None, *[made["meta"]["location"]] * 3]
    assert caller.http.get(f"{endpoint}/{made['id']}").json() == made
    assert statuses(bulk(caller.token_for("bulk", scope), *asked)) == ["409", "200", "200", "204"]


def test_an_operation_without_its_scope_leaves_the_others(caller: Caller) -> None:
    http = caller.token_for("bulk", "users:*", "groups:read")
    group = create_group(caller.http, "G")
    results = bulk(http, post_user("a"), post_group("b"), delete(f"/Groups/{group['id']}"), post_user("c"))
    assert statuses(results) == ["201", "403", "403", "201"]
    assert names_in(caller.http, "Groups") == ["G"]


# The message


@pytest.mark.parametrize(
    ("scim_type", "contents"),
    [
        ("invalidSyntax", ["", "{", '{"Operations":[', '{"Operations":[<op>],}', "nonsense"]),
        ("invalidSyntax", ["[]", "null", "5", '"x"', "true", "{}", "[<op>]", "<op>"]),
        ("invalidSyntax", [f'{{"Operations":{value}}}' for value in ("null", "[]", "{}", '"x"', "5", '{"0":<op>}')]),
        ("invalidSyntax", [f'{{"schemas":["{urn}"],"Operations":[<op>]}}' for urn in (LIST, PATCH_OP, USER, BULK_RESPONSE)]),
        ("invalidSyntax", [f'{{"schemas":{value},"Operations":[<op>]}}' for value in ("5", "[5]")]),
        ("invalidSyntax", ['{"Operations":[<op>],"operations":[<op>]}']),
        ("invalidValue", [f'{{"failOnErrors":{value},"Operations":[<op>]}}' for value in ("-1", '"1"', "1.5", "true", "false", "[]", "{}")]),
    ],
)  # fmt: skip
def test_another_message_is_refused_and_nothing_is_done(
    caller: Caller, database: Database, scim_type: str, contents: list[str]
) -> None:
    for content in contents:
        text = content.replace("<op>", json.dumps(post_user("a")))
        assert_scim_error(caller.http.post("Bulk", content=text, headers=JSON), 400, scim_type)
    assert names_in(caller.http) == []
    assert audited(database, caller) == []


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"schemas": None},
        {"schemas": ["urn:example:other", BULK_REQUEST]},
        {"failOnErrors": 0},
        {"failOnErrors": None},
        {"nosuch": 1},
    ],
)
def test_a_tolerable_message_is_done_whole(http: httpx2.Client, members: dict[str, Any]) -> None:
    operations = [post_user("a"), *[post_user(name, "a") for name in ("b", "c", "d")], post_user("e")]
    results = results_of(http.post("Bulk", json={"Operations": operations} | members), str(http.base_url))
    assert statuses(results) == ["201", "409", "409", "409", "201"]


def test_names_of_members_differ_in_no_case(http: httpx2.Client) -> None:
    asked = {"METHOD": "POST", "Path": "/Users", "bulkid": "a", "DATA": {"userName": "a"}}
    response = http.post("Bulk", json={"SCHEMAS": [BULK_REQUEST], "operations": [asked]})
    (result,) = results_of(response, str(http.base_url))
    assert (result["status"], result["bulkId"]) == ("201", "a")


def test_more_operations_than_the_limit_are_413(http: httpx2.Client) -> None:
    asked = [delete(f"/Users/{number}") for number in range(MAX_OPERATIONS - 1)]
    body = {"Operations": [post_user("a"), *asked, delete("/Users/x")]}
    assert "maxOperations (300)" in assert_scim_error(http.post("Bulk", json=body), 413)
    assert names_in(http) == []
    assert statuses(bulk(http, post_user("a"), *asked)) == ["201"] + ["404"] * 299


def test_a_body_over_the_limit_is_413_with_a_length_and_chunked(http: httpx2.Client) -> None:
    text = json.dumps({"Operations": [post_user("a")]})

    def parts(size: int) -> Iterator[bytes]:
        whole = text.ljust(size).encode()
        for start in range(0, size, 65_536):
            yield whole[start : start + 65_536]

    too_much = b"".join(parts(MAX_PAYLOAD + 1))
    refused = assert_scim_error(http.post("Bulk", content=too_much, headers=JSON), 413)
    assert "maxPayloadSize (4194304)" in refused
    chunked = http.build_request("POST", "Bulk", content=parts(MAX_PAYLOAD + 1), headers=JSON)
    assert chunked.headers["Transfer-Encoding"] == "chunked"
    assert "maxPayloadSize (4194304)" in assert_scim_error(http.send(chunked), 413)
    assert names_in(http) == []
    done = http.post("Bulk", content=too_much[:-1], headers=JSON)
    assert statuses(results_of(done, str(http.base_url))) == ["201"]


# Results


@pytest.mark.parametrize(
    ("endpoint", "name"), [("Users", "userName"), ("Groups", "displayName"), ("Services", "displayName")]
)
def test_every_method_has_its_result(caller: Caller, database: Database, endpoint: str, name: str) -> None:
    http = caller.http
    ids = [create(http, endpoint, **{name: f"old {number}"})["id"] for number in range(3)]
    replaced, patched, deleted = (f"/{endpoint}/{id}" for id in ids)
    results = bulk(
        http,
        post("new", endpoint, **{name: "posted"}),
        put(replaced, **{name: "put"}),
        change(patched, {"op": "replace", "path": name, "value": "patched"}),
        delete(deleted),
    )
    assert [(result["method"], result["status"]) for result in results] == [
        ("POST", "201"), ("PUT", "200"), ("PATCH", "200"), ("DELETE", "204"),
    ]  # fmt: skip
    assert [result.get("bulkId") for result in results] == ["new", None, None, None]
    assert [id_in(result) for result in results[1:]] == ids
    for result in results[:3]:
        made = http.get(result["location"]).json()
        assert (made["meta"]["location"], made["meta"]["version"]) == (result["location"], result["version"])
    assert_scim_error(http.get(results[3]["location"]), 404)
    assert "version" not in results[3]
    assert names_in(http, endpoint) == ["put", "patched", "posted"]
    assert audited(database, caller)[3:] == [
        ("create", id_in(results[0])), ("replace", ids[0]), ("patch", ids[1]), ("delete", ids[2]),
    ]  # fmt: skip


def test_a_group_is_the_one_that_the_single_request_makes(http: httpx2.Client) -> None:
    user = create_user(http, displayName="Babs")["id"]
    attributes = {"externalId": "e", ACCOUNT_GROUP: {"description": "d"}}
    single = create_group(http, "single", user, **attributes)
    (result,) = bulk(http, post_group("bulk", user, schemas=[GROUP, ACCOUNT_GROUP], **attributes))
    made = http.get(result["location"]).json()
    for own in ("id", "displayName", "meta"):
        del single[own], made[own]
    assert made == single


def test_a_large_group_answers_a_patch_with_204(http: httpx2.Client) -> None:
    names = [f"u{number}" for number in range(101)]
    members = [f"bulkId:{name}" for name in names]
    results = bulk(
        http,
        *(post_user(name) for name in names),
        post_group("small", *members[:99]),
        post_group("large", *members[:100]),
        add_members("/Groups/bulkId:small", members[99]),
        add_members("/Groups/bulkId:large", members[100]),
    )
    assert statuses(results) == ["201"] * 103 + ["200", "204"]
    for result in results[103:]:
        etag = http.get(result["location"]).headers["ETag"]
        assert result["version"] == etag


def test_versions_are_those_after_the_whole_bulk(http: httpx2.Client) -> None:
    user = create_user(http, "u", title="T")
    path = f"/Users/{user['id']}"
    results = bulk(
        http,
        post_user("a"),
        retitle(path, "Guide"),
        post_group("g", "bulkId:a", user["id"]),
        put("/Users/bulkId:a", userName="a", title="T"),
        retitle(path, "Guide"),
        post_user("gone"),
        delete("/Users/bulkId:gone"),
        retitle(path, "T"),
    )
    assert statuses(results) == ["201", "200", "201", "200", "200", "201", "204", "200"]
    assert_current(http, results)
    assert results[1]["version"] == results[4]["version"] == results[7]["version"] != user["meta"]["version"]


def test_a_failed_operation_says_what_it_was_and_others_are_done(http: httpx2.Client) -> None:
    user, other = create_user(http, "u"), create_user(http, "other")
    results = bulk(
        http,
        post_user("a", "u"),
        put(f"/Users/{user['id']}", userName="OTHER") | {"bulkId": "b"},
        change(f"/Users/{user['id']}", {"op": "remove", "path": "userName"}) | {"bulkId": "c"},
        delete("/Users/nope") | {"bulkId": "d"},
        post_user("e"),
        retitle(f"/Users/{other['id']}") | {"bulkId": "f"},
    )
    assert [result["bulkId"] for result in results] == list("abcdef")
    assert [result["method"] for result in results] == ["POST", "PUT", "PATCH", "DELETE", "POST", "PATCH"]
    assert statuses(results) == ["409", "409", "400", "404", "201", "200"]
    location = user["meta"]["location"]
    assert [result.get("location") for result in results[:4]] == [
        None, location, location, location.replace(user["id"], "nope"),
    ]  # fmt: skip
    assert [result["response"].get("scimType") for result in results[:4]] == [
        "uniqueness",
        "uniqueness",
        "mutability",
        None,
    ]
    assert http.get(f"Users/{user['id']}").json() == user
    assert names_in(http) == ["u", "other", "e"]


def test_all_operations_may_fail(http: httpx2.Client) -> None:
    results = bulk(http, post("a"), put("/Users/nope", userName="x"), retitle("/Users/nope"), delete("/Users/nope"))
    assert statuses(results) == ["400", "404", "404", "404"]


REFUSALS: list[tuple[int, str, str, Any, Any]] = [
    (400, "POST", "/Users", {}, None),
    (409, "POST", "/Users", {"userName": "TAKEN"}, None),
    (400, "POST", "/Users", {"userName": 5}, None),
    (400, "POST", "/Users", {"userName": "x", "active": "maybe"}, None),
    (400, "POST", "/Users", {"userName": "x", "USERNAME": "x"}, None),
    (400, "POST", "/Users", {"schemas": 5, "userName": "x"}, None),
    (400, "POST", "/Users", {"schemas": [GROUP], "userName": "x"}, None),
    (400, "POST", "/Users", {"userName": "x", "emails": [{"value": "a@x.org", "primary": True}] * 2}, None),
    (400, "POST", "/Users", {"userName": "x", "password": "short"}, None),
    (400, "POST", "/Users", {"userName": "x", ENTERPRISE: "x"}, None),
    (409, "POST", "/Groups", {"displayName": "g"}, None),
    (400, "POST", "/Groups", {"members": []}, None),
    (400, "POST", "/Groups", {"displayName": "x", "members": [{"value": "nobody"}]}, None),
    (400, "POST", "/Groups", {"displayName": "x", "members": [{"value": "<service>"}]}, None),
    (400, "POST", "/Groups", {"displayName": "x", "members": [{}]}, None),
    (400, "POST", "/Groups", {"displayName": "x", ACCOUNT_GROUP: {"services": [{"value": "<user>"}]}}, None),
    (400, "POST", "/Services", {"displayName": "x", "url": "a b"}, None),
    (404, "PUT", "/Users/nope", {"userName": "x"}, None),
    (404, "PUT", "/Users/<group>", {"userName": "x"}, None),
    (400, "PUT", "/Users/<user>", {}, None),
    (409, "PUT", "/Users/<user>", {"userName": "taken"}, None),
    (412, "PUT", "/Users/<user>", {"userName": "x"}, 'W/"x"'),
    (400, "PUT", "/Groups/<group>", {"displayName": "g", "members": [{"value": "nobody"}]}, None),
    (404, "PATCH", "/Groups/nope", {"Operations": [{"op": "add", "path": "displayName", "value": "x"}]}, None),
    (400, "PATCH", "/Users/<user>", {}, None),
    (400, "PATCH", "/Users/<user>", {"Operations": []}, None),
    (400, "PATCH", "/Users/<user>", {"schemas": [LIST], "Operations": [{"op": "remove", "path": "title"}]}, None),
    (400, "PATCH", "/Users/<user>", {"Operations": [{"op": "move", "path": "title"}]}, None),
    (400, "PATCH", "/Users/<user>", {"Operations": [{"op": "remove"}]}, None),
    (400, "PATCH", "/Users/<user>", {"Operations": [{"op": "remove", "path": "userName"}]}, None),
    (400, "PATCH", "/Users/<user>", {"Operations": [{"op": "add", "path": "title[", "value": "x"}]}, None),
    (400, "PATCH", "/Users/<user>", {"Operations": [{"op": "remove", "path": 'emails[nosuch eq "x"]'}]}, None),
    (400, "PATCH", "/Users/<user>", {"Operations": [{"op": "replace", "path": 'emails[type co "a"].value', "value": "x"}]}, None),
    (409, "PATCH", "/Users/<user>", {"Operations": [{"op": "replace", "path": "userName", "value": "taken"}]}, None),
    (412, "PATCH", "/Users/<user>", {"Operations": [{"op": "replace", "path": "title", "value": "x"}]}, 'W/"x"'),
    (400, "PATCH", "/Groups/<group>", {"Operations": [{"op": "remove", "path": "members.value"}]}, None),
    (404, "DELETE", "/Services/<user>", None, None),
    (412, "DELETE", "/Groups/<group>", None, 'W/"x"'),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_refusal_is_that_of_the_single_request(http: httpx2.Client, method: str) -> None:
    create_user(http, "taken")
    user, service = create_user(http, "u")["id"], create(http, "Services", displayName="s")["id"]
    group = create_group(http, "g", user)["id"]
    before = everything(http)
    cases = [case for case in filled(REFUSALS, user=user, group=group, service=service) if case[1] == method]
    asked = [
        {"method": method, "path": path, "bulkId": f"x{number}", "version": version, "data": data}
        for number, (_, _, path, data, version) in enumerate(cases)
    ]
    for (status, _, path, data, version), result in zip(cases, bulk(http, *asked), strict=True):
        single = http.request(method, path[1:], json=data, headers={"If-Match": version} if version else {})
        assert_scim_error(single, status, result["response"].get("scimType"))
        assert (result["status"], result["response"]) == (str(status), single.json())
    assert everything(http) == before


# Wrong operations


WRONG: dict[str, tuple[int, list[Any]]] = {
    "no object": (400, [None, 5, "x", True, [], ["POST", "/Users"], {}]),
    "method": (400, [delete("/Users/<user>") | {"method": method} for method in ("GET", "HEAD", "", None, 5, ["DELETE"])]),
    "no method": (400, [{"path": "/Users/<user>"}, delete("/Users/<user>") | {"Method": "DELETE"}]),
    "no path": (400, [{"method": "DELETE"}, post("x", userName="x") | {"path": None}]),
    "path": (400, [delete("/Users/<user>") | {"path": path} for path in (5, "", "/", "<user>", ["/Users/<user>"], {}, "/Users/<user>/x")]),
    "path of POST": (400, [post("x", userName="x") | {"path": path} for path in ("", "/", ["Users"], {}, 5)]),
    "absolute path": (400, [delete("<base>Users/<user>"), delete("/scim/v2/Users/<user>"), post("x", userName="x") | {"path": "<base>Users"}]),
    "POST with id": (400, [post("x", userName="x") | {"path": path} for path in ("/Users/<user>", "/Users/x/y", "/Users/.search")]),
    "no id": (400, [put("/Users", userName="x"), retitle("/Users/"), delete("/Users"), delete("Groups")]),
    "endpoint": (404, [post("x", endpoint, userName="x") for endpoint in ("Nosuch", "Me", "Schemas", "ResourceTypes", "ServiceProviderConfig")]),
    "endpoint of a resource": (404, [delete("/Nosuch/1"), put("/Schemas/x", userName="x"), retitle("/userss/<user>")]),
    "nested Bulk": (404, [post("x", "Bulk", schemas=[BULK_REQUEST], Operations=[post_user("y")]), put("/Bulk/1", Operations=[post_user("y")])]),
    "bulkId": (400, [post(None, userName="x") | members for members in ({}, *({"bulkId": id} for id in (None, "", 5, ["x"], {})))]),
    "data": (400, [asked | {"data": data} for asked in (post("x"), put("/Users/<user>"), retitle("/Users/<user>")) for data in (None, [], "{}", 5, True, [{"userName": "x"}])]),
    "no data": (400, [{"method": method, "path": path, "bulkId": "x"} for method, path in (("POST", "/Users"), ("PUT", "/Users/<user>"), ("PATCH", "/Users/<user>"))]),
    "version": (400, [asked | {"version": version} for asked in (retitle("/Users/<user>"), put("/Users/<user>", userName="u"), delete("/Users/<user>")) for version in (5, True, [], {}, ["*"])]),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_operation_fails_alone(http: httpx2.Client, what: str) -> None:
    status, wrong = WRONG[what]
    user = create_user(http, "u")
    # Each has a bulkId of its own, if it has one that is right.
    named = [
        asked | {"bulkId": f"x{number}"} if isinstance(asked, dict) and asked.get("bulkId") == "x" else asked
        for number, asked in enumerate(wrong)
    ]
    results = bulk(http, post_user("a"), *filled(named, user=user["id"], base=str(http.base_url)), post_user("b"))
    assert len(results) == len(wrong) + 2
    assert results[0]["status"] == results[-1]["status"] == "201"
    for asked, result in zip(named, results[1:-1], strict=True):
        assert (result["status"], asked) == (str(status), asked)
        assert result["response"].get("scimType") == ("invalidSyntax" if status == 400 else None), asked
        for echoed in {"method", "bulkId"} & result.keys():
            assert result[echoed] == asked[echoed]
    assert http.get(f"Users/{user['id']}").json() == user
    assert names_in(http) == ["u", "a", "b"]


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (400, [put("/Users/<user>") | {"data": None}, retitle("/Users/<user>", version=5)]),
        (412, [delete("/Users/<user>", version='"x"')]),
        (400, [put("/Users/<user>", userName="u") | {"bulkId": 5}, delete("/Users/<user>") | {"bulkId": ""}]),
    ],
)
def test_a_failed_operation_on_a_resource_says_where_it_is(
    http: httpx2.Client, status: int, asked: list[Asked]
) -> None:
    user = create_user(http, "u")
    for result in bulk(http, *filled(asked, user=user["id"])):
        assert (result["status"], result.get("location")) == (str(status), user["meta"]["location"])


def test_what_an_operation_does_not_need_is_not_looked_at(http: httpx2.Client) -> None:
    user = create_user(http, "u")["id"]
    results = bulk(http, delete(f"/Users/{user}") | {"data": "x", "nosuch": 1}, post_user("a") | {"version": '"x"'})
    assert statuses(results) == ["204", "201"]


def test_the_first_use_of_a_bulk_id_keeps_it(http: httpx2.Client) -> None:
    results = bulk(
        http,
        post_group("before", "bulkId:x"),
        post_user("x", "first"),
        post_user("x", "second"),
        post("x", "Services", displayName="third"),
        post_user("X", "other"),
        post_group("after", "bulkId:x"),
    )
    assert statuses(results) == ["201", "201", "400", "400", "201", "201"]
    assert_refused(results[2], 400, "invalidSyntax")
    assert [result["bulkId"] for result in results] == ["before", "x", "x", "x", "X", "after"]
    for group in (results[0], results[5]):
        assert member_names(http, id_in(group)) == ["first"]
    assert names_in(http) == ["first", "other"]
    assert names_in(http, "Services") == []


def test_a_bulk_id_is_no_name_of_what_is_not_created(http: httpx2.Client) -> None:
    user = create_user(http, "u")["id"]
    asked = retitle(f"/Users/{user}") | {"bulkId": "x"}
    results = bulk(http, asked, asked, post_user("x"), post_group("g", "bulkId:x"))
    assert statuses(results) == ["200", "200", "201", "201"]
    assert member_names(http, id_in(results[3])) == ["x"]


# References by bulkId


def patched_group(*operations: dict[str, Any]) -> Asked:
    return change("/Groups/<group>", *operations)


MEMBER_REFERENCES = [
    (["x"], put("/Groups/<group>", displayName="G", members=[{"value": "bulkId:x"}])),
    (["x"], put("/Groups/<group>", displayName="G", members=[{"value": "bulkId:x", "type": "User", "display": "?"}])),
    (["x"], put("/Groups/<group>", displayName="G", members=[{"$ref": "<base>Users/bulkId:x"}])),
    (["x"], put("/Groups/<group>", displayName="G", members=[{"$ref": "../Users/bulkId:x"}])),
    (["old", "x"], put("/Groups/<group>", displayName="G", members=[{"value": "bulkId:x"}, {"value": "<old>"}])),
    (["old", "x"], patched_group({"op": "add", "path": "members", "value": [{"value": "bulkId:x"}]})),
    (["old", "x"], patched_group({"op": "add", "path": "members", "value": {"value": "bulkId:x"}})),
    (["old", "x"], patched_group({"op": "add", "path": "members", "value": [{"$ref": "<base>Users/bulkId:x"}]})),
    (["old", "x"], patched_group({"op": "add", "value": {"members": [{"value": "bulkId:x"}]}})),
    (["x"], patched_group({"op": "replace", "path": "members", "value": [{"value": "bulkId:x"}]})),
    (["old", "x"], patched_group({"op": "add", "path": 'members[value eq "bulkId:x"]', "value": {"type": "User"}})),
    (["old"], patched_group({"op": "add", "path": "members", "value": [{"value": "bulkId:x"}]}, {"op": "remove", "path": 'members[value eq "bulkId:x"]'})),
    ([], patched_group({"op": "add", "path": "members", "value": [{"value": "bulkId:x"}]}, {"op": "remove", "path": 'members[value eq "<old>" or value eq "bulkId:x"]'})),
    (["old"], patched_group({"op": "add", "path": "members", "value": [{"value": "bulkId:x"}]}, {"op": "remove", "path": "members", "value": [{"value": "bulkId:x"}]})),
]  # fmt: skip


@pytest.mark.parametrize("is_forward", [False, True])
def test_a_bulk_id_stands_for_a_member(http: httpx2.Client, is_forward: bool) -> None:
    old = create_user(http, "old")["id"]
    for expected, template in MEMBER_REFERENCES:
        group = create_group(http, "G", old)["id"]
        asked = filled(template, group=group, old=old, base=str(http.base_url))
        results = bulk(http, *([asked, post_user("x")] if is_forward else [post_user("x"), asked]))
        assert statuses(results) == (["200", "201"] if is_forward else ["201", "200"]), template
        assert_current(http, results)
        assert member_names(http, group) == expected, template
        assert_no_literals(http)
        bulk(http, delete(f"/Groups/{group}"), delete(f"/Users/{id_in(results[is_forward])}"))


def test_a_bulk_id_may_be_written_with_escapes(http: httpx2.Client) -> None:
    operations = [post_user("a"), post_group("b", "bulkId:a")]
    text = json.dumps({"schemas": [BULK_REQUEST], "Operations": operations}).replace("bulkId:", r"bulkI\u0064:")
    assert "bulkId:" not in text
    results = http.post("Bulk", content=text, headers=JSON).json()["Operations"]
    assert statuses(results) == ["201", "201"]
    assert member_names(http, id_in(results[1])) == ["a"]


MANAGER_REFERENCES = [
    put("/Users/<user>", userName="u", **reports_to("bulkId:x")),
    put("/Users/<user>", userName="u", **{ENTERPRISE: {"manager": {"value": "bulkId:x", "displayName": "?"}}}),
    change("/Users/<user>", {"op": "add", "path": f"{ENTERPRISE}:manager", "value": {"value": "bulkId:x"}}),
    change("/Users/<user>", {"op": "replace", "path": f"{ENTERPRISE}:manager.value", "value": "bulkId:x"}),
    change("/Users/<user>", {"op": "add", "path": ENTERPRISE, "value": {"manager": {"value": "bulkId:x"}}}),
    change("/Users/<user>", {"op": "add", "value": reports_to("bulkId:x")}),
    change("/Users/<user>", {"op": "replace", "value": reports_to("bulkId:x")}),
]


@pytest.mark.parametrize("is_forward", [False, True])
def test_a_bulk_id_stands_for_a_manager(http: httpx2.Client, is_forward: bool) -> None:
    for number, template in enumerate(MANAGER_REFERENCES):
        user = create_user(http, "u", **{ENTERPRISE: {"employeeNumber": "7"}})["id"]
        asked, boss = filled(template, user=user), post_user("x", f"x{number}")
        results = bulk(http, *([asked, boss] if is_forward else [boss, asked]))
        assert statuses(results) == (["200", "201"] if is_forward else ["201", "200"]), template
        assert manager_of(http, user) == id_in(results[is_forward])
        assert_current(http, results)
        assert_no_literals(http)
        http.delete(f"Users/{user}")


def test_all_kinds_of_new_resources_refer_to_one_another(http: httpx2.Client) -> None:
    user = post_user("u", **reports_to("bulkId:boss"))
    outer = post_group("outer", "bulkId:inner", "bulkId:boss", **{ACCOUNT_GROUP: {"services": [{"value": "bulkId:s"}]}})
    inner = post_group("inner", members=[{"$ref": f"{http.base_url}Users/bulkId:u"}])
    service = post("s", "Services", displayName="s")
    for number, operations in enumerate(
        (
            [outer, inner, user, post_user("boss"), service],
            [service, post_user("boss"), user, inner, outer],
            [inner, service, outer, post_user("boss"), user],
        )
    ):
        renamed = filled(operations)
        for asked in renamed:
            name = "userName" if asked["path"] == "/Users" else "displayName"
            asked["data"][name] += str(number)
        results = bulk(http, *renamed)
        assert [result["bulkId"] for result in results] == [asked["bulkId"] for asked in operations]
        assert statuses(results) == ["201"] * 5
        ids = {result["bulkId"]: id_in(result) for result in results}
        assert manager_of(http, ids["u"]) == ids["boss"]
        assert member_names(http, ids["outer"]) == sorted([f"inner{number}", f"boss{number}"])
        assert member_names(http, ids["inner"]) == [f"u{number}"]
        assert http.get(f"Groups/{ids['outer']}").json()[ACCOUNT_GROUP]["services"][0]["value"] == ids["s"]
        assert {group["value"] for group in http.get(f"Users/{ids['u']}").json()["groups"]} == {
            ids["inner"],
            ids["outer"],
        }
        assert_current(http, results)
    assert_no_literals(http)


@pytest.mark.parametrize("is_forward", [False, True])
@pytest.mark.parametrize(
    ("status", "asked", "expected"),
    [
        ("200", put("/Users/bulkId:x", userName="renamed"), ["renamed"]),
        ("200", change("/Users/bulkId:x", {"op": "replace", "path": "userName", "value": "renamed"}), ["renamed"]),
        ("204", delete("/Users/bulkId:x"), []),
        ("204", delete("Users/bulkId:x/"), []),
        ("404", delete("/Groups/bulkId:x"), ["x"]),
    ],
)
def test_a_bulk_id_stands_for_an_id_in_a_path(
    http: httpx2.Client, status: str, asked: Asked, expected: list[str], is_forward: bool
) -> None:
    results = bulk(http, *([asked, post_user("x")] if is_forward else [post_user("x"), asked]))
    made, other = reversed(results) if is_forward else results
    assert (made["status"], other["status"]) == ("201", status)
    assert id_in(made) == id_in(other)
    assert names_in(http) == expected
    assert made.get("version") == http.get(made["location"]).headers.get("ETag")


def test_a_new_user_may_be_its_own_manager(http: httpx2.Client) -> None:
    (result,) = bulk(http, post_user("u", **reports_to("bulkId:u")))
    assert manager_of(http, id_in(result)) == id_in(result)


def test_only_what_the_other_operations_create_is_referred_to(http: httpx2.Client) -> None:
    (result,) = bulk(http, post_user("u"))
    assert_refused(bulk(http, post_group("g", "bulkId:u"))[0], 400, "invalidValue")
    assert names_in(http, "Groups") == []
    assert statuses(bulk(http, post_user("u", "v"), delete("/Users/bulkId:u"))) == ["201", "204"]
    assert http.get(result["location"]).status_code == 200


UNKNOWN = [
    post_group("g", "bulkId:none"),
    post_group("g", "<user>", "bulkId:none"),
    post_group("g", "bulkId:bulkId:x"),
    post_group("g", members=[{"$ref": "<base>Users/bulkId:none"}]),
    post_group("g", **{ACCOUNT_GROUP: {"services": [{"value": "bulkId:none"}]}}),
    post_user("g", **reports_to("bulkId:none")),
    put("/Users/<user>", userName="u", **reports_to("bulkId:none")),
    change("/Users/<user>", {"op": "add", "path": f"{ENTERPRISE}:manager", "value": {"value": "bulkId:none"}}),
    add_members("/Groups/<group>", "bulkId:none"),
    add_members("/Groups/<group>", "bulkId:"),
    change("/Groups/<group>", {"op": "remove", "path": 'members[value eq "bulkId:none"]'}),
    change("/Groups/<group>", {"op": "add", "path": 'members[value eq "bulkId:none"]', "value": {"type": "User"}}),
    put("/Users/bulkId:none", userName="u"),
    retitle("/Users/bulkId:none"),
    delete("/Users/bulkId:none"),
]


def test_an_unknown_bulk_id_is_a_wrong_value(http: httpx2.Client) -> None:
    user = create_user(http, "u")
    group = create_group(http, "G", user["id"])
    before = everything(http)
    for asked in filled(UNKNOWN, user=user["id"], group=group["id"], base=str(http.base_url)):
        results = bulk(http, asked, post_user("x"), delete("/Users/bulkId:x"))
        assert_refused(results[0], 400, "invalidValue")
        assert statuses(results[1:]) == ["201", "204"]
    assert everything(http) == before


def test_an_empty_bulk_id_is_never_stored(http: httpx2.Client) -> None:
    path = f"/Users/{create_user(http, 'u')['id']}"
    results = bulk(
        http,
        post_user("g", **reports_to("bulkId:")),
        put(path, userName="u", **reports_to("bulkId:")),
        change(path, {"op": "add", "path": 'emails[value eq "bulkId:"].type', "value": "work"}),
    )
    assert [result["status"] for result in results] == ["400"] * 3
    assert_no_literals(http)


def test_a_bulk_id_in_a_filter_may_have_any_characters(http: httpx2.Client) -> None:
    for bulk_id in ("a b", "é😀", "a]", "a\\b", 'a"b'):
        quoted = json.dumps(f"bulkId:{bulk_id}", ensure_ascii=False)
        results = bulk(
            http,
            post_user(bulk_id, f"user {bulk_id}"),
            post_group("g", f"bulkId:{bulk_id}", displayName=f"group {bulk_id}"),
            change("/Groups/bulkId:g", {"op": "remove", "path": f"members[value eq {quoted}]"}),
        )
        assert statuses(results) == ["201", "201", "200"], bulk_id
        assert member_names(http, id_in(results[1])) == [], bulk_id


FAILING = [
    post_user("x", "taken"),
    post("x"),
    post_user("x", password="short"),
    post("x", "Nosuch"),
    post("x") | {"data": None},
    post_group("x", "nobody"),
]


@pytest.mark.parametrize("is_forward", [False, True])
def test_a_reference_to_what_failed_is_a_conflict(http: httpx2.Client, is_forward: bool) -> None:
    create_user(http, "taken")
    user = create_user(http, "u")
    group = create_group(http, "G", user["id"])
    waiting = [
        post_user("v", **reports_to("bulkId:x")),
        post_group("g", user["id"], "bulkId:x"),
        put(f"/Users/{user['id']}", userName="v", **reports_to("bulkId:x")),
        add_members(f"/Groups/{group['id']}", "bulkId:x"),
        change(f"/Groups/{group['id']}", {"op": "remove", "path": 'members[value eq "bulkId:x"]'}),
        put("/Users/bulkId:x", userName="w"),
        delete("/Users/bulkId:x"),
        post_group("indirect", "bulkId:g"),
    ]
    before = everything(http)
    for failing in FAILING:
        results = bulk(http, *([*waiting, failing] if is_forward else [failing, *waiting]))
        refused = results[:-1] if is_forward else results[1:]
        assert statuses(refused) == ["409"] * len(waiting), failing
        assert all("scimType" not in result["response"] for result in refused)
    assert everything(http) == before


def test_what_was_deleted_again_is_no_member(http: httpx2.Client) -> None:
    results = bulk(http, post_user("x"), delete("/Users/bulkId:x"), post_group("g", "bulkId:x"))
    assert statuses(results) == ["201", "204", "400"]
    assert names_in(http, "Groups") == []


# The order


def test_an_operation_that_needs_a_later_one_runs_right_after_it(caller: Caller, database: Database) -> None:
    http = caller.http
    old = create_user(http, "old")["id"]
    results = bulk(
        http,
        post_group("g", "bulkId:x", old),
        post_user("a"),
        add_members("/Groups/bulkId:g", "bulkId:a"),
        retitle(f"/Users/{old}"),
        post_user("x"),
        post_user("b"),
        post("s", "Services", displayName="s"),
        post_user("c"),
    )
    assert statuses(results) == ["201", "201", "200", "200", "201", "201", "201", "201"]
    g, a, x, b, s, c = (id_in(results[number]) for number in (0, 1, 4, 5, 6, 7))
    assert audited(database, caller)[1:] == [
        ("create", a), ("patch", old), ("create", x), ("create", g), ("patch", g), ("create", b), ("create", s),
        ("create", c),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "free",
    [
        delete("/Users/<user>"),
        put("/Users/<user>", userName="other"),
        change("/Users/<user>", {"op": "replace", "path": "userName", "value": "other"}),
    ],
)
def test_a_name_is_free_once_it_is_given_up(http: httpx2.Client, free: Asked) -> None:
    free = filled(free, user=create_user(http, "u")["id"])
    results = bulk(http, post_user("a", "u"), free, post_user("b", "u"), post_user("c", "U"))
    assert statuses(results) == ["409", "204" if free["method"] == "DELETE" else "200", "201", "409"]
    assert id_in(results[2]) in [user["id"] for user in http.get('Users?filter=userName eq "u"').json()["Resources"]]


def test_operations_on_one_resource_are_done_in_their_order(http: httpx2.Client) -> None:
    user = create_user(http, "u")["id"]
    path = f"/Users/{user}"
    results = bulk(
        http,
        retitle(path, "a"),
        put(path, userName="u", nickName="n"),
        change(path, {"op": "add", "path": "displayName", "value": "d"}),
        retitle(path, "b"),
    )
    assert statuses(results) == ["200"] * 4
    made = http.get(path[1:]).json()
    assert (made["title"], made["nickName"], made["displayName"]) == ("b", "n", "d")
    assert statuses(bulk(http, delete(path), retitle(path), delete(path))) == ["204", "404", "404"]


def test_a_long_chain_of_forward_references_is_resolved(http: httpx2.Client) -> None:
    size = 60
    results = bulk(
        http,
        *(post_user(f"u{number}", **reports_to(f"bulkId:u{number + 1}")) for number in range(size)),
        post_user(f"u{size}"),
    )
    assert statuses(results) == ["201"] * (size + 1)
    for number in (0, size - 1):
        assert manager_of(http, id_in(results[number])) == id_in(results[number + 1])


# Circles


@pytest.mark.parametrize("size", [2, 3])
def test_new_users_may_be_managers_of_one_another(http: httpx2.Client, size: int) -> None:
    circle = [post_user(f"u{number}", **reports_to(f"bulkId:u{(number + 1) % size}")) for number in range(size)]
    results = bulk(http, post_group("g", "bulkId:u0"), *circle, post_user("report", **reports_to("bulkId:u1")))
    assert statuses(results) == ["201"] * (size + 2)
    for number in range(size):
        assert manager_of(http, id_in(results[1 + number])) == id_in(results[1 + (number + 1) % size])
    assert manager_of(http, id_in(results[-1])) == id_in(results[2])
    assert member_names(http, id_in(results[0])) == ["u0"]
    assert_current(http, results)
    assert_no_literals(http)


@pytest.mark.parametrize(
    ("own", "wrong"),
    [
        ((409, "uniqueness"), {"userName": "taken"}),
        ((400, "invalidValue"), {"password": "short"}),
        ((400, "invalidValue"), {"userName": 5}),
        ((413, None), {"userName": "b", "title": "x" * MEBIBYTE}),
    ],
)
def test_managers_of_one_another_fail_together(
    caller: Caller, database: Database, own: tuple[int, str | None], wrong: dict[str, Any]
) -> None:
    http = caller.http
    taken = create_user(http, "taken")["id"]
    good, bad = (
        post_user("a", **reports_to("bulkId:b")),
        post("b", **{"userName": "b"} | wrong | reports_to("bulkId:a")),
    )
    made = [taken]
    for number, circle in enumerate(([good, bad], [bad, good])):
        before, after = post_user(f"before{number}"), post_user(f"after{number}")
        results = bulk(http, before, *circle, post_group("g", "bulkId:a"), after)
        assert results[0]["status"] == results[4]["status"] == "201"
        made += [id_in(results[0]), id_in(results[4])]
        refused = {result["bulkId"]: result for result in results[1:4]}
        assert_refused(refused["b"], *own)
        assert_refused(refused["a"], 409)
        assert_refused(refused["g"], 409)
    assert names_in(http) == ["taken", "before0", "after0", "before1", "after1"]
    assert names_in(http, "Groups") == []
    assert audited(database, caller) == [("create", id) for id in made]


def test_in_a_circle_with_several_errors_every_operation_has_one(http: httpx2.Client) -> None:
    create_user(http, "taken")
    results = bulk(
        http,
        post_user("a", "taken", **reports_to("bulkId:b")),
        post_user("b", password="short", **reports_to("bulkId:c")),
        post_user("c", **reports_to("bulkId:a")),
    )
    assert statuses(results)[0] == statuses(results)[2] == "409"
    assert_refused(results[1], 400, "invalidValue")
    assert names_in(http) == ["taken"]


def test_a_circle_that_needs_what_failed_is_a_conflict(http: httpx2.Client) -> None:
    create_user(http, "taken")
    results = bulk(
        http,
        post_user("failing", "taken"),
        post_user("a", externalId="bulkId:failing", **reports_to("bulkId:b")),
        post_user("b", **reports_to("bulkId:a")),
    )
    assert statuses(results) == ["409", "409", "409"]
    assert names_in(http) == ["taken"]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_new_groups_cannot_contain_one_another(http: httpx2.Client, size: int) -> None:
    circle = [post_group(f"g{number}", f"bulkId:g{(number + 1) % size}", "bulkId:u") for number in range(size)]
    results = bulk(http, *circle, post_user("u"), post_group("h", "bulkId:u"), post_group("i", "bulkId:g0"))
    assert statuses(results) == ["409"] * size + ["201", "201", "409"]
    assert names_in(http, "Groups") == ["h"]
    assert len(http.get(results[size]["location"]).json()["groups"]) == 1


def test_groups_in_a_chain_contain_one_another_in_one_direction(http: httpx2.Client) -> None:
    results = bulk(
        http,
        post_group("a", "bulkId:b"),
        post_group("b", "bulkId:c", "bulkId:d"),
        post_group("c", "bulkId:d"),
        post_group("d"),
    )
    assert statuses(results) == ["201"] * 4
    assert [member_names(http, id_in(result)) for result in results] == [["b"], ["c", "d"], ["d"], []]


@pytest.mark.parametrize(
    "closing",
    [
        add_members("/Groups/<inner>", "<outer>"),
        add_members("/Groups/<outer>", "<outer>"),
        put("/Groups/<inner>", displayName="inner", members=[{"value": "<outer>"}]),
    ],
)
def test_a_circle_of_groups_cannot_be_closed(http: httpx2.Client, closing: Asked) -> None:
    inner = create_group(http, "inner")["id"]
    outer = create_group(http, "outer", inner)["id"]
    before = http.get("Groups").json()
    closing = filled(closing, inner=inner, outer=outer)
    single = http.request(closing["method"], closing["path"][1:], json=closing["data"])
    assert_scim_error(single, 400, "invalidValue")
    results = bulk(http, closing, post_user("u"))
    assert_refused(results[0], 409)
    assert results[1]["status"] == "201"
    assert http.get("Groups").json() == before


def test_a_circle_of_new_groups_cannot_be_closed(http: httpx2.Client) -> None:
    results = bulk(http, post_group("a", "bulkId:b"), post_group("b"), add_members("/Groups/bulkId:b", "bulkId:a"))
    assert statuses(results) == ["201", "201", "409"]
    assert member_names(http, id_in(results[1])) == []


# Ending early


@pytest.mark.parametrize(
    ("most", "expected"),
    [(0, "201 409 201 409 201"), (1, "201 409"), (2, "201 409 201 409"), (3, "201 409 201 409 201"), (10**9, "201 409 201 409 201")],
)  # fmt: skip
@pytest.mark.parametrize("between", [False, True])
def test_a_bulk_ends_after_so_many_errors(
    caller: Caller, database: Database, most: int, expected: str, between: bool
) -> None:
    http = caller.http
    taken = create_user(http, "taken")["id"]
    creates = [post_user(f"u{number}", "taken" if number % 2 else None) for number in range(5)]
    # With operations of another kind between them, creates are not inserted together.
    operations = [
        asked for create in creates for asked in ([create, retitle(f"/Users/{taken}")] if between else [create])
    ]
    results = bulk(http, *operations, failOnErrors=most)
    shown = [result for result in results if result["method"] == "POST"]
    assert " ".join(statuses(shown)) == expected
    assert [result["bulkId"] for result in shown] == [f"u{number}" for number in range(len(shown))]
    if expected.endswith("409"):
        assert results[-1] is shown[-1]
    made = [result for result in shown if result["status"] == "201"]
    assert names_in(http) == ["taken", *(result["bulkId"] for result in made)]
    assert [id for done, id in audited(database, caller) if done == "create"] == [taken, *map(id_in, made)]
    assert_current(http, made)


def test_errors_before_a_run_of_creates_count(http: httpx2.Client) -> None:
    create_user(http, "taken")
    failing = delete("/Users/nope")
    run = [post_user("a"), post_user("b", "taken"), post_user("c"), post_user("d", "taken"), post_user("e")]
    results = bulk(http, failing, *run, failOnErrors=2)
    assert statuses(results) == ["404", "201", "409"]
    results = bulk(http, failing, *run[2:], failing, post_user("f"), failOnErrors=3)
    assert statuses(results) == ["404", "201", "409", "201", "404"]
    assert names_in(http) == ["taken", "a", "c", "e"]


def test_an_operation_that_is_wrong_in_itself_counts_when_it_is_its_turn(http: httpx2.Client) -> None:
    wrong = post("x") | {"data": None}
    for operations, expected in (
        ([wrong, post_user("a")], ["400"]),
        ([None, post_user("a")], ["400"]),
        ([post_user("b"), wrong, post_user("c")], ["201", "400"]),
        ([post_user("d"), post_group("e"), delete("/Nosuch/1"), wrong, post_user("f")], ["201", "201", "404"]),
    ):
        assert statuses(bulk(http, *operations, failOnErrors=1)) == expected
    assert names_in(http) == ["b", "d"]


def test_an_operation_that_waits_is_not_done_after_the_end(http: httpx2.Client) -> None:
    user = create_user(http, "u")["id"]
    waiting, failing = post_group("g", "bulkId:x"), delete("/Users/nope")
    results = bulk(http, waiting, retitle(f"/Users/{user}"), failing, post_user("x"), failOnErrors=1)
    assert [(result["method"], result["status"]) for result in results] == [("PATCH", "200"), ("DELETE", "404")]
    results = bulk(http, waiting, post_user("x"), failing, post_user("y"), failOnErrors=1)
    assert statuses(results) == ["201", "201", "404"]
    assert [result["method"] for result in results] == ["POST", "POST", "DELETE"]
    results = bulk(http, waiting, post_user("z", "X"), post_user("x", "v"), failOnErrors=1)
    assert [(result["bulkId"], result["status"]) for result in results] == [("z", "409")]
    results = bulk(http, waiting, post_user("z"), post_user("x", "Z"), post_user("v"), failOnErrors=2)
    assert [(result["bulkId"], result["status"]) for result in results] == [("g", "409"), ("z", "201"), ("x", "409")]
    assert names_in(http) == ["u", "x", "z"]


# Versions


def test_a_stale_version_is_412_and_nothing_changes(http: httpx2.Client) -> None:
    made = create_user(http, "u")
    path = f"/Users/{made['id']}"
    http.put(path[1:], json={"userName": "u", "title": "T"})
    before = http.get(path[1:]).json()
    for stale in ('W/"x"', '"x"', "nonsense", made["meta"]["version"], '"x", W/"y"'):
        asked = [put(path, version=stale, userName="v"), retitle(path, "x", stale), delete(path, stale)]
        results = bulk(http, *asked)
        assert statuses(results) == ["412", "412", "412"], stale
        assert all(result["location"] == made["meta"]["location"] for result in results)
    assert http.get(path[1:]).json() == before


def test_the_current_version_is_accepted_weak_and_strong(http: httpx2.Client) -> None:
    for form in ("{weak}", "{strong}", "*", '"x", {weak}', '{strong},"x"'):
        users = [create_user(http, f"u{number}") for number in range(3)]
        paths = [f"/Users/{user['id']}" for user in users]
        weak = [user["meta"]["version"] for user in users]
        versions = [form.format(weak=tag, strong=tag.removeprefix("W/")) for tag in weak]
        results = bulk(
            http,
            put(paths[0], version=versions[0], userName="u0", title="T"),
            retitle(paths[1], version=versions[1]),
            delete(paths[2], version=versions[2]),
        )
        assert statuses(results) == ["200", "200", "204"], form
        bulk(http, delete(paths[0]), delete(paths[1]))


def test_a_version_is_that_before_its_operation(http: httpx2.Client) -> None:
    made = create_user(http, "u")
    path, version = f"/Users/{made['id']}", made["meta"]["version"]
    results = bulk(
        http,
        retitle(path, "a", version),
        retitle(path, "b", version),
        post_group("g", made["id"]),
        retitle(path, "c", "*"),
        delete("/Users/nope", "*"),
    )
    assert statuses(results) == ["200", "412", "201", "200", "404"]
    assert http.get(path[1:]).json()["title"] == "c"


# Each operation whole, the others as well


def test_a_refused_operation_leaves_nothing(caller: Caller, database: Database) -> None:
    http = caller.http
    user, other = create_user(http, "u"), create_user(http, "other")
    group = create_group(http, "G", user["id"])
    user = http.get(f"Users/{user['id']}").json()
    before = audited(database, caller)
    path = f"/Groups/{group['id']}"
    rename = {"op": "replace", "path": "displayName", "value": "renamed"}
    add = {"op": "add", "path": "members", "value": [{"value": other["id"]}]}
    results = bulk(
        http,
        post_group("half", other["id"], "nobody"),
        change(path, rename, add, {"op": "add", "path": "members", "value": [{"value": "nobody"}]}),
        change(path, rename, add, {"op": "remove", "path": "displayName"}),
        put(path, displayName="renamed", members=[{"value": other["id"]}, {"value": "nobody"}]),
        change(f"/Users/{user['id']}", {"op": "add", "path": "title", "value": "x"}, {"op": "replace", "path": "userName", "value": "other"}),
        post_group("renamed"),
        post_group("again", other["id"], displayName="half"),
    )  # fmt: skip
    assert statuses(results) == ["400", "400", "400", "400", "409", "201", "201"]
    assert http.get(path[1:]).json() == group
    assert http.get(f"Users/{user['id']}").json() == user
    assert [found["value"] for found in http.get(f"Users/{other['id']}").json()["groups"]] == [id_in(results[6])]
    made = [id_in(result) for result in results[5:]]
    assert audited(database, caller)[len(before) :] == [("create", id) for id in made]


def test_what_changes_nothing_is_not_audited_and_keeps_its_version(caller: Caller, database: Database) -> None:
    http = caller.http
    user = create_user(http, "u", title="Guide")
    path = f"/Users/{user['id']}"
    results = bulk(http, retitle(path, "Guide"), put(path, userName="u", title="Guide"))
    assert [(result["status"], result["version"]) for result in results] == [("200", user["meta"]["version"])] * 2
    assert audited(database, caller) == [("create", user["id"])]


def test_every_change_is_audited_once(caller: Caller, database: Database) -> None:
    http = caller.http
    names = [f"u{number}" for number in range(20)]
    results = bulk(
        http,
        *(post_user(name) for name in names),
        *(retitle(f"/Users/bulkId:{name}") for name in names),
        *(delete(f"/Users/bulkId:{name}") for name in names),
        *(delete("/Users/nope") for _ in names),
    )
    assert statuses(results) == ["201"] * 20 + ["200"] * 20 + ["204"] * 20 + ["404"] * 20
    ids = [id_in(result) for result in results[:20]]
    assert audited(database, caller) == [(done, id) for done in ("create", "patch", "delete") for id in ids]


def test_a_user_of_more_than_a_mebibyte_is_413_alone(http: httpx2.Client) -> None:
    user = create_user(http, "u")
    path = f"/Users/{user['id']}"
    large = "x" * MEBIBYTE
    results = bulk(
        http,
        post_user("a"),
        post_user("b", title=large),
        put(path, userName="u", title=large),
        retitle(path, large[9:]),
        post_user("c"),
    )
    assert statuses(results) == ["201", "413", "413", "413", "201"]
    assert http.get(path[1:]).json() == user
    assert names_in(http) == ["u", "a", "c"]


def test_large_users_together_fit_into_a_bulk(http: httpx2.Client) -> None:
    large = "x" * (MEBIBYTE - 1000)
    results = bulk(http, *(post_user(f"u{number}", title=large) for number in range(3)))
    assert statuses(results) == ["201"] * 3


# Tenants


def test_another_tenant_does_not_exist(callers: Callable[[], Caller]) -> None:
    mine, other = callers().http, callers().http
    theirs = create_user(other, "u")
    their_group = create_group(other, "G", theirs["id"])
    path, group_path = f"/Users/{theirs['id']}", f"/Groups/{their_group['id']}"
    before = everything(other)
    group = create_group(mine, "G")["id"]
    results = bulk(
        mine,
        put(path, userName="x"),
        retitle(path),
        retitle(path, version="*"),
        delete(path),
        delete(group_path),
        add_members(group_path, "bulkId:u"),
        post_user("u"),
        post_group("other", theirs["id"]),
        add_members(f"/Groups/{group}", theirs["id"]),
        post_group("h", "bulkId:u"),
    )
    assert statuses(results) == ["404"] * 6 + ["201", "400", "400", "201"]
    assert everything(other) == before
    assert names_in(mine) == ["u"]
    assert names_in(mine, "Groups") == ["G", "h"]
    assert statuses(bulk(other, delete("/Users/bulkId:u"))) == ["400"]


# Passwords


def test_passwords_are_hashed_and_never_answered(http: httpx2.Client, database: Database) -> None:
    sql = "SELECT hash FROM password p JOIN resource r ON r.key = p.resource WHERE r.id = ?"
    old = create_user(http, "old", password="an old secret")["id"]
    patched = create_user(http, "patched")["id"]
    secret = {"op": "add", "path": "password", "value": "patched secret"}
    operations = [
        post_user("a", password="first secret"),
        post_user("b", password="second secret", **reports_to("bulkId:c")),
        post_user("c", **reports_to("bulkId:b")),
        put(f"/Users/{old}", userName="old", password="another secret"),
        change(f"/Users/{patched}", secret),
        post_user("d", password="short"),
        post_user("e", "a", password="taken secret"),
    ]
    response = http.post("Bulk", json={"Operations": operations})
    results = results_of(response, str(http.base_url))
    assert statuses(results) == ["201", "201", "201", "200", "200", "400", "409"]
    assert_refused(results[5], 400, "invalidValue")
    assert "secret" not in response.text and "password" not in response.text.replace("password must have", "")
    for result, password in zip(
        results, ("first secret", "second secret", None, "another secret", "patched secret"), strict=False
    ):
        hashes = [row[0] for row in database.rows(sql, (id_in(result),))]
        assert len(hashes) == (password is not None)
        for hash in hashes:
            assert password and hash.startswith("$argon2id$") and passwords.is_right(password, hash)
            assert not passwords.is_right("other", hash)
    assert_current(http, results[:5])


# Any request whatever

TEXTS = st.sampled_from(["", "a", "b", "bulkId:a", "bulkId:b", "bulkId:none", "<user>", "<group>", "/Users", "*", "é", "😀"])  # fmt: skip
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS | st.sampled_from(["value", "$ref", "members", "userName", "path", "op"]), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip


def often(*likely: Any) -> st.SearchStrategy[Any]:
    """Draw mostly a value that makes sense; `one_of` would count what is named twice once."""
    return st.integers(0, 4).flatmap(lambda number: st.sampled_from(likely) if number else JUNK)


VALUES = st.one_of(TEXTS, st.lists(st.fixed_dictionaries({"value": TEXTS}), max_size=2), JUNK)
PATCHES = st.fixed_dictionaries(
    {"Operations": st.lists(st.fixed_dictionaries(
        {"op": often("add", "replace", "remove")},
        optional={"path": often("members", "title", "userName", 'members[value eq "bulkId:a"]', f"{ENTERPRISE}:manager"), "value": VALUES},
    ), max_size=3) | JUNK},
)  # fmt: skip
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "schemas": JUNK, "userName": often("a", "b", "c"), "displayName": often("a", "b"), "title": often("t"),
        "password": often("a long secret"), "members": VALUES,
        ENTERPRISE: often(*({"manager": {"value": f"bulkId:{name}"}} for name in "ab")),
    },
)  # fmt: skip
OPERATIONS = (
    st.fixed_dictionaries(
        {
            "method": often(*METHODS),
            "path": often("/Users", "/Groups", "/Users/<user>", "/Groups/<group>", "/Users/bulkId:a", "/Groups/bulkId:b", "/Users/x/y"),
            "bulkId": often("a", "b", "c"),
            "data": st.one_of(BODIES, BODIES, PATCHES, JUNK),
        },
        optional={"version": often("*", None, '"x"'), "Version": JUNK},
    )
    | JUNK
)  # fmt: skip


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    operations=st.lists(OPERATIONS, min_size=1, max_size=6), most=st.one_of(*[st.none()] * 3, st.integers(0, 3), JUNK)
)
def test_no_request_is_an_error_of_the_server(http: httpx2.Client, operations: list[Any], most: Any) -> None:
    user = http.get('Users?filter=userName eq "fixed"').json().get("Resources") or [create_user(http, "fixed")]
    group = http.get('Groups?filter=displayName eq "fixed"').json().get("Resources") or [create_group(http, "fixed")]
    operations = filled(operations, user=user[0]["id"], group=group[0]["id"])
    response = http.post("Bulk", json={"Operations": operations, "failOnErrors": most})
    if response.status_code == 400:
        assert_scim_error(response, 400, response.json().get("scimType"))
        return
    results = results_of(response, str(http.base_url))
    if not most:
        assert len(results) == len(operations)
        for asked, result in zip(operations, results, strict=True):
            if isinstance(asked, dict) and isinstance(asked.get("bulkId"), str) and asked["bulkId"]:
                assert {"version", "Version"} <= asked.keys() or result["bulkId"] == asked["bulkId"]
    assert len(results) <= len(operations)
    assert_no_literals(http)


# What one operation may not do to others


def test_operations_on_one_resource_keep_their_order_when_one_waits(http: httpx2.Client) -> None:
    group = create_group(http, "Guides")
    path = f"/Groups/{group['id']}"
    put_member = put(path, displayName="Guides", members=[{"value": "bulkId:n"}])
    emptied = bulk(http, put_member, put(path, displayName="Guides"), post_user("n"))
    assert statuses(emptied) == ["200", "200", "201"]
    assert member_names(http, group["id"]) == []
    deleted = bulk(http, add_members(path, "bulkId:m"), delete(path), post_user("m"))
    assert statuses(deleted) == ["200", "204", "201"]
    assert http.get(f"Groups/{group['id']}").status_code == 404


def test_a_failure_before_it_on_the_same_resource_does_not_matter(http: httpx2.Client) -> None:
    user = create_user(http, "u")
    path = f"/Users/{user['id']}"
    results = bulk(http, put(path, title="no name"), retitle(path))
    assert statuses(results) == ["400", "200"]
    assert http.get(path[1:]).json()["title"] == "Guide"


@pytest.mark.parametrize("written", [r"\u0000", r"\b", r"\ud800", "\x7f", "\x85"])
def test_a_forbidden_character_fails_its_operation_alone(http: httpx2.Client, written: str) -> None:
    operations = json.dumps([post_user("a"), post_user("b", title="<bad>"), post_user("c")])
    content = f'{{"schemas":["{BULK_REQUEST}"],"Operations":{operations}}}'.replace("<bad>", written)
    headers = {"Content-Type": "application/scim+json"}
    results = results_of(http.post("Bulk", content=content.encode(), headers=headers), str(http.base_url))
    assert statuses(results) == ["201", "400", "201"]
    assert_refused(results[1], 400, "invalidValue")
    assert results[1]["response"]["detail"].startswith("data.title contains the character U+")
    in_bulk_id = content.replace('"bulkId": "c"', f'"bulkId": "c{written}"').replace(
        '"userName": "c"', '"userName": "d"'
    )
    again = results_of(http.post("Bulk", content=in_bulk_id.encode(), headers=headers), str(http.base_url))
    assert statuses(again) == ["409", "400", "400"]
    assert names_in(http) == ["a", "c"]


def test_a_bulk_id_is_found_in_filters_on_references(http: httpx2.Client) -> None:
    group = create_group(http, "Guides")
    path = f"/Groups/{group['id']}"
    remove = change(path, {"op": "remove", "path": 'members[$ref ew "/bulkId:a"]'})
    results = bulk(http, post_user("a"), post_user("b"), add_members(path, "bulkId:a", "bulkId:b"), remove)
    assert statuses(results) == ["201", "201", "200", "200"]
    assert member_names(http, group["id"]) == ["b"]


@pytest.mark.parametrize("path", ["/Users?attributes=id", "/Users#x"])
def test_a_path_with_a_query_is_malformed(http: httpx2.Client, path: str) -> None:
    asked = post_user("a") | {"path": path}
    (result,) = bulk(http, asked)
    assert_refused(result, 400, "invalidSyntax")
    assert names_in(http) == []


def test_what_was_refused_has_no_version(http: httpx2.Client) -> None:
    user = create_user(http, "u")
    path = f"/Users/{user['id']}"
    results = bulk(http, retitle(path), retitle(path, "other", version=user["meta"]["version"]))
    assert statuses(results) == ["200", "412"]
    assert "version" in results[0]
    assert "version" not in results[1]


def test_a_password_is_no_reference_and_part_of_no_error(http: httpx2.Client, database: Database) -> None:
    secret = "bulkId:hunter2hunter2"
    hashes = "SELECT p.hash FROM password p JOIN resource r ON r.key = p.resource WHERE r.id = ?"
    by_path = {"op": "replace", "path": f"{USER}:password", "value": secret}
    without = {"op": "replace", "value": {"PASSWORD": secret}}
    asked = [post_user("hunter2hunter2"), post_user("a", password=secret), post_user("b"), post_user("c")]
    results = bulk(http, *asked, change("/Users/bulkId:b", by_path), change("/Users/bulkId:c", without))
    assert statuses(results) == ["201"] * 4 + ["200"] * 2
    for result in results[1:4]:
        (hash,) = database.row(hashes, (id_in(result),)) or ("",)
        assert passwords.is_right(secret, hash)
    (refused,) = bulk(http, post_user("d", title=secret))
    assert_refused(refused, 400, "invalidValue")
    assert "hunter2" not in json.dumps(refused)


def test_a_bulk_id_is_understood_in_names_of_members_and_in_paths_without_quotes(http: httpx2.Client) -> None:
    group = create_group(http, "G")["id"]
    member = {"method": "PATCH", "path": f"/Groups/{group}"}
    asked = [post_user("a"), post_user("b"), post_user("c")]
    added = [{"op": "add", "path": "members", "value": [{"value": f"bulkId:{name}"} for name in "abc"]}]
    removed = [
        {"op": "remove", "path": "members[value eq bulkId:a]"},
        {"op": "remove", "path": 'members[value eq "bulkId:b"]'},
    ]
    named = [{"op": "add", "value": {'emails[type eq "bulkId:a"].value': "a@b"}}]
    operations = [member | {"data": {"schemas": [PATCH_OP], "Operations": listed}} for listed in (added, removed)]
    change = {"method": "PATCH", "path": "/Users/bulkId:c", "data": {"schemas": [PATCH_OP], "Operations": named}}
    results = bulk(http, *asked, *operations, change)
    assert statuses(results) == ["201"] * 3 + ["200"] * 3
    left = http.get(f"Groups/{group}").json()["members"]
    assert [element["value"] for element in left] == [id_in(results[2])]
    emails = http.get(f"Users/{id_in(results[2])}").json()["emails"]
    assert emails == [{"value": "a@b", "type": id_in(results[0])}]


def test_an_operation_with_a_forbidden_character_is_named_and_fails_what_needs_it(http: httpx2.Client) -> None:
    operations = [post_user("a", title="<bad>"), post_group("g", "bulkId:a")]
    content = json.dumps({"schemas": [BULK_REQUEST], "Operations": operations}).replace("<bad>", r"\u0000")
    answer = http.post("Bulk", content=content.encode(), headers={"Content-Type": "application/scim+json"})
    results = results_of(answer, str(http.base_url))
    assert [(result["method"], result["bulkId"], result["status"]) for result in results] == [
        ("POST", "a", "400"),
        ("POST", "g", "409"),
    ]
