"""Many clients do what they like: there is an order in which one alone could have done it all."""

import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database
from tests.crash.apps import command
from tests.crash.crowd import Answer, Asked, Crowd, add_members
from tests.crash.invariants import broken
from tests.releases import ROOT
from tests.scim import PATCH_OP
from tests.server import Server

OPERATIONS = int(os.environ.get("RACE_OPERATIONS", "80"))
"""Operations of each client."""
CLIENTS = 16
NAMES = [f"person{number}" for number in range(24)]

State = frozenset[str]
"""The ids of a group's members, or the one title of a user."""
Change = Callable[[State], State]


class Client:
    """A client that does operations at random, and notes what it changed and what it saw."""

    def __init__(self, crowd: Crowd, seed: int, groups: Mapping[str, str], users: list[str]) -> None:
        self.crowd = crowd
        self.chance = random.Random(seed)
        self.groups = groups
        """Names by ids."""
        self.users = users
        """The ids of users that any client made."""
        self.changes: list[tuple[str, int, Change]] = []
        self.created: list[tuple[str, str]] = []
        """The id and the name of each user that it made."""
        self.deleted: list[str] = []
        self.seen: dict[str, tuple[int, str] | None] = {}
        self.wrong: list[str] = []

    def run(self, operations: int) -> None:
        for number in range(operations):
            user = self.chance.choice(self.users) if self.users else "none"
            group = self.chance.choice([*self.groups])
            weights = (4, 2, 3, 3, 5, 4, 2, 2, 2)
            kinds = (
                self.create, self.delete, self.retitle, self.replace, self.add, self.remove, self.put_members,
                self.read_user, self.read_group,
            )  # fmt: skip
            operation = self.chance.choices(kinds, weights)[0]
            operation(user, group, f"{id(self)} {number}")

    def create(self, user: str, group: str, title: str) -> None:
        name = self.chance.choice(NAMES)
        answer = self.send("", Asked("POST", "Users", {"userName": name, "title": title}), {201, 409})
        if answer.status == 201:
            self.created.append((answer.body["id"], name))
            self.changes.append((answer.body["id"], 1, lambda _: frozenset({title})))
            self.users.append(answer.body["id"])

    def delete(self, user: str, group: str, title: str) -> None:
        if self.send(user, Asked("DELETE", f"Users/{user}"), {204, 404}).status == 204:
            self.deleted.append(user)
            self.seen[user] = None

    def retitle(self, user: str, group: str, title: str) -> None:
        operation = {"op": "replace", "path": "title", "value": title}
        asked = Asked("PATCH", f"Users/{user}", {"schemas": [PATCH_OP], "Operations": [operation]})
        self.change(user, asked, lambda _: frozenset({title}))

    def replace(self, user: str, group: str, title: str) -> None:
        known = self.send(user, Asked("GET", f"Users/{user}"), {200, 404})
        if known.status == 200:
            asked = Asked("PUT", f"Users/{user}", {"userName": known.body["userName"], "title": title})
            self.change(user, asked, lambda _: frozenset({title}))

    def add(self, user: str, group: str, title: str) -> None:
        named = frozenset(self.some_users())
        self.change(group, add_members(group, *named), lambda members: members | named)

    def remove(self, user: str, group: str, title: str) -> None:
        operation = {"op": "remove", "path": f'members[value eq "{user}"]'}
        asked = Asked("PATCH", f"Groups/{group}", {"schemas": [PATCH_OP], "Operations": [operation]})
        self.change(group, asked, lambda members: members - {user})

    def put_members(self, user: str, group: str, title: str) -> None:
        named = frozenset(self.some_users())
        body = {"displayName": self.groups[group], "members": [{"value": id} for id in named]}
        self.change(group, Asked("PUT", f"Groups/{group}", body), lambda _: named)

    def read_user(self, user: str, group: str, title: str) -> None:
        self.send(user, Asked("GET", f"Users/{user}"), {200, 404})

    def read_group(self, user: str, group: str, title: str) -> None:
        self.send(group, Asked("GET", f"Groups/{group}"), {200})

    def some_users(self) -> list[str]:
        return self.chance.choices(self.users[-20:], k=self.chance.randint(1, 3)) if self.users else []

    def change(self, id: str, asked: Asked, change: Change) -> None:
        answer = self.send(id, asked, {200, 400, 404})
        if answer.status == 200:
            self.changes.append((id, version_in(answer), change))

    def send(self, id: str, asked: Asked, expected: set[int]) -> Answer:
        """Send a request and compare what it tells of a resource with what was seen of it before."""
        answer = self.crowd.send_one(*asked)
        if answer.status not in expected:
            self.wrong.append(f"{asked} was answered with {answer}")
        elif answer.status == 404:
            self.seen[id] = None
        elif answer.status == 200:
            before, now = self.seen.get(id, (0, "")), (version_in(answer), answer.body["meta"]["lastModified"])
            self.seen[id] = now
            if before is None:
                self.wrong.append(f"{id} came back")
            elif now[0] < before[0] or now[1] < before[1]:
                self.wrong.append(f"{id} went back from {before} to {now}")
        return answer


