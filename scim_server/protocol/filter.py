"""What does a filter ask for? (RFC 7644 section 3.4.2.2)

The grammar and the tree come from scim2-filter-parser; only this module may import it. Its lexer is
not used: it cannot tell ``true`` from ``"true"``, knows neither escapes nor numbers, and its grammar
gives "and" and "or" one precedence. Here a tokenizer of our own feeds that grammar, rebuilt with the
RFC's precedence, and the tree becomes at once a tree of our own whose attributes are resolved.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scim2_filter_parser import ast
from scim2_filter_parser.parser import SCIMParser
from sly.lex import Token
from sly.yacc import Parser, ParserMeta

from scim_server.protocol.errors import ScimError, invalid_filter
from scim_server.protocol.limits import FILTER_DEPTH, FILTER_LENGTH, FILTER_TERMS
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.text import check_text
from scim_server.protocol.types import READERS, comparison_key

OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")
_TEXT_OPERATORS = {"co", "sw", "ew"}
_ORDER_OPERATORS = {"gt", "ge", "lt", "le"}


@dataclass(frozen=True, slots=True)
class Present:
    """``pr``: the attribute has a value."""

    attribute: Attribute


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of an attribute's keys with one key; of several values, one must fit."""

    attribute: Attribute
    operator: str
    key: str


@dataclass(frozen=True, slots=True)
class Element:
    """``parent[condition]``: one and the same element fits the condition on its sub-attributes."""

    parent: Attribute
    condition: "Node"


@dataclass(frozen=True, slots=True)
class Constant:
    """What a condition on an attribute that the resource type lacks comes to (section 3.4.2.1)."""

    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    child: "Node"


@dataclass(frozen=True, slots=True)
class And:
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    children: tuple["Node", ...]


Node = Present | Compare | Element | Constant | Not | And | Or


@dataclass(frozen=True, slots=True)
class _Literal:
    """An operand as JSON has it; a class of its own because the grammar takes any string as a name."""

    value: Any


_LEXEME = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<bracket>[()\[\]])
  | (?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")
  | (?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.:$-]))
  | (?P<sub>\.[A-Za-z$][\w$-]*)
  | (?P<word>[A-Za-z$][\w.:$-]*)
  | (?P<other>\S)
    )""",
    re.VERBOSE | re.ASCII,
)
_NAME = re.compile(r"(?:(.+):)?([A-Za-z$][\w$-]*)(\.[A-Za-z$][\w$-]*)?", re.ASCII)
_BRACKETS = {"(": "LPAREN", ")": "RPAREN", "[": "LBRACKET", "]": "RBRACKET"}
_WORDS = {"true": True, "false": False, "null": None}


class _Tokens:
    """Turns filter text into the grammar's tokens, knowing what may come next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.expected = "name"
        self.depth = 0
        self.terms = 0

    def __iter__(self) -> Iterator[Token]:
        if len(self.text) > FILTER_LENGTH:
            raise invalid_filter(f"The filter is longer than {FILTER_LENGTH} characters.")
        _check_text(self.text)
        position = 0
        text = self.text.rstrip(" \t\r\n")
        while position < len(text):
            match = _LEXEME.match(text, position)
            assert match
            kind = match.lastgroup or "other"
            for type_, value in self._read(kind, match[kind], match.start(kind)):
                token = Token()
                token.type, token.value = type_, value
                token.lineno, token.index, token.end = 1, match.start(kind), match.end()
                yield token
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
        raise _unexpected(lexeme, at)

    def _bracket(self, lexeme: str, at: int) -> tuple[str, str]:
        self.depth += 1 if lexeme in "([" else -1
        if self.depth > FILTER_DEPTH:
            raise invalid_filter(f"The filter is nested deeper than {FILTER_DEPTH} levels.")
        if self.expected == "value" or (self.expected == "operator" and lexeme != "["):
            raise _unexpected(lexeme, at)
        self.expected = "name" if lexeme in "([" else "logic"
        return _BRACKETS[lexeme], lexeme

    def _value(self, kind: str, lexeme: str, at: int) -> tuple[str, Any]:
        self.expected = "logic"
        if kind == "word" and lexeme in _WORDS:
            return lexeme.upper(), _Literal(_WORDS[lexeme])
        if kind == "number":
            return "NUMBER", _Literal(_number(lexeme))
        if kind == "string":
            try:
                return "COMP_VALUE", _Literal(_check_text(json.loads(lexeme)))
            except json.JSONDecodeError:
                raise invalid_filter(f"The string at position {at + 1} of the filter is not a JSON string.") from None
        raise invalid_filter(
            f"At position {at + 1} of the filter a value is expected: a string in double quotes, a number,"
            " true, false or null."
        )

    def _word(self, lexeme: str, at: int) -> list[tuple[str, Any]]:
        lower = lexeme.lower()
        if self.expected == "operator":
            self.terms += 1
            if self.terms > FILTER_TERMS:
                raise invalid_filter(f"The filter has more than {FILTER_TERMS} comparisons.")
            if lower == "pr":
                self.expected = "logic"
            elif lower in OPERATORS:
                self.expected = "value"
            else:
                raise invalid_filter(f"The operator {lexeme[:50]!r} is not supported.")
            return [(lower.upper(), lower)]
        if self.expected == "logic":
            if lower not in ("and", "or"):
                raise _unexpected(lexeme, at)
            self.expected = "name"
            return [(lower.upper(), lower)]
        if lower == "not" and re.match(r"[ \t\r\n]*\(", self.text[at + 3 :]):
            return [("NOT", lower)]
        match = _NAME.fullmatch(lexeme)
        if not match:
            raise invalid_filter(f"{lexeme[:100]!r} is not the name of an attribute.")
        self.expected = "operator"
        uri, name, sub = match.groups()
        tokens = [("SCHEMA_URI", uri)] if uri else []
        tokens.append(("ATTRNAME", name))
        return [*tokens, ("SUBATTR", sub[1:])] if sub else tokens


