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

from blackhole.cli.context import amount, connect, current, new_passphrase
from blackhole.cli.output import confirm, count, emit, hole, note, when, would
from blackhole.protocol import STORAGE

if TYPE_CHECKING:
    from blackhole.chain.bindings.stake_manager import Stake
    from blackhole.chain.bindings.storage_market import Ledger
    from blackhole.client import Blackhole
    from blackhole.node.config import Config
    from blackhole.node.folder import NodeFolder

app = typer.Typer(
    epilog="In this order: blackhole node init ~/node --endpoint https://HOST:4480; blackhole node register ~/node; "
    "blackhole node bond 1000 ~/node; blackhole node run ~/node. To leave: drain, exit, withdraw.",
)

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
    return connect(signs=signs, default=config.node.network or None)


def _ledger(blackhole: Blackhole, node: int) -> Ledger:
    """What the market knows of the node."""
    from blackhole.face import portal

    return portal().run(blackhole.chain.read(blackhole.connection.market.ledger_of(node)))


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
    listen: Annotated[
        str | None, typer.Option(help="Address the agent listens on; default: the endpoint's port, on all addresses.")
    ] = None,
    price: Wei = None,
    capacity: Capacity = None,
    egress: Egress = None,
) -> None:
    """Make a node's folder: configuration, TLS key, and a new hot key behind a passphrase.

    The passphrase is asked for, or read from the file named by BLACKHOLE_PASSPHRASE_FILE, here and by `run`.

    Example: blackhole node init ~/node --endpoint https://node.example:4480 --capacity 500 --price 0.02
    """
    from blackhole.node.config import Config, render
    from blackhole.node.folder import NodeFolder
    from blackhole.node.setup import init_folder, keystore_address

    port = endpoint.rpartition(":")[2]
    values: dict[str, Any] = {"api.listen": listen or f"0.0.0.0:{port if port.isdecimal() else 4480}"}
    if endpoint:
        values["api.endpoint"] = endpoint
    if (network := current().network or os.environ.get("BLACKHOLE_NETWORK")) is not None:
        path = Path(network).expanduser()
        values["node.network"] = str(path.absolute()) if path.exists() else network
    values |= _offer_values(price, capacity, egress, None)
    if current().dry_run:
        Config.parse(render(values))
        would(f"make a node in {folder}", folder=str(folder), settings={k: str(v) for k, v in values.items()})
        return
    passphrase = None if NodeFolder(folder).keystore.exists() else new_passphrase("the hot key")
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
            owner = blackhole.connection.account
            if not number:
                blackhole.registry.register.dry_run(manifest.digest(), config.api.endpoint)
            what = f"bring the registry up to date for node {number}" if number else "register a new node"
            would(
                f"{what}: {config.api.endpoint}, owner {owner}", signer=hot, endpoint=config.api.endpoint, owner=owner
            )
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
    wanted = configuration.changed(opened.config, values)
    settings = wanted.storage
    number, listed = config.node.id, settings.capacity_gib if settings.accept else 0
    data = {
        "node": number,
        "price_wei": settings.price_wei_per_gib_period,
        "capacity_gib": listed,
        "egress_micro_per_mib": settings.egress_micro_per_mib,
        "region": settings.region,
    }
    text = f"{listed} GiB at {hole(settings.price_wei_per_gib_period)} each a period"
    row = (number, STORAGE, settings.price_wei_per_gib_period, listed, settings.region)
    with _owner(config) as blackhole:
        now = blackhole.registry.offer(number, STORAGE)
        # A node that offers nothing is in no list, and its price there is nobody's business.
        same = (now.price, now.capacity, now.region) == row[2:] or now.capacity == listed == 0
        if not same:
            # Before anything is written: what the chain refuses must not stand in config.toml.
            blackhole.registry.set_offer.dry_run(*row)
        if current().dry_run:
            would(f"offer {text}", **data)
            return
        configuration.change(opened.config, values)
        if not same:
            blackhole.registry.set_offer(*row)
    running = _signal_agent(opened)
    if not running:
        note("No agent runs: it reads this when it starts, and then publishes the price of reads too.")
    elif not settings.accept:
        note("The node is draining: --capacity N takes deals again.")
    emit({**data, "agent_told": running}, f"node {number} offers {text}")


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
    wei = amount(value, least=1)
    _, config = _open(folder)
    with _owner(config) as blackhole:
        if current().dry_run:
            blackhole.staking.bond.dry_run(config.node.id, STORAGE, wei)
            would(f"bond {hole(wei)}", bond_wei=wei)
            return
        confirm(f"Bond {hole(wei)} to node {config.node.id}? It can leave 21 days after you ask for it.")
        blackhole.staking.bond(config.node.id, STORAGE, wei)
        stake = blackhole.staking.stake(config.node.id, STORAGE)
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
        would("run the agent", folder=str(opened.path))
        return
    passphrase = None
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if opened.keystore.exists() and PASSPHRASE_FILE_VARIABLE not in os.environ and terminal:
        passphrase = find_passphrase("Passphrase of the hot key: ")
    raise typer.Exit(run_agent(str(opened.path), passphrase))


