"""CSV behind its answers: how many statements are sent, and how much memory is held."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from scim_server.csv_accounts.exporting import Export
from scim_server.csv_accounts.importing import Import
from scim_server.csv_accounts.problems import Refused
from scim_server.csv_accounts.reading import read
from scim_server.storage import documents
from tests.conftest import ON_SQLITE
from tests.storage.conftest import House
from tests.storage.plans import assert_uses_indexes, steps
from tests.web.test_csv import ADDRESS, FLAG, NAME, TYPE, written

Record = Callable[[Callable[[], Any]], list[tuple[str, Any]]]


def run(house: House, *rows: dict[str, str], is_dry: bool = False) -> dict[str, int]:
    return Import(house.resources).run(house.by, read(written(*rows)), is_dry=is_dry).counts


def people(count: int, **cells: str) -> list[dict[str, str]]:
    return [{ADDRESS: f"u{n}@example.com", **cells} for n in range(count)]


@pytest.fixture
def sales(house: House) -> str:
    made = house.resources["Group"].create(house.by, {"displayName": "営業"})
    return made.location.rpartition("/")[2]


def test_registrations_take_as_many_statements_whatever_their_number(
    house: House, sales: str, statements: Record
) -> None:
    few = statements(lambda: run(house, *people(3), is_dry=True))
    many = statements(lambda: run(house, *people(300)))
    assert len(few) <= len(many) <= 30
    assert len(many) - len(few) <= 1, many


@ON_SQLITE
def test_a_file_that_changes_nothing_is_looked_up_at_once(house: House, sales: str, statements: Record) -> None:
    run(house, *people(300))
    sent = statements(lambda: run(house, *people(300)))
    lookups = [(sql, parameters) for sql, parameters in sent if sql.startswith("SELECT")]
    assert len(lookups) == 5
    assert len(sent) <= 10, sent
    assert_uses_indexes(house.database, lookups)


def test_a_refused_file_takes_no_lock(house: House, sales: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(**_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(house.database, "transaction", lock)
    with pytest.raises(Refused):
        run(house, {NAME: ""})


def test_a_group_is_changed_once(house: House, sales: str, statements: Record) -> None:
    sent = statements(lambda: run(house, *people(100)))
    assert len([sql for sql, _ in sent if sql.startswith("UPDATE resource SET version")]) == 1


@ON_SQLITE
def test_an_export_takes_one_statement_a_page(house: House, sales: str, statements: Record) -> None:
    for start in range(0, 2_100, 300):
        run(house, *[{ADDRESS: f"u{n}@example.com"} for n in range(start, start + 300)])
    for filter in (None, 'userName sw "u"'):
        sent = statements(
            lambda filter=filter: [*Export(house.resources["User"], house.by, filter).pieces("ja", "utf-8")]
        )
        assert len(sent) == 4
        assert_uses_indexes(house.database, sent)


def test_an_export_holds_a_page_only(house: House, sales: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in range(0, 1_200, 300):
        run(house, *[{ADDRESS: f"u{n}@example.com", NAME: "x" * 2_000} for n in range(start, start + 300)])
    monkeypatch.setattr("scim_server.csv_accounts.exporting.MAX_RESULTS", 100)
    export = Export(house.resources["User"], house.by)
    tracemalloc.start()
    try:
        size = sum(len(piece) for _, piece in export.pieces("ja", "utf-8"))
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 2_400_000
    assert held < size, held


def test_a_token_without_the_scope_touches_no_administrator(house: House, sales: str) -> None:
    run(house, {TYPE: "1"}, {ADDRESS: "b@example.com"})
    by = house.by.__class__("limited", house.by.tenant, frozenset({"csv", "users:write"}))
    content = written({NAME: "x"}, {ADDRESS: "b@example.com", TYPE: "1"}, {ADDRESS: "c@example.com", TYPE: "1"})
    for is_dry in (True, False):
        with pytest.raises(Refused) as refused:
            Import(house.resources).run(by, read(content), is_dry=is_dry)
        assert {(each.row, each.value_class) for each in refused.value.problems} == {
            (2, "forbidden"),
            (3, "forbidden"),
            (4, "forbidden"),
        }
    with pytest.raises(Refused):
        Import(house.resources).run(by, read(written({FLAG: "1"})), is_dry=False)
    assert run(house, {TYPE: "1"}, {ADDRESS: "b@example.com"}) == {"create": 0, "edit": 0, "delete": 0, "untouched": 2}


def test_what_is_refused_at_the_last_moment_undoes_everything(
    house: House, sales: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(house, {ADDRESS: "old@example.com"})
    real = documents.having
    # Somebody else registers the address between the look-up and the writing.
    monkeypatch.setattr(documents, "having", lambda *a, **k: [] if a[2] == "user_name" else real(*a, **k))
    with pytest.raises(Refused) as refused:
        run(house, {ADDRESS: "new@example.com"}, {ADDRESS: "old@example.com"})
    assert [(each.row, each.value_class) for each in refused.value.problems] == [(3, "taken")]
    monkeypatch.undo()
    assert run(house, {ADDRESS: "new@example.com"}, is_dry=True)["create"] == 1


def test_progress_is_told_of_every_row(house: House, sales: str) -> None:
    run(house, *people(2))
    told: list[int] = []
    content = written(*people(1), {ADDRESS: "u1@example.com", NAME: "x"}, {ADDRESS: "n@example.com"})
    Import(house.resources).run(house.by, read(content), is_dry=True, progress=told.append)
    assert sum(told) == 3


@ON_SQLITE
def test_a_page_costs_the_same_wherever_it_stands(house: House, sales: str) -> None:
    for start in range(0, 3_000, 300):
        run(house, *[{ADDRESS: f"u{n}@example.com"} for n in range(start, start + 300)])
    users = house.resources["User"]
    for filter in (None, 'userName co "example"', 'not (displayName eq "x")'):
        pieces = Export(users, house.by, filter).pieces("ja", "utf-8")
        next(pieces)
        costs = [steps(house.database, lambda pieces=pieces: next(pieces)) for _ in range(3)]
        assert costs[2] < costs[0] * 1.1, (filter, costs)
