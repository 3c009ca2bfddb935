"""CIDs, DAG-CBOR, DAG-PB and UnixFS: canonical, strict, equal to what IPFS makes."""

from __future__ import annotations

import hashlib
import io

import pytest
from blackhole.errors import IntegrityError
from blackhole.storage.ipfs import dag_cbor, dag_pb, unixfs, varint
from blackhole.storage.ipfs.cid import BLAKE3, DAG_PB, RAW, SHA2_256, Cid
from hypothesis import given
from hypothesis import strategies as st

EMPTY_FILE = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def cids() -> st.SearchStrategy[Cid]:
    return st.builds(
        Cid.of, st.binary(max_size=8), st.sampled_from([RAW, DAG_PB, 0x71]), st.sampled_from([BLAKE3, SHA2_256])
    )


def nodes() -> st.SearchStrategy[dag_cbor.Node]:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(1 << 64), (1 << 64) - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=6)
        | st.binary(max_size=30)
        | cids()
    )
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    )


def test_a_cid_reads_as_other_tools_write_it() -> None:
    cid = Cid.of(b"", RAW, SHA2_256)
    assert str(cid) == EMPTY_FILE
    assert Cid.parse(EMPTY_FILE) == cid
    assert (cid.codec, cid.hash_code, cid.digest) == (RAW, SHA2_256, hashlib.sha256(b"").digest())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "bafk",
        EMPTY_FILE[:-1],
        EMPTY_FILE + "a",
        EMPTY_FILE.upper(),
        "z" + EMPTY_FILE[1:],
        EMPTY_FILE[:-1] + "1",
        "QmYwAPJ",
    ],
)
def test_a_malformed_cid_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        Cid.parse(text)


def test_stray_bits_at_the_end_of_a_cid_are_refused() -> None:
    with pytest.raises(IntegrityError, match="stray bits"):
        Cid.parse(EMPTY_FILE[:-1] + "v")


@given(cids())
def test_a_cid_survives_its_text(cid: Cid) -> None:
    assert Cid.parse(str(cid)) == Cid.parse(bytes(cid)) == cid


@given(st.integers(0, (1 << 64) - 1))
def test_varints_round_trip(value: int) -> None:
    assert varint.decode(varint.encode(value)) == (value, len(varint.encode(value)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", b"\xff" * 10, b"\x80" * 10 + b"\x01"])
def test_malformed_varints_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        varint.decode(data)


@given(nodes())
def test_dag_cbor_round_trips(value: dag_cbor.Node) -> None:
    block = dag_cbor.encode(value)
    assert dag_cbor.encode(dag_cbor.decode(block)) == block


@given(st.binary(max_size=24))
def test_whatever_dag_cbor_decodes_is_canonical(block: bytes) -> None:
    try:
        value = dag_cbor.decode(block)
    except IntegrityError:
        return
    assert dag_cbor.encode(value) == block


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("", "ends too early"),
        ("00" * 2, "behind the end"),
        ("1801", "shortest form"),
        ("190017", "shortest form"),
        ("5f4101ff", "indefinite"),
        ("a2616201616101", "out of order"),
        ("a2616101616101", "twice"),
        ("a10101", "not a string"),
        ("c101", "tag 42"),
        ("d82a4101", "prefix"),
        ("f7", "does not have"),
        ("f97c00", "does not have"),
        ("fb7ff8000000000000", "does not have"),
        ("61ff", "UTF-8"),
        ("9bffffffffffffffff", "ends too early"),
        ("81" * 70 + "00", "too deeply"),
    ],
)
def test_dag_cbor_refuses_what_is_not_canonical(block: str, why: str) -> None:
    with pytest.raises(IntegrityError, match=why):
        dag_cbor.decode(bytes.fromhex(block))


def test_dag_cbor_has_the_known_encoding_of_a_link() -> None:
    cid = Cid.parse(EMPTY_FILE)
    assert dag_cbor.encode({"link": cid}).hex() == "a1646c696e6bd82a582500" + cid.hex()
    assert dag_cbor.decode(dag_cbor.encode({"link": cid})) == {"link": cid}


def test_dag_pb_round_trips_and_refuses_data_before_links() -> None:
    links = [dag_pb.Link(Cid.of(b"a"), 1), dag_pb.Link(Cid.of(b"b"), 300, "name")]
    block = dag_pb.encode(links, b"data")
    assert dag_pb.decode(block) == (links, b"data")
    data_first = dag_pb.encode([], b"data") + dag_pb.encode(links, None)
    with pytest.raises(IntegrityError):
        dag_pb.decode(data_first)


# What `ipfs add --only-hash --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024` prints for files
# of pseudo-random bytes stands in tests/vectors/unixfs.json; here are the shapes.
@pytest.mark.parametrize(
    ("leaves", "depth"), [(1, 0), (2, 1), (1024, 1), (1025, 2), (1024 * 1024, 2), (1024 * 1024 + 1, 3)]
)
def test_a_file_has_as_few_levels_as_its_leaves_allow(leaves: int, depth: int) -> None:
    blocks: dict[Cid, bytes] = {}
    leaf = Cid.of(b"x")
    root = unixfs.file_root(((leaf, 1) for _ in range(leaves)), SHA2_256, blocks.__setitem__)
    levels, cid = 0, root.cid
    while cid.codec == DAG_PB:
        node = unixfs.parse_node(blocks[cid])
        assert len(node.links) <= unixfs.LINKS
        cid, levels = node.links[0].cid, levels + 1
    assert (levels, root.size) == (depth, leaves)


@pytest.mark.parametrize("size", [0, 1, unixfs.CHUNK - 1, unixfs.CHUNK, unixfs.CHUNK + 1, 3 * unixfs.CHUNK + 5])
def test_a_file_comes_back_from_its_blocks(size: int) -> None:
    data = hashlib.shake_128(b"file").digest(size)
    blocks: dict[Cid, bytes] = {}
    root = unixfs.add(io.BytesIO(data), blocks.__setitem__)
    assert root.size == size
    assert b"".join(unixfs.read(root.cid, blocks.__getitem__)) == data
    assert unixfs.cid_of(_Dribble(data)) == root.cid


def test_a_file_with_a_wrong_block_or_lying_sizes_is_refused() -> None:
    data = bytes(2 * unixfs.CHUNK)
    blocks: dict[Cid, bytes] = {}
    root = unixfs.add(io.BytesIO(data), blocks.__setitem__).cid
    leaf = Cid.of(bytes(unixfs.CHUNK), RAW, SHA2_256)
    with pytest.raises(IntegrityError):
        list(unixfs.read(root, (blocks | {leaf: b"\1" + bytes(unixfs.CHUNK - 1)}).__getitem__))
    lie = dag_pb.field_varint(1, 2) + dag_pb.field_varint(3, 5) + dag_pb.field_varint(4, 5)
    block = dag_pb.encode([dag_pb.Link(leaf, 5)], lie)
    liar = Cid.of(block, DAG_PB, SHA2_256)
    with pytest.raises(IntegrityError, match="another number of bytes"):
        list(unixfs.read(liar, (blocks | {liar: block}).__getitem__))


class _Dribble:
    """A stream that returns less than it is asked for, as pipes do."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self.stream.read(min(size, 70_001))
