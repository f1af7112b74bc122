"""What becomes of deleted resources: are they listed, restored, or purged?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scim_server import audit, clock, idempotency, tokens
from scim_server.protocol import template
from scim_server.storage import documents, members, tombstones
from scim_server.storage.database import Database
from scim_server.storage.keys import tenant_in, type_in
from scim_server.storage.members import Regained
from scim_server.storage.tombstones import Deleted, TombstoneError
from scim_server.tokens import Principal

if TYPE_CHECKING:
    from scim_server.resources.base import Resources


@dataclass(frozen=True, slots=True)
class Restored:
    """A resource that lives again."""

    name: str
    regained: Regained


def name_of(deleted: Deleted) -> str:
    """Return the name that people know a deleted resource by, or its id."""
    document = template.stored(deleted.template)
    return str(document.get("userName") or document.get("displayName") or deleted.id)


def restore(of_type: "Resources", by: Principal, id: str) -> Restored:
    """Let a deleted resource live again, with what it referred to and what referred to it, but without its password.

    Raises TombstoneError when a name is taken by now, or when a group would contain itself.
    """
    database = of_type.shared.database
    with database.transaction():
        deleted = tombstones.find(database, id)
        name = f"{of_type.name} {name_of(deleted)}"
        try:
            regained = of_type.bring_back(by, deleted)
        except documents.Taken as taken:
            path = next(a.path for a in of_type.resource_type.by_path.values() if a.number == taken.attribute)
            raise TombstoneError(
                f"The {name} cannot be restored: its {path} belongs to the {of_type.name} {taken.holder} by now."
            ) from None
        _check_circles(of_type, deleted.key, name)
        # They ended with the user.
        tokens.revoke_own(database, id)
    return Restored(name_of(deleted), regained)


def _check_circles(of_type: "Resources", key: int, name: str) -> None:
    """Refuse a resource that, while it was deleted, was put around what it contains."""
    database = of_type.shared.database
    for attribute in of_type.references.attributes:
        around = members.enclosing(database, key, attribute.number)
        if key not in around:
            continue
        inner = next(row for row in members.walk(database, key, attribute.number) if row[0] in around)
        raise TombstoneError(
            f"The {name} cannot be restored: it had the member {inner[2] or inner[1]}, which has come to contain what"
            " contains it. Take one out of the other first."
        )


def purge(database: Database, credential: str, types: Mapping[str, int], pages: Iterable[list[Deleted]]) -> int:
    """Forget deleted resources for good, and return how many; `tombstones.scrub` must follow."""
    names = {number: name for name, number in types.items()}
    total = 0
    for page in pages:
        now = clock.now()
        with database.transaction():
            # What was restored meanwhile stays.
            gone = tombstones.forget(database, page, now)
            # An answer that was given before may show them, whole or as a member of something else.
            idempotency.let_go(database, max(deleted.deleted for deleted in page))
            for deleted in gone:
                tenant, name = tenant_in(deleted.key), names[type_in(deleted.key)]
                audit.record(database, tenant, credential, "purge", name, [(deleted.id, [])], now)
        total += len(gone)
    return total
