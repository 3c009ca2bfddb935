"""Small objects: inside their manifest (at most 4 KiB), or many in one pack.

A packed object is encrypted under its own key, chunk after chunk as a segment is (64 KiB a chunk, tags included), and
these ciphertexts, one behind the other, are the plaintext of the pack: an ordinary object with a key of its own, which
each packed manifest holds sealed. Who reads one object of a pack sees the others' ciphertexts and nothing more; the
pack is repaired with the pack's own repair-cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blackhole.errors import IntegrityError
from blackhole.protocol import INLINE_MAX, PACK_UNIT
from blackhole.storage.encryption import Buffer, ObjectKeys, new_object_key, new_salt, seal, unseal
from blackhole.storage.ipfs.cid import Cid
from blackhole.storage.manifest import InlineManifest, ManifestBlock, PackedManifest
from blackhole.storage.profiles import TAG

_PAYLOAD = PACK_UNIT - TAG


def write_inline(keys: ObjectKeys, plaintext: Buffer, salt: bytes | None = None) -> InlineManifest:
    """The manifest that holds a whole small object. Raises ValueError above 4 KiB."""
    if len(plaintext) > INLINE_MAX:
        raise ValueError(f"an inline object has at most {INLINE_MAX} bytes")
    fresh = new_salt() if salt is None else salt
    return InlineManifest(len(plaintext), keys.commitment, fresh, _seal_chunks(keys, fresh, plaintext))


def read_inline(keys: ObjectKeys, manifest: InlineManifest) -> bytes:
    """The object. Raises IntegrityError for a wrong key or changed bytes."""
    check_keys(keys, manifest.commitment)
    return _open_chunks(keys, manifest.salt, manifest.length, manifest.data)


def sealed_length(length: int) -> int:
    """bytes a packed object of `length` bytes takes in its pack."""
    return length + TAG * max(1, -(-length // _PAYLOAD))


@dataclass(frozen=True)
class PackedObject:
    """An object on its way into a pack: its key, its salt, its place."""

    key: bytes
    salt: bytes
    length: int
    offset: int

    def manifest(self, pack: ManifestBlock, pack_key: bytes) -> PackedManifest:
        """Its manifest, once the pack's is known."""
        keys = ObjectKeys(self.key)
        sealed = seal(keys.sealing_key(self.salt, b"pack"), pack_key, keys.commitment + pack.cid)
        return PackedManifest(self.length, keys.commitment, self.salt, self.offset, pack.cid, pack.leaves, sealed)


def pack_objects(contents: Iterable[Buffer]) -> tuple[bytes, Sequence[PackedObject]]:
    """(plaintext of the pack, its objects in order): each under a fresh key and salt. All in memory: keep a pack within
    a segment's 64 MiB."""
    out: list[bytes] = []
    objects = []
    offset = 0
    for content in contents:
        packed = PackedObject(new_object_key(), new_salt(), len(content), offset)
        out.append(_seal_chunks(ObjectKeys(packed.key), packed.salt, content))
        offset += len(out[-1])
        objects.append(packed)
    return b"".join(out), objects


def open_pack_key(keys: ObjectKeys, manifest: PackedManifest) -> bytes:
    """The pack's object key. Raises IntegrityError for a wrong key or a changed manifest."""
    check_keys(keys, manifest.commitment)
    return unseal(keys.sealing_key(manifest.salt, b"pack"), manifest.key, keys.commitment + Cid(manifest.pack))


def read_packed(keys: ObjectKeys, manifest: PackedManifest, ciphertext: Buffer) -> bytes:
    """The object, from the pack's bytes `offset` to `offset + sealed_length(length)`. Raises IntegrityError."""
    check_keys(keys, manifest.commitment)
    return _open_chunks(keys, manifest.salt, manifest.length, ciphertext)


def check_keys(keys: ObjectKeys, commitment: bytes) -> None:
    """Raises IntegrityError unless the manifest with this commitment was written with these keys."""
    if keys.commitment != commitment:
        raise IntegrityError("the cap's key does not belong to this object")


def _seal_chunks(keys: ObjectKeys, salt: bytes, plaintext: Buffer) -> bytes:
    view = memoryview(plaintext).cast("B")
    chunks = max(1, -(-len(view) // _PAYLOAD))
    encryptor = keys.encryptor(0, salt, chunks)
    return b"".join(
        encryptor.encrypt(chunk, view[chunk * _PAYLOAD : (chunk + 1) * _PAYLOAD]) for chunk in range(chunks)
    )


def _open_chunks(keys: ObjectKeys, salt: bytes, length: int, ciphertext: Buffer) -> bytes:
    if len(ciphertext) != sealed_length(length):
        raise IntegrityError("a small object with a wrong length")
    chunks = max(1, -(-length // _PAYLOAD))
    decryptor = keys.decryptor(0, salt, chunks)
    view = memoryview(ciphertext).cast("B")
    out = bytearray(length)
    for chunk in range(chunks):
        target = memoryview(out)[chunk * _PAYLOAD : (chunk + 1) * _PAYLOAD]
        decryptor.decrypt_into(chunk, view[chunk * PACK_UNIT : chunk * PACK_UNIT + len(target) + TAG], target)
    return bytes(out)
