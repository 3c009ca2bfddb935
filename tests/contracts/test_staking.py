"""Staking as a DAO member meets it in Ape: typed errors, events and receipts of the registry and the vault."""

from __future__ import annotations

from typing import Any

import ape
import pytest
from eth_utils import keccak, to_checksum_address
from rlp import encode as rlp_encode

HOLE = 10**18
SERVICE = 1
DAY = 86_400
MANIFEST = b"\x01" * 32


def next_address(account: Any, ahead: int) -> str:
    """Where the account's contract of that later nonce will be."""
    sender = bytes.fromhex(account.address[2:])
    return to_checksum_address(keccak(rlp_encode([sender, account.nonce + ahead]))[12:])


@pytest.fixture
def market(project: Any, accounts: Any) -> dict[str, Any]:
    """Token, catalog, registry and vault; `disputes` and `timelock` are plain accounts here."""
    timelock, owner, verifier, disputes = accounts[:4]
    token = timelock.deploy(project.BlackholeToken, [owner], [10_000 * HOLE], timelock)
    catalog = timelock.deploy(project.ServiceCatalog, timelock)
    vault = timelock.deploy(project.StakeManager, token, next_address(timelock, 1), catalog, disputes)
    registry = timelock.deploy(project.NodeRegistry, timelock, vault)
    assert vault.registry() == registry.address
    catalog.setService(SERVICE, (verifier, 500, 500, 1, 1, 0, 100 * HOLE, 10**12), sender=timelock)
    registry.register(MANIFEST, "https://203.0.113.7:4433", sender=owner)
    token.approve(vault, 2**256 - 1, sender=owner)
    return {"token": token, "catalog": catalog, "vault": vault, "registry": registry}


def test_a_node_bonds_exits_and_withdraws(market: dict[str, Any], accounts: Any, chain: Any) -> None:
    vault, token, owner = market["vault"], market["token"], accounts[1]
    receipt = vault.bond(1, SERVICE, 1000 * HOLE, sender=owner)
    assert [log.amount for log in receipt.decode_logs(vault.Bonded)] == [1000 * HOLE]
    assert vault.stakerOf(1) == owner
    vault.requestExit(1, SERVICE, 400 * HOLE, sender=owner)
    with ape.reverts(vault.ExitPending):
        vault.withdraw(1, SERVICE, owner, sender=owner)
    chain.pending_timestamp += 21 * DAY
    before = token.balanceOf(owner)
    vault.withdraw(1, SERVICE, owner, sender=owner)
    assert token.balanceOf(owner) == before + 400 * HOLE
    assert vault.stakeOf(1, SERVICE).active == 600 * HOLE
    assert vault.getBond(owner) == 600 * HOLE


def test_reserved_stake_stays_and_a_fault_takes_its_share(market: dict[str, Any], accounts: Any, chain: Any) -> None:
    vault, token = market["vault"], market["token"]
    owner, verifier, disputes, remedy, reporter = accounts[1:6]
    vault.bond(1, SERVICE, 1000 * HOLE, sender=owner)
    until = chain.pending_timestamp + 30 * DAY
    with ape.reverts(vault.NotVerifier):
        vault.reserve(1, SERVICE, 600 * HOLE, until, sender=owner)
    vault.reserve(1, SERVICE, 600 * HOLE, until, sender=verifier)
    with ape.reverts(vault.InsufficientFreeStake):
        vault.requestExit(1, SERVICE, 400 * HOLE + 1, sender=owner)
    supply = token.totalSupply()
    with ape.reverts(vault.NotDisputes):
        vault.fault(1, SERVICE, 100 * HOLE, 500, reporter, remedy, sender=verifier)
    vault.fault(1, SERVICE, 100 * HOLE, 500, reporter, remedy, sender=disputes)
    assert token.totalSupply() == supply - 30 * HOLE
    assert (token.balanceOf(reporter), token.balanceOf(remedy)) == (5 * HOLE, 65 * HOLE)
    assert vault.stakeOf(1, SERVICE).active == 900 * HOLE


def test_a_claim_freezes_is_awarded_and_paid(market: dict[str, Any], accounts: Any, chain: Any) -> None:
    vault, token = market["vault"], market["token"]
    owner, disputes, victim = accounts[1], accounts[3], accounts[6]
    vault.bond(1, SERVICE, 1000 * HOLE, sender=owner)
    vault.freeze(1, 1, SERVICE, 500 * HOLE, sender=disputes)
    vault.award(1, 200 * HOLE, 0, victim, victim, sender=disputes)
    assert vault.stakeOf(1, SERVICE).frozen == 200 * HOLE
    with ape.reverts(vault.RoundOpen):
        vault.pay(1, sender=victim)
    chain.pending_timestamp += 14 * DAY
    vault.pay(1, sender=owner)
    assert token.balanceOf(victim) == 140 * HOLE
    assert vault.freeOf(1, SERVICE) == 800 * HOLE


def test_a_staked_node_changes_hands_with_its_staker(market: dict[str, Any], accounts: Any) -> None:
    vault, registry, owner, heir = market["vault"], market["registry"], accounts[1], accounts[7]
    vault.bond(1, SERVICE, HOLE, sender=owner)
    registry.transferNode(1, heir, sender=owner)
    with ape.reverts(registry.NodeHasStake):
        registry.acceptNode(1, sender=heir)
    vault.transferStaker(1, heir, sender=owner)
    vault.acceptStaker(1, sender=heir)
    registry.acceptNode(1, sender=heir)
    assert (registry.ownerOf(1), vault.stakerOf(1)) == (heir, heir)
