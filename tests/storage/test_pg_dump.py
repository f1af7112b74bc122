"""What PostgreSQL's programs are told and say, and what stays when they fail."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage import backup
from scim_server.storage.backup import BackupError
from scim_server.storage.opening import open_database
from tests.cluster import Databases
from tests.server import wait_for
from tests.storage.conftest import furnished
from tests.storage.life import Life
from tests.storage.test_backup import ABOUT, ids_in, restore

Fake = Callable[[str, str], None]


@pytest.fixture(scope="module")
def lived(postgres: Databases, registry: Registry) -> Iterator[str]:
    """The URL of a database with data."""
    url = postgres.prepared()
    with closing(open_database(url)) as database:
        Life(furnished(database, registry), 1).go_on(40)
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def made(lived: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    file = tmp_path_factory.mktemp("made") / "made.backup"
    write(lived, file)
    return file


@pytest.fixture
def old(postgres: Databases, registry: Registry) -> Iterator[str]:
    """The URL of another database with other data."""
    url = postgres.prepared()
    with closing(open_database(url)) as database:
        Life(furnished(database, registry), 2).go_on(20)
    yield url
    postgres.drop(url)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Return what puts a script in the place of a program; ``$real`` is the program."""
    directory = tmp_path / "bin"
    directory.mkdir()
    programs: dict[str, str | None] = {}

    def put(program: str, script: str) -> None:
        # A second script in the same place must not take the first one for the program, and start itself for ever.
        real = programs.setdefault(program, shutil.which(program))
        (directory / program).write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
        (directory / program).chmod(0o755)
        monkeypatch.setenv("PATH", str(directory), prepend=":")

    return put


def write(url: str, file: Path) -> None:
    with closing(open_database(url)) as database:
        backup.write(database, file, ABOUT)


def refused(url: str, file: Path) -> str:
    """Return why no backup was made; nothing is left of it."""
    with pytest.raises(BackupError) as refusal:
        write(url, file)
    assert not list(file.parent.glob(f"*{file.name}*"))
    return str(refusal.value)


