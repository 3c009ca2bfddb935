"""An agreement's pieces: the list both sides sign and the sum tree over it.

The tree's entries are the pieces: their roots and leaves. The list is append-only DAG-CBOR, `[[root, leaves], …]`, and
its SHA-256 is `pieces` in Terms and Change: node and client reach the new root from the old list and what was added or
removed. docs/proof-format.md has the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from blackhole.errors import IntegrityError
from blackhole.storage.ipfs import dag_cbor
from blackhole.storage.sum_tree import SUM_LIMIT, Found, Sibling, SumTree, entry


class Piece(NamedTuple):
    """A shard or a manifest as an agreement sees it: the root of its piece tree and its leaves (KiB)."""

    root: bytes
    leaves: int


@dataclass(frozen=True, slots=True)
class PieceList:
    """The pieces of an agreement, in the order they came."""

    pieces: tuple[Piece, ...] = ()

    def __post_init__(self) -> None:
        if len({piece.root for piece in self.pieces}) != len(self.pieces):
            raise IntegrityError("a piece is listed twice")
        if any(len(piece.root) != 32 or not 0 < piece.leaves < SUM_LIMIT for piece in self.pieces):
            raise IntegrityError("a piece has a root of 32 bytes and at least one leaf")

    @property
    def leaves(self) -> int:
        """KiB of all pieces."""
        return sum(piece.leaves for piece in self.pieces)

    def encode(self) -> bytes:
        """The canonical list."""
        return dag_cbor.encode([[piece.root, piece.leaves] for piece in self.pieces])

    @classmethod
    def decode(cls, data: bytes) -> PieceList:
        """Read a list. Raises IntegrityError when it is malformed."""
        value = dag_cbor.decode(data)
        if not isinstance(value, list):
            raise IntegrityError("a piece list is a list")
        return cls(tuple(_piece(item) for item in value))

    def digest(self) -> bytes:
        """The SHA-256 both sides sign."""
        return hashlib.sha256(self.encode()).digest()

    def changed(self, added: Iterable[Piece] = (), removed: Collection[bytes] = ()) -> PieceList:
        """The list after a Change: removed roots go, new pieces are appended. Raises IntegrityError for an unknown
        root."""
        gone = set(removed)
        if unknown := gone - {piece.root for piece in self.pieces}:
            raise IntegrityError(f"piece {next(iter(unknown)).hex()} is not in the list")
        return PieceList((*(piece for piece in self.pieces if piece.root not in gone), *added))

    @property
    def root(self) -> bytes:
        """What Terms and Change name: the tree's root, or 32 zero bytes when there is no piece."""
        return self.tree().root if self.pieces else bytes(32)

    def tree(self) -> AgreementTree:
        """The sum tree over the pieces (at least one)."""
        return AgreementTree(self.pieces)


class AgreementTree:
    """The sum tree over an agreement's pieces: what `Terms.root` and `Terms.leaves` commit to."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        self._tree = SumTree.of([entry(piece.root, piece.leaves) for piece in self.pieces])

    @property
    def root(self) -> bytes:
        """32 bytes."""
        return self._tree.root.hash

    @property
    def leaves(self) -> int:
        """KiB."""
        return self._tree.root.sum

    def proof(self, leaf: int) -> Found:
        """Which piece holds leaf number `leaf` of the agreement, where in it, and the path upward."""
        return self._tree.find(leaf)

    def path(self, index: int) -> tuple[Sibling, ...]:
        """The path of a whole piece, as `claimRepair` takes it after `encode_path`."""
        return self._tree.path(index)


def _piece(item: dag_cbor.Node) -> Piece:
    if isinstance(item, list) and len(item) == 2:
        root, leaves = item
        if isinstance(root, bytes) and isinstance(leaves, int) and not isinstance(leaves, bool):
            return Piece(root, leaves)
    raise IntegrityError("a piece is [root, leaves]")
