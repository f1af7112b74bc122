"""What is a filter, once it is understood?

A tree whose attributes are resolved and whose operands are comparison keys.
"""

from dataclasses import dataclass, field
from typing import Any

from scim_server.protocol.schema import Attribute


@dataclass(frozen=True, slots=True)
class Present:
    """``pr``: the attribute has a value."""

    attribute: Attribute


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of an attribute's keys with one key; of several values, one must fit.

    ``operand`` is the value that the key was made from, as far as the filter states one.
    """

    attribute: Attribute
    operator: str
    key: str
    operand: Any = field(default=None, compare=False)


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


def terms_in(node: "Node") -> int:
    """Return how many comparisons a condition makes."""
    match node:
        case And(children) | Or(children):
            return sum(terms_in(child) for child in children)
        case Not(child) | Element(_, child):
            return terms_in(child)
    return 1


def names_in(node: "Node") -> frozenset[str]:
    """Return the names of the attributes that a condition looks at."""
    match node:
        case And(children) | Or(children):
            return frozenset[str]().union(*(names_in(child) for child in children))
        case Not(child):
            return names_in(child)
        case Present(attribute) | Compare(attribute):
            return frozenset({attribute.name})
    return frozenset()


Node = Present | Compare | Element | Constant | Not | And | Or
