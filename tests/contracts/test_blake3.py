"""Blake3Chunk and ProofVerifier against PyPI blake3: thousands of proofs by eth_call, right ones and spoilt ones.

400 of each by default, 10,000 in `make fuzz`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import islice

import pytest
from model.chain import Chain, Contract, Reverted
from model.storage_proof import CHUNK, Block, Content, Piece, left_size

PROOFS = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 400
BATCH = 200
pytestmark = pytest.mark.timeout(1800)
MIB = 1 << 20
# One chunk, its edges, short last chunks, counts that are no power of two, a full block and its neighbours.
EDGES = (1, 63, 64, 65, 128, 960, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 5 * 1024 + 1, 7 * 1024, 31 * 1024 + 17)
LARGE = (MIB, MIB - 1, MIB - 1023, 1023 * CHUNK, 700 * CHUNK + 333, 513 * CHUNK)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain() as running:
        yield running


@pytest.fixture(scope="module")
def blake3(chain: Chain) -> Contract:
    return chain.deploy("Blake3Chunk")


@pytest.fixture(scope="module")
def verifier(chain: Chain, blake3: Contract) -> Contract:
    return chain.deploy("ProofVerifier", blake3.address)


Row = tuple[Block, int, int, bytes]
"""Block, index, length, proof."""


def proof_of(block: Block, index: int) -> bytes:
    return block.chunk(index) + b"".join(block.siblings(index))


def proofs(seed: int) -> Iterator[Row]:
    """Without end: each block gives a few of its chunks, always the first and the last."""
    source = random.Random(seed)
    large = [Block(source.randbytes(size)) for size in LARGE[: 6 if PROOFS > 1000 else 2]]
    while True:
        size = source.choice(EDGES) if source.random() < 0.4 else source.randint(1, 40 * CHUNK)
        block = source.choice(large) if source.random() < 0.2 else Block(source.randbytes(size))
        for index in {0, block.chunks - 1, source.randrange(block.chunks), source.randrange(block.chunks)}:
            yield block, index, len(block.chunk(index)), proof_of(block, index)


def batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    left = PROOFS
    while left > 0:
        batch = list(islice(rows, min(BATCH, left)))
        left -= len(batch)
        yield batch


def test_every_chunk_of_every_block_gives_the_digest_of_pypi_blake3(chain: Chain, blake3: Contract) -> None:
    for batch in batches(proofs(1)):
        answers = chain.calls([(blake3, "rootOf", i, block.chunks, size, proof) for block, i, size, proof in batch])
        for (block, index, _, _), answer in zip(batch, answers, strict=True):
            assert answer == block.digest, (len(block.data), index)


def way_up(index: int, count: int) -> list[bool] | None:
    """The sides of a chunk's siblings; None where there is no such chunk."""
    if not (0 <= index < count <= 1024):
        return None
    sides: list[bool] = []
    while count > 1:
        left = left_size(count)
        sides.append(index >= left)
        index, count = (index - left, count - left) if index >= left else (index, left)
    return sides


def spoilt(row: Row, source: random.Random) -> tuple[str, int, int, int, bytes]:
    """One thing changed: what it is, then index, count, length and proof."""
    block, index, size, proof = row
    count = block.chunks
    kinds = ["bit", "index", "count", "cut", "grown", "length"]
    if count > 1:
        kinds += ["sibling", "swap"] if len(proof) - size >= 64 else ["sibling"]
    kind = source.choice(kinds)
    if kind == "bit":
        at = source.randrange(len(proof))
        proof = proof[:at] + bytes([proof[at] ^ 1 << source.randrange(8)]) + proof[at + 1 :]
    elif kind == "index":
        index = source.choice(
            [i for i in (index + 1, index - 1, index ^ 2, index + 1024, 2**64) if i != index and i >= 0]
        )
    elif kind == "count":
        count = source.choice([c for c in (count + 1, count - 1, 2 * count, 0, 1025) if c != count])
    elif kind == "cut":
        proof = proof[: -source.randint(1, len(proof))]
    elif kind == "grown":
        proof += source.randbytes(source.choice((1, 31, 32, 64)))
    elif kind == "length":
        # The bytes of a chunk taken for more or fewer than they are.
        size = source.choice([n for n in (size - 1, size + 1, size - 32, size + 32, 0, 1025) if n != size and n >= 0])
    elif kind == "sibling":
        at = size + 32 * source.randrange((len(proof) - size) // 32)
        proof = proof[:at] + source.randbytes(32) + proof[at + 32 :]
    elif kind == "swap":
        proof = proof[:size] + proof[size + 32 : size + 64] + proof[size : size + 32] + proof[size + 64 :]
    return kind, index, count, size, proof


def test_whatever_is_changed_the_digest_is_another(chain: Chain, blake3: Contract) -> None:
    source = random.Random(2)
    seen: set[str] = set()
    for batch in batches(proofs(3)):
        changed = [spoilt(row, source) for row in batch]
        answers = chain.calls([(blake3, "rootOf", *rest) for _, *rest in changed])
        for row, (kind, _, changed_count, *_), answer in zip(batch, changed, answers, strict=True):
            seen.add(kind)
            if isinstance(answer, Reverted):
                assert answer.name == "MalformedChunk", kind
            elif kind == "count" and way_up(row[1], row[0].chunks) == way_up(row[1], changed_count):
                # A digest does not tell the count where the way up is the same; the piece tree's leaf does.
                assert answer == row[0].digest
            else:
                assert answer != row[0].digest, kind
    assert seen == {"bit", "index", "count", "cut", "grown", "length", "sibling", "swap"}


def test_a_zero_padded_short_chunk_is_another_chunk(chain: Chain, blake3: Contract) -> None:
    block = Block(b"\x01" * 1000)
    padded = block.data.ljust(1024, b"\0")
    assert chain.call(blake3, "rootOf", 0, 1, 1024, padded) == Block(padded).digest != block.digest


def test_answers_of_random_agreements_verify_at_their_offset_only(chain: Chain, verifier: Contract) -> None:
    source = random.Random(4)
    for _ in range(max(4, PROOFS // 200)):
        content = Content(
            tuple(
                Piece(tuple(Block(source.randbytes(source.randint(1, 6 * CHUNK))) for _ in range(source.randint(1, 7))))
                for _ in range(source.randint(1, 9))
            )
        )
        root, leaves = content.tree.root, content.tree.leaves
        offsets = source.sample(range(leaves), min(leaves, 12))
        answers = [content.answer(offset) for offset in offsets]
        right = chain.calls([(verifier, "verify", root, leaves, o, a) for o, a in zip(offsets, answers, strict=True)])
        assert right == [len(a) for a in answers]
        wrong = chain.calls(
            [(verifier, "verify", root, leaves, (o + 1) % leaves, a) for o, a in zip(offsets, answers, strict=True)]
        )
        assert leaves == 1 or all(isinstance(w, Reverted) for w in wrong)
