"""Groups of many members: sent from a file, searched and paged, without pinning memory or the database."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from scim_server import tenants
from scim_server.resources.base import new_id
from scim_server.storage.keys import key_of, scope_of
from scim_server.storage.opening import open_database
from tests.scim import GROUP, LIST, MEDIA_TYPE, assert_scim_error, create_group, create_user, patch
from tests.server import Server

SIZE = 100_000


@dataclass(frozen=True)
class Place:
    """A server with one worker and a group of many members, all named User."""

    server: Server
    http: httpx.Client
    group: str
    ids: list[str]

    def workers(self) -> list[int]:
        assert self.server.process
        pid = self.server.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, fresh: Callable[[], dict[str, str]]) -> Iterator[Place]:
    server = Server(tmp_path_factory.mktemp("large"), {"SCIM_WORKERS": "1", **fresh()}).initialised()
    database = open_database(server.settings.database_url)
    ids = [new_id() for _ in range(SIZE)]
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    with server.started(), httpx.Client(base_url=server.settings.base_url, headers=headers, timeout=60) as http:
        group = create_group(http, "Large")["id"]
        tenant = tenants.find(database, None)
        (number,) = database.row("SELECT number FROM resource_type WHERE name = 'User'") or (0,)
        scope = scope_of(tenant.number, number)
        with database.transaction():
            database.run_many(
                "INSERT INTO resource (key, scope, id, version, created, modified, display, display_name, user_name)"
                " VALUES (?, ?, ?, 1, '2026-01-01T00:00:00.000', '2026-01-01T00:00:00.000', ?, ?, ?)",
                [(key_of(scope, n), scope, id, f'"User" {n}', f'"user" {n}', f"u{n}") for n, id in enumerate(ids)],
            )
            database.run("INSERT INTO collection (scope, next, total) VALUES (?, ?, ?)", (scope, SIZE + 1, SIZE))
        database.close()
        added = patch(http, f"Groups/{group}", {"op": "add", "path": "members", "value": [{"value": id} for id in ids]})
        assert added.status_code == 204, added.text
        yield Place(server, http, group, ids)


def test_all_members_are_sent_in_order(place: Place) -> None:
    response = place.http.get(f"Groups/{place.group}")
    assert response.headers["Content-Type"] == MEDIA_TYPE
    assert int(response.headers["Content-Length"]) == len(response.content)
    body = response.json()
    assert [member["value"] for member in body["members"]] == place.ids
    assert body["members"][150] == {
        "value": place.ids[150], "$ref": f"{place.server.settings.base_url}/Users/{place.ids[150]}", "type": "User",
        "display": '"User" 150',
    }  # fmt: skip
    assert body["meta"]["version"] == response.headers["ETag"]
    head = place.http.head(f"Groups/{place.group}")
    assert (head.headers["Content-Length"], head.content) == (response.headers["Content-Length"], b"")


def test_a_known_version_is_304(place: Place) -> None:
    version = place.http.head(f"Groups/{place.group}").headers["ETag"]
    response = place.http.get(f"Groups/{place.group}", headers={"If-None-Match": version})
    assert (response.status_code, response.content) == (304, b"")


@pytest.mark.parametrize(
    ("query", "member"),
    [
        ("attributes=members.value", {"value"}),
        ("attributes=members.display,members.type", {"display", "type"}),
        ("attributes=members", {"value", "$ref", "type", "display"}),
        ("excludedAttributes=members.display,members.$ref", {"value", "type"}),
    ],
)
def test_sub_attributes_of_all_members_can_be_chosen(place: Place, query: str, member: set[str]) -> None:
    body = place.http.get(f"Groups/{place.group}?{query}").json()
    assert body["schemas"] == [GROUP]
    assert len(body["members"]) == SIZE
    assert {name for found in body["members"] for name in found} == member


def test_without_members_a_large_group_is_small(place: Place) -> None:
    response = place.http.get(f"Groups/{place.group}?excludedAttributes=members")
    assert "members" not in response.json() and len(response.content) < 500


def test_a_list_may_hold_a_large_group_among_small_ones(place: Place) -> None:
    user = create_user(place.http)
    small = create_group(place.http, "Small", user["id"])
    listed = place.http.get("Groups").json()
    by_id = {group["id"]: group for group in listed["Resources"]}
    assert listed["totalResults"] == listed["itemsPerPage"] == len(by_id) == 2
    assert by_id[small["id"]] == small
    assert [member["value"] for member in by_id[place.group]["members"]] == place.ids
    everything = place.http.get("", params={"filter": 'displayName sw "s" or displayName sw "l"', "count": 10}).json()
    assert len(everything["Resources"]) == 2
    assert (
        place.http.delete(f"Groups/{small['id']}").status_code
        == place.http.delete(f"Users/{user['id']}").status_code
        == 204
    )


def test_a_put_of_all_members_answers_them(place: Place) -> None:
    before = place.http.get(f"Groups/{place.group}").content
    members = [{"value": id} for id in reversed(place.ids)]
    response = place.http.put(f"Groups/{place.group}", json={"displayName": "Large", "members": members})
    assert response.status_code == 200
    assert response.content == before


def test_memory_does_not_grow_with_the_members(place: Place) -> None:
    def peak() -> int:
        lines = Path(f"/proc/{place.workers()[0]}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    Path(f"/proc/{place.workers()[0]}/clear_refs").write_text("5")
    before = peak()
    size = len(place.http.get(f"Groups/{place.group}").content)
    assert size > 15_000_000
    # A thread that has read little yet fills its page cache of 16 MB; rendered all at once, it takes 120 MB.
    assert peak() - before < 25_000_000


def test_a_client_that_does_not_read_hinders_no_writer(place: Place) -> None:
    url = urlsplit(place.server.settings.base_url)
    request = f"GET {url.path}/Groups/{place.group} HTTP/1.1\r\nHost: x\r\nAuthorization: {place.http.headers['Authorization']}\r\n\r\n"
    with socket.create_connection((url.hostname or "", url.port or 0)) as slow:
        slow.sendall(request.encode())
        received = slow.recv(1)
        # The answer has begun: what was read is in a file and the transaction over.
        user = create_user(place.http, "meanwhile")
        assert (
            patch(
                place.http, f"Groups/{place.group}", {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
            ).status_code
            == 204
        )
        assert_nothing_is_pinned(place)
        assert place.http.delete(f"Users/{user['id']}").status_code == 204
        slow.settimeout(30)
        while chunk := slow.recv(1_000_000):
            received += chunk
            if received.endswith(b"]}"):
                break
    body = json.loads(received.partition(b"\r\n\r\n")[2])
    assert len(body["members"]) == SIZE


def assert_nothing_is_pinned(place: Place) -> None:
    """Assert that no read transaction is open, which would keep what is old from being removed."""
    url = place.server.settings.database_url
    with closing(open_database(url)) as database:
        if url.startswith("postgresql"):
            sql = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_xmin IS NOT NULL AND backend_type = 'client backend'"
            )
            # The one that asks; a vacuum, which begins by itself, is no reader.
            assert database.row(sql) == (1,)
        else:
            busy, *_ = database.row("PRAGMA wal_checkpoint(TRUNCATE)") or (1,)
            assert not busy and Path(url.removeprefix("sqlite:///") + "-wal").stat().st_size == 0


# Members as a list


def walk(place: Place, **parameters: Any) -> list[str]:
    """Return the ids on all pages by cursor."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = place.http.get(f"Groups/{place.group}/members", params={**parameters, "cursor": cursor}).json()
        assert page["schemas"] == [LIST] and len(page["Resources"]) == page["itemsPerPage"]
        found += [member["value"] for member in page["Resources"]]
        cursor = page.get("nextCursor")
    return found


