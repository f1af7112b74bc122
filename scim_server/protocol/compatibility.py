"""What does a client mean by a message that is not the RFC's? The chain of habits, applied before a message is read.

Each function returns a message without the habits that are accepted, as far as it has them; the rest stays as it is, to
be refused. Nothing here makes a change larger than what the client named.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from scim_server.protocol import filter_text
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import Habits
from scim_server.protocol.limits import PATCH_OPERATIONS
from scim_server.protocol.path import PATH, Target, read_path
from scim_server.protocol.schema import Attribute, ResourceType, Schema

_Read = TypeVar("_Read")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,30})?", re.ASCII)
_COMMON = ("schemas", "id", "meta")
_OPERATION = ("op", "path", "value")
_OPS = ("add", "remove", "replace")
_RESOURCES = "urn:ietf:params:scim:schemas:core:2.0:"
_MESSAGES = "urn:ietf:params:scim:api:messages:2.0:"


class Selection(list[Any]):
    """The value of a remove that names what to remove; JSON cannot contain it."""


# Messages


def read_message(
    strictly: Callable[[Any], _Read], sent: Any, schema: str, known: Collection[str], habits: Habits
) -> _Read:
    """Read a message that is no resource, with the URN ``schema`` and ``known`` lower-case members.

    Raises what ``strictly`` raises, which reads it as the RFC says.
    """
    return habits.read(strictly, sent, lambda members, found: _message(members, schema, known, found))


def _message(members: Any, schema: str, known: Collection[str], habits: Habits) -> Any:
    if not isinstance(members, dict) or _is_ambiguous(members):
        return members
    listed = _schemas(_member(members, "schemas"), schema, (), (_MESSAGES, _RESOURCES), habits)
    kept = {name: value for name, value in members.items() if name.lower() in known or not _drops(habits)}
    return {name: value for name, value in kept.items() if name.lower() != "schemas"} | _present("schemas", listed)


def _is_ambiguous(names: Collection[str]) -> bool:
    """Tell whether names differ in letter case only, or not at all: which one is meant cannot be told."""
    return len({name.lower() for name in names}) != len(names)


def _member(members: Mapping[str, Any], lower: str) -> Any:
    """Return the member with a name in any letter case, None if there is none."""
    return next((value for name, value in members.items() if name.lower() == lower), None)


def _drops(habits: Habits) -> bool:
    return habits.accepts("unknown-attributes")


def _present(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _schemas(given: Any, wanted: str, known: Iterable[str], foreign: tuple[str, ...], habits: Habits) -> Any:
    """Return the URNs that ``schemas`` should list; those of another message or resource alone stay."""
    listed = [given] if isinstance(given, str) else given or []
    if not isinstance(listed, list) or not all(isinstance(urn, str) for urn in listed):
        return given
    lower = [urn.lower() for urn in listed]
    if wanted.lower() not in lower and any(urn.startswith(foreign) for urn in lower):
        return given
    meant = [wanted, *(urn for urn in known if urn.lower() in lower)]
    if given is listed and sorted(lower) == sorted(urn.lower() for urn in meant):
        return given
    return meant if habits.accepts("schemas") else given


# Resources


def resource(resource_type: ResourceType, body: Any, habits: Habits) -> Any:
    """Return what is meant by a whole resource."""
    if not isinstance(body, dict) or _is_ambiguous(body):
        return body
    known = [extension.schema.id for extension in resource_type.extensions]
    listed = _schemas(_member(body, "schemas"), resource_type.schema.id, known, (_RESOURCES,), habits)
    members = _present("schemas", listed)
    apart: list[tuple[str, Target, Any]] = []
    for name, value in _without_core_urn(resource_type, body, habits).items():
        if name.lower() != "schemas" and not _put_member(resource_type, members, name, value, habits):
            flat = None if len(apart) == PATCH_OPERATIONS else _flat(resource_type, name, habits, is_whole=True)
            if flat and flat[1].condition is None:
                apart.append((name, flat[1], value))
            elif _is_known(resource_type, name, is_whole=True) or not _drops(habits):
                members[name] = value
    for name, target, value in apart:
        _put_flat(members, name, target, value_at(target, value, habits))
    return members


def _without_core_urn(resource_type: ResourceType, members: Mapping[str, Any], habits: Habits) -> Mapping[str, Any]:
    """Return members of which none is an object under the URN of the resource's own schema."""
    urn = resource_type.schema.id.lower()
    inner = _member(members, urn)
    if not isinstance(inner, dict):
        return members
    merged = [(name, value) for name, value in (*members.items(), *inner.items()) if name.lower() != urn]
    if _is_ambiguous([name for name, _ in merged]) or not habits.accepts("flat-names"):
        return members
    return dict(merged)


