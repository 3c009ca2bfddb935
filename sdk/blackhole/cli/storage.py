"""`blackhole storage`: store files, read them back, keep them healthy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackhole.cli.context import amount, connect, current
from blackhole.cli.output import Progress, confirm, count, detail, emit, hole, note, size, table, would
from blackhole.cli.storage_text import lasting, quote_data, quote_text, repaired_text, status_data, status_text
from blackhole.errors import PriceTooHigh, UsageError
from blackhole.protocol import MICRO

if TYPE_CHECKING:
    from blackhole.client import Blackhole
    from blackhole.storage.repair_order import Repaired
    from blackhole.storage.types import Fetched
    from blackhole.storage.upkeep import Kept

app = typer.Typer(
    epilog="Examples: blackhole storage quote film.mp4; blackhole storage put film.mp4 --max-price 5; "
    "blackhole storage get film.mp4 -o back.mp4",
)

FREE_TO_SPEND = 10**18
"""wei. Up to this a command does not ask."""

File = Annotated[str, typer.Argument(help='The file; "-" reads stdin.')]
Cap = Annotated[
    str,
    typer.Argument(
        help='The name of one of your objects, or a cap (bh1…). "@FILE" reads the cap from a file, "@-" from stdin: '
        "others can see a command line, and whoever sees a cap reads the object."
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        help="std: 20 of 40 shards restore it; dev: 3 of 10. Default: the network's, else std.",
        autocompletion=lambda: ["std", "dev", "dc", "wide"],
    ),
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
MaxPrice = Annotated[str | None, typer.Option(help="HOLE that may be spent at most; then nobody is asked.")]


def _a_little_more(price: int) -> int:
    """The limit of what was quoted at `price` and is bought a moment later (wei)."""
    return price + price // 100


def _cap(text: str) -> str:
    """A cap or name as it was given; "@FILE" is the cap in that file, "@-" the one on stdin."""
    if not text.startswith("@"):
        return text
    from blackhole.errors import InputError

    try:
        return (sys.stdin.readline() if text == "@-" else Path(text[1:]).expanduser().read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"There is no cap in {text[1:]}.", hint='Write it into a file, one line: "@FILE".') from error


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
    with connect() as blackhole:
        what: str | int = int(file) if file.isdecimal() and not Path(file).exists() else file
        found = blackhole.storage.quote(what, profile=profile, periods=periods, align=align)
        how_long = lasting(blackhole, found.periods)
    emit(quote_data(found), quote_text(found, how_long, explain=explain))


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
        how_long = lasting(blackhole, periods)
        if current().dry_run or (limit is None and not current().yes and file != "-"):
            found = blackhole.storage.quote(file, profile=profile, periods=periods, align=align)
            if current().dry_run:
                would("store it:\n" + quote_text(found, how_long, explain=False), **quote_data(found))
                return
            if found.total > FREE_TO_SPEND:
                confirm(f"Lock {hole(found.total)} for {found.periods} periods, {how_long}?", limit=True)
            limit = _a_little_more(found.total)
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
    note(f"stored {stored.name} ({size(stored.size)}) until period {stored.end}, {how_long}, for {hole(stored.cost)}")
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
    max_price: Annotated[
        str | None, typer.Option(help="HOLE that may be paid at most; without it you are asked above 1 HOLE.")
    ] = None,
) -> None:
    """Read an object and pay its nodes for what was verified. The file appears once its last byte is.

    Example: blackhole storage get @film.cap -o film.mp4

    Example: blackhole storage get film.mp4 -o - --start 1000000 --length 4096 | xxd
    """
    cap = _cap(cap)
    limit = amount(max_price) if max_price is not None else None if current().yes else FREE_TO_SPEND
    with connect() as blackhole:
        if current().dry_run:
            found = blackhole.storage.read_quote(cap, start=start, length=length)
            nodes = ", ".join(map(str, found.nodes)) or "-"
            text = f"read {size(found.size)} from nodes {nodes} for about {hole(found.total)}"
            would(text, bytes=found.size, nodes=found.nodes, total_wei=found.total)
            return
        where = output if output is not None else _own_name(blackhole, cap)
        if where == "-" and current().json:
            raise UsageError("stdout holds the object or the JSON, not both.", hint="Leave --json out, or use -o FILE.")
        target: Any = sys.stdout.buffer if where == "-" else where

        def read(most: int | None) -> Fetched:
            with Progress(f"reading {where}") as progress:
                return blackhole.storage.get(
                    cap, target, start=start, length=length, overwrite=overwrite, max_price=most, progress=progress
                )

        try:
            done = read(limit)
        except PriceTooHigh as error:
            if max_price is not None or where == "-":
                raise
            price = int(str(error.data["price_wei"]))
            confirm(f"Reading it costs {hole(price)}. Pay it?", limit=True)
            done = read(_a_little_more(price))
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
    text = f"read {size(done.size)} for {hole(done.spent_micro * MICRO)}"
    if where == "-":
        note(text)
    else:
        emit(data, f"{text} into {done.path}")


def _own_name(blackhole: Blackhole, cap: str) -> str:
    """What the own list calls the object. Raises UsageError when it is not there, CapError when it is no cap at all."""
    own = [entry for entry in blackhole.storage.ls() if cap in {entry.cap, entry.name, entry.manifest}]
    if not own:
        from blackhole.storage.caps import read_cap

        read_cap(cap, chain_id=blackhole.network.chain_id)
        raise UsageError("This object has no name here.", hint="Say where to: -o FILE, or -o - for stdout.")
    return own[-1].name


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
        found = blackhole.storage.status(_cap(cap), audit=audit)
    emit(status_data(found), status_text(found, cap, rows=current().verbose > 0))
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@app.command()
def renew(cap: Cap, periods: Periods = 30, max_price: MaxPrice = None) -> None:
    """Pay an object for more periods, at its nodes' present price.

    Example: blackhole storage renew film.mp4 --periods 90 --max-price 5
    """
    limit = amount(max_price) if max_price is not None else None
    cap = _cap(cap)
    with connect() as blackhole:
        if current().dry_run or (limit is None and not current().yes):
            found = blackhole.storage.renew_quote(cap, periods)
            text = f"renew {count(len(found.agreements), 'agreement')} until period {found.end} for {hole(found.total)}"
            if current().dry_run:
                would(
                    text,
                    agreements=found.agreements,
                    end=found.end,
                    total_wei=found.total,
                    failed=found.failed,
                )
                return
            if found.total > FREE_TO_SPEND:
                confirm(f"{text[0].upper()}{text[1:]}?", limit=True)
            limit = _a_little_more(found.total)
        kept = blackhole.storage.renew(cap, periods, max_price=limit)
    text = f"renewed {count(len(kept.agreements), 'agreement')} until period {kept.end} for {hole(kept.cost)}"
    if kept.moved:
        text += (
            f"; {count(len(kept.moved), 'shard')} moved, because other files in their agreements are not paid longer:"
            " what those held for them comes back when they close"
        )
    _kept(kept, text)


@app.command()
def remove(cap: Cap) -> None:
    """Give an object up: its nodes drop it, what is not used of its money comes back when its agreements close.

    Example: blackhole storage remove film.mp4
    """
    cap = _cap(cap)
    with connect() as blackhole:
        if current().dry_run:
            found = blackhole.storage.status(cap, audit=False)
            holding = sorted({row.node for row in found.rows if row.node is not None})
            text = f"give up what {count(len(holding), 'node')} hold, paid until period {found.paid_until}"
            would(text, nodes=holding, paid_until=found.paid_until)
            return
        confirm("Remove it? Nobody can read it any more, not even you.")
        kept = blackhole.storage.remove(cap)
    text = f"gave up {count(len(kept.agreements), 'agreement')}"
    if kept.terminated:
        text += f"; {count(len(kept.terminated), 'node')} did not sign and got notice"
    _kept(kept, text)


def _kept(kept: Kept, text: str) -> None:
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
    if (cap is None) == (order is None):
        raise UsageError("Name a cap, or an order with --order FILE.", hint="See blackhole storage repair --help.")
    with connect() as blackhole:
        if order is not None:
            from blackhole.storage.repairer import load_order

            given = load_order(Path(order))
            if current().dry_run:
                text = f"repair by the order in {order}, spending at most {hole(given.policy.budget)}"
                would(text, order=order, budget_wei=given.policy.budget)
                return
            _repaired(blackhole.storage.repair_by_order(given))
            return
        assert cap is not None
        cap = _cap(cap)
        if give is not None:
            _give_order(blackhole, cap, Path(give), amount(budget))
            return
        limit = amount(max_price) if max_price is not None else None
        if current().dry_run or (limit is None and not current().yes):
            found = blackhole.storage.repair_quote(cap, silent=silent)
            reading = found.read_micro * MICRO
            text = f"restore {count(len(found.lost), 'shard')} for {hole(found.total)}, and {hole(reading)} for reading"
            if current().dry_run:
                would(
                    text,
                    lost=[list(each) for each in found.lost],
                    nodes=found.nodes,
                    total_wei=found.total,
                    read_micro=found.read_micro,
                )
                return
            if found.total > FREE_TO_SPEND:
                confirm(f"{text[0].upper()}{text[1:]}?", limit=True)
            limit = _a_little_more(found.total)
        done = blackhole.storage.repair(cap, max_price=limit, silent=silent)
    _repaired(done)


def _give_order(blackhole: Blackhole, cap: str, path: Path, budget: int) -> None:
    """Write an order for a repairer."""
    import json

    from blackhole.paths import write_private

    if current().dry_run:
        would(f"write an order with a budget of {hole(budget)} into {path}", order=str(path), budget_wei=budget)
        return
    signed = blackhole.storage.repair_order(cap, budget=budget)
    write_private(path, json.dumps(signed.to_json(), indent=2).encode() + b"\n")
    text = f"wrote {path}: give it to a repairer in secret; it reads nothing, but spends the budget"
    emit({"order": str(path)}, text)


def _repaired(done: Repaired) -> None:
    data = {
        "before": done.before.state,
        "restored": done.restored,
        "failed": done.failed,
        "cost_wei": done.cost,
        "read_micro": done.read_micro,
    }
    for which, reason in done.failed.items():
        note(f"shard {which}: {reason}")
    emit(data, repaired_text(done))
    if done.failed:
        raise typer.Exit(3)
