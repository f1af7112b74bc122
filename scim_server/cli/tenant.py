"""The commands about tenants."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import click

from scim_server import tenants
from scim_server.cli.common import opened_database, reports, settings_in_effect
from scim_server.protocol.registry import load_registry
from scim_server.resources.policies import change as change_policies
from scim_server.tenants import Tenant, TenantError

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group()
def tenant() -> None:
    """Tenants: whose data it is."""


def _tenant_options(required: bool) -> Callable[[_F], _F]:
    def decorate(command: _F) -> _F:
        for option in (
            click.option("--language", help="Language of notices and of what import and export say: en or ja."),
            click.option("--time-zone", help="Time zone of dates, such as Asia/Tokyo."),
            click.option("--company", required=required, help="Name of the company."),
            click.option(
                "--policy", "policies", multiple=True, help="A policy, -NAME for off, or manual; can be repeated."
            ),
        ):
            command = option(command)
        return command

    return decorate


def _given(company: str | None, time_zone: str | None, language: str | None) -> dict[str, str]:
    values = {"company_name": company, "time_zone": time_zone, "language": language}
    return {name: value for name, value in values.items() if value is not None}


def _show_tenant(found: Tenant) -> None:
    for name, value in asdict(found).items():
        click.echo(f"{name}: {' '.join(sorted(value)) if isinstance(value, frozenset) else value}")


@tenant.command("create")
@click.argument("name")
@_tenant_options(required=True)
@reports
def tenant_create(
    name: str, company: str, time_zone: str | None, language: str | None, policies: tuple[str, ...]
) -> None:
    """Create a tenant."""
    chosen = tenants.read_policies(policies)
    _show_tenant(tenants.create(opened_database(), name, **_given(company, time_zone, language), policies=chosen))


@tenant.command("list")
@reports
def tenant_list() -> None:
    """List the names of all tenants."""
    for found in tenants.every(opened_database()):
        click.echo(found.name)


@tenant.command("show")
@click.argument("name")
@reports
def tenant_show(name: str) -> None:
    """Show a tenant."""
    _show_tenant(tenants.find(opened_database(), name))


@tenant.command("set")
@click.argument("name")
@_tenant_options(required=False)
@reports
def tenant_set(
    name: str, company: str | None, time_zone: str | None, language: str | None, policies: tuple[str, ...]
) -> None:
    """Change a tenant's company, time zone, language or policies."""
    values = tenants.checked(_given(company, time_zone, language))
    if not (values or policies):
        raise TenantError("Nothing to set; give --company, --time-zone, --language or --policy.")
    database = opened_database()
    if policies:
        wanted = tenants.read_policies(policies, tenants.find(database, name).policies)
        change_policies(database, load_registry(settings_in_effect().schema_dir), name, wanted)
    if values:
        tenants.change(database, name, values)
    _show_tenant(tenants.find(database, name))
