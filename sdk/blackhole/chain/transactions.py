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
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from blackhole.chain.flights import Flight, Step, Version, flights_of, record_of
from blackhole.chain.raw_transactions import RawTransaction
from blackhole.chain.receipts import fetch_receipt, parse_receipt, why_reverted
from blackhole.chain.rpc import RpcError
from blackhole.chain.values import Address, Receipt, Tx
from blackhole.errors import (
    ChainError,
    EndpointBehind,
    InsufficientFunds,
    JournalInUse,
    KeyInUse,
    Reverted,
    RpcUnavailable,
    TransactionReplaced,
    TransactionUnknown,
    UsageError,
)
from blackhole.journal import Journal, Record

if TYPE_CHECKING:
    from blackhole.chain.client import At, Chain, Wait
    from blackhole.chain.signers import Signer

IN_FLIGHT_MAX: Final = 16
GAS_CAP: Final = 1 << 24
"""The most gas one transaction may ask for (EIP-7825)."""
GAS_MARGIN: Final = 5
"""An estimate is raised by a fifth: state may change between estimate and execution."""
GAS_SLOT: Final = 25_000
"""… and by what a fresh storage slot costs: somebody else may have taken the room in the one that was looked at."""
STUCK_BLOCKS: Final = 4
STUCK_SECONDS: Final = 15.0
BUMP_PERCENT: Final = 113
"""Pools replace a transaction only when both fees rise by 10 % or more."""
REBROADCAST_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 180.0
_POLL_FIRST: Final = 0.01
_POLL_MAX: Final = 0.5
_FINAL_POLL: Final = 2.0
_KNOWN: Final = ("already known", "already imported", "known transaction", "alreadyknown", "already exists")
_LOST_LOOKS: Final = 3
_TRANSFER_GAS: Final = 21_000

