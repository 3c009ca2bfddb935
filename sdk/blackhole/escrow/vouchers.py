"""Vouchers: cumulative promises to pay on a lane. Sans-I/O; the hot path of every read.

A voucher is 74 bytes: u32 lane | u48 cumulative (micro, big-endian) | 64-byte EIP-2098 signature with low s over
`Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)` of the hub. The highest one counts, whatever the
order. docs/voucher-format.md and tests/vectors/voucher.json describe it for other implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from blackhole.chain.signatures import HALF_ORDER, recover, to_compact
from blackhole.chain.signers import LocalSigner, Signer
from blackhole.chain.typed_data import Domain, typed_struct
from blackhole.chain.values import Address, address
from blackhole.errors import InputError, IntegrityError
from blackhole.hashing import keccak256
from blackhole.protocol import VOUCHER_ROW

ROW: Final = VOUCHER_ROW
"""Bytes of a voucher."""
CUMULATIVE_MAX: Final = (1 << 48) - 1
LANE_MAX: Final = (1 << 32) - 1
DOMAIN_NAME: Final = "Blackhole PaymentHub"
DOMAIN_VERSION: Final = "1"
VOUCHER: Final = typed_struct("Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)")

_HIGH_BIT: Final = 1 << 255


@dataclass(frozen=True, slots=True)
class Voucher:
    """What is promised. `cumulative` is micro over the life of the lane."""

    payee: Address
    service: int
    lane: int
    cumulative: int


@dataclass(frozen=True)
class VoucherDomain:
    """The hub whose money a voucher moves."""

    chain_id: int
    hub: Address

    @property
    def domain(self) -> Domain:
        return Domain(DOMAIN_NAME, DOMAIN_VERSION, self.chain_id, address(self.hub))


class _Digests:
    """Digests of one lane: all but the amount is computed once."""

    def __init__(self, domain: VoucherDomain, payee: Address, service: int, lane: int) -> None:
        if not 0 <= lane <= LANE_MAX:
            raise InputError(f"a lane id has 32 bits: {lane}")
        if not 0 <= service < 1 << 16:
            raise InputError(f"a service id has 16 bits: {service}")
        self.payee, self.service, self.lane = payee, service, lane
        self._outer = domain.domain.prefix
        self._inner = (
            VOUCHER.type_hash
            + bytes(12)
            + bytes.fromhex(address(payee)[2:])
            + service.to_bytes(32, "big")
            + lane.to_bytes(32, "big")
        )
        self.lane_bytes = lane.to_bytes(4, "big")

    def digest(self, cumulative: int) -> bytes:
        return keccak256(self._outer + keccak256(self._inner + cumulative.to_bytes(32, "big")))


class VoucherSigner:
    """Signs vouchers of one lane."""

    def __init__(self, domain: VoucherDomain, payee: Address, service: int, lane: int, signer: Signer) -> None:
        self._digests = _Digests(domain, payee, service, lane)
        self._signer = signer

    def sign(self, cumulative: int) -> bytes:
        """The 74 bytes of a voucher over `cumulative` micro. Raises `InputError` beyond 48 bits."""
        if not 0 <= cumulative <= CUMULATIVE_MAX:
            raise InputError(f"a voucher holds 0 to 2^48 - 1 micro, not {cumulative}")
        signature = to_compact(self._signer.sign_digest(self._digests.digest(cumulative)))
        return self._digests.lane_bytes + cumulative.to_bytes(6, "big") + signature


def _fast_recovery() -> Callable[[bytes, int, bytes], bytes] | None:
    """(r | s, parity, digest) -> the library's own 64 bytes of the key; empty for a signature that fits none.

    The public class builds three objects a call that a verifier throws away. None where the lower layer is not there.
    """
    try:
        from coincurve._libsecp256k1 import ffi, lib
        from coincurve.context import GLOBAL_CONTEXT

        context, new, view = GLOBAL_CONTEXT.ctx, ffi.new, ffi.buffer
        parse, find = lib.secp256k1_ecdsa_recoverable_signature_parse_compact, lib.secp256k1_ecdsa_recover
        signature_type = ffi.typeof("secp256k1_ecdsa_recoverable_signature *")
        key_type = ffi.typeof("secp256k1_pubkey *")
    except (ImportError, AttributeError):
        return None

    def recovery(signature: bytes, parity: int, digest: bytes) -> bytes:
        # Own memory for each call: the library runs without the interpreter's lock.
        parsed, key = new(signature_type), new(key_type)
        if parse(context, parsed, signature, parity) and find(context, key, parsed, digest):
            return bytes(view(key))
        return b""

    return recovery


class VoucherVerifier:
    """Checks vouchers of one lane against its signer, as the hub will. The payer's vouchers pass too where he is
    named.
    """

    def __init__(self, domain: VoucherDomain, payee: Address, service: int, lane: int, *signers: Address) -> None:
        if not signers:
            raise InputError("a verifier needs the lane's signer")
        self._digests = _Digests(domain, payee, service, lane)
        self._signers = frozenset(address(each) for each in signers)
        self._recovery = _fast_recovery()
        self._seen: set[bytes] = set()

    def verify(self, row: bytes) -> int:
        """The cumulative amount in micro. Raises `IntegrityError` for another lane, a high s or another signer."""
        if len(row) != ROW:
            raise IntegrityError(f"a voucher has {ROW} bytes, not {len(row)}")
        digests = self._digests
        if row[:4] != digests.lane_bytes:
            raise IntegrityError(f"the voucher is for lane {int.from_bytes(row[:4], 'big')}, not {digests.lane}")
        cumulative = int.from_bytes(row[4:10], "big")
        tail = int.from_bytes(row[42:], "big")
        s = tail & ~_HIGH_BIT
        if s > HALF_ORDER:
            raise IntegrityError("the s of the voucher's signature is not low")
        digest = digests.digest(cumulative)
        signature, parity = row[10:42] + s.to_bytes(32, "big"), tail >> 255
        key = self._recovery(signature, parity, digest) if self._recovery is not None else b""
        if key and key in self._seen:
            # Equal content is an equal key, whose address has been looked at.
            return cumulative
        if recover(digest, signature + bytes([27 + parity])) not in self._signers:
            raise IntegrityError("the voucher is not signed by the lane's signer")
        if key:
            self._seen.add(key)
        return cumulative


def parse_row(row: bytes) -> tuple[int, int, bytes]:
    """(lane, cumulative micro, 64-byte signature) of a voucher. Raises `IntegrityError` for another length."""
    if len(row) != ROW:
        raise IntegrityError(f"a voucher has {ROW} bytes, not {len(row)}")
    return int.from_bytes(row[:4], "big"), int.from_bytes(row[4:10], "big"), row[10:]


def pack_rows(rows: Iterable[bytes]) -> bytes:
    """Vouchers of one payee and service as `redeem` takes them. Raises `IntegrityError` for a row of another length."""
    packed = list(rows)
    for row in packed:
        parse_row(row)
    return b"".join(packed)


def lane_receipt(payee: Address, service: int, lane: int) -> bytes:
    """The receipt id of a lane, as `credited` and `LaneReceipts` have it: payee | service | 0 (48 bits) | lane."""
    return bytes.fromhex(address(payee)[2:]) + service.to_bytes(2, "big") + bytes(6) + lane.to_bytes(4, "big")


__all__ = [
    "CUMULATIVE_MAX",
    "ROW",
    "LocalSigner",
    "Voucher",
    "VoucherDomain",
    "VoucherSigner",
    "VoucherVerifier",
    "lane_receipt",
    "pack_rows",
    "parse_row",
]
