"""Idempotency-Key: what a client repeats is done once, and answered as it was."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from flask.testing import FlaskClient

from scim_server import clock, config, idempotency
from scim_server.app import create_app
from scim_server.idempotency import Answers
from scim_server.protocol.errors import ScimError
from scim_server.resources.base import Resources
from scim_server.storage.database import Database, Unavailable
from tests.conftest import Caller
from tests.scim import BULK_REQUEST, USER, assert_scim_error, create_group, create_user
from tests.server import Server

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def bulk(http: httpx2.Client, *operations: dict[str, Any], **options: Any) -> httpx2.Response:
    return http.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": list(operations)}, **options)


def same(one: httpx2.Response, other: httpx2.Response) -> bool:
    named = ("Location", "Content-Location", "ETag", "Content-Type")
    return (one.status_code, one.content, [one.headers.get(name) for name in named]) == (
        other.status_code,
        other.content,
        [other.headers.get(name) for name in named],
    )


def users(http: httpx2.Client) -> int:
    return int(http.get("Users?count=0").json()["totalResults"])


def test_a_repeated_create_is_done_once_and_answered_as_it_was(http: httpx2.Client, database: Database) -> None:
    body = {"schemas": [USER], "userName": "bjensen", "password": "t1meMa$heen"}
    first = http.post("Users", json=body, headers=KEY)
    assert first.status_code == 201
    http.put(f"Users/{first.json()['id']}", json={"userName": "bjensen", "title": "changed since"})
    for _ in range(3):
        assert same(http.post("Users", json=body, headers=KEY), first)
    assert users(http) == 1
    operations = database.rows(
        "SELECT operation FROM audit WHERE resource_id = ? ORDER BY number", (first.json()["id"],)
    )
    assert operations == [("create",), ("replace",)]
    assert_scim_error(http.post("Users", json=body), 409, "uniqueness")
    assert_scim_error(http.post("Users", json=body, headers={"Idempotency-Key": "other"}), 409, "uniqueness")


def test_a_repeated_bulk_is_done_once_and_answered_as_it_was(http: httpx2.Client) -> None:
    creates = [{"method": "POST", "path": "/Users", "bulkId": f"u{n}", "data": {"userName": f"u{n}"}} for n in range(5)]
    failing = {"method": "POST", "path": "/Users", "bulkId": "x", "data": {"userName": "u1"}}
    first = bulk(http, *creates, failing, headers=KEY)
    assert [result["status"] for result in first.json()["Operations"]] == ["201"] * 5 + ["409"]
    assert same(bulk(http, *creates, failing, headers=KEY), first)
    assert users(http) == 5
    again = bulk(http, *creates)
    assert {result["status"] for result in again.json()["Operations"]} == {"409"}


def test_a_large_answer_is_repeated_too(http: httpx2.Client) -> None:
    members = [{"value": create_user(http, f"u{n}")["id"]} for n in range(150)]
    first = http.post("Groups", json={"displayName": "Large", "members": members}, headers=KEY)
    assert len(first.json()["members"]) == 150
    assert same(http.post("Groups", json={"displayName": "Large", "members": members}, headers=KEY), first)
    assert http.get(f"Groups/{first.json()['id']}").content == first.content


def test_another_request_under_the_same_key_is_422(http: httpx2.Client) -> None:
    http.post("Users", json={"userName": "bjensen"}, headers=KEY)
    for path, body in (("Users", {"userName": "other"}), ("Users?attributes=userName", {"userName": "bjensen"})):
        assert_scim_error(http.post(path, json=body, headers=KEY), 422)
    assert users(http) == 1


def test_keys_belong_to_credential_and_path(caller: Caller) -> None:
    create_group(caller.http, "bjensen")
    assert caller.http.post("Users", json={"userName": "a", "displayName": "a"}, headers=KEY).status_code == 201
    group = caller.http.post("Groups", json={"userName": "a", "displayName": "a"}, headers=KEY)
    assert group.status_code == 201
    assert group.json()["meta"]["resourceType"] == "Group"
    other = caller.token_for("admin").post("Users", json={"userName": "b"}, headers=KEY)
    assert other.status_code == 201
    assert users(caller.http) == 2


def test_a_refusal_is_repeated_as_well(http: httpx2.Client) -> None:
    holder = create_user(http)
    first = http.post("Users", json={"userName": "bjensen"}, headers=KEY)
    assert_scim_error(first, 409, "uniqueness")
    assert first.headers["Location"] == holder["meta"]["location"]
    http.delete(f"Users/{holder['id']}")
    assert same(http.post("Users", json={"userName": "bjensen"}, headers=KEY), first)
    assert users(http) == 0
    assert http.post("Users", json={"userName": "bjensen"}, headers={"Idempotency-Key": "new"}).status_code == 201
    broken = [http.post("Users", content=b"{", headers=KEY | {"Content-Type": "application/json", "Idempotency-Key": "b"})
              for _ in range(2)]  # fmt: skip
    assert_scim_error(broken[0], 400, "invalidSyntax")
    assert same(broken[0], broken[1])


def test_what_was_refused_before_it_was_read_is_not_kept(caller: Caller) -> None:
    text = {"Content-Type": "text/plain"}
    assert_scim_error(caller.http.post("Users", content=b'{"userName":"bjensen"}', headers=KEY | text), 415)
    reader = caller.token_for("users:read")
    assert_scim_error(reader.post("Users", json={"userName": "bjensen"}, headers=KEY), 403)
    assert caller.http.post("Users", json={"userName": "bjensen"}, headers=KEY).status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel", "a\tb"])
def test_a_key_that_is_none_is_refused(http: httpx2.Client, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    detail = assert_scim_error(http.post("Users", json={"userName": "x"}, headers=headers), 400, "invalidValue")
    assert detail == "The Idempotency-Key must have 1 to 255 visible ASCII characters."
    assert users(http) == 0


def test_a_duplicate_is_409_while_the_first_is_worked_on(caller: Caller, server: Server, database: Database) -> None:
    answers = Answers(database, config.server_key(server.settings))
    credential = caller.http.headers["Authorization"].split("_")[1]
    request = answers.request(credential, "POST", "/scim/v2/Users", KEY["Idempotency-Key"], b"")
    with answers.alone(request):
        refused = caller.http.post("Users", json={"userName": "bjensen"}, headers=KEY)
        assert_scim_error(refused, 409)
        assert refused.headers["Retry-After"] == "1"
        assert caller.http.post("Users", json={"userName": "x"}, headers={"Idempotency-Key": "x"}).status_code == 201
    assert caller.http.post("Users", json={"userName": "bjensen"}, headers=KEY).status_code == 201


def test_at_once_it_is_still_done_once(caller: Caller) -> None:
    body = {"userName": "bjensen", "password": "t1meMa$heen"}
    answers: list[httpx2.Response] = []

    def send() -> None:
        http = httpx2.Client(base_url=caller.http.base_url, headers=caller.http.headers, timeout=30)
        with http:
            answers.extend(http.post("Users", json=body, headers=KEY) for _ in range(4))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    created = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(answers) == 32
    assert len({answer.content for answer in created}) == 1
    assert all(same(answer, created[0]) for answer in created)
    assert all("scimType" not in answer.json() for answer in answers if answer.status_code == 409)


def test_an_answer_is_kept_for_24_hours(http: httpx2.Client, database: Database) -> None:
    first = http.post("Groups", json={"displayName": "Tour Guides"}, headers=KEY)
    (name,) = database.row("SELECT name FROM answer ORDER BY at DESC LIMIT 1") or ("",)

    def age(hours: float) -> None:
        with database.transaction():
            at = clock.now(-timedelta(hours=hours))
            assert database.run("UPDATE answer SET at = ? WHERE name = ?", (at, name)) == 1

    age(23.9)
    assert same(http.post("Groups", json={"displayName": "Tour Guides"}, headers=KEY), first)
    age(24.1)
    assert_scim_error(http.post("Groups", json={"displayName": "Tour Guides"}, headers=KEY), 409, "uniqueness")
    age(24.1)
    http.post("Users", json={"userName": "x"}, headers={"Idempotency-Key": "y"})
    assert database.row("SELECT 1 FROM answer WHERE name = ?", (name,)) is None


def test_of_the_request_only_digests_are_kept(http: httpx2.Client, server: Server, database: Database) -> None:
    secret, key = "a most unusual secret", "a-most-unusual-key"
    http.post("Users", json={"userName": "bjensen", "password": secret}, headers={"Idempotency-Key": key})
    for kept in server.kept(database):
        assert secret not in kept
        assert key not in kept


def test_every_part_of_a_request_identifies_it(database: Database) -> None:
    parts = {"credential": "c", "method": "POST", "path": "/Users", "key": "k", "content": b"{}"}
    first = Answers(database, b"s" * 32).request(**parts)
    others = [
        Answers(database, b"s" * 32).request(**parts | {part: value + value[:1]}) for part, value in parts.items()
    ]
    names = [first.name, *(other.name for other in others[:4])]
    assert len(set(names)) == 5
    assert others[4].name == first.name
    assert others[4].digest != first.digest
    keyed = Answers(database, b"t" * 32).request(**parts)
    assert keyed.name != first.name
    assert keyed.digest != first.digest


@pytest.fixture
def client(server: Server, caller: Caller) -> FlaskClient:
    """The application in this process, so that it can be made to fail."""
    client = create_app(server.settings).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = caller.http.headers["Authorization"]
    return client


def test_a_failure_of_the_server_is_not_kept(
    client: FlaskClient, http: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(error: Exception) -> Callable[..., None]:
        def fail(*_: Any) -> None:
            raise error

        return fail

    for error, status in ((Unavailable("locked"), 503), (ValueError("a bug"), 500), (ScimError(503, "later"), 503)):
        with monkeypatch.context() as patch:
            patch.setattr(Resources, "insert", failing(error))
            assert client.post("/scim/v2/Users", json={"userName": "bjensen"}, headers=KEY).status_code == status
    assert users(http) == 0
    assert http.post("Users", json={"userName": "bjensen"}, headers=KEY).status_code == 201


@pytest.mark.parametrize("path", ["Users", "Bulk"])
def test_the_answer_and_what_it_tells_of_are_kept_together_or_not_at_all(
    client: FlaskClient, http: httpx2.Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    data = {"userName": "bjensen"}
    operation = {"method": "POST", "path": "/Users", "bulkId": "u", "data": data}
    body = {"schemas": [BULK_REQUEST], "Operations": [operation]} if path == "Bulk" else data

    def fail(*_: Any) -> None:
        raise Unavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Answers, "keep", fail)
        assert client.post(f"/scim/v2/{path}", json=body, headers=KEY).status_code == 503
    assert users(http) == 0
    assert http.post(path, json=body, headers=KEY).is_success
    assert users(http) == 1


def test_an_answer_too_large_to_be_kept_is_refused_and_nothing_is_done(
    client: FlaskClient, http: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "ANSWER_BYTES", 300)
        for _ in range(2):
            refused = client.post("/scim/v2/Users", json={"userName": "bjensen"}, headers=KEY)
            assert refused.status_code == 413
            assert "excludedAttributes" in refused.get_json(force=True)["detail"]
    assert users(http) == 0
    assert http.post("Users", json={"userName": "bjensen"}).status_code == 201
