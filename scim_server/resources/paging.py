"""How does a list become pages? By index (RFC 7644 section 3.4.2.4) or by cursor (RFC 9865)."""

import time
from collections.abc import Callable

from scim_server.protocol.cursor import Cursor, seal, unseal
from scim_server.protocol.query import Query, list_head
from scim_server.resources.body import Body, Text, gathered
from scim_server.storage.pages import Position

Page = list[tuple[Position, Text]]
Fetch = Callable[[Position | None, bool, int, int], Page]
"""Reads what follows a position, or precedes it when the walk goes backwards, from an offset, so many at most."""


def answer(query: Query, count: Callable[[], int], fetch: Fetch, secret: bytes, mark: str) -> Body:
    """Return the ListResponse for one page; cursors are sealed for ``mark``, which says what is queried.

    Nothing is counted where a page that is not full tells the total.

    Raises invalidCursor, expiredCursor, invalidCount.
    """
    backwards = False
    if query.cursor is None:
        before = query.start_index - 1
        page = fetch(None, backwards, before, query.count)
        is_last = len(page) < query.count and (page or not before)
        return _rendered(before + len(page) if is_last else count(), page, startIndex=query.start_index)
    now = int(time.time())
    cursor = unseal(query.cursor, secret, mark, query.count, now) if query.cursor else None
    position = Position(cursor.sort_key, cursor.key) if cursor else None
    backwards = bool(cursor and cursor.backwards)
    # One more than the page has tells whether another page follows.
    page = fetch(position, backwards, 0, query.count + 1 if query.count else 0)
    more, page = len(page) > query.count, page[: query.count]
    if backwards:
        page.reverse()
    links = {}
    if page and (backwards or more):
        links["nextCursor"] = page[-1][0], False
    if page and (more if backwards else cursor is not None):
        links["previousCursor"] = page[0][0], True
    sealed = {
        name: seal(Cursor(at.sort_key, at.key, back, query.count, now), secret, mark)
        for name, (at, back) in links.items()
    }
    is_only = not (links or cursor) and query.count
    return _rendered(len(page) if is_only else count(), page, **sealed)


def _rendered(total: int, page: Page, **paging: int | str) -> Body:
    return gathered([text for _, text in page], list_head(total, len(page), **paging), b"]}")
