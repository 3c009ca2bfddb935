"""What all steps of the demo stand on: the network, the chain's whole history, the payer, and what was stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from blackhole.chain.bindings.blackhole_token import BlackholeToken
from blackhole.chain.bindings.node_registry import NodeRegistry
from blackhole.chain.bindings.payment_hub import PaymentHub
from blackhole.chain.bindings.service_catalog import ServiceCatalog
from blackhole.chain.bindings.stake_manager import StakeManager
from blackhole.chain.bindings.storage_market import StorageMarket
from blackhole.chain.client import Chain
from blackhole.chain.signers import LocalSigner, load_key_file
from blackhole.chain.values import Address
from blackhole.client import AsyncBlackhole
from blackhole.devnet.chain import DevnetChain
from blackhole.devnet.demo.ledger import Ledger
from blackhole.devnet.demo.plan import Plan
from blackhole.devnet.demo.report import NodeRow, Report, StepRow
from blackhole.devnet.handle import Devnet, DevnetNode
from blackhole.network import Network
from blackhole.storage.directory import Directory
from blackhole.storage.manifest import SegmentsManifest
from blackhole.storage.transport import Transport

if TYPE_CHECKING:
    from blackhole.storage.types import StoredObject

PATIENCE = 300.0
"""Seconds a claim may take to come true. Only a failing one takes long; a machine may be slow."""


@dataclass
class Roles:
    """Who plays which part, by node id."""

    killed: list[int] = field(default_factory=list)
    inventor: int = 0
    freeloader: int = 0
    paused: int = 0
    leaving: int = 0

    @property
    def cheats(self) -> list[int]:
        """The nodes that cheat."""
        return [self.inventor, self.freeloader]

    @property
    def lost(self) -> list[int]:
        """The nodes whose shards have to be replaced."""
        return [*self.killed, *self.cheats]


class Stage:
    """The state the steps share."""

    def __init__(self, plan: Plan, report: Report, net: Devnet, source: Path, small: Path | None = None) -> None:
        self.plan = plan
        self.report = report
        self.net = net
        self.source = source
        """What is cut into shards: the file itself, or the companion of a small one."""
        self.small = small
        """The file when it is too small for shards of its own."""
        self.small_cap = ""
        self.sha256 = ""
        self.network = Network.load(net.network)
        self.own = DevnetChain(self.network.rpc[0])
        self.ledger = Ledger(self.own, self.network.addresses)
        self.token = BlackholeToken(self.network.addresses["BlackholeToken"])
        self.hub = PaymentHub(self.network.addresses["PaymentHub"])
        self.vault = StakeManager(self.network.addresses["StakeManager"])
        self.registry = NodeRegistry(self.network.addresses["NodeRegistry"])
        self.market = StorageMarket(self.network.addresses["StorageMarket"])
        self.catalog = ServiceCatalog(self.network.addresses["ServiceCatalog"])
        self.payer = self.client("payer")
        self.reader = self.client("reader")
        self.transport = Transport()
        self.directory = Directory(self.payer.chain, self.registry, self.transport)
        self.roles = Roles()
        self.ledger.read()
        self.set_up = len(self.ledger.entries)
        """Transactions before the first step: registration, bonds, deposits."""
        self._stored: StoredObject | None = None
        self._manifest: SegmentsManifest | None = None
        self.nodes: dict[int, DevnetNode] = {}
        self.refresh()

    @property
    def chain(self) -> Chain:
        """The chain, for reads."""
        return self.payer.chain

    @property
    def stored(self) -> StoredObject:
        """The object of the demo."""
        assert self._stored is not None
        return self._stored

    @stored.setter
    def stored(self, value: StoredObject) -> None:
        self._stored = value

    @property
    def manifest(self) -> SegmentsManifest:
        """The object's manifest, as a node showed it and the cap's CID confirms it."""
        assert self._manifest is not None
        return self._manifest

    @manifest.setter
    def manifest(self, value: SegmentsManifest) -> None:
        self._manifest = value

    @property
    def holders(self) -> list[int]:
        """Nodes the object was stored on."""
        return list(self.stored.nodes)

    def signer(self, account: str) -> LocalSigner:
        """The signer of one of the devnet's accounts."""
        return load_key_file(self.net.key_file(account))

    def address(self, account: str) -> Address:
        """The address of one of the devnet's accounts."""
        return self.signer(account).address

    def client(self, account: str) -> AsyncBlackhole:
        """A client with the key of one of the devnet's accounts and a home of its own."""
        return AsyncBlackhole(self.network, self.signer(account), home=self.net.folder.home(account))

    def refresh(self) -> None:
        """Read again which nodes run; new ones get a row in the report."""
        self.nodes = {node.node: node for node in self.net.nodes()}
        for node in self.nodes.values():
            row = self.report.nodes.setdefault(node.node, NodeRow(node.node, node.pid, node.endpoint))
            if node.pid is not None and row.pid != node.pid:
                row.pid_restarted = node.pid

    @contextlib.asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[StepRow]:
        """One step: its time, and everybody's transactions while it ran."""
        self.ledger.read()
        before = len(self.ledger.entries)
        with self.report.step(name) as row:
            yield row
            await asyncio.to_thread(self.ledger.read)
            entries = self.ledger.entries[before:]
            row.transactions = len(entries)
            row.gas = sum(entry.gas for entry in entries)

    async def period(self) -> int:
        """The current period."""
        return (await asyncio.to_thread(self.own.head))[1] // self.network.period

    async def advance(self, periods: int = 1, *, wait: bool = True) -> None:
        """End periods, each when the proofs of all honest nodes are in; say which came late."""
        for _ in range(periods):
            (step,) = await asyncio.to_thread(self.net.advance, 1, wait=wait)
            if step["unproven"]:
                self.report.say(f"  period {step['period']}: no proof of {', '.join(map(str, step['unproven']))}")

    async def proofs_in(self) -> None:
        """Wait until every running node has proven the period before this one: it may then be away for a while."""

        async def proven() -> bool:
            period = await self.period() - 1
            self.refresh()
            running = [node.node for node in self.nodes.values() if node.pid is not None]
            ledgers = await self.chain.read_many(self.market.ledger_of(node) for node in running)
            pairs = zip(running, ledgers, strict=True)
            owing = [node for node, its in pairs if its.leaves and not its.ended_at and period >= its.missed_to]
            bits: list[bool] = await self.chain.read_many(self.market.bit_of(node, period) for node in owing)
            return all(bits)

        await self.until("every running node proves", proven)

    async def until(self, name: str, met: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until `met()` is true; record as a failed check when it is not in time."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            outcome = met()
            if asyncio.iscoroutine(outcome):
                outcome = await outcome
            if outcome:
                return
            if asyncio.get_running_loop().time() > end:
                self.report.check(name, False, f"not within {seconds:.0f} s")
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Give connections back."""
        await self.transport.aclose()
        await self.reader.close()
        await self.payer.close()
