"""The node's store: nothing acknowledged is lost, nothing shared is deleted, a damaged index is made again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog
from blackhole.errors import DiskError, DiskFull, IntegrityError
from blackhole.node.config import Config, Limits
from blackhole.node.storage.metering import LaneAccount
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.quotas import Permit
from blackhole.node.storage.recorder import Recorder
from blackhole.node.storage.refusal import Refusal
from blackhole.node.storage.staging import Staging
from blackhole.node.storage.state import State
from blackhole.node.storage.steps import Step
from blackhole.protocol import BLOCK, START_LEAD
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.blocks import BlockList

LOG = structlog.get_logger()
PAYER = "0x" + "1" * 40
DEAL = bytes(31) + b"\1"


def cut(data: bytes) -> BlockList:
    return BlockList.of([data[i : i + BLOCK] for i in range(0, len(data), BLOCK)])


async def parts(data: bytes, step: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


class Node:
    """Store, journal and staging of one folder."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.folder = folder
        self.config = Config(limits=Limits(free_disk_bytes=0, **limits))

    async def __aenter__(self) -> Node:
        self.state = State()
        self.recorder = Recorder(self.folder / "journal", self.state.apply)
        self.state.replay(self.recorder.records())
        self.store = PieceStore(self.folder / "store", LOG)
        await self.store.open()
        self.staging = Staging(self.config, self.state, self.store, self.recorder, LOG)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()
        await self.recorder.close()

    async def put(self, data: bytes, *, root: bytes | None = None, size: int | None = None, nonce: int = 1) -> bool:
        root = root or cut(data).piece.root
        permit = Permit(10 * BLOCK, 1000)
        size = len(data) if size is None else size
        _, new = await self.staging.receive(root, size, parts(data), PAYER, nonce, permit, 10, 5)
        return new


async def blocks_of(node: Node) -> set[bytes]:
    return set(node.store.blocks.cids())


async def test_a_staged_piece_survives_a_restart_and_reads_back(tmp_path: Path) -> None:
    data = os.urandom(2 * BLOCK + 12_345)
    piece = cut(data)
    async with Node(tmp_path) as node:
        assert await node.put(data)
        assert not await node.put(data)
    async with Node(tmp_path) as node:
        assert [p.root for p in node.state.staged.values()] == [piece.piece.root.hex()]
        assert node.staging.quota.staged == len(data)
        found = await node.staging.have(piece.piece.root)
        assert found == piece
        assert b"".join([await node.store.block(found, i) for i in range(3)]) == data
        assert await node.store.block_range(found, 1, 1024, 10) == data[BLOCK + 1024 : BLOCK + 1034]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"root": bytes(32)}, 422, "wrong_root"),
        ({"size": 1_500_001}, 400, "too_short"),
        ({"size": 1_499_999}, 400, "too_long"),
    ],
)
async def test_what_is_not_what_it_says_leaves_nothing(
    tmp_path: Path, change: dict[str, object], status: int, code: str
) -> None:
    async with Node(tmp_path) as node:
        with pytest.raises(Refusal) as caught:
            await node.put(os.urandom(1_500_000), **change)  # type: ignore[arg-type]
        assert (caught.value.status, caught.value.code) == (status, code)
        assert await blocks_of(node) == set()
        assert node.staging.quota.payers == {}
        assert node.state.staged == {}


async def test_a_block_two_pieces_share_stays_until_the_second_goes(tmp_path: Path) -> None:
    shared, one, two = os.urandom(BLOCK), os.urandom(1000), os.urandom(1000)
    async with Node(tmp_path) as node:
        await node.put(shared + one)
        await node.put(shared + two)
        first, second = cut(shared + one), cut(shared + two)
        assert len(await blocks_of(node)) == 3
        await node.store.remove(first.piece.root)
        assert await node.store.block(second, 0) == shared
        assert await node.store.piece(first.piece.root) is None
        await node.store.remove(second.piece.root)
        assert await blocks_of(node) == set()


async def test_staging_without_a_deal_is_dropped_and_held_pieces_stay(tmp_path: Path) -> None:
    held, loose = os.urandom(5000), os.urandom(6000)
    async with Node(tmp_path) as node:
        await node.put(held)
        await node.put(loose)
        await node.store.hold(DEAL, [cut(held).piece.root])
        assert await node.staging.drop_stale(5 + START_LEAD, 20) == 0
        assert await node.staging.drop_stale(6 + START_LEAD, 20) == 1
        assert await node.staging.have(cut(loose).piece.root) is None
        assert await node.staging.have(cut(held).piece.root) == cut(held)
    async with Node(tmp_path) as node:
        assert list(node.state.staged) == [cut(held).piece.root.hex()]


@pytest.mark.parametrize("damage", [b"", b"not a database", None])
async def test_a_damaged_index_is_made_again_from_the_pieces(tmp_path: Path, damage: bytes | None) -> None:
    data = [os.urandom(3000 + i) for i in range(20)]
    async with Node(tmp_path) as node:
        for item in data:
            await node.put(item)
    index = tmp_path / "store" / "index.sqlite"
    if damage is None:
        raw = bytearray(index.read_bytes())
        raw[4096:8192] = os.urandom(4096)
        damage = bytes(raw)
    index.write_bytes(damage)
    async with Node(tmp_path) as node:
        assert (await node.store.totals()).pieces == 20
        for item in data:
            found = await node.staging.have(cut(item).piece.root)
            assert found is not None
            assert await node.store.block(found, 0) == item


