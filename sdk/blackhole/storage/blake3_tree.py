"""The tree inside a BLAKE3 hash: its 1 KiB chunks are the leaves a proof samples.

The `blake3` package hashes fast but gives away no chaining values, and a proof needs those beside the path of one
chunk. So the compression runs here, on all chunks at once: each of its sixteen state words is one Python integer that
holds the word of every chunk, 64 bits apart, and integer arithmetic works on all of them together. A whole 1 MiB block
takes some tens of milliseconds (benchmarks/bench_pipeline.py), once a period, with nothing but the interpreter.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

CHUNK: Final = 1024
"""bytes of a chunk, the leaf."""

_BLOCK = 64
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_LANE = 64
_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_COLUMNS_THEN_DIAGONALS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def _schedule() -> tuple[tuple[int, ...], ...]:
    rounds = [tuple(range(16))]
    for _ in range(6):
        rounds.append(tuple(rounds[-1][index] for index in _PERMUTATION))
    return tuple(rounds)


_ROUNDS = _schedule()

Words: TypeAlias = list[int]
"""State words; in each integer the word of lane i sits in bits 64·i to 64·i + 31."""


def _compress(
    chaining: Sequence[int], message: Sequence[int], counter: int, tail: tuple[int, int], lanes: int
) -> Words:
    """BLAKE3's compression of `lanes` inputs at once; `tail` is (block length, flags), the same in all of them."""
    ones = (1 << _LANE * lanes) // ((1 << _LANE) - 1)
    mask = 0xFFFFFFFF * ones
    v = [*chaining, *(word * ones for word in _IV[:4]), counter, 0, tail[0] * ones, tail[1] * ones]
    for schedule in _ROUNDS:
        words = iter(schedule)
        for a, b, c, d in _COLUMNS_THEN_DIAGONALS:
            # Sums are not reduced: 56 additions stay far below 64 bits, and every rotation masks first.
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = va + vb + message[next(words)]
            t = (vd ^ va) & mask
            vd = (t >> 16 | t << 16) & mask
            vc = vc + vd
            t = (vb ^ vc) & mask
            vb = (t >> 12 | t << 20) & mask
            va = va + vb + message[next(words)]
            t = (vd ^ va) & mask
            vd = (t >> 8 | t << 24) & mask
            vc = vc + vd
            t = (vb ^ vc) & mask
            v[a], v[b], v[c], v[d] = va, (t >> 7 | t << 25) & mask, vc, vd
    return [(v[index] ^ v[index + 8]) & mask for index in range(8)]


def _pack(words: Iterable[int]) -> int:
    lanes = array("Q", words)
    if sys.byteorder == "big":
        lanes.byteswap()
    return int.from_bytes(lanes.tobytes(), "little")


def _unpack(state: Words, lanes: int) -> list[bytes]:
    """The 32-byte chaining values of all lanes."""
    columns = [memoryview(word.to_bytes(8 * lanes, "little")) for word in state]
    return [b"".join(column[8 * lane : 8 * lane + 4] for column in columns) for lane in range(lanes)]


