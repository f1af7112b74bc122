import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scim_server.protocol import query as queries
from scim_server.protocol.errors import ScimError
from scim_server.protocol.limits import DEFAULT_COUNT, MAX_RESULTS
from scim_server.protocol.projection import Projection
from scim_server.protocol.query import (
    LIST_RESPONSE,
    Query,
    list_head,
    projection_in,
    read_parameters,
    sort_attribute,
)
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import ResourceType
from tests.protocol import json_values, outcome, refused
from tests.scim import ENTERPRISE, USER

SEARCH_REQUEST = queries.SEARCH_REQUEST


def read_search(resource_types: Sequence[ResourceType], body: Any) -> Query:
    """Read a SearchRequest, with the schemas that it does not name."""
    if isinstance(body, dict) and not any(name.lower() == "schemas" for name in body):
        body = {"schemas": [SEARCH_REQUEST]} | body
    return queries.read_search(resource_types, body)


@pytest.fixture(scope="session")
def user(registry: Registry) -> Sequence[ResourceType]:
    return [registry.resource_types["User"]]


@pytest.fixture(scope="session")
def every(registry: Registry) -> Sequence[ResourceType]:
    return list(registry.resource_types.values())


# Parameters of a URL


def test_without_parameters_the_first_page_is_asked_for(user: Sequence[ResourceType]) -> None:
    query = read_parameters(user, {"unknown": "x", "STARTINDEX": "5"})
    assert query == Query()
    assert (query.start_index, query.count, query.descending) == (1, DEFAULT_COUNT, False)
    assert query.projection.is_default()
    assert query.filter is query.sort_by is query.cursor is None


@pytest.mark.parametrize(("text", "index"), [("1", 1), ("2", 2), ("+7", 7), ("007", 7), ("0", 1), ("-5", 1)])
def test_a_start_index_below_one_means_one(user: Sequence[ResourceType], text: str, index: int) -> None:
    assert read_parameters(user, {"startIndex": text}).start_index == index


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("-1", 0),
        ("3", 3),
        ("1000", MAX_RESULTS),
        ("1001", MAX_RESULTS),
        ("9" * 40, MAX_RESULTS),
        ("-" + "9" * 40, 0),
    ],
)
def test_a_count_is_kept_between_nothing_and_the_maximum(user: Sequence[ResourceType], text: str, count: int) -> None:
    assert read_parameters(user, {"count": text}).count == count


def test_a_huge_start_index_stays_within_64_bits(user: Sequence[ResourceType]) -> None:
    assert 10**18 < read_parameters(user, {"startIndex": "99999999999999999999"}).start_index < 2**63


@pytest.mark.parametrize("name", ["startIndex", "count"])
@pytest.mark.parametrize(
    "text", ["abc", "1.5", "1e3", " 1", "1 ", "--1", "0x1", "\N{FULLWIDTH DIGIT ONE}", "1\n", "9" * 41, "null"]
)
def test_what_is_no_integer_is_refused(user: Sequence[ResourceType], name: str, text: str) -> None:
    with refused("invalidValue", f"{name} must be an integer."):
        read_parameters(user, {name: text})


def test_names_are_separated_by_commas(user: Sequence[ResourceType]) -> None:
    expected = Projection(included=frozenset({"username", "emails.value"}))
    assert projection_in(user, {"attributes": "userName, emails.VALUE,,nosuch"}) == expected
    assert read_parameters(user, {"attributes": "userName,emails.value"}).projection == expected


def test_excluded_names_are_separated_by_commas(user: Sequence[ResourceType]) -> None:
    expected = Projection(excluded=frozenset({"emails", "name"}))
    assert projection_in(user, {"excludedAttributes": "emails,name"}) == expected


def test_both_lists_of_names_are_refused(user: Sequence[ResourceType]) -> None:
    with refused("invalidValue", "attributes and excludedAttributes cannot be used together."):
        projection_in(user, {"attributes": "userName", "excludedAttributes": "emails"})


def test_names_pass_the_gate_for_text(user: Sequence[ResourceType]) -> None:
    with refused("invalidValue", "A parameter contains the character U+0000, which is not allowed."):
        projection_in(user, {"attributes": "userName\0"})


def test_filter_sort_and_cursor_are_taken_as_they_are(user: Sequence[ResourceType]) -> None:
    given = {"filter": 'userName eq "Bjensen"', "sortBy": "Name.familyName", "cursor": "VZUTiyhEQJ94IR"}
    query = read_parameters(user, given)
    assert (query.filter, query.sort_by, query.cursor) == tuple(given.values())


