"""The storage plugin: puts the parts together, starts them in order, ends them in order."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blackhole.chain.client import Chain
from blackhole.chain.rpc import Rpc
from blackhole.chain.signers import Signer, load_keystore, signer_from_environment
from blackhole.errors import BlackholeError, ChainError, InputError, InsufficientFunds, Reverted, SigningKeyError
from blackhole.escrow.vouchers import VoucherDomain
from blackhole.network import Network
from blackhole.node import tls
from blackhole.node.config import Config
from blackhole.node.folder import NodeFolder
from blackhole.node.logs import configure
from blackhole.node.setup import make_manifest
from blackhole.node.storage import metrics
from blackhole.node.storage.api.routes import Routes
from blackhole.node.storage.api.server import Server
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.copies import ListCopies
from blackhole.node.storage.deals import Deals
from blackhole.node.storage.follow import Follower
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.prover import Prover
from blackhole.node.storage.reads import Reads
from blackhole.node.storage.recorder import Recorder
from blackhole.node.storage.redeemer import Redeemer
from blackhole.node.storage.refusal import Refusal
from blackhole.node.storage.reporter import Reporter
from blackhole.node.storage.sender import Sender
from blackhole.node.storage.settler import Settler
from blackhole.node.storage.staging import Staging
from blackhole.node.storage.state import State
from blackhole.paths import Home, write_private
from blackhole.protocol import STORAGE
from blackhole.storage.node_manifest import NodeManifest
from blackhole.storage.terms import MarketDomain

JOURNAL_LONG = 20_000
"""Records after which the journal is compacted while the node runs: a few MB."""

GAS_BLOCKS = 20
"""Blocks between looks at the signer's balance."""


def create(folder: Path) -> StoragePlugin:
    """The plugin of the node in `folder`."""
    return StoragePlugin(NodeFolder(folder))


def hot_signer(folder: NodeFolder) -> Signer:
    """The agent's own key: the folder's keystore; where it has none, BLACKHOLE_KEY_FILE or BLACKHOLE_KEY.

    The folder comes first because an operator's shell may name his own key.

    Raises SigningKeyError when it is missing, locked, or the passphrase is wrong.
    """
    if folder.keystore.exists():
        return load_keystore(folder.keystore)
    signer = signer_from_environment()
    return signer if signer is not None else load_keystore(folder.keystore)


