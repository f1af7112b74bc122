"""Which tokens does a filter consist of? (RFC 7644 section 3.4.2.2, figure 1)"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from scim_server.protocol.errors import ScimError, invalid_filter
from scim_server.protocol.limits import FILTER_DEPTH, FILTER_LENGTH, FILTER_TERMS
from scim_server.protocol.text import check_text
from scim_server.protocol.wording import say

OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")


@dataclass(frozen=True, slots=True)
class Token:
    """What the grammar's parser looks at."""

    type: str
    value: Any
    index: int
    end: int
    lineno: int = 1


@dataclass(frozen=True, slots=True)
class Literal:
    """An operand as JSON has it; a class of its own because the grammar takes any string as a name."""

    value: Any


_OPENED = r'"(?:[^"\\\x00-\x1f]|\\.)*'
STRING = re.compile(rf'{_OPENED}("?)')
"""A string and the quote that closes it, if any: a search does not begin again within one that is not closed."""
_LEXEME = re.compile(
    rf"""[ \t\r\n]*(?:
    (?P<bracket>[()\[\]])
  | (?P<string>{_OPENED}")
  | (?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.:$-]))
  | (?P<sub>\.[A-Za-z$][\w$-]*)
  | (?P<word>[A-Za-z$][\w.:$-]*)
  | (?P<other>\S)
    )""",
    re.VERBOSE | re.ASCII,
)
_NAME = re.compile(r"(?:(.+):)?([A-Za-z$][\w$-]*)(\.[A-Za-z$][\w$-]*)?", re.ASCII)
_BRACKETS = {"(": "LPAREN", ")": "RPAREN", "[": "LBRACKET", "]": "RBRACKET"}
_WHERE = say("The filter")
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a string, by its number, in the shape of filters that differ in their strings only."""

    number: int


class Tokens:
    """Turns filter text into the grammar's tokens, knowing what may come next; of a shape, strings are slots."""

    def __init__(self, text: str, *, is_shape: bool = False) -> None:
        self.text = text
        self.slots = count() if is_shape else None
        self.expected = "name"
        self.depth = 0
        self.terms = 0

    def __iter__(self) -> Iterator[Token]:
        if len(self.text) > FILTER_LENGTH:
            raise invalid_filter(say("The filter is longer than {most} characters.", most=FILTER_LENGTH))
        _check_text(self.text)
        position = 0
        text = self.text.rstrip(" \t\r\n")
        while position < len(text):
            match = _LEXEME.match(text, position)
            assert match
            kind = match.lastgroup or "other"
            for type_, value in self._read(kind, match[kind], match.start(kind)):
                yield Token(type_, value, index=match.start(kind), end=match.end())
            position = match.end()

    def _read(self, kind: str, lexeme: str, at: int) -> list[tuple[str, Any]]:
        if kind == "bracket":
            return [self._bracket(lexeme, at)]
        if kind == "sub" and self.expected == "logic":
            self.expected = "operator"
            return [("SUBATTR", lexeme[1:])]
        if self.expected == "value":
            return [self._value(kind, lexeme, at)]
        if kind == "word":
            return self._word(lexeme, at)
        raise unexpected(lexeme, at)

    def _bracket(self, lexeme: str, at: int) -> tuple[str, str]:
        self.depth += 1 if lexeme in "([" else -1
        if self.depth > FILTER_DEPTH:
            raise invalid_filter(say("The filter is nested deeper than {most} levels.", most=FILTER_DEPTH))
        if self.expected == "value" or (self.expected == "operator" and lexeme != "["):
            raise unexpected(lexeme, at)
        self.expected = "name" if lexeme in "([" else "logic"
        return _BRACKETS[lexeme], lexeme

    def _value(self, kind: str, lexeme: str, at: int) -> tuple[str, Any]:
        self.expected = "logic"
        if kind == "word" and lexeme in _WORDS:
            return lexeme.upper(), Literal(_WORDS[lexeme])
        if kind == "number":
            return "NUMBER", Literal(_number(lexeme))
        if kind == "string" and self.slots:
            return "COMP_VALUE", Literal(Slot(next(self.slots)))
        if kind == "string":
            try:
                return "COMP_VALUE", Literal(read_string(lexeme))
            except json.JSONDecodeError:
                raise invalid_filter(
                    say("The string at position {position} of the filter is not a JSON string.", position=at + 1)
                ) from None
        raise invalid_filter(
            say(
                "At position {position} of the filter a value is expected: a string in double quotes, a number,"
                " true, false or null.",
                position=at + 1,
            )
        )

    def _word(self, lexeme: str, at: int) -> list[tuple[str, Any]]:
        lower = lexeme.lower()
        if self.expected == "operator":
            self.terms += 1
            if self.terms > FILTER_TERMS:
                raise invalid_filter(say("The filter has more than {most} comparisons.", most=FILTER_TERMS))
            if lower == "pr":
                self.expected = "logic"
            elif lower in OPERATORS:
                self.expected = "value"
            else:
                # The word itself may be a secret, so it is not repeated.
                known = ", ".join((*OPERATORS, "pr"))
                raise invalid_filter(
                    say(
                        "At position {position} of the filter an operator is expected: {known}.",
                        position=at + 1,
                        known=known,
                    )
                )
            return [(lower.upper(), lower)]
        if self.expected == "logic":
            if lower not in ("and", "or"):
                raise unexpected(lexeme, at)
            self.expected = "name"
            return [(lower.upper(), lower)]
        if lower == "not" and re.match(r"[ \t\r\n]*\(", self.text[at + 3 :]):
            return [("NOT", lower)]
        match = _NAME.fullmatch(lexeme)
        if not match:
            raise invalid_filter(say("{name} is not the name of an attribute.", name=repr(lexeme[:100])))
        self.expected = "operator"
        uri, name, sub = match.groups()
        tokens = [("SCHEMA_URI", uri)] if uri else []
        tokens.append(("ATTRNAME", name))
        return [*tokens, ("SUBATTR", sub[1:])] if sub else tokens


def read_string(lexeme: str) -> str:
    """Return the string that a lexeme is. Raises json.JSONDecodeError, invalidFilter."""
    return _check_text(json.loads(lexeme))


def _check_text(text: str) -> str:
    try:
        return check_text(text, _WHERE)
    except ScimError as error:
        raise invalid_filter(error.detail) from None


def _number(lexeme: str) -> int | float:
    value: int | float = json.loads(lexeme) if len(lexeme) < 400 else float("inf")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise invalid_filter(say("A number in the filter is out of range."))
    return value


def unexpected(lexeme: str, at: int) -> ScimError:
    # Words may be secrets, or somebody's name, as well as what stands in quotes.
    found = repr(lexeme) if lexeme in "()[]" else say("text")
    return invalid_filter(
        say("The filter has an unexpected {found} at position {position}.", found=found, position=at + 1)
    )
