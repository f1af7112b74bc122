"""What is special about a User? Its password, and what is derived: groups, services, status, manager."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from scim_server import clock, outbox
from scim_server.passwords import LONGEST, hash_of
from scim_server.protocol import patch
from scim_server.protocol.errors import ScimError, invalid_value
from scim_server.protocol.template import Slot
from scim_server.protocol.text import folded, has_line_break, opaque
from scim_server.protocol.wording import say
from scim_server.resources import accounts
from scim_server.resources.accounts import ACCOUNT
from scim_server.resources.base import Resources
from scim_server.resources.groups import MEMBERS, SERVICES
from scim_server.resources.values import Derived, Draft, Hashes, New, Patch, Whole
from scim_server.storage import passwords as kept
from scim_server.storage.keys import scope_of
from scim_server.storage.parts import Column, Enclosing, Named, Part, Parts, around, entries
from scim_server.storage.sources import TRUE, Finite, Source, enclosing, granted, named, window
from scim_server.tenants import Tenant
from scim_server.tokens import Principal

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

_SHARED = 2000
"""Characters of what was read of groups that is remembered at most."""
VALID_FROM, VALID_UNTIL = f"{ACCOUNT}:validFrom", f"{ACCOUNT}:validUntil"


class Users(Resources):
    """Users (RFC 7643 sections 4.1 and 4.3) with the account extension."""

    kept_elsewhere = ("password",)
    slots = (Slot("m", (ENTERPRISE, "manager")), Slot("a", (ACCOUNT,)), Slot("t", ()))

    def read_along(self) -> dict[str, Part]:
        group = self.shared.registry.resource_types["Group"].by_path
        return {
            "groups": Enclosing(group[MEMBERS.lower()], group[SERVICES.lower()]),
            "manager": Named(self.attribute(f"{ENTERPRISE}:manager.value")),
            "active": Column(self.attribute("active")),
            "validFrom": Column(self.attribute(VALID_FROM)),
            "validUntil": Column(self.attribute(VALID_UNTIL)),
        }

    def derived_sources(self) -> dict[str, Callable[[Tenant], Source]]:
        group = self.shared.registry.resource_types["Group"].by_path
        members, services = group[MEMBERS.lower()], group[SERVICES.lower()]
        manager = self.attribute(f"{ENTERPRISE}:manager.value")
        active, begins, ends = (self.attribute(path) for path in ("active", VALID_FROM, VALID_UNTIL))
        roots = {name: self.shared.root(name) for name in ("User", "Group", "Service")}

        def scope(tenant: Tenant, name: str) -> int:
            return scope_of(tenant.number, self.shared.type_numbers[name])

        return super().derived_sources() | {
            "groups": lambda tenant: enclosing(members, scope(tenant, "Group"), roots["Group"]),
            f"{ACCOUNT}:services": lambda tenant: granted(
                members, services, scope(tenant, "Service"), roots["Service"]
            ),
            f"{ACCOUNT}:companyName": lambda tenant: Finite(((folded(tenant.company_name), TRUE),)),
            f"{ACCOUNT}:accountStatus": lambda _: window(active, begins, ends, clock.now()),
            f"{ENTERPRISE}:manager.$ref": lambda _: named(manager, roots["User"]),
            f"{ENTERPRISE}:manager.displayName": lambda _: named(manager, None),
        }

    def draft(self, by: Principal, body: Any) -> Whole:
        """Take the password out of the document."""
        draft = super().draft(by, body)
        draft.password = self._checked(draft.document.pop("password", None))
        return draft

    def draft_patch(self, by: Principal, body: Any) -> Patch:
        """Take what becomes of the password out of the operations."""
        draft = super().draft_patch(by, body)
        on_password = [o for o in draft.operations if o.target.attribute.path == "password"]
        if on_password:
            draft.operations = [o for o in draft.operations if o not in on_password]
            password = patch.apply_to(self.attribute("password"), None, on_password)
            draft.removes_password = password is None
            draft.password = self._checked(password)
        return draft

    def _checked(self, password: str | None) -> str | None:
        if password is None:
            return None
        least = self.shared.settings.password_min_length
        if len(password) > LONGEST:
            raise invalid_value(say("password must not have more than {most} characters.", most=LONGEST))
        if has_line_break(password):
            raise invalid_value(say("password must not contain line breaks or tabs."))
        if len(opaque(password)) < least:
            raise invalid_value(say("password must have at least {least} characters.", least=least))
        return password

    def completed(self, document: dict[str, Any]) -> dict[str, Any]:
        return accounts.with_address(document)

    def check(self, by: Principal, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        accounts.check(by, old, new)

    def hash(self, by: Principal, draft: Draft, id: str | None, hashes: Hashes) -> None:
        """Hash the password; the stored hash or one made before stays if it is the same."""
        password = draft.password
        if password is not None:
            if password not in hashes:
                stored = kept.get(self.shared.database, self.scope(by), id) if id else None
                hashes[password] = hash_of(password, stored)
            draft.password_hash = hashes[password]

    def insert(self, by: Principal, created: Sequence[New], most: int | None = None) -> list[ScimError | None]:
        """Queue a registration notice for each account that has an address, if mail is sent at all."""
        refusals = super().insert(by, created, most)
        if domain := self.shared.settings.mail_domain:
            made = [new for new, refusal in zip(created, refusals, strict=False) if not refusal]
            if ids := [new.id for new in made if outbox.recipient(new.draft.document)]:
                outbox.queue(self.shared.database, by.tenant.number, domain, ids)
        return refusals

    def deriver(self, tenant: Tenant, names: tuple[str, ...]) -> Callable[[Parts], Derived]:
        group_root, service_root = self.shared.root("Group"), self.shared.root("Service")
        root = f"{self.shared.root(self.name)}/"

        def derive(parts: Parts) -> Derived:
            text, manager, active, begins, ends = parts
            status = account_status(active, begins, ends, clock.second())
            account, digested = _account(tenant.company_name, status)
            members = {"a": account}
            if text:
                # Who is in the same groups shares what is shown of them.
                shown = _shown_again if len(text) <= _SHARED else _shown
                groups, services = shown(text, group_root, service_root)
                if services:
                    members["a"] = account + b"," + services
                    digested += b"\0" + services
                members["t"] = groups
                digested += b"\0" + groups
            if manager:
                members["m"], further = _manager(root, manager)
                digested += further
            return members, digested

        return derive

    def version_of(self, number: int, digested: bytes) -> str:
        """Return the counter and a digest of what is derived, so that a 304 never lies."""
        return f'W/"{number}-{zlib.crc32(digested):08x}"'


def _shown(text: str, group_root: str, service_root: str) -> tuple[bytes, bytes]:
    """Return the members ``groups`` and ``services``, or nothing for none, of what was read of the groups around."""
    groups, granted = around(text)
    members = b",".join([_element(group_root, id, display, kind) for kind, id, display in groups])
    services = b",".join([_element(service_root, id, display) for id, display in granted])
    return b'"groups":[%b]' % members, b'"services":[%b]' % services if services else b""


_shown_again = lru_cache(1024)(_shown)


@lru_cache(4096)
def _element(root: str, id: str, display: str, kind: str = "") -> bytes:
    """Return an element of a reference attribute; ids need no escaping."""
    named = b',"display":' + orjson.dumps(display) if display else b""
    typed = f',"type":"{kind}"' if kind else ""
    return f'{{"value":"{id}","$ref":"{root}/{id}"'.encode() + named + f"{typed}}}".encode()


@lru_cache(1024)
def _manager(root: str, text: str) -> tuple[bytes, bytes]:
    """Return the members that are shown of a manager, of what `Named` read, and what they add to a digest."""
    ((id, display),) = entries(text)
    members = [b'"$ref":' + orjson.dumps(root + id)]
    if display:
        members.append(b'"displayName":' + orjson.dumps(display))
    return b",".join(members), b"".join(b"\0" + member for member in members)


@lru_cache(1024)
def _account(company: str, status: str) -> tuple[bytes, bytes]:
    """Return the members that are shown of an account, and what is digested of them."""
    members = b'"companyName":' + orjson.dumps(company), b'"accountStatus":"%b"' % status.encode()
    return b",".join(members), b"\0".join(members)


def account_status(active: str | None, valid_from: str | None, valid_until: str | None, now: str) -> str:
    """Return disabled, pending, expired or active: the first that applies.

    Instants are comparison keys; both bounds are inclusive, in whole seconds, as now is.
    """
    if active == "false":
        return "disabled"
    if valid_from and now < valid_from[:19]:
        return "pending"
    if valid_until and now > valid_until[:19]:
        return "expired"
    return "active"
