"""Every habit of clients: accepted by default, refused when it alone is switched off, and by the RFC's strict reading."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import httpx2
import pytest

from scim_server.app import create_app
from scim_server.protocol.habits import ALL, HABITS
from scim_server.storage.database import Database
from tests.conftest import Caller
from tests.scim import ENTERPRISE, GROUP, PATCH_OP, USER, assert_scim_error, create_group, create_user
from tests.server import Server

Ask = Callable[[httpx2.Client, str, str], httpx2.Response]
"""Send a request that has the habit, given the ids of a user and of a group that it is in."""


@dataclass(frozen=True)
class Case:
    """A request with one habit, what the strict reading says, and what the habit must have done."""

    ask: Ask
    status: int
    scim_type: str | None
    done: Callable[[dict[str, Any]], bool]


def change(path: str, *operations: dict[str, Any], **members: Any) -> Ask:
    message = {"schemas": [PATCH_OP], "Operations": list(operations)} | members
    return lambda http, user, group: http.patch(path.format(user=user, group=group), json=filled(message, user))


def filled(value: Any, user: str) -> Any:
    if isinstance(value, dict):
        return {name: filled(member, user) for name, member in value.items()}
    if isinstance(value, list):
        return [filled(element, user) for element in value]
    return value.replace("<user>", user) if isinstance(value, str) else value


def on_user(op: str, path: str | None, value: Any) -> Ask:
    named = {} if path is None else {"path": path}
    return change("Users/{user}", {"op": op, **named, "value": value})


def post(**members: Any) -> Ask:
    return lambda http, _user, _group: http.post("Users", json={"schemas": [USER], "userName": "new"} | members)


def search(text: str) -> Ask:
    return lambda http, user, _group: http.get("Users", params={"filter": text.replace("<user>", user)})


def manager(found: dict[str, Any]) -> Any:
    return found[ENTERPRISE]["manager"]["value"]


CASES: dict[str, Case] = {
    "endpoint-case": Case(
        lambda http, user, _: http.get(f"users/{user}"), 404, None, lambda found: found["userName"] == "bjensen"
    ),
    "schemas": Case(
        lambda http, *_: http.post("Users", json={"userName": "new"}), 400, "invalidSyntax", lambda found: found["schemas"][0] == USER
    ),
    "operation-case": Case(on_user("Replace", "title", "T"), 400, "invalidSyntax", lambda found: found["title"] == "T"),
    "list-or-one": Case(post(title=["T"], emails={"value": "a@b"}), 400, "invalidValue",
        lambda found: found["title"] == "T" and found["emails"] == [{"value": "a@b"}]),
    "flat-names": Case(
        on_user("replace", None, {"name.givenName": "G", f"{ENTERPRISE}:department": "D"}), 400, "invalidSyntax",
        lambda found: found["name"]["givenName"] == "G" and found[ENTERPRISE]["department"] == "D",
    ),
    "short-names": Case(on_user("add", "department", "D"), 400, "invalidPath", lambda found: found[ENTERPRISE]["department"] == "D"),
    "unknown-attributes": Case(post(favouriteColour="blue"), 400, "invalidSyntax", lambda found: "favouriteColour" not in found),
    "read-only-members": Case(
        on_user("replace", None, {"id": "other", "title": "T"}), 400, "mutability", lambda found: found["title"] == "T" and found["id"] != "other"
    ),
    "empty-text": Case(on_user("replace", "title", ""), 400, "invalidValue", lambda found: "title" not in found),
    "text-for-object": Case(on_user("add", f"{ENTERPRISE}:manager", "x"), 400, "invalidValue", lambda found: manager(found) == "x"),
    "text-for-boolean": Case(on_user("replace", "active", "False"), 400, "invalidValue", lambda found: found["active"] is False),
    "values-to-remove": Case(
        change("Groups/{group}", {"op": "remove", "path": "members", "value": [{"value": "<user>"}]}), 400, "invalidValue",
        lambda found: len(found["members"]) == 1,
    ),
    "filtered-element": Case(
        on_user("replace", 'phoneNumbers[type eq "mobile"].value', "5"), 400, "noTarget",
        lambda found: found["phoneNumbers"] == [{"value": "5", "type": "mobile"}],
    ),
    "unquoted-operand": Case(search("userName eq bjensen"), 400, "invalidFilter", lambda found: found["totalResults"] == 1),
    "filter-after-brackets": Case(
        search('emails[type eq "work"].value eq "b@x.org"'), 400, "invalidFilter", lambda found: found["totalResults"] == 1
    ),
}  # fmt: skip


@pytest.fixture
def at(server: Server, caller: Caller) -> Iterator[Callable[[frozenset[str]], httpx2.Client]]:
    """Make clients of a server that accepts these habits only."""
    with ExitStack() as opened:

        def make(accepted: frozenset[str]) -> httpx2.Client:
            return opened.enter_context(caller.local(app_with(server, accepted)))

        yield make


@lru_cache
def app_with(server: Server, accepted: frozenset[str]) -> Any:
    return create_app(replace(server.settings, compatibility=accepted))


@pytest.fixture
def people(http: httpx2.Client) -> tuple[str, str]:
    """A user, and a group of that user and another one."""
    emails = [{"value": "b@x.org", "type": "work"}]
    user = create_user(http, "bjensen", title="Guide", active=True, emails=emails)["id"]
    return user, create_group(http, "Guides", user, create_user(http, "jsmith")["id"])["id"]


def test_every_habit_has_a_case() -> None:
    # No bundled schema has a number: that habit is tested with the protocol.
    assert {*CASES, "text-for-number"} == {habit.name for habit in HABITS} == ALL


@pytest.mark.parametrize("name", CASES)
def test_a_habit_is_accepted(http: httpx2.Client, people: tuple[str, str], name: str) -> None:
    answer = CASES[name].ask(http, *people)
    assert answer.is_success, answer.text
    assert CASES[name].done(answer.json())


@pytest.mark.parametrize("name", CASES)
def test_it_is_accepted_alone(
    at: Callable[[frozenset[str]], httpx2.Client], people: tuple[str, str], name: str
) -> None:
    answer = CASES[name].ask(at(frozenset({name})), *people)
    assert answer.is_success, answer.text
    assert CASES[name].done(answer.json())


@pytest.mark.parametrize("others", ["off", "on"])
@pytest.mark.parametrize("name", CASES)
def test_switched_off_it_is_refused_and_nothing_is_done(
    at: Callable[[frozenset[str]], httpx2.Client],
    http: httpx2.Client,
    people: tuple[str, str],
    name: str,
    others: str,
) -> None:
    before = http.get("Users").json(), http.get("Groups").json()
    accepted = ALL - {name} if others == "on" else frozenset()
    answer = CASES[name].ask(at(accepted), *people)
    assert_scim_error(answer, CASES[name].status, CASES[name].scim_type)
    assert (http.get("Users").json(), http.get("Groups").json()) == before


def fresh(server: Server, caller: Caller) -> httpx2.Client:
    """Return a client of a server that has noted nothing yet, so that it writes the first request's habits at once."""
    return caller.local(create_app(server.settings))


