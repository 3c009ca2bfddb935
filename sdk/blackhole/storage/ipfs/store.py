"""Block stores: one small Protocol, and the one in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from blackhole.errors import IntegrityError, StorageError
from blackhole.storage.ipfs.cid import Cid


class BlockNotFound(StorageError):
    """The store does not hold this block."""

    code = "block_not_found"


class BlockStat(NamedTuple):
    """What a store knows of a block without reading it."""

    size: int


@runtime_checkable
class BlockStore(Protocol):
    """Blocks by CID (binary CIDv1). Safe for use from several threads; every call blocks until it is done."""

    def has(self, cid: bytes) -> bool:
        """Whether the block is held."""
        ...

    def get(self, cid: bytes) -> bytes:
        """The whole block, checked against its CID. Raises BlockNotFound, IntegrityError."""
        ...

    def get_range(self, cid: bytes, start: int, length: int) -> bytes:
        """`length` bytes from `start`, unchecked: the reader verifies them. Raises BlockNotFound, ValueError outside
        the block."""
        ...

    def put_many(self, blocks: Iterable[tuple[bytes, bytes | bytearray | memoryview]]) -> None:
        """Keep blocks, each checked against its CID. When this returns they survive a crash; when it raises, none of
        them counts as kept. Raises IntegrityError, DiskFull."""
        ...

    def delete(self, cids: Iterable[bytes]) -> None:
        """Forget blocks; unknown ones are passed over."""
        ...

    def stat(self, cid: bytes) -> BlockStat | None:
        """Its size, or None when it is not held."""
        ...

    def cids(self) -> Iterator[Cid]:
        """Every block held, in no order."""
        ...


class MemoryBlockStore:
    """Blocks in a dictionary: for tests and for what never leaves the process."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def has(self, cid: bytes) -> bool:
        """See BlockStore."""
        return bytes(cid) in self._blocks

    def get(self, cid: bytes) -> bytes:
        """See BlockStore."""
        block = self._find(cid)
        check(cid, block)
        return block

    def get_range(self, cid: bytes, start: int, length: int) -> bytes:
        """See BlockStore."""
        block = self._find(cid)
        check_range(len(block), start, length)
        return block[start : start + length]

    def put_many(self, blocks: Iterable[tuple[bytes, bytes | bytearray | memoryview]]) -> None:
        """See BlockStore."""
        kept: dict[bytes, bytes] = {}
        for cid, block in blocks:
            check(cid, block)
            kept[bytes(cid)] = bytes(block)
        with self._lock:
            self._blocks.update(kept)

    def delete(self, cids: Iterable[bytes]) -> None:
        """See BlockStore."""
        with self._lock:
            for cid in cids:
                self._blocks.pop(bytes(cid), None)

    def stat(self, cid: bytes) -> BlockStat | None:
        """See BlockStore."""
        block = self._blocks.get(bytes(cid))
        return None if block is None else BlockStat(len(block))

    def cids(self) -> Iterator[Cid]:
        """See BlockStore."""
        return iter([Cid(cid) for cid in list(self._blocks)])

    def _find(self, cid: bytes) -> bytes:
        try:
            return self._blocks[bytes(cid)]
        except KeyError:
            raise BlockNotFound(f"block {Cid(cid)} is not held") from None


def check(cid: bytes, block: bytes | bytearray | memoryview) -> None:
    """Raises IntegrityError unless `block` is what `cid` names."""
    if not Cid.parse(cid).matches(block):
        raise IntegrityError(f"block {Cid(cid)} is not what its CID says")


def check_range(size: int, start: int, length: int) -> None:
    """Raises ValueError unless the range lies inside a block of `size` bytes."""
    if start < 0 or length < 0 or start + length > size:
        raise ValueError(f"bytes {start} to {start + length} are not inside a block of {size} bytes")
