"""How are deleted resources kept, brought back and forgotten?

Its references wait in ``lost_reference`` until both of their sides live.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from scim_server.storage import grams
from scim_server.storage.database import Database

_PAGE = 500
_COLUMNS = "key, id, version, created, modified, deleted, template"
_ELSEWHERE = (
    "DELETE FROM habit WHERE token IN (SELECT id FROM token WHERE user_id = ?)",
    "DELETE FROM token WHERE user_id = ?",
    "DELETE FROM outbox WHERE resource_id = ?",
)
"""What forgets a resource in tables that its deletion leaves alone, by its id: all that keep anything personal."""
EVER = "~"
"""After every instant."""


class TombstoneError(Exception):
    """A deleted resource cannot be found or restored; the message says why."""


class Deleted(NamedTuple):
    """A deleted resource."""

    key: int
    id: str
    version: int
    created: str
    modified: str
    deleted: str
    template: bytes


def find(database: Database, id: str) -> Deleted:
    """Return the deleted resource with an id. Raises TombstoneError."""
    found = database.row(f"SELECT {_COLUMNS} FROM tombstone WHERE id = ?", (id,))
    if found is None:
        live = database.row("SELECT 1 FROM resource WHERE id = ?", (id,))
        raise TombstoneError(f"{id} is not deleted." if live else f"There is no deleted resource {id[:64]!a}.")
    return Deleted._make(found)


def walk(database: Database, scopes: Iterable[int], before: str) -> Iterator[list[Deleted]]:
    """Yield pages of what was deleted before an instant, of each scope in the order of deletion.

    Each page is a statement of its own, so that who reads slowly holds nothing up.
    """
    sql = (
        f"SELECT {_COLUMNS} FROM tombstone WHERE scope = ? AND (deleted, key) > (?, ?) AND deleted < ?"
        " ORDER BY deleted, key LIMIT ?"
    )
    for scope in scopes:
        last: tuple[str, int] = ("", 0)
        while page := [Deleted._make(row) for row in database.rows(sql, (scope, *last, before, _PAGE))]:
            yield page
            last = page[-1].deleted, page[-1].key


def count(database: Database, scopes: Iterable[int], before: str) -> int:
    """Return how many resources of some scopes were deleted before an instant."""
    sql = "SELECT count(*) FROM tombstone WHERE scope = ? AND deleted < ?"
    return sum(found for scope in scopes for (found,) in database.rows(sql, (scope, before)))


def forget(database: Database, deleted: Iterable[Deleted], now: str) -> list[Deleted]:
    """Remove tombstones and what further tables have of them; `scrub` must follow. Return those that were there."""
    # A later deletion of the same resource is another one.
    sql = "DELETE FROM tombstone WHERE key = ? AND deleted = ?"
    gone = [each for each in deleted if database.run(sql, (each.key, each.deleted))]
    for end in ("source", "target"):
        database.run_many(f"DELETE FROM lost_reference WHERE {end} = ?", [(each.key,) for each in gone])
    for sql in _ELSEWHERE:
        database.run_many(sql, [(each.id,) for each in gone])
    # Whoever purges next finishes what a crash leaves behind.
    database.run("INSERT INTO erasure (at) VALUES (?)", (now,))
    return gone


def needs_scrubbing(database: Database) -> bool:
    """Tell whether a purge was not finished."""
    return _last(database) > 0


def _last(database: Database) -> int:
    """Return the number of the last purge since all was scrubbed, or 0."""
    found = database.row("SELECT coalesce(max(number), 0) FROM erasure")
    return int(found[0]) if found else 0


def scrub(database: Database) -> bool:
    """Leave nothing of forgotten resources in the files; tell whether no reader hindered that.

    Index and file are written anew, while readers go on and writers wait.
    """
    with database.transaction():
        seen = _last(database)
        grams.compact(database)
    if not database.rewrite():
        return False
    with database.transaction():
        # What another purge forgot meanwhile may be in the file still.
        database.run("DELETE FROM erasure WHERE number <= ?", (seen,))
    return True
