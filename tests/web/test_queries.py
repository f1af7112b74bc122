import threading
from typing import Any

import httpx2
import pytest

from tests.conftest import Caller
from tests.scim import (
    ACCOUNT_GROUP,
    ACCOUNT_USER,
    ENTERPRISE,
    LIST,
    USER,
    assert_scim_error,
    create,
    create_group,
    create_user,
)


@pytest.fixture
def people(http: httpx2.Client) -> list[dict[str, Any]]:
    return [create_user(http, f"user{number}", title=f"T{number}") for number in range(7)]


def ids(answer: dict[str, Any]) -> list[str]:
    return [resource["id"] for resource in answer["Resources"]]


def test_a_list_has_everything_in_the_order_of_creation(http: httpx2.Client, people: list[dict[str, Any]]) -> None:
    response = http.get("Users")
    assert response.headers["Content-Type"] == "application/scim+json"
    assert response.json() == {
        "schemas": [LIST], "totalResults": 7, "startIndex": 1, "itemsPerPage": 7, "Resources": people,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "start", "first", "last"),
    [
        ("startIndex=1&count=3", 1, 0, 3),
        ("startIndex=4&count=3", 4, 3, 6),
        ("startIndex=7&count=3", 7, 6, 7),
        ("startIndex=8", 8, 7, 7),
        ("startIndex=99999999999999999999999", 2**62, 7, 7),
        ("startIndex=0", 1, 0, 7),
        ("startIndex=-5&count=2", 1, 0, 2),
        ("count=0", 1, 0, 0),
        ("count=-1", 1, 0, 0),
        ("count=100000000000000000000", 1, 0, 7),
        ("foo=bar&aadOptscim062020", 1, 0, 7),
        ("&", 1, 0, 7),
    ],
)
def test_pages_are_counted_from_one(
    http: httpx2.Client, people: list[dict[str, Any]], query: str, start: int, first: int, last: int
) -> None:
    answer = http.get(f"Users?{query}").json()
    assert answer["totalResults"] == 7
    assert answer["startIndex"] == start
    assert answer["itemsPerPage"] == last - first
    assert answer["Resources"] == people[first:last]


@pytest.mark.parametrize("query", ["count=abc", "startIndex=1.5", "count=١", "startIndex=1e3"])
def test_a_number_that_is_none_is_an_invalid_value(http: httpx2.Client, query: str) -> None:
    assert_scim_error(http.get(f"Users?{query}"), 400, "invalidValue")


def test_attributes_and_excluded_attributes_choose_what_is_shown(http: httpx2.Client) -> None:
    made = create_user(
        http, emails=[{"value": "a@b.c", "type": "work"}], **{ENTERPRISE: {"department": "D", "division": "V"}}
    )
    path = f"Users/{made['id']}"
    always = {"schemas": made["schemas"], "id": made["id"]}
    assert http.get(f"{path}?attributes=USERNAME,nosuch").json() == always | {"userName": "bjensen"}
    assert http.get(f"{path}?attributes=emails.value").json() == always | {"emails": [{"value": "a@b.c"}]}
    assert http.get(f"{path}?attributes={ENTERPRISE}:department").json() == always | {ENTERPRISE: {"department": "D"}}
    assert http.get(f"{path}?attributes={ENTERPRISE}").json() == always | {ENTERPRISE: made[ENTERPRISE]}
    assert http.get(f"{path}?attributes={USER}:userName").json() == always | {"userName": "bjensen"}
    assert http.get(f"{path}?attributes=").json() == always
    core = {"userName", "active", "emails"} & made.keys()
    assert http.get(f"{path}?attributes={USER}").json() == always | {name: made[name] for name in core}
    assert http.get(f"{path}?excludedAttributes={USER}").json().keys() == made.keys() - core
    for excluded in (
        "emails&excludedAttributes=userName",
        "emails,userName",
        f"{USER}:emails,{USER}.userName",
        "emails&excludedattributes=USERNAME",
    ):
        left = http.get(f"{path}?excludedAttributes={excluded}").json()
        assert left.keys() == made.keys() - {"emails", "userName"}, excluded
    shown = http.get(f"{path}?excludedAttributes=emails,id,schemas,meta.version").json()
    expected = {name: value for name, value in made.items() if name != "emails"}
    expected["meta"] = {name: value for name, value in made["meta"].items() if name != "version"}
    assert shown == expected
    assert_scim_error(http.get(f"{path}?attributes=id&excludedAttributes=meta"), 400, "invalidValue")


def test_writes_answer_what_was_asked_for(http: httpx2.Client) -> None:
    made = http.post("Users?attributes=userName", json={"userName": "x", "title": "T"})
    assert set(made.json()) == {"schemas", "id", "userName"}
    assert made.headers["Location"].endswith(made.json()["id"])
    changed = http.put(f"Users/{made.json()['id']}?excludedAttributes=userName", json={"userName": "x"})
    assert "userName" not in changed.json()
    assert changed.headers["ETag"] == changed.json()["meta"]["version"]


