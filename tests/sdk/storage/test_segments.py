"""Segments: any k shards give the bytes back, lost shards come back as they were, and masks stop who stores nothing."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import random
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from blackhole.errors import IntegrityError, NotEnoughShards, StorageError
from blackhole.protocol import BLOCK, SEGMENT
from blackhole.storage import encryption, erasure, galois
from blackhole.storage.blocks import block_digest
from blackhole.storage.encryption import ObjectKeys, SegmentEncryptor
from blackhole.storage.erasure import ErasureCode, IsalEngine, PlainEngine
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.masking import ShardMasks, shard_mask_key
from blackhole.storage.profiles import PROFILES, TAG, Profile
from blackhole.storage.rows import RowBuffer
from blackhole.storage.segment import SegmentCoder, Spool, encode_segment, encode_spool, shard_blocks
from blackhole.storage.segment_read import RowDecoder, ShardRebuilder, decode_segment, rebuild_shards
from hypothesis import given, settings
from hypothesis import strategies as st

KEYS = ObjectKeys(hashlib.sha256(b"object").digest())
SALT = bytes(range(16))
MASKS = ShardMasks(KEYS.mask_key, SALT)

Rows = list[dict[int, bytes]]


def content(size: int, seed: bytes = b"segment") -> bytes:
    return hashlib.shake_128(seed).digest(size)


def encode(layout: SegmentLayout, plaintext: bytes, salt: bytes = SALT, **options: int) -> Rows:
    encryptor = KEYS.encryptor(0, salt, layout.chunks)
    masks = ShardMasks(KEYS.mask_key, salt)
    rows = encode_segment(plaintext, layout, encryptor, masks, **options)
    return [dict(zip(row.shards, map(bytes, row.blocks), strict=True)) for row in rows]


def decode(
    layout: SegmentLayout, rows: Rows, shards: list[int], start: int = 0, stop: int | None = None, salt: bytes = SALT
) -> bytes:
    decryptor = KEYS.decryptor(0, salt, layout.chunks)
    masks = ShardMasks(KEYS.mask_key, salt)

    def fetch(row: int) -> Mapping[int, bytes]:
        return {shard: rows[row][shard] for shard in shards}

    return b"".join(decode_segment(layout, decryptor, masks, fetch, start, stop))


@cache
def sample(name: str, size: int) -> tuple[SegmentLayout, bytes, Rows]:
    layout = SegmentLayout(PROFILES[name], size)
    plaintext = content(size)
    return layout, plaintext, encode(layout, plaintext)


def sizes(profile: Profile) -> list[int]:
    return [0, 1, profile.unit - 1, profile.unit + 1, profile.k * profile.unit - 1, profile.k * profile.unit + 1]


SAMPLES = [(name, size) for name, profile in PROFILES.items() for size in [*sizes(profile), 5_000_001]]


# The layout


@given(st.sampled_from(list(PROFILES.values())), st.integers(0, SEGMENT))
def test_the_layout_places_every_chunk_once_and_inside_its_shard(profile: Profile, size: int) -> None:
    layout = SegmentLayout(profile, size)
    assert layout.unit % 1024 == 0
    assert layout.shard_length % 1024 == 0
    assert layout.unit <= profile.unit
    assert layout.unit == profile.unit or layout.stripes == 1
    assert layout.rows == 1 or BLOCK % layout.unit == 0
    assert layout.chunks <= layout.k * layout.stripes < layout.chunks + layout.k
    ends = [layout.chunk_plaintext(chunk) for chunk in (0, layout.chunks // 2, layout.chunks - 1)]
    assert ends[0].start == 0
    assert ends[-1].stop == size
    for chunk in (0, layout.chunks - 1):
        shard, span = layout.chunk_place(chunk)
        assert 0 <= shard < layout.k
        assert span.start + span.length <= layout.shard_length
    assert sum(layout.row_span(row).length for row in range(layout.rows)) == layout.shard_length
    assert [byte for row in range(layout.rows) for byte in layout.row_plaintext(row)[:1]] == sorted(
        {layout.row_plaintext(row).start for row in range(layout.rows) if len(layout.row_plaintext(row))}
    )
    assert sum(len(layout.row_plaintext(row)) for row in range(layout.rows)) == size


def test_a_segment_beyond_64_mib_has_no_layout() -> None:
    for size in (-1, SEGMENT + 1):
        with pytest.raises(ValueError, match="a segment has"):
            SegmentLayout(PROFILES["dev"], size)


# The code


def test_the_field_is_the_one_of_0x11d() -> None:
    assert galois.multiply(2, 0x80) == 0x1D
    for value in range(1, 256):
        assert galois.multiply(value, galois.inverse(value)) == 1
    with pytest.raises(ZeroDivisionError):
        galois.inverse(0)
    with pytest.raises(ZeroDivisionError):
        galois.invert([b"\1\1", b"\1\1"])


def isal() -> ctypes.CDLL:
    name = erasure.engine_name()
    if name == "Python":
        pytest.skip("no ISA-L on this machine: the interpreter's own arithmetic is used")
    return ctypes.CDLL(name)


@pytest.mark.parametrize("name", PROFILES)
def test_our_matrix_is_the_one_isal_generates(name: str) -> None:
    profile = PROFILES[name]
    matrix = ctypes.create_string_buffer(profile.n * profile.k)
    isal().gf_gen_cauchy1_matrix(matrix, profile.n, profile.k)
    assert b"".join(galois.cauchy(profile.k, profile.n)) == matrix.raw


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3000), st.randoms(use_true_random=False))
def test_isal_and_the_interpreter_make_the_same_shards(k: int, more: int, length: int, rng: random.Random) -> None:
    isal()
    results = []
    data = [rng.randbytes(length) for _ in range(k)]
    for engine in (IsalEngine(erasure.engine_name()), PlainEngine()):
        code = ErasureCode(k, k + more)
        code._native = engine
        rows = RowBuffer(k + more, length)
        for shard, row in enumerate(data):
            rows.row(shard)[:] = row
        code.encode(rows, 0, length)
        results.append([bytes(rows.row(shard)) for shard in range(k + more)])
    assert results[0] == results[1]


def test_the_interpreter_alone_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, plaintext, rows = sample("dc", 5_000_001)
    monkeypatch.setattr(erasure, "_native", PlainEngine)
    assert encode(layout, plaintext) == rows
    assert decode(layout, rows, list(range(4, 14))) == plaintext


def test_a_library_that_computes_something_else_is_refused() -> None:
    import zlib

    for wrong in (zlib.__file__, ctypes.util.find_library("c") or "libc.so.6"):
        with pytest.raises(OSError, match=r"ISA-L|another code|invalid|cannot open"):
            IsalEngine(wrong)


# Writing and reading


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SAMPLES), st.randoms(use_true_random=False))
def test_any_k_of_n_shards_give_the_segment_back(which: tuple[str, int], rng: random.Random) -> None:
    layout, plaintext, rows = sample(*which)
    assert decode(layout, rows, rng.sample(range(layout.n), layout.k)) == plaintext


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SAMPLES), st.randoms(use_true_random=False))
def test_any_range_comes_back_from_any_k_shards(which: tuple[str, int], rng: random.Random) -> None:
    layout, plaintext, rows = sample(*which)
    start, stop = sorted(rng.choices(range(layout.length + 1), k=2))
    shards = rng.sample(range(layout.n), layout.k)
    assert decode(layout, rows, shards, start, stop) == plaintext[start:stop]


def test_a_small_range_needs_one_unit_of_one_shard() -> None:
    layout, plaintext, rows = sample("dc", 5_000_001)
    start, stop = 1_000_000, 1_000_010
    (chunk,) = layout.chunks_of(start, stop)
    shard, span = layout.chunk_place(chunk)
    row, offset = divmod(span.start, BLOCK)
    part = rows[row][shard][offset : offset + layout.unit]
    decoder = RowDecoder(layout, KEYS.decryptor(0, SALT, layout.chunks), MASKS)
    assert decoder.stripes(chunk // layout.k, 1, {shard: part}, start, stop) == plaintext[start:stop]
    others = {other: rows[row][other][offset : offset + layout.unit] for other in range(layout.n) if other != shard}
    assert decoder.stripes(chunk // layout.k, 1, others, start, stop) == plaintext[start:stop]


@pytest.mark.parametrize("which", SAMPLES, ids=str)
def test_two_workers_and_the_spool_make_the_same_blocks(which: tuple[str, int], tmp_path: Path) -> None:
    layout, plaintext, rows = sample(*which)
    encryptor = KEYS.encryptor(0, SALT, layout.chunks)
    with Spool(tmp_path / "spool", layout, create=True) as spool:
        for row in encode_segment(plaintext, layout, encryptor, MASKS, spool=spool, workers=2):
            assert dict(zip(row.shards, map(bytes, row.blocks), strict=True)) == rows[row.row]
            assert list(row.digests) == [block_digest(rows[row.row][shard]) for shard in row.shards]
        spool.sync()
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o600
    with Spool(tmp_path / "spool", layout) as spool:
        some = [0, layout.k, layout.n - 1]
        for row in encode_spool(spool, MASKS, shards=some, workers=2):
            assert dict(zip(row.shards, map(bytes, row.blocks), strict=True)) == {
                shard: rows[row.row][shard] for shard in some
            }
        for shard in some:
            assert list(shard_blocks(spool, MASKS, shard)) == [row[shard] for row in rows]


def test_a_coder_serves_one_segment_after_the_other_and_never_two_at_once() -> None:
    coder = SegmentCoder(PROFILES["dev"], workers=2)
    for size in (5_000_001, 70, 5_000_001, 200_000, 0):
        layout, plaintext, rows = sample("dev", size)
        encryptor = KEYS.encryptor(0, SALT, layout.chunks)
        made = encode_segment(plaintext, layout, encryptor, MASKS, coder=coder)
        for row in made:
            assert dict(zip(row.shards, map(bytes, row.blocks), strict=True)) == rows[row.row]
            with pytest.raises(RuntimeError, match="one segment at a time"):
                next(encode_segment(plaintext, layout, KEYS.encryptor(0, SALT, layout.chunks), MASKS, coder=coder))
    layout, plaintext, rows = sample("dc", 70)
    with pytest.raises(ValueError, match="profile dev"):
        next(encode_segment(plaintext, layout, KEYS.encryptor(0, SALT, layout.chunks), MASKS, coder=coder))


def test_an_encoding_that_is_given_up_frees_its_coder() -> None:
    coder = SegmentCoder(PROFILES["dev"], workers=2)
    layout, plaintext, rows = sample("dev", 5_000_001)
    given_up = encode_segment(plaintext, layout, KEYS.encryptor(0, SALT, layout.chunks), MASKS, coder=coder)
    next(given_up)
    given_up.close()
    again = encode_segment(plaintext, layout, KEYS.encryptor(0, SALT, layout.chunks), MASKS, coder=coder)
    assert [dict(zip(row.shards, map(bytes, row.blocks), strict=True)) for row in again] == rows


def test_encoding_a_whole_segment_of_std_stays_far_below_256_mib(tmp_path: Path) -> None:
    """In a child of its own: the segment (64 MiB), two rows of 40 MiB, and the interpreter."""
    code = """
