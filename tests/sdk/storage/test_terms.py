"""Signed structs: the digests of the contract and of eth-account, and nothing left out of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from blackhole.errors import InputError, IntegrityError, NodeRefused
from blackhole.protocol import GRANT_LINKS_MAX
from blackhole.storage.grants import GrantChain, ReadGrant
from blackhole.storage.terms import (
    Change,
    MarketDomain,
    Policy,
    Quote,
    SignedStruct,
    Terms,
    TermsBatch,
    Upload,
    check_signature,
)
from eth_account import Account
from eth_account.messages import encode_typed_data

OWNER, READER, FRIEND = (Account.from_key(bytes([index]) * 32) for index in (1, 2, 3))
DOMAIN = MarketDomain(31337, FRIEND.address)
TERMS = Terms(
    payer=OWNER.address,
    node=7,
    payee=READER.address,
    root=b"\1" * 32,
    pieces=b"\2" * 32,
    leaves=123_456,
    rate=10**18 + 1,
    start=20_000,
    end=20_030,
    prepaid=31 * 10**18,
    repair_share=5,
    repairer="0x" + "00" * 20,
    salt=99,
)
STRUCTS: list[SignedStruct] = [
    TERMS,
    TermsBatch((b"\1" * 32, b"\2" * 32)),
    Change(1 << 255, b"\1" * 32, b"\2" * 32, 5, 6, 7, 8, 9, 10),
    Policy(OWNER.address, b"\1" * 32, 5, 6, bytes(32), 7, 8),
    Quote(7, OWNER.address, READER.address, 1, 5, 10**18, 300, 1 << 30, 1_790_000_000, 4),
    Upload(OWNER.address, 7, 1 << 30, 1_790_000_000, 3),
    ReadGrant(OWNER.address, READER.address, b"\1" * 32, 1 << 20, 1_790_000_000, 1),
]


def ethereum_digest(struct: SignedStruct) -> bytes:
    """The same digest by eth-account."""
    name, _, rest = struct.DECLARATION.partition("(")
    members = [dict(zip(("type", "name"), part.split(" "), strict=True)) for part in rest[:-1].split(",")]
    message = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: members,
        },
        "primaryType": name,
        "domain": {
            "name": "Blackhole StorageMarket",
            "version": "1",
            "chainId": DOMAIN.chain_id,
            "verifyingContract": DOMAIN.market,
        },
        "message": {
            member["name"]: list(value) if isinstance(value, tuple) else value
            for member, value in zip(members, struct.values(), strict=True)
        },
    }
    signable = encode_typed_data(full_message=message)
    from eth_utils.crypto import keccak

    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: type(struct).__name__)
def test_digests_are_those_of_eth_account(struct: SignedStruct) -> None:
    assert struct.digest(DOMAIN) == ethereum_digest(struct)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: type(struct).__name__)
def test_no_field_is_left_out_of_the_digest(struct: SignedStruct) -> None:
    seen = {struct.digest(DOMAIN)}
    for field in dataclasses.fields(struct):  # type: ignore[arg-type]
        value: Any = getattr(struct, field.name)
        if isinstance(value, int):
            other: Any = value ^ 1
        elif isinstance(value, bytes):
            other = bytes([value[0] ^ 1]) + value[1:]
        elif isinstance(value, tuple):
            other = value[::-1]
        else:
            other = FRIEND.address
        changed: Any = dataclasses.replace(struct, **{field.name: other})  # type: ignore[type-var]
        seen.add(changed.digest(DOMAIN))
    seen.add(struct.digest(MarketDomain(1, DOMAIN.market)))
    seen.add(struct.digest(MarketDomain(DOMAIN.chain_id, OWNER.address)))
    assert len(seen) == len(dataclasses.fields(struct)) + 3  # type: ignore[arg-type]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: type(struct).__name__)
def test_structs_survive_json_and_refuse_what_is_malformed(struct: SignedStruct) -> None:
    value = struct.to_json()
    assert type(struct).from_json(value) == struct
    for name in value:
        for wrong in (None, "x", -1, 1 << 256, [5], True):
            with pytest.raises(InputError, match=name):
                type(struct).from_json({**value, name: wrong})
        with pytest.raises(InputError, match=name):
            type(struct).from_json({key: each for key, each in value.items() if key != name})
    with pytest.raises(InputError, match="more"):
        type(struct).from_json({**value, "more": 1})


def test_wei_are_decimal_strings_in_json() -> None:
    value = TERMS.to_json()
    assert value["rate"] == "1000000000000000001"
    assert value["root"] == "0x" + "01" * 32
    assert value["start"] == 20_000


def test_a_value_its_type_cannot_hold_is_refused() -> None:
    with pytest.raises(InputError):
        dataclasses.replace(TERMS, rate=1 << 96).digest(DOMAIN)


def test_a_batch_lists_the_digests_of_its_terms() -> None:
    other = dataclasses.replace(TERMS, salt=1)
    assert TermsBatch.of([TERMS, other], DOMAIN).ids == (TERMS.digest(DOMAIN), other.digest(DOMAIN))
    assert TERMS.id(DOMAIN) == int.from_bytes(TERMS.digest(DOMAIN), "big")


def sign(account: Any, struct: SignedStruct) -> bytes:
    return bytes(Account.unsafe_sign_hash(struct.digest(DOMAIN), account.key).signature)


def test_a_signature_is_of_its_signer_only() -> None:
    digest = TERMS.digest(DOMAIN)
    signature = sign(OWNER, TERMS)
    assert check_signature(OWNER.address, digest, signature)
    assert check_signature(OWNER.address.lower(), digest, signature)
    assert not check_signature(READER.address, digest, signature)
    assert not check_signature(OWNER.address, bytes(32), signature)
    for malformed in (b"", signature[:-1], bytes(65)):
        assert not check_signature(OWNER.address, digest, malformed)


PIECE, MANIFEST = b"\7" * 32, b"\x08" * 32
NOW = 1_790_000_000


def grant(payer: Any = OWNER, reader: Any = READER, root: bytes = PIECE, size: int = 1000, end: int = 10) -> ReadGrant:
    return ReadGrant(payer.address, reader.address, root, size, NOW + end, 5)


def chain(*links: tuple[ReadGrant, Any]) -> GrantChain:
    return GrantChain(tuple((each, sign(account, each)) for each, account in links))


def check(what: GrantChain, *, payer: Any = OWNER, piece: bytes = PIECE, now: int = NOW) -> None:
    decoded = GrantChain.decode(what.encode())
    assert decoded == what
    decoded.check(DOMAIN, payer=payer.address, piece=piece, now=now, manifests=[MANIFEST])


def test_a_grant_lets_its_reader_read_and_pass_on_less() -> None:
    first = chain((grant(), OWNER))
    check(first)
    assert (first.reader, first.max_bytes, first.expiry) == (READER.address, 1000, NOW + 10)
    narrower = grant(reader=FRIEND, size=100, end=5)
    second = first.extended(narrower, sign(READER, narrower))
    check(second)
    assert (second.reader, second.max_bytes, second.expiry) == (FRIEND.address, 100, NOW + 5)
    assert len(set(second.digests(DOMAIN))) == 2


def test_a_grant_of_a_manifest_covers_its_pieces_and_narrows_to_one() -> None:
    whole = grant(root=MANIFEST)
    check(chain((whole, OWNER)))
    piece = grant(reader=FRIEND)
    check(chain((whole, OWNER), (piece, READER)))
    with pytest.raises(NodeRefused) as caught:
        chain((whole, OWNER), (piece, READER)).check(
            DOMAIN, payer=OWNER.address, piece=b"\x09" * 32, now=NOW, manifests=[MANIFEST]
        )
    assert caught.value.code == "grant_scope"


def test_passing_on_never_makes_more_of_a_grant() -> None:
    wider = grant(reader=FRIEND, size=1 << 40, end=1 << 20)
    passed = chain((grant(), OWNER), (wider, READER))
    check(passed)
    assert (passed.max_bytes, passed.expiry) == (1000, NOW + 10)
    with pytest.raises(NodeRefused, match="ended"):
        check(passed, now=NOW + 10)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (chain((grant(), READER)), "grant_signature"),
        (chain((grant(), OWNER), (grant(reader=FRIEND), OWNER)), "grant_signature"),
        (chain((grant(payer=READER), READER)), "grant_scope"),
        (chain((grant(), OWNER), (grant(payer=READER, reader=FRIEND), READER)), "grant_scope"),
        (chain((grant(root=b"\x09" * 32), OWNER)), "grant_scope"),
        (chain((grant(end=0), OWNER)), "grant_expired"),
        (GrantChain(()), "grant_signature"),
    ],
)
def test_a_grant_that_does_not_cover_the_read_is_refused(what: GrantChain, code: str) -> None:
    with pytest.raises(NodeRefused) as caught:
        what.check(DOMAIN, payer=OWNER.address, piece=PIECE, now=NOW, manifests=[MANIFEST])
    assert (caught.value.status, caught.value.code) == (403, code)


def test_a_grant_of_another_market_or_chain_is_refused() -> None:
    for domain in (MarketDomain(1, DOMAIN.market), MarketDomain(31337, OWNER.address)):
        with pytest.raises(NodeRefused, match="not signed"):
            chain((grant(), OWNER)).check(domain, payer=OWNER.address, piece=PIECE, now=NOW)


def test_malformed_grants_are_refused() -> None:
    good = chain((grant(), OWNER)).encode()
    assert len(good) == 158
    for malformed in (b"", good[:-1], good + b"\0", good * (GRANT_LINKS_MAX + 1)):
        with pytest.raises(IntegrityError):
            GrantChain.decode(malformed)


def test_amounts_in_tokens_travel_as_wei() -> None:
    from blackhole.units import Tokens

    policy = Policy("0x" + "11" * 20, bytes(32), Tokens("2"), Tokens("0.5"), bytes(32), 1, 1)
    assert (policy.to_json()["max_rate"], policy.to_json()["budget"]) == (str(2 * 10**18), str(5 * 10**17))
    assert Policy.from_json(policy.to_json()) == policy
