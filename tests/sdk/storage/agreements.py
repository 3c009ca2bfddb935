"""What the chain says of an account's agreements, for the storage tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from blackhole.chain.bindings.storage_market import Agreement, Changed, Opened, Settled
from blackhole.chain.events import decode_log
from blackhole.devnet.handle import Devnet
from blackhole.face import portal
from storage_accounts import Account

E = TypeVar("E", Opened, Changed, Settled)


def opened_by(account: Account) -> list[Opened]:
    """Every agreement the chain ever opened for the account."""
    payer = bytes(12) + bytes.fromhex(account.client.connection.account[2:])
    return _events(account, Opened, [None, payer])


def changed(account: Account, agreement: str) -> list[Changed]:
    """Every Change of an agreement."""
    return _events(account, Changed, [int(agreement, 16).to_bytes(32, "big")])


def settled(account: Account, agreement: str) -> tuple[int, int]:
    """(wei an agreement has paid, first period it has not settled)."""
    events = _events(account, Settled, [int(agreement, 16).to_bytes(32, "big")])
    return sum(event.amount for event in events), max((event.to for event in events), default=0)


def agreements(account: Account, ids: Iterable[str]) -> list[Agreement]:
    """As the chain has them, in order."""
    connection = account.client.connection
    calls = [connection.market.agreement_of(int(each, 16)) for each in ids]
    return portal().run(connection.chain.read_many(calls))


def advance(network: Devnet, periods: int) -> None:
    """End that many periods, and further ones until every node has proven the last: then agreements can be changed."""
    last = network.advance(periods)[-1]
    for _ in range(5):
        if not last["unproven"]:
            return
        last = network.advance()[-1]
    raise AssertionError(f"nodes {last['unproven']} do not prove")


def period(account: Account) -> int:
    """The current one."""
    connection = account.client.connection

    async def read() -> int:
        return (await connection.chain.block("latest")).timestamp // connection.network.period

    return portal().run(read())


def proven(account: Account, node: int, periods: range) -> list[int]:
    """Which of these periods a node has proven."""
    connection = account.client.connection
    bits = portal().run(connection.chain.read_many([connection.market.bit_of(node, each) for each in periods]))
    return [each for each, bit in zip(periods, bits, strict=True) if bit]


def _events(account: Account, kind: type[E], topics: list[bytes | None]) -> list[E]:
    connection = account.client.connection

    async def read() -> list[E]:
        last = (await connection.chain.block("latest")).number
        logs = await connection.chain.logs(connection.market.address, [kind.TOPIC, *topics], 0, last)
        return [event for event in map(decode_log, logs) if isinstance(event, kind)]

    return portal().run(read())
