"""The files a `put` works from: ciphertext that stays until its deals are open, and shards while they are sent.

Each segment's ciphertext is a `Spool` of mode 0600. Its shards are written once to one file beside it, so that every
node is served at its own pace and nothing is encoded twice; the file goes when all nodes have their shard. What is
needed later (another node takes a shard, the put is resumed) is made from the spool again and is the same byte by byte.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from blackhole.errors import DiskFull, IntegrityError
from blackhole.paths import disk_errors, private_folder
from blackhole.protocol import BLOCK, INLINE_MAX, SEGMENT
from blackhole.storage.blocks import BlockList
from blackhole.storage.encryption import ObjectKeys
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.masking import ShardMasks
from blackhole.storage.profiles import Profile
from blackhole.storage.segment import EncodedRow, SegmentCoder, Spool, encode_segment, encode_spool, shard_blocks

PART = 256 * 2**10
"""bytes. Pieces are sent in parts of this size: what an upload holds in memory."""
WORKERS = 2
"""Encoder threads."""
ROWS_BYTES = 64 * 2**20
"""bytes of rows in all encoders: a profile of many shards gets by with one worker."""
RESERVE = 64 * 2**20
"""bytes left free on the disk."""


class ShardFile:
    """All shards of one segment in one file, one behind the other."""

    def __init__(self, path: Path, layout: SegmentLayout) -> None:
        self.path = path
        self.layout = layout
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, row: EncodedRow) -> None:
        """Keep the blocks of a row."""
        for shard, block in zip(row.shards, row.blocks, strict=True):
            offset = shard * self.layout.shard_length + row.row * BLOCK
            done = 0
            while done < len(block):
                done += os.pwrite(self._descriptor, block[done:], offset + done)

    def parts(self, shard: int) -> Iterator[bytes]:
        """The bytes of a shard, part by part; a reader that has begun may end after `close`."""
        offset, left = shard * self.layout.shard_length, self.layout.shard_length
        descriptor = os.dup(self._descriptor)
        try:
            while left:
                part = os.pread(descriptor, min(PART, left), offset)
                if not part:
                    raise IntegrityError(f"{self.path} is cut off")
                yield part
                offset += len(part)
                left -= len(part)
        finally:
            os.close(descriptor)

    @property
    def open(self) -> bool:
        """Whether it is still there."""
        return self._descriptor >= 0

    def close(self) -> None:
        """Remove it. Removing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self.path.unlink(missing_ok=True)


class SpoolFolder:
    """The files of one put."""

    def __init__(self, path: Path, keys: ObjectKeys) -> None:
        self.path = path
        self._keys = keys
        self._kept: SegmentCoder | None = None

    def prepare(self, need: int) -> None:
        """Make the folder and check that the disk has room for `need` more bytes. Raises DiskFull."""
        private_folder(self.path)
        free = shutil.disk_usage(self.path).free
        if free < need + RESERVE:
            raise DiskFull(
                f"{self.path} has {free} bytes free, {need + RESERVE} are needed while the object is stored.",
                hint="Free some space, or point BLACKHOLE_HOME to a larger disk.",
                data={"free_bytes": free, "needed_bytes": need + RESERVE, "path": str(self.path)},
            )

    def fresh(
        self, segment: int, salt: bytes, plaintext: memoryview, layout: SegmentLayout, *, shards: bool
    ) -> tuple[list[BlockList], ShardFile | None]:
        """Encrypt a segment into its spool; the block lists of all shards, and with `shards` the shards too.

        `salt` must be fresh and journalled: an older spool of the segment is thrown away.
        """
        path = self._spool_path(segment)
        path.unlink(missing_ok=True)
        masks = ShardMasks(self._keys.mask_key, salt)
        encryptor = self._keys.encryptor(segment, salt, layout.chunks)
        with disk_errors(path), Spool(path, layout, create=True) as spool:
            rows = encode_segment(plaintext, layout, encryptor, masks, spool=spool, coder=self._coder(layout))
            return self._collect(segment, layout, rows, shards=shards)

    def again(self, segment: int, salt: bytes, layout: SegmentLayout) -> tuple[list[BlockList], ShardFile | None]:
        """The shards of a segment from its spool. Raises IntegrityError or OSError when that is lost or damaged."""
        with Spool(self._spool_path(segment), layout) as spool:
            rows = encode_spool(spool, ShardMasks(self._keys.mask_key, salt), coder=self._coder(layout))
            return self._collect(segment, layout, rows, shards=True)

    def has(self, segment: int, layout: SegmentLayout) -> bool:
        """Whether the spool of a segment is there, in its full length."""
        try:
            return self._spool_path(segment).stat().st_size == layout.k * layout.shard_length
        except OSError:
            return False

    def shard(self, segment: int, salt: bytes, layout: SegmentLayout, shard: int) -> Iterator[bytes]:
        """One shard from the spool, a block at a time."""
        with Spool(self._spool_path(segment), layout) as spool:
            yield from shard_blocks(spool, ShardMasks(self._keys.mask_key, salt), shard)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _coder(self, layout: SegmentLayout) -> SegmentCoder:
        """The encoders of this put, kept from segment to segment."""
        if self._kept is None:
            self._kept = SegmentCoder(layout.profile, min(WORKERS, ROWS_BYTES // (layout.n * BLOCK)))
        return self._kept

    def _collect(
        self, segment: int, layout: SegmentLayout, rows: Iterator[EncodedRow], *, shards: bool
    ) -> tuple[list[BlockList], ShardFile | None]:
        file = ShardFile(self.path / f"segment-{segment:05}.shards", layout) if shards else None
        digests: list[list[bytes]] = [[] for _ in range(layout.n)]
        try:
            with disk_errors(self.path):
                for row in rows:
                    if file is not None:
                        file.write(row)
                    for shard, digest in zip(row.shards, row.digests, strict=True):
                        digests[shard].append(digest)
        except BaseException:
            if file is not None:
                file.close()
            raise
        return [BlockList(tuple(found), layout.shard_length) for found in digests], file

    def _spool_path(self, segment: int) -> Path:
        return self.path / f"segment-{segment:05}.spool"


def layouts(profile: Profile, size: int) -> list[SegmentLayout]:
    """The segments of an object of `size` bytes; none of one that stands in its manifest."""
    if size <= INLINE_MAX:
        return []
    return [SegmentLayout(profile, min(SEGMENT, size - start)) for start in range(0, size, SEGMENT)]
