"""What does a statement do to the database? Its plan, and the steps of SQLite's virtual machine."""

import re
from collections.abc import Callable
from typing import Any

from scim_server.storage.database import Database


def plan(database: Database, sql: str, parameters: Any) -> list[str]:
    return [row[3] for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def assert_uses_indexes(database: Database, statements: list[tuple[str, Any]]) -> None:
    """Assert that no statement walks through a whole table; "up", "found" and the subqueries are small results."""
    assert statements
    for sql, parameters in statements:
        steps = plan(database, sql, parameters)
        scans = [step for step in steps if re.match(r"SCAN (?!up|page|found|\(subquery|j |CONSTANT)", step)]
        assert not scans, (sql, steps)


def steps(database: Database, call: Callable[[], Any]) -> int:
    """Return how many steps SQLite's virtual machine takes for a call: a cost that repeats exactly."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = database.peewee.connection()
    connection.set_progress_handler(step, 1)
    try:
        call()
    finally:
        connection.set_progress_handler(None, 0)
    return count
