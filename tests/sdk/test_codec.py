"""Codec, transactions, typed data and signers against the libraries everybody uses."""

from __future__ import annotations

import contextlib
import json
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest
from blackhole.chain.abi import AbiError, Types, decode, encode
from blackhole.chain.bindings import storage_market
from blackhole.chain.bindings._registry import ERRORS, EVENTS, error_class, event_class
from blackhole.chain.bindings._types import TYPES, Terms
from blackhole.chain.raw_transactions import RawTransaction
from blackhole.chain.signatures import ORDER, from_compact, recover, to_compact
from blackhole.chain.signers import (
    LocalSigner,
    as_signer,
    create_keystore,
    load_key_file,
    load_keystore,
    signer_from_environment,
)
from blackhole.chain.typed_data import Domain, typed_struct
from blackhole.chain.values import ZERO, address
from blackhole.errors import (
    InputError,
    IntegrityError,
    KeyLocked,
    KeyMissing,
    SigningKeyError,
    WrongPassphrase,
)
from blackhole.hashing import keccak256
from eth_abi.abi import decode as reference_decode
from eth_abi.abi import encode as reference_encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"

LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "uint256": st.integers(0, 2**256 - 1),
    "uint48": st.integers(0, 2**48 - 1),
    "int128": st.integers(-(2**127), 2**127 - 1),
    "int8": st.integers(-128, 127),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(address),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes4": st.binary(min_size=4, max_size=4),
    "bytes": st.binary(max_size=100),
    "string": st.text(max_size=40),
}


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[str, Any]:
    def one(depth: int) -> tuple[str, Any]:
        kind = draw(st.sampled_from(["leaf", "array", "fixed", "tuple"])) if depth else "leaf"
        if kind == "leaf":
            name = draw(st.sampled_from(sorted(LEAVES)))
            return name, draw(LEAVES[name])
        if kind == "tuple":
            parts = [one(depth - 1) for _ in range(draw(st.integers(1, 3)))]
            return f"({','.join(name for name, _ in parts)})", tuple(value for _, value in parts)
        name, value = one(depth - 1)
        count = draw(st.integers(1, 3)) if kind == "fixed" else draw(st.integers(0, 3))
        return name + (f"[{count}]" if kind == "fixed" else "[]"), [value] * count

    parts = [one(2) for _ in range(draw(st.integers(1, 4)))]
    return ",".join(name for name, _ in parts), [value for _, value in parts]


def normal(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [normal(each) for each in value]
    return value.lower() if isinstance(value, str) and value.startswith("0x") and len(value) == 42 else value


@settings(max_examples=300, deadline=None)
@given(typed_values())
def test_codec_is_byte_identical_to_eth_abi(case: tuple[str, Any]) -> None:
    specification, values = case
    from blackhole.chain.abi import split

    ours = encode(specification, values)
    assert ours == reference_encode(split(specification), values)
    assert normal(decode(specification, ours)) == normal(reference_decode(split(specification), ours)) == normal(values)


@settings(max_examples=300, deadline=None)
@given(typed_values(), st.data())
def test_damaged_data_is_refused_or_decodes_without_crash(case: tuple[str, Any], data: st.DataObject) -> None:
    specification, values = case
    raw = bytearray(encode(specification, values))
    if not raw:
        return
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(AbiError):
        decode(specification, bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@pytest.mark.parametrize(
    ("specification", "values"),
    [
        ("uint8", [256]),
        ("uint8", [-1]),
        ("uint8", [True]),
        ("int8", [128]),
        ("bool", [1]),
        ("address", ["0x12"]),
        ("bytes4", [b"abc"]),
        ("uint8[2]", [[1]]),
        ("uint8,uint8", [1]),
        ("string", [b"x"]),
    ],
)
def test_values_that_do_not_fit_are_refused(specification: str, values: list[Any]) -> None:
    with pytest.raises(InputError):
        encode(specification, values)


def test_a_forged_length_allocates_nothing() -> None:
    with pytest.raises(AbiError):
        decode("uint256[]", (32).to_bytes(32, "big") + (2**60).to_bytes(32, "big"))
    with pytest.raises(AbiError):
        decode("bytes", (32).to_bytes(32, "big") + (2**60).to_bytes(32, "big"))
    with pytest.raises(ValueError, match="not an ABI type"):
        Types().many("uint7")


def test_structs_decode_to_their_named_tuples() -> None:
    terms = Terms(ZERO, 7, ZERO, b"\1" * 32, b"\2" * 32, 10, 11, 12, 13, 14, 15, ZERO, 16)
    market = storage_market.StorageMarket(ZERO)
    tx = market.open(terms, b"payer", b"node")
    back = TYPES.many("Terms,bytes,bytes").decode(tx.data[4:], 0)
    assert back == (terms, b"payer", b"node")
    assert type(back[0]) is Terms


def test_every_selector_of_the_project_is_known_once() -> None:
    for selector, (name, types) in ERRORS.items():
        kind, found = error_class(bytes.fromhex(selector)) or (None, None)
        assert kind is not None
        assert (kind.__name__, found) == (name, types)
        assert kind.SELECTOR.hex() == selector
        TYPES.many(types)
    for (topic, topics), (name, types) in EVENTS.items():
        known = event_class(bytes.fromhex(topic), topics)
        assert known is not None
        assert known[0].__name__ == name
        TYPES.many(types)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**64 - 2),
    st.integers(0, 2**80),
    st.integers(21_000, 2**24),
    st.integers(0, 2**90),
    st.binary(max_size=300),
    st.one_of(st.none(), st.binary(min_size=20, max_size=20).map(address)),
)
def test_signed_transactions_are_byte_identical_to_eth_account(
    nonce: int, fee: int, gas: int, value: int, data: bytes, to: Any
) -> None:
    tip = fee // 2
    ours = RawTransaction(31337, nonce, tip, fee, gas, to, value, data).sign(LocalSigner(bytes.fromhex(KEY)))
    reference = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": nonce,
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": fee,
            "gas": gas,
            "to": to or "",
            "value": value,
            "data": data,
        },
        KEY,
    )
    assert ours.raw == bytes(reference.raw_transaction)
    assert ours.hash == bytes(reference.hash)


