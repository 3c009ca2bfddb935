"""`blackhole escrow`: the balance in the bank that deals and reads are paid from."""

from __future__ import annotations

from typing import Annotated

import typer

from blackhole.cli.context import amount, connect, current
from blackhole.cli.output import confirm, emit, hole, table

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

    with connect() as blackhole:
        account = blackhole.connection.account
        balance = blackhole.escrow.balance()
        allowed = blackhole.escrow.allowance(blackhole.network.address("StorageMarket"))
        wallet = blackhole.tokens.balance()
        lanes = blackhole.escrow.lanes()
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
    wei = amount(value)
    with connect() as blackhole:
        if current().dry_run:
            blackhole.escrow.deposit.dry_run(wei)
            emit({"dry_run": True, "deposit_wei": wei}, f"would deposit {hole(wei)}")
            return
        receipt = blackhole.escrow.deposit(wei)
        balance = blackhole.escrow.balance()
    data = {"deposited_wei": wei, "balance_wei": balance, "transaction": receipt.hash}
    emit(data, f"deposited {hole(wei)}; {hole(balance)} in the bank")


@app.command()
def withdraw(
    value: Amount, to: Annotated[str | None, typer.Option(help="Who gets it; default: your wallet.")] = None
) -> None:
    """Move HOLE from the bank to the wallet, or to another address.

    Example: blackhole escrow withdraw 10
    """
    wei = amount(value)
    with connect() as blackhole:
        if current().dry_run:
            blackhole.escrow.withdraw.dry_run(wei, to)
            emit({"dry_run": True, "withdraw_wei": wei}, f"would withdraw {hole(wei)}")
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
            emit({"dry_run": True, "allow_wei": wei}, f"would allow {hole(wei)}")
            return
        receipt = blackhole.escrow.allow(market, wei)
    data = {"market": market, "allowance_wei": wei, "transaction": receipt.hash}
    emit(data, f"the storage market may lock up to {hole(wei)}")


@app.command()
def lanes(
    thaw: Annotated[bool, typer.Option("--thaw", help="Ask for the unclaimed money of all lanes back (24 h).")] = False,
) -> None:
    """The lanes you opened to read: what each holds and what its node has claimed.

    Example: blackhole escrow lanes
    """
    with connect() as blackhole:
        found = blackhole.escrow.lanes()
        thawed: list[str] = []
        if thaw and not current().dry_run:
            free = [lane for lane in found if lane.deposit > lane.claimed and not lane.thawing]
            confirm(f"Ask for the money of {len(free)} lanes back? Nodes then redeem what you signed.")
            for lane in free:
                thawed.append("0x" + blackhole.escrow.thaw(lane.id, lane.deposit - lane.claimed).hash.hex())
    rows = [
        {
            "payee": lane.id.payee,
            "service": lane.id.service,
            "lane": lane.id.lane,
            "deposit_micro": lane.deposit,
            "claimed_micro": lane.claimed,
            "thawing_micro": lane.thawing,
        }
        for lane in found
    ]
    head = ["PAYEE", "SERVICE", "LANE", "DEPOSIT (MICRO)", "CLAIMED", "THAWING"]
    emit({"lanes": rows, "transactions": thawed}, table(head, [list(row.values()) for row in rows]))
