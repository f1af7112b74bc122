"""The command line, as an administrator meets it: real processes, their output and their exit status."""

import json
import os
import pwd
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from scim_server import __version__
from scim_server.cli.caller import credential
from scim_server.protocol.registry import Registry
from scim_server.storage.database import Database
from scim_server.storage.opening import open_database
from scim_server.tenants import MANUAL, POLICIES
from scim_server.tokens import default_scopes, scope_names
from tests.releases import ROOT, later_release
from tests.server import Server

Result = CompletedProcess[str]
MIGRATIONS = sorted(path.stem for path in (ROOT / "scim_server/storage/migrations").glob("[0-9]*.py"))
TOKEN = re.compile(r"scim_[0-9A-Za-z]+_[0-9A-Za-z]+\n")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """An initialised server that nobody starts, for commands that do not disturb each other."""
    return Server(tmp_path_factory.mktemp("ready")).initialised()


@pytest.fixture
def fresh(tmp_path: Path) -> Server:
    """A server that was not initialised."""
    return Server(tmp_path)


@pytest.fixture(scope="module")
def two_tenants(ready: Server) -> Server:
    """The initialised server with a second tenant."""
    done = ready.command(
        "tenant", "create", "acme", "--company", "株式会社　例", "--time-zone", "Asia/Tokyo", "--language=ja"
    )
    assert done.returncode == 0, done.stderr
    return ready


def assert_refused(done: Result, sentence: str) -> None:
    """Assert that a command failed with one sentence on stderr and nothing else."""
    assert (done.stderr, done.stdout, done.returncode) == (f"scim-server: {sentence}\n", "", 1)


def assert_said(done: Result, output: str) -> None:
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


class TestInit:
    def test_it_says_what_it_made_and_can_be_repeated(self, fresh: Server) -> None:
        data = fresh.settings.data_dir
        last = "The server is initialised; scim-server serve starts it.\n"
        assert_said(
            fresh.command("init"),
            f"Created the directory {data}.\n"
            f"Created the server key {data}/secret.key.\n"
            f"Prepared the database {data}/scim.db: {', '.join(MIGRATIONS)}.\n"
            'Created the tenant "default".\n' + last,
        )
        fresh.token("admin")
        with closing(sqlite3.connect(data / "scim.db")) as database:
            database.execute("UPDATE tenant SET company_name = 'Example Company'")
            database.commit()

            def state() -> object:
                tables = [
                    database.execute(f"SELECT * FROM {name}").fetchall()
                    for name in ("tenant", "token", "schema_migration")
                ]
                return (
                    tables,
                    database.execute("SELECT * FROM sqlite_master").fetchall(),
                    (data / "secret.key").read_bytes(),
                )

            before = state()
            assert_said(fresh.command("init"), last)
            assert state() == before

    def test_only_its_owner_can_read_what_it_made(self, ready: Server) -> None:
        data = ready.settings.data_dir
        assert mode(data) == 0o700
        assert {path.name: mode(path) for path in data.iterdir()} == dict.fromkeys(
            ["scim.db", "scim.db.lock", "secret.key"], 0o600
        )

    def test_it_makes_a_tenant_with_a_company_name_and_no_token(self, tmp_path: Path) -> None:
        server = Server(tmp_path).initialised()
        assert_said(server.command("token", "list"), "")
        with closing(sqlite3.connect(server.settings.data_dir / "scim.db")) as database:
            ((name, company),) = database.execute("SELECT name, company_name FROM tenant")
        assert name == "default"
        assert company.strip()

    def test_it_makes_no_key_when_the_key_is_a_setting(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("k" * 32)
        server = Server(tmp_path, {"SCIM_SECRET_KEY_FILE": str(secret)}).initialised()
        assert not server.settings.key_file.exists()
        assert server.command("check").returncode == 0

    def test_a_database_elsewhere_gets_its_directory(self, tmp_path: Path) -> None:
        database = tmp_path / "else" / "where" / "accounts.db"
        server = Server(tmp_path, {"SCIM_DATABASE_URL": f"sqlite:///{database.relative_to(tmp_path)}"}).initialised()
        assert database.exists()
        assert server.settings.key_file.exists()

    def test_a_directory_that_cannot_be_made_is_one_sentence(self, fresh: Server) -> None:
        fresh.settings.data_dir.write_text("a file")
        data = fresh.settings.data_dir
        assert_refused(fresh.command("init"), f"{data}: File exists.")

    def test_a_file_that_is_no_database_is_one_sentence(self, fresh: Server) -> None:
        fresh.settings.data_dir.mkdir()
        (fresh.settings.data_dir / "scim.db").write_bytes(b"no database" * 100)
        done = fresh.command("init")
        assert done.returncode == 1
        assert done.stderr == "scim-server: The database cannot be used: file is not a database.\n"

    def test_a_broken_schema_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "schemas").mkdir()
        (tmp_path / "schemas" / "device.json").write_text("[")
        done = Server(tmp_path, {"SCIM_SCHEMA_DIR": str(tmp_path / "schemas")}).command("init")
        assert done.returncode == 1
        assert re.fullmatch(r"scim-server: device\.json is not JSON: .+\n", done.stderr)
        assert not (tmp_path / "data").exists()


