"""`blackhole doctor`: what is wrong here, and for each finding the command that mends it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blackhole.cli import context, output

if TYPE_CHECKING:
    from blackhole.chain.client import Chain
    from blackhole.network import Network

app = typer.Typer()

GOOD, WARNING, BAD = "ok", "warning", "bad"
FREE_BYTES = 2 * 2**30
"""Disk below which a put, a node or a devnet soon has none (bytes)."""
CLOCK_SECONDS = 60
"""Difference between this clock and a public chain's head beyond which signatures with deadlines fail (s)."""
LOW_GAS_WEI = 10**16
"""Gas money below which an account can send only a few transactions (wei of the chain's coin)."""
NODE_PORT = 4480
NODE_VARIABLE = "BLACKHOLE_NODE"
DEVNET_CHAIN = 31_337


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, how it is, and the command that mends it (empty when nothing is to mend)."""

    check: str
    state: str
    found: str
    mend: str = ""


@app.callback(invoke_without_command=True)
def doctor() -> None:
    """Look at chain, clock, disk, ports, versions and balances; name the command that mends each finding.

    Exit code 0: nothing is bad; 3: something is.

    Example: blackhole doctor
    """
    findings = [*versions(), *disk(), *ports(), *network(), *node()]
    rows = [(item.state, item.check, item.found, item.mend) for item in findings]
    bad = sum(item.state == BAD for item in findings)
    warnings = sum(item.state == WARNING for item in findings)
    closing = f"{bad} bad, {warnings} to look at, {len(findings) - bad - warnings} ok"
    text = output.table(["", "what", "found", "mend it with"], rows) + "\n\n" + closing
    output.emit({"ok": not bad, "findings": [asdict(finding) for finding in findings]}, text)
    if bad:
        raise typer.Exit(3)


def versions() -> Iterator[Finding]:
    """Python, this package, and the libraries the hot paths need."""
    from importlib.metadata import PackageNotFoundError, requires, version

    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "Python",
        GOOD if sys.version_info >= (3, 11) else BAD,
        python,
        "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer",
    )
    yield Finding("blackhole", GOOD, version("blackhole"))
    missing = []
    for requirement in requires("blackhole") or []:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0].split("[")[0]
        for mark in "<>=!~ (":
            name = name.split(mark)[0]
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    found = f"missing: {', '.join(missing)}" if missing else "all there"
    yield Finding(
        "libraries", BAD if missing else GOOD, found, "pip install --force-reinstall blackhole" if missing else ""
    )
    anvil = shutil.which("anvil")
    yield Finding(
        "anvil", GOOD if anvil else WARNING, anvil or "not on PATH: no devnet here", "" if anvil else "make setup"
    )


def disk() -> Iterator[Finding]:
    """Free space where this user's files and a devnet go."""
    from blackhole.devnet.folder import RunFolder
    from blackhole.devnet.settings import existing
    from blackhole.paths import Home

    for name, folder in (("disk of home", Home.locate().root), ("disk of devnet", RunFolder.default().path)):
        place = existing(folder)
        free = shutil.disk_usage(place).free
        mend = f"du -xh --max-depth=2 {place} | sort -h | tail" if free < FREE_BYTES else ""
        yield Finding(name, WARNING if free < FREE_BYTES else GOOD, f"{output.size(free)} free at {place}", mend)
        if not os.access(place, os.W_OK):
            yield Finding(f"{name}: writing", BAD, f"{place} is not writable", f"sudo chown -R $USER {place}")


def _port_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def ports() -> Iterator[Finding]:
    """The addresses a devnet's nodes bind, and the port a node listens on."""
    loopback = _port_free("127.10.1.1", 0)
    yield Finding(
        "addresses 127.x.y.1",
        GOOD if loopback else WARNING,
        "usable" if loopback else "cannot be bound: no devnet here",
        "" if loopback else "ip address add 127.0.0.1/8 dev lo",
    )
    if not os.environ.get(NODE_VARIABLE):  # whose node it is stands in `node`
        yield _port("0.0.0.0", NODE_PORT)


def _port(host: str, port: int) -> Finding:
    free = _port_free(host, port)
    mend = "" if free else f"ss -ltnp 'sport = :{port}'"
    return Finding(f"port {port}", GOOD if free else WARNING, "free for a node" if free else "in use", mend)


def node() -> Iterator[Finding]:
    """The node that BLACKHOLE_NODE names: its port, its disk, and whatever `node status` would complain of."""
    if not (place := os.environ.get(NODE_VARIABLE)):
        return
    from blackhole.cli import node_status
    from blackhole.client import Blackhole
    from blackhole.errors import BlackholeError
    from blackhole.node.config import Config, host_port
    from blackhole.node.folder import NodeFolder

    folder = NodeFolder(place)
    try:
        folder.require()
        config = Config.load(folder.config)
        agent = node_status.agent_health(folder)
        free = shutil.disk_usage(folder.path).free
        mend = f"blackhole node offer {folder.path} --capacity N, or a larger disk"
        full = free < config.limits.free_disk_bytes
        yield Finding("disk of node", BAD if full else GOOD, f"{output.size(free)} free", mend if full else "")
        host, port = host_port(config.api.listen)
        if agent is None and port:
            yield _port(host, port)
        if not config.node.id:
            yield Finding("node", WARNING, "is not registered yet", f"blackhole node register {folder.path}")
            return
        with Blackhole(context.current().network or config.node.network or None, None) as blackhole:
            chain = node_status.on_chain(blackhole, config.node.id)
        needs = node_status.needs(agent, chain, config, folder)
        yield from (Finding("node", WARNING, need.found, need.mend) for need in needs)
        if not needs:
            yield Finding("node", GOOD, f"node {config.node.id} is well")
    except BlackholeError as error:
        yield Finding("node", BAD, error.message, error.hint)