def with_option(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"


def test_a_password_is_in_the_environment_and_never_in_the_arguments(lived: str, tmp_path: Path, fake: Fake) -> None:
    fake("pg_dump", f'echo "$@" > {tmp_path}/arguments; env > {tmp_path}/environment; exec $real "$@"')
    url = with_option(lived, "password=s3cret%20word")
    write(url, tmp_path / "x.backup")
    assert "s3cret" not in (tmp_path / "arguments").read_text()
    assert "PGPASSWORD=s3cret word\n" in (tmp_path / "environment").read_text()


def test_the_programs_of_postgresql_must_be_there(
    lived: str, made: Path, old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids_in(old)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(lived, tmp_path / "x.backup").endswith("install the client programs of PostgreSQL.")
    with pytest.raises(BackupError, match="pg_restore cannot be run"):
        restore(old, made, replaces=True)
    assert ids_in(old) == before


def test_programs_that_are_too_old_say_so(lived: str, tmp_path: Path, fake: Fake) -> None:
    fake(
        "pg_dump",
        'echo "pg_dump: error: aborting because of server version mismatch" >&2\n'
        'echo "pg_dump: detail: server version: 18.4; pg_dump version: 15.18" >&2\nexit 1',
    )
    assert refused(lived, tmp_path / "x.backup") == (
        "pg_dump failed: aborting because of server version mismatch; server version: 18.4; pg_dump version: 15.18."
    )


def test_a_dump_that_fails_leaves_nothing_and_says_nothing_of_rows(lived: str, tmp_path: Path, fake: Fake) -> None:
    fake(
        "pg_dump",
        '$real "$@"\necho "pg_dump: error: Dumping failed" >&2\necho "pg_dump: detail: Query was: s3cret" >&2\nexit 1',
    )
    assert refused(lived, tmp_path / "x.backup") == "pg_dump failed: Dumping failed."
    fake("pg_dump", "kill -9 $$")
    assert refused(lived, tmp_path / "x.backup") == "pg_dump failed: status -9."


def test_a_dump_that_cannot_be_read_is_no_backup(lived: str, tmp_path: Path, fake: Fake) -> None:
    fake("pg_dump", 'for last; do case "$last" in --file=*) echo PGDMP > "${last#--file=}";; esac; done')
    assert refused(lived, tmp_path / "x.backup").startswith("pg_restore failed: ")


@pytest.mark.parametrize(
    "script", ['$real "$@" | head -c 60000; exit 1', '$real "$@" | head -c 60000', "exit 1", "exit 0"]
)
def test_a_restore_that_fails_on_the_way_leaves_the_old_data(
    made: Path, old: str, lived: str, fake: Fake, script: str
) -> None:
    before = ids_in(old)
    fake("pg_restore", script)
    with pytest.raises(BackupError):
        restore(old, made, replaces=True)
    assert ids_in(old) == before
    fake("pg_restore", '$real "$@" | sed "s/^COPY public.audit/COPY nothing.audit/"')
    with pytest.raises(BackupError, match="cannot be restored"):
        restore(old, made, replaces=True)
    assert ids_in(old) == before


def test_rows_that_are_missing_are_noticed(made: Path, old: str, fake: Fake) -> None:
    before = ids_in(old)
    fake("pg_restore", '$real "$@" | sed "/^COPY public.resource /,/^..$/{/^[0-9]/d}"')
    with pytest.raises(BackupError, match="The table resource has not the rows that were backed up"):
        restore(old, made, replaces=True)
    assert ids_in(old) == before


def test_a_slow_dump_is_of_one_state_whatever_the_timeouts_of_the_session(
    old: str, tmp_path: Path, fake: Fake, registry: Registry
) -> None:
    before = ids_in(old)
    with closing(open_database(old)) as database:
        users = furnished(database, registry).resources["User"]
        by = furnished(database, registry).by
        fake("pg_dump", f'touch {tmp_path}/begun; while [ -e {tmp_path}/begun ]; do sleep 0.1; done; exec $real "$@"')

        def write_meanwhile() -> None:
            wait_for((tmp_path / "begun").exists)
            users.create(by, {"userName": "late"})
            database.close()
            # Longer than the session may stand still.
            time.sleep(0.5)
            (tmp_path / "begun").unlink()

        writer = threading.Thread(target=write_meanwhile)
        writer.start()
        hurried = "options=-cidle_in_transaction_session_timeout%3D200ms%20-cstatement_timeout%3D200ms"
        with closing(open_database(with_option(old, hurried))) as slow:
            manifest = backup.write(slow, tmp_path / "x.backup", ABOUT)
        writer.join()
    assert manifest.rows["resource"] == len(before) == len(ids_in(old)) - 1
    restore(old, tmp_path / "x.backup", replaces=True)
    assert ids_in(old) == before


def test_a_server_older_than_its_programs_can_be_restored_to(made: Path, old: str, lived: str, fake: Fake) -> None:
    foreign = r"SET transaction_timeout = 0;\n\\restrict x\n"
    fake("pg_restore", f"""printf '{foreign}'; exec $real "$@" """)
    restore(old, made, replaces=True)
    assert ids_in(old) == ids_in(lived)


def test_a_backup_can_be_read_by_the_program_itself(made: Path) -> None:
    done = subprocess.run(["pg_restore", "--list", made], capture_output=True, text=True, check=True)
    assert "TABLE DATA public resource" in done.stdout


def test_who_reads_a_table_is_not_thrown_out(
    made: Path, old: str, postgres: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids_in(old)
    monkeypatch.setattr("scim_server.storage.backup.postgres._WAIT", "100ms")
    url = with_option(old, "application_name=psql")
    with closing(open_database(url)) as reader, reader.snapshot():
        reader.row("SELECT count(*) FROM resource")
        with pytest.raises(BackupError, match="in use"):
            restore(old, made, replaces=True)
    assert ids_in(old) == before


def test_a_schema_of_its_own_is_backed_up_and_restored(postgres: Databases, registry: Registry, tmp_path: Path) -> None:
    plain = postgres.empty()
    url = with_option(plain, "options=-csearch_path%3Dours")
    with closing(open_database(plain)) as database:
        database.run("CREATE SCHEMA ours")
    with closing(open_database(url)) as database:
        database.upgrade()
        Life(furnished(database, registry), 1).go_on(20)
    before = ids_in(url)
    write(url, tmp_path / "x.backup")
    with pytest.raises(BackupError, match="cannot be restored"):
        restore(plain, tmp_path / "x.backup")
    restore(url, tmp_path / "x.backup", replaces=True)
    assert ids_in(url) == before
    postgres.drop(plain)
