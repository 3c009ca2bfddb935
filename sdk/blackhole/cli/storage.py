"""`blackhole storage`: store files, read them back, keep them healthy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackhole.cli.context import amount, connect, current
from blackhole.cli.output import Progress, confirm, detail, emit, hole, note, size, span, table

if TYPE_CHECKING:
    from blackhole.client import Blackhole
    from blackhole.storage.repair import Repaired
    from blackhole.storage.types import Quote

app = typer.Typer(
    epilog="Examples: blackhole storage quote film.mp4; blackhole storage put film.mp4 --max-price 5; "
    "blackhole storage get bh1… -o film.mp4",
)

FREE_TO_SPEND = 10**18
"""wei. Below this a command does not ask."""

File = Annotated[str, typer.Argument(help='The file; "-" reads stdin.')]
Cap = Annotated[str, typer.Argument(help="A cap (bh1…), or the name of one of your objects.")]
ProfileOption = Annotated[
    str | None, typer.Option(help="std: 20 of 40 shards restore it; dev: 3 of 10. Default: the network's, else std.")
]
Periods = Annotated[int, typer.Option(min=1, help="How many periods; one is a day on public networks.")]
Align = Annotated[
    int,
    typer.Option(
        min=1,
        help="Move the end, and the price, up to the next multiple of so many periods: files of different days then "
        "share agreements.",
    ),
]
MaxPrice = Annotated[str | None, typer.Option(help="HOLE that may be locked at most; then nobody is asked.")]


def _lasting(blackhole: Blackhole, periods: int) -> str:
    """How long so many periods are for who waits: a devnet's clock jumps."""
    network = blackhole.network
    pace = network.extra.get("pace_seconds")
    if isinstance(pace, int | float):
        return f"about {span(periods * pace)} on this devnet"
    return f"about {span(periods * network.period)}"


@app.command()
def cid(file: File) -> None:
    """The CID a public file has on IPFS: what `ipfs add --only-hash` prints under profile unixfs-v1-2025.

    Nothing is sent anywhere. What `put` stores is encrypted and has other CIDs.

    Example: blackhole storage cid film.mp4
    """
    from blackhole.storage.ipfs.unixfs import cid_of
    from blackhole.storage.sources import SourceReader, open_source

    source = open_source(file)
    try:
        found = str(cid_of(SourceReader(source)))
        source.finish()
    finally:
        source.close()
    emit({"cid": found, "name": source.name}, found)


@app.command()
def quote(
    file: Annotated[str, typer.Argument(help="A file, or a number of bytes.")],
    profile: ProfileOption = None,
    periods: Periods = 30,
    explain: Annotated[bool, typer.Option("--explain", help="Every node, and why it was chosen or not.")] = False,
    align: Align = 1,
) -> None:
    """What storing a file would cost, and at which nodes. Nothing is stored.

    Example: blackhole storage quote film.mp4 --periods 90 --explain

    Example: blackhole storage quote 1000000000
    """
    from pathlib import Path

    with connect() as blackhole:
        what: str | int = int(file) if file.isdecimal() and not Path(file).exists() else file
        found = blackhole.storage.quote(what, profile=profile, periods=periods, align=align)
        lasting = _lasting(blackhole, found.periods)
    emit(_quote_data(found), _quote_text(found, lasting, explain=explain))


def _quote_data(found: Quote) -> dict[str, Any]:
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


def _quote_text(found: Quote, lasting: str, *, explain: bool) -> str:
    chosen = sum(row.shard is not None for row in found.nodes)
    lines = [
        f"{size(found.size)} as {size(found.leaves * 1024)} on {chosen} nodes ({found.profile}),"
        f" {found.periods} periods, {lasting}",
        f"  storage  {hole(found.storage)} ({hole(found.rate)} a period, paid for proven periods only)",
        f"  repair   {hole(found.repair)} set aside; what is not used comes back",
        f"  locked   {hole(found.total)}",
        f"  reading it once costs {found.read_micro} micro-HOLE",
    ]
    if found.joining:
        new = chosen - found.joining
        lines.append(
            f"  {found.joining} shards join agreements you have"
            + (f", {new} open new ones" if new else ": nothing new is opened")
        )
    if explain:
        rows = [
            (r.node, "-" if r.shard is None else r.shard, r.group, r.rate, r.endpoint, r.reason) for r in found.nodes
        ]
        lines += ["", table(["NODE", "SHARD", "GROUP", "WEI A PERIOD", "ENDPOINT", "WHY"], rows)]
    return "\n".join(lines)


