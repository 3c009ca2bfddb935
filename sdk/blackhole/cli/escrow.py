"""`blackhole escrow`: the balance in the bank that deals and reads are paid from."""

from __future__ import annotations

from typing import Annotated

import typer

from blackhole.cli.context import amount, connect, current, require_address
from blackhole.cli.output import confirm, count, emit, hole, table, when, would
from blackhole.errors import InputError

app = typer.Typer(
    epilog="Examples: blackhole escrow deposit 100; blackhole escrow allow 100; blackhole escrow show",
)

Amount = Annotated[str, typer.Argument(help='HOLE, for example "2.5".')]


@app.command()
def show() -> None:
    """Your balance, what the storage market may lock of it, and what your lanes hold.

    Example: blackhole escrow show
    """
    from blackhole.units import micro_to_wei

    account = require_address()
    with connect(signs=False) as blackhole:
        balance = blackhole.escrow.balance(account)
        allowed = blackhole.escrow.allowance(blackhole.network.address("StorageMarket"), account)
        wallet = blackhole.tokens.balance(account)
        lanes = blackhole.escrow.lanes(account)
    in_lanes = micro_to_wei(sum(lane.deposit - lane.claimed for lane in lanes))
    data = {
        "account": account,
        "balance_wei": balance,
        "market_allowance_wei": allowed,
        "lanes_wei": in_lanes,
        "wallet_wei": wallet,
    }
    rows = [
        ("in the bank", hole(balance)),
        ("the storage market may lock", hole(allowed)),
        (f"in {len(lanes)} lanes, unclaimed", hole(in_lanes)),
        ("in the wallet", hole(wallet)),
    ]
    emit(data, table(["ACCOUNT", account], rows))


@app.command()
def deposit(value: Amount) -> None:
    """Move HOLE from the wallet into the bank.

    Example: blackhole escrow deposit 100
    """
    wei = amount(value, least=1)
    with connect() as blackhole:
        if current().dry_run:
            blackhole.escrow.deposit.dry_run(wei)
            would(f"deposit {hole(wei)}", deposit_wei=wei)
            return
        receipt = blackhole.escrow.deposit(wei)
        balance = blackhole.escrow.balance()
    data = {"deposited_wei": wei, "balance_wei": balance, "transaction": receipt.hash}
    emit(data, f"deposited {hole(wei)}; {hole(balance)} in the bank")


@app.command()
def withdraw(
    value: Annotated[str, typer.Argument(help='HOLE, for example "2.5"; or "all".')],
    to: Annotated[str | None, typer.Option(help="Who gets it; default: your wallet.")] = None,
) -> None:
    """Move HOLE from the bank to the wallet, or to another address.

    Example: blackhole escrow withdraw 10

    Example: blackhole escrow withdraw all
    """
    wei = 0 if value == "all" else amount(value, least=1)
    with connect() as blackhole:
        if value == "all" and not (wei := blackhole.escrow.balance()):
            raise InputError("The bank holds nothing of yours.", hint="Look at it with: blackhole escrow show")
        if current().dry_run:
            blackhole.escrow.withdraw.dry_run(wei, to)
            would(f"withdraw {hole(wei)}" + (f" to {to}" if to else ""), withdraw_wei=wei, to=to)
            return
        if to is not None:
            confirm(f"Send {hole(wei)} to {to}?")
        receipt = blackhole.escrow.withdraw(wei, to)
        balance = blackhole.escrow.balance()
    data = {"withdrawn_wei": wei, "balance_wei": balance, "transaction": receipt.hash}
    emit(data, f"withdrew {hole(wei)}; {hole(balance)} left in the bank")


@app.command()
def allow(value: Amount) -> None:
    """Let the storage market lock up to so much of your balance for deals you sign; 0 takes it back.

    It replaces the allowance there is. Nothing is locked without your signature on a deal.

    Example: blackhole escrow allow 100
    """
    wei = amount(value)
    with connect() as blackhole:
        market = blackhole.network.address("StorageMarket")
        if current().dry_run:
            blackhole.escrow.allow.dry_run(market, wei)
            would(f"let the storage market lock up to {hole(wei)}", allow_wei=wei)
            return
        receipt = blackhole.escrow.allow(market, wei)
    data = {"market": market, "allowance_wei": wei, "transaction": receipt.hash}
    emit(data, f"the storage market may lock up to {hole(wei)}")


@app.command()
def lanes(
    thaw: Annotated[bool, typer.Option("--thaw", help="Ask for the unclaimed money of all lanes back (24 h).")] = False,
    reclaim: Annotated[
        bool, typer.Option("--reclaim", help="Take back what was asked back at least 24 h and at most 8 days ago.")
    ] = False,
) -> None:
    """The lanes you opened to read: what each holds, what its node has claimed, and what is on its way back.

    Money asked back with --thaw is yours 24 hours later, once you --reclaim it; nodes first redeem what you signed.

    Example: blackhole escrow lanes --thaw
    """
    from blackhole.face import portal
    from blackhole.units import micro_to_wei

    transactions: list[str] = []
    with connect() as blackhole:
        found = blackhole.escrow.lanes()
        now = portal().run(blackhole.chain.block("latest")).timestamp
        idle = [lane for lane in found if lane.deposit > lane.claimed and not lane.thaw_counts(now)]
        ripe = [lane for lane in found if lane.thaw_counts(now) and now >= lane.thaw_at]
        asked = micro_to_wei(sum(lane.deposit - lane.claimed for lane in idle)) if thaw else 0
        taken = micro_to_wei(sum(min(lane.thawing, lane.deposit - lane.claimed) for lane in ripe)) if reclaim else 0
        if current().dry_run and (thaw or reclaim):
            would(
                f"ask {hole(asked)} back and take {hole(taken)} that was asked back before",
                thaw_wei=asked, reclaim_wei=taken,
            )  # fmt: skip
            return
        if asked:
            confirm(f"Ask {hole(asked)} of {count(len(idle), 'lane')} back? Their nodes then redeem what you signed.")
            for lane in idle:
                receipt = blackhole.escrow.thaw(lane.id, lane.deposit - lane.claimed)
                transactions.append("0x" + receipt.hash.hex())
        if reclaim:
            transactions += ["0x" + blackhole.escrow.reclaim(lane.id).hash.hex() for lane in ripe]
        if transactions:
            found = blackhole.escrow.lanes()
    rows = [
        {
            "payee": lane.id.payee,
            "service": lane.id.service,
            "lane": lane.id.lane,
            "deposit_micro": lane.deposit,
            "claimed_micro": lane.claimed,
            "thawing_micro": lane.thawing,
            "thaw_at": lane.thaw_at,
        }
        for lane in found
    ]
    head = ["PAYEE", "SERVICE", "LANE", "DEPOSIT (MICRO)", "CLAIMED", "THAWING", "FREE FROM"]
    cells = [
        [*list(row.values())[:-1], when(lane.thaw_at) if lane.thaw_counts(now) else "-"]
        for row, lane in zip(rows, found, strict=True)
    ]
    done = [f"asked {hole(asked)} back" if asked else "", f"took {hole(taken)} back" if taken else ""]
    text = table(head, cells) if rows else "No lanes: the first read of a node opens one."
    data = {"lanes": rows, "thawed_wei": asked, "reclaimed_wei": taken, "transactions": transactions}
    emit(data, "\n".join([text, *filter(None, done)]))
