"""Step 8: a node that earned gives its pieces back, leaves with its bond, and every wei is accounted for."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from itertools import chain

from blackhole.chain.bindings.blackhole_token import Transfer
from blackhole.chain.bindings.payment_hub import Deposited, LaneOpened, Locked, Withdrawn
from blackhole.chain.bindings.storage_market import Changed
from blackhole.chain.values import ZERO, Address, address
from blackhole.client import AsyncBlackhole
from blackhole.devnet.demo.report import six
from blackhole.devnet.demo.stage import Stage
from blackhole.devnet.genesis import OWNER, PAYER, TREASURY, USERS
from blackhole.errors import Reverted
from blackhole.node.config import change
from blackhole.protocol import EXIT, MICRO, STORAGE


async def leave(stage: Stage) -> None:
    """Drained by Changes the file's owner signs, exit asked for, 21 days later the bond is back."""
    report, node = stage.report, stage.roles.leaving
    owner = stage.client(f"owner-{node}")
    account, payee = address(stage.nodes[node].owner), address(stage.nodes[node].payee)
    try:
        async with stage.step("a node drains and leaves") as _:
            await drain(stage, node)
            stake = await stage.chain.read(stage.vault.stake_of(node, STORAGE))
            report.check("nothing of its bond is reserved any more", stake.reserved == 0, stake)
            earned = await stage.chain.read(stage.hub.balance_of(payee))
            report.check("it has earned", earned > 0)
            report.say(f"  node {node} earned {six(earned)} HOLE and asks for its bond of {six(stake.active)} HOLE")
            await owner.staking.request_exit(node, STORAGE, stake.active)
            await asyncio.to_thread(stage.net.stop, node)
            await exit_is_not_early(stage, owner, node)
            await asyncio.to_thread(stage.net.jump, EXIT)
            before = await stage.chain.read(stage.token.balance_of(account))
            await owner.staking.withdraw(node, STORAGE)
            await owner.escrow.withdraw(earned)
            after = await stage.chain.read(stage.token.balance_of(account))
            whole = stake.active + stake.exiting + earned
            report.check(
                "21 days later it has bond and pay, to the wei", after - before == whole, (after - before, whole)
            )
    finally:
        await owner.close()


async def drain(stage: Stage, node: int) -> None:
    """The file's owner takes the pieces off the node by a signed Change and stores them elsewhere."""
    report = stage.report
    # Its operator takes no new deals: the agent reads its configuration again on SIGHUP.
    here = stage.nodes[node]
    change(here.folder / "config.toml", {"storage.accept": False})
    assert here.pid is not None
    os.kill(here.pid, signal.SIGHUP)
    done = await stage.payer.storage.remove(stage.stored.cap, nodes=[node])
    if stage.small is not None:
        await stage.payer.storage.remove(stage.small_cap, nodes=[node])
    stage.ledger.read()
    changes = [event for event in stage.ledger.events(Changed) if event.node == node]
    emptied = (
        bool(changes) and not any(event.change.leaves for event in changes) and not done.failed and not done.terminated
    )
    report.check("its pieces left by a Change the file's owner signed", emptied, done)
    again = await stage.payer.storage.repair(stage.stored.cap, max_price=stage.report.quote_wei)
    report.check("and are stored on another node", bool(again.restored) and not again.failed, again.failed)
    status = await stage.payer.storage.status(stage.stored.cap)
    report.check("the object is still full", status.state == "full", status.state)

    async def closed() -> bool:
        return (await stage.chain.read(stage.vault.stake_of(node, STORAGE))).reserved == 0

    for _ in range(4):
        await stage.advance()
    await stage.until("its agreements close and free its bond", closed)


async def exit_is_not_early(stage: Stage, owner: AsyncBlackhole, node: int) -> None:
    """Before the 21 days are over nothing comes out."""
    try:
        await owner.staking.withdraw(node, STORAGE)
        early = "it was paid out"
    except Reverted as error:
        early = type(error.decoded).__name__
    stage.report.check("before that the vault refuses", early == "ExitPending", early)


async def balances(stage: Stage) -> None:
    """Every wei of the token is somewhere we can name, and the payer's books close."""
    report = stage.report
    stage.ledger.read()
    read = stage.chain.read_many
    holders = sorted({a for e in stage.ledger.events(Transfer) for a in (e.from_, e.to)} - {ZERO})
    held = sum(await read(stage.token.balance_of(holder) for holder in holders))
    supply = await stage.chain.read(stage.token.total_supply())
    genesis = int(TREASURY) + len(USERS) * int(PAYER) + stage.plan.nodes * int(OWNER)
    burned = sum(event.value for event in stage.ledger.events(Transfer) if event.to == ZERO)
    report.check("supply = genesis − burned", supply == genesis - burned, (supply, genesis, burned))
    report.check("all balances add up to the supply", held == supply, (held, supply))
    report.say(f"  {six(burned)} HOLE were burned")
    await bank(stage)
    stakes = await read(stage.vault.stake_of(node, STORAGE) for node in stage.nodes)
    vault = await stage.chain.read(stage.token.balance_of(stage.vault.address))
    booked = sum(stake.active + stake.exiting for stake in stakes)
    report.check("the vault holds exactly all stakes", vault == booked, (vault, booked))


async def bank(stage: Stage) -> None:
    """The bank holds exactly its accounts, lanes and locks; and what the payer put in is spent, left or still his."""
    report, read = stage.report, stage.chain.read_many
    lanes = list(stage.ledger.events(LaneOpened))
    found = await read(stage.hub.lane_of(event.payee, event.service, event.lane) for event in lanes)
    in_lanes = [(lane.deposit - lane.claimed) * MICRO for lane in found]
    locks = {(event.module, event.id): event.payer for event in stage.ledger.events(Locked)}
    in_locks = [lock.amount for lock in await read(stage.hub.lock_of(address(m), id) for m, id in locks)]
    accounts = sorted(set(_accounts(stage)))
    own = await read(stage.hub.balance_of(account) for account in accounts)
    total = sum(own) + sum(in_lanes) + sum(in_locks)
    held = await stage.chain.read(stage.token.balance_of(stage.hub.address))
    report.check("the bank holds exactly its balances, lanes and locks", held == total, (held, total))
    payer = stage.address("payer")
    deposited = sum(event.amount for event in stage.ledger.events(Deposited) if event.to == payer)
    spent = sum(event.gross for event in stage.ledger.credits() if event.payer == payer)
    left = dict(zip(accounts, own, strict=True))[payer]
    left += sum(amount for event, amount in zip(lanes, in_lanes, strict=True) if event.payer == payer)
    left += sum(amount for owner, amount in zip(locks.values(), in_locks, strict=True) if owner == payer)
    report.check("what the payer put in is spent, locked or left", deposited == spent + left, (deposited, spent, left))


def _accounts(stage: Stage) -> Iterable[Address]:
    ledger = stage.ledger
    return chain(
        (event.to for event in ledger.events(Deposited)),
        (event.from_ for event in ledger.events(Deposited)),
        (event.payee for event in ledger.credits()),
        (event.payer for event in ledger.credits()),
        (event.from_ for event in ledger.events(Withdrawn)),
        (address(stage.network.addresses["FeeSplitter"]), stage.market.address),
    )
