"""How are pg_dump and pg_restore run, and what do they say when they fail?"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryFile
from typing import IO, Any

from scim_server.storage.backup.engine import BackupError

_DUMPED = re.compile(b"dumping contents of table ")
_TOLD = re.compile(r"(?:: error: |: detail: (?=server version))(.*)")


@contextmanager
def dumping(to: Path, options: Sequence[str], secrets: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
    """Let pg_dump write a file; yield a line for each table that it comes to. Raises BackupError."""
    # Not synced: the seal is still to come.
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--no-sync", "--verbose", f"--file={to}"]
    said: list[bytes] = []
    with _started([*command, *options], stdin=DEVNULL, stderr=PIPE, env=secrets) as process:
        assert process.stderr
        yield filter(_DUMPED.search, _noted(process.stderr, said))
    _check("pg_dump", process, b"".join(said))


def _noted(lines: Iterable[bytes], said: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        said.append(line)
        yield line


@contextmanager
def scripting(dump: IO[bytes]) -> Iterator[IO[bytes]]:
    """Let pg_restore read a dump, and whatever stands after it; yield the SQL that restores it. Raises BackupError."""
    command = ["pg_restore", "--no-owner", "--no-privileges", "--file=-"]
    with TemporaryFile() as said:
        with _started(command, stdin=dump, stdout=PIPE, stderr=said, env={}) as process:
            assert process.stdout
            yield process.stdout
        said.seek(0)
        _check("pg_restore", process, said.read())


@contextmanager
def _started(command: list[str], *, env: Mapping[str, str], **files: Any) -> Iterator[Popen[bytes]]:
    """Start a program, and let it not outlive the block when that fails."""
    # In English, so that it can be understood here what it says.
    environment = {**os.environ, "LC_ALL": "C", **env}
    try:
        process = Popen(command, env=environment, **files)  # noqa: S603 (no shell, and no part of it from a request)
    except OSError as error:
        raise BackupError(
            f"{command[0]} cannot be run ({error.strerror}); install the client programs of PostgreSQL."
        ) from None
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _check(program: str, process: Popen[bytes], said: bytes) -> None:
    """Refuse what a program that failed has made, in its words but for what may quote rows. Raises BackupError."""
    if process.returncode:
        told = _TOLD.findall(said.decode(errors="replace")) or [f"status {process.returncode}"]
        raise BackupError(f"{program} failed: {'; '.join(told)}.")