@app.command()
def status(
    folder: Folder = HERE,
    earned: Annotated[
        bool, typer.Option("--earned", help="Also add up everything its payee was ever paid (reads the whole chain).")
    ] = False,
) -> None:
    """How the node is: its agent, stake, deals, next proof, income, gas; and what needs you, with the command for it.

    Exit code 0: all is well; 3: something needs you; 7: no agent runs.

    Example: blackhole node status ~/node
    """
    from blackhole.cli.node_status import agent_health, needs, on_chain, text

    opened, config = _open(folder)
    agent = agent_health(opened)
    with _owner(config, signs=False) as blackhole:
        chain = on_chain(blackhole, config.node.id, earned=earned)
    found = needs(agent, chain, config, opened)
    data = {"node": config.node.id, "folder": str(opened.path), "agent": agent, "chain": chain}
    data["alarms"] = [{"found": need.found, "mend": need.mend} for need in found]
    emit(data, text(agent, chain, config, found))
    raise typer.Exit(7 if agent is None else 3 if found else 0)


@app.command()
def drain(folder: Folder = HERE) -> None:
    """Take no new deals and no new bytes. What is stored is proven, served and paid until its agreements end.

    `node offer --capacity N` takes deals again.

    Example: blackhole node drain ~/node
    """
    from blackhole.node import config as configuration

    opened, config = _open(folder)
    settings = config.storage
    running = opened.read_status() is not None
    row = (config.node.id, STORAGE, settings.price_wei_per_gib_period, 0, settings.region)
    with _owner(config, signs=not running) as blackhole:
        ledger = _ledger(blackhole, config.node.id)
        left = f"{count(ledger.count_, 'agreement')} left" if ledger.count_ else "nothing left: blackhole node exit"
        data = {"node": config.node.id, "agreements": ledger.count_, "leaves": ledger.leaves}
        if current().dry_run:
            would(f"take no new deals; {left}", **data)
            return
        configuration.change(opened.config, {"storage.accept": False})
        # A running agent publishes it with its own key.
        told = running and _signal_agent(opened)
        if not told and blackhole.registry.offer(config.node.id, STORAGE).capacity:
            blackhole.registry.set_offer(*row)
    emit({**data, "agent_told": told}, f"node {config.node.id} takes no new deals; {left}")


@app.command(name="exit")
def exit_(
    folder: Folder = HERE,
    value: Annotated[str | None, typer.Option("--amount", help="HOLE; default: all that is free.")] = None,
) -> None:
    """Ask for stake back. It may be withdrawn 21 days later; asking again starts the days anew.

    Example: blackhole node exit ~/node
    """
    from blackhole.errors import InputError, InsufficientFunds

    _, config = _open(folder)
    with _owner(config) as blackhole:
        free = blackhole.staking.free(config.node.id, STORAGE)
        wei = free if value is None else amount(value, least=1)
        if not wei:
            stake = blackhole.staking.stake(config.node.id, STORAGE)
            if stake.exiting and not stake.active:
                raise InputError(
                    f"All of it is on its way out already: {_leaving(stake)}.", hint="Then run: blackhole node withdraw"
                )
            raise InputError(
                f"None of {hole(stake.active)} is free.",
                hint="Agreements reserve it: run blackhole node drain and wait until they end."
                if stake.active
                else "There is nothing to ask back.",
            )
        if wei > free:
            hint = "Ask for at most what is free; agreements reserve the rest until they end."
            raise InsufficientFunds(f"free stake of node {config.node.id}", have=free, need=wei, hint=hint)
        if current().dry_run:
            blackhole.staking.request_exit.dry_run(config.node.id, STORAGE, wei)
            would(f"ask {hole(wei)} back", exit_wei=wei)
            return
        confirm(f"Ask {hole(wei)} of node {config.node.id}'s stake back? It backs no new deals from now on.")
        blackhole.staking.request_exit(config.node.id, STORAGE, wei)
        bound = _ledger(blackhole, config.node.id).count_
        stake = blackhole.staking.stake(config.node.id, STORAGE)
    if bound:
        note("The node keeps proving what it has agreed to: let the agent run until its agreements are closed.")
    data = {"exiting_wei": stake.exiting, "exit_at": stake.exit_at}
    emit(data, _leaving(stake))


@app.command()
def withdraw(
    folder: Folder = HERE,
    to: Annotated[str | None, typer.Option(help="Who gets it; default: you.")] = None,
) -> None:
    """Take out stake whose 21 days are over.

    Example: blackhole node withdraw ~/node
    """
    from blackhole.errors import InputError
    from blackhole.face import portal

    _, config = _open(folder)
    with _owner(config) as blackhole:
        stake = blackhole.staking.stake(config.node.id, STORAGE)
        if not stake.exiting:
            raise InputError("No stake is on its way out.", hint="Ask for it first: blackhole node exit")
        if portal().run(blackhole.chain.block("latest")).timestamp < stake.exit_at:
            raise InputError(
                f"It is too early: {_leaving(stake)}.",
                hint="Run it again then. A claim against the node may delay it by at most 14 days.",
                data={"exiting_wei": str(stake.exiting), "exit_at": stake.exit_at},
            )
        if current().dry_run:
            blackhole.staking.withdraw.dry_run(config.node.id, STORAGE, to)
            would(f"withdraw {hole(stake.exiting)}", withdraw_wei=stake.exiting, to=to or blackhole.connection.account)
            return
        wei = blackhole.staking.withdraw(config.node.id, STORAGE, to)
    emit({"withdrawn_wei": wei}, f"withdrew {hole(wei)}")


def _leaving(stake: Stake) -> str:
    return f"{hole(stake.exiting)} may be withdrawn from {when(stake.exit_at)} on"
