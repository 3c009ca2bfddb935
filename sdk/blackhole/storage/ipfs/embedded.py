"""The block store a node keeps: a file a block, in folders by the end of the CID.

    <path>/version            the format's number
    <path>/blocks/<xx>/<cid>  a block; <xx> are two characters near the end of the CID's text
    <path>/incoming/<pid>-…/  blocks on their way, of one process; what dead ones left is removed when a store is opened

A block is written beside the others, synced, and renamed into place; then its folder is synced. Only after that does
`commit` return, so an acknowledged block survives a crash, and a block under its own name is always whole. Commits that
meet wait for each other and share the sync of folders (group commit). Quotas are the node's matter: here a full disk is
the only limit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from blackhole.errors import DiskError, IntegrityError
from blackhole.paths import disk_errors
from blackhole.storage.blocks import block_digest
from blackhole.storage.ipfs.cid import BLAKE3, RAW, Cid
from blackhole.storage.ipfs.store import BlockNotFound, BlockStat, check, check_range

FORMAT: Final = "1"
"""The layout described above."""


class EmbeddedBlockStore:
    """Blocks in files below `path` (made when missing, 0700). Several processes may open one path."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises DiskError when the folder is of another format or cannot be used."""
        self.path = Path(path)
        self._blocks = self.path / "blocks"
        with disk_errors(self.path):
            for folder in (self.path, self._blocks, self.path / "incoming"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_format()
            self._incoming = _Incoming(self.path / "incoming")
            for folder in (self.path, self._blocks):
                _sync_folder(folder)
        self._group = _GroupCommit()

    def has(self, cid: bytes) -> bool:
        """See BlockStore."""
        return self._file(cid).exists()

    def get(self, cid: bytes) -> bytes:
        """See BlockStore."""
        try:
            block = self._file(cid).read_bytes()
        except FileNotFoundError:
            raise _missing(cid) from None
        check(cid, block)
        return block

    def get_range(self, cid: bytes, start: int, length: int) -> bytes:
        """See BlockStore."""
        try:
            with self._file(cid).open("rb", buffering=0) as file:
                check_range(os.fstat(file.fileno()).st_size, start, length)
                return os.pread(file.fileno(), length, start)
        except FileNotFoundError:
            raise _missing(cid) from None

    def batch(self) -> Batch:
        """Blocks that are kept together: `put` them as they arrive, then `commit`. Leaving the `with` block drops the
        rest."""
        return Batch(self._incoming, self._blocks, self._group)

    def put_many(self, blocks: Iterable[tuple[bytes, bytes | bytearray | memoryview]]) -> None:
        """See BlockStore."""
        with self.batch() as batch:
            for cid, block in blocks:
                batch.put(cid, block)
            batch.commit()

    def delete(self, cids: Iterable[bytes]) -> None:
        """See BlockStore. A crash right after may bring blocks back; that costs space, never data."""
        for cid in cids:
            self._file(cid).unlink(missing_ok=True)

    def stat(self, cid: bytes) -> BlockStat | None:
        """See BlockStore."""
        try:
            return BlockStat(self._file(cid).stat().st_size)
        except FileNotFoundError:
            return None

    def cids(self) -> Iterator[Cid]:
        """See BlockStore. Files that are no blocks are passed over."""
        for folder in os.scandir(self._blocks):
            for entry in os.scandir(folder.path) if folder.is_dir() else ():
                with contextlib.suppress(IntegrityError):
                    yield Cid.parse(entry.name)

    def close(self) -> None:
        """Remove this process's folder of incoming blocks."""
        self._incoming.close()

    def _file(self, cid: bytes) -> Path:
        return _place(self._blocks, cid)

    def _check_format(self) -> None:
        marker = self.path / "version"
        try:
            found = marker.read_text().strip()
        except FileNotFoundError:
            _write_synced(marker.with_suffix(f".{uuid.uuid4().hex}"), marker, FORMAT.encode())
            return
        if found != FORMAT:
            raise DiskError(
                f"{self.path} is a block store of format {found}; this version knows {FORMAT}",
                hint="Use the version of Blackhole that wrote it, or another folder.",
            )


class Batch:
    """Blocks of one `commit`. Use as a context manager; one thread at a time."""

    def __init__(self, incoming: _Incoming, blocks: Path, group: _GroupCommit) -> None:
        self._incoming = incoming
        self._blocks = blocks
        self._group = group
        self._written: dict[bytes, Path | None] = {}

    def put(self, cid: bytes, block: bytes | bytearray | memoryview) -> None:
        """Check and write a block; it is not kept before `commit`. Raises IntegrityError, DiskFull."""
        check(cid, block)
        self._write(bytes(cid), block)

    def add(self, block: bytes | bytearray | memoryview) -> bytes:
        """Write a block under its own CID, raw and BLAKE3-256, and return the digest in it: hashed once, where `put`
        compares with a CID somebody computed before. Not kept before `commit`. Raises DiskFull."""
        digest = block_digest(block)
        self._write(Cid.make(RAW, BLAKE3, digest), block)
        return digest

    def _write(self, key: bytes, block: bytes | bytearray | memoryview) -> None:
        if key in self._written:
            return
        if self._present(key, len(block)):
            self._written[key] = None
            return
        name = self._incoming.new_file()
        with disk_errors(name):
            self._written[key] = name
            with name.open("xb", buffering=0) as file:
                _write_all(file.fileno(), block)
                _start_writing(file.fileno())

    def commit(self) -> None:
        """Returns when every block is on the disk under its name. Raises DiskFull, DiskError; then nothing is
        promised."""
        with disk_errors(self._blocks):
            moves: list[tuple[Path, Path]] = []
            folders: set[Path] = set()
            for cid, name in self._written.items():
                target = _place(self._blocks, cid)
                # A block that was there already may be another commit's, whose folder is not synced yet.
                folders.add(target.parent)
                if name is not None:
                    _sync_file(name)
                    moves.append((name, target))
            self._group.commit(moves, folders)
        self._written.clear()

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._written.values():
            if name is not None:
                name.unlink(missing_ok=True)
        self._written.clear()

    def _present(self, cid: bytes, size: int) -> bool:
        try:
            return _place(self._blocks, cid).stat().st_size == size
        except FileNotFoundError:
            return False


class _GroupCommit:
    """Renames and folder syncs of commits that meet, done once by the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = threading.Lock()
        self._waiting: list[_Commit] = []

    def commit(self, moves: list[tuple[Path, Path]], folders: set[Path]) -> None:
        mine = _Commit(moves, folders)
        with self._lock:
            self._waiting.append(mine)
        with self._running:
            if not mine.done:
                with self._lock:
                    group, self._waiting = self._waiting, []
                self._run(group)
        if mine.error is not None:
            raise mine.error

    @staticmethod
    def _run(group: list[_Commit]) -> None:
        folders: set[Path] = set()
        for commit in group:
            try:
                for folder in commit.folders:
                    if not folder.is_dir():
                        folder.mkdir(mode=0o700, exist_ok=True)
                        folders.add(folder.parent)
                for source, target in commit.moves:
                    source.replace(target)
                folders |= commit.folders
            except OSError as error:
                commit.error = error
        try:
            for folder in folders:
                _sync_folder(folder)
        except OSError as error:
            for commit in group:
                commit.error = commit.error or error
        for commit in group:
            commit.done = True


class _Commit:
    def __init__(self, moves: list[tuple[Path, Path]], folders: set[Path]) -> None:
        self.moves = moves
        self.folders = folders
        self.done = False
        self.error: OSError | None = None


class _Incoming:
    """A folder of this process alone, held by a lock that dies with it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.folder = parent / f"{os.getpid()}-{uuid.uuid4().hex}"
        # Nobody sweeps between the making of this folder and its lock.
        gate = _lock(parent, wait=True)
        try:
            self.folder.mkdir(mode=0o700)
            self._lock = _lock(self.folder)
            self._sweep()
        finally:
            if gate is not None:
                os.close(gate)

    def new_file(self) -> Path:
        return self.folder / uuid.uuid4().hex

    def close(self) -> None:
        if self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def _sweep(self) -> None:
        for folder in self._parent.iterdir():
            if folder == self.folder or not folder.is_dir():
                continue
            held = _lock(folder)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _lock(folder: Path, *, wait: bool = False) -> int | None:
    """The lock of a folder, or None when another process (or store) holds it or it is gone."""
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _place(blocks: Path, cid: bytes) -> Path:
    text = str(Cid(cid))
    # The last character carries few bits; the two before it spread evenly over 1,024 folders.
    return blocks / text[-3:-1] / text


def _missing(cid: bytes) -> BlockNotFound:
    return BlockNotFound(f"block {Cid(cid)} is not held")


def _write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _start_writing(descriptor: int) -> None:
    """Have the kernel write now: the sync at `commit` then waits for little, and one journal commit serves many
    blocks."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _write_synced(temporary: Path, target: Path, data: bytes) -> None:
    with temporary.open("xb", buffering=0) as file:
        _write_all(file.fileno(), data)
        os.fsync(file.fileno())
    temporary.replace(target)
    _sync_folder(target.parent)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
