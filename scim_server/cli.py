"""What can an administrator do from the command line?"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click

from scim_server import __version__, clock, tenants, tokens
from scim_server.config import (
    SECRETS,
    ConfigError,
    Settings,
    create_key,
    read_settings,
    server_key,
    unknown_names,
)
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import shown_accepted
from scim_server.protocol.registry import SchemaError, load_registry
from scim_server.storage.database import Database, DatabaseError, SqlError, open_prepared
from scim_server.storage.models import Token
from scim_server.tenants import Tenant, TenantError
from scim_server.tokens import TokenError

_F = TypeVar("_F", bound=Callable[..., Any])


def _fail(message: object) -> NoReturn:
    click.echo(f"scim-server: {message}", err=True)
    sys.exit(1)


def _settings() -> Settings:
    for name in unknown_names():
        click.echo(f"scim-server: warning: {name} is not a setting and has no effect.", err=True)
    return read_settings()


def _reports(command: _F) -> _F:
    """Turn an expected failure into one sentence and exit status 1."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (ConfigError, SchemaError, DatabaseError, TenantError, TokenError, ScimError) as error:
            _fail(error)
        except SqlError as error:
            _fail(f"The database cannot be used: {error}.")
        except BrokenPipeError:
            # Who reads the output has seen enough; click ends quietly.
            raise
        except OSError as error:
            _fail(f"{error.filename or 'The system'}: {error.strerror}.")

    return run  # type: ignore[return-value]


def _try_start(settings: Settings) -> None:
    """Open what the server needs. Raises ConfigError, SchemaError or DatabaseError."""
    server_key(settings)
    load_registry(settings.schema_dir)
    open_prepared(settings.database_url).close()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scim-server")
def main() -> None:
    """SCIM 2.0 provisioning server. Settings are SCIM_* environment variables; see docs/install.md."""


@main.command()
@_reports
def init() -> None:
    """Create what is missing: data directory, server key, tables, the tenant "default".

    Can be repeated: what exists is left alone.
    """
    settings = _settings()
    load_registry(settings.schema_dir)
    database = Database(settings.database_url)
    for directory in dict.fromkeys([settings.data_dir, database.path.parent]):
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True)
            click.echo(f"Created the directory {directory}.")
    if create_key(settings):
        click.echo(f"Created the server key {settings.key_file}.")
    server_key(settings)
    if applied := database.upgrade():
        click.echo(f"Prepared the database {database.path}: {', '.join(applied)}.")
    if not tenants.every(database):
        tenants.create(database, "default", "Default Company")
        click.echo('Created the tenant "default".')
    click.echo("The server is initialised; scim-server serve starts it.")


@main.command()
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on. [default: SCIM_BIND or 127.0.0.1:8080]")
@click.option("--workers", type=int, metavar="N", help="Number of processes. [default: SCIM_WORKERS or 2]")
@_reports
def serve(bind: str | None, workers: int | None) -> None:
    """Serve with gunicorn, in this process's place."""
    if bind is not None:
        os.environ["SCIM_BIND"] = bind
    if workers is not None:
        os.environ["SCIM_WORKERS"] = str(workers)
    settings = _settings()
    _try_start(settings)
    click.echo(f"Serving {settings.base_url} on {settings.bind}.", err=True)
    sys.stderr.flush()
    command = [sys.executable, "-m", "gunicorn", "--config", "python:scim_server.gunicorn_conf"]
    os.execv(sys.executable, command)  # noqa: S606


@main.command()
@_reports
def check() -> None:
    """Show the effective settings, secrets masked, and whether the server could start."""
    settings = _settings()
    for field in fields(settings):
        value = getattr(settings, field.name)
        value = shown_accepted(value) if isinstance(value, frozenset) else value
        shown = "********" if field.name in SECRETS and value else value
        shown = str(shown).lower() if isinstance(shown, bool) else shown
        click.echo(f"SCIM_{field.name.upper()}={'' if shown is None else shown}")
    _try_start(settings)
    click.echo("The server can start.", err=True)


def _database() -> Database:
    return open_prepared(_settings().database_url)


@main.group()
def tenant() -> None:
    """Tenants: whose data it is."""