@app.command()
def put(
    file: File,
    profile: ProfileOption = None,
    periods: Periods = 30,
    max_price: MaxPrice = None,
    name: Annotated[str | None, typer.Option(help="What you call it in `ls`; default: the file's name.")] = None,
    align: Align = 1,
) -> None:
    """Encrypt a file, spread it over bonded nodes, and pay for it. Prints its cap: whoever has that reads the file.

    The cap is kept in your encrypted list (`ls`). Interrupted, the same command goes on where it stopped and pays once.

    Example: blackhole storage put film.mp4 --periods 90 --max-price 5

    Example: tar -c photos | blackhole storage put - --name photos.tar
    """
    limit = amount(max_price) if max_price is not None else None
    with connect() as blackhole:
        lasting = _lasting(blackhole, periods)
        if current().dry_run or (limit is None and not current().yes and file != "-"):
            found = blackhole.storage.quote(file, profile=profile, periods=periods, align=align)
            if current().dry_run:
                emit(
                    {"dry_run": True, **_quote_data(found)},
                    "would store it:\n" + _quote_text(found, lasting, explain=False),
                )
                return
            if found.total > FREE_TO_SPEND:
                confirm(f"Lock {hole(found.total)} for {found.periods} periods, {lasting}?", limit=True)
            limit = found.total + found.total // 100
        elif limit is None and not current().yes:
            confirm("A pipe does not say what it will cost. Store it without a limit?", limit=True)
        with Progress(f"storing {file}") as progress:
            stored = blackhole.storage.put(
                file,
                profile=profile,
                periods=periods,
                max_price=limit,
                name=name,
                progress=progress,
                align=align,
            )
    if stored.resumed:
        note("went on where an earlier put of this file stopped")
    detail(f"nodes {', '.join(map(str, stored.nodes))}; transactions {', '.join(stored.transactions)}")
    data = {
        "cap": stored.cap,
        "repair_cap": stored.repair_cap,
        "manifest": stored.manifest,
        "name": stored.name,
        "bytes": stored.size,
        "profile": stored.profile,
        "nodes": stored.nodes,
        "agreements": stored.agreements,
        "end": stored.end,
        "quote_wei": stored.quote.total,
        "cost_wei": stored.cost,
        "gas_wei": stored.gas,
        "transactions": stored.transactions,
        "missing": stored.missing,
        "resumed": stored.resumed,
    }
    note(f"stored {stored.name} ({size(stored.size)}) until period {stored.end}, {lasting}, for {hole(stored.cost)}")
    emit(data, stored.cap)
    if stored.missing:
        note(f"{len(stored.missing)} shards have no node yet: blackhole storage repair {stored.name}")
        raise typer.Exit(3)


