"""Write the storage vectors of tests/vectors: what any other implementation must reproduce byte for byte.

    python toolchain/generate_vectors.py [--check]

Content is SHAKE-128 of the ASCII text in `content`, as many bytes as `length`. Bytes are hex, wei decimal strings. All
keys are public: never use them. proof.json is written by tests/contracts/model/storage_proof.py, unixfs.json was
checked against Kubo.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from blackhole.protocol import BLOCK, SEGMENT
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.blake3_tree import ChunkTree
from blackhole.storage.blocks import BlockList, block_digest
from blackhole.storage.caps import ReadCap
from blackhole.storage.encryption import ObjectKeys
from blackhole.storage.grants import GrantChain, ReadGrant
from blackhole.storage.ipfs import unixfs
from blackhole.storage.ipfs.cid import BLAKE3, SHA2_256, Cid
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.manifest import ManifestBlock, PackedManifest, Segment, SegmentsManifest, segment_lengths
from blackhole.storage.masking import ShardMasks, shard_mask_key
from blackhole.storage.profiles import PROFILES, Profile
from blackhole.storage.segment import encode_segment
from blackhole.storage.small import PackedObject, write_inline
from blackhole.storage.terms import Change, MarketDomain, Policy, Quote, SignedStruct, Terms, TermsBatch, Upload

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors"
ZEROS = bytes(BLOCK)
CONTENT = "blackhole storage vectors"
OBJECT_KEY = hashlib.sha256(b"blackhole vector object key").digest()
KEYS = ObjectKeys(OBJECT_KEY)
SIGNERS = {
    name: hashlib.sha256(b"blackhole vector " + name.encode()).digest() for name in ("payer", "reader", "friend")
}


@cache
def content(length: int) -> bytes:
    return hashlib.shake_128(CONTENT.encode()).digest(length)


def salt(segment: int) -> bytes:
    return hashlib.sha256(b"blackhole vector salt" + segment.to_bytes(4, "big")).digest()[:16]


def lengths(profile: Profile) -> list[int]:
    unit, stripe = profile.unit, profile.k * profile.unit
    return [0, 1, unit - 1, unit, unit + 1, stripe - 1, stripe, stripe + 1]


def encode(profile: Profile, segment: int, plaintext: bytes) -> tuple[Segment, str]:
    """(the segment's entry in the manifest, SHA-256 of all its shards one behind the other)."""
    layout = SegmentLayout(profile, len(plaintext))
    masks = ShardMasks(KEYS.mask_key, salt(segment))
    encryptor = KEYS.encryptor(segment, salt(segment), layout.chunks)
    blocks: list[list[bytes]] = [[] for _ in range(profile.n)]
    for row in encode_segment(plaintext, layout, encryptor, masks):
        for shard, block in zip(row.shards, row.blocks, strict=True):
            blocks[shard].append(bytes(block))
    whole = hashlib.sha256()
    for shard_blocks in blocks:
        for block in shard_blocks:
            whole.update(block)
    digests = tuple(tuple(map(block_digest, each)) for each in blocks)
    return Segment(profile, layout.length, salt(segment), digests), whole.hexdigest()


@cache
def large_object() -> tuple[tuple[Segment, str], ...]:
    """64 MiB and one byte: two segments."""
    whole = content(SEGMENT + 1)
    return (encode(PROFILES["dev"], 0, whole[:SEGMENT]), encode(PROFILES["dev"], 1, whole[SEGMENT:]))


def segment_case(profile: Profile, segment: int, length: int, made: tuple[Segment, str]) -> dict[str, Any]:
    entry, shards = made
    layout = entry.layout
    chosen = sorted({0, profile.k - 1, profile.k, profile.n - 1})
    return {
        "profile": profile.name,
        "segment": segment,
        "length": length,
        "salt": entry.salt.hex(),
        "unit": layout.unit,
        "chunks": layout.chunks,
        "stripes": layout.stripes,
        "shard_length": layout.shard_length,
        "shards_sha256": shards,
        "shards": [
            {
                "shard": shard,
                "blocks": [digest.hex() for digest in entry.shards[shard]],
                "cid": str(entry.blocks(shard).root_cid),
                "piece": {"root": entry.pieces[shard].root.hex(), "leaves": entry.pieces[shard].leaves},
            }
            for shard in chosen
        ],
    }


def segments() -> dict[str, Any]:
    cases: list[dict[str, Any]] = []
    for profile in PROFILES.values():
        for length in lengths(profile):
            cases.append(segment_case(profile, 0, length, encode(profile, 0, content(length))))
    dev = PROFILES["dev"]
    cases.append(segment_case(dev, 0, SEGMENT - 1, encode(dev, 0, content(SEGMENT - 1))))
    for segment, made in enumerate(large_object()):
        case = segment_case(dev, segment, made[0].length, made)
        cases.append(case | {"content_offset": segment * SEGMENT})
    return {
        "about": "Segments: content -> AES-256-GCM chunks -> Reed-Solomon -> masked shards (docs/storage-format.md).",
        "content": CONTENT,
        "object_key": OBJECT_KEY.hex(),
        "profiles": {
            name: {"k": profile.k, "n": profile.n, "repair_at": profile.repair_at, "unit": profile.unit}
            for name, profile in PROFILES.items()
        },
        "cases": cases,
    }


def keys_and_masks() -> dict[str, Any]:
    masks = ShardMasks(KEYS.mask_key, salt(0))
    streams = []
    for shard, offset in ((0, 0), (0, 16), (9, 0), (9, 65536), (79, BLOCK), (9, 1000)):
        stream = bytearray(48)
        masks.apply(shard, offset, stream, memoryview(stream))
        streams.append({"shard": shard, "offset": offset, "mask": stream.hex()})
    return {
        "about": "Keys derived from an object key, and masks: the bytes XORed onto a shard from `offset` on.",
        "object_key": OBJECT_KEY.hex(),
        "mask_key": KEYS.mask_key.hex(),
        "commitment": KEYS.commitment.hex(),
        "salt": salt(0).hex(),
        "segment_keys": [
            {"segment": segment, "key": KEYS.segment_key(segment, salt(0)).hex()} for segment in (0, 1, 2**32 - 1)
        ],
        "shard_mask_keys": [
            {"shard": shard, "key": shard_mask_key(KEYS.mask_key, salt(0), shard).hex()} for shard in (0, 1, 79)
        ],
        "masks": streams,
    }


def block_trees() -> dict[str, Any]:
    cases: list[dict[str, Any]] = []
    for length in (1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 5000, 777_777, BLOCK - 1, BLOCK):
        tree = ChunkTree.of(content(length))
        cases.append(
            {
                "length": length,
                "digest": tree.digest.hex(),
                "cid": str(BlockList.of([content(length)]).root_cid),
                "chunks": tree.chunks,
                "paths": [
                    {"chunk": chunk, "siblings": [value.hex() for value in tree.path(chunk)]}
                    for chunk in sorted({0, tree.chunks // 3, tree.chunks - 1})
                ],
            }
        )
    return {
        "about": "BLAKE3 trees of blocks: siblings of a chunk from the leaf upward.",
        "content": CONTENT,
        "cases": cases,
    }


def piece_trees() -> dict[str, Any]:
    pieces = []
    for length in (1, 1024, 1025, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 3):
        blocks = BlockList.read(io.BytesIO(content(length)))
        pieces.append(
            {
                "length": length,
                "blocks": [
                    {"digest": digest.hex(), "chunks": blocks.chunks(index)}
                    for index, digest in enumerate(blocks.digests)
                ],
                "cid": str(blocks.root_cid),
                "root": blocks.piece.root.hex(),
                "leaves": blocks.piece.leaves,
            }
        )
    lists = []
    for count in range(len(pieces) + 1):
        listed = PieceList(tuple(BlockList.read(io.BytesIO(content(p["length"]))).piece for p in pieces[:count]))
        lists.append(
            {
                "pieces": count,
                "encoded": listed.encode().hex(),
                "digest": listed.digest().hex(),
                "root": listed.root.hex(),
                "leaves": listed.leaves,
            }
        )
    return {
        "about": "Piece trees over blocks; agreement trees and piece lists over the first `pieces` of them.",
        "content": CONTENT,
        "pieces": pieces,
        "agreements": lists,
    }


def manifests() -> dict[str, Any]:
    dev = PROFILES["dev"]
    large = SegmentsManifest(dev, SEGMENT + 1, KEYS.commitment, tuple(made[0] for made in large_object()))
    small = SegmentsManifest(dev, 5000, KEYS.commitment, (encode(dev, 0, content(5000))[0],))
    inline = write_inline(KEYS, content(100), salt(0))
    (pack,) = small.encode()
    pack_key = hashlib.sha256(b"blackhole vector pack key").digest()
    packed: PackedManifest = PackedObject(OBJECT_KEY, salt(0), 300, 77).manifest(pack, pack_key)
    many = SegmentsManifest(
        dev,
        199 * SEGMENT + 5,
        KEYS.commitment,
        tuple(
            Segment(
                dev,
                length,
                salt(index),
                tuple(
                    tuple(
                        hashlib.sha256(f"{index} {shard} {row}".encode()).digest()
                        for row in range(SegmentLayout(dev, length).rows)
                    )
                    for shard in range(dev.n)
                ),
            )
            for index, length in enumerate(segment_lengths(199 * SEGMENT + 5))
        ),
    )

    def case(name: str, blocks: tuple[ManifestBlock, ...], full: bool) -> dict[str, Any]:
        return {
            "kind": name,
            "blocks": [
                {
                    "cid": str(block.cid),
                    "length": len(block.data),
                    "sha256": hashlib.sha256(block.data).hexdigest(),
                    "piece": {"root": block.piece.root.hex(), "leaves": block.piece.leaves},
                }
                | ({"data": block.data.hex()} if full else {})
                for block in blocks
            ],
        }

    return {
        "about": "Manifests: of segments as in segment.json, of 100 bytes inline, of a packed object, and one in "
        "parts whose digests are SHA-256 of the ASCII text `segment shard row`.",
        "content": CONTENT,
        "object_key": OBJECT_KEY.hex(),
        "pack_key": pack_key.hex(),
        "cases": [
            case("segments, 64 MiB + 1", large.encode(), False),
            case("segments, 5000 bytes", small.encode(), True),
            case("inline, 100 bytes", inline.encode(), True),
            case("packed, 300 bytes at 77", packed.encode(), True),
            case("parts, 199 segments and 5 bytes", many.encode(), False),
        ],
    }


def caps() -> dict[str, Any]:
    manifest = Cid.parse(manifests()["cases"][1]["blocks"][0]["cid"])
    cases: list[dict[str, Any]] = []
    for chain_id in (1, 31337, 2**64 - 1):
        read = ReadCap(chain_id, bytes(range(20)), manifest, 4, OBJECT_KEY)
        for cap in (read, read.repair_cap, read.verify_cap):
            cases.append(
                {
                    "kind": cap.NAME,
                    "chain_id": str(chain_id),
                    "payer": cap.payer.hex(),
                    "manifest": str(cap.manifest),
                    "leaves": cap.leaves,
                    "key": cap._key().hex(),
                    "piece_root": cap.piece.root.hex(),
                    "text": cap.text,
                }
            )
    text = cases[0]["text"]
    return {
        "about": "Capabilities as text, and texts that must be refused.",
        "cases": cases,
        "refused": [
            {"why": "cut off", "text": text[:-1]},
            {"why": "cut off", "text": text[:100]},
            {"why": "a character changed", "text": text[:50] + ("b" if text[50] != "b" else "c") + text[51:]},
            {"why": "another format", "text": "bh2" + text[3:]},
            {"why": "upper case", "text": text.upper()},
            {"why": "something added", "text": text + "a"},
        ],
    }


def signed() -> dict[str, Any]:
    from blackhole.chain.signatures import public_address
    from coincurve import PrivateKey

    domain = MarketDomain(31337, "0x" + hashlib.sha256(b"market").hexdigest()[:40])
    address = {name: str(public_address(PrivateKey(key).public_key)) for name, key in SIGNERS.items()}

    def sign(name: str, struct: SignedStruct) -> bytes:
        signature = PrivateKey(SIGNERS[name]).sign_recoverable(struct.digest(domain), hasher=None)
        return signature[:64] + bytes([27 + signature[64]])

    root, pieces = hashlib.sha256(b"root").digest(), hashlib.sha256(b"pieces").digest()
    terms = Terms(
        address["payer"], 7, address["friend"], root, pieces, 123_456, 10**18 + 1, 20_000, 20_030, 31 * 10**18, 5,
        "0x" + "00" * 20, 99,
    )  # fmt: skip
    structs: list[SignedStruct] = [
        terms,
        TermsBatch.of([terms], domain),
        Change(2**255 + 1, root, pieces, 5, 6, 7, 8, 9, 10),
        Policy(address["payer"], root, 5, 6, bytes(32), 1_790_000_000, 8),
        Quote(7, address["payer"], address["friend"], 1, 5, 10**18, 300, 1 << 30, 1_790_000_000, 4),
        Upload(address["payer"], 7, 1 << 30, 1_790_000_000, 3),
        ReadGrant(address["payer"], address["reader"], root, 1 << 30, 1_790_000_000, 1),
    ]
    first = ReadGrant(address["payer"], address["reader"], root, 1 << 30, 1_790_000_000, 1)
    second = ReadGrant(address["payer"], address["friend"], root, 1 << 20, 1_780_000_000, 2)
    chain = GrantChain(((first, sign("payer", first)), (second, sign("reader", second))))
    return {
        "about": "EIP-712 structs of the storage market, signed by `payer`, and a chain of two grants.",
        "domain": {
            "name": "Blackhole StorageMarket",
            "version": "1",
            "chain_id": domain.chain_id,
            "contract": domain.market,
        },
        "signers": {name: {"key": key.hex(), "address": address[name]} for name, key in SIGNERS.items()},
        "structs": [
            {
                "type": struct.DECLARATION,
                "fields": struct.to_json(),
                "digest": struct.digest(domain).hex(),
                "signature": sign("payer", struct).hex(),
            }
            for struct in structs
        ],
        "grant": {"encoded": chain.encode().hex(), "digests": [digest.hex() for digest in chain.digests(domain)]},
    }


def files() -> dict[str, Any]:
    cases: list[dict[str, Any]] = []
    for length in (0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 10 * BLOCK + 12_345, SEGMENT + 1):
        cases.append({"length": length} | both_cids(unixfs.chunks_of(io.BytesIO(content(length)))))
    for length in (1024 * BLOCK, 1024 * BLOCK + 1):
        cases.append({"length": length, "zeros": True} | both_cids(zeros(length)))
    return {
        "about": "Root CIDs of `ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024` "
        "with --hash=sha2-256 (profile unixfs-v1-2025) and --hash=blake3 (shards). With `zeros` all bytes are zero.",
        "content": CONTENT,
        "cases": cases,
    }


def both_cids(chunks: Iterable[bytes]) -> dict[str, str]:
    sha: list[tuple[Cid, int]] = []
    blake: list[tuple[Cid, int]] = []
    for chunk in chunks:
        sha.append((leaf(chunk, SHA2_256), len(chunk)))
        blake.append((leaf(chunk, BLAKE3), len(chunk)))
    return {
        "sha2-256": str(unixfs.file_root(sha, SHA2_256).cid),
        "blake3": str(unixfs.file_root(blake, BLAKE3).cid),
    }


@lru_cache(maxsize=2)
def zero_leaf(hash_code: int) -> Cid:
    return Cid.of(bytes(BLOCK), hash_code=hash_code)


def leaf(chunk: bytes, hash_code: int) -> Cid:
    return zero_leaf(hash_code) if chunk is ZEROS else Cid.of(chunk, hash_code=hash_code)


def zeros(length: int) -> Iterable[bytes]:
    """Chunks of zero bytes: the full ones are one object, hashed once."""
    return [ZEROS] * (length // BLOCK) + ([bytes(length % BLOCK)] if length % BLOCK else [])


VECTORS: dict[str, Callable[[], dict[str, Any]]] = {
    "segment": segments,
    "mask": keys_and_masks,
    "block_tree": block_trees,
    "piece_tree": piece_trees,
    "manifest": manifests,
    "cap": caps,
    "signed": signed,
    "unixfs": files,
}


def text(name: str) -> str:
    return json.dumps(VECTORS[name](), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    stale = []
    for name in VECTORS:
        path = FOLDER / f"{name}.json"
        made = text(name)
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != made:
                stale.append(path.name)
        else:
            path.write_text(made)
    if stale:
        print(f"tests/vectors: {', '.join(stale)} differ from what the code makes", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
