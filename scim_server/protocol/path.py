"""Where does a PATCH operation point to? (RFC 7644 section 3.5.2, figure 7)"""

import re
from dataclasses import dataclass

from scim_server.protocol import filter
from scim_server.protocol.errors import ScimError, invalid_path
from scim_server.protocol.schema import Attribute, ResourceType, Schema
from scim_server.protocol.text import check_text, shown
from scim_server.protocol.tree import Node
from scim_server.protocol.wording import say

_WHERE = say("The path")
PATH = re.compile(r"([\w.:$-]+)(?:\[(.*)\](?:\.([A-Za-z$][\w$-]*))?)?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """A top-level attribute, or of several values those that fit a condition, or a sub-attribute of these."""

    attribute: Attribute
    condition: Node | None = None
    sub: Attribute | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether all values of a multi-valued attribute are meant."""
        return self.attribute.multi_valued and self.condition is None and self.sub is None

    @property
    def path(self) -> str:
        """Return the path for people; the condition may hold personal data and is left out."""
        path = f"{self.attribute.path}[…]" if self.condition else self.attribute.path
        return f"{path}.{self.sub.name}" if self.sub else path

    @property
    def mutability(self) -> str:
        """Return "readOnly" when either the attribute or the sub-attribute is; else the mutability of what is meant."""
        if self.sub is None or self.attribute.mutability == "readOnly":
            return self.attribute.mutability
        return self.sub.mutability


def read_path(resource_type: ResourceType, text: str) -> Target | Schema:
    """Return what a path points to; a bare URN means a whole extension.

    Raises invalidPath for what is no path or names no attribute, invalidFilter for a wrong filter in brackets.
    """
    match = PATH.fullmatch(_checked(text).strip())
    if not match:
        raise invalid_path(
            say("The path must be of the form attribute, attribute.sub, attribute[filter] or attribute[filter].sub.")
        )
    name, condition, sub = match.groups()
    if extension := resource_type.by_urn.get(name.lower()):
        if condition is None:
            return extension
        raise invalid_path(say("{urn} is a schema: there is nothing to filter.", urn=extension.id))
    attribute = resource_type.by_path.get(name.lower())
    if attribute is None:
        raise invalid_path(say("{where} has no attribute {name}.", where=resource_type.name, name=shown(name)))
    if condition is not None:
        return _selected(resource_type, attribute, condition, sub)
    parent = resource_type.parents.get(attribute)
    return Target(parent, sub=attribute) if parent else Target(attribute)


def _checked(text: str) -> str:
    try:
        return check_text(text, _WHERE)
    except ScimError as error:
        raise invalid_path(error.detail) from None


def _selected(resource_type: ResourceType, attribute: Attribute, condition: str, name: str | None) -> Target:
    if not (attribute.multi_valued and attribute.sub_attributes):
        raise invalid_path(say("{path} has no elements to filter.", path=attribute.path))
    if condition.strip().isdecimal():
        raise invalid_path(say("The elements of an array have no numbers; select them by a filter."))
    sub = attribute.sub(name) if name else None
    if name and sub is None:
        raise invalid_path(say("{path} has no sub-attribute {name}.", path=attribute.path, name=shown(name)))
    return Target(attribute, filter.parse_within(condition, resource_type, attribute), sub)
