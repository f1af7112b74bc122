"""What every request does to the database: how many statements, by which indexes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from scim_server import tenants
from scim_server.config import read_settings
from scim_server.protocol import filter
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.lexer import OPERATORS
from scim_server.protocol.projection import read_projection
from scim_server.protocol.query import Query
from scim_server.protocol.registry import Registry
from scim_server.resources import listing
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.storage import documents
from scim_server.storage.database import Database
from scim_server.storage.keys import scope_of, scope_range
from scim_server.storage.opening import open_database
from scim_server.storage.pages import Order, Position, page
from scim_server.storage.search import Search
from scim_server.tokens import Principal
from tests.conftest import ON_SQLITE
from tests.scim import ACCOUNT_GROUP, ENTERPRISE
from tests.storage.conftest import BASE_URL, House
from tests.storage.plans import assert_uses_indexes, plan


@pytest.fixture
def filled(house: House) -> dict[str, str]:
    users = [
        json.loads(
            house.resources["User"].create(
                house.by, {"userName": f"u{n}", "externalId": f"e{n}", "emails": [{"value": f"u{n}@x.org", "type": "work"}]}
            ).body
        )["id"]
        for n in range(20)
    ]  # fmt: skip
    service = json.loads(house.resources["Service"].create(house.by, {"displayName": "Mail"}).body)["id"]
    members = [{"value": id} for id in users]
    group = house.resources["Group"].create(
        house.by, {"displayName": "G", "members": members, ACCOUNT_GROUP: {"services": [{"value": service}]}}
    )
    # The planner is asked without statistics: what it chooses must not depend on ANALYZE having been run.
    return {"user": users[0], "group": json.loads(group.body)["id"]}


@ON_SQLITE
def test_a_read_is_one_statement_by_index(house: House, filled: dict[str, str], statements: Any) -> None:
    for name, id in (("User", filled["user"]), ("Group", filled["group"])):
        seen = statements(lambda name=name, id=id: house.resources[name].read(house.by, id))
        assert len(seen) == 1
        assert_uses_indexes(house.database, seen)


@ON_SQLITE
def test_a_page_with_its_total_is_one_statement_and_two_beyond_the_end(
    house: House, filled: dict[str, str], statements: Any
) -> None:
    for query, expected in (
        (Query(count=1), 1), (Query(count=0), 1), (Query(count=1, cursor=""), 1), (Query(), 1), (Query(cursor=""), 1),
        (Query(filter='userName eq "u1"'), 1), (Query(filter='userName eq "u1"', count=1), 1), (Query(start_index=900), 2),
    ):  # fmt: skip
        seen = statements(lambda query=query: listing.answer([house.resources["User"]], house.by, query))
        assert len(seen) == expected, query
        assert_uses_indexes(house.database, seen)


def test_a_page_is_one_row(house: House, filled: dict[str, str], statements: Any) -> None:
    for query in (Query(), Query(count=5, sort_by="userName"), Query(cursor=""), Query(filter='userName eq "nobody"')):
        for sql, parameters in statements(
            lambda query=query: listing.answer([house.resources["User"]], house.by, query)
        ):
            assert len(house.database.rows(sql, parameters)) == 1


def test_what_several_groups_grant_is_read_once(house: House) -> None:
    users, groups = house.resources["User"], house.resources["Group"]
    service = json.loads(house.resources["Service"].create(house.by, {"displayName": "Mail"}).body)["id"]
    user = json.loads(users.create(house.by, {"userName": "granted"}).body)["id"]
    inner = [{"value": user}]
    for number in range(4):
        body = {"displayName": f"G{number}", "members": inner, ACCOUNT_GROUP: {"services": [{"value": service}]}}
        # Each holds the user, and the group before it too.
        inner = [{"value": user}, {"value": json.loads(groups.create(house.by, body).body)["id"]}]
    stored = documents.get(house.database, users.scope(house.by), user, (users.parts["groups"],))
    assert stored and stored.parts[0].count(service) == 1
    assert len(json.loads(users.read(house.by, user).body)["groups"]) == 4


def test_excluded_members_are_not_read(house: House, filled: dict[str, str], statements: Any) -> None:
    groups = house.resources["Group"]
    excluded = read_projection([groups.resource_type], None, ["members"])
    (with_members,) = statements(lambda: groups.read(house.by, filled["group"]))
    (without,) = statements(lambda: groups.read(house.by, filled["group"], excluded))
    number = f"m.attribute = {groups.attribute('members').number}"
    assert number in with_members[0]
    assert number not in without[0]


@ON_SQLITE
@pytest.mark.parametrize(
    "text",
    ['userName eq "u1"', 'userName sw "u1"', 'externalId eq "e1"', 'displayName eq "x"', 'emails.value eq "u1@x.org"', 'id eq "x"',
     'emails.value sw "u1"', f'{ENTERPRISE}:costCenter eq "4130"', 'userName eq "u1" and active eq true',
     'emails.value eq "u1@x.org" or userName eq "u2"'],
)  # fmt: skip
def test_a_search_for_a_value_uses_an_index(house: House, filled: dict[str, str], statements: Any, text: str) -> None:
    users = house.resources["User"]
    assert_uses_indexes(
        house.database, statements(lambda: listing.answer([users], house.by, Query(count=10, filter=text)))
    )


def test_no_literal_becomes_sql(registry: Registry) -> None:
    user = registry.resource_types["User"]
    for operator in OPERATORS:
        for path in ("userName", "emails.value", "externalId"):
            node = filter.parse(f'{path} {operator} "needle\' --"', user)
            condition = Search(1, {}.get).condition(node)
            assert "needle" not in condition.sql
            assert any("needle" in str(parameter) for parameter in condition.parameters)


def test_writes_do_their_checking_before_the_lock(house: House, statements: Any) -> None:
    users = house.resources["User"]
    with pytest.raises(Exception, match="userName"):
        statements(lambda: users.create(house.by, {}))
    seen = statements(lambda: users.create(house.by, {"userName": "x", "password": "t1meMa$heen"}))
    asked = [sql for sql, _ in seen if "lock" not in sql]
    assert "FROM tenant" in asked[0]
    assert "unique_key" in asked[1]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[House]:
    """100,000 users of one tenant among 40 tenants, written straight into the tables, with statistics."""
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('crowd') / 'x.db'}")
    database.upgrade()
    for number in range(40):
        tenants.create(database, f"t{number}", "Company")
    tenant = tenants.find(database, "t20")
    numbers = database.type_numbers(registry.resource_types)
    email = registry.resource_types["User"].by_path
    with database.transaction():
        for owner in tenants.every(database):
            scope = scope_of(owner.number, numbers["User"])
            count = 100_000 if owner == tenant else 100
            low, _ = scope_range(scope)
            database.run(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO resource (key, scope,"
                " id, version, created, modified, user_name, external_id, display_name, family_name, active) SELECT ? + i, ?,"
                " ? || '-' || i, 1, '2026', '2026', 'u' || i, 'e' || i, 'd' || i, 'f' || (i % 1000), 'true' FROM n",
                (count, low, scope, owner.name),
            )
            for path, text in (("emails.value", "'u' || (key - ?) || '@x.org'"), ("emails.type", "iif(?, 'work', '')")):
                database.run(
                    f"INSERT INTO value (resource, attribute, element, scope, key) SELECT key, {email[path].number}, 0, scope, {text}"
                    " FROM resource WHERE scope = ?",
                    (low, scope),
                )
        database.run("INSERT INTO body (key, template) SELECT key, '{}' FROM resource")
    shared = Shared(database, registry, read_settings({"SCIM_BASE_URL": BASE_URL}), numbers, b"k" * 32)
    yield House(database, all_resources(shared), Principal("test", tenant, frozenset({"admin"}), habits=Habits(ALL)))
    database.close()


def page_steps(house: House, query: Query) -> list[str]:
    """Return the plan of the statement that finds and counts a page's resources, without what each then shows."""
    users = house.resources["User"]
    branches = listing.branches([users], house.by, query)
    order = Order(query.sort_by is not None, query.descending)
    position = Position("u5", branches[0].scope << 34 | 5) if query.cursor else None
    found = page(branches, order, position, query.start_index - 1, query.count)
    sql = f"WITH {found.tables.sql} SELECT key, s, {found.total.sql} FROM page"
    return plan(house.database, sql, (*found.tables.parameters, *found.total.parameters))


