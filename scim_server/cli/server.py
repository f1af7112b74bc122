"""The commands that set the server up, start it, and show its settings."""

import os
import sys
from dataclasses import fields

import click

from scim_server import tenants
from scim_server.cli.common import fail, kinds_known, progress, reports, settings_in_effect
from scim_server.config import SECRETS, Settings, create_key, server_key
from scim_server.protocol.habits import shown_accepted
from scim_server.protocol.registry import load_registry
from scim_server.storage import integrity
from scim_server.storage.opening import open_database, open_prepared, without_password


def _try_start(settings: Settings) -> None:
    """Open what the server needs. Raises ConfigError, SchemaError or DatabaseError."""
    server_key(settings)
    load_registry(settings.schema_dir)
    open_prepared(settings.database_url).close()


@click.command()
@reports
def init() -> None:
    """Create what is missing: data directory, server key, tables, the tenant "default".

    Can be repeated: what exists is left alone.
    """
    settings = settings_in_effect()
    load_registry(settings.schema_dir)
    database = open_database(settings.database_url)
    for directory in dict.fromkeys([settings.data_dir, *filter(None, [database.directory])]):
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True)
            click.echo(f"Created the directory {directory}.")
    if create_key(settings):
        click.echo(f"Created the server key {settings.key_file}.")
    server_key(settings)
    if applied := database.upgrade():
        click.echo(f"Prepared the database {database.name}: {', '.join(applied)}.")
    if not tenants.every(database):
        tenants.create(database, "default", "Default Company")
        click.echo('Created the tenant "default".')
    click.echo("The server is initialised; scim-server serve starts it.")


@click.command()
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on. [default: SCIM_BIND or 127.0.0.1:8080]")
@click.option("--workers", type=int, metavar="N", help="Number of processes. [default: SCIM_WORKERS or 2]")
@reports
def serve(bind: str | None, workers: int | None) -> None:
    """Serve with gunicorn, in this process's place."""
    if bind is not None:
        os.environ["SCIM_BIND"] = bind
    if workers is not None:
        os.environ["SCIM_WORKERS"] = str(workers)
    settings = settings_in_effect()
    _try_start(settings)
    click.echo(f"Serving {settings.base_url} on {settings.bind}.", err=True)
    sys.stderr.flush()
    command = [sys.executable, "-m", "gunicorn", "--config", "python:scim_server.gunicorn_conf"]
    os.execv(sys.executable, command)  # noqa: S606


@click.command()
@click.option("--data", is_flag=True, help="Look instead for anything wrong in the database; the server may run.")
@reports
def check(data: bool) -> None:
    """Show the effective settings, secrets masked, and whether the server could start.

    With --data, verify the data: the exit status is 1 if anything is wrong with it.
    """
    settings = settings_in_effect()
    if data:
        _check_data(settings)
        return
    for field in fields(settings):
        value = getattr(settings, field.name)
        value = shown_accepted(value) if isinstance(value, frozenset) else value
        value = without_password(value) if field.name == "database_url" else value
        shown = "********" if field.name in SECRETS and value else value
        shown = str(shown).lower() if isinstance(shown, bool) else shown
        click.echo(f"SCIM_{field.name.upper()}={'' if shown is None else shown}")
    _try_start(settings)
    click.echo("The server can start.", err=True)


def _check_data(settings: Settings) -> None:
    kind_of = kinds_known(settings)
    database = open_prepared(settings.database_url)
    count = 0
    with progress(integrity.size(database), "Checking") as advance:
        for finding in integrity.check(database, kind_of, advance):
            click.echo(finding)
            count += 1
    if count:
        fail(f"{count} found.")
    click.echo("Nothing is wrong with the data.", err=True)
