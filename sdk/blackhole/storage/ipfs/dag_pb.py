"""DAG-PB nodes: a list of links and a data field, in the one order the specification allows (links first)."""

from __future__ import annotations

from typing import NamedTuple

from blackhole.errors import IntegrityError
from blackhole.storage.ipfs import varint
from blackhole.storage.ipfs.cid import Cid

_VARINT, _BYTES = 0, 2


class Link(NamedTuple):
    """A child: its CID, its name (empty inside files) and its cumulative size in bytes."""

    cid: Cid
    size: int
    name: str = ""


def field_bytes(number: int, value: bytes) -> bytes:
    """A length-delimited protocol-buffers field."""
    return varint.encode(number << 3 | _BYTES) + varint.encode(len(value)) + value


def field_varint(number: int, value: int) -> bytes:
    """A varint protocol-buffers field."""
    return varint.encode(number << 3 | _VARINT) + varint.encode(value)


def encode(links: list[Link], data: bytes | None) -> bytes:
    """The block of a node."""
    parts = [
        field_bytes(2, field_bytes(1, link.cid) + field_bytes(2, link.name.encode()) + field_varint(3, link.size))
        for link in links
    ]
    if data is not None:
        parts.append(field_bytes(1, data))
    return b"".join(parts)


def fields(block: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a message in their order. Raises IntegrityError on anything but varints and byte strings."""
    out: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(block):
        key, at = varint.decode(block, at)
        value, at = varint.decode(block, at)
        if key & 7 == _VARINT:
            out.append((key >> 3, value))
        elif key & 7 == _BYTES and at + value <= len(block):
            out.append((key >> 3, block[at : at + value]))
            at += value
        else:
            raise IntegrityError("malformed protocol-buffers message")
    return out


def decode(block: bytes) -> tuple[list[Link], bytes | None]:
    """(links, data) of a node. Raises IntegrityError when it is malformed."""
    links: list[Link] = []
    data: bytes | None = None
    for number, value in fields(block):
        if number == 2 and isinstance(value, bytes) and data is None:
            links.append(_link(value))
        elif number == 1 and isinstance(value, bytes) and data is None:
            data = value
        else:
            raise IntegrityError("malformed DAG-PB node")
    return links, data


def _link(message: bytes) -> Link:
    cid: Cid | None = None
    name, size, last = "", 0, 0
    for number, value in fields(message):
        if number <= last:
            raise IntegrityError("malformed DAG-PB link")
        last = number
        if number == 1 and isinstance(value, bytes):
            cid = Cid.parse(value)
        elif number == 2 and isinstance(value, bytes):
            try:
                name = value.decode()
            except UnicodeDecodeError as error:
                raise IntegrityError("a DAG-PB link's name is not UTF-8") from error
        elif number == 3 and isinstance(value, int):
            size = value
        else:
            raise IntegrityError("malformed DAG-PB link")
    if cid is None:
        raise IntegrityError("a DAG-PB link without a CID")
    return Link(cid, size, name)
