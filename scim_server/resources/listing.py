"""How is a query over one or several resource types answered? (RFC 7644 sections 3.4.2 and 3.4.3, RFC 9865)"""

import time
from collections.abc import Sequence

from scim_server.protocol import filter
from scim_server.protocol.cursor import Cursor, seal, unseal
from scim_server.protocol.query import Query, render_list, sort_attribute
from scim_server.protocol.schema import Attribute
from scim_server.resources.base import Resources
from scim_server.storage import documents, pages
from scim_server.storage.pages import Branch, Order, Position
from scim_server.storage.sources import Condition, Single
from scim_server.tokens import Principal

_NO_KEY = Single(Condition("NULL"))


def answer(kinds: Sequence[Resources], by: Principal, query: Query) -> bytes:
    """Return the ListResponse for a query over the resources of some types of the caller's tenant.

    Raises invalidFilter, invalidValue, and for a cursor invalidCursor, expiredCursor, invalidCount.
    """
    branches = _branches(kinds, by, query)
    database = kinds[0].shared.database
    with database.snapshot():
        total = pages.total(database, branches)
        if query.cursor is not None:
            return _walk(kinds, by, query, branches, total)
        order = Order(query.sort_by is not None, query.descending)
        page = _read(kinds, by, query, branches, order, None, query.start_index - 1, query.count)
    return render_list(total, [body for _, body in page], startIndex=query.start_index)


def _walk(kinds: Sequence[Resources], by: Principal, query: Query, branches: list[Branch], total: int) -> bytes:
    """Answer one page of a walk by cursor."""
    secret = kinds[0].shared.secret
    mark = query.mark(by.tenant.number, [kind.name for kind in kinds])
    now = int(time.time())
    cursor = unseal(query.cursor, secret, mark, query.count, now) if query.cursor else None
    position = Position(cursor.sort_key, cursor.key) if cursor else None
    backwards = bool(cursor and cursor.backwards)
    order = Order(query.sort_by is not None, query.descending, backwards)
    # One more than the page has tells whether another page follows.
    page = _read(kinds, by, query, branches, order, position, 0, query.count + 1 if query.count else 0)
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
    return render_list(total, [body for _, body in page], **sealed)


def _branches(kinds: Sequence[Resources], by: Principal, query: Query) -> list[Branch]:
    types = tuple(kind.resource_type for kind in kinds)
    sorts = sort_attribute(types, query.sort_by) if query.sort_by else {}
    branches = []
    for kind in kinds:
        search = kind.search(by) if query.filter is not None or sorts else None
        node = None if query.filter is None else filter.parse(query.filter, kind.resource_type, types)
        condition = search.condition(node) if search and node else None
        attribute = sorts.get(kind.name)
        sort = search.sort_key(attribute, _parent(kind, attribute)) if search and attribute else None
        is_led = bool(search and node and search.is_led(node))
        branches.append(Branch(kind.scope(by), condition, sort or (_NO_KEY if sorts else None), is_led))
    return branches


def _parent(kind: Resources, attribute: Attribute) -> Attribute | None:
    path, dot, _ = attribute.path.rpartition(".")
    return kind.resource_type.attribute(path) if dot else None


def _read(
    kinds: Sequence[Resources],
    by: Principal,
    query: Query,
    branches: list[Branch],
    order: Order,
    position: Position | None,
    offset: int,
    limit: int,
) -> list[tuple[Position, bytes]]:
    """Return position and JSON of the resources of a page, in the direction of the walk."""
    if not limit:
        return []
    page = pages.page(branches, order, position, offset, limit)
    rows: list[tuple[int, str | None]] = []
    bodies: dict[int, bytes] = {}
    for kind in kinds:
        parts = kind.parts_for(query.projection)
        for key, sort_key, stored in documents.on_page(kind.shared.database, page, kind.scope(by), parts):
            rows.append((key, sort_key))
            bodies[key] = kind.represent(stored, by, query.projection).body
    return [(Position(sort_key, key), bodies[key]) for key, sort_key in pages.in_order(rows, order)]
