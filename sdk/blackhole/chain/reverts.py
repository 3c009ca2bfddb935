"""Why a contract refused: revert data decoded against every custom error of the project."""

from __future__ import annotations

from typing import Any, Final

from blackhole.chain.abi import AbiError, decode
from blackhole.chain.rpc import RpcError
from blackhole.chain.values import Revert
from blackhole.errors import Reverted

_PANICS: Final = {
    0x01: "an assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "not a value of the enum",
    0x22: "a wrongly encoded byte array in storage",
    0x31: "pop from an empty array",
    0x32: "index out of range",
    0x41: "too much memory asked for",
    0x51: "call of an empty function pointer",
}


class ErrorString(Revert):
    """`require(condition, reason)`"""

    __slots__ = __match_args__ = ("reason",)
    SELECTOR = bytes.fromhex("08c379a0")
    SIGNATURE = "Error(string)"

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Panic(Revert):
    """A failure the compiler guards against; `number` is Solidity's."""

    __slots__ = __match_args__ = ("number",)
    SELECTOR = bytes.fromhex("4e487b71")
    SIGNATURE = "Panic(uint256)"

    def __init__(self, number: int) -> None:
        self.number = number


def decode_revert(data: bytes) -> Revert | None:
    """The typed error in revert data; None when no contract of this project declares it."""
    from blackhole.chain.bindings._registry import error_class
    from blackhole.chain.bindings._types import TYPES

    selector = data[:4]
    try:
        if selector == ErrorString.SELECTOR:
            return ErrorString(*decode("string", data[4:]))
        if selector == Panic.SELECTOR:
            return Panic(*decode("uint256", data[4:]))
        if (known := error_class(selector)) is not None:
            kind, types = known
            return kind(*TYPES.many(types).decode(data[4:], 0))
    except AbiError:
        return None
    return None


def reverted(data: bytes, name: str, *, text: str = "", transaction: str | None = None) -> Reverted:
    """The error to raise for revert data of the call `name`."""
    decoded = decode_revert(data)
    subject = name or "the transaction"
    if isinstance(decoded, ErrorString):
        reason = decoded.reason
    elif isinstance(decoded, Panic):
        reason = _PANICS.get(decoded.number, f"panic 0x{decoded.number:x}")
    elif decoded is not None:
        reason = repr(decoded)
    elif data:
        reason = f"unknown error 0x{data[:4].hex()}"
    else:
        reason = text or "no reason given"
    return Reverted(f"{subject} reverted: {reason}", decoded=decoded, raw=data, transaction=transaction)


def revert_data(error: RpcError) -> bytes | None:
    """The revert data inside an endpoint's refusal; None when the refusal is no revert. Endpoints disagree on where
    it is."""
    detail: Any = error.detail
    for _ in range(3):
        if isinstance(detail, dict):
            detail = detail.get("data", detail.get("result", detail.get("originalError")))
    if isinstance(detail, str):
        digits = detail.removeprefix("Reverted ").removeprefix("0x")
        try:
            return bytes.fromhex(digits)
        except ValueError:
            pass
    return b"" if error.number == 3 or "revert" in error.text.lower() else None