def test_a_search_by_post_finds_what_get_finds(http: httpx2.Client, people: list[dict[str, Any]]) -> None:
    for parameters in (
        {"filter": 'userName sw "user"', "startIndex": 2, "count": 3},
        {"filter": 'title eq "t3"', "attributes": "userName"},
        {"excludedAttributes": "meta,title", "count": 2},
        {},
    ):
        body = dict(parameters)
        for name in ("attributes", "excludedAttributes"):
            if name in body:
                body[name] = body[name].split(",")
        found = http.post(
            "Users/.search", json={"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], **body}
        )
        assert found.status_code == 200
        assert found.json() == http.get("Users", params=parameters).json()


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        ([], "invalidSyntax"),
        ({"count": "ten"}, "invalidValue"),
        ({"startIndex": 1.5}, "invalidValue"),
        ({"filter": 5}, "invalidValue"),
        ({"attributes": "userName"}, "invalidValue"),
        ({"filter": "userName eq"}, "invalidFilter"),
        ({"attributes": ["id"], "excludedAttributes": ["meta"]}, "invalidValue"),
    ],
)
def test_a_wrong_search_request_is_refused(http: httpx2.Client, body: object, scim_type: str) -> None:
    assert_scim_error(http.post("Users/.search", json=body), 400, scim_type)


def test_filters_select(http: httpx2.Client) -> None:
    first = create_user(http, "bjensen", active=True, externalId="AbC", title="Tour Guide",
                        emails=[{"value": "bjensen@example.com", "type": "work"}, {"value": "babs@jensen.org", "type": "home"}],
                        **{ENTERPRISE: {"costCenter": "4130"}})  # fmt: skip
    second = create_user(http, "50%_off", active=False, emails=[{"value": "a+b@x.org"}])
    both = [first["id"], second["id"]]
    for text, expected in (
        ('userName eq "BJENSEN"', both[:1]),
        ('userName co "%"', both[1:]),
        ('userName co "_"', both[1:]),
        ('userName ne "bjensen"', both[1:]),
        ('title ne "x"', both),
        ("title pr", both[:1]),
        ("not (title pr)", both[1:]),
        ('externalId eq "AbC"', both[:1]),
        ('externalId eq "abc"', []),
        ("active eq false", both[1:]),
        ('emails.value eq "a+b@x.org"', both[1:]),
        ('emails[type eq "work" and value co "@jensen.org"]', []),
        ('emails.type eq "work" and emails.value co "@jensen.org"', both[:1]),
        ('emails[type eq "home"].value sw "babs"', both[:1]),
        (f'{ENTERPRISE}:costCenter eq "4130"', both[:1]),
        ('title pr or active eq false and userName sw "b"', both[:1]),
        ('meta.created gt "2020-01-01T00:00:00+09:00"', both),
        ('userName eq "x\' OR 1=1 --"', []),
        ('userName gt "a"', both[:1]),
        ('userName ew "SEN"', both[:1]),
    ):  # fmt: skip
        answer = http.get("Users", params={"filter": text}).json()
        assert ids(answer) == expected, text
        assert answer["totalResults"] == len(expected), text


