"""Shards of a put that join agreements its account has: chosen, journalled before they are sent, each paid once."""

from __future__ import annotations

import asyncio
import time

from blackhole.errors import IntegrityError, NodeError, NodeRefused, NotYetChangeable, Reverted
from blackhole.storage.changes import WAIT_SECONDS, Fate
from blackhole.storage.joining import Addition, CannotJoin, Place, lasting, places
from blackhole.storage.put_journal import Join, PutStep
from blackhole.storage.put_places import PutPlaces
from blackhole.storage.quotes import ask_one
from blackhole.storage.terms import Change

POOR = frozenset({"InsufficientBalance", "InsufficientAllowance"})
"""How the bank says that the payer's money does not suffice."""


class PutJoins(PutPlaces):
    """From staged pieces to pieces in agreements that were there before."""

    async def _choose(self) -> dict[int, Place]:
        """Slot → the agreement it joins, of the slots nothing is signed for."""
        waiting = {
            slot.node: index
            for index, slot in enumerate(self.state.slots)
            if not slot.signed and slot.node not in self._apart
        }
        found = await places(self.core, waiting.keys(), lasting(self.periods, self.align))
        return {waiting[node]: place for node, place in found.items()}

    def _join_cost(self, index: int, place: Place) -> int:
        """wei the slot adds to the lock."""
        rate = self.state.slots[index].rate
        return rate * place.periods + self._repair_share(rate)

    async def _join(self, chosen: dict[int, Place]) -> None:
        """Bring every slot's pieces into its agreement. What could not join stays without an id: see the next round."""
        failed = await asyncio.gather(
            *(self._join_one(index, place) for index, place in chosen.items()), return_exceptions=True
        )
        for each in failed:
            if each is not None:
                raise each

    async def _join_one(self, index: int, place: Place) -> None:
        slot = self.state.slots[index]
        offered = self._offered[slot.node]

        async def signed(change: Change, signature: bytes, cost: int) -> None:
            await self._step(
                PutStep.JOINING,
                slot=index,
                change=change.to_json(),
                signature=signature.hex(),
                prepaid_wei=str(cost),
            )

        addition = Addition(
            pieces=self._pieces(index).pieces,
            rate=slot.rate,
            reserve=self._repair_share(slot.rate),
            quote=(offered.row, offered.signature),
            signed=signed,
        )
        try:
            await self.core.additions.join(offered.reached, place, addition)
        except CannotJoin:
            return
        except NotYetChangeable:
            self._apart.add(slot.node)
        except NodeRefused as error:
            await self._not_signed(index, error)
        except (NodeError, IntegrityError) as error:
            if not slot.joins:
                await self.replace(index, error)
        except Reverted as error:
            if type(error.decoded).__name__ in POOR:
                await self.core.require_funds(addition.cost(place))
            self._apart.add(slot.node)
        else:
            transactions = []
            if (receipt := addition.transaction) is not None:
                transactions.append("0x" + receipt.hash.hex())
                if addition.paid:
                    self.gas += receipt.fee
            cost = slot.joins[-1].prepaid if slot.joins else addition.cost(place)
            await self._joined(index, place.id, place.end, cost, transactions)

    async def _not_signed(self, index: int, error: NodeRefused) -> None:
        slot = self.state.slots[index]
        if slot.joins:
            return  # an earlier Change may have happened: the next round looks
        if error.code == "insufficient_funds":
            raise error
        if error.code == "not_staged" and slot.staged:
            await self._step(PutStep.REPLACED, slot=index, node=slot.node, rate_wei=str(slot.rate))
        elif error.code != "quote_expired" or not await self._quoted_again(index):
            await self.replace(index, error)

    async def _quoted_again(self, index: int) -> bool:
        """Ask the slot's node for a fresh quote; whether it asks no more than before."""
        slot = self.state.slots[index]
        info = self._offered[slot.node].reached.info
        try:
            fresh = await ask_one(self.core, info, self._leaves, self._periods_at_most)
        except NodeError:
            return False
        if fresh.rate <= slot.rate:
            self._offered[slot.node] = fresh
        return fresh.rate <= slot.rate

    async def _joined(self, index: int, identity: int, end: int, cost: int, transactions: list[str]) -> None:
        await self._step(
            PutStep.JOINED, slot=index, id=hex(identity), end=end, cost_wei=str(cost), transactions=transactions
        )

    # ----------------------------------------------------------------------------------- what was signed before

    async def _settle_joins(self) -> None:
        """What became of Changes signed earlier: sent again as long as they may happen, forgotten once they cannot."""
        signed = [index for index, slot in enumerate(self.state.slots) if slot.joins and not slot.id]
        await asyncio.gather(*(self._settle(index) for index in signed))

    async def _settle(self, index: int) -> None:
        slot = self.state.slots[index]
        for join in reversed(slot.joins):
            change = Change.from_json(join.change)
            if await self._fate(change, join) is Fate.DONE:
                await self._joined(index, change.id, change.end, join.prepaid, [])
                return
        await self._step(PutStep.VOIDED, slots=[index])

    async def _fate(self, change: Change, join: Join) -> Fate:
        desk = self.core.desk
        async with desk.turn(change.id):
            fate = await desk.fate(change)
            if fate is Fate.WAITING:
                receipt = await desk.submit(change, join.signature, time.monotonic() + WAIT_SECONDS)
                self.gas += receipt.fee if receipt is not None else 0
                fate = await desk.fate(change)
        return fate
