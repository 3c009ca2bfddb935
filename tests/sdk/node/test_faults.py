"""A node whose disk, journal or chain fails: what it promised stays, what it cannot do it refuses with the reason."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from blackhole.node import config

from .market import HOLE, Market, RunningNode, cut, free_port, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def plugin(node: RunningNode) -> int:
    status = node.folder.read_status()
    assert status is not None
    return status.plugins["storage"]


def limit(node: RunningNode, most: int | None) -> None:
    """How long a file the node writes may grow, bytes; None lifts it. The system refuses beyond as on a full disk."""
    _, hard = resource.prlimit(plugin(node), resource.RLIMIT_FSIZE)
    resource.prlimit(plugin(node), resource.RLIMIT_FSIZE, (hard if most is None else most, hard))


async def test_on_a_full_disk_a_node_refuses_and_keeps_what_it_has(market: Market, tmp_path: Path) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    kept, more, small = os.urandom(5000), os.urandom(2**20 + 500), os.urandom(600)
    await node.start()
    try:
        assert (await node.stage(payer, kept))[0] == 201
        header = payer.upload_header(node.id, len(more) + len(small))
        # The first byte of a block, the middle of one, the index.
        for most, data in ((0, small), (3000, more), (700, small)):
            limit(node, most)
            status, body = await node.stage(payer, data, header=header)
            assert (status, body["code"]) == (507, "disk"), (most, body)
        limit(node, 0)
        terms, pieces = await node.draft(payer, [cut(kept).piece])
        status, body = await node.agree(terms, pieces)
        assert (status, body["code"]) == (507, "disk")
        assert (await node.status())["plugins"]["storage"]["agreements"] == {"open": 0, "signed": 0}
        limit(node, None)
        # The right to upload is whole, the index goes on, and nothing was promised meanwhile.
        for data in (more, small):
            assert (await node.stage(payer, data, header=header))[0] == 201
        status, body = await node.agree(terms, pieces)
        assert status == 200, body
        assert node.records("request failed") == []
        await node.stop()
        await node.start()
        for data in (kept, more, small):
            assert (await node.request("GET", f"/v1/pieces/{cut(data).piece.root.hex()}"))[0] == 200
        assert "Traceback" not in node.log.read_text()
    finally:
        await node.stop()


async def test_a_damaged_journal_stops_the_agent_and_is_left_as_it_is(market: Market, tmp_path: Path) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    data = [os.urandom(3000), os.urandom(4000)]
    await node.start()
    for each in data:
        assert (await node.stage(payer, each))[0] == 201
    await node.stop()
    journal = node.folder.journal / "storage.journal"
    whole = journal.read_bytes()
    damaged = bytearray(whole)
    damaged[60] ^= 1
    journal.write_bytes(damaged)
    process = node.spawn()
    assert await asyncio.to_thread(process.wait, 30) == 9
    assert "is damaged at byte" in node.log.read_text()
    assert "Keep the file" in node.log.read_text()
    assert journal.read_bytes() == damaged
    # A last record that a crash cut off was never acknowledged: that one is dropped, and its bytes are asked for again.
    journal.write_bytes(whole[:-3])
    await node.start()
    try:
        assert [(await node.stage(payer, each))[0] for each in data] == [200, 201]
        assert "Traceback" not in node.log.read_text()
    finally:
        await node.stop()


async def test_damaged_bytes_are_refused_and_named_in_the_log(market: Market, tmp_path: Path) -> None:
    payer = await market.payer()
    node = await market.node(tmp_path / "node", storage__egress_micro_per_mib=0)
    data = os.urandom(3000)
    await node.start()
    try:
        await node.stage(payer, data)
        path = f"/v1/pieces/{cut(data).piece.root.hex()}"
        (block,) = (node.folder.store / "blocks" / "blocks").glob("*/*")
        block.write_bytes(bytes(3000))
        status, body = await node.request("GET", f"{path}/audit?block=0&chunk=0")
        assert (status, body["code"]) == (500, "damaged")
        block.unlink()
        status, body = await node.request("GET", f"{path}/blocks/0")
        assert (status, body["code"], body["hint"]) == (500, "damaged", "Ask another node.")
        assert len(node.records("stored bytes are damaged")) == 2
        assert "Traceback" not in node.log.read_text()
    finally:
        await node.stop()


@asynccontextmanager
async def endpoint(market: Market, port: int) -> AsyncIterator[None]:
    """The chain at `port`, as long as the block lasts."""
    host, chain = urlsplit(market.url).hostname, urlsplit(market.url).port
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, chain)
        writers.extend((writer, back))

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while part := await source.read(65536):
                target.write(part)
                await target.drain()
            target.close()

        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def test_a_chain_that_is_down_is_waited_for_at_the_start_and_in_the_middle(
    market: Market, tmp_path: Path
) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node", agent__crashes=1)
    port = free_port()
    replace(market.network, rpc=[f"http://127.0.0.1:{port}"]).save(tmp_path / "network")
    config.change(node.folder.config, {"node.network": str(tmp_path / "network")})
    process = node.spawn()

    async def said(event: str) -> bool:
        assert process.poll() is None, node.tail()
        return bool(node.records(event))

    await until(lambda: said("plugin cannot start yet"), seconds=60, why=node.tail)
    try:
        report: dict[str, Any] = (await node.status())["plugins"]["storage"]
        assert (report["error"]["code"], report["restarts"]) == ("rpc_unavailable", 0)
        async with endpoint(market, port):
            await until(node._ready, seconds=60, why=node.tail)
            assert (await node.stage(payer, os.urandom(2000)))[0] == 201
        await until(lambda: said("the chain does not answer"), seconds=60, why=node.tail)
        # What needs the chain is refused with the reason, what does not is served.
        terms, pieces = await node.draft(payer, [cut(b"x").piece])
        status, body = await node.agree(terms, pieces)
        assert (status, body["code"]) == (503, "chain_unavailable")
        assert (await node.request("GET", "/v1/health"))[0] == 200
        async with endpoint(market, port):
            await until(lambda: said("the chain answers again"), seconds=60, why=node.tail)
            assert (await node.stage(payer, os.urandom(2001)))[0] == 201
    finally:
        await node.stop()
    assert json.loads(node.log.read_text().splitlines()[-1])["event"] == "stopped"
    assert "Traceback" not in node.log.read_text()


async def test_a_bond_that_is_too_small_signs_nothing_and_says_what_is_missing(market: Market, tmp_path: Path) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node", bond=60 * HOLE)
    data = os.urandom(3000)
    await node.start()
    try:
        assert (await node.stage(payer, data))[0] == 201
        terms, pieces = await node.draft(payer, [cut(data).piece])
        status, body = await node.agree(terms, pieces)
        assert (status, body["code"]) == (409, "bond")
        assert body["data"]["missing_wei"] == str(40 * HOLE)
        assert node.records("the bond is too small")[0]["missing_wei"] == str(40 * HOLE)
    finally:
        await node.stop()


async def test_a_chain_that_is_another_ends_the_agent_with_the_reason(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node")
    replace(market.network, chain_id=5).save(tmp_path / "network")
    config.change(node.folder.config, {"node.network": str(tmp_path / "network")})
    process = node.spawn()
    assert await asyncio.to_thread(process.wait, 60) == 6
    assert "serves chain 31337, not 5" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()
