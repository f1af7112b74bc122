"""Whatever is wrong with a request: a SCIM error, and nothing stored."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from scim_server.app import create_app
from scim_server.storage.database import Database
from tests.scim import ACCOUNT_USER, GROUP, USER, assert_scim_error, create_user
from tests.server import Server

JSON = {"Content-Type": "application/scim+json"}
MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "null", '"text"', "5", "", "{'userName': 'x'}", '{"userName": "x",}', '{"userName": NaN}',
        '{"userName": "x", "userName": "y"}', '{"userName": "x", "USERNAME": "y"}', '{"userName": 1e999}',
        '{"userName": "x", "active": ' + "1" * 5000 + "}", '{"userName":"x"} trailing', "[" * 100_000,
        '{"userName":"x","name":' + '{"a":' * 40 + "1" + "}" * 41, '{"a":' * 5000,
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_not_a_strict_json_object_is_invalid_syntax(http: httpx2.Client, text: str) -> None:
    assert_scim_error(http.post("Users", content=text, headers=JSON), 400, "invalidSyntax")
    assert http.get("Users").json()["totalResults"] == 0


def test_a_body_that_is_not_utf_8_is_invalid_syntax(http: httpx2.Client) -> None:
    body = '{"userName":"josé"}'
    assert_scim_error(http.post("Users", content=body.encode("latin-1"), headers=JSON), 400, "invalidSyntax")
    assert http.post("Users", content=body.encode(), headers=JSON).json()["userName"] == "josé"


@pytest.mark.parametrize("character", ["\\u0000", "\\ud800", "\\udc00", "\\u0007", "\\u001f", "\\u007f", "\\u0085"])
def test_control_characters_and_surrogates_are_invalid_values(http: httpx2.Client, character: str) -> None:
    for body in (
        '{"userName":"x","title":"a' + character + '"}',
        '{"userName":"x","emails":[{"value":"' + character + '"}]}',
        '{"userName":"x","' + character + '":"x"}',
    ):
        assert_scim_error(http.post("Users", content=body, headers=JSON), 400, "invalidValue")
    assert http.get("Users").json()["totalResults"] == 0


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"title": 5}, "title must be a string, not a number"),
        ({"title": ["x", "y"]}, "title must be a string, not an array"),
        ({"title": {"value": "x"}}, "title must be a string, not an object"),
        ({"active": "maybe"}, "active must be true or false, not a string"),
        ({"active": 1}, "active must be true or false, not a number"),
        ({"name": "x"}, "name must be an object"),
        ({"emails": "x"}, "emails must be an array"),
        ({"emails": [5]}, "emails[0] must be an object"),
        ({"emails": [{"value": "a"}, {"value": 5}]}, "emails[1].value must be a string, not a number"),
        ({"emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]}, "more than one primary"),
        ({"photos": [{"value": "x y"}]}, "photos[0].value must be a URI"),
        ({"x509Certificates": [{"value": "!!!"}]}, "x509Certificates[0].value must be base64"),
        ({ACCOUNT_USER: {"validFrom": "2026-02-30T00:00:00Z"}}, f"{ACCOUNT_USER}:validFrom must be a date and time"),
        ({ACCOUNT_USER: "x"}, f"{ACCOUNT_USER} must be an object"),
        ({"userName": None}, "userName is required"),
        ({"userName": ""}, "userName is required"),
        ({"userName": "  "}, "userName must not be blank"),
        ({"userName": "a\u200bb"}, "invisible character U+200B"),
        ({"userName": "a\nb"}, "line breaks"),
    ],
)
def test_an_unfit_value_is_named(http: httpx2.Client, attributes: dict[str, object], named: str) -> None:
    response = http.post("Users", json={"userName": "bjensen", **attributes})
    assert named in assert_scim_error(response, 400, "invalidValue")
    assert http.get("Users").json()["totalResults"] == 0


def test_the_body_of_another_type_is_refused(http: httpx2.Client) -> None:
    response = http.post("Users", json={"schemas": [GROUP], "userName": "x"})
    assert_scim_error(response, 400, "invalidSyntax")


@pytest.mark.parametrize("schemas", [[USER], [], None, ["urn:unknown"], ["urn:scim:schemas:core:1.0"], [ACCOUNT_USER]])
def test_missing_and_unknown_schemas_are_tolerated(http: httpx2.Client, schemas: object) -> None:
    assert create_user(http)["schemas"] == [USER, ACCOUNT_USER]
    body = {"schemas": schemas, "userName": "other"}
    assert http.post("Users", json=body).json()["schemas"] == [USER, ACCOUNT_USER]


@pytest.mark.parametrize(
    "media_type", ["text/xml", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_another_media_type_is_415(http: httpx2.Client, media_type: str) -> None:
    response = http.post("Users", content=b'{"userName":"x"}', headers={"Content-Type": media_type})
    assert_scim_error(response, 415)


def test_a_missing_media_type_and_another_charset_are_415(http: httpx2.Client) -> None:
    request = http.build_request("POST", "Users", content=b'{"userName":"x"}')
    assert "Content-Type" not in request.headers
    assert_scim_error(http.send(request), 415)
    headers = {"Content-Type": "application/json; charset=latin-1"}
    assert_scim_error(http.post("Users", content=b'{"userName":"x"}', headers=headers), 415)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/scim+json",
        "application/json",
        "application/scim+json; charset=utf-8",
        "application/JSON;charset=UTF-8",
    ],
)
def test_both_json_media_types_are_read(http: httpx2.Client, media_type: str) -> None:
    response = http.post(
        "Users", content=b'{"userName":"x"}', headers={"Content-Type": media_type, "Accept": "application/json"}
    )
    assert response.status_code == 201
    assert response.headers["Content-Type"] == "application/scim+json"


def two_mebibytes() -> Iterator[bytes]:
    yield b'{"userName":"x","title":"'
    for _ in range(32):
        yield b"x" * 65_536
    yield b'"}'


def test_a_body_over_the_limit_is_413_with_a_length_and_chunked(http: httpx2.Client) -> None:
    body = b"".join(two_mebibytes())
    assert str(MEBIBYTE) in assert_scim_error(http.post("Users", content=body, headers=JSON), 413)
    chunked = http.build_request("POST", "Users", content=two_mebibytes(), headers=JSON)
    assert chunked.headers["Transfer-Encoding"] == "chunked"
    assert_scim_error(http.send(chunked), 413)
    assert http.get("Users").json()["totalResults"] == 0


def test_a_body_at_the_limit_is_read(http: httpx2.Client) -> None:
    start, end = b'{"userName":"x","title":"', b'"}'
    body = start + b"x" * (MEBIBYTE - len(start) - len(end)) + end
    assert len(body) == MEBIBYTE
    made = http.post("Users", content=body, headers=JSON)
    assert made.status_code == 201
    assert len(made.json()["title"]) > MEBIBYTE - 100
    assert_scim_error(http.post("Users", content=body + b" ", headers=JSON), 413)


def test_a_chunked_body_is_read_whole(http: httpx2.Client) -> None:
    parts = [b'{"userName":', b'"chunked"', b"}"]
    assert http.post("Users", content=iter(parts), headers=JSON).json()["userName"] == "chunked"


def test_a_long_value_is_kept_and_found(http: httpx2.Client) -> None:
    name = "n" * 9_000
    made = create_user(http, name, displayName="d" * 9_000)
    create_user(http, name[:-1] + "m")
    found = http.post("Users/.search", json={"filter": f'userName eq "{name}"'}).json()
    assert [user["id"] for user in found["Resources"]] == [made["id"]]
    assert_scim_error(http.post("Users", json={"userName": name.upper()}), 409, "uniqueness")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "Users", {"GET", "HEAD", "POST"}),
        ("PATCH", "Users", {"GET", "HEAD", "POST"}),
        ("DELETE", "Groups", {"GET", "HEAD", "POST"}),
        ("POST", "Users/1", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("OPTIONS", "Users", {"GET", "HEAD", "POST"}),
        ("POST", "Schemas", {"GET", "HEAD"}),
        ("DELETE", "ResourceTypes/User", {"GET", "HEAD"}),
        ("PUT", "ServiceProviderConfig", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_an_endpoint_lacks_is_405(http: httpx2.Client, method: str, path: str, allowed: set[str]) -> None:
    response = http.request(method, path, headers={"X-HTTP-Method-Override": "DELETE"})
    assert_scim_error(response, 405)
    assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["Nope", "Users/1/2", "../v9/Users", "../../", "Users/1/emails", "Schemas/urn:x:nope",
                                  "ResourceTypes/Nope", "Schemas/urn:ietf:params:scim:api:messages:2.0:Error"])  # fmt: skip
def test_what_does_not_exist_is_404(http: httpx2.Client, path: str) -> None:
    assert_scim_error(http.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Me"),
        ("PATCH", "Me"),
    ],
)
def test_what_is_not_offered_is_501(http: httpx2.Client, method: str, path: str) -> None:
    assert_scim_error(http.request(method, path, json={} if method == "PATCH" else None), 501)


def test_slashes_too_many_are_served_without_a_redirect(http: httpx2.Client) -> None:
    made = create_user(http)
    for path in (f"/Users/{made['id']}/", f"//Users//{made['id']}", f"/Users/{made['id']}//?"):
        response = http.get(str(http.base_url).rstrip("/") + path)
        assert response.status_code == 200
        assert response.json() == made


@pytest.mark.parametrize(
    "id", ["%00", "%FF", "a%0Ab", "a" * 5000, "%F0%9F%98%80", "..%2F..", "' OR 1=1 --", "%3Cid%3E", ".search"]
)
def test_a_strange_id_does_not_exist(http: httpx2.Client, id: str) -> None:
    assert_scim_error(http.get(f"Users/{id}"), 404)
    assert_scim_error(http.delete(f"Users/{id}"), 404)


def test_an_unexpected_failure_is_500_without_internals(
    http: httpx2.Client, server: Server, database: Database
) -> None:
    made = create_user(http)
    ((key, template),) = database.rows(
        "SELECT key, template FROM body JOIN resource USING (key) WHERE id = ?", (made["id"],)
    )
    sql = "UPDATE body SET template = ? WHERE key = ?"
    with database.transaction():
        database.run(sql, (b"\0", key))
    detail = assert_scim_error(http.get(f"Users/{made['id']}?attributes=userName"), 500)
    with database.transaction():
        database.run(sql, (template, key))
    reference = detail.split()[-1].rstrip(".")
    assert reference in server.log.read_text()
    assert "Traceback" not in detail


def send(server: Server, request: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
    """Send raw bytes and return status, headers and body of the answer."""
    host, port = server.settings.bind.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), json.loads(body)


@pytest.mark.parametrize(
    ("request_", "status", "scim_type"),
    [
        (b"NONSENSE personal-data\r\n\r\n", 400, "invalidSyntax"),
        (b"GET /scim/v2/Users HTTP/1.1\r\nHost: x\r\nbad header personal-data: x\r\n\r\n", 400, "invalidSyntax"),
        (b"GET /scim/v2/Users?filter=" + b"personal-data" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, None),
        (b"GET /scim/v2/Users HTTP/1.1\r\nHost: x\r\nX-A: " + b"personal-data" * 9000 + b"\r\n\r\n", 431, None),
    ],
)
def test_a_request_that_cannot_be_parsed_is_a_scim_error_that_repeats_nothing(
    server: Server, request_: bytes, status: int, scim_type: str | None
) -> None:
    answered, headers, body = send(server, request_)
    assert answered == status
    assert headers["Content-Type"] == "application/scim+json"
    assert body["status"] == str(status)
    assert body.get("scimType") == scim_type
    assert "personal-data" not in str(body) + server.log.read_text()


@pytest.mark.parametrize(
    "broken",
    [
        b"Transfer-Encoding: chunked\r\n\r\n{personal-data}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\npersonal-data\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\npersonal-data\r\n0\r\n\r\n",
        b'Content-Length: 100\r\n\r\n{"userName":"personal-data"}',
    ],
)
def test_a_broken_transfer_stores_nothing_and_repeats_nothing(
    http: httpx2.Client, server: Server, broken: bytes
) -> None:
    head = f"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: {http.headers['Authorization']}\r\n"
    host, port = server.settings.bind.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n" + broken)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"}" not in answer and (chunk := connection.recv(65_536)):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b'"scimType":"invalidSyntax"' in answer
    assert b"personal-data" not in answer
    assert "personal-data" not in server.log.read_text()
    assert http.get("Users").json()["totalResults"] == 0


def test_a_path_cannot_forge_a_line_of_the_log(http: httpx2.Client, server: Server) -> None:
    assert_scim_error(http.get("Users/x%0aFORGED%1b[31m"), 404)
    assert "\nFORGED" not in server.logged("/scim/v2/Users/x%0AFORGED%1B%5B31m")


@pytest.mark.parametrize("query", ["filter=userName%20eq%20%22%FF%22", "attributes=%ED%A0%80", "count=%C3"])
def test_a_query_that_is_not_utf_8_is_an_invalid_value(http: httpx2.Client, query: str) -> None:
    assert_scim_error(http.get(f"Users?{query}"), 400, "invalidValue")


def test_of_many_wrong_elements_some_are_named(http: httpx2.Client) -> None:
    body = '{"userName":"x","emails":[' + ",".join(["1"] * 200_000) + "]}"
    detail = assert_scim_error(http.post("Users", content=body, headers=JSON), 400, "invalidValue")
    assert detail.count("must be an object") == 5


@pytest.mark.parametrize(
    "name", ["\u3164", "\u115f", "a\u034fb", "a\ufe0fb", "\ue000x", "a\u0378b", "a\u2028b", "a\u200db"]
)
def test_a_user_name_has_no_characters_that_nobody_sees(http: httpx2.Client, name: str) -> None:
    assert "invisible" in assert_scim_error(http.post("Users", json={"userName": name}), 400, "invalidValue")


def test_errors_are_json_whatever_the_client_accepts(http: httpx2.Client) -> None:
    response = http.get("Users/nope", headers={"Accept": "text/html"})
    assert json.loads(assert_scim_error(response, 404) and response.text)["status"] == "404"


def test_a_database_out_of_reach_is_503_and_says_when_to_try_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = Server(tmp_path_factory.mktemp("gone")).initialised()
    token = server.token("admin")
    client = create_app(server.settings).test_client()
    path = Path(server.settings.database_url.removeprefix("sqlite:///"))
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    response = client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.get_json()["status"] == "503"
    path.rmdir()
    path.with_suffix(".away").rename(path)
    assert client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_public_prefix_is_in_every_uri_and_may_be_stripped_by_a_proxy(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = "https://id.example.com/t/acme/scim/v2"
    server = Server(tmp_path_factory.mktemp("prefix"), {"SCIM_BASE_URL": base}).initialised()
    client = create_app(server.settings).test_client()
    headers = {"Authorization": f"Bearer {server.token('admin')}", "Host": "evil.example"}
    made = client.post("/t/acme/scim/v2/Users", json={"userName": "x"}, headers=headers)
    assert made.status_code == 201
    assert made.headers["Location"] == f"{base}/Users/{made.get_json()['id']}"
    for path in ("/t/acme/scim/v2/Users", "/scim/v2/Users", "/t/acme//scim/v2//Users/"):
        assert client.get(path, headers=headers).get_json()["Resources"] == [made.get_json()]
    for path in ("/t/other/scim/v2/Users", "/t/acmescim/v2/Users", "/t/acme"):
        assert client.get(path, headers=headers).status_code == 404
    assert client.get("/t/acme/scim/v2/ServiceProviderConfig").get_json()["meta"]["location"].startswith(base)


@pytest.mark.parametrize(
    "text", [r"\n" * 400_000, r"\"" * 400_000, r"\\" * 400_000, "\u0300\u0316" * 150_000, r"\n\"" * 200_000 + ":"]
)
def test_a_long_text_of_odd_characters_is_read_before_the_client_gives_up(http: httpx2.Client, text: str) -> None:
    user = http.post("Users", content=f'{{"userName":"a","title":"{text}"}}'.encode(), headers=JSON)
    assert user.status_code in (201, 400)
    for member in ("path", "$ref", "value"):
        operation = {"op": "add", "path": "title", "value": "x", member: "<text>"}
        bulk = {"Operations": [{"method": "PATCH", "path": "/Users/x", "data": {"Operations": [operation]}}]}
        content = json.dumps(bulk).replace("<text>", 'bulkId:x\\"' + text)
        answer = http.post("Bulk", content=content.encode(), headers=JSON)
        assert answer.status_code == 200
        assert answer.json()["Operations"][0]["status"] in ("400", "404", "413")
