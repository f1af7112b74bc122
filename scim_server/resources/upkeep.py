"""What does the upkeep of the database know of the resources? Their kinds, under the policies of their tenants."""

from functools import cache

from scim_server.protocol.registry import Registry
from scim_server.resources.kinds import behaviour_of
from scim_server.resources.references import target_types
from scim_server.storage.integrity.findings import Kind, KindOf


def kinds_in(registry: Registry) -> KindOf:
    """Return what finds the kind of a resource type under policies."""

    @cache
    def kind_of(name: str, policies: frozenset[str]) -> Kind | None:
        resource_type = registry.under(policies).resource_types.get(name)
        if resource_type is None:
            return None
        behaviour = behaviour_of(name)
        pointing = [resource_type.by_path[path.lower()] for path in behaviour.reference_paths]
        return Kind(
            resource_type,
            behaviour.slots,
            {attribute.number: frozenset(target_types(attribute)) for attribute in pointing},
            (*behaviour.reference_paths, *behaviour.kept_elsewhere),
        )

    return kind_of
