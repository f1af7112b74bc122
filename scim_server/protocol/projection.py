"""Which attributes does an answer show? (RFC 7644 section 3.9)"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scim_server.protocol.errors import invalid_value
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.wording import say


@dataclass(frozen=True, slots=True)
class Projection:
    """The paths that a client named, in lower case; ``included`` is None when it named none."""

    included: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()

    def is_default(self) -> bool:
        return self.included is None and not self.excluded

    def shows(self, attribute: Attribute) -> bool:
        """Tell whether any of a top-level attribute appears, so that what does not is never read."""
        if attribute.returned in ("always", "never"):
            return attribute.returned == "always"
        paths = {attribute.path.lower(), attribute.urn.lower()}
        if self.included is None:
            return attribute.returned == "default" and not paths & self.excluded
        return bool(paths & self.included) or any(s.path.lower() in self.included for s in attribute.sub_attributes)


DEFAULT = Projection()
NOTHING = Projection(included=frozenset())
"""Shows what is always returned, so that nothing more is read."""


def read_projection(
    resource_types: Iterable[ResourceType], attributes: Iterable[str] | None, excluded: Iterable[str] | None
) -> Projection:
    """Read ``attributes`` and ``excludedAttributes``; names that no resource type knows are ignored.

    Raises invalidValue when both are given: they exclude each other.
    """
    if attributes is not None and excluded is not None:
        raise invalid_value(say("attributes and excludedAttributes cannot be used together."))
    known = tuple(resource_types)
    if attributes is not None:
        return Projection(included=_resolve(known, attributes))
    return Projection(excluded=_resolve(known, excluded or ()))


def _resolve(resource_types: tuple[ResourceType, ...], names: Iterable[str]) -> frozenset[str]:
    found = set()
    for lower in (part.strip().lower() for name in names for part in name.split(",")):
        for resource_type in resource_types:
            if attribute := resource_type.attribute(lower):
                found.add(attribute.path.lower())
            elif lower in resource_type.by_urn:
                found.add(lower)
            elif lower == resource_type.schema.id.lower():
                found |= {attribute.path.lower() for attribute in resource_type.schema.attributes}
    return frozenset(found)


def project(
    resource_type: ResourceType,
    projection: Projection,
    document: Mapping[str, Any],
    supplied: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return what of a whole representation is shown (RFC 7643 section 7, "returned").

    ``supplied`` holds the lower-case paths that the client itself sent, which a write may answer
    although they are returned on request only.
    """
    shown: dict[str, Any] = {}
    for name, value in document.items():
        if extension := resource_type.by_urn.get(name.lower()):
            members = {
                attribute.name: _trim(attribute, value[attribute.name], projection, supplied)
                for attribute in extension.attributes
                if attribute.name in value
            }
            if members := {key: member for key, member in members.items() if member is not None}:
                shown[name] = members
        elif (attribute := resource_type.attribute(name)) is not None:
            kept = _trim(attribute, value, projection, supplied)
            if kept is not None:
                shown[name] = kept
    return shown


def _trim(attribute: Attribute, value: Any, projection: Projection, supplied: frozenset[str]) -> Any:
    """Return the value without hidden sub-attributes, or None when nothing of it is shown."""
    path = attribute.path.lower()
    paths = {path, attribute.urn.lower()}
    named = projection.included is not None or bool(paths & projection.excluded)
    on_request = attribute.returned == "request" and path in supplied and not named
    if not (projection.shows(attribute) or on_request):
        return None
    if not attribute.sub_attributes or attribute.returned == "always":
        return value
    hidden = {sub.name for sub in attribute.sub_attributes} - shown_subs(attribute, projection)
    if not hidden:
        return value
    if isinstance(value, list):
        return [kept for element in value if (kept := _without(element, hidden))] or None
    return _without(value, hidden) or None


def shown_subs(attribute: Attribute, projection: Projection) -> set[str]:
    """Return the names of the sub-attributes that are shown of an attribute that is."""
    whole = projection.included is None or bool({attribute.path.lower(), attribute.urn.lower()} & projection.included)
    return {sub.name for sub in attribute.sub_attributes if _shows_sub(sub, projection, whole)}


def _shows_sub(sub: Attribute, projection: Projection, whole: bool) -> bool:
    path = sub.path.lower()
    if sub.returned in ("always", "never"):
        return sub.returned == "always"
    if projection.included is not None and path in projection.included:
        return True
    return whole and sub.returned == "default" and path not in projection.excluded


def _without(members: Mapping[str, Any], hidden: set[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in hidden}
