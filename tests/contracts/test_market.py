"""The storage market, the registry and the catalog through Ape, as DAO scripts use them: what each function does and
what it says when it does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import ape
import pytest
from eth_abi.abi import encode
from eth_utils import keccak, to_checksum_address
from ethpm_types import ContractType
from model.chain import ROOT, key, sign, typed_digest
from model.market_chain import NOBODY, TERMS, Terms
from model.storage_proof import Content, content_of
from rlp import encode as rlp_encode

HOLE, DAY, SERVICE, NODE = 10**18, 86_400, 1, 1
WINDOW, BLOCKS = 21_600, 20
RATE, COLLATERAL = 10**15, 10**15
B32 = b"\x01" * 32
ROW = (500, 500, 1, 1, 0, 100 * HOLE, COLLATERAL)
ENDPOINT = "https://203.0.113.7:4433"
ALLOW = "Allow(address payer,address module,uint256 amount,uint256 nonce,uint40 deadline)"
POLICY = (
    "Policy(address payer,bytes32 manifest,uint96 maxRate,uint96 budget,bytes32 allowedNodes,uint40 expiry,"
    "uint64 nonce)"
)
Case = tuple[Any, dict[str, Any] | None, Callable[[], Any]]
"""A custom error, its arguments or None, and a call that fails with it."""


def refused(cases: Iterable[Case]) -> None:
    for error, inputs, call in cases:
        with ape.reverts(error, error_inputs=inputs):
            call()


def placed(account: Any, ahead: int) -> str:
    """Where the account's contract of that later nonce will be."""
    sender = bytes.fromhex(account.address[2:])
    return to_checksum_address(keccak(rlp_encode([sender, account.nonce + ahead]))[12:])


def shipped(name: str) -> ape.contracts.ContractContainer:
    """A contract as it ships: as Ape compiles it, without via-IR, the market is beyond the limit of creation code."""
    built = json.loads((ROOT / "sdk" / "blackhole" / "chain" / "artifacts" / f"{name}.json").read_text())
    code = {"bytecode": built["bytecode"]}
    return ape.contracts.ContractContainer(
        ContractType.model_validate({"contractName": name, "abi": built["abi"], "deploymentBytecode": code})
    )


@dataclass
class World:
    """The market core with two bonded nodes and a payer, each with a key that signs."""

    chain: Any
    timelock: Any
    owner: Any
    stranger: Any
    token: Any
    hub: Any
    catalog: Any
    vault: Any
    registry: Any
    verifier: Any
    market: Any
    payer: Any = field(default_factory=lambda: key("ape payer"))
    signers: dict[int, Any] = field(default_factory=lambda: {1: key("ape signer 1"), 2: key("ape signer 2")})
    salt: int = 0

    @property
    def now(self) -> int:
        return int(self.market.currentPeriod())

    def terms(self, content: Content, node: int = NODE, length: int = 20, **other: Any) -> Terms:
        self.salt += 1
        start = self.now + 1
        leaves = content.tree.leaves
        made = Terms(
            self.payer.address, node, self.owner.address, content.tree.root, B32, leaves, RATE, start, start + length,
            length * RATE, salt=self.salt,
        )  # fmt: skip
        return replace(made, **other)

    def signed(self, terms: Terms) -> tuple[Any, ...]:
        """The arguments of `open`: the terms, their payer's and their node's signature."""
        digest = typed_digest(bytes(self.market.domainSeparator()), TERMS, terms.values)
        return terms.values, sign(self.payer, digest), sign(self.signers[terms.node], digest)

    def open(self, terms: Terms) -> int:
        self.market.open(*self.signed(terms), sender=self.stranger)
        return int.from_bytes(typed_digest(bytes(self.market.domainSeparator()), TERMS, terms.values), "big")

    def to(self, period: int) -> None:
        self.chain.mine(timestamp=max(period * DAY, self.chain.pending_timestamp))

    def draw(self, period: int) -> None:
        self.to(period + 1)
        self.market.draw(period, sender=self.stranger)
        self.chain.mine(3)
        self.market.draw(period, sender=self.stranger)

    def pass_window(self) -> None:
        self.chain.mine(BLOCKS)
        self.chain.mine(deltatime=WINDOW + 1)

    def miss(self, deal: int, times: int) -> None:
        """So many periods from the deal's first on, drawn and not proven, each reported."""
        first = self.market.agreementOf(deal).start
        for period in range(first, first + times):
            self.draw(period)
            self.pass_window()
            self.market.reportMissed(NODE, period, deal, sender=self.stranger)


