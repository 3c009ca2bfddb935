"""Reports periods other nodes owed and did not prove, for the bounty; nodes take turns, so that one pays gas."""

from __future__ import annotations

from blackhole.errors import Reverted
from blackhole.node.logs import Log
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.deals import OPEN_STATES
from blackhole.node.storage.prover import Turns
from blackhole.node.storage.sender import Sender
from blackhole.protocol import STORAGE

NODES_TOGETHER = 200
"""Nodes read in one batch."""

PERIODS_BACK = 16
"""Missed periods older than this are left alone: reports go in rising order, and nobody waited for us."""

POSITIONS = 64
"""Positions of a node's sum tree looked through for a deal that was in force."""

SPAN = 15
"""Blocks over which nodes take turns."""


class Reporter:
    """Looks at all nodes whenever another period is decided."""

    def __init__(self, watch: ChainWatch, sender: Sender, log: Log) -> None:
        self.watch = watch
        self.sender = sender
        self.log = log
        self.reported = 0
        self._turns = Turns(watch)
        self._done = (-1, -1)

    async def step(self) -> None:
        """Report what is this node's turn to report."""
        market, read = self.watch.market, self.watch.chain.read_many
        decided = await self.watch.decided()
        if self._done == (decided, self.watch.period):
            return
        periods = range(max(decided - PERIODS_BACK, 0), decided)
        seeds = await read([market.seed_of(p) for p in periods])
        drawn = [p for p, seed in zip(periods, seeds, strict=True) if seed.seed]
        waiting = False
        cursor = 0
        while drawn:
            page = await self.watch.chain.read(self.watch.registry.nodes_of(STORAGE, cursor, NODES_TOGETHER))
            nodes = [node for node in page[0] if node != self.watch.node]
            ledgers = await read([market.ledger_of(node) for node in nodes])
            for node, ledger in zip(nodes, ledgers, strict=True):
                if ledger.count_ and not ledger.ended_at:
                    missing = [p for p in drawn if p >= ledger.missed_to and p > ledger.last_proven]
                    waiting = await self._report(node, missing) or waiting
            cursor = page[1]
            if not cursor or len(page[0]) < NODES_TOGETHER:
                break
        if not waiting:
            self._done = (decided, self.watch.period)

    async def _report(self, node: int, periods: list[int]) -> bool:
        """Report a node's missed periods in rising order; True when another look is needed."""
        for period in periods:
            if not self._turns.passed((f"missed {node}", period), SPAN):
                return True
            agreement = await self._in_force(node, period)
            if agreement is None:
                continue
            try:
                await self.sender.send(self.watch.market.report_missed(node, period, agreement), "report")
            except Reverted as error:
                self.log.debug("not reported", missed_by=node, period=period, reason=error.message)
            else:
                self.reported += 1
                self.log.info("missed proof reported", missed_by=node, period=period)
        return False

    async def _in_force(self, node: int, period: int) -> int | None:
        """A deal of `node` that was in force in `period`, has leaves and is not closed."""
        market, read = self.watch.market, self.watch.chain.read_many
        (ledger,) = await read([market.ledger_of(node)])
        ids = list(await read([market.id_at(node, i) for i in range(min(ledger.positions, POSITIONS))]))
        deals = await read([market.agreement_of(found) for found in ids])
        for found, deal in zip(ids, deals, strict=True):
            in_force = deal.node == node and deal.status in OPEN_STATES and deal.start <= period < deal.end
            if in_force and deal.leaves:
                return found
        return None
