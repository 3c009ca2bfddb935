"""What a put stores: the source, its encrypted segments in the spool, the manifest, the pieces of each slot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING

from blackhole.errors import (
    InputError,
    IntegrityError,
)
from blackhole.protocol import INLINE_MAX, SEGMENT
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.blocks import BlockList
from blackhole.storage.encryption import new_salt
from blackhole.storage.ipfs.cid import BLAKE3, DAG_CBOR, Cid
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.manifest import ManifestBlock, Segment, SegmentsManifest
from blackhole.storage.put_base import PutBase
from blackhole.storage.put_journal import PutStep
from blackhole.storage.small import write_inline
from blackhole.storage.sources import Source
from blackhole.storage.spooling import ShardFile
from blackhole.storage.upload import Outgoing

if TYPE_CHECKING:
    pass


class PutContent(PutBase):
    """From the source to pieces. Everything is journalled before it counts."""

    async def _absorb(self) -> None:
        """Read a source of unknown size to its end, encrypting it into the spool: only then a price can be asked."""
        if self.state.started.get("size") is not None:
            return
        source = self._source()
        self._spools.prepare(0)
        buffer = memoryview(bytearray(SEGMENT))
        size = 0
        while True:
            count = await asyncio.to_thread(source.read_into, buffer)
            if count or not size:
                index = size // SEGMENT
                if size + count <= INLINE_MAX:
                    self._inline = bytes(buffer[:count])
                else:
                    self._spools.prepare(2 * count)
                    await self._encrypt(index, buffer[:count], SegmentLayout(self.profile, count), shards=False)
                size += count
            if count < SEGMENT:
                break
        await asyncio.to_thread(source.finish)
        await self._step(PutStep.STARTED, **{**self.state.started, "size": size})

    def _source(self) -> Source:
        if self.source is None:
            raise InputError(
                "What was interrupted can only be finished with its source.", hint="Run put again with the same file."
            )
        return self.source

    async def _encrypt(
        self, index: int, plaintext: memoryview, layout: SegmentLayout, *, shards: bool
    ) -> ShardFile | None:
        """Encrypt a segment under a fresh salt, which is journalled first."""
        known = self.state.segments.get(index)
        salt = new_salt()
        await self._step(PutStep.SALTED, segment=index, salt=salt.hex(), attempt=known.attempt + 1 if known else 0)
        lists, file = await asyncio.to_thread(self._spools.fresh, index, salt, plaintext, layout, shards=shards)
        await self._encoded(index, lists)
        return file

    async def _encoded(self, index: int, lists: list[BlockList]) -> None:
        pieces = [blocks.piece for blocks in lists]
        await self._step(
            PutStep.ENCODED,
            segment=index,
            pieces=[[piece.root.hex(), piece.leaves] for piece in pieces],
            row={"digests": [[digest.hex() for digest in blocks.digests] for blocks in lists]},
        )

    def _disk_need(self) -> int:
        """bytes of spool still to be written, and of the shards on their way."""
        missing = [each for index, each in enumerate(self._layouts) if not self._spools.has(index, each)]
        ahead = sorted((each.n * each.shard_length for each in self._layouts), reverse=True)[:3]
        return sum(each.k * each.shard_length for each in missing) + sum(ahead)

    async def _again(self, index: int, layout: SegmentLayout) -> ShardFile | None:
        """The shards of a segment that was encrypted before; None when it was not, or its spool is of no use."""
        segment = self.state.segments.get(index)
        if segment is None or not segment.pieces:
            return None
        try:
            lists, file = await asyncio.to_thread(self._spools.again, index, segment.salt, layout)
        except (IntegrityError, OSError):
            return None
        if [tuple(blocks.piece) for blocks in lists] == segment.pieces:
            return file
        if file is not None:
            file.close()
        return None

    async def _read(self, index: int, layout: SegmentLayout, target: memoryview) -> None:
        """The plaintext of a segment from the source."""
        source = self._source()
        if self.state.sealed is not None:
            raise IntegrityError(
                "The spool of this put is lost, and its manifest is sealed.",
                hint="Remove its journal and put the file again; nothing more is paid for this one.",
            )

        def read() -> int:
            if index and not source.seek(index * SEGMENT):
                raise InputError(
                    "What was interrupted came from a pipe and cannot be read again.", hint="Put it again."
                )
            return source.read_into(target)

        if await asyncio.to_thread(read) < layout.length:
            await asyncio.to_thread(source.finish)  # says that the file shrank
            raise InputError("The source ended early.", hint="Put it again.")

    def _outgoing(self, index: int, layout: SegmentLayout, file: ShardFile | None) -> list[Outgoing]:
        """A segment's shards, a slot each: from the shard file while it is there, else from the spool."""
        segment = self.state.segments[index]

        def parts(shard: int) -> tuple[Iterator[bytes], bool]:
            if file is not None and file.open:
                return file.parts(shard), False
            return self._spools.shard(index, segment.salt, layout, shard), True

        return [
            Outgoing(root, layout.shard_length, partial(parts, shard)) for shard, (root, _) in enumerate(segment.pieces)
        ]

    @staticmethod
    def _whole(block: ManifestBlock) -> Outgoing:
        return Outgoing(block.piece.root, len(block.data), lambda: (iter([block.data]), False))

    async def _seal(self) -> tuple[ManifestBlock, ...]:
        """The manifest. Once it is journalled nothing of the object changes."""
        if self.state.sealed is None:
            if self._layouts:
                segments = tuple(
                    Segment(
                        self.profile,
                        layout.length,
                        self.state.segments[index].salt,
                        tuple(
                            tuple(bytes.fromhex(digest) for digest in shard)
                            for shard in self.state.segments[index].row["digests"]
                        ),
                    )
                    for index, layout in enumerate(self._layouts)
                )
                blocks = SegmentsManifest(self.profile, self.size, self.keys.commitment, segments).encode()
            else:
                blocks = write_inline(self.keys, await self._small()).encode()
            await self._step(PutStep.SEALED, blocks=[block.data.hex() for block in blocks])
        return self._manifest

    @cached_property
    def _manifest(self) -> tuple[ManifestBlock, ...]:
        assert self.state.sealed is not None
        datas = [bytes.fromhex(data) for data in self.state.sealed["blocks"]]
        return tuple(ManifestBlock(Cid.of(data, DAG_CBOR, BLAKE3), data) for data in datas)

    async def _small(self) -> bytes:
        """The bytes of an object that fits its manifest."""
        if self._inline is None:
            buffer = memoryview(bytearray(self.size))
            source = self._source()
            count = await asyncio.to_thread(source.read_into, buffer)
            await asyncio.to_thread(source.finish)
            self._inline = bytes(buffer[:count])
        return self._inline

    def _pieces(self, index: int) -> PieceList:
        """What slot `index` holds: its shard of each segment, then the manifest."""
        shards = [Piece(*self.state.segments[at].pieces[index]) for at in range(len(self._layouts))]
        return PieceList((*shards, *(block.piece for block in self._manifest)))