def _check_text(text: str) -> str:
    try:
        return check_text(text, "The filter")
    except ScimError as error:
        raise invalid_filter(error.detail) from None


def _number(lexeme: str) -> int | float:
    value: int | float = json.loads(lexeme) if len(lexeme) < 400 else float("inf")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise invalid_filter("A number in the filter is out of range.")
    return value


def _unexpected(lexeme: str, at: int) -> ScimError:
    return invalid_filter(f"The filter has an unexpected {lexeme[:50]!r} at position {at + 1}.")


def _refuse(_parser: Any, token: Token | None) -> None:
    if token is None:
        raise invalid_filter("The filter ends too early.")
    shown = token.value.value if isinstance(token.value, _Literal) else token.value
    raise _unexpected(str(shown), token.index)


def _rebuilt() -> Any:
    """Build the package's grammar with the precedence of section 3.4.2.2: or, and, not."""
    definitions = ParserMeta.__prepare__("Grammar", (Parser,))
    for name, value in vars(SCIMParser).items():
        if name == "tokens" or hasattr(value, "rules"):
            definitions[name] = value
    definitions["precedence"] = (("left", "OR"), ("left", "AND"), ("right", "NOT"))
    definitions["error"] = _refuse
    return ParserMeta("Grammar", (Parser,), definitions)


_Grammar = _rebuilt()


@lru_cache(maxsize=1024)
def parse(text: str, resource_type: ResourceType) -> Node:
    """Return the resolved tree of a filter.

    Raises invalidFilter, with the position, for anything that is not a filter, for an attribute that
    the resource type does not have, and for an operator or operand that does not fit the attribute.
    """
    # A parser instance remembers nodes and is not safe between threads: each parse has its own.
    tree = _Grammar().parse(iter(_Tokens(text)))
    if tree is None:
        raise invalid_filter("The filter is empty.")
    return _Resolver(resource_type).node(tree)


