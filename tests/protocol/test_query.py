import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scim_server.protocol.errors import ScimError
from scim_server.protocol.limits import DEFAULT_COUNT, MAX_RESULTS
from scim_server.protocol.projection import DEFAULT, Projection
from scim_server.protocol.query import LIST_RESPONSE, projection_in, read_parameters, read_search, render_list
from scim_server.protocol.schema import Registry, ResourceType
from tests.protocol import json_values, outcome, refused

SEARCH_REQUEST = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


@pytest.fixture(scope="session")
def user(registry: Registry) -> ResourceType:
    return registry.resource_types["User"]


# Parameters of a URL


def test_without_parameters_the_first_page_is_asked_for(user: ResourceType) -> None:
    query = read_parameters(user, {"unknown": "x", "STARTINDEX": "5"})
    assert (query.start_index, query.count, query.projection, query.filter) == (1, DEFAULT_COUNT, DEFAULT, None)


@pytest.mark.parametrize(("text", "index"), [("1", 1), ("2", 2), ("+7", 7), ("007", 7), ("0", 1), ("-5", 1)])
def test_a_start_index_below_one_means_one(user: ResourceType, text: str, index: int) -> None:
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
def test_a_count_is_kept_between_nothing_and_the_maximum(user: ResourceType, text: str, count: int) -> None:
    assert read_parameters(user, {"count": text}).count == count


def test_a_huge_start_index_stays_within_64_bits(user: ResourceType) -> None:
    assert 10**18 < read_parameters(user, {"startIndex": "99999999999999999999"}).start_index < 2**63


@pytest.mark.parametrize("name", ["startIndex", "count"])
@pytest.mark.parametrize(
    "text", ["", "abc", "1.5", "1e3", " 1", "1 ", "--1", "0x1", "\N{FULLWIDTH DIGIT ONE}", "1\n", "9" * 41, "null"]
)
def test_what_is_no_integer_is_refused(user: ResourceType, name: str, text: str) -> None:
    with refused("invalidValue", f"{name} must be an integer."):
        read_parameters(user, {name: text})


def test_names_are_separated_by_commas(user: ResourceType) -> None:
    expected = Projection(included=frozenset({"username", "emails.value"}))
    assert projection_in(user, {"attributes": "userName, emails.VALUE,,nosuch"}) == expected
    assert read_parameters(user, {"attributes": "userName,emails.value"}).projection == expected


def test_excluded_names_are_separated_by_commas(user: ResourceType) -> None:
    expected = Projection(excluded=frozenset({"emails", "name"}))
    assert projection_in(user, {"excludedAttributes": "emails,name"}) == expected


def test_both_lists_of_names_are_refused(user: ResourceType) -> None:
    with refused("invalidValue", "attributes and excludedAttributes cannot be used together."):
        projection_in(user, {"attributes": "userName", "excludedAttributes": "emails"})


def test_names_pass_the_gate_for_text(user: ResourceType) -> None:
    with refused("invalidValue", "A parameter contains the character U+0000, which is not allowed."):
        projection_in(user, {"attributes": "userName\0"})


def test_a_filter_is_read_for_the_resource_type(user: ResourceType) -> None:
    assert read_parameters(user, {"filter": 'userName eq "bjensen"'}).filter is not None
    for unfit in ("", "userName", 'members eq "x"'):
        with refused("invalidFilter"):
            read_parameters(user, {"filter": unfit})


# SearchRequest


def test_a_search_says_what_a_url_says(user: ResourceType) -> None:
    search = {
        "schemas": [SEARCH_REQUEST],
        "attributes": ["userName", "emails.value"],
        "filter": 'userName eq "bjensen"',
        "startIndex": 3,
        "count": 10,
        "unknown": {},
    }
    parameters = {
        "attributes": "userName,emails.value",
        "filter": 'userName eq "bjensen"',
        "startIndex": "3",
        "count": "10",
    }
    assert read_search(user, search) == read_parameters(user, parameters)
    assert read_search(user, {"excludedAttributes": ["emails"]}) == read_parameters(
        user, {"excludedAttributes": "emails"}
    )


@pytest.mark.parametrize(
    "body", [{}, dict.fromkeys(["attributes", "excludedAttributes", "filter", "startIndex", "count"])]
)
def test_an_empty_search_asks_for_the_first_page(user: ResourceType, body: dict[str, Any]) -> None:
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
    user: ResourceType, members: dict[str, Any], start_index: int, count: int
) -> None:
    query = read_search(user, members)
    assert (query.start_index, query.count) == (start_index, count)


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_search_is_an_object(user: ResourceType, body: Any) -> None:
    with refused("invalidSyntax", "The body must be a SearchRequest object."):
        read_search(user, body)


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"count": "10"}, "startIndex and count must be integers."),
        ({"startIndex": "1"}, "startIndex and count must be integers."),
        ({"count": 1.5}, "Of the SearchRequest, count has the wrong type."),
        ({"startIndex": True}, "Of the SearchRequest, startIndex has the wrong type."),
        ({"attributes": "userName"}, "Of the SearchRequest, attributes has the wrong type."),
        ({"attributes": ["userName", None]}, "Of the SearchRequest, attributes has the wrong type."),
        ({"excludedAttributes": [5]}, "Of the SearchRequest, excludedAttributes has the wrong type."),
        ({"filter": 5, "count": []}, "Of the SearchRequest, count, filter has the wrong type."),
        ({"attributes": [], "excludedAttributes": []}, "attributes and excludedAttributes cannot be used together."),
    ],
)
def test_members_of_a_search_have_their_json_types(user: ResourceType, members: dict[str, Any], detail: str) -> None:
    with refused("invalidValue", detail):
        read_search(user, members)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.sampled_from(["attributes", "excludedAttributes", "filter", "startIndex", "count"]), json_values()
    )
)
def test_any_search_is_accepted_or_refused_as_scim_says(user: ResourceType, body: dict[str, Any]) -> None:
    result = outcome(read_search, user, body)
    if isinstance(result, ScimError):
        assert (result.status, result.scim_type) in [(400, "invalidValue"), (400, "invalidFilter")]
    else:
        assert 1 <= result.start_index < 2**63 and 0 <= result.count <= MAX_RESULTS


# ListResponse


@given(st.integers(0), st.integers(1), st.lists(st.dictionaries(st.text(), st.text(), max_size=2), max_size=4))
def test_a_list_response_holds_its_resources(total: int, start: int, resources: list[dict[str, str]]) -> None:
    body = render_list(total, start, [json.dumps(resource).encode() for resource in resources])
    assert json.loads(body) == {
        "schemas": [LIST_RESPONSE],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }
