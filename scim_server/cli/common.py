"""What do all commands share? Failures as one sentence, the settings, the database."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from scim_server.cli.caller import CommandError
from scim_server.cli.terminal import plain
from scim_server.config import ConfigError, Settings, read_settings, unknown_names
from scim_server.protocol.errors import ScimError
from scim_server.protocol.registry import SchemaError, load_registry
from scim_server.protocol.text import check_text
from scim_server.storage.database import Database, DatabaseError, SqlError, first_of
from scim_server.storage.opening import open_prepared
from scim_server.storage.tombstones import TombstoneError
from scim_server.tenants import TenantError
from scim_server.tokens import TokenError

if TYPE_CHECKING:
    from scim_server.cli.operator import Operator
    from scim_server.storage.integrity.findings import KindOf

_F = TypeVar("_F", bound=Callable[..., Any])


_EXPECTED = (
    CommandError, ConfigError, SchemaError, DatabaseError, TenantError, TokenError, TombstoneError, ScimError,
)  # fmt: skip


def fail(message: object) -> NoReturn:
    click.echo(f"scim-server: {plain(str(message))}", err=True)
    sys.exit(1)


def settings_in_effect() -> Settings:
    for name in unknown_names():
        click.echo(f"scim-server: warning: {name} is not a setting and has no effect.", err=True)
    return read_settings()


of_tenant = click.option("--tenant", "tenant_name", help="The tenant, when there are several.")


def reports(command: _F) -> _F:
    """Turn an expected failure into one sentence and exit status 1; refuse bytes that are no text in every argument."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            _check_texts(options)
            return command(*arguments, **options)
        except _EXPECTED as error:
            fail(error)
        except SqlError as error:
            fail(f"The database cannot be used: {first_of(error)}.")
        except BrokenPipeError:
            # Who reads the output has seen enough; click ends quietly.
            raise
        except OSError as error:
            fail(f"{error.filename or 'The system'}: {error.strerror}.")

    return run  # type: ignore[return-value]


def _check_texts(options: Mapping[str, Any]) -> None:
    for given in options.values():
        for text in given if isinstance(given, tuple) else (given,):
            if isinstance(text, str):
                check_text(text, "An argument")


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal before what cannot be taken back, unless ``--yes`` was given; end the command otherwise."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Give --yes where nobody can be asked.")
    if not click.confirm(question, err=True):
        fail("Nothing was done.")


def operator(tenant_name: str | None) -> "Operator":
    """Return who acts on a tenant's resources, the only tenant's if none is named."""
    # Loading what serves resources takes longer than --help may.
    from scim_server.cli.operator import Operator  # noqa: PLC0415

    return Operator.of(settings_in_effect(), tenant_name)


def kinds_known(settings: Settings) -> "KindOf":
    """Return what finds the kind of a resource type. Raises SchemaError."""
    # The same.
    from scim_server.resources.upkeep import kinds_in  # noqa: PLC0415

    return kinds_in(load_registry(settings.schema_dir))


def opened_database() -> Database:
    return open_prepared(settings_in_effect().database_url)


def _ignore(steps: int) -> None:
    """Show nothing."""


@contextmanager
def progress(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal, and nowhere else, how far it is; what this yields is told of each step."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update
