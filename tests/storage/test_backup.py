"""A backup is whole or not there, and brings back everything that was acknowledged before it began."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.resources.upkeep import kinds_in
from scim_server.storage import backup, integrity
from scim_server.storage.backup import BackupError, engine
from scim_server.storage.database import Database
from scim_server.storage.sqlite import Sqlite
from scim_server.storage.tables import TABLES
from tests.storage.conftest import House, housed
from tests.storage.life import Life

ABOUT = {"server": "0", "at": "2026-01-31T00:00:00.000", "key": "x"}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """A database with data."""
    path = tmp_path_factory.mktemp("lived") / "scim.db"
    with housed(path, registry) as house:
        Life(house, 1).go_on(60)
        house.database.row("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(scope="module")
def made(lived: Path) -> Path:
    """A backup of it."""
    file = lived.with_name("made.backup")
    with closing(opened(lived)) as database:
        backup.write(database, file, ABOUT)
    return file


def opened(path: Path) -> Database:
    return Sqlite(f"sqlite:///{path}")


def ids_in(path: Path) -> set[str]:
    with closing(opened(path)) as database:
        return {id for (id,) in database.rows("SELECT id FROM resource")}


class Writer(threading.Thread):
    """Creates users as fast as it can, and notes the ids of those that were acknowledged."""

    def __init__(self, house: House, name: str) -> None:
        super().__init__()
        self.house = house
        self.prefix = name
        self.ids: list[str] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        users, number = self.house.resources["User"], 0
        while not self.is_over.is_set():
            number += 1
            body = users.create(self.house.by, {"userName": f"{self.prefix}{number}", "title": "x" * 2000}).body
            assert isinstance(body, bytes)
            self.ids.append(json.loads(body)["id"])
        self.house.database.close()


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
    house: House, writers: list[Writer], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Many steps of a small database, so that writers come between them.
    monkeypatch.setattr("scim_server.storage.backup.sqlite._PAGES", 20)
    for number in range(50):
        file, place = tmp_path / f"{number}.backup", tmp_path / f"{number}.db"
        acknowledged = {id for writer in writers for id in list(writer.ids)}
        manifest = backup.write(house.database, file, ABOUT)
        with closing(opened(place)) as restored:
            assert backup.restore(restored, file) == manifest
            assert list(integrity.check(restored, kinds_in(registry))) == []
            assert manifest.rows["resource"] == restored.rows("SELECT count(*) FROM resource")[0][0]
        assert ids_in(place) >= acknowledged
    assert all(writer.ids for writer in writers)


def test_a_backup_is_for_its_owner_only_and_replaces_nothing_unasked(lived: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    with closing(opened(lived)) as database:
        backup.write(database, file, ABOUT)
        with pytest.raises(BackupError, match="exists"):
            backup.write(database, file, ABOUT)
        backup.write(database, file, ABOUT, replaces=True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x.backup"]


def test_the_database_is_not_replaced_by_its_backup(lived: Path) -> None:
    with closing(opened(lived)) as database, pytest.raises(BackupError, match="the database itself"):
        backup.write(database, lived.parent / "." / "scim.db", ABOUT, replaces=True)


def test_a_backup_can_be_looked_into(made: Path, lived: Path) -> None:
    with closing(sqlite3.connect(f"file:{made}?mode=ro&immutable=1", uri=True)) as database:
        ids = {id for (id,) in database.execute("SELECT id FROM resource")}
    assert ids == ids_in(lived)
    assert backup.read(made).rows["resource"] == len(ids)


def test_a_damaged_database_makes_no_backup(lived: Path, tmp_path: Path) -> None:
    shutil.copy(lived, tmp_path / "scim.db")
    content = bytearray(lived.read_bytes())
    content[8 * 4096] ^= 4
    (tmp_path / "scim.db").write_bytes(content)
    with closing(opened(tmp_path / "scim.db")) as database, pytest.raises(BackupError, match="damaged"):
        backup.write(database, tmp_path / "x.backup", ABOUT)
    assert not list(tmp_path.glob("*x.backup*"))


# What is no backup


def refuses(tmp_path: Path, content: bytes, words: str) -> None:
    """Assert that a file is refused and nothing is restored."""
    (tmp_path / "x.backup").write_bytes(content)
    target = opened(tmp_path / "scim.db")
    with pytest.raises(BackupError, match=words):
        backup.restore(target, tmp_path / "x.backup")
    assert target.applied() == []


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 0.999])
def test_half_a_backup_is_refused(made: Path, tmp_path: Path, part: float) -> None:
    content = made.read_bytes()
    refuses(tmp_path, content[: int(len(content) * part)], "half")
    refuses(tmp_path, content[int(len(content) * (1 - part)) - 1 :] if part else content[:-1], "half|damaged")


def test_a_backup_with_one_other_byte_is_refused(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    places = [
        *range(0, len(content), len(content) // 20),
        *range(len(content) - 900, len(content), 30),
        len(content) - 1,
    ]
    for at in places:
        refuses(tmp_path, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "half|damaged")


def test_other_files_are_refused(lived: Path, tmp_path: Path) -> None:
    for content in (b"", b"x", lived.read_bytes(), b"SQLite format 3\0" * 1000, b"\nscim-server backup {} x\n"):
        refuses(tmp_path, content, "no backup|damaged")


def test_a_backup_of_a_newer_release_is_refused(lived: Path, tmp_path: Path) -> None:
    shutil.copy(lived, tmp_path / "newer.db")
    with closing(opened(tmp_path / "newer.db")) as database:
        database.run("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')")
        backup.write(database, tmp_path / "newer.backup", ABOUT)
    refuses(tmp_path, (tmp_path / "newer.backup").read_bytes(), "is newer: it has 9999_later")


def test_a_backup_of_an_older_release_is_restored_and_can_be_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = opened(tmp_path / "older.db")
    older.upgrade()
    older.run("DROP TABLE outbox")
    older.run("DELETE FROM schema_migration WHERE name = '0005_outbox'")
    monkeypatch.setattr(engine, "TABLES", [table for table in TABLES if table.name != "outbox"])
    backup.write(older, tmp_path / "x.backup", ABOUT)
    restored = opened(tmp_path / "scim.db")
    backup.restore(restored, tmp_path / "x.backup")
    assert restored.pending() == ["0005_outbox"]
    restored.upgrade()
    assert restored.pending() == []


# What is there already


def test_a_database_with_data_is_replaced_only_when_asked(
    made: Path, lived: Path, tmp_path: Path, registry: Registry
) -> None:
    with housed(tmp_path / "scim.db", registry) as house:
        Life(house, 2).go_on(20)
    before = ids_in(tmp_path / "scim.db")
    target = opened(tmp_path / "scim.db")
    with pytest.raises(BackupError, match="has data"):
        backup.restore(target, made)
    assert ids_in(tmp_path / "scim.db") == before
    backup.restore(target, made, replaces=True)
    assert ids_in(tmp_path / "scim.db") == ids_in(lived)


def test_a_database_just_initialised_is_replaced(made: Path, lived: Path, tmp_path: Path, registry: Registry) -> None:
    with housed(tmp_path / "scim.db", registry):
        pass
    backup.restore(opened(tmp_path / "scim.db"), made)
    assert ids_in(tmp_path / "scim.db") == ids_in(lived)


def test_what_a_killed_server_left_in_its_log_does_not_come_back(
    made: Path, lived: Path, tmp_path: Path, registry: Registry
) -> None:
    with housed(tmp_path / "old.db", registry) as house:
        Life(house, 2).go_on(30)
        for ending in ("", "-wal", "-shm"):
            shutil.copy(tmp_path / f"old.db{ending}", tmp_path / f"scim.db{ending}")
    backup.restore(opened(tmp_path / "scim.db"), made, replaces=True)
    assert ids_in(tmp_path / "scim.db") == ids_in(lived)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" * 400])
def test_what_is_no_database_is_replaced_with_its_log(made: Path, lived: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scim.db").write_bytes(content)
    (tmp_path / "scim.db-wal").write_bytes(b"\0" * 5000)
    target = opened(tmp_path / "scim.db")
    with pytest.raises(BackupError, match="cannot be read"):
        backup.restore(target, made)
    assert (tmp_path / "scim.db").read_bytes() == content
    backup.restore(target, made, replaces=True)
    assert ids_in(tmp_path / "scim.db") == ids_in(lived)


def test_a_database_that_somebody_has_open_is_not_replaced(made: Path, house: House) -> None:
    house.database.row("SELECT 1 FROM tenant")
    with pytest.raises(BackupError, match="in use"):
        backup.restore(opened(house.database.path), made, replaces=True)
    house.database.close()
    with (
        closing(opened(house.database.path)) as writing,
        writing.transaction(),
        pytest.raises(BackupError, match="in use"),
    ):
        backup.restore(opened(house.database.path), made, replaces=True)


# What is killed

PROGRAM = """
import os, signal, sys
from pathlib import Path
from scim_server.storage import backup
from scim_server.storage.backup import sqlite
from scim_server.storage.database import Database
from scim_server.storage.sqlite import Sqlite
what, where, file, number = sys.argv[1:]
sqlite._PAGES = 10
steps = 0
def advance(_):
    global steps
    steps += 1
    if steps == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
