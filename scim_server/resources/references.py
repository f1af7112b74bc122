"""How do resources of one type point to others? Group members, services of a group.

A reference attribute is no part of the stored document: its elements are rows, and what they show of their
targets is derived. A change reads only the rows that it names, so it costs what it changes.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from scim_server.protocol import patch
from scim_server.protocol.elements import too_many_values, value_key
from scim_server.protocol.errors import ScimError, invalid_value, numbered
from scim_server.protocol.limits import GROUP_MEMBERS, PATCH_COMPARISONS
from scim_server.protocol.operations import Operation
from scim_server.protocol.projection import Projection, shown_subs
from scim_server.protocol.schema import Attribute
from scim_server.protocol.tree import Node, names_in, terms_in
from scim_server.protocol.wording import Text, say, together
from scim_server.resources.shared import Shared
from scim_server.storage import members
from scim_server.storage.keys import scope_in, scope_of, tenant_in, type_in
from scim_server.storage.members import Found
from scim_server.storage.parts import entries
from scim_server.storage.search import Search
from scim_server.storage.sources import Condition, Source, targets
from scim_server.tenants import Tenant

Ids = Mapping[Attribute, Sequence[str]]
"""The ids that each reference attribute names, each once."""
Changes = Mapping[Attribute, Sequence[Operation]]
"""The operations on each reference attribute, whose values name ids only."""


class Circular(ScimError):
    """Refuse a resource that would contain itself."""

    def __init__(self, detail: Text) -> None:
        super().__init__(400, detail, "invalidValue")


class References:
    """The reference attributes of one resource type."""

    def __init__(self, shared: Shared, type_name: str, attributes: Sequence[Attribute]) -> None:
        self.shared = shared
        self.type_name = type_name
        self.attributes = tuple(attributes)

    # What a client names

    def take(self, document: dict[str, Any]) -> Ids:
        """Take the attributes out of a document and return the ids that they name. Raises invalidValue."""
        return {
            attribute: list(dict.fromkeys(self._ids(_pop(document, attribute), attribute)))
            for attribute in self.attributes
        }

    def split(self, operations: Sequence[Operation]) -> tuple[list[Operation], Changes]:
        """Return the operations on the document, and those on reference attributes. Raises invalidValue."""
        by_path = {attribute.path: attribute for attribute in self.attributes}
        on_document: list[Operation] = []
        changes: dict[Attribute, list[Operation]] = {}
        writable = [operation for operation in operations if operation.target.mutability != "readOnly"]
        total = sum(len(operation.value) for operation in writable if isinstance(operation.value, list))
        if total > GROUP_MEMBERS:
            raise invalid_value(say("The operations name more than {most} values.", most=GROUP_MEMBERS))
        for operation in operations:
            attribute = by_path.get(operation.target.attribute.path)
            if attribute is None:
                on_document.append(operation)
                continue
            changes.setdefault(attribute, []).append(self._by_id(operation, attribute))
        return on_document, changes

    def _by_id(self, operation: Operation, attribute: Attribute) -> Operation:
        """Return an operation whose elements say no more than which resource they mean."""
        value = operation.value
        if operation.target.mutability == "readOnly":
            return operation
        target = operation.target
        if target.sub and target.sub.name == "value" and not target.condition and operation.op != "remove":
            # All elements would become the same one, and the others would be lost.
            refusal = invalid_value(say("{path}: a filter must tell which value is meant.", path=attribute.path))
            raise refusal.within(numbered(operation.number))
        if isinstance(value, list):
            ids = self._ids(value, attribute, operation)
            return dataclasses.replace(operation, value=[{"value": id} for id in ids])
        if isinstance(value, dict):
            id = _id(value, self.shared.base_url)
            if id:
                return dataclasses.replace(operation, value={"value": id})
            if operation.op == "remove":
                refusal = invalid_value(say("{path}: the value names no resource of this server.", path=attribute.path))
                raise refusal.within(numbered(operation.number))
            # There is nothing to put in the place of an element; one that is missing is still made.
            return dataclasses.replace(operation, value={}, op="add" if operation.op == "replace" else operation.op)
        return operation

    def _ids(
        self, elements: Sequence[Mapping[str, str]], attribute: Attribute, operation: Operation | None = None
    ) -> list[str]:
        """Return the ids by which elements name their targets: ``value``, or else the last segment of ``$ref``."""
        ids = [_id(element, self.shared.base_url) for element in elements]
        if not all(ids):
            refusal = invalid_value(
                say(
                    "{path}: element {index} names no resource of this server.",
                    path=attribute.path,
                    index=ids.index(""),
                )
            )
            raise refusal.within(numbered(operation.number)) if operation else refusal
        return ids

    # Changing rows, within the caller's transaction

    def put(self, key: int, wanted: Ids) -> list[str]:
        """Let a resource point to just these targets; return the paths that changed. Raises invalidValue."""
        return [attribute.path for attribute, ids in wanted.items() if self._write(key, attribute, ids, None)]

    def patch(self, key: int, changes: Changes) -> list[str]:
        """Apply operations; return the paths that changed. Raises invalidValue, mutability, noTarget."""
        return [attribute.path for attribute, found in changes.items() if self._patch(key, attribute, found)]

    def _patch(self, key: int, attribute: Attribute, operations: Sequence[Operation]) -> bool:
        if all(operation.op == "add" and operation.target.is_whole for operation in operations):
            # What is there already does not matter.
            named = {element["value"]: None for operation in operations for element in operation.value}
            return self._write(key, attribute, named, ())
        touched = self._touched(key, attribute, operations)
        before = [{"value": id} for id, found in touched.items() if found.is_target]
        if any(o.target.sub or (o.target.condition and names_in(o.target.condition) - {"value"}) for o in operations):
            # Filters may look at all that an element shows, also at that of one added just before.
            described = {id: self.describe(found.key, id, found.display) for id, found in touched.items()}
            before = [described[element["value"]] for element in before]
            operations = [_with_elements(operation, described) for operation in operations]
        after = patch.apply_to(operations[0].target.attribute, before, operations, shown=before)
        wanted = {element["value"]: None for element in after if "value" in element}
        if any(o.target.is_whole and (o.op == "replace" or (o.op == "remove" and o.value is None)) for o in operations):
            return self._write(key, attribute, wanted, None)
        present = {element["value"] for element in before}
        return self._write(key, attribute, wanted.keys() - present, present - wanted.keys())

    def _touched(self, key: int, attribute: Attribute, operations: Sequence[Operation]) -> dict[str, Found]:
        """Return the resources that operations can touch, by id: those named, and the targets that filters find."""
        ids: dict[str, None] = {}
        conditions: dict[Node, None] = {}
        for operation in operations:
            value, condition = operation.value, operation.target.condition
            if operation.target.mutability == "readOnly":
                value = None
            elements = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
            ids |= dict.fromkeys(element["value"] for element in elements if element)
            if isinstance(value, str):
                ids[value] = None
            if condition and (id := value_key(condition)) is not None:
                ids[id] = None
            elif condition:
                conditions[condition] = None
        if conditions:
            size = members.count(self.shared.database, key, attribute.number)
            if size * sum(terms_in(condition) for condition in conditions) > PATCH_COMPARISONS:
                raise too_many_values(attribute)
        known = members.named(self.shared.database, scope_in(key), key, attribute.number, ids)
        for condition in conditions:
            tested = self.condition(key, attribute, condition)
            known |= members.matching(self.shared.database, key, attribute.number, tested)
        if any(operation.target.condition is None and operation.target.sub for operation in operations):
            known |= members.matching(self.shared.database, key, attribute.number)
        return known

    def condition(self, key: int, attribute: Attribute, node: Node) -> Condition:
        """Return the condition on a target ``t`` of a resource that it fits a filter on elements of the attribute."""
        sources = {attribute.path: self._source(attribute, tenant_in(key))}
        return Search(scope_in(key), sources.get).of_targets(attribute, node)

    def _write(self, key: int, attribute: Attribute, wanted: Collection[str], gone: Collection[str] | None) -> bool:
        """Add the wanted targets and remove what is gone, with None all others; tell whether that changed anything."""
        database, number = self.shared.database, attribute.number
        types = target_types(attribute)
        scopes = [scope_of(tenant_in(key), self.shared.type_numbers[name]) for name in types]
        if gone is None:
            changed = members.keep(database, key, number, scopes, wanted)
        else:
            changed = members.remove(database, key, number, scopes, gone)
        added = members.add(database, key, number, scopes, wanted)
        if added < len(wanted) and (unknown := members.first_unknown(database, scopes, wanted)) is not None:
            kinds, id = together("{first} or {second}", types), ascii(unknown[:64])
            raise invalid_value(
                say("{path}: there is no {kinds} with the id {id}.", path=attribute.path, kinds=kinds, id=id)
            )
        if added and self.type_name in types and key in members.enclosing(database, key, number):
            kind = self.type_name
            raise Circular(
                say(
                    "{path}: a {kind} cannot contain itself, directly or through others.",
                    path=attribute.path,
                    kind=kind,
                )
            )
        return changed + added > 0

    # What is shown

    def describe(self, key: int, id: str, display: str | None) -> dict[str, str]:
        """Return an element: value, $ref, type, and display when it is set."""
        target = self.shared.type_of(type_in(key))
        element = {"value": id, "$ref": self.shared.location(target, id), "type": target.name}
        return element | {"display": display} if display else element

    def described(self, text: str | None) -> list[dict[str, str]]:
        """Return the elements that a `Targets` part holds."""
        return [self.describe(int(key), id, display) for key, id, display in entries(text)]

    def writer(self, attribute: Attribute, projection: Projection) -> Callable[[int, str, str | None], bytes]:
        """Return what makes the JSON text of an element from key, id and display, as a projection shows it."""
        shown = shown_subs(attribute, projection)
        heads: dict[int, list[bytes]] = {}
        for name in target_types(attribute):
            root = orjson.dumps(self.shared.root(name))[:-1]
            parts = {
                "value": b'"value":"\0"',
                "$ref": b'"$ref":' + root + b'/\0"',
                "type": b'"type":"%s"' % name.encode(),
            }
            head = b",".join(part for sub, part in parts.items() if sub in shown)
            heads[self.shared.type_numbers[name]] = head.split(b"\0")

        def write(key: int, id: str, display: str | None) -> bytes:
            head = id.encode().join(heads[type_in(key)])
            if not display or "display" not in shown:
                return b"{" + head + b"}"
            return b"{" + head + (b',"display":' if head else b'"display":') + orjson.dumps(display) + b"}"

        return write

    def sources(self) -> dict[str, Callable[[Tenant], Source]]:
        """Return what makes the source of each attribute, by its path."""

        def making(attribute: Attribute) -> Callable[[Tenant], Source]:
            return lambda tenant: self._source(attribute, tenant.number)

        return {attribute.path: making(attribute) for attribute in self.attributes}

    def _source(self, attribute: Attribute, tenant: int) -> Source:
        names = {self.shared.type_numbers[name]: name for name in target_types(attribute)}
        scopes = [scope_of(tenant, number) for number in names]
        roots = {number: self.shared.root(name) for number, name in names.items()}
        return targets(attribute, scopes, names, roots)


def _with_elements(operation: Operation, described: Mapping[str, dict[str, str]]) -> Operation:
    """Return the operation with whole elements in place of those that only name an id."""
    value = operation.value
    if operation.target.mutability == "readOnly":
        return operation
    if isinstance(value, list):
        value = [described.get(element["value"], element) for element in value]
    elif isinstance(value, dict):
        value = described.get(value.get("value", ""), value)
    return dataclasses.replace(operation, value=value)


def target_types(attribute: Attribute) -> tuple[str, ...]:
    """Return the names of the resource types that a reference attribute may point to."""
    ref = attribute.sub("$ref")
    return ref.reference_types if ref else ()


def _pop(document: dict[str, Any], attribute: Attribute) -> list[dict[str, str]]:
    """Take an attribute out of a document, and its extension's container when that becomes empty."""
    urn = attribute.urn
    container = document.get(urn, {}) if urn else document
    elements: list[dict[str, str]] = container.pop(attribute.name, [])
    if urn and urn in document and not container:
        del document[urn]
    return elements


def _id(element: Mapping[str, str], base_url: str) -> str:
    """Return the id that an element names; a URI must be relative or one of this server (RFC 7643 section 2.4)."""
    if "value" in element:
        return element["value"] or ""
    try:
        ref = urlsplit(element.get("$ref") or "")
    except ValueError:
        return ""
    own = not ref.netloc or ref.netloc.lower() == urlsplit(base_url).netloc.lower()
    return ref.path.rstrip("/").rpartition("/")[2] if own else ""