class TestServe:
    def test_it_refuses_a_database_that_was_not_initialised(self, tmp_path: Path) -> None:
        server = Server(tmp_path, {"SCIM_SECRET_KEY": "k" * 32})
        database = server.settings.data_dir / "scim.db"
        sentence = f"The database {database} is not initialised; run scim-server init."
        assert_refused(server.command("serve"), sentence)
        server.settings.data_dir.mkdir()
        database.touch()
        assert_refused(server.command("serve"), sentence)

    def test_it_refuses_a_database_of_an_earlier_release_until_it_is_upgraded(
        self, fresh: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh.initialised()
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        release = later_release(fresh.directory / "release")
        later = Server(fresh.directory, {"PYTHONPATH": str(release)})
        database = later.settings.data_dir / "scim.db"
        sentence = f"The database {database} lacks 9999_later; run scim-server db upgrade."
        assert_refused(later.command("serve"), sentence)
        assert_refused(later.command("token", "list"), sentence)
        applied = "".join(f"applied  {name}\n" for name in MIGRATIONS)
        assert_said(later.command("db", "status"), f"{applied}pending  9999_later\n")
        assert_said(later.command("db", "upgrade"), "Applied 9999_later.\n")
        with later.started():
            pass
        assert_said(later.command("db", "upgrade"), "The database is up to date.\n")

    def test_it_refuses_a_missing_key(self, fresh: Server) -> None:
        fresh.initialised()
        key = fresh.settings.key_file
        key.unlink()
        assert_refused(fresh.command("serve"), f"There is no key file {key}; run scim-server init.")

    def test_it_refuses_a_damaged_key(self, fresh: Server) -> None:
        fresh.initialised()
        key = fresh.settings.key_file
        key.write_bytes(key.read_bytes()[:20])
        sentence = f"The key file {key} is damaged: restore it, or remove it and make new tokens."
        assert_refused(fresh.command("serve"), sentence)
        assert_refused(fresh.command("init"), sentence)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--bind", "8080"], "SCIM_BIND must be HOST:PORT, such as 127.0.0.1:8080."),
            (["--workers", "0"], "SCIM_WORKERS must be a whole number from 1 to 64."),
        ],
    )
    def test_its_options_are_as_strict_as_the_settings(
        self, ready: Server, arguments: list[str], sentence: str
    ) -> None:
        assert_refused(ready.command("serve", *arguments), sentence)


