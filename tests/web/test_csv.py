"""CSV files of accounts: what administrators do with Excel (design: columns, codes, errors, all or nothing)."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scim_server import tenants
from scim_server.app import create_app
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database
from tests.conftest import Caller
from tests.scim import ACCOUNT_USER, ENTERPRISE, USER, assert_scim_error, create, create_group, create_user
from tests.server import Server

FIXTURES = Path(__file__).parent.parent / "fixtures" / "csv"
BOM = b"\xef\xbb\xbf"
JA = "メールアドレス,名前,ユーザータイプ,組織名,部署名,所属グループ,携帯電話番号,電話番号,有効開始年月日,有効終了年月日,ステータス,論理削除フラグ"
EN = "Email address,Name,User type,Organization,Department,Groups,Mobile phone,Phone,Valid from,Valid until,Status,Delete flag"
NAMES = JA.split(",")
ADDRESS, NAME, TYPE, ORGANIZATION, DEPARTMENT, GROUPS, MOBILE, PHONE, FROM, UNTIL, STATUS, FLAG = NAMES
CSV = {"Content-Type": "text/csv"}
TARO = dict(
    zip(NAMES, ["taro@example.com", "山田 太郎", "0", "", "", "営業", "", "", "2024/01/01", "", "0", "0"], strict=True)
)


def url(http: httpx2.Client, path: str) -> str:
    return str(http.base_url).removesuffix("scim/v2/") + path


def written(*rows: dict[str, str]) -> bytes:
    """Return a file as the server would write it, each row TARO's but for what is given."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([NAMES, *[(TARO | row).values() for row in rows]])
    return BOM + buffer.getvalue().encode()


def upload(http: httpx2.Client, content: bytes, query: str = "", **headers: str) -> httpx2.Response:
    return http.post(url(http, f"csv/accounts{query}"), content=content, headers=CSV | headers)


