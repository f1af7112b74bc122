"""How do resources of one type point to others? Group members, services of a group.

A reference attribute is no part of the stored document: its elements are rows, and what they show of their
targets is derived.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from scim_server.protocol.errors import invalid_value
from scim_server.protocol.schema import Attribute
from scim_server.resources.shared import Shared
from scim_server.storage import members
from scim_server.storage.keys import scope_of, type_in
from scim_server.storage.parts import entries
from scim_server.storage.sources import Source, targets

Moves = Mapping[Attribute, tuple[set[int], set[int]]]
"""The keys that each attribute points to from now on, and no longer."""


class References:
    """The reference attributes of one resource type."""

    def __init__(self, shared: Shared, type_name: str, attributes: Sequence[Attribute]) -> None:
        self.shared = shared
        self.type_name = type_name
        self.attributes = tuple(attributes)

    def take(self, document: dict[str, Any]) -> dict[Attribute, list[str]]:
        """Take the attributes out of a document and return the ids that each names, each once.

        An element names its target by ``value``, or else by the last segment of ``$ref``. Raises invalidValue.
        """
        return {attribute: self._ids(_pop(document, attribute), attribute) for attribute in self.attributes}

    def _ids(self, elements: Sequence[Mapping[str, str]], attribute: Attribute) -> list[str]:
        ids = [_id(element, self.shared.base_url) for element in elements]
        if not all(ids):
            raise invalid_value(f"{attribute.path}: element {ids.index('')} names no resource of this server.")
        return list(dict.fromkeys(ids))

    def resolve(self, scope: int, wanted: Mapping[Attribute, Sequence[str]]) -> dict[Attribute, set[int]]:
        """Return the keys of the targets. Raises invalidValue for an unknown or unfit one."""
        found: dict[Attribute, set[int]] = {}
        for attribute, ids in wanted.items():
            keys = members.keys_of(self.shared.database, scope, ids)
            types = _target_types(attribute)
            allowed = {self.shared.type_numbers[name] for name in types}
            for id in ids:
                if id not in keys or type_in(keys[id]) not in allowed:
                    kinds = " or ".join(types)
                    raise invalid_value(f"{attribute.path}: there is no {kinds} with the id {id[:64]!a}.")
            found[attribute] = set(keys.values())
        return found

    def moves(self, scope: int, key: int, wanted: Mapping[Attribute, Sequence[str]]) -> Moves:
        """Return what must change so that a resource points to just these targets. Raises invalidValue."""
        moves = {}
        for attribute, keys in self.resolve(scope, wanted).items():
            present = members.targets(self.shared.database, key, attribute.number)
            added = keys - present
            self._check_cycle(key, attribute, added)
            moves[attribute] = added, present - keys
        return moves

    def _check_cycle(self, key: int, attribute: Attribute, added: set[int]) -> None:
        if not any(type_in(target) == type_in(key) for target in added):
            return
        above = members.enclosing(self.shared.database, key, attribute.number) | {key}
        if above & added:
            name = self.type_name
            raise invalid_value(f"{attribute.path}: a {name} cannot contain itself, directly or through others.")

    def move(self, key: int, moves: Moves) -> None:
        """Change the rows of a resource, within the caller's transaction."""
        for attribute, (added, gone) in moves.items():
            members.remove(self.shared.database, key, attribute.number, gone)
            members.add(self.shared.database, key, attribute.number, added)

    def describe(self, text: str | None) -> list[dict[str, str]]:
        """Return the elements that a `Targets` part makes: value, $ref, type, and display when it is set."""
        found = []
        for number, id, display in entries(text):
            target = self.shared.type_of(int(number))
            element = {"value": id, "$ref": self.shared.location(target, id), "type": target.name}
            if display:
                element["display"] = display
            found.append(element)
        return found

    def sources(self, tenant: int) -> dict[str, Source]:
        """Return where a search finds the attributes, by their paths."""
        found: dict[str, Source] = {}
        for attribute in self.attributes:
            names = {self.shared.type_numbers[name]: name for name in _target_types(attribute)}
            scopes = [scope_of(tenant, number) for number in names]
            roots = {number: self.shared.root(name) for number, name in names.items()}
            found[attribute.path] = targets(attribute, scopes, names, roots)
        return found


def _target_types(attribute: Attribute) -> tuple[str, ...]:
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
        return element["value"]
    ref = urlsplit(element.get("$ref", ""))
    own = not ref.netloc or ref.netloc.lower() == urlsplit(base_url).netloc.lower()
    return ref.path.rstrip("/").rpartition("/")[2] if own else ""