class TestSettings:
    @pytest.mark.parametrize("command", [["init"], ["serve"], ["check"], ["token", "list"]])
    def test_a_wrong_value_stops_every_command_with_one_sentence(self, fresh: Server, command: list[str]) -> None:
        fresh.environment["SCIM_WORKERS"] = "many"
        assert_refused(fresh.command(*command), "SCIM_WORKERS must be a whole number from 1 to 64.")
        assert not fresh.settings.data_dir.exists()

    def test_an_unknown_name_is_warned_about_once(self, ready: Server) -> None:
        server = Server(ready.directory, {"SCIM_WORKER": "4"})
        for command in (["check"], ["token", "create", "--name", "warned", "--tenant", "default"]):
            done = server.command(*command)
            assert done.returncode == 0
            warning = "scim-server: warning: SCIM_WORKER is not a setting and has no effect.\n"
            assert done.stderr.count(warning) == 1
            assert "SCIM_WORKER=" not in done.stdout

    def test_check_shows_every_setting_and_masks_the_key(self, ready: Server) -> None:
        key = "do-not-show-this-key-to-anybody-at-all"
        server = Server(ready.directory, {"SCIM_SECRET_KEY": key, "SCIM_BASE_URL": "https://scim.example.com/scim/v2"})
        done = server.command("check")
        assert done.returncode == 0
        assert key not in done.stdout + done.stderr
        assert done.stdout.splitlines() == [
            f"SCIM_DATA_DIR={ready.settings.data_dir}",
            f"SCIM_DATABASE_URL=sqlite:///{ready.settings.data_dir}/scim.db",
            "SCIM_BASE_URL=https://scim.example.com/scim/v2",
            f"SCIM_BIND={server.settings.bind}",
            "SCIM_WORKERS=2",
            "SCIM_THREADS=4",
            "SCIM_SCHEMA_DIR=",
            "SCIM_PUBLIC_DISCOVERY=true",
            "SCIM_PATCH_ANSWER_MEMBERS=100",
            "SCIM_BULK_MAX_OPERATIONS=300",
            "SCIM_BULK_MAX_PAYLOAD=4194304",
            "SCIM_PASSWORD_MIN_LENGTH=8",
            "SCIM_PURGE_AFTER_DAYS=90",
            "SCIM_COMPATIBILITY=all",
            "SCIM_SMTP_URL=",
            "SCIM_MAIL_FROM=",
            "SCIM_LOG_LEVEL=info",
            "SCIM_SECRET_KEY=********",
        ]
        assert done.stderr == "The server can start.\n"

    def test_check_tells_when_the_server_could_not_start(self, fresh: Server) -> None:
        done = fresh.command("check")
        assert done.returncode == 1
        assert done.stderr == f"scim-server: There is no key file {fresh.settings.key_file}; run scim-server init.\n"
        assert "SCIM_WORKERS=2\n" in done.stdout

    def test_the_version_and_the_help_need_no_settings(self, fresh: Server) -> None:
        fresh.environment["SCIM_WORKERS"] = "many"
        assert_said(fresh.command("--version"), f"scim-server, version {__version__}\n")
        shown = fresh.command("-h").stdout
        names = ("init", "serve", "check", "tenant", "token", "user", "group", "deleted", "mail", "db")
        assert all(name in shown for name in names)


