"""Giving up what is no longer wanted, and what removal has in common with renewal (`blackhole.storage.renewal`). Both
are Changes that node and payer sign; see `blackhole.storage.changes`.

An agreement may hold other objects of the account. They stay as they are, whatever becomes of this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blackhole.errors import BlackholeError, NodeError, NotYetChangeable, Reverted, StorageError
from blackhole.storage.changes import Draft, Seen
from blackhole.storage.get import ObjectReader
from blackhole.storage.inventory import from_copies
from blackhole.storage.manifest import SegmentsManifest
from blackhole.storage.terms import Change

if TYPE_CHECKING:
    from blackhole.chain.values import Receipt
    from blackhole.storage.caps import ReadCap
    from blackhole.storage.core import StorageCore
    from blackhole.storage.inventory import Held, Inventory


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a renewal or a removal.

    Attributes:
        agreements: ids (0x-hex) that were changed; after a renewal those the object is in now.
        terminated: ids that were given notice instead: their nodes did not sign.
        failed: id → why nothing could be done.
        end: first period no longer paid, of what was changed.
        cost: wei added to locks. What a moved object no longer needs of its old agreement comes back when that closes.
        transactions: hashes, 0x-hex.
        moved: id → id the object's pieces moved to, because the agreement holds other objects that are not paid longer.
    """

    agreements: tuple[str, ...]
    terminated: tuple[str, ...]
    failed: dict[str, str]
    end: int
    cost: int
    transactions: tuple[str, ...]
    moved: dict[str, str] = field(default_factory=dict)


async def pieces_of(reader: ObjectReader) -> set[bytes]:
    """Roots of all pieces of an object: shards and manifest."""
    manifest = await reader.manifest()
    roots = {reader.cap.piece.root}
    if isinstance(manifest, SegmentsManifest):
        roots |= {part.piece.root for part in manifest.parts}
        roots |= {piece.root for segment in manifest.segments for piece in segment.pieces}
    return roots


def holding(inventory: Inventory, roots: Collection[bytes]) -> list[Held]:
    """The agreements that hold any of these pieces and whose nodes answer."""
    return [held for held in inventory.holding(roots) if held.told]


async def remove(core: StorageCore, cap: ReadCap, *, nodes: Collection[int] | None = None) -> Kept:
    """Give the object's pieces up, all or those on some nodes: their rate ends with the current period, what is not
    used comes back at the close.

    An agreement whose node does not sign is given notice, which ends it a few periods later, with all it holds, unless
    it holds other objects too.
    """
    reader = await ObjectReader.open(core, cap)
    try:
        roots = await pieces_of(reader)
        inventory = await from_copies(core, reader.inventory)
        held = [each for each in holding(inventory, roots) if nodes is None or each.node in nodes]
        silent = [each for each in inventory.held if each.silent and (nodes is None or each.node in nodes)]
    finally:
        await reader.finish()
    changed: list[Change] = []
    receipts: list[Receipt] = []
    failed: dict[str, str] = {}
    listed = await asyncio.to_thread(_listed_agreements, core, cap)
    unsigned: list[Held] = []
    for each in silent:
        mine, alone = _concerns(each, roots, listed)
        if mine and alone:
            unsigned.append(each)
        elif mine:
            failed[hex(each.id)] = f"Node {each.node} is silent, and the agreement holds other objects of yours too."

    async def one(each: Held) -> None:
        try:
            done = await drop(core, each, roots)
            if done is not None:
                changed.append(done[0])
                receipts.append(done[1])
        except (NodeError, StorageError, NotYetChangeable, Reverted) as error:
            failed[hex(each.id)] = error.message
            if _concerns(each, roots, listed)[1]:
                unsigned.append(each)

    await asyncio.gather(*(one(each) for each in held))
    terminated: list[str] = []
    for each in unsigned:
        try:
            receipts.append(await core.chain.send(core.market.terminate(each.id), core.signer))
            terminated.append(hex(each.id))
            failed.pop(hex(each.id), None)
        except BlackholeError as error:
            failed[hex(each.id)] = error.message
    return Kept(
        agreements=tuple(hex(change.id) for change in changed),
        terminated=tuple(terminated),
        failed=failed,
        end=min((change.end for change in changed), default=0),
        cost=0,
        transactions=tuple("0x" + receipt.hash.hex() for receipt in receipts),
    )


def _listed_agreements(core: StorageCore, cap: ReadCap) -> tuple[set[str], set[str]]:
    """Agreements (0x-hex) the own list names for this object, and for others."""
    own: set[str] = set()
    others: set[str] = set()
    for entry in core.objects.entries():
        (own if entry.manifest == str(cap.manifest) else others).update(filter(None, entry.agreements))
    return own, others


def _concerns(held: Held, roots: Collection[bytes], listed: tuple[set[str], set[str]]) -> tuple[bool, bool]:
    """(whether an agreement holds any of the object, whether it holds nothing else): by its list, where that is known,
    else by the own list of objects."""
    if held.pieces is not None:
        ours = [piece.root in roots for piece in held.pieces.pieces]
        return any(ours), all(ours)
    own, others = listed
    return hex(held.id) in own, hex(held.id) not in others


async def drop(core: StorageCore, held: Held, roots: Collection[bytes]) -> tuple[Change, Receipt] | None:
    """Take these pieces out of an agreement; None when none of them is in it. Raises as `ChangeDesk.change`."""
    assert held.reached is not None

    def draft(seen: Seen) -> Draft | None:
        gone = [piece.root for piece in seen.pieces.pieces if piece.root in roots]
        return _without(held.id, seen, gone) if gone else None

    async with core.desk.turn(held.id):
        return await core.desk.change(held.reached, held.id, draft)


def _without(identity: int, seen: Seen, gone: list[bytes]) -> Draft:
    now, kept = seen.agreement, seen.pieces.changed((), gone)
    change = Change(
        id=identity,
        root=kept.root,
        pieces=kept.digest(),
        leaves=kept.leaves,
        # What stays keeps its price, as the node reckons it.
        rate=-(-now.rate * kept.leaves // now.leaves),
        # Emptied, it ends as soon as the market allows: not before it has begun, nor before what is under way is paid.
        end=now.end if kept.pieces else min(now.end, max(seen.period + 2, now.start + 1)),
        prepaid=0,
        nonce=now.nonce,
        last_period=seen.period,
    )
    return Draft(change, removed=gone)