import sys
from blackhole.storage.encryption import ObjectKeys
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.masking import ShardMasks
from blackhole.storage.profiles import PROFILES
from blackhole.storage.segment import SegmentCoder, Spool, encode_segment
keys, layout = ObjectKeys(bytes(32)), SegmentLayout(PROFILES["std"], 64 << 20)
plaintext, coder = bytearray(64 << 20), SegmentCoder(PROFILES["std"], 2)
plaintext[::4096] = bytes(len(plaintext) // 4096)  # touch every page: untouched ones would not count
for index in range(3):
    salt = bytes([index]) * 16
    encryptor = keys.encryptor(index, salt, layout.chunks)
    with Spool(f"{sys.argv[1]}/{index}", layout, create=True) as spool:
        for row in encode_segment(plaintext, layout, encryptor, ShardMasks(keys.mask_key, salt), spool=spool,
        coder=coder):
            assert len(row.blocks) == 40
print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 200 * 1024, "KiB at its peak"


def test_a_spool_of_another_segment_or_cut_off_is_refused(tmp_path: Path) -> None:
    layout = SegmentLayout(PROFILES["dev"], 100_000)
    path = tmp_path / "spool"
    Spool(path, layout, create=True).close()
    with pytest.raises(FileExistsError):
        Spool(path, layout, create=True)
    with pytest.raises(IntegrityError):
        Spool(path, SegmentLayout(PROFILES["dev"], 300_000))
    with Spool(path, layout) as spool:
        path.write_bytes(b"")
        with pytest.raises(IntegrityError, match="cut off"):
            next(shard_blocks(spool, MASKS, 0))


def test_a_plaintext_of_another_length_is_refused() -> None:
    layout = SegmentLayout(PROFILES["dev"], 10)
    with pytest.raises(ValueError, match="plaintext"):
        next(encode_segment(bytes(9), layout, KEYS.encryptor(0, SALT, layout.chunks), MASKS))


def test_too_few_shards_are_counted() -> None:
    layout, _, rows = sample("dev", 5_000_001)
    with pytest.raises(NotEnoughShards) as caught:
        decode(layout, rows, [4, 9])
    assert caught.value.data == {"have": 2, "need": 3}
    with pytest.raises(NotEnoughShards):
        ShardRebuilder(layout, MASKS).row(0, {shard: rows[0][shard] for shard in (1, 5)}, [2])


# Repair


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SAMPLES), st.randoms(use_true_random=False))
def test_any_losses_are_rebuilt_to_the_same_blocks_without_the_content_key(
    which: tuple[str, int], rng: random.Random
) -> None:
    layout, _, rows = sample(*which)
    missing = rng.sample(range(layout.n), rng.randint(1, layout.n - layout.k))
    alive = [shard for shard in range(layout.n) if shard not in missing]
    digests = {shard: [block_digest(row[shard]) for row in rows] for shard in missing}

    def fetch(row: int) -> Mapping[int, bytes]:
        return {shard: rows[row][shard] for shard in rng.sample(alive, layout.k)}

    rebuilt = [
        {shard: bytes(block) for shard, block in row.blocks.items()}
        for row in rebuild_shards(layout, ShardMasks(KEYS.mask_key, SALT), fetch, missing, digests)
    ]
    assert rebuilt == [{shard: row[shard] for shard in missing} for row in rows]


