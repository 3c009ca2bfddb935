"""Tokens, registry, staking, escrow and disputes against the deployed contracts, on both faces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from blackhole import AsyncBlackhole, Blackhole, Network, Tokens
from blackhole.chain.bindings import node_registry, payment_hub, service_catalog, stake_manager
from blackhole.chain.bindings.blackhole_token import ERC20InsufficientBalance, Transfer
from blackhole.chain.bindings.dispute_manager import NotReceiptPayer, State
from blackhole.chain.signers import LocalSigner
from blackhole.errors import InputError, InsufficientFunds, KeyMissing, Reverted
from blackhole.escrow.lanes import LaneId, LaneState
from blackhole.face import portal
from blackhole.protocol import EXIT, MICRO, THAW, THAW_LAPSE

from .conftest import KEYS, Anvil

STORAGE = 1


@pytest.fixture
def payer(market: Network) -> Iterator[Blackhole]:
    with Blackhole(market, KEYS[1]) as blackhole:
        yield blackhole


@pytest.fixture
def operator(market: Network) -> Iterator[Blackhole]:
    with Blackhole(market, KEYS[2]) as blackhole:
        yield blackhole


def jump(blackhole: Blackhole, seconds: int) -> None:
    async def run() -> None:
        await blackhole.chain.rpc.request("evm_increaseTime", seconds)
        await blackhole.chain.rpc.request("evm_mine")

    portal().run(run())


def account(number: int) -> str:
    return LocalSigner(bytes.fromhex(KEYS[number][2:])).address


def test_tokens_move_and_the_receipt_has_the_typed_event(payer: Blackhole) -> None:
    target = LocalSigner.generate().address
    receipt = payer.tokens.transfer(target, Tokens("2.5"))
    moved = receipt.event(Transfer)
    assert (moved.from_, moved.to, moved.value) == (account(1), target, 25 * 10**17)
    assert payer.tokens.balance(target) == Tokens("2.5")
    assert receipt.sender == account(1)
    assert receipt.fee == receipt.gas_used * receipt.effective_gas_price > 0
    with pytest.raises(InsufficientFunds, match="HOLE of"):
        payer.tokens.transfer(target, Tokens(10_000_000))
    with pytest.raises(Reverted) as caught:
        payer.tokens.burn(Tokens(10_000_000))
    assert isinstance(caught.value.decoded, ERC20InsufficientBalance)
    assert caught.value.decoded.needed == Tokens(10_000_000)


def test_deposit_takes_one_transaction_and_no_standing_approval(payer: Blackhole, market: Network) -> None:
    before = payer.escrow.balance()
    quote = payer.escrow.deposit.quote(Tokens(5))
    assert quote.transactions == ("PaymentHub.depositWithPermit",)
    assert 0 < quote.fee <= quote.fee_limit
    payer.escrow.deposit.dry_run(Tokens(5))
    assert payer.escrow.balance() == before
    receipt = payer.escrow.deposit(Tokens(5))
    assert receipt.gas_used <= quote.gas
    assert payer.escrow.balance() == before + Tokens(5)
    assert payer.tokens.allowance(account(1), market.address("PaymentHub")) == 0
    payer.escrow.withdraw(Tokens(2))
    assert payer.escrow.balance() == before + Tokens(3)


def test_deposit_for_somebody_else_approves_first_and_can_be_quoted(payer: Blackhole) -> None:
    other = LocalSigner.generate().address
    quote = payer.escrow.deposit.quote(Tokens(1), other)
    assert quote.transactions == ("BlackholeToken.approve", "PaymentHub.deposit")
    payer.escrow.deposit(Tokens(1), other)
    assert payer.escrow.balance(other) == Tokens(1)


def test_somebody_without_gas_deposits_and_opens_a_lane_by_signature(payer: Blackhole, market: Network) -> None:
    poor = LocalSigner.generate()
    payer.tokens.transfer(poor.address, Tokens(3))
    with Blackhole(market, poor) as blackhole:
        permit = blackhole.escrow.sign_deposit(Tokens(3))
        payer.escrow.submit_deposit(permit)
        assert blackhole.escrow.balance() == Tokens(3)
        deadline = int(time.time()) + 10 * 365 * 86_400
        order = blackhole.escrow.sign_open_lane(account(2), STORAGE, 1_000_000, deadline)
        lane = payer.escrow.submit_open_lane(order)
        assert blackhole.escrow.lane(*lane).payer == poor.address
        allow = blackhole.escrow.sign_allow(market.address("StorageMarket"), Tokens(2), deadline)
        payer.escrow.submit_allow(allow)
        assert blackhole.escrow.allowance(market.address("StorageMarket")) == Tokens(2)
        with pytest.raises(Reverted) as caught:
            payer.escrow.submit_allow(allow)
        assert isinstance(caught.value.decoded, payment_hub.InvalidNonce)


def test_vouchers_are_paid_by_the_hub_and_thaws_come_back(payer: Blackhole, operator: Blackhole) -> None:
    payer.escrow.deposit(Tokens(10))
    payee = account(2)
    lane = payer.escrow.open_lane(payee, STORAGE, 3_000_000)
    signer = payer.escrow.voucher_signer(lane)
    verifier = operator.escrow.voucher_verifier(lane)
    rows = [signer.sign(amount) for amount in (10, 500_000, 1_000_000)]
    assert [verifier.verify(row) for row in rows] == [10, 500_000, 1_000_000]
    before = operator.escrow.balance()
    credited = operator.escrow.redeem(payee, STORAGE, rows)
    assert sum(each.gross for each in credited) == Tokens(1)
    fee = operator.escrow.fee(STORAGE)
    assert operator.escrow.balance() - before == sum(each.gross - each.fee for each in credited)
    assert sum(each.fee for each in credited) == sum(each.gross * fee.bps // 10_000 for each in credited)
    assert operator.escrow.redeem(payee, STORAGE, rows) == ()
    assert {each.event.receipt for each in operator.escrow.credits()} >= {lane.receipt}
    payer.escrow.thaw(lane, 1_500_000)
    state = payer.escrow.lane(*lane)
    now = state.thaw_at - THAW
    assert state.claimed == 1_000_000
    assert state.backed(now) == 1_500_000
    assert state.unspent(now) == 500_000
    with pytest.raises(Reverted) as caught:
        payer.escrow.reclaim(lane)
    assert isinstance(caught.value.decoded, payment_hub.StillThawing)
    jump(payer, THAW + 1)
    payer.escrow.reclaim(lane)
    assert payer.escrow.lane(*lane).deposit == 1_500_000
    assert lane in {each.id for each in payer.escrow.lanes()}


def test_a_lapsed_thaw_no_longer_reduces_what_backs_a_voucher() -> None:
    state = LaneState(LaneId(LocalSigner.generate().address, 1, 0), account(1), account(1), 100, 10, 60, 5_000)
    assert state.backed(0) == 40
    assert state.backed(5_000 + THAW_LAPSE) == 40
    assert state.backed(5_000 + THAW_LAPSE + 1) == 100
    assert state.unspent(0) == 30


def test_missing_money_is_named_with_the_command_that_adds_it(market: Network) -> None:
    with Blackhole(market, KEYS[1]) as blackhole:
        balance = blackhole.escrow.balance()
        with pytest.raises(InsufficientFunds) as caught:
            blackhole.escrow.withdraw(balance + Tokens("0.5"))
        assert caught.value.missing == Tokens("0.5")
        assert "escrow show" in caught.value.hint
        with pytest.raises(InsufficientFunds) as caught:
            blackhole.escrow.open_lane(account(2), STORAGE, (balance + Tokens("0.5")) // MICRO)
        assert caught.value.missing == Tokens("0.5")
        assert caught.value.hint == "blackhole escrow deposit 0.5"
        with pytest.raises(InsufficientFunds, match="HOLE of"):
            blackhole.escrow.deposit(Tokens(100_000_000))
    poor = LocalSigner.generate()
    with Blackhole(market, poor) as blackhole, pytest.raises(InsufficientFunds, match="for gas") as caught:
        blackhole.tokens.approve(account(1), 1)
    assert caught.value.unit == "ETH"
    with Blackhole(market) as blackhole, pytest.raises(KeyMissing):
        blackhole.tokens.approve(account(1), 1)


def test_a_node_registers_offers_and_is_found(operator: Blackhole) -> None:
    node = operator.registry.register(b"\x01" * 32, "https://127.0.9.1:4433")
    operator.registry.set_offer(node, STORAGE, 5 * 10**15, 100, 276)
    found = {listed.record.node: listed for listed in operator.registry.nodes(STORAGE)}
    assert found[node].offer.price == 5 * 10**15
    assert found[node].record.endpoint == "https://127.0.9.1:4433"
    assert found[node].record.payee == account(2)
    agent = LocalSigner.generate().address
    operator.registry.set_keys(node, agent)
    operator.registry.set_manifest(node, b"\x02" * 32, "https://127.0.9.1:5544")
    record = operator.registry.node(node)
    assert (record.signer, record.manifest, record.endpoint) == (agent, b"\x02" * 32, "https://127.0.9.1:5544")
    operator.registry.set_offer(node, STORAGE, 1, 0)
    assert node not in {listed.record.node for listed in operator.registry.nodes(STORAGE)}
    with pytest.raises(InputError, match="no node 4000"):
        operator.registry.node(4000)
    with pytest.raises(Reverted) as caught:
        operator.registry.set_offer(4000, STORAGE, 1, 1)
    assert isinstance(caught.value.decoded, node_registry.UnknownNode)
    assert operator.registry.is_open(STORAGE)
    assert operator.registry.service(STORAGE).min_bond == 100 * 10**18


def test_a_bond_enters_waits_and_leaves(operator: Blackhole) -> None:
    node = operator.registry.register(b"\x03" * 32, "https://127.0.9.2:4433")
    assert operator.staking.staker(node) is None
    operator.staking.bond(node, STORAGE, Tokens(200))
    assert operator.staking.staker(node) == account(2)
    assert operator.staking.free(node, STORAGE) == Tokens(200)
    assert operator.staking.unreserved(node, STORAGE) == 0
    assert operator.staking.verifier(STORAGE + 1) is None
    operator.staking.request_exit(node, STORAGE, Tokens(50))
    with pytest.raises(Reverted) as caught:
        operator.staking.withdraw(node, STORAGE)
    assert isinstance(caught.value.decoded, stake_manager.ExitPending)
    jump(operator, EXIT + 1)
    assert operator.staking.withdraw(node, STORAGE) == Tokens(50)
    stake = operator.staking.stake(node, STORAGE)
    assert (stake.active, stake.exiting) == (Tokens(150), 0)
    assert operator.staking.bonded(node) == Tokens(150)


def test_a_claim_needs_a_receipt_of_ones_own(payer: Blackhole, market: Network) -> None:
    payer.escrow.deposit(Tokens(20))
    assert payer.disputes.bond_for(Tokens(1)) == Tokens(10)
    assert payer.disputes.claim_on(bytes(32)) is None
    assert payer.disputes.ruling(0) == (State.NONE, 0)
    with pytest.raises(Reverted) as caught:
        payer.disputes.open(b"\x05" * 32, Tokens(1))
    assert isinstance(caught.value.decoded, NotReceiptPayer)


def test_what_the_contracts_know_besides_can_be_read(payer: Blackhole, operator: Blackhole) -> None:
    node = operator.registry.register(b"\x04" * 32, "https://127.0.9.3:4433")
    before = operator.registry.listed_count(STORAGE)
    operator.registry.set_offer(node, STORAGE, 1, 10)
    assert operator.registry.listed_count(STORAGE) == before + 1
    operator.registry.set_offer(node, STORAGE, 1, 0)
    assert operator.registry.pending_owner(node) is None
    operator.registry.transfer_node(node, account(1))
    assert operator.registry.pending_owner(node) == account(1)
    voting = operator.staking.votes()
    operator.staking.bond(node, STORAGE, Tokens(100))
    assert operator.staking.votes() == voting + Tokens(100)
    assert operator.staking.pending_staker(node) is None
    operator.staking.transfer_staker(node, account(1))
    assert operator.staking.pending_staker(node) == account(1)
    payer.staking.accept_staker(node)
    payer.registry.accept_node(node)
    assert (payer.staking.staker(node), payer.registry.node(node).owner) == (account(1), account(1))
    assert payer.staking.rounds(node, STORAGE) == (0, 0)
    assert payer.staking.award(7).bounty_bps == 0

    assert payer.registry.last_closed(STORAGE) == 0
    with pytest.raises(Reverted) as caught:
        payer.registry.close_entries.dry_run(STORAGE, int(time.time()))
    assert isinstance(caught.value.decoded, service_catalog.NotGuardian)
    assert payer.registry.guardian() != account(1)

    assert payer.disputes.arbitrator() == payer.network.address("PanelArbitrator")
    assert payer.disputes.panel() == ((account(3),), 1)
    assert payer.disputes.panel_vote(1, account(3)) is None
    assert payer.disputes.agreeing(1, 0) == payer.disputes.claim_count() == 0
    assert payer.disputes.contester(1) is None
    assert payer.disputes.bond_locks(5) == (10, 11)

    lanes = payer.escrow.lane_count(account(3), STORAGE)
    payer.escrow.deposit(Tokens(1))
    lane = payer.escrow.open_lane(account(3), STORAGE, 500_000)
    assert payer.escrow.lane_count(account(3), STORAGE) == lanes + 1
    payer.escrow.redeem(account(3), STORAGE, [payer.escrow.voucher_signer(lane).sign(200_000)])
    settled = payer.escrow.settled(lane)
    assert (settled.payer, settled.settled, settled.prepaid) == (account(1), 200_000 * MICRO, 500_000 * MICRO)
    burned = payer.escrow.burned()
    payer.escrow.split_fees()
    assert payer.escrow.burned() > burned


async def test_the_asynchronous_face_does_the_same(market: Network, anvil: Anvil) -> None:
    async with AsyncBlackhole(market, KEYS[0], wait="latest") as blackhole:
        await blackhole.escrow.deposit(Tokens(4))
        lanes = await asyncio.gather(
            *(blackhole.escrow.open_lane(account(2), STORAGE, amount) for amount in (1_000, 2_000, 3_000))
        )
        assert len(set(lanes)) == 3
        states = await asyncio.gather(*(blackhole.escrow.lane(*lane) for lane in lanes))
        assert sorted(state.deposit for state in states) == [1_000, 2_000, 3_000]
        quote = await blackhole.escrow.top_up.quote(lanes[0], 5)
        assert quote.gas > 21_000
        watched = blackhole.escrow.watch_thaws(account(2))
        seen = asyncio.ensure_future(anext(aiter(watched)))
        await asyncio.sleep(0.05)
        await blackhole.escrow.thaw(lanes[1], 7)
        assert (await asyncio.wait_for(seen, 20)).event.amount == 7
