"""Merkle-sum trees over SHA-256: every node commits to a hash and to how many leaves (KiB) lie below it.

    leaf  = SHA-256(0x02 ‖ digest ‖ u48 leaves)      an entry: a block of a piece, or a piece of an agreement
    inner = SHA-256(0x03 ‖ left ‖ u48 sum(left) ‖ right ‖ u48 sum(right))

A tree of n leaves has the largest power of two below n on its left, as BLAKE3 has. Because every sum is hashed, a
sampled leaf number leads down to exactly one block, and nobody can claim more or less than he holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from blackhole.errors import IntegrityError

SUM_BYTES: Final = 6
"""bytes of a sum inside a node: u48."""
SUM_LIMIT: Final = 1 << 8 * SUM_BYTES
"""leaves. Sums are below this."""

STEP_BYTES: Final = 1 + 32 + SUM_BYTES
"""bytes of a step of a path."""

_LEAF, _INNER = b"\x02", b"\x03"


class SumNode(NamedTuple):
    """A node: its hash and the leaves (KiB) below it."""

    hash: bytes
    sum: int


class Sibling(NamedTuple):
    """A step of a path: the sibling and whether it stands on the left."""

    node: SumNode
    left: bool


class Found(NamedTuple):
    """The tree's item that holds a leaf, the leaf's place inside the item, and the path upward."""

    item: int
    offset: int
    path: tuple[Sibling, ...]


def entry(digest: bytes, leaves: int) -> SumNode:
    """The tree's node for an entry: a block by its BLAKE3 digest and 1 KiB chunks, a piece by its root and leaves."""
    _check(digest, leaves)
    return SumNode(hashlib.sha256(_LEAF + digest + leaves.to_bytes(SUM_BYTES, "big")).digest(), leaves)


def parent(left: SumNode, right: SumNode) -> SumNode:
    """The node above two others."""
    total = left.sum + right.sum
    _check(left.hash, left.sum)
    _check(right.hash, right.sum)
    if total >= SUM_LIMIT:
        raise ValueError("a sum tree holds fewer than 2^48 leaves")
    message = (
        _INNER + left.hash + left.sum.to_bytes(SUM_BYTES, "big") + right.hash + right.sum.to_bytes(SUM_BYTES, "big")
    )
    return SumNode(hashlib.sha256(message).digest(), total)


def climb(node: SumNode, path: Sequence[Sibling]) -> SumNode:
    """The root a path leads to."""
    for sibling, left in path:
        node = parent(sibling, node) if left else parent(node, sibling)
    return node


def encode_path(path: Sequence[Sibling]) -> bytes:
    """A path as the chain reads it: for each step u8 side (1: the sibling is on the left) ‖ hash ‖ u48 sum."""
    return b"".join(bytes([left]) + sibling.hash + sibling.sum.to_bytes(SUM_BYTES, "big") for sibling, left in path)


def decode_path(data: bytes) -> tuple[Sibling, ...]:
    """The reverse of `encode_path`. Raises IntegrityError when it is malformed."""
    steps = []
    for at in range(0, len(data), STEP_BYTES):
        step = data[at : at + STEP_BYTES]
        if len(step) != STEP_BYTES or step[0] > 1:
            raise IntegrityError("a malformed path")
        steps.append(Sibling(SumNode(step[1:33], int.from_bytes(step[33:], "big")), bool(step[0])))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class SumTree:
    """A sum tree over entries: blocks under a piece, pieces under an agreement."""

    levels: tuple[tuple[SumNode, ...], ...]

    @classmethod
    def of(cls, items: Sequence[SumNode]) -> SumTree:
        """The tree over at least one entry, made with `entry`."""
        if not items:
            raise ValueError("a sum tree has at least one item")
        for item in items:
            _check(item.hash, item.sum)
        level = tuple(items)
        levels = [level]
        while len(level) > 1:
            # Pairing neighbours and passing an odd last one up puts the largest power of two below n on the left.
            pairs = [parent(level[index], level[index + 1]) for index in range(0, len(level) - 1, 2)]
            level = tuple(pairs) + level[len(level) & ~1 :]
            levels.append(level)
        return cls(tuple(levels))

    @property
    def root(self) -> SumNode:
        """Hash and total."""
        return self.levels[-1][0]

    def path(self, index: int) -> tuple[Sibling, ...]:
        """The siblings of an item, from the leaf upward; levels where it has none are left out."""
        if not 0 <= index < len(self.levels[0]):
            raise IndexError(index)
        steps = []
        for level in self.levels[:-1]:
            if index ^ 1 < len(level):
                steps.append(Sibling(level[index ^ 1], bool(index & 1)))
            index >>= 1
        return tuple(steps)

    def find(self, leaf: int) -> Found:
        """The item that holds leaf number `leaf` (0 ≤ leaf < root.sum)."""
        if not 0 <= leaf < self.root.sum:
            raise IndexError(leaf)
        index = 0
        for level in reversed(self.levels[:-1]):
            index *= 2
            if index + 1 < len(level) and leaf >= level[index].sum:
                leaf -= level[index].sum
                index += 1
        return Found(index, leaf, self.path(index))


def _check(digest: bytes, total: int) -> None:
    if len(digest) != 32:
        raise ValueError("a node's hash has 32 bytes")
    if not 0 < total < SUM_LIMIT:
        raise ValueError("a node's sum is between 1 and 2^48 - 1")