def _words(data: bytes | memoryview) -> array[int]:
    words = array("I", bytes(data))
    if words.itemsize != 4:
        raise RuntimeError("BLAKE3 needs an array type of 32 bits")
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _full_chunks(data: bytes | memoryview, first: int) -> list[bytes]:
    """Chaining values of whole chunks, `first` being the number of the first; none of them is a root."""
    lanes = len(data) // CHUNK
    words = memoryview(_words(data))
    ones = (1 << _LANE * lanes) // ((1 << _LANE) - 1)
    state: Words = [word * ones for word in _IV]
    counter = _pack(range(first, first + lanes))
    for block in range(CHUNK // _BLOCK):
        flags = (_CHUNK_START if block == 0 else 0) | (_CHUNK_END if block == 15 else 0)
        message = [_pack(words[16 * block + word :: CHUNK // 4]) for word in range(16)]
        state = _compress(state, message, counter, (_BLOCK, flags), lanes)
    return _unpack(state, lanes)


def chunk_value(chunk: bytes | memoryview, index: int, *, root: bool = False) -> bytes:
    """The chaining value of one chunk of 0 to 1,024 bytes; `root` when it is the whole input (then it is the hash)."""
    if len(chunk) > CHUNK:
        raise ValueError("a chunk has at most 1,024 bytes")
    state: Words = list(_IV)
    starts = range(0, max(len(chunk), 1), _BLOCK)
    for start in starts:
        piece = bytes(chunk[start : start + _BLOCK])
        flags = (_CHUNK_START if start == 0 else 0) | ((_CHUNK_END | _ROOT * root) if start == starts[-1] else 0)
        message = _words(piece.ljust(_BLOCK, b"\0"))
        state = _compress(state, message, index, (len(piece), flags), 1)
    return _unpack(state, 1)[0]


def _parents(values: Sequence[bytes], *, root: bool = False) -> list[bytes]:
    """The parents of an even number of neighbours."""
    lanes = len(values) // 2
    words = memoryview(_words(b"".join(values)))
    message = [_pack(words[word::16]) for word in range(16)]
    ones = (1 << _LANE * lanes) // ((1 << _LANE) - 1)
    flags = _PARENT | (_ROOT if root else 0)
    return _unpack(_compress([word * ones for word in _IV], message, 0, (_BLOCK, flags), lanes), lanes)


@dataclass(frozen=True, slots=True)
class ChunkTree:
    """All chaining values of a block. Level 0 are the chunks, the last level is the block's BLAKE3 digest."""

    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, block: bytes | memoryview) -> ChunkTree:
        """The tree of a block of any length."""
        if len(block) <= CHUNK:
            return cls(((chunk_value(block, 0, root=True),),))
        whole = len(block) // CHUNK
        level = _full_chunks(memoryview(block)[: whole * CHUNK], 0)
        if len(block) % CHUNK:
            level.append(chunk_value(memoryview(block)[whole * CHUNK :], whole))
        levels = [tuple(level)]
        while len(level) > 1:
            # Pairing neighbours and passing an odd last one up gives BLAKE3's tree: left subtrees are powers of two.
            upper = _parents(level[: len(level) & ~1], root=len(level) == 2)
            level = upper + level[len(level) & ~1 :]
            levels.append(tuple(level))
        return cls(tuple(levels))

    @property
    def digest(self) -> bytes:
        """The block's BLAKE3 hash."""
        return self.levels[-1][0]

    @property
    def chunks(self) -> int:
        """How many leaves the block has."""
        return len(self.levels[0])

    def path(self, chunk: int) -> list[bytes]:
        """The siblings of a chunk, from the leaf upward; levels where it has none are left out."""
        if not 0 <= chunk < self.chunks:
            raise IndexError(chunk)
        siblings = []
        for level in self.levels[:-1]:
            if chunk ^ 1 < len(level):
                siblings.append(level[chunk ^ 1])
            chunk >>= 1
        return siblings


def digest_of_path(chunk: bytes | memoryview, index: int, chunks: int, path: Sequence[bytes]) -> bytes | None:
    """The digest of the block that a chunk and its siblings lead to; None when the path does not fit `chunks`
    leaves."""
    short_allowed = index == chunks - 1
    if not 0 <= index < chunks or (len(chunk) != CHUNK and not short_allowed) or (chunks > 1 and not chunk):
        return None
    value = chunk_value(chunk, index, root=chunks == 1)
    siblings = iter(path)
    while chunks > 1:
        if index ^ 1 < chunks:
            sibling = next(siblings, None)
            if sibling is None or len(sibling) != 32:
                return None
            pair = (sibling, value) if index & 1 else (value, sibling)
            value = _parents(pair, root=chunks == 2)[0]
        index, chunks = index >> 1, (chunks + 1) >> 1
    return value if next(siblings, None) is None else None
