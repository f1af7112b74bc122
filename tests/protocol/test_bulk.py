"""What does a BulkRequest say, and in which order are its operations done?"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim_server.protocol import bulk
from scim_server.protocol.compatibility import read_message
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import ALL, Habits
from tests.scim import LIST, PATCH_OP, USER

Needs = Sequence[set[int]]

IDS = {"a": "1", "b b": "2"}


def refusal(read: Callable[..., Any], *arguments: Any) -> tuple[int, str | None]:
    """Return status and scimType of what a call is refused with."""
    with pytest.raises(ScimError) as raised:
        read(*arguments)
    return raised.value.status, raised.value.scim_type


def read_request(body: Any, most: int) -> Any:
    """Read a BulkRequest as its sender means it."""
    return read_message(lambda sent: bulk.read_request(sent, most), body, bulk.BULK_REQUEST, bulk.MEMBERS, Habits(ALL))


# The message and its operations


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"failOnErrors": None}, None),
        ({"failOnErrors": 0}, None),
        ({"failOnErrors": 1}, 1),
        ({"FAILONERRORS": 7}, 7),
        ({"schemas": None}, None),
        ({"schemas": []}, None),
        ({"schemas": [bulk.BULK_REQUEST]}, None),
        ({"schemas": [bulk.BULK_REQUEST.upper()]}, None),
        ({"schemas": ["urn:example:other"]}, None),
        ({"schemas": [USER, bulk.BULK_REQUEST]}, None),
        ({"schemas": bulk.BULK_REQUEST, "other": 1}, None),
    ],
)
def test_a_request_is_read(members: dict[str, Any], expected: int | None) -> None:
    assert read_request({"Operations": [1, "x"]} | members, 2) == ([1, "x"], expected)


@pytest.mark.parametrize(
    ("status", "scim_type", "body"),
    [
        *((400, "invalidSyntax", body) for body in (None, [], "x", 5, True, {}, [{"Operations": [{}]}])),
        *((400, "invalidSyntax", {"Operations": value}) for value in (None, [], {}, "x", 5, {"0": {}})),
        *((400, "invalidSyntax", {"schemas": value, "Operations": [{}]}) for value in (5, [5], [None])),
        *((400, "invalidSyntax", {"schemas": [urn], "Operations": [{}]}) for urn in (PATCH_OP, LIST, USER)),
        (400, "invalidSyntax", {"schemas": [bulk.BULK_RESPONSE], "Operations": [{}]}),
        (400, "invalidSyntax", {"Operations": [{}], "operations": [{}]}),
        *((400, "invalidValue", {"Operations": [{}], "failOnErrors": value}) for value in (-1, 1.5, "1", True, False, [], {})),
        (413, None, {"Operations": [{}] * 3}),
    ],
)  # fmt: skip
def test_another_message_is_refused(status: int, scim_type: str | None, body: Any) -> None:
    assert refusal(read_request, body, 2) == (status, scim_type)


@pytest.mark.parametrize("schemas", [None, [], ["urn:example:other"], [USER, bulk.BULK_REQUEST], bulk.BULK_REQUEST])
def test_schemas_must_be_those_of_a_bulk_request_by_the_rfc(schemas: Any) -> None:
    assert refusal(bulk.read_request, {"schemas": schemas, "Operations": [{}]}, 2) == (400, "invalidSyntax")


def test_the_refusal_of_too_many_operations_names_the_limit() -> None:
    with pytest.raises(ScimError, match=r"maxOperations \(2\)"):
        read_request({"Operations": [{}] * 3}, 2)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_four_methods_are_read(method: str) -> None:
    assert bulk.read_method({"method": method}) == method


@pytest.mark.parametrize("method", ["GET", "HEAD", "", "POST ", None, 5, True, ["POST"], {"POST": 1}])
def test_another_method_is_refused(method: Any) -> None:
    assert refusal(bulk.read_method, {"method": method}) == (400, "invalidSyntax")
    assert refusal(bulk.read_method, {}) == (400, "invalidSyntax")


def test_a_post_needs_a_bulk_id_and_others_may_have_one() -> None:
    for method in bulk.METHODS:
        assert bulk.read_bulk_id({"bulkid": "x"}, method) == "x"
        for wrong in ("", 5, True, ["x"], {}):
            assert refusal(bulk.read_bulk_id, {"bulkid": wrong}, method) == (400, "invalidSyntax")
    for members in ({}, {"bulkid": None}):
        assert refusal(bulk.read_bulk_id, members, "POST") == (400, "invalidSyntax")
        for method in ("PUT", "PATCH", "DELETE"):
            assert bulk.read_bulk_id(members, method) is None


@pytest.mark.parametrize(
    ("path", "collection", "resource"),
    [
        ("/Users", ("Users", None), None),
        ("Users", ("Users", None), None),
        ("/Users/", ("Users", None), None),
        ("/Users/1", None, ("Users", "1")),
        ("Users//1/", None, ("Users", "1")),
        ("/Users/bulkId:x", None, ("Users", "bulkId:x")),
        ("/Users/1/members", None, None),
        ("https://example.com/scim/v2/Users", None, None),
        ("https://example.com/scim/v2/Users/1", None, None),
        ("/scim/v2/Users/1", None, None),
        ("", None, None),
        ("/", None, None),
        (None, None, None),
        (5, None, None),
        (["Users"], None, None),
        ({"Users": 1}, None, None),
    ],
)
def test_a_path_names_a_collection_or_a_resource(
    path: Any, collection: tuple[str, None] | None, resource: tuple[str, str] | None
) -> None:
    for method in bulk.METHODS:
        expected = collection if method == "POST" else resource
        if expected:
            assert bulk.read_target({"path": path}, method) == expected
        else:
            assert refusal(bulk.read_target, {"path": path}, method) == (400, "invalidSyntax")


def test_data_is_an_object_except_for_delete() -> None:
    for method in ("POST", "PUT", "PATCH"):
        assert bulk.read_data({"data": {"a": 1}}, method) == {"a": 1}
        assert bulk.read_data({"data": {}}, method) == {}
        for wrong in ({}, {"data": None}, {"data": []}, {"data": "{}"}, {"data": 5}, {"data": True}):
            assert refusal(bulk.read_data, wrong, method) == (400, "invalidSyntax")
    assert bulk.read_data({"data": "ignored"}, "DELETE") is None


def test_a_version_is_a_string() -> None:
    assert bulk.read_version({"version": 'W/"1"'}) == 'W/"1"'
    assert bulk.read_version({"version": None}) is bulk.read_version({}) is None
    for wrong in (5, True, ['W/"1"'], {}):
        assert refusal(bulk.read_version, {"version": wrong}) == (400, "invalidSyntax")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["method", "bulkid", "path", "data", "version"])


@given(st.dictionaries(NAMES, JUNK), st.sampled_from(bulk.METHODS))
def test_no_operation_is_refused_with_anything_but_400(members: dict[str, Any], method: str) -> None:
    assert refusals(members, method) <= {(400, "invalidSyntax")}


def refusals(members: dict[str, Any], method: str) -> set[tuple[int, str | None]]:
    """Return what the readers of an operation refuse its members with."""
    found: set[tuple[int, str | None]] = set()
    reads = [
        lambda: bulk.read_method(members),
        lambda: bulk.read_bulk_id(members, method),
        lambda: bulk.read_target(members, method),
        lambda: bulk.read_data(members, method),
        lambda: bulk.read_version(members),
    ]
    for read in reads:
        try:
            read()
        except ScimError as error:
            found.add((error.status, error.scim_type))
    return found


# References by bulkId


def test_a_text_that_is_a_bulk_id_is_resolved() -> None:
    assert bulk.resolved("bulkId:a", IDS) == ("1", "a")
    assert bulk.resolved("bulkId:b b", IDS) == ("2", "b b")
    for other in ("", "a", "bulkId", "x bulkId:a", "/Users/bulkId:a"):
        assert bulk.resolved(other, IDS) == (other, None)
    for unknown in ("bulkId:c", "bulkId:A", "bulkId:a ", "bulkId:bulkId:a"):
        assert refusal(bulk.resolved, unknown, IDS) == (400, "invalidValue")


PLAIN = {text: (text, set[str]()) for text in ("", "a", "bulkId", "1", "x bulkId:a", 'see "bulkId:a"')}
WHOLE = PLAIN | {"bulkId:a": ("1", {"a"}), "bulkId:b b": ("2", {"b b"})}
REFS = WHOLE | {
    "/Users/bulkId:a": ("/Users/1", {"a"}),
    "../Users/bulkId:b b": ("../Users/2", {"b b"}),
    "https://example.com/scim/v2/Users/bulkId:a": ("https://example.com/scim/v2/Users/1", {"a"}),
    "/Users/bulkId:a/": ("/Users/1/", {"a"}),
    "/Users/bulkId:a/x": ("/Users/bulkId:a/x", set()),
}
PATHS = {
    "members": ("members", set()),
    'members[value eq "3"]': ('members[value eq "3"]', set()),
    'members[value eq "bulkId:a"]': ('members[value eq "1"]', {"a"}),
    'members[value eq "bulkId:a" or value eq "bulkId:b b"].x': ('members[value eq "1" or value eq "2"].x', {"a", "b b"}),
    'members[display eq "x bulkId:a"]': ('members[display eq "x bulkId:a"]', set()),
}  # fmt: skip


def texts(table: Mapping[str, tuple[str, set[str]]]) -> st.SearchStrategy[str]:
    return st.sampled_from(list(table))


DATA: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | texts(WHOLE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {},
            optional={
                "value": inner, "Members": inner, "urn:x": inner, "bulkId:a": inner,
                "$ref": texts(REFS), "$REF": texts(REFS), "path": texts(PATHS), "Path": texts(PATHS),
            },
        )
    ),
    max_leaves=12,
)  # fmt: skip


def model(value: Any, key: str = "") -> tuple[Any, set[str]]:
    """Return what `resolve` should make of a value, and the bulkIds in it."""
    if isinstance(value, str):
        found, names = {"$ref": REFS, "path": PATHS}.get(key.lower(), WHOLE)[value]
        return found, names
    if isinstance(value, dict):
        pairs = {name: model(member, name) for name, member in value.items()}
        return {name: found for name, (found, _) in pairs.items()}, set().union(*(names for _, names in pairs.values()))
    if isinstance(value, list):
        elements = [model(element) for element in value]
        return [found for found, _ in elements], set().union(*(names for _, names in elements))
    return value, set()


@given(st.dictionaries(st.sampled_from(["members", "urn:x", "Operations"]), DATA))
def test_all_bulk_ids_in_data_are_resolved(data: dict[str, Any]) -> None:
    expected, names = model(data)
    resolved = deepcopy(data)
    assert bulk.resolve(resolved, IDS) == names
    assert resolved == expected


@given(st.lists(DATA, max_size=3), st.integers(0, 3))
def test_one_unknown_bulk_id_refuses_all(data: list[Any], place: int) -> None:
    for unknown in ("bulkId:c", {"$ref": "/Users/bulkId:c"}, {"path": 'members[value eq "bulkId:c"]'}):
        members = [*data[:place], unknown, *data[place:]]
        assert refusal(bulk.resolve, {"members": members}, IDS) == (400, "invalidValue")


def test_data_of_any_depth_is_resolved() -> None:
    deepest: dict[str, Any] = {"value": "bulkId:a"}
    data = deepest
    for _ in range(50_000):
        data = {"value": [data]}
    assert bulk.resolve(data, IDS) == {"a"}
    assert deepest == {"value": "1"}
    while data is not deepest:
        (data,) = data["value"]


# The order


@st.composite
def all_needs(draw: st.DrawFn) -> Needs:
    """Draw which operations each one needs, few or many."""
    size = draw(st.integers(0, 9))
    most = draw(st.sampled_from([1, 2, 9]))
    return [draw(st.sets(st.integers(0, size - 1), max_size=most)) for _ in range(size)]


def reached(needs: Needs) -> list[set[int]]:
    """Return what each operation needs, directly or through others."""
    found = [set(direct) for direct in needs]
    for between in range(len(needs)):
        for node, others in enumerate(found):
            if between in others:
                found[node] = others | found[between]
    return found


@given(all_needs())
def test_every_operation_is_done_once(needs: Needs) -> None:
    assert sorted(number for circle in bulk.in_order(needs) for number in circle) == list(range(len(needs)))


@given(all_needs())
def test_circles_are_what_needs_one_another(needs: Needs) -> None:
    reach = reached(needs)
    expected = {
        frozenset({node} | {other for other in reach[node] if node in reach[other]}) for node in range(len(needs))
    }
    order = bulk.in_order(needs)
    assert {frozenset(circle) for circle in order} == expected
    assert all(circle == sorted(circle) for circle in order)


@given(all_needs())
def test_what_is_needed_comes_before(needs: Needs) -> None:
    order = bulk.in_order(needs)
    place = {number: index for index, circle in enumerate(order) for number in circle}
    for node, direct in enumerate(needs):
        assert all(place[need] < place[node] or need in order[place[node]] for need in direct)


@given(all_needs())
def test_an_operation_is_only_behind_a_later_one_while_it_waits(needs: Needs) -> None:
    """A circle counts as its last operation, since only then the whole of it has been asked for."""
    reach = reached(needs)
    order = bulk.in_order(needs)
    for index, later in enumerate(order):
        for place, earlier in enumerate(order[index + 1 :], index + 1):
            if max(earlier) < max(later):
                waited_for = {need for number in earlier for need in reach[number]} - set(earlier)
                assert any(waited_for & set(circle) for circle in order[index:place])


@given(all_needs())
def test_an_operation_that_waited_is_done_at_once(needs: Needs) -> None:
    """Between the last of what it needs and itself there are only operations that were asked for before it."""
    order = bulk.in_order(needs)
    for place, circle in enumerate(order):
        needed = {need for number in circle for need in needs[number]} - set(circle)
        last = max((index for index in range(place) if needed & set(order[index])), default=-1)
        assert all(max(between) < max(circle) for between in order[last + 1 : place])


@given(all_needs())
def test_needs_that_are_met_change_nothing(needs: Needs) -> None:
    backward = [{need for need in direct if need <= node} for node, direct in enumerate(needs)]
    assert bulk.in_order(backward) == [[node] for node in range(len(needs))]


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ([], []),
        ([set()] * 3, [[0], [1], [2]]),
        ([{2}, set(), set(), set()], [[1], [2], [0], [3]]),
        ([{3}, {0}, set(), set(), set()], [[2], [3], [0], [1], [4]]),
        ([{2}, {2}, set(), set()], [[2], [0], [1], [3]]),
        ([{1, 3}, set(), set(), set(), set()], [[1], [2], [3], [0], [4]]),
        ([{0}, set()], [[0], [1]]),
        ([{1}, {0}, set()], [[0, 1], [2]]),
        ([{2}, set(), {0}, set()], [[1], [0, 2], [3]]),
        ([{1}, {2}, {1}, set()], [[1, 2], [0], [3]]),
        ([{1}, {2}, {0}], [[0, 1, 2]]),
    ],
)
def test_the_order_of_examples(needs: Needs, expected: list[list[int]]) -> None:
    assert bulk.in_order(needs) == expected


def test_long_chains_and_circles_are_ordered() -> None:
    size = 20_000
    chain = [{number + 1} for number in range(size - 1)]
    assert bulk.in_order([*chain, set()]) == [[number] for number in reversed(range(size))]
    assert bulk.in_order([*chain, {0}]) == [list(range(size))]
