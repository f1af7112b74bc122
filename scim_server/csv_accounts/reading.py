"""Which rows does a file have? Encodings, quotes, the header; what no row can be read of is refused whole."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scim_server.csv_accounts.cells import restored, split_names
from scim_server.csv_accounts.columns import COLUMNS, GROUPS, Column
from scim_server.csv_accounts.encodings import BOM, CP932, UTF_8
from scim_server.csv_accounts.problems import Problem, Refused
from scim_server.protocol.errors import ScimError, too_large
from scim_server.protocol.limits import CSV_BYTES, CSV_ROWS
from scim_server.protocol.text import folded
from scim_server.protocol.wording import say

LIMIT = say("the limit of a CSV file")
_BY_NAME = {folded(name): column for column in COLUMNS for name in (column.ja, column.en)}
_LONGEST_NAME, _MOST_COLUMNS = 100, 100
"""Characters of a header, and columns, that are looked at; what is more is wrong anyway."""
_UNUSED = re.compile("[\x80\uf8f0-\uf8f3]")
"""What Python makes of the bytes 80, A0, FD, FE and FF in CP932."""
_Numbered = tuple[int, list[str]]

# A value may have as many characters as the file; Python's own limit is 131,072 for all readers of a process.
csv.field_size_limit(max(csv.field_size_limit(), CSV_BYTES))


@dataclass(frozen=True, slots=True)
class Row:
    """One account's row: what its cells say, by column."""

    number: int
    cells: dict[Column, str]
    groups: list[str]
    """The names in the cell of groups."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, and the names that the file gives the columns."""

    names: dict[Column, str]
    rows: list[Row]
    problems: list[Problem]
    """The errors of rows that cannot be read."""


def read(content: bytes, encoding: str | None = None) -> Table:
    """Return the rows of a file in an encoding, or in UTF-8 or else CP932.

    Raises Refused when it cannot be told what the cells of rows mean, 413 for too many bytes or rows.
    """
    if len(content) > CSV_BYTES:
        raise too_large(LIMIT, CSV_BYTES)
    records = _records(_decoded(content, encoding))
    _, header = next(records, (1, []))
    columns = _columns(header)
    names = {column: name.strip() for column, name in zip(columns, header, strict=True)}
    rows: list[Row] = []
    problems: list[Problem] = []
    count = 0
    for number, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        count += 1
        if count > CSV_ROWS:
            # The rest is counted only: it need not fit into memory.
            continue
        if len(cells) == len(columns):
            by_column = dict(zip(columns, map(restored, cells), strict=True))
            rows.append(Row(number, by_column, split_names(by_column[GROUPS])))
        else:
            advice = say(
                "Write {wanted} cells, as in the header; there are {found}.", wanted=len(columns), found=len(cells)
            )
            problems.append(Problem(number, "", "cells", advice))
    if count > CSV_ROWS:
        detail = say(
            "The file has {count} rows; at most {most} accounts can be imported at once. Split the file.",
            count=count,
            most=CSV_ROWS,
        )
        raise ScimError(413, detail)
    return Table(names, rows, problems)


def _decoded(content: bytes, encoding: str | None) -> str:
    bare = content.removeprefix(BOM)
    is_marked = len(bare) < len(content)
    failed: list[UnicodeDecodeError] = []
    for name in [UTF_8] if is_marked else [encoding] if encoding else [UTF_8, CP932]:
        try:
            return _strictly(bare, name)
        except UnicodeDecodeError as error:
            failed.append(error)
    # What was read furthest is what the file was meant to be.
    furthest = max(failed, key=lambda each: each.start)
    before = bare[: furthest.start].decode(furthest.encoding)
    # The byte is in the last of the rows up to it; with something in its place, there is such a row.
    row = sum(1 for _ in csv.reader(io.StringIO(f"{before}?", newline="")))
    advice = say(
        "Byte {position} of the file is no character of {encoding}. Save the file as CSV UTF-8.",
        position=len(content) - len(bare) + furthest.start + 1,
        encoding=furthest.encoding.upper(),
    )
    raise Refused([Problem(row, "", "undecodable", advice)])


def _strictly(content: bytes, encoding: str) -> str:
    """Decode bytes. Raises UnicodeDecodeError also where Python's CP932 gives unused bytes a meaning of its own."""
    text = content.decode(encoding)
    if encoding == CP932 and (unused := _UNUSED.search(text)):
        start = len(text[: unused.start()].encode(encoding))
        raise UnicodeDecodeError(encoding, content, start, start + 1, "unused")
    return text


def _records(text: str) -> Iterator[_Numbered]:
    """Yield the number and the cells of each row; one that spans several lines is one row."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            yield number, cells
    except csv.Error:
        advice = say("Close each double quote, and write one within a cell twice.")
        raise Refused([Problem(number + 1, "", "quotes", advice)]) from None


def _columns(header: Sequence[str]) -> list[Column]:
    """Return the column of each cell of the header. Raises Refused for unknown, missing and repeated ones."""
    keys = [folded(name.strip()) if len(name) <= _LONGEST_NAME else "" for name in header[:_MOST_COLUMNS]]
    found = [_BY_NAME.get(key) for key in keys]
    problems: list[Problem] = []
    for index, column in enumerate(found):
        if column is None:
            advice = say("Take this column away, or name it as the template does.")
            problems.append(Problem(1, letters(index), "unknownColumn", advice))
        elif column in found[:index]:
            advice = say("Take this column away; it stands in the file already.")
            problems.append(Problem(1, letters(index), "repeatedColumn", advice))
    is_english = any(column and key == folded(column.en) for column, key in zip(found, keys, strict=True))
    advice = say("Add this column; if it is optional, its cells may be empty.")
    missing = [column.name("en" if is_english else "ja") for column in COLUMNS if column not in found]
    problems += [Problem(1, name, "missingColumn", advice) for name in missing]
    if problems:
        raise Refused(problems)
    return [column for column in found if column]


def letters(index: int) -> str:
    """Return what a spreadsheet calls a column: A for 0, AA for 26."""
    text = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        text = chr(ord("A") + letter) + text
    return text
