"""Does the database hold what it should hold? All invariants, and what is wrong with them.

It runs beside writers and blocks none: each step reads one state of the database, or one batch after another of a state
each, and every state between two transactions has the invariants. No step needs another one's state.
"""

from collections.abc import Iterator

from scim_server.storage.database import Database, SqlError
from scim_server.storage.integrity import file, grams, links, resources
from scim_server.storage.integrity.findings import REINDEX, RESTORE, Advance, Finding, KindOf
from scim_server.storage.tables import RESOURCE, TABLES, TOMBSTONE, UNIQUE_KEY, count

_STEPS = (
    ("The database", file.check, RESTORE),
    ("The database", file.check_schema, RESTORE),
    ("resource", resources.check, RESTORE),
    ("unique_key", resources.check_unique, RESTORE),
    ("reference", links.check_rules, RESTORE),
    ("reference", links.check_kinds, RESTORE),
    ("reference", links.check_cycles, RESTORE),
    ("collection", links.check_totals, RESTORE),
    ("tombstone", links.check_tombstones, RESTORE),
    ("The database", links.check_instants, RESTORE),
    ("gram", grams.check, REINDEX),
)
"""What a step looks at, the step, and what mends what it cannot read."""


def size(database: Database) -> int:
    """Return about how many rows a check tells of when it advances."""
    timed = [table for table in TABLES if table.instants and table is not RESOURCE]
    try:
        return sum(count(database, table) for table in (RESOURCE, RESOURCE, UNIQUE_KEY, TOMBSTONE, *timed))
    except SqlError:
        return 0


def check(database: Database, kind_of: KindOf, advance: Advance = lambda _: None) -> Iterator[Finding]:
    """Yield everything that is wrong."""
    with database.unhurried():
        for name, step, mend in _STEPS:
            try:
                yield from step(database, kind_of, advance)
            except SqlError as error:
                yield Finding(name, "", f"it cannot be read: {error}", mend)
