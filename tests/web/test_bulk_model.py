"""A Bulk does what the single requests do: both are sent, each to a tenant of its own, and compared."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from scim_server.storage.database import Database
from tests.conftest import Caller
from tests.scim import ACCOUNT_GROUP, ENTERPRISE, GROUP, PATCH_OP, USER, create
from tests.web.test_bulk import Asked, Result, bulk, id_in, post_user, put

BATCHES = int(os.environ.get("BULK_BATCHES", "1"))
SEQUENCES = 20
"""Sequences of operations in a batch, for each test."""

OLD: dict[str, tuple[str, dict[str, Any]]] = {
    "u0": ("Users", {"userName": "ann", "title": "Guide"}),
    "u1": ("Users", {"userName": "bob", ENTERPRISE: {"manager": {"value": "<u0>"}}}),
    "s0": ("Services", {"displayName": "Mail"}),
    "g0": (
        "Groups",
        {"displayName": "Guides", "members": [{"value": "<u0>"}], ACCOUNT_GROUP: {"services": [{"value": "<s0>"}]}},
    ),
    "g1": ("Groups", {"displayName": "Staff", "members": [{"value": "<g0>"}, {"value": "<u1>"}]}),
}
"""What both tenants have before. <u0> is an id, <etag u0> a version, <other> the id of a user of the other tenant."""
PLACEHOLDER = "00000000-0000-7000-8000-000000000000"
"""Stands in a single request for what does not exist yet, or never will."""


class Operation(NamedTuple):
    asked: Asked
    is_wrong: bool
    """Refused whatever there is."""


class Outcome(NamedTuple):
    status: str
    scim_type: str | None = None
    detail: str | None = None

    @property
    def is_refusal(self) -> bool:
        return not self.status.startswith("2")

    def agrees(self, found: "Outcome") -> bool:
        return self[:2] == found[:2] and self.detail in (None, found.detail)


CONFLICT = Outcome("409")


# Sequences of operations. In a draft, <new Users 3> is some user that is created, <new  3> any resource, <at 1> what the
# next operation creates, <n> the number of the operation. What is refused whatever there is has a member that says so.

WRONG = "is wrong"


def weighted(*each: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return one of several, by weight. `one_of` leaves out what is named twice."""
    numbers = [number for number, (weight, _) in enumerate(each) for _ in range(weight)]
    return st.sampled_from(numbers).flatmap(lambda number: each[number][1])


def new(endpoint: str = "") -> st.SearchStrategy[str]:
    return st.integers(0, 11).map(lambda number: f"<new {endpoint} {number}>")


def named(endpoint: str = "") -> st.SearchStrategy[str]:
    """Return ids of a resource type or of all."""
    olds = st.sampled_from([f"<{name}>" for name, (of, _) in OLD.items() if endpoint in {"", of}])
    return weighted((6, olds), (6, new(endpoint)), (1, st.sampled_from(["nobody", "<other>", "bulkId:none"])))


