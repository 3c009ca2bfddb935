"""Reading pieces from nodes: lanes, vouchers after each verified block, and the next node where one fails.

Nothing is paid before it is verified: the voucher in a request pays what came before it. A node serves at most one MiB
ahead of its vouchers, so requests to one node follow each other; many nodes are read at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blackhole.errors import IntegrityError, NodeError, NodeRefused, PriceTooHigh
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner
from blackhole.protocol import MICRO, STORAGE
from blackhole.storage.blocks import block_digest
from blackhole.storage.lane_book import MIB, HeldLane, LaneFigures, cost_micro
from blackhole.units import format_tokens

if TYPE_CHECKING:
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached

BLOCK_SECONDS = 30.0
"""A node that takes longer for a block is left."""
FINAL_SECONDS = 20.0
"""How long a node may take to see a lane that is final on chain."""
DEPOSIT_MIN_MIB = 64
"""MiB a new lane pays for at least, so that small reads do not each open or top up one."""


class Purse:
    """What one read may sign away at most, all its nodes together (micro-HOLE; None: as much as it takes)."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._held: dict[int, int] = {}

    def require(self, micro: int) -> None:
        """Raise PriceTooHigh when so much more is beyond the limit."""
        price = sum(self._held.values()) + micro
        if self.limit is not None and price > self.limit:
            raise PriceTooHigh(
                f"Reading it costs {format_tokens(price * MICRO)} HOLE, "
                f"the limit is {format_tokens(self.limit * MICRO)} HOLE.",
                data={"price_wei": str(price * MICRO), "limit_wei": str(self.limit * MICRO)},
            )

    def hold(self, node: int, micro: int) -> None:
        """Set what this read owes `node` aside, in all. Raises PriceTooHigh; then nothing has changed."""
        self.require(micro - self._held.get(node, 0))
        self._held[node] = micro


