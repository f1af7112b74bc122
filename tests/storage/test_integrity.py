"""What is wrong in a database is found, each thing for what it is; what is right is left alone."""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scim_server import outbox, tokens
from scim_server.protocol.registry import Registry, load_registry
from scim_server.resources.upkeep import kinds_in
from scim_server.storage import integrity
from scim_server.storage.database import Database, Row
from scim_server.storage.integrity.findings import MAIL, REINDEX, RESTORE, SCHEMAS, TOKEN, Finding
from scim_server.storage.opening import open_database
from scim_server.storage.reindex import Collision, rebuild
from scim_server.storage.sqlite import Sqlite, path_in
from tests.conftest import ON_SQLITE
from tests.storage.conftest import furnished, house_on
from tests.storage.life import Life
from tests.web.test_custom_type import ENTRIES


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """All types, and one that further schemas make."""
    directory = tmp_path_factory.mktemp("schemas")
    (directory / "device.json").write_text(json.dumps(ENTRIES))
    return load_registry(directory)


@pytest.fixture(scope="module")
def sound(
    kind: str, tmp_path_factory: pytest.TempPathFactory, larger: Registry, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of a database of everything, with nothing wrong."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('sound') / 'scim.db'}"
        live(url, larger)
        yield url
        return
    postgres = request.getfixturevalue("postgres")
    url = postgres.empty()
    live(url, larger)
    yield url
    postgres.drop(url)


def live(url: str, registry: Registry) -> None:
    """Let a new database have rows in every table that this looks at."""
    mail = {"SCIM_SMTP_URL": "smtp://127.0.0.1:25?starttls=off", "SCIM_MAIL_FROM": "a@example.com"}
    with closing(open_database(url)) as database:
        house = house_on(database, registry, **mail)
        life = Life(house, 4)
        life.go_on(150)
        group, inner = life.house.resources["Group"], []
        for name in ("Outer", "Inner"):
            made = group.create(life.house.by, {"displayName": name, "members": inner})
            inner = [{"value": json.loads(made.body)["id"]}]
        life.lose_a_member()
        user = life.ids["User"][0]
        tokens.create(database, b"k" * 32, house.by.tenant, "bound", ["users:read"], 1, user)
        with database.transaction():
            outbox.queue(database, house.by.tenant.number, "example.com", [user])
            database.run("INSERT INTO habit SELECT id, 'x', 1, created FROM token")
            database.run("INSERT INTO password SELECT key, 'x' FROM resource WHERE id = ?", (user,))


@pytest.fixture
def copied(kind: str, sound: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    if kind == "sqlite":
        shutil.copy(path_in(sound), tmp_path / "scim.db")
        with closing(Sqlite(f"sqlite:///{tmp_path / 'scim.db'}")) as database:
            yield database
        return
    postgres = request.getfixturevalue("postgres")
    url = postgres.empty(urlsplit(sound).path[1:], "")
    with closing(open_database(url)) as database:
        yield database
    postgres.drop(url)


def found(database: Database, registry: Registry) -> list[Finding]:
    return list(integrity.check(database, kinds_in(registry)))


def test_nothing_is_wrong_with_a_sound_database(copied: Database, larger: Registry) -> None:
    assert found(copied, larger) == []


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_leaves_nothing_wrong(prepared: Database, larger: Registry, seed: int) -> None:
    Life(furnished(prepared, larger), seed).go_on(120)
    assert found(prepared, larger) == []


USER = "(SELECT min(r.key) FROM resource r JOIN value v ON v.resource = r.key WHERE r.title IS NOT NULL AND r.user_name IS NOT NULL)"
GROUP = "(SELECT min(source) FROM reference)"


def replaced(key: str, old: str, new: str) -> tuple[str, str]:
    """Return the statements that replace a text in a body, SQLite's and PostgreSQL's."""
    text = f"replace(CAST(template AS TEXT), '{old}', '{new}')"
    # A body has NUL, which no text of PostgreSQL has.
    bytes_ = f"decode(replace(encode(template, 'hex'), '{old.encode().hex()}', '{new.encode().hex()}'), 'hex')"
    return tuple(f"UPDATE body SET template = {new} WHERE key = {key}" for new in (f"CAST({text} AS BLOB)", bytes_))


# What is done to the database, by SQLite and PostgreSQL each if they differ (None: it cannot be done there); the table
# that a finding must name; what mends it.
DAMAGES = {
    "a column": (f"UPDATE resource SET title = 'x' WHERE key = {USER}", "resource", REINDEX),
    "an empty column": (f"UPDATE resource SET user_name = NULL WHERE key = {USER}", "resource", REINDEX),
    "a display": (f"UPDATE resource SET display = 'x' WHERE key = {USER}", "resource", REINDEX),
    "a scope": (f"UPDATE resource SET scope = scope + 1 WHERE key = {USER}", "resource", REINDEX),
    "a value": (f"UPDATE value SET key = key || 'x' WHERE resource = {USER}", "value", REINDEX),
    "a value too many": (f"INSERT INTO value SELECT key, 5, 0, scope, 'x' FROM resource WHERE key = {USER}", "value", REINDEX),
    "a missing value": (f"DELETE FROM value WHERE resource = {USER}", "value", REINDEX),
    "a value's scope": (f"UPDATE value SET scope = 0 WHERE resource = {USER}", "value", REINDEX),
    "a value of nobody": ("INSERT INTO value VALUES (5, 5, 0, 0, 'x')", "value", REINDEX),
    "a missing unique key": (f"DELETE FROM unique_key WHERE resource = {USER}", "unique_key", REINDEX),
    "a unique key of another": (f"UPDATE unique_key SET resource = {GROUP} WHERE resource = {USER}", "unique_key", REINDEX),
    "a unique key too many": (f"INSERT INTO unique_key SELECT scope, attribute, 'x', resource FROM unique_key WHERE resource = {USER}", "unique_key", REINDEX),
    "a unique key of nobody": ("INSERT INTO unique_key SELECT scope, attribute, 'x', 5 FROM unique_key LIMIT 1", "unique_key", REINDEX),
    "a unique key of no policy": (f"INSERT INTO unique_key SELECT scope, 5, 'x', resource FROM unique_key WHERE resource = {USER}", "unique_key", REINDEX),
    "a total": ("UPDATE collection SET total = total + 1", "collection", REINDEX),
    "a next number": ("UPDATE collection SET next = 1", "collection", REINDEX),
    "a missing collection": ("DELETE FROM collection", "collection", REINDEX),
    "a gram": (("INSERT INTO gram (rowid, grams) VALUES (70000, 'gaa')", "INSERT INTO gram VALUES (70000, '{gaa}')"), "gram", REINDEX),
    "grams that wait for nothing": ("DELETE FROM gram_pending", "gram", REINDEX),
    "grams from before": (f"INSERT INTO gram_pending VALUES ({USER}, 'gaa') ON CONFLICT (key) DO UPDATE SET indexed = excluded.indexed", "gram", REINDEX),
    "the index of grams": (("DELETE FROM gram_data", "DELETE FROM gram"), "gram", REINDEX),
    "the form of the index of grams": (("UPDATE gram_data SET block = x'ff'", None), "gram", REINDEX),
    "the version of the index of grams": (("DELETE FROM gram_config", None), "gram", REINDEX),
    "an index": ("DROP INDEX resource_id", "The database", REINDEX),
    "an index's SQL": ("DROP INDEX resource_id; CREATE INDEX resource_id ON resource (id)", "The database", REINDEX),
    "a tombstone's scope": ("UPDATE tombstone SET scope = 0", "tombstone", REINDEX),
    "a missing body": (f"DELETE FROM body WHERE key = {USER}", "resource", RESTORE),
    "a missing resource": (f"DELETE FROM resource WHERE key = {USER}", "body", RESTORE),
    "a body": ((f"UPDATE body SET template = x'7b7d' WHERE key = {USER}", f"UPDATE body SET template = '{{}}' WHERE key = {USER}"), "body", RESTORE),
    "half a body": (f"UPDATE body SET template = substr(template, 1, 40) WHERE key = {USER}", "body", RESTORE),
    "a body's type": ((f"UPDATE body SET template = cast(template AS TEXT) WHERE key = {USER}", None), "body", RESTORE),
    "a body's holes": ((f"UPDATE body SET template = CAST(substr(template, 1, length(template) - 4) || '}}' AS BLOB) WHERE key = {USER}", f"UPDATE body SET template = substr(template, 1, length(template) - 4) || '}}' WHERE key = {USER}"), "body", RESTORE),
    "a body's schemas": (replaced(USER, "core:2.0:User", "core:2.0:Spy"), "body", RESTORE),
    "a body's members": (replaced(GROUP, '"displayName"', '"members":[],"displayName"'), "body", RESTORE),
    "a body's password": (replaced(USER, '"userName"', '"password":"x","userName"'), "body", RESTORE),
    "another's body": (f"UPDATE body SET template = (SELECT template FROM body WHERE key = {GROUP}) WHERE key = {USER}", "body", RESTORE),
    "an id": (f"UPDATE resource SET id = 'x' WHERE key = {USER}", "body", RESTORE),
    "a version": (f"UPDATE resource SET version = 0 WHERE key = {USER}", "resource", RESTORE),
    "a time": (f"UPDATE resource SET modified = '2026' WHERE key = {USER}", "resource", RESTORE),
    "an order of times": (f"UPDATE resource SET modified = '1999-01-01T00:00:00.000' WHERE key = {USER}", "resource", RESTORE),
    "a tenant": (("UPDATE tenant SET number = 2", None), "resource", RESTORE),
    "a type": ("UPDATE resource_type SET number = number + 10", "resource", RESTORE),
    "a type's name": ("UPDATE resource_type SET name = 'Robot' WHERE name = 'User'", "resource", SCHEMAS),
    "a member": (f"INSERT INTO reference SELECT DISTINCT source, attribute, 5 FROM reference WHERE source = {GROUP}", "reference", RESTORE),
    "a holder of members": (f"UPDATE reference SET source = 5 WHERE source = {GROUP}", "reference", RESTORE),
    "a member of a member": ("INSERT INTO reference SELECT target, attribute, source FROM reference WHERE source >> 34 = target >> 34", "reference", RESTORE),
    "an attribute of members": ("UPDATE reference SET attribute = 5", "reference", RESTORE),
    "a service as member": ("UPDATE reference SET attribute = (SELECT min(attribute) FROM reference WHERE target >> 34 = 65) WHERE target >> 34 <> 65", "reference", RESTORE),
    "a password of nobody": ("INSERT INTO password VALUES (5, 'x')", "password", RESTORE),
    "a token of nobody": ("UPDATE token SET user_id = 'x'", "token", TOKEN),
    "a token of no tenant": (("UPDATE token SET tenant = 5", None), "token", RESTORE),
    "a habit of no token": (("UPDATE habit SET token = 'x'", None), "habit", RESTORE),
    "mail to nobody": ("UPDATE outbox SET resource_id = 'x'", "outbox", MAIL),
    "a tombstone of the living": (f"UPDATE tombstone SET id = (SELECT id FROM resource WHERE key = {USER}) WHERE key = (SELECT min(key) FROM tombstone)", "tombstone", RESTORE),
    "a tombstone's body": (("UPDATE tombstone SET template = x'00'", "UPDATE tombstone SET template = '\\x00'"), "tombstone", RESTORE),
    "a lost reference of nobody": ("UPDATE lost_reference SET target = target + 100000", "lost_reference", RESTORE),
    "a lost reference of another tenant": ("UPDATE lost_reference SET target = target + (1 << 40)", "lost_reference", RESTORE),
    "a lost reference of the living": ("INSERT INTO lost_reference SELECT * FROM reference", "lost_reference", RESTORE),
    "a lost reference of no attribute": ("UPDATE lost_reference SET attribute = 5", "lost_reference", RESTORE),
    "a tombstone's time": ("UPDATE tombstone SET deleted = '1999-01-01T00:00:00.000'", "tombstone", RESTORE),
    "a tombstone's version": (("UPDATE tombstone SET version = 'x'", "UPDATE tombstone SET version = 0"), "tombstone", RESTORE),
    "an audit's tenant": ("UPDATE audit SET tenant = 5", "audit", RESTORE),
    "an audit's type": ("UPDATE audit SET resource_type = 'Robot'", "audit", RESTORE),
    "an audit's time": ("UPDATE audit SET at = 'now'", "audit", RESTORE),
    "a column of a table": ("ALTER TABLE password ADD COLUMN hint TEXT", "The database", RESTORE),
    "a table": ("DROP TABLE habit", "The database", RESTORE),
    "the index of the index of grams": ((None, "DROP INDEX gram_grams"), "The database", REINDEX),
    "a foreign key": ((None, "ALTER TABLE habit DROP CONSTRAINT habit_token_fkey"), "The database", RESTORE),
    "a uniqueness": ((None, "ALTER TABLE tombstone DROP CONSTRAINT tombstone_id_key"), "The database", RESTORE),
    "a column's type": ((None, "ALTER TABLE password ALTER hash TYPE VARCHAR"), "The database", RESTORE),
    "a tombstone without a time": ((None, "ALTER TABLE tombstone ALTER created DROP NOT NULL; UPDATE tombstone SET created = NULL"), "tombstone", RESTORE),
    "the numbers of a table": ((None, "ALTER TABLE audit ALTER number DROP IDENTITY"), "The database", RESTORE),
}  # fmt: skip


def statements_of(name: str, kind: str) -> str | None:
    """Return what is done to a kind of database."""
    statements = DAMAGES[name][0]
    return statements if isinstance(statements, str) else statements[kind == "postgres"]


EACH = pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("sqlite", "postgres") for name in DAMAGES if statements_of(name, kind)],
    indirect=["kind"],
    scope="session",
)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("half a body", "the body cannot be read"),
        ("a body's holes", "the body has not the holes that are filled when it is read"),
        ("a body's schemas", "schemas does not list what is in use"),
        ("a body's members", "it holds members, which is kept elsewhere"),
        ("a body's password", "it holds password, which is kept elsewhere"),
        ("a missing unique key", "its userName is not known as taken"),
    ],
)
def test_a_finding_says_what_is_wrong_and_no_value(
    kind: str, copied: Database, larger: Registry, name: str, problem: str
) -> None:
    damage(copied, statements_of(name, kind))
    (finding, *_) = found(copied, larger)
    assert finding.problem == problem
    assert str(finding) == f"{finding.table} {finding.row}: {problem}; {finding.mend}."