def _tenant_options(required: bool) -> Callable[[_F], _F]:
    def decorate(command: _F) -> _F:
        for option in (
            click.option("--language", help="Language of notices and CSV: en or ja."),
            click.option("--time-zone", help="Time zone of dates, such as Asia/Tokyo."),
            click.option("--company", required=required, help="Name of the company."),
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
@_reports
def tenant_create(name: str, company: str, time_zone: str | None, language: str | None) -> None:
    """Create a tenant."""
    _show_tenant(tenants.create(_database(), name, **_given(company, time_zone, language)))


@tenant.command("list")
@_reports
def tenant_list() -> None:
    """List the names of all tenants."""
    for found in tenants.every(_database()):
        click.echo(found.name)


@tenant.command("show")
@click.argument("name")
@_reports
def tenant_show(name: str) -> None:
    """Show a tenant."""
    _show_tenant(tenants.find(_database(), name))


@tenant.command("set")
@click.argument("name")
@_tenant_options(required=False)
@_reports
def tenant_set(name: str, company: str | None, time_zone: str | None, language: str | None) -> None:
    """Change a tenant's company, time zone or language."""
    values = _given(company, time_zone, language)
    if not values:
        raise TenantError("Nothing to set; give --company, --time-zone or --language.")
    _show_tenant(tenants.change(_database(), name, values))


@main.group()
def token() -> None:
    """Bearer tokens: who may call."""


@token.command("create")
@click.option("--name", required=True, help="What the token is for, such as okta.")
@click.option("--tenant", "tenant_name", help="The tenant, when there are several.")
@click.option("--user", help="Id or userName of a user, who is then at /Me.")
@click.option("--scope", "scopes", multiple=True, help="What it may do; can be repeated. [default: all but admin]")
@click.option("--expires", "days", type=click.IntRange(1, 3650), default=365, show_default=True, metavar="DAYS")
@_reports
def token_create(name: str, tenant_name: str | None, user: str | None, scopes: tuple[str, ...], days: int) -> None:
    """Create a token. Only the token goes to standard output, once; it cannot be shown again."""
    settings = _settings()
    registry = load_registry(settings.schema_dir)
    database = open_prepared(settings.database_url)
    owner = tenants.find(database, tenant_name)
    chosen = tokens.read_scopes(registry, scopes) if scopes else tokens.default_scopes(registry)
    made = tokens.create(database, server_key(settings), owner, name, chosen, days, user)
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
@_reports
def token_list(tenant_name: str | None, as_json: bool) -> None:
    """List tokens: id, tenant, name, state, expiry, last use, user, scopes. Never the secret."""
    database = _database()
    only = tenants.find(database, tenant_name) if tenant_name else None
    names = {found.number: found.name for found in tenants.every(database)}
    for row in tokens.every(database, only):
        shown = _shown_token(row, names)
        if as_json:
            click.echo(json.dumps(shown, ensure_ascii=False))
        else:
            click.echo("  ".join(str(value or "-") for value in shown.values()))


@token.command("show")
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@_reports
def token_show(id: str, as_json: bool) -> None:
    """Show a token and the habits of its client: how many requests left the RFC, in which way, and when last."""
    database = _database()
    row = tokens.find(database, id)
    names = {found.number: found.name for found in tenants.every(database)}
    habits = tokens.habits_of(database, id)
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
@_reports
def token_revoke(id: str) -> None:
    """Revoke a token by its id, at once and for good."""
    tokens.revoke(_database(), id)
    click.echo(f"Revoked {id}.", err=True)


@main.group()
def db() -> None:
    """The database's tables."""


@db.command("status")
@_reports
def db_status() -> None:
    """Show which migrations were applied and which are pending."""
    database = Database(_settings().database_url)
    applied = database.applied()
    for name in applied:
        click.echo(f"applied  {name}")
    for name in database.pending() if applied else ["everything: run scim-server init"]:
        click.echo(f"pending  {name}")


@db.command("upgrade")
@_reports
def db_upgrade() -> None:
    """Apply pending migrations."""
    database = Database(_settings().database_url)
    if not database.path.exists():
        raise DatabaseError(f"There is no database {database.path}; run scim-server init.")
    applied = database.upgrade()
    click.echo(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")
