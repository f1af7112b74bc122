"""What does a writer write, and what must be there after it?

The writes of one writer follow from their numbers, each touching several tables, so what is found is compared with a
model of the first so many of them: whatever is lost, halved or done twice makes a difference.
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2 as httpx
import orjson

from scim_server.protocol import template
from scim_server.protocol.registry import Registry
from scim_server.resources.bulk import Bulk
from scim_server.storage.database import Database
from scim_server.storage.keys import type_in
from tests.crash.invariants import broken
from tests.scim import BULK_REQUEST, PATCH_OP
from tests.storage.conftest import House

_BLOCK = 6
"""Writes until the names change."""
_USERS = 12
"""Users in a Bulk."""


class Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None


IdOf = Callable[[str, str], str]
"""Returns the id of a resource by its type and name."""


def request(prefix: str, number: int, id_of: IdOf) -> Request:
    """Return one write: a Bulk of users and their group, then POST, PATCH of members, DELETE, PUT, PATCH of a user."""
    block, step = divmod(number, _BLOCK)
    name = f"{prefix}{block}"
    match step:
        case 0:
            users = [
                {"method": "POST", "path": "/Users", "bulkId": str(n), "data": _user(f"{name}-{n}")}
                for n in range(_USERS)
            ]
            data = {"displayName": name, "members": [{"value": f"bulkId:{n}"} for n in range(_USERS)]}
            group = {"method": "POST", "path": "/Groups", "bulkId": "g", "data": data}
            return Request("POST", "Bulk", {"schemas": [BULK_REQUEST], "Operations": [group, *users]})
        case 1:
            return Request("POST", "Users", _user(f"{name}-x"))
        case 2:
            added = {"op": "add", "path": "members", "value": [{"value": id_of("User", f"{name}-x")}]}
            removed = {"op": "remove", "path": f'members[value eq "{id_of("User", f"{name}-0")}"]'}
            return Request("PATCH", f"Groups/{id_of('Group', name)}", _patch(added, removed))
        case 3:
            return Request("DELETE", f"Users/{id_of('User', f'{name}-1')}", None)
        case 4:
            return Request("PUT", f"Users/{id_of('User', f'{name}-2')}", _user(f"{name}-2y", "Boss"))
        case _:
            title = {"op": "replace", "path": "title", "value": "Chief"}
            emails = {"op": "remove", "path": "emails"}
            return Request("PATCH", f"Users/{id_of('User', f'{name}-x')}", _patch(title, emails))


def _user(name: str, title: str = "Guide") -> dict[str, Any]:
    emails = [{"value": f"{name}@x.example", "type": kind} for kind in ("work", "home")]
    return {"userName": name, "title": title, "externalId": name, "emails": emails}


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_OP], "Operations": list(operations)}


@dataclass(eq=False)
class _Thing:
    """A resource as it must be."""

    name: str
    title: str | None = None
    emails: int = 0
    version: int = 1
    members: "list[_Thing]" = field(default_factory=list)
    history: Counter[str] = field(default_factory=lambda: Counter(create=1))
    is_gone: bool = False

    def change(self, operation: str) -> None:
        self.version += 1
        self.history[operation] += 1


State = dict[str, Any]


class Model:
    """What there is after the first ``done`` writes of one writer."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.done = 0
        self.things: list[_Thing] = []
        self.users: list[_Thing] = []
        """Those of the present names, the one that is created alone at the end."""
        self.group = _Thing("")

    def apply(self) -> None:
        """Do the next write."""
        step = self.done % _BLOCK
        self.done += 1
        match step:
            case 0:
                name = f"{self.prefix}{self.done // _BLOCK}"
                self.users = [_Thing(f"{name}-{n}", "Guide", 2) for n in range(_USERS)]
                self.group = _Thing(name, members=self.users[:])
                self.things += [*self.users, self.group]
            case 1:
                self.users.append(_Thing(f"{self.group.name}-x", "Guide", 2))
                self.things.append(self.users[-1])
            case 2:
                self.group.members.remove(self.users[0])
                self.group.members.append(self.users[-1])
                self.group.change("patch")
            case 3:
                self.users[1].is_gone = True
                self.users[1].history["delete"] += 1
                self.group.members.remove(self.users[1])
                self.group.change("replace")
            case 4:
                self.users[2].name, self.users[2].title = f"{self.users[2].name}y", "Boss"
                self.users[2].change("replace")
            case _:
                self.users[-1].title, self.users[-1].emails = "Chief", 0
                self.users[-1].change("patch")

    def state(self) -> State:
        return {
            each.name: (
                each.is_gone,
                each.version,
                each.title,
                each.emails,
                sorted(member.name for member in each.members),
                each.history,
            )
            for each in self.things
        }


