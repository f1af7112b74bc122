"""What does PATCH make of a resource? (RFC 7644 section 3.5.2)

`read` resolves every path and makes every value canonical before anything is changed; `apply` is a pure function of a
document and operations. Operations on different attributes do not see one another, so some can be applied elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scim_server.protocol.elements import Elements
from scim_server.protocol.errors import (
    ScimError,
    invalid_path,
    invalid_syntax,
    invalid_value,
    mutability,
    no_target,
)
from scim_server.protocol.limits import PATCH_OPERATIONS, PATCH_PATHS
from scim_server.protocol.match import element_matches
from scim_server.protocol.path import Target, read_path
from scim_server.protocol.schema import Attribute, ResourceType, Schema
from scim_server.protocol.tree import And, Compare, Node, Not
from scim_server.protocol.validation import by_name, is_unassigned, read_value, read_values, schemas_in_use

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_MESSAGES = ("urn:ietf:params:scim:api:messages:2.0:", "urn:ietf:params:scim:schemas:core:2.0:")


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


def read(resource_type: ResourceType, body: Any) -> tuple[Operation, ...]:
    """Return the operations of a PatchOp message, those without a path as one for each attribute.

    Raises invalidSyntax, invalidPath, invalidFilter, invalidValue and noTarget; 413 for too many operations.
    """
    if not isinstance(body, dict):
        raise invalid_syntax("The body must be a PatchOp object.")
    members = by_name(body, "The PatchOp")
    _check_schemas(members.get("schemas"))
    listed = members.get("operations")
    if not isinstance(listed, list) or not listed:
        raise invalid_syntax("Operations must be an array with at least one operation.")
    if len(listed) > PATCH_OPERATIONS:
        raise ScimError(413, f"A PATCH has at most {PATCH_OPERATIONS} operations.")
    if (
        sum(len(path) for each in listed if isinstance(each, dict) and isinstance(path := each.get("path"), str))
        > PATCH_PATHS
    ):
        raise ScimError(413, f"The paths of a PATCH have at most {PATCH_PATHS} characters.")
    operations: list[Operation] = []
    for number, each in enumerate(listed, 1):
        try:
            found = _read_operation(resource_type, each)
            operations += [Operation(op, target, value, number) for op, target, value in found]
        except ScimError as error:
            raise error.within(f"Operation {number}") from None
    return tuple(operations)


def _check_schemas(schemas: Any) -> None:
    """Tolerate missing and unknown URNs, but not those of another message or of a resource."""
    if schemas is None:
        return
    if not isinstance(schemas, list) or not all(isinstance(urn, str) for urn in schemas):
        raise invalid_syntax("schemas must be an array of strings.")
    listed = [urn.lower() for urn in schemas]
    if PATCH_OP.lower() not in listed and any(urn.startswith(_MESSAGES) for urn in listed):
        raise invalid_syntax(f"schemas must contain {PATCH_OP}.")


_Change = tuple[str, Target, Any]


def _read_operation(resource_type: ResourceType, operation: Any) -> Iterator[_Change]:
    if not isinstance(operation, dict):
        raise invalid_syntax("It must be an object.")
    members = by_name(operation, "The operation")
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


def apply(
    resource_type: ResourceType,
    document: Mapping[str, Any],
    operations: Iterable[Operation],
    shown: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the document after all operations, those on one attribute in order; ``document`` stays as it is.

    ``shown`` is what the client sees of the resource: writing a readOnly value again is no change. Raises mutability,
    noTarget and invalidValue, and then nothing has been applied.
    """
    grouped: dict[Attribute, list[Operation]] = {}
    for operation in operations:
        grouped.setdefault(operation.target.attribute, []).append(operation)
    values = {
        attribute: apply_to(attribute, _value_of(attribute, document), found, _value_of(attribute, shown or {}))
        for attribute, found in grouped.items()
    }
    return _assembled(resource_type, document, values)


def apply_to(attribute: Attribute, old: Any, operations: Iterable[Operation], shown: Any = None) -> Any:
    """Return the value of one attribute after operations on it. Raises what `apply` raises."""
    elements = Elements(attribute, old or []) if attribute.multi_valued else None
    for operation in operations:
        try:
            if operation.target.mutability == "readOnly":
                _check_unchanged(operation, shown)
            elif elements is not None:
                _change_elements(operation, elements)
                if attribute.mutability == "immutable":
                    old = _set(attribute, old or None, elements.as_list())
            else:
                old = _changed(operation, old)
        except ScimError as error:
            raise error.within(f"Operation {operation.number}") from None
    return old if elements is None else elements.as_list()


def _value_of(attribute: Attribute, document: Mapping[str, Any]) -> Any:
    container = document.get(attribute.urn, {}) if attribute.urn else document
    return container.get(attribute.name)


def _assembled(
    resource_type: ResourceType, document: Mapping[str, Any], values: Mapping[Attribute, Any]
) -> dict[str, Any]:
    """Return the document with new values, in the order of the schema."""
    members: dict[str, Any] = {}
    for attribute in resource_type.attributes:
        value = values[attribute] if attribute in values else _value_of(attribute, document)
        if not is_unassigned(value):
            container = members.setdefault(attribute.urn, {}) if attribute.urn else members
            container[attribute.name] = value
    for extension in resource_type.extensions:
        if extension.required and extension.schema.id not in members:
            raise mutability(f"{extension.schema.id} is required.")
    kept = {"id": document["id"]} if "id" in document else {}
    return {"schemas": schemas_in_use(resource_type, members), **kept, **members}


