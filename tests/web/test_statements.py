"""How many statements a request sends to the database: as many for a thousand users as for twenty."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from scim_server.app import create_app
from scim_server.demo.company import Company
from scim_server.demo.loading import load
from scim_server.protocol.registry import Registry
from scim_server.storage.commits import File
from scim_server.storage.opening import open_database
from tests.scim import MEDIA_TYPE, PATCH_OP, USER
from tests.server import Server
from tests.storage.conftest import house_on

SIZES = (20, 1000)


@dataclass
class Place:
    """An application with some users, all of them in the first group, and the statements that it sends."""

    http: FlaskClient
    token: str
    sent: list[str]
    users: list[dict[str, Any]]
    groups: list[str]

    def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[Any, int]:
        """Return what a request is answered, and how many statements it sends but for one about its token."""
        self.sent.clear()
        answer = self.http.open(
            f"/scim/v2/{path}",
            method=method,
            data=json.dumps(body) if body else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": MEDIA_TYPE},
        )
        assert answer.status_code in (200, 201, 204), answer.data
        others = [sql for sql in self.sent if " token " not in sql]
        assert len(self.sent) - len(others) <= 1
        return json.loads(answer.data or b"null"), len(others)

    def patch(self, path: str, *operations: dict[str, Any]) -> int:
        _, count = self.ask(path, "PATCH", {"schemas": [PATCH_OP], "Operations": list(operations)})
        return count


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[list[Place]]:
    """One place with few users and one with many."""
    made = []
    sent: list[str] = []
    execute = File.execute_sql

    def listen(self: File, sql: str, params: Any = None) -> Any:
        sent.append(sql)
        return execute(self, sql, params)

    for size in SIZES:
        server = Server(tmp_path_factory.mktemp("place")).initialised()
        database = open_database(server.settings.database_url)
        house = house_on(database, registry)
        load(house.resources, house.by, Company(users=size, groups=10, largest_group=size, seed=1), [].append)
        database.close()
        made.append(Place(create_app(server.settings).test_client(), server.token("admin"), sent, [], []))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(File, "execute_sql", listen)
        for place in made:
            place.users = place.ask("Users?count=20")[0]["Resources"]
            place.groups = [group["id"] for group in place.ask("Groups?excludedAttributes=members")[0]["Resources"]]
        yield made


def test_a_read_by_id_is_one_statement(places: list[Place]) -> None:
    for place in places:
        found, count = place.ask(f"Users/{place.users[3]['id']}")
        assert found["groups"] and found["userName"]
        assert count == 1
        assert place.ask(f"Groups/{place.groups[0]}?excludedAttributes=members")[1] == 1


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", "count=10"), ("", "count=10&startIndex=7"), ("", "count=10&sortBy=userName"), ('userName eq "{userName}"', ""),
        ('externalId eq "{externalId}"', ""), ('emails.value eq "{userName}"', ""), ('displayName co "{displayName}"', "count=10"),
        ("active eq true", "count=10"),
    ],
)  # fmt: skip
def test_a_page_is_two_statements_at_most(places: list[Place], text: str, options: str) -> None:
    for place in places:
        filter = f"&filter={quote(text.format_map(place.users[0]))}" if text else ""
        found, count = place.ask(f"Users?{options}{filter}")
        assert found["totalResults"] >= 1
        assert count <= 2


def test_pages_by_cursor_are_two_statements_at_any_depth(places: list[Place]) -> None:
    for place in places:
        cursor, pages = "", 0
        while cursor is not None:
            found, count = place.ask(f"Users?count={SIZES[0] // 2}&cursor={cursor}")
            assert count <= 2
            cursor, pages = found.get("nextCursor"), pages + 1
        assert pages == found["totalResults"] // (SIZES[0] // 2)


def test_the_number_of_all_is_one_statement_that_reads_a_counter(places: list[Place]) -> None:
    for place, size in zip(places, SIZES, strict=True):
        found, count = place.ask("Users?count=0")
        assert (found["totalResults"], count) == (size, 1)
        assert "FROM collection" in place.sent[-1]


def test_writing_a_user_does_not_depend_on_how_many_there_are(places: list[Place]) -> None:
    body = {"schemas": [USER], "userName": "new@example.com", "externalId": "new", "password": "correct horse"}
    counts = []
    for place in places:
        made, created = place.ask("Users", "POST", body)
        disabled = place.patch(f"Users/{made['id']}", {"op": "replace", "path": "active", "value": False})
        _, deleted = place.ask(f"Users/{made['id']}", "DELETE")
        counts.append((created, disabled, deleted))
    assert counts[0] == counts[1]
    assert max(counts[0]) < 25


def test_changing_members_does_not_depend_on_the_size_of_the_group(places: list[Place]) -> None:
    counts = []
    for place in places:
        made, _ = place.ask("Users", "POST", {"schemas": [USER], "userName": "member@example.com"})
        member, path = {"value": made["id"]}, f"Groups/{place.groups[0]}"
        added = place.patch(path, {"op": "add", "path": "members", "value": [member]})
        again = place.patch(path, {"op": "add", "path": "members", "value": [member]})
        removed = place.patch(path, {"op": "remove", "path": f'members[value eq "{made["id"]}"]'})
        counts.append((added, again, removed))
    assert counts[0] == counts[1]
    assert max(counts[0]) < 15
