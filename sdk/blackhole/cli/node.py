"""`blackhole node`: make, register, run and leave a node.

`run` is the agent and uses the folder's hot key. `register`, `offer`, `bond`, `exit` and `withdraw` are the owner's and
use the key of this command line; that key never gets into the agent.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackhole.cli.context import amount, current, signer
from blackhole.cli.output import confirm, emit, hole, note, table

if TYPE_CHECKING:
    from blackhole.chain.bindings.storage_market import Ledger
    from blackhole.client import Blackhole
    from blackhole.node.config import Config
    from blackhole.node.folder import NodeFolder

app = typer.Typer(
    epilog="In this order: blackhole node init; node register; node bond 1000; node run",
)

SERVICE = 1
"""Id of storage."""

Folder = Annotated[Path, typer.Argument(envvar="BLACKHOLE_NODE", help="The node's folder.")]
Wei = Annotated[str | None, typer.Option(help="HOLE a GiB and period.")]
Capacity = Annotated[int | None, typer.Option(min=0, help="GiB offered.")]
Egress = Annotated[int | None, typer.Option(min=0, help="Price of reads, micro-HOLE a MiB.")]
HERE = Path(".")


def _open(path: Path, *, registered: bool = True) -> tuple[NodeFolder, Config]:
    from blackhole.errors import InputError
    from blackhole.node.config import Config
    from blackhole.node.folder import NodeFolder

    folder = NodeFolder(path)
    folder.require()
    config = Config.load(folder.config)
    if registered and not config.node.id:
        raise InputError("This node is not registered yet.", hint=f"Run: blackhole node register {folder.path}")
    return folder, config


def _owner(config: Config, *, signs: bool = True) -> Blackhole:
    """The network of --network, else the node's own, with the key of this command."""
    from blackhole.client import Blackhole

    return Blackhole(current().network or config.node.network or None, signer(required=signs))


def _ledger(blackhole: Blackhole, node: int) -> Ledger:
    """What the market knows of the node."""
    from blackhole.face import portal

    return portal().run(blackhole.chain.read(blackhole.connection.market.ledger_of(node)))


def _dry(what: str, **data: Any) -> None:
    emit({"dry_run": True, **data}, f"would {what}")


def _signal_agent(folder: NodeFolder) -> bool:
    """Let a running agent read its configuration again."""
    status = folder.read_status()
    if status is None:
        return False
    os.kill(status.pid, signal.SIGHUP)
    return True


@app.command()
def init(
    folder: Folder = HERE,
    endpoint: Annotated[str, typer.Option(help="https://host:port clients reach the node under.")] = "",
    listen: Annotated[str, typer.Option(help="Address the agent listens on.")] = "0.0.0.0:4480",
    price: Wei = None,
    capacity: Capacity = None,
    egress: Egress = None,
) -> None:
    """Make a node's folder: configuration, TLS key, and a new hot key behind a passphrase.

    The passphrase is asked for, or read from the file named by BLACKHOLE_PASSPHRASE_FILE, here and by `run`.

    Example: blackhole node init ~/node --endpoint https://node.example:4480 --capacity 500 --price 0.02
    """
    from blackhole.chain.signers import find_passphrase
    from blackhole.node.folder import NodeFolder
    from blackhole.node.setup import init_folder, keystore_address

    values: dict[str, Any] = {"api.listen": listen}
    if endpoint:
        values["api.endpoint"] = endpoint
    if (network := current().network or os.environ.get("BLACKHOLE_NETWORK")) is not None:
        path = Path(network).expanduser()
        values["node.network"] = str(path.absolute()) if path.exists() else network
    values |= _offer_values(price, capacity, egress, None)
    if current().dry_run:
        _dry(f"make a node in {folder}", folder=str(folder), settings={k: str(v) for k, v in values.items()})
        return
    passphrase = None if NodeFolder(folder).keystore.exists() else find_passphrase("Passphrase of the hot key: ")
    made = init_folder(folder, values, passphrase=passphrase)
    address = keystore_address(made.keystore)
    text = (
        f"node folder: {made.path}\nhot key: {address} (send it some of the chain's coin: it pays the agent's gas)\n"
        f"next: blackhole node register {made.path}"
    )
    emit({"folder": str(made.path), "signer": address, "config": str(made.config)}, text)


