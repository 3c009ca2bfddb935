"""Masks: AES-256-CTR over every encoded shard, so that no shard can be computed from others without the repair-cap.

Erasure-coded shards are linearly dependent: a node that kept nothing could answer a challenge from k small reads of its
peers. With a mask of its own on each shard it cannot. The counter is 0 at the shard's first byte; masking and unmasking
are the same.
"""

from __future__ import annotations

from blackhole.storage.encryption import FORMAT, KEY_LENGTH, SALT_LENGTH, Buffer, hkdf

_AES_BLOCK = 16


def shard_mask_key(mask_key: bytes, salt: bytes, shard: int) -> bytes:
    """The AES key of a shard of the segment that drew `salt`."""
    return hkdf(mask_key, salt, FORMAT + b"/shard" + shard.to_bytes(2, "big"))


class ShardMasks:
    """The masks of a segment's shards."""

    __slots__ = ("_keys", "_mask_key", "_salt")

    def __init__(self, mask_key: bytes, salt: bytes) -> None:
        if len(mask_key) != KEY_LENGTH or len(salt) != SALT_LENGTH:
            raise ValueError("a mask key has 32 bytes, a salt 16")
        self._mask_key = mask_key
        self._salt = salt
        self._keys: dict[int, bytes] = {}

    def apply(self, shard: int, offset: int, source: Buffer, target: memoryview) -> None:
        """Mask or unmask the bytes of a shard that begin at its byte `offset`; `source` and `target` may be the same
        memory. Releases the interpreter lock."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        key = self._keys.get(shard)
        if key is None:
            key = self._keys[shard] = shard_mask_key(self._mask_key, self._salt, shard)
        counter, skip = divmod(offset, _AES_BLOCK)
        stream = Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(16, "big"))).encryptor()
        if skip:
            stream.update(bytes(skip))
        stream.update_into(source, target)

    def __repr__(self) -> str:
        return "ShardMasks(…)"
