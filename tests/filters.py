"""Random filters over a resource type: as text, and rendered back from the tree."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from scim_server.protocol.lexer import OPERATORS
from scim_server.protocol.match import matches, values_at
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.tree import And, Compare, Constant, Element, Node, Not, Or, Present

WORDS = [
    "",
    "a",
    "b",
    "ab",
    "A",
    "Ab",
    "ß",
    "SS",
    "é",
    "e\u0301",
    "％",
    "%",
    "_",
    "a_b",
    "山田",
    "ヤマダ",
    "ﾔﾏﾀﾞ",
    "太",
    "Ａ",
    "ab\U0010ffff",
    "\\",
    '"',
    "x" * 250,
]
"""Few words that share beginnings, ends and folded forms, so that comparisons often hold."""
INSTANTS = ["2000-01-01T00:00:00Z", "2000-01-01T09:00:00+09:00", "2000-01-01T00:00:00.5Z", "2999-12-31T23:59:59Z"]


class Maker:
    """Makes random values and filters from a seed."""

    def __init__(self, random: Random, words: Sequence[str] = WORDS) -> None:
        self.random = random
        self.words = words
        self.documents: Sequence[dict[str, Any]] = ()

    def word(self) -> str:
        """Return a word that may stand in a document."""
        return self.random.choice([word for word in WORDS if word.strip()])

    def name(self) -> str:
        """Return a word that may stand in a userName: without unassigned code points."""
        return self.word().rstrip("\U0010ffff")

    def some(self, **members: Callable[[], Any]) -> dict[str, Any]:
        """Return an object with some of the members."""
        return {name: make() for name, make in members.items() if self.random.random() < 0.6}

    def several(self, **members: Callable[[], Any]) -> list[dict[str, Any]]:
        return [self.some(**members) for _ in range(self.random.randrange(4))]

    def filter(self, resource_type: ResourceType, documents: Sequence[dict[str, Any]]) -> str:
        """Return a filter over any attributes that can be filtered by, mostly such as the documents have."""
        every = [a for a in resource_type.by_path.values() if a.returned != "never" and a.path != "meta.version"]
        used = [a for a in every if any(matches(Present(a), document) for document in documents[:20])]
        self.documents = documents
        return self._combined(lambda: self._leaf(used if self.random.random() < 0.85 else every), 2)

    def _leaf(self, attributes: list[Attribute]) -> str:
        several = [a for a in attributes if a.sub_attributes and a.multi_valued]
        attribute = self.random.choice(several if several and self.random.random() < 0.3 else attributes)
        if attribute.sub_attributes and attribute.multi_valued and self.random.random() < 0.8:
            subs = attribute.sub_attributes
            inside = self._combined(lambda: self._term(self.random.choice(subs), lambda sub: sub.name), 2)
            return f"{attribute.path}[{inside}]"
        return self._term(attribute, lambda whole: whole.path)

    def _term(self, attribute: Attribute, name: Callable[[Attribute], str]) -> str:
        shape = self.random.random()
        if attribute.sub_attributes or shape < 0.1:
            return f"{name(attribute)} pr"
        if shape < 0.2:
            return f"{name(attribute)} {self.random.choice(['eq', 'ne'])} null"
        operator = self.random.choice(operators(attribute))
        return f"{name(attribute)} {operator} {json.dumps(self._operand(attribute))}"

    def _operand(self, attribute: Attribute) -> Any:
        if self.random.random() < 0.6 and (found := list(values_at(attribute, self.random.choice(self.documents)))):
            return self.random.choice(found)
        match attribute.type:
            case "boolean":
                return self.random.random() < 0.5
            case "integer" | "decimal":
                return self.random.randrange(-3, 4)
            case "dateTime":
                return self.random.choice(INSTANTS)
            case "binary":
                return self.random.choice(["AA==", "AQ==", "AAE"])
        return self.random.choice([*attribute.canonical_values, *self.words])

    def _combined(self, leaf: Callable[[], str], depth: int) -> str:
        shape = self.random.random() if depth else 0
        if shape < 0.35:
            return leaf()
        inner = self._combined(leaf, depth - 1)
        if shape < 0.8:
            return f"{inner} {self.random.choice(['and', 'or'])} {self._combined(leaf, depth - 1)}"
        return f"({inner})" if shape < 0.88 else f"not ({inner})"


def operators(attribute: Attribute) -> list[str]:
    """Return the comparisons that fit the attribute's type."""
    if attribute.type in ("boolean", "binary"):
        return ["eq", "ne"]
    if attribute.type in ("string", "reference"):
        return list(OPERATORS)
    return ["eq", "ne", "gt", "ge", "lt", "le"]


def render(node: Node, inside: bool = False) -> str:
    """Return the text of a tree; parsing it gives the tree again. Operands are shown as their keys."""
    match node:
        case And(children):
            return " and ".join(
                f"({render(c, inside)})" if isinstance(c, And | Or) else render(c, inside) for c in children
            )
        case Or(children):
            return " or ".join(f"({render(c, inside)})" if isinstance(c, Or) else render(c, inside) for c in children)
        case Not(child):
            return f"not ({render(child, inside)})"
        case Element(parent, condition):
            return f"{parent.path}[{render(condition, True)}]"
        case Present(attribute):
            return f"{attribute.name if inside else attribute.path} pr"
        case Compare(attribute, operator, key):
            return f"{attribute.name if inside else attribute.path} {operator} {_operand(attribute, key)}"
        case Constant():
            raise AssertionError("a constant has no text")


def _operand(attribute: Attribute, key: str) -> str:
    match attribute.type:
        case "boolean":
            return key
        case "dateTime":
            return json.dumps(f"{key}Z")
    return json.dumps(key)
