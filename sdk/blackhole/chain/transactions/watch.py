"""Follows what was sent until its block is final: sends again, raises fees, notices losses and reorganisations."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from blackhole.chain.transactions.departure import Departure
from blackhole.chain.transactions.flights import Flight
from blackhole.chain.transactions.logbook import Logbook
from blackhole.chain.values import Address
from blackhole.errors import ChainError, TransactionReplaced

if TYPE_CHECKING:
    from blackhole.chain.client import Chain

STUCK_BLOCKS: Final = 4
STUCK_SECONDS: Final = 15.0
REBROADCAST_SECONDS: Final = 10.0
_POLL_FIRST: Final = 0.01
_POLL_MAX: Final = 0.5
_FINAL_POLL: Final = 2.0
_LOST_LOOKS: Final = 3


class Watch:
    """One task that lives as long as something is not final."""

    def __init__(self, chain: Chain, address: Address, logbook: Logbook, departure: Departure) -> None:
        self._chain = chain
        self._address = address
        self._logbook = logbook
        self._departure = departure
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now, and from now on."""
        self._logbook.news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        try:
            await self._follow()
        except Exception as error:  # noqa: BLE001 - a full disk, or a defect: whoever waits has to know
            for flight in self._logbook.flights:
                flight.fail(error)

    async def _follow(self) -> None:
        pause = _POLL_FIRST
        for flight in self._logbook.flights:
            if flight.sent_at == 0 and flight.recovered:
                await self._departure.resend(flight)
        while self._logbook.flights:
            self._logbook.news.clear()
            try:
                await self._look()
            except ChainError:
                pause = _POLL_MAX
            longest = pause if self._logbook.unmined else _FINAL_POLL
            pause = min(pause * 1.5, _POLL_MAX)
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the news.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest):
                    await self._logbook.news.wait()
                pause = _POLL_FIRST

    async def _look(self) -> None:
        """One look at the chain. Raises `ChainError` when it cannot be seen."""
        if unmined := self._logbook.unmined:
            head, count, *found = await asyncio.gather(
                self._chain.rpc.request("eth_blockNumber"),
                self._chain.transaction_count(self._address),
                *(self._receipt(flight) for flight in unmined),
            )
            for flight, receipt in zip(unmined, found, strict=True):
                if flight not in self._logbook.flights:
                    continue  # given up while we looked
                if receipt is not None:
                    flight.arrive(receipt)
                    self._logbook.leave_slot(flight)
                    self._chain.rpc.saw_block(flight.block)
                elif count > flight.nonce:
                    await self._spent(flight)
                else:
                    await self._delayed(flight, int(head, 16))
        if mined := self._logbook.mined:
            await self._settle(mined)

    async def _receipt(self, flight: Flight) -> dict[str, Any] | None:
        for version in reversed(flight.versions):
            receipt: dict[str, Any] | None = await self._chain.rpc.request(
                "eth_getTransactionReceipt", "0x" + version.hash.hex()
            )
            if receipt is not None and receipt.get("blockHash"):
                return receipt
        return None

    async def _spent(self, flight: Flight) -> None:
        """The nonce is spent, yet none of our transactions has a receipt; endpoints may lag, so look again."""
        flight.looks_lost += 1
        if flight.looks_lost < _LOST_LOOKS or await self._receipt(flight) is not None:
            return
        error = TransactionReplaced(
            f"nonce {flight.nonce} of {self._address} was spent by a transaction this program did not sign",
            data={"nonce": flight.nonce, "transaction": "0x" + flight.versions[-1].hash.hex()},
        )
        await self._logbook.lose(flight, error)

    async def _delayed(self, flight: Flight, head: int) -> None:
        """It waits for a block: send it again now and then; the first in line pays more when blocks pass it by."""
        flight.first_head = flight.first_head or head
        now = asyncio.get_running_loop().time()
        passed_by = head - flight.first_head >= STUCK_BLOCKS and now - flight.version_at >= STUCK_SECONDS
        if passed_by and self._logbook.unmined[:1] == (flight,):
            await self._departure.replace(flight)
        elif now - flight.sent_at >= REBROADCAST_SECONDS:
            await self._departure.resend(flight)

    async def _settle(self, mined: Sequence[Flight]) -> None:
        """What lies in a final block is done; what lies in a block that is gone is on its way again."""
        newest = max(mined, key=lambda flight: flight.block)
        final, block = await asyncio.gather(
            self._chain.block("finalized"),
            self._chain.rpc.request("eth_getBlockByNumber", hex(newest.block), False),
        )
        # A reorganisation replaces every block above its fork: the newest of ours tells of each that concerns us.
        intact = block is not None and newest.mined is not None and block["hash"] == newest.mined["blockHash"]
        doubtful = [flight for flight in mined if not intact or flight.block <= final.number]
        found = await asyncio.gather(*(self._receipt(flight) for flight in doubtful))
        for flight, receipt in zip(doubtful, found, strict=True):
            if receipt is None:
                flight.depart_again()
                await self._departure.resend(flight)
            else:
                flight.arrive(receipt)
        if done := [flight for flight in doubtful if flight.mined is not None and flight.block <= final.number]:
            await self._logbook.land(done)
