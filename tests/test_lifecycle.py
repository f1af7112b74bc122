"""Deletion, restore and purge as an operator and a client meet them: commands beside a running server."""

import json
import os
import pty
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import httpx2 as httpx
import pytest

from scim_server.cli.caller import credential
from scim_server.storage.opening import open_database
from tests.scim import ACCOUNT_GROUP, create, create_group, create_user
from tests.server import SCIM_SERVER, Server

Result = CompletedProcess[str]


@dataclass(frozen=True)
class Site:
    """A running server with one tenant, its command line, and a client."""

    server: Server
    http: httpx.Client

    def run(self, *arguments: str) -> Result:
        return self.server.command(*arguments)

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def refused(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("scim-server: ")
        assert result.stderr.count("\n") == 1
        return result.stderr.removeprefix("scim-server: ").strip()

    def piped(self, text: str, *arguments: str) -> Result:
        return subprocess.run(
            [*SCIM_SERVER, *arguments],
            env=os.environ | self.server.environment,
            input=text, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def terminal(self, *arguments: str, answers: Sequence[str] = ()) -> tuple[str, int]:
        """Run a command on a terminal, answer each of its questions, and return what it showed."""
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [*SCIM_SERVER, *arguments],
            env=os.environ | self.server.environment,
            stdin=follower, stdout=follower, stderr=follower,
            preexec_fn=lambda: os.login_tty(follower),  # noqa: PLW1509 (no thread of the tests matters here)
        )  # fmt: skip
        os.close(follower)
        left, output, seen = list(answers), b"", 0
        with suppress(OSError):
            while piece := os.read(leader, 4096):
                output += piece
                if left and output[seen:].endswith(b": "):
                    seen = len(output)
                    os.write(leader, f"{left.pop(0)}\n".encode())
        os.close(leader)
        assert not left
        return output.decode().replace("\r\n", "\n"), process.wait(timeout=60)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    server = Server(tmp_path, {"SCIM_WORKERS": "1"}).initialised()
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    with server.started(), httpx.Client(base_url=server.settings.base_url, headers=headers, timeout=30) as http:
        yield Site(server, http)


NO_TEXT = "An argument contains the character U+DCE9, which is not allowed."


def files_of(server: Server) -> bytes:
    data = server.settings.data_dir
    return b"".join(path.read_bytes() for path in sorted(data.iterdir()) if path.name.startswith("scim.db"))


NAMES = ("Zzyzx", "Qqxwvk", "Wvkjqq", "ヤマダ", "zzyzx@example.com", "+81-3-1234-5678", "Zzyzx's laptop")


def hexed(text: str) -> list[bytes]:
    """Return the 3-grams of a text as the index has them."""
    codes = [char.encode().hex() for char in text]
    return ["".join(codes[at : at + 3]).encode() for at in range(len(codes) - 2)]


class TestPurge:
    def test_nothing_personal_is_left_in_any_file(self, site: Site) -> None:
        for number in range(150):
            create_user(site.http, f"user{number}", displayName=f"User {number}")
        body = {
            "userName": "zzyzx@example.com", "displayName": "Zzyzx Qqxwvk", "name": {"formatted": "ヤマダ Wvkjqq"},
            "phoneNumbers": [{"value": "+81-3-1234-5678", "type": "work"}], "password": "correct horse zz",
        }  # fmt: skip
        made = site.http.post("Users", json=body, headers={"Idempotency-Key": "one"}).json()
        listed = {"displayName": "Guides", "members": [{"value": made["id"]}]}
        shown = site.http.post("Groups?attributes=members.display", json=listed, headers={"Idempotency-Key": "two"})
        assert "Zzyzx" in shown.text
        site.done("token", "create", "--name", "Zzyzx's laptop", "--user", made["id"])
        site.http.put(f"Users/{made['id']}", json=body | {"displayName": "Wvkjqq Qqxwvk"})
        everything = files_of(site.server)
        for name in NAMES:
            assert name.encode() in everything, name
        assert site.http.delete(f"Users/{made['id']}").status_code == 204
        assert site.refused("deleted", "purge", made["id"]).startswith("Forget 1 deleted resource for good?")
        assert site.run("deleted", "purge", made["id"], "--yes").stderr == "Purged 1 resource.\n"
        everything = files_of(site.server)
        wal = site.server.settings.data_dir / "scim.db-wal"
        assert not wal.exists() or wal.stat().st_size < 100_000
        for name in NAMES:
            for text in (name, name.lower(), name.upper()):
                assert text.encode() not in everything, text
                assert json.dumps(text)[1:-1].encode() not in everything, text
        for gram in [*hexed("zzyzx"), *hexed("qqxwvk"), *hexed("wvkjqq")]:
            assert gram not in everything, gram
        assert made["id"].encode() in everything
        assert site.http.get(f"Users/{made['id']}").status_code == 404
        assert site.http.get("Users", params={"filter": 'displayName co "User 1"'}).json()["totalResults"] == 61
        assert site.http.get("Users", params={"filter": 'displayName co "zyz"'}).json()["totalResults"] == 0
        assert site.http.get("Users?count=0").json()["totalResults"] == 150
        assert site.refused("deleted", "restore", made["id"]).startswith("There is no deleted resource")

    def test_what_is_old_goes_and_what_is_new_stays(self, site: Site) -> None:
        ids = [create_user(site.http, name)["id"] for name in ("old", "new")]
        for id in ids:
            site.http.delete(f"Users/{id}")
        database = open_database(site.server.settings.database_url)
        database.run("UPDATE tombstone SET deleted = '2020-02-29T12:00:00.000' WHERE id = ?", (ids[0],))
        database.close()

        def names(*arguments: str) -> list[str]:
            return [line.split("\t")[2] for line in site.done("deleted", "list", *arguments).splitlines()]

        assert names() == ["old", "new"]
        assert names("--before", "2020-02-29") == []
        assert names("--before", "2020-02-29T12:00:01Z") == ["old"]
        site.server.environment["SCIM_PURGE_AFTER_DAYS"] = "0"
        assert site.refused("deleted", "purge", "--yes") == "SCIM_PURGE_AFTER_DAYS is 0: give ids or --before."
        assert site.refused("deleted", "purge", ids[0], "--before", "2020-01-01") == "Give ids or --before, not both."
        site.server.environment["SCIM_PURGE_AFTER_DAYS"] = "30"
        assert site.run("deleted", "purge", "--before", "2020-01-01").stderr == "Purged 0 resources.\n"
        shown, status = site.terminal("deleted", "purge", answers=["n"])
        assert "Forget 1 deleted resource for good? [y/N]: " in shown
        assert shown.endswith("scim-server: Nothing was done.\n")
        assert status == 1
        shown, status = site.terminal("deleted", "purge", answers=["y"])
        assert shown.endswith("Purged 1 resource.\n")
        assert names() == ["new"]
        assert site.run("deleted", "purge", "--yes").stderr == "Purged 0 resources.\n"

    def test_a_reader_that_holds_the_log_is_told_of_and_the_next_purge_finishes(self, site: Site) -> None:
        id = create_user(site.http, "zzyzx")["id"]
        site.http.delete(f"Users/{id}")
        with closing(sqlite3.connect(site.server.settings.data_dir / "scim.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM resource").fetchone()
            result = site.run("deleted", "purge", id, "--yes")
            assert result.returncode == 1
            assert result.stderr.endswith(
                "The write-ahead log is being read and still holds them; run this command again soon.\n"
            )
        assert b"zzyzx" in files_of(site.server)
        assert site.run("deleted", "purge", "--yes").stderr == "Purged 0 resources.\n"
        assert b"zzyzx" not in files_of(site.server)


class TestRestore:
    def test_what_comes_back_is_served_as_before(self, site: Site) -> None:
        made = create_user(site.http, "bjensen", displayName="Babs Jensen")
        service = create(site.http, "Services", displayName="Mail")
        group = create_group(
            site.http, "Guides", made["id"], **{ACCOUNT_GROUP: {"services": [{"value": service["id"]}]}}
        )
        before = site.http.get(f"Users/{made['id']}").json()
        site.http.delete(f"Users/{made['id']}")
        (listed,) = [json.loads(line) for line in site.done("deleted", "list", "--json").splitlines()]
        (token,) = [json.loads(line)["id"] for line in site.done("token", "list", "--json").splitlines()]
        assert listed.pop("by") == token
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", listed.pop("deleted"))
        assert listed == {"tenant": "default", "type": "User", "name": "bjensen", "id": made["id"]}
        for path in (
            "Users", "", 'Users?filter=userName co "jens"', "Groups", f"Groups/{group['id']}/members", "Schemas",
            f'Groups?filter=members.value eq "{made["id"]}"',
        ):  # fmt: skip
            assert made["id"] not in site.http.get(path).text
        result = site.run("deleted", "restore", made["id"])
        assert (result.stdout, result.returncode) == ("", 0)
        assert result.stderr == (
            f"Restored the User bjensen ({made['id']}), references: 1.\n"
            "Passwords and own tokens are not kept: set a new password.\n"
        )
        after = site.http.get(f"Users/{made['id']}").json()
        for each in (before["meta"], after["meta"]):
            del each["version"], each["lastModified"]
        assert after == before
        assert site.http.get("Users?count=0").json()["totalResults"] == 1
        assert site.http.get('Users?filter=displayName co "bs je"').json()["totalResults"] == 1
        assert site.refused("deleted", "restore", made["id"]) == f"{made['id']} is not deleted."
        for command in (("restore",), ("purge", "--yes")):
            assert site.refused("deleted", *command, "\udce9") == NO_TEXT

    def test_a_name_that_was_taken_is_told_with_its_holder(self, site: Site) -> None:
        made = create_user(site.http, "bjensen")
        site.http.delete(f"Users/{made['id']}")
        holder = create_user(site.http, "BJensen")
        assert site.refused("deleted", "restore", made["id"]) == (
            f"The User bjensen cannot be restored: its userName belongs to the User {holder['id']} by now."
        )

    def test_references_that_wait_are_told(self, site: Site) -> None:
        made = create_user(site.http, "bjensen")
        group = create_group(site.http, "Guides", made["id"])
        site.http.delete(f"Groups/{group['id']}")
        site.http.delete(f"Users/{made['id']}")
        result = site.run("deleted", "restore", group["id"], made["id"])
        assert "references: 0; 1 wait for other deleted resources.\n" in result.stderr
        assert "references: 1.\n" in result.stderr


class TestUser:
    def test_one_is_created_changed_shown_and_deleted(self, site: Site) -> None:
        site.done("group", "create", "Sales")
        id = site.done(
            "user", "create", "bjensen", "--set", "displayName=山田 太郎", "--set", "department=Sales",
            "--set", 'emails[type eq "work"].value=b@example.com', "--set", "active=true", "--group", "Sales",
            "--set", 'phoneNumbers:=[{"type": "work", "value": "a=b"}]',
        ).strip()  # fmt: skip
        shown = site.http.get(f"Users/{id}").json()
        assert shown["emails"] == [{"type": "work", "value": "b@example.com"}]
        assert shown["phoneNumbers"] == [{"type": "work", "value": "a=b"}]
        assert shown["active"] is True
        assert shown["groups"][0]["display"] == "Sales"
        assert json.loads(site.done("user", "show", "BJENSEN", "--json")) == shown
        lines = site.done("user", "show", id).splitlines()
        assert "displayName: 山田 太郎" in lines
        assert "emails: value=b@example.com type=work" in lines
        assert site.done("user", "set", "bjensen", "displayName=", "title=Guide", "nickName=a=b") == ""
        changed = site.http.get(f"Users/{id}").json()
        assert "displayName" not in changed
        assert (changed["title"], changed["nickName"]) == ("Guide", "a=b")
        assert site.done("user", "set", "bjensen", 'phoneNumbers[value eq "a=b"].type=mobile') == ""
        assert site.http.get(f"Users/{id}").json()["phoneNumbers"] == [{"type": "mobile", "value": "a=b"}]
        site.done("user", "disable", "bjensen")
        assert site.http.get(f"Users/{id}").json()["active"] is False
        site.done("user", "set", "bjensen", "active=true")
        assert site.http.get(f"Users/{id}").json()["active"] is True
        assert site.run("user", "delete", "bjensen", id, "--yes").stderr == "Deleted 1 user.\n"
        assert site.http.get(f"Users/{id}").status_code == 404
        with closing(open_database(site.server.settings.database_url)) as database:
            credentials = database.rows("SELECT DISTINCT credential FROM audit")
        assert credentials == [(credential(),)]

    def test_what_cannot_be_is_one_sentence_and_changes_nothing(self, site: Site) -> None:
        create_user(site.http, "bjensen")
        create_user(site.http, "jsmith")
        before = site.http.get("Users").json()
        for arguments, sentence in (
            (("set", "bjensen", "password=hello hello"), "A password is never an argument; use --password-stdin."),
            (("set", "bjensen", 'PassWord:="hello hello"'), "A password is never an argument; use --password-stdin."),
            (
                ("create", "x", "--set", "password=hello hello"),
                "A password is never an argument; use --password-stdin.",
            ),
            (("set", "bjensen"), "Nothing to set; give PATH=VALUE or --password-stdin."),
            (("set", "bjensen", "title"), "'title' is not PATH=VALUE or PATH:=JSON."),
            (("set", "bjensen", "titel=x"), "Operation 1: User has no attribute 'titel'."),
            (("set", "bjensen", "title=x", 'groups:=[{"value": "x"}]'), "Operation 2: groups is readOnly."),
            (("set", "nobody", "title=x"), "User 'nobody' does not exist."),
            (("set", "bjensen", "userName=jsmith"), "Another User has this userName."),
            (("create", "BJENSEN"), "Another User has this userName."),
            (("create", "x", "--group", "nobody"), "Group 'nobody' does not exist."),
            (("delete",), "Name users, or give a --filter."),
            (("delete", "bjensen"), "Delete 1 user? Give --yes where nobody can be asked."),
            (("delete", "--filter", 'userName co "j"'), "Delete 2 users? Give --yes where nobody can be asked."),
            (("delete", "--filter", 'titel eq "x"'), None),
            (("list", "--filter", "titel eq 1"), None),
            (("list", "--sort-by", "titel"), "sortBy: there is no attribute 'titel'."),
            (("list", "--tenant", "nobody"), "There is no tenant nobody."),
            (("set", "bjensen", "title=\udce9"), NO_TEXT),
            (
                ("set", "bjensen", "emails:=[{"),
                "emails: The body is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 3).",
            ),
            (
                ("set", "bjensen", 'title:="\\u0007"'),
                "title: The body contains the character U+0007, which is not allowed.",
            ),
        ):
            refusal = site.refused("user", *arguments)
            assert sentence in (None, refusal), arguments
        assert site.http.get("Users").json() == before

    def test_a_policy_may_demand_a_group(self, site: Site) -> None:
        site.done("tenant", "set", "default", "--policy", "group_required")
        assert site.refused("user", "create", "bjensen") == "The tenant demands a group of each user; give --group."
        site.done("group", "create", "Guides")
        site.done("user", "create", "bjensen", "--group", "Guides")

    def test_passwords_come_from_standard_input_only(self, site: Site) -> None:
        made = site.piped("correct horse\n", "user", "create", "bjensen", "--password-stdin")
        assert made.returncode == 0, made.stderr
        assert "correct" not in made.stdout + made.stderr
        done = site.piped("short\n", "user", "set", "bjensen", "--password-stdin")
        assert done.stderr == "scim-server: password must have at least 8 characters.\n"
        done = site.piped("long enough\x07\n", "user", "set", "bjensen", "--password-stdin")
        assert done.stderr == "scim-server: password contains the character U+0007, which is not allowed.\n"
        assert site.piped("", "user", "set", "bjensen", "--password-stdin").returncode == 1
        done = site.piped("another horse\n", "user", "set", "bjensen", "title=Guide", "--password-stdin")
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        typed = ["third horse", "third horse"]
        shown, status = site.terminal("user", "set", "bjensen", "--password-stdin", answers=typed)
        assert status == 0
        assert "third" not in shown
        with closing(open_database(site.server.settings.database_url)) as database:
            names = database.rows("SELECT attributes FROM audit ORDER BY number")
        assert names == [("userName password",), ("title password",), ("password",)]

    def test_lists_are_of_all_pages_filtered_and_sorted(self, site: Site) -> None:
        operations = [
            {
                "method": "POST",
                "path": "/Users",
                "bulkId": str(n),
                "data": {"userName": f"user{n:03}", "title": "x" if n % 2 else "y"},
            }
            for n in range(290)
        ]
        for part in (operations[:150], operations[150:]):
            assert site.http.post("Bulk", json={"Operations": part}).status_code == 200
        lines = site.done("user", "list").splitlines()
        assert [line.split("\t")[0] for line in lines] == [f"user{n:03}" for n in range(290)]
        assert lines[0].split("\t")[1:4] == ["-", "active", "0"]
        listed = site.done("user", "list", "--json", "--filter", "title eq x", "--sort-by", "userName").splitlines()
        assert [json.loads(line)["userName"] for line in listed] == [f"user{n:03}" for n in range(1, 290, 2)]
        assert site.run("user", "delete", "--filter", "title eq x", "--yes").stderr == "Deleted 145 users.\n"
        assert len(site.done("user", "list").splitlines()) == 145
        assert len(site.done("deleted", "list").splitlines()) == 145

    def test_columns_are_aligned_on_a_terminal(self, site: Site) -> None:
        create_user(site.http, "a", displayName="山田 太郎")
        create_user(site.http, "longer", displayName="e\u0301a")
        create_user(site.http, "c", displayName="A\tB\nC")
        shown, status = site.terminal("user", "list")
        assert status == 0
        head, *rows = shown.splitlines()
        assert head == f"{'USERNAME':8}  {'NAME':9}  {'STATUS':6}  GROUPS  ID"
        assert rows[0].startswith("a         山田 太郎  active  0       ")
        assert rows[1].startswith("longer    e\u0301a         active  0       ")
        assert rows[2].startswith("c         A B C      active  0       ")

    def test_a_name_cannot_forge_what_a_terminal_shows(self, site: Site) -> None:
        made = create_user(site.http, "bjensen", displayName="a\u202eb\u2028c", title="x\u200by")
        name = "z" * 100
        create_user(site.http, name)
        for shown in (site.done("user", "list"), site.terminal("user", "list")[0]):
            assert "a\\u202eb\\u2028c" in shown
        assert f"{'z' * 39}…  -" in shown
        assert name in site.done("user", "list")
        lines = site.done("user", "show", "bjensen").splitlines()
        assert "displayName: a\\u202eb\\u2028c" in lines
        assert "title: x\\u200by" in lines
        assert json.loads(site.done("user", "list", "--json").split("\n", 1)[0])["displayName"] == made["displayName"]
        assert site.refused("user", "list", "--tenant", "a\nb\u202ec") == "There is no tenant a\\nb\\u202ec."

    def test_a_terminal_of_another_encoding_is_no_hindrance(self, site: Site) -> None:
        made = create_user(site.http, "bjensen", displayName="É山")
        site.server.environment["PYTHONIOENCODING"] = "cp1251"
        assert "\t\\xc9\\u5c71\t" in site.done("user", "list")
        assert "displayName: \\xc9\\u5c71\n" in site.done("user", "show", "bjensen")
        (line,) = site.done("user", "list", "--json").splitlines()
        assert json.loads(line) == site.http.get(f"Users/{made['id']}").json()

    def test_who_has_seen_enough_may_close_the_pipe(self, site: Site) -> None:
        operations = [
            {"method": "POST", "path": "/Users", "bulkId": str(n), "data": {"userName": f"user{n:03}"}}
            for n in range(300)
        ]
        for _ in range(2):
            assert site.http.post("Bulk", json={"Operations": operations}).status_code == 200
            operations = [each | {"data": {"userName": f"other{n}"}} for n, each in enumerate(operations)]
        for arguments in (["user", "list", "--json"], ["user", "list"]):
            with subprocess.Popen(
                [*SCIM_SERVER, *arguments], env=os.environ | site.server.environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            ) as process:  # fmt: skip
                assert process.stdout
                assert process.stderr
                assert "user000" in process.stdout.readline()
                process.stdout.close()
                assert process.stderr.read() == ""


class TestGroup:
    def test_members_come_and_go(self, site: Site) -> None:
        babs = create_user(site.http, "bjensen", displayName="Babs")["id"]
        john = create_user(site.http, "jsmith")["id"]
        inner = site.done("group", "create", "Inner", "--member", "bjensen").strip()
        outer = site.done("group", "create", "Outer", "--set", f"{ACCOUNT_GROUP}:description=Everybody").strip()
        site.done("group", "add-member", "Outer", "group:Inner", john, "jsmith", "bjensen")
        shown = site.http.get(f"Groups/{outer}").json()
        assert {member["value"] for member in shown["members"]} == {inner, john, babs}
        assert json.loads(site.done("group", "show", "outer", "--json")) == shown
        assert site.done("group", "show", "Outer").endswith(
            f"members: 3\nbjensen\tBabs\t{babs}\njsmith\t-\t{john}\ngroup:Inner\tInner\t{inner}\n"
        )
        assert site.done("group", "list") == f"Inner\t1\t0\t{inner}\nOuter\t3\t0\t{outer}\n"
        (listed,) = site.done("group", "list", "--json", "--filter", "displayName sw I").splitlines()
        assert json.loads(listed)["id"] == inner
        assert "members" not in json.loads(listed)
        site.done("group", "remove-member", "Outer", "jsmith", inner)
        site.done("group", "remove-member", "Outer", "jsmith")
        assert [member["value"] for member in site.http.get(f"Groups/{outer}").json()["members"]] == [babs]
        assert site.refused("group", "add-member", "Inner", "bjensen", "nobody") == "User 'nobody' does not exist."
        site.done("group", "add-member", "Outer", inner)
        assert "cannot contain itself" in site.refused("group", "add-member", "Inner", "group:Outer")
        assert site.refused("group", "create", "inner") == "Another Group has this displayName."

    def test_a_name_that_several_have_needs_an_id(self, site: Site) -> None:
        site.done("tenant", "set", "default", "--policy=-group_name_unique")
        ids = [site.done("group", "create", "Twins").strip() for _ in range(2)]
        assert site.refused("group", "show", "Twins") == "There are several of the name 'Twins'; give an id."
        assert site.done("group", "show", ids[1]).splitlines()[1] == f"id: {ids[1]}"
