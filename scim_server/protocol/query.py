"""What does a query ask for? (RFC 7644 section 3.4.2)"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from scim_server.protocol.errors import invalid_value
from scim_server.protocol.limits import DEFAULT_COUNT, MAX_RESULTS
from scim_server.protocol.projection import Projection

LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a list: ``start_index`` from 1, ``count`` from 0 to the advertised maximum."""

    start_index: int
    count: int
    projection: Projection


def read_start_index(text: str | None) -> int:
    """Read startIndex: 1 by default, and for anything lower (section 3.4.2.4)."""
    return 1 if text is None else max(1, _whole("startIndex", text))


def read_count(text: str | None) -> int:
    """Read count: negative means 0, more than the maximum means the maximum (section 3.4.2.4)."""
    return DEFAULT_COUNT if text is None else min(MAX_RESULTS, max(0, _whole("count", text)))


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,40}", text, re.ASCII):
        raise invalid_value(f"{name} must be an integer.")
    return min(int(text), _LARGEST)


def read_names(text: str | None) -> Iterable[str] | None:
    """Read a comma-separated list of attribute names, None when the parameter is missing."""
    return None if text is None else text.split(",")


def render_list(total: int, start_index: int, resources: list[bytes]) -> bytes:
    """Return a ListResponse; the resources come as JSON already (section 3.4.2)."""
    head = (
        f'{{"schemas":["{LIST_RESPONSE}"],"totalResults":{total},'
        f'"startIndex":{start_index},"itemsPerPage":{len(resources)},"Resources":['
    )
    return head.encode() + b",".join(resources) + b"]}"
