"""How is a query over one or several resource types answered? (RFC 7644 sections 3.4.2 and 3.4.3, RFC 9865)"""

from collections.abc import Sequence
from contextlib import nullcontext

from scim_server.protocol import filter
from scim_server.protocol.errors import ScimError
from scim_server.protocol.query import Query, sort_attribute
from scim_server.protocol.wording import say
from scim_server.resources import paging
from scim_server.resources.base import Resources
from scim_server.resources.body import Body
from scim_server.storage import documents, pages
from scim_server.storage.database import TooLarge
from scim_server.storage.pages import Branch, Order, Position
from scim_server.storage.sources import Condition, Single
from scim_server.tokens import Principal

_NO_KEY = Single(Condition("NULL"))


def answer(kinds: Sequence[Resources], by: Principal, query: Query) -> Body:
    """Return the ListResponse for a query over the resources of some types of the caller's tenant.

    Raises invalidFilter, invalidValue, tooMany, and for a cursor invalidCursor, expiredCursor, invalidCount.
    """
    found = branches(kinds, by, query)
    shared = kinds[0].shared

    def fetch(position: Position | None, backwards: bool, offset: int, limit: int) -> paging.Page:
        order = Order(query.sort_by is not None, query.descending, backwards)
        return _read(kinds, by, query, found, order, position, offset, limit)

    where = (by.tenant.number, [kind.name for kind in kinds])
    # What one statement reads is of one state already.
    is_whole = len(kinds) == 1 and kinds[0].is_read_whole
    try:
        with nullcontext() if is_whole else shared.database.snapshot():
            return paging.answer(query, lambda: pages.total(shared.database, found), fetch, shared.secret, where)
    except TooLarge:
        raise ScimError(400, say("The page would be too large. Ask for fewer resources by count."), "tooMany") from None


def branches(kinds: Sequence[Resources], by: Principal, query: Query) -> list[Branch]:
    """Return which resources of each type a query finds, in the caller's tenant. Raises invalidFilter, invalidValue."""
    types = tuple(kind.resource_type for kind in kinds)
    sorts = sort_attribute(types, query.sort_by) if query.sort_by else {}
    found = []
    for kind in kinds:
        search = kind.search(by.tenant) if query.filter is not None or sorts else None
        text = query.filter
        node = None if text is None else filter.read(text, kind.resource_type, by.habits, among=types)
        condition = search.condition(node) if search and node else None
        attribute = sorts.get(kind.name)
        parent = kind.resource_type.parents.get(attribute) if attribute else None
        sort = search.sort_key(attribute, parent) if search and attribute else None
        is_led = bool(search and node and search.is_led(node))
        found.append(Branch(kind.scope(by), condition, sort or (_NO_KEY if sorts else None), is_led))
    return found


def _read(
    kinds: Sequence[Resources],
    by: Principal,
    query: Query,
    among: list[Branch],
    order: Order,
    position: Position | None,
    offset: int,
    limit: int,
) -> paging.Page:
    """Return the resources of a page, in the direction of the walk."""
    if not limit:
        return paging.Page([])
    page = pages.page(among, order, position, offset, limit)
    rows: list[paging.Row] = []
    total = None
    for kind in kinds:
        parts, render = kind.parts_for(query.projection), kind.renderer(by, query.projection)
        found, total = documents.on_page(kind.shared.database, page, kind.scope(by), parts, counted=len(kinds) == 1)
        rows += [(sort_key, stored.key, render(stored).text) for sort_key, stored in found]
    return paging.Page(pages.in_order(rows, order), total)
