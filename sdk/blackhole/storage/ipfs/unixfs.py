"""UnixFS files: the balanced tree above their chunks, as `ipfs add` builds it.

Profile unixfs-v1-2025: CIDv1, raw leaves, chunks of 1 MiB, 1,024 links a node, SHA-256. Shards are built the same way
with BLAKE3. A file of one chunk is that chunk; a directory never comes up here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK
from blackhole.storage.ipfs import dag_pb
from blackhole.storage.ipfs.cid import DAG_PB, RAW, SHA2_256, Cid

CHUNK: Final = BLOCK
"""bytes of a leaf."""
LINKS: Final = 1024
"""children of a node."""

_FILE = 2

Sink = Callable[[Cid, bytes], None]
"""Takes each block once, children before parents."""


class Reader(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes: ...


class File(NamedTuple):
    """A (part of a) file: its CID, the bytes of all its blocks together, and the bytes of the file."""

    cid: Cid
    blocks_size: int
    size: int


def chunks_of(stream: Reader) -> Iterator[bytes]:
    """What a stream holds in pieces of 1 MiB, the last one shorter, however little each read returns."""
    while True:
        parts: list[bytes] = []
        missing = CHUNK
        while missing and (part := stream.read(missing)):
            parts.append(part)
            missing -= len(part)
        if parts:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
        if missing:
            return


def add(stream: Reader, sink: Sink | None = None, hash_code: int = SHA2_256) -> File:
    """The file a stream holds. Memory: one chunk and a link for each MiB."""

    def leaves() -> Iterable[tuple[Cid, int]]:
        for chunk in chunks_of(stream):
            cid = Cid.of(chunk, RAW, hash_code)
            if sink is not None:
                sink(cid, chunk)
            yield cid, len(chunk)

    root = file_root(leaves(), hash_code, sink)
    if root.size == 0 and sink is not None:
        sink(root.cid, b"")
    return root


def cid_of(stream: Reader) -> Cid:
    """What `ipfs add --only-hash` prints under profile unixfs-v1-2025."""
    return add(stream).cid


def file_root(leaves: Iterable[tuple[Cid, int]], hash_code: int, sink: Sink | None = None) -> File:
    """The file over raw leaves given as (CID, size), in order; of none, the empty file."""
    # Nodes are closed as soon as they are full, so a file of any length needs LINKS entries a level.
    levels: list[list[File]] = [[]]
    for cid, size in leaves:
        _push(levels, 0, File(cid, size, size), hash_code, sink)
    if not any(levels):
        return File(Cid.of(b"", RAW, hash_code), 0, 0)
    depth = 0
    while len(levels[depth]) > 1 or depth < len(levels) - 1:
        _push(levels, depth + 1, _node(levels[depth], hash_code, sink), hash_code, sink)
        depth += 1
    return levels[depth][0]


def _push(levels: list[list[File]], depth: int, file: File, hash_code: int, sink: Sink | None) -> None:
    if depth == len(levels):
        levels.append([])
    level = levels[depth]
    if len(level) == LINKS:
        # Full, and one more comes: only now is it sure that this node is not the root.
        _push(levels, depth + 1, _node(level, hash_code, sink), hash_code, sink)
        level.clear()
    level.append(file)


def _node(children: list[File], hash_code: int, sink: Sink | None) -> File:
    size = sum(child.size for child in children)
    data = dag_pb.field_varint(1, _FILE) + dag_pb.field_varint(3, size)
    data += b"".join(dag_pb.field_varint(4, child.size) for child in children)
    block = dag_pb.encode([dag_pb.Link(child.cid, child.blocks_size) for child in children], data)
    cid = Cid.of(block, DAG_PB, hash_code)
    if sink is not None:
        sink(cid, block)
    return File(cid, len(block) + sum(child.blocks_size for child in children), size)


class Node(NamedTuple):
    """An inner node of a file: its children and how many bytes of the file each holds."""

    links: tuple[dag_pb.Link, ...]
    sizes: tuple[int, ...]
    size: int


def parse_node(block: bytes) -> Node:
    """Read an inner node. Raises IntegrityError when it is none, or when its sizes contradict each other."""
    links, data = dag_pb.decode(block)
    kind = size = -1
    sizes: list[int] = []
    for number, value in dag_pb.fields(data or b""):
        if not isinstance(value, int):
            raise IntegrityError("a UnixFS node with data of its own is not one of ours")
        if number == 1:
            kind = value
        elif number == 3:
            size = value
        elif number == 4:
            sizes.append(value)
    if kind != _FILE or len(sizes) != len(links) or size != sum(sizes):
        raise IntegrityError("not a UnixFS file node, or its sizes do not add up")
    return Node(tuple(links), tuple(sizes), size)


def read(root: Cid, get: Callable[[Cid], bytes]) -> Iterator[bytes]:
    """The chunks of a file, each block checked against its CID. `get` returns blocks; its errors pass through."""
    block = get(root)
    if not root.matches(block):
        raise IntegrityError(f"block {root} is not what its CID says")
    if root.codec == RAW:
        yield block
        return
    if root.codec != DAG_PB:
        raise IntegrityError(f"{root} is not a file")
    node = parse_node(block)
    for link, size in zip(node.links, node.sizes, strict=True):
        total = 0
        for chunk in read(link.cid, get):
            total += len(chunk)
            if total > size:
                break
            yield chunk
        if total != size:
            raise IntegrityError(f"{link.cid} holds another number of bytes than its parent says")