def test_what_is_written_meanwhile_is_not_taken_for_damage(prepared: Database, larger: Registry) -> None:
    house = furnished(prepared, larger)
    lives = [Life(house, seed) for seed in (7, 8)]

    def go_on(life: Life) -> None:
        life.go_on(60)
        prepared.close()

    threads = [threading.Thread(target=go_on, args=(life,)) for life in lives]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert found(prepared, larger) == []
    assert found(prepared, larger) == []


def damage(database: Database, statements: str | None) -> None:
    """Run statements, which change something."""
    assert statements
    for statement in statements.split("; "):
        assert database.run(statement) > 0 or statement.startswith(("DROP", "CREATE", "ALTER"))


@EACH
def test_each_damage_is_found_and_rebuilding_mends_what_is_derived_and_nothing_else(
    kind: str, copied: Database, larger: Registry, name: str
) -> None:
    before = kept(copied)
    _, table, mend = DAMAGES[name]
    damage(copied, statements_of(name, kind))
    damaged = kept(copied)
    findings = found(copied, larger)
    assert any((finding.table, finding.mend) == (table, mend) for finding in findings), findings
    if name not in BEYOND_REBUILDING:
        rebuild(copied, kinds_in(larger))
    left = [finding for finding in found(copied, larger) if finding.mend == REINDEX]
    assert left == [] or name in BEYOND_REBUILDING
    if mend == REINDEX:
        assert found(copied, larger) == []
        assert kept(copied) == before
    else:
        assert kept(copied) == damaged
        assert found(copied, larger) != []


