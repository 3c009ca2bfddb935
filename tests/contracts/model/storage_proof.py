"""Possession proofs built from docs/proof-format.md alone: own trees and BLAKE3 compression, PyPI blake3 to compare.

Written for tests; the SDK has its own implementation. Run as a module to write tests/vectors/proof.json.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import blake3

CHUNK = 1024
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
WORD = 0xFFFFFFFF

Words = tuple[int, ...]


def _compress(cv: Words, message: bytes, counter: int, length: int, flags: int) -> Words:
    m = [int.from_bytes(message[i : i + 4], "little") for i in range(0, 64, 4)]
    v = [*cv, *IV[:4], counter & WORD, counter >> 32, length, flags]

    def quarter(a: int, b: int, c: int, d: int, x: int, y: int) -> None:
        for word, first, second in ((x, 16, 12), (y, 8, 7)):
            v[a] = (v[a] + v[b] + word) & WORD
            v[d] ^= v[a]
            v[d] = (v[d] >> first | v[d] << (32 - first)) & WORD
            v[c] = (v[c] + v[d]) & WORD
            v[b] ^= v[c]
            v[b] = (v[b] >> second | v[b] << (32 - second)) & WORD

    for _ in range(7):
        for i, places in enumerate(COLUMNS + DIAGONALS):
            quarter(*places, m[2 * i], m[2 * i + 1])
        m = [m[i] for i in PERMUTATION]
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def _bytes(cv: Words) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in cv)


def _chunk_value(chunk: bytes, counter: int, flags: int) -> bytes:
    cv: Words = IV
    blocks = max(1, -(-len(chunk) // 64))
    for i in range(blocks):
        part = chunk[64 * i : 64 * i + 64]
        own = (CHUNK_START if i == 0 else 0) | (CHUNK_END | flags if i == blocks - 1 else 0)
        cv = _compress(cv, part.ljust(64, b"\0"), counter, len(part), own)
    return _bytes(cv)


def left_size(count: int) -> int:
    """Entries of the left subtree of a tree of `count` > 1: the largest power of two below it."""
    return 1 << ((count - 1).bit_length() - 1)


@dataclass(frozen=True)
class Block:
    """A block of 1 to 1,024 chunks."""

    data: bytes

    @property
    def chunks(self) -> int:
        return -(-len(self.data) // CHUNK)

    @cached_property
    def digest(self) -> bytes:
        return blake3.blake3(self.data).digest()

    @cached_property
    def _values(self) -> dict[tuple[int, int], bytes]:
        return {}

    def value(self, first: int, count: int, flags: int = 0) -> bytes:
        """Chaining value of the subtree over chunks first .. first + count - 1."""
        key = (first, count)
        if flags or key not in self._values:
            if count == 1:
                value = _chunk_value(self.data[CHUNK * first : CHUNK * first + CHUNK], first, flags)
            else:
                left = left_size(count)
                pair = self.value(first, left) + self.value(first + left, count - left)
                value = _bytes(_compress(IV, pair, 0, 64, PARENT | flags))
            if flags:
                return value
            self._values[key] = value
        return self._values[key]

    def chunk(self, index: int) -> bytes:
        return self.data[CHUNK * index : CHUNK * index + CHUNK]

    def siblings(self, index: int) -> list[bytes]:
        """Chaining values beside the way up of a chunk, lowest first."""
        found: list[bytes] = []
        first, count = 0, self.chunks
        while count > 1:
            left = left_size(count)
            if index < first + left:
                found.append(self.value(first + left, count - left))
                count = left
            else:
                found.append(self.value(first, left))
                first, count = first + left, count - left
        return found[::-1]


@dataclass(frozen=True)
class Step:
    """One level of a path: whether the sibling is on the left, the sibling and its sum."""

    left: bool
    sibling: bytes
    leaves: int

    def encode(self) -> bytes:
        return bytes([self.left]) + self.sibling + self.leaves.to_bytes(6, "big")


@dataclass(frozen=True)
class SumTree:
    """Merkle-sum tree over (digest, leaves)."""

    entries: tuple[tuple[bytes, int], ...]

    def _node(self, first: int, count: int) -> tuple[bytes, int]:
        if count == 1:
            digest, leaves = self.entries[first]
            return hashlib.sha256(b"\x02" + digest + leaves.to_bytes(6, "big")).digest(), leaves
        half = left_size(count)
        left, left_sum = self._node(first, half)
        right, right_sum = self._node(first + half, count - half)
        data = b"\x03" + left + left_sum.to_bytes(6, "big") + right + right_sum.to_bytes(6, "big")
        return hashlib.sha256(data).digest(), left_sum + right_sum

    @cached_property
    def root(self) -> bytes:
        return self._node(0, len(self.entries))[0]

    @property
    def leaves(self) -> int:
        return sum(leaves for _, leaves in self.entries)

    def path(self, index: int) -> list[Step]:
        """From an entry upward."""
        steps: list[Step] = []
        first, count = 0, len(self.entries)
        while count > 1:
            half = left_size(count)
            if index < first + half:
                steps.append(Step(False, *self._node(first + half, count - half)))
                count = half
            else:
                steps.append(Step(True, *self._node(first, half)))
                first, count = first + half, count - half
        return steps[::-1]

    def find(self, offset: int) -> tuple[int, int]:
        """The entry that covers a leaf, and the offset in it."""
        for index, (_, leaves) in enumerate(self.entries):
            if offset < leaves:
                return index, offset
            offset -= leaves
        raise IndexError(offset)

    def entry(self, index: int) -> bytes:
        """An entry with its path, as an answer holds it."""
        digest, leaves = self.entries[index]
        steps = self.path(index)
        return digest + leaves.to_bytes(6, "big") + bytes([len(steps)]) + b"".join(step.encode() for step in steps)

    def bare_path(self, index: int) -> bytes:
        return b"".join(step.encode() for step in self.path(index))


@dataclass(frozen=True)
class Piece:
    blocks: tuple[Block, ...]

    @cached_property
    def tree(self) -> SumTree:
        return SumTree(tuple((block.digest, block.chunks) for block in self.blocks))


@dataclass(frozen=True)
class Content:
    """What one agreement holds."""

    pieces: tuple[Piece, ...]

    @cached_property
    def tree(self) -> SumTree:
        return SumTree(tuple((piece.tree.root, piece.tree.leaves) for piece in self.pieces))

    def parts(self, offset: int) -> tuple[int, int, int]:
        """Piece, block and chunk of a leaf."""
        piece, offset = self.tree.find(offset)
        block, chunk = self.pieces[piece].tree.find(offset)
        return piece, block, chunk

    def answer(self, offset: int) -> bytes:
        piece, block, chunk = self.parts(offset)
        held = self.pieces[piece].blocks[block]
        data, siblings = held.chunk(chunk), held.siblings(chunk)
        return b"".join(
            (
                self.tree.entry(piece),
                self.pieces[piece].tree.entry(block),
                len(data).to_bytes(2, "big"),
                data,
                bytes([len(siblings)]),
                *siblings,
            )
        )


def content_of(sizes: Sequence[Sequence[int]], seed: int) -> Content:
    """Pieces of random blocks of the given sizes in bytes."""
    source = random.Random(seed)
    return Content(tuple(Piece(tuple(Block(source.randbytes(size)) for size in blocks)) for blocks in sizes))


def _pattern(vector: int, piece: int, block: int) -> bytes:
    # 33 bytes: no two chunks of a block are equal.
    return hashlib.sha256(bytes([vector, piece, block])).digest() + b"\x00"


def _repeated(pattern: bytes, size: int) -> bytes:
    return (pattern * (size // len(pattern) + 1))[:size]


def vectors() -> Iterator[dict[str, object]]:
    """Shapes that differ: one leaf, short last chunks, odd counts on every level, a full block."""
    shapes: list[tuple[list[list[int]], list[int]]] = [
        ([[1]], [0]),
        ([[1024]], [0]),
        ([[1025]], [0, 1]),
        ([[3072], [1], [2048]], [0, 2, 3, 5]),
        ([[1024, 5000, 64], [65], [1024] * 5, [7 * 1024]], [0, 1, 5, 6, 7, 9, 12, 13, 19]),
        ([[1 << 20, (1 << 20) - 1, 700 * 1024], [3 << 10]], [0, 1023, 1024, 2047, 2048, 2747, 2748]),
    ]
    for number, (sizes, offsets) in enumerate(shapes):
        pieces = tuple(
            Piece(tuple(Block(_repeated(_pattern(number, p, b), size)) for b, size in enumerate(blocks)))
            for p, blocks in enumerate(sizes)
        )
        content = Content(pieces)
        yield {
            "pieces": [
                {
                    "root": "0x" + piece.tree.root.hex(),
                    "leaves": piece.tree.leaves,
                    "path": "0x" + content.tree.bare_path(p).hex(),
                    "blocks": [
                        {
                            "pattern": "0x" + _pattern(number, p, b).hex(),
                            "size": len(block.data),
                            "digest": "0x" + block.digest.hex(),
                            "chunks": block.chunks,
                        }
                        for b, block in enumerate(piece.blocks)
                    ],
                }
                for p, piece in enumerate(pieces)
            ],
            "root": "0x" + content.tree.root.hex(),
            "leaves": content.tree.leaves,
            "answers": [{"offset": offset, "answer": "0x" + content.answer(offset).hex()} for offset in offsets],
        }


def main() -> int:
    target = Path(__file__).resolve().parents[2] / "vectors" / "proof.json"
    document = {
        "about": "Possession proofs of docs/proof-format.md. A block is its pattern repeated, cut to its size.",
        "agreements": list(vectors()),
    }
    text = json.dumps(document, indent=1) + "\n"
    if "--check" in sys.argv[1:]:
        return int(target.read_text() != text)
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
