"""One handler a path. Handlers read and check what was sent, ask the parts that decide, and answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from aiohttp import web

from blackhole.errors import IntegrityError
from blackhole.node.storage.api import fields, signed
from blackhole.node.storage.api.server import answer
from blackhole.node.storage.copies import LIST_BYTES
from blackhole.node.storage.quotas import Permit
from blackhole.node.storage.refusal import Refusal, malformed
from blackhole.protocol import LEAF, VOUCHER_ROW
from blackhole.storage.blocks import BlockList
from blackhole.storage.proofs import prove_chunk

if TYPE_CHECKING:
    from blackhole.node.storage.plugin import StoragePlugin

BODY_SECONDS = 30.0
"""An upload that sends nothing for so long is given up."""

LIST_TYPE = "application/vnd.ipld.dag-cbor"
PIECE_SEGMENTS = 2**32
LANES = 2**32 - 1


class Routes:
    """The handlers of one plugin."""

    def __init__(self, plugin: StoragePlugin) -> None:
        self.plugin = plugin

    def table(self) -> list[web.RouteDef]:
        """Every path."""
        return [
            web.get("/v1/health", self.health, allow_head=False),
            web.get("/v1/manifest", self.manifest, allow_head=False),
            web.post("/v1/quotes", self.quote),
            web.put("/v1/staging/{root}", self.stage, expect_handler=_wait_for_checks),
            web.post("/v1/agreements", self.agree),
            web.post("/v1/agreements/{id}/changes", self.change),
            web.get("/v1/agreements/{id}/pieces", self.pieces, allow_head=False),
            web.put("/v1/agreements/{id}/pieces", self.copy),
            web.get("/v1/pieces/{root}", self.piece, allow_head=False),
            web.get("/v1/pieces/{root}/blocks/{index}", self.block, allow_head=False),
            web.get("/v1/pieces/{root}/audit", self.audit, allow_head=False),
            web.get("/v1/lanes/{lane}", self.lane, allow_head=False),
            web.post("/v1/lanes/{lane}", self.pay),
        ]

    # -------------------------------------------------------------------------------------------- what I am

    async def health(self, _: web.Request) -> web.Response:
        """GET /v1/health"""
        return answer(self.plugin.public_health())

    async def manifest(self, _: web.Request) -> web.Response:
        """GET /v1/manifest"""
        return web.Response(body=self.plugin.manifest, content_type="application/vnd.ipld.dag-cbor")

    # ------------------------------------------------------------------------------------------------- deals

    async def quote(self, request: web.Request) -> web.Response:
        """POST /v1/quotes"""
        body = await fields.json_body(request, 4096)
        payer = fields.account(body, "payer")
        leaves = fields.integer(body, "leaves", 48)
        periods = fields.integer(body, "periods", 32)
        if not leaves or not periods:
            raise malformed("'leaves' and 'periods' are at least 1.")
        quote, signature = self.plugin.deals.quote(payer, leaves, periods)
        return answer({"quote": quote.to_json(), "signature": signature.hex()})

    async def stage(self, request: web.Request) -> web.Response:
        """PUT /v1/staging/{root}"""
        self._not_draining()
        plugin = self.plugin
        root = fields.path_root(request)
        size = request.content_length
        if size is None:
            raise Refusal(411, "length_required", "Content-Length is missing.", hint="Send it.")
        known = await plugin.staging.have(root)
        if known is not None:
            # Nothing of the body is read; whoever waited for 100-continue sends none.
            return answer({"leaves": known.piece.leaves})
        upload = signed.parse_upload(request.headers, plugin.domain, plugin.watch.node)
        plugin.staging.quota.listed(upload.payer)
        await plugin.require_funds(upload.payer)
        leaves, new = await plugin.staging.receive(
            root, size, _body(request), upload.payer, upload.nonce, Permit(upload.size, upload.expiry),
            plugin.watch.now, plugin.watch.period,
        )  # fmt: skip
        return answer({"leaves": leaves}, 201 if new else 200)

    async def agree(self, request: web.Request) -> web.Response:
        """POST /v1/agreements"""
        self._not_draining()
        body = await fields.json_body(request)
        terms = signed.parse_terms(fields.take(body, "terms", dict))
        pieces = fields.piece_list(body, "pieces")
        by_policy = signed.parse_policy(body, terms, self.plugin.domain, self.plugin.watch.now)
        signature = await self.plugin.deals.sign_terms(terms, pieces, signed.parse_quote(body), by_policy=by_policy)
        return answer({"signature": signature})

    async def change(self, request: web.Request) -> web.Response:
        """POST /v1/agreements/{id}/changes"""
        self._not_draining()
        name = self._agreement(request)
        body = await fields.json_body(request)
        change = signed.parse_change(fields.take(body, "change", dict))
        if change.id != int(name, 16):
            raise malformed("The change names another agreement than the address.")
        added = fields.pieces(body, "added")
        removed = fields.roots(body, "removed")
        signature = await self.plugin.deals.sign_change(change, added, removed, signed.parse_quote(body))
        return answer({"signature": signature})

    async def pieces(self, request: web.Request) -> web.Response:
        """GET /v1/agreements/{id}/pieces"""
        name = self._agreement(request)
        asked = fields.from_hex(request.query["root"], 32, "root") if "root" in request.query else None
        deal = self.plugin.state.deals.get(name)
        if deal is None:
            found = await self.plugin.copies.find(bytes.fromhex(name), asked)
            if found is None:
                raise Refusal(404, "unknown_agreement", "This node has no such agreement.", hint="Check the id.")
            return web.Response(body=found, content_type=LIST_TYPE)
        root = deal.root
        if asked is not None:
            root = asked.hex()
            if root not in deal.roots():
                raise Refusal(404, "unknown_root", "The agreement has no such content.", hint="Leave root out.")
        listed = await self.plugin.store.read_list(bytes.fromhex(deal.id), bytes.fromhex(root))
        return web.Response(body=listed.encode(), content_type=LIST_TYPE)

    async def copy(self, request: web.Request) -> web.Response:
        """PUT /v1/agreements/{id}/pieces: the list of another node's agreement, to be kept for when that is gone."""
        self._not_draining()
        name = bytes.fromhex(self._agreement(request))
        await self.plugin.copies.take(name, await fields.whole_body(request, LIST_BYTES))
        return answer({}, 201)

    # ------------------------------------------------------------------------------------------------- reads

    async def piece(self, request: web.Request) -> web.Response:
        """GET /v1/pieces/{root}"""
        blocks = await self._piece(request)
        return answer(
            {
                "leaves": blocks.piece.leaves,
                "bytes": blocks.length,
                "blocks": [digest.hex() for digest in blocks.digests],
            }
        )

    async def block(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/pieces/{root}/blocks/{index}"""
        plugin = self.plugin
        blocks = await self._piece(request)
        index = fields.path_number(request, "index", 2**32)
        if index >= len(blocks.digests):
            raise Refusal(404, "unknown_block", f"The piece has {len(blocks.digests)} blocks.", hint="Count from 0.")
        size = blocks.size(index)
        start, length = fields.byte_range(request, size)
        account = None
        if "Blackhole-Lane" in request.headers:
            lane = _header_number(request, "Blackhole-Lane")
            row = None
            if "Blackhole-Voucher" in request.headers:
                row = fields.from_hex(request.headers["Blackhole-Voucher"], VOUCHER_ROW, "Blackhole-Voucher")
            account = await plugin.reads.by_lane(lane, row, length)
        elif "Blackhole-Grant" in request.headers:
            grant = signed.parse_grant(request.headers["Blackhole-Grant"])
            await plugin.reads.by_grant(grant, fields.path_root(request), length)
        elif plugin.config.storage.egress_micro_per_mib:
            raise plugin.reads.without_lane(length)
        sent = False
        try:
            data = await plugin.store.block_range(blocks, index, start, length)
            headers = {"Accept-Ranges": "bytes"}
            if length != size:
                headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
            response = web.Response(
                body=data,
                status=200 if length == size else 206,
                content_type="application/octet-stream",
                headers=headers,
            )
            await response.prepare(request)
            # From here on bytes may be on their way: what a reader breaks off is counted all the same.
            sent = True
            await response.write_eof()
            plugin.reads.served_bytes += length
            return response
        finally:
            if account is not None and not sent:
                account.give_back(length)

    async def audit(self, request: web.Request) -> web.Response:
        """GET /v1/pieces/{root}/audit?block=&chunk="""
        plugin = self.plugin
        blocks = await self._piece(request)
        index = fields.query_number(request, "block", 2**32)
        if index >= len(blocks.digests):
            raise Refusal(404, "unknown_block", f"The piece has {len(blocks.digests)} blocks.", hint="Count from 0.")
        chunk = fields.query_number(request, "chunk", blocks.chunks(index) - 1)
        plugin.reads.audits.take(_neighbourhood(request.remote or ""), LEAF, plugin.watch.now, "audits")
        data = await plugin.store.block(blocks, index)
        proof = await plugin.store.in_disk_thread(prove_chunk, data, chunk, blocks.digests[index])
        return web.Response(body=proof, content_type="application/octet-stream")

    async def lane(self, request: web.Request) -> web.Response:
        """GET /v1/lanes/{lane}"""
        number = fields.path_number(request, "lane", LANES)
        account = self.plugin.state.lanes.get(number)
        if account is None:
            return answer({"lane": number, "served_bytes": 0, "accepted_micro": 0, "owed_micro": 0})
        return answer(
            {
                "lane": number,
                "served_bytes": account.served,
                "accepted_micro": account.accepted,
                "owed_micro": account.owed(),
            }
        )

    async def pay(self, request: web.Request) -> web.Response:
        """POST /v1/lanes/{lane}: a voucher without a read, for what came last."""
        number = fields.path_number(request, "lane", LANES)
        body = await fields.json_body(request, 4096)
        account = await self.plugin.reads.by_lane(number, fields.hexadecimal(body, "voucher", VOUCHER_ROW), 0)
        return answer(
            {
                "lane": number,
                "served_bytes": account.served,
                "accepted_micro": account.accepted,
                "owed_micro": account.owed(),
            }
        )

    # ---------------------------------------------------------------------------------------------- internal

    def _not_draining(self) -> None:
        if self.plugin.draining:
            raise Refusal(503, "draining", "The node is stopping.", hint="Try again when it is back, or another node.")

    def _agreement(self, request: web.Request) -> str:
        return fields.from_hex(request.match_info["id"], 32, "the agreement's id").hex()

    async def _piece(self, request: web.Request) -> BlockList:
        root = fields.path_root(request)
        try:
            blocks = await self.plugin.store.piece(root)
        except IntegrityError:
            blocks = None
        if blocks is None:
            raise Refusal(404, "unknown_piece", "The node does not have this piece.", hint="Ask another node.")
        return blocks


async def _wait_for_checks(_: web.Request) -> None:
    """A client that waits for "100 Continue" hears it after the checks, in `_body`."""


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """The body (of a known length, so never chunked) as it arrives; given up when nothing comes."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    while True:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                part, _ = await request.content.readchunk()
        except TimeoutError:
            raise Refusal(408, "too_slow", "Nothing arrived for too long.", hint="Send it again.") from None
        if not part:
            return
        yield part


def _header_number(request: web.Request, name: str) -> int:
    text = request.headers[name]
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > LANES:
        raise malformed(f"{name} is not a lane's number.")
    return int(text)


def _neighbourhood(remote: str) -> str:
    """The address block audits are counted by: /24 of IPv4, /48 of IPv6."""
    if ":" in remote:
        return ":".join(remote.split(":")[:3])
    return remote.rpartition(".")[0]