def done(http: httpx2.Client, content: bytes, query: str = "") -> dict[str, Any]:
    response = upload(http, content, query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def actions(http: httpx2.Client, content: bytes, query: str = "") -> list[str]:
    return [row["action"] for row in done(http, content, query)["rows"]]


def errors(http: httpx2.Client, content: bytes, **headers: str) -> list[tuple[int, str | None, str]]:
    """Return row, column and value class of each error of a file that is refused."""
    response = upload(http, content, **headers)
    assert_scim_error(response, 400, "invalidValue")
    assert all(each["advice"] for each in response.json()["errors"])
    return [(each["row"], each["column"], each["valueClass"]) for each in response.json()["errors"]]


def export(http: httpx2.Client, **parameters: str) -> bytes:
    response = http.get(url(http, "csv/accounts"), params=parameters)
    assert response.status_code == 200, response.text
    return response.content


def exported(http: httpx2.Client, **parameters: str) -> list[dict[str, str]]:
    text = export(http, **parameters).removeprefix(BOM).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def in_zone(server: Server, caller: Caller, zone: str) -> None:
    database = open_database(server.settings.database_url)
    tenants.change(database, caller.tenant.name, {"time_zone": zone})
    database.close()


@pytest.fixture
def sales(http: httpx2.Client) -> dict[str, Any]:
    return create_group(http, "営業")


class TestTemplate:
    def test_it_has_the_header_and_nothing_else(self, http: httpx2.Client) -> None:
        response = http.get(url(http, "csv/template"))
        assert response.content == BOM + f"{JA}\r\n".encode()
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"] == 'attachment; filename="template.csv"'

    def test_it_speaks_english_and_cp932(self, http: httpx2.Client) -> None:
        assert http.get(url(http, "csv/template?lang=en")).content == BOM + f"{EN}\r\n".encode()
        response = http.get(url(http, "csv/template?encoding=cp932"))
        assert response.content == f"{JA}\r\n".encode("cp932")
        assert response.headers["Content-Type"] == "text/csv; charset=windows-31j"

    def test_it_can_be_uploaded_as_it_is(self, http: httpx2.Client) -> None:
        for query in ("", "?lang=en", "?encoding=cp932"):
            assert actions(http, http.get(url(http, f"csv/template{query}")).content) == []


class TestRegistration:
    def test_an_address_that_is_not_there_is_registered(
        self, server: Server, caller: Caller, sales: dict[str, Any]
    ) -> None:
        in_zone(server, caller, "Asia/Tokyo")
        http = caller.http
        row = {
            ORGANIZATION: "本社",
            DEPARTMENT: "第一",
            MOBILE: "090-1234-5678",
            PHONE: "+81-3-1234",
            UNTIL: "2024/12/31",
        }
        body = done(http, written(row))
        assert body["counts"] == {"create": 1, "edit": 0, "delete": 0, "untouched": 0}
        assert not body["dryRun"]
        user = http.get(f"Users/{body['rows'][0]['id']}").json()
        assert (user["userName"], user["displayName"], user["name"]) == (
            "taro@example.com", "山田 太郎", {"formatted": "山田 太郎"},
        )  # fmt: skip
        assert user["emails"] == [{"value": "taro@example.com", "type": "work", "primary": True}]
        assert (user["userType"], user["active"]) == ("User", True)
        assert user[ENTERPRISE]["organization"], user[ENTERPRISE]["department"] == ("本社", "第一")
        assert [(each["type"], each["value"]) for each in user["phoneNumbers"]] == [
            ("mobile", "090-1234-5678"), ("work", "+81-3-1234"),
        ]  # fmt: skip
        assert user[ACCOUNT_USER]["validFrom"] == "2023-12-31T15:00:00Z"
        assert user[ACCOUNT_USER]["validUntil"] == "2024-12-31T14:59:59Z"
        assert [(each["value"], each["type"]) for each in user["groups"]] == [(sales["id"], "direct")]
        group = http.get(f"Groups/{sales['id']}").json()
        assert group["meta"]["version"] != sales["meta"]["version"]

    def test_an_administrator_who_is_disabled(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        body = done(http, written({TYPE: "１", STATUS: "1", FLAG: "０"}))
        user = http.get(f"Users/{body['rows'][0]['id']}").json()
        assert (user["userType"], user["active"]) == ("Administrator", False)

    def test_every_change_is_audited(self, caller: Caller, sales: dict[str, Any], database: Database) -> None:
        id = done(caller.http, written({}))["rows"][0]["id"]
        rows = database.rows(
            "SELECT operation, resource_type, resource_id FROM audit WHERE tenant = ? ORDER BY number",
            (caller.tenant.number,),
        )
        assert rows[1:] == [("create", "User", id), ("patch", "Group", sales["id"])]

    def test_300_accounts_are_registered_at_once_and_301_are_refused(
        self, http: httpx2.Client, sales: dict[str, Any]
    ) -> None:
        rows = [{ADDRESS: f"u{number}@example.com"} for number in range(301)]
        detail = assert_scim_error(upload(http, written(*rows)), 413)
        assert "301" in detail and "300" in detail
        assert exported(http) == []
        assert done(http, written(*rows[:300]))["counts"]["create"] == 300
        assert len(exported(http)) == 300

    def test_empty_rows_do_not_count(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        content = written({}) + b"," * 11 + b"\r\n\r\n" + written({ADDRESS: "hana@example.com"}).partition(b"\r\n")[2]
        assert [(row["row"], row["action"]) for row in done(http, content)["rows"]] == [(2, "create"), (5, "create")]


class TestEdit:
    def test_only_cells_that_differ_are_changed(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        create_group(http, "開発")
        done(http, written({MOBILE: "1", UNTIL: "2025/01/01"}))
        body = done(http, written({NAME: "山田 花子", MOBILE: "", GROUPS: "開発;営業", UNTIL: "2025/1/1"}))
        assert body["rows"] == [{
            "row": 2, "action": "edit", "address": "taro@example.com", "id": body["rows"][0]["id"],
            "before": {NAME: "山田 太郎", GROUPS: "営業", MOBILE: "1"},
            "after": {NAME: "山田 花子", GROUPS: "営業;開発", MOBILE: ""},
        }]  # fmt: skip
        assert exported(http) == [TARO | {NAME: "山田 花子", GROUPS: "営業;開発", UNTIL: "2025/01/01"}]

    def test_what_the_file_does_not_speak_of_stays(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        user = create(
            http, "Users", schemas=[USER], userName="hana@example.com", displayName="Hana", name={"familyName": "Yamada", "formatted": "Hana"},
            userType="Employee", title="Guide", password="t1meMa$heen",
            phoneNumbers=[{"type": "mobile", "value": "1", "primary": True}, {"type": "fax", "value": "2"}],
        )  # fmt: skip
        row = {ADDRESS: "HANA@example.com", NAME: "花", MOBILE: "3", PHONE: "4"}
        assert actions(http, written(row)) == ["edit"]
        found = http.get(f"Users/{user['id']}").json()
        assert (found["userName"], found["userType"], found["title"]) == ("hana@example.com", "Employee", "Guide")
        assert found["name"] == {"formatted": "花", "familyName": "Yamada"}
        assert found["phoneNumbers"] == [
            {"type": "mobile", "value": "3", "primary": True}, {"type": "fax", "value": "2"}, {"type": "work", "value": "4"},
        ]  # fmt: skip
        assert actions(http, written(row)) == ["untouched"]

    def test_what_is_untouched_keeps_its_version(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        user = create_user(http, "bjensen")
        group = create_group(http, "a;b\\c", user["id"])
        before = http.get(f"Users/{user['id']}").json(), http.get(f"Groups/{group['id']}").json()
        assert exported(http)[0][GROUPS] == "a\\;b\\\\c"
        assert actions(http, export(http)) == ["untouched"]
        assert (http.get(f"Users/{user['id']}").json(), http.get(f"Groups/{group['id']}").json()) == before

    def test_a_flag_deletes_with_the_address_alone(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        done(http, written({}))
        row = dict.fromkeys(NAMES, "") | {ADDRESS: "taro@example.com", FLAG: "1"}
        body = done(http, written(row))
        assert body["counts"]["delete"] == 1
        assert body["rows"][0]["before"][NAME] == "山田 太郎"
        assert exported(http) == []
        assert "members" not in http.get(f"Groups/{sales['id']}").json()

    def test_a_dry_run_shows_everything_and_changes_nothing(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        done(http, written({}, {ADDRESS: "hana@example.com"}, {ADDRESS: "jiro@example.com"}))
        before = export(http)
        content = written(
            {},
            {ADDRESS: "hana@example.com", NAME: "花"},
            {ADDRESS: "jiro@example.com", FLAG: "1"},
            {ADDRESS: "new@example.com"},
        )
        body = done(http, content, "?dryRun=true")
        assert body["dryRun"]
        assert body["counts"] == {"create": 1, "edit": 1, "delete": 1, "untouched": 1}
        assert body["rows"][1]["before"] == {NAME: "山田 太郎"} and body["rows"][1]["after"] == {NAME: "花"}
        assert body["rows"][3]["after"][ADDRESS] == "new@example.com"
        assert export(http) == before
        assert done(http, content, "?dryrun=FALSE")["counts"] == body["counts"]


class TestErrors:
    def test_all_errors_are_listed_and_nothing_is_applied(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        create_user(http, "hana@example.com")
        content = written(
            {ADDRESS: "fine@example.com"},
            {NAME: "", TYPE: "管理者", GROUPS: "営業;なし", FROM: "２０２４/01/01", UNTIL: "2024-01-01", STATUS: "", FLAG: "2"},
            {ADDRESS: ""}, {ADDRESS: "nobody@example.com", FLAG: "1"}, {ADDRESS: "fine@example.com"},
            {ADDRESS: "hana@example.com", FROM: "2024/02/30"}, {ADDRESS: "a@example.com", FROM: "2024/02/02", UNTIL: "2024/02/01"},
            {ADDRESS: "no address"}, {ADDRESS: "b@example.com", NAME: "a\x07b"}, {ADDRESS: "c@example.com", FROM: "45292"},
            {ADDRESS: "d\u200b@example.com"},
        )  # fmt: skip
        assert errors(http, content) == [
            (3, NAME, "empty"), (3, TYPE, "notACode"), (3, GROUPS, "unknownGroup"), (3, FROM, "fullWidthDigits"),
            (3, UNTIL, "notADate"), (3, STATUS, "empty"), (3, FLAG, "notACode"),
            (4, ADDRESS, "empty"), (5, ADDRESS, "unknownAddress"), (6, ADDRESS, "repeatedAddress"), (7, FROM, "noSuchDay"),
            (8, UNTIL, "wrongOrder"), (9, ADDRESS, "notAnAddress"), (10, NAME, "forbiddenCharacter"), (11, FROM, "notADate"),
            (12, ADDRESS, "forbiddenCharacter"),
        ]  # fmt: skip
        assert len(exported(http)) == 1

    def test_advice_is_given_in_japanese_or_english(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        content = written({FROM: "２０２４/01/01"})
        response = upload(http, content, **{"Accept-Language": "ja"})
        assert response.json()["errors"] == [
            {"row": 2, "column": FROM, "valueClass": "fullWidthDigits", "advice": "日付は 2024/01/01 のように半角数字で入力してください。"}
        ]  # fmt: skip
        assert (
            response.json()["detail"]
            == f"エラーがあるため、何も変更していません。2 行目「{FROM}」: 日付は 2024/01/01 のように半角数字で入力してください。"
        )
        assert upload(http, content).json()["errors"][0]["advice"].startswith("Write the date in half-width digits")

    def test_a_header_that_is_wrong(self, http: httpx2.Client) -> None:
        header = "E-mail,名前,名前,Status," + ",".join(NAMES[2:-2])
        assert errors(http, f"{header}\r\n".encode()) == [
            (1, "A", "unknownColumn"), (1, "C", "repeatedColumn"), (1, "Email address", "missingColumn"), (1, "Delete flag", "missingColumn"),
        ]  # fmt: skip
        assert [error for _, _, error in errors(http, b"")] == ["missingColumn"] * 12

    def test_rows_and_quotes_that_are_wrong(self, http: httpx2.Client) -> None:
        content = f"{JA}\r\na,b\r\n".encode() + written({FROM: "x"}).partition(b"\r\n")[2]
        assert errors(http, content) == [(2, None, "cells"), (3, GROUPS, "unknownGroup"), (3, FROM, "notADate")]
        assert errors(http, f'{JA}\r\n"a\nb"\r\n"a"b\r\n'.encode()) == [(3, None, "quotes")]
        assert errors(http, f'{JA}\r\n"a'.encode()) == [(2, None, "quotes")]

    def test_bytes_that_are_no_text(self, http: httpx2.Client) -> None:
        head = f'{JA}\r\n"a\nb",'
        response = upload(http, head.encode("cp932") + b"\xfd")
        assert [each["row"] for each in response.json()["errors"]] == [2]
        assert f"Byte {len(head.encode('cp932')) + 1} " in response.json()["errors"][0]["advice"]
        response = upload(http, BOM + f"{JA}\r\n".encode() + b"\xfd")
        assert [each["row"] for each in response.json()["errors"]] == [2]
        assert (
            f"Byte {len(JA.encode()) + 6} of the file is no character of UTF-8"
            in response.json()["errors"][0]["advice"]
        )
        assert errors(http, b"\xff\xfe" + JA.encode("utf-16-le")) == [(1, None, "undecodable")]

    def test_a_mobile_number_is_required_under_sms_authentication(self, caller: Caller, database: Database) -> None:
        create_group(caller.http, "営業")
        create_user(caller.http, "hana@example.com")
        with database.transaction():
            sql = "UPDATE tenant SET policies = policies || ' sms_authentication' WHERE number = ?"
            database.run(sql, (caller.tenant.number,))
        assert errors(caller.http, written({})) == [(2, MOBILE, "empty")]
        hana = {ADDRESS: "hana@example.com"}
        assert errors(caller.http, written(hana | {PHONE: "03"})) == [(2, MOBILE, "empty")]
        assert actions(caller.http, written(hana)) == ["edit"]
        assert actions(caller.http, written(hana | {MOBILE: "090", PHONE: "03"})) == ["edit"]
        assert errors(caller.http, written(hana | {PHONE: ""})) == [(2, MOBILE, "empty")]

    def test_separators_alone_name_no_group(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        assert errors(http, written({GROUPS: ";"})) == [(2, GROUPS, "empty")]
        done(http, written({}))
        assert errors(http, written({GROUPS: " ; ;"})) == [(2, GROUPS, "empty")]

    def test_letter_case_tells_groups_apart_that_differ_in_nothing_else(
        self, caller: Caller, database: Database
    ) -> None:
        with database.transaction():
            database.run("UPDATE tenant SET policies = '' WHERE number = ?", (caller.tenant.number,))
        for name in ("Sales", "sales"):
            create_group(caller.http, name)
        done(caller.http, written({GROUPS: "sales"}))
        assert exported(caller.http)[0][GROUPS] == "sales"
        assert actions(caller.http, written({GROUPS: "sales;Sales"})) == ["edit"]
        assert exported(caller.http)[0][GROUPS] == "Sales;sales"
        assert errors(caller.http, written({GROUPS: "SALES"})) == [(2, GROUPS, "ambiguousGroup")]

    def test_groups_of_one_name_are_told_apart_by_nobody(self, caller: Caller, database: Database) -> None:
        with database.transaction():
            database.run("UPDATE tenant SET policies = '' WHERE number = ?", (caller.tenant.number,))
        user = create_user(caller.http)
        create_group(caller.http, "営業", user["id"])
        create_group(caller.http, "営業")
        assert errors(caller.http, written({})) == [(2, GROUPS, "ambiguousGroup")]
        assert actions(caller.http, export(caller.http)) == ["untouched"]

    def test_what_the_schema_refuses_is_an_error_of_its_row(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        large = written({NAME: "a" * 1_100_000})
        assert errors(http, large) == [(2, None, "refused")]
        done(http, written({}))
        assert errors(http, large) == [(2, None, "refused")]

    def test_what_would_keep_the_server_busy_is_refused_quickly(
        self, http: httpx2.Client, sales: dict[str, Any]
    ) -> None:
        stacked = "a" + "\u0300\u0316" * 100_000
        for column in (ADDRESS, NAME, GROUPS):
            assert errors(http, written({column: stacked})) == [(2, column, "forbiddenCharacter")]
        assert errors(http, stacked.encode())[0] == (1, "A", "unknownColumn")
        assert len(errors(http, b"," * 4_000_000)) == 112
        assert errors(http, f"{JA}\r\n{',' * 4_000_000}x".encode()) == [(2, None, "cells")]
        detail = assert_scim_error(upload(http, f"{JA}\r\n".encode() + b"\n" * 1_000_000 + b"a\n" * 1_000_000), 413)
        assert "1000000" in detail
        assert errors(http, written({GROUPS: ";".join(map(str, range(500_000)))})) == [(2, GROUPS, "unknownGroup")]
        begin = time.monotonic()
        assert errors(http, written({GROUPS: ";" * 4_000_000})) == [(2, GROUPS, "empty")]
        assert time.monotonic() - begin < 5

    def test_the_server_log_holds_nothing_of_a_file(self, server: Server, http: httpx2.Client) -> None:
        upload(http, written({NAME: "unloggable", FROM: "x"}))
        assert "unloggable" not in server.log.read_text()


class TestFiles:
    """Files as Excel in Japan saves them."""

    @pytest.fixture
    def tokyo(self, server: Server, caller: Caller) -> httpx2.Client:
        in_zone(server, caller, "Asia/Tokyo")
        for name in ("営業部", "開発部", "A;B"):
            create_group(caller.http, name)
        return caller.http

    @pytest.mark.parametrize("name", ["excel-cp932", "excel-utf8-bom", "utf8-lf", "english-other-order"])
    def test_a_file_of_excel_is_imported(self, tokyo: httpx2.Client, name: str) -> None:
        body = done(tokyo, (FIXTURES / f"{name}.csv").read_bytes())
        assert body["counts"]["create"] == 3, body
        taro, hana, jiro = exported(tokyo)
        assert taro == dict(
            zip(
                NAMES,
                [
                    "taro@example.com",
                    "山田 太郎",
                    "0",
                    "株式会社例",
                    "営業\n一課",
                    "営業部;A\\;B",
                    "090-0000-0001",
                    "03-0000-0001",
                    "2024/01/01",
                    "2024/12/31",
                    "0",
                    "0",
                ],
                strict=True,
            )
        )
        assert hana == dict(
            zip(
                NAMES,
                ["hana@example.com", '髙橋 "花"', "1", "", "", "開発部", "", "", "2024/02/03", "", "1", "0"],
                strict=True,
            )
        )
        assert jiro[NAME] == "①～Ⅲ㈱ﾊﾝｶｸ"
        assert set(actions(tokyo, (FIXTURES / f"{name}.csv").read_bytes())) == {"untouched"}

    def test_full_width_digits_in_dates_are_refused_with_advice(self, tokyo: httpx2.Client) -> None:
        found = errors(tokyo, (FIXTURES / "excel-full-width-dates.csv").read_bytes())
        assert found == [(2, FROM, "fullWidthDigits"), (2, UNTIL, "fullWidthDigits"), (3, FROM, "fullWidthDigits")]

    def test_a_file_in_a_form(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        response = http.post(
            url(http, "csv/accounts"), files={"file": ("a.csv", written({}), "application/vnd.ms-excel")}
        )
        assert response.json()["counts"]["create"] == 1
        assert_scim_error(http.post(url(http, "csv/accounts"), files={"a": b"", "b": b""}), 400, "invalidSyntax")
        many = [("file", (f"{number}.csv", b"")) for number in range(30)]
        assert_scim_error(http.post(url(http, "csv/accounts"), files=many), 400, "invalidSyntax")
        broken = {"Content-Type": "multipart/form-data"}
        assert_scim_error(http.post(url(http, "csv/accounts"), content=b"x", headers=broken), 400, "invalidSyntax")
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        assert_scim_error(
            http.post(url(http, "csv/accounts"), content=b"--x\r\n", headers=broken), 400, "invalidSyntax"
        )

    def test_other_bodies_are_refused(self, http: httpx2.Client) -> None:
        assert_scim_error(http.post(url(http, "csv/accounts"), json={}), 415)
        large = b"x" * (4 * 1024 * 1024 + 1)
        assert_scim_error(upload(http, large), 413)
        assert_scim_error(http.post(url(http, "csv/accounts"), files={"file": large}), 413)
        assert_scim_error(http.post(url(http, "csv/accounts"), files={"file": large * 2}), 413)

    def test_a_query_that_is_mistyped_changes_nothing(self, http: httpx2.Client, sales: dict[str, Any]) -> None:
        for query in (
            "?dry_run=true",
            "?dryRun=1",
            "?dryRun=",
            "?encoding=sjis",
            "?dryRun=false&dryRun=true",
            "?dryRun=true&dryrun=false",
        ):
            assert_scim_error(upload(http, written({}), query), 400, "invalidValue")
        field = {"dryRun": "true"}
        response = http.post(url(http, "csv/accounts"), files={"file": written({})}, data=field)
        assert_scim_error(response, 400, "invalidSyntax")
        assert_scim_error(http.get(url(http, "csv/accounts?filters=x")), 400, "invalidValue")
        assert_scim_error(http.get(url(http, "csv/template?lang=fr")), 400, "invalidValue")
        assert exported(http) == []


class TestExport:
    def test_a_filter_selects(self, http: httpx2.Client) -> None:
        for name in ("bjensen", "jsmith"):
            create_user(http, name)
        assert [row[ADDRESS] for row in exported(http, filter='userName eq "jsmith"')] == ["jsmith"]
        assert [row[ADDRESS] for row in exported(http, Filter='accountStatus eq "active"')] == ["bjensen", "jsmith"]
        assert_scim_error(http.get(url(http, "csv/accounts"), params={"filter": "x"}), 400, "invalidFilter")

    def test_formulas_are_neutralised_and_restored(self, http: httpx2.Client) -> None:
        for number, name in enumerate(["=1", "+1", "-1", "@a", "\ta", "\ra", "'a", "'=1", "a=1"]):
            create_user(http, f"u{number}", displayName=name)
        shown = [row[NAME] for row in exported(http)]
        assert shown == ["'=1", "'+1", "'-1", "'@a", "'\ta", "'\ra", "''a", "''=1", "a=1"]
        assert set(actions(http, export(http))) == {"untouched"}

    def test_more_than_one_page(self, http: httpx2.Client) -> None:
        for start in range(0, 2100, 300):
            operations = [
                {"method": "POST", "path": "/Users", "bulkId": f"b{n}", "data": {"userName": f"u{n}"}}
                for n in range(start, start + 300)
            ]
            assert http.post("Bulk", json={"Operations": operations}).status_code == 200
        for filter in ({}, {"filter": 'userName sw "u"'}, {"filter": "active pr or userName pr"}):
            assert [row[ADDRESS] for row in exported(http, **filter)] == [f"u{n}" for n in range(2100)]

    def test_what_cp932_cannot_hold_is_named_and_nothing_is_sent(self, http: httpx2.Client) -> None:
        create_user(http, "a", displayName="髙橋～")
        assert "髙橋～".encode("cp932") in export(http, encoding="cp932")
        create_user(http, "b", **{ENTERPRISE: {"department": "波〜"}})
        response = http.get(url(http, "csv/accounts?encoding=cp932&lang=en"))
        detail = assert_scim_error(response, 400, "invalidValue")
        assert detail == "Row 3, Department: CP932 has no character U+301C; export as UTF-8."
        assert "波〜" in export(http).decode()

    def test_a_token_needs_both_scopes(self, caller: Caller) -> None:
        create_group(caller.http, "営業")
        for scopes in (["csv"], ["users:read", "users:write"]):
            http = caller.token_for(*scopes)
            assert_scim_error(http.get(url(http, "csv/accounts")), 403)
            assert_scim_error(upload(http, written({})), 403)
        http = caller.token_for("csv", "users:read")
        assert len(exported(http)) == 0
        assert_scim_error(upload(http, written({}), "?dryRun=true"), 403)
        assert done(caller.token_for("csv", "users:write", "groups:write"), written({}))["counts"]["create"] == 1
        assert http.get(url(http, "csv/template")).status_code == 200

    def test_changes_of_groups_need_the_scope_for_them(self, caller: Caller) -> None:
        for name in ("営業", "開発"):
            create_group(caller.http, name)
        http = caller.token_for("csv", "users:write")
        assert errors(http, written({})) == [(2, GROUPS, "forbidden")]
        done(caller.http, written({}))
        for groups in ("開発", "営業;開発", "なし"):
            assert errors(http, written({GROUPS: groups})) == [(2, GROUPS, "forbidden")]
        assert actions(http, written({NAME: "山田 花子"})) == ["edit"]
        assert actions(http, written({FLAG: "1"})) == ["delete"]

    def test_nothing_is_served_without_a_token(self, server: Server) -> None:
        root = server.settings.base_url.removesuffix("/scim/v2")
        for method, path in (("GET", "template"), ("GET", "accounts"), ("POST", "accounts")):
            response = httpx2.request(method, f"{root}/csv/{path}")
            assert_scim_error(response, 401)
            assert "WWW-Authenticate" in response.headers
        assert_scim_error(httpx2.get(f"{root}/csv/nothing"), 401)

    def test_tenants_see_their_own_only(self, callers: Callable[[], Caller]) -> None:
        one, other = callers(), callers()
        create_group(one.http, "営業")
        create_user(one.http, "taro@example.com")
        assert exported(other.http) == []
        assert errors(other.http, written({})) == [(2, GROUPS, "unknownGroup")]
        create_group(other.http, "営業")
        assert actions(other.http, written({})) == ["create"]


class TestDays:
    @pytest.mark.parametrize(
        ("zone", "first", "last", "begins", "ends"),
        [
            ("UTC", "2024/1/1", "2024/12/31", "2024-01-01T00:00:00Z", "2024-12-31T23:59:59Z"),
            ("Asia/Tokyo", "2024/01/01", "9999/12/31", "2023-12-31T15:00:00Z", "9999-12-31T14:59:59Z"),
            # Clocks go forward at midnight: the day begins at 1:00.
            ("America/Sao_Paulo", "2018/11/04", "2018/11/04", "2018-11-04T03:00:00Z", "2018-11-05T01:59:59Z"),
            # Clocks go back from 24:00 to 23:00: 23:59:59 comes twice.
            ("America/Sao_Paulo", "2018/02/17", "2018/02/17", "2018-02-17T02:00:00Z", "2018-02-18T02:59:59Z"),
            # Clocks go back from 1:00 to 0:00: midnight comes twice.
            ("America/Havana", "2023/11/05", "2023/11/05", "2023-11-05T04:00:00Z", "2023-11-06T04:59:59Z"),
            ("America/New_York", "0001/01/01", "9999/12/31", "0001-01-01T04:56:02Z", "9999-12-31T23:59:59Z"),
            ("Asia/Tokyo", "0001/01/01", "0001/01/01", "0001-01-01T00:00:00Z", "0001-01-01T14:41:00Z"),
        ],
    )  # fmt: skip
    def test_a_day_is_whole(
        self, server: Server, caller: Caller, zone: str, first: str, last: str, begins: str, ends: str
    ) -> None:
        in_zone(server, caller, zone)
        create_group(caller.http, "営業")
        content = written({FROM: first, UNTIL: last})
        id = done(caller.http, content)["rows"][0]["id"]
        account = caller.http.get(f"Users/{id}").json()[ACCOUNT_USER]
        assert (account["validFrom"], account["validUntil"]) == (begins, ends)
        assert actions(caller.http, content) == ["untouched"]

    def test_a_day_that_was_left_out_is_refused(self, server: Server, caller: Caller) -> None:
        in_zone(server, caller, "Pacific/Apia")
        create_group(caller.http, "営業")
        assert errors(caller.http, written({FROM: "2011/12/30", UNTIL: "2011/12/30"})) == [
            (2, FROM, "noSuchDay"), (2, UNTIL, "noSuchDay"),
        ]  # fmt: skip


def test_the_prefix_of_a_proxy_may_be_passed_on_or_stripped(tmp_path: Path) -> None:
    server = Server(tmp_path, {"SCIM_BASE_URL": "https://id.example.com/t/acme/scim/v2"}).initialised()
    client = create_app(server.settings).test_client()
    headers = {"Authorization": f"Bearer {server.token('csv')}"}
    for path in ("/t/acme/csv/template", "/csv/template", "/t/acme//csv//template/"):
        assert client.get(path, headers=headers).status_code == 200, path
    for path in ("/scim/v2/csv/template", "/t/other/csv/template", "/CSV/template"):
        assert client.get(path, headers=headers).status_code == 404, path
