"""The nodes of a devnet: registered and bonded by their owners, run as processes, watched from the chain."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackhole.devnet import guest
from blackhole.devnet.chain import DevnetChain, tail
from blackhole.devnet.folder import RunFolder
from blackhole.devnet.genesis import Genesis
from blackhole.devnet.processes import ProcessTable
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import DevnetError
from blackhole.paths import write_private
from blackhole.protocol import BLOCK_MILLISECONDS, STORAGE
from blackhole.units import Tokens

if TYPE_CHECKING:
    from blackhole.chain.signers import LocalSigner

BOND = Tokens("10000")
"""HOLE each owner bonds for storage."""
STARTING_AT_ONCE = 4
"""Agents that start at the same moment: more only wait for each other's imports on two cores."""
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
NO_SECRETS = ("BLACKHOLE_KEY", "BLACKHOLE_KEY_FILE", "BLACKHOLE_PASSPHRASE_FILE", "BLACKHOLE_HOME", "BLACKHOLE_NETWORK")
"""Variables of the shell that are not passed on to nodes: they speak of somebody else's keys."""


@dataclass(slots=True)
class Agent:
    """One node's place on this machine.

    Attributes:
        node: its id on chain.
        owner, signer, payee: addresses.
        endpoint: https address.
        folder: its folder.
        expected: whether the clock waits for its proofs.
    """

    node: int
    owner: str
    signer: str
    payee: str
    endpoint: str
    folder: Path
    expected: bool = True

    @property
    def name(self) -> str:
        """Its name in processes.json."""
        return f"node-{self.node}"

    def row(self) -> dict[str, Any]:
        """As devnet.json has it."""
        return {
            "node": self.node,
            "owner": self.owner,
            "signer": self.signer,
            "payee": self.payee,
            "endpoint": self.endpoint,
            "folder": str(self.folder),
        }


def node_address(number: int) -> str:
    """Loopback address of node `number` (from 1): a /24 of its own, so that placement sees separate networks."""
    return f"127.{10 + (number - 1) // 250}.{(number - 1) % 250 + 1}.1"


