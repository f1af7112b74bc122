"""What do the commands about files of accounts do?"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import IO

import click

from scim_server import tenants
from scim_server.cli.caller import credential
from scim_server.cli.common import fail, progress, settings_in_effect
from scim_server.config import server_key
from scim_server.csv_accounts.encodings import CP932
from scim_server.csv_accounts.exporting import Export
from scim_server.csv_accounts.importing import CREATE, DELETE, EDIT, UNTOUCHED, Import, Outcome
from scim_server.csv_accounts.problems import Refused
from scim_server.csv_accounts.reading import read
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import Habits
from scim_server.protocol.limits import CSV_BYTES
from scim_server.protocol.wording import in_language, say, together
from scim_server.resources.base import Resources
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.tokens import ADMIN, Principal

_IN_MEMORY = 1024 * 1024
_ACTIONS = {CREATE: say("create"), EDIT: say("edit"), DELETE: say("delete"), UNTOUCHED: say("untouched")}


def import_file(
    file: IO[bytes], encoding: str | None, lang: str | None, tenant_name: str | None, *, is_dry: bool
) -> None:
    """Import a file, and say what was done."""
    resources, by = _operator(tenant_name)
    language = lang or by.language
    with _speaking(language):
        table = read(file.read(CSV_BYTES + 1), encoding)
        with progress(len(table.rows), in_language(say("Importing"), language)) as advance:
            outcome = Import(resources).run(by, table, is_dry=is_dry, progress=advance)
    for line in _lines(outcome):
        click.echo(in_language(line, language))


def export_all(filter: str | None, lang: str, encoding: str, tenant_name: str | None) -> None:
    """Write accounts to standard output."""
    resources, by = _operator(tenant_name)
    output = sys.stdout.buffer
    with _speaking(by.language), SpooledTemporaryFile(_IN_MEMORY) as waiting:
        found = Export(resources["User"], by, filter)
        # What CP932 cannot hold may be in the last row: nothing is written before that is known.
        target: IO[bytes] = waiting if encoding == CP932 else output
        with progress(found.total, in_language(say("Exporting"), by.language)) as advance:
            for count, piece in found.pieces(lang, encoding):
                target.write(piece)
                advance(count)
        waiting.seek(0)
        copyfileobj(waiting, output)
    output.flush()


def _operator(tenant_name: str | None) -> tuple[dict[str, Resources], Principal]:
    """Return the resources, and a caller who may do everything in a tenant."""
    settings = settings_in_effect()
    shared = Shared.opened(settings, server_key(settings))
    tenant = tenants.find(shared.database, tenant_name)
    habits = Habits(settings.compatibility)
    by = Principal(credential(), tenant, frozenset({ADMIN}), habits=habits, language=tenant.language)
    return all_resources(shared), by


@contextmanager
def _speaking(language: str) -> Iterator[None]:
    """End the command with what it is refused for, in a language; each error of a file is a line."""
    try:
        yield
    except Refused as refused:
        for problem in refused.problems:
            click.echo(in_language(problem.sentence(), language), err=True)
        fail(in_language(say("Nothing was changed; errors: {count}.", count=len(refused.problems)), language))
    except ScimError as error:
        fail(in_language(error.detail, language))


def _lines(outcome: Outcome) -> Iterator[str]:
    """Yield what was done, or would be: each row that changes something, its cells, then the counts."""
    names = outcome.table.names
    for step in outcome.steps:
        if step.action == UNTOUCHED:
            continue
        action = _ACTIONS[step.action]
        yield say("Row {row}: {action} {address}", row=step.row.number, action=action, address=step.address)
        for column in step.after if step.action == EDIT else ():
            yield f"    {names[column]}: {step.before[column]!r} -> {step.after[column]!r}"
    counts = together(
        "{first}, {second}",
        [say("{action} {count}", action=_ACTIONS[action], count=count) for action, count in outcome.counts.items()],
    )
    yield say("Would be done: {counts}.", counts=counts) if outcome.is_dry else say("Done: {counts}.", counts=counts)