class StoragePlugin:
    """Service 1 of one node. See `blackhole.node.plugin.Plugin` for the methods the supervisor calls."""

    def __init__(self, folder: NodeFolder) -> None:
        self.folder = folder
        self.config = Config.load(folder.config)
        self.log = configure("storage", self.config.agent.log_level)
        self.draining = False
        self.manifest = b""
        self.endpoint = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._unpublished = True

    # ----------------------------------------------------------------------------------------------- life

    async def start(self) -> dict[str, Any]:
        """See Plugin."""
        config, folder = self.config, self.folder
        if not config.node.id:
            raise InputError("This folder has no node yet.", hint=f"Run: blackhole node register {folder.path}")
        network = Network.load(config.node.network or None)
        signer = await asyncio.to_thread(hot_signer, folder)
        self.state = State()
        self.recorder = Recorder(folder.journal / "storage.journal", self.state.apply)
        await self._replay()
        self.chain = Chain(Rpc(network.rpc, network.chain_id), network.chain_id, home=Home(folder.journal))
        self.watch = ChainWatch(self.chain, network, config.node.id, config.chain.poll_seconds, self.log)
        await self.watch.start()
        registered = await self.chain.read(self.watch.registry.signer_of(config.node.id))
        owner = await self.chain.read(self.watch.registry.owner_of(config.node.id))
        if signer.address == owner:
            raise SigningKeyError(
                f"This key owns node {config.node.id}: it must not run in the agent.",
                hint=f"Give the agent a key of its own: blackhole node register {folder.path}",
            )
        if registered.lower() != signer.address.lower():
            raise SigningKeyError(
                f"Node {config.node.id} is registered with the hot signer {registered}, this key is {signer.address}.",
                hint="Use the right keystore, or let the owner set the signer with: blackhole node register",
            )
        self.domain = MarketDomain(network.chain_id, self.watch.market.address)
        hub = VoucherDomain(network.chain_id, self.watch.hub.address)
        self.store = PieceStore(folder.store, self.log)
        await self.store.open()
        self.sender = Sender(self.chain, signer, config.chain.gas_alarm_wei, self.log)
        self.staging = Staging(config, self.state, self.store, self.recorder, self.log)
        self.deals = Deals(
            config, self.watch, self.state, self.store, self.recorder, self.staging, signer, self.domain, self.log
        )
        self.follower = Follower(self.watch, self.state, self.store, self.staging, self.deals, self.log)
        self.copies = ListCopies(folder.store / "copies", self.watch, self.state)
        self.reads = Reads(config, self.watch, self.state, self.store, self.recorder, hub, self.domain)
        self.prover = Prover(self.watch, self.store, self.deals, self.sender, self.log)
        self.settler = Settler(config, self.watch, self.state, self.deals, self.sender, self.log)
        self.reporter = Reporter(self.watch, self.sender, self.log)
        self.redeemer = Redeemer(config, self.watch, self.state, self.deals, self.sender, self.log)
        await self.follower.tidy()
        tls.ensure_certificate(folder.tls)
        self.server = Server(config.api, tls.server_context(folder.tls), Routes(self).table(), self.log)
        listening = await self.server.start()
        self.endpoint = config.api.endpoint or f"https://{listening}"
        await self._choose_manifest()
        self._begin(self.watch.run())
        for name, step in self._duties():
            self._begin(self._on_blocks(name, step))
        return {"endpoint": self.endpoint, "listening": listening, "node": config.node.id, "signer": signer.address}

    async def drain(self, seconds: float) -> None:
        """See Plugin: no new work, transfers end, vouchers are redeemed."""
        self.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        await self.server.drain(seconds / 2)
        try:
            async with asyncio.timeout_at(deadline):
                await self.redeemer.step(now=True)
        except TimeoutError:
            self.log.warning("vouchers left for the next run", micro=self.redeemer.unredeemed_micro)
        except BlackholeError as error:
            self.log.warning("vouchers left for the next run", reason=error.message)

    async def stop(self) -> None:
        """See Plugin. Works from any point of `start` on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in ("server", "store", "recorder", "chain"):
            part = getattr(self, name, None)
            if part is not None:
                try:
                    await part.close()
                except BlackholeError as error:
                    self.log.warning("not closed cleanly", part=name, reason=error.message)

    async def reload(self) -> None:
        """See Plugin. What needs a restart (addresses, network) is said in the log."""
        old, new = self.config, Config.load(self.folder.config)
        if (new.node, new.api) != (old.node, old.api):
            self.log.warning("[node] and [api] take effect at the next start")
        self.config = new
        for part in (self.deals, self.settler, self.redeemer):
            part.config = new
        self.staging.reconfigure(new)
        self.reads.reconfigure(new)
        self.sender.alarm_wei = new.chain.gas_alarm_wei
        self.watch.poll_seconds = new.chain.poll_seconds
        self._unpublished = True
        self.log.info("configuration taken", accept=new.storage.accept)

    # ------------------------------------------------------------------------------------------------ duties

    def _duties(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        return [
            ("follow", self.follower.follow),
            ("prove", self.prover.step),
            ("settle", self.settler.step),
            ("copies", self.copies.step),
            ("redeem", self.redeemer.step),
            ("report", self._report),
            ("publish", self._publish),
            ("gas", self._gas),
            ("compact", self._compact),
        ]

    async def _on_blocks(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` at every new block for ever. A failure is logged once, until it is another or it works again."""
        seen = -1
        failing = ""
        while True:
            seen = await self.watch.next_block(seen)
            try:
                await step()
                failing = ""
            except BlackholeError as error:
                if failing != error.code:
                    failing = error.code
                    known = isinstance(error, ChainError | InsufficientFunds) and not isinstance(error, Reverted)
                    (self.log.warning if known else self.log.error)(
                        "duty failed", duty=name, code=error.code, reason=error.message
                    )
            except Exception as error:
                if failing != type(error).__name__:
                    failing = type(error).__name__
                    self.log.exception("duty failed", duty=name)

    async def _report(self) -> None:
        if self.config.chain.report_missed:
            await self.reporter.step()

    async def _gas(self) -> None:
        if self.sender.balance_wei is None or self.sender.alarm or self.watch.latest.number % GAS_BLOCKS == 0:
            await self.sender.check_gas()

    # ---------------------------------------------------------------------------------- manifest and offer

    def _make_manifest(self) -> NodeManifest:
        return make_manifest(self.folder, self.config, self.endpoint)

    async def _choose_manifest(self) -> None:
        """Serve what the registry names, as long as we have it; `_publish` brings both to the configuration."""
        node = await self.chain.read(self.watch.registry.node_of(self.config.node.id))
        made = self._make_manifest().encode()
        try:
            kept = self.folder.manifest.read_bytes()
        except OSError:
            kept = b""
        self.manifest = kept if hashlib.sha256(kept).digest() == node.manifest else made

    async def _publish(self) -> None:
        """Bring offer and manifest in the registry to what the configuration says."""
        if not self._unpublished or not self.config.chain.publish:
            return
        # Before anything is read: a change of the configuration meanwhile must be published after this.
        self._unpublished = False
        try:
            await self._publish_now()
        except BaseException:
            self._unpublished = True
            raise

    async def _publish_now(self) -> None:
        registry, node, settings = self.watch.registry, self.config.node.id, self.config.storage
        made = self._make_manifest().encode()
        digest = hashlib.sha256(made).digest()
        if (await self.chain.read(registry.node_of(node))).manifest != digest:
            await self.sender.send(registry.set_manifest(node, digest, self.endpoint), "manifest")
            self.log.info("manifest published", digest=digest.hex())
        write_private(self.folder.manifest, made)
        self.manifest = made
        capacity = settings.capacity_gib if settings.accept else 0
        wanted = (settings.price_wei_per_gib_period, capacity, settings.region)
        offer = await self.chain.read(registry.offer_of(node, STORAGE))
        # Without capacity the node is in no list: there is nothing to change then.
        if (offer.price, offer.capacity, offer.region) != wanted and (capacity or offer.capacity):
            await self.sender.send(registry.set_offer(node, STORAGE, *wanted), "offer")
            self.log.info("offer published", price_wei=str(wanted[0]), capacity_gib=capacity)

    # ------------------------------------------------------------------------------------------------ status

    async def require_funds(self, payer: str) -> None:
        """Raises Refusal 402 when a payer has less in the bank than the operator wants to see before taking bytes."""
        funds = await self.watch.funds(payer)
        least = max(self.config.limits.min_balance_wei, 1)
        if min(funds.balance, funds.allowance) < least:
            await self.watch.refresh()
            funds = await self.watch.funds(payer)
        if min(funds.balance, funds.allowance) < least:
            raise Refusal(
                402, "insufficient_funds", "The payer has too little in the bank, or allows the market too little.",
                hint="Deposit and allow the market first; both count from a final block.",
                data={"balance_wei": str(funds.balance), "allowance_wei": str(funds.allowance), "need_wei": str(least)},
            )  # fmt: skip

    def public_health(self) -> dict[str, Any]:
        """What anybody may know."""
        return {
            "node": self.config.node.id, "version": version("blackhole"), "chain_id": self.domain.chain_id,
            "market": self.domain.market, "time": self.watch.now, "draining": self.draining,
            "accepting": self.config.storage.accept and not self.draining,
        }  # fmt: skip

    def health(self) -> dict[str, Any]:
        """See Plugin."""
        if not hasattr(self, "server"):
            return {"ok": False}
        opened = sum(deal.opened for deal in self.state.deals.values())
        return {
            "ok": not self.watch.failing_since and not self.sender.alarm and not self.prover.failed,
            "chain": self.watch.failing_since or "ok",
            "block": self.watch.latest.number,
            "period": self.watch.period,
            "endpoint": self.endpoint,
            "agreements": {"open": opened, "signed": len(self.state.deals) - opened},
            "leaves": {"promised": self.state.promised_leaves, "staged": self.state.staged_leaves,
                       "free": self.staging.free_leaves()},
            "proved_period": self.state.proved,
            "unprovable_periods": sorted(self.prover.failed),
            "settled_wei": str(self.settler.settled_wei),
            "redeemed_micro": self.redeemer.redeemed_micro,
            "unredeemed_micro": self.redeemer.unredeemed_micro,
            "gas": {"address": self.sender.signer.address, "balance_wei": str(self.sender.balance_wei),
                    "alarm": self.sender.alarm},
            "accepting": self.config.storage.accept and not self.draining,
        }  # fmt: skip

    def metrics(self) -> str:
        """See Plugin."""
        return metrics.text(self) if hasattr(self, "server") else ""

    async def _replay(self) -> None:
        records = await asyncio.to_thread(self.recorder.records)
        self.state.replay(records)
        if len(records) > 2 * len(list(self.state.snapshot())) + 64:
            await self.recorder.compact(self.state.snapshot)

    async def _compact(self) -> None:
        """Vouchers come by the thousand and only the last of a lane counts: keep the journal short."""
        if self.recorder.length > JOURNAL_LONG:
            await self.recorder.compact(self.state.snapshot)
            self.log.info("journal compacted")

    def _begin(self, what: Any) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