database = Sqlite(f"sqlite:///{where}")
if what == "backup":
    backup.write(database, Path(file), {"server": "0", "at": "", "key": ""}, advance)
else:
    backup.restore(database, Path(file), advance, replaces=True)
print(steps)
"""


def killed(what: str, where: Path, file: Path, step: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, what, str(where), str(file), str(step)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("step", [1, 3, 9])
def test_a_backup_that_is_killed_leaves_no_file_of_its_name(lived: Path, tmp_path: Path, step: int) -> None:
    assert killed("backup", lived, tmp_path / "x.backup", step).returncode == -signal.SIGKILL
    assert not (tmp_path / "x.backup").exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    assert killed("backup", lived, tmp_path / "x.backup", 0).returncode == 0
    assert backup.read(tmp_path / "x.backup")


@pytest.mark.parametrize("content", ["older data", "no database"])
def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(
    made: Path, lived: Path, tmp_path: Path, registry: Registry, content: str
) -> None:
    path = tmp_path / "scim.db"
    with housed(tmp_path / "old.db", registry) as house:
        Life(house, 2).go_on(30)
    old, new = ids_in(tmp_path / "old.db"), ids_in(lived)
    step = 1
    while True:
        path.write_text(content) if content == "no database" else shutil.copy(tmp_path / "old.db", path)
        done = killed("restore", path, made, step)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        if content == "no database" and step == 1:
            assert path.read_text() == content
        elif content != "no database":
            with closing(opened(path)) as database:
                assert ids_in(path) in (old, new)
                assert list(integrity.check(database, kinds_in(registry))) == []
        step = step * 2
    assert ids_in(path) == new
    assert step > 2