async def test_a_journal_that_may_not_grow_promises_nothing(
    tmp_path: Path, file_limit: Callable[[int | None], None]
) -> None:
    first, second = os.urandom(3000), os.urandom(3001)
    async with Node(tmp_path) as node:
        await node.put(first)
        file_limit((tmp_path / "journal").stat().st_size + 5)
        with pytest.raises(DiskFull):
            await node.recorder.record(Step.DROPPED, root=cut(first).piece.root.hex())
        file_limit(None)
        assert list(node.state.staged) == [cut(first).piece.root.hex()]
        await node.put(second)
    async with Node(tmp_path) as node:
        assert set(node.state.staged) == {cut(data).piece.root.hex() for data in (first, second)}


async def test_a_full_index_refuses_keeps_what_it_has_and_goes_on(tmp_path: Path) -> None:
    data = [os.urandom(3000 + i) for i in range(3)]
    async with Node(tmp_path) as node:
        await node.put(data[0])
        # SQLite's own limit: it answers as on a disk without space.
        connection = node.store._index._connection
        connection.execute("PRAGMA max_page_count = 1")
        many = [os.urandom(32) for _ in range(5000)]
        with pytest.raises(DiskFull, match=r"index\.sqlite"):
            await node.store._in_index_thread(node.store._index.add, bytes(32), 1, 1, many)
        assert (await node.store.totals()).pieces == 1
        connection.execute("PRAGMA max_page_count = 1000000")
        await node.put(data[1])
    async with Node(tmp_path) as node:
        await node.put(data[2])
        assert (await node.store.totals()).pieces == 3


async def test_a_disk_that_fails_is_not_taken_for_a_damaged_index(
    tmp_path: Path, file_limit: Callable[[int | None], None]
) -> None:
    async with Node(tmp_path) as node:
        await node.put(os.urandom(3000))
    index = tmp_path / "store" / "index.sqlite"
    whole = index.read_bytes()
    store = PieceStore(tmp_path / "store", LOG)
    file_limit(0)
    with pytest.raises(DiskError):
        await store.open()
    file_limit(None)
    await store.close()
    assert index.read_bytes() == whole
    assert not index.with_suffix(".damaged").exists()
    async with Node(tmp_path) as node:
        assert (await node.store.totals()).pieces == 1


async def test_a_damaged_piece_file_is_found_out(tmp_path: Path) -> None:
    data = os.urandom(3000)
    async with Node(tmp_path) as node:
        await node.put(data)
    path = next((tmp_path / "store" / "pieces").glob("*/*"))
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    async with Node(tmp_path) as node:
        with pytest.raises(IntegrityError):
            await node.store.piece(cut(data).piece.root)


async def test_lists_are_kept_by_content_root(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        one = PieceList((cut(b"1").piece,))
        two = one.changed([cut(b"2").piece])
        for pieces in (one, two, PieceList()):
            await node.store.write_list(DEAL, pieces)
        assert await node.store.read_list(DEAL, two.tree().root) == two
        assert await node.store.read_list(DEAL, bytes(32)) == PieceList()
        assert await node.store.hold(DEAL, [p.root for p in two.pieces]) == []
        assert await node.store.hold(DEAL, [p.root for p in one.pieces]) == [cut(b"2").piece.root]
        await node.store.drop_lists(DEAL, [one.tree().root])
        assert await node.store.read_list(DEAL, one.tree().root) == one
        await node.store.drop_lists(DEAL)
        assert not (tmp_path / "store" / "lists" / DEAL.hex()).exists()


async def test_quota_counts_from_the_journal_after_a_restart(tmp_path: Path) -> None:
    async with Node(tmp_path, staging_bytes_per_payer=8000) as node:
        await node.put(os.urandom(5000))
    async with Node(tmp_path, staging_bytes_per_payer=8000) as node:
        with pytest.raises(Refusal) as caught:
            await node.put(os.urandom(5000))
        assert caught.value.code == "payer_quota"


async def test_compaction_keeps_what_counts_and_loses_nothing_that_comes_meanwhile(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        for accepted in range(1, 301):
            fields = LaneAccount(7, price=10, served=accepted * 1000, accepted=accepted, row=bytes(74)).to_json()
            await node.recorder.record(Step.VOUCHER, **fields)
        await node.put(os.urandom(3000))
        size = (tmp_path / "journal").stat().st_size
        late = LaneAccount(7, price=10, served=999_000, accepted=999, row=b"\1" * 74)
        await asyncio.gather(
            node.recorder.compact(node.state.snapshot),
            node.recorder.record(Step.VOUCHER, **late.to_json()),
            node.put(os.urandom(4000)),
        )
        assert (tmp_path / "journal").stat().st_size < size // 20
    async with Node(tmp_path) as node:
        assert node.state.lanes == {7: late}
        assert len(node.state.staged) == 2
