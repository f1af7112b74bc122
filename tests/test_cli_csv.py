"""Files of accounts on the command line: real processes, their output and their exit status."""

import os
import pty
import subprocess
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest

from scim_server.cli.caller import credential
from scim_server.storage.opening import open_database
from tests.scim import create_group
from tests.server import SCIM_SERVER, Server
from tests.web.test_csv import ADDRESS, FROM, GROUPS, NAME, NAMES, STATUS, TYPE, written

HEADER = ",".join(NAMES)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A Japanese tenant with one group."""
    return prepared(tmp_path_factory.mktemp("csv"))


def prepared(directory: Path) -> Server:
    server = Server(directory).initialised()
    done = server.command("tenant", "set", "default", "--time-zone", "Asia/Tokyo", "--language", "ja")
    assert done.returncode == 0, done.stderr
    headers = {"Authorization": f"Bearer {server.token('admin')}", "Connection": "close"}
    with server.started(), httpx.Client(base_url=server.settings.base_url, headers=headers) as http:
        create_group(http, "営業")
    return server


def file(path: Path, *rows: dict[str, str]) -> str:
    path.write_bytes(written(*rows))
    return str(path)


def raw(server: Server, *arguments: str) -> bytes:
    environment = os.environ | server.environment
    done = subprocess.run([*SCIM_SERVER, *arguments], env=environment, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return done.stdout


def test_a_file_is_tried_applied_and_exported(tmp_path: Path) -> None:
    ready = prepared(tmp_path)
    path = file(tmp_path / "a.csv", {}, {ADDRESS: "hana@example.com", NAME: "=花"})
    tried = ready.command("import", path, "--dry-run")
    assert (tried.stderr, tried.returncode) == ("", 0)
    rows = "2 行目: 登録 taro@example.com\n3 行目: 登録 hana@example.com\n"
    counts = "登録 2 件、編集 0 件、削除 0 件、変更なし 0 件"
    assert tried.stdout == f"{rows}何も変更していません。実行した場合の結果（{counts}）。\n"
    assert raw(ready, "export") == written()
    done = ready.command("import", path, "--tenant", "default")
    assert done.stdout == f"{rows}完了しました（{counts}）。\n"
    with closing(open_database(ready.settings.database_url)) as database:
        assert database.rows("SELECT DISTINCT credential FROM audit WHERE resource_type = 'User'") == [(credential(),)]
    assert raw(ready, "export") == written({}, {ADDRESS: "hana@example.com", NAME: "'=花"})
    assert raw(ready, "export", "--filter", 'userName sw "hana"', "--encoding", "cp932", "--lang", "en").startswith(
        b"Email address,"
    )
    exported = tmp_path / "b.csv"
    exported.write_bytes(raw(ready, "export", "--encoding", "cp932"))
    untouched = ready.command("import", str(exported), "--lang", "en")
    assert untouched.stdout == "Done: create 0, edit 0, delete 0, untouched 2.\n"
    again = file(tmp_path / "c.csv", {NAME: "山田"}, {ADDRESS: "hana@example.com", STATUS: "1", "論理削除フラグ": "1"})
    assert ready.command("import", again, "--lang", "en").stdout == (
        "Row 2: edit taro@example.com\n    名前: '山田 太郎' -> '山田'\nRow 3: delete hana@example.com\n"
        "Done: create 0, edit 1, delete 1, untouched 0.\n"
    )


def test_every_error_is_a_line(ready: Server, tmp_path: Path) -> None:
    path = file(tmp_path / "a.csv", {TYPE: "x", FROM: ""}, {ADDRESS: "b@example.com", GROUPS: "なし"})
    done = ready.command("import", path)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == (
        f"2 行目「{TYPE}」: ユーザーの場合は 0、管理者の場合は 1 を入力してください。\n"
        f"2 行目「{FROM}」: 必須項目です。入力してください。\n"
        f"3 行目「{GROUPS}」: 登録されているグループの名前を入力してください。1 番目のグループは登録されていません。\n"
        "scim-server: 何も変更していません（エラー: 3 件）。\n"
    )
    done = ready.command("import", path, "--lang", "en")
    assert done.stderr.startswith(f"Row 2, {TYPE}: Write 0 for a user, or 1 for an administrator.\n")
    assert done.stderr.endswith("scim-server: Nothing was changed; errors: 3.\n")


def test_what_is_too_much_or_not_there_is_one_sentence(ready: Server, tmp_path: Path) -> None:
    path = file(tmp_path / "a.csv", *[{ADDRESS: f"u{n}@example.com"} for n in range(301)])
    done = ready.command("import", path, "--lang", "en")
    sentence = "The file has 301 rows; at most 300 accounts can be imported at once. Split the file."
    assert (done.stderr, done.returncode) == (f"scim-server: {sentence}\n", 1)
    (tmp_path / "b.csv").write_bytes(b"x" * (4 * 1024 * 1024 + 1))
    done = ready.command("import", str(tmp_path / "b.csv"), "--lang", "en")
    assert "4194304" in done.stderr and done.returncode == 1
    assert ready.command("import", str(tmp_path / "none.csv")).returncode == 2
    done = ready.command("export", "--filter", "x")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert not done.stderr.removeprefix("scim-server: ").isascii()
    done = ready.command("export", "--tenant", "nobody")
    assert done.stderr == "scim-server: There is no tenant nobody.\n"


def test_what_cp932_cannot_hold_leaves_nothing_half_written(ready: Server, tmp_path: Path) -> None:
    path = file(tmp_path / "a.csv", {ADDRESS: "emoji@example.com", NAME: "😀"})
    assert ready.command("import", path).returncode == 0
    done = ready.command("export", "--encoding", "cp932")
    assert (done.stdout, done.returncode) == ("", 1)
    assert "U+1F600" in done.stderr


@pytest.mark.parametrize("command", ["import", "export"])
def test_a_terminal_sees_how_far_it_is(ready: Server, tmp_path: Path, command: str) -> None:
    path = file(tmp_path / "a.csv", *[{ADDRESS: f"p{n}@example.com"} for n in range(50)])
    ours, theirs = pty.openpty()
    arguments = ["import", path, "--dry-run"] if command == "import" else ["export"]
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [*SCIM_SERVER, *arguments],
            env=os.environ | ready.environment,
            stdout=out,
            stderr=theirs,
            check=True,
            timeout=60,
        )
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "ポート中" in shown and "100%" in shown
