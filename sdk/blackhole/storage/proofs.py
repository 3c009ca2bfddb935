"""Possession proofs: what a node submits to `StorageMarket.prove`, in the layout of docs/proof-format.md.

The node keeps no tree but the block digests of its pieces. For a sampled leaf it reads one block, recomputes that
block's BLAKE3 tree, and takes the paths of block and piece from the lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from blackhole.errors import IntegrityError
from blackhole.storage.agreement_tree import AgreementTree
from blackhole.storage.blake3_tree import CHUNK, ChunkTree, digest_of_path
from blackhole.storage.blocks import BlockList
from blackhole.storage.ipfs.store import BlockStore
from blackhole.storage.sum_tree import SUM_BYTES, Found, SumNode, climb, decode_path, encode_path, entry


class Sample(NamedTuple):
    """A sampled leaf, as `StorageMarket.leafAt` gives it: the agreement and the leaf's number inside it."""

    agreement: int
    offset: int


class Held(NamedTuple):
    """What a node knows of an agreement: its tree, and how to find a piece's blocks by the piece's root."""

    tree: AgreementTree
    blocks: Callable[[bytes], BlockList]


Lookup = Callable[[int], Held]
"""Takes an agreement's id. Its errors pass through."""


def build_answers(samples: Iterable[Sample], lookup: Lookup, store: BlockStore) -> bytes:
    """`answers` for `prove`: one after the other, in the order of the samples.

    Raises BlockNotFound when a sampled block is gone, IntegrityError when it, or a list, is not what was promised.
    """
    return b"".join(build_answer(lookup(sample.agreement), sample.offset, store) for sample in samples)


def build_answer(held: Held, offset: int, store: BlockStore) -> bytes:
    """The answer for one leaf of one agreement. Raises as `build_answers`."""
    in_agreement = held.tree.proof(offset)
    piece = held.tree.pieces[in_agreement.item]
    blocks = held.blocks(piece.root)
    if blocks.piece != piece:
        raise IntegrityError(f"the block list of piece {piece.root.hex()} is not that piece's")
    in_piece = blocks.tree.find(in_agreement.offset)
    block = store.get(blocks.cid(in_piece.item))
    return b"".join(
        (
            _entry(piece.root, piece.leaves, in_agreement),
            _entry(blocks.digests[in_piece.item], blocks.chunks(in_piece.item), in_piece),
            prove_chunk(block, in_piece.offset, blocks.digests[in_piece.item]),
        )
    )


def prove_chunk(block: bytes, chunk: int, digest: bytes) -> bytes:
    """A chunk and its way up to the block's digest: u16 length ‖ chunk ‖ u8 siblings ‖ 32 bytes each.

    Raises IntegrityError when the block does not hash to `digest`, IndexError when it has no such chunk.
    """
    tree = ChunkTree.of(block)
    if tree.digest != digest:
        raise IntegrityError("a stored block is not what its CID says")
    path = tree.path(chunk)
    data = block[chunk * CHUNK : (chunk + 1) * CHUNK]
    return len(data).to_bytes(2, "big") + data + bytes([len(path)]) + b"".join(path)


class ProvenChunk(NamedTuple):
    """What a chunk proof holds."""

    data: bytes
    path: tuple[bytes, ...]
    length: int
    """bytes of the whole proof."""


def parse_chunk(proof: bytes) -> ProvenChunk:
    """Read the beginning of `proof` as `prove_chunk` writes it. Raises IntegrityError when it ends too early."""
    size = int.from_bytes(proof[:2], "big")
    siblings_at = 2 + size
    count = proof[siblings_at] if siblings_at < len(proof) else 0
    end = siblings_at + 1 + 32 * count
    if end > len(proof) or not 1 <= size <= CHUNK:
        raise IntegrityError("a malformed chunk proof")
    path = tuple(proof[at : at + 32] for at in range(siblings_at + 1, end, 32))
    return ProvenChunk(proof[2:siblings_at], path, end)


def verify_chunk(proof: bytes, digest: bytes, chunk: int, chunks: int) -> bytes:
    """The bytes of a chunk, proven against the block's digest alone: for audits. Raises IntegrityError."""
    parsed = parse_chunk(proof)
    if parsed.length != len(proof) or digest_of_path(parsed.data, chunk, chunks, parsed.path) != digest:
        raise IntegrityError("a chunk does not belong to its block")
    return parsed.data


def verify_answer(answer: bytes, root: bytes, leaves: int, offset: int) -> bytes:
    """Check an answer as the contract does, against the agreement's root and leaves; returns what follows it.

    Raises IntegrityError.
    """
    piece, offset, answer = _climb(answer, SumNode(root, leaves), offset)
    block, offset, answer = _climb(answer, piece, offset)
    parsed = parse_chunk(answer)
    if digest_of_path(parsed.data, offset, block.sum, parsed.path) != block.hash:
        raise IntegrityError("a chunk does not belong to its block")
    return answer[parsed.length :]


def _entry(digest: bytes, leaves: int, found: Found) -> bytes:
    return digest + leaves.to_bytes(SUM_BYTES, "big") + bytes([len(found.path)]) + encode_path(found.path)


def _climb(answer: bytes, root: SumNode, offset: int) -> tuple[SumNode, int, bytes]:
    """(entry, offset inside it, the rest) of an entry that must lie under `root` and cover `offset`."""
    head = 32 + SUM_BYTES
    if len(answer) <= head:
        raise IntegrityError("an answer ends too early")
    found = SumNode(answer[:32], int.from_bytes(answer[32:head], "big"))
    end = head + 1 + 39 * answer[head]
    path = decode_path(answer[head + 1 : end])
    start = sum(sibling.sum for sibling, left in path if left)
    try:
        top = climb(entry(*found), path)
    except ValueError as error:
        raise IntegrityError("an answer with impossible sums") from error
    if len(answer) < end or top != root or not start <= offset < start + found.sum:
        raise IntegrityError("an answer's entry is not where the leaf is")
    return found, offset - start, answer[end:]
