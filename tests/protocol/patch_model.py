"""What PATCH does, told a second time: slowly, step by step, on plain JSON (RFC 7644 section 3.5.2).

Only the facts about attributes and the readers of simple values are the server's own.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.types import READERS

PRIMARY_TERM = "nothing matches primary ne, or not (primary eq)"

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: bool(left == right),
    "ne": lambda left, right: bool(left != right),
    "co": lambda left, right: right in left,
    "sw": lambda left, right: bool(left.startswith(right)),
    "ew": lambda left, right: bool(left.endswith(right)),
    "gt": lambda left, right: bool(left > right),
    "ge": lambda left, right: bool(left >= right),
    "lt": lambda left, right: bool(left < right),
    "le": lambda left, right: bool(left <= right),
}
_PATH = re.compile(r"(?P<name>[A-Za-z$][\w-]*)(?:\[(?P<condition>.*)\])?(?:\.(?P<sub>[A-Za-z$][\w-]*))?", re.ASCII)
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[()]|[^\s()"]+')


class Refused(Exception):
    """Refuse with a scimType; of two faults at once either may be named."""

    def __init__(self, *scim_types: str) -> None:
        super().__init__(*scim_types)
        self.scim_types = scim_types


@dataclass
class Outcome:
    """The document after a patch, or the scimTypes of which a refusal has one; ``notes`` names rare situations."""

    document: dict[str, Any] | None = None
    scim_types: set[str] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)


@dataclass
class Target:
    """What a path points to; ``urn`` names the extension whose container holds the attribute."""

    urn: str | None
    attribute: Attribute
    condition: Any = None
    sub: Attribute | None = None


@dataclass
class Step:
    """One change of one attribute; the value is canonical, None if there is none."""

    op: str
    target: Target
    value: Any


@dataclass(eq=False)
class Entry:
    """One element of a multi-valued attribute while an operation changes it; ``was`` is None for a new one."""

    was: Any
    value: Any
    made_primary: bool = False

    def is_what_it_was(self) -> bool:
        return self.was is not None and same(self.was, self.value)


def patched(
    resource_type: ResourceType,
    document: Mapping[str, Any],
    body: Mapping[str, Any],
    shown: Mapping[str, Any] | None = None,
) -> Outcome:
    """Tell what the patch makes of the document."""
    outcome = Outcome()
    steps: list[Step] = []
    try:
        for operation in body["Operations"]:
            steps += asked(resource_type, operation, outcome.notes)
    except Refused as refusal:
        outcome.scim_types.update(refusal.scim_types)
        return outcome
    walk = Walk(resource_type, deepcopy(dict(document)), shown or {}, outcome.notes)
    failed: set[Attribute] = set()
    for step in steps:
        if step.target.attribute not in failed:
            try:
                walk.take(step)
            except Refused as refusal:
                # Attributes do not depend on one another: whose fault is named is left open.
                failed.add(step.target.attribute)
                outcome.scim_types.update(refusal.scim_types)
    if not failed:
        outcome.document = walk.tidied()
    return outcome


# Operations


def asked(resource_type: ResourceType, operation: Mapping[str, Any], notes: set[str]) -> list[Step]:
    """Return the changes that an operation asks for, whatever the document is."""
    op, path = str(operation.get("op")).lower(), operation.get("path")
    if op not in ("add", "remove", "replace"):
        raise Refused("invalidSyntax")
    if path is not None:
        extension = extension_urn(resource_type, path)
        target = None if extension else find(resource_type, path)
    if op != "remove" and "value" not in operation:
        raise Refused("invalidValue")
    value = operation.get("value")
    if path is None:
        if op == "remove":
            raise Refused("noTarget")
        return of_resource(resource_type, op, value, notes)
    if target is None:
        return of_extension(resource_type, op, str(extension), value, notes)
    return change(op, target, value, notes)


def of_resource(resource_type: ResourceType, op: str, value: Any, notes: set[str]) -> list[Step]:
    if not isinstance(value, dict):
        raise Refused("invalidValue")
    steps: list[Step] = []
    for name, member in value.items():
        extension = extension_urn(resource_type, name)
        if extension:
            steps += of_extension(resource_type, op, extension, member, notes)
            continue
        try:
            target = find(resource_type, name)
        except Refused:
            if "[" in name:
                raise Refused("invalidSyntax") from None
            continue
        if name.lower() != target.attribute.name.lower() or target.urn is not None:
            raise Refused("invalidSyntax")
        if target.attribute.name != "meta":
            steps += change(op, target, member, notes)
    return steps


def of_extension(resource_type: ResourceType, op: str, urn: str, value: Any, notes: set[str]) -> list[Step]:
    steps: list[Step] = []
    clears = op == "remove" or value in (None, "", [])
    if not clears and not isinstance(value, dict):
        raise Refused("invalidValue")
    for attribute in resource_type.by_urn[urn.lower()].attributes:
        target = Target(urn, attribute)
        if not clears:
            for name, member in value.items():
                if name.lower() == attribute.name.lower():
                    steps += change(op, target, member, notes)
        elif op != "add" and attribute.mutability != "readOnly":
            steps += change("remove", target, None, notes)
    return steps


def change(op: str, target: Target, value: Any, notes: set[str]) -> list[Step]:
    """Return the change with a canonical value."""
    attribute = target.attribute
    if is_read_only(target):
        return [Step(op, target, value)]
    if attribute.name == "schemas":
        if value is None and op != "add":
            raise Refused("mutability")
        return []
    if attribute.multi_valued and target.condition is None and target.sub is None:
        if op == "remove":
            return [Step(op, target, None if value is None else selection(attribute, value, notes))]
        return [Step(op, target, elements(attribute, value))]
    says_nothing = value == {} and attribute.sub_attributes and target.sub is None
    if op == "remove" or (nothing(value) and not says_nothing):
        clears = not attribute.multi_valued
        return [Step("replace" if clears and op == "add" else op, target, None)]
    if attribute.sub_attributes and target.sub is None:
        return [Step(op, target, parts(attribute, value))]
    return [Step(op, target, simple(target.sub or attribute, value))]


def is_read_only(target: Target) -> bool:
    return "readOnly" in (target.attribute.mutability, target.sub and target.sub.mutability)


# Paths


def extension_urn(resource_type: ResourceType, path: str) -> str | None:
    for extension in resource_type.extensions:
        if path.lower() == extension.schema.id.lower():
            return extension.schema.id
    return None


def find(resource_type: ResourceType, path: str) -> Target:
    """Return what a path points to."""
    rest, urn = path, None
    for known in (resource_type.schema.id, *(e.schema.id for e in resource_type.extensions)):
        if path.lower().startswith(f"{known}:".lower()):
            rest, urn = path[len(known) + 1 :], known
    found = _PATH.fullmatch(rest)
    if not found:
        raise Refused("invalidPath")
    attribute, home = named(resource_type, urn, found["name"])
    sub = None
    if found["sub"] is not None:
        sub = attribute.sub(found["sub"])
        if sub is None:
            raise Refused("invalidPath")
    if found["condition"] is None:
        return Target(home, attribute, None, sub)
    if not attribute.multi_valued or not attribute.sub_attributes:
        raise Refused("invalidPath")
    return Target(home, attribute, condition(attribute, found["condition"]), sub)


def named(resource_type: ResourceType, urn: str | None, name: str) -> tuple[Attribute, str | None]:
    """Return the top-level attribute of that name, and the URN of its extension."""
    lower = name.lower()
    if urn in (None, resource_type.schema.id):
        for attribute in (*resource_type.common.values(), *resource_type.schema.attributes):
            if attribute.name.lower() == lower:
                return attribute, None
    for extension in resource_type.extensions:
        if urn in (None, extension.schema.id):
            for attribute in extension.schema.attributes:
                if attribute.name.lower() == lower:
                    return attribute, extension.schema.id
    raise Refused("invalidPath")


# Filters: ("or", [...]), ("and", [...]), ("not", ...) or (sub-attribute, operator, operand)


def condition(attribute: Attribute, text: str) -> Any:
    """Read a condition on an element."""
    tokens = _TOKEN.findall(text)
    read = disjunction(attribute, tokens)
    if tokens:
        raise Refused("invalidFilter")
    return read


def disjunction(attribute: Attribute, tokens: list[str]) -> Any:
    parts = [conjunction(attribute, tokens)]
    while tokens and tokens[0].lower() == "or":
        tokens.pop(0)
        parts.append(conjunction(attribute, tokens))
    return parts[0] if len(parts) == 1 else ("or", parts)


def conjunction(attribute: Attribute, tokens: list[str]) -> Any:
    parts = [term(attribute, tokens)]
    while tokens and tokens[0].lower() == "and":
        tokens.pop(0)
        parts.append(term(attribute, tokens))
    return parts[0] if len(parts) == 1 else ("and", parts)


def term(attribute: Attribute, tokens: list[str]) -> Any:
    if not tokens:
        raise Refused("invalidFilter")
    first = tokens.pop(0)
    if first.lower() == "not" or first == "(":
        if first != "(" and (not tokens or tokens.pop(0) != "("):
            raise Refused("invalidFilter")
        inner = disjunction(attribute, tokens)
        if not tokens or tokens.pop(0) != ")":
            raise Refused("invalidFilter")
        return inner if first == "(" else ("not", inner)
    sub = attribute.sub(first)
    operator = tokens.pop(0).lower() if tokens else ""
    if sub is not None and operator == "pr":
        return (sub, "pr", None)
    if sub is None or operator not in COMPARISONS or not tokens:
        raise Refused("invalidFilter")
    try:
        operand = json.loads(tokens.pop(0))
        if operand is not None:
            READERS[sub.type](operand)
    except ValueError:
        raise Refused("invalidFilter") from None
    return (sub, operator, operand)


def fits(read: Any, element: Mapping[str, Any]) -> bool:
    """Tell whether an element fits a condition, if there is one."""
    if read is None:
        return True
    if read[0] in ("or", "and"):
        found = [fits(part, element) for part in read[1]]
        return any(found) if read[0] == "or" else all(found)
    if read[0] == "not":
        return not fits(read[1], element)
    sub, operator, operand = read
    value = element.get(sub.name)
    if sub.name == "primary" and value is None and operand is not None:
        value = False
    if operator == "pr":
        return value is not None
    if operand is None:
        return bool((value is None) == (operator == "eq"))
    if value is None:
        return bool(operator == "ne")
    return bool(COMPARISONS[operator](key(sub, value), key(sub, operand)))


def says(read: Any, name: str, operator: str) -> bool:
    """Tell whether a condition has such a term anywhere."""
    if read is None:
        return False
    if read[0] in ("or", "and"):
        return any(says(part, name, operator) for part in read[1])
    return says(read[1], name, operator) if read[0] == "not" else bool(read[0].name == name and read[1] == operator)


def key(attribute: Attribute, value: Any) -> Any:
    """Return what a value compares by."""
    if not isinstance(value, str) or attribute.case_exact or attribute.type != "string":
        return value
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())


def stated(read: Any) -> list[tuple[Attribute, Any]] | None:
    """Return the terms of a condition that says only what is equal to what, else None."""
    if read is None:
        return []
    terms = read[1] if read[0] == "and" else [read]
    found: list[tuple[Attribute, Any]] = []
    for part in terms:
        if part[0] == "and":
            inner = stated(part)
            if inner is None:
                return None
            found += inner
        elif part[0] in ("or", "not") or part[1] != "eq" or part[2] is None:
            return None
        else:
            found.append((part[0], part[2]))
    return found


# Values


def nothing(value: Any) -> bool:
    return value is None or value in ("", [], {})


def simple(attribute: Attribute, value: Any) -> Any:
    """Return the canonical form of a simple value."""
    try:
        value = READERS["string" if attribute.unchecked else attribute.type](value)
    except ValueError:
        raise Refused("invalidValue") from None
    if isinstance(value, str):
        if attribute.required and not value.strip():
            raise Refused("invalidValue")
        for spelling in attribute.canonical_values:
            if not attribute.case_exact and spelling.lower() == value.lower():
                return spelling
    return value


def parts(attribute: Attribute, value: Any) -> dict[str, Any]:
    """Return the sub-attributes that an object names, None for the unassigned ones."""
    if not isinstance(value, dict):
        raise Refused("invalidValue")
    found: dict[str, Any] = {}
    for sub in attribute.sub_attributes:
        for name, member in value.items():
            if name.lower() == sub.name.lower() and sub.mutability != "readOnly":
                found[sub.name] = None if nothing(member) else simple(sub, member)
    return found


def derived(attribute: Attribute, value: Any) -> list[str]:
    """Return the names of an object that are those of readOnly sub-attributes."""
    known = {sub.name.lower() for sub in attribute.sub_attributes if sub.mutability == "readOnly"}
    return [name for name in value if name.lower() in known]


def assigned(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in members.items() if member is not None}


def lacks(attribute: Attribute, element: Mapping[str, Any]) -> bool:
    """Tell whether a required sub-attribute is missing."""
    return any(sub.required and sub.name not in element for sub in attribute.sub_attributes)


def elements(attribute: Attribute, value: Any) -> list[Any]:
    """Return the canonical elements of a list, or of a single one that stands for a list."""
    found: list[Any] = []
    for given in value if isinstance(value, list) else [value]:
        if nothing(given):
            continue
        if not attribute.sub_attributes:
            found.append(simple(attribute, given))
            continue
        described = parts(attribute, given)
        if not (described or derived(attribute, given)):
            raise Refused("invalidSyntax")
        element = assigned(described)
        if lacks(attribute, element):
            raise Refused("invalidValue")
        if element:
            found.append(element)
    if sum(1 for element in found if is_primary(element)) > 1:
        raise Refused("invalidValue")
    return found


def selection(attribute: Attribute, value: Any, notes: set[str]) -> list[Any]:
    """Return what describes the elements to remove."""
    found: list[Any] = []
    for given in value if isinstance(value, list) else [value]:
        if nothing(given):
            continue
        if attribute.sub_attributes:
            described = parts(attribute, given)
            if len(described) + len(derived(attribute, given)) != len(given):
                raise Refused("invalidSyntax")
            wanted = assigned(described)
            if wanted and described.get("value", "") is not None:
                found.append(wanted)
        else:
            found.append(simple(attribute, given))
    return found


def same(one: Any, other: Any) -> bool:
    """Tell whether two elements are the same one."""
    if isinstance(one, dict) and isinstance(other, dict) and "value" in one and "value" in other:
        return bool(one["value"] == other["value"] and one.get("type") == other.get("type"))
    return bool(one == other)


def is_primary(element: Any) -> bool:
    return isinstance(element, dict) and element.get("primary") is True


class Walk:
    """A document on its way through the changes."""

    def __init__(
        self, resource_type: ResourceType, document: dict[str, Any], shown: Mapping[str, Any], notes: set[str]
    ) -> None:
        self.resource_type = resource_type
        self.document = document
        self.shown = shown
        self.notes = notes

    def take(self, step: Step) -> None:
        """Make one change."""
        attribute = step.target.attribute
        if is_read_only(step.target):
            self.read_only(step)
            return
        holder = self.document
        if step.target.urn is not None:
            holder = self.document.setdefault(step.target.urn, {})
        if attribute.multi_valued:
            self.several(holder, step)
        elif attribute.sub_attributes:
            self.complex(holder, step)
        else:
            self.single(holder, attribute, step)

    def read_only(self, step: Step) -> None:
        """Let only a value pass that is shown already."""
        target = step.target
        at = self.shown if target.urn is None else self.shown.get(target.urn, {})
        shown = at.get(target.attribute.name)
        values = [shown]
        if target.sub is not None:
            elements = shown if isinstance(shown, list) else [shown or {}]
            values = [element.get(target.sub.name) for element in elements if fits(target.condition, element)]
        elif target.condition is not None:
            raise Refused("mutability")
        if step.op == "remove" or not values or any(value != step.value for value in values):
            raise Refused("mutability")

    # Single values

    def clear(self, holder: dict[str, Any], attribute: Attribute) -> None:
        if attribute.name in holder:
            if attribute.required or attribute.mutability == "immutable":
                raise Refused("mutability")
            del holder[attribute.name]

    def put(self, holder: dict[str, Any], attribute: Attribute, value: Any) -> None:
        if attribute.mutability == "immutable" and attribute.name in holder and holder[attribute.name] != value:
            raise Refused("mutability")
        holder[attribute.name] = value

    def single(self, holder: dict[str, Any], attribute: Attribute, step: Step) -> None:
        if step.op == "remove" or step.value is None:
            self.clear(holder, attribute)
        else:
            self.put(holder, attribute, step.value)

    def complex(self, holder: dict[str, Any], step: Step) -> None:
        attribute, sub = step.target.attribute, step.target.sub
        if sub is None and (step.op == "remove" or step.value is None):
            if step.op != "add":
                self.clear(holder, attribute)
            return
        inner = dict(holder.get(attribute.name, {}))
        if sub is not None:
            self.single(inner, sub, step)
        else:
            self.merge(step.op, inner, attribute, step.value)
        if inner:
            if lacks(attribute, inner):
                raise Refused("invalidValue")
            holder[attribute.name] = inner
        elif attribute.name in holder:
            self.clear(holder, attribute)

    def merge(self, op: str, inner: dict[str, Any], attribute: Attribute, given: Mapping[str, Any]) -> None:
        for sub in attribute.sub_attributes:
            if sub.name in given:
                if given[sub.name] is not None:
                    self.put(inner, sub, given[sub.name])
                elif op == "replace":
                    self.clear(inner, sub)

    # Several values

    def several(self, holder: dict[str, Any], step: Step) -> None:
        attribute = step.target.attribute
        entries = [Entry(was=element, value=deepcopy(element)) for element in holder.get(attribute.name, [])]
        if step.target.sub is not None:
            entries = self.sub_of_matching(entries, step, step.target.sub)
        elif step.target.condition is not None:
            entries = self.matching(entries, step)
        else:
            entries = self.all(entries, step)
        entries = once([entry for entry in entries if entry.value != {}])
        made = [entry for entry in entries if entry.made_primary]
        if len(made) > 1:
            raise Refused("invalidValue")
        for entry in entries:
            if made and entry is not made[0] and is_primary(entry.value):
                entry.value["primary"] = False
        left = once(entries)
        if attribute.required and not left:
            raise Refused("mutability")
        holder[attribute.name] = [entry.value for entry in left]

    def all(self, entries: list[Entry], step: Step) -> list[Entry]:
        if step.op == "remove":
            return [entry for entry in entries if step.value is not None and not self.chosen(step, entry.value)]
        new = [Entry(None, deepcopy(element), is_primary(element)) for element in step.value]
        return new if step.op == "replace" else [*entries, *new]

    def chosen(self, step: Step, element: Any) -> bool:
        """Tell whether the value of a remove chooses an element."""
        attribute = step.target.attribute
        for wanted in step.value:
            if not isinstance(wanted, dict):
                if key(attribute, wanted) == key(attribute, element):
                    return True
                continue
            agrees = True
            for sub in attribute.sub_attributes:
                counts = sub.name in ("value", "type") if "value" in wanted else True
                if counts and sub.name in wanted:
                    agrees = (
                        agrees and sub.name in element and key(sub, wanted[sub.name]) == key(sub, element[sub.name])
                    )
            if agrees:
                return True
        return False

    def sub_of_matching(self, entries: list[Entry], step: Step, sub: Attribute) -> list[Entry]:
        found = [entry for entry in entries if fits(step.target.condition, entry.value)]
        for entry in found:
            self.single(entry.value, sub, step)
            entry.made_primary = sub.name == "primary" and step.value is True
        if not found and step.value is not None:
            return [*entries, self.made(step, {sub.name: step.value})]
        return [entry for entry in entries if entry.value]

    def matching(self, entries: list[Entry], step: Step) -> list[Entry]:
        attribute = step.target.attribute
        found = [entry for entry in entries if fits(step.target.condition, entry.value)]
        if step.value is None:
            return entries if step.op == "add" else [entry for entry in entries if entry not in found]
        if step.value == {}:
            return entries
        for entry in found:
            if step.op == "add":
                self.merge(step.op, entry.value, attribute, step.value)
            else:
                entry.value = self.overwritten(attribute, entry.value, step.value)
            if entry.value and lacks(attribute, entry.value):
                raise Refused("invalidValue")
            entry.made_primary = step.value.get("primary") is True
        if not found:
            return [*entries, self.made(step, step.value)]
        return [entry for entry in entries if entry.value]

    def overwritten(self, attribute: Attribute, old: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was given, and the immutable sub-attributes, which stay."""
        new = {
            sub.name: old[sub.name]
            for sub in attribute.sub_attributes
            if sub.mutability == "immutable" and sub.name in old
        }
        for sub in attribute.sub_attributes:
            if given.get(sub.name) is not None:
                self.put(new, sub, given[sub.name])
        return new

    def made(self, step: Step, given: Mapping[str, Any]) -> Entry:
        """Return the element that a condition describes, with what it is given."""
        attribute, condition = step.target.attribute, step.target.condition
        terms = stated(condition)
        if terms is None:
            if says(condition, "primary", "ne") or says(condition, "primary", "eq"):
                self.notes.add(PRIMARY_TERM)
            raise Refused("noTarget")
        described = {sub.name: simple(sub, operand) for sub, operand in terms}
        element, faults = described_with(described, attribute, step.op, given)
        if not fits(condition, element):
            faults.append("noTarget")
        if lacks(attribute, element):
            faults.append("invalidValue")
        if faults:
            raise Refused(*faults)
        return Entry(None, element, is_primary(element))

    # The whole document

    def tidied(self) -> dict[str, Any]:
        """Return the document with its members in the schema's order, without what is empty."""
        used = [self.resource_type.schema.id]
        result: dict[str, Any] = {"schemas": used, "id": self.document["id"]}
        own = (self.resource_type.common["externalId"], *self.resource_type.schema.attributes)
        result |= in_order(own, self.document)
        for extension in self.resource_type.extensions:
            container = in_order(extension.schema.attributes, self.document.get(extension.schema.id, {}))
            if container:
                used.append(extension.schema.id)
                result[extension.schema.id] = container
        return result


