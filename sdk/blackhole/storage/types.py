"""What the operations of `blackhole.storage` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NodeQuote:
    """What one node asks for its shard.

    Attributes:
        node: its id.
        endpoint: where it is reached.
        shard: number of the shard it would hold, None for a node that was not chosen.
        group: nodes of one group have an owner, account, key or network in common.
        rate: wei a period for what it would hold.
        egress: micro-HOLE a MiB read.
        reason: "chosen", or why not.
        joins: the agreement (0x-hex) the account has with it and that takes the shard; empty: a new one is opened.
    """

    node: int
    endpoint: str
    shard: int | None
    group: int
    rate: int
    egress: int
    reason: str
    joins: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """What storing an object would cost. Amounts are wei, unless their name says micro.

    Attributes:
        size: bytes of the object.
        profile: erasure profile.
        periods: how long it is paid for: as asked, or up to where the end is aligned to.
        period_seconds: length of a period.
        leaves: KiB each node holds, summed.
        rate: wei a period, all nodes.
        storage: rate × periods.
        repair: set aside for replacing lost shards; what is not used comes back.
        total: what is locked in new agreements and added to those that are joined: storage + repair.
        read_micro: micro-HOLE to read the object once from the cheapest nodes.
        nodes: every node known, chosen or not, and why.
    """

    size: int
    profile: str
    periods: int
    period_seconds: int
    leaves: int
    rate: int
    storage: int
    repair: int
    total: int
    read_micro: int
    nodes: tuple[NodeQuote, ...]

    @property
    def joining(self) -> int:
        """Shards that join agreements the account has: each costs about 40,000 gas less than a new one, and its node
        settles one agreement instead of two."""
        return sum(bool(row.joins) for row in self.nodes)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is stored and paid.

    Attributes:
        cap: its read-cap: whoever has it reads the object. Keep it secret.
        repair_cap: what a repairer needs: restores shards, reads nothing.
        manifest: CID of its manifest.
        name, size, profile: as stored.
        nodes: ids by shard; 0 where no node could be found (see `missing`).
        agreements: ids (0x-hex) by shard; other objects of the account may be in them.
        end: first period no longer paid.
        cost: wei locked for it.
        gas: wei of the chain's own coin its transactions cost; a Change that puts share counts for one of them.
        transactions: hashes, 0x-hex.
        quote: what was quoted.
        missing: shards without a node: the object is readable, `repair` restores them.
        resumed: whether an interrupted put was finished.
    """

    cap: str
    repair_cap: str
    manifest: str
    name: str
    size: int
    profile: str
    nodes: tuple[int, ...]
    agreements: tuple[str, ...]
    end: int
    cost: int
    gas: int
    transactions: tuple[str, ...]
    quote: Quote
    missing: tuple[int, ...] = ()
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A read.

    Attributes:
        size: bytes written or returned.
        path: where they are, None when they were returned.
        data: the bytes, None when they were written to `path`.
        spent_micro: micro-HOLE signed for it.
        lanes_opened: lanes opened for it; their unused money stays in them for the next read.
        served: bytes by node.
        failed: why nodes were left, by node.
        seconds: how long it took.
    """

    size: int
    path: str | None
    data: bytes | None
    spent_micro: int
    lanes_opened: int
    served: Mapping[int, int] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadQuote:
    """What reading an object would cost.

    Attributes:
        size: bytes that would come.
        nodes: ids of the nodes that would serve them.
        total: wei for what they serve; beside it lanes to them may need a deposit, which stays yours.
    """

    size: int
    nodes: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class RenewQuote:
    """What keeping an object longer would cost.

    Attributes:
        agreements: ids (0x-hex) that would end later, or that its pieces would leave for one that does.
        end: first period no longer paid then.
        total: wei that would be locked beside what is locked now.
        failed: id → why its node offers nothing.
    """

    agreements: tuple[str, ...]
    end: int
    total: int
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepairQuote:
    """What restoring an object would cost.

    Attributes:
        lost: shards that would be restored, (segment, shard).
        nodes: ids of the nodes they would go to.
        total: wei that would be locked for them.
        read_micro: micro-HOLE for reading what they are rebuilt from.
    """

    lost: tuple[tuple[int, int], ...]
    nodes: tuple[int, ...] = ()
    total: int = 0
    read_micro: int = 0


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """One shard of one segment (or a copy of the manifest).

    Attributes:
        segment: number, -1 for the manifest.
        shard: number.
        node: id of the node whose agreement holds it, None if none does.
        state: "healthy", "suspect" (its node missed proofs), "unconfirmed" (its node is silent) or "missing".
    """

    segment: int
    shard: int
    node: int | None
    state: str


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """How an object is.

    Attributes:
        manifest: CID.
        size, profile, segments: from the manifest.
        state: "full", "degraded" (fewer healthy shards than there should be) or "unreadable".
        healthy: healthy shards of the worst segment.
        needed: shards that suffice to read (k).
        repair_at: below this many healthy shards repair starts.
        shards: shards there should be (n).
        paid_until: first period no longer paid, of the agreement that ends first.
        period: the current one.
        rows: every shard.
        nodes: id → what is known of it: misses in a row, last period proven, whether it answers.
    """

    manifest: str
    size: int
    profile: str
    segments: int
    state: str
    healthy: int
    needed: int
    repair_at: int
    shards: int
    paid_until: int
    period: int
    rows: tuple[ShardStatus, ...]
    nodes: Mapping[int, Mapping[str, object]]

    @property
    def exit_code(self) -> int:
        """What the command line ends with: 0 full, 3 degraded, 4 unreadable."""
        return {"full": 0, "degraded": 3}.get(self.state, 4)
