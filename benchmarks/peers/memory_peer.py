"""How is scim2-server filled and served? In memory, hence by one worker; ids are numbers."""

from collections import Counter
from typing import Any

from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import load_default_provider

from benchmarks.peers.people import GROUPS, TOKEN, count, people


class _Numbered(InMemoryStorage):  # type: ignore[misc]
    """Gives ids that the clients know: user1, user2, group1."""

    def __init__(self) -> None:
        super().__init__()
        self._given: Counter[str] = Counter()

    def generate_id(self, resource_type: Any, resource: Any) -> str:
        name = resource_type.name.lower()
        self._given[name] += 1
        return f"{name}{self._given[name]}"


def create_app() -> BearerTokenApplication:
    """Return the application with all users and groups."""
    provider = load_default_provider()
    storage = _Numbered()
    types = {resource_type.name: resource_type for resource_type in provider.resource_types}
    with provider:
        for person in people():
            storage.create(types["User"], provider.model_for("User").model_validate(person))
        for number, size in enumerate(GROUPS, 1):
            members = [{"value": f"user{n}", "$ref": f"Users/user{n}"} for n in range(1, min(size, count()) + 1)]
            group = {"displayName": f"Group {number}", "members": members}
            storage.create(types["Group"], provider.model_for("Group").model_validate(group))
    return BearerTokenApplication(storage, provider, bearer_tokens=[TOKEN])
