"""Block stores keep what they acknowledged and never hand out what is not its CID."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from blackhole.errors import DiskError, DiskFull, IntegrityError
from blackhole.storage.blocks import block_cid, block_digest
from blackhole.storage.ipfs import embedded
from blackhole.storage.ipfs.embedded import EmbeddedBlockStore
from blackhole.storage.ipfs.store import BlockNotFound, BlockStat, BlockStore, MemoryBlockStore


@pytest.fixture(params=["embedded", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore:
    return EmbeddedBlockStore(tmp_path / "store") if request.param == "embedded" else MemoryBlockStore()


BLOCKS = [bytes([index]) * (index * 1000 + 1) for index in range(5)]


def put(store: BlockStore, *blocks: bytes) -> list[bytes]:
    cids = [block_cid(block) for block in blocks]
    store.put_many(zip(cids, blocks, strict=True))
    return list(cids)


def test_a_store_returns_what_was_put(store: BlockStore) -> None:
    assert isinstance(store, BlockStore)
    cids = put(store, *BLOCKS)
    assert put(store, *BLOCKS) == cids
    for cid, block in zip(cids, BLOCKS, strict=True):
        assert store.has(cid)
        assert store.get(cid) == block
        assert store.stat(cid) == BlockStat(len(block))
        assert store.get_range(cid, len(block) // 2, len(block) // 3) == block[len(block) // 2 :][: len(block) // 3]
    assert set(store.cids()) == set(cids)
    store.put_many((cid, memoryview(bytearray(block))) for cid, block in zip(cids, BLOCKS, strict=True))


def test_a_missing_block_is_named(store: BlockStore) -> None:
    cid = block_cid(b"never put")
    assert not store.has(cid)
    assert store.stat(cid) is None
    with pytest.raises(BlockNotFound, match=str(cid)):
        store.get(cid)
    with pytest.raises(BlockNotFound):
        store.get_range(cid, 0, 1)


def test_a_deleted_block_is_gone(store: BlockStore) -> None:
    first, second, *_ = put(store, *BLOCKS)
    store.delete([first, block_cid(b"unknown")])
    assert not store.has(first)
    assert store.has(second)


@pytest.mark.parametrize("bounds", [(-1, 1), (0, 4002), (4001, 1), (2, -1)])
def test_a_range_outside_the_block_is_refused(store: BlockStore, bounds: tuple[int, int]) -> None:
    cid = put(store, *BLOCKS)[4]
    with pytest.raises(ValueError, match="not inside"):
        store.get_range(cid, *bounds)


def test_a_wrong_block_spoils_its_whole_batch(store: BlockStore) -> None:
    good = block_cid(b"good")
    with pytest.raises(IntegrityError):
        store.put_many([(good, b"good"), (block_cid(b"one"), b"another")])
    assert not store.has(good)


def test_a_block_that_is_added_is_kept_under_its_own_cid_and_its_memory_may_be_used_again(tmp_path: Path) -> None:
    store = EmbeddedBlockStore(tmp_path)
    memory = bytearray(3)
    with store.batch() as batch:
        digests = []
        for text in (b"one", b"two", b"one"):
            memory[:] = text
            digests.append(batch.add(memoryview(memory)))
        batch.commit()
    assert digests == [block_digest(text) for text in (b"one", b"two", b"one")]
    assert [store.get(block_cid(text)) for text in (b"one", b"two")] == [b"one", b"two"]
    assert len(list(store.cids())) == 2


def test_a_damaged_file_is_never_handed_out(tmp_path: Path) -> None:
    store = EmbeddedBlockStore(tmp_path)
    (cid,) = put(store, b"precious")
    (file,) = (tmp_path / "blocks").glob("*/b*")
    file.write_bytes(b"precioux")
    with pytest.raises(IntegrityError):
        store.get(cid)


def test_blocks_survive_reopening_and_left_overs_of_the_dead_are_swept(tmp_path: Path) -> None:
    code = """
import sys, os, signal
from blackhole.storage.blocks import block_cid
from blackhole.storage.ipfs.embedded import EmbeddedBlockStore
store = EmbeddedBlockStore(sys.argv[1])
store.put_many([(block_cid(b"kept"), b"kept")])
batch = store.batch()
batch.put(block_cid(b"half"), b"half")
print("ready", flush=True)
signal.pause()
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    beside = EmbeddedBlockStore(tmp_path)
    assert len(list((tmp_path / "incoming").rglob("*/*"))) == 1, "a living process keeps its incoming blocks"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store = EmbeddedBlockStore(tmp_path)
    assert list((tmp_path / "incoming").rglob("*/*")) == []
    assert store.get(block_cid(b"kept")) == b"kept"
    assert not store.has(block_cid(b"half"))
    beside.close()
    store.close()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_nothing_is_named_before_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedBlockStore(tmp_path)
    log: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def logged_fsync(descriptor: int) -> None:
        log.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def logged_replace(self: Path, target: Path) -> Path:
        log.append(("rename", f"{self} {target}"))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(Path, "replace", logged_replace)
    cids = put(store, *BLOCKS)
    names = [str(path) for path in (tmp_path / "blocks").glob("*/b*")]
    assert len(names) == len(cids)
    for name in names:
        renamed = next(index for index, (what, where) in enumerate(log) if what == "rename" and where.endswith(name))
        source = log[renamed][1].split()[0]
        assert ("sync", source) in log[:renamed], "the bytes are synced before they get their name"
        assert ("sync", str(Path(name).parent)) in log[renamed:], "the name is synced before the acknowledgement"
    assert ("sync", str(tmp_path / "blocks")) in log, "a new folder is synced too"


def test_commits_that_meet_share_their_folder_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedBlockStore(tmp_path)
    (first,) = put(store, b"first")
    folder = embedded._place(tmp_path / "blocks", first).parent
    blocked, go = threading.Event(), threading.Event()
    count = 0
    sync = embedded._sync_folder

    def slow_sync(path: Path) -> None:
        nonlocal count
        count += path == folder
        if not blocked.is_set():
            blocked.set()
            assert go.wait(20)
        sync(path)

    monkeypatch.setattr(embedded, "_sync_folder", slow_sync)
    threads = [threading.Thread(target=put, args=(store, b"first")) for _ in range(8)]
    threads[0].start()
    assert blocked.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(store._group._waiting) < 7:
        assert threads[1].is_alive()
        threading.Event().wait(0.005)
    go.set()
    for thread in threads:
        thread.join(20)
    assert count == 2, "one sync for the first commit, one for the seven that waited"


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedBlockStore(tmp_path)

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(DiskFull):
            put(store, b"too much")
    assert list((tmp_path / "incoming").rglob("*/*")) == []
    assert list((tmp_path / "blocks").glob("*/b*")) == []
    put(store, b"too much")


def test_a_store_of_another_format_is_left_alone(tmp_path: Path) -> None:
    EmbeddedBlockStore(tmp_path).close()
    (tmp_path / "version").write_text("99")
    with pytest.raises(DiskError, match="format 99"):
        EmbeddedBlockStore(tmp_path)


def test_many_threads_put_the_same_blocks(tmp_path: Path) -> None:
    store = EmbeddedBlockStore(tmp_path)
    blocks = [os.urandom(5000) for _ in range(30)]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            put(store, *blocks)
            assert all(store.get(block_cid(block)) == block for block in blocks)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(list(store.cids())) == len(blocks)
