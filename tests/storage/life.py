"""What a tenant's resources go through: random operations on all of them, most of which succeed."""

import dataclasses
import json
from random import Random
from typing import Any

from scim_server.protocol.errors import ScimError
from scim_server.protocol.operations import PATCH_OP
from scim_server.resources import policies, tombstones
from scim_server.resources.accounts import ACCOUNT
from scim_server.resources.bulk import Bulk
from scim_server.resources.users import ENTERPRISE
from scim_server.storage import tombstones as kept
from scim_server.storage.tombstones import TombstoneError
from scim_server.tenants import TenantError
from tests.storage.conftest import House

NAMES = ["山田", "太郎", "ﾔﾏﾀﾞ", "Jensen", "ß", "é", "O'Neil", "x y", "０１", "\U0001f600", "%", "a" * 300]


class Life:
    """The operations, as a seed says."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.random = Random(seed)
        self.ids: dict[str, list[str]] = {name: [] for name in house.resources}
        self.deleted: list[tuple[str, str]] = []

    def go_on(self, steps: int) -> None:
        """Do so many operations; what is refused changes nothing."""
        kinds = [self.create] * 4 + [self.replace, self.patch, self.patch, self.members] * 2
        kinds += [self.delete] * 3 + [self.restore] * 2 + [self.purge, self.bulk, self.policies]
        for _ in range(steps):
            try:
                self.random.choice(kinds)()
            except (ScimError, TenantError, TombstoneError):
                continue

    def create(self) -> None:
        kind = self.random.choice(["User", "User", "User", "Group", "Service", *self.ids])
        made = self.house.resources[kind].create(self.house.by, self.body(kind))
        assert isinstance(made.body, bytes)
        self.ids[kind].append(json.loads(made.body)["id"])

    def replace(self) -> None:
        kind, id = self.one()
        self.house.resources[kind].replace(self.house.by, id, self.body(kind))

    def patch(self) -> None:
        kind, id = self.one()
        body = self.body(kind)
        name = self.random.choice(sorted(body))
        op = self.random.choice(["add", "replace", "remove"])
        operation = {"op": op, "path": name} | ({} if op == "remove" else {"value": body[name]})
        self.send(kind, id, operation)

    def members(self) -> None:
        """Let a group hold others, also groups, or services."""
        id = self.random.choice(self.ids["Group"] or ["none"])
        targets = self.random.choices(self.ids["User"] + self.ids["Group"] or ["none"], k=3)
        path, wanted = self.random.choice([("members", targets), ("services", self.ids["Service"][:2])])
        op = self.random.choice(["add", "add", "replace"])
        self.send("Group", id, {"op": op, "path": path, "value": [{"value": target} for target in wanted]})

    def send(self, kind: str, id: str, operation: dict[str, Any]) -> None:
        self.house.resources[kind].patch(self.house.by, id, {"schemas": [PATCH_OP], "Operations": [operation]})

    def delete(self) -> None:
        kind, id = self.one()
        self.house.resources[kind].delete(self.house.by, id)
        self.ids[kind].remove(id)
        self.deleted.append((kind, id))

    def lose_a_member(self) -> None:
        """Delete a user who is in a group."""
        sql = "SELECT r.id FROM reference m JOIN resource r ON r.key = m.target WHERE r.user_name IS NOT NULL LIMIT 1"
        ((id,),) = self.house.database.rows(sql)
        self.house.resources["User"].delete(self.house.by, id)
        self.ids["User"].remove(id)

    def restore(self) -> None:
        kind, id = self.random.choice(self.deleted or [("User", "none")])
        tombstones.restore(self.house.resources[kind], self.house.by, id)
        self.deleted.remove((kind, id))
        self.ids[kind].append(id)

    def purge(self) -> None:
        kind, id = self.random.choice(self.deleted or [("User", "none")])
        database = self.house.database
        gone = kept.find(database, id)
        tombstones.purge(database, "test", self.house.resources[kind].shared.type_numbers, [[gone]])
        kept.scrub(database)
        self.deleted.remove((kind, id))

    def bulk(self) -> None:
        """Create many users and a group of them in one Bulk."""
        count = self.random.choice([2, 5, 120])
        users = [
            {"method": "POST", "path": "/Users", "bulkId": f"u{n}", "data": self.body("User")} for n in range(count)
        ]
        group = self.body("Group") | {"members": [{"value": "bulkId:u0"}]}
        operations = [{"method": "POST", "path": "/Groups", "bulkId": "g", "data": group}, *users]
        bulk = Bulk(self.house.resources["User"].shared, self.house.resources.values())
        answer = json.loads(bulk.run(self.house.by, json.dumps({"Operations": operations}).encode()))
        for operation in answer["Operations"]:
            if operation["status"] == "201":
                kind = "Group" if operation["bulkId"] == "g" else "User"
                self.ids[kind].append(operation["location"].rpartition("/")[2])

    def policies(self) -> None:
        """Turn the uniqueness of group names on or off."""
        house = self.house
        wanted = house.by.tenant.policies ^ {"group_name_unique"}
        registry = house.resources["User"].shared.registry
        tenant = policies.change(house.database, registry, house.by.tenant.name, wanted)
        self.house = dataclasses.replace(house, by=dataclasses.replace(house.by, tenant=tenant))
        # Another life may have changed them again by now.
        assert tenant.policies == wanted

    def one(self) -> tuple[str, str]:
        return self.random.choice([(kind, id) for kind, ids in self.ids.items() for id in ids] or [("User", "none")])

    def body(self, kind: str) -> dict[str, Any]:
        number, name = self.random.randrange(10_000), self.random.choice(NAMES)
        if kind == "User":
            return self.user(number, name)
        if kind == "Group":
            return {"displayName": f"{name}{self.random.randrange(20)}", "description": name, "externalId": name}
        if kind == "Device":
            return {"serial": f"{number}", "tags": self.random.sample(NAMES, 3), "secret": name, "displayName": number}
        return {"displayName": f"{name}{number}", "active": self.random.random() < 0.5}

    def user(self, number: int, name: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "userName": f"{name}{number}@example.com" if self.random.random() < 0.5 else f"{name}{number}",
            "displayName": name,
            "name": {"familyName": name, "givenName": self.random.choice(NAMES)},
            "active": self.random.random() < 0.8,
            "emails": [{"value": f"{n}@example.com", "type": "work"} for n in range(self.random.randrange(4))],
            "title": self.random.choice(NAMES),
            ENTERPRISE: {"department": name, "manager": {"value": self.random.choice(self.ids["User"] or ["x"])}},
            ACCOUNT: {"validFrom": f"20{self.random.randrange(10, 40)}-01-01T00:00:00Z"},
            "password": "correct horse" if self.random.random() < 0.02 else None,
        }
        return {key: value for key, value in body.items() if self.random.random() < 0.7 or key == "userName"}
