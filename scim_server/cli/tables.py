"""How does a list look? Aligned columns on a terminal, else values separated by tabs."""

import re
import sys
from collections.abc import Iterable, Sequence
from unicodedata import combining, east_asian_width

import click

_BREAKS = re.compile(r"[\t\r\n]+")
Row = Sequence[object]


def show(head: Sequence[str], pages: Iterable[Iterable[Row]]) -> None:
    """Print pages of rows as they come; only a terminal gets the head, and columns as wide as the pages so far need."""
    is_terminal = sys.stdout.isatty()
    widths = [0] * len(head)
    rows: list[list[str]] = [list(head)] if is_terminal else []
    for page in pages:
        rows += [[_cell(value) for value in row] for row in page]
        if is_terminal:
            widths = [max(width, *map(_width, cells)) for width, *cells in zip(widths, *rows, strict=True)]
        for row in rows:
            click.echo(_aligned(row, widths) if is_terminal else "\t".join(row))
        rows = []
    for row in rows:
        click.echo("  ".join(row))


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else _BREAKS.sub(" ", str(value))


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian wide characters take two."""
    return sum(2 if east_asian_width(char) in "WF" else not combining(char) for char in text)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()
