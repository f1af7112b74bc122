"""What is read along with a resource, in the same statement?

Each part is one SQL expression over the row ``r``. Lists come as text: entries separated by U+001E,
their fields by U+001F, two lists by U+001C; the text gate lets none into a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scim_server.protocol.schema import Attribute

_ENTRY, _FIELD, _LIST = "\x1e", "\x1f", "\x1c"
_CONCATENATED = f"group_concat(entry, '{_ENTRY}')"
_SEPARATOR = f"|| '{_FIELD}' ||"


@dataclass(frozen=True, slots=True)
class Column:
    """The comparison key in an attribute's promoted column."""

    attribute: Attribute

    def sql(self) -> str:
        return f"r.{self.attribute.column}"


@dataclass(frozen=True, slots=True)
class Targets:
    """The resources that a reference attribute points to, the first ``most`` or all: key, id, display."""

    attribute: Attribute
    most: int | None = None

    def sql(self) -> str:
        limit = f" LIMIT {self.most}" if self.most else ""
        return (
            f"(SELECT {_CONCATENATED} FROM (SELECT t.key {_SEPARATOR} t.id {_SEPARATOR}"
            f" coalesce(t.display, '') AS entry FROM reference m JOIN resource t ON t.key = m.target"
            f" WHERE m.source = r.key AND m.attribute = {self.attribute.number} ORDER BY m.target{limit}) AS found)"
        )


@dataclass(frozen=True, slots=True)
class Holders:
    """The resources that point to this one, itself and not through others: id, display, in the order of creation."""

    attribute: Attribute

    def sql(self) -> str:
        return (
            f"(SELECT {_CONCATENATED} FROM (SELECT h.id {_SEPARATOR} coalesce(h.display, '') AS entry"
            f" FROM reference m JOIN resource h ON h.key = m.source WHERE m.target = r.key"
            f" AND m.attribute = {self.attribute.number} ORDER BY m.source) AS found)"
        )


@dataclass(frozen=True, slots=True)
class Enclosing:
    """The groups that hold a resource through ``members``, themselves or through others, and what they grant.

    An entry of the first list is 1 for a group that itself holds the resource and 0 for one that does through others,
    which a group may be both; its key, id and display. One of the second is key, id and display of a resource that some
    group points to through ``granted``. They come in any order; `around` reads them.
    """

    members: Attribute
    granted: Attribute

    def sql(self) -> str:
        held = f"m.attribute = {self.members.number}"
        direct = f"SELECT m.source, 1 FROM reference m WHERE m.target = r.key AND {held}"
        above = f"SELECT m.source, 0 FROM reference m JOIN up ON m.target = up.key AND {held}"
        # Few groups are held by others, and a recursion costs more than all else that is read. What one group grants it
        # grants once, so that no table of what was found already is made.
        kind = (
            "SELECT CASE WHEN max(CASE WHEN EXISTS (SELECT 1 FROM reference o WHERE o.target = m.source AND"
            " o.attribute = m.attribute) THEN 1 ELSE 0 END) = 1 THEN 2 WHEN count(*) > 1 THEN 1"
            f" WHEN count(*) = 1 THEN 0 END FROM reference m WHERE m.target = r.key AND {held}"
        )
        one = self._shown(f"NOT MATERIALIZED ({direct})", "")
        several = self._shown(f"NOT MATERIALIZED ({direct})", "DISTINCT")
        nested = self._shown(f"({direct} UNION {above})", "DISTINCT")
        return f"CASE ({kind}) WHEN 0 THEN {one} WHEN 1 THEN {several} WHEN 2 THEN {nested} END"

    def _shown(self, up: str, distinct: str) -> str:
        """Return the expression for both lists, of a table ``up`` of the groups around ``r``."""
        return (
            f"(WITH RECURSIVE up (key, direct) AS {up}"
            f" SELECT (SELECT group_concat(up.direct {_SEPARATOR} g.key {_SEPARATOR} g.id {_SEPARATOR}"
            f" coalesce(g.display, ''), '{_ENTRY}') FROM up JOIN resource g ON g.key = up.key) || '{_LIST}' ||"
            f" coalesce((SELECT group_concat(s.key {_SEPARATOR} s.id {_SEPARATOR} coalesce(s.display, ''), '{_ENTRY}')"
            f" FROM (SELECT {distinct} m.target AS key FROM up CROSS JOIN reference m ON m.source = up.key"
            f" AND m.attribute = {self.granted.number}) AS found CROSS JOIN resource s ON s.key = found.key), ''))"
        )


@dataclass(frozen=True, slots=True)
class Named:
    """The resource of the same type and tenant whose id a promoted column holds: id, display."""

    attribute: Attribute

    def sql(self) -> str:
        return (
            f"(SELECT n.id {_SEPARATOR} coalesce(n.display, '') FROM resource n"
            f" WHERE n.id = r.{self.attribute.column} AND n.scope = r.scope)"
        )


Part = Column | Targets | Holders | Enclosing | Named
Parts = Sequence[Any]


def entries(text: str | None) -> list[list[str]]:
    """Split what a list part returned into entries of fields."""
    return [entry.split(_FIELD) for entry in text.split(_ENTRY)] if text else []


class Around(NamedTuple):
    """The groups around a resource and what they grant, each in the order of creation."""

    groups: list[tuple[str, str, str]]
    """The type (direct or indirect), id and display of each."""
    granted: list[tuple[str, str]]
    """The id and display of each."""


def around(text: str | None) -> Around:
    """Read what `Enclosing` returned."""
    holding, _, granted = (text or "").partition(_LIST)
    groups: dict[int, tuple[str, str, str]] = {}
    for is_direct, key, id, display in entries(holding):
        if is_direct == "1":
            groups[int(key)] = ("direct", id, display)
        else:
            groups.setdefault(int(key), ("indirect", id, display))
    services = {int(key): (id, display) for key, id, display in entries(granted)}
    return Around([groups[key] for key in sorted(groups)], [services[key] for key in sorted(services)])
