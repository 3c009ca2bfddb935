"""Further pieces for agreements an account has: which of them can take more, and one Change for all that wait.

An agreement is joined when the new pieces are then paid for exactly as long as was asked: its end is where an agreement
made now would end. Nothing is paid longer because of it, neither what comes nor what is there.
docs/adr/joining-agreements.md says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blackhole.errors import BlackholeError, NodeRefused
from blackhole.storage.agreement_tree import Piece
from blackhole.storage.changes import ChangeDesk, Draft, Seen
from blackhole.storage.inventory import agreements_of
from blackhole.storage.terms import Change

if TYPE_CHECKING:
    from blackhole.chain.bindings.storage_market import Agreement
    from blackhole.chain.values import Receipt
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached

OPEN = 1
"""Status Open of IStorageMarket. An agreement that was given notice takes nothing new."""


class CannotJoin(Exception):
    """The agreement is not what it was when it was chosen: choose again. Nothing was signed."""


@dataclass(frozen=True, slots=True)
class Place:
    """An agreement that can take more.

    Attributes:
        id: on chain.
        first: first period that new pieces are paid for.
        end: first period no longer paid.
    """

    id: int
    first: int
    end: int

    @property
    def periods(self) -> int:
        return self.end - self.first


@dataclass(eq=False, slots=True)
class Addition:
    """Pieces that wait to join.

    Attributes:
        pieces: already in the node's staging, or held by it for another agreement of the account.
        rate: wei a period for all of them.
        reserve: wei set aside for replacing them.
        quote: the node's quote and signature for them, as it sent them.
        signed: journals the Change, the node's signature and what of its prepaid is this addition's, before it is sent.
        joined: whether they are in the agreement.
        transaction: the one that brought them in, if it was sent here.
        paid: whether its gas counts here: it does for one of those it brought in.
        unrecorded: whether its journal could not be written: then nobody takes it along.
    """

    pieces: tuple[Piece, ...]
    rate: int
    reserve: int
    quote: tuple[Mapping[str, Any], str] | None
    signed: Callable[[Change, bytes, int], Awaitable[None]] | None = None
    joined: bool = False
    transaction: Receipt | None = None
    paid: bool = False
    unrecorded: bool = False

    def cost(self, place: Place) -> int:
        """wei it adds to the lock."""
        return self.rate * place.periods + self.reserve


def aligned_end(first: int, periods: int, align: int) -> int:
    """The end of a deal of `periods` from `first` on, moved up to the next multiple of `align`."""
    return -(-(first + periods) // align) * align


def first_paid(agreement: Agreement, period: int) -> int:
    """The first period for which a Change made in `period` counts."""
    return max(period + 1, agreement.start)


def lasting(periods: int, align: int) -> Callable[[Place], bool]:
    """Whether an agreement ends where one made now for so many periods would."""
    return lambda place: place.end == aligned_end(place.first, periods, align)


async def places(core: StorageCore, nodes: Collection[int], fits: Callable[[Place], bool]) -> dict[int, Place]:
    """Node → the account's agreement there that fits; of several the oldest. Raises ChainError."""
    found: dict[int, Place] = {}
    if not nodes:
        return found
    ids = await agreements_of(core, core.account)
    clock, agreements = await asyncio.gather(
        core.clock(), core.chain.read_many([core.market.agreement_of(identity) for identity in ids])
    )
    for identity, agreement in zip(ids, agreements, strict=True):
        if agreement.node in nodes and agreement.status == OPEN and agreement.leaves:
            place = Place(identity, first_paid(agreement, clock.period), agreement.end)
            if place.first < place.end and fits(place):
                found.setdefault(agreement.node, place)
    return found


class Additions:
    """Additions on their way. Whoever has an agreement's turn takes all along that wait for it: puts that run side by
    side share a Change."""

    def __init__(self, desk: ChangeDesk) -> None:
        self._desk = desk
        self._lines: dict[int, list[Addition]] = {}

    async def join(self, reached: Reached, place: Place, addition: Addition) -> None:
        """Bring the pieces into the agreement; on return `addition.joined` holds.

        Raises:
            CannotJoin: it was closed, given notice or changed in its end meanwhile. Nothing is signed.
            NotYetChangeable: its node has to prove first, and takes too long. Nothing is signed.
            NodeError: the node does not sign. Reverted: the market refuses what was signed.
        """
        line = self._lines.setdefault(place.id, [])
        line.append(addition)
        try:
            async with self._desk.turn(place.id):
                if not addition.joined:
                    await self._lead(reached, place, line, addition)
        finally:
            line.remove(addition)
            if not line:
                del self._lines[place.id]

    async def _lead(self, reached: Reached, place: Place, line: list[Addition], own: Addition) -> None:
        try:
            await self._bring(reached, place, own, lambda: list(line))
        except NodeRefused:
            # For all together the node has no room, or its price is another now: each on its own quote.
            if own.joined or len(line) == 1:
                raise
            await self._bring(reached, place, own, lambda: [own])

    async def _bring(
        self, reached: Reached, place: Place, own: Addition, waiting: Callable[[], list[Addition]]
    ) -> None:
        batch: list[Addition] = []

        def draft(seen: Seen) -> Draft | None:
            nonlocal batch
            here = {piece.root for piece in seen.pieces.pieces}
            for each in waiting():
                # Perhaps by a Change that was on its way when an earlier run ended.
                each.joined = each.joined or all(piece.root in here for piece in each.pieces)
            if own.joined:
                return None
            now = seen.agreement
            if now.status != OPEN or not now.leaves or place != Place(place.id, first_paid(now, seen.period), now.end):
                raise CannotJoin
            batch = [each for each in waiting() if not each.joined and (each is own or not each.unrecorded)]
            return _draft(place, seen, own, batch)

        done = await self._desk.change(reached, place.id, draft)
        if done is not None:
            own.paid = True
            for each in batch:
                each.joined, each.transaction = True, done[1]


def _draft(place: Place, seen: Seen, own: Addition, batch: list[Addition]) -> Draft:
    """A Change that brings the batch in, as `own` and the others that wait beside it."""
    now = seen.agreement
    added = [piece for each in batch for piece in each.pieces]
    listed = seen.pieces.changed(added)
    change = Change(
        id=place.id,
        root=listed.root,
        pieces=listed.digest(),
        leaves=listed.leaves,
        rate=now.rate + sum(each.rate for each in batch),
        end=now.end,
        prepaid=sum(each.cost(place) for each in batch),
        nonce=now.nonce,
        last_period=seen.period,
    )

    async def journal(each: Addition, signature: bytes) -> None:
        if each.signed is None:
            return
        try:
            await each.signed(change, signature, each.cost(place))
        except BlackholeError:
            # Its put was stopped meanwhile, or has no room left: once more without it.
            each.unrecorded = True
            if each is own:
                raise

    async def signed(_: Change, signature: bytes) -> bool:
        await asyncio.gather(*(journal(each, signature) for each in batch))
        return not any(each.unrecorded for each in batch)

    return Draft(change, added, quote=batch[0].quote if len(batch) == 1 else None, signed=signed)
