"""A journal: an append-only file of steps, each on the disk before it counts.

Frame: u32 length | u32 CRC-32 of the payload | payload (big-endian). The first payload is the header `{"schema",
"kind"}`, each further one a record `{"v": 1, "step": …, …}` or a list of records written together, which is found
whole or not at all.

A last frame that a crash left unfinished is cut off when the journal is opened: it was never acknowledged. Damage
anywhere else, a whole last frame included, is never repaired silently: `JournalError`, the file stays as it is.

For tests, the environment variable `BLACKHOLE_CRASH_AT="<kind>:<step>[:<n>][:before|torn|after|interrupt]"` kills the
process with SIGKILL at the n-th time that step is written: before it, with half of its frame in the file, or (the
default) right after its fsync. With `interrupt` it gets a SIGINT there instead, as from Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

import orjson

from blackhole.errors import DiskError, JournalError, JournalInUse, Json
from blackhole.filelock import FileLock
from blackhole.paths import disk_errors, open_private, private_folder, sync_folder

SCHEMA: Final = 1
VERSION: Final = 1
CRASH_VARIABLE: Final = "BLACKHOLE_CRASH_AT"
FRAME_MAX: Final = 64 * 1024 * 1024
_HEAD: Final = struct.Struct(">II")

StepT = TypeVar("StepT", bound=StrEnum)


@dataclass(frozen=True)
class Record(Generic[StepT]):
    """One step as it was journalled. Fields are JSON values: bytes as hex, wei as decimal strings."""

    step: StepT
    fields: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.fields.get(name, default)


class Journal(Generic[StepT]):
    """Open with `Journal.open`; one process and one object at a time hold it. Methods block and may be called from
    any thread."""

    def __init__(self, path: Path, kind: str, steps: type[StepT], descriptor: int, lock: FileLock, size: int) -> None:
        self.path = path
        self.kind = kind
        self._steps = steps
        self._descriptor: int | None = descriptor
        self._lock = lock
        self._size = size
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._crash = _CrashPoint.from_environment(kind)

    @classmethod
    def open(cls, path: str | os.PathLike[str], kind: str, steps: type[StepT]) -> Journal[StepT]:
        """Open or make the journal, check every frame and cut off an unfinished last one.

        `kind` names what the journal is of and must be the same as when it was made; `steps` is the enum of its steps.
        Raises `JournalInUse` (another process has it), `JournalError` (damage, another kind, a newer version),
        `DiskError`.
        """
        path = Path(path)
        private_folder(path.parent)
        lock = FileLock(path.with_name(path.name + ".lock"))
        if not lock.acquire():
            holder = lock.holder()
            pid, since = holder or (None, None)
            raise JournalInUse(
                f"the journal {path} is in use by {holder or 'another process'}", holder=pid, since=since
            )
        fresh = not path.exists()
        try:
            with disk_errors(path):
                return cls._open_locked(path, kind, steps, lock)
        except BaseException:
            if fresh:  # a full disk: no half of a header stays
                path.unlink(missing_ok=True)
                lock.path.unlink(missing_ok=True)
            lock.release()
            raise

    @classmethod
    def peek(cls, path: str | os.PathLike[str], kind: str, steps: type[StepT]) -> list[Record[StepT]]:
        """Its whole records as they are now, without holding it: another process may be writing. Nothing is mended.

        Empty when there is no such file. Raises `JournalError`, `DiskError` as `open` does.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DiskError.of(error, path) from error
        frames, _ = _frames(content, path, _header(kind))
        reader = cls(path, kind, steps, -1, FileLock(path), len(content))
        for header in frames[:1]:
            reader._check_header(header)
        return [record for payload in frames[1:] for record in reader._parse(payload)]

    @classmethod
    def _open_locked(cls, path: Path, kind: str, steps: type[StepT], lock: FileLock) -> Journal[StepT]:
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
        try:
            content = path.read_bytes()
            header = _header(kind)
            frames, good = _frames(content, path, header)
            if good < len(content):
                os.ftruncate(descriptor, good)
                os.fsync(descriptor)
            journal = cls(path, kind, steps, descriptor, lock, good)
            if frames:
                journal._check_header(frames[0])
                for payload in frames[1:]:
                    journal._parse(payload)
            else:
                journal._write(header)
                sync_folder(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def append(self, step: StepT, **fields: Json) -> None:
        """Write one record and return when it is on the disk. Raises `DiskFull`, `DiskError`; then nothing was
        recorded."""
        self.append_many([Record(step, cast("dict[str, Any]", fields))])

    def append_many(self, records: Iterable[Record[StepT]]) -> None:
        """Write records in one frame with one fsync: after a crash all of them are found or none."""
        records = list(records)
        if not records:
            return
        rows = [_row(record) for record in records]
        frame = _frame(orjson.dumps(rows[0] if len(rows) == 1 else rows))
        with self._mutex:
            crash = self._crash
            due = crash is not None and any(crash.reached(record.step) for record in records)
            if due and crash is not None and crash.moment in ("before", "torn"):
                if crash.moment == "torn":
                    os.pwrite(self._file(), frame[: len(frame) // 2], self._size)
                    os.fsync(self._file())
                _die()
            self._write(frame)
            if due and crash is not None:
                os.kill(os.getpid(), signal.SIGINT if crash.moment == "interrupt" else signal.SIGKILL)

    def records(self) -> list[Record[StepT]]:
        """Every record, oldest first."""
        with self._mutex:
            content = os.pread(self._file(), self._size, 0)
            while len(content) < self._size:
                more = os.pread(self._file(), self._size - len(content), len(content))
                if not more:
                    raise JournalError(f"the journal {self.path} became shorter while it was open")
                content += more
            frames, _ = _frames(content, self.path, _header(self.kind))
            return [record for payload in frames[1:] for record in self._parse(payload)]

    def compact(self, records: Iterable[Record[StepT]]) -> None:
        """Replace the journal by one that holds only these records; a crash leaves either the old or the new one,
        whole."""
        frames = [_header(self.kind)]
        frames += [_frame(orjson.dumps(_row(record))) for record in records]
        content = b"".join(frames)
        temporary = self.path.with_name(f".{self.path.name}.compact")
        with self._mutex:
            old = self._file()
            descriptor = -1
            try:
                descriptor = open_private(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                _write_all(descriptor, content, 0)
                os.fsync(descriptor)
                temporary.replace(self.path)
            except OSError as error:
                if descriptor >= 0:
                    os.close(descriptor)
                temporary.unlink(missing_ok=True)
                raise DiskError.of(error, self.path) from error
            self._descriptor, self._size = descriptor, len(content)
            os.close(old)
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Give the file and its lock back. Closing twice is fine."""
        with self._mutex:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)
                self._lock.release()

    def remove(self) -> None:
        """Delete it and its lock, and close it. For journals whose name is used once."""
        self.path.unlink(missing_ok=True)
        self._lock.path.unlink(missing_ok=True)
        self.close()

    @property
    def since(self) -> str | None:
        """When it was opened: UTC, ISO 8601. None when its lock cannot be read."""
        holder = self._lock.holder()
        return holder.since if holder else None

    def foreign(self) -> bool:
        """True in a forked child of the process that opened it: there it can only be closed."""
        return self._pid != os.getpid()

    def __enter__(self) -> Journal[StepT]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _file(self) -> int:
        if self._descriptor is None:
            raise JournalError(f"the journal {self.path} is closed")
        if self._pid != os.getpid():
            raise JournalError(f"the journal {self.path} belongs to process {self._pid}: open it again after a fork")
        return self._descriptor

    def _write(self, frame: bytes) -> None:
        descriptor = self._file()
        try:
            _write_all(descriptor, frame, self._size)
        except OSError as error:
            # Nothing of a failed append may stay in front of the next one, which begins at the same place.
            with suppress(OSError):
                os.ftruncate(descriptor, self._size)
            raise DiskError.of(error, self.path) from error
        try:
            os.fsync(descriptor)
        except OSError as error:
            # After a failed fsync nobody knows what the disk holds: no further append may follow it.
            self._descriptor = None
            os.close(descriptor)
            self._lock.release()
            raise DiskError.of(error, self.path) from error
        self._size += len(frame)

    def _check_header(self, payload: bytes) -> None:
        header = orjson.loads(payload)
        if not isinstance(header, dict) or "schema" not in header:
            raise JournalError(f"{self.path} is not a journal")
        if header["schema"] > SCHEMA:
            raise JournalError(
                f"the journal {self.path} was written by a newer version (schema {header['schema']}, known: {SCHEMA})",
                hint="Update Blackhole.",
            )
        if header.get("kind") != self.kind:
            raise JournalError(f"{self.path} is a journal of {header.get('kind')!r}, not of {self.kind!r}")

    def _parse(self, payload: bytes) -> Iterator[Record[StepT]]:
        loaded = orjson.loads(payload)
        return iter([self._record(row) for row in (loaded if isinstance(loaded, list) else [loaded])])

    def _record(self, row: dict[str, Any]) -> Record[StepT]:
        if row.pop("v", 0) > VERSION:
            raise JournalError(f"{self.path} holds a record of a newer version", hint="Update Blackhole.")
        name = row.pop("step", None)
        try:
            return Record(self._steps(name), row)
        except ValueError:
            raise JournalError(f"{self.path} holds the unknown step {name!r}", hint="Update Blackhole.") from None


@dataclass
class _CrashPoint:
    step: str
    count: int
    moment: str
    seen: int = 0

    @classmethod
    def from_environment(cls, kind: str) -> _CrashPoint | None:
        parts = os.environ.get(CRASH_VARIABLE, "").split(":")
        if len(parts) < 2 or parts[0] != kind:
            return None
        count, moment = 1, "after"
        for part in parts[2:]:
            if part.isdigit():
                count = int(part)
            elif part in ("before", "torn", "after", "interrupt"):
                moment = part
            else:
                raise ValueError(f"{CRASH_VARIABLE}: {part!r} is neither a number nor before, torn, after, interrupt")
        return cls(parts[1], count, moment)

    def reached(self, step: str) -> bool:
        if step != self.step:
            return False
        self.seen += 1
        return self.seen == self.count


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _row(record: Record[Any]) -> dict[str, Any]:
    if "v" in record.fields or "step" in record.fields:
        raise ValueError("a record's fields may not be named 'v' or 'step'")
    return {"v": VERSION, "step": str(record.step), **record.fields}


def _frame(payload: bytes) -> bytes:
    if len(payload) > FRAME_MAX:
        raise ValueError(f"a frame holds at most {FRAME_MAX} bytes, not {len(payload)}")
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _header(kind: str) -> bytes:
    return _frame(orjson.dumps({"schema": SCHEMA, "kind": kind}))


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]


def _frames(content: bytes, path: Path, header: bytes) -> tuple[list[bytes], int]:
    """The payloads of all good frames and where they end. Raises `JournalError` where more is damaged than a crash
    does."""
    frames: list[bytes] = []
    position = 0
    while position < len(content):
        payload = _frame_at(content, position)
        if payload is None:
            if later := _find_frame(content, position + 1):
                raise JournalError(
                    f"the journal {path} is damaged at byte {position}: readable records follow at byte {later}",
                    data={"path": str(path), "offset": position},
                )
            if _is_whole(content, position):
                raise JournalError(
                    f"the journal {path} is damaged at byte {position}, in its last record",
                    data={"path": str(path), "offset": position},
                )
            break
        frames.append(payload)
        position += _HEAD.size + len(payload)
    if not frames and not (len(content) <= len(header) and header.startswith(content.rstrip(b"\0"))):
        raise JournalError(f"{path} is not a journal, or its beginning is damaged", data={"path": str(path)})
    return frames, position


def _frame_at(content: bytes, position: int) -> bytes | None:
    if position + _HEAD.size > len(content):
        return None
    length, crc = _HEAD.unpack_from(content, position)
    start = position + _HEAD.size
    if not 0 < length <= FRAME_MAX or start + length > len(content):
        return None
    payload = content[start : start + length]
    return payload if zlib.crc32(payload) == crc else None


def _is_whole(content: bytes, position: int) -> bool:
    """Whether the bytes from `position` on are a record that was written to its end and changed since. A crash leaves
    less than that, or the zeros of a block it never wrote; JSON has no zeros."""
    payload = content[position + _HEAD.size :]
    if not payload or b"\0" in payload:
        return False
    if int.from_bytes(content[position : position + 4], "big") <= len(payload):
        return True
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return True  # its length is what changed


def _find_frame(content: bytes, start: int) -> int | None:
    """The first place at or after `start` where a whole record begins. Payloads begin with `{"` or `[{"`."""
    for mark in (b'{"v":', b'[{"v":', b'{"schema":'):
        at = content.find(mark, start)
        while at >= 0:
            position = at - _HEAD.size
            if position >= start and _frame_at(content, position) is not None:
                return position
            at = content.find(mark, at + 1)
    return None