@pytest.fixture
def world(project: Any, accounts: Any, chain: Any) -> World:
    timelock, owner, stranger = accounts[:3]
    token = timelock.deploy(project.BlackholeToken, [owner], [10_000 * HOLE], timelock)
    hub = timelock.deploy(project.PaymentHub, token, 10**12, True, timelock, 0, timelock)
    catalog = timelock.deploy(project.ServiceCatalog, timelock)
    registry_at, disputes_at = placed(timelock, 1), placed(timelock, 2)
    vault = timelock.deploy(project.StakeManager, token, registry_at, catalog, disputes_at)
    registry = timelock.deploy(project.NodeRegistry, timelock, vault)
    disputes = timelock.deploy(project.DisputeManager, timelock, hub, vault, catalog)
    assert (registry.address, disputes.address) == (registry_at, disputes_at)
    verifier = timelock.deploy(project.ProofVerifier, timelock.deploy(project.Blake3Chunk))
    randomness = timelock.deploy(project.BlockhashRandomness)
    setup = (hub, vault, registry, catalog, disputes, randomness, verifier, DAY, WINDOW, BLOCKS)
    market = timelock.deploy(shipped("StorageMarket"), setup, timelock)
    catalog.setService(SERVICE, (market.address, *ROW), sender=timelock)
    made = World(chain, timelock, owner, stranger, token, hub, catalog, vault, registry, verifier, market)
    token.approve(vault, 2**256 - 1, sender=owner)
    token.approve(hub, 2**256 - 1, sender=owner)
    for node, signer in made.signers.items():
        registry.register(B32, ENDPOINT, sender=owner)
        registry.setKeys(node, signer.address, NOBODY, sender=owner)
        vault.bond(node, SERVICE, 1000 * HOLE, sender=owner)
    hub.deposit(made.payer.address, 100 * HOLE, sender=owner)
    digest = typed_digest(
        bytes(hub.domainSeparator()), ALLOW,
        [made.payer.address, market.address, 2**256 - 1, 0, 2**40 - 1],
    )  # fmt: skip
    hub.allowBySig(made.payer.address, market, 2**256 - 1, 0, 2**40 - 1, sign(made.payer, digest), sender=stranger)
    return made


def test_terms_are_refused_by_name(world: World) -> None:
    market, now = world.market, world.now
    content = content_of([[1500]], 1)
    good = world.terms(content)
    _, payer_sig, node_sig = world.signed(good)

    def opening(**other: Any) -> Callable[[], Any]:
        return lambda: world.open(replace(good, **other))

    send = {"sender": world.stranger}
    refused(
        [
            (market.PayerSignatureInvalid, None, lambda: market.open(good.values, node_sig, node_sig, **send)),
            (market.NodeSignatureInvalid, None, lambda: market.open(good.values, payer_sig, payer_sig, **send)),
            (market.StartOutOfRange, {"start": now, "current": now}, opening(start=now)),
            (market.EndOutOfRange, {"end": good.start}, opening(end=good.start)),
            (market.ContentInvalid, None, opening(leaves=0)),
            (market.PrepaidTooLow, {"required": 20 * RATE, "given": 1}, opening(prepaid=1)),
            (market.PayeeMismatch, {"expected": world.owner.address}, opening(payee=world.stranger.address)),
            (world.vault.InsufficientFreeStake, None, opening(leaves=2_000_000)),
            (world.hub.InsufficientBalance, None, opening(prepaid=101 * HOLE)),
            (market.OnlySelf, None, lambda: market.openRow(1, good.values, node_sig, **send)),
        ]
    )
    first = world.terms(content)
    ids = [typed_digest(bytes(market.domainSeparator()), TERMS, each.values) for each in (first, good)]
    batch = sign(world.payer, bytes(market.batchDigest(ids)))
    signatures = [world.signed(first)[2], payer_sig]
    with ape.reverts(market.PayerMismatch):
        market.openMany([first.values, replace(good, payer=NOBODY).values], batch, signatures, **send)
    receipt = market.openMany([first.values, good.values], batch, signatures, **send)
    assert [log.id for log in receipt.decode_logs(market.Opened)] == [int.from_bytes(ids[0], "big")]
    assert [log.id for log in receipt.decode_logs(market.Skipped)] == [int.from_bytes(ids[1], "big")]
    with ape.reverts(market.AgreementExists):
        world.open(first)
    world.catalog.setService(SERVICE, (market.address, *ROW[:5], 10**24, COLLATERAL), sender=world.timelock)
    with ape.reverts(market.BondTooLow, error_inputs={"required": 10**24, "active": 1000 * HOLE}):
        world.open(good)
    world.catalog.setService(SERVICE, (market.address, *ROW[:3], 3, *ROW[4:]), sender=world.timelock)
    with ape.reverts(market.ServiceClosed):
        world.open(good)


