"""Changes of agreements: drafted from what the chain has, signed by node and payer, sent when the market takes them.

An agreement's nonce lets one of all Changes signed for it happen. So whoever loses a race has lost nothing: it looks
again and drafts anew. In one process an agreement's Changes take turns (`ChangeDesk`); between processes and machines
the nonce decides.

A Change is possible once every earlier period is decided and the node is not between a draw and its proof. Before,
nothing is signed; then it is signed for the current period alone, so that what is not taken can soon be signed anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from blackhole.chain.signatures import recover
from blackhole.errors import NodeRefused, NotYetChangeable, Reverted, TransactionReplaced
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.inventory import LIVE, listed_pieces
from blackhole.storage.terms import Change

if TYPE_CHECKING:
    from blackhole.chain.bindings.storage_market import Agreement
    from blackhole.chain.values import Receipt
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached

WAIT_SECONDS = 180.0
"""How long a Change that is not possible yet is tried again."""
FUNDS_SECONDS = 10.0
"""How long a node is asked again that does not see the payer's money yet: it counts final blocks only."""
PAUSE_SECONDS = 0.5
LATER = frozenset({"NodeIsProving", "PeriodUndecided"})
"""Reasons of the market that pass by themselves."""
MISSED = frozenset({"NonceMismatch", "ChangeExpired"})
"""How the market refuses a Change that can happen no more: another one with its nonce came first, or its last period is
over."""
STALE = frozenset({"nonce", "wrong_pieces", "wrong_root", "last_period"})
"""How a node refuses a Change that was drafted from what is no longer the newest."""


