"""Where do the facts about attributes come from? (RFC 7643 sections 2, 6 and 7)

The registry is built once from JSON documents, the bundled ``schemas/`` and any further directory,
and is the only source of facts about attributes.
"""

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scim_server.protocol.schema import Attribute, Extension, ResourceType, Schema

_NAME = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]*|\$ref)", re.ASCII)
_TYPES = {"string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"}
_MUTABILITIES = {"readOnly", "readWrite", "immutable", "writeOnly"}
_RETURNED = {"always", "never", "default", "request"}
_UNIQUENESS = {"none", "server", "global"}
_RESERVED = {"/bulk", "/me", "/schemas", "/resourcetypes", "/serviceproviderconfig"}
# RFC 7643 section 2.4: these sub-attributes mean the same in every multi-valued attribute.
_FIXED_TYPES = {"type": "string", "primary": "boolean", "display": "string", "$ref": "reference"}
_JSON_TYPES = {bool: "true or false", str: "a string", list: "an array", dict: "an object"}


class SchemaError(Exception):
    """A schema document cannot be used; the message names the file's entry and what is wrong."""


class Registry:
    """All schemas and resource types, and the variants that a tenant's policies make of them."""

    def __init__(self, sources: "Sources", policies: frozenset[str] = frozenset()) -> None:
        self._sources = sources
        self._variants: dict[frozenset[str], Registry] = {policies: self}
        edits = {
            path.lower(): edit for policy in sorted(policies) for path, edit in sources.policies.get(policy, {}).items()
        }
        resource_types = sources.resource_types
        extensions = {str(e.get("schema")).lower() for r in resource_types for e in _extensions(r)}
        self.schemas: dict[str, Schema] = {}
        for document in sources.schemas:
            schema = _schema(document, extensions, sources.columns, edits)
            if self.schemas.setdefault(schema.id.lower(), schema) is not schema:
                raise SchemaError(f"Two schemas have the id {schema.id}.")
        common = {a["name"]: _attribute(a, "", sources.columns, {}) for a in sources.common}
        self.resource_types: dict[str, ResourceType] = {}
        for document in resource_types:
            self._add(_resource_type(document, self.schemas, common, edits))

    def _add(self, new: ResourceType) -> None:
        for old in self.resource_types.values():
            if new.name == old.name or new.endpoint.lower() == old.endpoint.lower():
                raise SchemaError(f"Two resource types have the name {new.name} or the endpoint {new.endpoint}.")
        numbers: dict[int, str] = {}
        for attribute in new.by_path.values():
            if numbers.setdefault(attribute.number, attribute.path) != attribute.path:
                raise SchemaError(
                    f"{attribute.path} and {numbers[attribute.number]} share an index number; rename one."
                )
        self.resource_types[new.name] = new

    def under(self, policies: frozenset[str]) -> "Registry":
        """Return the registry as the given tenant policies change it."""
        found = self._variants.get(policies)
        # Attributes are compared by identity: of two variants made at once, one must serve everybody.
        return found or self._variants.setdefault(policies, Registry(self._sources, policies))

    def schema(self, urn: str) -> Schema | None:
        return self.schemas.get(urn.lower())


@dataclass(frozen=True, slots=True)
class Sources:
    """The JSON documents a registry is built from."""

    schemas: list[dict[str, Any]]
    resource_types: list[dict[str, Any]]
    common: list[dict[str, Any]]
    columns: dict[str, str]
    policies: dict[str, dict[str, dict[str, Any]]]


def load_registry(further: Path | None = None) -> Registry:
    """Build the registry from the bundled schemas and the ``*.json`` files of a further directory.

    A file holds one Schema or ResourceType or a list of them. Raises SchemaError.
    """
    bundled = bundled_schemas()
    entries = list(_entries(bundled, skip={"common.json", "columns.json", "policies.json"}))
    if further is not None:
        if not further.is_dir():
            raise SchemaError(f"{further} is not a directory.")
        entries += _entries(further, skip=set())
    return Registry(
        Sources(
            schemas=[e for e in entries if "attributes" in e],
            resource_types=[e for e in entries if "endpoint" in e],
            common=_read(bundled / "common.json")["attributes"],
            columns=_read(bundled / "columns.json"),
            policies=_read(bundled / "policies.json"),
        )
    )


