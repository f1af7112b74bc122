"""Who changed what, and when? One row per change, in the change's own transaction; never values."""

from collections.abc import Iterable, Mapping
from typing import Any

from scim_server.storage.database import Database


def record(
    database: Database,
    tenant: int,
    credential: str,
    operation: str,
    resource_type: str,
    changed: Iterable[tuple[str, list[str]]],
    at: str,
) -> None:
    """Record changes: of each resource its id and the top-level names that were set, changed or removed."""
    database.run_many(
        "INSERT INTO audit (tenant, at, credential, operation, resource_type, resource_id, attributes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(tenant, at, credential, operation, resource_type, id, " ".join(names)) for id, names in changed],
    )


def last(database: Database, tenant: int, resource_id: str, operation: str) -> str | None:
    """Return the credential that did something to a resource last, if any did."""
    found = database.row(
        "SELECT credential FROM audit WHERE tenant = ? AND resource_id = ? AND operation = ?"
        " ORDER BY number DESC LIMIT 1",
        (tenant, resource_id, operation),
    )
    return str(found[0]) if found else None


def names_in(document: Mapping[str, Any]) -> list[str]:
    """Return the names of a new document, those of an extension as ``URN:name``."""
    names: list[str] = []
    for name in sorted(document.keys() - {"schemas", "id"}):
        names += [f"{name}:{inner}" for inner in names_in(document[name])] if name.startswith("urn:") else [name]
    return names


def changed_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names whose values differ, those of an extension as ``URN:name``."""
    names: list[str] = []
    for name in sorted([name for name in {**old, **new} if old.get(name) != new.get(name)]):
        if name.startswith("urn:"):
            names += [f"{name}:{inner}" for inner in changed_names(old.get(name, {}), new.get(name, {}))]
        elif name not in ("schemas", "id"):
            names.append(name)
    return names
