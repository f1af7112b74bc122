"""What is special about a Group? Its members and services are rows, not part of its document."""

from collections.abc import Callable, Iterator
from operator import itemgetter

import orjson

from scim_server.protocol.limits import GROUP_BYTES
from scim_server.protocol.projection import Projection
from scim_server.protocol.template import Slot
from scim_server.resources.base import Resources
from scim_server.resources.body import Text
from scim_server.resources.values import Derived
from scim_server.storage import members
from scim_server.storage.parts import Part, Parts, Targets, entries
from scim_server.tenants import Tenant

EXTENSION = "urn:ietf:params:scim:schemas:extension:account:2.0:Group"
MEMBERS = "members"
SERVICES = f"{EXTENSION}:services"
_READ_ALONG = 100
"""Members that are read in the same statement as the group; more are read when they are sent."""


class Groups(Resources):
    """Groups (RFC 7643 section 4.2): nested without cycles, members' display and type derived."""

    body_limit = GROUP_BYTES
    reference_paths = (MEMBERS, SERVICES)
    is_read_whole = False
    slots = (Slot("a", (EXTENSION,)), Slot("t", ()))

    def read_along(self) -> dict[str, Part]:
        return super().read_along() | {MEMBERS: Targets(self.attribute(MEMBERS), _READ_ALONG + 1)}

    def deriver(self, tenant: Tenant, names: tuple[str, ...]) -> Callable[[Parts], Derived]:
        read = _reader(names, SERVICES)

        def derive(parts: Parts) -> Derived:
            services = self.references.described(read(parts))
            for service in services:
                del service["type"]
            return {"a": b'"services":' + orjson.dumps(services)} if services else {}, b""

        return derive

    def extender(self, names: tuple[str, ...], projection: Projection) -> Callable[[bytes, int, Parts], Text]:
        """Return what puts the members of a group at its end, so that any number of them can follow."""
        number = self.attribute(MEMBERS).number
        read, write = _reader(names, MEMBERS), self.references.writer(self.attribute(MEMBERS), projection)

        def extend(body: bytes, key: int, parts: Parts) -> Text:
            found = [(int(target), id, display) for target, id, display in entries(read(parts))]
            first = [element for each in found[:_READ_ALONG] if (element := write(*each)) != b"{}"]
            head = body[:-1] + b',"members":[' + b",".join(first)
            if len(found) <= _READ_ALONG:
                return Text(head + b"]}" if first else body)

            def rest() -> Iterator[bytes]:
                separator = b"," if first else b""
                for each in members.walk(self.shared.database, key, number, after=found[_READ_ALONG - 1][0]):
                    if (element := write(*each)) != b"{}":
                        yield separator + element
                        separator = b","
                yield b"]}"

            return Text(head, rest)

        return extend

    def answers_patch(self, key: int) -> bool:
        attribute = self.attribute(MEMBERS)
        most = self.shared.settings.patch_answer_members
        return not members.has_more_than(self.shared.database, key, attribute.number, most)


def _reader(names: tuple[str, ...], name: str) -> Callable[[Parts], str | None]:
    """Return what reads one part of those that have these names, None when it was not asked for."""
    return itemgetter(names.index(name)) if name in names else lambda _: None
