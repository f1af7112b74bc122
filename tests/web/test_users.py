import uuid

import httpx2
import pytest
from argon2 import PasswordHasher

from scim_server.storage.database import Database
from tests.conftest import Caller
from tests.scim import ACCOUNT_USER, ENTERPRISE, USER, assert_scim_error, create, create_group, create_user, patch
from tests.server import Server


def test_a_created_user_has_an_id_meta_and_a_location(http: httpx2.Client) -> None:
    response = http.post("Users", json={"schemas": [USER], "userName": "bjensen"})
    assert response.status_code == 201
    body = response.json()
    meta = body["meta"]
    assert uuid.UUID(body["id"]).version == 7
    assert meta["resourceType"] == "User"
    assert meta["created"] == meta["lastModified"]
    assert meta["created"].endswith("Z")
    assert response.headers["Location"] == response.headers["Content-Location"] == meta["location"]
    assert meta["location"].endswith(f"/scim/v2/Users/{body['id']}")
    assert response.headers["ETag"] == meta["version"]
    assert response.headers["Content-Type"] == "application/scim+json"


def test_a_user_is_read_as_it_was_answered(http: httpx2.Client) -> None:
    made = create_user(http, nickName="Babs")
    response = http.get(f"Users/{made['id']}")
    assert response.json() == made
    assert response.headers["Location"] == response.headers["Content-Location"] == made["meta"]["location"]
    assert response.headers["ETag"] == made["meta"]["version"]


