"""Which values does a multi-valued attribute have while operations change it? (RFC 7643 section 2.4)"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from scim_server.protocol.errors import ScimError, invalid_value
from scim_server.protocol.limits import PATCH_COMPARISONS
from scim_server.protocol.match import element_matches
from scim_server.protocol.schema import Attribute
from scim_server.protocol.tree import And, Compare, Node, terms_in
from scim_server.protocol.types import comparison_key
from scim_server.protocol.wording import say


class Elements:
    """The values at numbered positions, in order; each (type, value) pair once, at most one primary.

    What a ``value`` is equal to is found without a search, so that thousands of operations stay quick.
    """

    def __init__(self, attribute: Attribute, values: Iterable[Any]) -> None:
        self.attribute = attribute
        self._has_primary = attribute.sub("primary") is not None
        self._kept: dict[int, Any] = {}
        self._marks: dict[Any, int] = {}
        self._keys: dict[str, dict[int, None]] | None = None
        self._next = 0
        self._compared = 0
        for value in values:
            # What is stored twice stays so as long as nothing changes it.
            self._next += 1
            self._kept[self._next] = value
            self._marks.setdefault(_mark(value), self._next)

    def as_list(self) -> list[Any]:
        return list(self._kept.values())

    def at(self, position: int) -> Any:
        return self._kept[position]

    def find(self, condition: Node | None) -> list[int]:
        """Return the positions of the values that fit a condition, or of all."""
        if condition is None:
            self._look_at(len(self._kept))
            return list(self._kept)
        key = value_key(condition)
        candidates = self._kept if key is None else self._valued(key)
        self._look_at(sum(_weight(self._kept[position]) for position in candidates) * terms_in(condition))
        return [position for position in candidates if element_matches(condition, self._kept[position])]

    def selected(self, values: Iterable[Any]) -> set[int]:
        """Return the positions of just these values; a complex one is named by ``value``, and ``type`` if given.

        One that says nothing selects nothing.
        """
        found: set[int] = set()
        for value in values:
            if value == {}:
                continue
            if isinstance(value, dict) and "value" not in value:
                candidates: Collection[int] = self._kept
                named = value
            else:
                candidates = self._valued(self._key(value))
                named = {"type": value["type"]} if isinstance(value, dict) and "type" in value else {}
            self._look_at(len(candidates))
            found.update(p for p in candidates if self.has(p, named))
        return found

    def has(self, position: int, members: Mapping[str, Any]) -> bool:
        """Tell whether the value at a position has these members, as they compare."""
        element = self._kept[position]
        return all(
            name in element and self._key_of(name, element[name]) == self._key_of(name, member)
            for name, member in members.items()
        )

    def _key_of(self, name: str, value: Any) -> str:
        sub = self.attribute.sub(name)
        assert sub
        return comparison_key(sub.type, sub.case_exact, value)

    def add(self, values: Iterable[Any]) -> None:
        """Append values; one that is there already stays as it is, but becomes primary if it is so now."""
        added = [value for value in values if value != {}]
        self._demote_others([self._marks.get(_mark(value)) for value in added if self._is_primary(value)])
        for value in added:
            self._append(value)

    def put(self, values: Mapping[int, Any]) -> None:
        """Replace the values at some positions; an empty one is dropped."""
        moved = {position: value for position, value in values.items() if _mark(value) != _mark(self._kept[position])}
        written = set(values) - set(moved)
        for position in written:
            self._kept[position] = values[position]
        for position in moved:
            self._forget(position)
        for position, value in moved.items():
            kept = self._insert(value, position) if value else None
            if kept != position:
                del self._kept[position]
            if kept is not None:
                written.add(kept)
        self._demote_others([position for position in written if self._is_primary(self._kept[position])])

    def drop(self, positions: Iterable[int]) -> None:
        for position in positions:
            self._forget(position)
            del self._kept[position]

    def _forget(self, position: int) -> None:
        value = self._kept[position]
        if self._marks.get(_mark(value)) == position:
            del self._marks[_mark(value)]
        if self._keys is not None and self._is_keyed(value):
            del self._keys[self._key(value)][position]

    def _insert(self, value: Any, position: int) -> int:
        """Keep a value and return where; of one that is there already, only whether it is primary matters."""
        kept = self._marks.setdefault(_mark(value), position)
        if kept == position:
            self._kept[position] = value
            if self._keys is not None and self._is_keyed(value):
                self._keys.setdefault(self._key(value), {})[position] = None
        elif self._is_primary(value):
            self._kept[kept] = self._kept[kept] | {"primary": True}
        return kept

    def _append(self, value: Any) -> int:
        self._next += 1
        return self._insert(value, self._next)

    def _demote_others(self, primary: Sequence[int | None]) -> None:
        """Let what an operation made primary, at a position or about to come, be the only one (RFC 7644 3.5.2)."""
        if len(primary) > 1:
            raise invalid_value(say("{path} must not have more than one primary value.", path=self.attribute.path))
        if primary:
            self._look_at(len(self._kept))
            others = {p: value for p, value in self._kept.items() if p != primary[0] and self._is_primary(value)}
            self.put({position: value | {"primary": False} for position, value in others.items()})

    def _look_at(self, count: int) -> None:
        self._compared += count
        if self._compared > PATCH_COMPARISONS:
            raise too_many_values(self.attribute)

    def _valued(self, key: str) -> Collection[int]:
        """Return the positions of the elements whose ``value`` has a key; the first call makes the index."""
        if self._keys is None:
            self._keys = {}
            for position, value in self._kept.items():
                if self._is_keyed(value):
                    self._keys.setdefault(self._key(value), {})[position] = None
        return self._keys.get(key, {})

    def _is_primary(self, value: Any) -> bool:
        return self._has_primary and value.get("primary") is True

    def _is_keyed(self, value: Any) -> bool:
        return not isinstance(value, dict) or "value" in value

    def _key(self, value: Any) -> str:
        if isinstance(value, dict):
            return self._key_of("value", value["value"])
        return comparison_key(self.attribute.type, self.attribute.case_exact, value)


def too_many_values(attribute: Attribute) -> ScimError:
    return ScimError(
        413, say("The operations look at too many values of {path}; send fewer at once.", path=attribute.path)
    )


def _weight(value: Any) -> int:
    """Return how many values one counts for: comparing long texts takes longer."""
    texts = value.values() if isinstance(value, dict) else [value]
    return 1 + sum(len(text) for text in texts if isinstance(text, str)) // 500


def value_key(condition: Node) -> str | None:
    """Return the comparison key that the ``value`` of whatever fits a condition must have, if there is one."""
    terms = condition.children if isinstance(condition, And) else (condition,)
    for term in terms:
        if isinstance(term, Compare) and term.operator == "eq" and term.attribute.name == "value":
            return term.key
    return None


def _mark(value: Any) -> Any:
    """Return what makes a value another one than the others."""
    if not isinstance(value, dict):
        return value
    return (value.get("type"), value["value"]) if "value" in value else frozenset(value.items())
