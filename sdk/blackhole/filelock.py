"""A lock that lives as long as its process: flock on a file that holds the owner's pid."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from blackhole.paths import disk_errors, open_private


class FileLock:
    """Held from `acquire` to `release` or the end of the process, SIGKILL included."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._pid = 0

    def acquire(self) -> bool:
        """True when this object now holds the lock; False when somebody else does. Raises `DiskError`."""
        if self._descriptor is not None:
            return self._pid == os.getpid()
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
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor, self._pid = descriptor, os.getpid()
        return True

    def holder(self) -> int | None:
        """The pid of whoever holds it, as written in the file; None when it cannot be read."""
        try:
            return int(self.path.read_text().strip())
        except (OSError, ValueError):
            return None

    def release(self) -> None:
        """Give it back. A forked child closes its copy only: the lock stays with the parent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if self._pid == os.getpid():
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
