"""The way of a byte through `put` and `get`, without network and disk: encrypt, encode, mask and hash at 10 of 14,
against sha256sum (one worker) and openssl (two) over as many bytes; reading back, rebuilding, and a possession proof.

    python benchmarks/bench_pipeline.py [ROUNDS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blackhole.protocol import BLOCK, SEGMENT
from blackhole.storage.blocks import block_cid
from blackhole.storage.encryption import ObjectKeys, new_object_key, new_salt
from blackhole.storage.ipfs.cid import Cid
from blackhole.storage.ipfs.store import MemoryBlockStore
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.masking import ShardMasks
from blackhole.storage.profiles import PROFILES
from blackhole.storage.proofs import prove_chunk
from blackhole.storage.segment import SegmentCoder, encode_segment
from blackhole.storage.segment_read import RowDecoder, ShardRebuilder
from results import measured, write

SEGMENTS = 4


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Pipeline:
    """One object's segments, over and over."""

    def __init__(self) -> None:
        self.profile = PROFILES["dc"]
        self.layout = SegmentLayout(self.profile, SEGMENT)
        self.keys = ObjectKeys(new_object_key())
        self.plaintext = bytearray(os.urandom(SEGMENT))
        self.coders = {workers: SegmentCoder(self.profile, workers) for workers in (1, 2)}

    def write(self, workers: int) -> None:
        """Encrypt, encode, mask and hash SEGMENTS segments, each with a fresh salt as `put` does."""
        for index in range(SEGMENTS):
            salt = new_salt()
            encryptor = self.keys.encryptor(index, salt, self.layout.chunks)
            masks = ShardMasks(self.keys.mask_key, salt)
            for _ in encode_segment(self.plaintext, self.layout, encryptor, masks, coder=self.coders[workers]):
                pass

    def stored(self) -> tuple[bytes, list[dict[int, bytes]]]:
        """(salt, the blocks of one segment by row and shard)."""
        salt = new_salt()
        encryptor = self.keys.encryptor(0, salt, self.layout.chunks)
        masks = ShardMasks(self.keys.mask_key, salt)
        rows = encode_segment(self.plaintext, self.layout, encryptor, masks, coder=self.coders[1])
        return salt, [dict(zip(row.shards, map(bytes, row.blocks), strict=True)) for row in rows]


def main(rounds: int) -> None:
    pipeline = Pipeline()
    salt, stored = pipeline.stored()
    layout, keys = pipeline.layout, pipeline.keys
    masks = ShardMasks(keys.mask_key, salt)
    decoder = RowDecoder(layout, keys.decryptor(0, salt, layout.chunks), masks)
    rebuilder = ShardRebuilder(layout, masks)
    whole = [{shard: row[shard] for shard in range(layout.k)} for row in stored]
    lossy = [{shard: row[shard] for shard in range(4, layout.n)} for row in stored]
    block = os.urandom(BLOCK)
    cid = block_cid(block)
    store = MemoryBlockStore()
    store.put_many([(cid, block)])

    def read(rows: list[dict[int, bytes]]) -> None:
        for number, blocks in enumerate(rows):
            for each in blocks.values():
                block_cid(each)
            decoder.row(number, blocks)

    def rebuild() -> None:
        for number, blocks in enumerate(lossy):
            for each in blocks.values():
                block_cid(each)
            for each in rebuilder.row(number, blocks, [0, 1, 2, 3]).blocks.values():
                block_cid(each)

    size = SEGMENTS * SEGMENT / 1e6
    segment = SEGMENT / 1e6
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "plaintext"
        path.write_bytes(bytes(pipeline.plaintext) * SEGMENTS)

        def command(*words: str) -> Callable[[], object]:
            return lambda: subprocess.run([*words, str(path)], stdout=subprocess.DEVNULL, check=True)

        steps: list[tuple[str, Callable[[], object], float]] = [
            ("write 1", lambda: pipeline.write(1), size),
            ("sha256sum", command("sha256sum"), size),
            ("write 2", lambda: pipeline.write(2), size),
            ("openssl", command("openssl", "dgst", "-sha256"), size),
            ("read", lambda: read(whole), segment),
            ("read lossy", lambda: read(lossy), segment),
            ("rebuild", rebuild, segment),
        ]
        for _, work, _ in steps:
            work()
        for _ in range(rounds):
            for name, work, megabytes in steps:
                figures.setdefault(name, []).append(megabytes / seconds(work))
            proof = seconds(lambda: prove_chunk(store.get(cid), 700, Cid(cid).digest))
            figures.setdefault("proof", []).append(1000 * proof)
    write(
        "pipeline",
        [
            measured(
                "encrypt, encode, mask, hash; 10 of 14, 1 worker; peer sha256sum",
                figures["write 1"],
                "MB/s",
                peer=figures["sha256sum"],
                goal="≥ 4",
            ),
            measured(
                "the same with 2 workers; peer openssl dgst -sha256",
                figures["write 2"],
                "MB/s",
                peer=figures["openssl"],
                goal="≥ 2.2",
            ),
            measured(
                "verify and decrypt from the data shards, 1 thread; peer sha256sum",
                figures["read"],
                "MB/s",
                peer=figures["sha256sum"],
            ),
            measured(
                "verify, decode and decrypt without 4 data shards, 1 thread; peer sha256sum",
                figures["read lossy"],
                "MB/s",
                peer=figures["sha256sum"],
            ),
            measured("verify, rebuild 4 lost shards and hash them, MB of the segment", figures["rebuild"], "MB/s"),
            measured("prove a KiB: read a 1 MiB block and recompute its tree, Python alone", figures["proof"], "ms"),
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
