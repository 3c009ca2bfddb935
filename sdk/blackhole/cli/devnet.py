"""`blackhole devnet`: a whole network of real processes on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackhole.cli import output
from blackhole.cli.context import current

if TYPE_CHECKING:
    from blackhole.devnet.handle import Devnet

app = typer.Typer(
    epilog="Examples: blackhole devnet up --detach; blackhole devnet kill 3; blackhole devnet down",
)

Periods = Annotated[int, typer.Argument(min=1, help="How many periods to end.")]
Node = Annotated[int, typer.Argument(min=1, help="Id of the node, see blackhole devnet status.")]


def _devnet() -> Devnet:
    """The devnet of this folder or of $BLACKHOLE_DEVNET, else the one whose network this shell has selected."""
    from pathlib import Path

    from blackhole.devnet.folder import RunFolder
    from blackhole.devnet.handle import Devnet

    run, selected = RunFolder.default(), current().network
    if not run.path.exists() and not RunFolder.named() and selected is not None:
        place = Path(selected).absolute()
        beside = RunFolder(place if place.is_dir() else place.parent)
        if beside.state.exists():
            run = beside
    return Devnet(run)


@app.command()
def up(
    nodes: Annotated[int, typer.Option(min=0, help="Storage nodes.")] = 18,
    profile: Annotated[str, typer.Option(help="Erasure profile the network is meant for.")] = "dev",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when it is ready; it runs on.")] = False,
    rpc: Annotated[
        str | None, typer.Option(help="JSON-RPC address of your own chain; BLACKHOLE_KEY_FILE names who pays there.")
    ] = None,
    pace: Annotated[float, typer.Option(min=0, help="A period lasts at least so many seconds.")] = 10.0,
) -> None:
    """Start chain, contracts, funded accounts and nodes. Ctrl-C or `down` ends them and removes the run folder.

    Example: blackhole devnet up --nodes 12 --detach
    """
    from blackhole.devnet.handle import Devnet
    from blackhole.devnet.settings import DevnetSettings
    from blackhole.storage.profiles import PROFILES

    if profile not in PROFILES:
        from blackhole.errors import InputError

        raise InputError(f"There is no profile {profile}.", hint=f"Choose one of: {', '.join(PROFILES)}.")
    settings = DevnetSettings(nodes=nodes, profile=profile, rpc=rpc, pace=pace)
    if current().dry_run:
        from blackhole.devnet.folder import RunFolder

        run = RunFolder.default().path
        output.would(f"start {output.count(nodes, 'node')} in {run}", run=str(run), nodes=nodes, profile=profile)
        return
    devnet = Devnet.up(settings, progress=lambda line: output.note(f"devnet: {line}"))
    try:
        result = {"run": str(devnet.folder.path), **devnet.status(), "payer_key": str(devnet.key_file("payer"))}
        output.emit(result, _welcome(devnet, result, nodes, profile))
        if not detach:
            _stay(devnet)
    except BaseException:
        if not detach:
            output.note("devnet: ending")
            devnet.down()
        raise


def _welcome(devnet: Devnet, result: dict[str, Any], nodes: int, profile: str) -> str:
    from blackhole.network import Network
    from blackhole.storage.profiles import PROFILES

    seconds = devnet.state().get("seconds", 0)
    lines = [f"{nodes} nodes are up after {seconds:.0f} s. Period {result['period']}, run folder {devnet.folder.path}."]
    if result["held"] is None:
        period = Network.load(devnet.network).period
        lines.append(f"The clock is that chain's own: a period lasts {period} s of block time.")
    need = PROFILES[profile].n
    if nodes < need:
        lines.append(f"Profile {profile} stores on {need} nodes: a put needs more nodes or another profile.")
    lines += ["", "In this shell:", f"  export BLACKHOLE_NETWORK={devnet.network}"]
    lines += [f"  export BLACKHOLE_KEY_FILE={devnet.key_file('payer')}", "Then:"]
    lines += ["  blackhole storage put FILE", "  blackhole devnet status", "  blackhole devnet down"]
    return "\n".join(lines)


def _stay(devnet: Devnet) -> None:
    """Wait for Ctrl-C, SIGTERM or the network's own end."""
    import signal
    import time

    from blackhole.errors import DevnetError

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, leave)
    try:
        while devnet.running:
            time.sleep(0.3)
    except KeyboardInterrupt:
        # Once is enough: what follows takes some seconds and must not be left half done.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        output.note("devnet: ending")
        devnet.down()
        return
    if devnet.state().get("phase") == "failed":
        error = devnet.state()["error"]
        devnet.down(keep=True)
        raise DevnetError(error["message"], hint=error["hint"])
    # Another shell said `down`.


