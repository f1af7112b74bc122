"""What do the commands about resources act on? The database itself, through what serves SCIM, as the operator."""

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from scim_server import tenants
from scim_server.cli.caller import CommandError, credential
from scim_server.config import Settings
from scim_server.protocol import patch, template
from scim_server.protocol.errors import ScimError, not_found
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.operations import patch_message, read_operations
from scim_server.protocol.projection import NOTHING, Projection, read_projection
from scim_server.protocol.query import Query
from scim_server.protocol.wording import say
from scim_server.resources import listing
from scim_server.resources.base import Resources, new_id
from scim_server.resources.body import Body
from scim_server.resources.groups import MEMBERS
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.storage import documents, members
from scim_server.tokens import ADMIN, Principal

_HABITS = ALL - {"unknown-attributes", "read-only-members"}
"""People write short names, and a shell takes quotes away; but what is misspelt must not be ignored."""
_PAGE = 200
_NAMES = {"User": "userName"}

Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator at work for one tenant."""

    shared: Shared
    kinds: dict[str, Resources]
    by: Principal

    @classmethod
    def of(cls, settings: Settings, tenant_name: str | None) -> "Operator":
        # Cursors never leave this process, so that any key will do.
        shared = Shared.opened(settings, secrets.token_bytes(32))
        tenant = tenants.find(shared.database, tenant_name)
        habits = Habits(_HABITS)
        return cls(shared, all_resources(shared), Principal(credential(), tenant, frozenset({ADMIN}), habits=habits))

    def type_numbered(self, number: int) -> Resources | None:
        """Return the operations on the type with a number, if it is loaded."""
        return next((of_type for of_type in self.kinds.values() if of_type.number == number), None)

    # Finding

    def pages(
        self, type_name: str, filter: str | None, sort_by: str | None = None, names: Iterable[str] | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield all resources of a type that fit a filter, page by page, with some attributes or those shown as a rule.

        The members of groups are left out unless they are named.
        """
        of_type = self.kinds[type_name]
        projection = read_projection([of_type.resource_type], names, None if names else [MEMBERS])
        cursor: str | None = ""
        while cursor is not None:
            query = Query(count=_PAGE, projection=projection, filter=filter, sort_by=sort_by, cursor=cursor)
            page = orjson.loads(_whole(listing.answer([of_type], self.by, query)))
            yield page["Resources"]
            cursor = page.get("nextCursor")

    def find(self, type_name: str, named: str) -> str:
        """Return the id of the resource with an id or a name. Raises 404, or 400 when several have the name."""
        of_type = self.kinds[type_name]
        attribute = _NAMES.get(type_name, "displayName")
        if of_type.versions(self.by, [named]):
            return named
        query = Query(count=2, projection=NOTHING, filter=f"{attribute} eq {json.dumps(named)}")
        found = orjson.loads(_whole(listing.answer([of_type], self.by, query)))["Resources"]
        if not found:
            raise not_found(say("{kind} {id}", kind=type_name, id=ascii(named[:64])))
        if len(found) > 1:
            raise CommandError(f"There are several of the name {named[:64]!a}; give an id.")
        return str(found[0]["id"])

    def member(self, named: str) -> str:
        """Return the id of a user by id or userName, of a group by id or ``group:NAME``."""
        if named.startswith("group:"):
            return self.find("Group", named.removeprefix("group:"))
        if self.kinds["Group"].versions(self.by, [named]):
            return named
        return self.find("User", named)

    # Showing

    def text(self, type_name: str, id: str) -> Body:
        """Return a resource as JSON. Raises 404."""
        body = self.kinds[type_name].read(self.by, id).body
        assert body is not None
        return body

    def document(self, type_name: str, id: str) -> dict[str, Any]:
        """Return a resource without the members of a group. Raises 404."""
        of_type = self.kinds[type_name]
        projection: Projection = read_projection([of_type.resource_type], None, [MEMBERS])
        body = of_type.read(self.by, id, projection).body
        assert body is not None
        document: dict[str, Any] = orjson.loads(_whole(body))
        return document

    def members_of(self, id: str) -> Iterator[list[tuple[str, str | None, str]]]:
        """Yield pages of a group's members: what `member` finds each by, displayName, id. Raises 404."""
        groups = self.kinds["Group"]
        key, number, after = groups.key_of(self.by, id), groups.attribute(MEMBERS).number, 0
        while page := list(members.walk(self.shared.database, key, number, after=after, limit=_PAGE)):
            names = self._user_names([id for _, id, _ in page])
            yield [(names.get(id) or f"group:{shown}", shown, id) for _, id, shown in page]
            after = page[-1][0]

    def _user_names(self, ids: list[str]) -> dict[str, str]:
        """Return the userName of those ids that are users'."""
        found = documents.with_ids(self.shared.database, self.kinds["User"].scope(self.by), ids)
        return {stored.id: template.stored(stored.template)["userName"] for stored in found}

    def count_members(self, ids: list[str]) -> dict[str, int]:
        """Return how many members groups have, by id; none is left out."""
        groups = self.kinds["Group"]
        return members.counts(self.shared.database, groups.scope(self.by), groups.attribute(MEMBERS).number, ids)

    # Changing

    def create(
        self,
        type_name: str,
        name: str,
        changes: list[Operation],
        password: str | None = None,
        groups: Iterable[str] = (),
    ) -> str:
        """Create a resource, put it into groups, all or nothing, and return its id. Raises what a POST raises."""
        of_type, id = self.kinds[type_name], new_id()
        definition = self.shared.registry.under(self.by.tenant.policies).resource_types[type_name]
        named = {"op": "replace", "path": _NAMES.get(type_name, "displayName"), "value": name}
        read = read_operations(definition, self._message(type_name, [*changes, named], None), self.by.habits)
        document = patch.apply(definition, {}, read)
        if password is not None:
            document["password"] = password
        draft = of_type.draft(self.by, document)
        of_type.hash(self.by, draft, None, {})
        new = of_type.new(self.by, draft, id)
        joins = self.kinds["Group"].draft_patch(self.by, _adding([id]))
        with self.shared.database.transaction():
            of_type.insert_one(self.by, new)
            for group in groups:
                self.kinds["Group"].change(self.by, group, joins)
        return id

    def change(self, type_name: str, id: str, changes: list[Operation], password: str | None = None) -> None:
        """Change a resource. Raises what a PATCH raises."""
        self.kinds[type_name].patch(self.by, id, self._message(type_name, changes, password), projection=NOTHING)

    def add_members(self, group: str, ids: list[str]) -> None:
        self.kinds["Group"].patch(self.by, group, _adding(ids), projection=NOTHING)

    def remove_members(self, group: str, ids: list[str]) -> None:
        operation = {"op": "remove", "path": MEMBERS, "value": [{"value": id} for id in ids]}
        self.change("Group", group, [operation])

    def delete(self, type_name: str, ids: Iterable[str]) -> int:
        """Delete resources, each by itself, but for those that are gone by now; return how many."""
        done = 0
        for id in ids:
            try:
                self.kinds[type_name].delete(self.by, id)
            except ScimError as error:
                if error.status != 404:
                    raise
            else:
                done += 1
        return done

    def _message(self, type_name: str, changes: list[Operation], password: str | None) -> dict[str, Any]:
        """Return a PatchOp; passwords come from elsewhere than the changes. Raises invalidValue."""
        message = patch_message(changes)
        definition = self.kinds[type_name].resource_type
        if changes and any(
            o.target.attribute.path == "password" for o in read_operations(definition, message, self.by.habits)
        ):
            raise CommandError("A password is never an argument; use --password-stdin.")
        if password is not None:
            changes = [*changes, {"op": "replace", "path": "password", "value": password}]
        return patch_message(changes)


def _adding(ids: list[str]) -> dict[str, Any]:
    return patch_message([{"op": "add", "path": MEMBERS, "value": [{"value": id} for id in ids]}])


def _whole(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    with body:
        return body.read()
