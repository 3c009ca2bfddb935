"""Paying an object for longer.

An agreement that holds this object alone gets a later end. Where other objects are in it, they are neither extended nor
charged: this object's pieces move to another agreement with the same node, one that ends at the new time or a new one,
and leave the old one. No byte is sent for it: the node has the pieces. What the old lock holds for them comes back when
that agreement closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blackhole.errors import BlackholeError, NodeError, PriceTooHigh, StorageError
from blackhole.storage import deals
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.changes import Draft, Seen
from blackhole.storage.get import ObjectReader
from blackhole.storage.joining import Addition, CannotJoin, Place, places
from blackhole.storage.quotes import ask_one
from blackhole.storage.terms import Change
from blackhole.storage.types import RenewQuote
from blackhole.storage.upkeep import Kept, drop, holding, pieces_of
from blackhole.units import format_tokens

if TYPE_CHECKING:
    from blackhole.chain.bindings.storage_market import Agreement
    from blackhole.chain.values import Receipt
    from blackhole.storage.caps import ReadCap
    from blackhole.storage.core import Clock, StorageCore
    from blackhole.storage.inventory import Held
    from blackhole.storage.quotes import Offered


async def renew_quote(core: StorageCore, cap: ReadCap, periods: int) -> RenewQuote:
    """What `renew` would cost now. Nothing is signed or sent."""
    return (await _planned(core, cap, periods)).quote()


async def renew(core: StorageCore, cap: ReadCap, periods: int, *, max_price: int | None = None) -> Kept:
    """Pay the object for `periods` beyond the agreement of it that ends first, at its nodes' present price.

    Run again after it was interrupted it does what was left undone.
    """
    renewal = await _planned(core, cap, periods)
    if max_price is not None and renewal.price > max_price:
        raise PriceTooHigh(
            f"Renewing costs {format_tokens(renewal.price)} HOLE, the limit is {format_tokens(max_price)} HOLE.",
            data={"price_wei": str(renewal.price), "limit_wei": str(int(max_price))},
        )
    await core.require_funds(renewal.price)
    return await renewal.run()


async def _planned(core: StorageCore, cap: ReadCap, periods: int) -> Renewal:
    reader = await ObjectReader.open(core, cap)
    try:
        roots = await pieces_of(reader)
        held = holding(reader.inventory, roots)
    finally:
        await reader.finish()
    if not held:
        raise StorageError("No live agreement holds this object.", hint="Put it again.")
    renewal = Renewal(core, roots, min(each.agreement.end for each in held) + periods)
    await renewal.plan(held)
    return renewal


@dataclass(frozen=True, slots=True)
class _Extension:
    """An agreement that gets a later end."""

    held: Held
    offer: Offered
    end: int

    def prepaid(self, now: Agreement, period: int) -> int:
        """wei added to its lock: the new periods, and the rest of the old ones if they are dearer now."""
        dearer = max(self.offer.rate - now.rate, 0) * (now.end - period)
        return self.offer.rate * (self.end - now.end) + dearer


@dataclass(frozen=True, slots=True)
class _Move:
    """Pieces that leave an agreement for `place`, or for a new one from `start` on where there is none."""

    held: Held
    offer: Offered
    pieces: PieceList
    place: Place | None
    start: int
    end: int

    @property
    def reserve(self) -> int:
        """wei set aside for replacing them: what one period costs for each ten."""
        return self.offer.rate * -(-(self.end - self.start) // 10)

    @property
    def cost(self) -> int:
        """wei locked for them."""
        return self.offer.rate * (self.end - self.start) + self.reserve


@dataclass(slots=True)
class Renewal:
    """One renewal of one object.

    Attributes:
        roots: of its pieces.
        end: first period no longer paid, afterwards.
        price: wei it locks, once it is planned.
    """

    core: StorageCore
    roots: Collection[bytes]
    end: int
    price: int = 0
    _extensions: list[_Extension] = field(default_factory=list)
    _moves: list[_Move] = field(default_factory=list)
    _superfluous: list[Held] = field(default_factory=list)
    _failed: dict[str, str] = field(default_factory=dict)
    _moved: dict[str, str] = field(default_factory=dict)
    _agreements: list[str] = field(default_factory=list)
    _cost: int = 0
    _receipts: list[Receipt] = field(default_factory=list)

    async def plan(self, held: Sequence[Held]) -> None:
        """Decide what becomes of each agreement, and ask its node what it wants for it."""
        clock, found = await asyncio.gather(
            self.core.clock(),
            places(self.core, {each.node for each in held}, lambda place: place.end == self.end),
        )
        # What an interrupted renewal has moved already.
        safe = {
            (each.node, piece.root)
            for each in held
            if each.agreement.end >= self.end and each.pieces is not None
            for piece in each.pieces.pieces
        }
        ending = [each for each in held if each.agreement.end < self.end]
        await asyncio.gather(*(self._plan_one(each, clock, found.get(each.node), safe) for each in ending))

    async def _plan_one(self, held: Held, clock: Clock, place: Place | None, safe: set[tuple[int, bytes]]) -> None:
        assert held.pieces is not None
        assert held.reached is not None
        listed = held.pieces.pieces
        own = [piece for piece in listed if piece.root in self.roots and (held.node, piece.root) not in safe]
        if not own:
            self._superfluous.append(held)
            return
        pieces = PieceList(tuple(own))
        try:
            offer = await ask_one(self.core, held.reached.info, pieces.leaves, self.end - clock.period)
        except NodeError as error:
            self._failed[hex(held.id)] = error.message
            return
        if len(own) == len(listed):
            extension = _Extension(held, offer, self.end)
            self._extensions.append(extension)
            self.price += extension.prepaid(held.agreement, clock.period)
        else:
            start = place.first if place is not None else deals.start_period(clock)
            move = _Move(held, offer, pieces, place, start, self.end)
            self._moves.append(move)
            self.price += move.cost

    def quote(self) -> RenewQuote:
        """What was planned, without doing it."""
        held = [each.held for each in self._extensions] + [each.held for each in self._moves]
        return RenewQuote(
            agreements=tuple(hex(each.id) for each in held),
            end=self.end,
            total=self.price,
            failed=dict(self._failed),
        )

    async def run(self) -> Kept:
        """Do what was planned."""
        opening = [move for move in self._moves if move.place is None]
        await asyncio.gather(
            self._open(opening),
            *(self._extend(each) for each in self._extensions),
            *(self._join(move, move.place) for move in self._moves if move.place is not None),
            *(self._drop(held) for held in self._superfluous),
        )
        return Kept(
            agreements=tuple(self._agreements),
            terminated=(),
            failed=self._failed,
            end=self.end,
            cost=self._cost,
            transactions=tuple(dict.fromkeys("0x" + receipt.hash.hex() for receipt in self._receipts)),
            moved=self._moved,
        )

    # ---------------------------------------------------------------------------------------------- a later end

    async def _extend(self, each: _Extension) -> None:
        held = each.held
        assert held.reached is not None

        def draft(seen: Seen) -> Draft | None:
            now = seen.agreement
            if any(piece.root not in self.roots for piece in seen.pieces.pieces):
                raise CannotJoin
            if now.end >= self.end:
                return None
            change = Change(
                id=held.id,
                root=bytes(now.root),
                pieces=seen.pieces.digest(),
                leaves=now.leaves,
                rate=each.offer.rate,
                end=self.end,
                prepaid=each.prepaid(now, seen.period),
                nonce=now.nonce,
                last_period=seen.period,
            )
            return Draft(change, quote=(each.offer.row, each.offer.signature))

        try:
            async with self.core.desk.turn(held.id):
                done = await self.core.desk.change(held.reached, held.id, draft)
        except CannotJoin:
            self._failed[hex(held.id)] = "Another object joined this agreement meanwhile. Renew again: this one moves."
        except BlackholeError as error:
            self._failed[hex(held.id)] = error.message
        else:
            self._agreements.append(hex(held.id))
            if done is not None:
                self._cost += done[0].prepaid
                self._receipts.append(done[1])

    # ------------------------------------------------------------------------------------ to another agreement

    async def _join(self, move: _Move, place: Place) -> None:
        assert move.held.reached is not None
        # Nothing is journalled: a renewal that was interrupted sees from the chain how far it came.
        quote = (move.offer.row, move.offer.signature)
        addition = Addition(move.pieces.pieces, move.offer.rate, move.reserve, quote)
        try:
            await self.core.additions.join(move.held.reached, place, addition)
        except CannotJoin:
            self._failed[hex(move.held.id)] = "The agreement it was to join was changed meanwhile. Renew again."
        except BlackholeError as error:
            self._failed[hex(move.held.id)] = error.message
        else:
            if addition.transaction is not None:
                self._receipts.append(addition.transaction)
            await self._arrived(move, place.id)

    async def _open(self, moves: Sequence[_Move]) -> None:
        """New agreements for what moves, in as few transactions as possible."""

        async def agree(at: int, move: _Move) -> deals.Row | None:
            assert move.held.reached is not None
            terms = deals.draft(
                self.core,
                move.held.reached,
                move.pieces,
                rate=move.offer.rate,
                start=move.start,
                end=self.end,
                repair_share=move.reserve,
            )
            quote = (move.offer.row, move.offer.signature)
            try:
                signature = await deals.ask_signature(self.core, move.held.reached, terms, move.pieces, quote)
            except NodeError as error:
                self._failed[hex(move.held.id)] = error.message
                return None
            return deals.Row(at, terms, signature)

        agreed = await asyncio.gather(*(agree(at, move) for at, move in enumerate(moves)))
        result = await deals.open_patiently(self.core, [row for row in agreed if row is not None])
        self._receipts.extend(result.receipts)
        for at, reason in result.skipped.items():
            self._failed[hex(moves[at].held.id)] = f"The chain refused the new agreement: {reason}."
        await asyncio.gather(*(self._arrived(moves[at], identity) for at, identity in result.opened.items()))

    async def _arrived(self, move: _Move, identity: int) -> None:
        """The pieces are in the agreement they moved to: they leave the old one."""
        self._cost += move.cost
        self._moved[hex(move.held.id)] = hex(identity)
        self._agreements.append(hex(identity))
        await self._drop(move.held)

    async def _drop(self, held: Held) -> None:
        try:
            done = await drop(self.core, held, self.roots)
        except BlackholeError as error:
            self._failed[hex(held.id)] = error.message
        else:
            if done is not None:
                self._receipts.append(done[1])
