"""Reading an object: find its pieces, read the quickest k shards of each row, decode, authenticate, write.

Rows (the same block of k shards, at most k MiB) are fetched a few ahead and decoded in order on a thread. A node that
fails or sends wrong bytes is left, and the row is completed from others; no byte leaves here before its block's hash
and its chunk's tag were checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from blackhole.errors import BlackholeError, CapError, InputError, IntegrityError, Json, NodeError, NotEnoughShards
from blackhole.protocol import BLOCK, LEAF
from blackhole.storage.caps import ReadCap, RepairCap, VerifyCap
from blackhole.storage.encryption import Buffer
from blackhole.storage.inventory import Held, Inventory, take
from blackhole.storage.lane_book import cost_micro
from blackhole.storage.manifest import (
    InlineManifest,
    PackedManifest,
    Segment,
    SegmentsManifest,
)
from blackhole.storage.manifest_reading import decode_manifest, join_parts
from blackhole.storage.masking import ShardMasks
from blackhole.storage.progress import Meter, ProgressCallback
from blackhole.storage.reading import NodeReader, Purse, Readers, rank
from blackhole.storage.segment_read import RowDecoder
from blackhole.storage.small import check_keys, open_pack_key, read_inline, read_packed, sealed_length

if TYPE_CHECKING:
    from blackhole.storage.agreement_tree import Piece
    from blackhole.storage.core import StorageCore

AHEAD_BYTES = 24 * 2**20
"""bytes of blocks fetched ahead of the decoder, or two rows."""
HEDGE_SECONDS = 2.0
HEDGE_RATIO = 3
"""A node whose block of a row is not here so long after the row's first, and so many times as late, gets a stand-in."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row to read: its segment, its number, and what of the segment's plaintext is wanted."""

    segment: int
    row: int
    start: int
    stop: int


class ObjectReader:
    """One object being read (or looked at, or repaired). Close with `finish`."""

    def __init__(
        self,
        core: StorageCore,
        cap: ReadCap | RepairCap | VerifyCap,
        inventory: Inventory,
        purse: Purse | None = None,
    ) -> None:
        self.core = core
        self.cap = cap
        self.inventory = inventory
        self.readers = Readers(core, purse)
        self.failures: dict[int, str] = {}
        self.wrong = 0
        self._roots: set[bytes] = set()

    @classmethod
    async def open(
        cls, core: StorageCore, cap: ReadCap | RepairCap | VerifyCap, purse: Purse | None = None
    ) -> ObjectReader:
        """Find the agreements that hold the object: those of the own list, else all of its payer's.

        `purse`: what reading it may cost; default: as much as it takes.
        """
        if cap.chain_id != core.chain_id:
            raise CapError(
                f"The cap is of chain {cap.chain_id}, this network is chain {core.chain_id}.",
                hint="Select the network the object is stored on with --network.",
            )
        inventory = await take(core, cap.payer_address)
        return cls(core, cap, inventory, purse)

    def holders(self, piece: Piece) -> list[Held]:
        """The agreements whose nodes list the piece and answer: those with a lane of ours first, then the quickest."""
        answering = [
            held for held in self.inventory.places.get(piece.root, ()) if held.reached is not None and not held.silent
        ]
        return sorted(answering, key=lambda held: not self._has_lane(held))

    def _has_lane(self, held: Held) -> bool:
        return held.reached is not None and self.readers.known(held.reached.info.payee)

    # -------------------------------------------------------------------------------------------------- manifest

    async def manifest(self) -> SegmentsManifest | InlineManifest | PackedManifest:
        """The manifest with its parts. Raises NotEnoughShards when no node gives it, IntegrityError, CapError."""
        data = await self._block_of(self.cap.piece, self.cap.manifest.digest, "the manifest")
        found = decode_manifest(data, self.cap.manifest)
        if isinstance(self.cap, ReadCap | RepairCap) and found.commitment != self.cap.commitment:
            raise CapError("The cap's key does not belong to this object.")
        if isinstance(found, SegmentsManifest) and found.parts:
            parts = [
                await self._block_of(part.piece, part.cid.digest, "a part of the manifest") for part in found.parts
            ]
            found = join_parts(found, parts)
        if isinstance(found, SegmentsManifest):
            self._roots = {piece.root for segment in found.segments for piece in segment.pieces}
        return found

    async def _block_of(self, piece: Piece, digest: bytes, what: str) -> bytes:
        """The one block of a piece: kept from before, or from whichever node gives it."""
        if (known := await asyncio.to_thread(self.core.cached_block, digest)) is not None:
            return known
        for held in self.holders(piece):
            assert held.reached is not None
            reader = self.readers.get(held.reached)
            if reader.failed is not None:
                continue
            try:
                info = await held.reached.client.get_json(f"/v1/pieces/{piece.root.hex()}")
                length = int(info["bytes"])
                if not 0 <= length <= min(BLOCK, piece.leaves * LEAF):
                    raise IntegrityError(f"Node {held.node} lies about the length of a piece.")
                self.readers.purse.require(cost_micro(length, reader.price))
                await self.readers.provide([reader], {held.node: length})
                data = await reader.block(piece.root, 0, digest, length)
                await asyncio.to_thread(self.core.keep_block, digest, data)
                return data
            except (NodeError, IntegrityError, KeyError, TypeError, ValueError) as error:
                self._failed(reader, error)
        raise self._not_enough(f"No node gives {what}.", 0, 1)

    # ------------------------------------------------------------------------------------------------------ rows

    def candidates(self, segment: Segment) -> list[tuple[int, NodeReader]]:
        """(shard, reader) of a segment's shards that can be read, best first."""
        rows = []
        for shard, piece in enumerate(segment.pieces):
            for held in self.holders(piece):
                assert held.reached is not None
                reader = self.readers.get(held.reached)
                if reader.failed is None:
                    rows.append((shard, reader, held.seconds))
                    break
        return rank(rows, segment.profile.k, self.readers)

    def needs(self, segments: list[Segment], share: float = 1.0) -> dict[NodeReader, int]:
        """Which nodes will be read for these segments (a share of each), and how many bytes of each."""
        need: dict[NodeReader, int] = {}
        for segment in segments:
            for _, reader in self.candidates(segment)[: segment.profile.k]:
                need[reader] = need.get(reader, 0) + ceil(segment.layout.shard_length * share)
        return need

    async def provide(self, segments: list[Segment], share: float = 1.0) -> None:
        """Open or fill lanes to the nodes that will be read, for all segments at once.

        Raises PriceTooHigh before anything is sent.
        """
        need = self.needs(segments, share)
        self.readers.purse.require(price_of(need))
        spare = BLOCK * len(segments)  # a share of a segment ends inside a block
        await self.readers.provide(need, {reader.node: count + spare for reader, count in need.items()})

    async def row(self, segment: Segment, row: int, shards: int, without: set[int] | None = None) -> dict[int, bytes]:
        """Blocks of `shards` different shards of a row, each checked against the manifest.

        Raises:
            NotEnoughShards: too few nodes are left; IntegrityError if wrong bytes are the reason.
        """
        got: dict[int, bytes] = {}
        tried: set[int] = set(without or ())
        running: dict[asyncio.Task[bytes | None], tuple[int, NodeReader]] = {}
        began, patience = time.monotonic(), None
        late: set[asyncio.Task[bytes | None]] = set()
        try:
            while len(got) < shards:
                wanted = shards - len(got) - len(running) + len(late)
                chosen = [pair for pair in self.candidates(segment) if pair[0] not in tried][:wanted]
                if len(chosen) < wanted and len(running) == len(late) == 0:
                    found = len(got) + len(chosen)
                    raise self._not_enough(
                        f"{found} shards of a segment can be read, {shards} are needed.", found, shards
                    )
                await self._provide_rest([reader for _, reader in chosen], segment, row)
                for shard, reader in chosen:
                    tried.add(shard)
                    running[asyncio.create_task(self._shard_block(segment, row, shard, reader))] = shard, reader
                done, waiting = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    shard, _ = running.pop(task)
                    if (block := task.result()) is not None:
                        got[shard] = block
                late &= waiting
                if not done:
                    late = waiting
                if got and patience is None:
                    patience = max(HEDGE_SECONDS, (HEDGE_RATIO - 1) * (time.monotonic() - began))
            return got
        finally:
            # What a stand-in was quicker than is asked last from now on.
            for task, (_, reader) in running.items():
                reader.late = reader.late or task in late
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _provide_rest(self, readers: list[NodeReader], segment: Segment, row: int) -> None:
        """Lanes for the rest of a segment at nodes that were not counted on."""
        fresh = [reader for reader in readers if not reader.ready]
        if fresh:
            rest = (segment.layout.rows - row) * BLOCK
            await self.readers.provide(fresh, {reader.node: rest for reader in fresh})

    async def _shard_block(self, segment: Segment, row: int, shard: int, reader: NodeReader) -> bytes | None:
        root = segment.pieces[shard].root
        length = segment.layout.row_span(row).length
        try:
            return await reader.block(root, row, segment.shards[shard][row], length)
        except (NodeError, IntegrityError) as error:
            self._failed(reader, error)
            return None

    def _holds(self, held: Held) -> bool:
        """Whether an agreement whose pieces are known holds any of this object's, as far as those are known."""
        roots = self._roots | {self.cap.piece.root}
        return held.pieces is not None and any(piece.root in roots for piece in held.pieces.pieces)

    def _failed(self, reader: NodeReader, error: Exception) -> None:
        if reader.failed is None:
            reader.failed = error
        if isinstance(error, IntegrityError):
            self.wrong += 1
        message = error.message if isinstance(error, BlackholeError) else f"{type(error).__name__}"
        self.failures.setdefault(reader.node, message)

    def _not_enough(self, message: str, have: int, need: int) -> BlackholeError:
        silent = {str(held.node): held.error.message for held in self.inventory.held if held.error is not None}
        nodes: dict[str, Json] = {**silent, **{str(node): reason for node, reason in self.failures.items()}}
        data: dict[str, Json] = {"have": have, "need": need, "nodes": nodes}
        if not any(held.live and (held.pieces is None or self._holds(held)) for held in self.inventory.held):
            return NotEnoughShards(
                "No agreement holds this object any more: its paid time is over, or it was given up.",
                hint="Put the bytes again if you still have them. Stored on another network? Select that: --network.",
                data=data,
            )
        if self.wrong:
            return IntegrityError(f"{message} {self.wrong} answers were not what their hash says.", data=data)
        return NotEnoughShards(message, data=data)

    async def finish(self) -> None:
        """Pay what is owed and give the lanes back."""
        await self.readers.finish()