def test_a_rebuild_with_a_wrong_key_or_wrong_blocks_gives_nothing_out() -> None:
    layout, _, rows = sample("dev", 5_000_001)
    digests = {2: [block_digest(row[2]) for row in rows]}
    with pytest.raises(IntegrityError):
        list(rebuild_shards(layout, ShardMasks(bytes(32), SALT), lambda row: rows[row], [2], digests))
    spoiled = [{**row, 0: bytes(len(row[0]))} for row in rows]
    with pytest.raises(IntegrityError):
        list(rebuild_shards(layout, MASKS, lambda row: spoiled[row], [2], digests))
    with pytest.raises(IntegrityError, match="has 5 bytes"):
        ShardRebuilder(layout, MASKS).row(0, {**rows[0], 0: b"short"}, [2])


# Secrecy and integrity


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([which for which in SAMPLES if which[1] < 1_000_000]), st.data())
def test_a_changed_byte_of_ciphertext_is_found(which: tuple[str, int], data: st.DataObject) -> None:
    layout, _, rows = sample(*which)
    chunk = data.draw(st.integers(0, layout.chunks - 1))
    shard, span = layout.chunk_place(chunk)
    row, offset = divmod(span.start + data.draw(st.integers(0, span.length - 1)), BLOCK)
    block = bytearray(rows[row][shard])
    block[offset] ^= data.draw(st.integers(1, 255))
    assert block_digest(block) != block_digest(rows[row][shard])
    spoiled = [{**old, shard: bytes(block)} if index == row else old for index, old in enumerate(rows)]
    with pytest.raises(IntegrityError):
        decode(layout, spoiled, list(range(layout.k)))