def habits_of(database: Database, http: httpx2.Client) -> dict[str, int]:
    token = http.headers["Authorization"].split("_")[1]
    return dict(database.rows("SELECT name, uses FROM habit WHERE token = ?", (token,)))


def test_uses_are_counted_for_each_token_and_shown(
    server: Server, caller: Caller, database: Database, people: tuple[str, str]
) -> None:
    user = people[0]
    with fresh(server, caller) as client:
        CASES["text-for-boolean"].ask(client, *people)
        assert habits_of(database, client) == {"text-for-boolean": 1}
    token = client.headers["Authorization"].split("_")[1]
    shown = server.command("token", "show", token)
    assert shown.returncode == 0, shown.stderr
    assert "text-for-boolean  1 requests, last " in shown.stdout
    assert "scim_" not in shown.stdout
    assert caller.http.get(f"Users/{user}").json()["active"] is False


def test_what_is_read_by_the_rfc_has_no_habit(server: Server, caller: Caller, database: Database) -> None:
    with fresh(server, caller) as client:
        user = create_user(client, "bjensen", emails=[{"value": "a@b", "type": "work"}])["id"]
        group = create_group(client, "G", user)["id"]
        operation = {"op": "remove", "path": f'members[value eq "{user}"]'}
        assert change(f"Groups/{group}", operation)(client, user, group).is_success
        assert client.get("Users", params={"filter": 'emails[type eq "work"] and userName eq "x"'}).is_success
        assert client.put(f"Groups/{group}", json={"schemas": [GROUP], "displayName": "H"}).is_success
        assert habits_of(database, client) == {}


def test_what_is_refused_all_the_same_has_no_habit(
    server: Server, caller: Caller, database: Database, people: tuple[str, str]
) -> None:
    with fresh(server, caller) as client:
        body = {"schemas": [PATCH_OP], "Operations": [{"op": "Replace", "path": "title", "value": 5}]}
        assert_scim_error(client.patch(f"Users/{people[0]}", json=body), 400, "invalidValue")
        assert habits_of(database, client) == {}
    with fresh(server, caller) as client:
        CASES["operation-case"].ask(client, *people)
        assert habits_of(database, client) == {"operation-case": 1}
