"""RFC 9865 over HTTP."""

import re
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import httpx2
import pytest

from scim_server.protocol import cursor as cursors
from tests.conftest import Caller
from tests.scim import LIST, assert_scim_error, create, create_group, create_user


@pytest.fixture
def people(http: httpx2.Client) -> list[dict[str, Any]]:
    return [create_user(http, f"user{number}", title=f"T{number}") for number in range(6)]


def test_a_walk_has_every_resource_once(http: httpx2.Client, people: list[dict[str, Any]]) -> None:
    for start in ("cursor&count=2", "cursor=&count=2"):
        page = http.get(f"Users?{start}").json()
        assert set(page) == {"schemas", "totalResults", "itemsPerPage", "nextCursor", "Resources"}
        assert page["schemas"] == [LIST]
        found = page["Resources"]
        while "nextCursor" in page:
            assert re.fullmatch(r"[A-Za-z0-9._~-]+", page["nextCursor"])
            assert page["totalResults"] == 6
            page = http.get("Users", params={"cursor": page["nextCursor"], "count": 2}).json()
            found += page["Resources"]
        assert found == people


def test_a_walk_among_50_concurrent_deletes_has_every_other_resource_once(caller: Caller) -> None:
    ids = [create_user(caller.http, f"user{number}")["id"] for number in range(120)]
    doomed = Random(9865).sample(ids, 50)
    statuses: list[int] = []

    def delete() -> None:
        urls = (f"{caller.http.base_url}Users/{id}" for id in doomed)
        statuses.extend(httpx2.delete(url, headers=caller.http.headers).status_code for url in urls)

    deleting = threading.Thread(target=delete)
    deleting.start()
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = caller.http.get("Users", params={"cursor": cursor, "count": 3, "sortBy": "userName"}).json()
        seen += [user["id"] for user in page["Resources"]]
        cursor = page.get("nextCursor")
    deleting.join()
    assert statuses == [204] * 50
    assert len(seen) == len(set(seen))
    assert set(ids) - set(doomed) <= set(seen) <= set(ids)


def test_the_last_page_has_no_next_cursor_even_when_it_is_full(
    http: httpx2.Client, people: list[dict[str, Any]]
) -> None:
    assert "nextCursor" not in http.get("Users?cursor=&count=6").json()
    assert "nextCursor" in http.get("Users?cursor=&count=5").json()
    empty = http.get('Users?cursor=&filter=userName eq "nobody"').json()
    assert (empty["totalResults"], empty["Resources"], "nextCursor" in empty) == (0, [], False)


@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_count_gives_only_the_total(http: httpx2.Client, people: list[dict[str, Any]], count: str) -> None:
    page = http.get(f"Users?cursor=&count={count}").json()
    assert (page["totalResults"], page["Resources"], "nextCursor" in page) == (6, [], False)


def test_index_paging_is_the_default(http: httpx2.Client, people: list[dict[str, Any]]) -> None:
    page = http.get("Users?count=2").json()
    assert page["startIndex"] == 1
    assert "nextCursor" not in page
    assert_scim_error(http.get("Users?cursor=&startIndex=1"), 400, "invalidValue")
    pagination = http.get("ServiceProviderConfig").json()["pagination"]
    assert pagination == {
        "cursor": True, "index": True, "defaultPaginationMethod": "index", "defaultPageSize": 100, "maxPageSize": 1000,
        "cursorTimeout": 3600,
    }  # fmt: skip


def test_what_does_not_fit_the_walk_is_refused(http: httpx2.Client, people: list[dict[str, Any]]) -> None:
    following = http.get("Users?cursor=&count=2").json()["nextCursor"]
    assert_scim_error(http.get(f"Users?cursor={following}&count=3"), 400, "invalidCount")
    assert_scim_error(http.get(f"Users?cursor={following}"), 400, "invalidCount")
    assert_scim_error(http.get(f"Users?cursor={following}&count=2&sortBy=title"), 400, "invalidCursor")
    assert_scim_error(http.get(f"Groups?cursor={following}&count=2"), 400, "invalidCursor")
    assert_scim_error(http.get("Users?cursor=garbage&count=2"), 400, "invalidCursor")
    large = http.get("Users?cursor=&count=5000").json()
    assert large["itemsPerPage"] == 6


def test_an_old_cursor_is_expired() -> None:
    secret, query = b"s" * 32, "q"
    text = cursors.seal(cursors.Cursor("k", 5, False, 10, 1_000), secret, query)
    assert cursors.unseal(text, secret, query, 10, 4_600).key == 5
    with pytest.raises(Exception, match="older than 3600 seconds") as caught:
        cursors.unseal(text, secret, query, 10, 4_601)
    assert caught.value.scim_type == "expiredCursor"  # type: ignore[attr-defined]


