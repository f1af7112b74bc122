"""PATCH does what an independent model of it does, for any documents and operations."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scim_server.protocol import patch
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import Habits, read_accepted
from scim_server.protocol.operations import read_operations
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.validation import check, schemas_in_use
from tests.protocol import device, patch_model
from tests.protocol.patch_model import patched
from tests.scim import ACCOUNT_USER, ENTERPRISE, PATCH_OP

BATCHES = int(os.environ.get("PATCH_BATCHES", "2"))
"""Batches of sequences of operations that are held to the model. More on demand."""
SEQUENCES = 2_000
"""Sequences in a batch, for each resource type."""

DIFFERENCES = frozenset({patch_model.PRIMARY_TERM})
"""What RFC 7644 and the decisions leave open: server and model differ, and a sequence that meets one is left out."""

WORDS = ["a", "A", "b", "ß", "ss", "é", "Ａ", "a b"]
"""Few words, some the same but for letter case or form, so that values often meet."""
INSTANTS = ["2026-01-01T00:00:00Z", "2026-01-01T09:00:00+09:00", "2026-01-02T00:00:00Z"]
USED = {
    "externalId", "userName", "title", "active", "name", "emails", "phoneNumbers", "addresses", "roles",
    "department", "costCenter", "manager", "validFrom",
}  # fmt: skip
DERIVED: dict[str, Any] = {
    "id": "7", "meta.version": 'W/"1"', "groups": [{"value": "g", "type": "direct"}], "groups.type": "direct",
    f"{ENTERPRISE}:manager.displayName": "Boss", f"{ACCOUNT_USER}:companyName": "Example",
}  # fmt: skip
SHOWN: dict[str, Any] = {
    "id": "7", "meta": {"version": 'W/"1"'}, "groups": [{"value": "g", "type": "direct"}],
    ENTERPRISE: {"manager": {"displayName": "Boss"}}, ACCOUNT_USER: {"companyName": "Example"},
}  # fmt: skip
ODD: list[dict[str, Any]] = [
    {"op": "add", "path": "nosuch", "value": "a"},
    {"op": "Add", "path": "title", "value": "a"},
    {"op": "add"},
    {"op": "remove"},
    {"op": "add", "value": "a"},
    {"op": "replace", "path": "externalId"},
    {"op": "remove", "path": "meta["},
    {"op": "remove", "path": "schemas"},
    {"op": "replace", "path": "schemas", "value": None},
    {"op": "replace", "path": "schemas", "value": ["urn:x:y"]},
]

seeds = st.integers(0, 2**32)
unshrunk = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""A smaller seed makes nothing simpler."""

KNOWN = read_accepted(
    "schemas,operation-case,short-names,unknown-attributes,empty-text,values-to-remove,filtered-element"
)
"""The habits that the reference model knows."""


class Types:
    """Resource types, not written out when a test fails."""

    def __init__(self, *each: ResourceType) -> None:
        self.each = each