LED = "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"
"""The resources are those that a subquery found."""


@pytest.mark.parametrize(
    ("query", "reached", "found"),
    [
        (Query(filter='userName eq "u77"'), "SEARCH r USING INDEX resource_user_name (scope=? AND <expr>=? AND rowid>? AND rowid<?)", None),
        (Query(filter='externalId eq "e77"'), "SEARCH r USING INDEX resource_external_id (scope=? AND <expr>=? AND rowid>? AND rowid<?)", None),
        (Query(filter='emails.value eq "u77@x.org"'), LED, "value_key (scope=? AND attribute=? AND <expr>=?)"),
        (Query(filter='emails[type eq "work" and value eq "u77@x.org"]'), LED, "value_key (scope=? AND attribute=? AND <expr>=?)"),
        (Query(filter='emails[type eq "work"].value eq "u77@x.org"'), LED, "value_key (scope=? AND attribute=? AND <expr>=?)"),
        (Query(filter='userName sw "u77"'), "SEARCH r USING INDEX resource_user_name (scope=? AND <expr>>? AND <expr><?)", None),
        (Query(filter='displayName sw "d77"'), "SEARCH r USING INDEX resource_display_name (scope=? AND <expr>>? AND <expr><?)", None),
        (Query(filter='emails.value sw "u77"'), LED, "value_key (scope=? AND attribute=? AND <expr>>? AND <expr><?)"),
        (Query(filter='id eq "x"'), "SEARCH r USING COVERING INDEX resource_id (id=?)", None),
        (Query(filter='groups.value eq "x"'), LED, "resource_id (id=?)"),
        (Query(filter='userName eq "u1" and active eq true'), "SEARCH r USING INDEX resource_user_name (scope=? AND <expr>=? AND rowid>? AND rowid<?)", None),
        (Query(sort_by="userName"), "SEARCH r USING INDEX resource_user_name (scope=?)", None),
        (Query(sort_by="userName", descending=True), "SEARCH r USING INDEX resource_user_name (scope=?)", None),
        (Query(sort_by="displayName"), "SEARCH r USING INDEX resource_display_name (scope=?)", None),
        (Query(sort_by="userName", cursor="x"), "SEARCH r USING INDEX resource_user_name (scope=? AND <expr>>?)", None),
        (Query(cursor="x"), "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", None),
        (Query(), "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", None),
        (Query(filter="active eq true"), "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", None),
        (Query(filter='userName co "77"'), LED, "gram VIRTUAL TABLE INDEX 0:M1><"),
        (Query(filter='displayName co "777"'), LED, "gram VIRTUAL TABLE INDEX 0:M1><"),
        (Query(filter='title ew "77"'), LED, "gram VIRTUAL TABLE INDEX 0:M1><"),
        (Query(filter='name.familyName co "山田"'), LED, "gram VIRTUAL TABLE INDEX 0:M1><"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("analyzed", [True, False])
def test_at_100000_users_a_search_is_led_by_an_index(
    crowd: House, query: Query, reached: str, found: str | None, analyzed: bool
) -> None:
    with_statistics(crowd.database, analyzed)
    steps = page_steps(crowd, query)
    # Every way to the resources is the one that is meant: no scan, and no range of a whole tenant instead. Those
    # without a sort key are found by the same index.
    without_key = reached.partition(" (")[0] + " (scope=? AND <expr>=?)"
    assert {step for step in steps if re.match(r"(SEARCH|SCAN) r\b", step)} <= {reached, without_key}, steps
    assert query.sort_by is None or "USE TEMP B-TREE FOR ORDER BY" not in steps
    assert reached in steps
    assert found is None or any(step.endswith(found) for step in steps), steps
    assert not [step for step in steps if re.match(r"SCAN (v|e|t|m|x)\b", step)], steps


def with_statistics(database: Database, analyzed: bool) -> None:
    """Let the planner know the tables' statistics, or nothing: an administrator may never run ANALYZE."""
    # There is a table of statistics as soon as anything was analyzed.
    database.run("ANALYZE" if analyzed else "ANALYZE sqlite_schema")
    if not analyzed:
        database.run("DELETE FROM sqlite_stat1")
    database.close()
