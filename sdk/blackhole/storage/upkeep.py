"""Keeping agreements: paying longer, and giving up what is no longer wanted. Both are Changes that node and payer sign.

A Change is possible once every earlier period is decided and the node is not between a draw and its proof; until then
it is tried again, and signed again when the periods it was signed for are over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from blackhole.chain.signatures import recover
from blackhole.errors import BlackholeError, NodeError, NodeRefused, PriceTooHigh, Reverted, StorageError
from blackhole.protocol import START_LEAD
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.get import ObjectReader
from blackhole.storage.manifest import SegmentsManifest
from blackhole.storage.quotes import ask_one
from blackhole.storage.terms import Change
from blackhole.units import format_tokens

if TYPE_CHECKING:
    from blackhole.chain.values import Receipt
    from blackhole.storage.caps import ReadCap
    from blackhole.storage.core import StorageCore
    from blackhole.storage.inventory import Held, Inventory

WAIT_SECONDS = 180.0
"""How long a Change that is not possible yet is tried again."""
LATER = {"NodeIsProving", "PeriodUndecided"}
"""Reasons of the market that pass by themselves."""
TOO_LATE = {"ChangeExpired", "EndOutOfRange"}
"""Reasons that a Change signed for later periods does not have."""
EMPTIED = 2
"""Periods from now in which an agreement that gives up all its pieces ends."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a renewal or a removal.

    Attributes:
        agreements: ids (0x-hex) that were changed.
        terminated: ids that were given notice instead: their nodes did not sign.
        failed: id → why nothing could be done.
        end: first period no longer paid, of what was changed.
        cost: wei added to locks.
        transactions: hashes, 0x-hex.
    """

    agreements: tuple[str, ...]
    terminated: tuple[str, ...]
    failed: dict[str, str]
    end: int
    cost: int
    transactions: tuple[str, ...]


async def pieces_of(reader: ObjectReader) -> set[bytes]:
    """Roots of all pieces of an object: shards and manifest."""
    manifest = await reader.manifest()
    roots = {reader.cap.piece.root}
    if isinstance(manifest, SegmentsManifest):
        roots |= {part.piece.root for part in manifest.parts}
        roots |= {piece.root for segment in manifest.segments for piece in segment.pieces}
    return roots


def holding(inventory: Inventory, roots: Collection[bytes]) -> list[Held]:
    """The agreements that hold any of these pieces."""
    return [
        held
        for held in inventory.held
        if held.pieces is not None and any(piece.root in roots for piece in held.pieces.pieces)
    ]


async def renew(core: StorageCore, cap: ReadCap, periods: int, *, max_price: int | None = None) -> Kept:
    """Pay every agreement of the object for `periods` more, at its node's present price.

    Other objects in the same agreements are paid longer with it.
    """
    reader = await ObjectReader.open(core, cap)
    try:
        held = holding(reader.inventory, await pieces_of(reader))
    finally:
        await reader.finish()
    if not held:
        raise StorageError("No live agreement holds this object.", hint="Put it again.")
    plans: list[tuple[Held, Change, Any]] = []
    failed: dict[str, str] = {}
    for each in held:
        now, pieces = each.agreement, each.pieces
        assert pieces is not None
        assert each.reached is not None
        try:
            offer = await ask_one(core, each.reached.info, now.leaves, now.end + periods - reader.inventory.period)
        except NodeError as error:
            failed[hex(each.id)] = error.message
            continue
        dearer = max(offer.rate - now.rate, 0) * (now.end - reader.inventory.period)
        change = Change(
            id=each.id,
            root=bytes(now.root),
            pieces=pieces.digest(),
            leaves=now.leaves,
            rate=offer.rate,
            end=now.end + periods,
            prepaid=offer.rate * periods + dearer,
            nonce=now.nonce,
            last_period=reader.inventory.period + START_LEAD,
        )
        plans.append((each, change, {"quote": dict(offer.row), "signature": offer.signature}))
    price = sum(change.prepaid for _, change, _ in plans)
    if max_price is not None and price > max_price:
        raise PriceTooHigh(
            f"Renewing costs {format_tokens(price)} HOLE, the limit is {format_tokens(max_price)} HOLE.",
            data={"price_wei": str(price), "limit_wei": str(int(max_price))},
        )
    await core.require_funds(price)
    return await _apply(core, [(each, change, (), quote) for each, change, quote in plans], failed)


async def remove(core: StorageCore, cap: ReadCap, *, nodes: Collection[int] | None = None) -> Kept:
    """Give the object's pieces up, all or those on some nodes: their rate ends with the current period, what is not
    used comes back at the close.

    An agreement whose node does not sign is given notice, which ends it a few periods later, with all it holds, unless
    it holds other objects too.
    """
    reader = await ObjectReader.open(core, cap)
    try:
        roots = await pieces_of(reader)
        held = [each for each in holding(reader.inventory, roots) if nodes is None or each.node in nodes]
        silent = [
            each for each in reader.inventory.held if each.pieces is None and (nodes is None or each.node in nodes)
        ]
    finally:
        await reader.finish()
    plans: list[tuple[Held, Change, Sequence[bytes], Any]] = []
    for each in held:
        pieces = each.pieces
        assert pieces is not None
        gone = [piece.root for piece in pieces.pieces if piece.root in roots]
        kept = pieces.changed((), gone)
        plans.append((each, _without(each, kept, reader.inventory.period), gone, None))
    known = {int(identity, 16) for identity in _own_agreements(core, cap)}
    return await _apply(core, plans, {}, notice=[each for each in silent if each.id in known])


def _own_agreements(core: StorageCore, cap: ReadCap) -> list[str]:
    entry = core.objects.find(str(cap.manifest))
    return [identity for identity in entry.agreements if identity] if entry is not None else []


def _without(held: Held, kept: PieceList, period: int) -> Change:
    now = held.agreement
    return Change(
        id=held.id,
        root=kept.tree().root if kept.pieces else bytes(32),
        pieces=kept.digest(),
        leaves=kept.leaves,
        # What stays keeps its price, as the node reckons it.
        rate=-(-now.rate * kept.leaves // now.leaves) if kept.leaves else 0,
        end=now.end if kept.pieces else min(now.end, period + EMPTIED),
        prepaid=0,
        nonce=now.nonce,
        last_period=period + START_LEAD,
    )


async def _apply(
    core: StorageCore,
    plans: Sequence[tuple[Held, Change, Sequence[bytes], Any]],
    failed: dict[str, str],
    *,
    notice: Sequence[Held] = (),
) -> Kept:
    """Have the nodes sign, then send each Change as soon as the market takes it."""
    changed: list[tuple[Held, Change]] = []
    unsigned: list[Held] = list(notice)
    receipts: list[Receipt] = []

    async def one(held: Held, change: Change, removed: Sequence[bytes], quote: Any) -> None:
        try:
            receipt, applied = await _change(core, held, change, removed, quote)
            receipts.append(receipt)
            changed.append((held, applied))
        except (NodeError, Reverted) as error:
            failed[hex(held.id)] = error.message
            if removed:
                unsigned.append(held)

    await asyncio.gather(*(one(*plan) for plan in plans))
    terminated: list[str] = []
    for held in unsigned:
        try:
            receipts.append(await core.chain.send(core.market.terminate(held.id), core.signer))
            terminated.append(hex(held.id))
            failed.pop(hex(held.id), None)
        except BlackholeError as error:
            failed[hex(held.id)] = error.message
    return Kept(
        agreements=tuple(hex(held.id) for held, _ in changed),
        terminated=tuple(terminated),
        failed=failed,
        end=min((change.end for _, change in changed), default=0),
        cost=sum(change.prepaid for _, change in changed),
        transactions=tuple("0x" + receipt.hash.hex() for receipt in receipts),
    )


async def _change(
    core: StorageCore, held: Held, change: Change, removed: Sequence[bytes], quote: Any
) -> tuple[Receipt, Change]:
    """One Change: signed by both and sent, anew when its time runs out before the market takes it; as it was taken."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return await _signed_and_sent(core, held, change, removed, quote, until), change
        except Reverted as error:
            if type(error.decoded).__name__ not in TOO_LATE or time.monotonic() > until:
                raise
        period = (await core.clock()).period
        end = change.end if change.leaves else max(change.end, period + EMPTIED)
        change = replace(change, end=end, last_period=period + START_LEAD)