def test_chunks_can_be_neither_moved_dropped_nor_cut() -> None:
    chunks = [content(100, bytes([index])) for index in range(3)]
    encryptor = KEYS.encryptor(7, SALT, 3)
    sealed = [encryptor.encrypt(index, chunk) for index, chunk in enumerate(chunks)]

    def opens(segment: int, salt: bytes, count: int, index: int, ciphertext: bytes, keys: ObjectKeys = KEYS) -> bool:
        target = memoryview(bytearray(len(ciphertext) - 16))
        try:
            keys.decryptor(segment, salt, count).decrypt_into(index, ciphertext, target)
        except IntegrityError:
            return False
        return bytes(target) in chunks

    assert all(opens(7, SALT, 3, index, sealed[index]) for index in range(3))
    assert not opens(7, SALT, 3, 0, sealed[1])
    assert not opens(7, SALT, 2, 1, sealed[1])
    assert not opens(8, SALT, 3, 0, sealed[0])
    assert not opens(7, bytes(16), 3, 0, sealed[0])
    assert not opens(7, SALT, 3, 0, sealed[0][:-1])
    assert not opens(7, SALT, 3, 0, sealed[0], ObjectKeys(bytes(32)))


def test_a_lying_length_is_found_by_the_reader() -> None:
    layout, _, rows = sample("dev", 200_000)
    for lie in (199_999, 200_001, 196_000):
        other = SegmentLayout(layout.profile, lie)
        assert other.shard_length == layout.shard_length or lie < 196_600
        with pytest.raises(IntegrityError):
            decode(other, rows, [0, 1, 2])


