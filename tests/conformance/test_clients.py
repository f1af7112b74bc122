"""Identity providers, in the requests that they were seen to send or are documented to send, get what they need."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2 as httpx
import pytest

from tests.replay import Expected, Step, read_steps, replay

CLIENTS = Path(__file__).parent.parent / "fixtures" / "clients"
FILES = {str(file.relative_to(CLIENTS)): file for file in sorted(CLIENTS.glob("*/*.json"))}


@pytest.mark.parametrize("name", FILES)
def test_a_client_gets_what_it_needs(http: httpx.Client, name: str) -> None:
    if failures := replay(http, read_steps(FILES[name])):
        pytest.fail("\n\n".join([f"{len(failures)} failing in {name}", *map(str, failures)]), pytrace=False)


# The replay itself

USER: dict[str, Any] = {
    "id": "1",
    "active": True,
    "name": {"givenName": "Babs"},
    "emails": [{"value": "a", "type": "home"}, {"value": "b", "type": "work", "primary": True}],
    "urn:x:2.0:User": {"department": ""},
}


def step(status: int = 200, **members: Any) -> Step:
    expected = Expected(status=[status], json=members.pop("json", {}), headers=members.pop("expected_headers", {}))
    return Step(
        **{
            "name": "s",
            "method": "GET",
            "path": "/Users",
            "evidence": "composed",
            "source": "us",
            **members,
            "expect": expected,
        }
    )


def answering(*bodies: Any, status: int = 200) -> httpx.Client:
    """A client whose server gives these bodies one after the other."""
    answers = [
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies
    ]
    headers = {"Content-Type": "application/scim+json"}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, content=answers.pop(0)))
    return httpx.Client(base_url="http://scim.example/scim/v2", transport=transport)


def differences(client: httpx.Client, *steps: Step) -> list[str]:
    return [difference for failure in replay(client, steps) for difference in failure.differences]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("$.id", "1"),
        ("$.active", True),
        ("$.name", {"givenName": "Babs"}),
        ("$.emails[1].value", "b"),
        ("$.emails[?type=='work'].value", "b"),
        ("$.emails[?primary==true].value", "b"),
        ("$.emails[*].value", ["a", "b"]),
        ("$.emails[*].primary", [True]),
        ("$.emails[*].value", {"$anyOrder": ["b", "a"]}),
        ("$['urn:x:2.0:User'].department", {"$empty": True}),
        ("$.title", {"$empty": True}),
        ("$.title", {"$exists": False}),
        ("$.title", {"$len": 0}),
        ("$.title", {"$notContains": "x"}),
        ("$.id", {"$nonempty": True}),
        ("$.id", {"$in": ["0", "1"]}),
        ("$.id", {"$type": "str"}),
        ("$.active", {"$asStr": "True"}),
        ("$.name.givenName", {"$contains": "ab"}),
        ("$.emails", {"$contains": {"type": "work"}}),
        ("$.emails", {"$notContains": {"type": "other"}}),
        ("$.emails", {"$len": 2}),
        ("$.emails", {"$lenGte": 2}),
    ],
)
def test_an_expectation_that_is_met_is_no_failure(path: str, wanted: Any) -> None:
    assert not replay(answering(USER), [step(json={path: wanted})])


@pytest.mark.parametrize(
    ("path", "wanted", "difference"),
    [
        ("$.id", "2", '$.id is "1", not "2"'),
        ("$.id", 1, '$.id is "1", not 1'),
        ("$.active", 1, "$.active is true, not 1"),
        ("$.active", "True", '$.active is true, not "True"'),
        ("$.title", "x", '$.title is absent, not "x"'),
        ("$.title", None, "$.title is absent, not null"),
        ("$.name", {}, '$.name is {"givenName": "Babs"}, not {}'),
        ("$.id.value", "1", '$.id.value is absent, not "1"'),
        ("$.emails[2]", {}, "$.emails[2] is absent, not {}"),
        ("$.emails[?type=='other'].value", "b", "$.emails[?type=='other'].value is absent, not \"b\""),
        ("$.emails[?primary==false].value", "b", '$.emails[?primary==false].value is absent, not "b"'),
        ("$.emails[*].value", ["b", "a"], '$.emails[*].value is ["a", "b"], not ["b", "a"]'),
        ("$.emails[*].value", {"$anyOrder": ["a"]}, '$.emails[*].value is ["a", "b"], not {"$anyOrder": ["a"]}'),
        ("$.name[*].value", {"$anyOrder": []}, '$.name[*].value is absent, not {"$anyOrder": []}'),
        ("$.id", {"$empty": True}, '$.id is "1", not {"$empty": true}'),
        ("$.title", {"$nonempty": True}, '$.title is absent, not {"$nonempty": true}'),
        ("$.title", {"$exists": True}, '$.title is absent, not {"$exists": true}'),
        ("$.id", {"$exists": False}, '$.id is "1", not {"$exists": false}'),
        ("$.title", {"$in": ["x"]}, '$.title is absent, not {"$in": ["x"]}'),
        ("$.active", {"$in": [1]}, '$.active is true, not {"$in": [1]}'),
        ("$.active", {"$type": "int"}, '$.active is true, not {"$type": "int"}'),
        ("$.active", {"$asStr": "False"}, '$.active is true, not {"$asStr": "False"}'),
        ("$.emails[*].type", {"$contains": "wor"}, '$.emails[*].type is ["home", "work"], not {"$contains": "wor"}'),
        ("$.emails[*].type", {"$notContains": "work"}, '$.emails[*].type is ["home", "work"], not {"$notContains": "work"}'),
        ("$.id", {"$len": 0}, '$.id is "1", not {"$len": 0}'),
        ("$.emails[*].value", {"$lenGte": 3}, '$.emails[*].value is ["a", "b"], not {"$lenGte": 3}'),
        ("$.id", {"$unknown": "1"}, '$.id is "1", not {"$unknown": "1"}'),
    ],
)  # fmt: skip
def test_what_differs_in_a_body_is_found(path: str, wanted: Any, difference: str) -> None:
    assert differences(answering(USER), step(json={path: wanted})) == [difference]


def test_a_wrong_status_is_found_and_all_that_is_said() -> None:
    wrong = step(201, json={"$.id": "2"}, expected_headers={"ETag": "1"}, save={"id": "$.id"})
    assert differences(answering(USER), wrong) == ["the status is 200, not 201"]
    assert differences(answering(USER), replace(wrong, expect=Expected(status=[201, 204]))) == [
        "the status is 200, not 201 or 204"
    ]


def test_a_wrong_header_is_found() -> None:
    wrong = step(expected_headers={"content-type": "application/json", "ETag": "1"})
    assert differences(answering(USER), wrong) == [
        "the header content-type is 'application/scim+json', not 'application/json'",
        "the header ETag is None, not '1'",
    ]


@pytest.mark.parametrize("body", [None, b"{"])
def test_a_body_that_is_missing_or_broken_is_found(body: bytes | None) -> None:
    assert differences(answering(body), step(json={"$.id": "1"})) == ['$.id is absent, not "1"']
    assert differences(answering(body), step(save={"id": "$.id"})) == ["nothing to save as id is at $.id"]


def test_a_body_may_be_missing_where_204_is_fine() -> None:
    fine = step(204, json={"$.id": "1"})
    assert not replay(answering(None, status=204), [fine])
    assert not replay(answering(None), [replace(fine, expect=Expected(status=[200, 204], json={"$.id": "1"}))])


def test_a_failure_names_the_step_the_quirk_the_request_and_the_answer() -> None:
    failing = step(201, method="PUT", path="/Users/1?", body={"a": "ä"}, name="replace", quirk="no userName")
    [failure] = replay(answering({"detail": "no"}), [failing])
    assert str(failure).splitlines() == [
        "replace [quirk: no userName]",
        "  the status is 200, not 201",
        '  > PUT /scim/v2/Users/1? {"a":"ä"}',
        '  < 200 {"detail": "no"}',
    ]


def test_what_was_never_saved_is_a_failure_and_the_rest_goes_on() -> None:
    lost = [step(path="/Users/{{id}}"), step(body=[{"$each": "ids", "item": "{{item}}"}])]
    assert differences(answering(USER), *lost, step(json={"$.id": "2"})) == [
        "{{id}} was never saved",
        "{{ids}} was never saved",
        '$.id is "1", not "2"',
    ]


def test_a_file_with_an_unknown_member_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('[{"name": "s", "expects": {}, "expect": {"status": [200]}}]', encoding="utf-8")
    with pytest.raises(TypeError, match="expects"):
        read_steps(file)


def recording(requests: list[httpx.Request]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"id": f"id {len(requests)}"})

    return answer


def test_variables_are_saved_filled_in_and_repeated() -> None:
    sent: list[httpx.Request] = []
    client = httpx.Client(
        base_url="http://scim.example/v2",
        transport=httpx.MockTransport(recording(sent)),
        headers={"Authorization": "Bearer t"},
    )
    steps = [
        step(save={"one": "$.id"}),
        step(unless="one"),
        step(path="/Users/{{one|pct}}?{{one|q}}&{{one|upper}}", repeat=2, save={"ids": "$.id"}, body="{{i}}"),
        step(body={"{{one}}": [0, {"$each": "ids", "item": {"value": "{{item}}"}}]}),
        step(body=[{"$each": "ids", "slice": [1, 2], "item": "{{item}}"}]),
        step(json={"$.id": "{{base}}"}, raw_body="{{run}} {{uuid}} {{uuid}} {{token}}"),
    ]  # fmt: skip
    assert differences(client, *steps) == ['$.id is "id 6", not "http://scim.example/v2"']
    targets = [request.extensions["target"] for request in sent]
    assert targets[0] == b"/v2/Users"
    assert targets[1] == targets[2] == b"/v2/Users/id%201?id+1&ID 1"
    bodies = [request.content.decode() for request in sent]
    assert bodies[:5] == ["", '"0"', '"1"', '{"id 1":[0,{"value":"id 2"},{"value":"id 3"}]}', '["id 3"]']
    run, one, other, token = bodies[5].split(" ")
    assert (len(run), len(one), len(other), token) == (8, 36, 36, "t")
    assert one != other


def test_a_request_goes_out_as_it_is_written() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        received: list[bytes] = []

        def serve() -> None:
            for end in (b"\r\n\r\n", b"}"):
                connection, _ = listener.accept()
                with connection:
                    request = b""
                    while not request.endswith(end) and (chunk := connection.recv(65_536)):
                        request += chunk
                    received.append(request)
                    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        thread = Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/scim/v2", headers={"Authorization": "Bearer t"}) as client:
            path = '/Users/./a//?filter=a+eq+"%c3%A4"&x=[%5B|&?'
            steps = [
                step(204, path=path, headers={"User-Agent": "", "content-TYPE": "text/x", "Authorization": None}),
                step(204, method="PUT", raw_body='{ "b": "é", "a":1}', raw_encoding="latin-1"),
            ]
            assert not replay(client, steps)
        thread.join(timeout=10)
    host = f"Host: 127.0.0.1:{port}\r\n"
    assert received == [
        f"GET /scim/v2{path} HTTP/1.1\r\n{host}User-Agent: \r\ncontent-TYPE: text/x\r\n\r\n".encode(),
        f"PUT /scim/v2/Users HTTP/1.1\r\n{host}Authorization: Bearer t\r\nContent-Length: 18\r\n\r\n".encode()
        + b'{ "b": "\xe9", "a":1}',
    ]
