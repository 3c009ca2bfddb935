"""Vouchers: the vectors other implementations read, the deployed hub, and every way to forge one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from blackhole.chain.bindings.payment_hub import Credited, PaymentHub, VoucherPaid
from blackhole.chain.client import Chain
from blackhole.chain.rpc import Rpc
from blackhole.chain.signers import LocalSigner
from blackhole.chain.values import address
from blackhole.errors import InputError, IntegrityError
from blackhole.escrow.credits import credited
from blackhole.escrow.vouchers import (
    ROW,
    VOUCHER,
    VoucherDomain,
    VoucherSigner,
    VoucherVerifier,
    lane_receipt,
    pack_rows,
    parse_row,
)
from blackhole.network import Network
from eth_account import Account
from eth_account.messages import encode_typed_data

from .conftest import Anvil

VECTORS = json.loads((Path(__file__).resolve().parent.parent / "vectors" / "voucher.json").read_text())
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def domain_of(vector: dict[str, Any]) -> VoucherDomain:
    return VoucherDomain(vector["chain_id"], address(vector["hub"]))


@pytest.mark.parametrize("vector", VECTORS["vouchers"], ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    domain = domain_of(vector)
    signer = LocalSigner(raw(vector["key"]))
    lane = (address(vector["payee"]), vector["service"], vector["lane"])
    cumulative = int(vector["cumulative"])
    assert signer.address == vector["signer"]
    assert domain.domain.separator == raw(vector["domain_separator"])
    assert VOUCHER.type_hash == raw(VECTORS["type_hash"])
    assert VOUCHER.hash(*lane, cumulative) == raw(vector["struct_hash"])
    assert VOUCHER.digest(domain.domain, *lane, cumulative) == raw(vector["digest"])
    row = VoucherSigner(domain, *lane, signer).sign(cumulative)
    assert row == raw(vector["row"])
    assert VoucherVerifier(domain, *lane, signer.address).verify(row) == cumulative
    assert parse_row(row)[:2] == (vector["lane"], cumulative)
    assert lane_receipt(*lane) == raw(vector["receipt"])


@pytest.mark.parametrize("vector", VECTORS["vouchers"], ids=lambda vector: vector["name"])
def test_vectors_are_what_eth_account_signs(vector: dict[str, Any]) -> None:
    message = encode_typed_data(
        full_message={
            "domain": {
                "name": "Blackhole PaymentHub",
                "version": "1",
                "chainId": vector["chain_id"],
                "verifyingContract": vector["hub"],
            },
            "primaryType": "Voucher",
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Voucher": [
                    {"name": "payee", "type": "address"},
                    {"name": "service", "type": "uint16"},
                    {"name": "lane", "type": "uint32"},
                    {"name": "cumulative", "type": "uint48"},
                ],
            },
            "message": {
                "payee": vector["payee"],
                "service": vector["service"],
                "lane": vector["lane"],
                "cumulative": int(vector["cumulative"]),
            },
        }
    )
    signed = Account.sign_message(message, vector["key"])
    assert bytes(signed.message_hash) == raw(vector["digest"])
    row = raw(vector["row"])
    tail = int.from_bytes(row[42:], "big")
    assert signed.r == int.from_bytes(row[10:42], "big")
    assert signed.s == tail & ~(1 << 255)
    assert signed.v == 27 + (tail >> 255)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_refused_rows(vector: dict[str, Any]) -> None:
    lane = (address(vector["payee"]), vector["service"], vector["lane"])
    with pytest.raises(IntegrityError):
        VoucherVerifier(domain_of(vector), *lane, address(vector["signer"])).verify(raw(vector["row"]))


def test_every_flipped_bit_is_noticed() -> None:
    vector = VECTORS["vouchers"][0]
    lane = (address(vector["payee"]), vector["service"], vector["lane"])
    verifier = VoucherVerifier(domain_of(vector), *lane, address(vector["signer"]))
    row = raw(vector["row"])
    for bit in range(ROW * 8):
        damaged = bytearray(row)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            verifier.verify(bytes(damaged))


def test_a_voucher_counts_on_its_chain_hub_payee_service_and_lane_only() -> None:
    vector = VECTORS["vouchers"][0]
    domain, payee, signer = domain_of(vector), address(vector["payee"]), address(vector["signer"])
    row, service, lane = raw(vector["row"]), vector["service"], vector["lane"]
    other = LocalSigner.generate().address
    for wrong in (
        VoucherVerifier(VoucherDomain(domain.chain_id + 1, domain.hub), payee, service, lane, signer),
        VoucherVerifier(VoucherDomain(domain.chain_id, other), payee, service, lane, signer),
        VoucherVerifier(domain, other, service, lane, signer),
        VoucherVerifier(domain, payee, service + 1, lane, signer),
        VoucherVerifier(domain, payee, service, lane + 1, signer),
        VoucherVerifier(domain, payee, service, lane, other),
    ):
        with pytest.raises(IntegrityError):
            wrong.verify(row)
    assert VoucherVerifier(domain, payee, service, lane, other, signer).verify(row) == int(vector["cumulative"])


def test_amounts_and_ids_out_of_range_are_refused() -> None:
    key = LocalSigner.generate()
    domain = VoucherDomain(1, key.address)
    for cumulative in (-1, 1 << 48):
        with pytest.raises(InputError):
            VoucherSigner(domain, key.address, 1, 0, key).sign(cumulative)
    for service, lane in ((-1, 0), (1 << 16, 0), (1, -1), (1, 1 << 32)):
        with pytest.raises(InputError):
            VoucherSigner(domain, key.address, service, lane, key)
    with pytest.raises(InputError):
        VoucherVerifier(domain, key.address, 1, 0)
    with pytest.raises(IntegrityError):
        pack_rows([bytes(73)])
    assert pack_rows([bytes(74), bytes(74)]) == bytes(148)


async def test_the_deployed_hub_has_the_same_digests(anvil: Anvil, market: Network) -> None:
    chain = Chain(Rpc(anvil.url, market.chain_id))
    hub = PaymentHub(market.address("PaymentHub"))
    domain = VoucherDomain(market.chain_id, hub.address)
    payee = LocalSigner.generate().address
    assert await chain.read(hub.domain_separator()) == domain.domain.separator
    for cumulative in (0, 1, (1 << 48) - 1):
        ours = VOUCHER.digest(domain.domain, payee, 7, 9, cumulative)
        assert await chain.read(hub.voucher_digest(payee, 7, 9, cumulative)) == ours
    assert await chain.read(hub.lane_receipt(payee, 7, 9)) == lane_receipt(payee, 7, 9)
    await chain.close()


def test_both_ways_to_recover_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from blackhole.escrow import vouchers

    vector = VECTORS["vouchers"][0]
    lane = (address(vector["payee"]), vector["service"], vector["lane"])
    assert vouchers._fast_recovery() is not None
    monkeypatch.setattr(vouchers, "_fast_recovery", lambda: None)
    slow = VoucherVerifier(domain_of(vector), *lane, address(vector["signer"]))
    assert slow.verify(raw(vector["row"])) == int(vector["cumulative"])
    for refused in VECTORS["refused"]:
        key = (address(refused["payee"]), refused["service"], refused["lane"])
        with pytest.raises(IntegrityError):
            VoucherVerifier(domain_of(refused), *key, address(refused["signer"])).verify(raw(refused["row"]))


def test_a_key_once_seen_does_not_let_another_pass() -> None:
    vector = VECTORS["vouchers"][0]
    domain, lane = domain_of(vector), (address(vector["payee"]), vector["service"], vector["lane"])
    verifier = VoucherVerifier(domain, *lane, address(vector["signer"]))
    verifier.verify(raw(vector["row"]))
    for _ in range(3):
        with pytest.raises(IntegrityError):
            verifier.verify(VoucherSigner(domain, *lane, LocalSigner.generate()).sign(5))
    assert verifier.verify(raw(vector["row"])) == int(vector["cumulative"])


def test_a_paid_voucher_reads_like_any_credit() -> None:
    payer, payee = address(b"\xff" * 20), address(b"\x01" * 20)
    account = bytes.fromhex(payee[2:]) + (7).to_bytes(2, "big") + bytes(10)
    payment = b"\xff" * 20 + (2**32 - 1).to_bytes(4, "big") + (2**48 - 1).to_bytes(6, "big") + (333).to_bytes(2, "big")
    event = VoucherPaid(account, payment)
    event.address = payee
    gross = (2**48 - 1) * 10**12
    paid = credited(event)
    assert paid == Credited(payer, payee, 7, gross, gross * 333 // 10_000, lane_receipt(payee, 7, 2**32 - 1))
    assert paid.address == payee
    assert credited(event, unit=1).gross == 2**48 - 1
    assert credited(paid) is paid
