"""The keys of an object and the encryption of its segments.

    object key (32 random bytes, in the read-cap)
      ├─ mask key   = HKDF(object key, "blackhole/1/mask")                     in the repair-cap
      │    ├─ commitment  = HKDF(mask key, "blackhole/1/commitment")           in the manifest: ties both keys to it
      │    └─ shard mask  = HKDF(mask key, salt = segment salt, "blackhole/1/shard" ‖ u16 shard)        (`masking`)
      └─ segment key = HKDF(object key, salt = segment salt, "blackhole/1/segment" ‖ u32 segment)

A segment is encrypted chunk by chunk with AES-256-GCM (the STREAM construction): nonce = 11-byte chunk number ‖ 1 for
the last chunk, else 0; the associated data name format, object, segment and number of chunks, so chunks can be neither
moved, dropped nor cut. Every *attempt* to write a segment draws a fresh salt, hence a fresh key: no (key, nonce) pair
meets two plaintexts.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from typing import Final, TypeAlias

from blackhole.errors import IntegrityError, StorageError
from blackhole.storage.profiles import TAG

KEY_LENGTH: Final = 32
SALT_LENGTH: Final = 16
FORMAT: Final = b"blackhole/1"
"""Names this format in every derivation and every associated data."""

Buffer: TypeAlias = "bytes | bytearray | memoryview"


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869), 32 bytes."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def new_object_key() -> bytes:
    """A fresh object key."""
    return os.urandom(KEY_LENGTH)


def new_salt() -> bytes:
    """A fresh salt for one attempt to write a segment. Journal it before the first byte; never use it for a second
    attempt."""
    return os.urandom(SALT_LENGTH)


def commitment_of(mask_key: bytes) -> bytes:
    """What the manifest holds to tell a right key from a wrong one before anything is decrypted."""
    return hkdf(mask_key, b"", FORMAT + b"/commitment")


class ObjectKeys:
    """Everything derived from an object key."""

    __slots__ = ("_object_key", "commitment", "mask_key")

    def __init__(self, object_key: bytes) -> None:
        if len(object_key) != KEY_LENGTH:
            raise ValueError("an object key has 32 bytes")
        self._object_key = object_key
        self.mask_key = hkdf(object_key, b"", FORMAT + b"/mask")
        self.commitment = commitment_of(self.mask_key)

    def encryptor(self, segment: int, salt: bytes, chunks: int) -> SegmentEncryptor:
        """Encrypts one attempt of a segment that has so many chunks."""
        return SegmentEncryptor(self.segment_key(segment, salt), self._associated(segment, chunks), chunks)

    def decryptor(self, segment: int, salt: bytes, chunks: int) -> SegmentDecryptor:
        """Decrypts a segment."""
        return SegmentDecryptor(self.segment_key(segment, salt), self._associated(segment, chunks), chunks)

    def segment_key(self, segment: int, salt: bytes) -> bytes:
        """The AES key of one attempt of a segment."""
        if len(salt) != SALT_LENGTH:
            raise ValueError("a salt has 16 bytes")
        return hkdf(self._object_key, salt, FORMAT + b"/segment" + segment.to_bytes(4, "big"))

    def _associated(self, segment: int, chunks: int) -> bytes:
        return FORMAT + self.commitment + segment.to_bytes(4, "big") + chunks.to_bytes(4, "big")

    def sealing_key(self, salt: bytes, purpose: bytes) -> bytes:
        """A key for one small secret inside a manifest."""
        return hkdf(self._object_key, salt, FORMAT + b"/" + purpose)

    def __repr__(self) -> str:
        return "ObjectKeys(…)"


class _SegmentCipher:
    __slots__ = ("_aead", "_associated", "chunks")

    def __init__(self, key: bytes, associated: bytes, chunks: int) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if chunks < 1:
            raise ValueError("a segment has at least one chunk")
        self._aead = AESGCM(key)
        self._associated = associated
        self.chunks = chunks

    def _nonce(self, chunk: int) -> bytes:
        if not 0 <= chunk < self.chunks:
            raise IndexError(chunk)
        return chunk.to_bytes(11, "big") + (b"\x01" if chunk == self.chunks - 1 else b"\x00")


class SegmentEncryptor(_SegmentCipher):
    """Encrypts each chunk of a segment once. A second time is refused: it would be a second plaintext under one
    nonce."""

    __slots__ = ("_used",)

    def __init__(self, key: bytes, associated: bytes, chunks: int) -> None:
        super().__init__(key, associated, chunks)
        self._used = bytearray(chunks)

    def encrypt_into(self, chunk: int, plaintext: Buffer, target: memoryview) -> None:
        """Encrypt chunk number `chunk` into `target`, which is 16 bytes longer. Releases the interpreter lock."""
        nonce = self._nonce(chunk)
        if self._used[chunk]:
            raise self._twice(chunk)
        self._used[chunk] = 1
        self._aead.encrypt_into(nonce, plaintext, self._associated, target)

    def encrypt_full(self, first: int, plaintext: memoryview, payload: int, targets: Sequence[memoryview]) -> None:
        """`encrypt_into` for full chunks in a row, `first` and those behind it, each into its target: `payload` bytes
        each of `plaintext`, which are all bytes of the segment. The last chunk is none of them."""
        stop = first + len(targets)
        if not 0 <= first <= stop < self.chunks:
            raise IndexError(stop)
        if any(self._used[first:stop]):
            raise self._twice(self._used.index(1, first))
        self._used[first:stop] = b"\x01" * len(targets)
        encrypt, associated, start = self._aead.encrypt_into, self._associated, first * payload
        for chunk, target in enumerate(targets, first):
            nonce = (chunk << 8).to_bytes(12, "big")
            encrypt(nonce, plaintext[start : start + payload], associated, target)
            start += payload

    @staticmethod
    def _twice(chunk: int) -> StorageError:
        return StorageError(
            f"chunk {chunk} was encrypted before with this salt",
            hint="Begin the segment again with a fresh salt; take retries from the spool.",
        )

    def encrypt(self, chunk: int, plaintext: Buffer) -> bytes:
        """The ciphertext of a chunk."""
        target = bytearray(len(plaintext) + TAG)
        self.encrypt_into(chunk, plaintext, memoryview(target))
        return bytes(target)


class SegmentDecryptor(_SegmentCipher):
    """Decrypts the chunks of a segment, in any order."""

    __slots__ = ()

    def decrypt_into(self, chunk: int, ciphertext: Buffer, target: memoryview) -> None:
        """Decrypt chunk number `chunk` into `target`, which is 16 bytes shorter. Raises IntegrityError; the target is
        then of no use."""
        from cryptography.exceptions import InvalidTag

        try:
            self._aead.decrypt_into(self._nonce(chunk), ciphertext, self._associated, target)
        except InvalidTag:
            raise IntegrityError(f"chunk {chunk} does not decrypt: wrong key, or changed bytes") from None


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """AES-256-GCM with nonce 0, for a key that is used once (`ObjectKeys.sealing_key` of a fresh salt)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(bytes(12), plaintext, associated)


def unseal(key: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The reverse of `seal`. Raises IntegrityError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(bytes(12), ciphertext, associated)
    except InvalidTag:
        raise IntegrityError("a sealed value does not open: wrong key, or changed bytes") from None
