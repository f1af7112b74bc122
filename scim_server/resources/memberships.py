"""How are the members of a large group searched and paged? An extension of this server to RFC 7644."""

from scim_server.protocol import filter
from scim_server.protocol.errors import invalid_value
from scim_server.protocol.projection import DEFAULT
from scim_server.protocol.query import Query
from scim_server.protocol.schema import Attribute
from scim_server.protocol.wording import say
from scim_server.resources import paging
from scim_server.resources.base import Resources
from scim_server.resources.body import Body, Text
from scim_server.storage import members
from scim_server.storage.pages import Position
from scim_server.storage.sources import TRUE
from scim_server.tokens import Principal


def answer(of_type: Resources, attribute: Attribute, by: Principal, id: str, query: Query) -> Body:
    """Return a ListResponse of the elements of one resource's reference attribute, in the order of creation.

    The filter names sub-attributes, as within brackets. Raises 404, invalidFilter, invalidValue, and for a cursor
    invalidCursor, expiredCursor, invalidCount.
    """
    if query.sort_by is not None:
        raise invalid_value(
            say("{path} cannot be sorted: they come in the order in which they were created.", path=attribute.path)
        )
    text, kind = query.filter, of_type.resource_type
    node = None if text is None else filter.read(text, kind, by.habits, parent=attribute)
    write = of_type.references.writer(attribute, DEFAULT)
    database, number = of_type.shared.database, attribute.number
    with database.snapshot():
        key = of_type.key_of(by, id)
        condition = of_type.references.condition(key, attribute, node) if node else TRUE

        def fetch(position: Position | None, backwards: bool, offset: int, limit: int) -> paging.Page:
            after = position.key if position else 0
            found = members.walk(
                database, key, number, condition, after, backwards=backwards, limit=limit, offset=offset
            )
            rows = [(None, target, Text(write(target, id, display))) for target, id, display in found]
            return paging.Page(rows)

        def count() -> int:
            return members.count(database, key, number, condition)

        where = (by.tenant.number, of_type.name, attribute.path, id)
        return paging.answer(query, count, fetch, of_type.shared.secret, where)
