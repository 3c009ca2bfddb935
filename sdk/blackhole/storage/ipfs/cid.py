"""Content identifiers, version 1, of the two hashes we use.

A `Cid` *is* its binary form (a `bytes`), so it goes wherever CIDs are bytes; `str()` gives the base32 text other tools
show. Hashes are SHA-256 for public files and BLAKE3-256 for shards.
"""

from __future__ import annotations

import hashlib
from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from typing import Final

from blackhole.errors import IntegrityError
from blackhole.storage.ipfs import varint

RAW: Final = 0x55
"""Codec of a block of plain bytes."""
DAG_PB: Final = 0x70
"""Codec of a protocol-buffers node (UnixFS)."""
DAG_CBOR: Final = 0x71
"""Codec of a canonical CBOR block."""
SHA2_256: Final = 0x12
BLAKE3: Final = 0x1E
DIGEST_LENGTH: Final = 32


class Cid(bytes):
    """A CIDv1 with a 32-byte digest, in binary. Equal to the plain bytes it is made of."""

    __slots__ = ()

    @classmethod
    def make(cls, codec: int, hash_code: int, digest: bytes) -> Cid:
        """The CID of a block of `codec` whose digest under `hash_code` is given."""
        if len(digest) != DIGEST_LENGTH:
            raise ValueError("a digest has 32 bytes")
        return cls(b"\x01" + varint.encode(codec) + varint.encode(hash_code) + b"\x20" + digest)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, codec: int = RAW, hash_code: int = BLAKE3) -> Cid:
        """The CID of a block."""
        return cls.make(codec, hash_code, digest(data, hash_code))

    @classmethod
    def parse(cls, value: bytes | memoryview | str) -> Cid:
        """Read a binary CID or its base32 text. Raises IntegrityError unless it is a CIDv1 with SHA-256 or
        BLAKE3-256."""
        if isinstance(value, str):
            value = _from_text(value)
        cid = cls(value)
        version, at = varint.decode(cid)
        _, at = varint.decode(cid, at)
        hash_code, at = varint.decode(cid, at)
        length, at = varint.decode(cid, at)
        if version != 1 or hash_code not in (SHA2_256, BLAKE3) or length != DIGEST_LENGTH or len(cid) != at + length:
            raise IntegrityError("not a CIDv1 with a SHA-256 or BLAKE3-256 digest")
        return cid

    @property
    def codec(self) -> int:
        """What the block is: `RAW`, `DAG_PB`, `DAG_CBOR` or another multicodec."""
        return varint.decode(self, 1)[0]

    @property
    def hash_code(self) -> int:
        """`SHA2_256` or `BLAKE3`."""
        return varint.decode(self, varint.decode(self, 1)[1])[0]

    @property
    def digest(self) -> bytes:
        """The block's 32-byte hash."""
        return bytes(self[-DIGEST_LENGTH:])

    def matches(self, data: bytes | bytearray | memoryview) -> bool:
        """Whether `data` is the block this CID names."""
        return digest(data, self.hash_code) == self.digest

    def __str__(self) -> str:
        return "b" + b32encode(self).decode().lower().rstrip("=")

    def __repr__(self) -> str:
        return f"Cid({str(self)!r})"


def digest(data: bytes | bytearray | memoryview, hash_code: int) -> bytes:
    """The 32-byte digest of `data`. Both hashes release the interpreter lock on long input."""
    if hash_code == BLAKE3:
        from blake3 import blake3

        return blake3(data).digest()
    if hash_code == SHA2_256:
        return hashlib.sha256(data).digest()
    raise IntegrityError(f"unknown hash function 0x{hash_code:x}")


def _from_text(text: str) -> bytes:
    body = text[1:].upper()
    try:
        if not text.startswith("b") or text != text.lower():
            raise IntegrityError("a CID begins with b and is lower-case base32")
        raw = b32decode(body + "=" * (-len(body) % 8))
    except Base32Error as error:
        raise IntegrityError("a CID is lower-case base32") from error
    if b32encode(raw).decode().rstrip("=") != body:
        raise IntegrityError("a CID with stray bits at its end")
    return raw
