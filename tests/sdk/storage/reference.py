"""The storage format a second time, straight from docs/storage-format.md and importing nothing of the package: slow,
short, and written to be read. The vectors must come out of both."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KIB, BLOCK = 1024, 1 << 20


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return hmac.digest(hmac.digest(salt or bytes(32), key, "sha256"), info + b"\x01", "sha256")


class Keys:
    def __init__(self, object_key: bytes) -> None:
        self.object_key = object_key
        self.mask_key = hkdf(object_key, b"", b"blackhole/1/mask")
        self.commitment = hkdf(self.mask_key, b"", b"blackhole/1/commitment")

    def segment_key(self, segment: int, salt: bytes) -> bytes:
        return hkdf(self.object_key, salt, b"blackhole/1/segment" + segment.to_bytes(4, "big"))

    def shard_key(self, shard: int, salt: bytes) -> bytes:
        return hkdf(self.mask_key, salt, b"blackhole/1/shard" + shard.to_bytes(2, "big"))


def ceil(left: int, right: int) -> int:
    return -(-left // right)


def unit_of(length: int, k: int, unit: int) -> int:
    return min(unit, ceil(ceil(length + 16 * k, k), KIB) * KIB)


def times(left: int, right: int) -> int:
    """The product in GF(2^8)/0x11d, bit by bit."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left = left << 1 ^ (0x11D if left & 0x80 else 0)
        right >>= 1
    return product


INVERSE = {left: right for left in range(1, 256) for right in range(1, 256) if times(left, right) == 1}


def shards(plaintext: bytes, k: int, n: int, full_unit: int, keys: Keys, segment: int, salt: bytes) -> list[bytes]:
    """The n masked shards of a segment."""
    unit = unit_of(len(plaintext), k, full_unit)
    payload = unit - 16
    chunks = max(1, ceil(len(plaintext), payload))
    aead = AESGCM(keys.segment_key(segment, salt))
    associated = b"blackhole/1" + keys.commitment + segment.to_bytes(4, "big") + chunks.to_bytes(4, "big")
    data = [bytearray() for _ in range(k)]
    for chunk in range(ceil(chunks, k) * k):
        sealed = b""
        if chunk < chunks:
            nonce = chunk.to_bytes(11, "big") + bytes([chunk == chunks - 1])
            sealed = aead.encrypt(nonce, plaintext[chunk * payload : (chunk + 1) * payload], associated)
        data[chunk % k] += sealed.ljust(unit, b"\0")
    coded = [bytes(shard) for shard in data]
    for row in range(k, n):
        total = 0
        for column in range(k):
            table = bytes(times(INVERSE[row ^ column], value) for value in range(256))
            total ^= int.from_bytes(coded[column].translate(table), "big")
        coded.append(total.to_bytes(len(coded[0]), "big"))
    masked = []
    for index, shard in enumerate(coded):
        stream = Cipher(algorithms.AES(keys.shard_key(index, salt)), modes.CTR(bytes(16))).encryptor()
        masked.append(stream.update(shard))
    return masked


def blocks_of(shard: bytes) -> list[bytes]:
    return [shard[at : at + BLOCK] for at in range(0, len(shard), BLOCK)]


def sum_root(entries: list[tuple[bytes, int]]) -> tuple[bytes, int]:
    """(root, leaves) of a sum tree: the left subtree has the largest power of two below n."""
    if len(entries) == 1:
        digest, leaves = entries[0]
        return hashlib.sha256(b"\x02" + digest + leaves.to_bytes(6, "big")).digest(), leaves
    half = 1
    while half * 2 < len(entries):
        half *= 2
    left, right = sum_root(entries[:half]), sum_root(entries[half:])
    message = b"".join(node[0] + node[1].to_bytes(6, "big") for node in (left, right))
    return hashlib.sha256(b"\x03" + message).digest(), left[1] + right[1]


def piece(shard: bytes) -> tuple[bytes, int]:
    return sum_root([(blake3(block).digest(), ceil(len(block), KIB)) for block in blocks_of(shard)])


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def cid(codec: int, code: int, block: bytes) -> bytes:
    digest = blake3(block).digest() if code == 0x1E else hashlib.sha256(block).digest()
    return b"\x01" + varint(codec) + varint(code) + b"\x20" + digest


def text(value: bytes) -> str:
    return "b" + b32encode(value).decode().lower().rstrip("=")


def root_cid(content: bytes, code: int) -> str:
    """UnixFS over 1 MiB chunks with at most 1,024 links a node, level by level."""
    level = [(cid(0x55, code, block), len(block), len(block)) for block in blocks_of(content) or [b""]]
    while len(level) > 1:
        upper = []
        for at in range(0, len(level), 1024):
            children = level[at : at + 1024]
            size = sum(child[2] for child in children)
            data = b"\x08\x02\x18" + varint(size) + b"".join(b"\x20" + varint(child[2]) for child in children)
            node = b""
            for child, total, _ in children:
                link = b"\x0a" + varint(len(child)) + child + b"\x12\x00\x18" + varint(total)
                node += b"\x12" + varint(len(link)) + link
            node += b"\x0a" + varint(len(data)) + data
            upper.append((cid(0x70, code, node), len(node) + sum(child[1] for child in children), size))
        level = upper
    return text(level[0][0])


def cbor(value: Any) -> bytes:
    """DAG-CBOR of what manifests hold. A CID is given as ("cid", bytes)."""

    def head(major: int, number: int) -> bytes:
        if number < 24:
            return bytes([major << 5 | number])
        size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
        return bytes([major << 5 | 24 + size.bit_length() - 1]) + number.to_bytes(size, "big")

    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return b"\xd8\x2a" + head(2, len(value[1]) + 1) + b"\0" + value[1]
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    keys = sorted(value, key=lambda key: (len(key), key))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(value[key]) for key in keys)


def segment_entry(length: int, salt: bytes, made: list[bytes]) -> dict[str, Any]:
    digests = [b"".join(blake3(block).digest() for block in blocks_of(shard)) for shard in made]
    return {"length": length, "salt": salt, "shards": digests}


def manifest(length: int, commitment: bytes, profile: dict[str, Any], segments: list[dict[str, Any]]) -> bytes:
    return cbor(
        {
            "kind": "segments",
            "schema": 1,
            "length": length,
            "commitment": commitment,
            "profile": profile,
            "segments": segments,
        }
    )


def cap(kind: int, chain_id: int, payer: bytes, manifest_cid: bytes, leaves: int, key: bytes) -> str:
    body = bytes([1, kind]) + chain_id.to_bytes(8, "big") + payer + manifest_cid + leaves.to_bytes(2, "big") + key
    checksum = hashlib.sha256(b"blackhole/1/cap" + body).digest()[:4]
    return "bh1" + b32encode(body + checksum).decode().lower().rstrip("=")
