"""Manifests: what an object consists of, public and without keys. A manifest is one DAG-CBOR block of at most 1 MiB
under a BLAKE3 CID, and a piece on every node of its object.

    segments   {"kind", "schema", "length", "commitment", "profile", "segments": [segment, …]}
               or, where that would pass 1 MiB, "parts": [[CID, leaves, segments], …] in the place of "segments"
    part       {"kind", "schema", "segments": [segment, …]} inline     {"kind", "schema", "length", "commitment",
    "salt", "data"}            at most 4 KiB, in the manifest itself packed     {"kind", "schema", "length",
    "commitment", "salt", "offset", "pack", "pack_leaves", "key"}

    segment    {"length", "salt", "shards": [the digests of a shard's blocks, one behind the other, for each shard]}
    profile    {"name", "k", "n", "repair_at", "unit"}

Everything else follows from this: CIDs, piece roots and root CIDs from the digests, lengths of shards and blocks from
the layout. So a manifest cannot contradict itself, and one that lies about a length is refused here or fails to
decrypt. Every segment but the last holds 64 MiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK, INLINE_MAX, LEAF, SEGMENT
from blackhole.storage.agreement_tree import Piece
from blackhole.storage.blocks import BlockList
from blackhole.storage.encryption import SALT_LENGTH
from blackhole.storage.ipfs import dag_cbor
from blackhole.storage.ipfs.cid import BLAKE3, DAG_CBOR, Cid
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.profiles import TAG, Profile
from blackhole.storage.sum_tree import entry

SCHEMA: Final = 1
_PART_TARGET: Final = 1 << 19
"""bytes of segments in a part of a manifest that does not fit one block."""


class ManifestBlock(NamedTuple):
    """A block of a manifest: its CID, its bytes, its piece."""

    cid: Cid
    data: bytes

    @property
    def leaves(self) -> int:
        """KiB, rounded up."""
        return -(-len(self.data) // LEAF)

    @property
    def piece(self) -> Piece:
        """What agreements list."""
        node = entry(self.cid.digest, self.leaves)
        return Piece(node.hash, node.sum)


@dataclass(frozen=True)
class Segment:
    """A segment: its plaintext bytes, the salt of the attempt that was kept, the block digests of each shard."""

    profile: Profile
    length: int
    salt: bytes
    shards: tuple[tuple[bytes, ...], ...]

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_LENGTH:
            raise IntegrityError("a segment's salt has 16 bytes")
        if not 0 <= self.length <= SEGMENT:
            raise IntegrityError(f"a segment has at most {SEGMENT} bytes, not {self.length}")
        if len(self.shards) != self.profile.n or any(len(digests) != self.layout.rows for digests in self.shards):
            raise IntegrityError("a segment's shards do not fit its length and profile")

    @cached_property
    def layout(self) -> SegmentLayout:
        """Where its bytes are."""
        return SegmentLayout(self.profile, self.length)

    def blocks(self, shard: int) -> BlockList:
        """The blocks of a shard: CIDs, root CID, piece."""
        return BlockList(self.shards[shard], self.layout.shard_length)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The piece of each shard."""
        return tuple(self.blocks(shard).piece for shard in range(self.profile.n))


class Part(NamedTuple):
    """A further block of a manifest: its CID, its KiB, how many segments it lists."""

    cid: Cid
    leaves: int
    segments: int

    @property
    def piece(self) -> Piece:
        """What agreements list."""
        node = entry(self.cid.digest, self.leaves)
        return Piece(node.hash, node.sum)