BEYOND_REBUILDING = {
    "a tenant",
    "a type",
    "a type's name",
    "another's body",
    "a column of a table",
    "a table",
    "a foreign key",
    "a uniqueness",
    "a column's type",
    "the numbers of a table",
}


def kept(database: Database) -> list[list[tuple[object, ...]]]:
    """Return what is not derived."""
    tables = ("body", "reference", "password", "tenant", "token", "outbox", "audit")
    resources = "SELECT key, id, version, created, modified FROM resource"
    return [
        sorted(database.rows(sql), key=repr) for sql in (*(f"SELECT * FROM {table}" for table in tables), resources)
    ]


def test_rebuilding_refuses_resources_that_would_have_the_same_unique_value(copied: Database, larger: Registry) -> None:
    (first, second) = copied.rows(
        "SELECT r.key, r.id FROM resource r WHERE user_name IS NOT NULL ORDER BY r.key LIMIT 2"
    )
    (template,) = copied.row("SELECT template FROM body WHERE key = ?", (first[0],)) or (b"",)
    with copied.transaction():
        copied.run(
            "UPDATE body SET template = ? WHERE key = ?",
            (template.replace(first[1].encode(), second[1].encode()), second[0]),
        )
        copied.run("DELETE FROM value")
    with pytest.raises(Collision, match=f"{first[1]} and {second[1]}"):
        rebuild(copied, kinds_in(larger))
    assert copied.rows("SELECT * FROM value") == []


