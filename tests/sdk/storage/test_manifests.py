"""Manifests say everything once, and one that lies is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK, PACKED_BELOW, SEGMENT
from blackhole.storage.blocks import BlockList
from blackhole.storage.encryption import ObjectKeys
from blackhole.storage.ipfs import dag_cbor
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.manifest import (
    InlineManifest,
    PackedManifest,
    Segment,
    SegmentsManifest,
    segment_lengths,
)
from blackhole.storage.manifest_reading import decode_manifest, join_parts
from blackhole.storage.masking import ShardMasks
from blackhole.storage.profiles import PROFILES
from blackhole.storage.segment import encode_segment
from blackhole.storage.segment_read import decode_segment
from blackhole.storage.small import (
    open_pack_key,
    pack_objects,
    read_inline,
    read_packed,
    sealed_length,
    write_inline,
)
from hypothesis import given, settings
from hypothesis import strategies as st

KEYS = ObjectKeys(hashlib.sha256(b"object").digest())
SALT = bytes(range(16))


def digests(count: int, seed: int) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(bytes([index % 256]) + seed.to_bytes(4, "big")).digest() for index in range(count))


def invented(name: str, length: int) -> SegmentsManifest:
    """A manifest of the right shape whose digests are invented."""
    profile = PROFILES[name]
    segments = tuple(
        Segment(
            profile,
            size,
            hashlib.sha256(index.to_bytes(4, "big")).digest()[:16],
            tuple(digests(SegmentLayout(profile, size).rows, 1000 * index + shard) for shard in range(profile.n)),
        )
        for index, size in enumerate(segment_lengths(length))
    )
    return SegmentsManifest(profile, length, KEYS.commitment, segments)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(PROFILES)), st.integers(0, 5 * SEGMENT))
def test_a_manifest_round_trips(name: str, length: int) -> None:
    manifest = invented(name, length)
    (block,) = manifest.encode()
    assert decode_manifest(block.data, block.cid) == manifest
    assert BlockList.of([block.data]).piece == block.piece
    for segment in manifest.segments:
        assert len(segment.pieces) == manifest.profile.n
        assert {piece.leaves for piece in segment.pieces} == {segment.layout.shard_length // 1024}
    assert manifest.pieces_of_slot(1) == tuple(segment.pieces[1] for segment in manifest.segments)


def test_a_large_manifest_goes_into_parts_of_one_block_each() -> None:
    manifest = invented("dev", 200 * SEGMENT + 7)
    top, *parts = manifest.encode()
    assert len(parts) > 1
    assert all(len(block.data) <= BLOCK for block in (top, *parts))
    read = decode_manifest(top.data, top.cid)
    assert isinstance(read, SegmentsManifest)
    assert [part.piece for part in read.parts] == [block.piece for block in parts]
    assert read.segments == ()
    joined = join_parts(read, [block.data for block in parts])
    assert joined.segments == manifest.segments
    assert joined.encode() == manifest.encode()
    with pytest.raises(IntegrityError, match="not what its CID says"):
        join_parts(read, [block.data for block in reversed(parts)])


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    (block,) = invented("dev", 70 * 1024 * 1024).encode()
    value: Any = dag_cbor.decode(block.data)
    change(value)
    return dag_cbor.encode(value)


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a longer object": lambda value: value.update(length=value["length"] + 1),
    "a shorter object": lambda value: value.update(length=SEGMENT),
    "an endless object": lambda value: value.update(length=(1 << 64) - 1),
    "a negative length": lambda value: value.update(length=-1),
    "a length as text": lambda value: value.update(length="73400320"),
    "a short first segment": lambda value: value["segments"][0].update(length=5),
    "a long segment": lambda value: value["segments"][0].update(length=SEGMENT + 1),
    "a segment too many": lambda value: value["segments"].append(value["segments"][1]),
    "no segment": lambda value: value["segments"].clear(),
    "a shard too few": lambda value: value["segments"][1]["shards"].pop(),
    "a block too few": lambda value: value["segments"][0]["shards"].__setitem__(
        3, value["segments"][0]["shards"][3][:-32]
    ),
    "half a digest": lambda value: value["segments"][0]["shards"].__setitem__(0, bytes(16)),
    "a short salt": lambda value: value["segments"][0].update(salt=b"salt"),
    "a short commitment": lambda value: value.update(commitment=b""),
    "an impossible profile": lambda value: value["profile"].update(k=10),
    "a unit beyond a block": lambda value: value["profile"].update(unit=1 << 21),
    "an odd unit": lambda value: value["profile"].update(unit=1000),
    "other shards than its profile": lambda value: value["profile"].update(n=11),
    "a newer schema": lambda value: value.update(schema=2),
    "another kind": lambda value: value.update(kind="stripes"),
    "an unknown field": lambda value: value.update(extra=1),
    "a missing field": lambda value: value.pop("profile"),
    "empty parts": lambda value: (value.pop("segments"), value.update(parts=[])),
    "parts that do not add up": lambda value: (
        value.pop("segments"),
        value.update(parts=[[invented("dev", 1).encode()[0].cid, 3, 1]]),
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_refused(lie: str) -> None:
    assert decode_manifest(changed(lambda value: None)) == invented("dev", 70 * 1024 * 1024)
    with pytest.raises(IntegrityError):
        decode_manifest(changed(LIES[lie]))


def test_a_manifest_that_is_not_its_cid_or_too_large_is_refused() -> None:
    (block,) = invented("dev", 5).encode()
    (other,) = invented("dev", 6).encode()
    with pytest.raises(IntegrityError, match="CID"):
        decode_manifest(other.data, block.cid)
    with pytest.raises(IntegrityError, match="1 MiB"):
        decode_manifest(bytes(BLOCK + 1))
    for malformed in (b"", b"\x00", b"\xa0", dag_cbor.encode([1]), dag_cbor.encode({"kind": 5})):
        with pytest.raises(IntegrityError):
            decode_manifest(malformed)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_manifest_goes_unnoticed(data: st.DataObject) -> None:
    (block,) = invented("dev", 300_000).encode()
    position = data.draw(st.integers(0, len(block.data) - 1))
    spoiled = bytearray(block.data)
    spoiled[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        decode_manifest(bytes(spoiled), block.cid)
    try:
        read = decode_manifest(bytes(spoiled))
    except IntegrityError:
        return
    assert read.encode()[0].data == bytes(spoiled)


@given(st.binary(max_size=4096))
def test_an_inline_object_comes_back(content: bytes) -> None:
    manifest = write_inline(KEYS, content)
    (block,) = manifest.encode()
    read = decode_manifest(block.data, block.cid)
    assert read == manifest
    assert isinstance(read, InlineManifest)
    assert read_inline(KEYS, read) == content


def test_an_inline_object_needs_its_key_and_its_bytes() -> None:
    manifest = write_inline(KEYS, b"content", SALT)
    with pytest.raises(IntegrityError, match="does not belong"):
        read_inline(ObjectKeys(bytes(32)), manifest)
    spoiled = InlineManifest(7, manifest.commitment, manifest.salt, bytes(23))
    with pytest.raises(IntegrityError):
        read_inline(KEYS, spoiled)
    with pytest.raises(IntegrityError):
        InlineManifest(8, manifest.commitment, manifest.salt, manifest.data)
    with pytest.raises(ValueError, match="4096"):
        write_inline(KEYS, bytes(4097))
    assert write_inline(KEYS, b"content").salt != write_inline(KEYS, b"content").salt


def test_packed_objects_come_back_each_with_its_own_key_alone() -> None:
    contents = [
        hashlib.shake_128(bytes([size % 251])).digest(size) for size in (5000, 0, 65520, 65521, PACKED_BELOW - 1)
    ]
    plaintext, objects = pack_objects(contents)
    pack_key = hashlib.sha256(b"pack").digest()
    pack_keys = ObjectKeys(pack_key)
    layout = SegmentLayout(PROFILES["dev"], len(plaintext))
    masks = ShardMasks(pack_keys.mask_key, SALT)
    rows = [
        [bytes(block) for block in row.blocks]
        for row in encode_segment(plaintext, layout, pack_keys.encryptor(0, SALT, layout.chunks), masks)
    ]
    shards = tuple(BlockList.of([row[shard] for row in rows]).digests for shard in range(layout.n))
    pack = SegmentsManifest(
        layout.profile, layout.length, pack_keys.commitment, (Segment(layout.profile, layout.length, SALT, shards),)
    )
    (block,) = pack.encode()
    for content, packed in zip(contents, objects, strict=True):
        manifest = packed.manifest(block, pack_key)
        (own,) = manifest.encode()
        read = decode_manifest(own.data, own.cid)
        assert isinstance(read, PackedManifest)
        assert read.pack_piece == block.piece
        keys = ObjectKeys(packed.key)
        opened = ObjectKeys(open_pack_key(keys, read))
        end = read.offset + sealed_length(read.length)
        ciphertext = b"".join(
            decode_segment(
                layout,
                opened.decryptor(0, SALT, layout.chunks),
                ShardMasks(opened.mask_key, SALT),
                lambda row: {shard: rows[row][shard] for shard in (9, 2, 5)},
                read.offset,
                end,
            )
        )
        assert read_packed(keys, read, ciphertext) == content
        for other in objects:
            if other is not packed:
                with pytest.raises(IntegrityError):
                    open_pack_key(ObjectKeys(other.key), read)
                with pytest.raises(IntegrityError):
                    read_packed(ObjectKeys(other.key), read, ciphertext)
        with pytest.raises(IntegrityError):
            read_packed(keys, read, ciphertext + b"\0")