@app.command()
def register(
    folder: Folder = HERE,
    payee: Annotated[str | None, typer.Option(help="Who is paid for new deals; default: you.")] = None,
    adopt: Annotated[
        int | None, typer.Option("--node", min=1, help="A node you registered before, instead of a new one.")
    ] = None,
) -> None:
    """Register the node with your own key as its owner, and name the folder's hot key as its signer.

    Run again after a change of endpoint or keys: it publishes what differs and nothing else.

    Example: blackhole node register ~/node
    """
    from blackhole.errors import InputError
    from blackhole.node import config as configuration
    from blackhole.node.setup import keystore_address, make_manifest

    opened, config = _open(folder, registered=False)
    if not config.api.endpoint:
        raise InputError(
            "The node has no endpoint yet.",
            hint="Set api.endpoint in config.toml to https://host:port as clients reach it.",
        )
    manifest = make_manifest(opened, config, config.api.endpoint)
    hot = keystore_address(opened.keystore)
    number = adopt or config.node.id
    with _owner(config) as blackhole:
        if hot == blackhole.connection.account:
            raise InputError(
                "The hot key and the owner's key are the same.",
                hint="Use another key as owner: whoever breaks into the agent would own the node.",
            )
        if current().dry_run:
            if not number:
                blackhole.registry.register.dry_run(manifest.digest(), config.api.endpoint)
            _dry("register the node", signer=hot, endpoint=config.api.endpoint, owner=blackhole.connection.account)
            return
        if not number:
            number = blackhole.registry.register(manifest.digest(), config.api.endpoint)
        # At once: a command that is interrupted here goes on with this node.
        configuration.change(opened.config, {"node.id": number})
        node = blackhole.registry.node(number)
        if node.manifest != manifest.digest() or node.endpoint != config.api.endpoint:
            blackhole.registry.set_manifest(number, manifest.digest(), config.api.endpoint)
        if node.signer != hot or (payee is not None and node.payee.lower() != payee.lower()):
            keep = node.payee if node.payee != node.owner else None
            blackhole.registry.set_keys(number, hot, payee if payee is not None else keep)
        data = {"node": number, "owner": node.owner, "signer": hot, "endpoint": config.api.endpoint}
    emit(data, f"node {number} is registered\nnext: blackhole node bond 1000 {opened.path}")


@app.command()
def offer(
    folder: Folder = HERE,
    price: Wei = None,
    capacity: Capacity = None,
    egress: Egress = None,
    region: Annotated[int | None, typer.Option(min=0, help="ISO 3166-1 numeric country.")] = None,
) -> None:
    """Change price or capacity, in config.toml and in the registry; a running agent takes them at once.

    Deals that are signed keep their price.

    Example: blackhole node offer ~/node --price 0.015 --capacity 800
    """
    from blackhole.node import config as configuration

    opened, config = _open(folder)
    values = _offer_values(price, capacity, egress, region) | ({"storage.accept": True} if capacity else {})
    if current().dry_run:
        _dry("change the offer", node=config.node.id, settings={k: str(v) for k, v in values.items()})
        return
    if values:
        config = configuration.change(opened.config, values)
    settings = config.storage
    with _owner(config) as blackhole:
        blackhole.registry.set_offer(
            config.node.id, SERVICE, settings.price_wei_per_gib_period, settings.capacity_gib, settings.region
        )
    running = _signal_agent(opened)
    data = {
        "node": config.node.id,
        "price_wei": settings.price_wei_per_gib_period,
        "capacity_gib": settings.capacity_gib,
        "egress_micro_per_mib": settings.egress_micro_per_mib,
        "agent_told": running,
    }
    price_text = hole(settings.price_wei_per_gib_period)
    text = f"node {config.node.id} offers {settings.capacity_gib} GiB at {price_text} each a period"
    emit(data, text + ("" if running else "; no agent runs, it reads this when it starts"))


def _offer_values(price: str | None, capacity: int | None, egress: int | None, region: int | None) -> dict[str, Any]:
    given = {
        "storage.price_wei_per_gib_period": None if price is None else amount(price),
        "storage.capacity_gib": capacity,
        "storage.egress_micro_per_mib": egress,
        "storage.region": region,
    }
    return {key: value for key, value in given.items() if value is not None}


