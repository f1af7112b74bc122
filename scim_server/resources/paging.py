"""How does a list become pages? By index (RFC 7644 section 3.4.2.4) or by cursor (RFC 9865)."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from scim_server.protocol.cursor import Cursor, seal, unseal
from scim_server.protocol.query import Query, list_head
from scim_server.resources.body import Body, Text, gathered
from scim_server.storage.pages import Position

Row = tuple[str | None, int, Text]
"""A resource of a page: what it is sorted by, its key, and its text."""


class Page(NamedTuple):
    """Resources in the direction of the walk, and how many there are in all, if that was found on the way."""

    rows: Sequence[Row]
    total: int | None = None


Fetch = Callable[[Position | None, bool, int, int], Page]
"""Reads what follows a position, or precedes it when the walk goes backwards, from an offset, so many at most."""


def answer(query: Query, count: Callable[[], int], fetch: Fetch, secret: bytes, where: tuple[object, ...]) -> Body:
    """Return the ListResponse for one page; cursors are sealed for ``where`` the query is asked.

    Nothing is counted where a page that is not full tells the total.

    Raises invalidCursor, expiredCursor, invalidCount.
    """
    backwards = False
    if query.cursor is None:
        before = query.start_index - 1
        rows, total = fetch(None, backwards, before, query.count)
        if len(rows) < query.count and (rows or not before):
            total = before + len(rows)
        return _rendered(count() if total is None else total, rows, startIndex=query.start_index)
    now, mark = int(time.time()), query.mark(*where)
    cursor = unseal(query.cursor, secret, mark, query.count, now) if query.cursor else None
    position = Position(cursor.sort_key, cursor.key) if cursor else None
    backwards = bool(cursor and cursor.backwards)
    # One more than the page has tells whether another page follows.
    rows, total = fetch(position, backwards, 0, query.count + 1 if query.count else 0)
    more, rows = len(rows) > query.count, rows[: query.count]
    if backwards:
        rows = rows[::-1]
    links = {}
    if rows and (backwards or more):
        links["nextCursor"] = rows[-1], False
    if rows and (more if backwards else cursor is not None):
        links["previousCursor"] = rows[0], True
    sealed = {
        name: seal(Cursor(sort_key, key, back, query.count, now), secret, mark)
        for name, ((sort_key, key, _), back) in links.items()
    }
    if query.count and not (links or cursor):
        total = len(rows)
    return _rendered(count() if total is None else total, rows, **sealed)


def _rendered(total: int, rows: Sequence[Row], **paging: int | str) -> Body:
    return gathered([text for _, _, text in rows], list_head(total, len(rows), **paging), b"]}")
