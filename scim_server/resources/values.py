"""What goes into the resources of a type, and what comes out of them?"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scim_server.protocol.operations import Operation
from scim_server.resources.body import Body, Text
from scim_server.resources.references import Changes, Ids
from scim_server.storage.documents import Content

Derived = tuple[dict[str, bytes], bytes]
"""What is derived of a resource: the members for each slot, by its letter, and what its version depends on."""
Hashes = dict[str, str]
"""The hashes made of passwords for one resource."""


class Representation(NamedTuple):
    """A resource as a client sees it: JSON text, entity tag, URI."""

    text: Text
    version: str
    location: str


class Answer(NamedTuple):
    """What is sent of a resource; None as the body means that only its version is."""

    body: Body | None
    version: str
    location: str


@dataclass(slots=True, kw_only=True)
class Draft:
    """What a client wants to write, split by where its parts are kept."""

    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)
    removes_password: bool = False


@dataclass(slots=True, kw_only=True)
class Whole(Draft):
    """A whole resource."""

    document: dict[str, Any]
    references: Ids

    @property
    def supplied(self) -> frozenset[str]:
        """Return the lower-case paths of the attributes that the client sent."""
        named = [attribute.path for attribute, ids in self.references.items() if ids]
        for name, value in self.document.items():
            named += [f"{name}:{inner}" for inner in value] if name.startswith("urn:") else [name]
        return frozenset(path.lower() for path in named)


@dataclass(slots=True, kw_only=True)
class Patch(Draft):
    """Changes of a resource."""

    operations: list[Operation]
    changes: Changes
    supplied: frozenset[str]
    """Lower-case paths of the attributes that the client changes."""


@dataclass(frozen=True, slots=True)
class New:
    """A resource that is to be created, complete but for its references."""

    id: str
    draft: Whole
    content: Content
    names: list[str]
    """The attributes that its document has."""
