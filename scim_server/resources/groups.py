"""What is special about a Group? Its members and services are rows, not part of its document."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from scim_server.protocol.limits import GROUP_BYTES
from scim_server.protocol.projection import Projection
from scim_server.protocol.template import Slot
from scim_server.resources.base import Resources
from scim_server.resources.body import Text
from scim_server.storage import members
from scim_server.storage.parts import Part, Targets, entries
from scim_server.tokens import Principal

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

    def derive(self, read: Mapping[str, Any], by: Principal) -> dict[str, list[bytes]]:
        services = self.references.described(read.get(SERVICES))
        for service in services:
            del service["type"]
        return {"a": [b'"services":' + orjson.dumps(services)]} if services else {}

    def extend(self, body: bytes, key: int, read: Mapping[str, Any], projection: Projection) -> Text:
        """Return the group with its members at the end, so that any number of them can follow."""
        found = [(int(target), id, display) for target, id, display in entries(read.get(MEMBERS))]
        attribute = self.attribute(MEMBERS)
        write = self.references.writer(attribute, projection)
        first = [element for each in found[:_READ_ALONG] if (element := write(*each)) != b"{}"]
        head = body[:-1] + b',"members":[' + b",".join(first)
        if len(found) <= _READ_ALONG:
            return Text(head + b"]}" if first else body)

        def rest() -> Iterator[bytes]:
            separator = b"," if first else b""
            for each in members.walk(self.shared.database, key, attribute.number, after=found[_READ_ALONG - 1][0]):
                if (element := write(*each)) != b"{}":
                    yield separator + element
                    separator = b","
            yield b"]}"

        return Text(head, rest)

    def answers_patch(self, key: int) -> bool:
        attribute = self.attribute(MEMBERS)
        most = self.shared.settings.patch_answer_members
        return not members.has_more_than(self.shared.database, key, attribute.number, most)
