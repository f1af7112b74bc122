"""How does a list look? Aligned columns on a terminal, else values separated by tabs."""

import re
import sys
from collections.abc import Iterable, Sequence

import click

from scim_server.cli.terminal import cut, plain, width

_BREAKS = re.compile(r"[\t\r\n]+")
_WIDEST = 40
"""Columns of a terminal that a value gets at most; an id has room."""
Row = Sequence[object]


def show(head: Sequence[str], pages: Iterable[Iterable[Row]]) -> None:
    """Print pages of rows as they come; only a terminal gets the head, and columns as wide as the pages so far need."""
    is_terminal = sys.stdout.isatty()
    cell = _short if is_terminal else _cell
    widths = [0] * len(head)
    rows: list[list[str]] = [list(head)] if is_terminal else []
    for page in pages:
        rows += [[cell(value) for value in row] for row in page]
        if is_terminal:
            widths = [max(most, *map(width, cells)) for most, *cells in zip(widths, *rows, strict=True)]
        for row in rows:
            click.echo(_aligned(row, widths) if is_terminal else "\t".join(row))
        rows = []
    for row in rows:
        click.echo("  ".join(row))


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else plain(_BREAKS.sub(" ", str(value)))


def _short(value: object) -> str:
    return cut(_cell(value), _WIDEST)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (text + " " * (most - width(text)) for text, most in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()