def _put_member(resource_type: ResourceType, members: dict[str, Any], name: str, value: Any, habits: Habits) -> bool:
    """Put what is meant by a member under its name in an object of attributes, if it has one."""
    if extension := resource_type.by_urn.get(name.lower()):
        members[extension.id] = _container(extension, value, habits)
    elif attribute := _named(resource_type, name):
        members[attribute.name] = value if attribute.name in _COMMON else _value(attribute, value, habits)
    else:
        return False
    return True


def _named(resource_type: ResourceType, name: str) -> Attribute | None:
    """Return the top-level attribute, of no extension, with this name."""
    attribute = None if "." in name else resource_type.by_path.get(name.lower())
    return attribute if attribute and not attribute.urn and attribute.path.lower() == name.lower() else None


def _container(extension: Schema, value: Any, habits: Habits) -> Any:
    """Return what is meant by the object that holds the attributes of an extension."""
    if value == "":
        lists = any(each.lists_resources for each in extension.attributes if each.mutability != "readOnly")
        return None if not lists and habits.accepts("empty-text") else value
    if not isinstance(value, dict):
        return value
    members = {name: member for name, member in value.items() if name.lower() != "schemas"}
    return _members({attribute.name.lower(): attribute for attribute in extension.attributes}, members, habits)


def _members(known: Mapping[str, Attribute], given: Mapping[str, Any], habits: Habits) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if _is_ambiguous(given):
        return dict(given)
    for name, value in given.items():
        if attribute := known.get(name.lower()):
            members[name] = _value(attribute, value, habits)
        elif not _drops(habits):
            members[name] = value
    return members


def _flat(
    resource_type: ResourceType, name: str, habits: Habits, *, is_whole: bool = False
) -> tuple[str, Target] | None:
    """Return the path that the name of a member is, and what it points to."""
    short = resource_type.by_short_path.get(name.partition("[")[0].lower())
    if short and is_whole and _is_of_its_own(resource_type, name.lower()):
        return None
    meant = _path(resource_type, name, habits)
    target = _target(resource_type, meant)
    if not isinstance(target, Target) or not (short or habits.accepts("flat-names")):
        return None
    return meant, target


def _is_known(resource_type: ResourceType, name: str, *, is_whole: bool) -> bool:
    """Tell whether a habit would understand a name, were it accepted: what is meant by it must not be ignored."""
    lower = name.lower()
    urns = (resource_type.schema.id.lower(), *resource_type.by_urn)
    if "[" in name or lower in resource_type.by_path or lower.startswith(urns):
        return True
    return lower in resource_type.by_short_path and not (is_whole and _is_of_its_own(resource_type, lower))


def _is_of_its_own(resource_type: ResourceType, lower: str) -> bool:
    """Tell whether a short name is a text, which in a whole resource may be an attribute of the client's own.

    RFC 7643 section 3.3 wants what is an extension's in the extension's object.
    """
    top = resource_type.by_short_path.get(lower.partition("[")[0].partition(".")[0])
    return top is not None and not top.sub_attributes


def _is_given_twice(target: Target, beside: Mapping[str, Any]) -> bool:
    """Tell whether what a flat name points to stands beside it too, so that it cannot be told which one counts."""
    if target.attribute.urn:
        container = beside.get(target.attribute.urn.lower())
        beside = {name.lower(): each for name, each in container.items()} if isinstance(container, dict) else {}
    is_part = target.sub is not None and not target.attribute.multi_valued
    return not is_part and target.attribute.name.lower() in beside


