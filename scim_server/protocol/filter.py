"""What does a filter ask for? (RFC 7644 section 3.4.2.2)

The grammar and the tree come from scim2-filter-parser; only this module may import it. Its lexer is
not used: it cannot tell ``true`` from ``"true"``, knows neither escapes nor numbers. Its grammar
gives "and" and "or" one precedence. Here `lexer.Tokens` feeds that grammar, rebuilt with the RFC's
precedence, and the tree becomes at once a tree of our own whose attributes are resolved. It is made
once for all filters that differ in their strings only.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from scim2_filter_parser import ast
from scim2_filter_parser.parser import SCIMParser
from sly.yacc import Parser, ParserMeta

from scim_server.protocol.errors import ScimError, invalid_filter
from scim_server.protocol.filter_text import meant
from scim_server.protocol.habits import Habits
from scim_server.protocol.lexer import STRING, Literal, Slot, Token, Tokens, read_string, unexpected
from scim_server.protocol.limits import FILTER_LENGTH
from scim_server.protocol.match import matches
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.tree import And, Compare, Constant, Element, Node, Not, Or, Present
from scim_server.protocol.types import READERS, comparison_key
from scim_server.protocol.wording import say

_TEXT_OPERATORS = {"co", "sw", "ew"}
_ORDER_OPERATORS = {"gt", "ge", "lt", "le"}


def _refuse(_parser: Any, token: Token | None) -> None:
    if token is None:
        raise invalid_filter(say("The filter ends too early."))
    raise unexpected('"' if isinstance(token.value, Literal) else str(token.value), token.index)


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


def parse(text: str, resource_type: ResourceType, among: tuple[ResourceType, ...] = ()) -> Node:
    """Return the resolved tree of a filter.

    An attribute that only other types ``among`` those queried have counts as having no value (section 3.4.2.1).
    Raises invalidFilter, with the position, for anything that is not a filter, for an attribute that
    the resource type does not have, and for an operator or operand that does not fit the attribute.
    """
    found = list(STRING.finditer(text)) if len(text) <= FILTER_LENGTH and among in ((), (resource_type,)) else None
    if found is not None and all(match[1] for match in found):
        # Whatever is refused here is refused below, with its position in the text.
        with suppress(ScimError, json.JSONDecodeError):
            strings = [read_string(match[0]) for match in found]
            shape = _shape(STRING.sub('""', text), resource_type)
            return _filled(shape, strings) if strings else shape
    return _Resolver(resource_type, among).node(_tree(Tokens(text)))


@lru_cache(maxsize=1024)
def _shape(text: str, resource_type: ResourceType) -> Node:
    """Return the resolved tree of all filters that differ in their strings only. Raises invalidFilter."""
    return _Resolver(resource_type, ()).node(_tree(Tokens(text, is_shape=True)))


def _filled(node: Node, strings: Sequence[str]) -> Node:
    """Return the tree of a filter with these strings. Raises invalidFilter."""
    match node:
        case _Open(resolver, attribute, operator, slot):
            return resolver.compared(attribute, operator, strings[slot.number])
        case And(children):
            return And(tuple(_filled(child, strings) for child in children))
        case Or(children):
            return Or(tuple(_filled(child, strings) for child in children))
        case Not(child):
            return Not(_filled(child, strings))
        case Element(parent, condition):
            return Element(parent, _filled(condition, strings))
    return node


@lru_cache(maxsize=1024)
def parse_within(text: str, resource_type: ResourceType, parent: Attribute) -> Node:
    """Return the resolved tree of a condition on one element of ``parent``, as it stands in brackets.

    Raises invalidFilter.
    """
    return _Resolver(resource_type, (), parent).node(_tree(Tokens(text)))


def read(
    text: str,
    resource_type: ResourceType,
    habits: Habits,
    *,
    among: tuple[ResourceType, ...] = (),
    parent: Attribute | None = None,
) -> Node:
    """Return what `parse` returns, or `parse_within` for one element of ``parent``, of what a client means.

    Raises invalidFilter.
    """

    def strictly(sent: str) -> Node:
        return parse_within(sent, resource_type, parent) if parent else parse(sent, resource_type, among)

    return habits.read(strictly, text, lambda sent, found: meant(sent, among or [resource_type], found, parent))


def _tree(tokens: Tokens) -> Any:
    # A parser instance remembers nodes and is not safe between threads: each parse has its own.
    tree = _Grammar().parse(iter(tokens))
    if tree is None:
        raise invalid_filter(say("The filter is empty."))
    return tree


class _Resolver:
    """Turns the package's tree into ours, names into attributes, literals into keys."""

    def __init__(
        self, resource_type: ResourceType, among: tuple[ResourceType, ...], parent: Attribute | None = None
    ) -> None:
        self.resource_type = resource_type
        self.among = among
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

    def _lacking(self, tree: Any, path: Any) -> Node | None:
        """Return what a condition comes to when only another queried type has its attribute."""
        if self.parent or self.resource_type.by_path.get(_name(path).lower()):
            return None
        for other in self.among:
            if other.by_path.get(_name(path).lower()):
                return Constant(matches(_Resolver(other, ()).node(tree), {}))
        return None

    def _element(self, tree: Any) -> Node:
        if lacking := self._lacking(tree, tree.namespace):
            return lacking
        if self.parent:
            raise invalid_filter(say("A value path cannot stand within another."))
        parent = self._attribute(tree.namespace)
        if not parent.sub_attributes:
            raise invalid_filter(say("{path} has no sub-attributes to filter by.", path=parent.path))
        return Element(parent, _Resolver(self.resource_type, self.among, parent).node(tree.expr))

    def _term(self, tree: Any) -> Node:
        path = tree.attr_path
        if isinstance(path.attr_name, ast.Filter):
            raise invalid_filter(say("A comparison after brackets belongs into them."))
        if lacking := self._lacking(tree, path):
            return lacking
        return self._comparison(self._attribute(path), tree)

    def _attribute(self, path: Any) -> Attribute:
        name = _name(path)
        if self.parent:
            attribute = self.parent.sub(name)
            where = self.parent.path
        else:
            attribute = self.resource_type.by_path.get(name.lower())
            where = self.resource_type.name
        if attribute is None:
            raise invalid_filter(say("{where} has no attribute {name}.", where=where, name=repr(name[:200])))
        if attribute.returned == "never" or attribute.path == "meta.version":
            raise invalid_filter(say("{path} cannot be used in a filter.", path=attribute.path))
        return attribute

    def _comparison(self, attribute: Attribute, tree: Any) -> Node:
        operator: str = tree.value
        if operator == "pr":
            return Present(attribute)
        value = tree.comp_value.value.value
        if value is None:
            if operator not in ("eq", "ne"):
                raise invalid_filter(say("null cannot be compared with {operator}.", operator=operator))
            return Not(Present(attribute)) if operator == "eq" else Present(attribute)
        attribute = _simple(attribute)
        _check_operator(attribute, operator)
        if isinstance(value, Slot):
            return cast("Node", _Open(self, attribute, operator, value))
        return self.compared(attribute, operator, value)

    def compared(self, attribute: Attribute, operator: str, value: Any) -> Node:
        """Return the comparison of an attribute with a value, which its operator fits. Raises invalidFilter."""
        operand, key = _operand(attribute, value)
        if attribute.name == "primary" and attribute.type == "boolean":
            return self._primary(attribute, operator, key)
        return Compare(attribute, operator, key, operand)

    def _primary(self, attribute: Attribute, operator: str, key: str) -> Node:
        """Compare ``primary``, which counts as false in an element that lacks it (RFC 7643 section 2.4)."""
        is_primary = Compare(attribute, "eq", "true", operand=True)
        wanted = is_primary if (operator == "eq") == (key == "true") else Not(is_primary)
        parent = None if self.parent else self.resource_type.parents.get(attribute)
        if parent is None or not parent.multi_valued:
            return wanted
        some = Element(parent, wanted)
        return Or((some, Not(Present(parent)))) if operator == "ne" else some


