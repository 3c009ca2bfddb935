"""Base of the generated bindings: turns a method call into a `Call` or a `Tx`; no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from blackhole.chain.abi import Types
from blackhole.chain.values import Address, Call, Event, Revert, Tx, address


class Contract:
    """A contract at an address. Every method returns a value that `Chain` executes."""

    __slots__ = ("address",)

    NAME: ClassVar[str] = ""
    ERRORS: ClassVar[tuple[type[Revert], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = ()
    _TYPES: ClassVar[Types]

    def __init__(self, at: str) -> None:
        """`at`: 0x-hex; raises `InputError` when it is no address."""
        self.address: Address = address(at)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Contract) and self.address == other.address

    def __hash__(self) -> int:
        return hash((type(self), self.address))

    def _call(
        self,
        name: str,
        selector: str,
        inputs: str,
        values: tuple[Any, ...],
        outputs: str,
        make: Callable[[Any], Any] | None = None,
    ) -> Call[Any]:
        data = bytes.fromhex(selector)
        if inputs:
            data += self._TYPES.many(inputs).encode(values)
        return Call(self.address, data, self._decoder(outputs, make), f"{self.NAME}.{name}")

    def _tx(
        self,
        name: str,
        selector: str,
        inputs: str,
        values: tuple[Any, ...],
        outputs: str,
        make: Callable[[Any], Any] | None = None,
        value: int = 0,
    ) -> Tx[Any]:
        data = bytes.fromhex(selector)
        if inputs:
            data += self._TYPES.many(inputs).encode(values)
        return Tx(self.address, data, value, self._decoder(outputs, make), f"{self.NAME}.{name}")

    def _decoder(self, outputs: str, make: Callable[[Any], Any] | None) -> Callable[[bytes], Any]:
        codec = self._TYPES.many(outputs)
        if make is not None:
            return lambda raw: make(codec.decode(raw, 0))
        if not outputs:
            return _nothing
        if _single(outputs):
            return lambda raw: codec.decode(raw, 0)[0]
        return lambda raw: codec.decode(raw, 0)


def _nothing(raw: bytes) -> None:
    return None


def _single(outputs: str) -> bool:
    depth = 0
    for character in outputs:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            return False
    return True