def price_of(need: Mapping[NodeReader, int]) -> int:
    """Micro-HOLE for so many bytes of each node; one more a node, for lanes round up where they stand."""
    return sum(cost_micro(count, reader.price) + 1 for reader, count in need.items() if reader.price)


async def read_object(
    core: StorageCore,
    cap: ReadCap,
    *,
    start: int = 0,
    length: int | None = None,
    progress: ProgressCallback | None = None,
    opened: Callable[[ObjectReader, int, int], None] | None = None,
    purse: Purse | None = None,
) -> AsyncGenerator[Buffer, None]:
    """The plaintext of an object, or of its bytes from `start`, part by part in order, each verified and good until
    the next is asked for.

    `opened` is called once with the reader, the object's size and the bytes that will come.
    """
    reader = await ObjectReader.open(core, cap, purse)
    try:
        manifest = await reader.manifest()
        stop = manifest.length if length is None else min(manifest.length, start + length)
        if start > manifest.length or start < 0:
            raise InputError(
                f"The object has {manifest.length} bytes, byte {start} is beyond.", hint="Ask for a range inside it."
            )
        if opened is not None:
            opened(reader, manifest.length, stop - start)
        meter = Meter(stop - start, progress)
        async with contextlib.aclosing(_parts(reader, manifest, cap, start, stop)) as parts:
            async for part in parts:
                meter.add(len(part))
                yield part
        meter.finish()
    finally:
        await asyncio.shield(reader.finish())