def test_a_walk_by_search_request_may_go_on_by_get(http: httpx2.Client, people: list[dict[str, Any]]) -> None:
    body = {"cursor": "", "count": 4, "sortBy": "title", "sortOrder": "descending"}
    page = http.post("Users/.search", json=body).json()
    rest = http.get("Users", params={**body, "cursor": page["nextCursor"]}).json()
    assert [user["title"] for user in page["Resources"] + rest["Resources"]] == ["T5", "T4", "T3", "T2", "T1", "T0"]
    back = http.post("Users/.search", json={**body, "cursor": rest["previousCursor"]}).json()
    assert back["Resources"] == page["Resources"]


def test_a_cursor_of_a_token_that_was_narrowed_is_refused(caller: Caller) -> None:
    for number in range(3):
        create_user(caller.http, f"u{number}")
    following = caller.http.get("Users?cursor=&count=1").json()["nextCursor"]
    assert_scim_error(caller.token_for("groups:read").get(f"Users?cursor={following}&count=1"), 403)
    everything = caller.http.get("", params={"cursor": "", "count": 1}).json()["nextCursor"]
    create_group(caller.http)
    narrowed = caller.token_for("groups:read").get("", params={"cursor": everything, "count": 1})
    assert_scim_error(narrowed, 400, "invalidCursor")


@pytest.mark.parametrize(
    ("query", "scim_type"),
    [("sortBy=nosuch", "invalidValue"), ("sortBy=name", "invalidValue"), ("sortBy=password", "invalidValue"),
     ("sortBy=meta.version", "invalidValue"), ("sortBy=userName&sortOrder=up", "invalidValue"), ("sortOrder=", "invalidValue")],
)  # fmt: skip
def test_what_cannot_be_sorted_by_is_refused(http: httpx2.Client, query: str, scim_type: str) -> None:
    assert_scim_error(http.get(f"Users?{query}"), 400, scim_type)


def test_sorting_is_case_insensitive_by_unicode_and_exact_where_the_schema_says(http: httpx2.Client) -> None:
    for name in ("Zoe", "alice", "émile", "Bob"):
        create_user(http, name, externalId=name)
    by_name = http.get("Users?sortBy=USERNAME").json()["Resources"]
    assert [user["userName"] for user in by_name] == ["alice", "Bob", "Zoe", "émile"]
    by_id = http.get("Users?sortBy=externalId&sortOrder=ascending").json()["Resources"]
    assert [user["externalId"] for user in by_id] == ["Bob", "Zoe", "alice", "émile"]


def test_the_root_is_queried_over_all_types_that_may_be_read(caller: Caller, callers: Callable[[], Caller]) -> None:
    http = caller.http
    user = create_user(http, "smith", displayName="Smith")
    group = create_group(http, "Smiths", user["id"])
    service = create(http, "Services", displayName="Mail")
    user = http.get(f"Users/{user['id']}").json()
    create_user(callers().http, "smith", displayName="Smith")

    def found(answer: dict[str, Any]) -> list[dict[str, Any]]:
        assert answer["totalResults"] == len(answer["Resources"])
        return list(answer["Resources"])

    assert found(http.get("").json()) == [user, group, service]
    for text, expected in (
        ('displayName sw "smith"', [user, group]),
        ("userName pr", [user]),
        ("members pr", [group]),
        ('not (userName eq "smith")', [group, service]),
        ('userName ne "x"', [user, group, service]),
        ("userName eq null", [group, service]),
        ('meta.resourceType eq "Service"', [service]),
        ('meta.resourceType eq "User" or displayName eq "mail"', [user, service]),
        ('emails[type eq "work"]', []),
        ('emails[type eq "work"].value ne "x"', []),
        (f'id eq "{group["id"]}"', [group]),
    ):
        assert found(http.get("", params={"filter": text}).json()) == expected, text
        assert found(http.post(".search", json={"filter": text}).json()) == expected, text
    assert_scim_error(http.get("", params={"filter": 'nosuch eq "x"'}), 400, "invalidFilter")
    assert_scim_error(http.get("", params={"filter": "active gt true"}), 400, "invalidFilter")
    assert found(http.get("?sortBy=displayName&sortOrder=descending").json()) == [group, user, service]
    assert found(http.get("?sortBy=userName").json()) == [user, group, service]
    assert [r["id"] for r in http.get("?sortBy=displayName&startIndex=2&count=1").json()["Resources"]] == [user["id"]]
    shown = found(http.get("?attributes=userName").json())
    assert shown[0] == {"schemas": user["schemas"], "id": user["id"], "userName": "smith"}
    assert found(caller.token_for("groups:read", "services:read").get("").json()) == [group, service]
    assert_scim_error(caller.token_for("users:write").get(""), 403)
    page = http.get("?cursor=&count=2&sortBy=displayName").json()
    rest = http.get("", params={"cursor": page["nextCursor"], "count": 2, "sortBy": "displayName"}).json()
    assert page["Resources"] + rest["Resources"] == [service, user, group]
