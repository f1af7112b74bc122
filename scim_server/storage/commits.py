"""How do those who write one SQLite file queue, and which of them share a commit?

A commit waits for the disk, and writes each page once, however many have changed it. So whoever waits for a turn
goes on with the transaction that is open, and one commit is for all of them (group commit).
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from peewee import SqliteDatabase

from scim_server.storage.database import Busy, SqlError, Unavailable, refusals
from scim_server.storage.locks import LockFile

_LONGEST = 0.01
"""Seconds after which a transaction is committed though others wait: they would wait longer than a commit takes."""


class File(SqliteDatabase):
    """peewee's view of the file: a connection per thread, with which another thread may go on."""

    _state: Any

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> sqlite3.Cursor:
        """Run a statement, about which nobody else is told: neither a log nor hooks."""
        connection = self._state.conn or self.connection()  # type: ignore[no-untyped-call]
        try:
            cursor: sqlite3.Cursor = connection.execute(sql, params or ())
        except Exception:
            with refusals:
                raise
        return cursor

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
        if not is_first:
            self._run("SAVEPOINT member")
        try:
            yield
            if not is_first:
                self._run("RELEASE member")
            self.is_empty = False
        except BaseException as error:
            if not self.connection.in_transaction:
                # With a full disk SQLite undoes everything by itself.
                self.failure = _as_told(error)
            elif not is_first:
                self._undo_member()
            raise

    def _undo_member(self) -> None:
        try:
            self._run("ROLLBACK TO member")
            # Left where it is, it would be what the next one goes back to that cannot begin.
            self._run("RELEASE member")
        except BaseException as failure:  # noqa: BLE001 -- whatever it is, half of a write would stay
            self.failure = _as_told(failure)

    def end(self) -> None:
        """Commit what is to be kept, or nothing, and let everyone know."""
        try:
            if not self.failure:
                self._run("ROLLBACK" if self.is_empty else "COMMIT")
        except BaseException as failure:
            self.failure = _as_told(failure)
            raise
        finally:
            try:
                if self.connection.in_transaction:
                    self._run("ROLLBACK")
            except BaseException as failure:
                # Who is told that the database is unavailable closes the connection, and the transaction with it.
                self.failure = Unavailable(str(_as_told(failure)))
                raise
            finally:
                self._ended.set()

    def wait(self) -> None:
        """Wait for the end. Raises what has undone everything."""
        self._ended.wait()
        if self.failure:
            raise _as_told(self.failure)

    def _run(self, sql: str) -> None:
        with refusals:
            self.connection.execute(sql)


def _as_told(error: BaseException) -> SqlError:
    """Return what everyone of a group is told of a failure: a copy, which keeps no frames and what was sent alive."""
    kind = type(error) if isinstance(error, SqlError) else Unavailable
    return kind(str(error) or type(error).__name__)


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
        group = self._joined(waits=waits)
        try:
            try:
                with self._file.continuing(group.connection), group.member():
                    yield
            finally:
                self._leave(group, waits=waits)
        except Exception:
            group.wait()
            raise
        group.wait()

    @contextmanager
    def alone(self, *, waits: bool = True) -> Iterator[None]:
        """Let no other thread or process write. Raises Busy when another one does and this one does not wait."""
        self._take_turn(waits=waits)
        try:
            if self._group:
                self._end(self._group)
            self._lock.take(waits=waits)
            try:
                yield
            finally:
                self._lock.give_back()
        finally:
            self._turn.release()

    def _take_turn(self, *, waits: bool) -> None:
        if self._file.in_transaction():
            raise RuntimeError("a transaction within another one")
        if not waits:
            if not self._turn.acquire(blocking=False):
                raise Busy
            return
        self._waiting.append(None)
        try:
            self._turn.acquire()
        finally:
            self._waiting.pop()

    def _joined(self, *, waits: bool) -> _Group:
        """Take the turn, and begin a transaction if none is open."""
        self._take_turn(waits=waits)
        try:
            return self._group or self._begin(waits=waits)
        except BaseException:
            self._turn.release()
            raise

    def _begin(self, *, waits: bool) -> _Group:
        group = _Group(self._file.connection())  # type: ignore[no-untyped-call]
        # After the lock is taken, BEGIN IMMEDIATE never fails as locked; SQLite's own waiting is not fair.
        self._lock.take(waits=waits)
        try:
            self._file.begin("IMMEDIATE")
        except BaseException:
            self._lock.give_back()
            raise
        self._group = group
        return group

    def _leave(self, group: _Group, *, waits: bool) -> None:
        """Give the turn to who waits for it, with the transaction; end that if nobody does, or it has taken long."""
        try:
            if not (waits and self._waiting and group.may_go_on):
                self._end(group)
        finally:
            self._turn.release()

    def _end(self, group: _Group) -> None:
        self._group = None
        try:
            group.end()
        finally:
            self._lock.give_back()
