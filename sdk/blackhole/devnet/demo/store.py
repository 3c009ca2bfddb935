"""Steps 1 and 2: the network as it should be; the file quoted, stored, proven and paid."""

from __future__ import annotations

import hashlib
from collections import Counter
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from blackhole.chain.bindings.storage_market import Drawn, Proven, Settled
from blackhole.cli.output import size
from blackhole.devnet.demo.ledger import Entry
from blackhole.devnet.demo.report import six
from blackhole.devnet.demo.stage import Stage
from blackhole.protocol import MICRO, STORAGE

PERIODS = 40
"""How long the object is stored: the demo lasts about thirty periods."""
READS = 2
"""How often the payer reads it whole."""
PROVEN = 3
"""Periods watched before anything goes wrong."""

DUTIES = {"StorageMarket.draw", "StorageMarket.prove", "StorageMarket.settle", "StorageMarket.reportMissed"}
"""What nobody but node processes sends in this demo."""
AGENT_CALLS = DUTIES | {"StorageMarket.close", "PaymentHub.redeem"}
"""What node processes send by themselves."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def network(stage: Stage) -> None:
    """Each node is an operator of its own; owners' keys are nowhere near the agents."""
    report = stage.report
    nodes = list(stage.nodes.values())
    networks = {ip_network(f"{urlsplit(node.endpoint).hostname}/24", strict=False) for node in nodes}
    report.check("every node has a network (/24) of its own", len(networks) == len(nodes) == stage.plan.nodes)
    stakes = await stage.chain.read_many(stage.vault.stake_of(node.node, STORAGE) for node in nodes)
    report.check("every node is bonded", all(stake.active for stake in stakes))
    signers = await stage.chain.read_many(stage.registry.signer_of(node.node) for node in nodes)
    report.check("agents sign with keys of their own", not set(signers) & {node.owner for node in nodes})
    owned = [path.read_bytes().strip().removeprefix(b"0x") for path in stage.net.folder.accounts.glob("owner-*.key")]
    secrets = [*owned, *(bytes.fromhex(key.decode()) for key in owned)]
    files = [path for node in nodes for path in node.folder.rglob("*") if path.is_file()]
    leaked = [path for path in files if any(key in path.read_bytes() for key in secrets)]
    report.check("no owner's key lies with an agent", bool(owned) and not leaked, leaked)


async def put(stage: Stage) -> None:
    """Quote, say why these nodes, store, and find every agreement open on chain."""
    report, plan = stage.report, stage.plan
    async with stage.step("quote and put") as row:
        stage.sha256 = sha256(stage.source)
        report.sha256_in = sha256(stage.small or stage.source)
        storage = stage.payer.storage
        quote = await storage.quote(stage.source, profile=plan.profile, periods=PERIODS)
        # What is locked for storing, and what the two reads of the payer cost.
        report.quote_wei = quote.total + READS * quote.read_micro * MICRO
        report.say(
            f"  {size(quote.size)} for {PERIODS} periods: {six(quote.total)} HOLE, one read {quote.read_micro} micro"
        )
        for line in quote.nodes:
            place = f"shard {line.shard}" if line.shard is not None else "spare"
            report.say(f"    node {line.node:>3}  {place:<9}  {six(line.rate)} HOLE a period  {line.reason}")
        stored = await storage.put(stage.source, profile=plan.profile, periods=PERIODS, max_price=quote.total)
        stage.stored = stored
        row.bytes = stored.size
        if stage.small is not None:
            for_small = await storage.quote(stage.small, profile=plan.profile, periods=PERIODS)
            report.quote_wei += for_small.total + READS * for_small.read_micro * MICRO
            small = await storage.put(stage.small, profile=plan.profile, periods=PERIODS, max_price=for_small.total)
            stage.small_cap = small.cap
            row.bytes += small.size
    for node in stored.nodes:
        report.nodes[node].role = "held its shard"
    report.check("stored for no more than was quoted", stored.cost <= quote.total, f"{stored.cost} > {quote.total}")
    report.check("one node a shard", len(set(stored.nodes)) == plan.shape.n and not stored.missing, stored.nodes)
    ids = [int(agreement, 16) for agreement in stored.agreements]
    agreements = await stage.chain.read_many(stage.market.agreement_of(id) for id in ids)
    report.check("every agreement is open on chain", all(a.status == 1 for a in agreements), agreements)
    report.check("each with the node that was chosen", tuple(a.node for a in agreements) == stored.nodes)
    locks = await stage.chain.read_many(stage.hub.lock_of(stage.market.address, id) for id in ids)
    report.check("what was paid lies in the locks", sum(lock.amount for lock in locks) == stored.cost, locks)