_writers: dict[Path, Writer] = {}
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class Writer:
    """Sends the transactions of one account. Get it from `Chain.writer`."""

    def __init__(self, chain: Chain, signer: Signer, chain_id: int, journal: Journal[Step]) -> None:
        self.chain = chain
        self.address: Address = signer.address
        self._signer = signer
        self._chain_id = chain_id
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._users = 0
        self._flights: dict[int, Flight] = {}
        """By nonce: everything not final."""
        self._intents: dict[str, bytes] = {}
        """Intents that are done: the hash of the final transaction."""
        self._next = 0
        self._gaps: list[int] = []
        self._turn = asyncio.Lock()
        self._slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._wake = asyncio.Event()
        self._monitor: asyncio.Task[None] | None = None

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
        if writer is not None and (writer._loop.is_closed() or writer._journal.foreign()):
            del _writers[path]
            writer._journal.close()
            writer = None
        if writer is None:
            writer = await cls._open_new(chain, signer, chain_id, path)
            _writers[path] = writer
        elif writer._loop is not asyncio.get_running_loop():
            raise KeyInUse(
                f"another connection of this process sends transactions of {signer.address}: close it first",
                holder=os.getpid(),
                data={"address": signer.address, "chain_id": chain_id},
            )
        writer._users += 1
        return writer

    @classmethod
    async def _open_new(cls, chain: Chain, signer: Signer, chain_id: int, path: Path) -> Writer:
        try:
            journal = Journal.open(path, "transactions", Step)
        except JournalInUse as error:
            raise KeyInUse(
                f"process {error.holder} sends transactions of {signer.address} on chain {chain_id}",
                holder=error.holder,
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
        records = self._journal.records()
        flights, self._intents, kept = flights_of(records)
        if len(kept) < len(records) // 2:
            self._journal.compact(kept)
        self._flights = {flight.nonce: flight for flight in flights}
        pending = await self.chain.transaction_count(self.address, at="pending")
        self._next = max([pending, *(nonce + 1 for nonce in self._flights)])
        self._gaps = [nonce for nonce in range(pending, self._next) if nonce not in self._flights]
        for flight in self._flights.values():
            flight.prepare(self._loop)
            flight.slot = not self._slots.locked()
            if flight.slot:
                await self._slots.acquire()
        if self._flights:
            self._start_monitor()
            await self._fill_gaps()

    async def release(self) -> None:
        """One user less; the last one closes the journal. What is not final is taken up by the next writer."""
        self._users -= 1
        if self._users > 0:
            return
        if self._monitor is not None:
            self._monitor.cancel()
            await asyncio.gather(self._monitor, return_exceptions=True)
            self._monitor = None
        for path in [path for path, writer in _writers.items() if writer is self]:
            del _writers[path]
        for flight in self._flights.values():
            flight.abandon()
        self._journal.close()

    @property
    def pending(self) -> tuple[Flight, ...]:
        """What is not final yet, by nonce."""
        return tuple(self._flights[nonce] for nonce in sorted(self._flights))

    # Sending

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
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("a writer is used from the event loop it was opened in")
        work: list[Flight | bytes] = []
        todo = list(zip(transactions, names, strict=True))
        while todo:
            intent = todo[0][1]
            if (done := self._find_intent(intent)) is not None:
                work.append(done)
                todo.pop(0)
                continue
            fresh = next((i for i, (_, n) in enumerate(todo) if self._find_intent(n) is not None), len(todo))
            batch = todo[: min(fresh, IN_FLIGHT_MAX)]
            sent = await self._submit(batch, gas)
            work.extend(sent)
            todo = todo[len(sent) :]
        limit = WAIT_SECONDS if timeout is None else timeout
        return [
            await (fetch_receipt(self.chain, each) if isinstance(each, bytes) else self._arrival(each, wait, limit))
            for each in work
        ]

    def _find_intent(self, intent: str | None) -> Flight | bytes | None:
        if intent is None:
            return None
        if intent in self._intents:
            return self._intents[intent]
        return next((f for f in self._flights.values() if f.intent == intent and not f.failed), None)

    async def _submit(self, batch: Sequence[tuple[Tx[Any], str | None]], gas: int | None) -> list[Flight]:
        """Sign, journal and send the longest beginning of the batch whose simulations pass; at least one."""
        await self._slots.acquire()
        taken = 1
        # Only what is free now: two batches that wait for each other's slots would wait for ever.
        while taken < len(batch) and not self._slots.locked():
            await self._slots.acquire()
            taken += 1
        flights: list[Flight] = []
        try:
            async with self._turn:
                limits = await self._simulate([tx for tx, _ in batch[:taken]], gas)
                signing = self._loop.create_task(self._sign(batch[: len(limits)], limits))
                try:
                    flights = await asyncio.shield(signing)
                except asyncio.CancelledError:
                    await self._unsign(signing)
                    raise
        finally:
            for _ in range(taken - len(flights)):
                self._slots.release()
        self._start_monitor()
        outcomes = await asyncio.gather(*(self._broadcast(flight) for flight in flights), return_exceptions=True)
        for flight, outcome in zip(flights, outcomes, strict=True):
            if isinstance(outcome, RpcUnavailable | EndpointBehind):
                # It may or may not have left: the monitor goes on sending these bytes.
                flight.unsure = True
            elif isinstance(outcome, BaseException):
                raise outcome
        return flights

    async def _simulate(self, transactions: Sequence[Tx[Any]], gas: int | None) -> list[int]:
        """Gas limits for the transactions up to the first that does not pass yet. Raises when that is the first."""
        if gas is not None:
            return [gas] * len(transactions)
        while True:
            unmined = [flight for flight in self._flights.values() if flight.mined is None]
            at: At = "pending" if unmined else "latest"
            found = await asyncio.gather(
                *(self.chain.estimate(tx, self.address, at=at) for tx in transactions), return_exceptions=True
            )
            limits: list[int] = []
            for each in found:
                if isinstance(each, BaseException):
                    break
                limits.append(min(each + each // GAS_MARGIN + GAS_SLOT, GAS_CAP) if each <= GAS_CAP else each)
            if limits:
                return limits
            error = found[0]
            assert isinstance(error, BaseException)
            if unmined and isinstance(error, Reverted):
                # It may rely on what is on its way.
                await asyncio.wait([flight.mined_future for flight in unmined], timeout=WAIT_SECONDS)
                continue
            if isinstance(error, RpcError) and "insufficient funds" in error.text.lower():
                raise await self._funds_error(transactions[0].value + _TRANSFER_GAS) from error
            raise error

    async def _sign(self, batch: Sequence[tuple[Tx[Any], str | None]], limits: Sequence[int]) -> list[Flight]:
        """Nonces, fees, signatures, one journal write. Holds the turn, so nonces leave in order."""
        (tip, max_fee), balance = await asyncio.gather(self._fees(), self.chain.balance(self.address))
        reserved = sum(flight.cost for flight in self._flights.values() if flight.mined is None)
        need = reserved + sum(limit * max_fee + tx.value for (tx, _), limit in zip(batch, limits, strict=True))
        if balance < need:
            raise await self._funds_error(need)
        free = sorted(self._gaps)
        flights: list[Flight] = []
        position = self._next
        for (tx, intent), limit in zip(batch, limits, strict=True):
            if free:
                nonce = free.pop(0)
            else:
                nonce, position = position, position + 1
            raw = RawTransaction(self._chain_id, nonce, tip, max_fee, limit, tx.to, tx.value, tx.data)
            flight = Flight(nonce, tx.name, intent, tx)
            flight.versions.append(Version.signed(raw.sign(self._signer)))
            flights.append(flight)
        await self._write([record_of(flight) for flight in flights])
        self._next, self._gaps = position, free
        for flight in flights:
            flight.prepare(self._loop)
            self._flights[flight.nonce] = flight
        return flights

    async def _unsign(self, signing: asyncio.Task[list[Flight]]) -> None:
        """The caller was cancelled before anything was sent: take the signatures back."""
        try:
            flights = await signing
        except Exception:  # noqa: BLE001 - then nothing was journalled
            return
        await self._write([Record(Step.DROPPED, {"nonce": flight.nonce}) for flight in flights])
        for flight in reversed(flights):
            self._forget(flight)
            flight.abandon()
            if flight.nonce + 1 == self._next:
                self._next -= 1
            else:
                self._gaps.append(flight.nonce)

    async def _fees(self) -> tuple[int, int]:
        """(tip, most a gas) in wei: twice the base fee holds through six full blocks."""
        block, tip = await asyncio.gather(self.chain.block("latest"), self._tip())
        return tip, 2 * block.base_fee + tip

    async def _tip(self) -> int:
        try:
            return int(await self.chain.rpc.request("eth_maxPriorityFeePerGas"), 16)
        except RpcError:
            return 1_000_000_000

    async def _funds_error(self, need: int) -> InsufficientFunds:
        have = await self.chain.balance(self.address)
        return InsufficientFunds(
            f"coins of {self.address} for gas",
            have=have,
            need=max(need, have + 1),
            unit="ETH",
            hint="Send the chain's own coin to the account: gas is paid with it.",
        )

    async def _broadcast(self, flight: Flight) -> None:
        """Send the newest signed bytes. A definite refusal of a transaction nobody has takes its nonce back."""
        version = flight.versions[-1]
        try:
            await self.chain.rpc.request("eth_sendRawTransaction", "0x" + version.raw.hex())
        except RpcError as error:
            text = error.text.lower()
            if any(known in text for known in _KNOWN) or await self._is_known(flight):
                return
            if len(flight.versions) > 1:
                return  # an earlier version is out; the monitor goes on
            await self._drop(flight)
            if "insufficient funds" in text:
                raise await self._funds_error(flight.cost) from error
            raise
        finally:
            flight.sent_at = self._loop.time()
            self._wake.set()

    async def _is_known(self, flight: Flight) -> bool:
        for version in flight.versions:
            if await self.chain.rpc.request("eth_getTransactionByHash", "0x" + version.hash.hex()):
                return True
        return False

    async def _drop(self, flight: Flight) -> None:
        """Give up a transaction no endpoint has. Its nonce is the next one's, or is filled."""
        await self._write([Record(Step.DROPPED, {"nonce": flight.nonce})])
        self._forget(flight)
        self._free(flight)
        flight.abandon()
        count = await self.chain.transaction_count(self.address, at="pending")
        if flight.nonce + 1 == self._next:
            self._next = max(flight.nonce, count)
        elif flight.nonce >= count:
            self._gaps.append(flight.nonce)
            await self._fill_gaps()
        if self._next < count:
            self._next = count

    async def _fill_gaps(self) -> None:
        """Later nonces wait for a missing one: an empty transfer to oneself takes it."""
        async with self._turn:
            if not self._gaps or not self._flights or max(self._flights) < min(self._gaps):
                return
            empty: Tx[Any] = Tx(self.address, b"", name="an empty transfer that closes a gap")
            flights = await self._sign([(empty, None)] * len(self._gaps), [_TRANSFER_GAS] * len(self._gaps))
        for flight in flights:
            flight.slot = False
            await self._resend(flight)
        self._start_monitor()

    # Waiting

    async def arrive(self, timeout: float = WAIT_SECONDS) -> int:
        """Wait until everything on its way is in a block; how many there were. Raises `TransactionUnknown`."""
        waiting = [flight for flight in self._flights.values() if flight.mined is None]
        if waiting:
            _, late = await asyncio.wait([flight.mined_future for flight in waiting], timeout=timeout)
            if late:
                raise TransactionUnknown(f"{len(late)} transactions of {self.address} are not in a block yet")
        return len(waiting)

    async def _arrival(self, flight: Flight, wait: Wait, timeout: float) -> Receipt:
        future = flight.final_future if wait == "finalized" else flight.mined_future
        try:
            raw = await asyncio.wait_for(asyncio.shield(future), timeout)
        except TimeoutError:
            raise TransactionUnknown(
                f"{flight.name or 'the transaction'} was sent but is not in a block after {timeout:.0f} s",
                data={"transaction": "0x" + flight.versions[-1].hash.hex(), "nonce": flight.nonce},
            ) from None
        receipt = parse_receipt(raw)
        if flight.failed:
            raise await why_reverted(self.chain, flight, receipt)
        return receipt

    def _start_monitor(self) -> None:
        self._wake.set()
        if self._monitor is None or self._monitor.done():
            self._monitor = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        """Until everything is final: look for receipts, send again, raise fees, notice reorganisations."""
        pause = _POLL_FIRST
        for flight in list(self._flights.values()):
            if flight.sent_at == 0 and flight.recovered:
                await self._resend(flight)
        while self._flights:
            self._wake.clear()
            try:
                waiting = await self._look()
            except ChainError:
                waiting = True
                pause = _POLL_MAX
            longest = pause if waiting else _FINAL_POLL
            pause = min(pause * 1.5, _POLL_MAX)
            try:
                await asyncio.wait_for(self._wake.wait(), longest)
                pause = _POLL_FIRST
            except TimeoutError:
                pass

    async def _look(self) -> bool:
        """One look at the chain; True while a transaction is not in a block."""
        unmined = [flight for flight in self._flights.values() if flight.mined is None]
        if unmined:
            head, count, *found = await asyncio.gather(
                self.chain.rpc.request("eth_blockNumber"),
                self.chain.transaction_count(self.address),
                *(self._receipt(flight) for flight in unmined),
            )
            for flight, raw in zip(unmined, found, strict=True):
                if raw is not None:
                    self._mined(flight, raw)
                else:
                    await self._unmined(flight, int(head, 16), count)
        if mined := [flight for flight in self._flights.values() if flight.mined is not None]:
            await self._settle(mined)
        return any(flight.mined is None for flight in self._flights.values())

    async def _receipt(self, flight: Flight) -> dict[str, Any] | None:
        for version in reversed(flight.versions):
            raw: dict[str, Any] | None = await self.chain.rpc.request(
                "eth_getTransactionReceipt", "0x" + version.hash.hex()
            )
            if raw is not None and raw.get("blockHash"):
                return raw
        return None

    def _mined(self, flight: Flight, raw: dict[str, Any]) -> None:
        flight.mined = raw
        flight.looks_lost = 0
        self.chain.rpc.saw_block(int(raw["blockNumber"], 16))
        if not flight.mined_future.done():
            flight.mined_future.set_result(raw)
            self._free(flight)

    async def _unmined(self, flight: Flight, head: int, count: int) -> None:
        if count > flight.nonce:
            # The nonce is spent, yet none of our transactions has a receipt; endpoints may lag, so look again.
            flight.looks_lost += 1
            if flight.looks_lost >= _LOST_LOOKS and await self._receipt(flight) is None:
                await self._lost(flight)
            return
        flight.first_head = flight.first_head or head
        age = self._loop.time() - flight.sent_at
        lowest = flight.nonce == min(f.nonce for f in self._flights.values() if f.mined is None)
        if lowest and head - flight.first_head >= STUCK_BLOCKS and age >= STUCK_SECONDS:
            await self._replace(flight)
        elif age >= REBROADCAST_SECONDS:
            await self._resend(flight)

    async def _resend(self, flight: Flight) -> None:
        flight.sent_at = self._loop.time()
        with contextlib.suppress(ChainError):  # known already, or unreachable: the next look tells
            await self.chain.rpc.request("eth_sendRawTransaction", "0x" + flight.versions[-1].raw.hex())

    async def _replace(self, flight: Flight) -> None:
        """Sign the same call again with higher fees; both versions stay journalled, one of them will be mined."""
        old = flight.versions[-1].transaction
        tip, max_fee = await self._fees()
        tip = max(tip, -(-old.tip * BUMP_PERCENT // 100))
        max_fee = max(max_fee, -(-old.max_fee * BUMP_PERCENT // 100), tip)
        if await self.chain.balance(self.address) < max_fee * old.gas + old.value:
            flight.sent_at = self._loop.time()
            return
        raw = RawTransaction(self._chain_id, flight.nonce, tip, max_fee, old.gas, old.to, old.value, old.data)
        version = Version.signed(raw.sign(self._signer))
        await self._write([record_of(flight, version)])
        flight.versions.append(version)
        flight.first_head = 0
        await self._resend(flight)

    async def _lost(self, flight: Flight) -> None:
        await self._write([Record(Step.DROPPED, {"nonce": flight.nonce})])
        self._forget(flight)
        self._free(flight)
        flight.fail(
            TransactionReplaced(
                f"nonce {flight.nonce} of {self.address} was spent by a transaction this program did not sign",
                data={"nonce": flight.nonce, "transaction": "0x" + flight.versions[-1].hash.hex()},
            )
        )

    async def _settle(self, mined: Sequence[Flight]) -> None:
        """What lies in a final block is done; what lies in a block that is gone is on its way again."""
        final = (await self.chain.block("finalized")).number
        due = [flight for flight in mined if flight.mined and int(flight.mined["blockNumber"], 16) <= final]
        found = await asyncio.gather(*(self._receipt(flight) for flight in due))
        done: list[Flight] = []
        for flight, raw in zip(due, found, strict=True):
            if raw is None:
                flight.mined = None
                flight.sent_at = 0.0
                await self._resend(flight)
            elif int(raw["blockNumber"], 16) <= final:
                flight.mined = raw
                done.append(flight)
            else:
                flight.mined = raw
        if done:
            await self._write(
                [
                    Record(
                        Step.FINAL,
                        {
                            "nonce": flight.nonce,
                            "hash": flight.mined_hash.hex(),
                            # What a failed transaction was for is not done: the intent may be tried again.
                            "intent": None if flight.failed else flight.intent,
                        },
                    )
                    for flight in done
                ]
            )
        for flight in done:
            self._forget(flight)
            if flight.intent is not None and not flight.failed:
                self._intents[flight.intent] = flight.mined_hash
            if not flight.final_future.done():
                flight.final_future.set_result(flight.mined or {})

    def _free(self, flight: Flight) -> None:
        if flight.slot:
            flight.slot = False
            self._slots.release()

    def _forget(self, flight: Flight) -> None:
        if self._flights.get(flight.nonce) is flight:
            del self._flights[flight.nonce]

    async def _write(self, records: Sequence[Record[Step]]) -> None:
        # fsync takes milliseconds: not in the event loop. Shielded: a cancelled caller must not leave it half known.
        await asyncio.shield(asyncio.to_thread(self._journal.append_many, list(records)))
