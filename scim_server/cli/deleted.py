"""The commands about what was deleted: what can come back, and what must not stay."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import click

from scim_server import audit, clock, tenants
from scim_server.cli import tables
from scim_server.cli.caller import CommandError, credential
from scim_server.cli.common import confirm, opened_database, operator, reports, settings_in_effect
from scim_server.cli.show import show_json_lines
from scim_server.resources.tombstones import name_of, purge, restore
from scim_server.storage import tombstones
from scim_server.storage.database import Database
from scim_server.storage.keys import scope_of, tenant_in, type_in
from scim_server.storage.opening import open_prepared
from scim_server.storage.tombstones import EVER, Deleted, TombstoneError

_of_tenant = click.option("--tenant", "tenant_name", help="Only this tenant's.")
_before = click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="DATE",
    help="What was deleted before this day or instant, in UTC.",
)


@click.group()
def deleted() -> None:
    """What was deleted: kept until it is purged."""


def _owners(database: Database, tenant_name: str | None) -> dict[int, str]:
    found = [tenants.find(database, tenant_name)] if tenant_name else tenants.every(database)
    return {tenant.number: tenant.name for tenant in found}


def _scopes(owners: Mapping[int, str], types: Mapping[str, int]) -> list[int]:
    return [scope_of(tenant, number) for tenant in owners for number in types.values()]


def _instant(day: datetime | None) -> str | None:
    return None if day is None else day.isoformat(timespec="milliseconds")


@deleted.command("list")
@_before
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_of_tenant
@reports
def deleted_list(before: datetime | None, as_json: bool, tenant_name: str | None) -> None:
    """List what was deleted: tenant, resource type, name, id, time, by which token or cli:USER.

    They come by tenant and type, in the order of deletion.
    """
    database = opened_database()
    owners, types = _owners(database, tenant_name), database.type_numbers([])
    names = {number: name for name, number in types.items()}

    def shown(each: Deleted) -> dict[str, str]:
        return {
            "tenant": owners[tenant_in(each.key)],
            "type": names[type_in(each.key)],
            "name": name_of(each),
            "id": each.id,
            "deleted": f"{each.deleted}Z",
            "by": audit.last(database, tenant_in(each.key), each.id, "delete") or "",
        }

    pages = tombstones.walk(database, _scopes(owners, types), _instant(before) or EVER)
    rows = (map(shown, page) for page in pages)
    if as_json:
        show_json_lines(rows)
    else:
        tables.show(("TENANT", "TYPE", "NAME", "ID", "DELETED", "BY"), (_values(page) for page in rows))


def _values(page: Iterator[dict[str, str]]) -> Iterator[tables.Row]:
    return (tuple(row.values()) for row in page)


@deleted.command("restore")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@reports
def deleted_restore(ids: tuple[str, ...]) -> None:
    """Bring deleted resources back, with their groups and members, but without passwords and own tokens."""
    database = opened_database()
    owners = _owners(database, None)
    for id in ids:
        found = tombstones.find(database, id)
        acting = operator(owners[tenant_in(found.key)])
        of_type = acting.type_numbered(type_in(found.key))
        if of_type is None:
            raise TombstoneError(f"{id} is of a resource type that SCIM_SCHEMA_DIR does not have.")
        done = restore(of_type, acting.by, id)
        links = len(done.regained.holders) + done.regained.targets
        waiting = f"; {done.regained.waiting} wait for other deleted resources" if done.regained.waiting else ""
        click.echo(f"Restored the {of_type.name} {done.name} ({id}), references: {links}{waiting}.", err=True)
        if of_type.name == "User":
            click.echo("Passwords and own tokens are not kept: set a new password.", err=True)


@deleted.command("purge")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_before
@click.option("--yes", is_flag=True, help="Do not ask.")
@_of_tenant
@reports
def deleted_purge(ids: tuple[str, ...], before: datetime | None, yes: bool, tenant_name: str | None) -> None:
    """Forget deleted resources for good: those named, or those deleted SCIM_PURGE_AFTER_DAYS ago."""
    settings = settings_in_effect()
    if ids and before:
        raise CommandError("Give ids or --before, not both.")
    if not (ids or before or settings.purge_after_days):
        raise CommandError("SCIM_PURGE_AFTER_DAYS is 0: give ids or --before.")
    database = open_prepared(settings.database_url)
    owners, types = _owners(database, tenant_name), database.type_numbers([])
    if ids:
        named = [tombstones.find(database, id) for id in dict.fromkeys(ids)]
        if strange := next((each for each in named if tenant_in(each.key) not in owners), None):
            raise TombstoneError(f"{strange.id} is of another tenant.")
        pages, count = iter([named]), len(named)
    else:
        until = _instant(before) or clock.now(timedelta(days=-settings.purge_after_days))
        scopes = _scopes(owners, types)
        pages, count = tombstones.walk(database, scopes, until), tombstones.count(database, scopes, until)
    if count:
        confirm(f"Forget {count} deleted resource{'s'[: count > 1]} for good?", yes)
    done = purge(database, credential(), types, pages)
    click.echo(f"Purged {done} resource{'s'[: done != 1]}.", err=True)
    if tombstones.needs_scrubbing(database) and not tombstones.scrub(database):
        raise TombstoneError("The write-ahead log is being read and still holds them; run this command again soon.")