PERSON = typed_struct("Person(string name,address wallet,bytes blob)")
MAIL = typed_struct("Mail(Person from,Person[] to,uint96[2] amounts,bytes32[] ids,bool urgent,int64 delta)", PERSON)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20), st.binary(max_size=60), st.lists(st.binary(min_size=32, max_size=32), max_size=4))
def test_typed_data_digests_are_those_of_eth_account(name: str, blob: bytes, ids: list[bytes]) -> None:
    domain = Domain("Blackhole", "1", 31337, address("0x" + "ab" * 20))
    person = (name, ZERO, blob)
    digest = MAIL.digest(domain, person, [person, person], [1, 2], ids, True, -5)
    as_dict = {"name": name, "wallet": ZERO, "blob": blob}
    message = encode_typed_data(
        full_message={
            "domain": {"name": "Blackhole", "version": "1", "chainId": 31337, "verifyingContract": domain.contract},
            "primaryType": "Mail",
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Person": [{"name": each, "type": kind} for kind, each in PERSON.fields],
                "Mail": [{"name": each, "type": kind} for kind, each in MAIL.fields],
            },
            "message": {
                "from": as_dict,
                "to": [as_dict, as_dict],
                "amounts": [1, 2],
                "ids": ids,
                "urgent": True,
                "delta": -5,
            },
        }
    )
    signature = LocalSigner(bytes.fromhex(KEY)).sign_digest(digest)
    assert signature == bytes(Account.sign_message(message, KEY).signature)
    assert recover(digest, signature) == Account.from_key(KEY).address
    assert from_compact(to_compact(signature)) == signature
    assert recover(digest, to_compact(signature)) == Account.from_key(KEY).address


def test_malleable_and_malformed_signatures_are_refused() -> None:
    digest = b"\x07" * 32
    signature = LocalSigner(bytes.fromhex(KEY)).sign_digest(digest)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(signature[32:64], "big")
    flipped = signature[:32] + high.to_bytes(32, "big") + bytes([55 - signature[64]])
    for bad in (flipped, signature[:64], signature[:64] + b"\x00", bytes(65), b"", bytes(63)):
        with pytest.raises(IntegrityError):
            recover(digest, bad if len(bad) != 64 else bad + b"\x02")
    with pytest.raises(IntegrityError):
        to_compact(flipped)


@given(st.binary(min_size=20, max_size=20))
def test_addresses_are_checksummed(raw: bytes) -> None:
    expected = to_checksum_address(raw)
    assert address(raw) == address(expected) == address(expected.lower()) == expected


@pytest.mark.parametrize("bad", ["", "0x", "0x" + "g" * 40, "ab" * 20, "0x" + "ab" * 19, b"\1" * 19])
def test_bad_addresses_are_refused(bad: str | bytes) -> None:
    with pytest.raises(InputError):
        address(bad)
    wrong = "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    with pytest.raises(InputError, match="checksum"):
        address(wrong)


