"""Getting paid for storage: settlements in batches, closing what is over."""

from __future__ import annotations

from blackhole.chain.bindings.storage_market import Settled
from blackhole.errors import Reverted
from blackhole.node.config import Config
from blackhole.node.logs import Log
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.deals import OPEN_STATES, Deals
from blackhole.node.storage.sender import Sender
from blackhole.node.storage.state import Deal, State
from blackhole.node.storage.steps import Step

SETTLED_TOGETHER = 100
"""Agreements in one settlement: about 3M gas."""


class Settler:
    """Settles, closes and reports for one node."""

    def __init__(self, config: Config, watch: ChainWatch, state: State, deals: Deals, sender: Sender, log: Log) -> None:
        self.config = config
        self.watch = watch
        self.state = state
        self.deals = deals
        self.sender = sender
        self.log = log
        self.settled_wei = 0
        self._looked = (-1, -1)

    async def step(self, *, now: bool = False) -> None:
        """Settle and close what is due. `now`: settle whatever is due at all, as before a stop."""
        if not self.state.deals:
            return
        decided = await self.watch.decided()
        period = self.watch.period
        if not now and self._looked == (decided, period):
            return  # nothing can have become due since
        await self._settle(decided, now)
        if await self._close(decided, period):
            self._looked = (decided, period)

    async def _settle(self, decided: int, now: bool) -> None:
        market, read = self.watch.market, self.watch.chain.read_many
        due: list[str] = []
        open_deals = [deal for deal in self.state.deals.values() if deal.opened and deal.start < decided]
        for start in range(0, len(open_deals), SETTLED_TOGETHER):
            part = open_deals[start : start + SETTLED_TOGETHER]
            agreements = await read([market.agreement_of(int(deal.id, 16)) for deal in part])
            bits = await read(
                [
                    market.proven_periods(a.node, a.settled_to, max(min(decided, a.end), a.settled_to))
                    for a in agreements
                ]
            )
            for deal, agreement, proven in zip(part, agreements, bits, strict=True):
                waited = min(decided, agreement.end) - agreement.settled_to
                if agreement.status not in OPEN_STATES or waited <= 0 or not proven:
                    continue
                amount = proven * agreement.rate
                rich = waited >= self.config.chain.settle_periods and amount >= self.config.chain.settle_min_wei
                if now or rich or agreement.end <= decided:
                    due.append(deal.id)
        for start in range(0, len(due), SETTLED_TOGETHER):
            part_ids = due[start : start + SETTLED_TOGETHER]
            await self.deals.record(Step.SETTLING, ids=part_ids)
            receipt = await self.sender.send(market.settle([int(name, 16) for name in part_ids]), "settle")
            amount = sum(event.amount for event in receipt.events_of(Settled))
            self.settled_wei += amount
            await self.deals.record(Step.SETTLED, ids=part_ids, amount=str(amount))
            self.log.info("settled", agreements=len(part_ids), amount_wei=str(amount), gas=receipt.gas_used)

    async def _close(self, decided: int, period: int) -> bool:
        """Close what is over; False when something has to be tried again."""
        market, read = self.watch.market, self.watch.chain.read
        done = True
        for deal in [deal for deal in self.state.deals.values() if deal.opened]:
            if deal.end > period and not (await read(market.ledger_of(self.watch.node))).ended_at:
                continue
            done = await self._close_one(deal, decided) and done
        return done

    async def _close_one(self, deal: Deal, decided: int) -> bool:
        market, read = self.watch.market, self.watch.chain.read
        agreement = await read(market.agreement_of(int(deal.id, 16)))
        if agreement.status not in OPEN_STATES:
            return True  # closed already; the follower hears of it
        if decided < await read(market.end_of(int(deal.id, 16))) or await read(market.is_proving(self.watch.node)):
            return False
        try:
            await self.sender.send(market.close(int(deal.id, 16)), "close")
        except Reverted as error:
            self.log.warning("cannot close yet", agreement=deal.id, reason=error.message)
            return False
        return True
