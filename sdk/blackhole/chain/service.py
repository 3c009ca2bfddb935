"""Services on a connection, and writes: operations that can also be priced and tried without being sent.

@write
async def thaw(self, lane: LaneId, micro: int) -> Plan[Receipt]:
    return one(self.connection.hub.thaw(...))

escrow.thaw(lane, 5)            sends it, returns the result
escrow.thaw.dry_run(lane, 5)    raises what sending would raise
escrow.thaw.quote(lane, 5)      what it would cost in gas
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from blackhole.chain.connection import Connection
from blackhole.chain.simulation import simulate_all
from blackhole.chain.transactions.fees import Fees, gas_limit
from blackhole.chain.values import Receipt, Tx
from blackhole.face import Async, M, Service, Sync, portal

T = TypeVar("T")
P = ParamSpec("P")


class ConnectedService(Service[M]):
    """Base of the services that talk to the chain."""

    def __init__(self, mode: M, connection: Connection) -> None:
        self.mode: M = mode
        self.connection = connection


S = TypeVar("S", bound=ConnectedService[Any])


@dataclass(frozen=True)
class Plan(Generic[T]):
    """What a write will send, and how its result is read from the receipts."""

    transactions: tuple[Tx[Any], ...]
    result: Callable[[list[Receipt]], T]
    intents: tuple[str | None, ...] | None = None

    async def run(self, connection: Connection) -> T:
        """Send all, wait, return the result."""
        return self.result(await connection.send_many(self.transactions, intents=self.intents))


def one(tx: Tx[Any]) -> Plan[Receipt]:
    """A plan of one transaction whose result is its receipt."""
    return Plan((tx,), lambda receipts: receipts[0])


def several(*transactions: Tx[Any]) -> Plan[Receipt]:
    """A plan whose result is the receipt of its last transaction."""
    return Plan(transactions, lambda receipts: receipts[-1])


@dataclass(frozen=True)
class Quote:
    """What a write would cost now."""

    transactions: tuple[str, ...]
    """Contract and function of each."""
    gas: int
    fee: int
    """wei of the chain's coin at the present base fee and tip."""
    fee_limit: int
    """wei of the chain's coin its signatures will allow at most, at the present fees; one that is stuck is signed
    again with higher ones."""


async def _quote(connection: Connection, plan: Plan[Any]) -> Quote:
    found, fees = await asyncio.gather(
        simulate_all(connection.chain, plan.transactions, connection.account), Fees.now(connection.chain)
    )
    gas, limit = sum(found), sum(gas_limit(each) for each in found)
    names = tuple(tx.name for tx in plan.transactions)
    return Quote(names, gas, gas * (fees.base + fees.tip), limit * fees.max_fee)


class _Bound(Generic[P, T]):
    """A write of one service object."""

    def __init__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, Plan[T]]], service: ConnectedService[Any]
    ) -> None:
        self._function = function
        self._service = service
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    async def _send(self, *args: P.args, **kwargs: P.kwargs) -> T:
        plan = await self._function(self._service, *args, **kwargs)
        return await plan.run(self._service.connection)

    async def _price(self, *args: P.args, **kwargs: P.kwargs) -> Quote:
        return await _quote(self._service.connection, await self._function(self._service, *args, **kwargs))

    async def _try(self, *args: P.args, **kwargs: P.kwargs) -> None:
        plan = await self._function(self._service, *args, **kwargs)
        await simulate_all(self._service.connection.chain, plan.transactions, self._service.connection.account)


class SyncWrite(_Bound[P, T]):
    """A write of the synchronous face."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return portal().run(self._send(*args, **kwargs))

    def quote(self, *args: P.args, **kwargs: P.kwargs) -> Quote:
        """What it would cost; sends nothing. Raises what sending would raise."""
        return portal().run(self._price(*args, **kwargs))

    def dry_run(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Raises what sending would raise; sends nothing."""
        portal().run(self._try(*args, **kwargs))


class AsyncWrite(_Bound[P, T]):
    """A write of the asynchronous face."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(*args, **kwargs)

    async def quote(self, *args: P.args, **kwargs: P.kwargs) -> Quote:
        """What it would cost; sends nothing. Raises what sending would raise."""
        return await self._price(*args, **kwargs)

    async def dry_run(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Raises what sending would raise; sends nothing."""
        await self._try(*args, **kwargs)


class write(Generic[S, P, T]):  # noqa: N801 - a decorator
    """Make an `async def` method that returns a `Plan` a write of both faces."""

    def __init__(self, function: Callable[Concatenate[S, P], Coroutine[Any, Any, Plan[T]]]) -> None:
        self.function = function
        functools.update_wrapper(cast("Callable[..., Any]", self), function)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> write[S, P, T]: ...
    @overload
    def __get__(self, instance: ConnectedService[Sync], owner: type[Any] | None = None) -> SyncWrite[P, T]: ...
    @overload
    def __get__(self, instance: ConnectedService[Async], owner: type[Any] | None = None) -> AsyncWrite[P, T]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        kind = SyncWrite if isinstance(instance.mode, Sync) else AsyncWrite
        return kind(self.function, instance)
