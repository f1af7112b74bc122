"""Which changes does a PATCH ask for? (RFC 7644 section 3.5.2)

Every path is resolved and every value made canonical before anything is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scim_server.protocol import compatibility, messages
from scim_server.protocol.compatibility import Selection, read_message
from scim_server.protocol.errors import (
    ScimError,
    invalid_path,
    invalid_syntax,
    invalid_value,
    mutability,
    no_target,
    numbered,
)
from scim_server.protocol.habits import Habits
from scim_server.protocol.limits import PATCH_OPERATIONS, PATCH_PATHS
from scim_server.protocol.messages import by_name, called, check_names, is_unassigned
from scim_server.protocol.path import Target, read_path
from scim_server.protocol.schema import Attribute, ResourceType, Schema
from scim_server.protocol.text import shown
from scim_server.protocol.validation import read_value, read_values
from scim_server.protocol.wording import say

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_MEMBERS = ("schemas", "operations")
_OPERATION, _VALUE = say("An operation"), say("The value")


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
    has_path: bool = True
    habits: Habits = field(default_factory=Habits, compare=False)


def read_operations(resource_type: ResourceType, body: Any, habits: Habits) -> tuple[Operation, ...]:
    """Return the operations of a PatchOp message, those without a path as one for each attribute.

    Raises invalidSyntax, invalidPath, invalidFilter, invalidValue and noTarget; 413 for too many operations.
    """
    listed = read_message(_read_envelope, body, PATCH_OP, _MEMBERS, habits)
    if len(listed) > PATCH_OPERATIONS:
        raise _too_many()
    named = [_members(each, number) for number, each in enumerate(listed, 1)]
    if sum(len(path) for each in named if isinstance(path := each.get("path"), str)) > PATCH_PATHS:
        raise ScimError(413, say("The paths of a PATCH have at most {most} characters.", most=PATCH_PATHS))

    def strictly(meant: list[dict[str, Any]]) -> list[_Change]:
        return [change for each in meant for change in _read_operation(resource_type, each)]

    made = 0

    def meant(sent: list[dict[str, Any]], found: Habits) -> list[dict[str, Any]]:
        nonlocal made
        clear = [clear for each in sent for clear in compatibility.operation(resource_type, each, found)]
        made += len(clear) - len(sent)
        if made > PATCH_OPERATIONS:
            raise _too_many()
        return clear

    operations: list[Operation] = []
    for number, each in enumerate(named, 1):
        try:
            changes = habits.read(strictly, [each], meant)
        except ScimError as error:
            raise error.within(numbered(number)) from None
        has_path = bool(each.get("path"))
        operations += [Operation(op, target, value, number, has_path, habits) for op, target, value in changes]
    return tuple(operations)


def patch_message(operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the PatchOp message that asks for operations."""
    return {"schemas": [PATCH_OP], "Operations": operations}


def _too_many() -> ScimError:
    return ScimError(413, say("A PATCH has at most {most} operations.", most=PATCH_OPERATIONS))


def _read_envelope(body: Any) -> list[Any]:
    members, listed = messages.read_operations(body, PATCH_OP)
    check_names(members, _MEMBERS, called("PatchOp"))
    return listed


def _members(operation: Any, number: int) -> dict[str, Any]:
    if not isinstance(operation, dict):
        raise invalid_syntax(say("{path} must be an object.", path=numbered(number)))
    return by_name(operation, numbered(number))


_Change = tuple[str, Target, Any]


def _read_operation(resource_type: ResourceType, members: dict[str, Any]) -> Iterator[_Change]:
    check_names(members, ("op", "path", "value"), _OPERATION)
    op, path, value = members.get("op"), members.get("path"), members.get("value")
    if op not in ("add", "remove", "replace"):
        raise invalid_syntax(say("op must be add, remove or replace."))
    if path is not None and not isinstance(path, str):
        raise invalid_path(say("The path must be a string."))
    if op != "remove" and "value" not in members:
        raise invalid_value(say("{op} needs a value.", op=op))
    if path is None:
        if op == "remove":
            raise no_target(say("remove needs a path."))
        yield from _read_attributes(resource_type, op, value)
        return
    target = read_path(resource_type, path)
    if isinstance(target, Target):
        yield from _read_change(op, target, value)
    elif value is None or (value == [] and op != "remove"):
        yield from _read_removal(op, target)
    else:
        yield from _read_extension(op, target, value)