def _put_flat(members: dict[str, Any], name: str, target: Target, value: Any) -> None:
    """Put a value where its flat name points to, unless something else is there already; readOnly ones are ignored."""
    if target.mutability == "readOnly":
        return
    steps = [target.attribute.urn] if target.attribute.urn else []
    if target.sub and not target.attribute.multi_valued:
        steps.append(target.attribute.name)
    container: Any = members
    for step in steps:
        if isinstance(container, dict):
            if container.get(step) is None:
                container[step] = {}
            container = container[step]
    last = (target.sub or target.attribute).name
    if isinstance(container, dict) and not (target.sub and target.attribute.multi_valued) and last not in container:
        container[last] = value
    else:
        members[name] = value


# Values


def value_at(target: Target, value: Any, habits: Habits) -> Any:
    """Return what is meant by a value for what a path points to."""
    if target.sub:
        return value if target.attribute.lists_resources else _value(target.sub, value, habits)
    if target.condition:
        return _one(target.attribute, value, habits)
    return _value(target.attribute, value, habits)


def _value(attribute: Attribute, value: Any, habits: Habits) -> Any:
    if not attribute.multi_valued:
        return _one(attribute, value, habits)
    if value == "" and not attribute.lists_resources and habits.accepts("empty-text"):
        return None
    if isinstance(value, dict):
        one = _element(attribute, value, habits)
        return [one] if habits.accepts("list-or-one") else one
    if not isinstance(value, list):
        return value
    return [_element(attribute, each, habits) for each in value]


def _element(attribute: Attribute, value: Any, habits: Habits) -> Any:
    """Return what is meant by one of several values; one of which nothing is known stays, to be refused."""
    found = _one(attribute, value, habits)
    return value if found == {} else found


def _one(attribute: Attribute, value: Any, habits: Habits) -> Any:
    """Return what is meant by a single value, by the rules in their order."""
    for applies, habit, meant in _RULES:
        if applies(attribute, value) and habits.accepts(habit):
            value = meant(value)
    if isinstance(value, dict) and attribute.sub_attributes:
        return _members({sub.name.lower(): sub for sub in attribute.sub_attributes}, value, habits)
    return value


def _is_text_for_object(attribute: Attribute, value: Any) -> bool:
    return isinstance(value, str) and value != "" and attribute.sub("value") is not None


def _is_text_for_boolean(attribute: Attribute, value: Any) -> bool:
    return attribute.type == "boolean" and isinstance(value, str) and value.lower() in ("true", "false")


def _is_text_for_number(attribute: Attribute, value: Any) -> bool:
    return attribute.type in ("integer", "decimal") and isinstance(value, str) and bool(_NUMBER.fullmatch(value))


_RULES: tuple[tuple[Callable[[Attribute, Any], bool], str, Callable[[Any], Any]], ...] = (
    (lambda _, value: isinstance(value, list) and len(value) == 1, "list-or-one", lambda value: value[0]),
    (lambda attribute, value: value == "" and not attribute.lists_resources, "empty-text", lambda _: None),
    (_is_text_for_object, "text-for-object", lambda value: {"value": value}),
    (_is_text_for_boolean, "text-for-boolean", lambda value: value.lower() == "true"),
    (_is_text_for_number, "text-for-number", lambda value: float(value) if "." in value else int(value)),
)


# Operations of a PATCH


def operation(resource_type: ResourceType, members: Mapping[str, Any], habits: Habits) -> list[dict[str, Any]]:
    """Return the operations that are meant by one of a PATCH, whose members have lower-case names."""
    known = {name: value for name, value in members.items() if name in _OPERATION or not _drops(habits)}
    op = known.get("op")
    if isinstance(op, str) and op not in _OPS and op.lower() in _OPS and habits.accepts("operation-case"):
        known["op"] = op.lower()
    if isinstance(named := known.get("path"), str):
        known["path"] = _path(resource_type, named, habits)
        target = _target(resource_type, known["path"]) if "value" in known else None
        return [_with_value(known, target, habits) if target else known]
    return _without_path(resource_type, known, habits) if known.get("path") is None else [known]


