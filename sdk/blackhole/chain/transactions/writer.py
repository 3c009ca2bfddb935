"""One writer a key: every signed transaction is on the disk before it is sent, and sent until it is final.

A `Writer` belongs to one (chain, account) and one process; its journal is the lock. What it promises:

- the signed bytes are journalled before their first send; after a crash the same bytes go out again, never others;
- a nonce is used once; when fees rise, the same nonce is signed again with both fees at least 10 % higher;
- at most 16 transactions are on their way; a gap in the nonces is filled;
- a transaction is watched until its block is final; when a reorganisation drops it, it is sent again;
- a transaction sent with an `intent` is sent once for that intent, however often the caller is restarted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from blackhole.chain.receipts import fetch_receipt, parse_receipt, why_reverted
from blackhole.chain.transactions.departure import WAIT_SECONDS, Departure, Work
from blackhole.chain.transactions.flights import Flight, Step
from blackhole.chain.transactions.logbook import IN_FLIGHT_MAX, Logbook
from blackhole.chain.transactions.watch import Watch
from blackhole.chain.values import Address, Receipt, Tx
from blackhole.errors import JournalInUse, KeyInUse, TransactionUnknown, UsageError
from blackhole.journal import Journal

if TYPE_CHECKING:
    from blackhole.chain.client import Chain, Wait
    from blackhole.chain.signers import Signer

_writers: dict[Path, Writer] = {}
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class Writer:
    """Sends the transactions of one account. Get it from `Chain.writer`."""

    def __init__(self, chain: Chain, signer: Signer, chain_id: int, journal: Journal[Step]) -> None:
        self.address: Address = signer.address
        self._chain = chain
        self._loop = asyncio.get_running_loop()
        self._users = 0
        self._journal = journal
        self._logbook = Logbook(journal)
        self._departure = Departure(chain, signer, chain_id, self._logbook)
        self._watch = Watch(chain, signer.address, self._logbook, self._departure)

    # Opening and closing

    @classmethod
    async def open(cls, chain: Chain, signer: Signer) -> Writer:
        """The writer of that key; shared by the connections of one event loop. Raises `KeyInUse`, `JournalError`."""
        chain_id = await chain.chain_id()
        genesis = await chain.genesis()
        name = f"{chain_id}-{genesis[:4].hex()}-{signer.address.lower()}.journal"
        path = chain.home.journals / "transactions" / name
        loop = asyncio.get_running_loop()
        async with _opening.setdefault(loop, asyncio.Lock()):
            return await cls._take(chain, signer, chain_id, path)

    @classmethod
    async def _take(cls, chain: Chain, signer: Signer, chain_id: int, path: Path) -> Writer:
        writer = _writers.get(path)
        if writer is not None and (writer._loop.is_closed() or writer.foreign()):
            del _writers[path]
            writer._logbook.close()
            writer = None
        if writer is None:
            writer = await cls._open_new(chain, signer, chain_id, path)
            _writers[path] = writer
        elif writer._loop is not asyncio.get_running_loop():
            raise KeyInUse(
                f"another connection of this process sends transactions of {signer.address}: close it first",
                holder=os.getpid(),
                since=writer._journal.since,
                data={"address": signer.address, "chain_id": chain_id},
            )
        writer._users += 1
        return writer

    @classmethod
    async def _open_new(cls, chain: Chain, signer: Signer, chain_id: int, path: Path) -> Writer:
        try:
            journal = Journal.open(path, "transactions", Step)
        except JournalInUse as error:
            who = f"process {error.holder} (since {error.since})" if error.holder else "another process"
            raise KeyInUse(
                f"{who} sends transactions of {signer.address} on chain {chain_id}",
                holder=error.holder,
                since=error.since,
                data={"address": signer.address, "chain_id": chain_id},
            ) from error
        try:
            writer = cls(chain, signer, chain_id, journal)
            await writer._recover()
        except BaseException:
            journal.close()
            raise
        return writer

    async def _recover(self) -> None:
        """Take up what the journal says is on its way."""
        await self._logbook.take_up(await self._chain.transaction_count(self.address, at="pending"))
        if self._logbook.flights:
            self._watch.start()
            await self._departure.close_gaps()

    async def release(self) -> None:
        """One user less; the last one closes the journal. What is not final is taken up by the next writer."""
        self._users -= 1
        if self._users > 0:
            return
        await self._watch.stop()
        for path in [path for path, writer in _writers.items() if writer is self]:
            del _writers[path]
        self._logbook.close()

    def foreign(self) -> bool:
        """True in a forked child of the process that opened it."""
        return self._journal.foreign()

    def here(self) -> bool:
        """Whether the running event loop is the one it was opened in."""
        return self._loop is asyncio.get_running_loop()

    @property
    def pending(self) -> tuple[Flight, ...]:
        """What is not final yet, by nonce."""
        return self._logbook.flights

    # Sending and waiting

    async def send_many(
        self,
        transactions: Sequence[Tx[Any]],
        *,
        wait: Wait = "latest",
        gas: int | None = None,
        intents: Sequence[str | None] | None = None,
        timeout: float | None = None,
    ) -> list[Receipt]:
        """Send in this order and wait for all receipts.

        `intents`: a name for what each transaction is for; one that was used before gives the receipt of then and sends
        nothing. `gas` replaces the estimates. `timeout`: seconds to wait (180).

        Raises `Reverted` (the simulation or the transaction), `InsufficientFunds`, `TransactionUnknown` (not mined in
        time, or no endpoint reachable after signing; it stays journalled), `TransactionReplaced`, `RpcError`.
        """
        names = list(intents) if intents is not None else [None] * len(transactions)
        if len(names) != len(transactions):
            raise UsageError("as many intents as transactions are needed")
        if not self.here():
            raise UsageError("a writer is used from the event loop it was opened in")
        todo: list[Work] = list(zip(transactions, names, strict=True))
        sent: list[Flight | bytes] = []
        while len(sent) < len(todo):
            if (known := self._logbook.find(todo[len(sent)][1])) is not None:
                sent.append(known)
            else:
                sent += await self._submit(todo[len(sent) :][:IN_FLIGHT_MAX], gas)
        limit = WAIT_SECONDS if timeout is None else timeout
        return [
            await (fetch_receipt(self._chain, each) if isinstance(each, bytes) else self._arrival(each, wait, limit))
            for each in sent
        ]

    async def _submit(self, batch: Sequence[Work], gas: int | None) -> list[Flight]:
        flights = await self._departure.sign(batch, gas)
        self._watch.start()
        await self._departure.send(flights)
        return flights

    async def _arrival(self, flight: Flight, wait: Wait, timeout: float) -> Receipt:
        future = flight.final_future if wait == "finalized" else flight.mined_future
        try:
            async with asyncio.timeout(timeout):
                raw = await asyncio.shield(future)
        except TimeoutError:
            raise TransactionUnknown(
                f"{flight.name or 'the transaction'} was sent but is not in a block after {timeout:.0f} s",
                data={"transaction": "0x" + flight.versions[-1].hash.hex(), "nonce": flight.nonce},
            ) from None
        receipt = parse_receipt(raw)
        if int(raw.get("status", "0x1"), 16) == 0:
            raise await why_reverted(self._chain, flight, receipt)
        return receipt

    async def arrive(self, timeout: float = WAIT_SECONDS) -> int:
        """Wait until everything on its way is in a block; how many there were. Raises `TransactionUnknown`."""
        waiting = self._logbook.unmined
        if waiting:
            _, late = await asyncio.wait([flight.mined_future for flight in waiting], timeout=timeout)
            if late:
                raise TransactionUnknown(f"{len(late)} transactions of {self.address} are not in a block yet")
        return len(waiting)
