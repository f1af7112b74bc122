"""The commands that keep the database in a file, and bring it back."""

import hashlib
import hmac
from pathlib import Path

import click

from scim_server import __version__, clock
from scim_server.cli.common import progress, reports, settings_in_effect
from scim_server.config import ConfigError, Settings, server_key
from scim_server.storage import backup as kept
from scim_server.storage.backup import Manifest
from scim_server.storage.opening import open_database, open_prepared

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@reports
def backup(file: Path, force: bool) -> None:
    """Write the whole database to a file, while the server runs.

    The file appears when it is complete. The server key is not in it: keep secret.key too, elsewhere.
    """
    settings = settings_in_effect()
    database = open_prepared(settings.database_url)
    about = {"server": __version__, "at": clock.now(), "key": _mark_of(server_key(settings))}
    with progress(kept.size(database), "Copying") as advance:
        manifest = kept.write(database, file, about, advance, replaces=force)
    click.echo(f"Wrote {file}: {_shown(manifest)}.")


@click.command()
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace a database that has data.")
@reports
def restore(file: Path, force: bool) -> None:
    """Put a backup in the place of the database; the server must be stopped.

    Refuses damaged files, those of newer releases and, without --force, a database that has data.
    """
    settings = settings_in_effect()
    database = open_database(settings.database_url)
    with progress(file.stat().st_size // 4096, "Restoring") as advance:
        manifest = kept.restore(database, file, advance, replaces=force)
    click.echo(f"Restored {file}: {_shown(manifest)}.")
    if pending := database.pending():
        click.echo(f"It lacks {', '.join(pending)}: run scim-server db upgrade.", err=True)
    if not _has_key(settings, manifest):
        click.echo("It was made with another server key: bring back its secret.key, or make new tokens.", err=True)


def _shown(manifest: Manifest) -> str:
    rows = manifest.rows
    return f"{rows['resource']} resources of {rows['tenant']} tenants, scim-server {manifest.server}, {manifest.at}Z"


def _mark_of(key: bytes) -> str:
    return hmac.new(key, b"backup", hashlib.sha256).hexdigest()[:16]


def _has_key(settings: Settings, manifest: Manifest) -> bool:
    try:
        return _mark_of(server_key(settings)) == manifest.key
    except ConfigError:
        return False