def test_members_are_walked_by_cursor(place: Place) -> None:
    assert walk(place, count=1000, filter='display ew "99"') == place.ids[99::100]
    first = place.http.get(f"Groups/{place.group}/members?count=1000&cursor=").json()
    assert first["totalResults"] == SIZE
    assert [member["value"] for member in first["Resources"]] == place.ids[:1000]
    assert "previousCursor" not in first
    second = place.http.get(
        f"Groups/{place.group}/members", params={"count": 1000, "cursor": first["nextCursor"]}
    ).json()
    assert [member["value"] for member in second["Resources"]] == place.ids[1000:2000]
    back = place.http.get(
        f"Groups/{place.group}/members", params={"count": 1000, "cursor": second["previousCursor"]}
    ).json()
    assert back["Resources"] == first["Resources"]


def test_members_are_paged_by_index_and_filtered(place: Place) -> None:
    page = place.http.get(f"Groups/{place.group}/members?startIndex=99991&count=20").json()
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (SIZE, 99_991, 10)
    assert [member["value"] for member in page["Resources"]] == place.ids[-10:]
    for text, expected in (
        (f'value eq "{place.ids[7]}"', [7]), ('type eq "Group"', []), ('type eq "user" and display ew " 4242"', [4242]),
        (f'$ref eq "{place.server.settings.base_url}/Users/{place.ids[3]}"', [3]),
    ):  # fmt: skip
        listed = place.http.get(f"Groups/{place.group}/members", params={"filter": text}).json()
        assert [member["value"] for member in listed["Resources"]] == [place.ids[n] for n in expected], text
        assert listed["totalResults"] == len(expected)
        searched = place.http.post(f"Groups/{place.group}/members/.search", json={"filter": text})
        assert searched.json() == listed


@pytest.mark.parametrize(
    ("query", "status", "scim_type"),
    [
        ("filter=nosuch eq 1", 400, "invalidFilter"), ('filter=members.value eq "x"', 400, "invalidFilter"), ("filter=", 400, "invalidFilter"),
        ("sortBy=display", 400, "invalidValue"), ("cursor=x", 400, "invalidCursor"), ("cursor=&startIndex=1", 400, "invalidValue"),
    ],
)  # fmt: skip
def test_a_wrong_query_of_members_is_refused(place: Place, query: str, status: int, scim_type: str) -> None:
    assert_scim_error(place.http.get(f"Groups/{place.group}/members?{query}"), status, scim_type)


def test_members_of_what_is_no_group_are_404(place: Place) -> None:
    assert_scim_error(place.http.get("Groups/nope/members"), 404)
    assert_scim_error(place.http.get(f"Groups/{place.ids[0]}/members"), 404)
    assert_scim_error(place.http.get(f"Users/{place.ids[0]}/members"), 404)
    assert_scim_error(place.http.post(f"Groups/{place.group}/members", json={}), 405)


def test_a_cursor_belongs_to_one_group(place: Place) -> None:
    other = create_group(place.http, "Other", *place.ids[:3])
    cursor = place.http.get(f"Groups/{place.group}/members?count=2&cursor=").json()["nextCursor"]
    refused = place.http.get(f"Groups/{other['id']}/members", params={"count": 2, "cursor": cursor})
    assert_scim_error(refused, 400, "invalidCursor")
    assert place.http.delete(f"Groups/{other['id']}").status_code == 204
