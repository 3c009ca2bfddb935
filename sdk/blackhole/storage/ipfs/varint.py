"""Unsigned varints as multiformats and protocol buffers write them: seven bits a byte, least significant first."""

from __future__ import annotations

from blackhole.errors import IntegrityError

MAX_BYTES = 10
"""bytes. Enough for 64 bits; longer varints are refused."""


def encode(value: int) -> bytes:
    """The shortest encoding of `value` (0 ≤ value < 2^64)."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"varint out of range: {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes | memoryview, offset: int = 0) -> tuple[int, int]:
    """(value, offset behind it). Raises IntegrityError when cut off, too long or not the shortest encoding."""
    value = shift = 0
    for position in range(offset, min(len(data), offset + MAX_BYTES)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if value >= 1 << 64 or (byte == 0 and position > offset):
                break
            return value, position + 1
    raise IntegrityError("malformed varint")
