"""Writing a segment: encrypt, encode, mask and hash, a row of blocks at a time.

Encryption happens once. The ciphertext goes to a `Spool`, a private file, and everything later comes from there: shards
for nodes that were slow, retries, resumed puts. A lost spool means a fresh salt, never a second encryption with the old
one.

Memory: `workers` rows of n MiB, whatever the segment's size. Every step releases the interpreter lock, so two workers
on two cores are close to twice as fast (docs/adr/pipeline-speed.md).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK
from blackhole.storage.blocks import block_digest
from blackhole.storage.encryption import Buffer, SegmentEncryptor
from blackhole.storage.erasure import ErasureCode
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.masking import ShardMasks
from blackhole.storage.profiles import TAG, Profile
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
    """Makes rows in memory it reuses, from segment to segment of one profile. One thread at a time."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._code = ErasureCode(profile.k, profile.n)
        self._rows = RowBuffer(profile.n, BLOCK)
        # Views and native pointers of whole units, by stripe of the row: making them anew costs more than the
        # encryption.
        self._units: list[list[memoryview]] = []
        self._encode: list[Callable[[], None]] = []

    def encrypt(self, row: int, layout: SegmentLayout, plaintext: memoryview, encryptor: SegmentEncryptor) -> None:
        """Fill a row, data and parity; `plaintext` are all bytes of the segment."""
        if layout.unit != self._profile.unit:
            self._encrypt_short(row, layout, plaintext, encryptor)
            return
        if not self._units:
            self._prepare()
        chunk = layout.row_stripes(row).start * layout.k
        for stripe, _ in enumerate(layout.row_stripes(row)):
            units = self._units[stripe]
            if chunk + layout.k < layout.chunks:
                encryptor.encrypt_full(chunk, plaintext, layout.payload, units)
                chunk += layout.k
            else:
                chunk = self._encrypt_units(chunk, layout, plaintext, encryptor, units)
            self._encode[stripe]()

    def _prepare(self) -> None:
        unit, profile = self._profile.unit, self._profile
        starts = range(0, BLOCK, unit)
        self._units = [[self._rows.row(shard, start, unit) for shard in range(profile.k)] for start in starts]
        self._encode = [self._code.prepared_encode(self._rows, start, unit) for start in starts]

    def _encrypt_short(
        self, row: int, layout: SegmentLayout, plaintext: memoryview, encryptor: SegmentEncryptor
    ) -> None:
        """A segment of a single stripe with a unit of its own."""
        units = [self._rows.row(shard, 0, layout.unit) for shard in range(layout.k)]
        self._encrypt_units(row, layout, plaintext, encryptor, units)
        self._code.encode(self._rows, 0, layout.unit)

    @staticmethod
    def _encrypt_units(
        chunk: int, layout: SegmentLayout, plaintext: memoryview, encryptor: SegmentEncryptor, units: list[memoryview]
    ) -> int:
        """Fill the data units of a stripe that may hold the last chunk: zeros behind it. The number of the next
        chunk."""
        for unit in units:
            used = 0
            if chunk < layout.chunks:
                source = layout.chunk_plaintext(chunk)
                used = len(source) + TAG
                encryptor.encrypt_into(chunk, plaintext[source.start : source.stop], unit[:used])
            unit[used:] = bytes(len(unit) - used)
            chunk += 1
        return chunk

    def load(self, row: int, spool: Spool) -> None:
        """Fill the data blocks of a row from the spool."""
        span = spool.layout.row_span(row)
        for shard in range(spool.layout.k):
            spool.read_into(shard, span.start, self._rows.row(shard, 0, span.length))

    def save(self, row: int, spool: Spool) -> None:
        """Keep the data blocks of a row in the spool."""
        spool.write_row(row, self._rows)

    def encode(self, row: int, layout: SegmentLayout, shards: Sequence[int]) -> None:
        """Make the parity blocks among `shards` from data blocks that were loaded."""
        parity = [shard for shard in shards if shard >= layout.k]
        self._code.rebuild(self._rows, range(layout.k), parity, 0, layout.row_span(row).length)

    def finish(self, row: int, layout: SegmentLayout, masks: ShardMasks, shards: Sequence[int]) -> EncodedRow:
        """Mask and hash. The row is then used up."""
        span = layout.row_span(row)
        blocks, digests = [], []
        for shard in shards:
            block = self._rows.row(shard, 0, span.length)
            masks.apply(shard, span.start, block, block)
            blocks.append(block)
            digests.append(block_digest(block))
        return EncodedRow(row, shards, blocks, digests)


