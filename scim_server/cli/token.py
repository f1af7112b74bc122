"""The commands about tokens."""

import json
from collections.abc import Mapping

import click

from scim_server import clock, tenants, tokens
from scim_server.cli.common import of_tenant, opened_database, reports, settings_in_effect
from scim_server.config import server_key
from scim_server.protocol.registry import load_registry
from scim_server.storage.models import Token
from scim_server.storage.opening import open_prepared


@click.group()
def token() -> None:
    """Bearer tokens: who may call."""


@token.command("create")
@click.option("--name", required=True, help="What the token is for, such as okta.")
@of_tenant
@click.option("--user", help="Id or userName of a user, who is then at /Me.")
@click.option("--scope", "scopes", multiple=True, help="What it may do; can be repeated. [default: all but admin]")
@click.option("--expires", "days", type=click.IntRange(1, 3650), default=365, show_default=True, metavar="DAYS")
@reports
def token_create(name: str, tenant_name: str | None, user: str | None, scopes: tuple[str, ...], days: int) -> None:
    """Create a token. Only the token goes to standard output, once; it cannot be shown again."""
    settings = settings_in_effect()
    registry = load_registry(settings.schema_dir)
    opened = open_prepared(settings.database_url)
    owner = tenants.find(opened, tenant_name)
    chosen = tokens.read_scopes(registry, scopes) if scopes else tokens.default_scopes(registry)
    made = tokens.create(opened, server_key(settings), owner, name, chosen, days, user)
    click.echo(f"Token for the tenant {owner.name}, {days} days, scopes {' '.join(chosen)}:", err=True)
    click.echo(made)


def _shown_token(row: Token, tenant_names: Mapping[int, str]) -> dict[str, str | None]:
    expired = row.expires is not None and row.expires <= clock.now()
    return {
        "id": row.id,
        "tenant": tenant_names[row.tenant],
        "name": row.name,
        "state": "revoked" if row.revoked else "expired" if expired else "active",
        "expires": row.expires and f"{row.expires}Z",
        "last_used": row.last_used and f"{row.last_used}Z",
        "user": row.user_id,
        "scopes": row.scopes,
    }


@token.command("list")
@click.option("--tenant", "tenant_name", help="Only this tenant's tokens.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@reports
def token_list(tenant_name: str | None, as_json: bool) -> None:
    """List tokens: id, tenant, name, state, expiry, last use, user, scopes. Never the secret."""
    opened = opened_database()
    only = tenants.find(opened, tenant_name) if tenant_name else None
    names = {found.number: found.name for found in tenants.every(opened)}
    for row in tokens.every(opened, only):
        shown = _shown_token(row, names)
        if as_json:
            click.echo(json.dumps(shown, ensure_ascii=False))
        else:
            click.echo("  ".join(str(value or "-") for value in shown.values()))


@token.command("show")
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@reports
def token_show(id: str, as_json: bool) -> None:
    """Show a token and the habits of its client: how many requests left the RFC, in which way, and when last."""
    opened = opened_database()
    row = tokens.find(opened, id)
    names = {found.number: found.name for found in tenants.every(opened)}
    habits = tokens.habits_of(opened, id)
    if as_json:
        listed = [{"habit": h.name, "uses": uses, "last_used": f"{at}Z"} for h, uses, at in habits]
        click.echo(json.dumps(_shown_token(row, names) | {"habits": listed}, ensure_ascii=False))
        return
    for name, value in _shown_token(row, names).items():
        click.echo(f"{name}: {value or '-'}")
    click.echo("habits:" if habits else "habits: none")
    for habit, uses, at in habits:
        click.echo(f"  {habit.name}  {uses} requests, last {at}Z  ({habit.meaning})")


@token.command("revoke")
@click.argument("id")
@reports
def token_revoke(id: str) -> None:
    """Revoke a token by its id, at once and for good."""
    tokens.revoke(opened_database(), id)
    click.echo(f"Revoked {id}.", err=True)
