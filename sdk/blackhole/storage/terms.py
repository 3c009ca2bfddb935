"""What payer and node sign about storage: EIP-712 structs in the domain of the StorageMarket contract.

Terms, TermsBatch, Change and Policy are read by the contract (contracts/libraries/StorageTypedData.sol); Quote and
Upload pass between client and node only. Field order is the contract's. Amounts are wei, periods are period numbers,
times unix seconds, leaves KiB. In JSON wei are decimal strings, bytes 0x-hex.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from blackhole.errors import InputError, Json

if TYPE_CHECKING:
    from blackhole.chain.typed_data import Domain, TypedStruct

DOMAIN_NAME: Final = "Blackhole StorageMarket"
DOMAIN_VERSION: Final = "1"

_WEI = "uint96"
SIGNATURE_LENGTH: Final = 65
"""bytes r ‖ s ‖ v."""


@dataclass(frozen=True)
class MarketDomain:
    """The StorageMarket all these signatures are bound to."""

    chain_id: int
    market: str

    @cached_property
    def domain(self) -> Domain:
        """The EIP-712 domain."""
        from blackhole.chain.typed_data import Domain
        from blackhole.chain.values import address

        return Domain(DOMAIN_NAME, DOMAIN_VERSION, self.chain_id, address(self.market))


Self = TypeVar("Self", bound="SignedStruct")


class SignedStruct:
    """Base of the dataclasses below: `DECLARATION` is the EIP-712 type, its fields in the dataclass's order."""

    DECLARATION: ClassVar[str]

    def values(self) -> tuple[Any, ...]:
        """The fields in the contract's order: the argument of a call, or of a hash."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    def digest(self, domain: MarketDomain) -> bytes:
        """What is signed, 32 bytes. Raises InputError for a field its type cannot hold."""
        return _struct(self.DECLARATION).digest(domain.domain, *self.values())

    def to_json(self) -> dict[str, Json]:
        """The fields by name: wei and ids as decimal strings, bytes as 0x-hex, addresses and the rest as they are."""
        names = (field.name for field in fields(self))  # type: ignore[arg-type]
        types = (kind for kind, _ in _struct(self.DECLARATION).fields)
        return {name: _to_json(kind, getattr(self, name)) for name, kind in zip(names, types, strict=True)}

    @classmethod
    def from_json(cls: type[Self], value: Mapping[str, object]) -> Self:
        """Read `to_json`'s result. Raises InputError for a missing, unknown or malformed field."""
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if set(value) != set(names):
            wrong = sorted(set(value) ^ set(names))
            raise InputError(f"{cls.__name__}: missing or unknown fields {', '.join(wrong)}")
        types = (kind for kind, _ in _struct(cls.DECLARATION).fields)
        return cls(**{name: _from_json(kind, name, value[name]) for name, kind in zip(names, types, strict=True)})


@dataclass(frozen=True)
class Terms(SignedStruct):
    """A deal. Its digest is the agreement's id. The node signs it, and the payer it or a batch that holds it.

    Attributes:
        payee: the registry's payee of the node.
        root, leaves: of the agreement tree. pieces: `PieceList.digest()`.
        rate: wei a period. prepaid: wei locked, at least rate × (end − start) + repair_share.
        repair_share: wei kept beyond the rate for replacing lost pieces.
        repairer: who is paid from a failed node's fund when this replaces a lost piece; the zero address: nobody.
    """

    DECLARATION = (
        "Terms(address payer,uint32 node,address payee,bytes32 root,bytes32 pieces,uint48 leaves,uint96 rate,"
        "uint32 start,uint32 end,uint96 prepaid,uint96 repairShare,address repairer,uint64 salt)"
    )

    payer: str
    node: int
    payee: str
    root: bytes
    pieces: bytes
    leaves: int
    rate: int
    start: int
    end: int
    prepaid: int
    repair_share: int
    repairer: str
    salt: int

    def id(self, domain: MarketDomain) -> int:
        """The agreement's id on chain."""
        return int.from_bytes(self.digest(domain), "big")


@dataclass(frozen=True)
class TermsBatch(SignedStruct):
    """All agreements a payer opens with one signature; `ids` are digests of Terms."""

    DECLARATION = "TermsBatch(bytes32[] ids)"

    ids: tuple[bytes, ...]

    @classmethod
    def of(cls, terms: Sequence[Terms], domain: MarketDomain) -> TermsBatch:
        """The batch of these terms, in order."""
        return cls(tuple(each.digest(domain) for each in terms))


