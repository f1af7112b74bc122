"""What does a query ask for? (RFC 7644 sections 3.4.2 and 3.4.3, RFC 9865)"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from scim_server.protocol.errors import invalid_syntax, invalid_value
from scim_server.protocol.limits import DEFAULT_COUNT, MAX_RESULTS
from scim_server.protocol.messages import by_name, called, check_schemas
from scim_server.protocol.projection import DEFAULT, Projection, read_projection
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.text import check_text
from scim_server.protocol.wording import say

SEARCH_REQUEST = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_PARAMETER = say("A parameter")
_LARGEST = 2**62
_ORDERS = {"ascending": False, "descending": True}


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a list: ``start_index`` from 1, ``count`` from 0 to the advertised maximum.

    ``cursor`` is None for index paging and "" for the first page of a walk.
    """

    start_index: int = 1
    count: int = DEFAULT_COUNT
    projection: Projection = DEFAULT
    filter: str | None = None
    sort_by: str | None = None
    descending: bool = False
    cursor: str | None = None

    def mark(self, *where: object) -> str:
        """Return what a cursor belongs to: the place that is queried, the filter and the order."""
        return json.dumps([where, self.filter, self.sort_by and self.sort_by.lower(), self.descending])


def read_parameters(resource_types: Sequence[ResourceType], parameters: Mapping[str, str]) -> Query:
    """Read the query of a URL; unknown parameters are ignored (section 3.4.2).

    Raises invalidValue for numbers that are none and for what excludes one another.
    """
    return _checked(
        start_index=_whole("startIndex", parameters.get("startIndex")),
        count=_whole("count", parameters.get("count")),
        projection=projection_in(resource_types, parameters),
        filter=parameters.get("filter"),
        sort_by=parameters.get("sortBy"),
        sort_order=parameters.get("sortOrder"),
        cursor=parameters.get("cursor"),
    )


def _checked(
    *,
    start_index: int | None,
    count: int | None,
    projection: Projection,
    filter: str | None,
    sort_by: str | None,
    sort_order: str | None,
    cursor: str | None,
) -> Query:
    if cursor is not None and start_index is not None:
        raise invalid_value(say("cursor and startIndex cannot be used together."))
    if sort_order is not None and sort_order.lower() not in _ORDERS:
        raise invalid_value(say("sortOrder must be ascending or descending."))
    return Query(
        # Lower than 1 means 1; a negative count means 0, more than the maximum the maximum (section 3.4.2.4).
        start_index=min(_LARGEST, max(1, 1 if start_index is None else start_index)),
        count=min(MAX_RESULTS, max(0, DEFAULT_COUNT if count is None else count)),
        projection=projection,
        filter=filter,
        sort_by=sort_by or None,
        descending=_ORDERS[(sort_order or "ascending").lower()],
        cursor=cursor,
    )


def projection_in(resource_types: Sequence[ResourceType], parameters: Mapping[str, str]) -> Projection:
    """Read ``attributes`` and ``excludedAttributes`` of a URL: names separated by commas (section 3.9)."""
    names = [parameters.get(name) for name in ("attributes", "excludedAttributes")]
    if names == [None, None]:
        return DEFAULT
    attributes, excluded = (None if text is None else check_text(text, _PARAMETER).split(",") for text in names)
    return read_projection(resource_types, attributes, excluded)


def _whole(name: str, text: str | None) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[+-]?\d{1,40}", text, re.ASCII):
        raise invalid_value(say("{name} must be an integer.", name=name))
    return int(text)


class _SearchRequest(Schema):
    """The SearchRequest message (section 3.4.3) without its nulls; other members are ignored."""

    class Meta:
        unknown = EXCLUDE

    attributes = fields.List(fields.String(), load_default=None)
    excluded_attributes = fields.List(fields.String(), load_default=None, data_key="excludedAttributes")
    filter = fields.String(load_default=None)
    sort_by = fields.String(load_default=None, data_key="sortBy")
    sort_order = fields.String(load_default=None, data_key="sortOrder")
    start_index = fields.Integer(load_default=None, strict=True, data_key="startIndex")
    count = fields.Integer(load_default=None, strict=True)
    cursor = fields.String(load_default=None)


_search_request = _SearchRequest()
_MEMBERS: dict[str, str] = {
    (field.data_key or name).lower(): field.data_key or name for name, field in _search_request.fields.items()
}
PARAMETERS = _MEMBERS
"""What the query of a URL may have, by lower-case name."""
SEARCH_MEMBERS = ("schemas", *_MEMBERS)
"""What a SearchRequest may have, in lower case."""


def read_search(resource_types: Sequence[ResourceType], body: Any) -> Query:
    """Read a SearchRequest. Raises invalidSyntax, invalidValue."""
    if not isinstance(body, dict):
        raise invalid_syntax(say("The body must be a {name} object.", name="SearchRequest"))
    check_schemas(by_name(body, called("SearchRequest")).get("schemas"), SEARCH_REQUEST)
    members = {name: value for name, value in body.items() if value is not None}
    members = {_MEMBERS.get(name.lower()) or name: value for name, value in members.items()}
    if isinstance(members.get("startIndex"), str) or isinstance(members.get("count"), str):
        raise invalid_value(say("startIndex and count must be integers."))
    try:
        given = _search_request.load(members)
    except ValidationError as error:
        wrong = ", ".join(sorted(str(name) for name in error.messages_dict))
        raise invalid_value(say("Of the SearchRequest, {names} has the wrong type.", names=wrong)) from None
    projection = read_projection(resource_types, given.pop("attributes"), given.pop("excluded_attributes"))
    return _checked(projection=projection, **given)


def sort_attribute(resource_types: Sequence[ResourceType], sort_by: str) -> dict[str, Attribute]:
    """Return the attribute to sort by for each resource type that has it, by the type's name (section 3.4.2.3).

    A complex multi-valued attribute is sorted by its ``value``. Raises invalidValue when no type has
    the attribute, and when it cannot be sorted by.
    """
    found: dict[str, Attribute] = {}
    for resource_type in resource_types:
        attribute = resource_type.attribute(sort_by)
        if attribute is None:
            continue
        if attribute.type == "complex":
            value = attribute.sub("value") if attribute.multi_valued else None
            if value is None:
                raise invalid_value(
                    say("sortBy: {path} is complex; name one of its sub-attributes.", path=attribute.path)
                )
            attribute = value
        if attribute.returned == "never" or attribute.path == "meta.version":
            raise invalid_value(say("sortBy: {path} cannot be sorted by.", path=attribute.path))
        found[resource_type.name] = attribute
    if not found:
        raise invalid_value(say("sortBy: there is no attribute {name}.", name=ascii(sort_by[:200])))
    return found


def list_head(total: int, count: int, **paging: int | str) -> bytes:
    """Return a ListResponse up to the first of ``count`` resources; commas between them and ``]}`` follow (3.4.2).

    ``paging`` is startIndex, or nextCursor and previousCursor.
    """
    members = "".join(
        f'"{name}":{value if isinstance(value, int) else json.dumps(value)},' for name, value in paging.items()
    )
    head = f'{{"schemas":["{LIST_RESPONSE}"],"totalResults":{total},{members}"itemsPerPage":{count},"Resources":['
    return head.encode()
