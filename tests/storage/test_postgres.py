"""What is special about PostgreSQL: its URL, its session, its spelling, and the plans at 20,000 users."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any

import pytest

from scim_server.protocol import template
from scim_server.protocol.query import Query
from scim_server.protocol.registry import Registry
from scim_server.resources import listing
from scim_server.resources.base import Resources
from scim_server.resources.upkeep import kinds_in
from scim_server.storage import copying, documents, grams, integrity, reindex, tombstones
from scim_server.storage.database import Database, DatabaseError, TooLarge, Unavailable
from scim_server.storage.keys import scope_of
from scim_server.storage.opening import check_url, open_database, without_password
from scim_server.storage.rows import rows_of
from scim_server.storage.spelling import spelled
from tests.cluster import Databases
from tests.scim import USER
from tests.storage.conftest import House, furnished

CROWD = 20_000


@pytest.fixture
def database(postgres: Databases) -> Iterator[Database]:
    url = postgres.prepared()
    with closing(open_database(url)) as opened:
        yield opened
    postgres.drop(url)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://scim@db.example.com/scim", "postgresql://scim@db.example.com/scim"),
        ("postgresql://scim:s3cret@db.example.com:5433/scim", "postgresql://scim:********@db.example.com:5433/scim"),
        ("postgresql://scim:s@cr/et@db/scim", "postgresql://scim:********@db/scim"),
        ("postgresql://db/scim?user=scim&password=s3cret", "postgresql://db/scim?user=scim&password=********"),
        ("postgresql:///scim?host=/run/postgresql", "postgresql:///scim?host=/run/postgresql"),
        ("sqlite:////srv/scim.db", "sqlite:////srv/scim.db"),
    ],
)
def test_a_password_is_never_shown(url: str, masked: str) -> None:
    assert without_password(url) == masked


@pytest.mark.parametrize(
    "url", ["postgresql://", "postgresql://host", "postgresql://u:s3cret@host/", "postgresql://[u:s3cret"]
)
def test_a_url_without_a_database_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"postgresql://user@host/database") as refusal:
        check_url(url)
    assert "s3cret" not in str(refusal.value)


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(DatabaseError, match="%XX") as refusal:
        open_database("postgresql://u:s3cret%zz@host/scim")
    assert "s3cret" not in str(refusal.value)


def test_what_is_larger_than_a_value_can_be_is_told_apart(postgres: Databases) -> None:
    with closing(open_database(postgres.prepared())) as opened, pytest.raises(TooLarge):
        opened.row("SELECT repeat('x', 1073741824)")


def test_an_acknowledged_write_is_on_the_disk_whatever_the_url_says(postgres: Databases) -> None:
    url = postgres.prepared()
    lax = url + ("&" if "?" in url else "?") + "options=-csynchronous_commit%3Doff%20-clock_timeout%3D7s"
    with closing(open_database(lax)) as opened:
        assert opened.row("SHOW synchronous_commit") == ("on",)
        # What else it says counts.
        assert opened.row("SHOW lock_timeout") == ("7s",)
        assert opened.row("SHOW statement_timeout") == ("1min",)
    postgres.drop(url)


def test_another_encoding_is_refused_with_advice(postgres: Databases) -> None:
    url = postgres.empty(options="ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc")
    with closing(open_database(url)) as opened, pytest.raises(DatabaseError, match="create it with ENCODING 'UTF8'"):
        opened.upgrade()
    postgres.drop(url)


def test_two_nodes_upgrade_one_after_the_other(postgres: Databases) -> None:
    url = postgres.empty()
    applied: list[list[str]] = []

    def upgrade() -> None:
        applied.append(open_database(url).upgrade())

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(bool, applied)) == [False, False, False, True]
    postgres.drop(url)


def test_a_transaction_in_which_a_statement_failed_is_not_taken_for_committed(database: Database) -> None:
    with pytest.raises(Unavailable, match="undone"), database.transaction():
        database.run("INSERT INTO collection (scope, next, total) VALUES (1, 1, 1)")
        with pytest.raises(Exception, match="does not exist"):
            database.run("SELECT nothing")
    assert database.rows("SELECT * FROM collection") == []


def test_a_connection_is_replaced_outside_a_transaction_and_while_nothing_is_claimed(
    database: Database, postgres: Databases
) -> None:
    def end() -> None:
        (pid,) = database.row("SELECT pg_backend_pid()") or (0,)
        postgres.execute(f"SELECT pg_terminate_backend({pid})")

    end()
    assert database.row("SELECT 1") == (1,)
    end()
    with database.transaction():
        database.run("INSERT INTO collection (scope, next, total) VALUES (1, 1, 1)")
    with pytest.raises(Unavailable), database.transaction():
        end()
        database.row("SELECT 1")
    assert database.row("SELECT count(*) FROM collection") == (1,)
    with database.claim("a" * 64) as is_held:
        assert is_held
        end()
        for _ in range(2):
            with pytest.raises(Unavailable):
                database.row("SELECT 1")
    with database.claim("a" * 64) as is_held:
        assert is_held


def test_upkeep_has_no_timeouts(database: Database, postgres: Databases, registry: Registry) -> None:
    house = furnished(database, registry)
    house.resources["User"].create(house.by, {"userName": "bjensen"})
    seen: dict[str, set[object]] = {"check": set(), "rebuild": set(), "copy": set(), "copied to": set()}

    def note(name: str, looked_at: Database) -> Callable[[int], None]:
        return lambda _: seen[name].update(
            looked_at.row(f"SHOW {timeout}")
            for timeout in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        )

    assert not list(integrity.check(database, kinds_in(registry), note("check", database)))
    reindex.rebuild(database, kinds_in(registry), note("rebuild", database))
    url = postgres.empty()
    with closing(open_database(url)) as target:
        copying.copy(database, target, note("copy", database))
    with closing(open_database(url)) as source, closing(open_database(postgres.empty())) as target:
        copying.copy(source, target, note("copied to", target))
    assert all(values == {("0",)} for values in seen.values())
    assert database.row("SHOW statement_timeout") == ("1min",)


def test_text_with_nul_is_compared_as_on_sqlite(database: Database) -> None:
    sql = "SELECT 1 WHERE 'a' < ? AND 'a\t' > ?"
    assert database.row(sql, ("a\0", "a\0")) == (1,)


def test_sql_is_spelled_for_postgresql() -> None:
    assert spelled("SELECT json_group_array(json_array(x)), CAST(group_concat(y, x'1e') AS BLOB) FROM t") == (
        r"SELECT json_agg(json_build_array(x)), CAST(string_agg(y, '\x1e'::bytea) AS BYTEA) FROM t"
    )
    assert spelled("SELECT instr(x, ?) FROM json_each(?) j WHERE y LIKE '%'") == (
        "SELECT strpos(x, %s) FROM json_array_elements_text(%s::json) AS j (value) WHERE y LIKE '%%'"
    )
    assert spelled(
        "CREATE TABLE t (number INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b BLOB) WITHOUT ROWID"
    ).split() == (
        [
            "CREATE",
            "TABLE",
            "t",
            "(number",
            "BIGINT",
            "GENERATED",
            "BY",
            "DEFAULT",
            "AS",
            "IDENTITY",
            "PRIMARY",
            "KEY,",
            "a",
            "TEXT",
            "COLLATE",
            '"C",',
            "b",
            "BYTEA)",
        ]
    )


def test_a_part_of_a_name_is_found_by_its_grams_by_a_plan_of_its_own(
    crowd: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(filter='userName co "u1977"')
    test_at_20000_users_a_search_is_led_by_an_index(crowd, monkeypatch, query, "gram_grams", "custom")
    for _ in range(10):
        listing.answer([crowd.resources["User"]], crowd.by, query)
    prepared = crowd.database.rows("SELECT statement FROM pg_prepared_statements")
    assert prepared
    assert not [statement for (statement,) in prepared if "@>" in statement]


def test_nothing_of_what_was_purged_is_left_in_the_tables(
    database: Database, registry: Registry, postgres: Databases
) -> None:
    house = furnished(database, registry)
    users = house.resources["User"]
    for name in ("zzyzx", "bjensen"):
        users.create(house.by, {"userName": name, "nickName": f"{name}-qqxw"})
    with database.transaction():
        grams.index_pending(database)
    (id,) = database.row("SELECT id FROM resource WHERE user_name = 'zzyzx'") or ("",)
    users.delete(house.by, id)
    with database.transaction():
        tombstones.forget(database, [tombstones.find(database, id)], "2026")
    database.run("CHECKPOINT")
    assert "zzyzx" in pages(database)
    with closing(open_database(postgres.url_of(database.peewee.database))) as other, other.snapshot():
        other.row("SELECT count(*) FROM resource")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scim_server.storage.postgres._LOOKS", 2)
            assert not tombstones.scrub(database)
    assert tombstones.scrub(database)
    database.run("CHECKPOINT")
    left = pages(database)
    assert "zzyzx" not in left and b"zz".hex() not in left
    assert "bjensen" in left and b"jen".hex() in left


def pages(database: Database) -> str:
    """Return what is in the files of all tables and their indexes."""
    sql = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i')"
    names = [name for (name,) in database.rows(sql)]
    read = "SELECT pg_read_binary_file(pg_relation_filepath(?))"
    return b"".join((database.row(read, (name,)) or (b"",))[0] for name in names).decode(errors="replace")


def content(users: Resources, number: int) -> documents.Content:
    document = {
        "schemas": [USER],
        "userName": f"u{number}",
        "displayName": f"User {number % 500}",
        "emails": [{"value": f"u{number}@x.org"}],
    }
    return documents.Content(template.build(document, users.slots), rows_of(users.resource_type, document), None)


@pytest.fixture(scope="module")
def crowd(postgres: Databases, registry: Registry) -> Iterator[House]:
    """20,000 users of one tenant, and a few of 40 others."""
    url = postgres.prepared()
    with closing(open_database(url)) as opened:
        house = furnished(opened, registry)
        users = house.resources["User"]
        scope = scope_of(house.by.tenant.number, users.number)
        people = [(f"id{n}", content(users, n)) for n in range(CROWD)]
        with opened.transaction():
            documents.create(opened, scope, "2026-01-01T00:00:00.000", people)
            for other in range(40):
                far = scope_of(1000 + other, users.number)
                few = [(f"{other}-{id}", content) for id, content in people[:50]]
                documents.create(opened, far, "2026-01-01T00:00:00.000", few)
        opened.run("VACUUM ANALYZE")
        yield house
    postgres.drop(url)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.parametrize("mode", ["custom", "generic"])
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(filter='userName eq "u77"'), "resource_user_name"),
        (Query(filter='userName sw "u77"'), "resource_user_name"),
        (Query(filter='emails.value eq "u77@x.org"'), "value_key"),
        (Query(filter='emails[value eq "u77@x.org" and type pr]'), "value_key"),
        (Query(filter='id eq "id77"'), "resource_id"),
        (Query(), "resource_pkey"),
        (Query(sort_by="userName", count=10), "resource_user_name"),
        (Query(cursor="", count=10), "resource_pkey"),
    ],
    ids=lambda value: value if isinstance(value, str) else (value.filter or value.sort_by or repr(value.cursor)),
)
def test_at_20000_users_a_search_is_led_by_an_index(
    crowd: House, monkeypatch: pytest.MonkeyPatch, query: Query, index: str, mode: str
) -> None:
    seen = statements(crowd.database, monkeypatch, lambda: listing.answer([crowd.resources["User"]], crowd.by, query))
    plans = [
        explained(crowd.database, sql, parameters, mode)
        for sql, parameters in seen
        if sql.startswith(("SELECT", "WITH"))
    ]
    steps = [step for plan in plans for step in nodes(plan)]
    read = [step for step in steps if step.get("Relation Name") in {"resource", "value", "body", "gram"}]
    assert not [step for step in read if step["Node Type"] == "Seq Scan"], json.dumps(plans, indent=1)
    assert index in {step.get("Index Name") for step in steps}, json.dumps(plans, indent=1)
    if mode == "custom":
        most = max(step["Actual Rows"] * step["Actual Loops"] for step in steps)
        assert most <= 200, json.dumps(plans, indent=1)


def explained(database: Database, sql: str, parameters: Any, mode: str) -> dict[str, Any]:
    """Return the plan for these parameters, or the one for any that a prepared statement comes to have."""
    if mode == "custom":
        (found,) = database.row(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters) or (None,)
    else:
        numbers = count(1)
        text = re.sub("%s", lambda _: f"${next(numbers)}", spelled(sql))
        values = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
        with database.peewee.connection().cursor() as cursor:
            cursor.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE looked_at AS {text}")
            (found,) = cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE looked_at {values}").fetchone()
            cursor.execute("RESET plan_cache_mode; DEALLOCATE looked_at")
    assert isinstance(found, list)
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def statements(database: Database, monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []
    execute = database.peewee.execute_sql

    def listen(sql: str, params: Any = None) -> Any:
        seen.append((sql, params))
        return execute(sql, params)

    with monkeypatch.context() as patch:
        patch.setattr(database.peewee, "execute_sql", listen)
        call()
    return seen