def test_keystores_are_those_of_every_wallet(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.json"
    signer = create_keystore(path, "correct horse", bytes.fromhex(KEY), light=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bytes(Account.decrypt(path.read_text(), "correct horse")).hex() == KEY
    assert load_keystore(path, "correct horse").address == signer.address
    with pytest.raises(WrongPassphrase) as caught:
        load_keystore(path, "wrong horse")
    assert "wrong horse" not in str(caught.value)
    with pytest.raises(InputError, match="exists already"):
        create_keystore(path, "x", light=True)
    for kdf in ("scrypt", "pbkdf2"):
        foreign = tmp_path / f"{kdf}.json"
        foreign.write_text(json.dumps(Account.encrypt(KEY, "geheim ü", kdf=kdf, iterations=4096)))
        assert load_keystore(foreign, "geheim ü").address == signer.address
    (tmp_path / "bad.json").write_text('{"version": 3}')
    with pytest.raises(InputError, match="not a version-3"):
        load_keystore(tmp_path / "bad.json", "x")
    with pytest.raises(KeyMissing):
        load_keystore(tmp_path / "none.json", "x")


def test_the_environment_names_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signer_from_environment() is None
    monkeypatch.setenv("BLACKHOLE_KEY", "0x" + KEY)
    expected = Account.from_key(KEY).address
    found = signer_from_environment()
    assert found is not None
    assert found.address == expected
    monkeypatch.delenv("BLACKHOLE_KEY")
    create_keystore(tmp_path / "a.json", "pass", bytes.fromhex(KEY), light=True)
    monkeypatch.setenv("BLACKHOLE_KEY_FILE", str(tmp_path / "a.json"))
    with pytest.raises(KeyLocked):
        signer_from_environment()
    (tmp_path / "passphrase").write_text("pass\n")
    monkeypatch.setenv("BLACKHOLE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    found = signer_from_environment()
    assert found is not None
    assert found.address == expected
    (tmp_path / "hex").write_text(KEY)
    assert load_key_file(tmp_path / "hex").address == expected


def test_what_a_foreign_signer_gives_is_made_canonical_and_checked() -> None:
    digest = b"\x09" * 32
    expected = LocalSigner(bytes.fromhex(KEY)).sign_digest(digest)
    r, s, v = expected[:32], int.from_bytes(expected[32:64], "big"), expected[64]
    high = (ORDER - s).to_bytes(32, "big")

    class Hardware:
        address = Account.from_key(KEY).address

        def __init__(self, answer: bytes) -> None:
            self.answer = answer

        def sign(self, digest: bytes) -> bytes:
            return self.answer

    for answer in (
        expected,
        expected[:64] + bytes([v - 27]),
        r + high + bytes([55 - v]),
        r + high + bytes([1 - (v - 27)]),
    ):
        assert as_signer(Hardware(answer)).sign_digest(digest) == expected
    other = LocalSigner.generate().sign_digest(digest)
    hashed = LocalSigner(bytes.fromhex(KEY)).sign_digest(keccak256(digest))
    for answer in (other, hashed, bytes(65), b"\xff" * 65, expected[:64] + bytes([55 - v])):
        with pytest.raises(SigningKeyError, match=r"Hardware\.sign gave a signature that is not"):
            as_signer(Hardware(answer)).sign_digest(digest)
    with pytest.raises(SigningKeyError, match="into 65 bytes"):
        as_signer(Hardware(expected[:64])).sign_digest(digest)


def test_any_object_that_signs_is_a_signer_and_keys_stay_hidden() -> None:
    class Device:
        address = Account.from_key(KEY).address

        def sign(self, digest: bytes) -> bytes:
            return bytes(Account.unsafe_sign_hash(digest, KEY).signature)

    expected = LocalSigner(bytes.fromhex(KEY))
    for account in (KEY, bytes.fromhex(KEY), Account.from_key(KEY), Device(), expected):
        signer = as_signer(account)
        assert signer.address == expected.address
        assert signer.sign_digest(b"\x07" * 32) == expected.sign_digest(b"\x07" * 32)
        assert KEY not in repr(signer)
    with pytest.raises(SigningKeyError):
        as_signer(object())
    for bad in ("0x1234", KEY + "zz", "00" * 32, bytes(32), b"\xff" * 32):
        with pytest.raises(SigningKeyError) as caught:
            as_signer(bad)
        assert str(bad) not in str(caught.value)
    with pytest.raises(TypeError):
        pickle.dumps(expected)
