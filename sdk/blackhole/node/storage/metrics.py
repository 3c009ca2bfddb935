"""What the plugin tells Prometheus. Values are read when they are asked for; nothing is counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blackhole.node.storage.plugin import StoragePlugin

Sample = tuple[dict[str, str], int | float]


def text(plugin: StoragePlugin) -> str:
    """Prometheus text, format 0.0.4."""
    lines: list[str] = []
    for name, kind, what, samples in _families(plugin):
        lines += [f"# HELP blackhole_{name} {what}", f"# TYPE blackhole_{name} {kind}"]
        for labels, value in samples:
            inside = ",".join(f'{key}="{_escape(item)}"' for key, item in labels.items())
            lines.append(f"blackhole_{name}{{{inside}}} {value}" if inside else f"blackhole_{name} {value}")
    return "\n".join(lines) + "\n"


def _families(plugin: StoragePlugin) -> Iterator[tuple[str, str, str, list[Sample]]]:
    state, staging, watch, sender = plugin.state, plugin.staging, plugin.watch, plugin.sender
    opened = [deal for deal in state.deals.values() if deal.opened]
    yield (
        "agreements",
        "gauge",
        "Agreements by state.",
        [
            ({"state": "open"}, len(opened)),
            ({"state": "signed"}, len(state.deals) - len(opened)),
        ],
    )
    yield (
        "leaves",
        "gauge",
        "KiB by what they are for.",
        [
            ({"state": "agreed"}, sum(deal.leaves for deal in opened)),
            ({"state": "promised"}, state.promised_leaves),
            ({"state": "staged"}, state.staged_leaves),
            ({"state": "free"}, staging.free_leaves()),
        ],
    )
    yield "staging_bytes", "gauge", "Bytes in staging.", [({}, staging.quota.staged)]
    yield "uploads", "gauge", "Uploads running.", [({}, staging.quota.uploads)]
    yield "served_bytes_total", "counter", "Bytes of blocks served.", [({}, plugin.reads.served_bytes)]
    yield "lanes", "gauge", "Lanes with vouchers.", [({}, len(state.lanes))]
    yield (
        "unredeemed_micro",
        "gauge",
        "Vouchers not yet redeemed, micro-HOLE.",
        [({}, plugin.redeemer.unredeemed_micro)],
    )
    yield (
        "redeemed_micro_total",
        "counter",
        "Redeemed since the start, micro-HOLE.",
        [({}, plugin.redeemer.redeemed_micro)],
    )
    yield "settled_wei_total", "counter", "Settled since the start, wei.", [({}, plugin.settler.settled_wei)]
    yield "proved_period", "gauge", "Latest period proven.", [({}, state.proved)]
    yield (
        "unprovable_periods",
        "gauge",
        "Periods that could not be proven for lack of bytes.",
        [({}, len(plugin.prover.failed))],
    )
    yield "period", "gauge", "Period of the newest block.", [({}, watch.period)]
    yield "block", "gauge", "Newest block seen.", [({}, watch.latest.number)]
    yield "chain_up", "gauge", "Whether the chain answers.", [({}, int(not watch.failing_since))]
    yield "transactions_total", "counter", "Transactions sent.", [({"what": k}, v) for k, v in sender.sent.items()]
    yield "gas_total", "counter", "Gas spent.", [({"what": k}, v) for k, v in sender.gas.items()]
    yield "signer_balance_wei", "gauge", "Native balance of the hot signer.", [({}, sender.balance_wei or 0)]
    yield "gas_alarm", "gauge", "1 when the hot signer runs out of gas.", [({}, int(sender.alarm))]
    yield (
        "requests_total",
        "counter",
        "Requests answered.",
        [({"path": path, "status": str(status)}, count) for (path, status), count in plugin.server.counts.items()],
    )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
