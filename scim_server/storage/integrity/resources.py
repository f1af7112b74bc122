"""Is each resource what its body says: its columns, values and unique keys?"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from scim_server.protocol import template
from scim_server.protocol.schema import Attribute
from scim_server.protocol.validation import schemas_in_use
from scim_server.storage.database import Database, Row
from scim_server.storage.documents import COLUMNS
from scim_server.storage.integrity.findings import Advance, Finding, Kind, KindOf, Scopes, broken, stale
from scim_server.storage.keys import order_in, scope_in
from scim_server.storage.rows import Rows, ValueRow, digest_of, rows_of
from scim_server.storage.tables import following

AT_ONCE = 500
LAST = 2**63 - 1
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", re.ASCII)
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What reading a damaged document may raise."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A resource with all that is kept of it, as it stands in the tables."""

    key: int
    scope: int
    id: str
    version: int
    created: str
    modified: str
    display: str | None
    columns: dict[str, str]
    template: bytes | None
    values: set[ValueRow]
    has_strayed: bool
    """Whether a value row is filed under another scope."""

    @property
    def name(self) -> str:
        return f"{self.key} ({self.id})"


class Batch:
    """Resources with neighbouring keys, and everything between the first and the last of these keys."""

    def __init__(self, database: Database, after: int) -> None:
        columns = ", ".join(f"r.{column}" for column in COLUMNS)
        rows = database.rows(
            f"SELECT r.key, r.scope, r.id, r.version, r.created, r.modified, r.display, b.template, {columns}"
            " FROM resource r LEFT JOIN body b ON b.key = r.key WHERE r.key > ? ORDER BY r.key LIMIT ?",
            (after, AT_ONCE),
        )
        (self.last,) = following("resource", (after,), rows[-1][:1]) if len(rows) == AT_ONCE else (LAST,)
        self.range = after, self.last
        self.values: defaultdict[int, set[ValueRow]] = defaultdict(set)
        strayed = set()
        sql = "SELECT resource, attribute, element, scope, key FROM value WHERE resource > ? AND resource <= ?"
        for key, attribute, element, scope, text in database.rows(sql, self.range):
            self.values[key].add((attribute, element, text))
            if scope != scope_in(key):
                strayed.add(key)
        self.kept = [self._kept(row, strayed) for row in rows]

    def _kept(self, row: Row, strayed: set[int]) -> Kept:
        key, scope, id, version, created, modified, display, body, *texts = row
        columns = {name: text for name, text in zip(COLUMNS, texts, strict=True) if text is not None}
        values = self.values.get(key, set())
        return Kept(key, scope, id, version, created, modified, display, columns, body, values, key in strayed)

    @property
    def ownerless(self) -> list[int]:
        """Return the keys under which there are values of no resource."""
        return sorted(self.values.keys() - {kept.key for kept in self.kept})


class Damaged(Exception):
    """A body cannot be read; the message says what is wrong with it."""


def document_of(kept: Kept, kind: Kind) -> tuple[dict[str, Any], Rows]:
    """Return the document of a resource and what is to be indexed of it. Raises Damaged."""
    if not isinstance(kept.template, bytes):
        raise Damaged("the body is missing" if kept.template is None else "the body is no bytes")
    try:
        document = template.stored(kept.template)
        rows = rows_of(kind.resource_type, document)
        is_whole = template.build(document, kind.slots) == kept.template
    except UNREADABLE:
        raise Damaged("the body cannot be read") from None
    if not is_whole:
        raise Damaged("the body has not the holes that are filled when it is read")
    if document.get("id") != kept.id:
        raise Damaged("the body is that of another resource")
    return document, rows


def check(database: Database, kind_of: KindOf, advance: Advance) -> Iterator[Finding]:
    """Yield what is wrong with the resources; each batch is of one state, as are all its parts."""
    last = -1
    strange: set[int] = set()
    while last < LAST:
        with database.snapshot():
            batch = Batch(database, last)
            scopes = Scopes(database, kind_of)
            found = list(_check_batch(database, batch, scopes))
        for scope in sorted({scope_in(kept.key) for kept in batch.kept} - strange):
            kind = scopes.kind(scope)
            if isinstance(kind, Finding):
                strange.add(scope)
                yield kind
        yield from found
        advance(len(batch.kept))
        last = batch.last


def _check_batch(database: Database, batch: Batch, scopes: Scopes) -> Iterator[Finding]:
    unique: list[tuple[Kept, Kind, set[tuple[int, str]]]] = []
    for kept in batch.kept:
        yield from _check_row(kept)
        kind = scopes.kind(scope_in(kept.key))
        if isinstance(kind, Finding):
            continue
        try:
            document, expected = document_of(kept, kind)
        except Damaged as damaged:
            yield broken("resource" if kept.template is None else "body", kept.name, str(damaged))
            continue
        yield from _check_document(kept, kind, document)
        yield from _check_rows(kept, document, expected)
        unique.append((kept, kind, expected.unique))
    yield from _check_taken(database, unique)
    yield from _check_owners(database, batch)


def _check_owners(database: Database, batch: Batch) -> Iterator[Finding]:
    """Yield what belongs to no resource."""
    for key in batch.ownerless:
        yield stale("value", str(key), "there is no such resource")
    for table, column in (("body", "key"), ("password", "resource")):
        sql = (
            f"SELECT x.{column} FROM {table} x WHERE x.{column} > ? AND x.{column} <= ?"
            f" AND NOT EXISTS (SELECT 1 FROM resource r WHERE r.key = x.{column})"
        )
        for (key,) in database.rows(sql, batch.range):
            yield broken(table, str(key), "there is no such resource")


