"""How do those who write one SQLite file queue, and which of them share a commit?

A commit waits for the disk, and writes each page once, however many have changed it. So whoever waits for a turn
goes on with the transaction that is open, and one commit is for all of them (group commit).
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from peewee import SqliteDatabase

from scim_server.storage.database import Busy, SqlError, refusals
from scim_server.storage.locks import LockFile

_LONGEST = 0.01
"""Seconds after which a transaction is committed though others wait: they would wait longer than a commit takes."""


class File(SqliteDatabase):
    """peewee's view of the file: a connection per thread, with which another thread may go on."""

    _state: Any

    @contextmanager
    def continuing(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Let this thread use a connection that is within a transaction."""
        own = self._state.conn
        self._state.set_connection(connection)
        self.push_transaction(self)
        try:
            yield
        finally:
            self._state.set_connection(own) if own else self._state.reset()


class _Group:
    """A transaction of one thread or of several, on the connection of the first."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.begun = time.monotonic()
        self.connection = connection
        self.is_empty = True
        """Nothing of it is to be kept."""
        self.failure: SqlError | None = None
        """What undoes all of it."""
        self._ended = threading.Event()

    @property
    def may_go_on(self) -> bool:
        is_alive = self.connection.in_transaction and not self.is_empty and not self.failure
        return is_alive and time.monotonic() - self.begun < _LONGEST

    @contextmanager
    def member(self) -> Iterator[None]:
        """Undo what the block does if it fails, and nothing before it; the first is undone with all."""
        is_first = self.is_empty
        try:
            if not is_first:
                self._run("SAVEPOINT member")
            yield
            if not is_first:
                self._run("RELEASE member")
            self.is_empty = False
        except BaseException as error:
            if not self.connection.in_transaction:
                # With a full disk SQLite undoes everything by itself.
                self.failure = error if isinstance(error, SqlError) else None
            elif not is_first:
                self._undo_member()
            raise

    def _undo_member(self) -> None:
        try:
            self._run("ROLLBACK TO member")
        except SqlError as failure:
            self.failure = failure

    def end(self) -> None:
        """Commit what is to be kept, or nothing, and let everyone know."""
        try:
            if not self.failure:
                self._run("ROLLBACK" if self.is_empty else "COMMIT")
        except SqlError as failure:
            self.failure = failure
        finally:
            if self.connection.in_transaction:
                with suppress(SqlError):
                    self._run("ROLLBACK")
            self._ended.set()

    def wait(self) -> None:
        """Wait for the end. Raises what has undone everything."""
        self._ended.wait()
        if self.failure:
            raise type(self.failure)(*self.failure.args) from self.failure

    def _run(self, sql: str) -> None:
        with refusals:
            self.connection.execute(sql)


class Commits:
    """Lets one thread of one process write at a time."""

    def __init__(self, file: File, lock: LockFile) -> None:
        self._file = file
        self._lock = lock
        self._turn = threading.Lock()
        self._waiting: deque[None] = deque()
        self._group: _Group | None = None

    @contextmanager
    def transaction(self, *, waits: bool) -> Iterator[None]:
        """Write atomically: all of the block is committed and on disk at its end, or nothing is.

        What fails is undone alone. Yet nobody goes on, not even with a refusal, before the commit of what was seen.
        Raises Busy as `alone` does, and to everyone of a group what made its commit fail.
        """
        group = None
        try:
            with self._in_turn(waits=waits):
                group = self._group or self._begin(waits=waits)
                try:
                    with self._file.continuing(group.connection), group.member():
                        yield
                finally:
                    if not (self._waiting and group.may_go_on):
                        self._end(group)
        finally:
            if group:
                group.wait()

    @contextmanager
    def alone(self, *, waits: bool = True) -> Iterator[None]:
        """Let no other thread or process write. Raises Busy when another one does and this one does not wait."""
        with self._in_turn(waits=waits):
            if self._group:
                self._end(self._group)
            self._lock.take(waits=waits)
            try:
                yield
            finally:
                self._lock.give_back()

    @contextmanager
    def _in_turn(self, *, waits: bool) -> Iterator[None]:
        if waits:
            self._waiting.append(None)
        try:
            is_ours = self._turn.acquire(blocking=waits)
        finally:
            if waits:
                self._waiting.pop()
        if not is_ours:
            raise Busy
        try:
            yield
        finally:
            self._turn.release()

    def _begin(self, *, waits: bool) -> _Group:
        # After the lock is taken, BEGIN IMMEDIATE never fails as locked; SQLite's own waiting is not fair.
        self._lock.take(waits=waits)
        try:
            self._file.begin("IMMEDIATE")
        except BaseException:
            self._lock.give_back()
            raise
        self._group = _Group(self._file.connection())  # type: ignore[no-untyped-call]
        return self._group

    def _end(self, group: _Group) -> None:
        self._group = None
        try:
            group.end()
        finally:
            self._lock.give_back()
