"""Keeps the journal in step with the chain: deals that opened, changed, lapsed or closed; staging nobody took.

Only final blocks count here, because bytes are deleted by what they say. Every step is journalled before its bytes go,
so a crash between leaves something to tidy, never something missing.
"""

from __future__ import annotations

from blackhole.node.logs import Log
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.deals import OPEN_STATES, Deals
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.staging import Staging
from blackhole.node.storage.state import Deal, StagedPiece, State
from blackhole.node.storage.steps import Step

EMPTY = "00" * 32
"""Content root of an agreement without pieces: it has no list."""

TOGETHER = 100
"""Agreements asked for in one batch of reads."""


class Follower:
    """Moves deals along as final blocks come."""

    def __init__(
        self, watch: ChainWatch, state: State, store: PieceStore, staging: Staging, deals: Deals, log: Log
    ) -> None:
        self.watch = watch
        self.state = state
        self.store = store
        self.staging = staging
        self.deals = deals
        self.log = log
        self._all_seen = -1
        self._dropped = -1

    async def tidy(self) -> None:
        """After a start: undo what was under way when the last run ended, and hold what must be held."""
        held = await self.store.held_agreements()
        for agreement in held:
            if agreement.hex() not in self.state.deals:
                await self._release(agreement)
        for deal in self.state.deals.values():
            # Lists are dropped last: one too many means that what it held was not let go.
            listed = await self.store.list_names(bytes.fromhex(deal.id))
            if bytes.fromhex(deal.id) not in held or listed != deal.roots() - {EMPTY}:
                await self._let_go(deal)
        for root in await self.store.unheld():
            if root.hex() not in self.state.staged:
                await self.store.remove(root)

    async def follow(self) -> None:
        """Look at what may have moved by the newest final block."""
        period = self.watch.final_period
        # All deals once a period: a notice may have moved an end. In between only what is known to be about to move.
        every = period != self._all_seen
        wanted = [
            deal for deal in self.state.deals.values() if every or not deal.opened or deal.changes or deal.end <= period
        ]
        for start in range(0, len(wanted), TOGETHER):
            await self._look(wanted[start : start + TOGETHER])
        self._all_seen = period
        if period != self._dropped:
            async with self.deals.promising:
                await self.staging.drop_stale(period, self.watch.final.timestamp)
            self._dropped = period

    async def _look(self, deals: list[Deal]) -> None:
        # One final block for all that is concluded here: while it is read a newer one may come, of a later period.
        final = self.watch.final
        period = final.timestamp // self.watch.period_seconds
        found = await self.watch.chain.read_many(
            [self.watch.market.agreement_of(int(deal.id, 16)) for deal in deals], at=final.number
        )
        for deal, now in zip(deals, found, strict=True):
            if self.state.deals.get(deal.id) is not deal:
                continue
            if not now.status:
                if period > deal.start:
                    await self._lapsed(deal)
                continue
            if not deal.opened:
                staged = await self._staged(deal)
                await self.deals.record(Step.OPENED, id=deal.id, roots=[piece.root for piece in staged])
                self.staging.unstaged(staged)
                self.log.info("agreement open", agreement=deal.id, leaves=now.leaves, start=now.start, end=now.end)
            if now.nonce != deal.nonce or now.end != deal.end or now.root.hex() != deal.root:
                await self._changed(deal, now.root.hex(), now.leaves, now.rate, now.end, now.nonce)
            for digest, change in list(deal.changes.items()):
                # Not on chain in a final block after the last period it was good for: it never will be.
                if period > change.fields["last_period"]:
                    await self._change_lapsed(deal, digest)
            if now.status not in OPEN_STATES:
                await self._closed(deal)

    async def _lapsed(self, deal: Deal) -> None:
        async with self.deals.promising:
            await self.deals.record(Step.TERMS_LAPSED, id=deal.id)
            await self._release(bytes.fromhex(deal.id))
        self.log.info("terms lapsed", agreement=deal.id)

    async def _changed(self, deal: Deal, root: str, leaves: int, rate: int, end: int, nonce: int) -> None:
        async with self.deals.promising:
            staged = await self._staged(deal, root)
            await self.deals.record(
                Step.CHANGED, id=deal.id, root=root, leaves=leaves, rate=str(rate), end=end, nonce=nonce,
                roots=[piece.root for piece in staged],
            )  # fmt: skip
            self.staging.unstaged(staged)
            await self._let_go(deal)
        self.log.info("agreement changed", agreement=deal.id, leaves=leaves, end=end, nonce=nonce)

    async def _change_lapsed(self, deal: Deal, digest: str) -> None:
        async with self.deals.promising:
            await self.deals.record(Step.CHANGE_LAPSED, id=deal.id, digest=digest)
            await self._let_go(deal)
        self.log.info("change lapsed", agreement=deal.id)

    async def _closed(self, deal: Deal) -> None:
        async with self.deals.promising:
            await self.deals.record(Step.CLOSED, id=deal.id)
            await self._release(bytes.fromhex(deal.id))
        self.log.info("agreement closed", agreement=deal.id)

    async def _staged(self, deal: Deal, root: str | None = None) -> list[StagedPiece]:
        """The pieces of the deal that still stand in staging."""
        if not self.state.staged:
            return []
        listed = await self.store.read_list(bytes.fromhex(deal.id), bytes.fromhex(root or deal.root))
        roots = (piece.root.hex() for piece in listed.pieces)
        return [self.state.staged[name] for name in roots if name in self.state.staged]

    async def _let_go(self, deal: Deal) -> None:
        """Delete what the deal no longer needs."""
        free = await self.deals.hold(deal)
        await self.store.drop_lists(bytes.fromhex(deal.id), [bytes.fromhex(root) for root in deal.roots()])
        await self._remove(free)

    async def _release(self, agreement: bytes) -> None:
        """Delete what an agreement that is no more held alone."""
        free = await self.store.hold(agreement, [])
        await self.store.drop_lists(agreement)
        await self._remove(free)

    async def _remove(self, roots: list[bytes]) -> None:
        for root in roots:
            # What is staged (for another deal) goes when its own time is over.
            if root.hex() not in self.state.staged:
                await self.store.remove(root)