def described_with(
    described: Mapping[str, Any], attribute: Attribute, op: str, given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return what a condition describes with what is given, and the scimTypes of what is wrong with that."""
    element, faults = dict(described), []
    for sub in attribute.sub_attributes:
        value = given.get(sub.name)
        if sub.name in element and sub.mutability == "immutable" and value not in (None, element[sub.name]):
            faults.append("mutability")
        if value is not None:
            element[sub.name] = value
        elif sub.name in given and sub.name in element and op == "replace":
            del element[sub.name]
            if sub.required or sub.mutability == "immutable":
                faults.append("mutability")
    return element, faults


def once(entries: list[Entry]) -> list[Entry]:
    """Let every element stand once: the one that was the same before, else the first."""
    kept: list[Entry] = []
    for entry in entries:
        twin = next((other for other in kept if same(other.value, entry.value)), None)
        if twin is None:
            kept.append(entry)
            continue
        stays, goes = twin, entry
        if entry.is_what_it_was() and not twin.is_what_it_was():
            stays, goes = entry, twin
            kept.remove(twin)
            kept.append(entry)
        if is_primary(goes.value):
            stays.value["primary"] = True
            stays.made_primary = stays.made_primary or goes.made_primary
    return kept


def in_order(attributes: Iterable[Attribute], members: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in attributes:
        value = members.get(attribute.name)
        if isinstance(value, dict):
            value = in_order(attribute.sub_attributes, value)
        if isinstance(value, list) and attribute.sub_attributes:
            value = [in_order(attribute.sub_attributes, element) for element in value]
        if not nothing(value):
            found[attribute.name] = value
    return found
