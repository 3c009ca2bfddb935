"""The BLAKE3 tree inside a block, and the sum trees above blocks and pieces."""

from __future__ import annotations

import hashlib
import io

import pytest
from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK
from blackhole.storage.agreement_tree import AgreementTree, Piece, PieceList
from blackhole.storage.blake3_tree import CHUNK, ChunkTree, digest_of_path
from blackhole.storage.blocks import BlockList, block_cid, verify_block
from blackhole.storage.ipfs.cid import DAG_PB, RAW
from blackhole.storage.sum_tree import SumNode, SumTree, climb, decode_path, encode_path, entry, parent
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st


def pattern(size: int, seed: bytes = b"") -> bytes:
    return hashlib.shake_128(seed).digest(size)


@pytest.mark.parametrize(
    "size", [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 5000, 777_777, BLOCK - 1, BLOCK]
)
def test_the_chunk_tree_ends_in_the_hash_of_the_block(size: int) -> None:
    block = pattern(size)
    tree = ChunkTree.of(block)
    assert tree.digest == blake3(block).digest()
    for chunk in {0, tree.chunks // 2, tree.chunks - 1}:
        piece = block[chunk * CHUNK : (chunk + 1) * CHUNK]
        assert digest_of_path(piece, chunk, tree.chunks, tree.path(chunk)) == tree.digest


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40_000), st.data())
def test_no_changed_chunk_path_or_position_leads_to_the_digest(size: int, data: st.DataObject) -> None:
    block = pattern(size)
    tree = ChunkTree.of(block)
    index = data.draw(st.integers(0, tree.chunks - 1))
    chunk, path = block[index * CHUNK : (index + 1) * CHUNK], tree.path(index)
    position = data.draw(st.integers(0, len(chunk) - 1))
    changed = chunk[:position] + bytes([chunk[position] ^ 1]) + chunk[position + 1 :]
    assert digest_of_path(changed, index, tree.chunks, path) != tree.digest
    assert digest_of_path(chunk[:-1], index, tree.chunks, path) != tree.digest
    assert digest_of_path(chunk, index, tree.chunks, [*path, bytes(32)]) is None
    for step in range(len(path)):
        wrong = [*path[:step], hashlib.sha256(path[step]).digest(), *path[step + 1 :]]
        assert digest_of_path(chunk, index, tree.chunks, wrong) != tree.digest
        assert digest_of_path(chunk, index, tree.chunks, path[:step]) is None
    for other in {0, tree.chunks - 1, tree.chunks} - {index}:
        assert digest_of_path(chunk, other, tree.chunks, path) != tree.digest


