"""Where a put stores: quotes, the price limit, the node of each slot, and sending it its pieces."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from blackhole.errors import (
    BlackholeError,
    NoFreeNodes,
    PriceTooHigh,
)
from blackhole.protocol import LEAF
from blackhole.storage import quotes
from blackhole.storage.progress import Meter
from blackhole.storage.put_base import repair_share
from blackhole.storage.put_content import PutContent
from blackhole.storage.put_journal import PutStep
from blackhole.storage.types import Quote
from blackhole.storage.upload import Uploads
from blackhole.units import format_tokens

if TYPE_CHECKING:
    from blackhole.storage.directory import Reached
    from blackhole.storage.quotes import Offers
    from blackhole.storage.transport import NodeClient

PERMIT_SECONDS = 86_400
"""How long a right to upload holds, in the chain's time."""


class PutPlaces(PutContent):
    """The slots and their nodes; what `Uploads` sends to (`upload.Destination`)."""

    async def _ask(self) -> None:
        """Ask for quotes and choose nodes; what was chosen before is kept as far as it still answers."""
        self._offers = await quotes.ask(
            self.core, self.profile, self._leaves, self._periods_at_most, seed=quotes.own_order(self.core)
        )
        self._offered = dict(self._offers.offered)

    async def _place(self) -> Quote:
        await self._ask()
        assert self._offers is not None
        if not self.state.slots:
            nodes = self._offers.placement.nodes
            self._check_price([self._offered[node].rate for node in nodes])
            await self._require_funds([self._offered[node].rate for node in nodes])
            rates = [str(self._offered[node].rate) for node in nodes]
            await self._step(PutStep.PLACED, nodes=list(nodes), rates_wei=rates)
        await self._replace_gone()
        self._check_price([slot.rate for slot in self.state.slots])
        return await self._summary(self._offers)

    async def _replace_gone(self) -> bool:
        """Give slots whose nodes do not answer any more to others; whether there were any.

        What is signed can be sent to the chain without its node: it is not given up before it can happen no more.
        """
        gone = [i for i, slot in enumerate(self.state.slots) if not slot.signed and slot.node not in self._offered]
        for index in gone:
            node = self.state.slots[index].node
            await self.replace(index, NoFreeNodes(f"Node {node} does not answer any more."))
        return bool(gone)

    async def _summary(self, offers: Offers) -> Quote:
        return await quotes.summarise(
            self.core,
            offers,
            size=self.size,
            profile=self.profile,
            leaves=self._leaves,
            periods=self.periods,
            align=self.align,
            reserve=self._repair_share,
        )

    @property
    def periods(self) -> int:
        return int(self.state.started["periods"])

    @property
    def align(self) -> int:
        return int(self.state.started.get("align", 1))

    @property
    def _periods_at_most(self) -> int:
        return self.periods + self.align - 1

    def _repair_share(self, rate: int) -> int:
        return repair_share(self.options, rate, self.periods)

    def _price(self, rates: list[int]) -> int:
        return sum(rate * self._periods_at_most + self._repair_share(rate) for rate in rates)

    def _check_price(self, rates: list[int]) -> None:
        limit, price = self.options.max_price, self._price(rates)
        if limit is not None and price > limit:
            raise PriceTooHigh(
                f"Storing it costs {format_tokens(price)} HOLE, the limit is {format_tokens(limit)} HOLE.",
                data={"price_wei": str(price), "limit_wei": str(int(limit)), "excess_wei": str(price - limit)},
            )

    async def _require_funds(self, rates: list[int]) -> None:
        await self.core.require_funds(self._price(rates))

    def _reached(self, node: int) -> Reached:
        return self._offered[node].reached

    # -------------------------------------------------------------------------------------- Destination (upload)

    def client(self, slot: int) -> NodeClient:
        """The node that has the slot now."""
        return self._reached(self.state.slots[slot].node).client

    async def headers(self, slot: int) -> dict[str, str]:
        """The right to upload, signed once a node."""
        import orjson

        from blackhole.storage.terms import Upload

        node = self.state.slots[slot].node
        known = self._permits.get(node)
        if known is None:
            upload = Upload(
                payer=self.core.account,
                node=node,
                size=2 * self._leaves * LEAF,  # room to send a piece again
                expiry=(await self.core.clock()).now + PERMIT_SECONDS,
                nonce=int.from_bytes(os.urandom(7), "big"),
            )
            signature = self.core.signer.sign_digest(upload.digest(self.core.domain))
            row = {**upload.to_json(), "signature": "0x" + signature.hex()}
            headers = {"Blackhole-Payer": self.core.account, "Blackhole-Upload": orjson.dumps(row).decode()}
            known = self._permits[node] = (upload.expiry, headers)
        return known[1]

    def staged(self, slot: int, root: bytes) -> bool:
        """Whether the slot's node has acknowledged that piece."""
        return root in self.state.slots[slot].staged

    async def acknowledged(self, slot: int, root: bytes) -> None:
        """The slot's node has it on its disk."""
        await self._step(PutStep.STAGED, slot=slot, node=self.state.slots[slot].node, root=root.hex())

    async def replace(self, slot: int, error: BlackholeError) -> None:
        """Give the slot to the best node left. Raises NoFreeNodes, PriceTooHigh."""
        assert self._offers is not None
        async with self._replacing:
            old = self.state.slots[slot]
            self._failed.add(old.node)
            self._permits.pop(old.node, None)
            current = [each.node for each in self.state.slots]
            while True:
                try:
                    node = self._offers.placement.replacement(current, self._failed)
                except NoFreeNodes as none:
                    raise NoFreeNodes(
                        f"{none.message} The last failure: {error.message}",
                        data={**none.data, "last": error.to_json()},
                    ) from error
                if node in self._offered:
                    break
                self._failed.add(node)
            rate = self._offered[node].rate
            self._check_price([rate if index == slot else each.rate for index, each in enumerate(self.state.slots)])
            await self._step(PutStep.REPLACED, slot=slot, node=node, rate_wei=str(rate))

    # -------------------------------------------------------------------------------------------------- transfer

    async def _transfer(self) -> None:
        """Encrypt what is not, send what nodes do not have, seal the manifest and send that too."""
        lengths = self._layouts
        self._meter = Meter(self._leaves * LEAF * self.profile.n, self.options.progress)
        self._meter.add(sum(self._staged_bytes(index) for index in range(self.profile.n)))
        uploads = Uploads(self.profile.n, self, self._meter.add)
        buffer = memoryview(bytearray(0))
        read = False
        try:
            for index, layout in enumerate(lengths):
                segment = self.state.segments.get(index)
                if segment is not None and segment.pieces and self._everywhere(index):
                    await uploads.offer(self._outgoing(index, layout, None))
                    continue
                await uploads.place()
                file = await self._again(index, layout)
                if file is None:
                    if len(buffer) < layout.length:
                        buffer = memoryview(bytearray(layout.length))
                    await self._read(index, layout, buffer[: layout.length])
                    file = await self._encrypt(index, buffer[: layout.length], layout, shards=True)
                    read = True
                assert file is not None
                await uploads.offer(self._outgoing(index, layout, file), file.close)
            if read:
                await asyncio.to_thread(self._source().finish)
            for block in await self._seal():
                await uploads.offer([self._whole(block)] * self.profile.n)
            await uploads.finish()
        except BaseException:
            await uploads.cancel()
            raise
        self._meter.finish()

    def _everywhere(self, index: int) -> bool:
        """Whether every slot has its shard of the segment, or is open already."""
        pieces = self.state.segments[index].pieces
        return all(slot.id or pieces[at][0] in slot.staged for at, slot in enumerate(self.state.slots))

    def _staged_bytes(self, index: int) -> int:
        slot = self.state.slots[index]
        return sum(
            segment.pieces[index][1] * LEAF
            for segment in self.state.segments.values()
            if segment.pieces and (slot.id or segment.pieces[index][0] in slot.staged)
        )
