"""Reading what clients send. Everything is checked for type and range; what is wrong is named in the 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from blackhole.node.storage.refusal import Refusal, malformed
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.sum_tree import SUM_LIMIT

JSON_MAX = 8 * 2**20
"""bytes. A deal over 65,000 pieces fits."""

_HEX = frozenset("0123456789abcdefABCDEF")


async def json_body(request: web.Request, limit: int = JSON_MAX) -> dict[str, Any]:
    """The JSON object in the body. Raises Refusal 400, 411, 413."""
    try:
        body = orjson.loads(await whole_body(request, limit))
    except orjson.JSONDecodeError:
        raise malformed("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise malformed("The body is not a JSON object.")
    return body


async def whole_body(request: web.Request, limit: int) -> bytes:
    """The body, at most `limit` bytes. Raises Refusal 411, 413."""
    size = request.content_length
    if size is None:
        raise Refusal(411, "length_required", "Content-Length is missing.", hint="Send it.")
    if size > limit:
        raise Refusal(413, "too_large", f"The body has more than {limit} bytes.", hint="Send less at once.")
    return await request.content.readexactly(size) if size else b""


def take(body: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    """A value that must be there and of `kind`."""
    value = body.get(key)
    if type(value) is not kind:
        raise malformed(f"{key!r} is missing or not {_NAMES[kind]}.")
    return value


_NAMES = {str: "a string", int: "an integer", dict: "an object", list: "a list", bool: "a boolean"}


def integer(body: Mapping[str, Any], key: str, bits: int) -> int:
    """An unsigned integer: a JSON number, or a decimal string where it may pass 2^53."""
    value = body.get(key)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 80:
        value = int(value)
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise malformed(f"{key!r} is missing or no unsigned integer of {bits} bits.")
    return value


def hexadecimal(body: Mapping[str, Any], key: str, length: int) -> bytes:
    """Bytes as hex, with or without 0x."""
    return from_hex(take(body, key, str), length, key)


def from_hex(text: str, length: int | None, what: str) -> bytes:
    """Exactly `length` bytes from hex."""
    digits = text.removeprefix("0x")
    if len(digits) % 2 or not set(digits) <= _HEX or (length is not None and len(digits) != 2 * length):
        raise malformed(f"{what} is not {length if length is not None else 'any'} bytes of hex.")
    return bytes.fromhex(digits)


def account(body: Mapping[str, Any], key: str) -> str:
    """An address, lower-case."""
    return "0x" + hexadecimal(body, key, 20).hex()


def pieces(body: Mapping[str, Any], key: str) -> list[Piece]:
    """A list of [root, leaves]."""
    out = []
    for item in take(body, key, list):
        if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
            raise malformed(f"{key!r} is not a list of [root, leaves].")
        if type(item[1]) is not int or not 0 < item[1] < SUM_LIMIT:
            raise malformed(f"{key!r} holds a piece without leaves.")
        out.append(Piece(from_hex(item[0], 32, "a root"), item[1]))
    if len({piece.root for piece in out}) != len(out):
        raise malformed(f"{key!r} lists a piece twice.")
    return out


def roots(body: Mapping[str, Any], key: str) -> list[bytes]:
    """A list of different roots."""
    listed = take(body, key, list)
    if not all(isinstance(item, str) for item in listed):
        raise malformed(f"{key!r} is not a list of roots.")
    out = [from_hex(item, 32, "a root") for item in listed]
    if len(set(out)) != len(out):
        raise malformed(f"{key!r} lists a root twice.")
    return out


def piece_list(body: Mapping[str, Any], key: str) -> PieceList:
    """As `pieces`, at least one."""
    listed = pieces(body, key)
    if not listed:
        raise malformed(f"{key!r} is empty.")
    return PieceList(tuple(listed))


def path_root(request: web.Request) -> bytes:
    """The root in the path."""
    return from_hex(request.match_info["root"], 32, "the root")


def path_number(request: web.Request, name: str, most: int) -> int:
    """A number in the path."""
    return _number(request.match_info[name], name, most)


def query_number(request: web.Request, name: str, most: int) -> int:
    """A number in the query, once."""
    values = request.query.getall(name, [])
    if len(values) != 1:
        raise malformed(f"The query needs {name}, once.")
    return _number(values[0], name, most)


def _number(text: str, name: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 20 or int(text) > most:
        raise malformed(f"{name} is not a number from 0 to {most}.")
    return int(text)


def byte_range(request: web.Request, size: int) -> tuple[int, int]:
    """(start, length) of the part that is asked for, the whole without a Range header. Raises Refusal 400, 416."""
    text = request.headers.get("Range")
    if text is None:
        return 0, size
    unit, _, span = text.partition("=")
    first, dash, last = span.strip().partition("-")
    if unit.strip() != "bytes" or not dash or not all((p.isascii() and p.isdecimal()) or not p for p in (first, last)):
        raise malformed("Range is not bytes=first-last.")
    if len(first) > 12 or len(last) > 12 or (not first and not last):
        raise malformed("Range is not bytes=first-last.")
    if not first:  # the last so many bytes
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        length = min(int(last) + 1 if last else size, size) - start
    if length <= 0:
        raise Refusal(
            416, "range", f"The block has {size} bytes.", hint="Ask for a part inside it.", data={"size": size}
        )
    return start, length
