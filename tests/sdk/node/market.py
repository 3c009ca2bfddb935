"""A real market for the node's tests: anvil with the deployed contracts, payers, and nodes that are real processes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from blackhole.chain.bindings.blackhole_token import BlackholeToken
from blackhole.chain.bindings.node_registry import NodeRegistry
from blackhole.chain.bindings.payment_hub import PaymentHub
from blackhole.chain.bindings.service_catalog import ServiceCatalog
from blackhole.chain.bindings.stake_manager import StakeManager
from blackhole.chain.bindings.storage_market import StorageMarket
from blackhole.chain.client import Chain
from blackhole.chain.deployment import DeploymentParameters, deploy
from blackhole.chain.rpc import Rpc
from blackhole.chain.signers import LocalSigner
from blackhole.network import Network
from blackhole.node.folder import NodeFolder
from blackhole.node.setup import init_folder
from blackhole.paths import Home
from blackhole.protocol import BLOCK, START_LEAD
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.blocks import BlockList
from blackhole.storage.terms import Change, MarketDomain, Terms, Upload

HOLE = 10**18
PERIOD, WINDOW, BLOCKS = 240, 120, 8
ZERO = "0x" + "00" * 20
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


def cut(data: bytes) -> BlockList:
    """The blocks of a piece."""
    return BlockList.of([data[i : i + BLOCK] for i in range(0, max(len(data), 1), BLOCK)])


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass
class Payer:
    """A payer with money in the bank and an allowance for the market."""

    market: Market
    signer: LocalSigner

    @property
    def address(self) -> str:
        return self.signer.address

    def upload_header(
        self, node: int, size: int = 2**40, *, nonce: int | None = None, expiry: int = 2**39
    ) -> dict[str, str]:
        upload = Upload(self.address, node, size, expiry, secrets.randbits(63) if nonce is None else nonce)
        signature = self.signer.sign_digest(upload.digest(self.market.domain))
        return {"Blackhole-Upload": json.dumps({**upload.to_json(), "signature": "0x" + signature.hex()})}


class Market:
    """The chain and its contracts."""

    def __init__(self, url: str, network: Network, chain: Chain, deployer: LocalSigner, folder: Path) -> None:
        self.url = url
        self.network = network
        self.chain = chain
        self.deployer = deployer
        self.folder = folder
        at = network.addresses
        self.token = BlackholeToken(at["BlackholeToken"])
        self.hub = PaymentHub(at["PaymentHub"])
        self.registry = NodeRegistry(at["NodeRegistry"])
        self.catalog = ServiceCatalog(at["ServiceCatalog"])
        self.stakes = StakeManager(at["StakeManager"])
        self.market = StorageMarket(at["StorageMarket"])
        self.domain = MarketDomain(network.chain_id, self.market.address)

    async def rpc(self, method: str, *parameters: Any) -> Any:
        return await self.chain.rpc.request(method, *parameters)

    async def period(self) -> int:
        return (await self.chain.block()).timestamp // PERIOD

    async def jump(self, periods: int = 1) -> int:
        """Jump to the start of a later period; returns its number once a block is in it."""
        target = await self.period() + periods
        await self.rpc("evm_setNextBlockTimestamp", target * PERIOD)
        await until(lambda: self._reached(target))
        return target

    async def _reached(self, period: int) -> bool:
        return await self.period() >= period

    async def final(self) -> None:
        """Wait until what is in the newest block is final."""
        number = (await self.chain.block()).number

        async def reached() -> bool:
            return (await self.chain.block("finalized")).number >= number

        await until(reached)

    async def account(self, coins: int = 10**20) -> LocalSigner:
        signer = LocalSigner.generate()
        await self.rpc("anvil_setBalance", signer.address, hex(coins))
        return signer

    async def payer(self, deposit: int = 1000 * HOLE, allowance: int = 10**30) -> Payer:
        signer = await self.account()
        await self.chain.send(self.token.transfer(signer.address, deposit + HOLE), self.deployer)
        await self.chain.send_many(
            [
                self.token.approve(self.hub.address, 10**30),
                self.hub.deposit(signer.address, deposit),
                self.hub.allow(self.market.address, allowance),
            ],
            signer,
        )
        await self.final()
        return Payer(self, signer)

    async def node(self, folder: Path, *, bond: int = 1000 * HOLE, **settings: Any) -> RunningNode:
        """A registered, bonded node; start its agent with `start`."""
        owner, hot = await self.account(), await self.account()
        values = {
            "node.network": str(self.folder),
            "api.listen": f"127.0.0.1:{free_port()}",
            "chain.poll_seconds": 0.1,
            "chain.settle_periods": 1,
            "agent.drain_seconds": 5,
            "limits.free_disk_bytes": 0,
            "storage.capacity_gib": 1,
            "storage.price_wei_per_gib_period": HOLE,
            "storage.egress_micro_per_mib": 1000,
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        made = init_folder(folder, values)
        key = folder / "hot.key"
        key.write_text(hot._key.secret.hex())  # type: ignore[union-attr]
        key.chmod(0o600)
        receipt = await self.chain.send(self.registry.register(bytes(31) + b"\1", "https://nowhere:1"), owner)
        number = receipt.event(_registered()).node
        await self.chain.send(self.token.transfer(owner.address, bond), self.deployer)
        await self.chain.send_many(
            [
                self.registry.set_keys(number, hot.address, ZERO),
                self.token.approve(self.stakes.address, 10**30),
                self.stakes.bond(number, 1, bond),
            ],
            owner,
        )
        from blackhole.node import config

        config.change(made.config, {"node.id": number})
        await self.final()
        return RunningNode(self, made, number, owner, hot, key)


def _registered() -> Any:
    from blackhole.chain.bindings import node_registry

    return node_registry.NodeRegistered


@dataclass
class RunningNode:
    """A node's folder and, between `start` and `stop`, its agent."""

    market: Market
    folder: NodeFolder
    id: int
    owner: LocalSigner
    hot: LocalSigner
    key: Path
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder.path / "agent.log"

    def spawn(self, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "blackhole.node", str(self.folder.path)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "BLACKHOLE_KEY_FILE": str(self.key), **self.environment, **environment},
            )  # fmt: skip
        return self.process

    async def start(self, **environment: str) -> RunningNode:
        self.spawn(**environment)
        await until(self._ready, seconds=30, why=self.tail)
        return self

    async def _ready(self) -> bool:
        status = self.folder.read_status()
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the agent ended with {self.process.returncode}:\n{self.tail()}")
        return status is not None and "storage" in status.plugins and status.pid == self.process.pid  # type: ignore[union-attr]

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-25:])

    def records(self, event: str) -> list[dict[str, Any]]:
        """Log lines with this event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    async def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """End the agent and wait; its exit code."""
        process = self.process
        if process is None:
            return 0
        plugins = (self.folder.read_status() or _NoStatus()).plugins.values()
        if process.poll() is None:
            process.send_signal(number)
        try:
            code = await asyncio.to_thread(process.wait, seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

        async def gone() -> bool:
            return not any(running(pid) for pid in plugins)

        await until(gone, seconds=5)
        self.process = None
        return code

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    @property
    def endpoint(self) -> str:
        status = self.folder.read_status()
        assert status is not None
        return status.endpoint

    async def status(self) -> dict[str, Any]:
        """The agent's own /health."""
        status = self.folder.read_status()
        assert status is not None
        async with aiohttp.ClientSession() as session, session.get(f"http://{status.health}/health") as response:
            return await response.json()

    async def metrics(self) -> str:
        status = self.folder.read_status()
        assert status is not None
        async with aiohttp.ClientSession() as session, session.get(f"http://{status.health}/metrics") as response:
            return await response.text()

    # ------------------------------------------------------------------------------------------ requests

    async def request(
        self, method: str, path: str, *, body: Any = None, data: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, JSON or bytes)."""
        if body is not None:
            data = json.dumps(body)
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.endpoint + path, data=data, headers=headers, ssl=False) as response,
        ):
            raw = await response.read()
            return response.status, json.loads(raw) if response.content_type == "application/json" else raw

    async def stage(
        self, payer: Payer, data: bytes, *, root: bytes | None = None, header: dict[str, str] | None = None
    ) -> Any:
        piece = cut(data).piece
        name = (root or piece.root).hex()
        return await self.request(
            "PUT", f"/v1/staging/{name}", data=data, headers=header or payer.upload_header(self.id)
        )

    async def draft(
        self,
        payer: Payer,
        listing: Sequence[Piece],
        *,
        periods: int = 5,
        start: int = 1,
        rate: int | None = None,
        **other: Any,
    ) -> tuple[Terms, PieceList]:
        listed = PieceList(tuple(listing))
        now = await self.market.period()
        rate = HOLE * listed.leaves // 2**20 + 1 if rate is None else rate
        first = now + start
        values: dict[str, Any] = {
            "payer": payer.address, "node": self.id, "payee": self.owner.address, "root": listed.tree().root,
            "pieces": listed.digest(), "leaves": listed.leaves, "rate": rate, "start": first, "end": first + periods,
            "prepaid": rate * periods, "repair_share": 0, "repairer": ZERO, "salt": secrets.randbits(63),
        }  # fmt: skip
        return Terms(**{**values, **other}), listed

    async def agree(self, terms: Terms, pieces: PieceList, **more: Any) -> tuple[int, Any]:
        body = {"terms": terms.to_json(), "pieces": [[p.root.hex(), p.leaves] for p in pieces.pieces], **more}
        return await self.request("POST", "/v1/agreements", body=body)

    async def open(self, payer: Payer, terms: Terms, signature: str) -> int:
        """Open the deal on chain as its payer."""
        digest = terms.digest(self.market.domain)
        own = payer.signer.sign_digest(digest)
        await self.market.chain.send(
            self.market.market.open(terms.values(), own, bytes.fromhex(signature)),  # type: ignore[arg-type]
            payer.signer,
        )
        return int.from_bytes(digest, "big")

    async def deal(self, payer: Payer, datas: Sequence[bytes], **how: Any) -> tuple[int, Terms, PieceList]:
        """Stage, agree and open: (id, terms, pieces)."""
        for data in datas:
            status, body = await self.stage(payer, data)
            assert status == 201, body
        terms, pieces = await self.draft(payer, [cut(data).piece for data in datas], **how)
        status, body = await self.agree(terms, pieces)
        assert status == 200, body
        return await self.open(payer, terms, body["signature"]), terms, pieces

    async def change(
        self,
        payer: Payer,
        id: int,
        pieces: PieceList,
        *,
        added: Sequence[Piece] = (),
        removed: Sequence[bytes] = (),
        **other: Any,
    ) -> tuple[Change, int, Any]:
        """Ask for a Change: (change, status, answer)."""
        now = await self.market.chain.read(self.market.market.agreement_of(id))
        listed = pieces.changed(added, removed)
        values: dict[str, Any] = {
            "id": id, "root": listed.tree().root if listed.pieces else bytes(32), "pieces": listed.digest(),
            "leaves": listed.leaves, "rate": HOLE * listed.leaves // 2**20 + 2 if listed.leaves else 0,
            "end": now.end, "prepaid": HOLE, "nonce": now.nonce, "last_period": await self.market.period() + START_LEAD,
        }  # fmt: skip
        change = Change(**{**values, **other})
        body = {
            "change": change.to_json(), "added": [[p.root.hex(), p.leaves] for p in added],
            "removed": [root.hex() for root in removed],
        }  # fmt: skip
        return change, *await self.request("POST", f"/v1/agreements/{id:064x}/changes", body=body)

    async def proven(self, period: int) -> None:
        """Wait until this node's bit of `period` is set."""

        async def bit() -> bool:
            return await self.market.chain.read(self.market.market.bit_of(self.id, period))

        await until(bit, seconds=30, why=self.tail)


