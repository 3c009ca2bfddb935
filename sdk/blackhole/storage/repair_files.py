"""The shards a repair has rebuilt, on the disk until their new nodes have them.

    spool/repair-<id>/<segment>-<shard>   a shard
    spool/repair-<id>.lock                held by the process at it

What a killed repair left is swept by the next one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from blackhole.filelock import FileLock
from blackhole.paths import disk_errors, private_folder


class RepairFolder:
    """The files of one repair. Use as a context manager: leaving it removes them."""

    def __init__(self, spool: Path) -> None:
        """Raises DiskFull, DiskError."""
        self._spool = spool

    def __enter__(self) -> RepairFolder:
        self.path = self._spool / f"repair-{os.urandom(6).hex()}"
        # The lock comes first: a folder without one has no owner and is swept.
        self._lock = FileLock(self.path.with_suffix(".lock"))
        self._lock.acquire()
        private_folder(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.path.unlink(missing_ok=True)
        self._lock.release()


def sweep(spool: Path) -> None:
    """Remove what repairs that were killed have left."""
    with disk_errors(spool):
        names = {path.with_suffix("") for path in spool.glob("repair-*")}
    for folder in names:
        lock = FileLock(folder.with_suffix(".lock"))
        if lock.acquire():
            shutil.rmtree(folder, ignore_errors=True)
            lock.path.unlink(missing_ok=True)
            lock.release()


class ShardFiles:
    """Shards of one segment as they are rebuilt, a file each. Use as a context manager: leaving it closes them."""

    def __init__(self, folder: RepairFolder, segment: int, shards: Iterable[int]) -> None:
        """Raises DiskFull, DiskError."""
        self.paths = {shard: folder.path / f"{segment:05}-{shard:03}" for shard in shards}
        self._folder = folder.path
        self._descriptors: dict[int, int] = {}

    def __enter__(self) -> ShardFiles:
        with disk_errors(self._folder):
            for shard, path in self.paths.items():
                self._descriptors[shard] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return self

    def write(self, shard: int, block: memoryview) -> None:
        """The next block of a shard. Raises DiskFull, DiskError."""
        with disk_errors(self._folder):
            while block:
                block = block[os.write(self._descriptors[shard], block) :]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
