"""What is known about an attribute, a schema, a resource type? (RFC 7643 sections 2, 6 and 7)"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SCHEMA_URN = "urn:ietf:params:scim:schemas:core:2.0:Schema"
RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """One attribute and its characteristics (RFC 7643 section 7).

    ``path`` is how it is addressed within its resource type: ``emails.value``, or
    ``urn:…:User:manager.value`` in an extension. ``column`` names the promoted column, if any.
    """

    name: str
    path: str
    type: str
    multi_valued: bool
    description: str
    required: bool
    case_exact: bool
    mutability: str
    returned: str
    uniqueness: str
    canonical_values: tuple[str, ...]
    reference_types: tuple[str, ...]
    sub_attributes: tuple["Attribute", ...]
    unchecked: bool
    column: str | None

    @property
    def number(self) -> int:
        """Return the number under which index rows name the attribute; it depends on the path only."""
        return zlib.crc32(self.path.encode()) & 0x7FFFFFFF

    @property
    def urn(self) -> str:
        """Return the URN of the extension that a top-level attribute belongs to, "" for a core one."""
        return self.path.removesuffix(self.name).removesuffix(":")

    @property
    def lists_resources(self) -> bool:
        """Tell whether the values are other resources: what says nothing about them must not remove them."""
        return self.multi_valued and self.sub("$ref") is not None

    def sub(self, name: str) -> "Attribute | None":
        """Return the sub-attribute of that name, in any letter case."""
        wanted = name.lower()
        return next((sub for sub in self.sub_attributes if sub.name.lower() == wanted), None)

    def walk(self) -> Iterator["Attribute"]:
        """Yield the attribute and its sub-attributes."""
        yield self
        for sub in self.sub_attributes:
            yield from sub.walk()

    def as_json(self) -> dict[str, Any]:
        """Return the attribute as ``/Schemas`` shows it, every characteristic stated."""
        body: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
        }
        if self.canonical_values:
            body["canonicalValues"] = list(self.canonical_values)
        if self.type in ("string", "reference", "binary"):
            body["caseExact"] = self.case_exact
        body |= {"mutability": self.mutability, "returned": self.returned}
        if self.type != "complex":
            body["uniqueness"] = self.uniqueness
        if self.type == "reference":
            body["referenceTypes"] = list(self.reference_types)
        if self.sub_attributes:
            body["subAttributes"] = [sub.as_json() for sub in self.sub_attributes]
        return body


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A named set of attributes (RFC 7643 section 7)."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "schemas": [SCHEMA_URN],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": [attribute.as_json() for attribute in self.attributes],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """A schema that extends a resource type, and whether resources must have it (section 6)."""

    schema: Schema = field(repr=False)
    required: bool


@dataclass(frozen=True, eq=False)
class ResourceType:
    """A kind of resource: its endpoint, its schema and its extensions (RFC 7643 section 6)."""

    name: str
    endpoint: str
    description: str
    schema: Schema = field(repr=False)
    extensions: tuple[Extension, ...] = field(repr=False)
    common: Mapping[str, Attribute] = field(repr=False)

    @cached_property
    def by_path(self) -> dict[str, Attribute]:
        """Every attribute by lower-case path, core ones also URN-qualified (RFC 7644 section 3.10)."""
        found = {a.path.lower(): a for top in self.common.values() for a in top.walk()}
        for top in self.schema.attributes:
            for attribute in top.walk():
                found[attribute.path.lower()] = attribute
                found[f"{self.schema.id}:{attribute.path}".lower()] = attribute
        for extension in self.extensions:
            found |= {a.path.lower(): a for top in extension.schema.attributes for a in top.walk()}
        return found

    @cached_property
    def by_urn(self) -> dict[str, Schema]:
        """The extension schemas by lower-case URN."""
        return {extension.schema.id.lower(): extension.schema for extension in self.extensions}

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """Every top-level attribute: externalId, the core schema's, then each extension's."""
        extended = [attribute for extension in self.extensions for attribute in extension.schema.attributes]
        return (self.common["externalId"], *self.schema.attributes, *extended)

    @cached_property
    def by_short_path(self) -> dict[str, Attribute]:
        """Extension attributes by lower-case path without the URN, where that means one attribute only."""
        short: dict[str, Attribute] = {}
        ambiguous = set(self.by_path)
        for extension in self.extensions:
            for top in extension.schema.attributes:
                for attribute in top.walk():
                    path = attribute.path.removeprefix(f"{extension.schema.id}:").lower()
                    if short.setdefault(path, attribute) is not attribute:
                        ambiguous.add(path)
        return {path: attribute for path, attribute in short.items() if path not in ambiguous}

    @cached_property
    def parents(self) -> dict[Attribute, Attribute]:
        """The complex attribute that each sub-attribute belongs to."""
        tops = (*self.common.values(), *self.attributes)
        return {sub: top for top in tops for sub in top.sub_attributes}

    def attribute(self, path: str) -> Attribute | None:
        """Return the attribute at a path in standard notation, in any letter case (RFC 7644 section 3.10).

        An extension's attribute is found without its URN too, and with a dot after a URN, as administrators write it.
        """
        lower = (self.undotted(path) or path).lower()
        return self.by_path.get(lower) or self.by_short_path.get(lower)

    def undotted(self, path: str) -> str | None:
        """Return a path with a colon, as standard notation has it, for the dot after a URN; None without such a dot."""
        lower = path.lower()
        urn = next((urn for urn in (self.schema.id.lower(), *self.by_urn) if lower.startswith(f"{urn}.")), None)
        return f"{urn}:{path[len(urn) + 1 :]}" if urn else None

    def as_json(self) -> dict[str, Any]:
        return {
            "schemas": [RESOURCE_TYPE_URN],
            "id": self.name,
            "name": self.name,
            "endpoint": self.endpoint,
            "description": self.description,
            "schema": self.schema.id,
            "schemaExtensions": [{"schema": e.schema.id, "required": e.required} for e in self.extensions],
        }
