"""How does a tenant get other policies? What they make unique of what is there is made so, or they are refused."""

from scim_server import tenants
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.storage import documents
from scim_server.storage.database import Database
from scim_server.storage.keys import scope_of
from scim_server.tenants import Tenant, TenantError


def change(database: Database, registry: Registry, name: str, policies: frozenset[str]) -> Tenant:
    """Give a tenant policies, and return it. Raises TenantError when two resources have a value that must be unique."""
    numbers = database.type_numbers(registry.resource_types)
    with database.transaction():
        tenant = tenants.find(database, name)
        before, after = registry.under(tenant.policies), registry.under(policies)
        for type_name, resource_type in after.resource_types.items():
            scope = scope_of(tenant.number, numbers[type_name])
            were = {attribute.number for attribute in _unique(before.resource_types[type_name])}
            are = {attribute.number: attribute for attribute in _unique(resource_type)}
            for number in were - are.keys():
                documents.give_all_back(database, scope, number)
            for number in are.keys() - were:
                _take_all(database, scope, resource_type, are[number])
        tenants.write_policies(database, tenant, policies)
        return tenants.find(database, name)


def _unique(resource_type: ResourceType) -> list[Attribute]:
    return [
        attribute
        for attribute in {*resource_type.by_path.values()}
        if attribute.uniqueness == "server" and attribute.column
    ]


def _take_all(database: Database, scope: int, resource_type: ResourceType, attribute: Attribute) -> None:
    assert attribute.column
    twice = documents.take_all(database, scope, attribute.number, attribute.column)
    if twice is not None:
        raise TenantError(
            f"Two of the tenant's {resource_type.endpoint.strip('/')} have the {attribute.path} {twice[:100]!r};"
            " rename one of them first."
        )
