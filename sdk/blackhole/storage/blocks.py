"""A shard's identity: blocks of at most 1 MiB under BLAKE3 CIDs, a root CID as IPFS makes it, and a piece as proofs see
it.

The same blocks carry two trees. The CID of the shard is what `ipfs add --hash=blake3 --chunker=size-1048576
--raw-leaves --cid-version=1` prints; the piece root is the SHA-256 sum tree the chain samples (`sum_tree`). Both follow
from the list of block digests and the length alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK, LEAF
from blackhole.storage.ipfs.cid import BLAKE3, RAW, Cid
from blackhole.storage.sum_tree import SumTree, entry

if TYPE_CHECKING:
    from blackhole.storage.agreement_tree import Piece
    from blackhole.storage.ipfs.unixfs import Reader


def block_digest(block: bytes | bytearray | memoryview) -> bytes:
    """The BLAKE3-256 of a block: the digest inside its CID."""
    from blake3 import blake3

    return blake3(block).digest()


def block_cid(block: bytes | bytearray | memoryview) -> Cid:
    """The CID of a block: CIDv1, raw, BLAKE3-256."""
    return Cid.make(RAW, BLAKE3, block_digest(block))


def verify_block(cid: bytes, block: bytes | bytearray | memoryview) -> None:
    """Raises IntegrityError unless `block` is what `cid` names."""
    if not Cid.parse(cid).matches(block):
        raise IntegrityError(f"block {Cid(cid)} is not what its CID says")


@dataclass(frozen=True)
class BlockList:
    """The blocks of a piece, in order: their digests and the length of the piece in bytes."""

    digests: tuple[bytes, ...]
    length: int

    def __post_init__(self) -> None:
        if self.length < 0 or len(self.digests) != max(1, -(-self.length // BLOCK)):
            raise IntegrityError(f"{len(self.digests)} blocks cannot hold {self.length} bytes")
        if any(len(digest) != 32 for digest in self.digests):
            raise IntegrityError("a block digest has 32 bytes")

    @classmethod
    def of(cls, blocks: Iterable[bytes | bytearray | memoryview]) -> BlockList:
        """The list of a piece whose blocks come in order: each 1 MiB but the last."""
        digests = []
        length = 0
        for block in blocks:
            if len(block) > BLOCK or length % BLOCK:
                raise IntegrityError("every block but the last has 1 MiB")
            digests.append(block_digest(block))
            length += len(block)
        return cls(tuple(digests or [block_digest(b"")]), length)

    @classmethod
    def read(cls, stream: Reader) -> BlockList:
        """The list of everything a binary stream holds, 1 MiB in memory at a time."""
        from blackhole.storage.ipfs.unixfs import chunks_of

        return cls.of(chunks_of(stream))

    def size(self, index: int) -> int:
        """bytes of a block."""
        if not 0 <= index < len(self.digests):
            raise IndexError(index)
        return min(BLOCK, self.length - index * BLOCK)

    def chunks(self, index: int) -> int:
        """1 KiB chunks of a block; an empty block counts as one."""
        return max(1, -(-self.size(index) // LEAF))

    def cid(self, index: int) -> Cid:
        """The CID of a block."""
        return Cid.make(RAW, BLAKE3, self.digests[index])

    @property
    def cids(self) -> tuple[Cid, ...]:
        """The CIDs of all blocks."""
        return tuple(self.cid(index) for index in range(len(self.digests)))

    @property
    def root_cid(self) -> Cid:
        """The CID of the whole, as `ipfs add` with BLAKE3 makes it; of a single block, the block's own."""
        from blackhole.storage.ipfs.unixfs import file_root

        leaves = ((self.cid(index), self.size(index)) for index in range(len(self.digests)))
        return file_root(leaves, BLAKE3).cid

    @property
    def tree(self) -> SumTree:
        """The piece tree: the SHA-256 sum tree over the blocks."""
        return SumTree.of([entry(digest, self.chunks(index)) for index, digest in enumerate(self.digests)])

    @property
    def piece(self) -> Piece:
        """What agreements list: the piece tree's root and its leaves."""
        from blackhole.storage.agreement_tree import Piece

        root = self.tree.root
        return Piece(root.hash, root.sum)
