"""What is said of something that is wrong in the database, and what mends it?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from scim_server.protocol.schema import ResourceType
from scim_server.protocol.template import Slot
from scim_server.storage.database import Database
from scim_server.storage.keys import tenant_in_scope, type_in_scope

REINDEX = "scim-server db reindex mends it"
RESTORE = "restore a backup"
SCHEMAS = "set SCIM_SCHEMA_DIR as the server has it, or restore a backup"
MAIL = "scim-server mail delete mends it"
TOKEN = "revoke the token, or restore a backup"  # noqa: S105 (it is no secret)
Advance = Callable[[int], object]
"""Is told how many further rows were looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: where, what, and what mends it; never a value of anybody's."""

    table: str
    row: str
    problem: str
    mend: str = RESTORE

    def __str__(self) -> str:
        where = f"{self.table} {self.row}" if self.row else self.table
        return f"{where}: {self.problem}; {self.mend}."


broken = partial(Finding, mend=RESTORE)
stale = partial(Finding, mend=REINDEX)


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What is true of the resources of one type under a tenant's policies."""

    resource_type: ResourceType = field(repr=False)
    slots: tuple[Slot, ...]
    targets: Mapping[int, frozenset[str]]
    """By the number of an attribute that is kept as references, the names of the types that it may point to."""
    elsewhere: tuple[str, ...]
    """The paths of what is never in a stored document."""


KindOf = Callable[[str, frozenset[str]], Kind | None]
"""Returns the kind of a resource type, by its name, under policies; None for a type without a schema."""


class Scopes:
    """What the scopes are in one state of the database."""

    def __init__(self, database: Database, kind_of: KindOf) -> None:
        self._database = database
        self._kind_of = kind_of
        self._types: dict[int, str] = dict(database.rows("SELECT number, name FROM resource_type"))
        self._known: dict[int, Kind | Finding] = {}

    def kind(self, scope: int) -> Kind | Finding:
        """Return the kind of the resources of a scope, or what is wrong with it."""
        if scope not in self._known:
            self._known[scope] = self._find(scope)
        return self._known[scope]

    def type_name(self, number: int) -> str | None:
        return self._types.get(number)

    def _find(self, scope: int) -> Kind | Finding:
        name = self.type_name(type_in_scope(scope))
        tenant = self._database.row("SELECT policies FROM tenant WHERE number = ?", (tenant_in_scope(scope),))
        if name is None or tenant is None:
            missing = "tenant" if tenant is None else "resource type"
            return broken("resource", f"scope {scope}", f"there is no such {missing}")
        kind = self._kind_of(name, frozenset(tenant[0].split()))
        return kind or Finding("resource", f"scope {scope}", f"no schema describes the type {name}", SCHEMAS)