@pytest.fixture(scope="module")
def types(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Types:
    """User, and a type with required and immutable attributes and sub-attributes."""
    value = {"name": "value"}
    kind = {"name": "type", "canonicalValues": ["work", "home"]}
    primary = {"name": "primary", "type": "boolean"}
    fixed = {"name": "fixed", "mutability": "immutable"}
    note = {"name": "note"}
    several = {"type": "complex", "multiValued": True}
    gadget = device(
        tmp_path_factory.mktemp("gadget"),
        {"name": "label", "required": True},
        {"name": "serial", "mutability": "immutable"},
        {"name": "owner", "type": "complex", "subAttributes": [value | {"required": True}, fixed, note]},
        {"name": "tags", "multiValued": True},
        {"name": "codes", "multiValued": True, "caseExact": True},
        several | {"name": "ports", "subAttributes": [value | {"required": True, "caseExact": True}, kind, primary, fixed]},
        several | {"name": "sites", "required": True, "subAttributes": [value, kind, primary, note]},
        several | {"name": "cards", "subAttributes": [value, kind | {"required": True}, note]},
        several | {"name": "marks", "subAttributes": [fixed, note, primary]},
    )  # fmt: skip
    return Types(registry.resource_types["User"], gadget)


class Maker:
    """Makes documents and patches of a resource type from a seed."""

    def __init__(self, random: Random, resource_type: ResourceType) -> None:
        self.random = random
        self.resource_type = resource_type
        self.is_user = resource_type.name == "User"
        self.attributes = [a for a in resource_type.attributes if not self.is_user or a.name in USED]
        self.stored: dict[str, Any] = {}

    def sometimes(self, share: float) -> bool:
        return self.random.random() < share

    def cased(self, name: str) -> str:
        return name.upper() if self.sometimes(0.05) else name

    # Documents

    def document(self) -> dict[str, Any]:
        """Return a stored document, in which no value stands twice."""
        while True:
            urns = [self.resource_type.schema.id, *(e.schema.id for e in self.resource_type.extensions)]
            body: dict[str, Any] = {"schemas": urns}
            for attribute in self.attributes:
                if attribute.required or self.sometimes(0.6):
                    container = body.setdefault(attribute.urn, {}) if attribute.urn else body
                    container[attribute.name] = self.whole(attribute)
            try:
                document = check(self.resource_type, body)
            except ScimError:
                continue
            if any(has_twins(value) for value in document.values()):
                continue
            self.stored = {"schemas": schemas_in_use(self.resource_type, document), "id": "7", **document}
            return self.stored

    def whole(self, attribute: Attribute) -> Any:
        if attribute.multi_valued:
            return self.elements(attribute, 4)
        return self.element(attribute) if attribute.sub_attributes else self.simple(attribute)

    # Values

    def simple(self, attribute: Attribute) -> Any:
        if attribute.type == "boolean":
            return self.sometimes(0.5)
        if attribute.type == "dateTime":
            return self.random.choice(INSTANTS)
        if attribute.canonical_values:
            return self.random.choice([*attribute.canonical_values[:2], attribute.canonical_values[0].upper(), "a"])
        return self.random.choice(WORDS)

    def element(self, attribute: Attribute) -> dict[str, Any]:
        """Return some sub-attributes, mostly what is required and the value."""
        usual = 0.4 if attribute.sub("value") else 0.2
        shares = {"value": 0.85, "primary": 0.2}
        chosen = [
            sub
            for sub in attribute.sub_attributes
            if self.sometimes(0.97 if sub.required else shares.get(sub.name, usual))
        ]
        return {sub.name: self.simple(sub) for sub in chosen}

    def elements(self, attribute: Attribute, most: int) -> list[Any]:
        make = self.element if attribute.sub_attributes else self.simple
        return [make(attribute) for _ in range(self.random.randrange(most + 1))]

    def every(self, attribute: Attribute) -> list[Any]:
        container = self.stored.get(attribute.urn, {}) if attribute.urn else self.stored
        values: list[Any] = container.get(attribute.name, [])
        return values

    def present(self, attribute: Attribute) -> list[Any]:
        """Return some values that the document has, now and then with another primary."""
        every = self.every(attribute)
        present = deepcopy(self.random.sample(every, self.random.randint(0, len(every))))
        for element in present:
            if attribute.sub("primary") and self.sometimes(0.3):
                element["primary"] = self.sometimes(0.6)
        return present

    def value(self, attribute: Attribute) -> Any:
        """Return a value for the whole attribute, mostly a fit one."""
        if self.sometimes(0.06):
            return self.random.choice([None, "", [], {}])
        if self.sometimes(0.015):
            return self.random.choice([7, ["a", 7], {"value": 7}, True])
        if not attribute.multi_valued:
            return self.part(attribute) if attribute.sub_attributes else self.simple(attribute)
        several = self.elements(attribute, 2)
        if self.sometimes(0.4):
            several += self.present(attribute)
        return several[0] if several and self.sometimes(0.3) else several

    def part(self, attribute: Attribute) -> dict[str, Any]:
        """Return some sub-attributes, some of them unassigned, some in another letter case."""
        made = self.element(attribute)
        if self.sometimes(0.2):
            made[self.random.choice(attribute.sub_attributes).name] = self.random.choice([None, ""])
        if self.sometimes(0.03):
            made = {"unknown": "a"}
        return {self.cased(name): value for name, value in made.items()}

    def selection(self, attribute: Attribute) -> Any:
        """Return values to remove, mostly such as there are."""
        picked = self.present(attribute)
        if self.sometimes(0.3):
            picked += self.elements(attribute, 2)
        if attribute.sub_attributes:
            picked = [{name: member for name, member in each.items() if self.sometimes(0.8)} for each in picked]
        return picked[0] if picked and self.sometimes(0.3) else picked

    # Operations

    def body(self) -> dict[str, Any]:
        operations = [self.operation() for _ in range(self.random.randint(1, 6))]
        return {"schemas": [PATCH_OP], "Operations": operations}

    def operation(self) -> dict[str, Any]:
        op = self.random.choice(["add", "add", "replace", "replace", "remove"])
        if self.sometimes(0.012):
            return deepcopy(self.random.choice(ODD))
        if self.is_user and self.sometimes(0.015):
            path = self.random.choice(list(DERIVED))
            return {"op": op, "path": path, "value": "other" if self.sometimes(0.2) else deepcopy(DERIVED[path])}
        if op != "remove" and self.sometimes(0.12):
            return {"op": op, "value": self.resource()}
        attribute = self.random.choice(self.attributes)
        if attribute.urn and self.sometimes(0.1):
            return {"op": op, "path": attribute.urn} | (
                {} if op == "remove" else {"value": self.container(attribute.urn)}
            )
        path, value = self.target(attribute)
        if op != "remove":
            return {"op": op, "path": path, "value": value}
        if path == attribute.path and attribute.multi_valued and self.sometimes(0.6):
            return {"op": op, "path": path, "value": self.selection(attribute)}
        return {"op": op, "path": path}

    def resource(self) -> dict[str, Any]:
        """Return the value of an operation without path."""
        made: dict[str, Any] = {}
        for attribute in self.random.sample(self.attributes, self.random.randint(1, 3)):
            if attribute.urn:
                made[attribute.urn] = self.container(attribute.urn)
            elif self.sometimes(0.96):
                made[self.cased(attribute.path)] = self.value(attribute)
            else:
                path, value = self.target(attribute)
                made[path] = value
        if self.sometimes(0.1):
            made |= {"unknown": 1, "meta": {"version": "x"}, "id": "7"}
        return made

    def container(self, urn: str) -> Any:
        """Return the value of an extension, mostly an object."""
        if self.sometimes(0.1):
            return self.random.choice([None, {}, "a"])
        return {self.cased(a.name): self.value(a) for a in self.attributes if a.urn == urn and self.sometimes(0.6)}

    def target(self, attribute: Attribute) -> tuple[str, Any]:
        """Return a path at or into the attribute, and a value for it."""
        path = self.cased(attribute.name if self.sometimes(0.1) else attribute.path)
        if not attribute.sub_attributes or self.sometimes(0.35):
            return path, self.value(attribute)
        if attribute.multi_valued and self.sometimes(0.85):
            path += f"[{self.condition(attribute)}]"
            if self.sometimes(0.4):
                return path, self.random.choice([None, {}, "a"]) if self.sometimes(0.08) else self.part(attribute)
        sub = self.random.choice([sub for sub in attribute.sub_attributes if sub.mutability != "readOnly"])
        return f"{path}.{sub.name}", self.random.choice([None, "", 7]) if self.sometimes(0.1) else self.simple(sub)

    def condition(self, attribute: Attribute) -> str:
        """Return a condition that often fits some element."""
        if self.sometimes(0.01):
            return "nosuch pr"
        joined = self.term(attribute)
        for _ in range(self.random.choice([0, 0, 0, 1, 1, 2])):
            joined += f" {self.random.choice(['and', 'and', 'or'])} {self.term(attribute)}"
        return f"not ({joined})" if self.sometimes(0.05) else joined

    def term(self, attribute: Attribute) -> str:
        sub = self.random.choice(attribute.sub_attributes)
        operand = self.simple(sub)
        present = [(name, member) for element in self.every(attribute) for name, member in element.items()]
        if present and self.sometimes(0.8):
            name, operand = self.random.choice(present)
            sub = next(sub for sub in attribute.sub_attributes if sub.name == name)
        if self.sometimes(0.08):
            return self.random.choice([f"{sub.name} pr", f"{sub.name} eq null", f"{sub.name} ne null"])
        operator = "eq"
        if self.sometimes(0.15):
            operator = (
                "ne" if sub.type == "boolean" else self.random.choice(["ne", "co", "sw", "ew", "gt", "ge", "lt", "le"])
            )
        return f"{self.cased(sub.name)} {operator} {json.dumps(operand)}"


def has_twins(value: Any) -> bool:
    return isinstance(value, list) and any(element in value[:index] for index, element in enumerate(value))


def sequences(seed: int, types: Types, count: int) -> Iterator[tuple[Maker, dict[str, Any], dict[str, Any]]]:
    """Make documents and patches, without those that meet what is known to differ."""
    for resource_type in types.each:
        make = Maker(Random(f"{seed} {resource_type.name}"), resource_type)
        for _ in range(count):
            document, body = make.document(), make.body()
            if not patched(resource_type, document, body, shown(document)).notes & DIFFERENCES:
                yield make, document, body


def shown(document: dict[str, Any]) -> dict[str, Any]:
    return document | SHOWN


def applied(resource_type: ResourceType, document: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    return patch.apply(resource_type, document, read_operations(resource_type, body, Habits(KNOWN)), shown(document))


def result(resource_type: ResourceType, document: dict[str, Any], body: dict[str, Any]) -> Any:
    """Return what PATCH makes of a document, or the scimType of its refusal."""
    try:
        return applied(resource_type, document, body)
    except ScimError as refusal:
        return refusal.scim_type


@settings(unshrunk, max_examples=BATCHES)
@given(seed=seeds)
def test_the_reference_model_agrees(types: Types, seed: int) -> None:
    outcomes: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for make, document, body in sequences(seed, types, SEQUENCES):
        expected = patched(make.resource_type, document, body, shown(document))
        found = result(make.resource_type, document, body)
        case = json.dumps({"document": document, "operations": body["Operations"]}, ensure_ascii=False)
        if isinstance(found, str):
            assert found in expected.scim_types, case
            outcomes[found] += 1
        else:
            assert (found, list(found)) == (expected.document, list(expected.document or {})), case
            outcomes["same" if found == document else "changed"] += 1
        for operation in body["Operations"]:
            reached.update(reach(make.resource_type, document, operation))
    total = outcomes.total()
    assert total > SEQUENCES * len(types.each) * 0.75
    # Sequences that are all refused, or filters that all fit or all miss, would prove little.
    assert outcomes["changed"] > total * 0.4
    assert outcomes["same"] > total * 0.03
    assert total - outcomes["changed"] - outcomes["same"] > total * 0.2
    for scim_type in ("mutability", "invalidValue", "noTarget", "invalidPath", "invalidFilter", "invalidSyntax"):
        assert outcomes[scim_type] > 5, scim_type
    assert min(reached["fits"], reached["misses"]) > total * 0.15


def reach(resource_type: ResourceType, document: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    """Tell whether something fits the filter of an operation, if it has one."""
    if not isinstance(operation.get("path"), str) or "[" not in operation["path"]:
        return []
    try:
        fits = fitting(resource_type, document, operation["path"])
    except patch_model.Refused:
        return []
    return ["fits" if fits else "misses"]


def fitting(resource_type: ResourceType, document: dict[str, Any], path: str) -> list[Any]:
    """Return the elements that the filter in a path selects."""
    target = patch_model.find(resource_type, path)
    return [e for e in document.get(target.attribute.name, []) if patch_model.fits(target.condition, e)]


@settings(unshrunk, max_examples=2)
@given(seed=seeds)
def test_the_result_always_validates(types: Types, seed: int) -> None:
    for make, document, body in sequences(seed, types, 300):
        found = result(make.resource_type, document, body)
        if isinstance(found, dict):
            members = {name: value for name, value in found.items() if name not in ("schemas", "id")}
            assert check(make.resource_type, found) == members, body
            assert found["schemas"] == schemas_in_use(make.resource_type, members)
            assert found["id"] == document["id"]


@settings(unshrunk, max_examples=2)
@given(seed=seeds)
def test_a_failing_last_operation_leaves_the_document_alone(types: Types, seed: int) -> None:
    for make, document, body in sequences(seed, types, 300):
        if not isinstance(result(make.resource_type, document, body), dict):
            continue
        required, several = ("userName", "emails") if make.is_user else ("label", "sites")
        failing = make.random.choice([
            {"op": "remove", "path": required},
            {"op": "replace", "path": "id", "value": "8"},
            {"op": "replace", "path": several, "value": [{"value": 7}]},
            {"op": "replace", "path": f'{several}[value co "nobody"].type', "value": "work"},
            {"op": "remove", "path": "nosuch"},
        ])  # fmt: skip
        before = deepcopy(document)
        operations = [*body["Operations"], failing]
        with pytest.raises(ScimError, match=f"^Operation {len(operations)}: "):
            applied(make.resource_type, document, body | {"Operations": operations})
        assert document == before


@settings(unshrunk, max_examples=2)
@given(seed=seeds)
def test_replacing_or_removing_twice_is_the_same_as_once(types: Types, seed: int) -> None:
    compared = 0
    for make, document, body in sequences(seed, types, 500):
        for operation in body["Operations"]:
            if operation["op"] not in ("replace", "remove"):
                continue
            alone, twice = ({"schemas": [PATCH_OP], "Operations": [operation] * count} for count in (1, 2))
            if patched(make.resource_type, document, twice, shown(document)).notes & DIFFERENCES:
                continue
            once = result(make.resource_type, document, alone)
            if isinstance(once, dict) and not depends_on_itself(make.resource_type, document, once, operation):
                assert result(make.resource_type, once, alone) == once, (document, operation)
                assert result(make.resource_type, document, twice) == once, (document, operation)
                compared += 1
    assert compared > 1000


def depends_on_itself(
    resource_type: ResourceType, before: dict[str, Any], after: dict[str, Any], operation: dict[str, Any]
) -> bool:
    """Tell whether a filter finds other elements once they are replaced, or must find what had to be made first."""
    path = operation.get("path") or ""
    if operation["op"] == "remove" or "[" not in path:
        return False
    is_made_before_it_is_overwritten = path.endswith("]") and not fitting(resource_type, before, path)
    no_longer_fits = not fitting(resource_type, after, path)
    return "primary" in path.lower() or is_made_before_it_is_overwritten or no_longer_fits


@settings(unshrunk, max_examples=2)
@given(seed=seeds)
def test_neither_the_document_nor_the_operations_are_changed(types: Types, seed: int) -> None:
    for make, document, body in sequences(seed, types, 300):
        before, sent = deepcopy(document), deepcopy(body)
        try:
            operations = read_operations(make.resource_type, body, Habits(KNOWN))
        except ScimError:
            continue
        values = deepcopy([operation.value for operation in operations])
        try:
            found = patch.apply(make.resource_type, document, operations, shown(document))
        except ScimError:
            found = None
        assert (document, body) == (before, sent)
        assert [operation.value for operation in operations] == values
        if found is not None:
            assert patch.apply(make.resource_type, document, operations, shown(document)) == found
