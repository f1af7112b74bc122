"""Which change does PATH=VALUE or PATH:=JSON ask for?"""

import re
import sys
from typing import Any

import click

from scim_server.cli.common import CommandError
from scim_server.protocol.text import read_json

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
    sent = value if sign == "=" else read_json(value.encode(errors="surrogateescape"))
    return {"op": "replace", "path": path, "value": sent}


def read_password(wanted: bool) -> str | None:
    """Return the first line of standard input, or what is typed unseen on a terminal, twice; None if not ``wanted``."""
    if not wanted:
        return None
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise CommandError("Standard input has no password.")
    return line
