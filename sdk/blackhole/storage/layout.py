"""Where a segment's bytes are: in chunks, in stripes, in shards, in blocks.

plaintext   cut into chunks of `unit − 16` bytes; each chunk's ciphertext fills one unit, the last one perhaps less
stripe      k units side by side, one in each data shard: chunk i is in shard i mod k at ⌊i / k⌋ · unit
shard       `stripes · unit` bytes, zeros where no chunk reaches (stored like the rest)
row         the same 1 MiB block of all n shards: whole stripes, worked on together
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from blackhole.protocol import BLOCK, SEGMENT
from blackhole.storage.profiles import TAG, Profile


class Span(NamedTuple):
    """A stretch of a shard: bytes `start` to `start + length`."""

    start: int
    length: int


@dataclass(frozen=True)
class SegmentLayout:
    """The geometry of a segment of `length` plaintext bytes (0 to 64 MiB) under a profile."""

    profile: Profile
    length: int

    def __post_init__(self) -> None:
        if not 0 <= self.length <= SEGMENT:
            raise ValueError(f"a segment has 0 to {SEGMENT} bytes, not {self.length}")

    @property
    def k(self) -> int:
        """Data shards."""
        return self.profile.k

    @property
    def n(self) -> int:
        """All shards."""
        return self.profile.n

    @cached_property
    def unit(self) -> int:
        """bytes of a chunk's ciphertext, tag included; a whole number of KiB."""
        return self.profile.unit_for(self.length)

    @cached_property
    def payload(self) -> int:
        """Plaintext bytes of a full chunk."""
        return self.unit - TAG

    @cached_property
    def chunks(self) -> int:
        """At least one: an empty segment has an empty chunk."""
        return max(1, -(-self.length // self.payload))

    @cached_property
    def stripes(self) -> int:
        """Units of each shard."""
        return -(-self.chunks // self.k)

    @cached_property
    def shard_length(self) -> int:
        """bytes of every shard; a whole number of KiB."""
        return self.stripes * self.unit

    @cached_property
    def rows(self) -> int:
        """Blocks of each shard."""
        return -(-self.shard_length // BLOCK)

    @cached_property
    def stripes_per_row(self) -> int:
        """Stripes of a full row. A unit that does not divide 1 MiB belongs to a segment of one stripe."""
        return max(1, BLOCK // self.unit)

    def row_span(self, row: int) -> Span:
        """The bytes of each shard that are in a row."""
        if not 0 <= row < self.rows:
            raise IndexError(row)
        start = row * BLOCK
        return Span(start, min(BLOCK, self.shard_length - start))

    def row_stripes(self, row: int) -> range:
        """The stripes of a row."""
        first = row * self.stripes_per_row
        return range(first, min(first + self.stripes_per_row, self.stripes))

    def row_plaintext(self, row: int) -> range:
        """The plaintext bytes of a row."""
        stripes = self.row_stripes(row)
        stripe = self.k * self.payload
        return range(min(self.length, stripes.start * stripe), min(self.length, stripes.stop * stripe))

    def chunk_plaintext(self, chunk: int) -> range:
        """The plaintext bytes of a chunk."""
        if not 0 <= chunk < self.chunks:
            raise IndexError(chunk)
        start = chunk * self.payload
        return range(start, min(self.length, start + self.payload))

    def chunk_place(self, chunk: int) -> tuple[int, Span]:
        """(shard, bytes) of a chunk's ciphertext."""
        size = len(self.chunk_plaintext(chunk)) + TAG
        return chunk % self.k, Span(chunk // self.k * self.unit, size)

    def chunks_of(self, start: int, stop: int) -> range:
        """The chunks that hold plaintext bytes `start` to `stop` (0 ≤ start ≤ stop ≤ length); none for an empty
        range."""
        if not 0 <= start <= stop <= self.length:
            raise ValueError(f"bytes {start} to {stop} are not inside a segment of {self.length}")
        if start == stop:
            return range(0)
        return range(start // self.payload, -(-stop // self.payload))

    def rows_of(self, start: int, stop: int) -> range:
        """The rows that hold plaintext bytes `start` to `stop`."""
        chunks = self.chunks_of(start, stop)
        if not chunks:
            return range(0)
        stripe_row = self.k * self.stripes_per_row
        return range(chunks.start // stripe_row, chunks[-1] // stripe_row + 1)
