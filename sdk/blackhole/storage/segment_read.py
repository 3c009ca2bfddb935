"""Reading a segment back from any k shards, and rebuilding lost shards without its content key.

Both take a row at a time: the same block of several shards, already checked against their CIDs. A range of bytes needs
only the units it lies in, and whatever is read is authenticated once more by the chunk's tag, so unchecked ranges of
blocks may be used as long as nothing is paid for them before it decrypts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from blackhole.errors import IntegrityError, NotEnoughShards
from blackhole.protocol import BLOCK
from blackhole.storage.blocks import block_digest
from blackhole.storage.encryption import Buffer, SegmentDecryptor
from blackhole.storage.erasure import ErasureCode
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.masking import ShardMasks
from blackhole.storage.profiles import TAG
from blackhole.storage.rows import RowBuffer

FetchRow = Callable[[int], Mapping[int, Buffer]]
"""Takes a row's number and returns blocks of that row by shard: all data shards, or any k."""


class RowDecoder:
    """Turns rows of one segment back into plaintext, in memory it reuses. One thread at a time."""

    def __init__(self, layout: SegmentLayout, decryptor: SegmentDecryptor, masks: ShardMasks) -> None:
        if decryptor.chunks != layout.chunks:
            raise ValueError("the decryptor is of another segment")
        self.layout = layout
        self._decryptor = decryptor
        self._masks = masks
        self._code = ErasureCode(layout.k, layout.n)
        self._rows = RowBuffer(layout.n, min(BLOCK, layout.shard_length))
        self._plaintext = RowBuffer(1, layout.k * self._rows.size).row(0)

    def row(self, row: int, blocks: Mapping[int, Buffer], start: int = 0, stop: int | None = None) -> memoryview:
        """The plaintext of a row, or what of it lies between the segment's bytes `start` and `stop`: a view into reused
        memory, valid until the next row is taken.

        `blocks` are masked blocks by shard: any k, or just the data shards that hold the bytes. Raises NotEnoughShards,
        IntegrityError.
        """
        stripes = self.layout.row_stripes(row)
        return self.stripes(stripes.start, len(stripes), blocks, start, stop)

    def stripes(
        self, first: int, count: int, parts: Mapping[int, Buffer], start: int = 0, stop: int | None = None
    ) -> memoryview:
        """As `row`, for `count` stripes of one row: `parts` are the bytes of these stripes in each shard."""
        layout = self.layout
        offset, length = first * layout.unit, count * layout.unit
        if offset // BLOCK != (offset + length - 1) // BLOCK or offset + length > layout.shard_length:
            raise ValueError("these stripes are not in one row")
        for shard, part in parts.items():
            if not 0 <= shard < layout.n or len(part) != length:
                raise IntegrityError(f"shard {shard} has {len(part)} bytes here, not {length}")
        low = max(start, first * layout.k * layout.payload)
        high = min(layout.length if stop is None else stop, layout.length, (first + count) * layout.k * layout.payload)
        if layout.length == 0:
            chunks = range(1)
        elif low >= high:
            return memoryview(b"")
        else:
            chunks = layout.chunks_of(low, high)
        self._recover({chunk % layout.k for chunk in chunks}, parts, offset, length)
        return self._decrypt(chunks, offset, low, high)

    def _recover(self, needed: set[int], parts: Mapping[int, Buffer], offset: int, length: int) -> None:
        """Unmask the shards in `needed`, computing those that are missing."""
        missing = sorted(needed - parts.keys())
        sources = sorted(parts)[: self.layout.k] if missing else sorted(needed)
        for shard in sorted(needed.intersection(parts).union(sources)):
            self._masks.apply(shard, offset, parts[shard], self._rows.row(shard, 0, length))
        self._code.rebuild(self._rows, sources, missing, 0, length)

    def _decrypt(self, chunks: range, offset: int, low: int, high: int) -> memoryview:
        layout = self.layout
        base = chunks.start * layout.payload
        for chunk in chunks:
            shard, span = layout.chunk_place(chunk)
            at = chunk * layout.payload - base
            ciphertext = self._rows.row(shard, span.start - offset, span.length)
            self._decryptor.decrypt_into(chunk, ciphertext, self._plaintext[at : at + span.length - TAG])
        return self._plaintext[low - base : high - base].toreadonly()


def decode_segment(
    layout: SegmentLayout,
    decryptor: SegmentDecryptor,
    masks: ShardMasks,
    fetch: FetchRow,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[bytes]:
    """The plaintext of a segment, or of its bytes `start` to `stop`, a row at a time. Raises NotEnoughShards,
    IntegrityError.

    An empty segment still has one chunk, whose tag is checked.
    """
    decoder = RowDecoder(layout, decryptor, masks)
    end = layout.length if stop is None else stop
    for row in layout.rows_of(start, end) if layout.length else range(1):
        yield bytes(decoder.row(row, fetch(row), start, end))


class RebuiltRow(NamedTuple):
    """A row's rebuilt blocks by shard: views into reused memory, valid until the next row is taken."""

    row: int
    blocks: Mapping[int, memoryview]


class ShardRebuilder:
    """Makes lost shards from any k others with the mask key alone: the content stays encrypted, the bytes come back the
    same."""

    def __init__(self, layout: SegmentLayout, masks: ShardMasks) -> None:
        self.layout = layout
        self._masks = masks
        self._code = ErasureCode(layout.k, layout.n)
        self._rows = RowBuffer(layout.n, min(BLOCK, layout.shard_length))

    def row(self, row: int, blocks: Mapping[int, Buffer], missing: Sequence[int]) -> RebuiltRow:
        """The blocks of the shards `missing`. `blocks` are k or more masked blocks, checked against their CIDs.
        Raises NotEnoughShards, IntegrityError for a block of the wrong size."""
        span = self.layout.row_span(row)
        sources = sorted(shard for shard in blocks if shard not in missing)[: self.layout.k]
        if len(sources) < self.layout.k:
            raise NotEnoughShards(
                f"{len(sources)} shards can be reached, {self.layout.k} are needed",
                data={"have": len(sources), "need": self.layout.k},
            )
        for shard in sources:
            if not 0 <= shard < self.layout.n or len(blocks[shard]) != span.length:
                raise IntegrityError(f"shard {shard} has {len(blocks[shard])} bytes here, not {span.length}")
            self._masks.apply(shard, span.start, blocks[shard], self._rows.row(shard, 0, span.length))
        self._code.rebuild(self._rows, sources, missing, 0, span.length)
        rebuilt = {shard: self._rows.row(shard, 0, span.length) for shard in missing}
        for shard, view in rebuilt.items():
            self._masks.apply(shard, span.start, view, view)
        return RebuiltRow(row, rebuilt)


def rebuild_shards(
    layout: SegmentLayout,
    masks: ShardMasks,
    fetch: FetchRow,
    missing: Sequence[int],
    digests: Mapping[int, Sequence[bytes]],
) -> Iterator[RebuiltRow]:
    """Rebuild the shards `missing`, row by row. `digests` are the manifest's block digests of those shards: a rebuilt
    block that differs raises IntegrityError (a wrong repair-cap, or blocks that were not checked) and is not given
    out."""
    rebuilder = ShardRebuilder(layout, masks)
    for row in range(layout.rows):
        rebuilt = rebuilder.row(row, fetch(row), missing)
        for shard, block in rebuilt.blocks.items():
            if block_digest(block) != digests[shard][row]:
                raise IntegrityError(f"block {row} of shard {shard} did not come back as it was: wrong repair-cap?")
        yield rebuilt
