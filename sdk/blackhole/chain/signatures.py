"""secp256k1 signatures by coincurve: 65 bytes r | s | v (27 or 28), or 64 bytes as EIP-2098 packs them. s is always
low."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blackhole.chain.values import Address, _checksummed
from blackhole.errors import IntegrityError
from blackhole.hashing import keccak256

if TYPE_CHECKING:
    from coincurve import PublicKey

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER: Final = ORDER // 2
_HIGH_BIT: Final = 1 << 255


def to_compact(signature: bytes) -> bytes:
    """65 bytes r | s | v as the 64 bytes of EIP-2098: v's parity moves into the top bit of s. Raises
    `IntegrityError`."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise IntegrityError("not a signature of 65 bytes with v 27 or 28")
    s = int.from_bytes(signature[32:64], "big")
    if s > HALF_ORDER:
        raise IntegrityError("the s of the signature is not low")
    return signature[:32] + (s | _HIGH_BIT if signature[64] == 28 else s).to_bytes(32, "big")


def from_compact(signature: bytes) -> bytes:
    """The 65 bytes r | s | v of an EIP-2098 signature. Raises `IntegrityError`."""
    if len(signature) != 64:
        raise IntegrityError("not a compact signature of 64 bytes")
    tail = int.from_bytes(signature[32:], "big")
    s = tail & ~_HIGH_BIT
    if s > HALF_ORDER:
        raise IntegrityError("the s of the signature is not low")
    return signature[:32] + s.to_bytes(32, "big") + bytes([28 if tail & _HIGH_BIT else 27])


def recover(digest: bytes, signature: bytes) -> Address:
    """Who signed the digest; takes 65 or 64 bytes, refuses a high s. Raises `IntegrityError`."""
    if len(signature) == 64:
        signature = from_compact(signature)
    return public_address(recover_key(digest, signature))


def recover_key(digest: bytes, signature: bytes) -> PublicKey:
    """The public key behind 65 bytes r | s | v. Raises `IntegrityError`."""
    from coincurve import PublicKey

    if len(signature) != 65 or signature[64] not in (27, 28):
        raise IntegrityError("not a signature of 65 bytes with v 27 or 28")
    if int.from_bytes(signature[32:64], "big") > HALF_ORDER:
        raise IntegrityError("the s of the signature is not low")
    try:
        return PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except Exception as error:
        # libsecp256k1's refusals arrive as bare Exception.
        raise IntegrityError("the signature fits no key") from error


def public_address(key: PublicKey) -> Address:
    """The address of a public key."""
    return _checksummed(keccak256(key.format(compressed=False)[1:])[12:])
