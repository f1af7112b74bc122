"""What does a query ask for? (RFC 7644 sections 3.4.2 and 3.4.3)"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from scim_server.protocol import filter
from scim_server.protocol.errors import invalid_syntax, invalid_value
from scim_server.protocol.limits import DEFAULT_COUNT, MAX_RESULTS
from scim_server.protocol.projection import Projection, read_projection
from scim_server.protocol.schema import ResourceType
from scim_server.protocol.text import check_text

LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a list: ``start_index`` from 1, ``count`` from 0 to the advertised maximum."""

    start_index: int
    count: int
    projection: Projection
    filter: filter.Node | None


def read_parameters(resource_type: ResourceType, parameters: Mapping[str, str]) -> Query:
    """Read the query of a URL; unknown parameters are ignored (section 3.4.2).

    Raises invalidValue for numbers that are none, invalidFilter.
    """
    return Query(
        start_index=max(1, _whole("startIndex", parameters.get("startIndex"), 1)),
        count=_page_size(_whole("count", parameters.get("count"), DEFAULT_COUNT)),
        projection=projection_in(resource_type, parameters),
        filter=_filter(resource_type, parameters.get("filter")),
    )


def projection_in(resource_type: ResourceType, parameters: Mapping[str, str]) -> Projection:
    """Read ``attributes`` and ``excludedAttributes`` of a URL: names separated by commas (section 3.9)."""
    names = [parameters.get(name) for name in ("attributes", "excludedAttributes")]
    attributes, excluded = (None if text is None else check_text(text, "A parameter").split(",") for text in names)
    return read_projection([resource_type], attributes, excluded)


def _whole(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?\d{1,40}", text, re.ASCII):
        raise invalid_value(f"{name} must be an integer.")
    return min(int(text), _LARGEST)


def _page_size(count: int) -> int:
    """Return the page size: negative means 0, more than the maximum the maximum (section 3.4.2.4)."""
    return min(MAX_RESULTS, max(0, count))


def _filter(resource_type: ResourceType, text: str | None) -> filter.Node | None:
    return None if text is None else filter.parse(text, resource_type)


class _SearchRequest(Schema):
    """The SearchRequest message (section 3.4.3) without its nulls; other members are ignored."""

    class Meta:
        unknown = EXCLUDE

    attributes = fields.List(fields.String(), load_default=None)
    excluded_attributes = fields.List(fields.String(), load_default=None, data_key="excludedAttributes")
    filter = fields.String(load_default=None)
    start_index = fields.Integer(load_default=1, strict=True, data_key="startIndex")
    count = fields.Integer(load_default=DEFAULT_COUNT, strict=True)


_search_request = _SearchRequest()


def read_search(resource_type: ResourceType, body: Any) -> Query:
    """Read a SearchRequest. Raises invalidSyntax, invalidValue, invalidFilter."""
    if not isinstance(body, dict):
        raise invalid_syntax("The body must be a SearchRequest object.")
    if isinstance(body.get("startIndex"), str) or isinstance(body.get("count"), str):
        raise invalid_value("startIndex and count must be integers.")
    try:
        given = _search_request.load({name: value for name, value in body.items() if value is not None})
    except ValidationError as error:
        wrong = ", ".join(sorted(str(name) for name in error.messages_dict))
        raise invalid_value(f"Of the SearchRequest, {wrong} has the wrong type.") from None
    return Query(
        start_index=min(_LARGEST, max(1, given["start_index"])),
        count=_page_size(given["count"]),
        projection=read_projection([resource_type], given["attributes"], given["excluded_attributes"]),
        filter=_filter(resource_type, given["filter"]),
    )


def render_list(total: int, start_index: int, resources: list[bytes]) -> bytes:
    """Return a ListResponse; the resources come as JSON already (section 3.4.2)."""
    head = (
        f'{{"schemas":["{LIST_RESPONSE}"],"totalResults":{total},'
        f'"startIndex":{start_index},"itemsPerPage":{len(resources)},"Resources":['
    )
    return head.encode() + b",".join(resources) + b"]}"