class Fleet:
    """All nodes of one devnet and the connection to their chain."""

    def __init__(self, run: RunFolder, settings: DevnetSettings, genesis: Genesis, table: ProcessTable) -> None:
        self.run = run
        self.settings = settings
        self.genesis = genesis
        self.table = table
        self.agents: dict[int, Agent] = {}

    @classmethod
    async def build(
        cls,
        run: RunFolder,
        settings: DevnetSettings,
        own: DevnetChain | None,
        table: ProcessTable,
        say: Callable[[str], None],
    ) -> Fleet:
        """Contracts, accounts, and all nodes registered, bonded, offered and ready.

        Raises:
            DevnetError: an agent ended or did not become ready, with the end of its log.
        """
        fleet = cls(run, settings, await Genesis.make(run, settings, own, say), table)
        try:
            if settings.nodes:
                say(f"{settings.nodes} nodes: keys, registration, bonds, offers")
                made = await asyncio.gather(*(fleet._register(number) for number in range(1, settings.nodes + 1)))
                fleet.agents = {agent.node: agent for agent in sorted(made, key=lambda agent: agent.node)}
                started = 0

                async def start(agent: Agent) -> None:
                    nonlocal started
                    async with gate:
                        await fleet._launch(agent)
                    started += 1
                    say(f"{started} of {settings.nodes} nodes ready")

                gate = asyncio.Semaphore(STARTING_AT_ONCE)
                await asyncio.gather(*(start(agent) for agent in fleet.agents.values()))
            if own is None:
                await guest.until_final(fleet.genesis.chain, say)
        except BaseException:
            await fleet.close()
            raise
        return fleet

    @property
    def period(self) -> int:
        """Length of a period (s)."""
        return self.genesis.network.period

    @property
    def rpc(self) -> str:
        """JSON-RPC address of the chain."""
        return self.genesis.network.rpc[0]

    async def head(self) -> tuple[int, int]:
        """Number and timestamp (s) of the latest block."""
        block = await self.genesis.chain.block("latest")
        return block.number, block.timestamp

    async def close(self) -> None:
        """Give the chain connection back; processes are ended by who owns the table."""
        await self.genesis.chain.close()

    def rows(self) -> list[dict[str, Any]]:
        """The nodes as devnet.json has them."""
        return [agent.row() for agent in self.agents.values()]

    def alive(self, node: int) -> bool:
        """Whether a node's agent runs."""
        record = self.table.records.get(self._agent(node).name)
        return record is not None and record.alive()

    def _agent(self, node: int) -> Agent:
        if node not in self.agents:
            raise DevnetError(f"This devnet has no node {node}.", hint="See blackhole devnet status.")
        return self.agents[node]

    async def _register(self, number: int) -> Agent:
        """Make node `number`'s folder, then register, bond and offer with its owner's key."""
        from blackhole.chain.bindings.node_registry import NodeRegistered, NodeRegistry
        from blackhole.chain.values import ZERO

        genesis, settings = self.genesis, self.settings
        owner = genesis.accounts[f"owner-{number}"]
        host = node_address(number)
        port = free_port(host)
        endpoint = f"https://{host}:{port}"
        # The registry gives the id, and the folder is named after it.
        made = self.run.path / "nodes" / f"new-{number}"
        signer, digest = await asyncio.to_thread(make_folder, made, self.run.network, settings, host, port)
        registry = NodeRegistry(genesis.network.addresses["NodeRegistry"])
        receipts = await genesis.chain.send_many(
            [genesis.token.approve(genesis.vault.address, BOND), registry.register(digest, endpoint)], owner
        )
        node = receipts[1].event(NodeRegistered).node
        await genesis.chain.send_many(
            [
                registry.set_keys(node, signer.address, ZERO),
                genesis.vault.bond(node, STORAGE, BOND),
                registry.set_offer(node, STORAGE, settings.price_wei, settings.capacity_gib, 0),
            ],
            owner,
        )
        await genesis.give_gas(signer.address)
        folder = self.run.node(node)
        await asyncio.to_thread(finish_folder, made, folder, node)
        await asyncio.to_thread(genesis.keep_key, f"owner-{number}", f"owner-{node}")
        return Agent(node, owner.address, signer.address, owner.address, endpoint, folder)

    async def _launch(self, agent: Agent) -> int:
        """Start an agent and wait until it serves; its pid.

        What an agent says of its past (a period it could not prove) is no reason not to start it.
        """
        environment = {name: value for name, value in os.environ.items() if name not in NO_SECRETS}
        environment["BLACKHOLE_PASSPHRASE_FILE"] = str(agent.folder / "passphrase")
        environment["BLACKHOLE_HOME"] = str(agent.folder / "home")
        command = [sys.executable, "-m", "blackhole.node", str(agent.folder)]
        log = self.run.log(agent.name)
        record = await asyncio.to_thread(
            self.table.start, agent.name, command, log, environment=environment, folder=agent.folder
        )
        until = time.monotonic() + READY_SECONDS
        while (state := await asyncio.to_thread(plugin_state, agent.folder, record.pid)) != "ready":
            code = self.table.exit_code(agent.name)
            if code is not None or state == "quarantined":
                how = "is quarantined" if code is None else f"ended with code {code}"
                raise DevnetError(f"Node {agent.node} {how}: {tail(log)}", hint=f"See {log}.")
            if time.monotonic() > until:
                raise DevnetError(
                    f"Node {agent.node} was not ready within {READY_SECONDS:.0f} s: {tail(log)}", hint=f"See {log}."
                )
            await asyncio.sleep(0.05)
        agent.expected = True
        return record.pid

    async def unproven(self, period: int) -> set[int]:
        """Running nodes that owe a proof of `period` and have not given it."""
        agents = [agent for agent in self.agents.values() if agent.expected and self.alive(agent.node)]
        market = self.genesis.market
        ledgers, bits = await asyncio.gather(
            self.genesis.chain.read_many(market.ledger_of(agent.node) for agent in agents),
            self.genesis.chain.read_many(market.bit_of(agent.node, period) for agent in agents),
        )
        return {
            agent.node
            for agent, ledger, proven in zip(agents, ledgers, bits, strict=True)
            if ledger.leaves and not ledger.ended_at and period >= ledger.missed_to and not proven
        }

    async def closed(self, period: int) -> bool:
        """Whether the window of a drawn period is over: nobody can prove it any more."""
        window = await self.genesis.chain.read(self.genesis.market.window_of(period))
        number, timestamp = await self.head()
        return bool(window.drawn_at) and timestamp > window.closes_at and number > window.closes_block

    async def kill(self, node: int) -> Mapping[str, Any]:
        """SIGKILL an agent with all its processes; the clock no longer waits for it."""
        agent = self._agent(node)
        if not self.alive(node):
            raise DevnetError(f"Node {node} does not run.", hint=f"Start it with blackhole devnet start {node}.")
        agent.expected = False
        await asyncio.to_thread(self.table.kill, agent.name)
        self.table.forget([agent.name])
        return {"node": node}

    async def stop(self, node: int) -> Mapping[str, Any]:
        """SIGTERM an agent and wait for its end."""
        agent = self._agent(node)
        agent.expected = False
        killed = await asyncio.to_thread(self.table.end, [agent.name], grace=STOP_SECONDS)
        return {"node": node, "killed": bool(killed)}

    async def start(self, node: int) -> int:
        """Start an agent again; its pid."""
        agent = self._agent(node)
        if self.alive(node):
            raise DevnetError(f"Node {node} runs already.")
        return await self._launch(agent)

    async def faucet(self, address: str, hole_wei: int, gas_wei: int | None) -> Mapping[str, Any]:
        """HOLE from the treasury and gas money, both in wei; None: as much gas money as every account got."""
        from blackhole.chain.values import address as checked

        to = checked(address)
        if hole_wei:
            await self.genesis.chain.send(self.genesis.token.transfer(to, hole_wei), self.genesis.accounts["treasury"])
        given = await self.genesis.give_gas(to, gas_wei) if gas_wei != 0 else 0
        return {"address": to, "hole_wei": str(hole_wei), "gas_wei": str(given)}