def test_rebuilding_leaves_a_type_without_a_schema_alone(
    copied: Database, registry: Registry, larger: Registry
) -> None:
    assert {finding.mend for finding in found(copied, registry)} == {SCHEMAS}
    rebuild(copied, kinds_in(registry))
    assert found(copied, larger) == []


@pytest.mark.parametrize(
    ("table", "read"),
    [
        ("tombstone", "template FROM tombstone"),
        ("resource", "FROM resource r LEFT JOIN body"),
        ("unique_key", "FROM unique_key u LEFT JOIN"),
    ],
)
def test_looking_at_a_damaged_table_has_an_end(copied: Database, larger: Registry, table: str, read: str) -> None:
    rows, again = copied.rows, []

    def never_ends(sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        if read not in sql:
            return rows(sql, parameters)
        again[:] = again or rows(sql, parameters)[:1] * 500
        return again

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copied, "rows", never_ends)
        findings = list(islice(integrity.check(copied, kinds_in(larger)), 10_000))
    assert again
    assert f"it cannot be read: the rows of {table} are not in the order of their keys" in {
        finding.problem for finding in findings
    }


@ON_SQLITE
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_file_that_lacks_its_end_is_found(copied: Database, larger: Registry, part: float) -> None:
    copied.close()
    os.truncate(copied.path, int(copied.path.stat().st_size * part))
    assert found(copied, larger)


def changed_at(database: Database, whole: bytes, at: int, registry: Registry) -> list[Finding]:
    """Return what is found when one byte of the file is another."""
    database.close()
    database.path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
    return found(database, registry)


@ON_SQLITE
def test_a_changed_byte_of_a_page_s_head_is_found(copied: Database, larger: Registry) -> None:
    copied.run("VACUUM")
    copied.row("PRAGMA wal_checkpoint(TRUNCATE)")
    copied.close()
    whole = copied.path.read_bytes()
    pages = range(1, len(whole) // 4096, len(whole) // 4096 // 12)
    assert all(changed_at(copied, whole, page * 4096, larger) for page in pages)


@ON_SQLITE
def test_a_changed_letter_of_an_id_is_found_wherever_it_is(copied: Database, larger: Registry) -> None:
    ((id,),) = copied.rows("SELECT id FROM resource WHERE title IS NOT NULL LIMIT 1")
    copied.close()
    whole = copied.path.read_bytes()
    hits = [bool(changed_at(copied, whole, place.start(), larger)) for place in re.finditer(id.encode(), whole)]
    # In the row, its index and the body; nothing repeats what the audit says.
    assert hits.count(True) >= 3
