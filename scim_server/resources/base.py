"""What can be done with the resources of one type?

`Resources` serves any resource type from its schema alone; a type with behaviour of its own
subclasses it and says only what differs.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from scim_server import audit, clock, tenants
from scim_server.protocol import patch, replace, template, validation, version
from scim_server.protocol.compatibility import resource
from scim_server.protocol.errors import ScimError, not_found, uniqueness
from scim_server.protocol.limits import RESOURCE_BYTES
from scim_server.protocol.operations import Operation, read_operations
from scim_server.protocol.projection import DEFAULT, NOTHING, Projection, project
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.tree import Present
from scim_server.protocol.wording import say
from scim_server.resources.body import Text, gathered
from scim_server.resources.references import References
from scim_server.resources.shared import Shared
from scim_server.resources.values import Answer, Derived, Draft, Hashes, New, Patch, Representation, Whole
from scim_server.storage import documents, members, passwords
from scim_server.storage.keys import scope_of, type_in
from scim_server.storage.members import Regained
from scim_server.storage.parts import Part, Parts, Targets
from scim_server.storage.rows import rows_of
from scim_server.storage.search import Search
from scim_server.storage.sources import TRUE, Condition, Finite, Single, Source, joined
from scim_server.storage.tombstones import Deleted
from scim_server.tenants import Tenant
from scim_server.tokens import Principal, scope_prefix

Render = Callable[..., Representation]
"""Represents what is stored, and what a client has written of it, if it has."""


class Resources:
    """Create, read, replace, patch and delete resources of one type (RFC 7644 sections 3.3 to 3.6).

    Every operation acts for a principal and within its tenant; a resource of another tenant does
    not exist for it. A write is one transaction with its index rows and its audit row. What is given
    has passed `protocol.text` at the door that it came in by.
    """

    body_limit = RESOURCE_BYTES
    reference_paths: tuple[str, ...] = ()
    """Attributes that point to other resources and are kept as rows."""
    kept_elsewhere: tuple[str, ...] = ()
    """Attributes that are never in the stored document, so that they need not be kept out of answers."""
    is_read_whole = True
    """One statement reads all of a resource, whatever its size."""
    slots: tuple[template.Slot, ...] = (template.Slot("t", ()),)

    def __init__(self, shared: Shared, name: str) -> None:
        self.shared = shared
        self.name = name
        self.resource_type = shared.registry.resource_types[name]
        self.number = shared.type_numbers[name]
        self.references = References(shared, name, [self.attribute(path) for path in self.reference_paths])
        self.parts: dict[str, Part] = self.read_along()
        self._slots = {slot.letter: slot for slot in self.slots}
        self._sources = self.derived_sources()
        self._needed = lru_cache(256)(self._choose_parts)
        self._renderers = lru_cache(256)(self._make_renderer)
        self._hides = any(
            a.returned in ("request", "never") and a.path not in self.kept_elsewhere
            for a in self.resource_type.by_path.values()
        )

    def attribute(self, path: str) -> Attribute:
        return self.resource_type.by_path[path.lower()]

    def read_along(self) -> dict[str, Part]:
        """Return what is read with each resource, by a name of its own."""
        return {attribute.path: Targets(attribute) for attribute in self.references.attributes}

    def derived_sources(self) -> dict[str, Callable[[Tenant], Source]]:
        """Return what makes the source of each attribute that is not in the document, by its path.

        Most searches look for none of them.
        """
        root = f"{self.shared.root(self.name)}/"
        found: dict[str, Callable[[Tenant], Source]] = {
            "meta.resourceType": lambda _: Finite(((self.name, TRUE),)),
            "meta.location": lambda _: Single(Condition("(? || r.id)", (root,))),
            "schemas": self._schemas_in_use,
        }
        return found | self.references.sources()

    def search(self, tenant: Tenant) -> Search:
        """Return what compiles filters over a tenant's resources."""
        return Search(
            self.tenant_scope(tenant), lambda path: make(tenant) if (make := self._sources.get(path)) else None
        )

    def _schemas_in_use(self, tenant: Tenant) -> Source:
        search = self.search(tenant)
        keys = [(self.resource_type.schema.id, TRUE)]
        for extension in self.resource_type.extensions:
            shown = [a for a in extension.schema.attributes if a.returned != "never"]
            in_use = joined("OR", [search.condition(Present(a), wanted=False) for a in shown])
            keys.append((extension.schema.id, in_use))
        return Finite(tuple(keys))

    def deriver(self, tenant: Tenant, names: tuple[str, ...]) -> Callable[[Parts], Derived]:
        """Return what makes the derived members for each slot, of parts that have these names."""
        return lambda _: ({}, b"")

    def version_of(self, number: int, digested: bytes) -> str:
        """Return the entity tag (RFC 7644 section 3.14)."""
        return f'W/"{number}"'

    def answers_patch(self, key: int) -> bool:
        """Tell whether a PATCH is answered with the resource although the client names no attributes."""
        return True

    # Reading

    def read(
        self, by: Principal, id: str, projection: Projection = DEFAULT, if_none_match: str | None = None
    ) -> Answer:
        """Return one resource (section 3.4.1), without a body when the client knows it. Raises 404."""
        made = self._read(by, id, projection)
        if version.is_known(made.version, if_none_match):
            return Answer(None, made.version, made.location)
        return self._answer(by, id, projection, made)

    def _read(self, by: Principal, id: str, projection: Projection) -> Representation:
        return self.renderer(by, projection)(self._stored(by, id, projection))

    def _answer(self, by: Principal, id: str, projection: Projection, made: Representation) -> Answer:
        """Complete what was read; a large resource is read again, in one transaction of its own."""
        if made.text.rest is None:
            return Answer(made.text.head, made.version, made.location)
        with self.shared.database.snapshot():
            made = self._read(by, id, projection)
            return Answer(gathered([made.text]), made.version, made.location)

    def scope(self, by: Principal) -> int:
        return self.tenant_scope(by.tenant)

    def tenant_scope(self, tenant: Tenant) -> int:
        return scope_of(tenant.number, self.number)

    def parts_for(self, projection: Projection) -> tuple[Part, ...]:
        """Return the parts an answer needs; members that are not shown are never read."""
        return self._needed(projection)[1]

    def _choose_parts(self, projection: Projection) -> tuple[tuple[str, ...], tuple[Part, ...]]:
        needed = {
            name: part
            for name, part in self.parts.items()
            if not isinstance(part, Targets) or projection.shows(part.attribute)
        }
        return tuple(needed), tuple(needed.values())

    def key_of(self, by: Principal, id: str) -> int:
        """Return the key of a resource's row. Raises 404."""
        return self._stored(by, id, NOTHING).key

    def _stored(self, by: Principal, id: str, projection: Projection) -> documents.Stored:
        stored = documents.get(self.shared.database, self.scope(by), id, self.parts_for(projection))
        if stored is None:
            raise not_found(say("{kind} {id}", kind=self.name, id=ascii(id[:64])))
        return stored

    def versions(self, by: Principal, ids: Iterable[str]) -> dict[str, str]:
        """Return the entity tags of those resources that exist. One statement."""
        found = documents.with_ids(self.shared.database, self.scope(by), ids, self.parts_for(NOTHING))
        derive = self.deriver(by.tenant, self._needed(NOTHING)[0])
        return {stored.id: self.version_of(stored.version, derive(stored.parts)[1]) for stored in found}

    def renderer(self, by: Principal, projection: Projection) -> Render:
        """Return what represents resources as they are now, of which `parts_for` the projection were read.

        It is given what the client wrote, if it did, since some attributes are shown to whoever has set them.
        """
        return self._renderers(by.tenant, projection)

    def _make_renderer(self, tenant: Tenant, projection: Projection) -> Render:
        names = self._needed(projection)[0]
        derive, extend = self.deriver(tenant, names), self.extender(names, projection)
        root, is_whole = f"{self.shared.root(self.name)}/", not self._hides and projection.is_default()
        head = f'"meta":{{"resourceType":"{self.name}","created":"'

        def render(stored: documents.Stored, draft: Whole | Patch | None = None) -> Representation:
            members, digested = derive(stored.parts)
            tag = self.version_of(stored.version, digested)
            location = root + stored.id
            quoted = tag.replace('"', '\\"')
            meta = (
                f'{head}{stored.created}Z","lastModified":"{stored.modified}Z",'
                f'"location":"{location}","version":"{quoted}"}}'
            ).encode()
            members["t"] = members["t"] + b"," + meta if "t" in members else meta
            body = template.fill(stored.template, self._slots, members)
            if not is_whole:
                supplied = draft.supplied if draft else frozenset()
                body = orjson.dumps(project(self.resource_type, projection, orjson.loads(body), supplied))
            return Representation(extend(body, stored.key, stored.parts) if extend else Text(body), tag, location)

        return render

    def _version(self, stored: documents.Stored, by: Principal) -> str:
        return self.version_of(stored.version, self.deriver(by.tenant, self._needed(NOTHING)[0])(stored.parts)[1])

    def extender(self, names: tuple[str, ...], projection: Projection) -> Callable[[bytes, int, Parts], Text] | None:
        """Return what completes JSON text with what may be too large to be read along, if anything is.

        The parts have these names.
        """
        return None

    # Writing, each in a transaction of its own

    def create(
        self, by: Principal, body: Any, projection: Projection = DEFAULT, keep: Callable[[Answer], None] | None = None
    ) -> Answer:
        """Create a resource (section 3.3). ``keep`` gets the answer within the transaction.

        Raises invalidSyntax, invalidValue, uniqueness.
        """
        new = self.new(by, self.draft(by, body), new_id())
        self._hash(by, new.draft, None, lambda: self.insert_one(by, new))
        with self.shared.database.transaction():
            self.insert_one(by, new)
            made = self._reread(by, new.id, projection, new.draft)
            if keep:
                answer = self._answer(by, new.id, projection, made)
                keep(answer)
                return answer
        return self._answer(by, new.id, projection, made)

    def replace(
        self, by: Principal, id: str, body: Any, if_match: str | None = None, projection: Projection = DEFAULT
    ) -> Answer:
        """Replace a resource (section 3.5.1); what changes nothing keeps version and lastModified.

        Raises 404, 412, invalidSyntax, invalidValue, mutability, uniqueness.
        """
        draft = self.draft(by, body)
        self._hash(by, draft, id, lambda: self.change(by, id, draft, if_match))
        with self.shared.database.transaction():
            self.change(by, id, draft, if_match)
            made = self._reread(by, id, projection, draft)
        return self._answer(by, id, projection, made)

    def patch(
        self,
        by: Principal,
        id: str,
        body: Any,
        if_match: str | None = None,
        projection: Projection = DEFAULT,
        *,
        wants_body: bool = False,
    ) -> Answer:
        """Change a resource by operations, by all of them or by none (section 3.5.2).

        What changes nothing keeps version and lastModified. Raises 404, 412, invalidSyntax, invalidPath,
        invalidFilter, invalidValue, noTarget, mutability, uniqueness.
        """
        draft = self.draft_patch(by, body)
        self._hash(by, draft, id, lambda: self.change(by, id, draft, if_match))
        with self.shared.database.transaction():
            key = self.change(by, id, draft, if_match)
            if not (wants_body or self.answers_patch(key)):
                made = self._reread(by, id, NOTHING, draft)
                return Answer(None, made.version, made.location)
            made = self._reread(by, id, projection, draft)
        return self._answer(by, id, projection, made)

    def delete(self, by: Principal, id: str, if_match: str | None = None) -> None:
        """Delete a resource and every reference to it (section 3.6). Raises 404, 412.

        What referred to it gets a new version.
        """
        with self.shared.database.transaction():
            self.remove(by, id, if_match)

    # Reading what a client wants, before any lock is taken

    def _hash(self, by: Principal, draft: Draft, id: str | None, write: Callable[[], object]) -> None:
        """Hash the password of a write, unless the write is refused: hashing costs as much as a hundred refusals."""
        if draft.password is None:
            return
        with self.shared.database.rehearsal():
            write()
        self.hash(by, draft, id, {})

    def draft(self, by: Principal, body: Any) -> Whole:
        """Read a whole resource. Raises invalidSyntax, invalidValue."""
        definition = self._definition(by)
        document = by.habits.read(
            lambda sent: validation.check(definition, sent), body, lambda sent, found: resource(definition, sent, found)
        )
        return Whole(references=self.references.take(document), document=document)

    def hash(self, by: Principal, draft: Draft, id: str | None, hashes: Hashes) -> None:
        """Hash what is kept as a hash only, for the resource with the id or a new one.

        ``hashes`` are those that other operations of a Bulk made of passwords of the same resource.
        """

    def draft_patch(self, by: Principal, body: Any) -> Patch:
        """Read the operations on a resource. Raises what `read_operations` raises."""
        operations = read_operations(self._definition(by), body, by.habits)
        supplied = frozenset(operation.target.attribute.path.lower() for operation in operations)
        on_document, changes = self.references.split(operations)
        return Patch(operations=on_document, changes=changes, supplied=supplied)

    def new(self, by: Principal, draft: Whole, id: str) -> New:
        """Make all that can be made of a resource before it is inserted."""
        draft.document = self.completed(draft.document)
        self.check(by, None, draft.document)
        used = validation.schemas_in_use(self.resource_type, draft.document)
        content = self._content(by, {"schemas": used, "id": id, **draft.document})
        return New(id, draft, content, audit.names_in(draft.document))

    def completed(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a new document with what follows from it."""
        return document

    def check(self, by: Principal, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        """Refuse a change of a resource from old to new, None where there is none, that the type's rules forbid."""

    # Changing rows, within the caller's transaction

    def insert(self, by: Principal, created: Sequence[New], most: int | None = None) -> list[ScimError | None]:
        """Insert resources; return for each the refusal of a value that another one has, else None.

        After ``most`` refusals the rest is left out. Raises invalidValue for the references of one; then what was
        inserted must be rolled back. Raises 503 like every change.
        """
        self._check_tenant(by)
        database, scope, now = self.shared.database, self.scope(by), clock.now()
        wanted = [(new.id, new.content.rows.unique) for new in created]
        refusals: list[ScimError | None] = []
        for taken in documents.taken(database, scope, wanted):
            refusals.append(self._conflict(by, taken) if taken else None)
            if most and len(refusals) - refusals.count(None) == most:
                break
        accepted = [new for new, refusal in zip(created, refusals, strict=False) if not refusal]
        keys = documents.create(database, scope, now, [(new.id, new.content) for new in accepted])
        changed = []
        for key, new in zip(keys, accepted, strict=True):
            names = new.names + self.references.put(key, {a: ids for a, ids in new.draft.references.items() if ids})
            changed.append((new.id, [*names, "password"] if self._set_password(key, new.draft) else names))
        self._record(by, "create", changed, now)
        return refusals

    def insert_one(self, by: Principal, new: New) -> None:
        """Insert a resource. Raises uniqueness, and what `insert` raises."""
        (refusal,) = self.insert(by, [new])
        try:
            if refusal:
                raise refusal
        finally:
            # With it in a variable, the error and this frame would hold one another, and all that was sent.
            del refusal

    def change(self, by: Principal, id: str, draft: Whole | Patch, if_match: str | None = None) -> int:
        """Replace or patch a resource; return its key."""
        self._check_tenant(by)
        current = self._current(by, id, if_match)
        old = template.stored(current.template)
        if isinstance(draft, Patch):
            new = patch.apply(self._definition(by), old, draft.operations, self._shown(by, id, draft.operations))
            moved = self.references.patch(current.key, draft.changes)
        else:
            new = replace.apply(self._definition(by), old, draft.document)
            moved = self.references.put(current.key, draft.references)
        self.check(by, old, new)
        self._save(by, "patch" if isinstance(draft, Patch) else "replace", current, old, new, moved, draft)
        return current.key

    def remove(self, by: Principal, id: str, if_match: str | None = None) -> None:
        """Delete a resource and every reference to it."""
        self._check_tenant(by)
        current = self._current(by, id, if_match)
        old = template.stored(current.template)
        self.check(by, old, None)
        now = max(clock.now(), current.modified)
        rows = rows_of(self._definition(by), old)
        documents.delete(self.shared.database, current, now, rows)
        holders = members.lose(self.shared.database, current.key)
        touched = documents.touch(self.shared.database, {source for source, _ in holders}, now)
        self._record(by, "delete", [(id, [])], now)
        for source, attribute in holders:
            self._record_reference(by, source, touched[source], attribute, now)

    def bring_back(self, by: Principal, deleted: Deleted) -> Regained:
        """Let a deleted resource live again, and its references as far as the other side lives.

        What refers to it gets a new version. Raises Taken when another resource has a value that must be unique.
        """
        self._check_tenant(by)
        database, document = self.shared.database, template.stored(deleted.template)
        content = self._content(by, document)
        if taken := next(documents.taken(database, self.scope(by), [(deleted.id, content.rows.unique)])):
            raise taken
        now = max(clock.now(), deleted.modified)
        documents.restore(database, deleted, now, content)
        regained = members.regain(database, deleted.key)
        touched = documents.touch(database, {source for source, _ in regained.holders}, now)
        self._record(by, "restore", [(deleted.id, audit.names_in(document))], now)
        for source, attribute in regained.holders:
            self._record_reference(by, source, touched[source], attribute, now)
        return regained

    def _check_tenant(self, by: Principal) -> None:
        """Refuse a write that was read under other policies than hold by now. Raises 503."""
        # What is unique depends on them: the rows of one would not fit those of all others.
        if tenants.policies_of(self.shared.database, by.tenant) != by.tenant.policies:
            detail = say("The policies of the tenant have just changed. Send the request again.")
            raise ScimError(503, detail, None, {"Retry-After": "1"})

    def _current(self, by: Principal, id: str, if_match: str | None) -> documents.Stored:
        stored = self._stored(by, id, NOTHING)
        if if_match:
            version.check_match(self._version(stored, by), if_match)
        return stored

    def _shown(self, by: Principal, id: str, operations: Iterable[Operation]) -> Mapping[str, Any]:
        """Return what a client sees of a resource, references left out, if an operation writes what is readOnly."""
        if not any(operation.target.mutability == "readOnly" for operation in operations):
            return {}
        projection = Projection(excluded=frozenset(path.lower() for path in self.reference_paths))
        shown: dict[str, Any] = orjson.loads(self._read(by, id, projection).text.head)
        return shown

    def _save(
        self,
        by: Principal,
        operation: str,
        current: documents.Stored,
        old: dict[str, Any],
        new: dict[str, Any],
        moved: list[str],
        draft: Draft,
    ) -> None:
        """Write what changed of a resource whose references have ``moved``; nothing at all if nothing did."""
        names = audit.changed_names(old, new) + moved
        if self._set_password(current.key, draft):
            names.append("password")
        if not names:
            return
        now = max(clock.now(), current.modified)
        if old == new:
            documents.touch(self.shared.database, [current.key], now)
        else:
            rows, content = rows_of(self._definition(by), old), self._content(by, new)
            if len(content.template) > max(RESOURCE_BYTES, len(current.template)):
                # PATCH after PATCH, it could become too large to be sent as a whole again.
                detail = say(
                    "The {kind} would be larger than the limit ({most} bytes).", kind=self.name, most=RESOURCE_BYTES
                )
                raise ScimError(413, detail)
            try:
                documents.update(self.shared.database, current, now, rows, content)
            except documents.Taken as taken:
                raise self._conflict(by, taken) from None
        self._record(by, operation, [(current.id, names)], now)

    def _set_password(self, key: int, draft: Draft) -> bool:
        if not (draft.password_hash or draft.removes_password):
            return False
        return passwords.put(self.shared.database, key, draft.password_hash)

    def _content(self, by: Principal, document: dict[str, Any]) -> documents.Content:
        rows = rows_of(self._definition(by), document)
        display = document.get("displayName")
        return documents.Content(
            template.build(document, self.slots), rows, display if isinstance(display, str) else None
        )

    def _conflict(self, by: Principal, taken: documents.Taken) -> ScimError:
        path = next(a.path for a in self.resource_type.by_path.values() if a.number == taken.attribute)
        location = self.shared.location(self.resource_type, taken.holder)
        readable = by.may(f"{scope_prefix(self.resource_type)}:read")
        detail = say("Another {kind} has this {path}.", kind=self.name, path=path)
        return uniqueness(detail, location if readable else None)

    def _definition(self, by: Principal) -> ResourceType:
        """Return the resource type as the tenant's policies make it."""
        return self.shared.registry.under(by.tenant.policies).resource_types[self.name]

    def _record(self, by: Principal, operation: str, changed: Sequence[tuple[str, list[str]]], at: str) -> None:
        audit.record(self.shared.database, by.tenant.number, by.credential, operation, self.name, changed, at)

    def _record_reference(self, by: Principal, source: int, id: str, attribute: int, at: str) -> None:
        """Record that another resource lost its reference to a deleted one, or got it back."""
        holder = self.shared.type_of(type_in(source))
        path = next(a.path for a in holder.by_path.values() if a.number == attribute)
        audit.record(self.shared.database, by.tenant.number, by.credential, "replace", holder.name, [(id, [path])], at)

    def _reread(self, by: Principal, id: str, projection: Projection, draft: Whole | Patch) -> Representation:
        return self.renderer(by, projection)(self._stored(by, id, projection), draft)


def new_id() -> str:
    """Return a UUID version 7 (RFC 9562): 48 bits of milliseconds, then random bits."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    number = number & ~(0xF000 << 64) | 0x7000 << 64
    number = number & ~(0xC000 << 48) | 0x8000 << 48
    return str(uuid.UUID(int=number))
