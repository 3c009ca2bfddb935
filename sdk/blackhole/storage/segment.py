"""Writing a segment: encrypt, encode, mask and hash, a row of blocks at a time.

Encryption happens once. The ciphertext goes to a `Spool`, a private file, and everything later comes from there: shards
for nodes that were slow, retries, resumed puts. A lost spool means a fresh salt, never a second encryption with the old
one.

Memory: `workers` rows of n MiB, whatever the segment's size. Every step releases the interpreter lock, so two workers
on two cores are close to twice as fast.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK
from blackhole.storage.blocks import block_digest
from blackhole.storage.encryption import Buffer, SegmentEncryptor
from blackhole.storage.erasure import ErasureCode
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.masking import ShardMasks
from blackhole.storage.rows import RowBuffer


class EncodedRow(NamedTuple):
    """The same block of every shard asked for. `blocks` are views into reused memory: valid until the next row is
    taken."""

    row: int
    shards: Sequence[int]
    blocks: Sequence[memoryview]
    digests: Sequence[bytes]
    """BLAKE3 of each block."""


class Spool:
    """The ciphertext of one segment in a file of mode 0600: data shards one behind the other, before masking."""

    def __init__(self, path: str | os.PathLike[str], layout: SegmentLayout, *, create: bool = False) -> None:
        """Open, or with `create` make, a spool. Raises OSError; IntegrityError when the file has another length."""
        self.path = Path(path)
        self.layout = layout
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        self._descriptor = os.open(self.path, flags, 0o600)
        size = layout.k * layout.shard_length
        if create:
            os.truncate(self._descriptor, size)
        elif os.fstat(self._descriptor).st_size != size:
            self.close()
            raise IntegrityError(f"the spool {self.path} is not of this segment")

    def write_row(self, row: int, rows: RowBuffer) -> None:
        """Keep the data blocks of a row."""
        span = self.layout.row_span(row)
        for shard in range(self.layout.k):
            _write_at(self._descriptor, rows.row(shard, 0, span.length), shard * self.layout.shard_length + span.start)

    def read_into(self, shard: int, start: int, target: memoryview) -> None:
        """Read bytes of a data shard. Raises IntegrityError when the file ends too early."""
        offset = shard * self.layout.shard_length + start
        done = 0
        while done < len(target):
            count = os.preadv(self._descriptor, [target[done:]], offset + done)
            if count == 0:
                raise IntegrityError(f"the spool {self.path} is cut off")
            done += count

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; it stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RowEncoder:
    """Makes rows of one segment in memory it reuses. One thread at a time."""

    def __init__(self, layout: SegmentLayout, masks: ShardMasks) -> None:
        self.layout = layout
        self._masks = masks
        self._code = ErasureCode(layout.k, layout.n)
        self._rows = RowBuffer(layout.n, min(BLOCK, layout.shard_length))

    def encrypt(self, row: int, plaintext: memoryview, encryptor: SegmentEncryptor) -> None:
        """Fill the data blocks of a row; `plaintext` are all bytes of the segment."""
        layout, rows, unit = self.layout, self._rows, self.layout.unit
        first = self.layout.row_stripes(row).start
        for stripe in layout.row_stripes(row):
            at = (stripe - first) * unit
            for shard in range(layout.k):
                chunk = stripe * layout.k + shard
                if chunk >= layout.chunks:
                    rows.row(shard, at, unit)[:] = bytes(unit)
                    continue
                source = layout.chunk_plaintext(chunk)
                used = len(source) + 16
                encryptor.encrypt_into(chunk, plaintext[source.start : source.stop], rows.row(shard, at, used))
                if used < unit:
                    rows.row(shard, at + used, unit - used)[:] = bytes(unit - used)

    def load(self, row: int, spool: Spool) -> None:
        """Fill the data blocks of a row from the spool."""
        span = self.layout.row_span(row)
        for shard in range(self.layout.k):
            spool.read_into(shard, span.start, self._rows.row(shard, 0, span.length))

    def save(self, row: int, spool: Spool) -> None:
        """Keep the data blocks of a row in the spool."""
        spool.write_row(row, self._rows)

    def finish(self, row: int, shards: Sequence[int] | None = None) -> EncodedRow:
        """Encode, mask and hash: the blocks of all shards, or of some."""
        layout, rows = self.layout, self._rows
        span = layout.row_span(row)
        wanted = range(layout.n) if shards is None else shards
        parity = [shard for shard in wanted if shard >= layout.k]
        self._code.rebuild(rows, range(layout.k), parity, 0, span.length)
        blocks = [rows.row(shard, 0, span.length) for shard in wanted]
        for shard, block in zip(wanted, blocks, strict=True):
            self._masks.apply(shard, span.start, block, block)
        return EncodedRow(row, wanted, blocks, [block_digest(block) for block in blocks])


def encode_segment(
    plaintext: Buffer,
    layout: SegmentLayout,
    encryptor: SegmentEncryptor,
    masks: ShardMasks,
    *,
    spool: Spool | None = None,
    workers: int = 1,
) -> Iterator[EncodedRow]:
    """Encrypt a segment and yield its rows in order. `plaintext` is the whole segment (a reusable `bytearray` of 64 MiB
    does); `spool` receives the ciphertext. Call from a thread of its own when an event loop is running.

    Raises ValueError when `plaintext` is not as long as `layout` says, StorageError when the encryptor was used before.
    """
    view = memoryview(plaintext).cast("B")
    if len(view) != layout.length:
        raise ValueError(f"the segment has {layout.length} bytes, the plaintext {len(view)}")
    if encryptor.chunks != layout.chunks:
        raise ValueError("the encryptor is of another segment")

    def make(encoder: RowEncoder, row: int) -> EncodedRow:
        encoder.encrypt(row, view, encryptor)
        if spool is not None:
            encoder.save(row, spool)
        return encoder.finish(row)

    return _rows(layout, masks, range(layout.rows), make, workers)


def encode_spool(
    spool: Spool,
    masks: ShardMasks,
    *,
    rows: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    workers: int = 1,
) -> Iterator[EncodedRow]:
    """The rows of a segment (all, or `rows`), of all shards or some, from its spool: no content key is needed."""
    layout = spool.layout

    def make(encoder: RowEncoder, row: int) -> EncodedRow:
        encoder.load(row, spool)
        return encoder.finish(row, shards)

    return _rows(layout, masks, range(layout.rows) if rows is None else rows, make, workers)


def shard_blocks(spool: Spool, masks: ShardMasks, shard: int) -> Iterator[bytes]:
    """The blocks of one shard from the spool, a block in memory at a time: for an upload that goes at its own pace."""
    layout = spool.layout
    code = ErasureCode(layout.k, layout.n)
    slice_length = 64 << 10
    scratch = RowBuffer(layout.k + 1, slice_length)
    for row in range(layout.rows):
        span = layout.row_span(row)
        block = bytearray(span.length)
        view = memoryview(block)
        if shard < layout.k:
            spool.read_into(shard, span.start, view)
        else:
            for at in range(0, span.length, slice_length):
                count = min(slice_length, span.length - at)
                for source in range(layout.k):
                    spool.read_into(source, span.start + at, scratch.row(source, 0, count))
                code.combine(scratch, range(layout.k), (layout.k,), (code.matrix[shard],), 0, count)
                view[at : at + count] = scratch.row(layout.k, 0, count)
        masks.apply(shard, span.start, view, view)
        yield bytes(block)


def _rows(
    layout: SegmentLayout,
    masks: ShardMasks,
    rows: Sequence[int],
    make: Callable[[RowEncoder, int], EncodedRow],
    workers: int,
) -> Iterator[EncodedRow]:
    if workers <= 1 or len(rows) <= 1:
        encoder = RowEncoder(layout, masks)
        for row in rows:
            yield make(encoder, row)
        return
    encoders = [RowEncoder(layout, masks) for _ in range(min(workers, len(rows)))]
    waiting = deque(rows)
    running: deque[tuple[RowEncoder, Future[EncodedRow]]] = deque()
    with ThreadPoolExecutor(len(encoders), thread_name_prefix="encode") as pool:
        try:
            for encoder in encoders:
                running.append((encoder, pool.submit(make, encoder, waiting.popleft())))
            while running:
                encoder, future = running.popleft()
                yield future.result()
                # The caller is done with this row: its memory is free for the next.
                if waiting:
                    running.append((encoder, pool.submit(make, encoder, waiting.popleft())))
        finally:
            for _, future in running:
                future.cancel()


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
