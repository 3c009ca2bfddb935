"""What `blackhole storage` says: quotes, states and repairs as rows for programs and as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blackhole.cli.output import count, hole, size, span, table
from blackhole.protocol import MICRO

if TYPE_CHECKING:
    from blackhole.client import Blackhole
    from blackhole.storage.repair_order import Repaired
    from blackhole.storage.types import ObjectStatus, Quote


def lasting(blackhole: Blackhole, periods: int) -> str:
    """How long so many periods are for who waits: a devnet's clock jumps."""
    network = blackhole.network
    pace = network.extra.get("pace_seconds")
    if isinstance(pace, int | float):
        return f"about {span(periods * pace)} on this devnet"
    return f"about {span(periods * network.period)}"


def quote_data(found: Quote) -> dict[str, Any]:
    """A quote for programs."""
    return {
        "bytes": found.size,
        "profile": found.profile,
        "periods": found.periods,
        "period_seconds": found.period_seconds,
        "stored_bytes": found.leaves * 1024,
        "rate_wei": found.rate,
        "storage_wei": found.storage,
        "repair_wei": found.repair,
        "total_wei": found.total,
        "read_micro": found.read_micro,
        "nodes": [
            {
                "node": row.node,
                "endpoint": row.endpoint,
                "shard": row.shard,
                "group": row.group,
                "rate_wei": row.rate,
                "egress_micro_per_mib": row.egress,
                "reason": row.reason,
                "joins": row.joins,
            }
            for row in found.nodes
        ],
        "joining": found.joining,
    }


def quote_text(found: Quote, how_long: str, *, explain: bool) -> str:
    """A quote for people; `explain` adds every node and why it was chosen or not."""
    chosen = sum(row.shard is not None for row in found.nodes)
    lines = [
        f"{size(found.size)} as {size(found.leaves * 1024)} on {count(chosen, 'node')} ({found.profile}),"
        f" {count(found.periods, 'period')}, {how_long}",
        f"  storage  {hole(found.storage)} ({hole(found.rate)} a period, paid for proven periods only)",
        f"  repair   {hole(found.repair)} set aside; what is not used comes back",
        f"  locked   {hole(found.total)}",
        f"  reading it once costs {hole(found.read_micro * MICRO)}",
    ]
    if found.joining:
        new = chosen - found.joining
        lines.append(
            f"  {count(found.joining, 'shard')} join agreements you have"
            + (f", {new} open new ones" if new else ": nothing new is opened")
        )
    if explain:
        rows = [
            (r.node, "-" if r.shard is None else r.shard, r.group, r.rate, r.endpoint, r.reason) for r in found.nodes
        ]
        lines += ["", table(["NODE", "SHARD", "GROUP", "WEI A PERIOD", "ENDPOINT", "WHY"], rows)]
    return "\n".join(lines)


def _counts(found: ObjectStatus) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in found.rows:
        if row.segment >= 0 or not found.segments:
            counts[row.state] = counts.get(row.state, 0) + 1
    return counts


def status_data(found: ObjectStatus) -> dict[str, Any]:
    """A status for programs."""
    return {
        "state": found.state,
        "manifest": found.manifest,
        "bytes": found.size,
        "profile": found.profile,
        "segments": found.segments,
        "healthy": found.healthy,
        "needed": found.needed,
        "repair_at": found.repair_at,
        "shards": found.shards,
        "paid_until": found.paid_until,
        "period": found.period,
        "counts": _counts(found),
        "rows": found.rows,
        "nodes": {str(node): row for node, row in found.nodes.items()},
    }


def status_text(found: ObjectStatus, cap: str, *, rows: bool) -> str:
    """A status for people: shard by shard with `rows` or when something is wrong, and what to do about it."""
    counts = _counts(found)
    paid = f"paid until period {found.paid_until} (now {found.period})"
    if not found.paid_until:
        paid = "no agreement holds it any more: its paid time is over, or it was given up"
    lines = [
        f"{found.state}: {found.healthy} of {found.shards} shards healthy in the worst of {found.segments} segments, "
        f"{found.needed} suffice to read, repair starts below {found.repair_at}",
        f"shards: {', '.join(f'{number} {state}' for state, number in sorted(counts.items()))}",
        paid,
    ]
    if rows or found.state != "full":
        cells = [(r.segment, r.shard, r.node or "-", r.state) for r in found.rows if r.segment >= 0]
        lines += ["", table(["SEGMENT", "SHARD", "NODE", "STATE"], cells)]
    if found.state == "degraded":
        silent = "" if counts.get("missing") or counts.get("suspect") else " --silent"
        lines.append(f"next: blackhole storage repair {cap[:24]}{'…' if len(cap) > 24 else ''}{silent}")
    return "\n".join(lines)


def repaired_text(done: Repaired) -> str:
    """A repair for people."""
    if done.failed:
        restored = f"restored {count(len(done.restored), 'shard')} for {hole(done.cost)}"
        return f"{restored}; {len(done.failed)} are still lost: try again"
    if done.restored:
        return f"restored {count(len(done.restored), 'shard')} for {hole(done.cost)}"
    waiting = sum(row.state == "unconfirmed" for row in done.before.rows if row.segment >= 0)
    if waiting:
        return (
            f"nothing is lost yet: {waiting} shards are with nodes that are silent but have missed no proof.\n"
            "Wait for their next proof, or replace them now with --silent"
        )
    return "nothing is lost"
