"""The payment hub through Ape, as DAO scripts use it: deploy, pay, typed errors and events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ape
import pytest
from model.chain import compact, key, sign, typed_digest

HOLE, MICRO = 10**18, 10**12
VOUCHER = "Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)"


@pytest.fixture
def payer(accounts: Any) -> Any:
    return accounts[0]


@pytest.fixture
def payee(accounts: Any) -> Any:
    return accounts[1]


@pytest.fixture
def timelock(accounts: Any) -> Any:
    return accounts[2]


@pytest.fixture
def token(project: Any, payer: Any, timelock: Any) -> Any:
    return payer.deploy(project.BlackholeToken, [payer], [1000 * HOLE], timelock)


@pytest.fixture
def hub(project: Any, payer: Any, timelock: Any, token: Any) -> Iterator[Any]:
    deployed = payer.deploy(project.PaymentHub, token, MICRO, True, timelock, 0, timelock)
    token.approve(deployed, 2**256 - 1, sender=payer)
    deployed.deposit(payer, 100 * HOLE, sender=payer)
    return deployed


def test_a_voucher_pays(hub: Any, payer: Any, payee: Any, accounts: Any) -> None:
    session = key("session")
    opened = hub.openLane(payee, 1, session.address, 500, sender=payer)
    (event,) = opened.decode_logs(hub.LaneOpened)
    assert (event.payer, event.payee, event.lane, event.amount) == (payer, payee, 0, 500)
    digest = typed_digest(bytes(hub.domainSeparator()), VOUCHER, [payee.address, 1, 0, 120])
    assert digest == bytes(hub.voucherDigest(payee, 1, 0, 120))
    row = (0).to_bytes(4, "big") + (120).to_bytes(6, "big") + compact(sign(session, digest))
    paid = hub.redeem(payee, 1, row, sender=accounts[3])
    (paid_row,) = paid.decode_logs(hub.VoucherPaid)
    assert bytes(paid_row.account) == bytes(hub.laneReceipt(payee, 1, 0))
    assert bytes(paid_row.payment) == bytes.fromhex(payer.address[2:]) + bytes(4) + (120).to_bytes(6, "big") + bytes(2)
    assert hub.balanceOf(payee) == 120 * MICRO
    hub.withdraw(payee, 120 * MICRO, sender=payee)
    with ape.reverts(hub.InsufficientBalance, error_inputs={"account": payee.address, "balance": 0, "needed": 1}):
        hub.withdraw(payee, 1, sender=payee)


def test_lane_refusals_are_typed(hub: Any, payer: Any, payee: Any) -> None:
    hub.openLane(payee, 1, payer, 500, sender=payer)
    with ape.reverts(hub.NotPayer, error_inputs={"caller": payee.address, "payer": payer.address}):
        hub.thaw(payee, 1, 0, 1, sender=payee)
    with ape.reverts(hub.InsufficientLane, error_inputs={"available": 500, "needed": 501}):
        hub.thaw(payee, 1, 0, 501, sender=payer)
    with ape.reverts(hub.NotThawing):
        hub.reclaim(payee, 1, 0, sender=payer)
    with ape.reverts(hub.UnknownLane):
        hub.topUp(payee, 1, 1, 1, sender=payer)
    with ape.reverts(hub.MalformedVouchers, error_inputs={"length": 75}):
        hub.redeem(payee, 1, b"\0" * 75, sender=payee)


def test_thaw_by_the_clock(hub: Any, payer: Any, payee: Any, chain: Any) -> None:
    hub.openLane(payee, 1, payer, 500, sender=payer)
    hub.thaw(payee, 1, 0, 500, sender=payer)
    with ape.reverts(hub.StillThawing):
        hub.reclaim(payee, 1, 0, sender=payer)
    chain.mine(deltatime=86_400)
    hub.reclaim(payee, 1, 0, sender=payer)
    assert hub.balanceOf(payer) == 100 * HOLE


def test_a_module_pays_within_its_allowance(hub: Any, payer: Any, payee: Any, accounts: Any, chain: Any) -> None:
    module = accounts[4]
    expiry = chain.pending_timestamp + 1000
    with ape.reverts(hub.InsufficientAllowance):
        hub.lock(7, payer, payee, 1, HOLE, expiry, sender=module)
    hub.allow(module, HOLE, sender=payer)
    hub.lock(7, payer, payee, 1, HOLE, expiry, sender=module)
    (credit,) = hub.release(7, HOLE // 4, sender=module).decode_logs(hub.Credited)
    assert (credit.payer, credit.payee, credit.gross, credit.fee) == (payer, payee, HOLE // 4, 0)
    assert hub.balanceOf(payee) == HOLE // 4
    assert hub.lockOf(module, 7).released == 250_000
    with ape.reverts(hub.LockNotExpired):
        hub.reclaimLock(module, 7, sender=payer)
    with ape.reverts(hub.UnknownLock):
        hub.refund(7, 1, sender=payee)
    hub.refund(7, HOLE * 3 // 4, sender=module)
    assert hub.balanceOf(payer) == 100 * HOLE - HOLE // 4


def test_only_the_timelock_sets_fees(hub: Any, payer: Any, timelock: Any) -> None:
    with ape.reverts(hub.NotTimelock, error_inputs={"caller": payer.address}):
        hub.setFee(1, 100, payer, sender=payer)
    with ape.reverts(hub.FeeTooHigh, error_inputs={"bps": 501}):
        hub.setFee(1, 501, payer, sender=timelock)
    hub.setFee(1, 500, payer, sender=timelock)
    assert hub.feeOf(1).nextBps == 500
    assert hub.currentFee(1).bps == 0


def test_token_mints_by_its_minter_within_the_rate(token: Any, payer: Any, payee: Any, timelock: Any) -> None:
    with ape.reverts(token.NotMinter, error_inputs={"caller": payer.address}):
        token.mint(payer, 1, sender=payer)
    with ape.reverts(token.NotTimelock, error_inputs={"caller": payer.address}):
        token.setMinter(payer, sender=payer)
    token.setMinter(payee, sender=timelock)
    with ape.reverts(token.RateExceeded, error_inputs={"amount": 20 * HOLE + 1, "available": 20 * HOLE}):
        token.mint(payer, 20 * HOLE + 1, sender=payee)
    token.mint(payer, 20 * HOLE, sender=payee)
    assert token.mintable() == 0
