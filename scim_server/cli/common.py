"""What do all commands share? Failures as one sentence, the settings, the database."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click

from scim_server.config import ConfigError, Settings, read_settings, unknown_names
from scim_server.protocol.errors import ScimError
from scim_server.protocol.registry import SchemaError
from scim_server.storage.database import Database, DatabaseError, SqlError, open_prepared
from scim_server.tenants import TenantError
from scim_server.tokens import TokenError

_F = TypeVar("_F", bound=Callable[..., Any])
CREDENTIAL = "cli"
"""Who the audit says it was."""


def fail(message: object) -> NoReturn:
    click.echo(f"scim-server: {message}", err=True)
    sys.exit(1)


def settings_in_effect() -> Settings:
    for name in unknown_names():
        click.echo(f"scim-server: warning: {name} is not a setting and has no effect.", err=True)
    return read_settings()


def reports(command: _F) -> _F:
    """Turn an expected failure into one sentence and exit status 1."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (ConfigError, SchemaError, DatabaseError, TenantError, TokenError, ScimError) as error:
            fail(error)
        except SqlError as error:
            fail(f"The database cannot be used: {error}.")
        except BrokenPipeError:
            # Who reads the output has seen enough; click ends quietly.
            raise
        except OSError as error:
            fail(f"{error.filename or 'The system'}: {error.strerror}.")

    return run  # type: ignore[return-value]


def opened_database() -> Database:
    return open_prepared(settings_in_effect().database_url)