async def _parts(
    reader: ObjectReader,
    manifest: SegmentsManifest | InlineManifest | PackedManifest,
    cap: ReadCap,
    start: int,
    stop: int,
) -> AsyncGenerator[Buffer, None]:
    if isinstance(manifest, InlineManifest):
        yield read_inline(cap.keys, manifest)[start:stop]
        return
    if isinstance(manifest, PackedManifest):
        yield (await _packed(reader, manifest, cap))[start:stop]
        return
    check_keys(cap.keys, manifest.commitment)
    async with contextlib.aclosing(_rows(reader, manifest, cap, start, stop)) as rows:
        async for part in rows:
            yield part


async def open_pack(
    reader: ObjectReader, manifest: PackedManifest, cap: ReadCap
) -> tuple[ObjectReader, SegmentsManifest, ReadCap]:
    """The pack a small object lies in: a reader of it, its manifest, its cap."""
    key = open_pack_key(cap.keys, manifest)
    pack_cap = ReadCap(cap.chain_id, cap.payer, manifest.pack, manifest.pack_leaves, key)
    inner = ObjectReader(reader.core, pack_cap, reader.inventory)
    inner.readers = reader.readers
    pack = await inner.manifest()
    if not isinstance(pack, SegmentsManifest):
        raise IntegrityError("A pack is an object in segments.")
    return inner, pack, pack_cap


