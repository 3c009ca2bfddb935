"""Step 7: a node dies for fewer than ten periods, comes back, and forgets neither a byte nor a voucher."""

from __future__ import annotations

import asyncio

from blackhole.chain.bindings.payment_hub import LaneOpened
from blackhole.chain.bindings.stake_manager import Faulted
from blackhole.client import AsyncBlackhole
from blackhole.devnet.demo import reads
from blackhole.devnet.demo.stage import PATIENCE, Stage
from blackhole.errors import NodeRefused
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner
from blackhole.protocol import BPS, MISS_STEP, STORAGE
from blackhole.storage.directory import Reached
from blackhole.storage.lane_book import cost_micro

AWAY = 4
"""Periods it is dead: more than the first fault, fewer than the last."""
LANE_MICRO = 100_000


async def come_back(stage: Stage) -> None:
    """Killed with unredeemed vouchers in its journal; restarted; it redeems them together and proves again."""
    report, node = stage.report, stage.roles.paused
    before = stage.nodes[node]
    async with stage.step(f"a node dies for {AWAY} periods") as _:
        await stage.proofs_in()
        # An agent that has not redeemed for a period redeems the first voucher at once; the others wait for the next.
        bought = dict([await buy(stage, client, node) for client in (stage.reader, stage.payer, stage.reader)])
        await asyncio.to_thread(stage.net.kill, node)
        report.nodes[node].killed = True
        reserve = (await stage.chain.read(stage.vault.stake_of(node, STORAGE))).reserved
        await stage.advance(AWAY + 1)
        pid = await asyncio.to_thread(stage.net.start, node)
        stage.refresh()
        report.check("it runs again as another process", pid not in (None, before.pid), pid)
        (reached,) = await reads.living(stage, [node])
        kept = {}
        for lane, owed in bought.items():
            kept[lane] = (await reached.client.get_json(f"/v1/lanes/{lane}"))["accepted_micro"] == owed
        report.check("its journal kept every voucher it had accepted", all(kept.values()), kept)
        stage.ledger.read()
        entries = len(stage.ledger.entries)
        await stage.advance(2)
        await redeemed_together(stage, reached, bought, entries)
        await buy(stage, stage.reader, node)
        report.say(f"  node {node} serves again, pid {pid}")

        async def proving() -> bool:
            ledger = await stage.chain.read(stage.market.ledger_of(node))
            return bool(ledger.misses == 0 and ledger.last_proven >= await stage.period() - 2)

        await stage.until("it proves again, and its misses are forgotten", proving)
        report.check("it proves again, and its misses are forgotten", True)
    stage.ledger.read()
    taken = [event.taken for event in stage.ledger.events(Faulted) if event.node == node]
    bps = (await stage.chain.read(stage.catalog.service(STORAGE))).fault_bps
    report.check(f"it lost one share, for its miss {MISS_STEP}", taken == [reserve * bps // BPS], taken)
    report.nodes[node].slashed_wei = sum(taken)


async def buy(stage: Stage, client: AsyncBlackhole, node: int) -> tuple[int, int]:
    """Read a block of that node on a new lane, with a voucher for it; the lane and the micro-HOLE signed."""
    (reached,) = await reads.living(stage, [node])
    signer = client.connection.signer
    assert signer is not None
    payee = reached.info.payee
    receipt = await client.chain.send(stage.hub.open_lane(payee, STORAGE, signer.address, LANE_MICRO), signer)
    lane = receipt.event(LaneOpened).lane
    root = stage.manifest.segments[0].pieces[stage.holders.index(node)].root
    data = await _block(reached, f"/v1/pieces/{root.hex()}/blocks/0", lane)
    owed = cost_micro(len(data), reached.manifest.egress_micro_per_mib)
    domain = VoucherDomain(stage.network.chain_id, stage.hub.address)
    voucher = VoucherSigner(domain, payee, STORAGE, lane, signer).sign(owed)
    await reached.client.post_json(f"/v1/lanes/{lane}", {"voucher": voucher.hex()})
    return lane, owed


async def _block(reached: Reached, path: str, lane: int) -> bytes:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await reached.client.get(path, {"Blackhole-Lane": str(lane)}, limit=2**20)
            except NodeRefused as error:
                if error.code != "unknown_lane":
                    raise
            await asyncio.sleep(0.1)  # not final yet


async def redeemed_together(stage: Stage, reached: Reached, lanes: dict[int, int], entries: int) -> None:
    """One transaction of the node's own key redeems the vouchers that were left on several lanes."""
    payee = reached.info.payee

    async def claimed() -> bool:
        found = await stage.chain.read_many(stage.hub.lane_of(payee, STORAGE, lane) for lane in lanes)
        return all(each.claimed == owed for each, owed in zip(found, lanes.values(), strict=True))

    await stage.until("it redeems what it was owed", claimed)
    stage.ledger.read()
    own = stage.nodes[reached.info.id].signer
    rows = [
        len(entry.events)
        for entry in stage.ledger.entries[entries:]
        if entry.sender == own and entry.name == "PaymentHub.redeem"
    ]
    stage.report.check("it redeemed what was left in one batch", len(rows) == 1 and rows[0] >= 2, rows)
