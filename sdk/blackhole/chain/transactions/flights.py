"""A transaction on its way: its signed versions, and how the journal holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from blackhole.chain.raw_transactions import RawTransaction, SignedTransaction
from blackhole.chain.values import Address, Tx
from blackhole.errors import TransactionUnknown
from blackhole.journal import Record


class Step(StrEnum):
    """What the journal of a writer records."""

    SIGNED = "signed"
    """Bytes that may be sent from now on; a second one for a nonce replaces the first with higher fees."""
    DROPPED = "dropped"
    """The nonce's transaction is given up: no endpoint has it, or another one took the nonce."""
    FINAL = "final"
    """The nonce's transaction is in a final block."""


@dataclass(frozen=True, slots=True)
class Version:
    """One signature over one set of fees."""

    transaction: RawTransaction
    raw: bytes
    hash: bytes

    @classmethod
    def signed(cls, signed: SignedTransaction) -> Version:
        return cls(signed.transaction, signed.raw, signed.hash)


@dataclass(eq=False)
class Flight:
    """One nonce from its signature to its final block."""

    nonce: int
    name: str
    intent: str | None
    tx: Tx[Any] | None = None
    versions: list[Version] = field(default_factory=list)
    mined: dict[str, Any] | None = None
    """The receipt as the endpoint gave it."""
    recovered: bool = False
    """It was signed by an earlier process."""
    slot: bool = True
    """Whether it takes one of the places in flight."""
    sent_at: float = 0.0
    """Loop time of the last send; 0 when this process has not sent it yet."""
    version_at: float = 0.0
    """Loop time at which its newest version was signed or taken up: from then on it waits for a block."""
    first_head: int = 0
    """The highest block when its newest version was first missed; 0 before."""
    looks_lost: int = 0
    mined_future: asyncio.Future[dict[str, Any]] = field(init=False, repr=False)
    final_future: asyncio.Future[dict[str, Any]] = field(init=False, repr=False)

    def prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        """It is on its way from now on, followed in this loop."""
        self.mined_future = loop.create_future()
        self.final_future = loop.create_future()
        self.version_at = loop.time()

    @property
    def cost(self) -> int:
        """The most wei of coin it may take."""
        newest = self.versions[-1].transaction
        return newest.gas * newest.max_fee + newest.value

    @property
    def mined_hash(self) -> bytes:
        return bytes.fromhex(self.mined["transactionHash"][2:]) if self.mined else self.versions[-1].hash

    @property
    def block(self) -> int:
        """The number of the block it is in; 0 while it is in none."""
        return int(self.mined["blockNumber"], 16) if self.mined else 0

    @property
    def failed(self) -> bool:
        """It is in a block, and reverted there."""
        return self.mined is not None and int(self.mined.get("status", "0x1"), 16) == 0

    def arrive(self, receipt: dict[str, Any]) -> None:
        """It is in a block."""
        self.mined = receipt
        self.looks_lost = 0
        if not self.mined_future.done():
            self.mined_future.set_result(receipt)

    def depart_again(self) -> None:
        """Its block is gone. Whoever had its receipt has it; who waits from now on waits for the next one."""
        self.mined = None
        self.mined_future = self.mined_future.get_loop().create_future()
        self.version_at = self.mined_future.get_loop().time()

    def fail(self, error: BaseException) -> None:
        """Give the error to whoever waits."""
        for future in (self.mined_future, self.final_future):
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody has to be waiting

    def abandon(self) -> None:
        """Nobody follows it any more."""
        self.fail(TransactionUnknown("the connection was closed while the transaction was on its way"))


def record_of(flight: Flight, version: Version | None = None) -> Record[Step]:
    """The journal's record of a signature. Integers beyond 64 bits are strings."""
    signed = version or flight.versions[-1]
    transaction = signed.transaction
    return Record(
        Step.SIGNED,
        {
            "nonce": flight.nonce,
            "raw": signed.raw.hex(),
            "hash": signed.hash.hex(),
            "name": flight.name,
            "intent": flight.intent,
            "chain_id": transaction.chain_id,
            "tip": str(transaction.tip),
            "max_fee": str(transaction.max_fee),
            "gas": transaction.gas,
            "to": transaction.to,
            "value": str(transaction.value),
            "data": transaction.data.hex(),
        },
    )


def _version_of(record: Record[Step]) -> Version:
    to = record["to"]
    transaction = RawTransaction(
        record["chain_id"],
        record["nonce"],
        int(record["tip"]),
        int(record["max_fee"]),
        record["gas"],
        None if to is None else Address(to),
        int(record["value"]),
        bytes.fromhex(record["data"]),
    )
    return Version(transaction, bytes.fromhex(record["raw"]), bytes.fromhex(record["hash"]))


def flights_of(
    records: Sequence[Record[Step]],
) -> tuple[list[Flight], dict[str, bytes], list[Record[Step]]]:
    """What is on its way, the hashes of finished intents, and the records worth keeping."""
    flights: dict[int, Flight] = {}
    signed: dict[int, list[Record[Step]]] = {}
    intents: dict[str, bytes] = {}
    finished: list[Record[Step]] = []
    for record in records:
        nonce = record["nonce"]
        if record.step is Step.SIGNED:
            if nonce not in flights:
                flights[nonce] = Flight(nonce, record["name"], record["intent"], recovered=True)
                signed[nonce] = []
            flights[nonce].versions.append(_version_of(record))
            signed[nonce].append(record)
            continue
        flights.pop(nonce, None)
        signed.pop(nonce, None)
        if record.step is Step.FINAL and record["intent"] is not None:
            intents[record["intent"]] = bytes.fromhex(record["hash"])
            finished.append(record)
    kept = [*finished, *(record for nonce in sorted(signed) for record in signed[nonce])]
    return [flights[nonce] for nonce in sorted(flights)], intents, kept
