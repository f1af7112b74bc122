"""What is special about a Group? Its members and services are rows, not part of its document."""

from collections.abc import Mapping
from typing import Any

import orjson

from scim_server.protocol.limits import GROUP_BYTES
from scim_server.protocol.template import Slot
from scim_server.resources.base import Resources
from scim_server.tokens import Principal

EXTENSION = "urn:ietf:params:scim:schemas:extension:account:2.0:Group"
MEMBERS = "members"
SERVICES = f"{EXTENSION}:services"


class Groups(Resources):
    """Groups (RFC 7643 section 4.2): nested without cycles, members' display and type derived."""

    body_limit = GROUP_BYTES
    reference_paths = (MEMBERS, SERVICES)
    slots = (Slot("a", (EXTENSION,)), Slot("t", ()))

    def derive(self, read: Mapping[str, Any], by: Principal) -> dict[str, list[bytes]]:
        derived: dict[str, list[bytes]] = {}
        if members := self.references.describe(read.get(MEMBERS)):
            derived["t"] = [b'"members":' + orjson.dumps(members)]
        if services := self.references.describe(read.get(SERVICES)):
            for service in services:
                del service["type"]
            derived["a"] = [b'"services":' + orjson.dumps(services)]
        return derived