@dataclass(frozen=True)
class Change(SignedStruct):
    """New content or price of an agreement, signed by both; counts from the next period.

    Attributes:
        prepaid: wei added to what is locked.
        nonce: the agreement's.
        last_period: the last period in which the market takes it. A node signs at most START_LEAD periods ahead and
            lets go of what it staged for the Change when this one is over.
    """

    DECLARATION = (
        "Change(uint256 id,bytes32 root,bytes32 pieces,uint48 leaves,uint96 rate,uint32 end,uint96 prepaid,"
        "uint16 nonce,uint32 lastPeriod)"
    )

    id: int
    root: bytes
    pieces: bytes
    leaves: int
    rate: int
    end: int
    prepaid: int
    nonce: int
    last_period: int


@dataclass(frozen=True)
class Policy(SignedStruct):
    """A payer's standing order to replace lost pieces while he is away.

    Attributes:
        manifest: piece root of the object's manifest (`Manifest.piece.root`).
        max_rate: wei per GiB and period.
        budget: wei beyond what lost locks give back.
        allowed_nodes: root over node ids, or 32 zero bytes for any registered node.
        expiry: unix seconds.
    """

    DECLARATION = (
        "Policy(address payer,bytes32 manifest,uint96 maxRate,uint96 budget,bytes32 allowedNodes,uint40 expiry,"
        "uint64 nonce)"
    )

    payer: str
    manifest: bytes
    max_rate: int
    budget: int
    allowed_nodes: bytes
    expiry: int
    nonce: int


@dataclass(frozen=True)
class Quote(SignedStruct):
    """What a node asks, signed by its hot key.

    Attributes:
        rate: wei a period for `leaves`.
        egress: micro-HOLE a MiB read.
        staging: bytes this payer may have in staging.
        valid_until: unix seconds.
    """

    DECLARATION = (
        "Quote(uint32 node,address payer,address payee,uint16 service,uint48 leaves,uint96 rate,uint64 egress,"
        "uint64 staging,uint40 validUntil,uint64 nonce)"
    )

    node: int
    payer: str
    payee: str
    service: int
    leaves: int
    rate: int
    egress: int
    staging: int
    valid_until: int
    nonce: int


@dataclass(frozen=True)
class Upload(SignedStruct):
    """A payer's permission to put `size` bytes into a node's staging until `expiry` (unix seconds)."""

    DECLARATION = "Upload(address payer,uint32 node,uint64 bytes,uint40 expiry,uint64 nonce)"

    payer: str
    node: int
    size: int
    expiry: int
    nonce: int


def check_signature(signer: str, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` (65 bytes, or 64 as EIP-2098) over `digest` is by the externally owned account `signer`."""
    from blackhole.chain.signatures import recover
    from blackhole.errors import IntegrityError

    try:
        return recover(digest, signature).lower() == signer.lower()
    except IntegrityError:
        return False


@cache
def _struct(declaration: str) -> TypedStruct:
    from blackhole.chain.typed_data import typed_struct

    return typed_struct(declaration)


def _to_json(kind: str, value: Any) -> Json:
    if kind in (_WEI, "uint256"):
        return str(int(value))  # an amount of `blackhole.units` prints tokens
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return [_to_json("", each) for each in value]
    plain: Json = value
    return plain


def _from_json(kind: str, name: str, value: object) -> object:
    if kind.endswith("[]") and isinstance(value, list):
        return tuple(_from_json(kind[:-2], name, each) for each in value)
    if kind in (_WEI, "uint256") and isinstance(value, str) and value.isdecimal() and value.isascii():
        return int(value)
    if kind == "address" and isinstance(value, str):
        from blackhole.chain.values import address

        try:
            return str(address(value))
        except InputError as error:
            raise InputError(f"{name}: {error.message}") from None
    if kind == "bytes32" and isinstance(value, str) and value.startswith("0x") and len(value) == 66:
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    small = kind.startswith("uint") and kind not in (_WEI, "uint256")
    if small and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << int(kind[4:]):
        return value
    raise InputError(f"{name} is not a valid {kind}")