def items(count: int) -> list[SumNode]:
    return [
        SumNode(hashlib.sha256(bytes([index % 256, index // 256])).digest(), 1 + index % 5) for index in range(count)
    ]


def recursive_root(nodes: list[SumNode]) -> SumNode:
    """The definition: the left subtree has the largest power of two below n."""
    if len(nodes) == 1:
        return nodes[0]
    left = 1 << (len(nodes) - 1).bit_length() - 1
    return parent(recursive_root(nodes[:left]), recursive_root(nodes[left:]))


@pytest.mark.parametrize("count", [*range(1, 20), 31, 32, 33, 100])
def test_the_sum_tree_is_left_complete(count: int) -> None:
    nodes = items(count)
    tree = SumTree.of(nodes)
    assert tree.root == recursive_root(nodes)
    for index, node in enumerate(nodes):
        assert climb(node, tree.path(index)) == tree.root


@given(st.lists(st.integers(1, 7), min_size=1, max_size=40))
def test_every_leaf_number_leads_to_its_item(sums: list[int]) -> None:
    nodes = [SumNode(hashlib.sha256(bytes([index])).digest(), total) for index, total in enumerate(sums)]
    tree = SumTree.of(nodes)
    places = [(index, offset) for index, total in enumerate(sums) for offset in range(total)]
    for leaf, place in enumerate(places):
        found = tree.find(leaf)
        assert (found.item, found.offset) == place
        assert climb(nodes[found.item], found.path) == tree.root
    with pytest.raises(IndexError):
        tree.find(len(places))


@given(st.lists(st.integers(1, 7), min_size=2, max_size=20), st.data())
def test_no_changed_hash_sum_side_or_length_keeps_the_root(sums: list[int], data: st.DataObject) -> None:
    nodes = [SumNode(hashlib.sha256(bytes([index])).digest(), total) for index, total in enumerate(sums)]
    tree = SumTree.of(nodes)
    index = data.draw(st.integers(0, len(nodes) - 1))
    path = list(tree.path(index))
    assert climb(SumNode(nodes[index].hash, nodes[index].sum + 1), path) != tree.root
    step = data.draw(st.integers(0, len(path) - 1))
    sibling, left = path[step]
    for wrong in (
        (SumNode(sibling.hash, sibling.sum + 1), left),
        (SumNode(hashlib.sha256(sibling.hash).digest(), sibling.sum), left),
        (sibling, not left),
    ):
        assert climb(nodes[index], [*path[:step], type(path[step])(*wrong), *path[step + 1 :]]) != tree.root
    assert climb(nodes[index], path[:-1]) != tree.root


def test_sums_outside_48_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="between"):
        entry(bytes(32), 0)
    with pytest.raises(ValueError, match="fewer than 2"):
        parent(SumNode(bytes(32), (1 << 48) - 1), SumNode(bytes(32), 1))


@pytest.mark.parametrize("size", [1, 1024, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 1500])
def test_a_piece_counts_its_blocks_and_kibibytes(size: int) -> None:
    data = pattern(size)
    blocks = BlockList.read(io.BytesIO(data))
    assert blocks == BlockList.of(data[at : at + BLOCK] for at in range(0, size, BLOCK))
    assert blocks.piece.leaves == -(-size // 1024)
    for index, cid in enumerate(blocks.cids):
        verify_block(cid, data[index * BLOCK : (index + 1) * BLOCK])
    if len(blocks.digests) == 1:
        assert blocks.root_cid == block_cid(data)
        assert blocks.root_cid.codec == RAW
        assert blocks.piece.root == entry(blocks.digests[0], blocks.piece.leaves).hash
    else:
        assert blocks.root_cid.codec == DAG_PB


def test_a_block_list_that_lies_about_its_length_is_refused() -> None:
    digest = bytes(32)
    for digests, length in [((digest,), BLOCK + 1), ((digest, digest), BLOCK), ((), 0), ((b"x",), 1), ((digest,), -1)]:
        with pytest.raises(IntegrityError):
            BlockList(digests, length)
    with pytest.raises(IntegrityError):
        BlockList.of([b"short", b"more"])


def test_a_leaf_of_an_agreement_leads_to_its_piece_and_block() -> None:
    shards = [BlockList.of([pattern(BLOCK, bytes([shard])), pattern(5000, bytes([shard]))]) for shard in range(5)]
    agreement = AgreementTree([shard.piece for shard in shards])
    assert agreement.leaves == 5 * (1024 + 5)
    for leaf in (0, 1023, 1024, 1028, 1029, agreement.leaves - 1):
        found = agreement.proof(leaf)
        piece = agreement.pieces[found.item]
        inside = shards[found.item].tree.find(found.offset)
        assert climb(shards[found.item].tree.levels[0][inside.item], inside.path) == SumNode(*piece)
        assert climb(entry(*piece), found.path) == SumNode(agreement.root, agreement.leaves)
        assert decode_path(encode_path(found.path)) == found.path
    for malformed in (b"\0", bytes([2]) + bytes(38), bytes(40)):
        with pytest.raises(IntegrityError):
            decode_path(malformed)


def test_a_piece_list_grows_shrinks_and_is_canonical() -> None:
    pieces = [Piece(bytes([index]) * 32, index + 1) for index in range(4)]
    old = PieceList(tuple(pieces[:3]))
    new = old.changed([pieces[3]], [pieces[1].root])
    assert new.pieces == (pieces[0], pieces[2], pieces[3])
    assert new.leaves == 8
    assert PieceList.decode(new.encode()) == new
    assert new.digest() == hashlib.sha256(new.encode()).digest() != old.digest()
    assert new.tree().leaves == new.leaves
    assert (new.root, PieceList().root) == (new.tree().root, bytes(32))
    with pytest.raises(IntegrityError, match="not in the list"):
        old.changed(removed=[pieces[3].root])
    with pytest.raises(IntegrityError, match="twice"):
        old.changed([pieces[0]])
    for bad in (b"\x80\x00", b"\x81\x80", b"\xa0", PieceList().encode() + b"\0"):
        with pytest.raises(IntegrityError):
            PieceList.decode(bad)
