"""How an object is: what the chain says of its agreements, what nodes say of their pieces, and a sample of each.

A node's list is checked against the root the chain has. One chunk of each shard is asked for as an audit, which nodes
answer free. A silent node's shards are "unconfirmed": nobody knows, until its proofs are due.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from blackhole.errors import BlackholeError, IntegrityError, NodeRefused
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.get import ObjectReader
from blackhole.storage.inventory import from_copies, infer
from blackhole.storage.manifest import PackedManifest, SegmentsManifest
from blackhole.storage.proofs import verify_chunk
from blackhole.storage.types import ObjectStatus, ShardStatus

if TYPE_CHECKING:
    from blackhole.storage.blocks import BlockList
    from blackhole.storage.caps import ReadCap, RepairCap, VerifyCap
    from blackhole.storage.core import StorageCore
    from blackhole.storage.inventory import Held
    from blackhole.storage.manifest import Segment

AUDIT_SECONDS = 10.0
"""A node that takes longer for one chunk is not confirmed."""
AUDITS_AT_ONCE = 64


async def examine(core: StorageCore, cap: ReadCap | RepairCap | VerifyCap, *, audit: bool = True) -> ObjectStatus:
    """The status of an object. Raises NotEnoughShards when no node has even its manifest, ChainError."""
    reader = await ObjectReader.open(core, cap)
    try:
        manifest = await reader.manifest()
        if isinstance(manifest, PackedManifest):
            raise IntegrityError("This object lies in a pack.", hint="Ask for the status of the pack.")
        segments = manifest.segments if isinstance(manifest, SegmentsManifest) else ()
        return await _examine(reader, manifest, segments, audit=audit)
    finally:
        await reader.finish()


async def _examine(
    reader: ObjectReader, manifest: object, segments: tuple[Segment, ...], *, audit: bool
) -> ObjectStatus:
    if isinstance(manifest, SegmentsManifest):
        reader.inventory = infer(reader.inventory, lists_of(reader.cap.piece, manifest))
    reader.inventory = inventory = await from_copies(reader.core, reader.inventory)
    gate = asyncio.Semaphore(AUDITS_AT_ONCE)
    copies = await asyncio.gather(
        *(_copy(reader, held, reader.cap.piece) for held in inventory.places.get(reader.cap.piece.root, ()))
    )
    shards = await asyncio.gather(
        *(
            _shard(reader, index, segment, shard, gate, audit=audit)
            for index, segment in enumerate(segments)
            for shard in range(segment.profile.n)
        )
    )
    rows = [*copies, *shards]
    # Of a node that the market has ended nothing is to be expected any more, whatever it held.
    silent = sum(held.silent and held.pieces is None and not _ended(reader, held) for held in inventory.held)
    used: dict[int, int] = {}
    for at, row in enumerate(rows):
        # Whose list we cannot read may hold what we do not find: not lost, not confirmed.
        if row.state == "missing" and used.get(row.segment, 0) < silent:
            used[row.segment] = used.get(row.segment, 0) + 1
            rows[at] = ShardStatus(row.segment, row.shard, None, "unconfirmed")
    return _summary(reader, manifest, segments, tuple(rows))


def _summary(
    reader: ObjectReader, manifest: object, segments: tuple[Segment, ...], rows: tuple[ShardStatus, ...]
) -> ObjectStatus:
    inventory = reader.inventory
    profile = segments[0].profile if segments else None
    needed, wanted = (profile.k, profile.n) if profile else (1, max(1, len(rows)))
    groups = range(len(segments)) if segments else [-1]
    healthy = min(sum(row.segment == group and row.state == "healthy" for row in rows) for group in groups)
    # A node that missed proofs may still serve; one that is silent besides does not.
    silent = {held.node for held in inventory.held if held.silent}
    serving = [row for row in rows if row.state == "healthy" or (row.state == "suspect" and row.node not in silent)]
    readable = min(sum(row.segment == group for row in serving) for group in groups)
    manifests = sum(row.segment == -1 for row in serving)
    state = "full" if healthy >= wanted and manifests else "degraded"
    if readable < needed or not manifests:
        state = "unreadable"
    # A node may hold other objects of this payer under other agreements, which end at other times.
    held = inventory.holding(roots_of(reader.cap.piece, segments))
    nodes: dict[int, dict[str, object]] = {}
    for each in held:
        ledger = inventory.ledgers[each.node]
        nodes[each.node] = {
            "answers": not each.silent,
            "misses": ledger.misses,
            "last_proven": ledger.last_proven,
            "ended_at": ledger.ended_at,
            "agreement": hex(each.id),
            "until": each.agreement.end,
        }
    return ObjectStatus(
        manifest=str(reader.cap.manifest),
        size=int(getattr(manifest, "length", 0)),
        profile=profile.name if profile else "inline",
        segments=len(segments),
        state=state,
        healthy=healthy,
        needed=needed,
        repair_at=profile.repair_at if profile else 1,
        shards=wanted,
        paid_until=min((each.agreement.end for each in held), default=0),
        period=inventory.period,
        rows=rows,
        nodes=nodes,
    )


def roots_of(manifest_piece: Piece, segments: tuple[Segment, ...]) -> set[bytes]:
    """Roots of an object's own pieces: its manifest and its shards."""
    return {manifest_piece.root, *(piece.root for segment in segments for piece in segment.pieces)}


