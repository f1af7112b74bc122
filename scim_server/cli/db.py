"""The commands about the database's tables."""

import click

from scim_server.cli.common import reports, settings_in_effect
from scim_server.storage.database import Database, DatabaseError


@click.group()
def db() -> None:
    """The database's tables."""


@db.command("status")
@reports
def db_status() -> None:
    """Show which migrations were applied and which are pending."""
    database = Database(settings_in_effect().database_url)
    applied = database.applied()
    for name in applied:
        click.echo(f"applied  {name}")
    for name in database.pending() if applied else ["everything: run scim-server init"]:
        click.echo(f"pending  {name}")


@db.command("upgrade")
@reports
def db_upgrade() -> None:
    """Apply pending migrations."""
    database = Database(settings_in_effect().database_url)
    if not database.path.exists():
        raise DatabaseError(f"There is no database {database.path}; run scim-server init.")
    applied = database.upgrade()
    click.echo(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")
