"""The contract ABI codec: type specifications compiled to small encoders and decoders.

A specification is what Solidity writes, with struct names allowed: `address,uint16,Lane[]`. Decoding is strict:
padding must be zero and every offset must lie inside the data, so a malformed answer is an error and never a wrong
number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from blackhole.chain.values import Address, _checksummed
from blackhole.errors import BlackholeError, InputError

WORD: Final = 32
_MASK: Final = (1 << 256) - 1
_ARRAY = re.compile(r"(.*)\[(\d*)\]$")
_NUMBER = re.compile(r"(uint|int|bytes)(\d*)$")


class AbiError(BlackholeError):
    """Data does not have the shape its contract promises."""

    code = "abi"
    hint = "The contract at that address is another one, or of another version, than this software was built for."
    exit_code = 6


Encoder = Callable[[Any], bytes]
Decoder = Callable[[bytes, int], Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """One type: whether its encoding has a tail, how many bytes its head takes, and both directions."""

    name: str
    dynamic: bool
    size: int
    """Bytes of a static encoding; 32 for a dynamic type (its offset)."""
    encode: Encoder
    decode: Decoder
    """(data, position) -> value."""
    composite: bool = False
    """A tuple, struct or array."""


def _word(data: bytes, position: int) -> bytes:
    word: bytes = data[position : position + WORD]
    if len(word) != WORD:
        raise AbiError(f"data ends at byte {len(data)} inside the word at {position}")
    return word


def _unsigned(name: str, bits: int) -> Codec:
    limit = 1 << bits

    def encode(value: Any) -> bytes:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < limit:
            raise InputError(f"{value!r} is not a {name}")
        return value.to_bytes(WORD, "big")

    def decode(data: bytes, position: int) -> int:
        value = int.from_bytes(_word(data, position), "big")
        if value >= limit:
            raise AbiError(f"{value} does not fit {name}")
        return value

    return Codec(name, False, WORD, encode, decode)


def _signed(name: str, bits: int) -> Codec:
    limit = 1 << (bits - 1)

    def encode(value: Any) -> bytes:
        if isinstance(value, bool) or not isinstance(value, int) or not -limit <= value < limit:
            raise InputError(f"{value!r} is not an {name}")
        return (value & _MASK).to_bytes(WORD, "big")

    def decode(data: bytes, position: int) -> int:
        value = int.from_bytes(_word(data, position), "big", signed=True)
        if not -limit <= value < limit:
            raise AbiError(f"{value} does not fit {name}")
        return value

    return Codec(name, False, WORD, encode, decode)


def _encode_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is not a bool")
    return value.to_bytes(WORD, "big")


def _decode_bool(data: bytes, position: int) -> bool:
    value = int.from_bytes(_word(data, position), "big")
    if value > 1:
        raise AbiError(f"{value} is not a bool")
    return value == 1


def _encode_address(value: Any) -> bytes:
    if isinstance(value, str) and len(value) == 42 and value[:2] == "0x":
        try:
            return bytes(12) + bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise InputError(f"{value!r} is not an address")


def _decode_address(data: bytes, position: int) -> Address:
    word = _word(data, position)
    if any(word[:12]):
        raise AbiError(f"0x{word.hex()} is not an address")
    return _checksummed(word[12:])


def _fixed_bytes(name: str, length: int) -> Codec:
    def encode(value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray) or len(value) != length:
            raise InputError(f"{value!r} is not a {name}")
        return bytes(value).ljust(WORD, b"\0")

    def decode(data: bytes, position: int) -> bytes:
        word = _word(data, position)
        if any(word[length:]):
            raise AbiError(f"0x{word.hex()} is not a {name}")
        return word[:length]

    return Codec(name, False, WORD, encode, decode)


def _encode_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InputError(f"{value!r} is not bytes")
    content = bytes(value)
    return len(content).to_bytes(WORD, "big") + content + bytes(-len(content) % WORD)


def _decode_bytes(data: bytes, position: int) -> bytes:
    length = int.from_bytes(_word(data, position), "big")
    start = position + WORD
    if start + length > len(data):
        raise AbiError(f"data ends inside the {length} bytes at {start}")
    if any(data[start + length : start + length + (-length % WORD)]):
        raise AbiError(f"the padding of the {length} bytes at {start} is not zero")
    return data[start : start + length]


def _encode_string(value: Any) -> bytes:
    if not isinstance(value, str):
        raise InputError(f"{value!r} is not a string")
    return _encode_bytes(value.encode())


def _decode_string(data: bytes, position: int) -> str:
    # A contract may hold any bytes in a string; one bad name must not make a whole list unreadable.
    return _decode_bytes(data, position).decode("utf-8", "replace")


_PLAIN: Final = {
    "bool": Codec("bool", False, WORD, _encode_bool, _decode_bool),
    "address": Codec("address", False, WORD, _encode_address, _decode_address),
    "bytes": Codec("bytes", True, WORD, _encode_bytes, _decode_bytes),
    "string": Codec("string", True, WORD, _encode_string, _decode_string),
}


def _sequence(name: str, items: Sequence[Codec], make: Callable[[list[Any]], Any]) -> Codec:
    """A tuple, struct or array of fixed length: heads, then tails."""
    items = tuple(items)
    count = len(items)
    dynamic = any(item.dynamic for item in items)
    head = sum(item.size for item in items)

    def encode(value: Any) -> bytes:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence) or len(value) != count:
            raise InputError(f"{value!r} is not a {name} of {count} values")
        if not dynamic:
            return b"".join([item.encode(each) for item, each in zip(items, value, strict=True)])
        heads: list[bytes] = []
        tails: list[bytes] = []
        offset = head
        for item, each in zip(items, value, strict=True):
            encoded = item.encode(each)
            if item.dynamic:
                heads.append(offset.to_bytes(WORD, "big"))
                tails.append(encoded)
                offset += len(encoded)
            else:
                heads.append(encoded)
        return b"".join(heads) + b"".join(tails)

    def decode(data: bytes, position: int) -> Any:
        values: list[Any] = []
        at = position
        for item in items:
            if item.dynamic:
                offset = int.from_bytes(_word(data, at), "big")
                if offset < head or position + offset >= len(data):
                    raise AbiError(f"offset {offset} at byte {at} points outside the data")
                values.append(item.decode(data, position + offset))
            else:
                values.append(item.decode(data, at))
            at += item.size
        return make(values)

    return Codec(name, dynamic, WORD if dynamic else head, encode, decode, composite=True)


def _dynamic_array(name: str, item: Codec) -> Codec:
    def encode(value: Any) -> bytes:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise InputError(f"{value!r} is not a {name}")
        return len(value).to_bytes(WORD, "big") + _sequence(name, [item] * len(value), list).encode(value)

    def decode(data: bytes, position: int) -> list[Any]:
        length = int.from_bytes(_word(data, position), "big")
        # Each item takes at least its head, so a forged length cannot make us allocate more than the data holds.
        if item.size and length > (len(data) - position) // item.size:
            raise AbiError(f"an array of {length} items does not fit the data")
        found: list[Any] = _sequence(name, [item] * length, list).decode(data, position + WORD)
        return found

    return Codec(name, True, WORD, encode, decode, composite=True)


def split(specification: str) -> list[str]:
    """The types of a comma-separated list; commas inside parentheses do not count."""
    parts: list[str] = []
    depth, start = 0, 0
    for index, character in enumerate(specification):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(specification[start:index])
            start = index + 1
    return [*parts, specification[start:]] if specification else []


def _enumeration(name: str, kind: type[IntEnum]) -> Codec:
    plain = _unsigned(name, 8)

    def decode(data: bytes, position: int) -> IntEnum:
        value = plain.decode(data, position)
        try:
            return kind(value)
        except ValueError:
            raise AbiError(f"{value} is no {name}") from None

    return Codec(name, False, WORD, plain.encode, decode)


class Types:
    """Compiles and keeps codecs; `structs` maps a name to its NamedTuple and the types of its fields, `enums` to its
    IntEnum.
    """

    def __init__(
        self,
        structs: Mapping[str, tuple[Callable[[list[Any]], Any], str]] | None = None,
        enums: Mapping[str, type[IntEnum]] | None = None,
    ) -> None:
        self._structs = structs or {}
        self._enums = enums or {}
        self._codecs: dict[str, Codec] = {}
        self._lists: dict[str, Codec] = {}

    def one(self, name: str) -> Codec:
        """The codec of one type."""
        codec = self._codecs.get(name)
        if codec is None:
            codec = self._codecs[name] = self._compile(name)
        return codec

    def many(self, specification: str) -> Codec:
        """The codec of an argument list; it encodes a sequence and decodes to a tuple."""
        codec = self._lists.get(specification)
        if codec is None:
            items = [self.one(each) for each in split(specification)]
            codec = self._lists[specification] = _sequence("argument list", items, tuple)
        return codec

    def _compile(self, name: str) -> Codec:
        if name in _PLAIN:
            return _PLAIN[name]
        if name in self._structs:
            make, fields = self._structs[name]
            return _sequence(name, [self.one(each) for each in split(fields)], make)
        if name in self._enums:
            return _enumeration(name, self._enums[name])
        if match := _ARRAY.match(name):
            item = self.one(match.group(1))
            if match.group(2):
                return _sequence(name, [item] * int(match.group(2)), list)
            return _dynamic_array(name, item)
        if name[:1] == "(" and name[-1:] == ")":
            return _sequence(name, [self.one(each) for each in split(name[1:-1])], tuple)
        if match := _NUMBER.match(name):
            kind, size = match.group(1), int(match.group(2) or 256)
            if kind == "bytes" and 1 <= size <= 32:
                return _fixed_bytes(name, size)
            if kind != "bytes" and size % 8 == 0 and 8 <= size <= 256:
                return _unsigned(name, size) if kind == "uint" else _signed(name, size)
        raise ValueError(f"not an ABI type: {name!r}")


PLAIN: Final = Types()
"""For specifications without structs."""


def encode(specification: str, values: Sequence[Any]) -> bytes:
    """`abi.encode` of the values; the specification holds no struct names. Raises `InputError`."""
    return PLAIN.many(specification).encode(values)


def decode(specification: str, data: bytes) -> tuple[Any, ...]:
    """The values of `abi.encode`d data. Raises `AbiError`."""
    values: tuple[Any, ...] = PLAIN.many(specification).decode(data, 0)
    return values
