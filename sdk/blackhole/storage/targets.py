"""Where `get` puts an object: a file that appears whole or not at all, a stream, or memory."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import BinaryIO, Protocol

from blackhole.errors import DiskError, DiskFull, InputError


class Target(Protocol):
    """Takes verified bytes in order."""

    def write(self, data: bytes) -> None: ...
    def commit(self) -> None:
        """Everything came: make it visible."""
        ...

    def abandon(self) -> None:
        """Something failed: leave no trace."""
        ...


class FileTarget:
    """Writes under a temporary name in the same folder; after the last byte fsync, then the name it shall have."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self._overwrite = overwrite
        if path.is_dir():
            raise InputError(f"{path} is a folder.", hint=f"Name a file in it: -o {path}/NAME")
        self._refuse_existing()
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(3).hex()}.part")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o666)
        except OSError as error:
            raise _disk(error, path) from error

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise _disk(error, self.path) from error

    def commit(self) -> None:
        try:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            if self._overwrite:
                self._temporary.replace(self.path)
            else:
                self._link()
            _sync_folder(self.path.parent)
        except OSError as error:
            raise _disk(error, self.path) from error

    def abandon(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._temporary.unlink(missing_ok=True)

    def _link(self) -> None:
        """Take the name only if nobody has it: a rename would replace a file that came meanwhile."""
        try:
            os.link(self._temporary, self.path)
            self._temporary.unlink()
        except FileExistsError:
            self._refuse_existing()
        except OSError:
            # A file system without hard links.
            self._refuse_existing()
            self._temporary.replace(self.path)

    def _refuse_existing(self) -> None:
        if not self._overwrite and os.path.lexists(self.path):
            raise InputError(
                f"{self.path} exists already.", hint="Choose another name, or allow it: --overwrite", code="file_exists"
            )


class StreamTarget:
    """Writes to a stream, such as stdout. What was written stays when a later byte fails."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def commit(self) -> None:
        self._stream.flush()

    def abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class MemoryTarget:
    """Keeps the bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def commit(self) -> None:
        return

    def abandon(self) -> None:
        self._parts.clear()

    @property
    def data(self) -> bytes:
        return b"".join(self._parts)


def _disk(error: OSError, path: Path) -> DiskError | InputError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"No space left for {path}.")
    if error.errno == errno.ENOENT:
        return InputError(f"The folder of {path} does not exist.", hint="Make it first.", code="file_missing")
    return DiskError(f"Cannot write {path}: {error.strerror}.")


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
