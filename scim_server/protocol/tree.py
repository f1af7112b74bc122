"""What is a filter, once it is understood?

A tree whose attributes are resolved and whose operands are comparison keys.
"""

from dataclasses import dataclass

from scim_server.protocol.schema import Attribute


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
