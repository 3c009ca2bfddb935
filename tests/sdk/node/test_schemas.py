"""A node's folder as schema 1 wrote it opens with today's code, and a newer one is refused before it is touched.

`folder_schema_1` was written by the first version and stays as it is. Whoever changes a format raises its number,
writes the upgrade, and puts a folder of his own beside it.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import structlog
from blackhole.chain.keystore import open_keystore
from blackhole.errors import InputError
from blackhole.node import config
from blackhole.node.config import Config
from blackhole.node.setup import keystore_address
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.recorder import Recorder
from blackhole.node.storage.state import State
from blackhole.storage.blocks import BlockList

WRITTEN = Path(__file__).parent / "folder_schema_1"
DATA = bytes(range(256)) * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(WRITTEN, tmp_path / "node")


def test_the_configuration_reads_as_it_was_meant(folder: Path) -> None:
    read = Config.load(folder / "config.toml")
    assert (read.node.id, read.node.network, read.api.endpoint) == (7, "devnet", "https://node.example:4480")
    assert (read.storage.price_wei_per_gib_period, read.storage.capacity_gib) == (10**19, 12)
    assert read.limits.deny == ("0x" + "ab" * 20,)
    assert read.chain == config.Chain()


def test_an_older_configuration_is_read_through_every_upgrade(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(raw: dict[str, Any]) -> dict[str, Any]:
        raw["storage"]["capacity_gib"] = raw["storage"].pop("capacity_gib") * 2
        return raw

    def third(raw: dict[str, Any]) -> dict[str, Any]:
        return {**raw, "node": {**raw["node"], "id": raw["node"]["id"] + 1}}

    monkeypatch.setattr(config, "SCHEMA", 3)
    monkeypatch.setattr(config, "_UPGRADES", {1: second, 2: third})
    read = Config.load(folder / "config.toml")
    assert (read.node.id, read.storage.capacity_gib) == (8, 24)
    with pytest.raises(InputError, match="schema 4"):
        Config.parse("schema = 4\n")


def test_the_keystore_opens(folder: Path) -> None:
    path = folder / "keystore.json"
    assert keystore_address(path) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert open_keystore(path.read_bytes(), "correct horse").hex().startswith("ac0974bec39a17e3")


async def test_the_journal_leads_to_the_same_promises(folder: Path) -> None:
    state = State()
    recorder = Recorder(folder / "storage.journal", state.apply)
    state.replay(recorder.records())
    await recorder.close()
    assert list(state.deals) == ["55" * 32]
    deal = state.deals["55" * 32]
    assert (deal.opened, deal.root, deal.leaves, deal.rate, deal.end, deal.nonce) == (True, "88" * 32, 9, 1800, 40, 1)
    assert (deal.changes, state.staged, state.proved) == ({}, {}, 8)
    lane = state.lanes[3]
    assert (lane.price, lane.served, lane.accepted, lane.row) == (500, 2**20, 400, bytes(range(74)))


@pytest.mark.parametrize("schema", [1, 2])
async def test_the_store_gives_its_pieces_whatever_its_index_is(folder: Path, schema: int) -> None:
    with sqlite3.connect(folder / "store" / "index.sqlite") as index:
        index.execute(f"PRAGMA user_version={schema}")
    index.close()
    store = PieceStore(folder / "store", structlog.get_logger())
    await store.open()
    try:
        piece = BlockList.of([DATA])
        found = await store.piece(piece.piece.root)
        assert found == piece
        assert await store.block(piece, 0) == DATA
        assert (await store.totals()).pieces == 1
    finally:
        await store.close()
