"""How is a resource shown? A line for each value, named by its path, or as JSON."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import click

from scim_server.cli.terminal import plain

_CHUNK = 64 * 1024


def show_lines(document: Mapping[str, Any]) -> None:
    """Print a line for each simple value, and one for each value of several."""
    for path, value in _lines("", document):
        click.echo(f"{path}: {_text(value)}")


def _lines(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            inner = f"{path}{':' if path.startswith('urn:') else '.'}{name}" if path else name
            yield from _lines(inner, member)
    elif isinstance(value, list):
        for element in value:
            yield path, element
    else:
        yield path, value


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(member)}" for name, member in value.items())
    return plain(value) if isinstance(value, str) else json.dumps(value)


def show_json(body: bytes | IO[bytes]) -> None:
    """Print JSON text on one line, as it comes, in UTF-8 whatever the terminal reads."""
    pieces = [body] if isinstance(body, bytes) else iter(lambda: body.read(_CHUNK), b"")
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def show_json_lines(pages: Iterable[Iterable[object]]) -> None:
    """Print pages of JSON values as they come, each value on one line."""
    for page in pages:
        for value in page:
            show_json(json.dumps(value, ensure_ascii=False).encode())