class _NoStatus:
    plugins: dict[str, int] = {}  # noqa: RUF012


def running(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Any, *, seconds: float = 20, why: Any = None) -> None:
    """Wait until an async condition holds."""
    end = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s\n{why() if why else ''}")
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running_market(folder: Path) -> AsyncIterator[Market]:
    """anvil with blocks every 100 ms, each one second of chain time, and the market deployed on it."""
    port = free_port()
    anvil = subprocess.Popen(  # noqa: ASYNC220 the test waits for it anyway
        ["anvil", "--port", str(port), "--silent", "--slots-in-an-epoch", "1", "--code-size-limit", "24576"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    chain: Chain | None = None
    try:
        url = f"http://127.0.0.1:{port}"
        chain = Chain(Rpc(url, 31337), 31337, home=Home(folder / "home"))
        await until(lambda: _listening(port))
        deployer = LocalSigner(ANVIL_KEY)
        network = await deploy(
            chain,
            deployer,
            DeploymentParameters(
                genesis=((deployer.address, 10**27),), proposers=(deployer.address,), panel=(deployer.address,),
                panel_threshold=1, treasury=deployer.address, timelock_delay=0, period=PERIOD, prove_window=WINDOW,
                prove_blocks=BLOCKS,
            ),
            rpc=[url],
        )  # fmt: skip
        network.save(folder)
        await chain.rpc.request("anvil_setBlockTimestampInterval", 1)
        await chain.rpc.request("evm_setIntervalMining", 0)
        await chain.rpc.request("evm_setAutomine", False)
        mining = asyncio.create_task(_mine(chain))
        market = Market(url, network, chain, deployer, folder)
        try:
            yield market
        finally:
            mining.cancel()
            with suppress(asyncio.CancelledError):
                await mining
    finally:
        if chain is not None:
            await chain.close()
        anvil.terminate()
        anvil.wait()


async def _mine(chain: Chain) -> None:
    while True:
        await chain.rpc.request("evm_mine")
        await asyncio.sleep(0.08)


async def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
