"""How do processes keep one another from doing the same at once? By locks of files, which end with a process."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scim_server.storage.database import Busy, Unavailable


class LockFile:
    """A file that is there to be locked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = 0, 0
        self._opening = threading.Lock()

    def take(self, *, waits: bool = True) -> None:
        """Lock the file; who waits for it is served in turn. Raises Busy if another process has it, and Unavailable."""
        descriptor = self._descriptor()
        how = fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB
        if not _is_locked(lambda: fcntl.flock(descriptor, how)):
            raise Busy

    def give_back(self) -> None:
        fcntl.flock(self._descriptor(), fcntl.LOCK_UN)

    @contextmanager
    def byte(self, offset: int) -> Iterator[bool]:
        """Lock one byte, which need not be there, unless another process has; tell whether. Raises Unavailable."""
        descriptor = self._descriptor()
        if not _is_locked(lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)):
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, offset)

    def _descriptor(self) -> int:
        # A descriptor inherited over fork shares its lock with the parent, so each process opens its own.
        with self._opening:
            process, descriptor = self._opened
            if process != os.getpid():
                try:
                    descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                except OSError as error:
                    raise Unavailable(f"{self._path}: {error.strerror}") from error
                self._opened = os.getpid(), descriptor
            return descriptor


def _is_locked(lock: Callable[[], None]) -> bool:
    """Lock, unless another process has; tell whether. Raises Unavailable."""
    try:
        lock()
    except BlockingIOError:
        return False
    except OSError as error:
        raise Unavailable(f"a lock: {error.strerror}") from error
    return True
