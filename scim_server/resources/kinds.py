"""Which behaviour does each resource type have? None of its own means `Resources`."""

from scim_server.resources.base import Resources
from scim_server.resources.groups import Groups
from scim_server.resources.shared import Shared
from scim_server.resources.users import Users

_BEHAVIOUR: dict[str, type[Resources]] = {"User": Users, "Group": Groups}


def behaviour_of(name: str) -> type[Resources]:
    """Return the class of the operations on a resource type."""
    return _BEHAVIOUR.get(name, Resources)


def all_resources(shared: Shared) -> dict[str, Resources]:
    """Return the operations on each resource type by its name."""
    return {name: behaviour_of(name)(shared, name) for name in shared.registry.resource_types}
