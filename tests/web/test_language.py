"""Accept-Language: ja gets Japanese details; whatever else is asked for gets English ones."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from scim_server.app import create_app
from scim_server.protocol.wording import LANGUAGES
from scim_server.tenants import LANGUAGES as OF_TENANTS
from tests.conftest import Caller
from tests.scim import BULK_REQUEST, MEDIA_TYPE, assert_scim_error, create_group, create_user, patch
from tests.server import Server

JAPANESE = {"Accept-Language": "ja"}
JSON = {"Content-Type": MEDIA_TYPE}
NO_ENDPOINT = {"en": "There is no such endpoint.", "ja": "エンドポイントが存在しません。"}
SECRET = "hunter2-hunter2"


@pytest.fixture
def ja(http: httpx2.Client) -> httpx2.Client:
    """The client, which asks for Japanese from now on."""
    http.headers.update(JAPANESE)
    return http


# Which language is chosen


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("ja", "ja"), ("ja-JP", "ja"), ("JA", "ja"), ("ja-Jpan-JP", "ja"), ("ja;q=0.9,en;q=0.8", "ja"),
        ("en;q=0.8,ja;q=0.9", "ja"), ("fr,ja;q=0.5", "ja"), ("ja-JP,en;q=0.5", "ja"), ("*;q=0.1,ja", "ja"),
        ("en", "en"), ("en-US,en;q=0.9,ja;q=0.8", "en"), ("en-US,ja;q=0.8", "en"), ("en,ja", "en"), ("fr", "en"),
        ("*", "en"), ("ja;q=0", "en"), ("ja;q=0,*", "en"), ("ja;q=x", "en"), ("japanese", "en"), ("jaen", "en"),
        (",;=q", "en"), ("", "en"), ("\xff\xfe", "en"), ("../../ja", "en"), ("x" * 4000, "en"), (None, "en"),
    ],
)  # fmt: skip
def test_the_language_that_is_asked_for_most_is_chosen(http: httpx2.Client, asked: str | None, language: str) -> None:
    headers = {} if asked is None else {"Accept-Language": asked.encode("latin-1")}
    response = http.get("Nope", headers=headers)
    assert assert_scim_error(response, 404) == NO_ENDPOINT[language]
    assert response.headers["Content-Language"] == language


def test_these_are_the_languages_that_a_tenant_can_have() -> None:
    assert LANGUAGES == OF_TENANTS


def test_only_refusals_speak_a_language(ja: httpx2.Client) -> None:
    made = create_user(ja)
    for response in (ja.get(f"Users/{made['id']}"), ja.get("Users"), ja.get("Schemas")):
        assert response.status_code == 200
        assert "Content-Language" not in response.headers
        response.content.decode("ascii")


def test_head_says_which_language_an_answer_would_have(ja: httpx2.Client) -> None:
    response = ja.head("Users/nope")
    assert (response.status_code, response.headers["Content-Language"], response.content) == (404, "ja", b"")


# What is refused


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ({"title": 5}, "title は文字列にしてください（送信された型: 数値）。"),
        ({"userName": None, "title": 5, "emails": [{}, {"type": True}]}, "userName は必須です。title は文字列にしてください（送信された型: 数値）。emails[1].type は文字列にしてください（送信された型: 真偽値）。"),
        ({"active": "on"}, "active は真偽値（true または false）にしてください（送信された型: 文字列）。"),
        ({"x509Certificates": [{"value": "!"}]}, "x509Certificates[0].value は文字 A-Z a-z 0-9 + / による base64 にしてください。"),
        ({"userName": "a\nb"}, "userName は改行とタブを使用できません。"),
        ({"title": "\x07"}, "使用できない文字 U+0007 が含まれています（場所: title）。"),
    ],
)  # fmt: skip
def test_an_unfit_value_is_named(ja: httpx2.Client, attributes: dict[str, Any], detail: str) -> None:
    response = ja.post("Users", json={"userName": "bjensen"} | attributes)
    assert assert_scim_error(response, 400, "invalidValue") == detail


@pytest.mark.parametrize(
    ("query", "scim_type", "detail"),
    [
        ('filter=nope eq "x"', "invalidFilter", "User に 'nope' という属性はありません。"),
        ('filter=active eq "on"', "invalidFilter", "active と比較する値は真偽値（true または false）にしてください（送信された型: 文字列）。"),
        ("filter=(userName pr", "invalidFilter", "フィルターが途中で終わっています。"),
        ("count=x", "invalidValue", "count は整数にしてください。"),
        ("sortBy=nope", "invalidValue", "sortBy: 'nope' という属性はありません。"),
        ("cursor=x", "invalidCursor", "この cursor はこのクエリでは使用できません。"),
        ("attributes=title&excludedAttributes=title", "invalidValue", "attributes と excludedAttributes は同時に指定できません。"),
        ("filter=%FF", "invalidValue", "URL のクエリがパーセントエンコードされた UTF-8 ではありません。"),
    ],
)  # fmt: skip
def test_a_query_is_refused(ja: httpx2.Client, query: str, scim_type: str, detail: str) -> None:
    assert assert_scim_error(ja.get(f"Users?{query}"), 400, scim_type) == detail


def test_a_search_is_refused(ja: httpx2.Client) -> None:
    response = ja.post("Users/.search", json={"filter": 'userName zz "x"', "count": "x"})
    assert assert_scim_error(response, 400, "invalidValue") == "startIndex と count は整数にしてください。"
    response = ja.post("Users/.search", json={"sortOrder": 1, "filter": 2})
    assert (
        assert_scim_error(response, 400, "invalidValue")
        == "SearchRequest の filter, sortOrder の型が正しくありません。"
    )


@pytest.mark.parametrize(
    ("operation", "scim_type", "detail"),
    [
        ({"op": "add", "path": "nope"}, "invalidPath", "User に 'nope' という属性はありません。"),
        ({"op": "add", "path": "emails[0]"}, "invalidPath", "配列の要素は番号では指定できません。フィルターで選択してください。"),
        ({"op": "add", "path": "emails[type zz 5]"}, "invalidFilter", "フィルターの 6 文字目には演算子（eq, ne, co, sw, ew, gt, ge, lt, le, pr）が必要です。"),
        ({"op": "add", "path": "title", "value": 5}, "invalidValue", "title は文字列にしてください（送信された型: 数値）。"),
        ({"op": "replace", "path": "id", "value": "x"}, "mutability", "id は読み取り専用（readOnly）です。"),
        ({"op": "remove", "path": "userName"}, "mutability", "userName は必須のため削除できません。"),
        ({"op": "remove"}, "noTarget", "remove には path が必要です。"),
        ({"op": "replace", "path": 'emails[type ne "x"].value', "value": "x"}, "noTarget", "emails にフィルターと一致する値がありません。"),
        ({"op": "move"}, "invalidSyntax", "op は add、remove、replace のいずれかにしてください。"),
    ],
)  # fmt: skip
def test_an_operation_of_a_patch_is_named_by_its_number(
    ja: httpx2.Client, operation: dict[str, Any], scim_type: str, detail: str
) -> None:
    path = f"Users/{create_user(ja)['id']}"
    value = {} if operation["op"] == "remove" else {"value": "x"}
    response = patch(ja, path, {"op": "add", "path": "title", "value": "x"}, value | operation)
    assert assert_scim_error(response, 400, scim_type) == f"操作 2: {detail}"


def test_an_operation_that_is_no_object_is_named_by_its_number(ja: httpx2.Client) -> None:
    path = f"Users/{create_user(ja)['id']}"
    response = ja.patch(path, json={"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [5]})
    assert assert_scim_error(response, 400, "invalidSyntax") == "操作 1 はオブジェクトにしてください。"


def test_what_does_not_exist_is_told_in_japanese(ja: httpx2.Client) -> None:
    assert assert_scim_error(ja.get("Users/{0}%s'は"), 404) == 'User "{0}%s\'\\u306f" は存在しません。'
    assert assert_scim_error(ja.get("Schemas/nope"), 404) == "Schema 'nope' は存在しません。"
    assert assert_scim_error(ja.get("Nope"), 404) == NO_ENDPOINT["ja"]


def test_who_is_not_let_in_is_told_in_japanese(server: Server, caller: Caller) -> None:
    url = f"{server.settings.base_url}/Users"
    for headers in ({}, {"Authorization": "Bearer x"}):
        response = httpx2.get(url, headers=headers | JAPANESE)
        assert "Bearer トークン" in assert_scim_error(response, 401)
        assert response.headers["WWW-Authenticate"].startswith('Bearer realm="scim"')
        assert response.headers["Content-Language"] == "ja"
    reader = caller.token_for("users:read")
    response = reader.post("Users", json={"userName": "x"}, headers=JAPANESE)
    assert assert_scim_error(response, 403) == "トークンにスコープ users:write がありません。"
    response = caller.token_for("bulk").get("", headers=JAPANESE)
    expected = "トークンにスコープ users:read または groups:read または services:read がありません。"
    assert assert_scim_error(response, 403) == expected


def test_a_conflict_is_told_in_japanese(ja: httpx2.Client) -> None:
    made = create_user(ja)
    response = ja.post("Users", json={"userName": "BJENSEN"})
    assert assert_scim_error(response, 409, "uniqueness") == "この userName は別の User で使用されています。"
    assert response.headers["Location"] == made["meta"]["location"]
    response = ja.put(f"Users/{made['id']}", json={"userName": "x"}, headers={"If-Match": 'W/"0"'})
    version = made["meta"]["version"]
    assert assert_scim_error(response, 412) == f"リソースが変更されています。現在のバージョンは {version} です。"


def test_what_cannot_be_read_is_told_in_japanese(ja: httpx2.Client) -> None:
    response = ja.post("Users", content=b"x" * (1024 * 1024 + 1), headers=JSON)
    assert assert_scim_error(response, 413) == "本文が大きすぎます。上限は 1048576 バイトです。"
    response = ja.post("Bulk", content=b"x" * (4 * 1024 * 1024 + 1), headers=JSON)
    assert assert_scim_error(response, 413) == "本文が大きすぎます。上限（maxPayloadSize）は 4194304 バイトです。"
    response = ja.post("Users", content=b"<x/>", headers={"Content-Type": "text/xml"})
    expected = "本文の形式は application/scim+json または application/json にしてください。"
    assert assert_scim_error(response, 415) == expected
    response = ja.post("Users", content=b'{"userName":}', headers=JSON)
    expected = "本文が正しい JSON ではありません: 値が必要です（1 行 13 列）。"
    assert assert_scim_error(response, 400, "invalidSyntax") == expected
    response = ja.post("Users", content=b'{"a":1,"a":2}', headers=JSON)
    assert assert_scim_error(response, 400, "invalidSyntax") == "メンバー 'a' が 1 つのオブジェクトに 2 回あります。"


def test_what_is_not_offered_is_told_in_japanese(ja: httpx2.Client) -> None:
    response = ja.put("Users", json={})
    assert assert_scim_error(response, 405) == "このエンドポイントではこのメソッドを使用できません。"
    assert "POST" in response.headers["Allow"]
    assert assert_scim_error(ja.post("Me", json={}), 501) == "/Me への POST はこのサーバーでは利用できません。"
    assert (
        assert_scim_error(ja.get("Schemas?filter=x"), 403)
        == "ディスカバリーエンドポイントではフィルターを使用できません。"
    )


def test_references_are_refused_in_japanese(ja: httpx2.Client) -> None:
    group = create_group(ja)
    response = ja.post("Groups", json={"displayName": "x", "members": [{"value": "nope"}]})
    assert (
        assert_scim_error(response, 400, "invalidValue") == "members: ID が 'nope' の User または Group はありません。"
    )
    own = {"op": "add", "path": "members", "value": [{"value": group["id"]}]}
    response = patch(ja, f"Groups/{group['id']}", own)
    expected = "members: Group は直接または間接に自分自身を含むことができません。"
    assert assert_scim_error(response, 400, "invalidValue") == expected


def test_a_failure_of_the_server_is_told_in_japanese(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(tmp_path_factory.mktemp("failing")).initialised()
    headers = {"Authorization": f"Bearer {server.token('admin')}"} | JAPANESE
    client = create_app(server.settings).test_client()
    monkeypatch.setattr("scim_server.web.scim.query_parameters", lambda: {}["x"])
    response = client.get("/scim/v2/Users", headers=headers)
    assert response.status_code == 500
    detail = response.get_json()["detail"]
    assert detail.startswith("サーバーでエラーが発生しました。")
    assert any(reference in detail for reference in caplog.text.split())


# Bulk


def results(http: httpx2.Client, *operations: Any, **headers: str) -> Iterator[tuple[str, str]]:
    """Do operations and yield status and detail of those that are refused."""
    response = http.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations}, headers=headers)
    assert response.status_code == 200
    assert "Content-Language" not in response.headers
    for result in response.json()["Operations"]:
        if "response" in result:
            yield result["status"], result["response"]["detail"]


def test_every_operation_of_a_bulk_is_refused_in_japanese(ja: httpx2.Client, caller: Caller) -> None:
    create_user(ja)
    nobody = {"value": "bulkId:nobody"}
    change = {"op": "add", "path": "nope", "value": 1}
    operations = [
        5,
        {"method": "GET"},
        {"method": "POST", "path": "/Users"},
        {"method": "POST", "path": "/Users", "bulkId": "taken", "data": {"userName": "bjensen"}},
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {"displayName": "x", "members": [{"value": "bulkId:taken"}]}},
        {"method": "POST", "path": "/Groups", "bulkId": "h", "data": {"displayName": "y", "members": [nobody]}},
        {"method": "PUT", "path": "/Users/x", "data": {"userName": "x", "title": 5}},
        {"method": "PATCH", "path": "/Users/x", "data": {"Operations": [change]}},
        {"method": "DELETE", "path": "/Users/x"},
        {"method": "DELETE", "path": "/Nope/x"},
    ]  # fmt: skip
    assert list(results(ja, *operations)) == [
        ("400", "操作はオブジェクトにしてください。"),
        ("400", "method は POST, PUT, PATCH, DELETE のいずれかにしてください。"),
        ("400", "POST には bulkId が必要です。"),
        ("409", "この userName は別の User で使用されています。"),
        ("409", "この操作が参照するリソースを作成する操作 4 が失敗しました。"),
        ("400", "ここで参照されている bulkId のリソースを作成する操作がありません。"),
        ("400", "title は文字列にしてください（送信された型: 数値）。"),
        ("400", "操作 1: User に 'nope' という属性はありません。"),
        ("404", "User 'x' は存在しません。"),
        ("404", "path がリソースタイプのエンドポイントを指していません。"),
    ]
    assert all(detail.isascii() for _, detail in results(ja, *operations, **{"Accept-Language": "en"}))
    asked = caller.token_for("bulk", "groups:write")
    denied = results(asked, {"method": "DELETE", "path": "/Users/x"}, **JAPANESE)
    assert list(denied) == [("403", "トークンにスコープ users:write がありません。")]


def test_a_bulk_as_a_whole_is_refused_in_japanese(ja: httpx2.Client) -> None:
    response = ja.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": [{}] * 301})
    assert assert_scim_error(response, 413) == "Bulk の操作数が maxOperations（300）を超えています。"
    response = ja.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": []})
    expected = "Operations は 1 つ以上の操作を含む配列にしてください。"
    assert assert_scim_error(response, 400, "invalidSyntax") == expected
    assert response.headers["Content-Language"] == "ja"


# Repetitions


def test_a_repetition_is_answered_in_the_language_of_the_first_answer(http: httpx2.Client) -> None:
    key = {"Idempotency-Key": "one"}
    first = http.post("Users", json={"userName": 5}, headers=key | JAPANESE)
    again = http.post("Users", json={"userName": 5}, headers=key)
    assert assert_scim_error(again, 400, "invalidValue") == first.json()["detail"]
    assert first.headers["Content-Language"] == again.headers["Content-Language"] == "ja"
    other = http.post("Users", json={"userName": 6}, headers=key | JAPANESE)
    assert "Idempotency-Key" in (detail := assert_scim_error(other, 422)) and not detail.isascii()


# Secrets


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_password_never_stands_in_a_detail(http: httpx2.Client, server: Server, language: str) -> None:
    http.headers["Accept-Language"] = language
    made = create_user(http)
    path = f"Users/{made['id']}"
    wrong: list[Any] = [[SECRET, SECRET], {"x": SECRET}, f"{SECRET}\n", f"{SECRET}\x07", SECRET[:4] + "\t", SECRET * 100,
                        {"value": SECRET, "VALUE": SECRET}]  # fmt: skip
    for value in wrong:
        change = {"op": "replace", "path": "password", "value": value}
        operation = {"method": "PATCH", "path": f"/{path}", "data": {"Operations": [change]}}
        bulk = http.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": [operation]})
        posted = http.post("Users", json={"userName": "x", "password": value})
        put = http.put(path, json={"userName": "bjensen", "password": value})
        without_path = patch(http, path, {"op": "add", "value": {"password": value}})
        for response in (posted, put, patch(http, path, change), without_path):
            assert response.headers["Content-Language"] == language
            assert_scim_error(response, 400, response.json()["scimType"])
        for response in (posted, put, bulk, patch(http, path, change), without_path):
            assert SECRET[:4] not in json.dumps(response.json())
        assert bulk.json()["Operations"][0]["status"] == "400"
    for filter in (f'password eq "{SECRET}"', f'emails[password eq "{SECRET}"]'):
        assert SECRET not in http.get("Users", params={"filter": filter}).text
    assert SECRET not in server.log.read_text()