@app.command()
def get(
    cap: Cap,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help='Where to; "-" is stdout. Default: the object\'s own name.')
    ] = None,
    start: Annotated[int, typer.Option(min=0, help="First byte.")] = 0,
    length: Annotated[int | None, typer.Option(min=0, help="How many bytes; default: to the end.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
) -> None:
    """Read an object and pay its nodes for what was verified. The file appears once its last byte is.

    Example: blackhole storage get bh1… -o film.mp4

    Example: blackhole storage get film.mp4 -o - --start 1000000 --length 4096 | xxd
    """
    with connect() as blackhole:
        where = output
        if where is None:
            own = [entry for entry in blackhole.storage.ls() if cap in {entry.cap, entry.name, entry.manifest}]
            where = own[-1].name if own else None
        if where is None:
            from blackhole.errors import UsageError

            raise UsageError("This object has no name here.", hint="Say where to: -o FILE, or -o - for stdout.")
        target: Any = sys.stdout.buffer if where == "-" else where
        with Progress(f"reading {where}") as progress:
            done = blackhole.storage.get(
                cap, target, start=start, length=length, overwrite=overwrite, progress=progress
            )
    data = {
        "path": done.path,
        "bytes": done.size,
        "spent_micro": done.spent_micro,
        "lanes_opened": done.lanes_opened,
        "served_bytes": {str(node): count for node, count in done.served.items()},
        "failed": {str(node): reason for node, reason in done.failed.items()},
        "seconds": round(done.seconds, 3),
    }
    for node, reason in done.failed.items():
        note(f"node {node} was left: {reason}")
    text = f"read {size(done.size)} for {done.spent_micro} micro-HOLE"
    if where == "-":
        note(text)
    else:
        emit(data, f"{text} into {done.path}")


@app.command()
def ls(
    caps: Annotated[bool, typer.Option("--caps", help="Show the caps: whoever sees them reads the objects.")] = False,
) -> None:
    """Your objects, from the encrypted list of this machine.

    Example: blackhole storage ls --caps
    """
    with connect() as blackhole:
        entries = blackhole.storage.ls()
    rows = [
        {
            "name": entry.name,
            "bytes": entry.size,
            "profile": entry.profile,
            "end": entry.end,
            "created": entry.created,
            "manifest": entry.manifest,
            **({"cap": entry.cap} if caps else {}),
        }
        for entry in entries
    ]
    head = ["NAME", "SIZE", "PROFILE", "UNTIL PERIOD", "CAP" if caps else "MANIFEST"]
    cells = [(e.name, size(e.size), e.profile, e.end, e.cap if caps else e.manifest) for e in entries]
    emit({"objects": rows}, table(head, cells) if rows else "Nothing stored yet: blackhole storage put FILE")


@app.command()
def status(
    cap: Cap,
    audit: Annotated[bool, typer.Option(help="Ask each node for a piece of its shard (free).")] = True,
) -> None:
    """How an object is, shard by shard. Exit code 0: full, 3: degraded, 4: unreadable.

    healthy: held, proven, answers. suspect: its node missed proofs or failed an audit. unconfirmed: its node is silent.
    missing: no agreement holds it.

    Example: blackhole storage status film.mp4
    """
    with connect() as blackhole:
        found = blackhole.storage.status(cap, audit=audit)
    counts: dict[str, int] = {}
    for row in found.rows:
        if row.segment >= 0 or not found.segments:
            counts[row.state] = counts.get(row.state, 0) + 1
    data = {
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
        "counts": counts,
        "rows": found.rows,
        "nodes": {str(node): row for node, row in found.nodes.items()},
    }
    paid = f"paid until period {found.paid_until} (now {found.period})"
    if not found.paid_until:
        paid = "no agreement holds it any more: its paid time is over, or it was given up"
    lines = [
        f"{found.state}: {found.healthy} of {found.shards} shards healthy in the worst of {found.segments} segments, "
        f"{found.needed} suffice to read, repair starts below {found.repair_at}",
        f"shards: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}",
        paid,
    ]
    if current().verbose or found.state != "full":
        cells = [(r.segment, r.shard, r.node or "-", r.state) for r in found.rows if r.segment >= 0]
        lines += ["", table(["SEGMENT", "SHARD", "NODE", "STATE"], cells)]
    if found.state == "degraded":
        silent = "" if counts.get("missing") or counts.get("suspect") else " --silent"
        lines.append(f"next: blackhole storage repair {cap[:24]}{'…' if len(cap) > 24 else ''}{silent}")
    emit(data, "\n".join(lines))
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@app.command()
def renew(cap: Cap, periods: Periods = 30, max_price: MaxPrice = None) -> None:
    """Pay an object for more periods, at its nodes' present price.

    Example: blackhole storage renew film.mp4 --periods 90 --max-price 5
    """
    limit = amount(max_price) if max_price is not None else None
    if limit is None:
        confirm(f"Renew it for {periods} periods at whatever its nodes ask?", limit=True)
    with connect() as blackhole:
        kept = blackhole.storage.renew(cap, periods, max_price=limit)
    text = f"renewed {len(kept.agreements)} agreements until period {kept.end} for {hole(kept.cost)}"
    if kept.moved:
        text += (
            f"; {len(kept.moved)} shards moved, because other files in their agreements are not paid longer:"
            " what those held for them comes back when they close"
        )
    _kept(kept, text)


@app.command()
def remove(cap: Cap) -> None:
    """Give an object up: its nodes drop it, what is not used of its money comes back when its agreements close.

    Example: blackhole storage remove film.mp4
    """
    confirm("Remove it? Nobody can read it any more, not even you.")
    with connect() as blackhole:
        kept = blackhole.storage.remove(cap)
    text = f"gave up {len(kept.agreements)} agreements"
    if kept.terminated:
        text += f"; {len(kept.terminated)} nodes did not sign and were given notice"
    _kept(kept, text)


def _repaired_text(done: Repaired) -> str:
    if done.failed:
        return (
            f"restored {len(done.restored)} shards for {hole(done.cost)}; {len(done.failed)} are still lost: try again"
        )
    if done.restored:
        return f"restored {len(done.restored)} shards for {hole(done.cost)}"
    waiting = sum(row.state == "unconfirmed" for row in done.before.rows if row.segment >= 0)
    if waiting:
        return (
            f"nothing is lost yet: {waiting} shards are with nodes that are silent but have missed no proof.\n"
            "Wait for their next proof, or replace them now with --silent"
        )
    return "nothing is lost"


def _kept(kept: Any, text: str) -> None:
    data = {
        "agreements": kept.agreements,
        "terminated": kept.terminated,
        "failed": kept.failed,
        "end": kept.end,
        "cost_wei": kept.cost,
        "transactions": kept.transactions,
        "moved": kept.moved,
    }
    for identity, reason in kept.failed.items():
        note(f"agreement {identity[:12]}…: {reason}")
    emit(data, text)
    if kept.failed:
        raise typer.Exit(3)


@app.command()
def repair(
    cap: Annotated[str | None, typer.Argument(help="A cap, or the name of one of your objects.")] = None,
    max_price: MaxPrice = None,
    silent: Annotated[
        bool, typer.Option("--silent", help="Also replace shards of nodes that are silent but missed no proof.")
    ] = False,
    give: Annotated[
        str | None, typer.Option(help="Write an order to this file that lets somebody else repair it, and stop.")
    ] = None,
    budget: Annotated[str, typer.Option(help="With --give: HOLE he may spend beyond what lost deals give back.")] = "1",
    order: Annotated[str | None, typer.Option(help="Repair by the owner's order in this file, with your key.")] = None,
) -> None:
    """Restore lost shards on new nodes: the same bytes under the same CIDs.

    Example: blackhole storage repair film.mp4

    Example: blackhole storage repair film.mp4 --give order.json --budget 2

    Example: blackhole storage repair --order order.json
    """
    import json
    from pathlib import Path

    from blackhole.errors import InputError, UsageError
    from blackhole.paths import write_private
    from blackhole.storage.repair import RepairOrder

    if (cap is None) == (order is None):
        raise UsageError("Name a cap, or an order with --order FILE.", hint="See blackhole storage repair --help.")
    with connect() as blackhole:
        if give is not None and cap is not None:
            signed = blackhole.storage.repair_order(cap, budget=amount(budget))
            write_private(Path(give), json.dumps(signed.to_json(), indent=2).encode() + b"\n")
            emit(
                {"order": give},
                f"wrote {give}: give it to a repairer in secret; it reads nothing, but spends the budget",
            )
            return
        if order is not None:
            try:
                raw = json.loads(Path(order).read_text())
            except (OSError, ValueError) as error:
                raise InputError(f"{order} holds no repair order.", hint="Ask the owner for it again.") from error
            done = blackhole.storage.repair_by_order(RepairOrder.from_json(raw))
        else:
            assert cap is not None
            limit = amount(max_price) if max_price is not None else None
            if limit is None:
                confirm("Repair it at whatever new nodes ask?", limit=True)
            done = blackhole.storage.repair(cap, max_price=limit, silent=silent)
    data = {
        "before": done.before.state,
        "restored": done.restored,
        "failed": done.failed,
        "cost_wei": done.cost,
        "read_micro": done.read_micro,
    }
    for which, reason in done.failed.items():
        note(f"shard {which}: {reason}")
    emit(data, _repaired_text(done))
    if done.failed:
        raise typer.Exit(3)
