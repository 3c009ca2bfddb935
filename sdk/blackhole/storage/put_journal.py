"""What a `put` has done so far, step by step, on the disk: an interrupted one goes on and pays once.

    STARTED ─► SALTED ─► ENCODED (each segment) ─► SEALED ─► AGREED (each shard) ─► SUBMITTED ─► OPENED ─► LISTED
                 PLACED, REPLACED, STAGED as nodes take shards    └► JOINING ─► JOINED ──────────────┘
                 VOIDED when what was signed can happen no more

The object key and the cap are sealed with the account's local key; nothing else here is secret. A deal is paid by
opening it on chain, its id is the digest of the terms, and an id opens once: a resumed put submits the journalled terms
again and never signs new ones before the old ones can open no more. A shard that joins an agreement is paid by a
Change; its nonce lets one of all Changes signed for an agreement happen, and a piece stands in a list once.
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
    JOINING = "joining"
    """A node has signed the Change that brings a shard into an agreement; it is sent after this."""
    JOINED = "joined"
    """The shard's pieces are in the agreement on chain."""
    VOIDED = "voided"
    """What was signed for these shards can happen no more (terms whose start came, Changes another one overtook): it
    may be signed anew."""
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


@dataclass(frozen=True, slots=True)
class Join:
    """A signed Change that brings a shard's pieces into an agreement.

    Attributes:
        change: as JSON; perhaps with the pieces of other puts.
        signature: the node's.
        prepaid: wei of its prepaid that are this shard's.
    """

    change: dict[str, Any]
    signature: bytes
    prepaid: int


@dataclass(slots=True)
class Slot:
    """One shard's place.

    Attributes:
        node: id of the node that takes it.
        rate: wei a period it quoted for all of the slot's pieces.
        staged: roots it acknowledged.
        terms: the signed Terms as JSON, None before.
        signature: the node's.
        joins: Changes signed for it that may have happened, the newest last.
        id: the agreement's id, 0 until it is open and holds the pieces.
        cost: wei locked for it, once it has an id.
        end: first period no longer paid, once it has an id.
    """

    node: int
    rate: int
    staged: set[bytes] = field(default_factory=set)
    terms: dict[str, Any] | None = None
    signature: bytes = b""
    joins: list[Join] = field(default_factory=list)
    id: int = 0
    cost: int = 0
    end: int = 0

    @property
    def signed(self) -> bool:
        """Whether it is paid, or what was signed for it may still be."""
        return bool(self.id or self.terms is not None or self.joins)


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
                slot = self.slots[index]
                assert slot.terms is not None
                slot.id, slot.cost, slot.end = int(identity, 16), int(slot.terms["prepaid"]), slot.terms["end"]
            self._sent(row)
        elif step is PutStep.JOINING:
            join = Join(row["change"], bytes.fromhex(row["signature"]), int(row["prepaid_wei"]))
            self.slots[row["slot"]].joins.append(join)
        elif step is PutStep.JOINED:
            slot = self.slots[row["slot"]]
            slot.id, slot.cost, slot.end = int(row["id"], 16), int(row["cost_wei"]), row["end"]
            self._sent(row)
        elif step is PutStep.VOIDED:
            for index in row["slots"]:
                slot = self.slots[index]
                slot.terms, slot.signature, slot.joins = None, b"", []
        elif step is PutStep.LISTED:
            self.listed = True

    def _sent(self, row: dict[str, Any]) -> None:
        self.transactions += [each for each in row.get("transactions", []) if each not in self.transactions]

    @property
    def open_slots(self) -> list[int]:
        """Shards whose agreements are open."""
        return [index for index, slot in enumerate(self.slots) if slot.id]