@app.command()
def bond(value: Annotated[str, typer.Argument(help='HOLE, for example "1000".')], folder: Folder = HERE) -> None:
    """Add to the node's stake. Deals reserve it, missed proofs cost some of it; it leaves 21 days after `exit`.

    Example: blackhole node bond 1000 ~/node
    """
    wei = amount(value)
    _, config = _open(folder)
    with _owner(config) as blackhole:
        if current().dry_run:
            blackhole.staking.bond.dry_run(config.node.id, SERVICE, wei)
            _dry(f"bond {hole(wei)}", bond_wei=wei)
            return
        confirm(f"Bond {hole(wei)} to node {config.node.id}? It can leave 21 days after you ask for it.")
        blackhole.staking.bond(config.node.id, SERVICE, wei)
        stake = blackhole.staking.stake(config.node.id, SERVICE)
    emit({"bonded_wei": wei, "active_wei": stake.active}, f"bonded {hole(wei)}; {hole(stake.active)} active")


@app.command()
def run(folder: Folder = HERE) -> None:
    """Run the agent in this terminal until Ctrl-C or SIGTERM: it then drains, redeems its vouchers and ends.

    Logs are JSON lines on stderr; health and metrics are on the loopback address of `node status`.

    Example: blackhole node run ~/node
    """
    import sys

    from blackhole.chain.signers import PASSPHRASE_FILE_VARIABLE, find_passphrase
    from blackhole.node.supervisor import run as run_agent

    opened, _ = _open(folder)
    if current().dry_run:
        _dry("run the agent", folder=str(opened.path))
        return
    passphrase = None
    if opened.keystore.exists() and PASSPHRASE_FILE_VARIABLE not in os.environ and sys.stdin.isatty():
        passphrase = find_passphrase("Passphrase of the hot key: ")
    raise typer.Exit(run_agent(str(opened.path), passphrase))


@app.command()
def status(folder: Folder = HERE) -> None:
    """What the chain knows of the node, and what its agent says of itself.

    Exit code 0: all is well; 3: it runs, but something needs you; 7: no agent runs.

    Example: blackhole node status ~/node --json
    """
    opened, config = _open(folder)
    agent = _agent_health(opened)
    with _owner(config, signs=False) as blackhole:
        chain = _on_chain(blackhole, config)
    data = {"node": config.node.id, "folder": str(opened.path), "agent": agent, "chain": chain}
    plugin = (agent or {}).get("plugins", {}).get("storage", {})
    rows: list[tuple[str, object]] = [
        ("agent", "not running" if agent is None else f"pid {agent['pid']}, {plugin.get('state')}"),
        ("endpoint", chain["endpoint"]),
        ("stake", f"{hole(chain['active_wei'])}, {hole(chain['reserved_wei'])} of it reserved"),
        ("agreements", f"{chain['agreements']} with {chain['leaves'] / 2**20:.3f} GiB"),
        ("misses in a row", chain["misses"]),
        ("last period proven", chain["last_proven"] or "-"),
        ("earned, in the bank", hole(chain["payee_balance_wei"])),
        ("gas of the hot key", f"{chain['signer_gas_wei'] / 1e18:.6f}"),
    ]
    alarms = _alarms(agent, plugin, chain, config)
    data["alarms"] = alarms
    emit(data, "\n".join([table([f"NODE {config.node.id}", ""], rows), *(f"! {line}" for line in alarms)]))
    raise typer.Exit(7 if agent is None else 3 if alarms else 0)


def _agent_health(folder: NodeFolder) -> dict[str, Any] | None:
    """What the agent's loopback server says; None when no agent runs."""
    import json
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    found = folder.read_status()
    if found is None:
        return None
    try:
        with urlopen(f"http://{found.health}/health", timeout=5) as response:
            body: dict[str, Any] = json.load(response)
    except HTTPError as error:
        # 503 carries the same page: something in it is not well.
        body = json.loads(error.read())
    except (URLError, OSError, ValueError):
        return {"pid": found.pid, "ok": False, "plugins": {}}
    return body


def _on_chain(blackhole: Blackhole, config: Config) -> dict[str, Any]:
    from blackhole.face import portal

    number = config.node.id
    node = blackhole.registry.node(number)
    stake = blackhole.staking.stake(number, SERVICE)
    listed = blackhole.registry.offer(number, SERVICE)
    ledger = _ledger(blackhole, number)
    return {
        "owner": node.owner,
        "signer": node.signer,
        "payee": node.payee,
        "endpoint": node.endpoint,
        "price_wei": listed.price,
        "capacity_gib": listed.capacity,
        "active_wei": stake.active,
        "reserved_wei": stake.reserved,
        "exiting_wei": stake.exiting,
        "frozen_wei": stake.frozen,
        "exit_at": stake.exit_at,
        "agreements": ledger.count_,
        "leaves": ledger.leaves,
        "misses": ledger.misses,
        "last_proven": ledger.last_proven,
        "ended_at": ledger.ended_at,
        "payee_balance_wei": blackhole.escrow.balance(node.payee),
        "signer_gas_wei": portal().run(blackhole.chain.balance(node.signer)),
    }