def network() -> Iterator[Finding]:
    """The selected network: its endpoints, its contracts, its time, and the account of this shell."""
    import asyncio

    from blackhole.errors import BlackholeError
    from blackhole.network import Network

    try:
        selected = Network.load(context.current().network)
    except BlackholeError as error:
        yield Finding("network", WARNING, error.message, "blackhole devnet up --detach")
        return
    yield Finding("network", GOOD, f"{selected.name}, chain {selected.chain_id}")
    yield from asyncio.run(_on_chain(selected))


async def _on_chain(selected: Network) -> list[Finding]:
    from blackhole.chain.client import Chain
    from blackhole.chain.rpc import Rpc
    from blackhole.errors import BlackholeError

    devnet = selected.chain_id == DEVNET_CHAIN
    restart = "blackhole devnet down; blackhole devnet up --detach" if devnet else "edit `rpc` in network.json"
    found: list[Finding] = []
    for url in selected.rpc:
        chain = Chain(Rpc(url, selected.chain_id))
        try:
            began = time.monotonic()
            head = await chain.block("latest")
            milliseconds = (time.monotonic() - began) * 1000
            found.append(Finding("chain", GOOD, f"{url}: block {head.number}, {milliseconds:.0f} ms"))
            final = await chain.block("finalized")
            found.append(Finding("finality", GOOD, f"{head.number - final.number} blocks behind the head"))
            if not devnet:
                found.append(_clock(head.timestamp))
            found += await _contracts(chain, selected, restart)
            found += await _balances(chain, selected, devnet)
        except BlackholeError as error:
            found.append(
                Finding("chain", BAD, error.message if url in error.message else f"{url}: {error.message}", restart)
            )
        finally:
            await chain.close()
    return found


def _clock(head: int) -> Finding:
    """This machine's clock against the newest block of a chain that keeps real time."""
    behind = time.time() - head
    if behind < -CLOCK_SECONDS:
        return Finding("clock", BAD, f"{-behind:.0f} s behind the chain", "sudo timedatectl set-ntp true")
    if behind > 10 * CLOCK_SECONDS:
        return Finding(
            "clock", WARNING, f"newest block is {behind:.0f} s old: slow chain, or fast clock", "timedatectl status"
        )
    return Finding("clock", GOOD, f"newest block is {behind:.0f} s old")


async def _contracts(chain: Chain, selected: Network, restart: str) -> list[Finding]:
    from blackhole.chain.values import address

    names = sorted(selected.addresses)
    missing = [name for name in names if not await chain.code(address(selected.addresses[name]))]
    if missing:
        return [Finding("contracts", BAD, f"no code at: {', '.join(missing)}", restart)]
    return [Finding("contracts", GOOD, f"{len(names)} in place")]


async def _balances(chain: Chain, selected: Network, devnet: bool) -> list[Finding]:
    from blackhole.chain.bindings.blackhole_token import BlackholeToken
    from blackhole.chain.bindings.payment_hub import PaymentHub
    from blackhole.chain.values import address
    from blackhole.errors import BlackholeError

    try:
        account = context.own_address()
    except BlackholeError as error:
        return [Finding("account", BAD, error.message, error.hint)]
    if account is None:
        payer = _devnet_payer()
        hint = f"export BLACKHOLE_KEY_FILE={payer}" if devnet and payer else "blackhole account new"
        return [Finding("account", WARNING, "no key is set in this shell", hint)]
    at = address(account)
    hub = PaymentHub(selected.addresses["PaymentHub"])
    market = address(selected.addresses["StorageMarket"])
    gas = await chain.balance(at)
    hole = await chain.read(BlackholeToken(selected.addresses["BlackholeToken"]).balance_of(at))
    bank = await chain.read(hub.balance_of(at))
    allowed = await chain.read(hub.allowance_of(at, market))
    more = f"blackhole devnet faucet {at}" if devnet else f"send some to {at}"
    return [
        Finding("account", GOOD, at),
        Finding(
            "gas money",
            GOOD if gas >= LOW_GAS_WEI else WARNING,
            f"{gas / 10**18:.6f}",
            "" if gas >= LOW_GAS_WEI else more,
        ),
        Finding("HOLE", GOOD if hole or bank else WARNING, output.hole(hole), "" if hole or bank else more),
        Finding(
            "in the bank", GOOD if bank else WARNING, output.hole(bank), "" if bank else "blackhole escrow deposit 10"
        ),
        Finding(
            "allowed to storage",
            GOOD if allowed else WARNING,
            output.hole(allowed),
            "" if allowed else "blackhole escrow allow 10",
        ),
    ]


def _devnet_payer() -> Path | None:
    """The funded key beside the selected network.json, if that is a devnet's of this machine."""
    selected = Path(context.current().network or "").absolute()
    key = (selected if selected.is_dir() else selected.parent) / "accounts" / "payer.key"
    return key if key.is_file() else None
