"""How a put is paid: shards join agreements the account has, or terms are signed and agreements opened on chain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from blackhole.errors import (
    Degraded,
    NodeError,
    NodeRefused,
    NoFreeNodes,
)
from blackhole.storage import deals
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.joining import aligned_end
from blackhole.storage.put_joins import POOR, PutJoins
from blackhole.storage.put_journal import PutStep
from blackhole.storage.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Collection

ROUNDS = 6
"""How often terms are signed anew before a put gives up."""
FUNDS_TRIES = 20
FUNDS_SECONDS = 0.5
"""How often, and how long apart, a node is asked again that does not see the payer's money yet."""
OPEN_TRIES = 40
"""Blocks waited for while nodes are between a draw and their proof."""


class PutDeals(PutJoins):
    """From staged pieces to open agreements, each paid once."""

    async def _agree_and_open(self) -> None:
        """Have every slot's deal signed and opened or joined; slots that cannot be opened go to other nodes."""
        for _ in range(ROUNDS):
            await self._take_stock()
            if await self._replace_gone():
                await self._transfer()
            async with self.core.opening:
                chosen = await self._choose()
                rows = await self._agree(chosen)
                joining = sum(self._join_cost(index, place) for index, place in chosen.items())
                await self.core.require_funds(joining + sum(row.terms.prepaid for row in rows))
                await self._open(rows)
            await self._join(chosen)
            if all(slot.id for slot in self.state.slots):
                return
            await self._transfer()  # to nodes that took a slot over
        opened = len(self.state.open_slots)
        if opened < self.profile.repair_at:
            raise Degraded(
                f"{opened} of {self.profile.n} agreements are open.",
                hint="Run the same command again: it opens the rest.",
                data={"open": opened, "shards": self.profile.n},
            )

    async def _take_stock(self) -> None:
        """What became of all that was signed: it is on chain, or may still come to be, or can be signed anew."""
        await self._void_the_late()
        await self._settle_joins()

    async def _void_the_late(self) -> None:
        """Terms whose start has come and that are not open never will be: forget them, so new ones can be signed."""
        rows = self._rows()
        if not rows:
            return
        opened = await deals.which_are_open(self.core, rows)
        if opened:
            await self._opened(opened, ())
        period = (await self.core.clock()).period
        late = [row.slot for row in rows if row.slot not in opened and row.terms.start <= period]
        if late:
            await self._step(PutStep.VOIDED, slots=late)

    def _rows(self) -> list[deals.Row]:
        """Signed and not known to be open."""
        return [
            deals.Row(index, Terms.from_json(slot.terms), slot.signature)
            for index, slot in enumerate(self.state.slots)
            if slot.terms is not None and not slot.id
        ]

    async def _agree(self, joining: Collection[int]) -> list[deals.Row]:
        """The signed Terms of every unopened slot that is not `joining`; those signed before as they are."""
        clock = await self.core.clock()
        start = deals.start_period(clock)
        # One batch, one span: what was signed before for another start goes with its own dates.
        waiting = [index for index, slot in enumerate(self.state.slots) if not slot.signed and index not in joining]

        async def one(index: int) -> None:
            slot = self.state.slots[index]
            pieces = self._pieces(index)
            terms = deals.draft(
                self.core,
                self._reached(slot.node),
                pieces,
                rate=slot.rate,
                start=start,
                end=aligned_end(start, self.periods, self.align),
                repair_share=self._repair_share(slot.rate),
            )
            signature = await self._signature(index, terms, pieces)
            if signature:
                await self._step(PutStep.AGREED, slot=index, terms=terms.to_json(), signature=signature.hex())

        await asyncio.gather(*(one(index) for index in waiting))
        return self._rows()

    async def _signature(self, index: int, terms: Terms, pieces: PieceList) -> bytes:
        """The node's signature; empty when the slot went to another node or its pieces have to be sent again."""
        slot = self.state.slots[index]
        offered = self._offered[slot.node]
        for attempt in range(FUNDS_TRIES):
            try:
                return await deals.ask_signature(
                    self.core, offered.reached, terms, pieces, (offered.row, offered.signature)
                )
            except NodeRefused as error:
                if error.code == "insufficient_funds" and attempt < FUNDS_TRIES - 1:
                    # The node counts final blocks only; a deposit of a moment ago is not final yet.
                    await asyncio.sleep(FUNDS_SECONDS)
                    continue
                if error.code == "insufficient_funds":
                    raise
                if error.code == "quote_expired" and await self._quoted_again(index):
                    offered = self._offered[slot.node]
                    continue
                if error.code == "not_staged" and slot.staged:
                    await self._step(PutStep.REPLACED, slot=index, node=slot.node, rate_wei=str(slot.rate))
                    return b""
                await self.replace(index, error)
                return b""
            except NodeError as error:
                await self.replace(index, error)
                return b""
        return b""

    async def _open(self, rows: list[deals.Row]) -> None:
        """Send the transactions; wait where a node is between a draw and its proof."""
        for _ in range(OPEN_TRIES if rows else 0):
            ids = [hex(row.id(self.core)) for row in rows]
            await self._step(PutStep.SUBMITTED, ids=ids, prepaid_wei=str(sum(row.terms.prepaid for row in rows)))
            busy: list[deals.Row] = []
            seen = 0
            for batch in deals.batches(rows):
                result = await deals.open_batch(self.core, batch)
                self.gas += sum(receipt.fee for receipt in result.receipts)
                seen = max(receipt.block for receipt in result.receipts)
                await self._opened(result.opened, tuple("0x" + each.hash.hex() for each in result.receipts))
                for row in batch:
                    reason = result.skipped.get(row.slot)
                    if reason in {deals.PROVING, deals.NOT_OPENED}:
                        busy.append(row)
                    elif reason is not None and reason != deals.TOO_LATE:  # too late: voided in the next round
                        await self._give_up(row, reason)
            if not busy:
                return
            period = (await self.core.clock()).period
            rows = [row for row in busy if row.terms.start > period]
            if not rows:
                return  # too late for these: signed anew in the next round
            await deals.wait_for_block(self.core, seen)

    async def _give_up(self, row: deals.Row, reason: str) -> None:
        """The chain does not take this deal: to another node with it."""
        if reason in POOR:
            await self.core.require_funds(row.terms.prepaid)
        await self._step(PutStep.VOIDED, slots=[row.slot])
        await self.replace(row.slot, NoFreeNodes(f"The chain refused the deal with node {row.terms.node}: {reason}."))

    async def _opened(self, opened: dict[int, int], transactions: tuple[str, ...]) -> None:
        if opened:
            pairs = [[slot, hex(identity)] for slot, identity in opened.items()]
            await self._step(PutStep.OPENED, opened=pairs, transactions=list(transactions))
