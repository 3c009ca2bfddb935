"""What a `put` has done so far, step by step, on the disk: an interrupted one goes on and pays once.

    STARTED ─► SALTED ─► ENCODED (each segment) ─► SEALED ─► AGREED (each shard) ─► SUBMITTED ─► OPENED ─► LISTED
                 PLACED, REPLACED, STAGED as nodes take shards;  VOIDED when signed terms can open no more

The object key and the cap are sealed with the account's local key; nothing else here is secret. A deal is paid by
opening it on chain, its id is the digest of the terms, and an id opens once: a resumed put submits the journalled terms
again and never signs new ones before the old ones can open no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackhole.journal import Record

KIND = "put"
"""Kind of the journal; crash points are `put:<step>`."""


class PutStep(StrEnum):
    """Steps of a put."""

    STARTED = "started"
    """What is stored, for whom and how; the sealed object key."""
    SALTED = "salted"
    """A fresh salt for one attempt to write a segment; on the disk before the salt is used."""
    ENCODED = "encoded"
    """A segment's ciphertext is in the spool and on the disk, and its pieces are known."""
    PLACED = "placed"
    """Which node takes which shard, at which rate."""
    REPLACED = "replaced"
    """Another node takes a shard; what the first one has of it counts no more."""
    STAGED = "staged"
    """A node acknowledged a piece."""
    SEALED = "sealed"
    """The manifest; nothing of the object changes any more."""
    AGREED = "agreed"
    """Terms a node has signed for a shard."""
    SUBMITTED = "submitted"
    """The payer has signed these ids; the transaction is sent after this."""
    OPENED = "opened"
    """These agreements are open on chain."""
    VOIDED = "voided"
    """Signed terms that did not open before their start, so they never can: new ones may be signed."""
    LISTED = "listed"
    """The object is in the list of own objects: the put is done."""


@dataclass(slots=True)
class Segment:
    """One segment as far as it got.

    Attributes:
        salt: of the newest attempt.
        pieces: (root, leaves) by shard; empty until it is encoded.
        row: what the encoder needs again for the manifest, JSON.
    """

    salt: bytes
    attempt: int
    pieces: list[tuple[bytes, int]] = field(default_factory=list)
    row: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Slot:
    """One shard's place.

    Attributes:
        node: id of the node that takes it.
        rate: wei a period it quoted for all of the slot's pieces.
        staged: roots it acknowledged.
        terms: the signed Terms as JSON, None before.
        signature: the node's.
        id: the agreement's id, 0 until it is open.
    """

    node: int
    rate: int
    staged: set[bytes] = field(default_factory=set)
    terms: dict[str, Any] | None = None
    signature: bytes = b""
    id: int = 0


@dataclass(slots=True)
class PutState:
    """Everything the journal says."""

    started: dict[str, Any] = field(default_factory=dict)
    segments: dict[int, Segment] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    sealed: dict[str, Any] | None = None
    submitted: list[dict[str, Any]] = field(default_factory=list)
    transactions: list[str] = field(default_factory=list)
    listed: bool = False

    @classmethod
    def replay(cls, records: Iterable[Record[PutStep]]) -> PutState:
        """The state after these records."""
        state = cls()
        for record in records:
            state.apply(record.step, record.fields)
        return state

    def apply(self, step: PutStep, row: dict[str, Any]) -> None:
        """Take one step."""
        if step is PutStep.STARTED:
            self.started = row
        elif step is PutStep.SALTED:
            self.segments[row["segment"]] = Segment(bytes.fromhex(row["salt"]), row["attempt"])
        elif step is PutStep.ENCODED:
            segment = self.segments[row["segment"]]
            segment.pieces = [(bytes.fromhex(root), leaves) for root, leaves in row["pieces"]]
            segment.row = row["row"]
        elif step is PutStep.PLACED:
            self.slots = [Slot(node, int(rate)) for node, rate in zip(row["nodes"], row["rates_wei"], strict=True)]
        elif step is PutStep.REPLACED:
            self.slots[row["slot"]] = Slot(row["node"], int(row["rate_wei"]))
        elif step is PutStep.STAGED:
            slot = self.slots[row["slot"]]
            if slot.node == row["node"]:
                slot.staged.add(bytes.fromhex(row["root"]))
        elif step is PutStep.SEALED:
            self.sealed = row
        elif step is PutStep.AGREED:
            slot = self.slots[row["slot"]]
            slot.terms, slot.signature = row["terms"], bytes.fromhex(row["signature"])
        elif step is PutStep.SUBMITTED:
            self.submitted.append(row)
        elif step is PutStep.OPENED:
            for index, identity in row["opened"]:
                self.slots[index].id = int(identity, 16)
            self.transactions += row.get("transactions", [])
        elif step is PutStep.VOIDED:
            for index in row["slots"]:
                self.slots[index].terms, self.slots[index].signature = None, b""
        elif step is PutStep.LISTED:
            self.listed = True

    @property
    def open_slots(self) -> list[int]:
        """Shards whose agreements are open."""
        return [index for index, slot in enumerate(self.slots) if slot.id]