def lists_of(manifest_piece: Piece, manifest: SegmentsManifest) -> list[PieceList]:
    """What an agreement over this object alone may hold: all of a slot, or one replaced shard."""
    manifests = (manifest_piece, *(part.piece for part in manifest.parts))
    slots = [PieceList((*manifest.pieces_of_slot(slot), *manifests)) for slot in range(manifest.profile.n)]
    single = [PieceList((piece,)) for segment in manifest.segments for piece in segment.pieces]
    return slots + single


async def _copy(reader: ObjectReader, held: Held, piece: Piece) -> ShardStatus:
    """One node's copy of the manifest."""
    return ShardStatus(-1, 0, held.node, "suspect" if _failing(reader, held) else "healthy")


async def _shard(
    reader: ObjectReader, index: int, segment: Segment, shard: int, gate: asyncio.Semaphore, *, audit: bool
) -> ShardStatus:
    piece = segment.pieces[shard]
    best = ShardStatus(index, shard, None, "missing")
    for held in reader.inventory.held:
        listed = held.pieces.pieces if held.pieces is not None else ()
        silent = held.silent and not _ended(reader, held)
        if silent and any(each.root == piece.root for each in listed):
            state = "suspect" if _failing(reader, held) else "unconfirmed"
            best = ShardStatus(index, shard, held.node, state)
    for held in reader.inventory.places.get(piece.root, ()):
        if _ended(reader, held):
            continue
        state = "suspect" if _failing(reader, held) else "healthy"
        if audit and state == "healthy":
            async with gate:
                state = await _audit(held, piece, segment.blocks(shard))
        if state == "healthy":
            return ShardStatus(index, shard, held.node, state)
        best = ShardStatus(index, shard, held.node, state)
    return best


async def _audit(held: Held, piece: Piece, blocks: BlockList) -> str:
    """Ask for one chunk: healthy if it verifies, suspect if not, unconfirmed if nothing comes."""
    if held.reached is None:
        return "unconfirmed"
    block = random.randrange(len(blocks.digests))
    chunk = random.randrange(blocks.chunks(block))
    try:
        async with asyncio.timeout(AUDIT_SECONDS):
            proof = await held.reached.client.get(
                f"/v1/pieces/{piece.root.hex()}/audit?block={block}&chunk={chunk}", limit=2**16
            )
        verify_chunk(proof, blocks.digests[block], chunk, blocks.chunks(block))
    except NodeRefused as error:
        # A node may be out of its free allowance; one that has lost the bytes answers 404 or 500.
        return "healthy" if error.status == 429 else "suspect"
    except IntegrityError:
        return "suspect"
    except (BlackholeError, TimeoutError):
        return "unconfirmed"
    return "healthy"


def _failing(reader: ObjectReader, held: Held) -> bool:
    return reader.inventory.ledgers[held.node].misses > 0


def _ended(reader: ObjectReader, held: Held) -> bool:
    return reader.inventory.ledgers[held.node].ended_at != 0