@pytest.mark.parametrize(
    "text",
    ["", "userName eq", 'nosuch eq "x"', 'userName regex "b"', "active gt true", 'password eq "x"', 'name eq "x"',
     "userName eq 'x'", "(" * 10_000, 'userName eq "' + "x" * 3000, 'meta.version eq "x"'],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_filter_that_cannot_be_answered_is_refused(http: httpx2.Client, text: str) -> None:
    if len(text) > 5000:
        assert_scim_error(http.post("Users/.search", json={"filter": text}), 400, "invalidFilter")
    else:
        assert_scim_error(http.get("Users", params={"filter": text}), 400, "invalidFilter")


def test_filters_select_by_what_is_derived(http: httpx2.Client) -> None:
    boss = create_user(http, "boss", displayName="John Smith", active=False)
    user = create_user(http, "worker", **{ENTERPRISE: {"manager": {"value": boss["id"]}}})
    mail = create(http, "Services", displayName="Mail")
    inner = create_group(http, "Inner", user["id"])
    outer = create_group(
        http, "Outer", inner["id"], boss["id"], **{ACCOUNT_GROUP: {"services": [{"value": mail["id"]}]}}
    )
    both = [boss["id"], user["id"]]
    for path, text, expected in (
        ("Users", f'groups.value eq "{outer["id"]}"', both),
        ("Users", f'groups[value eq "{outer["id"]}" and type eq "direct"]', both[:1]),
        ("Users", f'groups[value eq "{outer["id"]}" and type eq "indirect"]', both[1:]),
        ("Users", f'groups[value eq "{outer["id"]}"].type eq "indirect"', both[1:]),
        ("Users", 'groups.display eq "inner"', both[1:]),
        ("Users", 'groups.type eq "direct"', both),
        ("Users", f'groups.$ref eq "{outer["meta"]["location"]}"', both),
        ("Users", 'not (groups.display eq "Inner")', both[:1]),
        ("Users", 'groups.display ne "Inner"', both),
        ("Users", f'{ACCOUNT_USER}:services.display eq "mail"', both),
        ("Users", f'{ACCOUNT_USER}:services.value eq "{mail["id"]}"', both),
        ("Users", f"not ({ACCOUNT_USER}:services pr)", []),
        ("Users", f'{ACCOUNT_USER}:accountStatus eq "disabled"', both[:1]),
        ("Users", 'accountStatus eq "active" and services.display eq "Mail"', both[1:]),
        ("Users", f'{ACCOUNT_USER}:accountStatus ne "Disabled"', both[1:]),
        ("Users", f'{ACCOUNT_USER}:companyName sw "example"', both),
        ("Users", f'{ENTERPRISE}:manager.displayName co "SMITH"', both[1:]),
        ("Users", f'{ENTERPRISE}:manager.$ref eq "{boss["meta"]["location"]}"', both[1:]),
        ("Users", 'meta.resourceType eq "User"', both),
        ("Users", 'meta.resourceType eq "user"', []),
        ("Users", f'meta.location eq "{user["meta"]["location"]}"', both[1:]),
        ("Users", f'schemas eq "{ENTERPRISE}"', both[1:]),
        ("Users", f'schemas eq "{ACCOUNT_USER}" and schemas co "core:2.0"', both),
        ("Groups", f'members.value eq "{user["id"]}"', [inner["id"]]),
        ("Groups", f'members[value eq "{inner["id"]}" and type eq "Group"]', [outer["id"]]),
        ("Groups", f'members[value eq "{inner["id"]}" and type eq "User"]', []),
        ("Groups", 'members.display sw "john"', [outer["id"]]),
        ("Groups", 'members.type eq "user" and members.type eq "group"', [outer["id"]]),
        ("Groups", f'members.$ref eq "{user["meta"]["location"]}"', [inner["id"]]),
        ("Groups", "members pr", [inner["id"], outer["id"]]),
        ("Groups", f'schemas eq "{ACCOUNT_GROUP}"', [outer["id"]]),
        ("Groups", f'{ACCOUNT_GROUP}:services.display eq "Mail"', [outer["id"]]),
        ("Services", 'displayName eq "mail"', [mail["id"]]),
    ):  # fmt: skip
        answer = http.get(path, params={"filter": text}).json()
        assert ids(answer) == expected, text
        assert answer["totalResults"] == len(expected), text


def test_a_missing_primary_counts_as_false(http: httpx2.Client) -> None:
    first = create_user(http, "a", emails=[{"value": "a@b.c"}, {"value": "d@e.f", "primary": True}])["id"]
    second = create_user(http, "b", emails=[{"value": "a@b.c", "primary": False}])["id"]
    third = create_user(http, "c", emails=[{"value": "a@b.c"}])["id"]
    fourth = create_user(http, "d")["id"]
    for text, expected in (
        ("emails[primary eq false]", [first, second, third]),
        ('emails[value eq "a@b.c" and primary eq false]', [first, second, third]),
        ("emails.primary eq false", [first, second, third]),
        ("emails.primary eq true", [first]),
        ("emails[primary ne false]", [first]),
        ("emails[primary ne true]", [first, second, third]),
        ("emails.primary ne true", [first, second, third, fourth]),
        ("not (emails.primary eq true)", [second, third, fourth]),
    ):
        assert ids(http.get("Users", params={"filter": text}).json()) == expected, text


@pytest.mark.parametrize("leaf", ['schemas ne "x"', "userName pr", 'emails[type ne "x"]', 'groups.display ne "x"', 'emails.value ne "x"',
                                  'accountStatus ne "active"', 'groups[type eq "direct" and display ne "x"]', "name pr"])  # fmt: skip
def test_the_deepest_filter_is_answered_whatever_it_is_about(http: httpx2.Client, leaf: str) -> None:
    create_user(http)
    alternating = negated = leaf
    for level in range(31):
        alternating = f"(title pr or {alternating})" if level % 2 else f"(userName pr and {alternating})"
        negated = f"not ({negated})" if level % 2 else f"not ({negated} and userName pr)"
    for text in (alternating, negated):
        response = http.post("Users/.search", json={"filter": text})
        assert response.status_code == 200, response.text
    branching = leaf
    for _ in range(5):
        branching = f"(({branching} and userName pr) or not ({branching} or title pr))"
    assert http.post("Users/.search", json={"filter": branching}).status_code == 200


def test_the_total_is_that_of_the_page_while_others_write(caller: Caller) -> None:
    stop = threading.Event()

    def write() -> None:
        with httpx2.Client(base_url=caller.http.base_url, headers=caller.http.headers) as client:
            while not stop.is_set():
                client.delete(f"Users/{create_user(client)['id']}")

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(150):
            answer = caller.http.get("Users").json()
            assert answer["totalResults"] == len(answer["Resources"])
    finally:
        stop.set()
        writing.join()
