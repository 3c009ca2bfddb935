"""What one key has signed and not seen final, and which nonces are free: in memory and in the journal.

The journal is written first; what is in memory here is on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from blackhole.chain.transactions.flights import Flight, Step, Version, flights_of, record_of
from blackhole.errors import TransactionUnknown
from blackhole.journal import Journal, Record

IN_FLIGHT_MAX: Final = 16


class Logbook:
    """Belongs to one writer and its event loop."""

    def __init__(self, journal: Journal[Step]) -> None:
        self.turn = asyncio.Lock()
        """Whoever allots nonces or gives them back holds it, so that they leave in order."""
        self.news = asyncio.Event()
        """Something was sent: whoever watches looks again at once."""
        self._journal = journal
        self._flights: dict[int, Flight] = {}
        self._intents: dict[str, bytes] = {}
        """Intents that are done: the hash of the final transaction."""
        self._next = 0
        self._gaps: list[int] = []
        self._slots = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def take_up(self, pending: int) -> None:
        """What the journal says is on its way. `pending`: the account's next nonce as the chain has it."""
        records = self._journal.records()
        flights, self._intents, kept = flights_of(records)
        if len(kept) < len(records) // 2:
            self._journal.compact(kept)
        self._flights = {flight.nonce: flight for flight in flights}
        self._next = max([pending, *(nonce + 1 for nonce in self._flights)])
        self._gaps = [nonce for nonce in range(pending, self._next) if nonce not in self._flights]
        loop = asyncio.get_running_loop()
        for flight in flights:
            flight.prepare(loop)
            flight.slot = not self._slots.locked()
            if flight.slot:
                await self._slots.acquire()

    def close(self) -> None:
        """Give the journal back. Whoever waits for a flight gets `TransactionUnknown`."""
        for flight in self._flights.values():
            flight.abandon()
        self._journal.close()

    # What there is

    @property
    def flights(self) -> tuple[Flight, ...]:
        """What is not final, by nonce."""
        return tuple(self._flights[nonce] for nonce in sorted(self._flights))

    @property
    def unmined(self) -> tuple[Flight, ...]:
        """What is in no block, by nonce."""
        return tuple(flight for flight in self.flights if flight.mined is None)

    @property
    def mined(self) -> tuple[Flight, ...]:
        """What is in a block that is not final, by nonce."""
        return tuple(flight for flight in self.flights if flight.mined is not None)

    def find(self, intent: str | None) -> Flight | bytes | None:
        """The transaction of an intent: on its way, or the hash of the final one. One that failed does not count."""
        if intent is None:
            return None
        if intent in self._intents:
            return self._intents[intent]
        return next((f for f in self._flights.values() if f.intent == intent and not f.failed), None)

    # Places in flight

    async def take_slots(self, wanted: int) -> int:
        """Wait for a place, take up to `wanted` of those free then; how many."""
        await self._slots.acquire()
        taken = 1
        # Only what is free now: two batches that wait for each other's places would wait for ever.
        while taken < wanted and not self._slots.locked():
            await self._slots.acquire()
            taken += 1
        return taken

    def give_slots(self, number: int) -> None:
        for _ in range(number):
            self._slots.release()

    def leave_slot(self, flight: Flight) -> None:
        """It is in a block, or given up: its place is free."""
        if flight.slot:
            flight.slot = False
            self._slots.release()

    # Nonces; hold the turn

    def saw_count(self, pending: int) -> None:
        """Nonces below the account's count are spent, by us or by another program with the key."""
        self._next = max(self._next, pending)
        self._gaps = [nonce for nonce in self._gaps if nonce >= pending]

    def allot(self, number: int) -> list[int]:
        """The next nonces, gaps first. They are taken when `depart` has journalled them."""
        gaps = sorted(self._gaps)[:number]
        return [*gaps, *range(self._next, self._next + number - len(gaps))]

    def blocking_gaps(self) -> int:
        """How many nonces are missing before a transaction that is on its way."""
        return sum(1 for nonce in self._gaps if any(later > nonce for later in self._flights))

    def _give_back(self, nonce: int) -> None:
        if nonce + 1 == self._next:
            self._next = nonce
        else:
            self._gaps.append(nonce)

    # Steps

    async def depart(self, flights: Sequence[Flight]) -> None:
        """They are signed and may be sent from now on. Holds the turn."""
        await self._write([record_of(flight) for flight in flights])
        loop = asyncio.get_running_loop()
        for flight in flights:
            if flight.nonce in self._gaps:
                self._gaps.remove(flight.nonce)
            self._next = max(self._next, flight.nonce + 1)
            flight.prepare(loop)
            self._flights[flight.nonce] = flight

    async def revise(self, flight: Flight, version: Version) -> None:
        """It was signed again with higher fees; both versions stay journalled, one of them will be mined."""
        await self._write([record_of(flight, version)])
        flight.versions.append(version)
        flight.version_at = asyncio.get_running_loop().time()
        flight.first_head = 0

    def give_up(self, flight: Flight, why: Exception) -> None:
        """It is not followed any more, and whoever waits for it is told. Its nonce is still taken."""
        if self._flights.get(flight.nonce) is flight:
            del self._flights[flight.nonce]
        self.leave_slot(flight)
        flight.fail(why)

    async def take_back(self, flights: Sequence[Flight]) -> None:
        """Nobody has them: their nonces are the next ones', or gaps. Holds the turn."""
        await self._write([Record(Step.DROPPED, {"nonce": flight.nonce}) for flight in flights])
        for flight in reversed(flights):
            self.give_up(
                flight, TransactionUnknown(f"{flight.name or 'the transaction'} was taken back before it left")
            )
            self._give_back(flight.nonce)

    async def lose(self, flight: Flight, why: Exception) -> None:
        """Another transaction has spent its nonce."""
        await self._write([Record(Step.DROPPED, {"nonce": flight.nonce})])
        self.give_up(flight, why)

    async def land(self, flights: Sequence[Flight]) -> None:
        """They are in final blocks."""
        rows = [
            {
                "nonce": flight.nonce,
                "hash": flight.mined_hash.hex(),
                # What a failed transaction was for is not done: the intent may be tried again.
                "intent": None if flight.failed else flight.intent,
            }
            for flight in flights
        ]
        await self._write([Record(Step.FINAL, row) for row in rows])
        for flight in flights:
            del self._flights[flight.nonce]
            if flight.intent is not None and not flight.failed:
                self._intents[flight.intent] = flight.mined_hash
            if not flight.final_future.done():
                flight.final_future.set_result(flight.mined or {})

    async def _write(self, records: Sequence[Record[Step]]) -> None:
        # fsync takes milliseconds: not in the event loop. Shielded: a cancelled caller must not leave it half known.
        await asyncio.shield(asyncio.to_thread(self._journal.append_many, list(records)))
