"""From a call to signed bytes at an endpoint: simulate, sign, journal, send; later send again, or with higher fees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from blackhole.chain.raw_transactions import RawTransaction
from blackhole.chain.rpc import RpcError
from blackhole.chain.transactions.fees import TRANSFER_GAS, Fees, funds_error, gas_limit
from blackhole.chain.transactions.flights import Flight, Version
from blackhole.chain.transactions.logbook import Logbook
from blackhole.chain.values import Tx
from blackhole.errors import ChainError, EndpointBehind, FundsError, Reverted, RpcUnavailable

if TYPE_CHECKING:
    from blackhole.chain.client import At, Chain
    from blackhole.chain.signers import Signer

Work: TypeAlias = "tuple[Tx[Any], str | None]"
"""A transaction and its intent."""

WAIT_SECONDS: Final = 180.0
_KNOWN: Final = ("already known", "already imported", "known transaction", "alreadyknown", "already exists")


class Departure:
    """Signs and sends what a `Logbook` records."""

    def __init__(self, chain: Chain, signer: Signer, chain_id: int, logbook: Logbook) -> None:
        self._chain = chain
        self._signer = signer
        self._chain_id = chain_id
        self._logbook = logbook
        self._loop = asyncio.get_running_loop()

    async def sign(self, batch: Sequence[Work], gas: int | None) -> list[Flight]:
        """Sign and journal the longest beginning of the batch whose simulations pass.

        At least one, but for an intent that another task has sent meanwhile: then none. Raises what its simulation
        raises, `InsufficientFunds`, `DiskError`.
        """
        taken = await self._logbook.take_slots(len(batch))
        flights: list[Flight] = []
        try:
            async with self._logbook.turn:
                if batch := self._unsent(batch[:taken]):
                    limits = await self._simulate([tx for tx, _ in batch], gas)
                    signing = self._loop.create_task(self._sign(batch[: len(limits)], limits))
                    try:
                        flights = await asyncio.shield(signing)
                    except asyncio.CancelledError:
                        await self._unsign(signing)
                        raise
        finally:
            self._logbook.give_slots(taken - len(flights))
        return flights

    def _unsent(self, batch: Sequence[Work]) -> Sequence[Work]:
        """The batch up to the first intent that is under way, or stands in it twice."""
        seen: set[str] = set()
        for position, (_, intent) in enumerate(batch):
            if intent is not None and (intent in seen or self._logbook.find(intent) is not None):
                return batch[:position]
            if intent is not None:
                seen.add(intent)
        return batch

    async def _simulate(self, transactions: Sequence[Tx[Any]], gas: int | None) -> list[int]:
        """Gas limits for the transactions up to the first that does not pass yet. Raises when that is the first."""
        if gas is not None:
            return [gas] * len(transactions)
        while True:
            unmined = self._logbook.unmined
            at: At = "pending" if unmined else "latest"
            found = await asyncio.gather(
                *(self._chain.estimate(tx, self._signer.address, at=at) for tx in transactions), return_exceptions=True
            )
            limits: list[int] = []
            for each in found:
                if isinstance(each, BaseException):
                    break
                limits.append(gas_limit(each))
            if limits:
                return limits
            error = found[0]
            assert isinstance(error, BaseException)
            if unmined and isinstance(error, Reverted):
                # It may rely on what is on its way.
                _, late = await asyncio.wait([flight.mined_future for flight in unmined], timeout=WAIT_SECONDS)
                if not late:
                    continue
            if isinstance(error, RpcError) and "insufficient funds" in error.text.lower():
                need = transactions[0].value + TRANSFER_GAS
                raise await funds_error(self._chain, self._signer.address, need) from error
            raise error

    async def _sign(self, batch: Sequence[Work], limits: Sequence[int], *, slots: bool = True) -> list[Flight]:
        """Nonces, fees, signatures, one journal write. Holds the turn."""
        address = self._signer.address
        fees, balance, count = await asyncio.gather(
            Fees.now(self._chain), self._chain.balance(address), self._chain.transaction_count(address, at="pending")
        )
        reserved = sum(flight.cost for flight in self._logbook.unmined)
        need = reserved + sum(limit * fees.max_fee + tx.value for (tx, _), limit in zip(batch, limits, strict=True))
        if balance < need:
            raise await funds_error(self._chain, address, need)
        self._logbook.saw_count(count)
        flights: list[Flight] = []
        for nonce, (tx, intent), limit in zip(self._logbook.allot(len(batch)), batch, limits, strict=True):
            raw = RawTransaction(self._chain_id, nonce, fees.tip, fees.max_fee, limit, tx.to, tx.value, tx.data)
            flight = Flight(nonce, tx.name, intent, tx, slot=slots)
            flight.versions.append(Version.signed(raw.sign(self._signer)))
            flights.append(flight)
        await self._logbook.depart(flights)
        return flights

    async def _unsign(self, signing: asyncio.Task[list[Flight]]) -> None:
        """The caller was cancelled before anything was sent: take the signatures back. Holds the turn."""
        try:
            flights = await signing
        except Exception:  # noqa: BLE001 - then nothing was journalled
            return
        for flight in flights:
            flight.slot = False  # the caller gives its places back
        await self._logbook.take_back(flights)

    async def send(self, flights: Sequence[Flight]) -> None:
        """Send for the first time. An endpoint that cannot be reached is no error: the bytes may have left, and are
        sent again until they are final. Raises `InsufficientFunds`, `RpcError` for a definite refusal of a transaction
        nobody has; it is given up.
        """
        outcomes = await asyncio.gather(*(self._send_first(flight) for flight in flights), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, RpcUnavailable | EndpointBehind):
                raise outcome

    async def _send_first(self, flight: Flight) -> None:
        try:
            await self._send_raw(flight)
        except RpcError as error:
            text = error.text.lower()
            if any(known in text for known in _KNOWN) or await self._is_known(flight):
                return
            if len(flight.versions) > 1:
                return  # an earlier version is out
            await self._drop(flight, error)
            if "insufficient funds" in text:
                raise await funds_error(self._chain, self._signer.address, flight.cost) from error
            raise
        finally:
            self._logbook.news.set()

    async def _is_known(self, flight: Flight) -> bool:
        for version in flight.versions:
            if await self._chain.rpc.request("eth_getTransactionByHash", "0x" + version.hash.hex()):
                return True
        return False

    async def _drop(self, flight: Flight, why: RpcError) -> None:
        """Give up a transaction no endpoint has. Its nonce is the next one's, or is filled."""
        self._logbook.give_up(flight, why)  # first: whoever holds the turn may be waiting for it
        async with self._logbook.turn:
            await self._logbook.take_back([flight])
        await self.close_gaps()

    async def close_gaps(self) -> None:
        """Later nonces wait for a missing one: an empty transfer to oneself takes it."""
        flights: list[Flight] = []
        async with self._logbook.turn:
            if missing := self._logbook.blocking_gaps():
                empty: Tx[Any] = Tx(self._signer.address, b"", name="an empty transfer that closes a gap")
                # Without coins or an endpoint the next transaction takes the nonce.
                with contextlib.suppress(ChainError, FundsError):
                    flights = await self._sign([(empty, None)] * missing, [TRANSFER_GAS] * missing, slots=False)
        for flight in flights:
            await self.resend(flight)

    async def resend(self, flight: Flight) -> None:
        """Send the newest signed bytes once more."""
        with contextlib.suppress(ChainError):  # known already, or unreachable: the next look tells
            await self._send_raw(flight)

    async def replace(self, flight: Flight) -> None:
        """Sign the same call again with higher fees and send it; nothing when the account cannot pay them."""
        old = flight.versions[-1].transaction
        fees = (await Fees.now(self._chain)).above(old)
        if await self._chain.balance(self._signer.address) >= fees.max_fee * old.gas + old.value:
            raw = RawTransaction(
                self._chain_id, flight.nonce, fees.tip, fees.max_fee, old.gas, old.to, old.value, old.data
            )
            await self._logbook.revise(flight, Version.signed(raw.sign(self._signer)))
        await self.resend(flight)

    async def _send_raw(self, flight: Flight) -> None:
        flight.sent_at = self._loop.time()
        await self._chain.rpc.request("eth_sendRawTransaction", "0x" + flight.versions[-1].raw.hex())