class TestTenant:
    def test_one_is_created_shown_and_listed(self, two_tenants: Server) -> None:
        assert_said(
            two_tenants.command("tenant", "show", "acme"),
            "number: 2\nname: acme\ncompany_name: 株式会社　例\ntime_zone: Asia/Tokyo\nlanguage: ja\n"
            "policies: group_name_unique\n",
        )
        assert_said(two_tenants.command("tenant", "list"), "default\nacme\n")

    def test_what_is_set_changes_and_the_rest_stays(self, fresh: Server) -> None:
        fresh.initialised()
        before = fresh.command("tenant", "show", "default").stdout
        assert "time_zone: UTC\nlanguage: en\n" in before
        after = before.replace("UTC", "Europe/Berlin")
        assert_said(fresh.command("tenant", "set", "default", "--time-zone", "Europe/Berlin"), after)
        assert_said(fresh.command("tenant", "show", "default"), after)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["create", "Acme", "--company=Example"], "A tenant's name has 1 to 63 characters: a-z, 0-9 and - within."),
            (["create", "default", "--company=Example"], "There is a tenant default already."),
            (
                ["create", "acme", "--company=a\nb"],
                "The company name contains the character U+000A, which is not allowed.",
            ),
            (["set", "default", "--company="], "The company name must not be empty."),
            (["set", "default", "--time-zone=Tokyo"], "Tokyo is not a time zone; an example is Asia/Tokyo."),
            (["set", "default", "--language=de"], "The language must be one of en, ja."),
            (["set", "default"], "Nothing to set; give --company, --time-zone, --language or --policy."),
            (["set", "nobody", "--language=ja"], "There is no tenant nobody."),
            (["show", "nobody"], "There is no tenant nobody."),
            (
                ["set", "default", "--policy=nosuch"],
                f"There is no policy nosuch; the policies are manual, {', '.join(sorted(POLICIES))}.",
            ),
            (
                ["set", "default", "--policy=manual", "--time-zone=Tokyo"],
                "Tokyo is not a time zone; an example is Asia/Tokyo.",
            ),
        ],
    )
    def test_what_cannot_be_is_refused_in_one_sentence(
        self, ready: Server, arguments: list[str], sentence: str
    ) -> None:
        assert_refused(ready.command("tenant", *arguments), sentence)

    def test_policies_are_switched_on_and_off(self, fresh: Server) -> None:
        fresh.initialised()

        def policies(*arguments: str) -> str:
            done = fresh.command("tenant", *arguments)
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()[-1]

        manual = f"policies: {' '.join(sorted(MANUAL))}"
        assert policies("create", "acme", "--company=Acme", "--policy=manual") == manual
        assert policies("set", "acme", "--policy=-name_required", "--policy=sms_authentication").split()[1:] == sorted(
            MANUAL - {"name_required"} | {"sms_authentication"}
        )
        assert policies("set", "default", "--policy=-group_name_unique") == "policies: "
        assert policies("set", "default", "--policy=group_name_unique") == "policies: group_name_unique"
        assert policies("show", "default") == "policies: group_name_unique"

    def test_a_company_is_required(self, ready: Server) -> None:
        done = ready.command("tenant", "create", "unmade")
        assert done.returncode == 2
        assert "Missing option '--company'" in done.stderr


