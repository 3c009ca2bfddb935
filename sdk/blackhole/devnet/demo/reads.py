"""Step 4: the file comes back byte for byte while nodes are dead, and every byte is paid by vouchers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackhole.chain.bindings.payment_hub import LaneOpened
from blackhole.cli.output import size
from blackhole.devnet.demo.ledger import credits_of
from blackhole.devnet.demo.report import six
from blackhole.devnet.demo.stage import Stage
from blackhole.devnet.demo.store import sha256
from blackhole.errors import NodeRefused
from blackhole.protocol import MICRO, STORAGE
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.lane_book import cost_micro

if TYPE_CHECKING:
    from blackhole.chain.values import Address
    from blackhole.storage.directory import Reached
    from blackhole.storage.types import Fetched


@dataclass(frozen=True)
class ReadLane:
    """A lane of one reader to one node: what the node counted, what the chain paid.

    Attributes:
        node: whom it pays.
        lane: its number.
        served: bytes the node counted on it, all time.
        accepted: micro-HOLE of the highest voucher the node holds.
        claimed: micro-HOLE redeemed on chain.
        price: micro-HOLE a MiB, from the manifest whose digest stands in the registry.
    """

    node: int
    lane: int
    served: int
    accepted: int
    claimed: int
    price: int


async def unpaid(stage: Stage) -> None:
    """Without a lane every node that has a piece answers 402 and says what is missing."""
    answers = {}
    for reached in await living(stage, stage.holders):
        node = reached.info.id
        agreement = stage.stored.agreements[stage.holders.index(node)]
        listed = await reached.client.get(f"/v1/agreements/{int(agreement, 16):064x}/pieces")
        root = PieceList.decode(listed).pieces[0].root
        try:
            await reached.client.get(f"/v1/pieces/{root.hex()}/blocks/0")
            answers[node] = "served for nothing"
        except NodeRefused as error:
            if error.status != 402 or not error.data.get("missing_micro"):
                answers[node] = f"{error.status} {error.code}"
            else:
                answers[node] = "402"
    standing = set(stage.holders) - set(stage.roles.lost)
    held = set(answers) == standing and set(answers.values()) == {"402"}
    stage.report.check(f"without a lane all {len(answers)} nodes answer 402", held, answers)


async def living(stage: Stage, nodes: list[int]) -> list[Reached]:
    """Connections to those of `nodes` that answer, their keys pinned."""
    infos = await stage.directory.infos(nodes)
    reached, _ = await stage.directory.reach_all(infos)
    answering = []
    for each in reached:
        try:
            await each.client.get_json("/v1/health")
        except Exception:  # noqa: BLE001 dead is dead, whatever the error
            continue
        answering.append(each)
    return answering


@dataclass(frozen=True)
class Bought:
    """What reads came from whom (bytes by node), and the micro-HOLE signed for them."""

    served: dict[int, int]
    spent: int

    @classmethod
    def of(cls, reads: Iterable[Fetched]) -> Bought:
        """Several reads together."""
        served: Counter[int] = Counter()
        spent = 0
        for each in reads:
            served.update(each.served)
            spent += each.spent_micro
        return cls(dict(served), spent)


async def fetch(stage: Stage, name: str, account: str = "payer") -> Bought:
    """Read the file back and compare it; returns what was read from whom."""
    report = stage.report
    target = stage.net.folder.path / "back.bin"
    async with stage.step(name) as row:
        reader = stage.payer if account == "payer" else stage.reader
        done = [await reader.storage.get(stage.stored.cap, target)]
        row.bytes = done[0].size
    found = await asyncio.to_thread(_take, target)
    if stage.small is None:
        report.sha256_out = found
    else:
        report.check("the companion came back byte for byte", found == stage.sha256, found)
        done.append(await reader.storage.get(stage.small_cap, target))
        report.sha256_out = await asyncio.to_thread(_take, target)
    report.check("the file came back byte for byte", report.sha256_out == report.sha256_in, report.sha256_out)
    bought = Bought.of(done)
    report.say(f"  {size(sum(bought.served.values()))} from nodes {', '.join(map(str, sorted(bought.served)))}")
    return bought


def _take(target: Path) -> str:
    digest = sha256(target)
    target.unlink()
    return digest


async def while_dead(stage: Stage) -> None:
    """Nobody serves for nothing; the dead serve nothing; the file comes back all the same, and is paid."""
    await unpaid(stage)
    fetched = await fetch(stage, "get while nodes are dead")
    dead = set(stage.roles.lost) & set(fetched.served)
    stage.report.check("no dead node or cheat served a byte", not dead, fetched.served)
    await stage.advance()
    lanes = await redeemed(stage, stage.address("payer"))
    served = {lane.node: lane.served for lane in lanes}
    stage.report.check(
        "nodes counted as many bytes as the reader verified", served == fetched.served, (served, fetched.served)
    )
    signed = sum(lane.claimed for lane in lanes)
    stage.report.check("and not a micro more was signed", signed == fetched.spent, (signed, fetched.spent))


async def lanes_of(stage: Stage, reader: Address) -> list[ReadLane]:
    """All lanes a reader opened, as node and chain have them now."""
    stage.ledger.read()
    payees = {node.payee: node.node for node in stage.nodes.values()}
    opened = [event for event in stage.ledger.events(LaneOpened) if event.payer == reader and event.payee in payees]
    found = []
    for event in opened:
        node = payees[event.payee]
        lane = await stage.chain.read(stage.hub.lane_of(event.payee, STORAGE, event.lane))
        (info,) = await stage.directory.infos([node])
        # Reaching a node compares its manifest, and the price in it, with the digest in the registry.
        reached = await stage.directory.reach(info)
        counted: dict[str, Any] = await reached.client.get_json(f"/v1/lanes/{event.lane}")
        price = reached.manifest.egress_micro_per_mib
        found.append(
            ReadLane(node, event.lane, counted["served_bytes"], counted["accepted_micro"], lane.claimed, price)
        )
    return found


async def redeemed(stage: Stage, reader: Address) -> list[ReadLane]:
    """Wait until nodes have redeemed what `reader` signed; what they got is bytes × price, to the micro."""
    lanes: list[ReadLane] = []

    async def all_claimed() -> bool:
        nonlocal lanes
        lanes = await lanes_of(stage, reader)
        return bool(lanes) and all(lane.claimed == lane.accepted for lane in lanes)

    await stage.until("nodes redeem the reader's vouchers", all_claimed)
    report = stage.report
    wrong = [lane for lane in lanes if lane.claimed != cost_micro(lane.served, lane.price)]
    report.check("vouchers redeemed = bytes served × price, on every lane", not wrong, wrong)
    stage.ledger.read()
    lanes_paid = sum(
        event.gross
        for entry in stage.ledger.entries
        if entry.name == "PaymentHub.redeem"
        for event in credits_of(entry)
        if event.payer == reader
    )
    claimed = sum(lane.claimed for lane in lanes) * MICRO
    report.check("and that is what the bank credited", lanes_paid == claimed, (lanes_paid, claimed))
    report.say(f"  {six(claimed)} HOLE for {size(sum(lane.served for lane in lanes))} read")
    return lanes
