"""A devnet as a guest on a chain of the user's: refused with the reason, or up, used and down without touching it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blackhole.chain.client import Chain
from blackhole.chain.rpc import Rpc
from blackhole.chain.signers import LocalSigner
from blackhole.devnet import guest
from blackhole.devnet.chain import DevnetChain, start_chain
from blackhole.devnet.handle import Devnet
from blackhole.devnet.processes import ProcessTable
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import DevnetError, InsufficientFunds
from blackhole.network import Network
from blackhole.paths import Home
from leftovers import left

RICH = 1_000 * 10**18


@pytest.fixture
def host(tmp_path: Path) -> Iterator[DevnetChain]:
    """The user's chain: it makes blocks by itself."""
    table = ProcessTable(tmp_path / "processes.json", tmp_path)
    try:
        yield start_chain(table, tmp_path / "chain", tmp_path / "chain.log")
    finally:
        table.end(list(table.records), grace=5)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The key in the user's environment."""
    drawn = secrets.token_bytes(32)
    monkeypatch.setenv("BLACKHOLE_KEY", "0x" + drawn.hex())
    return drawn


@pytest.fixture
async def connection(host: DevnetChain, tmp_path: Path) -> AsyncIterator[Chain]:
    chain = Chain(Rpc(host.url), home=Home.locate(tmp_path / "home"))
    yield chain
    await chain.close()


async def test_without_a_key_it_says_how_to_name_one(connection: Chain) -> None:
    with pytest.raises(DevnetError, match="somebody has to pay") as caught:
        await guest.require_host(connection, 10)
    assert "BLACKHOLE_KEY_FILE" in caught.value.hint


async def test_who_cannot_pay_for_all_accounts_is_told_what_is_missing(connection: Chain, key: bytes) -> None:
    with pytest.raises(InsufficientFunds) as caught:
        await guest.require_host(connection, 10)
    assert caught.value.missing == 25 * await guest.account_wei(connection)
    assert "BLACKHOLE_KEY_FILE" in caught.value.hint


async def test_a_chain_that_makes_no_blocks_by_itself_is_refused(
    host: DevnetChain, connection: Chain, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.set_balance(LocalSigner(key).address, RICH)
    host.call("anvil_setIntervalMining", 0)
    monkeypatch.setattr(guest, "BLOCK_SECONDS", 0.0)
    with pytest.raises(DevnetError, match="no block in") as caught:
        await guest.require_host(connection, 10)
    assert "--block-time" in caught.value.hint


def test_it_is_ready_when_its_contracts_are_final_and_leaves_the_chain_as_it_was(
    host: DevnetChain, key: bytes, tmp_path: Path
) -> None:
    host.set_balance(LocalSigner(key).address, RICH)
    said: list[str] = []
    with Devnet.up(DevnetSettings(nodes=1, rpc=host.url), tmp_path / "run", progress=said.append) as net:
        assert any("final" in line for line in said), said
        addresses = Network.load(net.network).addresses
        for name in ("PaymentHub", "StorageMarket"):
            assert len(str(host.call("eth_getCode", addresses[name], "finalized"))) > 2, name
        assert net.node(1).pid is not None
        given = net.faucet("0x00000000000000000000000000000000000000AA", hole_wei=5, gas_wei=7)
        assert (given["hole_wei"], given["gas_wei"], host.balance(given["address"])) == ("5", "7", 7)
        assert net.status()["held"] is None
        with pytest.raises(DevnetError, match="not ours"):
            net.advance()
        assert key.hex() not in (net.folder.path / "settings.json").read_text()
        with Devnet.up(DevnetSettings(nodes=0, rpc=host.url), tmp_path / "second") as second:
            assert Network.load(second.network).addresses["PaymentHub"] != addresses["PaymentHub"]
        assert net.running
    assert left(tmp_path / "run") == left(tmp_path / "second") == []
    assert host.head()[0] > 0