class Recorder:
    """Stands where AES stands and remembers every (key, nonce) with its plaintext."""

    def __init__(self) -> None:
        self.seen: dict[tuple[bytes, bytes], bytes] = {}
        self.calls = 0

    def remember(self, key: bytes, nonce: bytes, plaintext: bytes) -> None:
        self.calls += 1
        assert self.seen.setdefault((key, nonce), plaintext) == plaintext, "one (key, nonce), two plaintexts"


def test_no_key_and_nonce_ever_encrypt_two_plaintexts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Statement 20, over retries of segments, several segments and objects: each AES call in a whole life is
    recorded."""
    from cryptography.hazmat.primitives.ciphers import Cipher, aead

    recorder = Recorder()
    genuine = aead.AESGCM

    class RecordingGcm:
        def __init__(self, key: bytes) -> None:
            self.key, self.aead = key, genuine(key)

        def encrypt_into(self, nonce: bytes, data: bytes, associated: bytes, target: memoryview) -> int:
            recorder.remember(self.key, nonce, bytes(data))
            return self.aead.encrypt_into(nonce, data, associated, target)

    class RecordingStream:
        def __init__(self, algorithm: object, mode: object) -> None:
            self.cipher = Cipher(algorithm, mode)  # type: ignore[arg-type]
            self.key: bytes = algorithm.key  # type: ignore[attr-defined]
            self.counter = int.from_bytes(mode.nonce, "big")  # type: ignore[attr-defined]

        def encryptor(self) -> RecordingStream:
            self.stream = self.cipher.encryptor()
            return self

        def update_into(self, source: memoryview, target: memoryview) -> None:
            data = bytes(source)
            for at in range(0, len(data), 4096):
                counter = (self.counter + at // 16).to_bytes(16, "big")
                recorder.remember(self.key, counter, data[at : at + 4096])
            self.stream.update_into(source, target)

    monkeypatch.setattr(aead, "AESGCM", RecordingGcm)
    monkeypatch.setattr("cryptography.hazmat.primitives.ciphers.Cipher", RecordingStream)
    layout = SegmentLayout(PROFILES["dev"], 300_000)
    attempt = 0
    for seed in (b"one", b"two"):
        keys = ObjectKeys(encryption.new_object_key())
        for segment in range(3):
            for retry in range(2):
                salt = encryption.new_salt()
                plaintext = content(layout.length, seed + bytes([segment, retry]))
                masks = ShardMasks(keys.mask_key, salt)
                attempt += 1
                with Spool(tmp_path / str(attempt), layout, create=True) as spool:
                    encryptor = keys.encryptor(segment, salt, layout.chunks)
                    list(encode_segment(plaintext, layout, encryptor, masks, spool=spool, workers=2))
                    list(encode_spool(spool, masks))
                    list(shard_blocks(spool, masks, 5))
    assert recorder.calls > 12 * layout.chunks


@pytest.mark.parametrize("length", [1000, 1_000_000])
def test_a_second_encryption_with_one_salt_is_refused(length: int) -> None:
    layout = SegmentLayout(PROFILES["dev"], length)
    encryptor = KEYS.encryptor(0, SALT, layout.chunks)
    list(encode_segment(bytes(length), layout, encryptor, MASKS))
    with pytest.raises(StorageError, match="encrypted before"):
        list(encode_segment(bytes(length), layout, encryptor, MASKS))
    with pytest.raises(IndexError):
        SegmentEncryptor(bytes(32), b"", 1).encrypt(1, b"")


def test_chunks_encrypted_in_a_row_are_those_encrypted_one_by_one_and_never_the_last() -> None:
    plaintext = memoryview(content(4 * 100, b"run"))
    one, run = (SegmentEncryptor(bytes(32), b"context", 4) for _ in range(2))
    targets = [memoryview(bytearray(100 + TAG)) for _ in range(3)]
    with pytest.raises(IndexError):
        run.encrypt_full(2, plaintext, 100, targets[:2])
    run.encrypt_full(1, plaintext, 100, targets[:2])
    assert targets[:2] == [one.encrypt(chunk, plaintext[100 * chunk : 100 * chunk + 100]) for chunk in (1, 2)]
    with pytest.raises(StorageError, match="chunk 1 was encrypted before"):
        run.encrypt_full(0, plaintext, 100, targets)


def test_secrets_stay_out_of_representations() -> None:
    for secret in (KEYS, MASKS, KEYS.encryptor(0, SALT, 1)):
        assert KEYS.mask_key.hex() not in repr(secret)
        assert "\\x" not in repr(secret)


def free_ride(rows: dict[int, bytes], code: ErasureCode, cheat: int, at: int) -> bytes:
    """What a node that deleted shard `cheat` answers for a leaf, from the same leaf of k peers."""
    peers = [shard for shard in range(code.n) if shard != cheat][: code.k]
    scratch = RowBuffer(code.n, 1024)
    for shard in peers:
        scratch.row(shard)[:] = rows[shard][at : at + 1024]
    code.rebuild(scratch, peers, [cheat], 0, 1024)
    return bytes(scratch.row(cheat))


@pytest.mark.parametrize("cheat", [0, 2, 3, 9])
def test_a_node_that_stores_nothing_cannot_answer_from_its_peers(cheat: int) -> None:
    """Without masks the attack works, so the experiment would see it; with them it does not, and the repair-cap still
    can."""
    layout, _, rows = sample("dev", 5_000_001)
    code = ErasureCode(layout.k, layout.n)
    masked = rows[0]
    bare: dict[int, bytes] = {}
    for shard, block in masked.items():
        target = bytearray(len(block))
        MASKS.apply(shard, 0, block, memoryview(target))
        bare[shard] = bytes(target)
    at = 123 * 1024
    assert free_ride(bare, code, cheat, at) == bare[cheat][at : at + 1024]
    assert free_ride(masked, code, cheat, at) != masked[cheat][at : at + 1024]
    with_mask = bytearray(free_ride(bare, code, cheat, at))
    MASKS.apply(cheat, at, with_mask, memoryview(with_mask))
    assert with_mask == masked[cheat][at : at + 1024]


def test_every_shard_of_every_attempt_has_a_mask_of_its_own() -> None:
    keys = {
        shard_mask_key(mask, salt, shard)
        for mask in (bytes(32), b"\1" * 32)
        for salt in (bytes(16), b"\1" * 16)
        for shard in range(80)
    }
    assert len(keys) == 4 * 80


@given(st.integers(0, 5000), st.integers(0, 300))
def test_a_mask_begins_anywhere(offset: int, length: int) -> None:
    whole = bytearray(6000)
    MASKS.apply(3, 0, whole, memoryview(whole))
    part = bytearray(length)
    MASKS.apply(3, offset, part, memoryview(part))
    assert part == whole[offset : offset + length]
