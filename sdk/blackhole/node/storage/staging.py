"""Uploads: let in by quota, hashed while they arrive, on the disk before they are acknowledged, dropped without a deal.

In this order: lists, size, right to upload, quota, money (from headers and the chain); bytes; root; disk; journal.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import asdict

from blackhole.node.config import Config
from blackhole.node.logs import Log
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.quotas import Permit, StagingQuota
from blackhole.node.storage.recorder import Recorder
from blackhole.node.storage.refusal import Refusal
from blackhole.node.storage.state import StagedPiece, State
from blackhole.node.storage.steps import Step
from blackhole.protocol import BLOCK, LEAF, START_LEAD
from blackhole.storage.blocks import BlockList
from blackhole.storage.ipfs.store import BlockNotFound

LEAVES_PER_GIB = 2**30 // LEAF


class Staging:
    """Pieces on their way and waiting for their deal."""

    def __init__(self, config: Config, state: State, store: PieceStore, recorder: Recorder, log: Log) -> None:
        self.config = config
        self.state = state
        self.store = store
        self.recorder = recorder
        self.log = log
        self.quota = StagingQuota(config.limits)
        self._arriving: dict[bytes, asyncio.Lock] = {}
        for piece in state.staged.values():
            permit = Permit(piece.permit_bytes, piece.expiry)
            self.quota.restore(piece.payer, piece.nonce, piece.length, permit)

    def reconfigure(self, config: Config) -> None:
        """Take new limits for what comes from now on."""
        self.config = config
        self.quota.limits = config.limits

    def free_leaves(self) -> int:
        """Leaves of the configured capacity that are neither promised, staged nor on their way."""
        capacity = self.config.storage.capacity_gib * LEAVES_PER_GIB
        coming = -(-self.quota.coming // LEAF)
        return capacity - self.state.promised_leaves - self.state.staged_leaves - coming

    async def have(self, root: bytes) -> BlockList | None:
        """The piece, when it is staged or stored."""
        if root.hex() in self.state.staged or await self.store.holders(root):
            return await self.store.piece(root)
        return None

    async def receive(
        self,
        root: bytes,
        size: int,
        body: AsyncIterator[bytes],
        payer: str,
        nonce: int,
        permit: Permit,
        now: int,
        period: int,
    ) -> tuple[int, bool]:
        """Take a piece in.

        Args:
            root: its root, as the uploader says.
            size: bytes that will come.
            body: the bytes; first touched after every check that needs none.
            payer, nonce, permit: the right to upload, its signature verified.
            now, period: chain time.

        Returns:
            (leaves, whether it is new).

        Raises:
            Refusal: 403, 413, 422, 429, 507 with the reason.
        """
        # Two uploads of one piece: the second waits and finds it stored.
        lock = self._arriving.setdefault(root, asyncio.Lock())
        try:
            async with lock:
                known = await self.have(root)
                if known is not None:
                    return known.piece.leaves, False
                if not self.config.storage.accept:
                    raise Refusal(503, "not_accepting", "The node takes no new data.", hint="Choose another node.")
                disk = shutil.disk_usage(self.store.folder).free
                room = self.free_leaves() * LEAF
                ticket = self.quota.admit(payer, size, permit, nonce, now=now, free_disk=disk, room=room)
                try:
                    leaves = await self._take(root, size, body, payer, nonce, permit, period)
                except BaseException:
                    ticket.abandoned()
                    raise
                ticket.done()
                return leaves, True
        finally:
            if not lock.locked() and self._arriving.get(root) is lock:
                del self._arriving[root]

    async def _take(
        self, root: bytes, size: int, body: AsyncIterator[bytes], payer: str, nonce: int, permit: Permit, period: int
    ) -> int:
        digests: list[bytes] = []
        length = filled = 0
        # One block in memory, filled again and again: a fresh MiB for each costs more than what is done with it.
        block = memoryview(bytearray(min(size, BLOCK)))
        try:
            with await self.store.in_disk_thread(self.store.blocks.batch) as batch:
                async for part in body:
                    length += len(part)
                    if length > size:
                        raise Refusal(
                            400, "too_long", "The body is longer than announced.", hint="Send Content-Length bytes."
                        )
                    rest = memoryview(part)
                    while rest:
                        count = min(len(rest), len(block) - filled)
                        block[filled : filled + count] = rest[:count]
                        filled, rest = filled + count, rest[count:]
                        if filled == BLOCK:
                            digests.append(await self.store.in_disk_thread(batch.add, block))
                            filled = 0
                if length != size:
                    raise Refusal(
                        400, "too_short", f"The body ended after {length} of {size} bytes.", hint="Send it again."
                    )
                if filled:
                    digests.append(await self.store.in_disk_thread(batch.add, block[:filled]))
                blocks = BlockList(tuple(digests), length)
                piece = blocks.piece
                if piece.root != root:
                    raise Refusal(
                        422, "wrong_root", "The bytes are not the piece this root names.",
                        hint="Send the piece whose root is in the address.",
                        data={"root": piece.root.hex(), "leaves": piece.leaves},
                    )  # fmt: skip
                await self.store.add(blocks, batch)
        except BlockNotFound as error:
            raise Refusal(
                503, "again", "A shared block was deleted meanwhile.", hint="Send the piece again."
            ) from error
        staged = StagedPiece(root.hex(), piece.leaves, length, payer, nonce, permit.bytes, permit.expiry, period)
        await self.recorder.record(Step.STAGED, **asdict(staged))
        return piece.leaves

    def unstaged(self, pieces: list[StagedPiece]) -> None:
        """These pieces left staging for an agreement."""
        for piece in pieces:
            self.quota.released(piece.payer, piece.length)

    async def drop_stale(self, period: int, now: int) -> int:
        """Let go what no deal took in time; the number of pieces dropped.

        A deal over a piece that arrived in period p starts at p + START_LEAD at the latest.
        """
        self.quota.forget(now)
        dropped = 0
        for piece in [p for p in self.state.staged.values() if period > p.period + START_LEAD]:
            root = bytes.fromhex(piece.root)
            async with self._arriving.setdefault(root, asyncio.Lock()):
                if piece.root not in self.state.staged or await self.store.holders(root):
                    continue
                await self.recorder.record(Step.DROPPED, root=piece.root)
                self.quota.released(piece.payer, piece.length)
                await self.store.remove(root)
                dropped += 1
            self._arriving.pop(root, None)
        if dropped:
            self.log.info("staging dropped", pieces=dropped)
        return dropped