@dataclass(frozen=True)
class SegmentsManifest:
    """An object in segments of its own."""

    profile: Profile
    length: int
    commitment: bytes
    segments: tuple[Segment, ...]
    """Empty as long as `parts` are not joined (`manifest_reading.join_parts`)."""
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        _check_commitment(self.commitment)
        if self.segments or not self.parts:
            if (
                len(self.segments) != segment_count(self.length)
                or segment_lengths(self.length) != [segment.length for segment in self.segments]
                or any(segment.profile != self.profile for segment in self.segments)
            ):
                raise IntegrityError("the lengths of the segments are not those of the object")
        elif sum(part.segments for part in self.parts) != segment_count(self.length):
            raise IntegrityError("the parts of the manifest do not list all segments")

    def encode(self) -> tuple[ManifestBlock, ...]:
        """The manifest's block and, where it is too large for one, its parts behind it."""
        rows = [_encode_segment(segment) for segment in self.segments]
        whole = _block(self._head() | {"segments": rows})
        if len(whole.data) <= BLOCK:
            return (whole,)
        per_part = max(1, _PART_TARGET // max(len(dag_cbor.encode(row)) for row in rows))
        parts: list[ManifestBlock] = []
        links: list[dag_cbor.Node] = []
        for first in range(0, len(rows), per_part):
            chosen = rows[first : first + per_part]
            part = _block({"kind": "part", "schema": SCHEMA, "segments": chosen})
            parts.append(part)
            links.append([part.cid, part.leaves, len(chosen)])
        top = _block(self._head() | {"parts": links})
        if len(top.data) > BLOCK:
            raise IntegrityError("the object is too large for one manifest")
        return (top, *parts)

    def _head(self) -> dict[str, dag_cbor.Node]:
        return {
            "kind": "segments",
            "schema": SCHEMA,
            "length": self.length,
            "commitment": self.commitment,
            "profile": {
                "name": self.profile.name,
                "k": self.profile.k,
                "n": self.profile.n,
                "repair_at": self.profile.repair_at,
                "unit": self.profile.unit,
            },
        }

    def pieces_of_slot(self, slot: int) -> tuple[Piece, ...]:
        """The shards number `slot` of all segments."""
        return tuple(segment.pieces[slot] for segment in self.segments)


@dataclass(frozen=True)
class InlineManifest:
    """An object of at most 4 KiB: its ciphertext is in the manifest."""

    length: int
    commitment: bytes
    salt: bytes
    data: bytes

    def __post_init__(self) -> None:
        _check_commitment(self.commitment)
        if len(self.salt) != SALT_LENGTH or not 0 <= self.length <= INLINE_MAX or len(self.data) != self.length + TAG:
            raise IntegrityError("an inline object with a wrong length")

    def encode(self) -> tuple[ManifestBlock, ...]:
        """The manifest's block."""
        return (
            _block(
                {
                    "kind": "inline",
                    "schema": SCHEMA,
                    "length": self.length,
                    "commitment": self.commitment,
                    "salt": self.salt,
                    "data": self.data,
                }
            ),
        )


@dataclass(frozen=True)
class PackedManifest:
    """A small object whose ciphertext lies with others in one object, the pack.

    Attributes:
        offset: where in the pack its ciphertext begins.
        pack, pack_leaves: CID and KiB of the pack's manifest.
        key: the pack's object key, sealed under this object's.
    """

    length: int
    commitment: bytes
    salt: bytes
    offset: int
    pack: Cid
    pack_leaves: int
    key: bytes

    def __post_init__(self) -> None:
        _check_commitment(self.commitment)
        if len(self.salt) != SALT_LENGTH or self.length < 0 or self.offset < 0 or not 1 <= self.pack_leaves <= 1024:
            raise IntegrityError("a malformed manifest of a packed object")

    @property
    def pack_piece(self) -> Piece:
        """The pack's manifest as agreements list it."""
        node = entry(self.pack.digest, self.pack_leaves)
        return Piece(node.hash, node.sum)

    def encode(self) -> tuple[ManifestBlock, ...]:
        """The manifest's block."""
        return (
            _block(
                {
                    "kind": "packed",
                    "schema": SCHEMA,
                    "length": self.length,
                    "commitment": self.commitment,
                    "salt": self.salt,
                    "offset": self.offset,
                    "pack": self.pack,
                    "pack_leaves": self.pack_leaves,
                    "key": self.key,
                }
            ),
        )


def segment_count(length: int) -> int:
    """How many segments an object of `length` bytes has: at least one."""
    if length < 0:
        raise IntegrityError("an object has no negative length")
    return max(1, -(-length // SEGMENT))


def segment_lengths(length: int) -> list[int]:
    """The plaintext bytes of each segment of an object: all but the last have 64 MiB."""
    last = segment_count(length) - 1
    return [SEGMENT] * last + [length - last * SEGMENT]


def _block(value: Mapping[str, dag_cbor.Node]) -> ManifestBlock:
    data = dag_cbor.encode(value)
    return ManifestBlock(Cid.of(data, DAG_CBOR, BLAKE3), data)


def _encode_segment(segment: Segment) -> dict[str, dag_cbor.Node]:
    return {
        "length": segment.length,
        "salt": segment.salt,
        "shards": [b"".join(digests) for digests in segment.shards],
    }


def _check_commitment(value: bytes) -> None:
    if len(value) != 32:
        raise IntegrityError("a commitment has 32 bytes")
