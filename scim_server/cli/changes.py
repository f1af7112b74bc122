"""Which change does PATH=VALUE or PATH:=JSON ask for?"""

import re
import sys
from typing import Any

import click

from scim_server.cli.caller import CommandError
from scim_server.protocol.errors import ScimError
from scim_server.protocol.text import check_text, read_json

_CHANGE = re.compile(r"""((?:[^="]|"(?:[^"\\]|\\.)*")+?)(:?=)(.*)""", re.DOTALL)


def read_changes(given: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return operations of a PATCH: replace by a value, remove without one. Raises CommandError, invalidSyntax."""
    return [_read(text) for text in given]


def _read(text: str) -> dict[str, Any]:
    match = _CHANGE.fullmatch(text)
    if match is None:
        raise CommandError(f"{text[:64]!a} is not PATH=VALUE or PATH:=JSON.")
    path, sign, value = match.groups()
    if not value:
        return {"op": "remove", "path": path}
    return {"op": "replace", "path": path, "value": value if sign == "=" else _json(path, value)}


def _json(path: str, text: str) -> Any:
    try:
        return read_json(text.encode())
    except ScimError as error:
        raise CommandError(f"{path}: {error.detail}") from None


def read_password(wanted: bool) -> str | None:
    """Return the first line of standard input, or what is typed unseen on a terminal, twice; None if not ``wanted``."""
    if not wanted:
        return None
    if sys.stdin.isatty():
        line: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise CommandError("Standard input has no password.")
    return check_text(line, "password")
