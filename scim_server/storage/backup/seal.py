"""How is a file known as a whole backup?

By its last line: what it is, and a hash of everything before the hash. A file without that line is no backup, or half
of one.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from scim_server.storage.backup.engine import BackupError

_MARK = b"\nscim-server backup "
_LONGEST_MARK = 64 * 1024
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is: the database's engine, the server that made it, when, its migrations, the rows of each table.

    ``key`` tells server keys apart without telling anything of them.
    """

    engine: str
    server: str
    at: str
    key: str
    migrations: list[str]
    rows: dict[str, int]


def seal(path: Path, manifest: Manifest) -> None:
    """Add the line that makes a backup of a dump, and let all of it be on the disk."""
    line = _MARK + json.dumps(asdict(manifest)).encode() + b" "
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size)
        digest.update(line)
        file.write(line + digest.hexdigest().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Manifest:
    """Return what a whole backup is. Raises BackupError for half ones, damaged ones and other files."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_MARK))
        end = file.read()
        at = end.rfind(_MARK)
        if at < 0:
            raise BackupError(f"{path} is no backup, or only half of one.")
        text, _, sealed = end[at:].rpartition(b" ")
        file.seek(0)
        digest = _digest(file, size - len(end) + at + len(text) + 1)
        if sealed != digest.hexdigest().encode() + b"\n":
            raise BackupError(f"{path} is damaged, or only half of a backup.")
    return Manifest(**json.loads(text.removeprefix(_MARK)))


def _digest(file: IO[bytes], size: int) -> Any:
    """Return a hash of the next bytes of a file."""
    digest = hashlib.sha256()
    while size and (piece := file.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest
