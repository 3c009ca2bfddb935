"""What bindings are made of and what a chain client returns: values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NewType, TypeVar

from blackhole.errors import InputError, Json, Revert, _plain
from blackhole.hashing import keccak256

if TYPE_CHECKING:
    # `Tx` alone means a transaction whose return value nobody reads.
    from typing_extensions import TypeVar as TypeVarWithDefault

    R = TypeVarWithDefault("R", default=object, covariant=True)
else:
    R = TypeVar("R")

__all__ = [
    "ZERO",
    "Address",
    "Block",
    "Call",
    "Event",
    "Log",
    "Logged",
    "Receipt",
    "Revert",
    "Tx",
    "address",
]

T = TypeVar("T")
E = TypeVar("E", bound="Event")

Address = NewType("Address", str)
"""A checksummed address (EIP-55). Make one with `address(...)`."""


@lru_cache(maxsize=4096)
def _checksummed(raw: bytes) -> Address:
    digits = raw.hex()
    nibbles = keccak256(digits.encode()).hex()
    return Address("0x" + "".join(c.upper() if n > "7" else c for c, n in zip(digits, nibbles, strict=False)))


def address(value: str | bytes) -> Address:
    """Checksum an address given as 20 bytes or 0x-hex. Raises `InputError`; a wrong mixed-case checksum is refused
    too."""
    if isinstance(value, bytes):
        if len(value) != 20:
            raise InputError(f"an address has 20 bytes, not {len(value)}")
        return _checksummed(value)
    try:
        if value[:2] not in ("0x", "0X") or len(value) != 42:
            raise ValueError
        result = _checksummed(bytes.fromhex(value[2:]))
    except (ValueError, TypeError):
        raise InputError(f"not an address: {value!r}") from None
    if value[2:] not in (result[2:], result[2:].lower(), result[2:].upper()):
        raise InputError(f"the checksum of {value} is wrong", hint="Copy the address again.")
    return result


ZERO = Address("0x" + "00" * 20)  # written out: hashing would load the keccak library with this module


class Event:
    """An event of a contract, decoded. The generated bindings hold one subclass for each."""

    __slots__ = ("address",)
    __match_args__: ClassVar[tuple[str, ...]] = ()
    TOPIC: ClassVar[bytes] = b""
    """Its first topic."""
    SIGNATURE: ClassVar[str] = ""
    INDEXED: ClassVar[tuple[bool, ...]] = ()
    """For each argument whether it travels as a topic."""

    address: Address
    """The contract that emitted it."""

    def fields(self) -> dict[str, Json]:
        """The arguments by name, ready for JSON."""
        return {name: _plain(getattr(self, name)) for name in self.__match_args__}

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Event) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        return f"{self.SIGNATURE.split('(')[0]}({', '.join(f'{k}={v!r}' for k, v in self.fields().items())})"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A read: what to ask which contract, and how to decode its answer. `Chain.read` executes it."""

    to: Address
    data: bytes
    decode: Callable[[bytes], T] = field(repr=False)
    name: str = ""
    """Contract and function, for messages: `PaymentHub.balanceOf`."""


@dataclass(frozen=True, slots=True)
class Tx(Generic[R]):
    """A write: what to send where. `Chain.send` executes it, `Chain.simulate` returns what it would return."""

    to: Address | None
    """None creates a contract from `data`."""
    data: bytes
    value: int = 0
    """wei of the chain's own coin."""
    decode: Callable[[bytes], R] | None = field(default=None, repr=False)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """The head of a block; times are seconds since 1970."""

    number: int
    timestamp: int
    hash: bytes
    parent: bytes = b""
    base_fee: int = 0
    """wei a gas."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log as the chain keeps it."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: bytes
    transaction: bytes
    index: int

    @classmethod
    def from_rpc(cls, raw: Mapping[str, Any]) -> Log:
        """From a JSON-RPC log object."""
        return cls(
            _checksummed(bytes.fromhex(raw["address"][2:])),
            tuple(bytes.fromhex(topic[2:]) for topic in raw["topics"]),
            bytes.fromhex(raw["data"][2:]),
            int(raw["blockNumber"], 16),
            bytes.fromhex(raw["blockHash"][2:]),
            bytes.fromhex(raw["transactionHash"][2:]),
            int(raw["logIndex"], 16),
        )


@dataclass(frozen=True, slots=True)
class Logged(Generic[E]):
    """An event and where the chain has it."""

    event: E
    log: Log

    @property
    def block(self) -> int:
        return self.log.block

    @property
    def transaction(self) -> bytes:
        return self.log.transaction


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined, successful transaction."""

    hash: bytes
    block: int
    block_hash: bytes
    gas_used: int
    effective_gas_price: int
    """wei a gas."""
    sender: Address
    to: Address | None
    events: tuple[Event, ...]
    """Every event of a known contract, typed, in order."""
    logs: tuple[Log, ...] = field(repr=False)

    @property
    def fee(self) -> int:
        """wei of the chain's coin the transaction cost."""
        return self.gas_used * self.effective_gas_price

    def event(self, kind: type[E], emitter: Address | None = None) -> E:
        """The first event of that type (of that contract). Raises `LookupError` when there is none."""
        for event in self.events_of(kind, emitter):
            return event
        raise LookupError(f"transaction 0x{self.hash.hex()} has no event {kind.__name__}")

    def events_of(self, kind: type[E], emitter: Address | None = None) -> tuple[E, ...]:
        """All events of that type (of that contract), in order."""
        return tuple(e for e in self.events if isinstance(e, kind) and emitter in (None, e.address))
