"""The storage market on a running chain, deployed as in production with what it stands on; nodes, payers, keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .chain import Chain, Contract, key, sign, typed_digest
from .vault_chain import HOLE, SERVICE, UNLIMITED, Deployment, deploy, proxied

TERMS = (
    "Terms(address payer,uint32 node,address payee,bytes32 root,bytes32 pieces,uint48 leaves,uint96 rate,uint32 start,"
    "uint32 end,uint96 prepaid,uint96 repairShare,address repairer,uint64 salt)"
)
CHANGE = (
    "Change(uint256 id,bytes32 root,bytes32 pieces,uint48 leaves,uint96 rate,uint32 end,uint96 prepaid,uint16 nonce,"
    "uint32 lastPeriod)"
)
NOBODY = "0x" + "00" * 20
DRAW_DELAY = 2


@dataclass(frozen=True)
class Times:
    """Seconds of a period, seconds and blocks of a window."""

    period: int = 86_400
    window: int = 21_600
    blocks: int = 20


@dataclass(frozen=True)
class Terms:
    """Terms as signed; the fields in their order."""

    payer: str
    node: int
    payee: str
    root: bytes
    pieces: bytes
    leaves: int
    rate: int
    start: int
    end: int
    prepaid: int
    repair_share: int = 0
    repairer: str = NOBODY
    salt: int = 0

    @property
    def values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


@dataclass(frozen=True)
class Change:
    """A change as signed; the fields in their order."""

    id: int
    root: bytes
    pieces: bytes
    leaves: int
    rate: int
    end: int
    prepaid: int
    nonce: int
    last_period: int

    @property
    def values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


@dataclass(frozen=True)
class Node:
    id: int
    owner: Any
    signer: Any


@dataclass
class Market:
    """The contracts and the people of a test."""

    made: Deployment
    contract: Contract
    verifier: Contract
    times: Times
    domain: bytes
    salt: int = 0

    @property
    def chain(self) -> Chain:
        return self.made.chain

    def node(self, name: str, bond: int) -> Node:
        """A registered node with a hot signer of its own."""
        owner, signer = key(f"{name} owner"), key(f"{name} signer")
        self.made.account(f"{name} owner", bond)
        self.chain.fund(signer.address)
        number = self.made.register(owner.address)
        self.chain.send(self.made.registry, "setKeys", number, signer.address, NOBODY, sender=owner.address)
        self.chain.send(self.made.vault, "bond", number, SERVICE, bond, sender=owner.address)
        return Node(number, owner, signer)

    def payer(self, name: str, hole: int) -> Any:
        """An account with money in the hub, all of which the market may lock."""
        account = key(name)
        self.made.account(name, hole)
        hub = self.made.hub
        self.chain.send(self.made.token, "approve", hub.address, UNLIMITED, sender=account.address)
        self.chain.send(hub, "deposit", account.address, hole, sender=account.address)
        self.chain.send(hub, "allow", self.contract.address, UNLIMITED, sender=account.address)
        return account

    # ------------------------------------------------------------------------------------------------- signatures

    def id_of(self, terms: Terms) -> int:
        return int.from_bytes(typed_digest(self.domain, TERMS, terms.values), "big")

    def batch_digest(self, ids: Sequence[int]) -> bytes:
        from eth_utils import keccak

        hashed = keccak(b"".join(i.to_bytes(32, "big") for i in ids))
        struct = keccak(keccak(text="TermsBatch(bytes32[] ids)") + hashed)
        return bytes(keccak(b"\x19\x01" + self.domain + struct))

    def salted(self, terms: Terms) -> Terms:
        self.salt += 1
        return replace(terms, salt=self.salt)

    def signed(self, terms: Terms, payer: Any, node: Node) -> tuple[Any, ...]:
        """Arguments of `open`."""
        digest = typed_digest(self.domain, TERMS, terms.values)
        return terms.values, sign(payer, digest), sign(node.signer, digest)

    def signed_change(self, change: Change, payer: Any, node: Node) -> tuple[Any, ...]:
        """Arguments of `change`."""
        digest = typed_digest(self.domain, CHANGE, change.values)
        return change.values, sign(payer, digest), sign(node.signer, digest)

    # ------------------------------------------------------------------------------------------------------- time

    @property
    def current(self) -> int:
        return self.chain.now() // self.times.period

    def to_period(self, period: int) -> None:
        """To the first second of a period, or a second on when it has begun."""
        self.chain.warp(max(period * self.times.period, self.chain.now() + 1))

    def draw(self, period: int, sender: str) -> None:
        """Both calls, with the blocks between them."""
        self.chain.send(self.contract, "draw", period, sender=sender)
        # One more than the contract needs: a call is tried in the newest block before it is sent.
        self.chain.mine(DRAW_DELAY + 1)
        self.chain.send(self.contract, "draw", period, sender=sender)

    def pass_window(self) -> None:
        self.chain.mine(self.times.blocks)
        self.chain.advance(self.times.window + 1)

    def answers(self, node: int, period: int, contents: dict[int, Any]) -> bytes:
        """The answers of a node whose deals hold `contents` (by id)."""
        _, samples = self.chain.call(self.contract, "seedOf", period)
        indices = self.chain.calls([(self.contract, "sampleOf", node, period, i) for i in range(samples)])
        places = self.chain.calls([(self.contract, "leafAt", node, index) for index in indices])
        return b"".join(contents[id_].answer(offset) for id_, offset in places)


def deploy_market(
    chain: Chain, times: Times | None = None, *, collateral: int = 10**12, samples: int = 1, min_bond: int = HOLE
) -> Market:
    """The market core, and the market as verifier of service 1."""
    made = deploy(chain, with_service=False)
    times = times or Times()
    blake3 = chain.deploy("Blake3Chunk")
    verifier = chain.deploy("ProofVerifier", blake3.address)
    randomness = chain.deploy("BlockhashRandomness")
    addresses = [c.address for c in (made.hub, made.vault, made.registry, made.catalog, made.disputes, randomness)]
    setup = (*addresses, verifier.address, times.period, times.window, times.blocks)
    code = chain.deploy("StorageMarket", setup, made.timelock)
    receipt = chain.transact(None, "0x" + proxied(chain, "StorageMarket", code).hex(), chain.accounts[0])
    market = chain.at("StorageMarket", receipt["contractAddress"])
    row = (market.address, 500, 1000, samples, 1, 0, min_bond, collateral)
    chain.send(made.catalog, "setService", SERVICE, row, sender=made.timelock)
    return Market(made, market, verifier, times, chain.call(market, "domainSeparator"))
