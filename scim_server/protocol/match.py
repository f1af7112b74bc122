"""Does a resource match a filter? (RFC 7644 section 3.4.2.2)

The evaluator works on whole representations, without a database: it is what the SQL is held to.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scim_server.protocol.schema import Attribute
from scim_server.protocol.tree import And, Compare, Constant, Element, Node, Not, Or, Present
from scim_server.protocol.types import comparison_key

Values = Callable[[Attribute], Iterable[Any]]
"""Gives the values of an attribute."""


def matches(node: Node, document: Mapping[str, Any]) -> bool:
    """Tell whether a whole representation matches a resolved filter."""
    return _holds(node, lambda attribute: values_at(attribute, document))


def element_matches(node: Node, element: Mapping[str, Any]) -> bool:
    """Tell whether one element of a multi-valued attribute fits a condition on its sub-attributes."""
    return _holds(node, _within(element))


def _holds(node: Node, values: Values) -> bool:
    match node:
        case Constant(value):
            return value
        case And(children):
            return all(_holds(child, values) for child in children)
        case Or(children):
            return any(_holds(child, values) for child in children)
        case Not(child):
            return not _holds(child, values)
        case Present(attribute):
            return any(True for _ in values(attribute))
        case Element(parent, condition):
            return any(_holds(condition, _within(element)) for element in values(parent))
        case Compare(attribute, operator, operand):
            keys = [comparison_key(attribute.type, attribute.case_exact, value) for value in values(attribute)]
            return _compare(keys, operator, operand)


def _within(element: Mapping[str, Any]) -> Values:
    """Return the values of sub-attributes of one element."""
    return lambda attribute: [element[attribute.name]] if attribute.name in element else []


def fits(operator: str, key: str, operand: str) -> bool:
    """Tell whether one comparison key stands in the operator's relation to the operand."""
    match operator:
        case "eq":
            return key == operand
        case "ne":
            return key != operand
        case "co":
            return operand in key
        case "sw":
            return key.startswith(operand)
        case "ew":
            return key.endswith(operand)
        case "gt":
            return key > operand
        case "ge":
            return key >= operand
        case "lt":
            return key < operand
        case "le":
            return key <= operand
    raise AssertionError(operator)


def _compare(keys: list[str], operator: str, operand: str) -> bool:
    """Compare several values: one must fit. A missing value is not equal to anything."""
    if not keys:
        return operator == "ne"
    return any(fits(operator, key, operand) for key in keys)


def values_at(attribute: Attribute, document: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the values at an attribute's path; an extension's URN is the first step."""
    path = attribute.path
    urn, colon, rest = path.rpartition(":")
    steps = [urn, *rest.split(".")] if colon else path.split(".")
    yield from _walk(document, steps)


def _walk(value: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _walk(element, steps)
    elif not steps:
        yield value
    elif isinstance(value, dict) and steps[0] in value:
        yield from _walk(value[steps[0]], steps[1:])
