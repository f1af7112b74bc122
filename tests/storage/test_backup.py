"""A backup is whole or not there, and brings back everything that was acknowledged before it began."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.resources.upkeep import kinds_in
from scim_server.storage import backup, integrity
from scim_server.storage.backup import BackupError, engine
from scim_server.storage.opening import open_database
from scim_server.storage.sqlite import Sqlite, path_in
from scim_server.storage.tables import TABLES
from tests.conftest import ON_SQLITE
from tests.storage.conftest import House, house_on
from tests.storage.life import Life

MOST = 100
"""Users that a writer makes: what grows takes longer each time."""
ABOUT = {"server": "0", "at": "2026-01-31T00:00:00.000", "key": "x"}


@pytest.fixture(scope="module")
def lived(
    kind: str, tmp_path_factory: pytest.TempPathFactory, registry: Registry, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of a database with data."""
    with new(kind, tmp_path_factory.mktemp("lived") / "scim.db", request) as url:
        live(url, registry, 1, 60)
        yield url


@pytest.fixture(scope="module")
def made(lived: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    file = tmp_path_factory.mktemp("made") / "made.backup"
    with closing(open_database(lived)) as database:
        backup.write(database, file, ABOUT)
    return file


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database that has nothing, not even tables."""
    with new(kind, tmp_path / "scim.db", request) as url:
        yield url


@contextmanager
def new(kind: str, path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Make an empty database, at a path if it is a file; yield its URL."""
    if kind == "sqlite":
        yield f"sqlite:///{path}"
        return
    postgres = request.getfixturevalue("postgres")
    url = postgres.empty()
    yield url
    postgres.drop(url)


def live(url: str, registry: Registry, seed: int, steps: int) -> None:
    """Let there be data in a database."""
    with closing(open_database(url)) as database:
        Life(house_on(database, registry), seed).go_on(steps)
        if isinstance(database, Sqlite):
            database.row("PRAGMA wal_checkpoint(TRUNCATE)")


def restore(url: str, file: Path, *, replaces: bool = False) -> None:
    with closing(open_database(url)) as database:
        backup.restore(database, file, replaces=replaces)


def ids_in(url: str) -> set[str]:
    with closing(open_database(url)) as database:
        return {id for (id,) in database.rows("SELECT id FROM resource")}


class Writer(threading.Thread):
    """Creates users as fast as it can, then changes them, and notes the versions that were acknowledged."""

    def __init__(self, house: House, name: str) -> None:
        super().__init__()
        self.house = house
        self.prefix = name
        self.versions: dict[str, int] = {}
        self.is_over = threading.Event()

    def run(self) -> None:
        users = self.house.resources["User"]
        for number in range(MOST):
            body = users.create(self.house.by, self.user(number, 0)).body
            assert isinstance(body, bytes)
            self.versions[json.loads(body)["id"]] = 1
            if self.is_over.is_set():
                break
        changes = ((turn, number, id) for turn in count(1) for number, id in enumerate(self.versions))
        while not self.is_over.is_set():
            turn, number, id = next(changes)
            users.replace(self.house.by, id, self.user(number, turn))
            self.versions[id] += 1
        self.house.database.close()

    def user(self, number: int, turn: int) -> dict[str, str]:
        return {"userName": f"{self.prefix}{number}", "title": f"{turn}" + "x" * 2000}


@pytest.fixture
def writers(house: House) -> Iterator[list[Writer]]:
    started = [Writer(house, name) for name in "ab"]
    for writer in started:
        writer.start()
    yield started
    for writer in started:
        writer.is_over.set()
        writer.join()


def test_fifty_backups_under_load_restore_clean(
    house: House, writers: list[Writer], place: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Many steps of a small database, so that writers come between them.
    monkeypatch.setattr("scim_server.storage.backup.sqlite._PAGES", 20)
    for number in range(50):
        file = tmp_path / f"{number}.backup"
        acknowledged = {id: version for writer in writers for id, version in list(writer.versions.items())}
        manifest = backup.write(house.database, file, ABOUT)
        with closing(open_database(place)) as restored:
            assert backup.restore(restored, file, replaces=number > 0) == manifest
            assert list(integrity.check(restored, kinds_in(registry))) == []
            versions = dict(restored.rows("SELECT id, version FROM resource"))
        assert len(versions) == manifest.rows["resource"]
        assert all(versions[id] >= version for id, version in acknowledged.items())
        file.unlink()
    assert all(max(writer.versions.values()) > 1 for writer in writers)


def test_what_was_restored_is_written_to_as_before(made: Path, lived: str, place: str, registry: Registry) -> None:
    restore(place, made)
    assert ids_in(place) == ids_in(lived)
    with closing(open_database(place)) as database, closing(open_database(lived)) as before:
        assert database.last_numbers() == before.last_numbers()
        Life(house_on(database, registry), 3).go_on(30)
        assert list(integrity.check(database, kinds_in(registry))) == []


def test_a_backup_is_for_its_owner_only_and_replaces_nothing_unasked(lived: str, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    with closing(open_database(lived)) as database:
        backup.write(database, file, ABOUT)
        with pytest.raises(BackupError, match="exists"):
            backup.write(database, file, ABOUT)
        backup.write(database, file, ABOUT, replaces=True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x.backup"]


@ON_SQLITE
def test_the_database_is_not_replaced_by_its_backup(lived: str) -> None:
    path = path_in(lived)
    with closing(open_database(lived)) as database, pytest.raises(BackupError, match="the database itself"):
        backup.write(database, path.parent / "." / path.name, ABOUT, replaces=True)


@ON_SQLITE
def test_a_backup_can_be_looked_into(made: Path, lived: str) -> None:
    with closing(sqlite3.connect(f"file:{made}?mode=ro&immutable=1", uri=True)) as database:
        ids = {id for (id,) in database.execute("SELECT id FROM resource")}
    assert ids == ids_in(lived)
    assert backup.read(made).rows["resource"] == len(ids)


@ON_SQLITE
def test_a_damaged_database_makes_no_backup(lived: str, tmp_path: Path) -> None:
    content = bytearray(path_in(lived).read_bytes())
    content[8 * 4096] ^= 4
    (tmp_path / "scim.db").write_bytes(content)
    with (
        closing(open_database(f"sqlite:///{tmp_path / 'scim.db'}")) as database,
        pytest.raises(BackupError, match="damaged"),
    ):
        backup.write(database, tmp_path / "x.backup", ABOUT)
    assert not list(tmp_path.glob("*x.backup*"))


# What is no backup


def refuses(place: str, file: Path, content: bytes, words: str) -> None:
    """Assert that a file is refused and nothing is restored."""
    file.write_bytes(content)
    with closing(open_database(place)) as target:
        with pytest.raises(BackupError, match=words):
            backup.restore(target, file)
        assert target.applied() == []


def test_half_a_backup_is_refused(made: Path, place: str, tmp_path: Path) -> None:
    content = made.read_bytes()
    for part in (0, 0.1, 0.5, 0.9, 0.999):
        refuses(place, tmp_path / "x", content[: int(len(content) * part)], "half")
        refuses(
            place,
            tmp_path / "x",
            content[int(len(content) * (1 - part)) - 1 :] if part else content[:-1],
            "half|damaged",
        )


def test_a_backup_with_one_other_byte_is_refused(made: Path, place: str, tmp_path: Path) -> None:
    content = made.read_bytes()
    places = [
        *range(0, len(content), len(content) // 20),
        *range(len(content) - 900, len(content), 30),
        len(content) - 1,
    ]
    for at in places:
        refuses(place, tmp_path / "x", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "half|damaged")


def test_other_files_are_refused(made: Path, place: str, tmp_path: Path) -> None:
    whole = made.read_bytes()
    without_seal = whole[: whole.rindex(b"\nscim-server backup")]
    for content in (
        b"",
        b"x",
        without_seal,
        b"SQLite format 3\0" * 1000,
        b"PGDMP" * 1000,
        b"\nscim-server backup {} x\n",
    ):
        refuses(place, tmp_path / "x", content, "no backup|damaged")


def test_a_backup_of_the_other_kind_is_refused_with_advice(
    kind: str, made: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    other = "postgres" if kind == "sqlite" else "sqlite"
    with new(other, tmp_path / "scim.db", request) as url:
        refuses(url, tmp_path / "x", made.read_bytes(), f"a backup of {kind}.*scim-server db copy")


def test_a_backup_of_a_newer_release_is_refused(lived: str, place: str, tmp_path: Path) -> None:
    with closing(open_database(lived)) as database:
        later = "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')"
        database.run(later)
        backup.write(database, tmp_path / "newer.backup", ABOUT)
        database.run("DELETE FROM schema_migration WHERE name = '9999_later'")
    refuses(place, tmp_path / "x", (tmp_path / "newer.backup").read_bytes(), "is newer: it has 9999_later")


def test_a_backup_of_an_older_release_is_restored_and_can_be_upgraded(
    lived: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    with closing(open_database(place)) as older:
        older.upgrade()
        older.run("DROP TABLE outbox")
        older.run("DELETE FROM schema_migration WHERE name = '0005_outbox'")
        with monkeypatch.context() as patch:
            patch.setattr(engine, "TABLES", [table for table in TABLES if table.name != "outbox"])
            backup.write(older, tmp_path / "x.backup", ABOUT)
    # In a database that was upgraded already, too.
    live(place, registry, 2, 20)
    restore(place, tmp_path / "x.backup", replaces=True)
    with closing(open_database(place)) as restored:
        assert restored.pending() == ["0005_outbox"]
        restored.upgrade()
        assert restored.pending() == []
        assert list(integrity.check(restored, kinds_in(registry))) == []


# What is there already


def test_a_database_with_data_is_replaced_only_when_asked(
    made: Path, lived: str, place: str, registry: Registry
) -> None:
    live(place, registry, 2, 20)
    before = ids_in(place)
    with pytest.raises(BackupError, match="has data"):
        restore(place, made)
    assert ids_in(place) == before
    restore(place, made, replaces=True)
    assert ids_in(place) == ids_in(lived)


def test_a_database_just_initialised_is_replaced(made: Path, lived: str, place: str, registry: Registry) -> None:
    live(place, registry, 2, 0)
    restore(place, made)
    assert ids_in(place) == ids_in(lived)


@ON_SQLITE
def test_what_a_killed_server_left_in_its_log_does_not_come_back(
    made: Path, lived: str, place: str, tmp_path: Path, registry: Registry
) -> None:
    with closing(open_database(f"sqlite:///{tmp_path / 'old.db'}")) as database:
        Life(house_on(database, registry), 2).go_on(30)
        for ending in ("", "-wal", "-shm"):
            shutil.copy(tmp_path / f"old.db{ending}", tmp_path / f"scim.db{ending}")
    restore(place, made, replaces=True)
    assert ids_in(place) == ids_in(lived)


@ON_SQLITE
@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" * 400])
def test_what_is_no_database_is_replaced_with_its_log(
    made: Path, lived: str, place: str, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "scim.db").write_bytes(content)
    (tmp_path / "scim.db-wal").write_bytes(b"\0" * 5000)
    with pytest.raises(BackupError, match="cannot be read"):
        restore(place, made)
    assert (tmp_path / "scim.db").read_bytes() == content
    restore(place, made, replaces=True)
    assert ids_in(place) == ids_in(lived)


def test_a_database_that_somebody_has_open_is_not_replaced(made: Path, house: House, prepared_url: str) -> None:
    house.database.row("SELECT 1 FROM tenant")
    with pytest.raises(BackupError, match="in use"):
        restore(prepared_url, made, replaces=True)
    house.database.close()
    with (
        closing(open_database(prepared_url)) as writing,
        writing.transaction(),
        pytest.raises(BackupError, match="in use"),
    ):
        restore(prepared_url, made, replaces=True)


# What is killed

PROGRAM = """
import os, signal, sys
from pathlib import Path
from scim_server.storage import backup
from scim_server.storage.backup import sqlite
from scim_server.storage.opening import open_database
what, url, file, number = sys.argv[1:]
sqlite._PAGES = 10
steps = 0
def advance(_):
    global steps
    steps += 1
    if steps == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
database = open_database(url)
if what == "backup":
    backup.write(database, Path(file), {"server": "0", "at": "", "key": ""}, advance)
else:
    backup.restore(database, Path(file), advance, replaces=True)
print(steps)
"""


def killed(what: str, url: str, file: Path, step: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, what, url, str(file), str(step)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("step", [1, 3, 9])
def test_a_backup_that_is_killed_leaves_no_file_of_its_name(lived: str, tmp_path: Path, step: int) -> None:
    assert killed("backup", lived, tmp_path / "x.backup", step).returncode == -signal.SIGKILL
    assert not (tmp_path / "x.backup").exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    assert killed("backup", lived, tmp_path / "x.backup", 0).returncode == 0
    assert backup.read(tmp_path / "x.backup")


def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(
    made: Path, lived: str, place: str, registry: Registry
) -> None:
    live(place, registry, 2, 30)
    old, new = ids_in(place), ids_in(lived)
    seen, step = [], 1
    while killed("restore", place, made, step).returncode:
        with closing(open_database(place)) as database:
            assert list(integrity.check(database, kinds_in(registry))) == []
        seen.append(ids_in(place))
        step *= 2
    assert ids_in(place) == new
    assert len(seen) > 1 and seen[0] == old and all(ids in (old, new) for ids in seen)


@ON_SQLITE
def test_a_restore_that_is_killed_leaves_what_was_no_database_or_the_new_one(
    made: Path, lived: str, place: str
) -> None:
    path, step = path_in(place), 1
    path.write_text("no database")
    while killed("restore", place, made, step).returncode:
        assert path.read_text() == "no database"
        step *= 2
    assert ids_in(place) == ids_in(lived)
    assert step > 2