class _Resolver:
    """Turns the package's tree into ours, names into attributes, literals into keys."""

    def __init__(self, resource_type: ResourceType, parent: Attribute | None = None) -> None:
        self.resource_type = resource_type
        self.parent = parent

    def node(self, tree: Any) -> Node:
        match tree:
            case ast.Filter(namespace=None, negated=negated):
                inner = self.node(tree.expr)
                return Not(inner) if negated else inner
            case ast.Filter():
                return self._element(tree)
            case ast.LogExpr():
                kind = And if tree.op == "and" else Or
                children: list[Node] = []
                for side in (tree.expr1, tree.expr2):
                    found = self.node(side)
                    children += found.children if isinstance(found, kind) else [found]
                return kind(tuple(children))
            case ast.AttrExpr():
                return self._term(tree)
        raise AssertionError(tree)

    def _element(self, tree: Any, further: Node | None = None) -> Node:
        parent = self._attribute(tree.namespace)
        if self.parent:
            raise invalid_filter("A value path cannot stand within another.")
        if not parent.sub_attributes:
            raise invalid_filter(f"{parent.path} has no sub-attributes to filter by.")
        inside = _Resolver(self.resource_type, parent).node(tree.expr)
        return Element(parent, And((inside, further)) if further else inside)

    def _term(self, tree: Any) -> Node:
        path = tree.attr_path
        if not isinstance(path.attr_name, ast.Filter):
            return self._comparison(self._attribute(path), tree)
        # emails[type eq "work"].value eq "x" is no filter of the RFC, but Entra ID sends it: the
        # comparison holds for the element that the brackets select.
        selected = path.attr_name
        sub, selected.namespace.sub_attr = selected.namespace.sub_attr, None
        parent = self._attribute(selected.namespace)
        inside = _Resolver(self.resource_type, parent)
        if sub is None:
            raise invalid_filter(f"{parent.path}[…] needs a sub-attribute to compare.")
        return self._element(selected, inside._comparison(inside._attribute(ast.AttrPath(sub.value, None, None)), tree))

    def _attribute(self, path: Any) -> Attribute:
        name = f"{path.attr_name}.{path.sub_attr.value}" if path.sub_attr else path.attr_name
        if path.uri:
            name = f"{path.uri}:{name}"
        if self.parent:
            attribute = self.parent.sub(name)
            where = self.parent.path
        else:
            attribute = self.resource_type.attribute(name)
            where = self.resource_type.name
        if attribute is None:
            raise invalid_filter(f"{where} has no attribute {name[:200]!r}.")
        if attribute.returned == "never" or attribute.path == "meta.version":
            raise invalid_filter(f"{attribute.path} cannot be used in a filter.")
        return attribute

    def _comparison(self, attribute: Attribute, tree: Any) -> Node:
        operator: str = tree.value
        if operator == "pr":
            return Present(attribute)
        value = tree.comp_value.value.value
        if value is None:
            if operator not in ("eq", "ne"):
                raise invalid_filter(f"null cannot be compared with {operator}.")
            return Not(Present(attribute)) if operator == "eq" else Present(attribute)
        attribute = _simple(attribute)
        _check_operator(attribute, operator)
        return Compare(attribute, operator, _key(attribute, operator, value))


def _simple(attribute: Attribute) -> Attribute:
    """Return what a comparison without a sub-attribute means: the value of a multi-valued attribute."""
    if attribute.type != "complex":
        return attribute
    value = attribute.sub("value") if attribute.multi_valued else None
    if value is None:
        raise invalid_filter(f"{attribute.path} is complex: name one of its sub-attributes.")
    return value


def _check_operator(attribute: Attribute, operator: str) -> None:
    ordered = attribute.type not in ("boolean", "binary")
    textual = attribute.type in ("string", "reference")
    if (operator in _ORDER_OPERATORS and not ordered) or (operator in _TEXT_OPERATORS and not textual):
        raise invalid_filter(
            f"The operator {operator} does not fit {attribute.path}, which is of type {attribute.type}."
        )


def _key(attribute: Attribute, operator: str, value: Any) -> str:
    kind = "string" if attribute.type == "reference" else attribute.type
    if kind == "integer" and isinstance(value, float):
        kind = "decimal"
    try:
        return comparison_key(attribute.type, attribute.case_exact, READERS[kind](value))
    except ValueError as problem:
        raise invalid_filter(f"The operand for {attribute.path} {problem}.") from None
