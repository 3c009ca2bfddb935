"""EIP-1559 transactions as bytes: RLP, signing, hash. Twenty lines of format instead of a library's second of
import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from blackhole.chain.signers import Signer
from blackhole.chain.values import Address
from blackhole.hashing import keccak256

Item: TypeAlias = "bytes | int | Sequence[Item]"

_TYPE: Final = b"\x02"


def rlp(item: Item) -> bytes:
    """Recursive length prefix of bytes, non-negative integers and lists of them."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _length(len(item), 0x80) + item
    body = b"".join([rlp(each) for each in item])
    return _length(len(body), 0xC0) + body


def _length(size: int, offset: int) -> bytes:
    if size < 56:
        return bytes([offset + size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(digits)]) + digits


@dataclass(frozen=True, slots=True)
class RawTransaction:
    """A type-2 transaction before its signature. Fees are wei a gas, `value` is wei."""

    chain_id: int
    nonce: int
    tip: int
    """max_priority_fee_per_gas"""
    max_fee: int
    """max_fee_per_gas"""
    gas: int
    to: Address | None
    value: int
    data: bytes

    def sign(self, signer: Signer) -> SignedTransaction:
        """The bytes to broadcast and their hash."""
        fields: list[Item] = [
            self.chain_id,
            self.nonce,
            self.tip,
            self.max_fee,
            self.gas,
            bytes.fromhex(self.to[2:]) if self.to else b"",
            self.value,
            self.data,
            [],
        ]
        signature = signer.sign_digest(keccak256(_TYPE + rlp(fields)))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        raw = _TYPE + rlp([*fields, signature[64] - 27, r, s])
        return SignedTransaction(self, raw, keccak256(raw))


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """What is journalled before it is sent."""

    transaction: RawTransaction
    raw: bytes
    hash: bytes