@dataclass(frozen=True, slots=True)
class _Open:
    """A comparison in a shape; what it comes to depends on the string."""

    resolver: _Resolver
    attribute: Attribute
    operator: str
    slot: Slot


def _name(path: Any) -> str:
    """Return an attribute's name in standard notation, without what is in brackets."""
    name = f"{path.attr_name}.{path.sub_attr.value}" if path.sub_attr else path.attr_name
    return f"{path.uri}:{name}" if path.uri else str(name)


def _simple(attribute: Attribute) -> Attribute:
    """Return what a comparison without a sub-attribute means: the value of a multi-valued attribute."""
    if attribute.type != "complex":
        return attribute
    value = attribute.sub("value") if attribute.multi_valued else None
    if value is None:
        raise invalid_filter(say("{path} is complex: name one of its sub-attributes.", path=attribute.path))
    return value


def _check_operator(attribute: Attribute, operator: str) -> None:
    ordered = attribute.type not in ("boolean", "binary")
    textual = attribute.type in ("string", "reference")
    if (operator in _ORDER_OPERATORS and not ordered) or (operator in _TEXT_OPERATORS and not textual):
        raise invalid_filter(
            say(
                "The operator {operator} does not fit {path}, which is of type {type}.",
                operator=operator,
                path=attribute.path,
                type=attribute.type,
            )
        )


def _operand(attribute: Attribute, value: Any) -> tuple[Any, str]:
    """Return the canonical operand and its comparison key."""
    kind = "string" if attribute.type == "reference" else attribute.type
    if kind == "integer" and isinstance(value, float):
        kind = "decimal"
    try:
        operand = READERS[kind](value)
        return operand, comparison_key(attribute.type, attribute.case_exact, operand)
    except ValueError as problem:
        raise invalid_filter(
            say("The operand for {path} {phrase}.", path=attribute.path, phrase=problem.args[0])
        ) from None
