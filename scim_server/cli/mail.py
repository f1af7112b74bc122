"""The commands about mail."""

import logging
import signal
import sys

import click

from scim_server import outbox
from scim_server.cli.common import fail, opened_database, reports, settings_in_effect
from scim_server.config import ConfigError
from scim_server.mail import Worker
from scim_server.smtp import Unreachable, relay_in, sender_in
from scim_server.storage.opening import open_prepared

_NUMBER = click.IntRange(1, 2**63 - 1)


@click.group()
def mail() -> None:
    """Mail to new accounts: what waits, what was given up."""


@mail.command("send")
@click.option("--watch", is_flag=True, help="Go on sending until SIGTERM.")
@reports
def mail_send(watch: bool) -> None:
    """Send what is due. The exit status is 1 if anything still waits."""
    settings = settings_in_effect()
    if settings.smtp_url is None or settings.mail_from is None:
        raise ConfigError("SCIM_SMTP_URL is not set: there is no mail server to send with.")
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    database = open_prepared(settings.database_url)
    signals: list[int] = []

    def end(number: int, _: object) -> None:
        signals.append(number)
        # A second signal ends at once what the first one lets finish.
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    worker = Worker(database, relay_in(settings.smtp_url), sender_in(settings.mail_from), lambda: bool(signals))
    if watch:
        worker.watch()
        return
    try:
        worker.send()
    except Unreachable as reason:
        fail(f"{reason} {outbox.count_waiting(database)} wait.")
    waiting, counts = outbox.count_waiting(database), worker.counts
    click.echo(f"{counts.sent} sent, {counts.postponed} postponed, {counts.given_up} given up; {waiting} wait.")
    sys.exit(1 if waiting else 0)


@mail.command("list")
@click.option("--failed", is_flag=True, help="Only what was given up.")
@reports
def mail_list(failed: bool) -> None:
    """List what was not sent: number, tenant, id of the account, since when, tries, next try, last error."""
    for found in outbox.every(opened_database(), given_up=failed):
        next_at = f"{found.next_at}Z" if found.next_at else "given up"
        shown = (found.number, found.tenant, found.resource_id, f"{found.created}Z", found.tries, next_at)
        click.echo("  ".join(map(str, (*shown, found.last_error or "-"))))


@mail.command("retry")
@click.argument("numbers", type=_NUMBER, nargs=-1)
@reports
def mail_retry(numbers: tuple[int, ...]) -> None:
    """Let mail be sent at once, also what was given up: that with the numbers of the list, or all."""
    found = outbox.retry(opened_database(), numbers)
    if missing := sorted(set(numbers).difference(found)):
        fail(f"There is no mail {missing[0]}.")
    click.echo(f"{len(found)} due.", err=True)


@mail.command("delete")
@click.argument("numbers", type=_NUMBER, nargs=-1, required=True)
@reports
def mail_delete(numbers: tuple[int, ...]) -> None:
    """Delete mail by the numbers of the list; it is not sent."""
    database = opened_database()
    for number in numbers:
        if not outbox.remove(database, number):
            fail(f"There is no mail {number}.")
        click.echo(f"Deleted {number}.", err=True)