class NodeReader:
    """Reads blocks of one node, paying as it goes. Requests queue up behind each other."""

    def __init__(self, core: StorageCore, reached: Reached, purse: Purse) -> None:
        self.core = core
        self.purse = purse
        self.reached = reached
        self.price = reached.manifest.egress_micro_per_mib
        self.served = 0
        self.failed: BaseException | None = None
        self.late = False
        """Whether another node had to stand in for it: it is asked last."""
        self._lane: HeldLane | None = None
        self._signer: VoucherSigner | None = None
        self._signed_before = 0
        self._owed_before = 0
        self._queue = asyncio.Lock()

    @property
    def node(self) -> int:
        return self.reached.info.id

    @property
    def ready(self) -> bool:
        """Whether it can be read from: a lane is held, or reading is free."""
        return self.price == 0 or self._lane is not None

    @property
    def lane(self) -> HeldLane | None:
        return self._lane

    @property
    def spent(self) -> int:
        """Micro-HOLE signed since the lane was taken."""
        return self._lane.figures.signed - self._signed_before if self._lane is not None else 0

    def use(self, lane: HeldLane) -> None:
        """Pay on this lane."""
        figures = lane.figures
        figures.reprice(self.price)
        domain = VoucherDomain(figures.chain_id, self.core.hub.address)
        self._lane = lane
        self._signer = VoucherSigner(domain, self.reached.info.payee, STORAGE, figures.lane, self.core.signer)
        self._signed_before, self._owed_before = figures.signed, figures.owed()

    async def block(self, root: bytes, index: int, digest: bytes, length: int) -> bytes:
        """A block of a piece, verified.

        Raises:
            IntegrityError: it is not what `digest` says; it is not paid.
            PriceTooHigh: the purse does not hold what it costs.
            NodeError: the node does not answer, or refuses.
        """
        async with self._queue:
            if self.failed is not None:
                raise NodeError(f"Node {self.node} failed before: {self.failed}")
            if self._lane is not None:  # before the block is asked for: what was served is owed
                self.purse.hold(self.node, self._lane.figures.owed(length) - self._owed_before)
            try:
                async with asyncio.timeout(BLOCK_SECONDS):
                    data = await self._fetch(f"/v1/pieces/{root.hex()}/blocks/{index}", length)
                if len(data) != length or await asyncio.to_thread(block_digest, data) != digest:
                    raise IntegrityError(
                        f"Node {self.node} sent a block that is not what its hash says.", data={"node": self.node}
                    )
            except TimeoutError as error:
                self.failed = error
                raise NodeError(f"Node {self.node} took longer than {BLOCK_SECONDS:.0f} s for a block.") from error
            except (NodeError, IntegrityError) as error:
                self.failed = error
                raise
            self.served += length
            if self._lane is not None:
                self._lane.figures.received += length
            return data

    async def _fetch(self, path: str, length: int) -> bytes:
        deadline = time.monotonic() + FINAL_SECONDS
        while True:
            try:
                return await self.reached.client.get(path, self._headers(), limit=length)
            except NodeRefused as error:
                if error.status != 402 or self._lane is None or not self._settle(error, deadline):
                    raise
            await asyncio.sleep(0.1)

    def _settle(self, error: NodeRefused, deadline: float) -> bool:
        """Whether asking again makes sense: the lane is not final yet, or a transfer broke off and was counted."""
        if error.code == "unknown_lane" or int(_number(error.data, "missing_deposit_micro")) > 0:
            return time.monotonic() < deadline
        assert self._lane is not None
        served = _number(error.data, "served_bytes")
        if served > self._lane.figures.received:
            self._lane.figures.concede(served)
            return True
        return False

    def _headers(self) -> dict[str, str]:
        if self._lane is None:
            return {}
        figures = self._lane.figures
        headers = {"Blackhole-Lane": str(figures.lane)}
        if (voucher := self._voucher()) is not None:
            headers["Blackhole-Voucher"] = voucher.hex()
        return headers

    def _voucher(self) -> bytes | None:
        """A voucher over everything received and verified, written down before it leaves; None when nothing is owed."""
        assert self._lane is not None
        assert self._signer is not None
        figures = self._lane.figures
        owed = min(figures.owed(), figures.deposit)
        if owed > figures.signed:
            figures.signed = owed
            self._lane.save()
        return self._signer.sign(figures.signed) if figures.signed else None

    async def finish(self) -> None:
        """Pay for the last block and give the lane back. A node that does not take its money goes without."""
        lane = self._lane
        if lane is None:
            return
        try:
            if self.served and (voucher := self._voucher()) is not None:
                body = {"voucher": voucher.hex()}
                async with asyncio.timeout(5):
                    await self.reached.client.post_json(f"/v1/lanes/{lane.figures.lane}", body)
        except (NodeError, TimeoutError):
            pass  # it is signed for in the next read of this lane
        finally:
            lane.save(durable=True)
            lane.close()


