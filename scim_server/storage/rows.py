"""Which columns and value rows does a resource have?

Everything here follows from the schema: each simple value becomes a comparison key, in the promoted
column its attribute has, else in a value row.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.types import key_function

ValueRow = tuple[int, int, str]
"""Attribute number, element, comparison key."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is indexed of one resource."""

    columns: dict[str, str]
    values: set[ValueRow]
    unique: set[tuple[int, str]]
    """Attribute number and digest of the key."""


def rows_of(resource_type: ResourceType, document: Mapping[str, Any]) -> Rows:
    """Return the columns, value rows and unique keys of a stored document."""
    rows = Rows({}, set(), set())
    for container, attributes in _indexed(resource_type):
        members = document.get(container) if container else document
        if not members:
            continue
        for name, is_multi_valued, leaf, subs in attributes:
            value = members.get(name)
            if value is None:
                continue
            for element, each in enumerate(value if is_multi_valued else [value]):
                if leaf:
                    _add(rows, leaf, element, each)
                    continue
                for sub, sub_leaf in subs:
                    if sub in each:
                        _add(rows, sub_leaf, element, each[sub])
    return rows


def _add(rows: Rows, leaf: "_Leaf", element: int, value: Any) -> None:
    number, column, is_unique, key_of = leaf
    key = key_of(value)
    if column:
        rows.columns[column] = key
    else:
        rows.values.add((number, element, key))
    if is_unique:
        rows.unique.add((number, hashlib.sha256(key.encode()).hexdigest()))


class _Leaf(NamedTuple):
    """How a simple attribute is indexed."""

    number: int
    column: str | None
    is_unique: bool
    key_of: Callable[[Any], str]


class _Indexed(NamedTuple):
    """A top-level attribute: a leaf itself, or the leaves of its sub-attributes."""

    name: str
    is_multi_valued: bool
    leaf: _Leaf | None
    subs: list[tuple[str, _Leaf]]


@cache
def _indexed(resource_type: ResourceType) -> list[tuple[str, list[_Indexed]]]:
    """Return what is indexed of a resource type, by the URN of the extension that holds it."""
    own = (resource_type.common["externalId"], *resource_type.schema.attributes)
    held = [("", own), *((extension.schema.id, extension.schema.attributes) for extension in resource_type.extensions)]
    return [(urn, [_index(a) for a in attributes if _is_searchable(a)]) for urn, attributes in held]


def _index(attribute: Attribute) -> _Indexed:
    subs = [(sub.name, _leaf(sub)) for sub in attribute.sub_attributes if _is_searchable(sub)]
    return _Indexed(
        attribute.name, attribute.multi_valued, None if attribute.sub_attributes else _leaf(attribute), subs
    )


def _leaf(attribute: Attribute) -> _Leaf:
    key_of = key_function(attribute.type, attribute.case_exact)
    return _Leaf(attribute.number, attribute.column, attribute.uniqueness != "none", key_of)


def _is_searchable(attribute: Attribute) -> bool:
    # What is never returned cannot be searched for either: a filter would be an oracle.
    return attribute.returned != "never"