def _read_attributes(resource_type: ResourceType, op: str, value: Any) -> Iterator[_Change]:
    """Read an object of attributes, each an operation of its own; meta is ignored."""
    if not isinstance(value, dict):
        raise invalid_value(say("Without a path, the value must be an object of attributes."))
    for name, member in by_name(value, _VALUE).items():
        attribute = resource_type.by_path.get(name)
        if extension := resource_type.by_urn.get(name):
            is_empty = member in (None, [])
            yield from _read_removal(op, extension) if is_empty else _read_extension(op, extension, member)
        elif attribute is None:
            raise invalid_syntax(say("{where} has no attribute {name}.", where=resource_type.name, name=shown(name)))
        elif attribute.path.lower() != name or attribute.urn or attribute in resource_type.parents:
            raise invalid_syntax(say("{name} is not the name of an attribute; it can be a path.", name=shown(name)))
        elif attribute.path != "meta":
            yield from _read_change(op, Target(attribute), member)


def _read_extension(op: str, extension: Schema, value: Any) -> Iterator[_Change]:
    if not isinstance(value, dict):
        raise invalid_value(say("{path} must be an object.", path=extension.id))
    given = by_name(value, extension.id)
    # Models of clients repeat schemas in it, which says nothing.
    check_names(given, ["schemas", *(attribute.name.lower() for attribute in extension.attributes)], extension.id)
    for attribute in extension.attributes:
        if attribute.name.lower() in given:
            yield from _read_change(op, Target(attribute), given[attribute.name.lower()])


def _read_removal(op: str, extension: Schema) -> Iterator[_Change]:
    """Remove a whole extension, as far as the client may; adding nothing changes nothing."""
    if op != "add":
        yield from (("remove", Target(a), None) for a in extension.attributes if a.mutability != "readOnly")


def _read_change(op: str, target: Target, value: Any) -> Iterator[_Change]:
    attribute = target.attribute
    if target.mutability == "readOnly":
        yield op, target, value
    elif attribute.path == "schemas":
        _check_schema_list(op, attribute, value)
    elif op == "remove":
        yield from _read_remove(target, value)
    elif target.is_whole:
        yield op, target, [] if value is None else read_values(attribute, value)
    else:
        yield from _read_single(op, target, value)


def _read_single(op: str, target: Target, value: Any) -> Iterator[_Change]:
    """Read the value of a single-valued target; an object that says nothing changes nothing."""
    attribute, sub = target.attribute, target.sub
    is_complex = sub is None and bool(attribute.sub_attributes)
    keeps = attribute.lists_resources or (is_complex and attribute.multi_valued)
    if not is_unassigned(value) or (value == {} and (is_complex or attribute.lists_resources)):
        canonical = read_value(sub or attribute, value)
        if canonical != {}:
            yield op, target, canonical
    elif attribute.mutability != "writeOnly" and (op == "replace" or not keeps):
        # A secret that is left empty is kept, as PUT keeps it; only remove removes it.
        yield "remove", target, None


def _check_schema_list(op: str, attribute: Attribute, value: Any) -> None:
    """Check a change of ``schemas``, which has no effect: the extensions in use follow from their attributes."""
    if value is not None:
        read_values(attribute, value)
    elif op != "add":
        raise mutability(say("schemas cannot be removed."))


def _read_remove(target: Target, value: Any) -> Iterator[_Change]:
    """Read a remove; RFC 7644 knows no value there, but to ignore it would remove too much."""
    if value is None:
        yield "remove", target, None
    elif not isinstance(value, Selection):
        raise invalid_value(say("remove takes no value: a filter in the path tells which values go."))
    elif target.is_whole:
        described = [read_value(target.attribute, each) for each in value]
        # What names no value names no element, whatever else it says.
        named = [each for each in described if not (isinstance(each, dict) and each.get("value", "") is None)]
        yield "remove", target, [_assigned(each) for each in named]
    elif target.mutability == "writeOnly":
        raise invalid_value(say("{path} cannot be removed by its value.", path=target.path))
    else:
        selected = [_assigned(read_value(target.sub or target.attribute, each)) for each in value]
        selected = [each for each in selected if not is_unassigned(each)]
        if len(selected) > 1:
            raise invalid_value(say("{path} has one value to remove.", path=target.path))
        # Nothing selected is nothing removed.
        yield from (("remove", target, each) for each in selected)


def _assigned(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: member for name, member in value.items() if member is not None}