@pytest.mark.parametrize(
    ("order", "descending"),
    [("ascending", False), ("descending", True), ("DESCENDING", True), ("Ascending", False)],
)
def test_the_order_is_ascending_unless_descending_is_asked_for(
    user: Sequence[ResourceType], order: str, descending: bool
) -> None:
    assert read_parameters(user, {"sortBy": "title", "sortOrder": order}).descending is descending
    assert read_search(user, {"sortBy": "title", "sortOrder": order}).descending is descending
    assert not read_parameters(user, {"sortBy": "title"}).descending


@pytest.mark.parametrize("order", ["", "desc", "up", "descending "])
def test_another_order_is_refused(user: Sequence[ResourceType], order: str) -> None:
    with refused("invalidValue", "sortOrder must be ascending or descending."):
        read_parameters(user, {"sortOrder": order})


def test_an_empty_sort_attribute_is_none(user: Sequence[ResourceType]) -> None:
    assert read_parameters(user, {"sortBy": ""}).sort_by is None


def test_an_empty_cursor_begins_a_walk(user: Sequence[ResourceType]) -> None:
    assert not read_parameters(user, {"cursor": ""}).cursor
    assert read_parameters(user, {"cursor": ""}).cursor is not None


def test_a_cursor_and_a_start_index_exclude_each_other(user: Sequence[ResourceType]) -> None:
    for cursor in ("", "x"):
        with refused("invalidValue", "cursor and startIndex cannot be used together."):
            read_parameters(user, {"cursor": cursor, "startIndex": "1"})
        with refused("invalidValue", "cursor and startIndex cannot be used together."):
            read_search(user, {"cursor": cursor, "startIndex": 1})


# What a cursor belongs to


@pytest.mark.parametrize("parameters", [{"count": "5"}, {"attributes": "id"}, {"sortBy": "TITLE"}, {"cursor": "x"}])
def test_the_page_and_what_is_shown_leave_the_mark_alone(
    user: Sequence[ResourceType], parameters: dict[str, str]
) -> None:
    common = {"filter": "title pr", "sortBy": "title"}
    assert read_parameters(user, common | parameters).mark(1) == read_parameters(user, common).mark(1)


@pytest.mark.parametrize(
    "parameters",
    [{"filter": "title"}, {"sortBy": "title"}, {"sortOrder": "descending"}, {"filter": "a", "sortBy": "b"}],
)
def test_place_filter_and_order_make_the_mark(user: Sequence[ResourceType], parameters: dict[str, str]) -> None:
    query = read_parameters(user, parameters)
    assert query.mark(1) != Query().mark(1)
    assert query.mark(1) != query.mark(2) != query.mark(1, 2)


# SearchRequest


def test_a_search_says_what_a_url_says(user: Sequence[ResourceType]) -> None:
    search = {
        "schemas": [SEARCH_REQUEST],
        "attributes": ["userName", "emails.value"],
        "filter": 'userName eq "bjensen"',
        "sortBy": "userName",
        "sortOrder": "descending",
        "startIndex": 3,
        "count": 10,
        "unknown": {},
    }
    parameters = {
        "attributes": "userName,emails.value",
        "filter": 'userName eq "bjensen"',
        "sortBy": "userName",
        "sortOrder": "descending",
        "startIndex": "3",
        "count": "10",
    }
    assert read_search(user, search) == read_parameters(user, parameters)
    for other in ({"cursor": "x"}, {"cursor": ""}):
        assert read_search(user, other) == read_parameters(user, other)
    excluded = {"excludedAttributes": "emails"}
    assert read_search(user, {"excludedAttributes": ["emails"]}) == read_parameters(user, excluded)


MEMBERS = ["attributes", "excludedAttributes", "filter", "sortBy", "sortOrder", "startIndex", "count", "cursor"]


@pytest.mark.parametrize("body", [{}, dict.fromkeys(MEMBERS)])
def test_an_empty_search_asks_for_the_first_page(user: Sequence[ResourceType], body: dict[str, Any]) -> None:
    assert read_search(user, body) == read_parameters(user, {})


