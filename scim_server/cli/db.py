"""The commands about the database's tables."""

import click

from scim_server.cli.common import fail, kinds_known, progress, reports, settings_in_effect
from scim_server.storage.copying import copy, size
from scim_server.storage.database import DatabaseError
from scim_server.storage.opening import open_database, open_prepared
from scim_server.storage.reindex import rebuild
from scim_server.storage.tables import RESOURCE, count


@click.group()
def db() -> None:
    """The database's tables."""


@db.command("status")
@reports
def db_status() -> None:
    """Show which migrations were applied and which are pending."""
    database = open_database(settings_in_effect().database_url)
    applied = database.applied()
    for name in applied:
        click.echo(f"applied  {name}")
    for name in database.pending() if applied else ["everything: run scim-server init"]:
        click.echo(f"pending  {name}")


@db.command("upgrade")
@reports
def db_upgrade() -> None:
    """Apply pending migrations."""
    database = open_database(settings_in_effect().database_url)
    if not database.applied():
        raise DatabaseError(f"There is no database {database.name}; run scim-server init.")
    applied = database.upgrade()
    click.echo(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")


@db.command("reindex")
@reports
def db_reindex() -> None:
    """Make anew what is derived: columns, values, unique keys, grams, totals and indexes. Writers wait.

    The exit status is 1 if resources were left as they are, because their bodies cannot be read.
    """
    settings = settings_in_effect()
    kind_of = kinds_known(settings)
    database = open_prepared(settings.database_url)
    with progress(2 * count(database, RESOURCE), "Rebuilding") as advance:
        counts = rebuild(database, kind_of, advance)
    click.echo(f"{counts.total()} resources: {counts['changed']} changed, {counts['left']} left as they are.")
    if counts["left"]:
        fail("What is wrong with these, scim-server check --data says.")


@db.command("copy")
@click.option("--from", "source_url", metavar="URL", required=True, help="The database to read.")
@click.option("--to", "target_url", metavar="URL", required=True, help="The database to fill, which must be empty.")
@reports
def db_copy(source_url: str, target_url: str) -> None:
    """Move everything from one database to another; URLs as in SCIM_DATABASE_URL. Stop the server first.

    Prepares the tables, copies, reads again what was written, and shows count and hash of each table.
    """
    source, target = open_prepared(source_url), open_database(target_url)
    with progress(size(source), "Copying") as advance:
        copied = copy(source, target, advance)
    for table in copied:
        click.echo(f"{table.count:>12}  {table.hash}  {table.table}")
    click.echo("Everything was copied, and is the same.", err=True)