async def _signed_and_sent(
    core: StorageCore, held: Held, change: Change, removed: Sequence[bytes], quote: Any, until: float
) -> Receipt:
    """The node's signature, ours, and the transaction when its time has come."""
    assert held.reached is not None
    body: dict[str, Any] = {"change": change.to_json(), "added": [], "removed": [root.hex() for root in removed]}
    if quote is not None:
        body["quote"] = quote
    answer = await held.reached.client.post_json(f"/v1/agreements/{held.id:064x}/changes", body)
    digest = change.digest(core.domain)
    try:
        signature = bytes.fromhex(str(answer["signature"]).removeprefix("0x"))
    except (KeyError, TypeError, ValueError) as error:
        raise NodeRefused(f"Node {held.node} answers without a signature.", status=200) from error
    if recover(digest, signature) != held.reached.info.signer:
        raise NodeRefused(f"Node {held.node} signed with a key that is not its registered one.", status=200)
    from blackhole.chain.bindings.storage_market import Change as Struct

    transaction = core.market.change(Struct(*change.values()), core.signer.sign_digest(digest), signature)
    while True:
        try:
            return await core.chain.send(transaction, core.signer)
        except Reverted as error:
            if type(error.decoded).__name__ not in LATER or time.monotonic() > until:
                raise
        await asyncio.sleep(0.5)
