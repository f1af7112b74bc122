"""What does PATCH make of a resource? (RFC 7644 section 3.5.2)

`apply` is a pure function of a document and operations. Operations on different attributes do not see one another,
so some can be applied elsewhere.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from scim_server.protocol.elements import Elements
from scim_server.protocol.errors import ScimError, invalid_value, mutability, no_target, numbered
from scim_server.protocol.match import element_matches
from scim_server.protocol.messages import is_unassigned
from scim_server.protocol.operations import Operation
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.tree import And, Compare, Node, Not
from scim_server.protocol.validation import read_value, schemas_in_use
from scim_server.protocol.wording import say


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
            raise error.within(numbered(operation.number)) from None
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
        # What lacked it before a policy demanded it can still be changed.
        if extension.required and extension.schema.id in document and extension.schema.id not in members:
            raise mutability(say("{path} is required.", path=extension.schema.id))
    kept = {"id": document["id"]} if "id" in document else {}
    return {"schemas": schemas_in_use(resource_type, members), **kept, **members}


def _check_unchanged(operation: Operation, current: Any) -> None:
    """Refuse to change a readOnly attribute; writing what is there is no change, nor sending it along."""
    target = operation.target
    if target.sub:
        elements = current if isinstance(current, list) else [current or {}]
        condition = target.condition
        found = [e.get(target.sub.name) for e in elements if condition is None or element_matches(condition, e)]
        is_same = bool(found) and all(value == operation.value for value in found)
    else:
        both_empty = is_unassigned(current) and is_unassigned(operation.value)
        is_same = target.condition is None and (both_empty or current == operation.value)
    if not (is_same or operation.has_path) and operation.habits.accepts("read-only-members"):
        return
    if operation.op == "remove" or not is_same:
        raise mutability(say("{path} is readOnly.", path=target.path))


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
        raise mutability(say("{path} cannot be changed once it is set.", path=attribute.path))
    return value


def _removed(attribute: Attribute, old: Any, value: Any) -> Any:
    """Return what is left when a value, None for any, is removed."""
    if old is None or (value is not None and value != old):
        return old
    if attribute.required:
        raise _needed(attribute)
    if attribute.mutability == "immutable":
        raise mutability(say("{path} cannot be removed: it is immutable.", path=attribute.path))
    return None


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
            raise invalid_value(say("{path} is required.", path=sub.path))
    return kept


def _change_elements(operation: Operation, elements: Elements) -> None:
    target, op, value = operation.target, operation.op, operation.value
    attribute, condition = target.attribute, target.condition
    if condition is None and target.sub is None:
        _change_all(operation, elements)
        return
    found = elements.find(condition)
    if op == "remove" and target.sub is None:
        elements.drop(found if value is None else [p for p in found if elements.has(p, value)])
    elif op == "remove":
        elements.put({position: _merged(operation, elements.at(position)) for position in found})
    elif found:
        change = _overwritten if op == "replace" and target.sub is None else _merged
        elements.put({position: change(operation, elements.at(position)) for position in found})
    else:
        if condition and not operation.habits.accepts("filtered-element"):
            raise _no_match(attribute)
        made = _merged(operation, _described(attribute, condition))
        if condition and not element_matches(condition, made):
            raise no_target(
                say("No value of {path} matches the filter, nor would the one that it describes.", path=attribute.path)
            )
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
        raise _needed(attribute)


def _needed(attribute: Attribute) -> ScimError:
    return mutability(say("{path} cannot be removed: it is required.", path=attribute.path))


def _no_match(attribute: Attribute) -> ScimError:
    return no_target(say("No value of {path} matches the filter.", path=attribute.path))


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
                raise _no_match(attribute)
    described: dict[str, Any] = read_value(attribute, element)
    return described
