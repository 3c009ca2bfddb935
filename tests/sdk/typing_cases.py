"""Not run: what type checkers must infer for users of both faces. tests/sdk/test_typing.py reads the answers.

Each `reveal_type` line says in a comment what is expected.
"""

from __future__ import annotations

from typing import reveal_type

from blackhole import AsyncBlackhole, Blackhole
from blackhole.chain.bindings.payment_hub import PaymentHub
from blackhole.chain.client import Chain
from blackhole.chain.connection import Connection
from blackhole.escrow.lanes import LaneId


def blocking(market: Blackhole, lane: LaneId) -> None:
    reveal_type(market.escrow.balance())  # int
    reveal_type(market.escrow.open_lane("0x", 1, 5))  # LaneId
    reveal_type(market.escrow.open_lane.quote("0x", 1, 5))  # Quote
    reveal_type(market.escrow.thaw.dry_run(lane, 5))  # None
    reveal_type(market.escrow.thaw(lane, 5))  # Receipt
    reveal_type(market.staking.withdraw(1, 1))  # int
    reveal_type(market.registry.nodes(1))  # list[ListedNode]
    reveal_type(market.escrow.watch_thaws())  # Iterator[Logged[ThawStarted]]
    market.escrow.thaw(lane, "5")  # error
    market.escrow.thaw.quote(lane)  # error
    market.escrow.balance(account=5)  # error
    market.escrow.nothing()  # error


async def asynchronous(market: AsyncBlackhole, lane: LaneId) -> None:
    reveal_type(await market.escrow.balance())  # int
    reveal_type(await market.escrow.open_lane("0x", 1, 5))  # LaneId
    reveal_type(await market.escrow.thaw.quote(lane, 5))  # Quote
    reveal_type(await market.staking.withdraw(1, 1))  # int
    reveal_type(market.escrow.watch_thaws())  # AsyncIterator[Logged[ThawStarted]]
    async for credited in market.escrow.watch_credits():
        reveal_type(credited.event.gross)  # int
    await market.escrow.thaw(lane, "5")  # error


async def core(chain: Chain, hub: PaymentHub, connection: Connection) -> None:
    reveal_type(await chain.read(hub.current_fee(1)))  # CurrentFeeResult
    reveal_type(await chain.read_many([hub.unit(), hub.balance_of(connection.account)]))  # list[int]
    reveal_type(await chain.simulate(hub.redeem(connection.account, 1, b""), connection.account))  # RedeemResult
    reveal_type((await connection.send(hub.allow(connection.account, 1))).gas_used)  # int
    hub.allow("not an Address", 1)  # error
