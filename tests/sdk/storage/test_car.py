"""CAR files: other tools' bytes, and nothing damaged gets through."""

from __future__ import annotations

import io

import pytest
from blackhole.errors import IntegrityError
from blackhole.storage.ipfs.car import CarReader, CarWriter, write_car
from blackhole.storage.ipfs.cid import BLAKE3, DAG_CBOR, RAW, SHA2_256, Cid
from hypothesis import given
from hypothesis import strategies as st

BLOCKS = [
    (Cid.of(data, codec, code), data)
    for data, codec, code in [
        (b"one", RAW, BLAKE3),
        (b"", RAW, SHA2_256),
        (b"\xa0", DAG_CBOR, BLAKE3),
        (bytes(300), RAW, SHA2_256),
    ]
]


def car() -> bytes:
    stream = io.BytesIO()
    write_car(stream, [BLOCKS[0][0]], BLOCKS)
    return stream.getvalue()


class Dribble(io.BytesIO):
    """A stream that returns less than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 1, 7))


def test_a_car_comes_back() -> None:
    for stream in (io.BytesIO(car()), Dribble(car())):
        reader = CarReader(stream)
        assert reader.roots == (BLOCKS[0][0],)
        assert list(reader) == BLOCKS


def test_the_header_is_the_one_of_the_specification() -> None:
    stream = io.BytesIO()
    CarWriter(stream, [BLOCKS[0][0]])
    assert stream.getvalue().hex() == "3aa265726f6f747381d82a582500" + BLOCKS[0][0].hex() + "6776657273696f6e01"


def test_a_wrong_block_is_not_written() -> None:
    with pytest.raises(IntegrityError):
        write_car(io.BytesIO(), [], [(BLOCKS[0][0], b"two")])


@given(st.integers(0, len(car()) - 1), st.integers(1, 255))
def test_no_changed_byte_gets_through(position: int, difference: int) -> None:
    spoiled = bytearray(car())
    spoiled[position] ^= difference
    try:
        reader = CarReader(io.BytesIO(spoiled))
        blocks = list(reader)
    except IntegrityError:
        return
    assert (reader.roots, blocks) != ((BLOCKS[0][0],), BLOCKS), "another root, or another kind of block, is seen"
    assert [data for _, data in blocks] == [data for _, data in BLOCKS]


@given(st.integers(1, len(car()) - 1))
def test_a_shortened_car_is_noticed_unless_whole_blocks_are_missing(length: int) -> None:
    try:
        blocks = list(CarReader(io.BytesIO(car()[:length])))
    except IntegrityError:
        return
    assert blocks == BLOCKS[: len(blocks)]
    assert len(blocks) < len(BLOCKS)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x01\xf6", b"\xff" * 11, b"\xff\xff\xff\x7f", car()[:60] + b"\x80", b"\x0a\xa1gversion\x01"],
)
def test_what_is_no_car_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        list(CarReader(io.BytesIO(data)))
