"""What is read along with a resource, in the same statement?

Each part is one SQL expression over the row ``r``. Lists come as text: entries separated by U+001E,
their fields by U+001F; the text gate lets neither into a value.
"""

from dataclasses import dataclass

from scim_server.protocol.schema import Attribute

_ENTRY, _FIELD = "\x1e", "\x1f"
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
    """The groups around a resource and what they point to.

    Entries are "direct" or "indirect", id, display for a group that holds the resource through the
    ``members`` attribute, itself or through other groups; "of", id, display for each resource
    that such a group points to through ``granted``. Each kind is in the order of creation.
    """

    members: Attribute
    granted: Attribute

    def sql(self) -> str:
        members, granted = self.members.number, self.granted.number
        return (
            f"(WITH RECURSIVE up (key) AS (SELECT m.source FROM reference m WHERE m.target = r.key"
            f" AND m.attribute = {members} UNION SELECT m.source FROM reference m JOIN up"
            f" ON m.target = up.key AND m.attribute = {members}) SELECT {_CONCATENATED} FROM ("
            f"SELECT CASE WHEN EXISTS (SELECT 1 FROM reference d WHERE d.source = g.key AND d.attribute = {members}"
            f" AND d.target = r.key) THEN 'direct' ELSE 'indirect' END {_SEPARATOR} g.id {_SEPARATOR}"
            f" coalesce(g.display, '') AS entry, g.key AS k FROM up JOIN resource g ON g.key = up.key UNION ALL "
            f"SELECT DISTINCT 'of' {_SEPARATOR} s.id {_SEPARATOR} coalesce(s.display, ''), s.key FROM up"
            f" JOIN reference m ON m.source = up.key AND m.attribute = {granted} JOIN resource s ON s.key = m.target"
            f" ORDER BY k) AS found)"
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


def entries(text: str | None) -> list[list[str]]:
    """Split what a list part returned into entries of fields."""
    return [entry.split(_FIELD) for entry in text.split(_ENTRY)] if text else []
