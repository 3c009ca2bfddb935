"""Where `get` puts an object: a file that appears whole or not at all, a stream, or memory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from blackhole.errors import DiskError, InputError
from blackhole.storage.encryption import Buffer

PART = 2**20
"""bytes a stream is given at a time."""


class Target(Protocol):
    """Takes verified bytes in order. Their memory is the caller's again when `write` returns."""

    def write(self, data: Buffer) -> None: ...
    def commit(self) -> None:
        """Everything came: make it visible."""
        ...

    def abandon(self) -> None:
        """Something failed: leave no trace."""
        ...


class FileTarget:
    """Writes under a temporary name in the same folder; after the last byte fsync, then the name it shall have.

    The temporary file is locked as long as its process lives: what a killed one left is removed by the next for the
    same name.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self._overwrite = overwrite
        if path.is_dir():
            raise InputError(f"{path} is a folder.", hint=f"Name a file in it: -o {path}/NAME")
        if path.exists() and not path.is_file():
            # A rename would put a file in the place of the device or pipe.
            raise InputError(f"{path} is no regular file.", hint=f"Write through it: -o - > {path}")
        self._refuse_existing()
        self._sweep()
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(3).hex()}.part")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o666)
        except OSError as error:
            raise _disk(error, path) from error
        _lock(self._descriptor)

    def write(self, data: Buffer) -> None:
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

    def _sweep(self) -> None:
        """Remove what killed processes left of this very file."""
        with contextlib.suppress(OSError):
            for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*-*.part"):
                owner = left.name[len(self.path.name) + 2 :].partition("-")[0]
                # Two signs, because a lock comes a moment after its file, and another machine's pids are not ours.
                if owner.isdecimal() and not _runs(int(owner)):
                    descriptor = os.open(left, os.O_RDONLY | os.O_CLOEXEC)
                    if _lock(descriptor):
                        left.unlink()
                    os.close(descriptor)

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
    """Writes to a stream, such as stdout. What was written stays when a later byte fails.

    A reader that went away is a BrokenPipeError, as for every program in a pipe.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._name = getattr(stream, "name", None) or "the output"

    def write(self, data: Buffer) -> None:
        view = memoryview(data)
        with self._errors():
            for start in range(0, len(view), PART):
                self._stream.write(bytes(view[start : start + PART]))  # a copy, because it may keep what it is given

    def commit(self) -> None:
        with self._errors():
            self._stream.flush()

    def abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DiskError.of(error, self._name) from error


class MemoryTarget:
    """Keeps the bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Buffer) -> None:
        self._parts.append(bytes(data))

    def commit(self) -> None:
        return

    def abandon(self) -> None:
        self._parts.clear()

    @property
    def data(self) -> bytes:
        return b"".join(self._parts)


def _disk(error: OSError, path: Path) -> DiskError | InputError:
    if error.errno == errno.ENOENT and not path.parent.is_dir():
        return InputError(f"The folder of {path} does not exist.", hint="Make it first.", code="file_missing")
    return DiskError.of(error, path)


def _lock(descriptor: int) -> bool:
    """Whether the file could be locked. Where a file system has no locks, nothing is ever swept."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
