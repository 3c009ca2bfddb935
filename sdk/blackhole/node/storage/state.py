"""What the node has promised and holds, rebuilt from the journal: staged pieces, deals, lanes.

`State.apply` takes every step, while the plugin runs and when the journal is replayed, so both always agree.
Hex without 0x in the journal; addresses lower-case with 0x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from blackhole.journal import Record
from blackhole.node.storage.metering import LaneAccount
from blackhole.node.storage.steps import Step


@dataclass(frozen=True, slots=True)
class StagedPiece:
    """A piece that arrived and that no open agreement holds yet.

    Attributes:
        root: of the piece, hex.
        leaves: KiB.
        length: bytes.
        payer: who had it uploaded: whose quota it counts on.
        nonce, permit_bytes, expiry: of the right to upload it came under.
        period: when it arrived.
    """

    root: str
    leaves: int
    length: int
    payer: str
    nonce: int
    permit_bytes: int
    expiry: int
    period: int


@dataclass(frozen=True, slots=True)
class SignedChange:
    """A Change this node signed and the chain does not have yet.

    Attributes:
        digest: its EIP-712 digest, hex.
        fields: root, leaves, rate, end, nonce (and the rest of the struct), JSON.
        growth: leaves it adds: capacity promised.
        signature: hex.
    """

    digest: str
    fields: dict[str, Any]
    growth: int
    signature: str


@dataclass(slots=True)
class Deal:
    """An agreement of this node, signed or open.

    Attributes:
        id: its Terms' digest, hex.
        terms: as signed, JSON.
        signature: ours, hex.
        opened: whether the chain has it at a final block.
        root, leaves, rate, end, nonce: as the chain has them at a final block (of the Terms before it is open).
        changes: signed, not yet on chain.
    """

    id: str
    terms: dict[str, Any]
    signature: str
    root: str
    leaves: int
    rate: int
    start: int
    end: int
    nonce: int = 0
    opened: bool = False
    changes: dict[str, SignedChange] = field(default_factory=dict)

    @property
    def payer(self) -> str:
        """Lower-case address."""
        return str(self.terms["payer"]).lower()

    @property
    def promised(self) -> int:
        """Leaves this deal may come to hold, at most: of the Changes signed for one nonce one can happen."""
        return self.leaves + sum(self.growth_at(nonce) for nonce in self._nonces())

    @property
    def waiting_wei(self) -> int:
        """What its payer has yet to lock for what is signed: Terms not open, Changes not on chain."""
        terms = 0 if self.opened else int(self.terms["prepaid"])
        return terms + sum(self.prepaid_at(nonce) for nonce in self._nonces())

    def growth_at(self, nonce: int) -> int:
        """Leaves that Changes signed for this nonce may add."""
        return max((change.growth for change in self.changes.values() if change.fields["nonce"] == nonce), default=0)

    def prepaid_at(self, nonce: int) -> int:
        """wei that Changes signed for this nonce may lock."""
        signed = (change.fields for change in self.changes.values())
        return max((int(fields["prepaid"]) for fields in signed if fields["nonce"] == nonce), default=0)

    def _nonces(self) -> set[int]:
        return {change.fields["nonce"] for change in self.changes.values()}

    def roots(self) -> set[str]:
        """Content roots whose lists are needed: the chain's and those of signed Changes."""
        return {self.root, *(plain_hex(change.fields["root"]) for change in self.changes.values())}


def plain_hex(text: str) -> str:
    """Hex as the state keeps it: signed structs write 0x before it."""
    return text.removeprefix("0x")


class State:
    """Everything the journal says, in memory. A deal takes about 2 KB; pieces of deals are on the disk, not here."""

    def __init__(self) -> None:
        self.staged: dict[str, StagedPiece] = {}
        self.deals: dict[str, Deal] = {}
        self.lanes: dict[int, LaneAccount] = {}
        self.proved: int = 0
        """Latest period this node's journal says is proven."""

    @property
    def promised_leaves(self) -> int:
        """Leaves of all deals, open and signed."""
        return sum(deal.promised for deal in self.deals.values())

    @property
    def staged_leaves(self) -> int:
        """Leaves in staging."""
        return sum(piece.leaves for piece in self.staged.values())

    def apply(self, record: Record[Step]) -> None:
        """Take one step into account."""
        fields = record.fields
        match record.step:
            case Step.STAGED:
                self.staged[fields["root"]] = StagedPiece(**fields)
            case Step.DROPPED:
                self.staged.pop(fields["root"], None)
            case Step.TERMS_SIGNED:
                terms = fields["terms"]
                self.deals[fields["id"]] = Deal(
                    id=fields["id"], terms=terms, signature=fields["signature"], root=plain_hex(terms["root"]),
                    leaves=terms["leaves"], rate=int(terms["rate"]), start=terms["start"], end=terms["end"],
                )  # fmt: skip
            case Step.TERMS_LAPSED | Step.CLOSED:
                self.deals.pop(fields["id"], None)
            case Step.OPENED:
                self.deals[fields["id"]].opened = True
                self._unstage(fields["roots"])
            case Step.CHANGE_SIGNED:
                change = SignedChange(fields["digest"], fields["change"], fields["growth"], fields["signature"])
                self.deals[fields["id"]].changes[change.digest] = change
            case Step.CHANGED:
                deal = self.deals[fields["id"]]
                deal.root, deal.leaves, deal.rate = fields["root"], fields["leaves"], int(fields["rate"])
                deal.end, deal.nonce = fields["end"], fields["nonce"]
                self._unstage(fields["roots"])
                # Whatever was signed for an earlier nonce can no longer happen.
                deal.changes = {d: c for d, c in deal.changes.items() if c.fields["nonce"] >= deal.nonce}
            case Step.CHANGE_LAPSED:
                self.deals[fields["id"]].changes.pop(fields["digest"], None)
            case Step.VOUCHER:
                recorded = LaneAccount(**{**fields, "row": bytes.fromhex(fields["row"])})
                self.lanes.setdefault(recorded.lane, recorded).merge(recorded)
            case Step.PROVED:
                self.proved = max(self.proved, fields["period"])
            case _:
                pass  # the chain knows what became of it

    def replay(self, records: Iterable[Record[Step]]) -> None:
        """Apply everything recorded."""
        for record in records:
            self.apply(record)

    def snapshot(self) -> Iterator[Record[Step]]:
        """Records that lead to this state again: what a compacted journal holds."""
        for piece in self.staged.values():
            yield Record(Step.STAGED, {name: getattr(piece, name) for name in StagedPiece.__slots__})
        for deal in self.deals.values():
            yield Record(Step.TERMS_SIGNED, {"id": deal.id, "terms": deal.terms, "signature": deal.signature})
            if deal.opened:
                yield Record(Step.OPENED, {"id": deal.id, "roots": []})
                now = {"root": deal.root, "leaves": deal.leaves, "rate": str(deal.rate), "end": deal.end}
                yield Record(Step.CHANGED, {"id": deal.id, "nonce": deal.nonce, "roots": [], **now})
            for change in deal.changes.values():
                yield Record(
                    Step.CHANGE_SIGNED,
                    {"id": deal.id, "digest": change.digest, "change": change.fields, "growth": change.growth,
                     "signature": change.signature},
                )  # fmt: skip
        for lane in self.lanes.values():
            yield Record(Step.VOUCHER, lane.to_json())
        if self.proved:
            yield Record(Step.PROVED, {"period": self.proved})

    def _unstage(self, roots: Iterable[str]) -> None:
        for root in roots:
            self.staged.pop(root, None)
