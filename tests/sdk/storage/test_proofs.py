"""Proof answers: byte for byte those of the shared vectors, and nothing else verifies."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK
from blackhole.storage.agreement_tree import AgreementTree, Piece
from blackhole.storage.blocks import BlockList, block_digest
from blackhole.storage.ipfs.store import BlockNotFound, MemoryBlockStore
from blackhole.storage.proofs import (
    Held,
    Sample,
    build_answer,
    build_answers,
    prove_chunk,
    verify_answer,
    verify_chunk,
)
from blackhole.storage.sum_tree import encode_path
from hypothesis import given, settings
from hypothesis import strategies as st

VECTORS = Path(__file__).parents[2] / "vectors" / "proof.json"


def pattern(size: int, seed: bytes) -> bytes:
    return hashlib.shake_128(seed).digest(size)


class AnyBlocks(BlockList):
    """Blocks of any size in any place: the chain allows them and the vectors hold some, our shards do not."""

    def __init__(self, blocks: list[bytes]) -> None:
        object.__setattr__(self, "digests", tuple(map(block_digest, blocks)))
        object.__setattr__(self, "length", sum(map(len, blocks)))
        object.__setattr__(self, "blocks", blocks)

    def size(self, index: int) -> int:
        return len(self.blocks[index])  # type: ignore[attr-defined]


def held(pieces: list[list[bytes]]) -> tuple[Held, MemoryBlockStore]:
    store = MemoryBlockStore()
    lists = [AnyBlocks(blocks) for blocks in pieces]
    for blocks, listed in zip(pieces, lists, strict=True):
        store.put_many(zip(listed.cids, blocks, strict=True))
    by_root = {listed.piece.root: listed for listed in lists}
    return Held(AgreementTree([listed.piece for listed in lists]), by_root.__getitem__), store


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_answers_are_those_of_the_vectors() -> None:
    vectors: dict[str, Any] = json.loads(VECTORS.read_text())
    checked = 0
    for agreement in vectors["agreements"]:
        pieces = []
        for piece in agreement["pieces"]:
            blocks = []
            for block in piece["blocks"]:
                seed, size = unhex(block["pattern"]), block["size"]
                blocks.append((seed * (size // len(seed) + 1))[:size])
            pieces.append(blocks)
        mine, store = held(pieces)
        assert mine.tree.root == unhex(agreement["root"])
        assert mine.tree.leaves == agreement["leaves"]
        for index, piece in enumerate(agreement["pieces"]):
            assert mine.tree.pieces[index] == Piece(unhex(piece["root"]), piece["leaves"])
            assert encode_path(mine.tree.path(index)) == unhex(piece["path"])
        for answer in agreement["answers"]:
            assert build_answer(mine, answer["offset"], store) == unhex(answer["answer"])
            checked += 1
    assert checked > 10


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=6), st.data())
def test_every_leaf_can_be_proven_and_no_changed_byte_verifies(sizes: list[int], data: st.DataObject) -> None:
    mine, store = held([[pattern(size, bytes([index]))] for index, size in enumerate(sizes)])
    offset = data.draw(st.integers(0, mine.tree.leaves - 1))
    answer = build_answer(mine, offset, store)
    root, leaves = mine.tree.root, mine.tree.leaves
    assert verify_answer(answer, root, leaves, offset) == b""
    assert verify_answer(answer + b"next", root, leaves, offset) == b"next"
    for other in {0, leaves - 1, offset + 1} - {offset}:
        with pytest.raises(IntegrityError):
            verify_answer(answer, root, leaves, other)
    position = data.draw(st.integers(0, len(answer) - 1))
    changed = answer[:position] + bytes([answer[position] ^ data.draw(st.integers(1, 255))]) + answer[position + 1 :]
    for wrong in (changed, answer[:position]):
        with pytest.raises(IntegrityError):
            verify_answer(wrong, root, leaves, offset)


def test_answers_of_several_agreements_follow_each_other() -> None:
    first, store = held([[pattern(BLOCK, b"a"), pattern(3000, b"b")]])
    second, more = held([[pattern(100, b"c")], [pattern(2048, b"d")]])
    store.put_many((cid, more.get(cid)) for cid in more.cids())
    agreements = {7: first, 9: second}
    samples = [Sample(7, 1025), Sample(9, 0), Sample(7, 1025), Sample(7, 511)]
    rest = build_answers(samples, agreements.__getitem__, store)
    for sample in samples:
        tree = agreements[sample.agreement].tree
        rest = verify_answer(rest, tree.root, tree.leaves, sample.offset)
    assert rest == b""


def test_only_the_sampled_block_is_read() -> None:
    mine, store = held([[pattern(BLOCK, b"a"), pattern(BLOCK, b"b"), pattern(3000, b"c")]])
    kept = BlockList.of([pattern(BLOCK, b"a"), pattern(BLOCK, b"b"), pattern(3000, b"c")]).cid(1)
    store.delete([cid for cid in store.cids() if cid != kept])
    answer = build_answer(mine, 1500, store)
    assert verify_answer(answer, mine.tree.root, mine.tree.leaves, 1500) == b""
    with pytest.raises(BlockNotFound):
        build_answer(mine, 5, store)


def test_a_wrong_block_list_is_noticed() -> None:
    mine, store = held([[pattern(5000, b"a")]])
    other = BlockList.of([pattern(5000, b"b")])
    with pytest.raises(IntegrityError, match="not that piece"):
        build_answer(Held(mine.tree, lambda root: other), 0, store)


def test_an_audited_chunk_verifies_against_the_block_alone() -> None:
    block = pattern(10_500, b"audit")
    digest = BlockList.of([block]).digests[0]
    for chunk in range(11):
        proof = prove_chunk(block, chunk, digest)
        assert verify_chunk(proof, digest, chunk, 11) == block[chunk * 1024 : (chunk + 1) * 1024]
        for wrong in (proof[:-1], proof + b"\0", b"", proof[:2], bytes(len(proof))):
            with pytest.raises(IntegrityError):
                verify_chunk(wrong, digest, chunk, 11)
        with pytest.raises(IntegrityError):
            verify_chunk(proof, digest, (chunk + 1) % 11, 11)
    with pytest.raises(IntegrityError):
        prove_chunk(block[:-1], 0, digest)