def test_a_lost_deal_is_replaced_repaired_and_its_remainder_paid(world: World) -> None:
    market, token, stranger = world.market, world.token, world.stranger
    send = {"sender": stranger}
    content = content_of([[1024], [1024]], 3)
    piece, path = content.pieces[0].tree.root, content.tree.bare_path(0)
    deal = world.open(world.terms(content))
    policy = [world.payer.address, B32, RATE << 20, 100 * RATE, b"\0" * 32, 2**40 - 1, 1]
    policy_sig = sign(world.payer, typed_digest(bytes(market.domainSeparator()), POLICY, policy))
    one = Content(content.pieces[:1])
    proof = encode(["bytes32", "bytes", "bytes32[]"], [piece, path, []])

    def by_policy(terms: Terms, q: list[Any] = policy, sig: bytes = policy_sig) -> Any:
        return market.openByPolicy(terms.values, q, deal, proof, sig, world.signed(terms)[2], **send)

    def copy(**other: Any) -> Terms:
        return world.terms(one, **{"node": 2, "repairer": stranger.address, "length": 5, **other})

    old = [*policy[:5], 1, 1]
    refused(
        [
            (market.NotLost, {"id": deal}, lambda: by_policy(copy())),
            (market.PolicyExpired, {"expiry": 1}, lambda: by_policy(copy(), old)),
            (market.PayerMismatch, None, lambda: by_policy(copy(payer=NOBODY))),
            (market.PayerMismatch, None, lambda: market.cancelPolicy(policy, **send)),
            (market.NotLost, {"id": deal}, lambda: market.claimRemainder(deal, **send)),
        ]
    )
    world.miss(deal, 9)
    refused(
        [
            (market.NodeNotAllowed, {"node": NODE}, lambda: by_policy(copy(node=NODE))),
            (market.PolicyExceeded, None, lambda: by_policy(copy(rate=2 * RATE, prepaid=10 * RATE))),
            (market.PieceMismatch, None, lambda: by_policy(copy(root=B32))),
        ]
    )
    spare = copy()
    (used,) = by_policy(spare).decode_logs(market.PolicyUsed)
    assert (used.lostId, used.charged) == (deal, 0), "nine unpaid periods lie in the lost lock"
    with ape.reverts(market.AlreadyRepaired):
        by_policy(copy())
    first = market.agreementOf(deal).start
    world.draw(first + 9)
    world.pass_window()
    before = world.vault.stakeOf(NODE, SERVICE).active
    (ended,) = market.reportMissed(NODE, first + 9, deal, **send).decode_logs(market.NodeEnded)
    reserve = content.tree.leaves * COLLATERAL
    assert (ended.node, before - world.vault.stakeOf(NODE, SERVICE).active) == (NODE, reserve * 85 // 100)
    fund = market.fundOf(NODE, 1)
    assert fund.amount == world.hub.balanceOf(market)
    claim = (deal, used.newId, piece, 1, path, b"")
    refused(
        [
            (market.NodeHasEnded, {"node": NODE}, lambda: world.open(world.terms(content))),
            (market.NotProvenYet, {"id": used.newId}, lambda: market.claimRepair(*claim, **send)),
            (market.NotBefore, None, lambda: market.claimRemainder(deal, **send)),
        ]
    )
    world.draw(spare.start)
    market.prove(2, spare.start, one.answer(0), **send)
    world.pass_window()
    market.claimRepair(*claim, **send)
    assert token.balanceOf(stranger) >= fund.amount // 2
    (closed,) = market.close(deal, **send).decode_logs(market.Closed)
    assert closed.status == 4
    world.chain.mine(deltatime=60 * DAY)
    (paid,) = market.claimRemainder(deal, **send).decode_logs(market.RemainderPaid)
    assert (paid.payer, paid.amount) == (world.payer.address, fund.amount // 2)
    refused(
        [
            (market.AlreadyRepaired, None, lambda: market.claimRepair(*claim, **send)),
            (market.NothingLeft, {"id": deal}, lambda: market.claimRemainder(deal, **send)),
        ]
    )


def test_registry_and_catalog_say_what_is_wrong(world: World) -> None:
    registry, catalog, owner = world.registry, world.catalog, world.owner
    mine, theirs, dao = {"sender": owner}, {"sender": world.stranger}, {"sender": world.timelock}
    registry.setOffer(NODE, SERVICE, HOLE, 100, 276, **mine)
    assert (registry.nodesOf(SERVICE, 0, 10).nodes, registry.listedCount(SERVICE)) == ([NODE], 1)
    registry.setManifest(NODE, b"\x02" * 32, ENDPOINT, **mine)
    registry.transferNode(2, world.stranger, **mine)
    late = world.chain.pending_timestamp + 8 * DAY
    row = (world.market.address, *ROW)
    catalog.setGuardian(owner, **dao)
    refused(
        [
            (registry.EmptyManifest, None, lambda: registry.register(b"\0" * 32, ENDPOINT, **theirs)),
            (registry.InvalidEndpoint, {"length": 257}, lambda: registry.register(B32, "e" * 257, **theirs)),
            (registry.UnknownNode, {"node": 9}, lambda: registry.setOffer(9, SERVICE, 1, 1, 1, **mine)),
            (registry.NotNodeOperator, None, lambda: registry.setOffer(NODE, SERVICE, 1, 1, 1, **theirs)),
            (registry.InvalidService, None, lambda: registry.setOffer(NODE, 0, 1, 1, 1, **mine)),
            (registry.NotListed, {"node": 2, "service": 1}, lambda: registry.setOffer(2, SERVICE, 1, 0, 1, **mine)),
            (registry.NotNodeOwner, None, lambda: registry.setKeys(NODE, NOBODY, NOBODY, **theirs)),
            (registry.NotPendingOwner, None, lambda: registry.acceptNode(NODE, **theirs)),
            (registry.NodeHasStake, None, lambda: registry.acceptNode(2, **theirs)),
            (catalog.NotTimelock, {"caller": owner.address}, lambda: catalog.setService(SERVICE, row, **mine)),
            (catalog.UnknownService, {"id": 0}, lambda: catalog.setService(0, row, **dao)),
            (catalog.VerifierIsFixed, None, lambda: catalog.setService(SERVICE, (owner.address, *ROW), **dao)),
            (catalog.OutOfBounds, None, lambda: catalog.setService(2, (owner.address, 1001, *ROW[1:]), **dao)),
            (catalog.NotGuardian, None, lambda: catalog.closeEntries(SERVICE, late, **theirs)),
            (catalog.UnknownService, {"id": 9}, lambda: catalog.closeEntries(9, late, **mine)),
            (catalog.InvalidClosing, None, lambda: catalog.closeEntries(SERVICE, late, **mine)),
        ]
    )
    catalog.closeEntries(SERVICE, late - 2 * DAY, **mine)
    assert not catalog.isOpen(SERVICE)
    with ape.reverts(catalog.ClosedTooSoon):
        catalog.closeEntries(SERVICE, late - 2 * DAY, **mine)
