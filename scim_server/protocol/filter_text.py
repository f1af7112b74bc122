"""Which filter of the RFC does a client mean? (RFC 7644 section 3.4.2.2)"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from scim_server.protocol.habits import Habits
from scim_server.protocol.lexer import OPERATORS
from scim_server.protocol.limits import FILTER_LENGTH
from scim_server.protocol.schema import Attribute, ResourceType

_LEXEME = re.compile(r"""\s*("(?:[^"\\]|\\.)*+"?|[()\[\]]|[^\s()\[\]"]+)""")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_NUMERIC = ("integer", "decimal")
_TEXTUAL = ("string", "reference", "dateTime", "binary")


def meant(text: str, resource_types: Sequence[ResourceType], habits: Habits, parent: Attribute | None = None) -> str:
    """Return a filter over some types, or over one element of ``parent``, without the habits that are accepted."""
    if len(text) > FILTER_LENGTH:
        return text
    return _Rewriting(resource_types, habits, _LEXEME.findall(text), [parent] if parent else []).text()


def full_name(resource_types: Sequence[ResourceType], name: str, habits: Habits) -> str:
    """Return the name in standard notation of an attribute of some types (section 3.10)."""
    lower = name.lower()
    if any(lower in of_type.by_path or lower in of_type.by_urn for of_type in resource_types):
        return name
    short = next((of_type.by_short_path[lower] for of_type in resource_types if lower in of_type.by_short_path), None)
    if short:
        return short.path if habits.accepts("short-names") else name
    undotted = next((found for of_type in resource_types if (found := of_type.undotted(name))), None)
    return undotted if undotted and habits.accepts("flat-names") else name


@dataclass(slots=True)
class _Rewriting:
    """The rewriting of one filter, lexeme by lexeme; what is no filter stays as it is, to be refused."""

    resource_types: Sequence[ResourceType]
    habits: Habits
    lexemes: list[str]
    parents: list[Attribute | None]
    """The attributes within whose brackets the position is."""
    written: list[str] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    """Where brackets were opened, in what was written."""
    at: int = 0

    def text(self) -> str:
        while self.at < len(self.lexemes):
            lexeme = self.lexemes[self.at]
            self.at += 1
            if lexeme == "[":
                self._open()
            elif lexeme == "]" and self.opened:
                self._close()
            else:
                self._write_term(lexeme)
        return " ".join(self.written)

    def _next(self) -> str:
        return self.lexemes[self.at] if self.at < len(self.lexemes) else ""

    def _open(self) -> None:
        attribute = self._attribute(self.written[-1]) if self.written else None
        self.parents.append(attribute)
        self.opened.append(len(self.written))
        self.written.append("[")

    def _close(self) -> None:
        """Close brackets; a comparison of the element that they select goes into them."""
        opened = self.opened.pop()
        further = self._next()
        is_value = further.lower() in OPERATORS
        is_path = (is_value or further.startswith(".")) and _is_balanced(self.written[opened + 1 :])
        if is_path and self.habits.accepts("filter-after-brackets"):
            self.written[opened] = "[ ("
            self.written += [")", "and"]
            self.at += not is_value
            self._write_term("value" if is_value else further[1:])
        self.parents.pop()
        self.written.append("]")

    def _write_term(self, lexeme: str) -> None:
        """Write a lexeme, and if it is a name what it is compared with."""
        operator = self._next().lower()
        if operator not in (*OPERATORS, "pr", "["):
            self.written.append(lexeme)
            return
        if not self._parent():
            lexeme = full_name(self.resource_types, lexeme, self.habits)
        attribute = self._attribute(lexeme)
        value = attribute.sub("value") if attribute and not attribute.multi_valued else None
        if operator in OPERATORS and value and self.habits.accepts("text-for-object"):
            attribute, lexeme = value, f"{lexeme}.value"
        self.written.append(lexeme)
        if operator == "pr":
            self.written.append(operator)
            self.at += 1
        elif operator in OPERATORS and self.at + 1 < len(self.lexemes):
            self.written += [self._next(), self._operand(attribute, self.lexemes[self.at + 1])]
            self.at += 2

    def _parent(self) -> Attribute | None:
        return self.parents[-1] if self.parents else None

    def _attribute(self, name: str) -> Attribute | None:
        if parent := self._parent():
            return parent.sub(name)
        found = (of_type.by_path.get(name.lower()) for of_type in self.resource_types)
        return next((attribute for attribute in found if attribute), None)

    def _operand(self, attribute: Attribute | None, lexeme: str) -> str:
        kind = attribute.type if attribute else ""
        text = _text_in(lexeme)
        if lexeme in ("true", "false", "null") or (_NUMBER.fullmatch(lexeme) and kind not in _TEXTUAL):
            return lexeme
        if text is not None and kind == "boolean" and text.lower() in ("true", "false"):
            return text.lower() if self.habits.accepts("text-for-boolean") else lexeme
        if text is not None and lexeme[0] == '"':
            is_number = kind in _NUMERIC and _NUMBER.fullmatch(text)
            return text if is_number and self.habits.accepts("text-for-number") else lexeme
        if text is None or not self.habits.accepts("unquoted-operand"):
            return lexeme
        return json.dumps(text, ensure_ascii=False)


def _is_balanced(lexemes: Sequence[str]) -> bool:
    """Tell whether parentheses are closed where they were opened."""
    depths = list(accumulate((lexeme == "(") - (lexeme == ")") for lexeme in lexemes))
    return not depths or (min(depths) >= 0 and depths[-1] == 0)


def _text_in(lexeme: str) -> str | None:
    """Return what an operand says, with or without quotes; None for brackets and broken text."""
    if lexeme[0] == '"':
        try:
            return str(json.loads(lexeme))
        except json.JSONDecodeError:
            return None
    return None if lexeme in "()[]" or lexeme[0] == "'" else lexeme
