"""Step 5: the dead and the cheats lose pay and stake by the same rule."""

from __future__ import annotations

from collections import defaultdict

from blackhole.chain.bindings.stake_manager import Faulted as StakeFaulted
from blackhole.chain.bindings.storage_market import Missed
from blackhole.devnet.demo.report import six
from blackhole.devnet.demo.stage import Stage
from blackhole.protocol import BPS, MISS_END, MISS_STEP, STORAGE


async def ten_misses(stage: Stage) -> None:
    """Ten periods without a proof: a share at misses 3, 6 and 9, the rest of the reserve at the tenth."""
    report, lost = stage.report, stage.roles.lost
    reserves = {
        node: stake.reserved
        for node, stake in zip(
            lost, await stage.chain.read_many(stage.vault.stake_of(node, STORAGE) for node in lost), strict=True
        )
    }
    async with stage.step(f"{MISS_END} misses, faults") as _:
        ledgers = await stage.chain.read_many(stage.market.ledger_of(node) for node in lost)
        last = max(ledger.last_proven for ledger in ledgers)
        # A period is missed when its window has closed: at the latest when the next but one begins.
        while await stage.period() < last + MISS_END + 2:
            await stage.advance()

        async def ended() -> bool:
            found = await stage.chain.read_many(stage.market.ledger_of(node) for node in lost)
            return all(ledger.ended_at for ledger in found)

        await stage.until("the tenth miss of every lost node is reported", ended)
        stage.ledger.read()
    misses: dict[int, list[tuple[int, int]]] = defaultdict(list)
    reporters = set()
    for event in stage.ledger.events(Missed):
        misses[event.node].append((event.misses, event.period))
        reporters.add(event.reporter)
    wrong = {node: misses[node] for node in lost if not _ten_in_a_row(misses[node])}
    report.check("each was counted missing ten periods in a row, each once", not wrong, wrong)
    report.check("by other nodes' keys", reporters <= {node.signer for node in stage.nodes.values()}, reporters)
    await stakes(stage, reserves)


def _ten_in_a_row(found: list[tuple[int, int]]) -> bool:
    periods = [period for _, period in found]
    in_a_row = periods == list(range(periods[0], periods[0] + MISS_END)) if periods else False
    return in_a_row and [count for count, _ in found] == list(range(1, MISS_END + 1))


async def stakes(stage: Stage, reserves: dict[int, int]) -> None:
    """The stake taken is the rule's, to the wei, the same for who died and who cheated."""
    report = stage.report
    share_bps = (await stage.chain.read(stage.catalog.service(STORAGE))).fault_bps
    taken: dict[int, list[int]] = defaultdict(list)
    for event in stage.ledger.events(StakeFaulted):
        taken[event.node].append(event.taken)
    wrong = {}
    for node, reserve in reserves.items():
        share = reserve * share_bps // BPS
        shares = (MISS_END - 1) // MISS_STEP
        expected = [share] * shares + [reserve * (BPS - shares * share_bps) // BPS]
        if taken[node] != expected:
            wrong[node] = (taken[node], expected)
        report.nodes[node].slashed_wei = sum(taken[node])
    report.check("a share at misses 3, 6 and 9, the rest of the reserve at the tenth", not wrong, wrong)
    innocent = set(taken) - set(stage.roles.lost)
    report.check("nobody else lost a wei of stake", not innocent, innocent)
    for node in reserves:
        report.say(f"  node {node} ({report.nodes[node].role}) lost {six(report.nodes[node].slashed_wei)} HOLE")
