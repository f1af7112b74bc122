"""Registration notices: every new account gets its own, whatever the mail server does, and no request waits for it."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from scim_server import mail, outbox, smtp, tenants
from scim_server.csv_accounts import reading
from scim_server.csv_accounts.importing import Import
from scim_server.mail import MOST_TRIES, Worker
from scim_server.notice import compose
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.registry import Registry
from scim_server.resources.accounts import ACCOUNT
from scim_server.resources.bulk import Bulk
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.smtp import Unreachable, relay_in, sender_in
from scim_server.storage.database import Database, Unavailable
from scim_server.storage.opening import open_database
from scim_server.tokens import Principal
from tests.relay import PASSWORD, USER, Relay, reserved
from tests.server import SCIM_SERVER, Server, wait_for

FROM = "Example <noreply@example.com>"


class Office:
    """A server that nobody started, the accounts in it, and its mail server."""

    def __init__(self, directory: Path, relay: Relay, registry: Registry, url: str, **settings: str) -> None:
        self.relay = relay
        self.server = Server(directory, {"SCIM_SMTP_URL": url, "SCIM_MAIL_FROM": FROM, **settings})
        self.server.settings.data_dir.mkdir()
        self.database = open_database(self.server.settings.database_url)
        self.database.upgrade()
        tenants.create(self.database, "default", "Default Company")
        numbers = self.database.type_numbers(registry.resource_types)
        self.kinds = all_resources(Shared(self.database, registry, self.server.settings, numbers, b"k" * 32))

    @property
    def by(self) -> Principal:
        tenant = tenants.find(self.database, "default")
        return Principal("test", tenant, frozenset({"admin"}), habits=Habits(ALL))

    def create(self, name: str, **attributes: Any) -> str:
        """Create an account and return its id."""
        self.kinds["User"].create(self.by, {"userName": name, **attributes})
        ((id,),) = self.database.rows("SELECT id FROM resource WHERE user_name = ?", (name.lower(),))
        return str(id)

    def bulk(self, operations: list[dict[str, Any]], **members: Any) -> list[str]:
        """Do a Bulk and return the statuses."""
        content = json.dumps({"Operations": operations, **members}).encode()
        answer = json.loads(Bulk(self.kinds["User"].shared, self.kinds.values()).run(self.by, content))
        return [result["status"] for result in answer["Operations"]]

    def worker(self, port: int = 0) -> Worker:
        """Return a worker for this office's mail server, or another."""
        settings = self.server.settings
        assert settings.smtp_url and settings.mail_from
        url = f"smtp://127.0.0.1:{port}?starttls=off" if port else settings.smtp_url
        return Worker(self.database, relay_in(url), sender_in(settings.mail_from))

    def send(self) -> tuple[int, int, int]:
        """Send what is due; return how much was sent, postponed and given up."""
        worker = self.worker()
        worker.send()
        return worker.counts.sent, worker.counts.postponed, worker.counts.given_up

    def waiting(self) -> list[Any]:
        return outbox.every(self.database, given_up=False)

    def let_time_pass(self) -> None:
        """Make due what waits for a further try."""
        with self.database.transaction():
            self.database.run("UPDATE outbox SET next_at = '' WHERE next_at IS NOT NULL")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `scim-server mail send`."""
        return subprocess.Popen(
            [*SCIM_SERVER, "mail", "send", *arguments],
            env={**os.environ, **self.server.environment},
            cwd=self.server.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    with made.listening():
        yield made


@pytest.fixture
def office(tmp_path: Path, relay: Relay, registry: Registry, prepared_url: str) -> Iterator[Office]:
    url = f"smtp://127.0.0.1:{relay.port}?starttls=off"
    made = Office(tmp_path, relay, registry, url, SCIM_DATABASE_URL=prepared_url)
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls") / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            *names,
            "-keyout",
            made,
            "-out",
            f"{made}.crt",
        ],
        check=True,
        capture_output=True,
    )
    with made.open("a") as both:
        both.write(Path(f"{made}.crt").read_text())
    return made


def text_of(message: EmailMessage) -> str:
    return str(message.get_content()).replace("\r\n", "\n")


def post(name: str, **attributes: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/Users", "bulkId": name, "data": {"userName": name, **attributes}}


class TestWhatItSays:
    def test_in_english(self, office: Office) -> None:
        office.create("bjensen@example.com", displayName="Barbara Jensen", password="t1meMa$heen")
        assert office.send() == (1, 0, 0)
        ((to, message),) = office.relay.messages
        assert to == message["To"] == "bjensen@example.com"
        assert message["From"] == FROM
        assert message["Subject"] == "Your account at Default Company"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Content-Language"] == "en"
        assert message["Message-ID"].endswith("@example.com>")
        text = text_of(message)
        assert "Dear Barbara Jensen,\n" in text and "Login ID: bjensen@example.com\n" in text
        assert "Default Company" in text and "Valid from" not in text and "t1meMa$heen" not in text
        assert not office.waiting()

    def test_in_japanese_in_the_time_zone_of_the_tenant(self, office: Office) -> None:
        values = {"company_name": "株式会社　例", "language": "ja", "time_zone": "Asia/Tokyo"}
        tenants.change(office.database, "default", values)
        office.create("yamada@example.jp", displayName="山田　太郎", **{ACCOUNT: {"validFrom": "2999-03-31T15:00:00Z"}})
        assert office.send() == (1, 0, 0)
        ((_, message),) = office.relay.messages
        raw = message.as_bytes()
        assert raw.isascii() and "【株式会社" in message["Subject"] and "アカウント登録" in message["Subject"]
        assert message["Date"].endswith("+0900")
        assert message["Content-Language"] == "ja"
        text = text_of(message)
        assert text.startswith("山田　太郎 様\n") and "株式会社　例 の" in text
        assert "ログインID: yamada@example.jp\n" in text
        assert "有効開始日時: 2999/04/01 00:00 (Asia/Tokyo)\n" in text

    def test_a_name_adds_no_line_and_no_header(self, office: Office) -> None:
        name = "Barbara\u2028Bcc: all@example.com" + "x" * 5000
        office.create("bjensen@example.com", displayName=name)
        tenants.change(office.database, "default", {"company_name": "A company of many words " * 30})
        assert office.send() == (1, 0, 0)
        ((_, message),) = office.relay.messages
        assert message["Bcc"] is None
        assert f"Dear {name[:7]} {name[8:200]},\n" in text_of(message)
        assert len(message["Subject"]) < 250

    def test_an_encoded_word_is_never_decoded(self, office: Office) -> None:
        word = "=?utf-8?q?a=0D=0ABcc=3A_b=40x?="
        tenants.change(office.database, "default", {"company_name": word})
        id = office.create("bjensen", displayName=word, emails=[{"value": f"{word}@x"}, {"value": "a@x"}])
        assert [row.resource_id for row in office.waiting()] == [id]
        assert office.send() == (1, 0, 0)
        ((to, message),) = office.relay.messages
        assert to == message["To"] == "a@x"
        assert message["Bcc"] is None and message["Subject"] == f"Your account at = {word[1:]}"

    def test_the_longest_address_is_not_broken(self, office: Office) -> None:
        address = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.jp"
        office.create(address)
        assert office.send() == (1, 0, 0)
        ((to, message),) = office.relay.messages
        assert to == message["To"] == address

    def test_an_address_beyond_ascii_needs_smtputf8(self, office: Office) -> None:
        office.create("用户@例え.jp", displayName="用户")
        assert office.send() == (0, 0, 1)
        (kept,) = office.waiting()
        assert kept.next_at is None and "SMTPUTF8" in kept.last_error and "用户" not in kept.last_error
        capable = Relay()
        with capable.listening(enable_SMTPUTF8=True):
            outbox.retry(office.database, [])
            office.worker(capable.port).send()
        ((to, message),) = capable.messages
        assert to == message["To"] == "用户@例え.jp"
        assert not office.waiting()


@pytest.mark.parametrize(
    ("account", "address"),
    [
        ({"userName": "a@x"}, "a@x"),
        ({"userName": "a"}, None),
        ({"userName": "a", "emails": [{"value": "b@x"}]}, "b@x"),
        ({"userName": "a@x", "emails": [{"value": "b@x", "type": "home"}]}, "a@x"),
        ({"userName": "a@x", "emails": [{"value": "b@x", "type": "Work"}]}, "b@x"),
        ({"userName": "a@x", "emails": [{"value": "b@x", "type": "work"}, {"value": "c@x", "primary": True}]}, "c@x"),
        ({"userName": "a@x", "emails": [{"value": "no address", "primary": True}, {"type": "work"}]}, "a@x"),
    ],
)  # fmt: skip
def test_the_address_is_the_primary_one_or_that_at_work_or_the_user_name(
    account: dict[str, Any], address: str | None
) -> None:
    assert outbox.recipient(account) == address


class TestQueueing:
    def test_nothing_is_queued_without_a_mail_server(self, tmp_path: Path, registry: Registry, relay: Relay) -> None:
        office = Office(tmp_path, relay, registry, "smtp://127.0.0.1")
        del office.server.environment["SCIM_SMTP_URL"]
        plain = Server(tmp_path, {"SCIM_MAIL_FROM": FROM})
        shared = office.kinds["User"].shared
        settings = plain.settings
        kinds = all_resources(Shared(office.database, registry, settings, shared.type_numbers, b"k" * 32))
        kinds["User"].create(office.by, {"userName": "a@example.com"})
        assert not office.waiting()
        done = plain.command("mail", "send")
        sentence = "scim-server: SCIM_SMTP_URL is not set: there is no mail server to send with.\n"
        assert (done.stderr, done.returncode) == (sentence, 1)
        office.database.close()

    def test_nothing_for_an_account_without_address_nor_for_a_group(self, office: Office) -> None:
        office.create("nobody")
        office.kinds["Group"].create(office.by, {"displayName": "group@example.com"})
        assert not office.waiting()

    def test_what_is_refused_or_fails_leaves_nothing(self, office: Office) -> None:
        office.create("a@example.com")
        with pytest.raises(ScimError):
            office.create("a@example.com")

        def fail(_: object) -> None:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            office.kinds["User"].create(office.by, {"userName": "b@example.com"}, keep=fail)
        assert len(office.waiting()) == 1

    def test_a_password_that_is_tried_before_it_is_hashed_queues_once(self, office: Office) -> None:
        office.create("a@example.com", password="t1meMa$heen")
        assert len(office.waiting()) == 1

    def test_a_bulk_queues_for_those_that_it_creates(self, office: Office) -> None:
        office.create("taken@example.com")
        group = {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "g",
            "data": {"displayName": "g", "members": [{"value": "bulkId:a@example.com"}]},
        }
        statuses = office.bulk(
            [post("a@example.com"), post("taken@example.com"), post("b"), group, post("c@example.com")]
        )
        assert statuses == ["201", "409", "201", "201", "201"]
        assert office.send() == (3, 0, 0)
        assert office.relay.recipients == ["taken@example.com", "a@example.com", "c@example.com"]

    def test_a_file_queues_for_those_that_it_registers(self, office: Office) -> None:
        office.create("known@example.com")
        office.send()
        header = "Email address,Name,User type,Organization,Department,Groups,Mobile phone,Phone,Valid from,Valid until,Status,Delete flag"
        rows = [f"{name}@example.com,N,0,,,G,,,2024/01/01,,0,0" for name in ("new", "known")]
        file = "\r\n".join([header, *rows])
        office.kinds["Group"].create(office.by, {"displayName": "G"})
        for is_dry in (True, False):
            Import(office.kinds).run(office.by, reading.read(file.encode()), is_dry=is_dry)
            assert office.send()[0] == (0 if is_dry else 1)
        assert office.relay.recipients == ["known@example.com", "new@example.com"]

    def test_a_bulk_that_ends_early_queues_for_those_before(self, office: Office) -> None:
        office.create("taken@example.com")
        office.bulk([post("a@example.com"), post("taken@example.com"), post("c@example.com")], failOnErrors=1)
        assert [row.resource_id for row in office.waiting()] == [
            id for (id,) in office.database.rows("SELECT id FROM resource ORDER BY key")
        ]

    def test_it_takes_one_statement_of_a_bulk(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[str] = []
        execute, many = office.database.peewee.execute_sql, office.database.run_many
        monkeypatch.setattr(
            office.database.peewee, "execute_sql", lambda sql, p=None: (sent.append(sql), execute(sql, p))[1]
        )
        monkeypatch.setattr(office.database, "run_many", lambda sql, rows: (sent.append(sql), many(sql, rows))[1])
        office.bulk([post(f"without{n}") for n in range(50)])
        # The index of parts of text is caught up with now and then.
        without = [sql for sql in sent if "gram" not in sql]
        sent.clear()
        office.bulk([post(f"with{n}@example.com") for n in range(50)])
        extra = [sql for sql in sent if "gram" not in sql and sql not in without]
        assert len(extra) == 1 and extra[0].startswith("INSERT INTO outbox")
        assert len([sql for sql in sent if "gram" not in sql]) == len(without) + 1
        assert len(office.waiting()) == 50

    def test_a_deleted_account_gets_none(self, office: Office) -> None:
        gone = office.create("gone@example.com")
        failed = office.create("failed@example.com")
        office.create("here@example.com")
        office.relay.to_rcpt["failed@example.com"] = ["550 5.1.1 unknown"]
        office.kinds["User"].delete(office.by, gone)
        assert office.send() == (1, 0, 1)
        assert office.relay.recipients == ["here@example.com"]
        office.kinds["User"].delete(office.by, failed)
        assert not office.waiting()
        office.send()
        assert office.database.rows("SELECT * FROM outbox") == []

    def test_a_new_address_counts(self, office: Office) -> None:
        id = office.create("a@example.com")
        operation = {"op": "add", "path": "emails", "value": [{"value": "new@example.com", "primary": True}]}
        office.kinds["User"].patch(office.by, id, {"Operations": [operation]})
        assert office.send() == (1, 0, 0)
        assert office.relay.recipients == ["new@example.com"]

    def test_a_disabled_account_gets_its_notice(self, office: Office) -> None:
        id = office.create("a@example.com")
        operation = {"op": "replace", "path": "active", "value": False}
        office.kinds["User"].patch(office.by, id, {"Operations": [operation]})
        office.create("b@example.com", active=False)
        assert office.send() == (2, 0, 0)

    def test_an_account_that_lost_its_address_is_given_up(self, office: Office) -> None:
        id = office.create("a@example.com")
        office.kinds["User"].replace(office.by, id, {"userName": "a"})
        assert office.send() == (0, 0, 1)
        assert [row.last_error for row in office.waiting()] == ["the account has no address"]

    def test_nothing_of_the_account_is_in_the_outbox(self, office: Office) -> None:
        office.create("bjensen@example.com", displayName="Barbara Jensen")
        office.relay.to_rcpt["bjensen@example.com"] = ["450 4.2.1 <bjensen@example.com> Barbara is away"]
        assert office.send() == (0, 1, 0)
        (row,) = office.database.rows("SELECT * FROM outbox")
        assert "bjensen" not in str(row) and "Barbara" not in str(row)
        assert row[-1] == "RCPT: 450 4.2.1"


class TestFailures:
    @pytest.mark.parametrize("command", ["to_rcpt", "to_data"])
    def test_a_passing_refusal_is_tried_again_with_the_same_message(self, office: Office, command: str) -> None:
        office.create("a@example.com")
        office.create("b@example.com")
        getattr(office.relay, command)["a@example.com"] = ["451 4.3.0 later", "421 4.3.2 closing"]
        assert office.send() == (1, 1, 0)
        assert office.relay.recipients == ["b@example.com"]
        (row,) = office.waiting()
        assert row.tries == 1 and row.last_error.endswith(": 451 4.3.0")
        assert office.send() == (0, 0, 0), "it is not due yet"
        office.let_time_pass()
        assert office.send() == (0, 1, 0)
        office.let_time_pass()
        assert office.send() == (1, 0, 0)
        assert not office.waiting()

    @pytest.mark.parametrize("command", ["to_rcpt", "to_data"])
    def test_a_lasting_refusal_is_kept_with_its_reason_and_blocks_nobody(self, office: Office, command: str) -> None:
        bad = office.create("bad@example.com")
        for n in range(3):
            office.create(f"{n}@example.com")
        getattr(office.relay, command)["bad@example.com"] = ["550 5.1.1 <bad@example.com> does not exist"]
        assert office.send() == (3, 0, 1)
        office.let_time_pass()
        assert office.send() == (0, 0, 0)
        done = office.server.command("mail", "list", "--failed")
        assert done.returncode == 0
        number, tenant, id, _, tries, state, error = done.stdout.rstrip("\n").split("  ")
        assert (tenant, id, tries, state) == ("default", bad, "1", "given up")
        assert error.endswith(": 550 5.1.1") and "bad@example.com" not in done.stdout
        assert office.server.command("mail", "retry", number).stderr == "1 due.\n"
        assert office.server.command("mail", "list", "--failed").stdout == ""
        assert office.send() == (1, 0, 0)

    def test_pauses_grow_to_hours_and_end_after_days(self, office: Office) -> None:
        office.create("a@example.com")
        office.relay.to_rcpt["a@example.com"] = ["450 busy"] * MOST_TRIES
        for _ in range(MOST_TRIES - 1):
            assert office.send() == (0, 1, 0)
            office.let_time_pass()
        assert office.send() == (0, 0, 1)
        office.let_time_pass()
        assert office.send() == (0, 0, 0)
        (row,) = office.waiting()
        assert (row.tries, row.next_at, row.last_error) == (MOST_TRIES, None, "RCPT: 450")
        assert outbox.retry(office.database, []) == [row.number]
        assert office.send() == (1, 0, 0)
        minutes = [mail._pause(tries).total_seconds() / 60 for tries in range(1, MOST_TRIES)]
        assert 0.75 <= minutes[0] <= 1 and 180 <= minutes[-1] <= 240
        assert 3.5 < sum(minutes) / 60 / 24 < 5

    def test_a_connection_that_breaks_within_a_message_does_not_stop_the_next(self, office: Office) -> None:
        office.create("a@example.com")
        office.create("b@example.com")
        office.relay.cuts["a@example.com"] = 1
        assert office.send() == (1, 1, 0)
        assert [row.last_error for row in office.waiting()] == ["the connection was lost"]
        office.let_time_pass()
        assert office.send() == (1, 0, 0)
        assert office.relay.recipients == ["b@example.com", "a@example.com"]

    def test_a_server_that_is_down_loses_nothing_however_long(self, tmp_path: Path, registry: Registry) -> None:
        relay, listener = Relay(), reserved()
        port = listener.getsockname()[1]
        office = Office(tmp_path, relay, registry, f"smtp://127.0.0.1:{port}?starttls=off")
        names = [f"{n}@example.com" for n in range(5)]
        for name in names:
            office.create(name)
        for _ in range(MOST_TRIES + 1):
            with pytest.raises(Unreachable, match="Connection refused"):
                office.send()
            office.let_time_pass()
        done = office.server.command("mail", "send")
        sentence = f"The mail server 127.0.0.1:{port} cannot be used: Connection refused. 5 wait."
        assert (done.stdout, done.stderr, done.returncode) == ("", f"scim-server: {sentence}\n", 1)
        assert [row.tries for row in office.waiting()] == [0] * 5
        with relay.listening(at=listener):
            done = office.server.command("mail", "send")
        assert (done.stdout, done.returncode) == ("5 sent, 0 postponed, 0 given up; 0 wait.\n", 0)
        assert relay.recipients == names
        assert relay.connections == 1
        office.database.close()

    @pytest.mark.parametrize("answer", ["553 5.7.1 not yours", "452 4.3.1 no room"])
    def test_a_refused_sender_is_not_held_against_the_messages(self, office: Office, answer: str) -> None:
        office.create("a@example.com")
        for _ in range(3):
            office.relay.to_mail = [answer]
            with pytest.raises(Unreachable, match=f"refuses the sender, {answer[:3]}"):
                office.send()
            assert office.send() == (0, 0, 0), "it waits, and holds up no other"
            office.let_time_pass()
        assert [(row.tries, row.last_error) for row in office.waiting()] == [(0, "the sender was refused")]
        assert office.send() == (1, 0, 0)

    def test_what_cannot_be_written_is_given_up_and_the_next_is_sent(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(found: outbox.Notice, *others: Any) -> EmailMessage:
            if found.account["userName"] == "a@example.com":
                raise ValueError("a@example.com")
            return compose(found, *others)

        monkeypatch.setattr("scim_server.notice.compose", fail)
        office.create("a@example.com")
        office.create("b@example.com")
        assert office.send() == (1, 0, 1)
        assert [row.last_error for row in office.waiting()] == ["it cannot be written, ValueError"]

    def test_a_server_that_is_none_is_unreachable(self, office: Office) -> None:
        office.create("a@example.com")
        for answer, reason in ((b"554 go away\r\n", "it answers 554"), (b"", "does not answer as a mail server")):
            with reserved() as listener:
                listener.listen()
                thread = threading.Thread(target=answer_once, args=(listener, answer))
                thread.start()
                with pytest.raises(Unreachable, match=reason):
                    office.worker(listener.getsockname()[1]).send()
                thread.join()
        assert [row.tries for row in office.waiting()] == [0]

    def test_a_server_that_says_nothing_is_unreachable(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(smtp, "_SECONDS", 0.2)
        office.create("a@example.com")
        with reserved() as listener:
            listener.listen()
            with pytest.raises(Unreachable, match="does not answer in time"):
                office.worker(listener.getsockname()[1]).send()
        assert [row.tries for row in office.waiting()] == [0]

    def test_a_server_that_thinks_long_about_a_message_gets_it_once(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(smtp, "_SECONDS", 0.5)
        office.create("a@example.com")
        office.relay.before_answer = lambda _: time.sleep(1)
        assert office.send() == (1, 0, 0)
        assert office.relay.recipients == ["a@example.com"]

    def test_a_server_that_never_answers_gets_the_same_message_again(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(smtp, "_LONG_SECONDS", 0.2)
        office.create("a@example.com")
        office.relay.before_answer = lambda _: time.sleep(1)
        assert office.send() == (0, 1, 0)
        assert [row.last_error for row in office.waiting()] == ["the connection was lost"]
        office.relay.before_answer = lambda _: None
        office.let_time_pass()
        assert office.send() == (1, 0, 0)
        first, again = (message.as_bytes() for _, message in office.relay.messages)
        assert first == again

    def test_a_server_without_a_login_by_password_is_unreachable(self, office: Office) -> None:
        office.create("a@example.com")
        for office.relay.offers in ([], ["AUTH XOAUTH2"]):
            relay = smtp.Relay("127.0.0.1", office.relay.port, "off", USER, PASSWORD)
            with pytest.raises(Unreachable, match="offers no login by password"):
                Worker(office.database, relay, sender_in(FROM)).send()


def answer_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(answer)


class TestWorkers:
    def test_killed_between_acceptance_and_deletion_one_message_is_repeated(self, office: Office) -> None:
        for n in range(4):
            office.create(f"{n}@example.com")
        accepted, may_answer = threading.Event(), threading.Event()

        def hold(to: str) -> None:
            if to == "1@example.com" and not accepted.is_set():
                accepted.set()
                assert may_answer.wait(20)

        office.relay.before_answer = hold
        process = office.start()
        assert accepted.wait(20)
        # The worker cannot delete the row of what it gets the answer for now.
        with office.database.transaction():
            may_answer.set()
            time.sleep(0.5)
            process.kill()
            process.communicate()
        assert office.relay.recipients == ["0@example.com", "1@example.com"]
        assert [row.tries for row in office.waiting()] == [1, 0, 0]
        assert office.send() == (2, 0, 0), "what was in flight waits for its next try"
        office.let_time_pass()
        assert office.send() == (1, 0, 0)
        ids = [(to, message["Message-ID"]) for to, message in office.relay.messages]
        assert sorted(to for to, _ in ids) == [f"{n}@example.com" for n in (0, 1, 1, 2, 3)]
        assert len(set(ids)) == 4
        first, again = (message for to, message in office.relay.messages if to == "1@example.com")
        assert first.as_bytes() == again.as_bytes()

    def test_several_at_once_send_each_message_once(self, office: Office) -> None:
        names = [f"{n}@example.com" for n in range(60)]
        office.bulk([post(name) for name in names])
        processes = [office.start() for _ in range(3)]
        for process in processes:
            process.communicate(timeout=60)
        assert sorted(office.relay.recipients) == sorted(names)
        assert not office.waiting()

    def test_what_another_one_has_in_its_hands_is_left_alone(self, office: Office) -> None:
        office.create("a@example.com")
        office.create("b@example.com")
        (first, _) = office.waiting()
        with outbox.claimed(office.database, first.number) as is_ours:
            assert is_ours
            done = office.server.command("mail", "send")
        assert (done.stdout, done.returncode) == ("1 sent, 0 postponed, 0 given up; 1 wait.\n", 1)
        assert office.relay.recipients == ["b@example.com"]

    def test_the_database_is_not_locked_while_the_server_talks(self, office: Office) -> None:
        office.create("a@example.com")
        office.relay.before_answer = lambda to: office.create("b@example.com") if to == "a@example.com" else None
        assert office.server.command("mail", "send").returncode == 0
        assert office.relay.recipients == ["a@example.com", "b@example.com"]

    def test_watching_sends_what_comes_and_finishes_what_is_in_flight(self, office: Office) -> None:
        in_flight, may_answer = threading.Event(), threading.Event()

        def linger(to: str) -> None:
            if to == "1@example.com":
                in_flight.set()
                assert may_answer.wait(20)

        office.relay.before_answer = linger
        process = office.start("--watch")
        try:
            office.create("0@example.com")
            wait_for(lambda: not office.waiting())
            office.bulk([post(f"{n}@example.com") for n in (1, 2)])
            assert in_flight.wait(20)
            process.send_signal(signal.SIGTERM)
            may_answer.set()
            output, log = process.communicate(timeout=20)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        assert (output, process.returncode) == ("", 0), log
        assert office.relay.recipients == ["0@example.com", "1@example.com"]
        assert [row.tries for row in office.waiting()] == [0]
        assert "example.com" not in log

    def test_watching_outlives_a_server_that_is_away(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr(Worker, "_sleep", lambda _, seconds: pauses.append(seconds))
        office.create("a@example.com")
        with reserved() as refusing:
            worker = office.worker(refusing.getsockname()[1])
            worker.is_ending = lambda: len(pauses) == 9
            worker.watch()
        assert 3.75 <= pauses[0] <= 5 and 225 <= pauses[-1] <= 300
        assert [row.tries for row in office.waiting()] == [0]


class TestTls:
    @pytest.fixture
    def context(self, certificate: Path) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.load_cert_chain(certificate)
        return made

    @pytest.fixture
    def secure(self, context: ssl.SSLContext) -> Iterator[Relay]:
        made = Relay()
        with made.listening(starttls=context):
            yield made

    def sent(self, office: Office, url: str) -> Worker:
        worker = Worker(office.database, relay_in(url), sender_in(FROM))
        worker.send()
        return worker

    def test_starttls_then_auth(
        self, office: Office, secure: Relay, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        office.create("a@example.com")
        url = f"smtp://{USER}:p%40ss%2Fword@localhost:{secure.port}"
        with pytest.raises(Unreachable, match="refuses the user and the password, 535") as refused:
            self.sent(office, url.replace("ss%2F", "ss"))
        assert "word" not in str(refused.value).replace("password", "")
        assert self.sent(office, url).counts.sent == 1
        assert secure.recipients == ["a@example.com"]

    def test_tls_from_the_beginning(
        self, office: Office, context: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        office.create("a@example.com")
        relay = Relay()
        with relay.listening(tls=context):
            url = f"smtps://{USER}:p%40ss%2Fword@localhost:{relay.port}"
            with pytest.raises(Unreachable, match="its certificate is not trusted"):
                self.sent(office, url)
            monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
            with pytest.raises(Unreachable, match="refuses the user and the password, 535"):
                self.sent(office, url.replace("ss%2F", "ss"))
            assert self.sent(office, url).counts.sent == 1
        assert relay.recipients == ["a@example.com"]

    def test_a_certificate_that_is_not_trusted_gets_nothing(self, office: Office, secure: Relay) -> None:
        office.create("a@example.com")
        with pytest.raises(Unreachable, match=r"its certificate is not trusted, self.signed certificate"):
            self.sent(office, f"smtp://{USER}:x@localhost:{secure.port}")

    def test_a_certificate_of_another_name_gets_nothing(
        self, office: Office, secure: Relay, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        office.create("a@example.com")
        with pytest.raises(Unreachable, match="its certificate is not trusted, IP address mismatch"):
            self.sent(office, f"smtp://{USER}:x@127.0.0.1:{secure.port}")

    def test_a_server_without_starttls_gets_nothing(self, office: Office, relay: Relay) -> None:
        office.create("a@example.com")
        with pytest.raises(Unreachable, match="does not offer STARTTLS"):
            self.sent(
                office, f"smtp://{USER}:{PASSWORD.replace('/', '%2F').replace('@', '%40')}@127.0.0.1:{relay.port}"
            )
        assert not relay.messages


class TestCommands:
    def test_what_is_deleted_is_not_sent(self, office: Office) -> None:
        office.create("a@example.com")
        (row,) = office.waiting()
        done = office.server.command("mail", "delete", str(row.number))
        assert (done.stderr, done.returncode) == (f"Deleted {row.number}.\n", 0)
        assert office.send() == (0, 0, 0)

    @pytest.mark.parametrize("command", ["retry", "delete"])
    def test_a_number_that_is_none(self, office: Office, command: str) -> None:
        assert office.server.command("mail", command, str(2**63)).returncode == 2
        done = office.server.command("mail", command, "7")
        assert (done.stderr, done.stdout, done.returncode) == ("scim-server: There is no mail 7.\n", "", 1)

    def test_check_shows_no_password(self, office: Office) -> None:
        server = Server(office.server.directory, {"SCIM_SMTP_URL": "smtp://u:secret@h", "SCIM_MAIL_FROM": FROM})
        done = server.command("check")
        assert "SCIM_SMTP_URL=********\n" in done.stdout and "secret" not in done.stdout
        assert f"SCIM_MAIL_FROM={FROM}\n" in done.stdout


def test_no_request_waits_for_the_mail_server(office: Office) -> None:
    office.server.environment["SCIM_SMTP_URL"] = "smtp://192.0.2.1"
    office.server.initialised()
    headers = {"Authorization": f"Bearer {office.server.token('admin')}", "Connection": "close"}
    with office.server.started(), httpx.Client(base_url=office.server.settings.base_url, headers=headers) as http:
        assert http.post("Users", json={"userName": "a@example.com"}).status_code == 201
        assert http.post("Users", json={"userName": "a@example.com"}).status_code == 409
        assert http.post("Bulk", json={"Operations": [post("b@example.com"), post("a@example.com")]}).status_code == 200
    assert office.send() == (2, 0, 0)
    assert office.relay.recipients == ["a@example.com", "b@example.com"]


def test_a_worker_outlives_a_database_that_is_away(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, looks = office.worker(), list[int]()

    def due(database: Database, after: int) -> list[int]:
        looks.append(after)
        raise Unavailable

    monkeypatch.setattr(outbox, "due", due)
    monkeypatch.setattr(worker, "is_ending", lambda: len(looks) == 2)
    monkeypatch.setattr(worker, "_sleep", [].append)
    worker.watch()
    assert len(looks) == 2
