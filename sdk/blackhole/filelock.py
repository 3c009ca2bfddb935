"""A lock that lives as long as its process: flock on a file that says who holds it, and since when."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

from blackhole.paths import disk_errors, open_private


class Holder(NamedTuple):
    """Who holds a lock."""

    pid: int
    since: str
    """UTC, to the second: `2026-11-28T10:25:04Z`."""

    def __str__(self) -> str:
        return f"process {self.pid} (since {self.since})"


class FileLock:
    """Held from `acquire` to `release` or the end of the process, SIGKILL included."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """True when this object now holds the lock; False when somebody else does. Raises `DiskError`."""
        if self._descriptor is not None:
            return True
        with disk_errors(self.path):
            descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        with suppress(OSError):
            # On a full disk the lock holds all the same; it only does not say by whom.
            os.ftruncate(descriptor, 0)
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            os.pwrite(descriptor, f"{os.getpid()} {since}\n".encode(), 0)
        self._descriptor = descriptor
        _held.add(self)
        return True

    def holder(self) -> Holder | None:
        """Whoever holds it, as written in the file; None when it cannot be read."""
        try:
            pid, since = self.path.read_text().split()
            return Holder(int(pid), since)
        except (OSError, ValueError):
            return None

    def release(self) -> None:
        """Give it back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


_held: WeakSet[FileLock] = WeakSet()


def _leave_to_the_parent() -> None:
    # A forked child shares the open file: it would hold the lock on after its parent's death, under the parent's pid.
    for lock in _held:
        if lock._descriptor is not None:
            os.close(lock._descriptor)
            lock._descriptor = None
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_the_parent)
