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
    columns: dict[str, str] = {}
    values: set[ValueRow] = set()
    add = values.add
    unique: set[tuple[int, str]] = set()
    for container, attributes in _indexed(resource_type):
        members = document.get(container) if container else document
        if not members:
            continue
        for name, is_multi_valued, is_simple, leaves in attributes:
            value = members.get(name)
            if value is None:
                continue
            for element, each in enumerate(value if is_multi_valued else (value,)):
                for sub, number, column, is_unique, key_of in leaves:
                    if is_simple or sub in each:
                        key = key_of(each if is_simple else each[sub])
                        if column:
                            columns[column] = key
                        else:
                            add((number, element, key))
                        if is_unique:
                            unique.add((number, digest_of(key)))
    return Rows(columns, values, unique)


def digest_of(key: str) -> str:
    """Return what stands for the key of a value that must be unique."""
    return hashlib.sha256(key.encode()).hexdigest()


class _Leaf(NamedTuple):
    """How a simple attribute is indexed."""

    name: str
    number: int
    column: str | None
    is_unique: bool
    key_of: Callable[[Any], str]


class _Indexed(NamedTuple):
    """A top-level attribute, which is a leaf itself if it is simple, or has its sub-attributes as leaves."""

    name: str
    is_multi_valued: bool
    is_simple: bool
    leaves: list[_Leaf]


@cache
def _indexed(resource_type: ResourceType) -> list[tuple[str, list[_Indexed]]]:
    """Return what is indexed of a resource type, by the URN of the extension that holds it."""
    own = (resource_type.common["externalId"], *resource_type.schema.attributes)
    held = [("", own), *((extension.schema.id, extension.schema.attributes) for extension in resource_type.extensions)]
    return [(urn, [_index(a) for a in attributes if _is_searchable(a)]) for urn, attributes in held]


def _index(attribute: Attribute) -> _Indexed:
    leaves = attribute.sub_attributes or (attribute,)
    searchable = [_leaf(leaf) for leaf in leaves if _is_searchable(leaf)]
    return _Indexed(attribute.name, attribute.multi_valued, not attribute.sub_attributes, searchable)


def _leaf(attribute: Attribute) -> _Leaf:
    key_of = key_function(attribute.type, attribute.case_exact)
    return _Leaf(attribute.name, attribute.number, attribute.column, attribute.uniqueness != "none", key_of)


def _is_searchable(attribute: Attribute) -> bool:
    # What is never returned cannot be searched for either: a filter would be an oracle.
    return attribute.returned != "never"