class Fate(Enum):
    """What became of a signed Change."""

    WAITING = "waiting"
    """It may still happen."""
    DONE = "done"
    """It is on chain."""
    OVER = "over"
    """It did not happen and never will."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An agreement as it is now.

    Attributes:
        agreement: the chain's.
        pieces: its node's list, checked against the chain's root.
        period: the current one.
    """

    agreement: Agreement
    pieces: PieceList
    period: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A Change to be signed.

    Attributes:
        change: the struct.
        added, removed: how its list follows from the present one.
        quote: the node's quote and signature as it sent them; None: its present price.
        signed: called with the node's signature before anything is sent, to journal it; False: draft anew.
    """

    change: Change
    added: Sequence[Piece] = ()
    removed: Sequence[bytes] = ()
    quote: tuple[Mapping[str, Any], str] | None = None
    signed: Callable[[Change, bytes], Awaitable[bool]] | None = None


class ChangeDesk:
    """Changes agreements of one account, one Change an agreement at a time."""

    def __init__(self, core: StorageCore) -> None:
        self._core = core
        self._turns: dict[int, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, identity: int) -> AsyncIterator[None]:
        """No other Change of this agreement is made here meanwhile."""
        lock, users = self._turns.get(identity, (asyncio.Lock(), 0))
        self._turns[identity] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns.pop(identity)
            if users > 1:
                self._turns[identity] = (lock, users - 1)

    async def change(
        self, reached: Reached, identity: int, draft: Callable[[Seen], Draft | None]
    ) -> tuple[Change, Receipt] | None:
        """Change an agreement. Call it within its `turn`.

        `draft` is called again with what is there whenever another Change came first; None ends it: nothing is to do.

        Raises:
            NotYetChangeable: an earlier period is undecided, or the node proving, for too long. Nothing is signed.
            NodeError: the node does not answer or does not sign.
            Reverted: the market refuses the Change.
        """
        until = time.monotonic() + WAIT_SECONDS
        funds_until = time.monotonic() + FUNDS_SECONDS
        while True:
            seen = await self.look(reached, identity)
            made = draft(seen)
            if made is None:
                return None
            if not await self._possible(seen):
                if time.monotonic() > until:
                    raise NotYetChangeable(
                        f"Node {seen.agreement.node} has not proven the last period yet: agreement {identity:#x} takes"
                        " no change before."
                    )
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            try:
                signature = await self._ask_signature(reached, made)
            except NodeRefused as error:
                stale = error.code in STALE and time.monotonic() < until
                poor = error.code == "insufficient_funds" and time.monotonic() < funds_until
                if not (stale or poor):
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if made.signed is not None and not await made.signed(made.change, signature):
                continue
            if (receipt := await self.submit(made.change, signature, until)) is not None:
                return made.change, receipt

    async def look(self, reached: Reached, identity: int) -> Seen:
        """The agreement now. Raises NodeError, IntegrityError when its node does not tell what it holds."""
        now, clock = await asyncio.gather(
            self._core.chain.read(self._core.market.agreement_of(identity)), self._core.clock()
        )
        return Seen(now, await listed_pieces(reached, identity, now), clock.period)

    async def submit(self, change: Change, signature: bytes, until: float) -> Receipt | None:
        """Send a signed Change as soon as the market takes it; None when it is on chain already, or can happen no more.

        Raises Reverted for any other reason.
        """
        from blackhole.chain.bindings.storage_market import Change as Struct

        core = self._core
        digest = change.digest(core.domain)
        transaction = core.market.change(Struct(*change.values()), core.signer.sign_digest(digest), signature)
        while True:
            try:
                return await core.chain.send(transaction, core.signer)
            except TransactionReplaced:
                pass  # another process with this key took the transaction's nonce
            except Reverted as error:
                reason = type(error.decoded).__name__
                if reason in MISSED:
                    return None
                if reason not in LATER or time.monotonic() > until:
                    raise
            if await self.fate(change) is not Fate.WAITING:
                return None
            await asyncio.sleep(PAUSE_SECONDS)

    async def fate(self, change: Change) -> Fate:
        """What became of a signed Change, by the newest block."""
        from blackhole.chain.bindings.storage_market import Changed
        from blackhole.chain.events import decode_log

        core = self._core
        now, clock = await asyncio.gather(core.chain.read(core.market.agreement_of(change.id)), core.clock())
        if now.nonce == change.nonce:
            ended = (await core.chain.read(core.market.ledger_of(now.node))).ended_at
            possible = now.status in LIVE and not ended and clock.period <= min(change.last_period, now.end - 1)
            return Fate.WAITING if possible else Fate.OVER
        last = (await core.chain.block("latest")).number
        topics = [Changed.TOPIC, change.id.to_bytes(32, "big")]
        logs = await core.chain.logs(core.market.address, topics, core.connection.network.block, last)
        events = [event for event in map(decode_log, logs) if isinstance(event, Changed)]
        return Fate.DONE if any(tuple(event.change) == change.values() for event in events) else Fate.OVER

    async def _possible(self, seen: Seen) -> bool:
        """Whether the market would take a Change now: all earlier periods decided, no proof outstanding."""
        market, now = self._core.market, seen.agreement
        undecided, proving = await asyncio.gather(
            self._core.chain.read(market.first_undecided()), self._core.chain.read(market.is_proving(now.node))
        )
        first = max(undecided, now.settled_to)
        if proving or first >= seen.period:
            return not proving
        bits = await self._core.chain.read_many([market.bit_of(now.node, p) for p in range(first, seen.period)])
        return all(bits)

    async def _ask_signature(self, reached: Reached, made: Draft) -> bytes:
        """The node's signature. Raises NodeRefused with its reason, or because the signature is not its own."""
        node, change = reached.info.id, made.change
        body: dict[str, Any] = {
            "change": change.to_json(),
            "added": [[piece.root.hex(), piece.leaves] for piece in made.added],
            "removed": [root.hex() for root in made.removed],
        }
        if made.quote is not None:
            body["quote"] = {"quote": made.quote[0], "signature": made.quote[1]}
        answer = await reached.client.post_json(f"/v1/agreements/{change.id:064x}/changes", body)
        try:
            signature = bytes.fromhex(str(answer["signature"]).removeprefix("0x"))
        except (KeyError, TypeError, ValueError) as error:
            raise NodeRefused(f"Node {node} answers without a signature.", status=200) from error
        if recover(change.digest(self._core.domain), signature) != reached.info.signer:
            raise NodeRefused(f"Node {node} signed with a key that is not its registered one.", status=200)
        return signature
