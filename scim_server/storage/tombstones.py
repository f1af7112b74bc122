"""How are deleted resources kept, brought back and forgotten?

A tombstone remembers its references as ``links``: {"from": [(attribute, target)], "to": [(source, attribute)]}, by
keys. A reference between two deleted resources stands in the tombstone of one of them, the one that was deleted first
or that the other was restored beside, and comes back with the second one, in either order.
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


class Relinked(NamedTuple):
    """What became of the references of a restored resource."""

    holders: list[tuple[int, int]]
    """Source and attribute of those to it that came back."""
    targets: int
    """How many came back from it."""
    waiting: int
    """How many wait, in the tombstone of the other side, until that is restored too."""


def relink(database: Database, key: int) -> Relinked:
    """Bring back the references of a restored resource, as far as the other side lives; its tombstone goes."""
    live = (
        "FROM tombstone d, json_each(d.links, '$.{kind}') j JOIN resource r ON r.key = json_extract(j.value, '$[{at}]')"
        " WHERE d.key = ?"
    )
    targets, sources = live.format(kind="from", at=1), live.format(kind="to", at=0)
    sql = f"INSERT INTO reference SELECT d.key, json_extract(j.value, '$[0]'), r.key {targets} ON CONFLICT DO NOTHING"
    linked = database.run(sql, (key,))
    holders = database.rows(f"SELECT r.key, json_extract(j.value, '$[1]') {sources}", (key,))
    sql = f"INSERT INTO reference SELECT r.key, json_extract(j.value, '$[1]'), d.key {sources} ON CONFLICT DO NOTHING"
    database.run(sql, (key,))
    waits, deleted = 0, live.replace("JOIN resource r", "JOIN tombstone r")
    targets, sources = deleted.format(kind="from", at=1), deleted.format(kind="to", at=0)
    for kind, first, waiting in (
        ("to", "d.key, json_extract(j.value, '$[0]')", targets),
        ("from", "json_extract(j.value, '$[1]'), d.key", sources),
    ):
        rows = database.rows(f"SELECT {first}, r.key {waiting}", (key,))
        sql = f"UPDATE tombstone SET links = json_insert(links, '$.{kind}[#]', json_array(?, ?)) WHERE key = ?"
        database.run_many(sql, rows)
        waits += len(rows)
    database.run("DELETE FROM tombstone WHERE key = ?", (key,))
    return Relinked(holders, linked, waits)


def forget(database: Database, deleted: Iterable[Deleted]) -> list[Deleted]:
    """Remove tombstones and what further tables have of them; `scrub` must follow. Return those that were there."""
    # A later deletion of the same resource is another one.
    sql = "DELETE FROM tombstone WHERE key = ? AND deleted = ?"
    gone = [each for each in deleted if database.run(sql, (each.key, each.deleted))]
    for sql in _ELSEWHERE:
        database.run_many(sql, [(each.id,) for each in gone])
    # Whoever purges next finishes what a crash leaves behind.
    _mark(database, _unfinished(database) + 1)
    return gone


def needs_scrubbing(database: Database) -> bool:
    """Tell whether a purge was not finished."""
    return _unfinished(database) > 0


def _unfinished(database: Database) -> int:
    """Return how many times something was forgotten since all of it was scrubbed."""
    found = database.row("PRAGMA user_version")
    return int(found[0]) if found else 0


def _mark(database: Database, unfinished: int) -> None:
    database.run(f"PRAGMA user_version = {unfinished:d}")


def scrub(database: Database) -> bool:
    """Leave nothing of forgotten resources in the files; tell whether no reader hindered that.

    Index and file are written anew, while readers go on and writers wait.
    """
    with database.transaction():
        seen = _unfinished(database)
        database.run(_PRUNE)
        grams.compact(database)
    if not database.rewrite():
        return False
    with database.transaction():
        # What another purge forgot meanwhile may be in the file still.
        if _unfinished(database) == seen:
            _mark(database, 0)
    return True


_KEPT = (
    "(SELECT json_group_array(json(j.value)) FROM json_each(links, '$.{kind}') j WHERE EXISTS (SELECT 1 FROM resource r"
    " WHERE r.key = json_extract(j.value, '$[{at}]')) OR EXISTS (SELECT 1 FROM tombstone d WHERE d.key ="
    " json_extract(j.value, '$[{at}]')))"
)
_PRUNE = (
    f"UPDATE tombstone SET links = json_object('from', json({_KEPT.format(kind='from', at=1)}),"
    f" 'to', json({_KEPT.format(kind='to', at=0)}))"
)
