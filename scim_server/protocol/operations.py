"""Which changes does a PATCH ask for? (RFC 7644 section 3.5.2)

Every path is resolved and every value made canonical before anything is changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scim_server.protocol import messages
from scim_server.protocol.errors import (
    ScimError,
    invalid_path,
    invalid_syntax,
    invalid_value,
    mutability,
    no_target,
)
from scim_server.protocol.limits import PATCH_OPERATIONS, PATCH_PATHS
from scim_server.protocol.messages import by_name, is_unassigned
from scim_server.protocol.path import Target, read_path
from scim_server.protocol.schema import Attribute, ResourceType, Schema
from scim_server.protocol.validation import read_value, read_values

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_FOREIGN = ("urn:ietf:params:scim:api:messages:2.0:", "urn:ietf:params:scim:schemas:core:2.0:")


@dataclass(frozen=True, slots=True)
class Operation:
    """One change; ``op`` is add, remove or replace, ``number`` its place in the request, from 1.

    The value is canonical: a list where the target is all values of an attribute. With remove it tells what to
    remove, None whatever is there. For a readOnly target it is what the client sent.
    """

    op: str
    target: Target
    value: Any
    number: int


def read_operations(resource_type: ResourceType, body: Any) -> tuple[Operation, ...]:
    """Return the operations of a PatchOp message, those without a path as one for each attribute.

    Raises invalidSyntax, invalidPath, invalidFilter, invalidValue and noTarget; 413 for too many operations.
    """
    _, listed = messages.read_operations(body, PATCH_OP, _FOREIGN)
    if len(listed) > PATCH_OPERATIONS:
        raise ScimError(413, f"A PATCH has at most {PATCH_OPERATIONS} operations.")
    named = [_members(each, number) for number, each in enumerate(listed, 1)]
    if sum(len(path) for each in named if isinstance(path := each.get("path"), str)) > PATCH_PATHS:
        raise ScimError(413, f"The paths of a PATCH have at most {PATCH_PATHS} characters.")
    operations: list[Operation] = []
    for number, each in enumerate(named, 1):
        try:
            found = _read_operation(resource_type, each)
            operations += [Operation(op, target, value, number) for op, target, value in found]
        except ScimError as error:
            raise error.within(f"Operation {number}") from None
    return tuple(operations)


def _members(operation: Any, number: int) -> dict[str, Any]:
    if not isinstance(operation, dict):
        raise invalid_syntax(f"Operation {number} must be an object.")
    return by_name(operation, f"Operation {number}")


_Change = tuple[str, Target, Any]


def _read_operation(resource_type: ResourceType, members: dict[str, Any]) -> Iterator[_Change]:
    op, path, value = members.get("op"), members.get("path"), members.get("value")
    # The RFC writes them in lower case, and lets strings be of any unless it says otherwise (RFC 7643 section 2.2).
    op = op.lower() if isinstance(op, str) else op
    if op not in ("add", "remove", "replace"):
        raise invalid_syntax("op must be add, remove or replace.")
    if path is not None and not isinstance(path, str):
        raise invalid_path("The path must be a string.")
    if op != "remove" and "value" not in members:
        raise invalid_value(f"{op} needs a value.")
    if path is None:
        if op == "remove":
            raise no_target("remove needs a path.")
        yield from _read_attributes(resource_type, op, value)
        return
    target = read_path(resource_type, path)
    if isinstance(target, Target):
        yield from _read_change(op, target, value)
    elif value in (None, "", []):
        yield from _read_removal(op, target)
    else:
        yield from _read_extension(op, target, value)


def _read_attributes(resource_type: ResourceType, op: str, value: Any) -> Iterator[_Change]:
    """Read an object of attributes, each an operation of its own; unknown ones and meta are ignored."""
    if not isinstance(value, dict):
        raise invalid_value("Without a path, the value must be an object of attributes.")
    for name, member in by_name(value, "The value").items():
        attribute = resource_type.attribute(name)
        if extension := resource_type.by_urn.get(name):
            is_empty = member in (None, "", [])
            yield from _read_removal(op, extension) if is_empty else _read_extension(op, extension, member)
        elif (attribute is None and "[" not in name) or (attribute and attribute.path == "meta"):
            continue
        elif (
            attribute
            and attribute.path.lower() == name
            and not attribute.urn
            and attribute not in resource_type.parents
        ):
            yield from _read_change(op, Target(attribute), member)
        else:
            raise invalid_syntax(f"{name[:200]!a} is not the name of an attribute; it can be a path.")


def _read_extension(op: str, extension: Schema, value: Any) -> Iterator[_Change]:
    if not isinstance(value, dict):
        raise invalid_value(f"{extension.id} must be an object.")
    given = by_name(value, extension.id)
    for attribute in extension.attributes:
        if attribute.name.lower() in given:
            yield from _read_change(op, Target(attribute), given[attribute.name.lower()])


def _read_removal(op: str, extension: Schema) -> Iterator[_Change]:
    """Remove a whole extension, as far as the client may; adding nothing changes nothing."""
    if op != "add":
        yield from (("remove", Target(a), None) for a in extension.attributes if a.mutability != "readOnly")


def _read_change(op: str, target: Target, value: Any) -> Iterator[_Change]:
    attribute, sub = target.attribute, target.sub
    if target.mutability == "readOnly":
        yield op, target, value
    elif attribute.path == "schemas":
        _check_schema_list(op, attribute, value)
    elif op == "remove":
        if value is None or target.is_whole or target.sub or not target.condition or not is_unassigned(value):
            yield op, target, _selection(target, value)
    elif value == "" and attribute.multi_valued and attribute.sub("$ref") and not sub:
        # Elsewhere it clears the attribute; it must not empty a group by mistake.
        raise invalid_value(f"{attribute.path} must not be an empty text.")
    elif target.is_whole:
        yield op, target, [] if value is None else read_values(attribute, value)
    else:
        yield from _read_single(op, target, value)


def _read_single(op: str, target: Target, value: Any) -> Iterator[_Change]:
    """Read the value of a single-valued target; an object that says nothing changes nothing."""
    attribute, sub = target.attribute, target.sub
    is_complex = sub is None and bool(attribute.sub_attributes)
    if not is_unassigned(value) or (is_complex and value == {}):
        canonical = read_value(sub or attribute, value)
        if canonical != {}:
            yield op, target, canonical
    elif attribute.mutability != "writeOnly" and (op == "replace" or not is_complex):
        # A secret that is left empty is kept, as PUT keeps it; only remove removes it.
        yield "remove", target, None


def _check_schema_list(op: str, attribute: Attribute, value: Any) -> None:
    """Check a change of ``schemas``, which has no effect: the extensions in use follow from their attributes."""
    if value is not None:
        read_values(attribute, value)
    elif op != "add":
        raise mutability("schemas cannot be removed.")


def _selection(target: Target, value: Any) -> Any:
    """Return what a remove is limited to; RFC 7644 knows no value there, but ignoring it would remove too much."""
    if target.is_whole and value is not None:
        listed = value if isinstance(value, list) else [value]
        return [_assigned(read_value(target.attribute, each)) for each in listed if each not in (None, "")]
    if value is not None and target.mutability == "writeOnly":
        raise invalid_value(f"{target.path} cannot be removed by its value.")
    return None if is_unassigned(value) else read_value(target.sub or target.attribute, value)


def _assigned(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: member for name, member in value.items() if member is not None}
