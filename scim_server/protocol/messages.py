"""What do the members of a JSON object say, whatever it is about? (RFC 7643 section 2, RFC 7644 section 3.1)"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from scim_server.protocol.errors import invalid_syntax
from scim_server.protocol.text import shown
from scim_server.protocol.wording import Text, say


def is_unassigned(value: Any) -> bool:
    """Tell whether a value means that the attribute is absent (RFC 7643 section 2.5)."""
    return value is None or value in ([], {})


def by_name(members: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return an object's members by lower-case name; two names that differ in case only are refused."""
    found = {name.lower(): value for name, value in members.items()}
    if len(found) != len(members):
        raise invalid_syntax(say("{where} has two members whose names differ in letter case only.", where=where))
    return found


def check_schemas(schemas: Any, wanted: str, allowed: Collection[str] = ()) -> None:
    """Refuse ``schemas`` that do not list the wanted URN, or another one than those allowed, or one twice.

    Raises invalidSyntax.
    """
    if not isinstance(schemas, list) or not all(isinstance(urn, str) for urn in schemas):
        raise invalid_syntax(say("schemas must be an array that contains {urn}.", urn=wanted))
    listed = [urn.lower() for urn in schemas]
    if wanted.lower() not in listed:
        raise invalid_syntax(say("schemas must contain {urn}.", urn=wanted))
    known = {urn.lower() for urn in (wanted, *allowed)}
    for urn in schemas:
        if urn.lower() not in known:
            raise invalid_syntax(say("schemas must not contain {urn}.", urn=ascii(urn[:200])))
    if len(set(listed)) != len(listed):
        raise invalid_syntax(say("schemas must not name a URN twice."))


def check_names(members: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse members with other lower-case names than the known ones. Raises invalidSyntax."""
    for name in members:
        if name not in known:
            raise invalid_syntax(say("{where} has no member {name}.", where=where, name=shown(name)))


@cache
def called(name: str) -> Text:
    """Return how a refusal names a message."""
    return say("The {name}", name=name)


def read_operations(body: Any, schema: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the members of a message that asks for operations, by lower-case name, and its operations.

    ``schema`` is the URN of the message. Raises invalidSyntax.
    """
    name = schema.rpartition(":")[2]
    if not isinstance(body, dict):
        raise invalid_syntax(say("The body must be a {name} object.", name=name))
    members = by_name(body, called(name))
    check_schemas(members.get("schemas"), schema)
    operations = members.get("operations")
    if not isinstance(operations, list) or not operations:
        raise invalid_syntax(say("Operations must be an array with at least one operation."))
    return members, operations
