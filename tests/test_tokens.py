"""Tokens: what they look like, what is kept of them, and when they are refused."""

import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest

from scim_server import tenants, tokens
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import ALL
from scim_server.protocol.registry import Registry
from scim_server.storage.database import Conflict, Database, Unavailable
from scim_server.storage.keys import key_of, scope_of
from scim_server.tenants import Tenant
from scim_server.tokens import Authenticator, Principal, TokenError
from tests.server import kept_rows

KEY = b"k" * 32
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def database(prepared: Database) -> Database:
    return prepared


@pytest.fixture
def tenant(database: Database) -> Tenant:
    return tenants.create(database, "acme", "Example Company")


@pytest.fixture
def token(database: Database, tenant: Tenant) -> str:
    return tokens.create(database, KEY, tenant, "okta", ["users:read", "bulk"], 30)


@pytest.fixture
def authenticator(database: Database) -> Authenticator:
    return Authenticator(database, KEY, ALL)


@pytest.fixture
def statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that the database was sent from now on."""
    sent: list[str] = []
    execute, many = database.peewee.execute_sql, database.run_many

    def run_many(sql: str, rows: Iterable[Sequence[Any]]) -> None:
        rows = list(rows)
        sent.extend(sql for _ in rows)
        many(sql, rows)

    monkeypatch.setattr(database.peewee, "execute_sql", lambda sql, p=None: (sent.append(sql), execute(sql, p))[1])
    monkeypatch.setattr(database, "run_many", run_many)
    return sent


def id_of(token: str) -> str:
    return token.split("_")[1]


class TestForm:
    def test_a_token_has_a_prefix_an_id_and_a_secret_of_256_bits_in_62_letters(self, token: str) -> None:
        assert re.fullmatch(r"scim_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", token)
        assert 62**43 > 2**256

    def test_no_two_are_alike(self, database: Database, tenant: Tenant) -> None:
        made = {tokens.create(database, KEY, tenant, "same", ["admin"], 1) for _ in range(20)}
        assert len({id_of(token) for token in made}) == 20

    def test_every_wrong_character_is_noticed_without_asking_the_database(
        self, token: str, authenticator: Authenticator, statements: list[str]
    ) -> None:
        wrong = [
            token[:at] + letter + token[at + 1 :]
            for at in range(len(token))
            for letter in ALPHABET + "_- é"
            if letter != token[at]
        ]
        assert len(wrong) > 4000
        assert [text for text in wrong if authenticator.principal(text)] == []
        assert statements == []

    @pytest.mark.parametrize("change", ["{}x", "{} ", " {}", "{}\n", "", "scim__", "Bearer {}", "{0}{0}"])
    def test_neither_is_anything_else_that_is_no_token(
        self, token: str, authenticator: Authenticator, statements: list[str], change: str
    ) -> None:
        assert authenticator.principal(change.format(token)) is None
        assert statements == []

    def test_two_swapped_characters_are_noticed(
        self, token: str, authenticator: Authenticator, statements: list[str]
    ) -> None:
        for at in range(5, len(token) - 1):
            swapped = token[:at] + token[at + 1] + token[at] + token[at + 2 :]
            assert swapped == token or authenticator.principal(swapped) is None
        assert statements == []


class TestWhatIsKept:
    def test_only_an_hmac_is_in_the_database(self, tmp_path: Path, database: Database, token: str) -> None:
        files = (path.read_bytes().decode(errors="replace") for path in tmp_path.iterdir())
        kept = "".join([*files, *kept_rows(database)])
        assert id_of(token) in kept
        assert hmac.new(KEY, token.encode(), hashlib.sha256).hexdigest() in kept
        assert token not in kept
        assert token.split("_")[2][:10] not in kept
        assert hashlib.sha256(token.encode()).hexdigest() not in kept

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("", "The token needs a name."),
            ("　", "The token needs a name."),
            ("a\nb", "The token's name contains the character U+000A, which is not allowed."),
            ("caf\udce9", "The token's name contains the character U+DCE9, which is not allowed."),
        ],
    )
    def test_a_bad_name_is_refused(self, database: Database, tenant: Tenant, name: str, sentence: str) -> None:
        with pytest.raises((TokenError, ScimError)) as raised:
            tokens.create(database, KEY, tenant, name, ["admin"], 1)
        assert str(raised.value) == sentence
        assert tokens.every(database, None) == []


class TestPrincipal:
    def test_it_says_who_calls_for_whom_and_with_which_scopes(
        self, token: str, tenant: Tenant, authenticator: Authenticator
    ) -> None:
        expected = Principal(id_of(token), tenant, frozenset({"users:read", "bulk"}))
        assert authenticator.principal(token) == expected

    def test_another_key_makes_every_token_wrong(self, database: Database, token: str) -> None:
        assert Authenticator(database, b"x" * 32, ALL).principal(token) is None

    def test_a_well_formed_token_that_was_never_made_is_refused(
        self, database: Database, tenant: Tenant, authenticator: Authenticator
    ) -> None:
        token = tokens.create(database, KEY, tenant, "gone", ["admin"], 1)
        database.run("DELETE FROM token")
        assert authenticator.principal(token) is None

    def test_the_secret_of_one_does_not_fit_the_id_of_another(
        self, database: Database, tenant: Tenant, token: str, authenticator: Authenticator
    ) -> None:
        other = tokens.create(database, KEY, tenant, "other", ["admin"], 1)
        bare = f"scim_{id_of(other)}_{token.split('_')[2][:43]}"
        assert authenticator.principal(bare + tokens._checksum(bare)) is None

    def test_what_is_remembered_is_of_this_token_and_of_its_row_as_it_is(
        self,
        database: Database,
        tenant: Tenant,
        token: str,
        authenticator: Authenticator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(tokens, "_REMEMBERED", 1)
        other = tokens.create(database, KEY, tenant, "other", ["users:read"], 1)
        for _ in range(2):
            assert {p.credential for p in map(authenticator.principal, (token, other)) if p} == {
                id_of(token),
                id_of(other),
            }
        bare = f"scim_{id_of(other)}_{token.split('_')[2][:43]}"
        assert authenticator.principal(bare + tokens._checksum(bare)) is None
        database.run("UPDATE token SET scopes = 'groups:read' WHERE id = ?", (id_of(other),))
        changed = authenticator.principal(other)
        assert changed and changed.scopes == {"groups:read"}

    @pytest.mark.parametrize("days", [0, -1])
    def test_it_is_refused_from_the_instant_it_expires(
        self, database: Database, tenant: Tenant, authenticator: Authenticator, days: int
    ) -> None:
        assert authenticator.principal(tokens.create(database, KEY, tenant, "old", ["admin"], days)) is None

    def test_it_is_refused_once_it_is_revoked(
        self, database: Database, token: str, authenticator: Authenticator
    ) -> None:
        assert authenticator.principal(token)
        tokens.revoke(database, id_of(token))
        assert authenticator.principal(token) is None

    @pytest.mark.parametrize("id", ["", "x", "%", "000000000000"])
    def test_what_does_not_exist_cannot_be_revoked(self, database: Database, token: str, id: str) -> None:
        with pytest.raises(TokenError, match=rf"^There is no token {id} that could be revoked\.$"):
            tokens.revoke(database, id)
        tokens.revoke(database, id_of(token))
        with pytest.raises(TokenError, match="that could be revoked"):
            tokens.revoke(database, id_of(token))

    def test_revoking_one_leaves_the_others(
        self, database: Database, tenant: Tenant, token: str, authenticator: Authenticator
    ) -> None:
        tokens.revoke(database, id_of(tokens.create(database, KEY, tenant, "other", ["admin"], 1)))
        assert authenticator.principal(token)

    def test_admin_implies_every_scope_and_no_other_does(self, tenant: Tenant, registry: Registry) -> None:
        for held in tokens.scope_names(registry):
            may = {
                scope for scope in tokens.scope_names(registry) if Principal("x", tenant, frozenset({held})).may(scope)
            }
            assert may == ({held} if held != "admin" else set(tokens.scope_names(registry)))


class TestScopes:
    def test_there_are_two_for_each_resource_type_and_a_few_more(self, registry: Registry) -> None:
        assert tokens.scope_names(registry) == [
            "users:read", "users:write", "groups:read", "groups:write", "services:read", "services:write",
            "bulk", "csv", "administrators", "admin",
        ]  # fmt: skip

    def test_by_default_a_token_may_do_what_provisioning_needs(self, registry: Registry) -> None:
        left_out = set(tokens.scope_names(registry)) - set(tokens.default_scopes(registry))
        assert left_out == {"csv", "administrators", "admin"}

    @pytest.mark.parametrize(
        ("given", "held"),
        [
            ([], []),
            (["users:read"], ["users:read"]),
            (["groups:*", "bulk"], ["groups:read", "groups:write", "bulk"]),
            (["services:write", "services:*", "services:write"], ["services:write", "services:read"]),
        ],
    )
    def test_a_star_stands_for_read_and_write(self, registry: Registry, given: list[str], held: list[str]) -> None:
        assert tokens.read_scopes(registry, given) == held

    @pytest.mark.parametrize(
        "scope", ["", "*", ":*", "users", "users:", "users:delete", "Users:read", "admin:*", "bulk*"]
    )
    def test_an_unknown_one_is_refused_and_the_known_ones_named(self, registry: Registry, scope: str) -> None:
        names = ", ".join(tokens.scope_names(registry))
        with pytest.raises(TokenError) as raised:
            tokens.read_scopes(registry, ["bulk", scope])
        assert str(raised.value) == f"There is no scope {scope}; the scopes are {names}."


def use(authenticator: Authenticator, token: str, *habits: str) -> None:
    """Note what a request with a token and these habits does."""
    principal = authenticator.principal(token)
    assert principal
    assert all(principal.habits.accepts(habit) for habit in habits)
    authenticator.note(principal)


class TestLastUse:
    @pytest.fixture
    def time(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        """The seconds that the authenticator believes have passed; a test sets ``passed``."""
        time = SimpleNamespace(passed=1000.0)
        monkeypatch.setattr(tokens, "time", SimpleNamespace(monotonic=lambda: time.passed))
        return time

    @staticmethod
    def writes(statements: list[str]) -> int:
        return sum(statement.startswith("UPDATE token SET last_used") for statement in statements)

    def last_used(self, database: Database, token: str) -> str | None:
        row = database.row("SELECT last_used FROM token WHERE id = ?", (id_of(token),))
        return row and row[0]

    def test_it_is_written_once_a_minute_at_most(
        self,
        database: Database,
        token: str,
        authenticator: Authenticator,
        statements: list[str],
        time: SimpleNamespace,
    ) -> None:
        use(authenticator, token)
        assert self.last_used(database, token)
        for _ in range(100):
            use(authenticator, token)
        time.passed += 59.9
        use(authenticator, token)
        assert self.writes(statements) == 1
        database.run("UPDATE token SET last_used = NULL")
        statements.clear()
        time.passed += 0.1
        use(authenticator, token)
        assert self.writes(statements) == 1
        assert self.last_used(database, token)

    def test_a_refused_token_leaves_no_trace(
        self, database: Database, token: str, authenticator: Authenticator, statements: list[str]
    ) -> None:
        tokens.revoke(database, id_of(token))
        assert authenticator.principal(token) is None
        authenticator.flush()
        assert self.writes(statements) == 0
        assert self.last_used(database, token) is None

    def test_what_is_waiting_is_written_at_the_end(
        self, database: Database, tenant: Tenant, token: str, authenticator: Authenticator, statements: list[str]
    ) -> None:
        use(authenticator, token)
        other = tokens.create(database, KEY, tenant, "other", ["admin"], 1)
        use(authenticator, other)
        assert self.last_used(database, other) is None
        authenticator.flush()
        assert self.last_used(database, other)
        authenticator.flush()
        assert self.writes(statements) == 2

    def test_an_earlier_use_never_replaces_a_later_one(
        self, database: Database, token: str, authenticator: Authenticator
    ) -> None:
        database.run("UPDATE token SET last_used = '2999-01-01T00:00:00.000'")
        use(authenticator, token)
        assert self.last_used(database, token) == "2999-01-01T00:00:00.000"

    @pytest.mark.parametrize("failure", [Unavailable("disk I/O error"), Conflict("another one's, of the same commit")])
    def test_a_write_that_fails_refuses_nobody_and_is_made_up_for(
        self,
        database: Database,
        token: str,
        authenticator: Authenticator,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        failure: Exception,
    ) -> None:
        def fail(*_: object) -> None:
            raise failure

        with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
            broken.setattr(database, "run_many", fail)
            use(authenticator, token)
        assert caplog.messages == ["uses of tokens could not be written; they are kept for later"]
        authenticator.flush()
        assert self.last_used(database, token)

    def test_habits_are_counted_with_it(
        self, database: Database, token: str, authenticator: Authenticator, time: SimpleNamespace
    ) -> None:
        use(authenticator, token, "schemas")
        use(authenticator, token, "schemas", "empty-text")
        use(authenticator, token)
        assert [(habit.name, uses) for habit, uses, _ in tokens.habits_of(database, id_of(token))] == [("schemas", 1)]
        time.passed += 60
        use(authenticator, token)
        found = [(habit.name, uses) for habit, uses, _ in tokens.habits_of(database, id_of(token))]
        assert found == [("schemas", 2), ("empty-text", 1)]

    def test_what_waits_is_written_within_a_minute_though_nobody_calls(
        self, database: Database, token: str, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "_FLUSH_SECONDS", 0.2)
        use(authenticator, token)
        use(authenticator, token, "schemas")
        assert not tokens.habits_of(database, id_of(token))
        for _ in range(100):
            if tokens.habits_of(database, id_of(token)):
                break
            sleep(0.1)
        ((habit, uses, at),) = tokens.habits_of(database, id_of(token))
        assert (habit.name, uses) == ("schemas", 1)
        assert at == self.last_used(database, token)

    def test_many_threads_write_once(
        self, database: Database, token: str, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[str] = []
        monkeypatch.setattr(database, "run_many", lambda sql, _rows: written.append(sql))

        def call() -> None:
            for _ in range(20):
                use(authenticator, token)
            database.close()

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [sql[:6] for sql in written] == ["UPDATE", "INSERT"]


def test_a_token_can_belong_to_a_user_of_its_tenant_only(database: Database, tenant: Tenant) -> None:
    other = tenants.create(database, "other", "Other Company")
    database.type_numbers(["User"])
    for owner, number in ((tenant, 1), (other, 2)):
        scope = scope_of(owner.number, 1)
        database.run(
            "INSERT INTO resource (key, scope, id, version, created, modified, user_name) VALUES (?, ?, ?, 1, '', '', ?)",
            (key_of(scope, 1), scope, f"id{number}", f"user{number}"),
        )
        database.run("INSERT INTO body (key, template) VALUES (?, '')", (key_of(scope, 1),))
    authenticator = Authenticator(database, KEY, ALL)
    for named in ("id1", "user1", "USER1"):
        principal = authenticator.principal(tokens.create(database, KEY, tenant, "me", [], 1, named))
        assert principal and principal.user == "id1"
    for named in ("id2", "user2", "nobody", ""):
        with pytest.raises(TokenError, match="no user"):
            tokens.create(database, KEY, tenant, "me", [], 1, named)
    assert [row.user_id for row in tokens.every(database, None)] == ["id1"] * 3