def _alarms(agent: dict[str, Any] | None, plugin: dict[str, Any], chain: dict[str, Any], config: Config) -> list[str]:
    lines = []
    if agent is None:
        lines.append("no agent runs: proofs are missed, and missed proofs cost stake (blackhole node run)")
    elif not plugin.get("ok"):
        error = plugin.get("error", {})
        lines.append(f"the storage plugin is {plugin.get('state', 'unknown')}: {error.get('message', 'see the log')}")
    if chain["signer_gas_wei"] < config.chain.gas_alarm_wei:
        lines.append(f"the hot key {chain['signer']} runs out of gas: send it some of the chain's coin")
    if chain["misses"]:
        lines.append(f"{chain['misses']} proofs in a row were missed; the third costs stake, the tenth all of it")
    if chain["ended_at"]:
        lines.append("the node has ended after ten misses: its agreements are being closed")
    if plugin.get("unprovable_periods"):
        lines.append(f"periods {plugin['unprovable_periods']} cannot be proven: stored bytes are missing or damaged")
    return lines


@app.command()
def drain(folder: Folder = HERE) -> None:
    """Take no new deals and no new bytes. What is stored is proven, served and paid until its agreements end.

    `node offer --capacity N` takes deals again.

    Example: blackhole node drain ~/node
    """
    from blackhole.node import config as configuration

    opened, config = _open(folder)
    if current().dry_run:
        _dry("take no new deals", node=config.node.id)
        return
    config = configuration.change(opened.config, {"storage.accept": False})
    running = _signal_agent(opened)
    with _owner(config, signs=not running) as blackhole:
        if not running:
            settings = config.storage
            blackhole.registry.set_offer(config.node.id, SERVICE, settings.price_wei_per_gib_period, 0, settings.region)
        ledger = _ledger(blackhole, config.node.id)
    data = {"node": config.node.id, "agreements": ledger.count_, "leaves": ledger.leaves, "agent_told": running}
    left = f"{ledger.count_} agreements are left" if ledger.count_ else "nothing is left: blackhole node exit"
    emit(data, f"node {config.node.id} takes no new deals; {left}")


@app.command(name="exit")
def exit_(
    folder: Folder = HERE,
    value: Annotated[str | None, typer.Option("--amount", help="HOLE; default: all that is free.")] = None,
) -> None:
    """Ask for stake back. It may be withdrawn 21 days later; asking again starts the days anew.

    Example: blackhole node exit ~/node
    """
    from blackhole.errors import InputError

    _, config = _open(folder)
    with _owner(config) as blackhole:
        free = blackhole.staking.free(config.node.id, SERVICE)
        wei = free if value is None else amount(value)
        if not wei:
            raise InputError(
                "No stake is free.", hint="Agreements reserve it: run blackhole node drain and wait until they end."
            )
        if current().dry_run:
            blackhole.staking.request_exit.dry_run(config.node.id, SERVICE, wei)
            _dry(f"ask {hole(wei)} back", exit_wei=wei)
            return
        confirm(f"Ask {hole(wei)} of node {config.node.id}'s stake back? It backs no new deals from now on.")
        blackhole.staking.request_exit(config.node.id, SERVICE, wei)
        stake = blackhole.staking.stake(config.node.id, SERVICE)
    note("The node keeps proving what it has agreed to: let the agent run until its agreements are closed.")
    data = {"exiting_wei": stake.exiting, "exit_at": stake.exit_at}
    emit(data, f"{hole(stake.exiting)} may be withdrawn from {_when(stake.exit_at)} on")


@app.command()
def withdraw(
    folder: Folder = HERE,
    to: Annotated[str | None, typer.Option(help="Who gets it; default: you.")] = None,
) -> None:
    """Take out stake whose 21 days are over.

    Example: blackhole node withdraw ~/node
    """
    _, config = _open(folder)
    with _owner(config) as blackhole:
        if current().dry_run:
            blackhole.staking.withdraw.dry_run(config.node.id, SERVICE, to)
            _dry("withdraw the stake", to=to or blackhole.connection.account)
            return
        wei = blackhole.staking.withdraw(config.node.id, SERVICE, to)
    emit({"withdrawn_wei": wei}, f"withdrew {hole(wei)}")


def _when(timestamp: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")