def observed(database: Database, prefix: str) -> State:
    """Return what one writer has written, as the database has it."""
    history: dict[str, Counter[str]] = {}
    for id, operation in database.rows("SELECT resource_id, operation FROM audit"):
        history.setdefault(id, Counter())[operation] += 1
    names: dict[int, str] = {}
    state: dict[int, list[Any]] = {}
    sql = "SELECT key, id, version, template, 0 FROM resource JOIN body USING (key)"
    for key, id, version, text, is_gone in database.rows(
        f"{sql} UNION ALL SELECT key, id, version, template, 1 FROM tombstone"
    ):
        document = template.stored(text)
        name = document.get("userName") or document["displayName"]
        if name.startswith(prefix):
            names[key] = name
            emails = len(document.get("emails", []))
            state[key] = [bool(is_gone), version, document.get("title"), emails, [], history.get(id, Counter())]
    for source, target in database.rows("SELECT source, target FROM reference"):
        if source in state:
            state[source][4].append(names[target])
    found: State = {}
    for key, (*fields, members, changes) in state.items():
        again = " again" if names[key] in found else ""
        found[names[key] + again] = (*fields, sorted(members), changes)
    return found


def lost_or_halved(database: Database, registry: Registry, model: Model, acknowledged: int) -> list[str]:
    """Return what is wrong after a crash: the acknowledged writes must be there, whole, and one further may be.

    The model goes on to what was found.
    """
    if wrong := broken(database, registry):
        return wrong
    while model.done < acknowledged:
        model.apply()
    found = observed(database, model.prefix)
    if found == model.state():
        return []
    further = copy.deepcopy(model)
    further.apply()
    if found == further.state():
        model.apply()
        return []
    return [f"after {model.done} writes: {_difference(model.state(), found)}"]


def _difference(wanted: State, found: State) -> str:
    return "; ".join(
        f"{name}: {found.get(name)} instead of {wanted.get(name)}"
        for name in sorted({*wanted, *found})
        if wanted.get(name) != found.get(name)
    )


def write(house: House, prefix: str, number: int) -> None:
    """Do one write through the resources, without HTTP."""
    method, path, body = request(prefix, number, lambda kind, name: id_in(house.database, kind, name))
    endpoint, _, id = path.partition("/")
    if endpoint == "Bulk":
        shared = house.resources["User"].shared
        results = orjson.loads(Bulk(shared, house.resources.values()).run(house.by, orjson.dumps(body)))["Operations"]
        assert {result["status"] for result in results} == {"201"}, results
        return
    of_type = house.resources[endpoint[:-1]]
    match method:
        case "POST":
            of_type.create(house.by, body)
        case "PUT":
            of_type.replace(house.by, id, body)
        case "PATCH":
            of_type.patch(house.by, id, body)
        case _:
            of_type.delete(house.by, id)


def send(http: httpx.Client, prefix: str, number: int) -> bool:
    """Do one write over HTTP; tell whether it was done. Raises TransportError when it is not known."""
    missing = False

    def id_of(kind: str, name: str) -> str:
        nonlocal missing
        attribute = "userName" if kind == "User" else "displayName"
        answer = http.get(f"{kind}s", params={"filter": f'{attribute} eq "{name}"', "attributes": "id"})
        found = answer.json().get("Resources") if answer.is_success else None
        missing = missing or not found
        return str(found[0]["id"]) if found else ""

    method, path, body = request(prefix, number, id_of)
    if missing:
        return False
    answer = http.request(method, path, json=body)
    if path != "Bulk":
        return answer.is_success
    return answer.is_success and all(result["status"] == "201" for result in answer.json()["Operations"])


def id_in(database: Database, kind: str, name: str) -> str:
    """Return the id of a resource by its name."""
    column = "user_name" if kind == "User" else "display_name"
    found = database.rows(f"SELECT id, key FROM resource WHERE substr({column}, 1, 200) = ?", (name,))
    (number,) = database.row("SELECT number FROM resource_type WHERE name = ?", (kind,)) or (0,)
    (id,) = (id for id, key in found if type_in(key) == number)
    return str(id)