def test_head_answers_the_headers_of_get(http: httpx2.Client) -> None:
    made = create_user(http)
    head, get = (http.request(method, f"Users/{made['id']}") for method in ("HEAD", "GET"))
    assert head.status_code == 200
    assert head.content == b""
    for name in ("ETag", "Location", "Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


def test_what_only_the_server_sets_is_ignored_in_a_body(http: httpx2.Client) -> None:
    made = create_user(
        http, id="mine", meta={"created": "1999-01-01T00:00:00Z"}, groups=[{"value": "g"}],
        **{ACCOUNT_USER: {"companyName": "Evil", "accountStatus": "expired"}},
    )  # fmt: skip
    assert made["id"] != "mine"
    assert not made["meta"]["created"].startswith("1999")
    assert "groups" not in made
    assert made[ACCOUNT_USER] == {"companyName": "Example Company", "accountStatus": "active"}


def test_an_unknown_attribute_is_neither_stored_nor_answered(http: httpx2.Client) -> None:
    made = create_user(http, favouriteColour="blue")
    assert "favouriteColour" not in made
    assert "favouriteColour" not in http.get(f"Users/{made['id']}").json()


@pytest.mark.parametrize("name", ["BJensen", "ＢＪＥＮＳＥＮ", "bjensen"])
def test_a_user_name_is_taken_in_every_letter_case_and_width(http: httpx2.Client, name: str) -> None:
    made = create_user(http, "bjensen")
    response = http.post("Users", json={"userName": name})
    assert_scim_error(response, 409, "uniqueness")
    assert response.headers["Location"] == made["meta"]["location"]
    assert http.get("Users").json()["totalResults"] == 1


def test_a_user_name_in_another_unicode_form_is_taken(http: httpx2.Client) -> None:
    create_user(http, "josé")
    assert_scim_error(http.post("Users", json={"userName": "JOSE\u0301"}), 409, "uniqueness")


def test_the_spelling_of_a_user_name_is_kept(http: httpx2.Client) -> None:
    assert create_user(http, "Ｂjensen")["userName"] == "Ｂjensen"


def test_external_ids_need_not_be_unique(http: httpx2.Client) -> None:
    create_user(http, "a", externalId="1")
    assert create_user(http, "b", externalId="1")["externalId"] == "1"


def test_any_text_survives(http: httpx2.Client) -> None:
    text = '👩‍💻 עברית "quoted" \\ \\u0000 Ｆｕｌｌ e\u0301 <&>'
    made = create_user(http, displayName=text, title=text + "\nsecond line\tand tab")
    read = http.get(f"Users/{made['id']}").json()
    assert read["displayName"] == text
    assert read["title"] == text + "\nsecond line\tand tab"


def test_put_replaces_what_it_says_and_clears_the_rest(http: httpx2.Client) -> None:
    made = create_user(http, nickName="Babs", title="Guide", emails=[{"value": "a@b.c"}, {"value": "d@e.f"}],
                       **{ENTERPRISE: {"department": "Tours"}})  # fmt: skip
    response = http.put(
        f"Users/{made['id']}", json={"userName": "bjensen", "emails": [{"value": "g@h.i"}], "title": None}
    )
    assert response.status_code == 200
    body = response.json()
    assert body["emails"] == [{"value": "g@h.i"}]
    assert not {"nickName", "title", ENTERPRISE} & set(body)
    assert ENTERPRISE not in body["schemas"]
    assert body["id"] == made["id"]
    assert body["meta"]["created"] == made["meta"]["created"]
    assert body["meta"]["lastModified"] >= made["meta"]["lastModified"]
    assert body["meta"]["version"] != made["meta"]["version"]
    assert http.get(f"Users/{made['id']}").json() == body


def test_put_of_what_was_read_changes_nothing(http: httpx2.Client) -> None:
    made = create_user(http, emails=[{"value": "a@b.c", "type": "work", "primary": True}])
    response = http.put(f"Users/{made['id']}", json=made)
    assert response.status_code == 200
    assert response.json() == made


def test_put_never_creates(http: httpx2.Client) -> None:
    assert_scim_error(http.put(f"Users/{uuid.uuid4()}", json={"userName": "new"}), 404)
    assert http.get("Users").json()["totalResults"] == 0


def test_put_needs_the_required_attributes(http: httpx2.Client) -> None:
    made = create_user(http)
    assert "userName" in assert_scim_error(http.put(f"Users/{made['id']}", json={"title": "x"}), 400, "invalidValue")
    assert http.get(f"Users/{made['id']}").json() == made


def test_put_of_a_taken_name_changes_nothing(http: httpx2.Client) -> None:
    create_user(http, "other")
    made = create_user(http, "bjensen", title="Guide")
    assert_scim_error(http.put(f"Users/{made['id']}", json={"userName": "OTHER", "title": "x"}), 409, "uniqueness")
    assert http.get(f"Users/{made['id']}").json() == made


def test_a_name_that_was_given_up_is_free(http: httpx2.Client) -> None:
    made = create_user(http, "old")
    http.put(f"Users/{made['id']}", json={"userName": "new"})
    create_user(http, "old")


def test_the_letter_case_of_a_name_can_be_changed(http: httpx2.Client) -> None:
    made = create_user(http, "bjensen")
    body = http.put(f"Users/{made['id']}", json={"userName": "BJensen"}).json()
    assert body["userName"] == "BJensen"


def test_a_deleted_user_is_gone_and_its_name_is_free(http: httpx2.Client) -> None:
    made = create_user(http)
    response = http.delete(f"Users/{made['id']}")
    assert response.status_code == 204
    assert response.content == b""
    assert "Content-Type" not in response.headers
    for method, body in (("GET", None), ("PUT", {"userName": "bjensen"}), ("DELETE", None)):
        assert_scim_error(http.request(method, f"Users/{made['id']}", json=body), 404)
    assert http.get("Users").json()["totalResults"] == 0
    assert create_user(http)["id"] != made["id"]


def test_a_deleted_user_is_kept_as_a_tombstone_without_its_password(http: httpx2.Client, database: Database) -> None:
    made = create_user(http, password="t1meMa$heen", title="Guide")
    group = create_group(http, "G", made["id"])
    http.delete(f"Users/{made['id']}")
    row = database.row("SELECT key, template FROM tombstone WHERE id = ?", (made["id"],))
    assert row
    key, template = row
    assert b"Guide" in template
    (group_key,) = database.row("SELECT key FROM resource WHERE id = ?", (group["id"],)) or ()
    assert database.rows("SELECT source FROM lost_reference WHERE target = ?", (key,)) == [(group_key,)]
    for table, column in (("resource", "key"), ("body", "key"), ("value", "resource"), ("password", "resource"),
                          ("unique_key", "resource"), ("reference", "target")):  # fmt: skip
        assert database.rows(f"SELECT * FROM {table} WHERE {column} = ?", (key,)) == []


def test_a_password_is_hashed_and_never_answered(http: httpx2.Client, server: Server, database: Database) -> None:
    secret = "t1meMa$heen-" + uuid.uuid4().hex
    made = create_user(http, password=secret)
    assert "password" not in made
    (hashed,) = database.row(
        "SELECT hash FROM password p JOIN resource r ON r.key = p.resource WHERE r.id = ?", (made["id"],)
    ) or ("",)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    for answer in (http.get(f"Users/{made['id']}?attributes=password"), http.get("Users?attributes=password,userName")):
        assert "password" not in answer.text
    for kept in server.kept(database):
        assert secret not in kept


def test_put_without_a_password_keeps_it(http: httpx2.Client, database: Database) -> None:
    made = create_user(http, password="t1meMa$heen")
    hashes = "SELECT hash FROM password p JOIN resource r ON r.key = p.resource WHERE r.id = ?"
    before = database.row(hashes, (made["id"],))
    http.put(f"Users/{made['id']}", json={"userName": "renamed"})
    assert database.row(hashes, (made["id"],)) == before
    changed = http.put(f"Users/{made['id']}", json={"userName": "renamed", "password": "another one"})
    assert changed.json()["meta"]["version"] != made["meta"]["version"]
    assert database.row(hashes, (made["id"],)) != before


def test_sending_the_password_again_changes_nothing(http: httpx2.Client, database: Database) -> None:
    made = create_user(http, password="t1meMa$heen")
    hashes = "SELECT hash FROM password p JOIN resource r ON r.key = p.resource WHERE r.id = ?"
    before = database.row(hashes, (made["id"],))
    again = http.put(f"Users/{made['id']}", json={"userName": "bjensen", "password": "t1meMa$heen"})
    assert again.json() == made
    patched = patch(http, f"Users/{made['id']}", {"op": "replace", "path": "password", "value": "t1meMa$heen"})
    assert patched.json() == made
    assert database.row(hashes, (made["id"],)) == before
    assert database.row("SELECT count(*) FROM audit WHERE resource_id = ?", (made["id"],)) == (1,)


def test_a_short_password_is_refused_whichever_way_it_comes(http: httpx2.Client) -> None:
    made = create_user(http, password="12345678")
    answers = [
        http.post("Users", json={"userName": "other", "password": "1234567"}),
        http.put(f"Users/{made['id']}", json={"userName": "bjensen", "password": "1234567"}),
        patch(http, f"Users/{made['id']}", {"op": "add", "path": "password", "value": "1234567"}),
        # A letter and its accent are one character.
        http.post("Users", json={"userName": "other", "password": "e\u0301" * 7}),
    ]
    for answer in answers:
        detail = assert_scim_error(answer, 400, "invalidValue")
        assert detail == "password must have at least 8 characters."
    assert http.get(f"Users/{made['id']}").json() == made
    assert http.get("Users").json()["totalResults"] == 1


def test_the_manager_is_described_when_it_is_a_user(http: httpx2.Client) -> None:
    boss = create_user(http, "boss", displayName="John Smith")
    made = create_user(http, "worker", **{ENTERPRISE: {"manager": {"value": boss["id"], "displayName": "evil"}}})
    assert made[ENTERPRISE]["manager"] == {
        "value": boss["id"], "$ref": boss["meta"]["location"], "displayName": "John Smith",
    }  # fmt: skip
    http.delete(f"Users/{boss['id']}")
    read = http.get(f"Users/{made['id']}")
    assert read.json()[ENTERPRISE]["manager"] == {"value": boss["id"]}
    assert read.headers["ETag"] != made["meta"]["version"]


def test_a_manager_who_is_no_user_is_kept_as_sent(http: httpx2.Client) -> None:
    made = create_user(http, **{ENTERPRISE: {"manager": {"value": "4711"}}})
    assert made[ENTERPRISE]["manager"] == {"value": "4711"}


@pytest.mark.parametrize(
    ("active", "window", "status"),
    [
        (None, {}, "active"),
        (True, {}, "active"),
        (False, {"validFrom": "2999-01-01T00:00:00Z"}, "disabled"),
        (True, {"validFrom": "2999-01-01T00:00:00Z", "validUntil": "2000-01-01T00:00:00Z"}, "pending"),
        (True, {"validUntil": "2000-01-01T00:00:00Z"}, "expired"),
        (None, {"validFrom": "2000-01-01T09:00:00+09:00", "validUntil": "2999-01-01T00:00:00Z"}, "active"),
    ],
)
def test_the_account_status_follows_from_active_and_the_window(
    http: httpx2.Client, active: bool | None, window: dict[str, str], status: str
) -> None:
    made = create_user(http, active=active, **{ACCOUNT_USER: window})
    assert made[ACCOUNT_USER]["accountStatus"] == status
    assert made["schemas"] == [USER, ACCOUNT_USER]
    if "validFrom" in window and window["validFrom"].endswith("+09:00"):
        assert made[ACCOUNT_USER]["validFrom"] == "2000-01-01T00:00:00Z"


def test_groups_and_services_of_a_user_are_derived(http: httpx2.Client) -> None:
    user = create_user(http)
    mail = create(http, "Services", displayName="Mail")
    inner = create_group(http, "Inner", user["id"])
    outer = create_group(
        http, "Outer", inner["id"],
        **{"urn:ietf:params:scim:schemas:extension:account:2.0:Group": {"services": [{"value": mail["id"]}]}},
    )  # fmt: skip
    response = http.get(f"Users/{user['id']}")
    body = response.json()
    assert body["groups"] == [
        {"value": inner["id"], "$ref": inner["meta"]["location"], "display": "Inner", "type": "direct"},
        {"value": outer["id"], "$ref": outer["meta"]["location"], "display": "Outer", "type": "indirect"},
    ]
    assert body[ACCOUNT_USER]["services"] == [
        {"value": mail["id"], "$ref": mail["meta"]["location"], "display": "Mail"}
    ]
    assert response.headers["ETag"] != user["meta"]["version"]
    assert body["meta"]["lastModified"] == user["meta"]["lastModified"]
    assert http.get("Users").json()["Resources"] == [body]


def test_a_list_shows_users_as_they_are_by_themselves(http: httpx2.Client) -> None:
    service = [{"value": create(http, "Services", displayName="Mail")["id"]}]
    grants = {"urn:ietf:params:scim:schemas:extension:account:2.0:Group": {"services": service}}
    boss, nowhere, flat, nested, both = (create_user(http, name)["id"] for name in "abcde")
    inner = create_group(http, "Inner 山", nested, both)
    create_group(http, "Outer", inner["id"], both, **grants)
    create_group(http, 'Flat "\\', flat, **grants)
    for user in (nowhere, both):
        patch(http, f"Users/{user}", {"op": "add", "path": f"{ENTERPRISE}:manager", "value": {"value": boss}})
    singles = [http.get(f"Users/{id}").json() for id in (boss, nowhere, flat, nested, both)]
    kinds = [[group["type"] for group in single.get("groups", [])] for single in singles]
    assert kinds == [[], [], ["direct"], ["direct", "indirect"], ["direct", "direct"]]
    for query in ("", "?cursor=", "?sortBy=userName", '?filter=userName sw ""'):
        assert http.get(f"Users{query}").json()["Resources"] == singles


def test_a_user_is_found_only_under_its_own_type(http: httpx2.Client) -> None:
    made = create_user(http)
    assert_scim_error(http.get(f"Groups/{made['id']}"), 404)
    assert_scim_error(http.get(f"Users/{made['id'].upper()}"), 404)


def test_every_change_leaves_one_audit_row_without_values(caller: Caller, database: Database) -> None:
    http = caller.http
    made = create_user(http, title="Secret Title", password="t1meMa$heen", **{ENTERPRISE: {"department": "Tours"}})
    http.put(f"Users/{made['id']}", json={"userName": "bjensen", "title": "Other"})
    http.put(f"Users/{made['id']}", json={"userName": "bjensen", "title": "Other"})
    http.put(f"Users/{made['id']}", json={"title": "refused"})
    http.delete(f"Users/{made['id']}")
    rows = database.rows(
        "SELECT operation, resource_type, attributes, credential, at FROM audit WHERE tenant = ? AND resource_id = ?"
        " ORDER BY number",
        (caller.tenant.number, made["id"]),
    )
    department = f"{ENTERPRISE}:department"
    assert [row[:3] for row in rows] == [
        ("create", "User", f"title {department} userName password"),
        ("replace", "User", f"title {department}"),
        ("delete", "User", ""),
    ]
    token = http.headers["Authorization"].split("_")[1]
    assert {row[3] for row in rows} == {token}
    assert all(len(row[4]) == len("2026-01-31T23:59:59.123") for row in rows)
    assert database.rows("SELECT 1 FROM audit WHERE attributes LIKE '%Secret%'") == []


def test_who_may_not_read_is_not_told_where_a_name_is_taken(caller: Caller) -> None:
    create_user(caller.http)
    response = caller.token_for("users:write").post("Users", json={"userName": "bjensen"})
    assert_scim_error(response, 409, "uniqueness")
    assert "Location" not in response.headers


def test_a_password_is_prepared_before_it_is_hashed(http: httpx2.Client, database: Database) -> None:
    made = create_user(http, password="cafe\u0301\u3000\u2003xyz")
    (hashed,) = database.row(
        "SELECT hash FROM password p JOIN resource r ON r.key = p.resource WHERE r.id = ?", (made["id"],)
    ) or ("",)
    assert PasswordHasher().verify(hashed, "café  xyz")
    refused = http.post("Users", json={"userName": "other", "password": "line\nbreak"})
    assert "password" in assert_scim_error(refused, 400, "invalidValue")
