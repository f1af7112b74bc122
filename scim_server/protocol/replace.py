"""What does PUT make of a resource? (RFC 7644 section 3.5.1)"""

from collections.abc import Iterable, Mapping
from typing import Any

from scim_server.protocol.errors import mutability
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.validation import schemas_in_use
from scim_server.protocol.wording import say


def apply(resource_type: ResourceType, current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document that replaces ``current``: what PUT leaves out is cleared.

    Immutable and writeOnly values that PUT leaves out are kept; raises mutability when an immutable
    value would change.
    """
    own = (resource_type.common["externalId"], *resource_type.schema.attributes)
    replaced = _members(own, current, wanted)
    for extension in resource_type.extensions:
        urn = extension.schema.id
        inner = _members(extension.schema.attributes, current.get(urn, {}), wanted.get(urn, {}))
        if inner:
            replaced[urn] = inner
    return {"schemas": schemas_in_use(resource_type, replaced), "id": current["id"], **replaced}


def _members(attributes: Iterable[Attribute], current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for attribute in attributes:
        value = _value(attribute, current.get(attribute.name), wanted.get(attribute.name))
        if value is not None:
            kept[attribute.name] = value
    return kept


def _value(attribute: Attribute, current: Any, wanted: Any) -> Any:
    if current is None:
        return wanted
    if attribute.mutability in ("immutable", "writeOnly") and wanted is None:
        return current
    if attribute.mutability == "immutable" and wanted != current:
        raise mutability(say("{path} cannot be changed once it is set.", path=attribute.path))
    if attribute.sub_attributes and not attribute.multi_valued:
        return _members(attribute.sub_attributes, current, wanted or {}) or None
    return wanted