@app.command()
def status() -> None:
    """What runs: period, clock, nodes, memory.

    Example: blackhole devnet status
    """
    found = _devnet().status()
    rows = [
        (row["node"], "running" if row["running"] else "stopped", row["endpoint"], output.size(row["memory_bytes"]))
        for row in found["nodes"]
    ]
    clock = {None: "not ours", True: "held", False: "running"}[found["held"]]
    head = (
        f"period {found['period']}, block {found['block']}, clock {clock}, {output.size(found['memory_bytes'])} in all"
    )
    output.emit(
        found, "\n".join([head, f"chain {found['rpc']}", output.table(["node", "", "endpoint", "memory"], rows)])
    )


@app.command()
def down(keep: Annotated[bool, typer.Option("--keep", help="Leave the run folder, for its logs.")] = False) -> None:
    """End everything of this run folder, also what a crash left, and remove the folder.

    Example: blackhole devnet down --keep
    """
    devnet = _devnet()
    if current().dry_run:
        running = devnet.processes()
        removed = "" if keep else f", then remove {devnet.folder.path}"
        output.would(f"end {len(running)} processes{removed}", running=running)
        return
    ended = devnet.down(keep=keep)
    text = f"Ended {len(ended)} processes." if ended else "Nothing was running."
    output.emit({"run": str(devnet.folder.path), "ended": ended}, text)


@app.command()
def faucet(
    address: Annotated[str, typer.Argument(help="Who gets it.")],
    hole: Annotated[str, typer.Option(help="HOLE to give.")] = "1000",
    gas: Annotated[
        str | None, typer.Option(help="Coins of the chain to give, for gas; by default what accounts start with.")
    ] = None,
) -> None:
    """Give an address HOLE and gas money.

    Example: blackhole devnet faucet 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --hole 500
    """
    from blackhole.chain.values import address as checked
    from blackhole.units import Tokens, format_tokens

    hole_wei, gas_wei = int(Tokens(hole)), None if gas is None else int(Tokens(gas))
    address = checked(address)
    if current().dry_run:
        coins = "as much gas money as accounts start with" if gas is None else f"{gas} for gas"
        output.would(f"give {address} {output.hole(hole_wei)} and {coins}", hole_wei=hole_wei, gas_wei=gas_wei)
        return
    given = _devnet().faucet(address, hole_wei=hole_wei, gas_wei=gas_wei)
    got = f"{output.hole(int(given['hole_wei']))} and {format_tokens(int(given['gas_wei']))} for gas"
    output.emit(given, f"{address} got {got}.")


@app.command()
def advance(
    periods: Periods = 1,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for proofs: they will be missed.")] = False,
) -> None:
    """End the current period when its proofs are in, and further ones.

    Example: blackhole devnet advance 3
    """
    devnet = _devnet()
    if current().dry_run:
        output.would(f"end {output.count(periods, 'period')}, now {devnet.status()['period']}", periods=periods)
        return
    steps = devnet.advance(periods, wait=not now)
    lines = []
    for step in steps:
        missed = f", without a proof of {', '.join(map(str, step['unproven']))}" if step["unproven"] else ""
        lines.append(f"period {step['period']} after {step['seconds']:.1f} s{missed}")
    output.emit({"steps": steps}, "\n".join(lines))


@app.command()
def kill(node: Node) -> None:
    """SIGKILL a node, as a power cut would.

    Example: blackhole devnet kill 3
    """
    devnet = _devnet()
    if current().dry_run:
        output.would(f"kill node {node}, pid {devnet.node(node).pid}", node=node)
        return
    devnet.kill(node)
    output.emit(
        {"node": node, "killed": True}, f"Node {node} is dead. It comes back with: blackhole devnet start {node}"
    )


@app.command()
def start(node: Node) -> None:
    """Start a node that was killed.

    Example: blackhole devnet start 3
    """
    devnet = _devnet()
    if current().dry_run:
        output.would(f"start node {devnet.node(node).node}", node=node)
        return
    pid = devnet.start(node)
    output.emit({"node": node, "pid": pid}, f"Node {node} runs again, pid {pid}.")
