"""The commands about files of accounts."""

from typing import IO

import click

from scim_server.cli.common import of_tenant, reports
from scim_server.csv_accounts.encodings import ENCODINGS, UTF_8
from scim_server.protocol.wording import LANGUAGES


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--encoding", type=click.Choice(ENCODINGS), help="Of the file. [default: found out]")
@click.option("--lang", type=click.Choice(LANGUAGES), help="Language of what is said. [default: the tenant's]")
@of_tenant
@reports
def import_(file: IO[bytes], dry_run: bool, encoding: str | None, lang: str | None, tenant_name: str | None) -> None:
    """Register, edit and delete the accounts in a CSV file, all of them or none."""
    # Loading what serves resources takes longer than --help may.
    from scim_server.cli import csv_files  # noqa: PLC0415

    csv_files.import_file(file, encoding, lang, tenant_name, is_dry=dry_run)


@click.command("export")
@click.option("--filter", help="Only accounts that fit this SCIM filter.")
@click.option("--lang", type=click.Choice(LANGUAGES), default="ja", show_default=True, help="Language of the header.")
@click.option("--encoding", type=click.Choice(ENCODINGS), default=UTF_8, show_default=True)
@of_tenant
@reports
def export(filter: str | None, lang: str, encoding: str, tenant_name: str | None) -> None:
    """Write accounts as a CSV file to standard output."""
    from scim_server.cli import csv_files  # noqa: PLC0415 - the same

    csv_files.export_all(filter, lang, encoding, tenant_name)
