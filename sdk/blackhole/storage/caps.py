"""Capabilities: one line of text that names an object and says what its holder can do.

    read-cap    reads, repairs, verifies     holds the object key
    repair-cap  repairs, verifies            holds the mask key
    verify-cap  verifies                     holds no key; public

    bh1 ‖ base32( version u8 ‖ kind u8 ‖ chain id u64 ‖ payer 20 ‖ manifest CID 36 ‖ manifest leaves u16 ‖ key 32 or
    none
                  ‖ checksum 4 )

Integers are big-endian; base32 is RFC 4648's alphabet in lower case without padding. The checksum is the first four
bytes of SHA-256("blackhole/1/cap" ‖ everything before it). CID and leaves give the manifest's piece root, by which the
payer's nodes are asked for it. Whoever has the text of a cap has its power, so only `text` gives it: `str` and `repr`
show no key.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from dataclasses import dataclass, field
from typing import ClassVar, Final

from blackhole.errors import CapError, IntegrityError
from blackhole.protocol import CAP_MAX
from blackhole.storage.agreement_tree import Piece
from blackhole.storage.encryption import FORMAT, KEY_LENGTH, ObjectKeys, commitment_of
from blackhole.storage.ipfs.cid import BLAKE3, DAG_CBOR, Cid
from blackhole.storage.sum_tree import entry

PREFIX: Final = "bh1"
VERSION: Final = 1

_HEAD = 2 + 8 + 20
_CID_LENGTH = 36
_CHECKSUM = 4
_LENGTHS = {0: _HEAD + _CID_LENGTH + 2, KEY_LENGTH: _HEAD + _CID_LENGTH + 2 + KEY_LENGTH}


@dataclass(frozen=True)
class Cap(ABC):
    """What every cap says.

    Attributes:
        chain_id: the chain its agreements are on.
        payer: 20 bytes, whose agreements hold it.
        manifest: CID of the manifest (DAG-CBOR, BLAKE3).
        leaves: KiB of the manifest: 1 to 1,024.
    """

    KIND: ClassVar[int]
    NAME: ClassVar[str]

    chain_id: int
    payer: bytes
    manifest: Cid
    leaves: int

    def __post_init__(self) -> None:
        if not 0 < self.chain_id < 1 << 64 or len(self.payer) != 20 or not 1 <= self.leaves <= 1024:
            raise ValueError("a cap names a chain, a payer of 20 bytes and a manifest of at most 1 MiB")
        if self.manifest.codec != DAG_CBOR or self.manifest.hash_code != BLAKE3:
            raise ValueError("a manifest's CID is DAG-CBOR under BLAKE3")

    @property
    def piece(self) -> Piece:
        """The manifest as agreements list it."""
        node = entry(self.manifest.digest, self.leaves)
        return Piece(node.hash, node.sum)

    @property
    def payer_address(self) -> str:
        """The payer, checksummed."""
        from blackhole.chain.values import address

        return str(address(self.payer))

    @property
    @abstractmethod
    def verify_cap(self) -> VerifyCap:
        """The cap that verifies only."""

    @abstractmethod
    def _key(self) -> bytes: ...

    @property
    def text(self) -> str:
        """The cap as users pass it on. With a key in it, it is a secret."""
        body = (
            bytes((VERSION, self.KIND))
            + self.chain_id.to_bytes(8, "big")
            + self.payer
            + self.manifest
            + self.leaves.to_bytes(2, "big")
            + self._key()
        )
        return PREFIX + b32encode(body + _checksum(body)).decode().lower().rstrip("=")


@dataclass(frozen=True)
class VerifyCap(Cap):
    """Public: whether enough of the object is there, not what is in it."""

    KIND = 3
    NAME = "verify-cap"

    @property
    def verify_cap(self) -> VerifyCap:
        """Itself."""
        return self

    def _key(self) -> bytes:
        return b""


@dataclass(frozen=True)
class RepairCap(Cap):
    """Rebuilds lost shards; reads nothing."""

    KIND = 2
    NAME = "repair-cap"

    mask_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_key(self.mask_key)

    @property
    def commitment(self) -> bytes:
        """What the manifest must hold for this key to be the right one."""
        return commitment_of(self.mask_key)

    @property
    def verify_cap(self) -> VerifyCap:
        """The cap without its key."""
        return VerifyCap(self.chain_id, self.payer, self.manifest, self.leaves)

    def _key(self) -> bytes:
        return self.mask_key


@dataclass(frozen=True)
class ReadCap(Cap):
    """Reads the object."""

    KIND = 1
    NAME = "read-cap"

    object_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_key(self.object_key)

    @property
    def keys(self) -> ObjectKeys:
        """Everything derived from the object key."""
        return ObjectKeys(self.object_key)

    @property
    def commitment(self) -> bytes:
        """What the manifest must hold for this key to be the right one."""
        return self.keys.commitment

    @property
    def repair_cap(self) -> RepairCap:
        """The cap that repairs but does not read."""
        return RepairCap(self.chain_id, self.payer, self.manifest, self.leaves, self.keys.mask_key)

    @property
    def verify_cap(self) -> VerifyCap:
        """The cap without a key."""
        return self.repair_cap.verify_cap

    def _key(self) -> bytes:
        return self.object_key


_KINDS: dict[int, type[VerifyCap] | type[RepairCap] | type[ReadCap]] = {
    kind.KIND: kind for kind in (ReadCap, RepairCap, VerifyCap)
}


def parse_cap(text: str, *, chain_id: int | None = None) -> ReadCap | RepairCap | VerifyCap:
    """Read a cap; with `chain_id`, only one of that chain. Raises CapError that says what is wrong; its message never
    holds the cap."""
    text = text.strip()
    if not text.startswith(PREFIX):
        if text.lower().startswith(PREFIX):
            raise CapError("a cap is lower-case")
        if text.startswith("bh") and text[2:3].isdecimal():
            raise _newer(f"a cap of format {text[2:3]}")
        raise CapError(f"not a cap: it does not begin with {PREFIX}")
    raw = _decode(text[len(PREFIX) :])
    if raw and raw[0] > VERSION:
        raise _newer(f"a cap of version {raw[0]}")
    body, checksum = raw[:-_CHECKSUM], raw[-_CHECKSUM:]
    if len(body) not in _LENGTHS.values():
        raise CapError(f"a cap of {len(text)} characters is cut off or has something added")
    if _checksum(body) != checksum:
        raise CapError("the cap's checksum is wrong: a character was changed")
    cap = _build(body)
    if chain_id is not None and cap.chain_id != chain_id:
        raise CapError(
            f"the cap is of chain {cap.chain_id}, this network is chain {chain_id}",
            hint="Select the network the object is stored on with --network.",
            data={"chain_id": cap.chain_id, "expected": chain_id},
        )
    return cap


def read_cap(text: str, *, chain_id: int | None = None) -> ReadCap:
    """Read a cap that reads. Raises CapError."""
    cap = parse_cap(text, chain_id=chain_id)
    if not isinstance(cap, ReadCap):
        raise _too_weak(cap, "reading takes a read-cap")
    return cap


def repair_cap(text: str, *, chain_id: int | None = None) -> RepairCap:
    """Read a cap that repairs; a read-cap gives its repair-cap. Raises CapError."""
    cap = parse_cap(text, chain_id=chain_id)
    if isinstance(cap, ReadCap):
        return cap.repair_cap
    if not isinstance(cap, RepairCap):
        raise _too_weak(cap, "repair takes a repair-cap or a read-cap")
    return cap


def _build(body: bytes) -> ReadCap | RepairCap | VerifyCap:
    version, number = body[0], body[1]
    kind = _KINDS.get(number)
    key = body[_HEAD + _CID_LENGTH + 2 :]
    if version != VERSION or kind is None or (kind is VerifyCap) != (not key):
        raise CapError("a cap of an unknown kind")
    try:
        manifest = Cid.parse(body[_HEAD : _HEAD + _CID_LENGTH])
        leaves = int.from_bytes(body[_HEAD + _CID_LENGTH : _HEAD + _CID_LENGTH + 2], "big")
        chain = int.from_bytes(body[2:10], "big")
        if kind is VerifyCap:
            return VerifyCap(chain, body[10:_HEAD], manifest, leaves)
        if kind is RepairCap:
            return RepairCap(chain, body[10:_HEAD], manifest, leaves, key)
        return ReadCap(chain, body[10:_HEAD], manifest, leaves, key)
    except (IntegrityError, ValueError) as error:
        raise CapError(f"a malformed cap: {error}") from None


def _decode(text: str) -> bytes:
    if len(text) > CAP_MAX:
        raise CapError(f"a cap has at most {CAP_MAX} characters")
    try:
        if text != text.lower():
            raise CapError("a cap is lower-case")
        raw = b32decode(text.upper() + "=" * (-len(text) % 8))
    except (Base32Error, ValueError):
        raise CapError("the cap is cut off, or has a character no cap has") from None
    if b32encode(raw).decode().lower().rstrip("=") != text:
        raise CapError("the cap's last character is wrong")
    return raw


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(FORMAT + b"/cap" + body).digest()[:_CHECKSUM]


def _check_key(key: bytes) -> None:
    if len(key) != KEY_LENGTH:
        raise ValueError("a key has 32 bytes")


def _newer(what: str) -> CapError:
    return CapError(f"{what}: this software knows version {VERSION}", hint="Use a newer version of Blackhole.")


def _too_weak(cap: Cap, needs: str) -> CapError:
    return CapError(f"this is a {cap.NAME}; {needs}", hint="Ask the owner for the stronger cap.")