def tokens_of(server: Server, *arguments: str) -> list[dict[str, str]]:
    done = server.command("token", "list", "--json", *arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestToken:
    @pytest.fixture
    def database(self, ready: Server) -> Iterator[Database]:
        with closing(open_database(ready.settings.database_url)) as database:
            yield database

    def test_only_the_token_goes_to_standard_output(self, fresh: Server, registry: Registry) -> None:
        fresh.initialised()
        done = fresh.command("token", "create", "--name", "okta")
        scopes = " ".join(default_scopes(registry))
        assert TOKEN.fullmatch(done.stdout)
        assert done.stderr == f"Token for the tenant default, 365 days, scopes {scopes}:\n"
        assert done.returncode == 0
        (listed,) = tokens_of(fresh)
        assert listed["id"] == done.stdout.split("_")[1]
        assert listed["name"] == "okta"
        assert listed["tenant"] == "default"
        assert listed["state"] == "active"
        assert listed["last_used"] is None
        assert listed["scopes"] == scopes

    def test_a_tenant_must_be_named_when_there_are_several(self, two_tenants: Server) -> None:
        assert_refused(
            two_tenants.command("token", "create", "--name", "x"),
            "Name a tenant with --tenant; there are 2: default, acme.",
        )
        assert_refused(
            two_tenants.command("token", "create", "--name", "x", "--tenant", "nobody"), "There is no tenant nobody."
        )
        assert two_tenants.command("token", "create", "--name", "named", "--tenant", "acme").returncode == 0
        assert [token["name"] for token in tokens_of(two_tenants, "--tenant", "acme")] == ["named"]
        assert {token["tenant"] for token in tokens_of(two_tenants, "--tenant", "default")} <= {"default"}
        assert_refused(two_tenants.command("token", "list", "--tenant", "nobody"), "There is no tenant nobody.")

    def test_one_is_shown_with_the_habits_of_its_client(self, ready: Server, database: Database) -> None:
        made = ready.command("token", "create", "--name=entra", "--tenant=default").stdout
        token = made.split("_")[1]
        shown = ready.command("token", "show", token)
        assert "name: entra\n" in shown.stdout
        assert "user: -\n" in shown.stdout
        assert shown.stdout.endswith("habits: none\n")
        row = (token, "empty-text", 3, "2026-11-25T09:00:00.000")
        database.run("INSERT INTO habit (token, name, uses, last_used) VALUES (?, ?, ?, ?)", row)
        meaning = '"" for an optional attribute; it is cleared'
        line = f"habits:\n  empty-text  3 requests, last 2026-11-25T09:00:00.000Z  ({meaning})\n"
        assert ready.command("token", "show", token).stdout.endswith(line)
        as_json = json.loads(ready.command("token", "show", token, "--json").stdout)
        assert as_json["id"] == token
        assert as_json["habits"] == [{"habit": "empty-text", "uses": 3, "last_used": "2026-11-25T09:00:00.000Z"}]
        assert_refused(ready.command("token", "show", "nobody"), "There is no token nobody.")

    def test_scopes_are_what_was_asked_for(self, ready: Server) -> None:
        done = ready.command(
            "token", "create", "--name=scoped", "--tenant=default", "--scope=groups:*", "--scope=bulk", "--scope=bulk"
        )
        assert done.stderr.endswith("scopes groups:read groups:write bulk:\n")
        listed = {token["id"]: token["scopes"] for token in tokens_of(ready)}
        assert listed[done.stdout.split("_")[1]] == "groups:read groups:write bulk"

    def test_an_unknown_scope_is_refused_and_the_known_ones_named(self, ready: Server, registry: Registry) -> None:
        assert_refused(
            ready.command("token", "create", "--name=x", "--tenant=default", "--scope=users:delete"),
            f"There is no scope users:delete; the scopes are {', '.join(scope_names(registry))}.",
        )

    def test_a_token_needs_a_name(self, ready: Server) -> None:
        assert_refused(ready.command("token", "create", "--name= ", "--tenant=default"), "The token needs a name.")

    def test_it_expires_after_the_days_that_were_given(self, ready: Server, database: Database) -> None:
        done = ready.command("token", "create", "--name", "short", "--tenant", "default", "--expires", "7")
        assert TOKEN.fullmatch(done.stdout)
        assert ", 7 days, " in done.stderr
        rows = database.rows("SELECT julianday(expires) - julianday(created) FROM token WHERE name = 'short'")
        assert [round(days, 5) for (days,) in rows] == [7]

    def test_a_bad_number_of_days_is_refused(self, ready: Server) -> None:
        done = ready.command("token", "create", "--name", "x", "--expires", "0")
        assert (done.stdout, done.returncode) == ("", 2)
        assert "Invalid value for '--expires'" in done.stderr

    def test_the_list_never_shows_a_secret(self, ready: Server) -> None:
        token = ready.command("token", "create", "--name", "secret", "--tenant", "default").stdout.strip()
        digests = list(_digests(ready))
        for shown in (ready.command("token", "list").stdout, ready.command("token", "list", "--json").stdout):
            assert token.split("_")[1] in shown
            assert token.split("_")[2] not in shown
            assert not any(digest in shown for digest in digests)

    def test_the_list_tells_active_from_revoked_and_expired(self, fresh: Server) -> None:
        fresh.initialised()
        ids = {name: fresh.token("admin", name=name).split("_")[1] for name in ("active", "revoked", "expired")}
        done = fresh.command("token", "revoke", ids["revoked"])
        assert (done.stdout, done.stderr, done.returncode) == ("", f"Revoked {ids['revoked']}.\n", 0)
        assert_refused(
            fresh.command("token", "revoke", ids["revoked"]),
            f"There is no token {ids['revoked']} that could be revoked.",
        )
        with closing(sqlite3.connect(fresh.settings.data_dir / "scim.db")) as database, database:
            database.execute("UPDATE token SET expires = '2020-01-01T00:00:00.000' WHERE name = 'expired'")
        listed = tokens_of(fresh)
        assert all(token["name"] == token["state"] for token in listed)
        lines = fresh.command("token", "list").stdout.splitlines()
        assert [line.split("  ")[:4] for line in lines] == [
            [token["id"], "default", token["name"], token["state"]] for token in listed
        ]


def _digests(server: Server) -> Iterator[str]:
    with closing(sqlite3.connect(server.settings.data_dir / "scim.db")) as database:
        yield from (digest for (digest,) in database.execute("SELECT digest FROM token"))


class TestDb:
    def test_status_shows_what_was_applied(self, ready: Server) -> None:
        assert_said(ready.command("db", "status"), "".join(f"applied  {name}\n" for name in MIGRATIONS))
        assert_said(ready.command("db", "upgrade"), "The database is up to date.\n")

    def test_without_a_database_nothing_is_made(self, fresh: Server) -> None:
        database = fresh.settings.data_dir / "scim.db"
        assert_said(fresh.command("db", "status"), "pending  everything: run scim-server init\n")
        assert_refused(fresh.command("db", "upgrade"), f"There is no database {database}; run scim-server init.")
        assert not fresh.settings.data_dir.exists()


def test_a_reader_that_has_seen_enough_is_no_error(ready: Server) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-u", "-m", "scim_server", "check"],
            env=os.environ | ready.environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert "roken" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("tenant", "show", "\udce9"), ("token", "create", "--name", "\udce9"), ("token", "show", "\udce9"),
        ("token", "revoke", "\udce9"), ("user", "list", "--filter", "\udce9"), ("user", "list", "--tenant", "\udce9"),
        ("user", "show", "\udce9"), ("user", "delete", "x", "\udce9"), ("group", "list", "--sort-by", "\udce9"),
        ("group", "create", "x", "--member", "\udce9"), ("group", "add-member", "x", "y", "\udce9"),
        ("deleted", "list", "--tenant", "\udce9"), ("deleted", "restore", "\udce9"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_text_are_refused_wherever_they_stand(fresh: Server, arguments: tuple[str, ...]) -> None:
    done = fresh.command(*arguments)
    refusal = "scim-server: An argument contains the character U+DCE9, which is not allowed.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", refusal)


@pytest.mark.parametrize(
    ("caller", "name"),
    [
        ("", pwd.getpwuid(os.getuid()).pw_name), ("0", "root"), ("no number", pwd.getpwuid(os.getuid()).pw_name),
        ("3999999999", "3999999999"), ("99999999999999999999", "99999999999999999999"),
    ],
)  # fmt: skip
def test_the_audit_names_who_called_sudo(monkeypatch: pytest.MonkeyPatch, caller: str, name: str) -> None:
    monkeypatch.setenv("SUDO_UID", caller)
    assert credential() == f"cli:{name}"


def test_help_loads_nothing_that_serves_resources() -> None:
    loaded = "import sys, scim_server.cli; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert not {"flask", "gunicorn", "scim_server.app", "scim_server.resources.base"} & set(done.stdout.split())