@pytest.mark.parametrize(
    ("members", "start_index", "count"),
    [
        ({"startIndex": 0}, 1, DEFAULT_COUNT),
        ({"startIndex": -5, "count": -1}, 1, 0),
        ({"count": 0}, 1, 0),
        ({"count": 2**70}, 1, MAX_RESULTS),
        ({"startIndex": 2**70}, 2**62, DEFAULT_COUNT),
    ],
)
def test_numbers_of_a_search_are_kept_in_range(
    user: Sequence[ResourceType], members: dict[str, Any], start_index: int, count: int
) -> None:
    query = read_search(user, members)
    assert (query.start_index, query.count) == (start_index, count)


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_search_is_an_object(user: Sequence[ResourceType], body: Any) -> None:
    with refused("invalidSyntax", "The body must be a SearchRequest object."):
        read_search(user, body)


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"count": "10"}, "startIndex and count must be integers."),
        ({"startIndex": "1"}, "startIndex and count must be integers."),
        ({"count": 1.5}, "Of the SearchRequest, count has the wrong type."),
        ({"startIndex": 1.5}, "Of the SearchRequest, startIndex has the wrong type."),
        ({"startIndex": True}, "Of the SearchRequest, startIndex has the wrong type."),
        ({"attributes": "userName"}, "Of the SearchRequest, attributes has the wrong type."),
        ({"attributes": ["userName", None]}, "Of the SearchRequest, attributes has the wrong type."),
        ({"excludedAttributes": [5]}, "Of the SearchRequest, excludedAttributes has the wrong type."),
        ({"sortBy": 5}, "Of the SearchRequest, sortBy has the wrong type."),
        ({"cursor": False}, "Of the SearchRequest, cursor has the wrong type."),
        ({"sortOrder": "up"}, "sortOrder must be ascending or descending."),
        ({"filter": 5, "count": []}, "Of the SearchRequest, count, filter has the wrong type."),
        ({"attributes": [], "excludedAttributes": []}, "attributes and excludedAttributes cannot be used together."),
    ],
)
def test_members_of_a_search_have_their_json_types(
    user: Sequence[ResourceType], members: dict[str, Any], detail: str
) -> None:
    with refused("invalidValue", detail):
        read_search(user, members)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(MEMBERS), json_values()))
def test_any_search_is_accepted_or_refused_as_scim_says(user: Sequence[ResourceType], body: dict[str, Any]) -> None:
    result = outcome(read_search, user, body)
    if isinstance(result, ScimError):
        assert (result.status, result.scim_type) == (400, "invalidValue")
    else:
        assert 1 <= result.start_index < 2**63 and 0 <= result.count <= MAX_RESULTS


# Sorting


@pytest.mark.parametrize(
    ("sort_by", "path"),
    [
        ("userName", "userName"),
        ("NAME.FAMILYNAME", "name.familyName"),
        (f"{USER}:title", "title"),
        (f"{ENTERPRISE}:department", f"{ENTERPRISE}:department"),
        ("department", f"{ENTERPRISE}:department"),
        ("emails", "emails.value"),
        ("emails.type", "emails.type"),
        ("meta.created", "meta.created"),
        ("id", "id"),
    ],
)
def test_a_path_names_the_attribute_to_sort_by(user: Sequence[ResourceType], sort_by: str, path: str) -> None:
    found = sort_attribute(user, sort_by)
    assert {name: attribute.path for name, attribute in found.items()} == {"User": path}


def test_each_type_that_has_the_attribute_is_sorted_by_it(every: Sequence[ResourceType]) -> None:
    assert sort_attribute(every, "displayName").keys() == {"User", "Group", "Service"}
    assert sort_attribute(every, "userName").keys() == {"User"}


@pytest.mark.parametrize("sort_by", ["nosuch", "name.nosuch", USER, " title"])
def test_an_unknown_attribute_cannot_be_sorted_by(every: Sequence[ResourceType], sort_by: str) -> None:
    with refused("invalidValue", f"sortBy: there is no attribute {sort_by!r}."):
        sort_attribute(every, sort_by)


@pytest.mark.parametrize("sort_by", ["name", "addresses", "meta", f"{ENTERPRISE}:manager"])
def test_a_complex_value_cannot_be_sorted_by(user: Sequence[ResourceType], sort_by: str) -> None:
    with refused("invalidValue", f"sortBy: {sort_by} is complex; name one of its sub-attributes."):
        sort_attribute(user, sort_by)


@pytest.mark.parametrize("sort_by", ["password", "meta.version"])
def test_neither_a_secret_nor_the_version_can_be_sorted_by(user: Sequence[ResourceType], sort_by: str) -> None:
    with refused("invalidValue", f"sortBy: {sort_by} cannot be sorted by."):
        sort_attribute(user, sort_by)


# ListResponse


@given(st.integers(0), st.lists(st.dictionaries(st.text(), st.text(), max_size=2), max_size=4), st.text())
def test_a_list_response_holds_its_resources(total: int, resources: list[dict[str, str]], cursor: str) -> None:
    rendered = [json.dumps(resource).encode() for resource in resources]
    expected = {
        "schemas": [LIST_RESPONSE],
        "totalResults": total,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }

    def listed(**paging: int | str) -> bytes:
        return list_head(total, len(rendered), **paging) + b",".join(rendered) + b"]}"

    assert json.loads(listed()) == expected
    assert json.loads(listed(startIndex=5)) == expected | {"startIndex": 5}
    assert json.loads(listed(nextCursor=cursor)) == expected | {"nextCursor": cursor}
