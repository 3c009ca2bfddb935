"""Caps: one line of text, each kind weaker than the one it came from, each mistake named."""

from __future__ import annotations

import hashlib
from base64 import b32decode, b32encode

import pytest
from blackhole.errors import CapError
from blackhole.protocol import CAP_MAX
from blackhole.storage.blocks import BlockList
from blackhole.storage.caps import ReadCap, RepairCap, VerifyCap, parse_cap, read_cap, repair_cap
from blackhole.storage.ipfs.cid import BLAKE3, DAG_CBOR, RAW, Cid
from hypothesis import given
from hypothesis import strategies as st

MANIFEST = b"a manifest"
CID = Cid.of(MANIFEST, DAG_CBOR, BLAKE3)
KEY = hashlib.sha256(b"key").digest()
CAP = ReadCap(31337, bytes(range(20)), CID, 1, KEY)


def caps() -> st.SearchStrategy[ReadCap | RepairCap | VerifyCap]:
    common = (
        st.integers(1, (1 << 64) - 1),
        st.binary(min_size=20, max_size=20),
        st.builds(lambda data: Cid.of(data, DAG_CBOR, BLAKE3), st.binary(max_size=4)),
        st.integers(1, 1024),
    )
    key = st.binary(min_size=32, max_size=32)
    return st.builds(ReadCap, *common, key) | st.builds(RepairCap, *common, key) | st.builds(VerifyCap, *common)


@given(caps())
def test_a_cap_survives_its_text(cap: ReadCap | RepairCap | VerifyCap) -> None:
    assert len(cap.text) <= CAP_MAX
    assert cap.text.startswith("bh1")
    assert parse_cap(cap.text) == cap
    assert parse_cap(f" {cap.text}\n", chain_id=cap.chain_id) == cap


def test_each_cap_gives_the_weaker_ones_and_none_the_stronger() -> None:
    repair = CAP.repair_cap
    verify = repair.verify_cap
    assert verify == CAP.verify_cap == verify.verify_cap
    assert repair.commitment == CAP.commitment == CAP.keys.commitment
    assert repair.mask_key == CAP.keys.mask_key != KEY
    assert not hasattr(repair, "object_key")
    assert not hasattr(verify, "mask_key")
    assert KEY not in parse_bytes(repair.text)
    assert repair.mask_key not in parse_bytes(verify.text)
    assert read_cap(CAP.text) == CAP
    assert repair_cap(CAP.text) == repair_cap(repair.text) == repair
    with pytest.raises(CapError, match="repair-cap; reading takes"):
        read_cap(repair.text)
    with pytest.raises(CapError, match="verify-cap; repair takes"):
        repair_cap(verify.text)


def test_a_cap_leads_to_the_piece_of_its_manifest() -> None:
    assert CAP.piece == BlockList.of([MANIFEST]).piece


def parse_bytes(text: str) -> bytes:
    body = text[3:].upper()
    return b32decode(body + "=" * (-len(body) % 8))


def write(body: bytes) -> str:
    checksum = hashlib.sha256(b"blackhole/1/cap" + body).digest()[:4]
    return "bh1" + b32encode(body + checksum).decode().lower().rstrip("=")


@given(st.data())
def test_a_cut_or_changed_cap_is_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([CAP.text, CAP.repair_cap.text, CAP.verify_cap.text]))
    position = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(codec="ascii", categories=["Ll", "Nd", "Lu", "Po"]))
    for wrong in (text[:position], text[:position] + letter + text[position + 1 :], text + letter):
        if wrong.strip() != text:
            with pytest.raises(CapError) as caught:
                parse_cap(wrong)
            assert KEY.hex() not in str(caught.value)
            assert text[10:] not in caught.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin"),
        ("hello", "does not begin"),
        ("bh2" + CAP.text[3:], "format 2"),
        (CAP.text[:-1], "cut off|last character"),
        (CAP.text[:80], "cut off|last character"),
        (CAP.text.upper(), "lower-case"),
        ("bh1" + CAP.text[3:].upper(), "lower-case"),
        (CAP.text + "a" * 100, "at most 200"),
        (write(b"\x02" + parse_bytes(CAP.text)[1:-4]), "version 2"),
        (write(b"\x01\x09" + parse_bytes(CAP.text)[2:-4]), "unknown kind"),
        (write(b"\x01\x03" + parse_bytes(CAP.text)[2:-4]), "unknown kind"),
        (write(b"\x01\x01" + parse_bytes(CAP.verify_cap.text)[2:-4]), "unknown kind"),
        (write(parse_bytes(CAP.text)[:66] + b"\0\0" + KEY), "malformed"),
        (write(parse_bytes(CAP.text)[:31] + b"\x55" + parse_bytes(CAP.text)[32:-4]), "malformed"),
    ],
)
def test_each_mistake_is_named(text: str, why: str) -> None:
    with pytest.raises(CapError, match=why):
        parse_cap(text)


def test_a_cap_of_another_chain_is_refused() -> None:
    with pytest.raises(CapError, match="chain 31337, this network is chain 1") as caught:
        parse_cap(CAP.text, chain_id=1)
    assert "--network" in caught.value.hint


def test_no_key_shows_where_a_cap_is_printed() -> None:
    for cap in (CAP, CAP.repair_cap):
        for shown in (repr(cap), str(cap), f"{cap}"):
            assert repr(KEY) not in shown
            assert CAP.keys.mask_key.hex() not in shown
            assert "mask_key" not in shown
            assert "object_key" not in shown


def test_a_cap_of_impossible_parts_cannot_be_made() -> None:
    for arguments in (
        (0, bytes(20), CID, 1, KEY),
        (1, bytes(19), CID, 1, KEY),
        (1, bytes(20), Cid.of(b"", RAW, BLAKE3), 1, KEY),
        (1, bytes(20), CID, 1025, KEY),
        (1, bytes(20), CID, 1, b"short"),
    ):
        with pytest.raises(ValueError, match=r"cap|CID|key"):
            ReadCap(*arguments)
