"""What do the members of a JSON object say, whatever it is about? (RFC 7643 section 2, RFC 7644 section 3.1)"""

from collections.abc import Mapping
from typing import Any

from scim_server.protocol.errors import invalid_syntax


def is_unassigned(value: Any) -> bool:
    """Tell whether a value means that the attribute is absent (RFC 7643 section 2.5)."""
    return value is None or value in ("", [], {})


def by_name(members: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return an object's members by lower-case name; two names that differ in case only are refused."""
    found = {name.lower(): value for name, value in members.items()}
    if len(found) != len(members):
        raise invalid_syntax(f"{where} has two members whose names differ in letter case only.")
    return found


def check_schemas(schemas: Any, wanted: str, foreign: str | tuple[str, ...]) -> None:
    """Tolerate missing and unknown URNs, but not others with the prefixes of what is foreign instead of the wanted one.

    Raises invalidSyntax.
    """
    if schemas is None:
        return
    if not isinstance(schemas, list) or not all(isinstance(urn, str) for urn in schemas):
        raise invalid_syntax("schemas must be an array of strings.")
    listed = {urn.lower() for urn in schemas}
    if wanted.lower() not in listed and any(urn.startswith(foreign) for urn in listed):
        raise invalid_syntax(f"schemas must contain {wanted}.")


def read_operations(body: Any, schema: str, foreign: tuple[str, ...]) -> tuple[dict[str, Any], list[Any]]:
    """Return the members of a message that asks for operations, by lower-case name, and its operations.

    ``schema`` is the URN of the message; others that begin with ``foreign`` mean another one. Raises invalidSyntax.
    """
    name = schema.rpartition(":")[2]
    if not isinstance(body, dict):
        raise invalid_syntax(f"The body must be a {name} object.")
    members = by_name(body, f"The {name}")
    check_schemas(members.get("schemas"), schema, foreign)
    operations = members.get("operations")
    if not isinstance(operations, list) or not operations:
        raise invalid_syntax("Operations must be an array with at least one operation.")
    return members, operations
