"""What is left on a disk when the power goes, and what happens when the disk is full?

A VFS of SQLite over the real files: they are what the system's cache has. Beside them it keeps what the disk has for sure
(as of the last sync) and what it may have (every write since). A power cut leaves any part of the latter: sectors are
written in any order, and a write of several may be torn. A new file may be missing until it is synced, with which SQLite
syncs its directory too; one that was removed may be there again until then.
"""

import random
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import apsw
from playhouse.apsw_ext import APSWDatabase

from scim_server.storage.commits import File
from scim_server.storage.sqlite import PRAGMAS, Sqlite

_SECTOR = 512
_names = count(1)
Image = dict[str, bytes]
"""Files by their names."""


class _Kept:
    """What the disk has of one file."""

    def __init__(self, content: bytes, is_there: bool) -> None:
        self.synced = bytearray(content)
        self.waiting: list[tuple[int, bytes | None]] = []
        """Writes, by offset, and truncations."""
        self.is_there = is_there
        """The directory has it for sure."""
        self.is_removed = False

    def sync(self) -> None:
        for offset, data in self.waiting:
            _put(self.synced, offset, data)
        self.waiting.clear()

    def after_a_cut(self, chance: random.Random, share: float) -> bytes:
        """Return the file with that share of what was not synced."""
        content = bytearray(self.synced)
        for offset, data in self.waiting:
            if data is None:
                if chance.random() < share:
                    _put(content, offset, None)
                continue
            start = 0
            while start < len(data):
                end = start + _SECTOR - (offset + start) % _SECTOR
                if chance.random() < share:
                    _put(content, offset + start, data[start:end])
                start = end
        return bytes(content)


def _put(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """The files of one directory. The power is cut, or the disk is full, after some changes of files."""

    def __init__(self, directory: Path, chance: random.Random, cut_after: int | None = None) -> None:
        self.name = f"disk{next(_names)}"
        super().__init__(self.name, "")
        self.chance = chance
        self.cut_after = cut_after
        self.changes = 0
        self.room: int | None = None
        """Writes that still fit, None for any number."""
        self.left: Image | None = None
        """What a power cut left."""
        self.kept = {
            str(path): _Kept(path.read_bytes(), is_there=True)
            for path in directory.iterdir()
            if not path.name.endswith(("-shm", ".lock"))
        }

    def change(self) -> None:
        """Note that a file is about to change; here the power may go."""
        if self.changes == self.cut_after:
            self.left = self._after_a_cut()
        self.changes += 1

    def _after_a_cut(self) -> Image:
        share = self.chance.choice((0, 0.5, 0.9, self.chance.random()))
        return {
            Path(name).name: kept.after_a_cut(self.chance, share)
            for name, kept in self.kept.items()
            if (kept.is_there or self.chance.random() < share)
            and not (kept.is_removed and self.chance.random() < share)
        }

    def synced(self) -> None:
        """Note that the directory was synced."""
        for name, kept in list(self.kept.items()):
            kept.is_there = True
            if kept.is_removed:
                del self.kept[name]

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return cast("apsw.VFSFile", _File(self, name, flags))

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.change()
        super().xDelete(filename, syncdir)
        if filename in self.kept:
            self.kept[filename].is_removed = True
        if syncdir:
            self.synced()


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        kept = disk.kept.get(path)
        if kept is None or kept.is_removed:
            kept = disk.kept[path] = _Kept(b"", is_there=False)
        self.kept = kept

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.disk.room is not None:
            if not self.disk.room:
                raise apsw.FullError
            self.disk.room -= 1
        self.kept.waiting.append((offset, bytes(data)))
        self.disk.change()
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self.kept.waiting.append((newsize, None))
        self.disk.change()
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self.disk.change()
        self.kept.sync()
        if not self.kept.is_there:
            self.disk.synced()


class _Apsw(File, APSWDatabase):
    """A driver that writes times as Python's own does."""

    def _add_conn_hooks(self, conn: apsw.Connection) -> None:
        conn.convert_binding = lambda *binding: str(binding[-1])
        super()._add_conn_hooks(conn)


class DatabaseOn(Sqlite):
    """The database as the server opens it, on a disk."""

    def __init__(self, path: Path, disk: Disk, **pragmas: Any) -> None:
        self._disk, self._pragmas = disk.name, PRAGMAS | pragmas
        super().__init__(f"sqlite:///{path}")

    def _file(self) -> File:
        return _Apsw(self.name, pragmas=self._pragmas, vfs=self._disk)

    def run(self, sql: str, parameters: Any = ()) -> int:
        self.peewee.execute_sql(sql, parameters)
        return int(self.peewee.connection().changes())


class Glance(Sqlite):
    """The database as the server opens it, but what it does to the files need not last."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")

    def _file(self) -> File:
        return File(self.name, pragmas=PRAGMAS | {"synchronous": "off"})


def put_back(image: Mapping[str, bytes], directory: Path) -> None:
    """Make a directory of what a power cut left."""
    directory.mkdir()
    for name, content in image.items():
        (directory / name).write_bytes(content)
