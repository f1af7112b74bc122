"""How is a stored body completed with what is derived when it is read?

A template is the JSON text of a resource with holes. A hole is a NUL byte, which JSON text cannot
contain, a letter and a NUL byte. Three kinds of holes fill one *slot*, named by a lower-case letter:

- ``a`` in an object that has members already: the derived members follow them;
- ``A`` where the whole object is missing: it appears when there are derived members;
- ``0`` in ``schemas``: the URN of each extension that appears in this way.

Reading costs a split and a join, never a parse.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import orjson

_HOLE = b"\0"
_URNS = b"0"


class Slot(NamedTuple):
    """A place for derived members: ``path`` leads to an object of the resource, () is the resource."""

    letter: str
    path: tuple[str, ...]

    @property
    def is_extension(self) -> bool:
        return len(self.path) == 1 and self.path[0].startswith("urn:")


def build(document: Mapping[str, Any], slots: tuple[Slot, ...]) -> bytes:
    """Return the template of a resource document whose first member is ``schemas``."""
    schemas = orjson.dumps(document["schemas"])
    members = [b'"schemas":' + schemas[:-1] + _HOLE + _URNS + _HOLE + b"]"]
    members += _members({name: value for name, value in document.items() if name != "schemas"}, (), slots)
    whole = b"".join(
        _HOLE + slot.letter.upper().encode() + _HOLE
        for slot in slots
        if slot.is_extension and slot.path[0] not in document
    )
    return b"{" + b",".join(members) + whole + _hole((), slots) + b"}"


@cache
def _with_holes(path: tuple[str, ...], slots: tuple[Slot, ...]) -> set[str]:
    """Return the members of the object at a path that have holes in them."""
    return {slot.path[len(path)] for slot in slots if slot.path[: len(path)] == path and len(slot.path) > len(path)}


def _members(value: Mapping[str, Any], path: tuple[str, ...], slots: tuple[Slot, ...]) -> list[bytes]:
    """Return the members of the object at a path: at first all in which there are no holes, as one text."""
    outer = _with_holes(path, slots)
    plain = {name: member for name, member in value.items() if name not in outer or not isinstance(member, dict)}
    members = [orjson.dumps(plain)[1:-1]] if plain else []
    for name in [name for name in value if name not in plain]:
        inner = (*path, name)
        filled = b",".join(_members(value[name], inner, slots)) + _hole(inner, slots)
        members.append(orjson.dumps(name) + b":{" + filled + b"}")
    return members


@cache
def _hole(path: tuple[str, ...], slots: tuple[Slot, ...]) -> bytes:
    return b"".join(_HOLE + slot.letter.encode() + _HOLE for slot in slots if slot.path == path)


def fill(template: bytes, slots: Mapping[str, Slot], derived: Mapping[str, bytes]) -> bytes:
    """Return the resource's JSON; ``derived`` has the members for each letter, ``"a":1,"b":2`` or empty."""
    pieces = template.split(_HOLE)
    urns = b""
    for index in range(3, len(pieces), 2):
        letter = pieces[index].decode()
        if members := derived.get(letter):
            pieces[index] = b"," + members
        elif members := derived.get(letter.lower()):
            urn = slots[letter.lower()].path[0].encode()
            pieces[index] = b',"' + urn + b'":{' + members + b"}"
            urns += b',"' + urn + b'"'
        else:
            pieces[index] = b""
    pieces[1] = urns
    return b"".join(pieces)


def stored(template: bytes) -> dict[str, Any]:
    """Return the document that a template holds, without anything derived."""
    pieces = template.split(_HOLE)
    document: dict[str, Any] = orjson.loads(b"".join(pieces[::2]))
    return document