def free_port(host: str) -> int:
    """A port nobody listens on at that address."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def make_folder(path: Path, network: Path, settings: DevnetSettings, host: str, port: int) -> tuple[LocalSigner, bytes]:
    """Write a node's folder: configuration, hot key, passphrase, TLS key.

    Returns:
        The hot signer and the digest of the node's manifest.
    """
    from importlib.metadata import version

    from blackhole.chain.signers import create_keystore
    from blackhole.node.config import render
    from blackhole.node.folder import NodeFolder
    from blackhole.node.tls import ensure_certificate
    from blackhole.storage.node_manifest import NodeManifest

    folder = NodeFolder(path)
    folder.create()
    endpoint = f"https://{host}:{port}"
    audit_bytes = 64 * 2**20
    values: dict[str, Any] = {
        "node.network": str(network),
        "agent.drain_seconds": 2,
        "api.listen": f"{host}:{port}",
        "api.endpoint": endpoint,
        **({} if settings.rpc else {"chain.poll_seconds": BLOCK_MILLISECONDS / 1000}),
        "chain.settle_periods": 1,
        "storage.price_wei_per_gib_period": settings.price_wei,
        "storage.capacity_gib": settings.capacity_gib,
        "storage.egress_micro_per_mib": settings.egress_micro,
        "storage.audit_bytes_per_day": audit_bytes,
        "limits.free_disk_bytes": 64 * 2**20,
    }
    write_private(folder.config, render(values).encode())
    passphrase = secrets.token_hex(16)
    write_private(folder.path / "passphrase", passphrase.encode() + b"\n")
    signer = create_keystore(folder.keystore, passphrase, light=True)
    tls = ensure_certificate(folder.tls)
    prices = {STORAGE: settings.price_wei}
    manifest = NodeManifest(tls, endpoint, settings.egress_micro, audit_bytes, prices, version("blackhole"))
    return signer, manifest.digest()


def finish_folder(made: Path, folder: Path, node: int) -> None:
    """Write the id the registry gave into a node's configuration and name its folder after it."""
    from blackhole.node.config import change

    change(made / "config.toml", {"node.id": node})
    made.rename(folder)


def plugin_state(folder: Path, pid: int) -> str:
    """The state of the storage plugin of the agent with this pid, such as "ready"; empty while it says nothing."""
    try:
        status = json.loads((folder / "status.json").read_text())
        if status["pid"] != pid:
            return ""
        try:
            with urllib.request.urlopen(f"http://{status['health']}/health", timeout=2) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as unwell:
            found = json.load(unwell)
        return str(found["plugins"]["storage"]["state"])
    except (OSError, ValueError, KeyError):
        return ""