class SegmentCoder:
    """`workers` row encoders of one profile, to be passed to segment after segment: their memory is made once. It
    serves one segment at a time; a second one meanwhile raises RuntimeError.

    Attributes:
        encrypting: held while a row is encrypted. Encryption is many short calls, and each takes the interpreter lock
            back: two workers at it would mostly wake each other up. One encrypts while the other masks and hashes.
    """

    def __init__(self, profile: Profile, workers: int = 1) -> None:
        self.profile = profile
        self.encrypting = threading.Lock()
        self.encoders = [RowEncoder(profile) for _ in range(max(1, workers))]
        self._busy = threading.Lock()

    @contextmanager
    def _taken(self, profile: Profile) -> Iterator[list[RowEncoder]]:
        if profile != self.profile:
            raise ValueError(f"a coder of profile {self.profile.name} for a segment of {profile.name}")
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("a SegmentCoder serves one segment at a time")
        try:
            yield self.encoders
        finally:
            self._busy.release()


def encode_segment(
    plaintext: Buffer,
    layout: SegmentLayout,
    encryptor: SegmentEncryptor,
    masks: ShardMasks,
    *,
    spool: Spool | None = None,
    workers: int = 1,
    coder: SegmentCoder | None = None,
) -> Iterator[EncodedRow]:
    """Encrypt a segment and yield its rows in order. `plaintext` is the whole segment (a reusable `bytearray` of 64 MiB
    does); `spool` receives the ciphertext; `coder` saves making `workers` encoders anew for each segment. Call from a
    thread of its own when an event loop is running.

    Raises ValueError when `plaintext` is not as long as `layout` says, StorageError when the encryptor was used before.
    """
    view = memoryview(plaintext).cast("B")
    if len(view) != layout.length:
        raise ValueError(f"the segment has {layout.length} bytes, the plaintext {len(view)}")
    if encryptor.chunks != layout.chunks:
        raise ValueError("the encryptor is of another segment")
    shards = range(layout.n)
    used = coder or SegmentCoder(layout.profile, min(workers, layout.rows))

    def make(encoder: RowEncoder, row: int) -> EncodedRow:
        with used.encrypting:
            encoder.encrypt(row, layout, view, encryptor)
        if spool is not None:
            encoder.save(row, spool)
        return encoder.finish(row, layout, masks, shards)

    return _rows(used, layout, range(layout.rows), make)


def encode_spool(
    spool: Spool,
    masks: ShardMasks,
    *,
    rows: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    workers: int = 1,
    coder: SegmentCoder | None = None,
) -> Iterator[EncodedRow]:
    """The rows of a segment (all, or `rows`), of all shards or some, from its spool: no content key is needed."""
    layout = spool.layout
    wanted = range(layout.n) if shards is None else shards

    def make(encoder: RowEncoder, row: int) -> EncodedRow:
        encoder.load(row, spool)
        encoder.encode(row, layout, wanted)
        return encoder.finish(row, layout, masks, wanted)

    chosen = range(layout.rows) if rows is None else rows
    return _rows(coder or SegmentCoder(layout.profile, min(workers, len(chosen))), layout, chosen, make)


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
    coder: SegmentCoder,
    layout: SegmentLayout,
    rows: Sequence[int],
    make: Callable[[RowEncoder, int], EncodedRow],
) -> Iterator[EncodedRow]:
    with coder._taken(layout.profile) as all_encoders:
        encoders = all_encoders[: max(1, len(rows))]
        if len(encoders) == 1:
            for row in rows:
                yield make(encoders[0], row)
            return
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
