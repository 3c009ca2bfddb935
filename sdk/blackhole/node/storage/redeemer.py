"""Turns vouchers into money: in batches on schedule, and at once when a payer starts to take his money back."""

from __future__ import annotations

from blackhole.chain.values import address
from blackhole.node.config import Config
from blackhole.node.logs import Log
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.deals import Deals
from blackhole.node.storage.metering import LaneAccount
from blackhole.node.storage.sender import Sender
from blackhole.node.storage.state import State
from blackhole.node.storage.steps import Step
from blackhole.protocol import STORAGE

REDEEMED_TOGETHER = 200
"""Vouchers in one redemption: about 2.5M gas."""

WATCHED_TOGETHER = 200
"""Lanes looked at in one step: with more of them each has its turn, far within the day a thaw takes."""


class Redeemer:
    """Watches the lanes that owe, and redeems."""

    def __init__(self, config: Config, watch: ChainWatch, state: State, deals: Deals, sender: Sender, log: Log) -> None:
        self.config = config
        self.watch = watch
        self.state = state
        self.deals = deals
        self.sender = sender
        self.log = log
        self.redeemed_micro = 0
        self._claimed: dict[int, int] = {}
        self._next = 0
        self._last_period = watch.period

    @property
    def unredeemed_micro(self) -> int:
        """What lanes owe and the chain has not paid yet."""
        return sum(max(lane.accepted - self._claimed.get(lane.lane, 0), 0) for lane in self.state.lanes.values())

    async def step(self, *, now: bool = False) -> None:
        """Look at the lanes that owe; redeem when it is time, or `now`."""
        owing = [lane for lane in self.state.lanes.values() if lane.accepted > self._claimed.get(lane.lane, 0)]
        if not owing:
            return
        period = self.watch.period
        due = now or period >= self._last_period + self.config.chain.redeem_periods
        looked = owing if due else self._slice(owing)
        urgent = []
        for lane in looked:
            view = await self.watch.lane(lane.lane, fresh=True)
            if view is None:
                continue
            self._claimed[lane.lane] = view.claimed
            if view.thawing and lane.accepted > view.claimed:
                urgent.append(lane)
        wanted = [lane for lane in looked if self._owes(lane) >= self.config.chain.redeem_min_micro] if due else urgent
        if urgent and not due:
            self.log.info("a thaw began: redeeming at once", lanes=[lane.lane for lane in urgent])
        for start in range(0, len(wanted), REDEEMED_TOGETHER):
            await self._redeem(wanted[start : start + REDEEMED_TOGETHER])
        if due:
            self._last_period = period

    def _owes(self, lane: LaneAccount) -> int:
        return lane.accepted - self._claimed.get(lane.lane, 0)

    def _slice(self, lanes: list[LaneAccount]) -> list[LaneAccount]:
        start = self._next if self._next < len(lanes) else 0
        self._next = start + WATCHED_TOGETHER
        return lanes[start : start + WATCHED_TOGETHER]

    async def _redeem(self, lanes: list[LaneAccount]) -> None:
        rows = {lane.lane: (lane.accepted, lane.row) for lane in lanes if lane.row}
        if not rows:
            return
        await self.deals.record(Step.REDEEMING, lanes=list(rows))
        tx = self.watch.hub.redeem(address(self.watch.payee), STORAGE, b"".join(row for _, row in rows.values()))
        before = sum(self._claimed.get(lane, 0) for lane in rows)
        receipt = await self.sender.send(tx, "redeem")
        for lane in rows:
            view = await self.watch.lane(lane, fresh=True)
            if view is not None:
                self._claimed[lane] = view.claimed
        micro = sum(self._claimed.get(lane, 0) for lane in rows) - before
        self.redeemed_micro += micro
        await self.deals.record(Step.REDEEMED, lanes=list(rows), micro=micro)
        self.log.info("vouchers redeemed", lanes=len(rows), micro=micro, gas=receipt.gas_used)
