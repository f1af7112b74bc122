"""Pages in any order, by index and by cursor, against a sort in Python."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_server import tenants
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.limits import MAX_RESULTS
from scim_server.protocol.match import values_at
from scim_server.protocol.query import Query, read_parameters, sort_attribute
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.types import comparison_key
from scim_server.resources import listing
from scim_server.resources.base import Resources
from scim_server.tokens import Principal
from tests.filters import Maker
from tests.scim import ACCOUNT_GROUP, ACCOUNT_USER, ENTERPRISE
from tests.storage.conftest import House
from tests.storage.test_oracle import user as any_user

SORTED_BY = [
    "userName", "title", "externalId", "displayName", "name.familyName", "active", "nickName", "emails", "emails.type", "emails.display",
    "meta.created", "meta.lastModified", "id", f"{ENTERPRISE}:department", f"{ENTERPRISE}:costCenter", f"{ENTERPRISE}:manager.displayName",
    f"{ACCOUNT_USER}:validFrom", f"{ACCOUNT_USER}:accountStatus", "groups.display", "groups", "meta.location", "meta.resourceType", "schemas",
]  # fmt: skip


def expected_order(
    resource_type: ResourceType, documents: list[dict[str, Any]], sort_by: str, *, descending: bool
) -> list[str]:
    """Return the ids in the order of RFC 7644 section 3.4.2.3; the documents come in the order of creation."""
    (attribute,) = sort_attribute([resource_type], sort_by).values()
    keyed = [(sort_key(resource_type, attribute, document), document["id"]) for document in documents]
    having = [pair for pair in keyed if pair[0] is not None]
    lacking = [pair for pair in keyed if pair[0] is None]
    having.sort(key=lambda pair: pair[0], reverse=descending)
    if descending:
        # A stable sort in reverse keeps ties as they were: in the order of creation.
        return [id for _, id in lacking + having]
    return [id for _, id in having + lacking]


def sort_key(resource_type: ResourceType, attribute: Attribute, document: dict[str, Any]) -> str | None:
    parent = resource_type.attribute(attribute.path.rpartition(".")[0])
    if parent and parent.multi_valued:
        elements = [element for element in values_at(parent, document) if attribute.name in element]
        elements.sort(key=lambda element: not element.get("primary"))
        values = [element[attribute.name] for element in elements]
    else:
        values = list(values_at(attribute, document))
    return comparison_key(attribute.type, attribute.case_exact, values[0]) if values else None


def everything(resources: Resources, by: Principal, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(listing.answer([resources], by, Query(count=1000, **query)))["Resources"]
    return found


@pytest.fixture
def filled(house: House) -> House:
    make = Maker(Random(3))
    tenant = tenants.create(house.database, "pages", "Company", policies=())
    by = Principal("test", tenant, frozenset({"admin"}), habits=Habits(ALL))
    ids: list[str] = []
    for index in range(60):
        document = any_user(make) | {"userName": f"{make.name()}{index}"}
        if "emails" in document and len(document["emails"]) > 1:
            document["emails"][-1]["primary"] = True
        if index % 4 == 3:
            document[ENTERPRISE]["manager"] = {"value": ids[index // 2]}
        ids.append(json.loads(house.resources["User"].create(by, document).body)["id"])
    for _ in range(8):
        members = [{"value": id} for id in make.random.sample(ids, 5)]
        body = {"displayName": make.word(), "members": members, ACCOUNT_GROUP: {"description": make.word()}}
        house.resources["Group"].create(by, body)
    return House(house.database, house.resources, by)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort_by", SORTED_BY)
def test_every_attribute_sorts(filled: House, sort_by: str, descending: bool) -> None:
    users = filled.resources["User"]
    documents = everything(users, filled.by)
    expected = expected_order(users.resource_type, documents, sort_by, descending=descending)
    query = {"sort_by": sort_by, "descending": descending}
    assert [document["id"] for document in everything(users, filled.by, **query)] == expected
    for start in (1, 20, 59, 60, 61):
        page = json.loads(listing.answer([users], filled.by, Query(start_index=start, count=7, **query)))
        assert [document["id"] for document in page["Resources"]] == expected[start - 1 : start + 6]
    assert walk(users, filled.by, 7, **query) == expected


def walk(users: Resources, by: Principal, count: int, **query: Any) -> list[str]:
    """Walk to the end by cursor and back again, and return the ids in order; both ways must agree."""
    pages: list[list[str]] = []
    cursor = ""
    while True:
        page = json.loads(listing.answer([users], by, Query(count=count, cursor=cursor, **query)))
        assert "startIndex" not in page
        assert page["itemsPerPage"] == len(page["Resources"])
        assert ("previousCursor" in page) is bool(pages)
        pages.append([document["id"] for document in page["Resources"]])
        if "nextCursor" not in page:
            break
        cursor = page["nextCursor"]
    for expected in reversed(pages[:-1]):
        page = json.loads(listing.answer([users], by, Query(count=count, cursor=page["previousCursor"], **query)))
        assert [document["id"] for document in page["Resources"]] == expected
        assert "nextCursor" in page
    assert "previousCursor" not in page
    return [id for ids in pages for id in ids]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_walk_with_a_filter_has_what_one_page_has(filled: House, data: st.DataObject) -> None:
    users = filled.resources["User"]
    documents = everything(users, filled.by)
    make = Maker(Random(data.draw(st.integers(0, 10**9))))
    query = {
        "filter": make.filter(users.resource_type, documents),
        "sort_by": data.draw(st.sampled_from([None, *SORTED_BY])),
        "descending": data.draw(st.booleans()),
    }
    whole = [document["id"] for document in everything(users, filled.by, **query)]
    if whole:
        assert walk(users, filled.by, data.draw(st.integers(1, 70)), **query) == whole


@pytest.mark.parametrize("sort_by", ["nickName", "emails", f"{ACCOUNT_USER}:accountStatus", "userName"])
def test_a_walk_by_a_computed_key_through_alternatives_has_everything(filled: House, sort_by: str) -> None:
    users = filled.resources["User"]
    query = {"filter": 'name.familyName eq "a" or x509Certificates pr', "sort_by": sort_by}
    whole = [document["id"] for document in everything(users, filled.by, **query)]
    assert len(whole) > 10
    assert walk(users, filled.by, 1, **query) == whole


def test_a_walk_loses_and_doubles_nothing_while_others_insert_and_delete(filled: House) -> None:
    users = filled.resources["User"]
    ids = [document["id"] for document in everything(users, filled.by)]
    random = Random(5)
    for query in ({}, {"sort_by": "title"}, {"sort_by": "userName", "descending": True}):
        touched: set[str] = set()
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = json.loads(listing.answer([users], filled.by, Query(count=5, cursor=cursor, **query)))
            seen += [document["id"] for document in page["Resources"]]
            cursor = page.get("nextCursor")
            # The last resource of the page goes too: the walk must not need it to find its place.
            for id in {*random.sample(ids, 2), page["Resources"][-1]["id"]} - touched:
                users.delete(filled.by, id)
                touched.add(id)
            made = json.loads(users.create(filled.by, {"userName": f"new{random.random()}", "title": "m"}).body)["id"]
            touched.add(made)
            ids.append(made)
        untouched = [id for id in seen if id not in touched]
        assert sorted(untouched) == sorted(set(ids) - touched)
        assert len(seen) == len(set(seen))
        ids = [id for id in ids if id in {document["id"] for document in everything(users, filled.by)}]


@pytest.mark.parametrize(
    "change",
    [
        {"filter": "userName pr"},
        {"sort_by": "title"},
        {"descending": True},
        {"cursor": "x"},
        {"cursor": "é"},
        {"cursor": "A" * 80},
    ],
)
def test_a_cursor_fits_only_its_own_query(filled: House, change: dict[str, Any]) -> None:
    users = filled.resources["User"]
    first = {"count": 5, "sort_by": "userName"}
    page = json.loads(listing.answer([users], filled.by, Query(cursor="", **first)))
    with pytest.raises(ScimError) as caught:
        listing.answer([users], filled.by, Query(**{**first, "cursor": page["nextCursor"], **change}))
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidCursor")
    assert caught.value.detail == "The cursor is not valid for this query."


def test_a_cursor_grants_nothing_to_another_tenant(filled: House) -> None:
    users = filled.resources["User"]
    page = json.loads(listing.answer([users], filled.by, Query(cursor="", count=5)))
    other = tenants.create(filled.database, "other", "Company")
    with pytest.raises(ScimError, match="not valid for this query"):
        listing.answer([users], Principal("x", other, frozenset({"admin"})), Query(cursor=page["nextCursor"], count=5))


def test_every_changed_letter_of_a_cursor_is_noticed(filled: House) -> None:
    users = filled.resources["User"]
    cursor = json.loads(listing.answer([users], filled.by, Query(cursor="", count=5)))["nextCursor"]
    for index, letter in enumerate(cursor):
        other = "B" if letter == "A" else "A"
        changed = cursor[:index] + other + cursor[index + 1 :]
        with pytest.raises(ScimError, match="not valid for this query"):
            listing.answer([users], filled.by, Query(cursor=changed, count=5))


def test_a_page_has_at_most_the_advertised_number_of_resources(house: House) -> None:
    services = house.resources["Service"]
    for number in range(1_001):
        services.create(house.by, {"displayName": f"s{number}"})
    for parameters in ({"count": "5000"}, {"count": "5000", "cursor": ""}):
        page = json.loads(listing.answer([services], house.by, read_parameters([services.resource_type], parameters)))
        assert (page["totalResults"], len(page["Resources"])) == (1_001, MAX_RESULTS)
