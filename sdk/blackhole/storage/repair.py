"""Restoring lost shards: rebuilt from any k others, byte by byte what they were, and placed on new nodes.

The owner repairs with the own key: a new agreement for each lost slot. A repairer needs neither the owner's key nor the
content key: a `RepairOrder` (a repair-cap and the owner's signed policy) lets it rebuild shards, and the market opens
their agreements from the lost locks and the policy's budget; after one proven period it is paid from the failed
node's fund.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from blackhole.errors import (
    BlackholeError,
    InputError,
    IntegrityError,
    NodeError,
    NodeRefused,
    NotYetChangeable,
    PriceTooHigh,
    Reverted,
)
from blackhole.protocol import BLOCK, LEAF
from blackhole.storage import deals, quotes
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.blocks import block_digest
from blackhole.storage.caps import ReadCap, RepairCap, repair_cap
from blackhole.storage.get import ObjectReader, price_of
from blackhole.storage.inventory import from_copies, infer
from blackhole.storage.joining import Addition, CannotJoin, Place, places
from blackhole.storage.manifest import SegmentsManifest
from blackhole.storage.masking import ShardMasks
from blackhole.storage.repair_files import RepairFolder, ShardFiles, sweep
from blackhole.storage.repair_order import Repaired, RepairOrder, Replacement
from blackhole.storage.segment_read import ShardRebuilder
from blackhole.storage.status import examine, lists_of, roots_of
from blackhole.storage.sum_tree import encode_path
from blackhole.storage.terms import Terms, Upload
from blackhole.storage.types import RepairQuote
from blackhole.units import format_tokens

if TYPE_CHECKING:
    from blackhole.storage.core import StorageCore
    from blackhole.storage.inventory import Held
    from blackhole.storage.quotes import Offered
    from blackhole.storage.types import ObjectStatus

PERMIT_SECONDS = 86_400
PART = 256 * 2**10
OPEN_TRIES = 60
"""How often, half a second apart, an agreement is tried while its new node is proving."""
TERMS_TRIES = 3
"""How often Terms are signed anew because their first period came before they were open."""
NOT_STAGED = "not_staged"
"""A node's word that it has let go of pieces no deal took in time."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where lost shards go: by slot the pieces it lost and the node that offers to take them.

    Attributes:
        end: first period the new agreements do not cover.
        periods: how many they do.
    """

    pieces: Mapping[int, list[Piece]]
    chosen: Mapping[int, Offered]
    end: int
    periods: int

    @property
    def price(self) -> int:
        """wei the new agreements lock."""
        return sum(offered.rate for offered in self.chosen.values()) * self.periods


class Repair:
    """One repair of one object."""

    def __init__(
        self,
        core: StorageCore,
        cap: RepairCap,
        order: RepairOrder | None,
        *,
        max_price: int | None = None,
        silent: bool = False,
    ) -> None:
        self.core = core
        self.cap = cap
        self.order = order
        self.max_price = max_price
        self._lost = {"missing", "suspect", "unconfirmed"} if silent else {"missing", "suspect"}
        self.failed: dict[str, str] = {}
        self.cost = 0

    @property
    def payer(self) -> str:
        return self.cap.payer_address

    async def _look(self) -> tuple[ObjectStatus, list[tuple[int, int]]]:
        """How the object is, and (segment, shard) of what is lost."""
        before = await examine(self.core, self.cap)
        return before, [(row.segment, row.shard) for row in before.rows if row.segment >= 0 and row.state in self._lost]

    async def _open(self, reader: ObjectReader) -> SegmentsManifest:
        manifest = await reader.manifest()
        if not isinstance(manifest, SegmentsManifest):
            raise IntegrityError("Only objects in segments have shards to repair.")
        known = infer(reader.inventory, lists_of(self.cap.piece, manifest))
        reader.inventory = await from_copies(self.core, known)
        return manifest

    async def quote(self) -> RepairQuote:
        """What `run` would restore now, and what it would cost. Nothing is read, signed or sent."""
        before, lost = await self._look()
        if not lost:
            return RepairQuote(())
        reader = await ObjectReader.open(self.core, self.cap)
        try:
            manifest = await self._open(reader)
            places = await self._plan(reader, manifest, before, lost)
            segments = [manifest.segments[at] for at in sorted({segment for segment, _ in lost})]
            return RepairQuote(
                lost=tuple(lost),
                nodes=tuple(sorted(offered.node for offered in places.chosen.values())),
                total=places.price,
                read_micro=price_of(reader.needs(segments)),
            )
        finally:
            await reader.finish()

    async def run(self) -> Repaired:
        """Find what is lost, rebuild it, place it, open its agreements."""
        # A deal an interrupted repair has paid is found on chain, not paid again.
        await self.core.chain.recover(self.core.signer)
        await asyncio.to_thread(sweep, self.core.folder("spool"))
        before, lost = await self._look()
        if not lost:
            return Repaired(before, ())
        reader = await ObjectReader.open(self.core, self.cap)
        try:
            with RepairFolder(self.core.folder("spool")) as folder:
                manifest = await self._open(reader)
                files = await self._rebuild(reader, manifest, lost, folder)
                restored = await self._place(reader, manifest, before, files)
                return Repaired(before, tuple(restored), self.failed, self.cost, reader.readers.spent)
        finally:
            await asyncio.shield(reader.finish())

    # --------------------------------------------------------------------------------------------------- rebuild

    async def _rebuild(
        self, reader: ObjectReader, manifest: SegmentsManifest, lost: list[tuple[int, int]], folder: RepairFolder
    ) -> dict[tuple[int, int], Path]:
        """Every lost shard in a file, each block checked against the manifest."""
        files: dict[tuple[int, int], Path] = {}
        for index in sorted({segment for segment, _ in lost}):
            segment = manifest.segments[index]
            missing = [shard for at, shard in lost if at == index]
            await reader.provide([segment])
            masks = ShardMasks(self.cap.mask_key, segment.salt)
            rebuilder = ShardRebuilder(segment.layout, masks)

            def write(row: int, blocks: Mapping[int, bytes], shards: ShardFiles) -> None:
                rebuilt = rebuilder.row(row, blocks, missing)  # noqa: B023 - runs before the next turn
                for shard, block in rebuilt.blocks.items():
                    if block_digest(block) != segment.shards[shard][row]:  # noqa: B023
                        raise IntegrityError(f"Block {row} of shard {shard} did not come back as it was.")
                    shards.write(shard, block)

            with ShardFiles(folder, index, missing) as shards:
                for row in range(segment.layout.rows):
                    blocks = await reader.row(segment, row, manifest.profile.k, without=set(missing))
                    await asyncio.to_thread(write, row, blocks, shards)
            files |= {(index, shard): path for shard, path in shards.paths.items()}
        return files

    # ----------------------------------------------------------------------------------------------------- place

    async def _plan(
        self,
        reader: ObjectReader,
        manifest: SegmentsManifest,
        before: ObjectStatus,
        lost: Collection[tuple[int, int]],
    ) -> _Places:
        """Ask for a new node for every slot that lost shards. Raises NoFreeNodes."""
        slots = sorted({shard for _, shard in lost})
        start = deals.start_period(await self.core.clock())
        ours = reader.inventory.holding(roots_of(self.cap.piece, manifest.segments))
        ends = [held.agreement.end for held in ours]
        end = max(max(ends, default=start + 1), start + 1)
        failing = {row.node for row in before.rows if row.node is not None and row.state != "healthy"}
        keeping = {
            row.node for row in before.rows if row.node is not None and row.state == "healthy" and row.segment >= 0
        }
        keeping -= failing
        pieces = {
            slot: [Piece(*manifest.segments[at].pieces[slot]) for at, shard in lost if shard == slot] for slot in slots
        }
        most = max(sum(piece.leaves for piece in each) for each in pieces.values()) + self.cap.leaves
        # As many as there are slots to fill, beside those that hold healthy shards.
        offers = await quotes.ask(
            self.core,
            manifest.profile,
            most,
            end - start,
            seed=os.urandom(8),
            held=keeping,
            without=failing,
            payer=self.payer,
            wanted=len(slots),
        )
        chosen = {slot: offers.offered[node] for slot, node in zip(slots, offers.placement.nodes, strict=False)}
        return _Places(pieces, chosen, end, end - start)

    async def _place(
        self,
        reader: ObjectReader,
        manifest: SegmentsManifest,
        before: ObjectStatus,
        files: Mapping[tuple[int, int], Path],
    ) -> list[Replacement]:
        places = await self._plan(reader, manifest, before, files)
        restored: list[Replacement] = []

        async def one(slot: int, offered: Offered) -> None:
            send = partial(self._upload, slot, offered, files, manifest)
            try:
                await send()
                if self.order is None:
                    pieces = places.pieces[slot]
                    restored.extend(await self._open_own(manifest, slot, offered, pieces, files, places.end, send))
                else:
                    for at, shard in sorted(files):
                        if shard == slot:
                            restored.append(await self._open_by_policy(reader, manifest, at, slot, offered, send))
            except BlackholeError as error:
                for at, shard in files:
                    if shard == slot and not any((r.segment, r.shard) == (at, slot) for r in restored):
                        self.failed[f"{at}/{slot}"] = error.message

        if self.max_price is not None and self.order is None and places.price > self.max_price:
            raise PriceTooHigh(
                f"The repair costs {format_tokens(places.price)} HOLE, "
                f"the limit is {format_tokens(self.max_price)} HOLE.",
                data={"price_wei": str(places.price), "limit_wei": str(int(self.max_price))},
            )
        await asyncio.gather(*(one(slot, offered) for slot, offered in places.chosen.items()))
        return sorted(restored, key=lambda each: (each.segment, each.shard))

    async def _upload(
        self, slot: int, offered: Offered, files: Mapping[tuple[int, int], Path], manifest: SegmentsManifest
    ) -> None:
        """Send the slot's shards, and to an own deal the manifest, to its new node."""
        upload = Upload(
            payer=self.core.account,
            node=offered.node,
            size=2 * offered.leaves * LEAF + BLOCK,
            expiry=(await self.core.clock()).now + PERMIT_SECONDS,
            nonce=int.from_bytes(os.urandom(7), "big"),
        )
        signature = self.core.signer.sign_digest(upload.digest(self.core.domain))
        row = {**upload.to_json(), "signature": "0x" + signature.hex()}
        headers = {"Blackhole-Payer": self.core.account, "Blackhole-Upload": orjson.dumps(row).decode()}
        for (at, shard), path in sorted(files.items()):
            if shard == slot:
                root, size = manifest.segments[at].pieces[slot].root, path.stat().st_size
                await offered.reached.client.put(f"/v1/staging/{root.hex()}", size, _parts(path), headers)
        if self.order is None:
            for block in manifest.encode():
                await offered.reached.client.put(
                    f"/v1/staging/{block.piece.root.hex()}", len(block.data), _once(block.data), headers
                )

    async def _open_own(
        self,
        manifest: SegmentsManifest,
        slot: int,
        offered: Offered,
        shards: list[Piece],
        files: Mapping[tuple[int, int], Path],
        end: int,
        send: Callable[[], Awaitable[None]],
    ) -> list[Replacement]:
        """One agreement of the owner over everything the slot lost; `send` brings its pieces to the node again."""
        listed = PieceList((*shards, *(block.piece for block in manifest.encode())))
        restored = partial(self._restored, slot, offered, shards, files)
        place = (await places(self.core, [offered.node], lambda place: place.end == end)).get(offered.node)
        if place is not None and await self._join_own(offered, listed, place):
            return restored(hex(place.id))
        reason = deals.NOT_OPENED
        for attempt in range(TERMS_TRIES):
            # A quote may be over by the second time; then the node's present price has to be no higher.
            quote = (offered.row, offered.signature) if attempt == 0 else None
            try:
                identity, reason = await self._open_from_now(slot, offered, quote, listed, end)
            except NodeRefused as error:
                if error.code != NOT_STAGED or attempt == TERMS_TRIES - 1:
                    raise
                await send()
                continue
            if identity:
                return restored(identity)
            if reason != deals.TOO_LATE:
                break
        raise NodeError(f"The chain refused the deal with node {offered.node}: {reason}.")

    @staticmethod
    def _restored(
        slot: int, offered: Offered, shards: list[Piece], files: Mapping[tuple[int, int], Path], identity: str
    ) -> list[Replacement]:
        keys = [key for key in sorted(files) if key[1] == slot]
        return [
            Replacement(at, slot, "", identity, offered.node, piece.root.hex(), piece.leaves)
            for (at, _), piece in zip(keys, shards, strict=True)
        ]

    async def _join_own(self, offered: Offered, listed: PieceList, place: Place) -> bool:
        """Bring the slot into an agreement the owner has with its new node; False if that cannot be now."""
        rate = -(-offered.rate * listed.leaves // offered.leaves)
        addition = Addition(listed.pieces, rate, 0, (offered.row, offered.signature))
        await self.core.require_funds(addition.cost(place))
        try:
            await self.core.additions.join(offered.reached, place, addition)
        except (CannotJoin, NotYetChangeable):
            return False
        self.cost += addition.cost(place)
        return True

    async def _open_from_now(
        self, slot: int, offered: Offered, quote: tuple[Mapping[str, Any], str] | None, listed: PieceList, end: int
    ) -> tuple[str, str]:
        """The id of an agreement that starts with the next period, or empty and why not."""
        start = deals.start_period(await self.core.clock())
        rate = -(-offered.rate * listed.leaves // offered.leaves)
        terms = deals.draft(
            self.core, offered.reached, listed, rate=rate, start=start, end=max(end, start + 1), repair_share=0
        )
        await self.core.require_funds(terms.prepaid)
        signature = await deals.ask_signature(self.core, offered.reached, terms, listed, quote)
        result = await deals.open_patiently(self.core, [deals.Row(slot, terms, signature)])
        if slot not in result.opened:
            return "", result.skipped[slot]
        self.cost += terms.prepaid
        return hex(result.opened[slot]), ""

    async def _open_by_policy(
        self,
        reader: ObjectReader,
        manifest: SegmentsManifest,
        at: int,
        slot: int,
        offered: Offered,
        send: Callable[[], Awaitable[None]],
    ) -> Replacement:
        """One agreement under the owner's policy over one lost shard; `send` brings it to the node again."""
        quote: tuple[Mapping[str, Any], str] | None = (offered.row, offered.signature)
        for _ in range(TERMS_TRIES - 1):
            try:
                return await self._open_by_policy_from_now(reader, manifest, at, slot, offered, quote)
            except Reverted as error:
                if type(error.decoded).__name__ != deals.TOO_LATE:
                    raise
            except NodeRefused as error:
                if error.code != NOT_STAGED:
                    raise
                await send()
            quote = None
        return await self._open_by_policy_from_now(reader, manifest, at, slot, offered, quote)

    async def _open_by_policy_from_now(
        self,
        reader: ObjectReader,
        manifest: SegmentsManifest,
        at: int,
        slot: int,
        offered: Offered,
        quote: tuple[Mapping[str, Any], str] | None,
    ) -> Replacement:
        from eth_abi.abi import encode

        from blackhole.chain.bindings.storage_market import Policy as PolicyStruct
        from blackhole.chain.bindings.storage_market import Terms as TermsStruct

        assert self.order is not None
        piece = manifest.segments[at].pieces[slot]
        lost = self._lost_agreement(reader, piece)
        assert lost.pieces is not None
        listed = PieceList((piece,))
        start = deals.start_period(await self.core.clock())
        end = max(lost.agreement.end, start + 1)
        rate = -(-offered.rate * piece.leaves // offered.leaves)
        terms = deals.draft(
            self.core,
            offered.reached,
            listed,
            rate=rate,
            start=start,
            end=end,
            repair_share=0,
            payer=self.payer,
            repairer=self.core.account,
        )
        policy, signed = self.order.policy, self.order.signature
        node_signature = await deals.ask_signature(
            self.core,
            offered.reached,
            terms,
            listed,
            quote,
            policy=policy.to_json(),
            policy_signature="0x" + signed.hex(),
        )
        index = [each.root for each in lost.pieces.pieces].index(piece.root)
        path = encode_path(lost.pieces.tree().path(index))
        proof = encode(("bytes32", "bytes", "bytes32[]"), (piece.root, path, []))
        transaction = self.core.market.open_by_policy(
            TermsStruct(*terms.values()), PolicyStruct(*policy.values()), lost.id, proof, signed, node_signature
        )
        await self._send_when_possible(transaction, terms)
        self.cost += terms.prepaid
        return Replacement(
            at,
            slot,
            hex(lost.id),
            hex(terms.id(self.core.domain)),
            offered.node,
            piece.root.hex(),
            piece.leaves,
            path.hex(),
            "",
        )

    async def _send_when_possible(self, transaction: Any, terms: Terms) -> None:
        for attempt in range(OPEN_TRIES):
            try:
                await self.core.chain.send(transaction, self.core.signer)
                return
            except Reverted as error:
                late = terms.start <= (await self.core.clock()).period
                if type(error.decoded).__name__ != "NodeIsProving" or late or attempt == OPEN_TRIES - 1:
                    raise
            await asyncio.sleep(0.5)

    def _lost_agreement(self, reader: ObjectReader, piece: Piece) -> Held:
        """The agreement that held the piece and whose failure the chain knows."""
        for held in reader.inventory.held:
            ledger = reader.inventory.ledgers[held.node]
            failing = ledger.misses or ledger.ended_at or held.agreement.status != 1
            if failing and held.pieces is not None and piece in held.pieces.pieces:
                return held
        raise NodeError(
            "No agreement over this shard has failed on chain yet.",
            hint="Wait until its node's missed proof is reported.",
            code="not_lost",
        )


def _weak(cap: ReadCap | RepairCap) -> RepairCap:
    return cap.repair_cap if isinstance(cap, ReadCap) else cap


async def repair_object(
    core: StorageCore,
    cap: ReadCap | RepairCap,
    *,
    order: RepairOrder | None = None,
    max_price: int | None = None,
    silent: bool = False,
) -> Repaired:
    """Restore what is lost of an object: the owner without an order, a repairer with one."""
    return await Repair(core, _weak(cap), order, max_price=max_price, silent=silent).run()


async def repair_quote(core: StorageCore, cap: ReadCap | RepairCap, *, silent: bool = False) -> RepairQuote:
    """What the owner's repair would restore and cost. Nothing is rebuilt, signed or sent."""
    return await Repair(core, _weak(cap), None, silent=silent).quote()


async def repair_by_order(core: StorageCore, order: RepairOrder) -> Repaired:
    """Restore what is lost of the object the order is for."""
    cap = repair_cap(order.cap, chain_id=core.chain_id)
    if order.policy.payer.lower() != cap.payer_address.lower() or order.policy.manifest != cap.piece.root:
        raise InputError("The order's policy is of another object than its cap.", hint="Ask the owner for it again.")
    if not await core.chain.read(core.hub.allowance_of(core.account, core.market.address)):
        # Nodes take bytes only from accounts that could pay: one wei shows it, and is all the market may lock.
        await core.chain.send(core.hub.allow(core.market.address, 1), core.signer, wait="finalized")
    return await repair_object(core, cap, order=order)


async def claim(core: StorageCore, done: Replacement) -> bool:
    """Take a repairer's pay for a replacement; False while its node has proven nothing, or nothing is there."""
    if not done.lost:
        return False
    transaction = core.market.claim_repair(
        int(done.lost, 16),
        int(done.agreement, 16),
        bytes.fromhex(done.piece),
        done.leaves,
        bytes.fromhex(done.lost_path),
        bytes.fromhex(done.new_path),
    )
    try:
        await core.chain.send(transaction, core.signer)
    except Reverted:
        return False
    return True


async def _parts(path: Path) -> AsyncIterator[memoryview]:
    with path.open("rb", buffering=0) as file:
        for part in iter(partial(file.read, PART), b""):
            yield memoryview(part)


async def _once(data: bytes) -> AsyncIterator[memoryview]:
    yield memoryview(data)
