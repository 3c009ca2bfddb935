"""The node's eyes on the chain: blocks, time, what payers have, what lanes hold. Time comes from blocks alone."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from blackhole.chain.bindings.node_registry import NodeRegistry
from blackhole.chain.bindings.payment_hub import PaymentHub
from blackhole.chain.bindings.service_catalog import ServiceCatalog
from blackhole.chain.bindings.stake_manager import StakeManager
from blackhole.chain.bindings.storage_market import StorageMarket
from blackhole.chain.values import Block, address
from blackhole.errors import ChainError
from blackhole.node.logs import Log
from blackhole.protocol import STORAGE

if TYPE_CHECKING:
    from blackhole.chain.client import Chain
    from blackhole.network import Network

K = TypeVar("K")
V = TypeVar("V")

_CACHED = 4096


@dataclass(frozen=True, slots=True)
class Funds:
    """What a payer can pay for a deal, wei, at a final block."""

    balance: int
    allowance: int


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as a node has to see it.

    Attributes:
        payer, signer: lower-case addresses; either may sign vouchers.
        backing: micro its vouchers can ever be redeemed for: deposits of a final block less what thaws, matured or not,
            in that block or the newest.
        claimed: micro redeemed, newest block.
        thawing: whether the payer has asked for money back.
    """

    payer: str
    signer: str
    backing: int
    claimed: int
    thawing: bool


class ChainWatch:
    """Follows the chain by polling; everything else waits for its events."""

    def __init__(self, chain: Chain, network: Network, node: int, poll_seconds: float, log: Log) -> None:
        self.chain = chain
        self.node = node
        self.log = log
        self.poll_seconds = poll_seconds
        at = network.addresses
        self.market = StorageMarket(address(at["StorageMarket"]))
        self.hub = PaymentHub(address(at["PaymentHub"]))
        self.registry = NodeRegistry(address(at["NodeRegistry"]))
        self.stakes = StakeManager(address(at["StakeManager"]))
        self.catalog = ServiceCatalog(address(at["ServiceCatalog"]))
        self.latest: Block
        self.final: Block
        self.period_seconds = 0
        self.payee = ""
        self.failing_since: str = ""
        self._looked = 0.0
        self._looking = asyncio.Lock()
        self._decided = (-1, 0)
        self._changed = asyncio.Condition()
        self._funds: OrderedDict[str, tuple[int, Funds]] = OrderedDict()
        self._lanes: OrderedDict[int, tuple[int, LaneView | None]] = OrderedDict()

    async def start(self) -> None:
        """Read where the chain is. Raises ChainError."""
        self.period_seconds = await self.chain.read(self.market.period())
        self.payee = (await self.chain.read(self.registry.payee_of(self.node))).lower()
        await self._look()

    @property
    def now(self) -> int:
        """Time of the newest block, seconds."""
        return self.latest.timestamp

    @property
    def period(self) -> int:
        """Period of the newest block."""
        return self.latest.timestamp // self.period_seconds

    @property
    def final_period(self) -> int:
        """Period of the newest final block."""
        return self.final.timestamp // self.period_seconds

    async def run(self) -> None:
        """Poll for ever; a chain that does not answer is logged once and asked again."""
        while True:
            await asyncio.sleep(self.poll_seconds)
            try:
                await self._look()
            except ChainError as error:
                if not self.failing_since:
                    self.failing_since = error.code
                    self.log.error("the chain does not answer", code=error.code, reason=error.message)
            else:
                if self.failing_since:
                    self.failing_since = ""
                    self.log.info("the chain answers again", block=self.latest.number)

    async def refresh(self) -> None:
        """Look again, once for all who ask meanwhile: before a client is refused for what is on chain already."""
        asked = time.monotonic()
        async with self._looking:
            if self._looked < asked:
                await self._look()

    async def next_block(self, seen: int) -> int:
        """Wait for a block above number `seen`; returns the newest number."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.latest.number > seen)
            return self.latest.number

    async def decided(self) -> int:
        """First period whose proofs are not all decided, by the newest block."""
        if self._decided[0] != self.latest.number:
            number = self.latest.number
            self._decided = (number, await self.chain.read(self.market.first_undecided()))
        return self._decided[1]

    async def funds(self, payer: str) -> Funds:
        """What `payer` has in the bank and lets the market lock, at the newest final block."""
        known = self._funds.get(payer)
        if known is not None and known[0] == self.final.number:
            return known[1]
        at = self.final.number
        who = address(payer)
        balance, allowance = await asyncio.gather(
            self.chain.read(self.hub.balance_of(who), at=at),
            self.chain.read(self.hub.allowance_of(who, self.market.address), at=at),
        )
        funds = Funds(balance, allowance)
        _remember(self._funds, payer, (at, funds))
        return funds

    async def lane(self, lane: int, *, fresh: bool = False) -> LaneView | None:
        """A lane to this node, None when there is none at a final block. `fresh` asks even within one final block."""
        known = self._lanes.get(lane)
        if known is not None and known[0] == self.final.number and not fresh:
            return known[1]
        if fresh:
            await self.refresh()
        at = self.final.number
        call = self.hub.lane_of(address(self.payee), STORAGE, lane)
        final, latest = await asyncio.gather(self.chain.read(call, at=at), self.chain.read(call, at=self.latest.number))
        view = None
        if int(final.payer, 16):
            # The newest block may hold a thaw or a reclaim the final one does not know of.
            deposit = min(final.deposit, latest.deposit)
            thawing = max(final.thawing, latest.thawing)
            view = LaneView(
                final.payer.lower(), final.signer.lower(), max(deposit - thawing, 0), latest.claimed, thawing > 0
            )
        _remember(self._lanes, lane, (at, view))
        return view

    async def _look(self) -> None:
        self._looked = time.monotonic()
        latest, final = await asyncio.gather(self.chain.block("latest"), self.chain.block("finalized"))
        async with self._changed:
            self.latest, self.final = latest, final
            self._changed.notify_all()


def _remember(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _CACHED:
        cache.popitem(last=False)
