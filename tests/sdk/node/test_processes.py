"""The agent as processes: one a folder, small at rest, restarted within its budget, drained on SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from blackhole.chain.bindings.payment_hub import LaneOpened
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner
from blackhole.node import config

from .market import HOLE, Market, RunningNode, cut, running, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

RSS_MAX = 150 * 2**20
"""bytes of all processes of a node at rest."""


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def cpu(pid: int) -> float:
    """Seconds of CPU a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def plugin_pid(node: RunningNode) -> int:
    status = node.folder.read_status()
    assert status is not None
    return status.plugins["storage"]


async def report(node: RunningNode) -> dict[str, Any]:
    return (await node.status())["plugins"]["storage"]


async def test_a_node_at_rest_stays_below_its_memory(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node")
    await node.start()
    try:
        assert node.process is not None
        print({"supervisor": cpu(node.process.pid), "storage": cpu(plugin_pid(node))}, "s of CPU to start")
        payer = await market.payer()
        await node.deal(payer, [os.urandom(3 * 2**20)])
        await market.final()
        assert node.process is not None
        parts = {"supervisor": memory(node.process.pid), "storage": memory(plugin_pid(node))}
        print({name: round(size / 2**20, 1) for name, size in parts.items()}, "MiB")
        assert sum(parts.values()) <= RSS_MAX, parts
    finally:
        await node.stop()


async def test_a_second_agent_on_one_folder_is_refused_with_the_holder_s_pid(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node")
    await node.start()
    try:
        assert node.process is not None
        second = subprocess.run(  # noqa: ASYNC221
            [sys.executable, "-m", "blackhole.node", str(node.folder.path)], capture_output=True, text=True, timeout=20
        )
        assert second.returncode == 7
        assert f"process {node.process.pid} (since " in second.stderr
        assert "Traceback" not in second.stderr
        assert (await node.request("GET", "/v1/health"))[0] == 200
    finally:
        await node.stop()


async def test_what_cannot_run_says_why_and_ends(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node")
    cases = [
        ({"node.id": 0}, 2, "blackhole node register"),
        ({"node.id": node.id, "node.network": "/nowhere/network.json"}, 2, "network"),
    ]
    for change, code, part in cases:
        config.change(node.folder.config, change)
        process = node.spawn()
        assert process.wait(30) == code
        assert part in node.log.read_text()
    config.change(node.folder.config, {"node.network": str(market.folder)})
    node.key.write_text(node.owner._key.secret.hex())  # type: ignore[union-attr]
    assert node.spawn().wait(30) == 8
    assert "must not run in the agent" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()


async def test_a_killed_plugin_comes_back_and_too_many_crashes_quarantine_it(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node", agent__crashes=2)
    await node.start()
    try:
        first = plugin_pid(node)
        os.kill(first, signal.SIGKILL)

        async def back() -> bool:
            status = node.folder.read_status()
            return status is not None and status.plugins.get("storage", first) != first

        await until(back, why=node.tail)
        assert (await node.request("GET", "/v1/health"))[0] == 200
        os.kill(plugin_pid(node), signal.SIGKILL)

        async def quarantined() -> bool:
            return (await report(node))["state"] == "quarantined"

        await until(quarantined, why=node.tail)
        assert 'blackhole_plugin_up{plugin="storage"} 0' in await node.metrics()
    finally:
        assert await node.stop() == 0


async def test_the_plugin_ends_with_its_supervisor(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node")
    await node.start()
    child = plugin_pid(node)
    await node.kill()
    assert not running(child)
    await node.start()
    await node.stop()


async def test_sigterm_redeems_the_vouchers_and_ends(market: Market, tmp_path: Path) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node", chain__redeem_periods=1000)
    await node.start()
    receipt = await market.chain.send(market.hub.open_lane(node.owner.address, 1, payer.address, 5000), payer.signer)
    await market.final()
    lane = receipt.event(LaneOpened).lane
    hub = VoucherDomain(market.network.chain_id, market.hub.address)
    row = VoucherSigner(hub, node.owner.address, 1, lane, payer.signer).sign(700).hex()
    status, body = await node.request("POST", f"/v1/lanes/{lane}", body={"voucher": row})
    assert status == 200, body
    assert await node.stop() == 0
    assert (await market.chain.read(market.hub.lane_of(node.owner.address, 1, lane))).claimed == 700


async def test_price_and_capacity_change_while_it_runs(market: Market, tmp_path: Path) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    await node.start()
    try:
        config.change(
            node.folder.config,
            {
                "storage.price_wei_per_gib_period": 3 * HOLE,
                "storage.capacity_gib": 2,
                "storage.egress_micro_per_mib": 7,
            },
        )
        assert node.process is not None
        node.process.send_signal(signal.SIGHUP)

        async def published() -> bool:
            offer = await market.chain.read(market.registry.offer_of(node.id, 1))
            return (offer.price, offer.capacity) == (3 * HOLE, 2)

        await until(published, why=node.tail)
        body = {"payer": payer.address, "leaves": 2**20, "periods": 5}
        _, shown = await node.request("POST", "/v1/quotes", body=body)
        assert (shown["quote"]["rate"], shown["quote"]["egress"]) == (str(3 * HOLE), 7)
        # A wrong file changes nothing.
        node.folder.config.write_text("schema = 1\n[storage]\ncapacity_gib = -1\n")
        node.process.send_signal(signal.SIGHUP)

        async def said() -> bool:
            return bool(node.records("configuration not changed"))

        await until(said)
        _, shown = await node.request("POST", "/v1/quotes", body=body)
        assert shown["quote"]["rate"] == str(3 * HOLE)
    finally:
        await node.stop()


async def test_an_alarm_comes_before_the_gas_is_gone(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node", chain__gas_alarm_wei=10**18)
    await market.rpc("anvil_setBalance", node.hot.address, hex(10**17))
    await node.start()
    try:

        async def alarmed() -> bool:
            return (await report(node))["gas"]["alarm"] is True

        await until(alarmed, why=node.tail)
        assert "blackhole_gas_alarm 1" in await node.metrics()
        assert node.records("the hot signer is running out of gas")
        await market.rpc("anvil_setBalance", node.hot.address, hex(10**19))

        async def calm() -> bool:
            return (await report(node))["gas"]["alarm"] is False

        await until(calm, why=node.tail)
    finally:
        await node.stop()


async def test_a_missing_block_is_said_and_others_report_the_miss(market: Market, tmp_path: Path) -> None:
    payer = await market.payer()
    liar, watcher = await market.node(tmp_path / "liar"), await market.node(tmp_path / "watcher")
    await liar.start()
    await watcher.start()
    try:
        _, terms, _ = await liar.deal(payer, [os.urandom(2**20)])
        await watcher.deal(payer, [os.urandom(5000)])
        await market.final()
        for path in (liar.folder.store / "blocks" / "blocks").glob("*/*"):
            path.unlink()
        await market.jump(2)
        await watcher.proven(terms.start)

        async def said() -> bool:
            return (await report(liar))["unprovable_periods"] == [terms.start]

        await until(said, why=liar.tail)
        assert (await report(liar))["ok"] is False
        await market.jump(1)

        async def missed() -> bool:
            return (await market.chain.read(market.market.ledger_of(liar.id))).misses == 1

        await until(missed, seconds=30, why=watcher.tail)
    finally:
        await liar.stop()
        await watcher.stop()


async def test_no_secret_is_in_a_log_or_a_process_list(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node")
    await node.start()
    try:
        secret = node.key.read_text()
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (node.process.pid, plugin_pid(node))]  # type: ignore[union-attr]  # noqa: ASYNC240
        assert not any(secret.encode() in command for command in commands)
        await node.stage(await market.payer(), os.urandom(2000))
        assert secret not in node.log.read_text()
        assert cut(b"x").piece.leaves == 1
    finally:
        await node.stop()
