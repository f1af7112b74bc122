"""What can be done with the resources of one type?

`Resources` serves any resource type from its schema alone; a type with behaviour of its own
subclasses it and says only what differs.
"""

import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from scim_server import audit, clock
from scim_server.protocol import replace, template, validation, version
from scim_server.protocol.errors import invalid_value, not_found, uniqueness
from scim_server.protocol.limits import GROUP_MEMBERS, RESOURCE_BYTES
from scim_server.protocol.projection import DEFAULT, NOTHING, Projection, project
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.tree import Present
from scim_server.storage import documents, members
from scim_server.storage.database import Database
from scim_server.storage.keys import scope_of, type_in
from scim_server.storage.parts import Part, Targets, entries
from scim_server.storage.rows import rows_of
from scim_server.storage.search import Search
from scim_server.storage.sources import TRUE, Condition, Finite, Single, Source, joined, targets
from scim_server.tokens import Principal


@dataclass(frozen=True, slots=True)
class Shared:
    """What the resources of all types share. ``base_url`` is the public SCIM root."""

    database: Database
    registry: Registry
    base_url: str
    type_numbers: Mapping[str, int]
    secret: bytes
    """Key that cursors are sealed with."""

    def type_of(self, number: int) -> ResourceType:
        name = next(name for name, known in self.type_numbers.items() if known == number)
        return self.registry.resource_types[name]

    def location(self, resource_type: ResourceType, id: str) -> str:
        return f"{self.base_url}{resource_type.endpoint}/{id}"


@dataclass(frozen=True, slots=True)
class Representation:
    """A resource as a client sees it: JSON text, entity tag, URI."""

    body: bytes
    version: str
    location: str


@dataclass(slots=True)
class Draft:
    """A resource that a client wants, split by where its parts are kept."""

    document: dict[str, Any]
    references: dict[Attribute, list[str]] = field(default_factory=dict)
    """The ids that each reference attribute names."""
    password_hash: str | None = None
    supplied: frozenset[str] = frozenset()
    """Lower-case paths of the attributes that the client sent."""


