"""What `put` reads: a file, a stream or bytes, checked so that what is stored is what was there.

A file that changes while it is read would be stored as something that never existed, so its size and times are
compared before and after. Devices, pipes by name and folders are refused; a pipe is read from stdin ("-").
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from blackhole.errors import DiskError, InputError

SourceLike: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"
"""A path ("-" is stdin), bytes, or a binary stream opened for reading."""


class Source(Protocol):
    """Plaintext, read once from start to end.

    Attributes:
        name: for the list of own objects and for messages.
        size: bytes, None if it is known at the end only.
        identity: the same for the same content as far as can be told before reading it; None if nothing can be told.
    """

    name: str
    size: int | None
    identity: str | None

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` as far as the source reaches; fewer bytes than asked mean the end."""
        ...

    def seek(self, offset: int) -> bool:
        """Go to `offset`; False if the source cannot."""
        ...

    def finish(self) -> None:
        """Called after the last byte. Raises InputError if the source changed meanwhile."""
        ...

    def close(self) -> None:
        """Give up what it holds."""
        ...


def open_source(source: SourceLike, name: str | None = None) -> Source:
    """Open what the user named.

    Raises:
        InputError: missing, unreadable, a folder, a device or another special file.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesSource(memoryview(source).cast("B"), name or "bytes")
    if isinstance(source, str) and source == "-":
        import sys

        if sys.stdin is None:
            raise InputError("stdin is closed.", hint="Feed it: blackhole storage put - < PATH", code="file_missing")
        return StreamSource(sys.stdin.buffer, name or "stdin")
    if isinstance(source, str | os.PathLike):
        return FileSource(Path(source), name)
    return StreamSource(source, name or str(getattr(source, "name", "stream")))


class SourceReader:
    """A source as a plain binary stream."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end."""
        buffer = bytearray(size)
        count = self._source.read_into(memoryview(buffer))
        return bytes(memoryview(buffer)[:count])


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.name = name
        self.size: int | None = len(data)
        self.identity: str | None = "sha256:" + hashlib.sha256(data).hexdigest()
        self._data = data
        self._at = 0

    def read_into(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._data) - self._at)
        buffer[:count] = self._data[self._at : self._at + count]
        self._at += count
        return count

    def seek(self, offset: int) -> bool:
        self._at = offset
        return True

    def finish(self) -> None:
        return

    def close(self) -> None:
        return


class StreamSource:
    """A pipe or any binary stream: read once, length unknown."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.size: int | None = None
        self.identity: str | None = None
        self._stream = stream

    def read_into(self, buffer: memoryview) -> int:
        done = 0
        while done < len(buffer):
            try:
                part = self._stream.read(min(len(buffer) - done, 2**20))
            except (OSError, ValueError) as error:
                raise InputError(f"{self.name} cannot be read: {error}.", hint="Check what feeds it.") from error
            if not part:
                break
            buffer[done : done + len(part)] = part
            done += len(part)
        return done

    def seek(self, offset: int) -> bool:
        return False

    def finish(self) -> None:
        return

    def close(self) -> None:
        return


@dataclass(frozen=True)
class _State:
    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, descriptor: int) -> _State:
        found = os.fstat(descriptor)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class FileSource:
    """A regular file."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.name = name or path.name
        self._path = path
        try:
            # Without O_NONBLOCK opening a named pipe would wait for a writer before we can refuse it.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(path, error) from error
        mode = os.fstat(self._descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(self._descriptor)
            raise InputError(f"{path} is {_kind(mode)}, not a file.", hint=_advice(mode))
        self._state = _State.of(self._descriptor)
        self._at = 0
        self.size: int | None = self._state.size
        self.identity: str | None = f"file:{path.absolute()}:{self._state.size}:{self._state.modified}"

    def read_into(self, buffer: memoryview) -> int:
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._descriptor, [buffer[done:]], self._at + done)
            except OSError as error:
                raise DiskError(f"{self._path} cannot be read: {error.strerror}.") from error
            if not count:
                break
            done += count
        self._at += done
        return done

    def seek(self, offset: int) -> bool:
        self._at = offset
        return True

    def finish(self) -> None:
        if _State.of(self._descriptor) != self._state or self._at != self._state.size:
            raise InputError(
                f"{self._path} changed while it was read.",
                hint="Store a copy, or run it again when nothing writes to it. Nothing was paid.",
                code="file_changed",
            )

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _unreadable(path: Path, error: OSError) -> InputError:
    if error.errno == errno.ENOENT:
        return InputError(f"{path} does not exist.", hint="Check the path.", code="file_missing")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return InputError(f"{path} may not be read.", hint=f"Allow it: chmod u+r {path}", code="file_unreadable")
    return InputError(f"{path} cannot be opened: {error.strerror}.", hint="Check the path.", code="file_unreadable")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "a device"
    return "a special file"


def _advice(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "Pack it: tar -c FOLDER | blackhole storage put -"
    return "Feed it through stdin: blackhole storage put - < PATH"
