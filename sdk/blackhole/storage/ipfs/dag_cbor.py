"""DAG-CBOR: the canonical subset of CBOR with links. Whatever decodes here encodes to the very same bytes.

Integers of 64 bits, UTF-8 strings, bytes, lists, maps with string keys (sorted by length, then bytes), floats of 64
bits, and CIDs as tag 42. Everything else, and every second way to write the same value, is refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from blackhole.errors import IntegrityError
from blackhole.storage.ipfs.cid import Cid

Node: TypeAlias = "bool | int | float | str | bytes | Cid | Sequence[Node] | Mapping[str, Node] | None"
"""What a DAG-CBOR block can say."""

MAX_DEPTH = 64
"""levels. Deeper nesting is refused: it would exhaust the stack."""

_UINT, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_LINK_TAG = 42


def encode(value: Node) -> bytes:
    """The canonical bytes of `value`. Raises ValueError for what DAG-CBOR cannot say (NaN, integers beyond 64 bits)."""
    out: list[bytes] = []
    _encode(value, out)
    return b"".join(out)


def decode(block: bytes) -> Node:
    """The value of a block. Raises IntegrityError unless it is exactly one canonical value."""
    reader = _Reader(block)
    value = reader.value(0)
    if reader.at != len(block):
        raise IntegrityError("bytes behind the end of a DAG-CBOR block")
    return value


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major << 5 | value,))
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes((major << 5 | extra,)) + value.to_bytes(size, "big")
    raise ValueError("DAG-CBOR integers have 64 bits")


def _encode(value: Node, out: list[bytes]) -> None:
    if value is None or isinstance(value, bool):
        out.append({False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value])
    elif isinstance(value, int):
        out.append(_head(_UINT, value) if value >= 0 else _head(_NEGATIVE, -1 - value))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("DAG-CBOR has no NaN and no infinity")
        out.append(struct.pack(">Bd", _SIMPLE << 5 | 27, value))
    elif isinstance(value, Cid):
        out.append(_head(_TAG, _LINK_TAG) + _head(_BYTES, len(value) + 1) + b"\x00" + value)
    elif isinstance(value, bytes):
        out.append(_head(_BYTES, len(value)) + value)
    elif isinstance(value, str):
        text = value.encode()
        out.append(_head(_TEXT, len(text)) + text)
    elif isinstance(value, Mapping):
        out.append(_head(_MAP, len(value)))
        for text, key in sorted(((key.encode(), key) for key in value), key=lambda pair: (len(pair[0]), pair[0])):
            out.append(_head(_TEXT, len(text)) + text)
            _encode(value[key], out)
    else:
        out.append(_head(_LIST, len(value)))
        for item in value:
            _encode(item, out)


class _Reader:
    def __init__(self, block: bytes) -> None:
        self.block = block
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.block):
            raise IntegrityError("a DAG-CBOR block ends too early")
        piece = self.block[self.at : end]
        self.at = end
        return piece

    def head(self) -> tuple[int, int, int]:
        """(major type, additional information, argument)."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        if info > 27:
            raise IntegrityError("DAG-CBOR has no indefinite lengths")
        argument = int.from_bytes(self.take(1 << info - 24), "big")
        if major != _SIMPLE and argument < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise IntegrityError("a DAG-CBOR integer not in its shortest form")
        return major, info, argument

    def text(self, length: int) -> str:
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise IntegrityError("a DAG-CBOR string is not UTF-8") from error

    def value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise IntegrityError("a DAG-CBOR block nests too deeply")
        major, info, argument = self.head()
        if major == _UINT:
            return argument
        if major == _NEGATIVE:
            return -1 - argument
        if major == _BYTES:
            return self.take(argument)
        if major == _TEXT:
            return self.text(argument)
        if major == _LIST:
            self._bounded(argument)
            return [self.value(depth + 1) for _ in range(argument)]
        if major == _MAP:
            return self.map(argument, depth)
        if major == _TAG:
            return self.link(argument)
        return self.simple(info, argument)

    def _bounded(self, count: int) -> None:
        if count > len(self.block) - self.at:
            raise IntegrityError("a DAG-CBOR block ends too early")

    def map(self, count: int, depth: int) -> dict[str, Node]:
        self._bounded(count)
        out: dict[str, Node] = {}
        last: tuple[int, bytes] | None = None
        for _ in range(count):
            major, _, length = self.head()
            if major != _TEXT:
                raise IntegrityError("a DAG-CBOR map key is not a string")
            key = self.text(length)
            raw = key.encode()
            if last is not None and (len(raw), raw) <= last:
                raise IntegrityError("DAG-CBOR map keys out of order or twice")
            last = (len(raw), raw)
            out[key] = self.value(depth + 1)
        return out

    def link(self, tag: int) -> Cid:
        major, _, length = self.head()
        if tag != _LINK_TAG or major != _BYTES:
            raise IntegrityError("DAG-CBOR knows tag 42 alone")
        raw = self.take(length)
        if raw[:1] != b"\x00":
            raise IntegrityError("a DAG-CBOR link lacks its prefix")
        return Cid.parse(raw[1:])

    def simple(self, info: int, argument: int) -> bool | float | None:
        if info in (20, 21):
            return info == 21
        if info == 22:
            return None
        if info == 27:
            number: float = struct.unpack(">d", argument.to_bytes(8, "big"))[0]
            if math.isfinite(number):
                return number
        raise IntegrityError("a value DAG-CBOR does not have")
