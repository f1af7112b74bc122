"""What a change of members does to the database: it costs what it changes, however large the group is."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from scim_server.protocol.errors import ScimError
from scim_server.protocol.limits import PATCH_COMPARISONS
from scim_server.protocol.operations import PATCH_OP
from scim_server.protocol.projection import NOTHING, read_projection
from scim_server.protocol.query import Query
from scim_server.resources import listing, memberships
from scim_server.resources.base import new_id
from scim_server.resources.values import Answer
from scim_server.storage import members
from scim_server.storage.keys import key_of
from tests.conftest import ON_SQLITE
from tests.storage.conftest import House
from tests.storage.plans import assert_uses_indexes, plan, steps

SIZE = 20_000
FURTHER = 3_000


@pytest.fixture
def ids(house: House) -> list[str]:
    """Users, written straight into the tables."""
    made = [new_id() for _ in range(SIZE + FURTHER)]
    scope = house.resources["User"].scope(house.by)
    with house.database.transaction():
        house.database.run_many(
            "INSERT INTO resource (key, scope, id, version, created, modified, display, display_name)"
            " VALUES (?, ?, ?, 1, '2026', '2026', ?, ?)",
            [(key_of(scope, order), scope, id, f"User {order}", f"user {order}") for order, id in enumerate(made)],
        )
    return made


def content(answer: Answer) -> bytes:
    """Return the body, and close it if it is a file."""
    assert answer.body is not None
    if isinstance(answer.body, bytes):
        return answer.body
    with answer.body as file:
        return file.read()


def group(house: House, name: str, members: list[str]) -> str:
    made = house.resources["Group"].create(house.by, {"displayName": name, "members": named(*members)})
    return str(json.loads(content(made))["id"])


@pytest.fixture
def groups(house: House, ids: list[str]) -> tuple[str, str]:
    """Return a group that is just not answered to a PATCH, and one of many members."""
    return group(house, "Small", ids[:101]), group(house, "Large", ids[:SIZE])


def patch(house: House, id: str, *operations: dict[str, Any]) -> Callable[[], Any]:
    """Return a PATCH whose answer is not rendered, so that only the change is compared."""
    body = {"schemas": [PATCH_OP], "Operations": list(operations)}
    return lambda: house.resources["Group"].patch(house.by, id, body, projection=NOTHING)


def named(*ids: str) -> list[dict[str, str]]:
    return [{"value": id} for id in ids]


@ON_SQLITE
@pytest.mark.parametrize(
    "change",
    [
        lambda id: [{"op": "add", "path": "members", "value": named(id)}],
        lambda id: [
            {"op": "add", "path": "members", "value": named(id)},
            {"op": "remove", "path": f'members[value eq "{id}"]'},
        ],
        lambda id: [{"op": "remove", "path": "members", "value": named(id)}],
        lambda id: [{"op": "replace", "path": f'members[value eq "{id}"]', "value": {"value": id}}],
        lambda id: [{"op": "replace", "path": "displayName", "value": id}],
    ],
    ids=["add", "add and remove", "remove by value", "replace", "rename"],
)
def test_a_change_costs_the_same_in_a_large_group_as_in_a_small_one(
    house: House,
    ids: list[str],
    groups: tuple[str, str],
    change: Callable[[str], list[dict[str, Any]]],
    statements: Any,
) -> None:
    costs, texts = [], []
    for number, id in enumerate(groups):
        texts.append([sql for sql, _ in statements(patch(house, id, *change(ids[-1 - number])))])
        costs.append(steps(house.database, patch(house, id, *change(ids[-11 - number]))))
    assert texts[0] == texts[1]
    assert costs[1] < costs[0] * 1.05 + 50


@ON_SQLITE
def test_a_thousand_members_take_as_many_statements_as_one(
    house: House, ids: list[str], groups: tuple[str, str], statements: Any
) -> None:
    _, large = groups
    for operations in (
        lambda some: [{"op": "add", "path": "members", "value": named(*some)}],
        lambda some: [{"op": "remove", "path": "members", "value": named(*some)}],
        lambda some: [{"op": "remove", "path": f'members[value eq "{id}"]'} for id in some],
        lambda some: [{"op": "add", "path": "members", "value": named(id)} for id in some],
        lambda some: [{"op": "replace", "path": "members", "value": named(*some)}],
    ):
        one = statements(patch(house, large, *operations([ids[SIZE]])))
        many = statements(patch(house, large, *operations(ids[SIZE + 1 : SIZE + 1001])))
        assert len(one) == len(many) < 12
        assert_uses_indexes(house.database, [row for row in many if "json_each" in row[0]])
    assert house.database.row("SELECT count(*) FROM reference") == (1101,)


def test_a_put_leaves_the_difference_to_the_database(
    house: House, ids: list[str], groups: tuple[str, str], statements: Any
) -> None:
    _, large = groups
    wanted = [*ids[1:SIZE], ids[-1]]
    body = {"displayName": "Large", "members": named(*wanted)}
    seen = statements(lambda: content(house.resources["Group"].replace(house.by, large, body)))
    writes = [sql for sql, _ in seen if writes_members(sql)]
    # What goes and what comes of the members, and what goes of the services.
    assert len(writes) == 3
    rows = house.database.rows(
        "SELECT t.id FROM reference m JOIN resource t ON t.key = m.target JOIN resource g ON g.key = m.source"
        " WHERE g.id = ? ORDER BY m.target", (large,),
    )  # fmt: skip
    assert [id for (id,) in rows] == wanted
    again = statements(lambda: content(house.resources["Group"].replace(house.by, large, body)))
    assert not [sql for sql, _ in again if sql.startswith(("UPDATE", "INSERT INTO audit"))]


def writes_members(sql: str) -> bool:
    return sql.startswith(("INSERT INTO reference", "DELETE FROM reference"))


@ON_SQLITE
def test_a_large_group_without_members_costs_what_an_empty_one_does(house: House, groups: tuple[str, str]) -> None:
    resources = house.resources["Group"]
    excluded = read_projection([resources.resource_type], None, ["members"])
    small, large = (steps(house.database, lambda id=id: resources.read(house.by, id, excluded)) for id in groups)
    assert small == large


@ON_SQLITE
def test_what_follows_the_first_members_is_read_in_one_statement_more(
    house: House, groups: tuple[str, str], statements: Any
) -> None:
    resources = house.resources["Group"]
    first, again, rest = statements(lambda: content(resources.read(house.by, groups[1])))
    assert first == again
    assert "ORDER BY m.target ASC" in rest[0]
    assert_uses_indexes(house.database, [first, rest])
    known = resources.read(house.by, groups[1], if_none_match="*")
    assert known.body is None
    assert len(statements(lambda: resources.read(house.by, groups[1], if_none_match="*"))) == 1


@ON_SQLITE
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, 50), ('type eq "User"', 50), ('display sw "User 1999"', 11), ('value eq "nobody"', 0),
        ('display eq "User 7" or display eq "User 8"', 2), ('not (display co "9")', 50),
    ],
)  # fmt: skip
def test_members_are_paged_and_filtered_by_index(
    house: House, groups: tuple[str, str], statements: Any, text: str | None, expected: int
) -> None:
    resources = house.resources["Group"]
    query = Query(count=50, filter=text)
    ask = lambda: memberships.answer(resources, resources.attribute("members"), house.by, groups[1], query)  # noqa: E731
    body = ask()
    assert isinstance(body, bytes)
    assert len(json.loads(body)["Resources"]) == expected
    seen = statements(ask)
    # A page that is not full tells the total.
    assert len(seen) == (3 if expected == query.count else 2)
    assert_uses_indexes(house.database, seen)


@ON_SQLITE
def test_one_member_of_many_is_found_without_looking_at_the_others(
    house: House, ids: list[str], groups: tuple[str, str]
) -> None:
    resources = house.resources["Group"]
    query = Query(filter=f'value eq "{ids[77]}"')
    ask = lambda id: lambda: memberships.answer(resources, resources.attribute("members"), house.by, id, query)  # noqa: E731
    assert json.loads(ask(groups[1])())["totalResults"] == 1  # type: ignore[arg-type]
    assert steps(house.database, ask(groups[1])) < steps(house.database, ask(groups[0])) + 100


@ON_SQLITE
def test_deep_pages_of_members_by_cursor_cost_what_the_first_does(house: House, groups: tuple[str, str]) -> None:
    resources = house.resources["Group"]
    key = resources.key_of(house.by, groups[1])
    last = house.database.row("SELECT max(target) FROM reference WHERE source = ?", (key,)) or (0,)
    number = resources.attribute("members").number
    costs = [
        steps(
            house.database, lambda after=after: list(members.walk(house.database, key, number, after=after, limit=50))
        )
        for after in (0, last[0] - 100)
    ]
    assert costs[1] <= costs[0]
    sql = "SELECT m.target FROM reference m WHERE m.source = ? AND m.attribute = ? AND m.target > ?"
    assert "SEARCH m USING" in plan(house.database, sql, (key, number, 0))[0]


@ON_SQLITE
def test_the_groups_of_one_account_are_found_by_index(
    house: House, ids: list[str], groups: tuple[str, str], statements: Any
) -> None:
    resources = house.resources["Group"]
    excluded = read_projection([resources.resource_type], None, ["members"])
    costs = []
    for id, found in ((ids[SIZE - 1], 1), (ids[0], 2)):
        for text in (f'members.value eq "{id}"', f'members[value eq "{id}" and type eq "User"]'):
            query = Query(filter=text, projection=excluded)
            assert json.loads(listing.answer([resources], house.by, query))["totalResults"] == found  # type: ignore[arg-type]
            assert_uses_indexes(
                house.database, statements(lambda query=query: listing.answer([resources], house.by, query))
            )
            costs.append(steps(house.database, lambda query=query: listing.answer([resources], house.by, query)))
    assert max(costs) < 1000


def test_searching_all_members_too_often_is_refused(house: House, groups: tuple[str, str]) -> None:
    def search(count: int) -> list[dict[str, Any]]:
        return [{"op": "remove", "path": f'members[display co "zz{number}"]'} for number in range(count)]

    most = PATCH_COMPARISONS // SIZE
    patch(house, groups[1], *search(most))()
    # The same filter again costs nothing more.
    patch(house, groups[1], *search(most), *search(most))()
    for operations in (search(most + 1), [{"op": "replace", "path": "members.type", "value": "User"}] * (most + 1)):
        with pytest.raises(ScimError) as refusal:
            patch(house, groups[1], *operations)()
        assert refusal.value.status == 413
