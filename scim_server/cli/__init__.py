"""What can an administrator do from the command line?"""

import sys
from io import TextIOWrapper

import click

from scim_server import __version__
from scim_server.cli import backup, csv, db, deleted, demo, group, mail, server, tenant, token, user


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scim-server")
def main() -> None:
    """SCIM 2.0 provisioning server. Settings are SCIM_* environment variables; see docs/install.md."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal need not know every character that a name has.
        sys.stdout.reconfigure(errors="backslashreplace")


for _command in (
    *(server.init, server.serve, server.check, tenant.tenant, token.token),
    *(user.user, group.group, deleted.deleted, csv.import_, csv.export, mail.mail),
    *(db.db, backup.backup, backup.restore, demo.demo),
):
    main.add_command(_command)
