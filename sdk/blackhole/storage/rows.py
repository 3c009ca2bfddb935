"""Memory for the same stretch of every shard: one row a shard, reused for stretch after stretch."""

from __future__ import annotations

import ctypes
import mmap

_ALIGNMENT = 4096
# Not shared with children, and not counted as shared memory.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class RowBuffer:
    """`count` rows of `size` bytes in one allocation of its own, each row aligned for vector instructions."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.size = size
        self._stride = -(-size // 64) * 64
        self._memory = mmap.mmap(-1, max(_ALIGNMENT, count * self._stride), **_PRIVATE)
        self._view = memoryview(self._memory)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def row(self, index: int, start: int = 0, length: int | None = None) -> memoryview:
        """A writable view of (a part of) a row."""
        end = self.size if length is None else start + length
        if not (0 <= index < self.count and 0 <= start <= end <= self.size):
            raise IndexError(f"row {index}, bytes {start} to {end}")
        offset = index * self._stride
        return self._view[offset + start : offset + end]

    def address(self, index: int, start: int = 0) -> int:
        """Where a row's byte `start` is in memory, for native code; the buffer must outlive its use."""
        return self._base + index * self._stride + start
