"""What do the resources of all types share?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scim_server.config import Settings
from scim_server.protocol.registry import Registry, load_registry
from scim_server.protocol.schema import ResourceType
from scim_server.storage.database import Database
from scim_server.storage.opening import open_prepared


@dataclass(frozen=True, slots=True)
class Shared:
    """What the resources of all types share."""

    database: Database
    registry: Registry
    settings: Settings
    type_numbers: Mapping[str, int]
    secret: bytes = field(repr=False)
    """Key that cursors are sealed with, and repeated requests recognised by."""

    @classmethod
    def opened(cls, settings: Settings, secret: bytes) -> "Shared":
        """Open the database, and read the schemas, of a server's settings. Raises DatabaseError, SchemaError."""
        registry = load_registry(settings.schema_dir)
        database = open_prepared(settings.database_url)
        return cls(database, registry, settings, database.type_numbers(registry.resource_types), secret)

    @property
    def base_url(self) -> str:
        """Return the public SCIM root."""
        return self.settings.base_url

    def type_of(self, number: int) -> ResourceType:
        name = next(name for name, known in self.type_numbers.items() if known == number)
        return self.registry.resource_types[name]

    def root(self, type_name: str) -> str:
        """Return the URI of a resource type's endpoint."""
        return self.base_url + self.registry.resource_types[type_name].endpoint

    def location(self, resource_type: ResourceType, id: str) -> str:
        return f"{self.base_url}{resource_type.endpoint}/{id}"