def _path(resource_type: ResourceType, text: str, habits: Habits) -> str:
    """Return what is meant by the path of an operation."""
    match = PATH.fullmatch(text.strip())
    if not match:
        return text
    name, condition, sub = match.groups()
    name = filter_text.full_name([resource_type], name, habits)
    if condition is None:
        return name
    if attribute := resource_type.by_path.get(name.lower()):
        condition = filter_text.meant(condition, [resource_type], habits, attribute)
    return f"{name}[{condition}].{sub}" if sub else f"{name}[{condition}]"


def _target(resource_type: ResourceType, text: str) -> Target | Schema | None:
    """Return what a path points to, None if it is none."""
    try:
        return read_path(resource_type, text)
    except ScimError:
        return None


def _with_value(known: dict[str, Any], target: Target | Schema, habits: Habits) -> dict[str, Any]:
    """Return an operation on a target with what is meant by its value."""
    value = known["value"]
    if known.get("op") == "remove":
        return _removal(known, target, value, habits)
    if isinstance(target, Schema):
        return known | {"value": _container(target, value, habits)}
    if known.get("op") == "add" and target.is_whole and isinstance(value, str):
        # One value alone may be added (section 3.5.2.1); text for all of them is refused, as it may be anything.
        return known | {"value": _one(target.attribute, value, habits)}
    return known | {"value": value_at(target, value, habits)}


def _removal(known: dict[str, Any], target: Target | Schema, value: Any, habits: Habits) -> dict[str, Any]:
    """Return what is meant by a remove with a value: only that goes. An empty one for no list says nothing."""
    if value is None or not habits.accepts("values-to-remove"):
        return known
    if isinstance(target, Schema):
        container = _container(target, value, habits)
        if not isinstance(container, dict):
            return known
        attributes = {attribute.name.lower(): attribute for attribute in target.attributes}
        return known | {
            "value": {
                name: _removal({}, Target(attributes[name.lower()]), each, habits).get("value")
                for name, each in container.items()
                if name.lower() in attributes
            }
        }
    is_single = not target.attribute.multi_valued
    if (value == "" and (is_single or target.condition)) or (value in ([], {}) and is_single):
        return {name: each for name, each in known.items() if name != "value"}
    listed = value if isinstance(value, list) else [value]
    attribute = target.sub or target.attribute
    # Whatever is ignored of a description makes it fit more values.
    exactly = Habits(habits.accepted - {"unknown-attributes"}, habits.used)
    return known | {"value": Selection(_one(attribute, each, exactly) for each in listed if each not in (None, ""))}


def _without_path(resource_type: ResourceType, known: dict[str, Any], habits: Habits) -> list[dict[str, Any]]:
    """Return an operation on an object of attributes, and one for each member whose name is a path."""
    value = known.get("value")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and habits.accepts("list-or-one"):
        value = value[0]
    if not isinstance(value, dict) or _is_ambiguous(value):
        return [known]
    members: dict[str, Any] = {}
    apart: list[dict[str, Any]] = []
    given = _without_core_urn(resource_type, value, habits)
    beside = {name.lower(): each for name, each in given.items()}
    for name, member in given.items():
        if name.lower() == "schemas" and member is None and habits.accepts("schemas"):
            continue
        if _put_member(resource_type, members, name, member, habits):
            continue
        flat = None if len(apart) == PATCH_OPERATIONS else _flat(resource_type, name, habits)
        if flat and not _is_given_twice(flat[1], beside):
            each = {"op": known.get("op"), "path": flat[0], "value": member}
            apart.append(_with_value(each, flat[1], habits))
        elif _is_known(resource_type, name, is_whole=False) or not _drops(habits):
            members[name] = member
    return [known | {"value": members}, *apart]