def version_in(answer: Answer) -> int:
    found = re.match(r'W/"(\d+)', answer.body["meta"]["version"])
    assert found
    return int(found[1])


def replayed(audit: Iterable[tuple[str, str]], clients: Sequence[Client]) -> dict[str, State]:
    """Return what is left when one client does all changes in the order of the audit."""
    changes: dict[tuple[str, int], list[Change]] = defaultdict(list)
    for client in clients:
        for id, version, change in client.changes:
            changes[id, version].append(change)
    state: dict[str, State] = {}
    versions: Counter[str] = Counter()
    deleted, losing = "", set[str]()
    for operation, id in audit:
        versions[id] += 1
        if losing:
            # The groups that lose a deleted user are audited right after it.
            losing.remove(id)
            state[id] -= {deleted}
        elif operation == "delete":
            del state[id]
            deleted, losing = id, {group for group, members in state.items() if id in members}
        elif operation == "create":
            state[id] = frozenset()
            for change in changes[id, 1]:
                state[id] = change(state[id])
        else:
            state[id] = changed(state[id], changes[id, versions[id]])
    return state


def changed(state: State, changes: Sequence[Change]) -> State:
    """Return the next state; one of the changes led to it, and the others found it so."""
    candidates = {change(state) for change in changes} - {state}
    (found,) = (each for each in candidates if all(change(each) == each for change in changes))
    return found


def play(tmp_path: Path, app: str, operations: int = OPERATIONS) -> tuple[Server, list[Client]]:
    """Let many clients do what they like with a server; return it when it ended."""
    server = Server(tmp_path, {"SCIM_THREADS": "8", "SCIM_LOG_LEVEL": "warning"}).initialised()
    token = server.token("admin")
    with server.started(command(app), ROOT), ThreadPoolExecutor(CLIENTS) as pool:
        with Crowd(server, token, 1) as crowd:
            names = [f"group{number}" for number in range(4)]
            groups = {crowd.create("Groups", {"displayName": name}): name for name in names}
        users: list[str] = []

        def run(seed: int) -> Client:
            with Crowd(server, token, 1) as crowd:
                client = Client(crowd, seed, groups, users)
                client.run(operations)
            return client

        return server, list(pool.map(run, range(CLIENTS)))


def test_what_many_clients_did_is_what_one_could_have_done_though_the_clock_jumps(
    tmp_path: Path, registry: Registry
) -> None:
    """Each of the clients does as many operations as RACE_OPERATIONS says."""
    server, clients = play(tmp_path, "set_back")
    assert [line for client in clients for line in client.wrong] == []
    created = {id: name for client in clients for id, name in client.created}
    live = created.keys() - {id for client in clients for id in client.deleted}
    assert len({created[id] for id in live}) == len(live)
    with closing(open_database(server.settings.database_url)) as database:
        assert broken(database, registry) == []
        audit = database.rows("SELECT operation, resource_id FROM audit ORDER BY number")
        wanted = replayed([(operation, id) for operation, id in audit], clients)
        assert wanted == found_in(database)
        assert live == {id for id in wanted if id in created}
        assert sum(total for (total,) in database.rows("SELECT total FROM collection")) == len(wanted)


def found_in(database: Database) -> dict[str, State]:
    """Return the title of every user and the members of every group."""
    sql = (
        "SELECT r.id, CASE WHEN r.user_name IS NULL THEN t.id ELSE r.title END FROM resource r"
        " LEFT JOIN reference m ON m.source = r.key LEFT JOIN resource t ON t.key = m.target"
    )
    found: dict[str, Any] = defaultdict(set)
    for id, value in database.rows(sql):
        found[id] |= {value} - {None}
    return {id: frozenset(values) for id, values in found.items()}


def test_a_server_that_forgets_times_is_found_out(tmp_path: Path) -> None:
    _, clients = play(tmp_path, "forgetful", 20)
    assert any("went back" in line for client in clients for line in client.wrong)


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ({"a"}, [lambda s: s | {"b"}, lambda s: s | {"a", "b"}, lambda s: s - {"c"}], {"a", "b"}),
        ({"a"}, [lambda s: s - {"a"}, lambda _: frozenset()], set()),
    ],
)
def test_of_changes_to_one_version_one_led_to_it(before: set[str], changes: list[Change], after: set[str]) -> None:
    assert changed(frozenset(before), changes) == after
    with pytest.raises(ValueError, match="unpack"):
        changed(frozenset(before), [*changes, lambda _: frozenset("z")])