async def periods(stage: Stage) -> None:
    """Time passes: node processes draw, prove and settle by themselves."""
    report = stage.report
    async with stage.step(f"{PROVEN} periods proven") as _:
        ids = [int(agreement, 16) for agreement in stage.stored.agreements]
        first = max(a.start for a in await stage.chain.read_many(stage.market.agreement_of(id) for id in ids))
        stage.ledger.read()
        before = len(stage.ledger.entries)
        # The proofs of a period come in the next one, its pay in the one after.
        await stage.advance(first + PROVEN + 1 - await stage.period())
        last = first + PROVEN - 1
        for period in range(first, last + 1):
            bits = await stage.chain.read_many(stage.market.bit_of(node, period) for node in stage.holders)
            report.check(
                f"period {period}: all {len(bits)} nodes proved", all(bits), dict(zip(stage.holders, bits, strict=True))
            )

        async def settled() -> bool:
            agreements = await stage.chain.read_many(stage.market.agreement_of(id) for id in ids)
            return all(a.settled_to > last for a in agreements)

        await stage.until("every agreement settles", settled)
        stage.ledger.read()
        entries = stage.ledger.entries[before:]
        by_agents(stage, entries)
        await paid(stage)


def by_agents(stage: Stage, entries: list[Entry]) -> None:
    """Fail on any transaction that no node's own key sent, the driver's above all."""
    report = stage.report
    own = {node.signer: node.node for node in stage.nodes.values()}
    report.say("  every transaction of these periods, by its sender:")
    list_senders(stage, entries)
    strangers = [(entry.name, entry.sender) for entry in entries if entry.sender not in own]
    report.check(
        f"all {len(entries)} transactions were sent by the nodes' own keys", bool(entries) and not strangers, strangers
    )
    odd = Counter(entry.name for entry in entries if entry.name not in AGENT_CALLS)
    report.check("and each draws, proves, settles, reports or redeems", not odd, dict(odd))
    wrong = [
        (event.node, entry.sender)
        for entry in entries
        for event in entry.events
        if isinstance(event, Proven) and own.get(entry.sender) != event.node
    ]
    report.check("every node proved for itself", not wrong, wrong)
    drawn = list(stage.ledger.events(Drawn, entries))
    report.check("one seed a period for the whole network", len({event.period for event in drawn}) == len(drawn))


def list_senders(stage: Stage, entries: list[Entry]) -> dict[str, Counter[str]]:
    """Say who sent what; the calls by sender's name, or by address where it is nobody we know."""
    accounts = {stage.address(path.stem): path.stem for path in stage.net.folder.accounts.glob("*.key")}
    names = accounts | {node.signer: f"node {node.node}" for node in stage.nodes.values()}
    sent: dict[str, Counter[str]] = {}
    for entry in entries:
        sent.setdefault(names.get(entry.sender, entry.sender), Counter())[entry.name.partition(".")[2]] += 1
    for name in sorted(sent, key=lambda name: (name.partition(" ")[0], len(name), name)):
        stage.report.say(
            f"    {name:<10} " + ", ".join(f"{count} {call}" for call, count in sorted(sent[name].items()))
        )
    return sent


async def senders(stage: Stage) -> None:
    """Name the sender of every transaction since the network was up; the driver sent none of them."""
    report = stage.report
    stage.ledger.read()
    report.say("  every transaction since the network was up, by its sender:")
    sent = list_senders(stage, stage.ledger.entries[stage.set_up :])
    strangers = [name for name in sent if name.startswith("0x")]
    report.check("every sender is known", not strangers, strangers)
    driver = set(sent) & {"deployer", "treasury"}
    report.check("the network's driver sent not one transaction", not driver, driver)
    duties = {call.partition(".")[2] for call in DUTIES}
    others = {name for name, calls in sent.items() if duties & set(calls) and not name.startswith("node ")}
    report.check("all draws, proofs, settlements and reports came from node processes", not others, others)


async def paid(stage: Stage) -> None:
    """What was released is rate × proven periods, to the wei, for every agreement."""
    ids = [int(agreement, 16) for agreement in stage.stored.agreements]
    agreements = await stage.chain.read_many(stage.market.agreement_of(id) for id in ids)
    released: Counter[int] = Counter()
    for event in stage.ledger.events(Settled):
        released[event.id] += event.amount
    wrong = []
    for id, agreement in zip(ids, agreements, strict=True):
        proven = await stage.chain.read(
            stage.market.proven_periods(agreement.node, agreement.start, max(agreement.settled_to, agreement.start))
        )
        if released[id] != agreement.rate * proven:
            wrong.append((agreement.node, released[id], agreement.rate, proven))
    stage.report.check("paid = rate × proven periods, to the wei", not wrong, wrong)


async def tally(stage: Stage) -> None:
    """Fill the table of nodes from the events: earned, gas, slashed; and what the payer spent."""
    report = stage.report
    stage.ledger.read()
    payees = {node.payee: node.node for node in stage.nodes.values()}
    spenders = {node.signer: node.node for node in stage.nodes.values()}
    payer = stage.payer.connection.signer
    assert payer is not None
    for row in report.nodes.values():
        row.earned_wei = row.gas_wei = 0
    report.spent_wei = 0
    for event in stage.ledger.credits():
        if event.payee in payees:
            report.nodes[payees[event.payee]].earned_wei += event.gross - event.fee
        if event.payer == payer.address:
            report.spent_wei += event.gross
    for entry in stage.ledger.entries:
        if entry.sender in spenders:
            report.nodes[spenders[entry.sender]].gas_wei += entry.fee