class Readers:
    """The nodes one read uses, and what it may spend at them."""

    def __init__(self, core: StorageCore, purse: Purse | None = None) -> None:
        self.core = core
        self.purse = purse or Purse()
        self.by_node: dict[int, NodeReader] = {}
        self.opened = 0
        self._payees: set[str] | None = None

    def get(self, reached: Reached) -> NodeReader:
        """The reader of a node."""
        node = reached.info.id
        if node not in self.by_node:
            self.by_node[node] = NodeReader(self.core, reached, self.purse)
        return self.by_node[node]

    async def provide(self, readers: Iterable[NodeReader], bytes_each: Mapping[int, int]) -> None:
        """Give every reader a lane that pays for so many bytes: one of this account's, topped up, or a new one.

        Raises:
            InsufficientFunds: the balance in the bank does not cover the deposits.
            UsageError: the chain is read-only, and reading there is not free. ChainError.
        """
        from blackhole.chain.bindings.payment_hub import LaneOpened

        plans: list[tuple[NodeReader, HeldLane | None, int]] = []
        for reader in readers:
            if reader.price == 0 or reader.failed is not None:
                continue
            self.core.chain.require_writing()
            need = bytes_each.get(reader.node, MIB) + MIB
            if reader.lane is None and (held := await self._held(reader)) is not None:
                reader.use(held)
            lane = reader.lane
            missing = lane.figures.affords(need) if lane is not None else cost_micro(need, reader.price)
            if missing:
                least = cost_micro(DEPOSIT_MIN_MIB * MIB, reader.price)
                plans.append((reader, lane, max(missing, least)))
        if not plans:
            return
        await self._require(sum(amount for _, _, amount in plans) * MICRO)
        hub, account = self.core.hub, self.core.account
        transactions: list[Any] = [
            hub.top_up(reader.reached.info.payee, STORAGE, lane.figures.lane, amount)
            if lane is not None
            else hub.open_lane(reader.reached.info.payee, STORAGE, account, amount)
            for reader, lane, amount in plans
        ]
        receipts = await self.core.chain.send_many(transactions, self.core.signer)
        for (reader, lane, amount), receipt in zip(plans, receipts, strict=True):
            if lane is not None:
                lane.figures.deposit += amount
                lane.save(durable=True)
                continue
            event = receipt.event(LaneOpened, hub.address)
            figures = LaneFigures(
                self.core.chain_id,
                hub.address,
                reader.reached.info.payee,
                STORAGE,
                event.lane,
                deposit=amount,
                price=reader.price,
            )
            self.opened += 1
            reader.use(self.core.lanes.add(figures))

    def known(self, payee: str) -> bool:
        """Whether this account has a lane to that payee already: reading there opens none."""
        if self._payees is None:
            wanted = (self.core.chain_id, self.core.hub.address)
            rows = self.core.lanes.figures()
            self._payees = {row.payee.lower() for row in rows if (row.chain_id, row.hub) == wanted}
        return payee.lower() in self._payees

    async def _held(self, reader: NodeReader) -> HeldLane | None:
        """A lane of ours to that node, its deposit as the chain has it now."""
        held = self.core.lanes.hold(self.core.chain_id, self.core.hub.address, reader.reached.info.payee, STORAGE)
        if held is None:
            return None
        figures = held.figures
        lane = await self.core.chain.read(self.core.hub.lane_of(reader.reached.info.payee, STORAGE, figures.lane))
        if lane.payer != self.core.account or lane.thawing:
            held.close()
            return None
        figures.deposit = lane.deposit
        figures.signed = max(figures.signed, lane.claimed)
        return held

    async def _require(self, need: int) -> None:
        from blackhole.errors import InsufficientFunds

        balance = await self.core.chain.read(self.core.hub.balance_of(self.core.account))
        if balance < need:
            raise InsufficientFunds(
                "balance in the bank, for lanes to read on",
                have=balance,
                need=need,
                hint=f"blackhole escrow deposit {format_tokens(need - balance)}",
            )

    async def finish(self) -> None:
        """Pay what is owed and give all lanes back."""
        await asyncio.gather(*(reader.finish() for reader in self.by_node.values()))

    @property
    def spent(self) -> int:
        """Micro-HOLE signed."""
        return sum(reader.spent for reader in self.by_node.values())


def _number(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def rank(rows: Sequence[tuple[int, NodeReader, float]], k: int, readers: Readers) -> list[tuple[int, NodeReader]]:
    """(shard, reader) best first. Those about as quick as the k-th quickest count as equal; of equals those with a lane
    come first, then data shards, because they need no decoding."""
    alive = [row for row in rows if row[1].failed is None]
    if not alive:
        return []
    quick = sorted(seconds for *_, seconds in alive)[min(k, len(alive)) - 1]

    def order(row: tuple[int, NodeReader, float]) -> tuple[bool, bool, bool, int]:
        shard, reader, seconds = row
        ready = reader.ready or readers.known(reader.reached.info.payee)
        return reader.late, seconds > 4 * quick + 0.05, not ready, shard

    return [(shard, reader) for shard, reader, _ in sorted(alive, key=order)]