async def _packed(reader: ObjectReader, manifest: PackedManifest, cap: ReadCap) -> bytes:
    """A small object out of its pack."""
    inner, pack, pack_cap = await open_pack(reader, manifest, cap)
    ciphertext = b""
    end = manifest.offset + sealed_length(manifest.length)
    async for part in _rows(inner, pack, pack_cap, manifest.offset, end):
        ciphertext += part
    return read_packed(cap.keys, manifest, ciphertext)


def rows_of(manifest: SegmentsManifest, start: int, stop: int) -> list[Row]:
    """The rows that hold the bytes between `start` and `stop`."""
    wanted: list[Row] = []
    base = 0
    for index, segment in enumerate(manifest.segments):
        low, high = max(start - base, 0), min(stop - base, segment.length)
        if low < high:
            wanted += [Row(index, row, low, high) for row in segment.layout.rows_of(low, high)]
        base += segment.length
    return wanted


def used_of(manifest: SegmentsManifest, rows: Sequence[Row]) -> tuple[list[Segment], float]:
    """The segments that rows lie in, and which share of those is wanted."""
    segments = [manifest.segments[index] for index in sorted({row.segment for row in rows})]
    return segments, len(rows) / max(1, sum(segment.layout.rows for segment in segments))


async def _rows(
    reader: ObjectReader, manifest: SegmentsManifest, cap: ReadCap, start: int, stop: int
) -> AsyncGenerator[Buffer, None]:
    """The plaintext between `start` and `stop`, a row at a time, fetched ahead; each is overwritten by the next."""
    wanted = rows_of(manifest, start, stop)
    if not wanted:
        return
    await reader.provide(*used_of(manifest, wanted))
    k = manifest.profile.k
    ahead = max(2, AHEAD_BYTES // (k * BLOCK))
    decoders: dict[int, RowDecoder] = {}
    fetching: list[asyncio.Task[dict[int, bytes]]] = []

    def decode(row: Row, blocks: dict[int, bytes]) -> Buffer:
        if row.segment not in decoders:
            segment = manifest.segments[row.segment]
            decoders.clear()  # rows come in order: the one before is done
            decoders[row.segment] = RowDecoder(
                segment.layout,
                cap.keys.decryptor(row.segment, segment.salt, segment.layout.chunks),
                ShardMasks(cap.keys.mask_key, segment.salt),
            )
        return decoders[row.segment].row(row.row, blocks, row.start, row.stop)

    try:
        position = 0
        for done, row in enumerate(wanted):
            while position < len(wanted) and position < done + ahead:
                following = wanted[position]
                fetching.append(asyncio.create_task(reader.row(manifest.segments[following.segment], following.row, k)))
                position += 1
            yield await asyncio.to_thread(decode, row, await fetching.pop(0))
    finally:
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)
