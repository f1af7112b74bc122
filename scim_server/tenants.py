"""Whose data is it? Tenants: the contract's company, time zone, language and policies."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

from scim_server import clock
from scim_server.protocol.text import check_line
from scim_server.storage.database import Conflict, Database
from scim_server.storage.keys import LAST_TENANT
from scim_server.storage.models import Tenant as Row

LANGUAGES = ("en", "ja")
DEFAULT_POLICIES = frozenset({"group_name_unique"})
MANUAL = DEFAULT_POLICIES | {
    "user_name_is_email", "user_name_immutable", "name_required", "valid_from_required", "group_required",
}  # fmt: skip
"""The policies of a tenant whose administrators work as the manual says."""
POLICIES = MANUAL | {"sms_authentication"}
# It looks at every file of the machine's zones.
_time_zones = cache(available_timezones)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


class TenantError(Exception):
    """A tenant cannot be made, changed or found; the message says why."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant; ``policies`` are the names of the switches that are on."""

    number: int
    name: str
    company_name: str
    time_zone: str
    language: str
    policies: frozenset[str]


def create(
    database: Database,
    name: str,
    company_name: str,
    time_zone: str = "UTC",
    language: str = "en",
    policies: Iterable[str] = DEFAULT_POLICIES,
) -> Tenant:
    """Create a tenant. Raises TenantError for unusable values or a name that is taken."""
    if not _NAME.fullmatch(name):
        raise TenantError("A tenant's name has 1 to 63 characters: a-z, 0-9 and - within.")
    values = checked({"company_name": company_name, "time_zone": time_zone, "language": language})
    joined = " ".join(sorted(policies))
    with database.transaction():
        try:
            Row.insert(name=name, policies=joined, created=clock.now(), **values).execute(database.peewee)
        except Conflict:
            raise TenantError(f"There is a tenant {name} already.") from None
        tenant = find(database, name)
        if tenant.number > LAST_TENANT:
            raise TenantError(f"A database holds at most {LAST_TENANT} tenants.")
        return tenant


def change(database: Database, name: str, values: dict[str, str]) -> Tenant:
    """Set some of company_name, time_zone and language of a tenant. Raises TenantError."""
    tenant = find(database, name)
    with database.transaction():
        Row.update(checked(values)).where(Row.number == tenant.number).execute(database.peewee)
    return find(database, name)


def write_policies(database: Database, tenant: Tenant, policies: frozenset[str]) -> None:
    """Set a tenant's policies, within the caller's transaction."""
    joined = " ".join(sorted(policies))
    Row.update(policies=joined).where(Row.number == tenant.number).execute(database.peewee)


def policies_of(database: Database, tenant: Tenant) -> frozenset[str]:
    """Return the policies that a tenant has by now."""
    found = database.row("SELECT policies FROM tenant WHERE number = ?", (tenant.number,))
    return frozenset(found[0].split()) if found else frozenset()


def read_policies(given: Iterable[str], current: frozenset[str] = DEFAULT_POLICIES) -> frozenset[str]:
    """Return policies after switches: ``name``, ``-name`` for off, ``manual`` for the manual's. Raises TenantError."""
    chosen = set(current)
    for switch in given:
        name = switch.removeprefix("-")
        if switch == "manual":
            chosen |= MANUAL
        elif name not in POLICIES:
            raise TenantError(f"There is no policy {name}; the policies are manual, {', '.join(sorted(POLICIES))}.")
        elif switch == name:
            chosen.add(name)
        else:
            chosen.discard(name)
    return frozenset(chosen)


def checked(values: dict[str, str]) -> dict[str, str]:
    """Return company_name, time_zone and language, those that are given, if they can be used. Raises TenantError."""
    if not check_line(values.get("company_name", "-"), "The company name").strip():
        raise TenantError("The company name must not be empty.")
    if "time_zone" in values and values["time_zone"] not in _time_zones():
        raise TenantError(f"{values['time_zone']} is not a time zone; an example is Asia/Tokyo.")
    if values.get("language", "en") not in LANGUAGES:
        raise TenantError(f"The language must be one of {', '.join(LANGUAGES)}.")
    return values


def every(database: Database) -> list[Tenant]:
    """Return all tenants in the order of their creation."""
    return [_tenant(row) for row in Row.select().order_by(Row.number).execute(database.peewee)]


def find(database: Database, name: str | None) -> Tenant:
    """Return a tenant by name, or the only one when no name is given. Raises TenantError."""
    tenants = every(database)
    if name is None:
        if len(tenants) != 1:
            names = ", ".join(tenant.name for tenant in tenants)
            raise TenantError(f"Name a tenant with --tenant; there are {len(tenants)}: {names}.")
        return tenants[0]
    for tenant in tenants:
        if tenant.name == name:
            return tenant
    raise TenantError(f"There is no tenant {name}.")


def _tenant(row: Row) -> Tenant:
    return Tenant(row.number, row.name, row.company_name, row.time_zone, row.language, frozenset(row.policies.split()))