def reference(ids: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return ids.map(lambda id: {"value": id})


def elements(ids: st.SearchStrategy[str], most: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    by_uri = ids.map(lambda id: {"$ref": f"../Users/{id}"})
    return st.lists(weighted((3, reference(ids)), (1, by_uri)), max_size=most)


def managed(ids: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"manager": reference(ids)})


def names(*taken: str) -> st.SearchStrategy[str]:
    return weighted((2, st.just("new <n>")), (1, st.sampled_from(taken)))


def change(
    op: str | st.SearchStrategy[str], path: str | st.SearchStrategy[str] | None = None, value: Any = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Return operations of a PATCH."""
    parts = {"op": op, "path": path, "value": value}
    given = {name: part for name, part in parts.items() if part is not None}
    return st.fixed_dictionaries(
        {name: part if isinstance(part, st.SearchStrategy) else st.just(part) for name, part in given.items()}
    )


# Few names, some the same but for letter case or form, so that they often meet.
USER_NAMES = names("ann", "bob", "cid", "ANN", "Bob", "Ｃｉｄ")
GROUP_NAMES = names("Guides", "Staff", "Board", "GUIDES", "board")
TITLES = st.sampled_from(["Guide", "Chief", "", None])
EMAILS = [{"type": "work", "value": "w@x.org"}, {"type": "home", "value": "h@x.org", "primary": True}]
PASSWORDS = st.sampled_from([None, None, "first secret", "other secret"])
MANAGER = managed(named())
MEMBERS = elements(named(), 3)
SERVICES = elements(weighted((9, named("Services")), (1, named())), 1)
DESCRIPTIONS = st.sampled_from("de")

BODIES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Users": st.fixed_dictionaries(
        {"userName": USER_NAMES},
        optional={
            "title": TITLES, "active": st.booleans(), "emails": st.just(EMAILS), "password": PASSWORDS,
            "externalId": weighted((3, st.just("e")), (1, new())),
            ENTERPRISE: MANAGER,
        },
    ),
    "Groups": st.fixed_dictionaries(
        {"displayName": GROUP_NAMES},
        optional={
            "members": MEMBERS, "externalId": st.just("e"),
            ACCOUNT_GROUP: st.fixed_dictionaries({}, optional={"description": DESCRIPTIONS, "services": SERVICES}),
        },
    ),
    "Services": st.fixed_dictionaries({"displayName": st.just("Mail")}, optional={"description": DESCRIPTIONS}),
}  # fmt: skip
WRITES = st.sampled_from(["add", "replace"])
CHANGES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Users": st.one_of(
        change(WRITES, "title", TITLES),
        change(WRITES, "userName", USER_NAMES),
        change(WRITES, f"{ENTERPRISE}:manager.value", named()),
        change(WRITES, ENTERPRISE, MANAGER),
        change(WRITES, value=BODIES["Users"]),
        change(WRITES, "password", PASSWORDS),
        change("add", "groups", elements(named("Groups"), 1)),
        change("add", "emails", EMAILS),
        change("replace", 'emails[type co "w"].value', "v@x.org"),
        change("remove", st.sampled_from(["title", f"{ENTERPRISE}:manager", 'emails[type eq "home"]', "password"])),
    ),
    "Groups": st.one_of(
        change("add", "members", MEMBERS),
        change("add", "members", MEMBERS),
        change("replace", "members", MEMBERS),
        change("remove", "members", MEMBERS),
        change("remove", named().map('members[value eq "{}"]'.format)),
        change("remove", named().map('members[$ref ew "/{}"]'.format)),
        change("add", named().map('members[value eq "{}"]'.format), {"type": "User"}),
        change("remove", st.sampled_from(["members", 'members[type eq "Group"]'])),
        change(WRITES, "displayName", GROUP_NAMES),
        change(WRITES, f"{ACCOUNT_GROUP}:services", SERVICES),
        change(WRITES, value=BODIES["Groups"]),
    ),
    "Services": change(WRITES, "description", DESCRIPTIONS),
}
WRONG_BODIES: dict[str, list[dict[str, Any]]] = {
    "Users": [
        {"userName": None}, {"userName": 5}, {"schemas": [GROUP]}, {"active": "maybe"}, {"password": "short"},
        {"emails": [EMAILS[1]] * 2},
    ],
    "Groups": [{"displayName": None}, {"schemas": [USER]}, {"members": [{}]}, {"members": "x"}],
    "Services": [{"displayName": 5}, {"schemas": [GROUP]}, {"url": "a b"}],
}  # fmt: skip


def wrong_changes(name: str) -> list[dict[str, Any]]:
    return [
        {"op": "remove"}, {"op": "move", "path": name}, {"op": "add", "path": name}, {"op": "remove", "path": name},
        {"op": "add", "path": f"{name}[", "value": "x"}, {"op": "replace", "path": name, "value": 5},
        {"op": "replace", "path": "nosuch", "value": "x"}, {"op": "replace", "path": "id", "value": "x"},
    ]  # fmt: skip


def patches(changes: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(changes, min_size=1, max_size=3)
    return several.map(lambda found: {"schemas": [PATCH_OP], "Operations": found})


def drafts(method: str, endpoint: str) -> st.SearchStrategy[Asked]:
    """Return operations of one kind, before they have their references."""
    common = {"method": st.just(method)}
    right, wrong = BODIES[endpoint], st.sampled_from(WRONG_BODIES[endpoint])
    if method == "PATCH":
        spoilt = st.sampled_from(wrong_changes("userName" if endpoint == "Users" else "displayName"))
        right = patches(CHANGES[endpoint])
        wrong = spoilt.map(lambda wrong: {"Operations": [wrong]})
    if method == "POST":
        common |= {"path": st.just(f"/{endpoint}"), "bulkId": BULK_IDS}
    else:
        common["path"] = weighted((9, named(endpoint)), (1, named())).map(f"/{endpoint}/{{}}".format)
        common["version"] = st.sampled_from(VERSIONS)
    if method == "DELETE":
        return st.fixed_dictionaries(common)
    faulty = st.fixed_dictionaries(common | {"data": st.builds(spoiled, right, wrong), WRONG: st.just(True)})
    return weighted((9, st.fixed_dictionaries(common | {"data": right})), (1, faulty))


def spoiled(right: dict[str, Any], wrong: dict[str, Any]) -> dict[str, Any]:
    """Return a body with something wrong in it, a PATCH with something wrong after what is right."""
    return right | wrong | ({"Operations": right["Operations"] + wrong["Operations"]} if "Operations" in right else {})


BULK_IDS = weighted((19, st.just("b<n>")), (1, st.just("b<first>")))
VERSIONS = [*[None] * 9, "*", "*", "", 'W/"x"', '"x", W/"1"', 'W/"1"', '"2"', 'W/"3"', "<etag>", "<etag>", "<etag>"]
DRAFTS = weighted(
    (5, drafts("POST", "Users")), (4, drafts("POST", "Groups")), (1, drafts("POST", "Services")),
    (2, drafts("PUT", "Users")), (2, drafts("PUT", "Groups")), (1, drafts("PUT", "Services")),
    (3, drafts("PATCH", "Users")), (4, drafts("PATCH", "Groups")), (1, drafts("PATCH", "Services")),
    (2, drafts("DELETE", "Users")), (2, drafts("DELETE", "Groups")), (1, drafts("DELETE", "Services")),
)  # fmt: skip


PATCHING = {"method": st.just("PATCH"), "path": st.just("/Groups/<g1>")}
WAITING = st.fixed_dictionaries(PATCHING | {"data": patches(change("add", "members", elements(new(), 2)))})
FOLLOWING = st.fixed_dictionaries(PATCHING | {"data": patches(CHANGES["Groups"])})


@st.composite
def circles(draw: st.DrawFn) -> list[Asked]:
    """Return creates of which each refers to the next one and the last to the first."""
    size = draw(st.integers(2, 3))
    found: list[Asked] = []
    for number in range(size):
        following = {"value": f"<at {(number + 1) % size - number}>"}
        if draw(st.integers(0, 3)) < 3:
            data: dict[str, Any] = {"userName": draw(USER_NAMES), ENTERPRISE: {"manager": following}}
        else:
            data = {"displayName": draw(GROUP_NAMES), "members": [following]}
        endpoint = "Users" if "userName" in data else "Groups"
        found.append({"method": "POST", "path": f"/{endpoint}", "bulkId": "b<n>", "data": data})
    return found


def sequences(*, forwards: bool) -> st.SearchStrategy[list[Operation]]:
    """Return operations that refer to those before them, or to any."""
    single = DRAFTS.map(lambda draft: [draft])
    each = weighted((6, single), (2, circles()), (1, st.tuples(WAITING, FOLLOWING))) if forwards else single
    several = weighted(*((1, st.lists(each, min_size=least, max_size=12)) for least in (2, 6, 10)))
    return several.map(lambda chunks: finished([draft for chunk in chunks for draft in chunk][:12], forwards=forwards))


def finished(drafted: Sequence[Asked], *, forwards: bool) -> list[Operation]:
    """Put references to one another into drafts."""
    posts = [(number, each["path"][1:]) for number, each in enumerate(drafted) if each["method"] == "POST"]

    def finish(number: int, draft: Asked) -> Operation:
        def chosen(found: re.Match[str]) -> str:
            endpoint, index = found.groups()
            fit = [n for n, of in posts if (forwards or n < number) and endpoint in {"", of}]
            old = next(name for name, (of, _) in OLD.items() if endpoint in {"", of})
            return f"bulkId:b{fit[int(index) % len(fit)]}" if fit else f"<{old}>"

        text = re.sub(r"<new (\w*) (\d+)>", chosen, json.dumps(draft))
        text = re.sub(r"<at (-?\d+)>", lambda found: f"bulkId:b{number + int(found[1])}", text)
        asked = json.loads(text.replace("<n>", str(number)).replace("<first>", str(posts[0][0] if posts else 0)))
        if asked.get("version") == "<etag>":
            target = asked["path"].split("/")[2].strip("<>")
            asked["version"] = f"<etag {target}>" if target in OLD else None
        return Operation(asked, is_wrong=asked.pop(WRONG, False))

    return [finish(number, draft) for number, draft in enumerate(drafted)]


# What operations refer to


def bulk_ids_in(value: Any) -> set[str]:
    return set(re.findall(r"bulkId:(\w+)", json.dumps(value)))


def rows_in(data: Any) -> list[list[dict[str, Any]]]:
    """Return the lists of what a group points to."""
    found = [data.get("members"), data.get(ACCOUNT_GROUP, {}).get("services")]
    return [elements for elements in found if isinstance(elements, list)]


class References:
    """Which operations are named by others, and what is wrong with that."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.creators: dict[str, int] = {}
        self.refusals: dict[int, Outcome] = {}
        for number, (asked, _) in enumerate(operations):
            if asked["method"] == "POST" and self.creators.setdefault(asked["bulkId"], number) != number:
                self.refusals[number] = Outcome("400", "invalidSyntax")
        self.named: dict[int, set[int]] = {}
        self.before: dict[int, set[int]] = {}
        last: dict[str, int] = {}
        for number, (asked, _) in enumerate(operations):
            self.named[number] = self._named(number, asked)
            target = asked["path"].split("/")[2:]
            self.before[number] = {last[id] for id in target if id in last}
            last |= dict.fromkeys(target, number)

    def _named(self, number: int, asked: Asked) -> set[int]:
        if number in self.refusals:
            return set()
        found: set[int] = set()
        for part in (asked["path"], asked.get("data")):
            names = bulk_ids_in(part)
            if not names <= self.creators.keys():
                self.refusals[number] = Outcome("400", "invalidValue")
                break
            found |= {self.creators[name] for name in names}
        return found

    def order(self) -> list[list[int]]:
        return ordered({number: named | self.before[number] for number, named in self.named.items()})


def ordered(needs: Mapping[int, set[int]]) -> list[list[int]]:
    """Return operations so that each comes as soon as what it needs is done, circles after their last."""
    reached = {number: set(need) for number, need in needs.items()}
    for via, further in reached.items():
        for found in reached.values():
            found.update(further if via in found else ())
    circles = {number: {number} | {n for n in found if number in reached[n]} for number, found in reached.items()}
    waiting = sorted({tuple(sorted(circle)) for circle in circles.values()}, key=max)
    done: set[int] = set()
    found_order: list[list[int]] = []
    while waiting:
        circle = next(each for each in waiting if all(needs[number] <= done | set(each) for number in each))
        waiting.remove(circle)
        done |= set(circle)
        found_order.append(list(circle))
    return found_order


# The two tenants


@dataclass(repr=False)
class Side:
    """A tenant, and what the ids in it stand for."""

    caller: Caller
    database: Database
    words: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    mark: int = 0
    """The number of the last row of the audit before."""

    @property
    def http(self) -> httpx2.Client:
        return self.caller.http

    def prepare(self) -> None:
        left = [{"method": "DELETE", "path": place(found)} for found in self.resources()]
        assert not left or {result["status"] for result in bulk(self.http, *left)} == {"204"}
        self.words, self.known = {}, {}
        for name, (endpoint, data) in OLD.items():
            self.words[name] = create(self.http, endpoint, **self.filled(data))["id"]
            self.known[self.words[name]] = name
        for found in self.resources():
            self.words[f"etag {self.known[found['id']]}"] = found["meta"]["version"]
        self.mark = self.last_audited()

    def resources(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("?count=1000").json().get("Resources", [])
        return found

    def filled(self, value: Any) -> Any:
        text = json.dumps(value)
        for name, word in self.words.items():
            text = text.replace(f"<{name}>", json.dumps(word)[1:-1])
        return json.loads(text)

    def shown(self, text: str) -> str:
        """Return a text as it would be in any tenant."""
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda id: f"<{self.known.get(id[0], '?')}>", text)
        return re.sub(r'(W/\\?"[0-9]+)-[0-9a-f]{8}', r"\1-", text)

    def state(self) -> list[dict[str, Any]]:
        """Return all resources without what differs from tenant to tenant."""
        found: list[dict[str, Any]] = json.loads(self.shown(json.dumps(self.resources())))
        for resource in found:
            del resource["meta"]["created"], resource["meta"]["lastModified"]
        return found

    def passwords(self) -> list[str]:
        """Return who has one."""
        sql = "SELECT r.id FROM password p JOIN resource r ON r.key = p.resource"
        return sorted(self.known[id] for (id,) in self.database.rows(sql) if id in self.known)

    def last_audited(self) -> int:
        sql = "SELECT max(number) FROM audit WHERE tenant = ?"
        return int(self.database.rows(sql, (self.caller.tenant.number,))[0][0] or 0)

    def audited(self, hidden: Sequence[range] = ()) -> list[tuple[str, ...]]:
        """Return what was done, in the order of its doing: operation, type, id and attributes."""
        sql = (
            "SELECT number, operation, resource_type, resource_id, attributes FROM audit"
            " WHERE tenant = ? AND number > ? ORDER BY number"
        )
        rows = self.database.rows(sql, (self.caller.tenant.number, self.mark))
        return [
            (operation, type, self.shown(id), names)
            for number, operation, type, id, names in rows
            if not any(number in span for span in hidden)
        ]


def place(resource: Mapping[str, Any]) -> str:
    return "/" + "/".join(resource["meta"]["location"].split("/")[-2:])


@dataclass
class Singles:
    """Sends operations one after another, and says what a Bulk is to make of them."""

    side: Side
    operations: Sequence[Operation]
    references: References
    allowed: dict[int, list[Outcome]] = field(default_factory=dict)
    """What may become of those that were done: mostly one outcome."""
    ids: dict[str, str] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    completed: Counter[str] = field(default_factory=Counter)
    """How often what was created was then changed so that it says what the Bulk can say at once."""
    hidden: list[range] = field(default_factory=list)
    """Rows of the audit that a Bulk does not write."""

    def run(self, order: Sequence[Sequence[int]], most: int | None = None) -> None:
        """Send operations until so many of them failed."""
        for numbers in order:
            if most and len(self.failed) >= most:
                return
            if len(numbers) == 1 and numbers[0] not in self.references.named[numbers[0]]:
                self._do_one(numbers[0])
            else:
                self._do_circle(numbers)

    def _do_one(self, number: int) -> None:
        operation = self.operations[number]
        if number in self.references.refusals:
            self._refused(number, self.references.refusals[number])
        elif self.references.named[number] & self.failed:
            self._refused(number, CONFLICT, *self._own(number))
        else:
            outcome = self._send(operation.asked)
            assert outcome.is_refusal or not operation.is_wrong, operation
            self.allowed[number] = [outcome]
            self.failed |= {number} if outcome.is_refusal else set()

    def _refused(self, number: int, *outcomes: Outcome) -> None:
        self.allowed[number] = list(outcomes)
        self.failed.add(number)

    def _own(self, number: int) -> list[Outcome]:
        """Return what an operation is refused with by itself, whatever it refers to."""
        if not self.operations[number].is_wrong:
            return []
        outcome = self._send(self.operations[number].asked)
        assert outcome.is_refusal
        return [outcome]

    def _do_circle(self, numbers: Sequence[int]) -> None:
        """Create what refers to one another or to itself, all or none."""
        before = self.side.last_audited()
        inner = ordered({number: self._rows(number) & set(numbers) - {number} for number in numbers})
        if any(len(circle) > 1 for circle in inner):
            for number in numbers:
                self._refused(number, CONFLICT, *self._own(number))
            return
        for (number,) in inner:
            if refusals := self._do_in_circle(number):
                break
        if refusals:
            assert all(refusal.is_refusal for refusal in refusals)
            self._undo(numbers)
            for other in numbers:
                self._refused(other, *(refusals if other == number else [CONFLICT, *self._own(other)]))
            self.hidden.append(range(before + 1, self.side.last_audited() + 1))
            return
        created = self.side.last_audited()
        for number in numbers:
            self.allowed[number] = [Outcome("201")]
            self._complete(number)
        self.hidden.append(range(created + 1, self.side.last_audited() + 1))

    def _rows(self, number: int) -> set[int]:
        """Return which operations create what this one points to, and so have to come first."""
        data = self.operations[number].asked["data"]
        return {self.references.creators[name] for name in bulk_ids_in(rows_in(data)) & self.references.creators.keys()}

    def _do_in_circle(self, number: int) -> list[Outcome]:
        """Create a resource as far as is possible now; return its refusals."""
        if self.references.named[number] & self.failed:
            return [CONFLICT, *self._own(number)]
        asked = self.operations[number].asked
        own = f"bulkId:{asked['bulkId']}"
        without = json.loads(json.dumps(asked))
        for found in rows_in(without["data"]):
            found[:] = [element for element in found if own not in json.dumps(element)]
        outcome = self._send(without)
        if outcome.is_refusal:
            return [outcome] if without == asked else [CONFLICT, outcome]
        # Only once it is there can a single request put a group into itself.
        return [] if without == asked else [self._send(replacing(asked))]

    def _complete(self, number: int) -> None:
        """Let a user that was created name those that were created after it."""
        asked = self.operations[number].asked
        if asked["path"] == "/Users":
            before = len(self.side.audited())
            assert self._send(replacing(asked)).status == "200"
            self.completed[asked["bulkId"]] = len(self.side.audited()) - before

    def _undo(self, numbers: Sequence[int]) -> None:
        for number in reversed(numbers):
            asked = self.operations[number].asked
            if asked["bulkId"] in self.ids:
                assert self._send(replacing(asked) | {"method": "DELETE", "data": None}).status == "204"
                del self.side.known[self.ids.pop(asked["bulkId"])]

    def _send(self, asked: Asked) -> Outcome:
        text = json.dumps(self.side.filled(asked))
        single = json.loads(re.sub(r"bulkId:(\w+)", lambda found: self.ids.get(found[1], PLACEHOLDER), text))
        version = single.get("version")
        response = self.side.http.request(
            single["method"],
            single["path"][1:],
            json=single.get("data"),
            headers={} if version is None else {"If-Match": version},
        )
        if response.is_success:
            if single["method"] == "POST":
                self.ids[single["bulkId"]] = response.json()["id"]
                self.side.known[response.json()["id"]] = single["bulkId"]
            return Outcome(str(response.status_code))
        refusal = outcome_of(response.json())
        if refusal.detail and "cannot contain itself" in refusal.detail:
            assert refusal[:2] == ("400", "invalidValue")
            return Outcome("409", None, refusal.detail)
        return refusal


def replacing(asked: Asked) -> Asked:
    """Return the replacement of what an operation creates by just that."""
    return {"method": "PUT", "path": f"{asked['path']}/bulkId:{asked['bulkId']}", "data": asked["data"]}


def outcome_of(error: Mapping[str, Any]) -> Outcome:
    return Outcome(error["status"], error.get("scimType"), error.get("detail"))


@dataclass(repr=False)
class Twins:
    """Two tenants with the same resources, of which one gets the Bulk and the other the single requests."""

    one: Side
    other: Side
    outcomes: Counter[str] = field(default_factory=Counter)

    def hold(self, operations: Sequence[Operation], order: Sequence[Sequence[int]], most: int | None = None) -> None:
        """Send operations in both ways and compare what became of each and of all resources."""
        references = References(operations)
        for side in (self.one, self.other):
            side.prepare()
        for side, other in ((self.one, self.other), (self.other, self.one)):
            side.words["other"] = other.words["u0"]
            side.known[other.words["u0"]] = "other"
        assert self.one.state() == self.other.state()
        singles = Singles(self.other, operations, references)
        singles.run(order, most)
        asked = [self.one.filled(operation.asked) for operation in operations]
        results = bulk(self.one.http, *asked, failOnErrors=most)
        done = {number: operations[number].asked for number in sorted(singles.allowed)}
        assert [(result["method"], result.get("bulkId")) for result in results] == [
            (single["method"], single.get("bulkId")) for single in done.values()
        ]
        for result in results:
            if result["status"] == "201":
                self.one.known[id_in(result)] = result["bulkId"]
        for (number, single), result in zip(done.items(), results, strict=True):
            self._compare_result(single, result, singles.allowed[number])
            self.outcomes[f"{result['status']} {result.get('response', {}).get('scimType', '')}".strip()] += 1
        self._compare_state(singles)

    def _compare_result(self, asked: Asked, result: Result, allowed: Sequence[Outcome]) -> None:
        found = outcome_of({"status": result["status"]} | result.get("response", {}))
        expected = [self._seen(self.other, outcome) for outcome in allowed]
        assert any(outcome.agrees(self._seen(self.one, found)) for outcome in expected), (asked, found, expected)
        if found.is_refusal:
            assert "version" not in result
        else:
            path = asked["path"] + (f"/<{asked['bulkId']}>" if asked["method"] == "POST" else "")
            location = re.sub(r"bulkId:(\w+)", r"<\1>", f"{self.one.http.base_url}{path[1:]}")
            assert self.one.shown(result["location"]) == location
            response = self.one.http.get(result["location"])
            assert result.get("version") == response.headers.get("ETag"), (asked, result)

    @staticmethod
    def _seen(side: Side, outcome: Outcome) -> Outcome:
        if outcome.detail is None:
            return outcome
        # Single requests change what they create in a circle once more.
        detail = re.sub(r'W/"[0-9]+-"', 'W/"user"', side.shown(outcome.detail))
        # Of several unknown ids any may be named.
        return outcome._replace(detail=re.sub(r"(there is no .* with the id) '.*'", r"\1", detail))

    def _compare_state(self, singles: Singles) -> None:
        expected = self.other.state()
        for resource in expected:
            name, meta = resource["id"][1:-1], resource["meta"]
            if singles.completed[name]:
                number = int(meta["version"].strip('W/"-')) - singles.completed[name]
                meta["version"] = f'W/"{number}-"'
        assert self.one.state() == expected
        assert self.one.passwords() == self.other.passwords()
        assert self.one.audited() == self.other.audited(singles.hidden)

    def assert_reached(self) -> None:
        """Assert that enough was done and enough was refused."""
        done = sum(number for what, number in self.outcomes.items() if what.startswith("2"))
        assert SEQUENCES * BATCHES / 2 < done < self.outcomes.total() - SEQUENCES * BATCHES / 2


@pytest.fixture
def twins(callers: Callable[[], Caller], database: Database) -> Twins:
    return Twins(Side(callers(), database), Side(callers(), database))


many = settings(
    max_examples=SEQUENCES * BATCHES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def with_password(secret: str, version: str | None = None) -> Operation:
    return Operation(put("/Users/bulkId:b0", version=version, userName="b0", password=secret), is_wrong=False)


# The last operation sends the password that the account has already, and changes nothing.
CREATED = Operation(post_user("b0", password="first secret"), is_wrong=False)
PASSWORD_TWICE = [CREATED, with_password("first secret")]
PASSWORD_AFTER_REFUSED = [CREATED, with_password("other secret", 'W/"x"'), with_password("first secret")]
PASSWORD_BEFORE_CREATED = [with_password("first secret"), CREATED]


def test_a_bulk_does_what_the_single_requests_do(twins: Twins) -> None:
    @many
    @example(operations=PASSWORD_TWICE)
    @example(operations=PASSWORD_AFTER_REFUSED)
    @given(operations=sequences(forwards=False))
    def hold(operations: list[Operation]) -> None:
        twins.hold(operations, [[number] for number in range(len(operations))])

    hold()
    twins.assert_reached()


def test_an_operation_that_names_a_later_one_is_done_after_it(twins: Twins) -> None:
    @many
    @example(operations=PASSWORD_BEFORE_CREATED)
    @given(operations=sequences(forwards=True))
    def hold(operations: list[Operation]) -> None:
        twins.hold(operations, References(operations).order())

    hold()
    twins.assert_reached()


def test_after_so_many_errors_nothing_more_is_done(twins: Twins) -> None:
    @many
    @given(operations=st.booleans().flatmap(lambda forwards: sequences(forwards=forwards)), most=st.integers(1, 4))
    def hold(operations: list[Operation], most: int) -> None:
        twins.hold(operations, References(operations).order(), most)

    hold()
    twins.assert_reached()
