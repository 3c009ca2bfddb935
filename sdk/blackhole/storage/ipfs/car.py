"""CAR files, version 1: blocks in one stream, each behind its length and CID, the roots in front.

Reading checks every block against its CID: a transport that shortens or changes a CAR (some do, without an error) is
found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from blackhole.errors import IntegrityError
from blackhole.storage.ipfs import dag_cbor, varint
from blackhole.storage.ipfs.cid import Cid

VERSION: Final = 1
HEADER_MAX: Final = 1 << 16
"""bytes of a header; a longer one is refused."""
SECTION_MAX: Final = (2 << 20) + 64
"""bytes of a block with its CID: twice what we write, as other writers use blocks up to 2 MiB."""


class Reader(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes: ...


class Writer(Protocol):
    """A binary stream."""

    def write(self, data: bytes, /) -> object: ...


class CarWriter:
    """Writes a CAR: the header at once, then a block a call."""

    def __init__(self, stream: Writer, roots: Sequence[Cid]) -> None:
        self._stream = stream
        header = dag_cbor.encode({"roots": list(roots), "version": VERSION})
        stream.write(varint.encode(len(header)) + header)

    def write(self, cid: Cid, block: bytes) -> None:
        """Add a block. Raises IntegrityError when it is not what `cid` names."""
        if not cid.matches(block):
            raise IntegrityError(f"block {cid} is not what its CID says")
        self._stream.write(varint.encode(len(cid) + len(block)) + cid)
        self._stream.write(block)


class CarReader:
    """Reads a CAR: the roots at once, then the blocks by iterating. Raises IntegrityError for anything malformed."""

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        header = self._section(HEADER_MAX)
        value = None if header is None else dag_cbor.decode(header)
        if not isinstance(value, Mapping) or set(value) != {"roots", "version"} or value["version"] != VERSION:
            raise IntegrityError("not a CAR file of version 1")
        roots = value["roots"]
        if not isinstance(roots, list) or not all(isinstance(root, Cid) for root in roots):
            raise IntegrityError("a CAR file's roots are CIDs")
        self.roots: tuple[Cid, ...] = tuple(root for root in roots if isinstance(root, Cid))

    def __iter__(self) -> Iterator[tuple[Cid, bytes]]:
        while (section := self._section(SECTION_MAX)) is not None:
            length = _cid_length(section)
            cid, block = Cid.parse(section[:length]), section[length:]
            if not cid.matches(block):
                raise IntegrityError(f"block {cid} is not what its CID says")
            yield cid, block

    def _section(self, limit: int) -> bytes | None:
        """The next length-prefixed section; None at the end of the stream."""
        prefix = b""
        while not prefix or prefix[-1] & 0x80:
            byte = self._stream.read(1)
            if not byte:
                if prefix:
                    raise IntegrityError("a CAR file ends inside a length")
                return None
            prefix += byte
            if len(prefix) > varint.MAX_BYTES:
                raise IntegrityError("malformed varint")
        length, _ = varint.decode(prefix)
        if not 0 < length <= limit:
            raise IntegrityError(f"a section of {length} bytes in a CAR file")
        parts: list[bytes] = []
        while length and (part := self._stream.read(length)):
            parts.append(part)
            length -= len(part)
        if length:
            raise IntegrityError("a CAR file ends inside a section")
        return b"".join(parts)


def write_car(stream: Writer, roots: Sequence[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> None:
    """A whole CAR."""
    writer = CarWriter(stream, roots)
    for cid, block in blocks:
        writer.write(cid, block)


def _cid_length(section: bytes) -> int:
    at = 0
    for _ in range(3):
        _, at = varint.decode(section, at)
    digest, at = varint.decode(section, at)
    return at + digest