def _check_unchanged(operation: Operation, current: Any) -> None:
    """Refuse to change a readOnly attribute; writing what is there is no change."""
    target = operation.target
    if target.sub:
        elements = current if isinstance(current, list) else [current or {}]
        condition = target.condition
        found = [e.get(target.sub.name) for e in elements if condition is None or element_matches(condition, e)]
        is_same = bool(found) and all(value == operation.value for value in found)
    else:
        both_empty = is_unassigned(current) and is_unassigned(operation.value)
        is_same = target.condition is None and (both_empty or current == operation.value)
    if operation.op == "remove" or not is_same:
        raise mutability(f"{target.path} is readOnly.")


def _changed(operation: Operation, old: Any) -> Any:
    """Return the new value of a single-valued attribute."""
    attribute, value = operation.target.attribute, operation.value
    if not attribute.sub_attributes:
        return _removed(attribute, old, value) if operation.op == "remove" else _set(attribute, old, value)
    if operation.op == "remove" and not operation.target.sub:
        return old if value is not None and value != old else _removed(attribute, old, None)
    new = _merged(operation, old or {})
    return _set(attribute, old, new) if new else _removed(attribute, old, None)


def _set(attribute: Attribute, old: Any, value: Any) -> Any:
    if attribute.mutability == "immutable" and old is not None and value != old:
        raise mutability(f"{attribute.path} cannot be changed once it is set.")
    return value


def _removed(attribute: Attribute, old: Any, value: Any) -> Any:
    """Return what is left when a value, None for any, is removed."""
    if old is None or (value is not None and value != old):
        return old
    if attribute.required or attribute.mutability == "immutable":
        raise mutability(f"{attribute.path} cannot be removed: it is {_reason(attribute)}.")
    return None


def _reason(attribute: Attribute) -> str:
    return "required" if attribute.required else "immutable"


def _merged(operation: Operation, old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a complex value in which what the operation names is changed, the rest kept (3.5.2.1, 3.5.2.3)."""
    target, op = operation.target, operation.op
    new = dict(old)
    given = {target.sub.name: operation.value} if target.sub else operation.value
    for sub in target.attribute.sub_attributes:
        if sub.name in given:
            before, value = old.get(sub.name), given[sub.name]
            if op == "remove" or (op == "replace" and value is None):
                new[sub.name] = _removed(sub, before, value)
            elif value is not None:
                new[sub.name] = _set(sub, before, value)
    return _complete(target.attribute, new)


def _complete(attribute: Attribute, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return a complex value in the order of the schema, without what is unassigned."""
    kept = {s.name: members[s.name] for s in attribute.sub_attributes if members.get(s.name) is not None}
    for sub in attribute.sub_attributes:
        if kept and sub.required and sub.name not in kept:
            raise invalid_value(f"{sub.path} is required.")
    return kept


def _change_elements(operation: Operation, elements: Elements) -> None:
    target, op, value = operation.target, operation.op, operation.value
    attribute, condition = target.attribute, target.condition
    if condition is None and target.sub is None:
        _change_all(operation, elements)
        return
    found = elements.find(condition)
    if op == "remove" and target.sub is None:
        elements.drop(found if value is None else [p for p in found if elements.at(p).items() >= value.items()])
    elif op == "remove":
        elements.put({position: _merged(operation, elements.at(position)) for position in found})
    elif found:
        change = _overwritten if op == "replace" and target.sub is None else _merged
        elements.put({position: change(operation, elements.at(position)) for position in found})
    else:
        made = _merged(operation, _described(attribute, condition))
        if condition and not element_matches(condition, made):
            raise no_target(f"No value of {attribute.path} matches the filter, nor would the one that it describes.")
        elements.add([made])
    _check_left(attribute, elements)


def _change_all(operation: Operation, elements: Elements) -> None:
    attribute, value = operation.target.attribute, operation.value
    if operation.op == "remove":
        elements.drop(elements.find(None) if value is None else elements.selected(value))
    else:
        if operation.op == "replace":
            elements.drop(elements.find(None))
        elements.add(value)
    _check_left(attribute, elements)


def _check_left(attribute: Attribute, elements: Elements) -> None:
    if attribute.required and not elements.as_list():
        raise mutability(f"{attribute.path} cannot be removed: it is required.")


def _overwritten(operation: Operation, old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value that takes the place of an element, whose immutable sub-attributes stay."""
    attribute = operation.target.attribute
    new = dict(operation.value)
    for sub in attribute.sub_attributes:
        if sub.mutability == "immutable" and sub.name in old:
            new[sub.name] = _set(sub, old[sub.name], new.get(sub.name) or old[sub.name])
    return _complete(attribute, new)


def _described(attribute: Attribute, condition: Node | None) -> dict[str, Any]:
    """Return the element that a condition of eq terms joined by "and" describes.

    RFC 7644 leaves open what add makes of a path that selects nothing. Raises noTarget for any other condition.
    """
    terms = condition.children if isinstance(condition, And) else [condition] if condition else []
    element: dict[str, Any] = {}
    for term in terms:
        match term:
            case Compare(sub, "eq", operand=operand) if sub.mutability != "readOnly":
                element[sub.name] = operand
            case Not(Compare(Attribute(name="primary"))):
                # What is not primary is so in being compared only.
                element["primary"] = False
            case _:
                raise no_target(f"No value of {attribute.path} matches the filter.")
    described: dict[str, Any] = read_value(attribute, element)
    return described