def _check_row(kept: Kept) -> Iterator[Finding]:
    wrong = partial(broken, "resource", kept.name)
    if kept.scope != scope_in(kept.key):
        yield stale("resource", kept.name, "it is filed under another scope than its key's")
    if order_in(kept.key) < 1:
        yield wrong("the key has no number")
    if not isinstance(kept.version, int) or kept.version < 1:
        yield wrong("the version is no positive number")
    if not all(is_instant(at) for at in (kept.created, kept.modified)):
        yield wrong("the times of creation and change are not such")
    elif kept.created > kept.modified:
        yield wrong("it was changed before it was created")


def is_instant(value: object) -> bool:
    """Tell whether a value is an instant as `clock.now` writes it."""
    return isinstance(value, str) and INSTANT.fullmatch(value) is not None


def _check_rows(kept: Kept, document: Mapping[str, Any], expected: Rows) -> Iterator[Finding]:
    if kept.display != display_of(document):
        yield stale("resource", kept.name, "the column display is not what the body says")
    if wrong := [name for name in COLUMNS if kept.columns.get(name) != expected.columns.get(name)]:
        yield stale("resource", kept.name, f"the columns {', '.join(wrong)} are not what the body says")
    if differing := kept.values ^ expected.values:
        yield stale("value", kept.name, f"{len(differing)} rows are not what the body says")
    if kept.has_strayed:
        yield stale("value", kept.name, "rows are filed under another scope than the resource")


def display_of(document: Mapping[str, Any]) -> str | None:
    """Return the display name that a document gives its resource."""
    found = document.get("displayName")
    return found if isinstance(found, str) else None


def _check_document(kept: Kept, kind: Kind, document: Mapping[str, Any]) -> Iterator[Finding]:
    if document.get("schemas") != schemas_in_use(kind.resource_type, document):
        yield broken("body", kept.name, "schemas does not list what is in use")
    for path in kind.elsewhere:
        attribute = kind.resource_type.by_path[path.lower()]
        holder = document.get(attribute.urn, {}) if attribute.urn else document
        if attribute.name in holder:
            yield broken("body", kept.name, f"it holds {path}, which is kept elsewhere")


def _check_taken(database: Database, resources: Sequence[tuple[Kept, Kind, set[tuple[int, str]]]]) -> Iterator[Finding]:
    """Yield which values that must be unique are not taken, or by another resource."""
    wanted = [(kept, kind, (scope_in(kept.key), *key)) for kept, kind, keys in resources for key in keys]
    holders = _holders(database, [key for _, _, key in wanted])
    for kept, kind, key in wanted:
        holder = holders.get(key)
        path = unique_attributes(kind)[key[1]].path
        if holder is None:
            yield stale("unique_key", kept.name, f"its {path} is not known as taken")
        elif holder != kept.key:
            yield stale("unique_key", kept.name, f"its {path} is taken by {holder}")


def _holders(database: Database, keys: Sequence[tuple[int, int, str]]) -> dict[tuple[int, int, str], int]:
    if not keys:
        return {}
    rows = database.rows(
        f"WITH wanted (scope, attribute, digest) AS (VALUES {', '.join(['(?, ?, ?)'] * len(keys))})"
        " SELECT u.scope, u.attribute, u.digest, u.resource FROM wanted w CROSS JOIN unique_key u"
        " ON u.scope = w.scope AND u.attribute = w.attribute AND u.digest = w.digest",
        [part for key in keys for part in key],
    )
    return {(scope, attribute, digest): resource for scope, attribute, digest, resource in rows}


def check_unique(database: Database, kind_of: KindOf, advance: Advance) -> Iterator[Finding]:
    """Yield the unique keys that no resource needs."""
    last: Row = (-1, -1, "")
    columns = ", ".join(f"r.{column}" for column in COLUMNS)
    sql = (
        f"SELECT u.scope, u.attribute, u.digest, u.resource, r.key, v.key, {columns} FROM unique_key u"
        " LEFT JOIN resource r ON r.key = u.resource"
        " LEFT JOIN value v ON v.resource = u.resource AND v.attribute = u.attribute AND v.element = 0"
        " WHERE (u.scope, u.attribute, u.digest) > (?, ?, ?) ORDER BY u.scope, u.attribute, u.digest LIMIT ?"
    )
    while True:
        with database.snapshot():
            rows = database.rows(sql, (*last, AT_ONCE))
            scopes = Scopes(database, kind_of)
            found = [stale("unique_key", str(row[3]), problem) for row in rows if (problem := _misused(row, scopes))]
        yield from found
        advance(len(rows))
        if len(rows) < AT_ONCE:
            return
        last = following("unique_key", last, rows[-1][:3])


def _misused(row: Row, scopes: Scopes) -> str | None:
    """Return why no resource needs a unique key, None if one does."""
    scope, number, digest, key, is_there, value, *texts = row
    if is_there is None:
        return "there is no such resource"
    if scope != scope_in(key):
        return "it is filed under another scope than the resource"
    kind = scopes.kind(scope)
    if isinstance(kind, Finding):
        return None
    attribute = unique_attributes(kind).get(number)
    if attribute is None:
        return f"the attribute {number} is none that must be unique"
    text = dict(zip(COLUMNS, texts, strict=True))[attribute.column] if attribute.column else value
    if text is None or digest_of(text) != digest:
        return f"the resource has another {attribute.path}"
    return None


@cache
def unique_attributes(kind: Kind) -> dict[int, Attribute]:
    """Return the attributes whose values must be unique, by their numbers."""
    every = kind.resource_type.by_path.values()
    return {attribute.number: attribute for attribute in every if attribute.uniqueness != "none"}