def bundled_schemas() -> Path:
    """Return the directory of the bundled schemas: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "schemas"
    return inside if inside.is_dir() else package.parent / "schemas"


def _entries(directory: Path, skip: set[str]) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob("*.json")):
        if path.name in skip:
            continue
        content = _read(path)
        for entry in content if isinstance(content, list) else [content]:
            if not isinstance(entry, dict) or not ("attributes" in entry or "endpoint" in entry):
                raise SchemaError(f"{path.name}: an entry is neither a Schema nor a ResourceType.")
            yield entry


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SchemaError(f"{path.name} is not JSON: {error}") from None


def _stated(document: Mapping[str, Any], where: str, name: str, *, default: Any) -> Any:
    """Return what a document states, or the default; both are of one JSON type."""
    value = document.get(name)
    if value is None:
        return default
    if type(value) is not type(default):
        raise SchemaError(f"{where}: {name} must be {_JSON_TYPES[type(default)]}.")
    return value


def _items(document: Mapping[str, Any], where: str, name: str, kind: type) -> list[Any]:
    """Return the array that a document states, or an empty one; every item is of one JSON type."""
    items: list[Any] = _stated(document, where, name, default=[])
    if not all(type(item) is kind for item in items):
        raise SchemaError(f"{where}: each of {name} must be {_JSON_TYPES[kind]}.")
    return items


def _extensions(resource_type: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _items(resource_type, str(resource_type.get("name")), "schemaExtensions", dict)


def _schema(
    document: Mapping[str, Any],
    extensions: Container[str],
    columns: Mapping[str, str],
    edits: Mapping[str, Mapping[str, Any]],
) -> Schema:
    urn = document.get("id")
    if not isinstance(urn, str) or not urn.lower().startswith("urn:"):
        raise SchemaError(f"The schema {urn!r} has no URN as its id.")
    prefix = f"{urn}:" if urn.lower() in extensions else ""
    edited = {
        path.removeprefix(f"{urn}:".lower()): e for path, e in edits.items() if path.startswith(f"{urn}:".lower())
    }
    attributes = [_attribute(a, prefix, columns, edited) for a in _items(document, urn, "attributes", dict)]
    _check_names(attributes, urn)
    name, description = _stated(document, urn, "name", default=urn), _stated(document, urn, "description", default="")
    return Schema(urn, name, description, tuple(attributes))


def _attribute(
    document: Mapping[str, Any],
    prefix: str,
    columns: Mapping[str, str],
    edits: Mapping[str, Mapping[str, Any]],
) -> Attribute:
    """Read one attribute, unstated characteristics by their defaults (RFC 7643 section 2.2)."""
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaError(f"{prefix}{name} is not an attribute name.")
    path = prefix + name
    document = {**document, **edits.get(name.lower(), {})}
    subs = [_attribute(s, f"{path}.", columns, {}) for s in _items(document, path, "subAttributes", dict)]
    kind = _stated(document, path, "type", default="string")
    multi_valued = _stated(document, path, "multiValued", default=False)
    simple = kind != "complex" and not multi_valued
    is_secret = document.get("mutability") == "writeOnly"
    attribute = Attribute(
        name=name,
        path=path,
        type=kind,
        multi_valued=multi_valued,
        description=_stated(document, path, "description", default=""),
        required=_stated(document, path, "required", default=False),
        case_exact=_stated(document, path, "caseExact", default=kind in ("reference", "binary")),
        mutability=_stated(document, path, "mutability", default="readWrite"),
        returned=_stated(document, path, "returned", default="never" if is_secret else "default"),
        uniqueness=_stated(document, path, "uniqueness", default="none"),
        canonical_values=tuple(_items(document, path, "canonicalValues", str)),
        reference_types=tuple(_items(document, path, "referenceTypes", str)),
        sub_attributes=tuple(subs),
        unchecked=_stated(document, path, "unchecked", default=False),
        column=columns.get(path) if simple else None,
    )
    _check_attribute(attribute)
    return attribute


def _check_attribute(attribute: Attribute) -> None:
    for value, allowed in (
        (attribute.type, _TYPES),
        (attribute.mutability, _MUTABILITIES),
        (attribute.returned, _RETURNED),
        (attribute.uniqueness, _UNIQUENESS),
    ):
        if value not in allowed:
            raise SchemaError(f"{attribute.path}: {value!r} is none of {', '.join(sorted(allowed))}.")
    for is_wrong, problem in (
        (attribute.type == "complex" and not attribute.sub_attributes, "is complex and has no subAttributes."),
        (attribute.type != "complex" and bool(attribute.sub_attributes), "has subAttributes and is not complex."),
        (attribute.mutability == "writeOnly" and attribute.returned != "never", "is writeOnly: it is returned never."),
        (
            attribute.uniqueness != "none" and (attribute.multi_valued or attribute.type == "complex"),
            "cannot be unique: only a single simple value can be.",
        ),
        (attribute.uniqueness != "none" and attribute.returned == "never", "is returned never: it cannot be unique."),
    ):
        if is_wrong:
            raise SchemaError(f"{attribute.path} {problem}")
    _check_names(attribute.sub_attributes, attribute.path)
    if attribute.multi_valued:
        for sub in attribute.sub_attributes:
            fixed = _FIXED_TYPES.get(sub.name.lower(), sub.type)
            if sub.type != fixed:
                raise SchemaError(f"{sub.path} must be of type {fixed}.")


def _check_names(attributes: Iterable[Attribute], where: str) -> None:
    seen: set[str] = set()
    for attribute in attributes:
        if attribute.name.lower() in seen:
            raise SchemaError(f"{where} has two attributes named {attribute.name}.")
        seen.add(attribute.name.lower())


def _resource_type(
    document: Mapping[str, Any],
    schemas: Mapping[str, Schema],
    common: Mapping[str, Attribute],
    edits: Mapping[str, Mapping[str, Any]],
) -> ResourceType:
    name, endpoint = document.get("name"), document.get("endpoint")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaError(f"The resource type {name!r} has no usable name.")
    if not isinstance(endpoint, str) or not re.fullmatch(r"/[A-Za-z][A-Za-z0-9_-]*", endpoint):
        raise SchemaError(f"{name}: the endpoint {endpoint!r} is not of the form /Names.")
    if endpoint.lower() in _RESERVED:
        raise SchemaError(f"{name}: the endpoint {endpoint} is taken by the protocol.")
    base = _known(document.get("schema"), schemas, name)
    # RFC 7643 section 3.1: the common attributes' own characteristics win over a schema that lists them.
    reserved = {given.lower() for given in common}
    own = tuple(a for a in base.attributes if a.name.lower() not in reserved)
    extensions = tuple(
        Extension(
            _known(e.get("schema"), schemas, name),
            _stated({**e, **edits.get(str(e.get("schema")).lower(), {})}, name, "required", default=False),
        )
        for e in _extensions(document)
    )
    for attribute in (*own, *(a for e in extensions for a in e.schema.attributes)):
        if any(sub.multi_valued or sub.type == "complex" for sub in attribute.sub_attributes):
            raise SchemaError(f"{attribute.path}: a sub-attribute must be a single simple value.")
    schema = base if len(own) == len(base.attributes) else Schema(base.id, base.name, base.description, own)
    description = _stated(document, name, "description", default=name)
    return ResourceType(name, endpoint, description, schema, extensions, common)


def _known(urn: Any, schemas: Mapping[str, Schema], where: str) -> Schema:
    schema = schemas.get(str(urn).lower())
    if schema is None:
        raise SchemaError(f"{where}: there is no schema {urn}.")
    return schema
