"""Which columns and value rows does a resource have?

Everything here follows from the schema: each simple value becomes a comparison key, in the promoted
column its attribute has, else in a value row.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.types import comparison_key

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
    unique: set[tuple[int, str]] = set()
    for attribute, element, value in _simple_values(resource_type, document):
        key = comparison_key(attribute.type, attribute.case_exact, value)
        if attribute.column:
            columns[attribute.column] = key
        else:
            values.add((attribute.number, element, key))
        if attribute.uniqueness != "none":
            unique.add((attribute.number, hashlib.sha256(key.encode()).hexdigest()))
    return Rows(columns, values, unique)


def _simple_values(resource_type: ResourceType, document: Mapping[str, Any]) -> Iterator[tuple[Attribute, int, Any]]:
    own = (resource_type.common["externalId"], *resource_type.schema.attributes)
    yield from _values_in(own, document)
    for extension in resource_type.extensions:
        yield from _values_in(extension.schema.attributes, document.get(extension.schema.id, {}))


def _values_in(attributes: tuple[Attribute, ...], members: Mapping[str, Any]) -> Iterator[tuple[Attribute, int, Any]]:
    for attribute in attributes:
        value = members.get(attribute.name)
        # What is never returned cannot be searched for either: a filter would be an oracle.
        if value is None or attribute.returned == "never":
            continue
        for element, each in enumerate(value if attribute.multi_valued else [value]):
            if attribute.sub_attributes:
                for sub in attribute.sub_attributes:
                    if sub.name in each and sub.returned != "never":
                        yield sub, element, each[sub.name]
            else:
                yield attribute, element, each
