"""A tenant never sees, names or collides with another's resources."""

from collections.abc import Callable
from typing import Any

import httpx2

from tests.conftest import Caller
from tests.scim import ACCOUNT_GROUP, ENTERPRISE, assert_scim_error, create, create_group, create_user


def fill(http: httpx2.Client) -> dict[str, dict[str, Any]]:
    user = create_user(http, "bjensen", externalId="1", displayName="Babs")
    service = create(http, "Services", displayName="Mail")
    extension = {ACCOUNT_GROUP: {"services": [{"value": service["id"]}]}}
    return {"Users": user, "Services": service, "Groups": create_group(http, "Guides", user["id"], **extension)}


def seen(http: httpx2.Client) -> list[Any]:
    return [http.get(path).json() for path in ("Users", "Groups", "Services")]


def test_two_tenants_hold_the_same_names_without_noticing(callers: Callable[[], Caller]) -> None:
    first, second = callers().http, callers().http
    ours = fill(first)
    before = seen(first)
    theirs = fill(second)
    assert seen(first) == before
    for path in ("Users", "Groups", "Services"):
        assert [r["id"] for r in second.get(path).json()["Resources"]] == [theirs[path]["id"]]
        assert ours[path]["id"] != theirs[path]["id"]


def test_every_operation_on_another_tenants_id_is_404(callers: Callable[[], Caller]) -> None:
    first, second = callers().http, callers().http
    ours = fill(first)
    before = seen(first)
    for path, resource in ours.items():
        body = {"userName": "x", "displayName": "x"}
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            response = second.request(method, f"{path}/{resource['id']}", json=body if method == "PUT" else None)
            assert response.status_code == 404
        unknown, foreign = (second.get(f"{path}/{id}").json() for id in ("x" * 36, resource["id"]))
        assert unknown["detail"].replace("x" * 36, "") == foreign["detail"].replace(resource["id"], "")
    assert seen(first) == before


def test_references_never_cross_tenants(callers: Callable[[], Caller]) -> None:
    first, second = callers().http, callers().http
    ours = fill(first)
    before = seen(first)
    for reference in (
        {"members": [{"value": ours["Users"]["id"]}]},
        {"members": [{"value": ours["Groups"]["id"]}]},
        {ACCOUNT_GROUP: {"services": [{"value": ours["Services"]["id"]}]}},
    ):
        assert_scim_error(second.post("Groups", json={"displayName": "x", **reference}), 400, "invalidValue")
    report = create_user(second, "report", **{ENTERPRISE: {"manager": {"value": ours["Users"]["id"]}}})
    assert report[ENTERPRISE]["manager"] == {"value": ours["Users"]["id"]}
    assert seen(first) == before


def test_filters_and_search_stay_within_the_tenant(callers: Callable[[], Caller]) -> None:
    first, second = callers().http, callers().http
    ours = fill(first)
    for text in (
        'userName eq "bjensen"', 'userName eq "bjensen" or externalId eq "1"', f'id eq "{ours["Users"]["id"]}"',
        'not (userName eq "nobody")', "displayName pr or id pr",
    ):  # fmt: skip
        assert second.get("Users", params={"filter": text}).json()["totalResults"] == 0
        assert second.post("Users/.search", json={"filter": text}).json()["totalResults"] == 0
        assert first.get("Users", params={"filter": text}).json()["totalResults"] == 1