class Resources:
    """Create, read, list, replace and delete resources of one type (RFC 7644 sections 3.3 to 3.6).

    Every operation acts for a principal and within its tenant; a resource of another tenant does
    not exist for it. A write is one transaction with its index rows and its audit row.
    """

    body_limit = RESOURCE_BYTES
    reference_paths: tuple[str, ...] = ()
    """Attributes that point to other resources and are kept as rows."""
    kept_elsewhere: tuple[str, ...] = ()
    """Attributes that are never in the stored document, so that they need not be kept out of answers."""
    slots: tuple[template.Slot, ...] = (template.Slot("t", ()),)

    def __init__(self, shared: Shared, name: str) -> None:
        self.shared = shared
        self.name = name
        self.resource_type = shared.registry.resource_types[name]
        self.number = shared.type_numbers[name]
        self.references = tuple(self.attribute(path) for path in self.reference_paths)
        self.parts: dict[str, Part] = self.read_along()
        self._slots = {slot.letter: slot for slot in self.slots}
        self._hides = any(
            a.returned in ("request", "never") and a.path not in self.kept_elsewhere
            for a in self.resource_type.by_path.values()
        )

    def attribute(self, path: str) -> Attribute:
        return self.resource_type.by_path[path.lower()]

    def read_along(self) -> dict[str, Part]:
        """Return what is read with each resource, by a name of its own."""
        return {attribute.path: Targets(attribute) for attribute in self.references}

    def derived_sources(self, by: Principal) -> dict[str, Source]:
        """Return where a search finds the attributes that are not in the document, by their paths."""
        root = f"{self._root(self.name)}/"
        found: dict[str, Source] = {
            "meta.resourceType": Finite(((self.name, TRUE),)),
            "meta.location": Single(Condition("(? || r.id)", (root,))),
        }
        for attribute in self.references:
            names = {self.shared.type_numbers[name]: name for name in self._referenced_types(attribute)}
            scopes = [scope_of(by.tenant.number, number) for number in names]
            roots = {number: self._root(name) for number, name in names.items()}
            found[attribute.path] = targets(attribute, scopes, names, roots)
        return found

    def search(self, by: Principal) -> Search:
        """Return what compiles filters over these resources."""
        derived = self.derived_sources(by)
        search = Search(self.scope(by), derived)
        keys = [(self.resource_type.schema.id, TRUE)]
        for extension in self.resource_type.extensions:
            shown = [a for a in extension.schema.attributes if a.returned != "never"]
            in_use = joined("OR", [search.condition(Present(a), wanted=False) for a in shown])
            keys.append((extension.schema.id, in_use))
        derived["schemas"] = Finite(tuple(keys))
        return search

    def _root(self, type_name: str) -> str:
        return self.shared.base_url + self.shared.registry.resource_types[type_name].endpoint

    def _referenced_types(self, attribute: Attribute) -> tuple[str, ...]:
        ref = attribute.sub("$ref")
        return ref.reference_types if ref else ()

    def derive(self, read: Mapping[str, Any], by: Principal) -> dict[str, list[bytes]]:
        """Return the derived members for each slot; ``read`` has the parts that were read."""
        return {}

    def version_of(self, stored: documents.Stored, derived: Mapping[str, list[bytes]]) -> str:
        """Return the entity tag (RFC 7644 section 3.14)."""
        return f'W/"{stored.version}"'

    # Reading

    def read(self, by: Principal, id: str, projection: Projection = DEFAULT) -> Representation:
        """Return one resource (section 3.4.1). Raises 404."""
        stored = documents.get(self.shared.database, self.scope(by), id, self.parts_for(projection))
        if stored is None:
            raise not_found(f"{self.name} {id[:64]!a}")
        return self.represent(stored, by, projection)

    def scope(self, by: Principal) -> int:
        return scope_of(by.tenant.number, self.number)

    def parts_for(self, projection: Projection) -> tuple[Part, ...]:
        """Return the parts an answer needs; members that are not shown are never read."""
        return tuple(part for part in self.parts.values() if self._needs(part, projection))

    def _needs(self, part: Part, projection: Projection) -> bool:
        return not isinstance(part, Targets) or projection.shows(part.attribute)

    def represent(
        self,
        stored: documents.Stored,
        by: Principal,
        projection: Projection,
        supplied: frozenset[str] = frozenset(),
    ) -> Representation:
        names = [name for name, part in self.parts.items() if self._needs(part, projection)]
        derived = self.derive(dict(zip(names, stored.parts, strict=True)), by)
        tag = self.version_of(stored, derived)
        location = self.shared.location(self.resource_type, stored.id)
        quoted = tag.replace('"', '\\"')
        meta = (
            f'"meta":{{"resourceType":"{self.name}","created":"{stored.created}Z",'
            f'"lastModified":"{stored.modified}Z","location":"{location}","version":"{quoted}"}}'
        ).encode()
        pieces = {letter: b",".join(found) for letter, found in derived.items()}
        pieces["t"] = b",".join([*derived.get("t", ()), meta])
        body = template.fill(stored.template, self._slots, pieces)
        if self._hides or not projection.is_default():
            whole = orjson.loads(body)
            body = orjson.dumps(project(self.resource_type, projection, whole, supplied))
        return Representation(body, tag, location)

    # Writing

    def create(self, by: Principal, body: Any, projection: Projection = DEFAULT) -> Representation:
        """Create a resource (section 3.3). Raises invalidSyntax, invalidValue, uniqueness."""
        draft = self.draft(by, body)
        id, now, scope = new_id(), clock.now(), self.scope(by)
        used = validation.schemas_in_use(self.resource_type, draft.document)
        document = {"schemas": used, "id": id, **draft.document}
        with self.shared.database.transaction():
            wanted = self._resolve(by, draft)
            try:
                key = documents.create(self.shared.database, scope, id, now, self._content(by, document))
            except documents.Taken as taken:
                raise self._conflict(taken) from None
            for attribute, keys in wanted.items():
                members.add(self.shared.database, key, attribute.number, keys)
            if draft.password_hash:
                documents.set_password(self.shared.database, key, draft.password_hash)
            names = audit.changed_names({}, document) + self._side_names(draft)
            self._record(by, "create", id, names, now)
            return self._reread(by, scope, id, projection, draft)

    def replace(
        self, by: Principal, id: str, body: Any, if_match: str | None = None, projection: Projection = DEFAULT
    ) -> Representation:
        """Replace a resource (section 3.5.1); what changes nothing keeps version and lastModified.

        Raises 404, 412, invalidSyntax, invalidValue, mutability, uniqueness.
        """
        draft = self.draft(by, body)
        scope = self.scope(by)
        with self.shared.database.transaction():
            current = self._current(by, id, if_match)
            old = template.stored(current.template)
            new = replace.apply(self._definition(by), old, draft.document)
            moves = self._moves(by, current.key, draft)
            names = audit.changed_names(old, new) + [a.path for a, (added, gone) in moves.items() if added or gone]
            if draft.password_hash:
                documents.set_password(self.shared.database, current.key, draft.password_hash)
                names.append("password")
            if names:
                now = max(clock.now(), current.modified)
                self._update(by, current, old, new, now)
                for attribute, (added, gone) in moves.items():
                    members.remove(self.shared.database, current.key, attribute.number, gone)
                    members.add(self.shared.database, current.key, attribute.number, added)
                self._record(by, "replace", id, names, now)
            return self._reread(by, scope, id, projection, draft)

    def delete(self, by: Principal, id: str, if_match: str | None = None) -> None:
        """Delete a resource and every reference to it (section 3.6). Raises 404, 412.

        What referred to it gets a new version.
        """
        with self.shared.database.transaction():
            current = self._current(by, id, if_match)
            now = max(clock.now(), current.modified)
            rows = rows_of(self._definition(by), template.stored(current.template))
            links = members.links(self.shared.database, current.key)
            documents.delete(self.shared.database, current, now, rows, links)
            members.unlink(self.shared.database, current.key)
            documents.touch(self.shared.database, {source for source, _ in links["to"]}, now)
            self._record(by, "delete", id, [], now)

    def draft(self, by: Principal, body: Any) -> Draft:
        """Read what a client wants, before any lock is taken."""
        document = validation.check(self._definition(by), body)
        draft = Draft(document, supplied=_paths(document))
        for attribute in self.references:
            draft.references[attribute] = self._take_reference(document, attribute)
        return draft

    def _take_reference(self, document: dict[str, Any], attribute: Attribute) -> list[str]:
        """Take a reference attribute out of the document and return the ids it names.

        An element names its target by ``value``, or else by the last segment of ``$ref``.
        """
        urn = attribute.urn
        container = document.get(urn, {}) if urn else document
        elements = container.pop(attribute.name, [])
        if urn and urn in document and not container:
            del document[urn]
        if len(elements) > GROUP_MEMBERS:
            raise invalid_value(f"{attribute.path} has more than {GROUP_MEMBERS} values.")
        ids = [e.get("value") or e.get("$ref", "").rstrip("/").rpartition("/")[2] for e in elements]
        if not all(ids):
            raise invalid_value(f"{attribute.path}[{ids.index('')}].value is required.")
        return list(dict.fromkeys(ids))

    def _resolve(self, by: Principal, draft: Draft) -> dict[Attribute, set[int]]:
        """Return the keys of the referenced resources. Raises invalidValue for an unknown or unfit one."""
        found: dict[Attribute, set[int]] = {}
        for attribute, ids in draft.references.items():
            keys = members.keys_of(self.shared.database, self.scope(by), ids)
            types = self._referenced_types(attribute)
            allowed = {self.shared.type_numbers[name] for name in types}
            for id in ids:
                if id not in keys or type_in(keys[id]) not in allowed:
                    kinds = " or ".join(types)
                    raise invalid_value(f"{attribute.path}: there is no {kinds} with the id {id[:64]!a}.")
            found[attribute] = set(keys.values())
        return found

    def _moves(self, by: Principal, key: int, draft: Draft) -> dict[Attribute, tuple[set[int], set[int]]]:
        """Return which references are added and which go away."""
        moves = {}
        for attribute, wanted in self._resolve(by, draft).items():
            present = members.targets(self.shared.database, key, attribute.number)
            added = wanted - present
            self._check_cycle(key, attribute, added)
            moves[attribute] = added, present - wanted
        return moves

    def _check_cycle(self, key: int, attribute: Attribute, added: set[int]) -> None:
        if not any(type_in(target) == self.number for target in added):
            return
        above = members.enclosing(self.shared.database, key, attribute.number) | {key}
        if above & added:
            raise invalid_value(f"{attribute.path}: a {self.name} cannot contain itself, directly or through others.")

    def _current(self, by: Principal, id: str, if_match: str | None) -> documents.Stored:
        stored = documents.get(self.shared.database, self.scope(by), id, self.parts_for(NOTHING))
        if stored is None:
            raise not_found(f"{self.name} {id[:64]!a}")
        if if_match:
            version.check_match(self.represent(stored, by, NOTHING).version, if_match)
        return stored

    def _update(
        self, by: Principal, current: documents.Stored, old: dict[str, Any], new: dict[str, Any], now: str
    ) -> None:
        rows = rows_of(self._definition(by), old)
        try:
            documents.update(self.shared.database, current.key, now, rows, self._content(by, new))
        except documents.Taken as taken:
            raise self._conflict(taken) from None

    def _content(self, by: Principal, document: dict[str, Any]) -> documents.Content:
        rows = rows_of(self._definition(by), document)
        return documents.Content(template.build(document, self.slots), rows, document.get("displayName"))

    def _conflict(self, taken: documents.Taken) -> Exception:
        path = next(a.path for a in self.resource_type.by_path.values() if a.number == taken.attribute)
        return uniqueness(
            f"Another {self.name} has this {path}.", self.shared.location(self.resource_type, taken.holder)
        )

    def _definition(self, by: Principal) -> ResourceType:
        """Return the resource type as the tenant's policies make it."""
        return self.shared.registry.under(by.tenant.policies).resource_types[self.name]

    def _side_names(self, draft: Draft) -> list[str]:
        names = [attribute.path for attribute, ids in draft.references.items() if ids]
        return [*names, "password"] if draft.password_hash else names

    def _record(self, by: Principal, operation: str, id: str, names: list[str], at: str) -> None:
        audit.record(self.shared.database, by.tenant.number, by.credential, operation, self.name, id, names, at)

    def _reread(self, by: Principal, scope: int, id: str, projection: Projection, draft: Draft) -> Representation:
        stored = documents.get(self.shared.database, scope, id, self.parts_for(projection))
        assert stored
        return self.represent(stored, by, projection, draft.supplied)

    def referenced(self, text: str | None) -> list[dict[str, str]]:
        """Return the elements that a `Targets` part makes: value, $ref, type, and display when it is set."""
        found = []
        for number, id, display in entries(text):
            target = self.shared.type_of(int(number))
            element = {"value": id, "$ref": self.shared.location(target, id), "type": target.name}
            if display:
                element["display"] = display
            found.append(element)
        return found


def _paths(document: Mapping[str, Any]) -> frozenset[str]:
    names = {name.lower() for name in document if not name.startswith("urn:")}
    inner = {f"{urn}:{name}".lower() for urn in document if urn.startswith("urn:") for name in document[urn]}
    return frozenset(names | inner)


def new_id() -> str:
    """Return a UUID version 7 (RFC 9562): 48 bits of milliseconds, then random bits."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    number = number & ~(0xF000 << 64) | 0x7000 << 64
    number = number & ~(0xC000 << 48) | 0x8000 << 48
    return str(uuid.UUID(int=number))
