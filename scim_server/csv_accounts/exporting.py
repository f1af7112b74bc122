"""How are accounts written into a file? Any number of them, in pages, and never as formulas."""

import csv
import io
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from zoneinfo import ZoneInfo

from scim_server.csv_accounts.cells import joined_names, neutralised
from scim_server.csv_accounts.columns import COLUMNS, GROUPS, Column, Document
from scim_server.csv_accounts.encodings import BOM, UTF_8
from scim_server.protocol import template
from scim_server.protocol.errors import invalid_value
from scim_server.protocol.limits import MAX_RESULTS
from scim_server.protocol.query import Query
from scim_server.protocol.text import code_point
from scim_server.protocol.wording import say
from scim_server.resources import listing
from scim_server.resources.base import Resources
from scim_server.resources.body import Body, Text, gathered
from scim_server.resources.groups import MEMBERS
from scim_server.storage import documents, pages
from scim_server.storage.pages import Order, Position
from scim_server.storage.parts import Holders, entries
from scim_server.storage.sources import ALL
from scim_server.tokens import Principal


class Export:
    """The accounts of the caller's tenant that fit a filter, as they are when their page is read."""

    def __init__(self, users: Resources, by: Principal, filter: str | None = None) -> None:
        """Read the filter and find the accounts that fit it. Raises invalidFilter."""
        self.users = users
        self.by = by
        (self.branch,) = listing.branches([users], by, Query(filter=filter))
        database = users.shared.database
        self.found: array[int] | None = None
        """Keys, of 8 bytes each: to look for a page at a time would take longer the more there are."""
        if filter is None:
            self.total = pages.total(database, [self.branch])
        else:
            every = pages.page([self.branch], Order(), None, 0, ALL)
            self.found = array("q", pages.keys(database, every))
            self.total = len(self.found)

    def pieces(self, language: str, encoding: str) -> Iterator[tuple[int, bytes]]:
        """Yield the file piece by piece, each with the number of its accounts. Raises what `encoded` raises."""
        yield 0, template_file(language, encoding)
        zone, number = ZoneInfo(self.by.tenant.time_zone), 2
        for page in self._pages():
            rows = [cells_of(stored, zone) for stored in page]
            yield len(page), encoded(rows, language, encoding, number)
            number += len(page)

    def file(self, language: str, encoding: str) -> Body | Generator[bytes]:
        """Return the file; in UTF-8 it is read as it is sent.

        In CP932 it is read before, so that no half file is sent. Raises what `encoded` raises.
        """
        if encoding == UTF_8:
            return (piece for _, piece in self.pieces(language, encoding))
        return gathered([Text(b"", lambda: (piece for _, piece in self.pieces(language, encoding)))])

    def _pages(self) -> Iterator[list[documents.Stored]]:
        if self.found is not None:
            for start in range(0, len(self.found), MAX_RESULTS):
                yield self._read(pages.having(self.found[start : start + MAX_RESULTS].tolist()))
            return
        position, size = None, MAX_RESULTS
        while size == MAX_RESULTS:
            found = self._read(pages.page([self.branch], Order(), position, 0, MAX_RESULTS))
            size = len(found)
            if found:
                yield found
                position = Position(None, found[-1].key)

    def _read(self, page: pages.Selection) -> list[documents.Stored]:
        database, scope, parts = self.users.shared.database, self.branch.scope, account_parts(self.users)
        rows, _ = documents.on_page(database, page, scope, parts)
        return sorted((stored for _, stored in rows), key=lambda stored: stored.key)


def account_parts(users: Resources) -> tuple[Holders]:
    """Return what is read along with each account: its direct groups."""
    return (Holders(users.shared.registry.resource_types["Group"].by_path[MEMBERS]),)


def groups_of(stored: documents.Stored) -> dict[str, str]:
    """Return the names of an account's direct groups by their ids, in the order of creation."""
    return dict(entries(stored.parts[0]))


def cells_of(stored: documents.Stored, zone: ZoneInfo) -> dict[Column, str]:
    """Return what each cell of an account says."""
    return shown(template.stored(stored.template), groups_of(stored).values(), zone)


def shown(document: Document, groups: Iterable[str], zone: ZoneInfo) -> dict[Column, str]:
    """Return what each cell of an account says that has a document and is in some groups."""
    return {column: column.show(document, zone) for column in COLUMNS} | {GROUPS: joined_names(groups)}


def template_file(language: str, encoding: str) -> bytes:
    """Return a file without accounts."""
    head = BOM if encoding == UTF_8 else b""
    return head + _joined([[column.name(language) for column in COLUMNS]]).encode(encoding)


def encoded(rows: Sequence[dict[Column, str]], language: str, encoding: str, number: int) -> bytes:
    """Return rows as bytes; ``number`` is that of the first. Raises invalidValue for what the encoding cannot hold."""
    content = _joined([[neutralised(cell) for cell in row.values()] for row in rows]).encode(encoding, "replace")
    if encoding != UTF_8:
        for index, row in enumerate(rows, number):
            for column, cell in row.items():
                if wrong := _lost(cell, encoding):
                    where = say("Row {row}, {column}", row=index, column=column.name(language))
                    detail = say("CP932 has no character {char}; export as UTF-8.", char=code_point(wrong))
                    raise invalid_value(detail).within(where)
    return content


def _lost(text: str, encoding: str) -> str | None:
    """Return the first character that would not come back out of an encoding, some of which become similar ones."""
    if text.isascii() or text.encode(encoding, "replace").decode(encoding) == text:
        return None
    return next(char for char in text if char.encode(encoding, "replace").decode(encoding) != char)


def _joined(rows: Iterable[Iterable[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue()
