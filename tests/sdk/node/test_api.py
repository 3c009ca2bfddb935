"""What a node answers: money first, bytes later, and a reason for every refusal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from blackhole.chain.bindings.payment_hub import LaneOpened
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner
from blackhole.node import tls
from blackhole.protocol import BLOCK
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.grants import GrantChain, ReadGrant
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.manifest import Segment, SegmentsManifest
from blackhole.storage.node_manifest import NodeManifest
from blackhole.storage.profiles import PROFILES
from blackhole.storage.proofs import verify_chunk
from blackhole.storage.terms import Terms
from yarl import URL

from .market import HOLE, Market, Payer, RunningNode, cut, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

MALFORMED = int(os.environ.get("BLACKHOLE_MALFORMED", "200"))
"""Generated requests; more by environment."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(market: Market, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    node = await market.node(
        tmp_path_factory.mktemp("api") / "node",
        limits__piece_bytes=8 * 2**20, limits__staging_bytes_per_payer=20 * 2**20, api__header_seconds=2,
    )  # fmt: skip
    await node.start()
    yield node
    await node.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def payer(market: Market) -> Payer:
    return await market.payer()


class Lane:
    """A lane of a payer to a node."""

    def __init__(self, node: RunningNode, payer: Payer, number: int) -> None:
        self.node, self.payer, self.number = node, payer, number
        hub = VoucherDomain(node.market.network.chain_id, node.market.hub.address)
        self._signer = VoucherSigner(hub, node.owner.address, 1, number, payer.signer)

    @classmethod
    async def open(cls, node: RunningNode, payer: Payer, micro: int = 100_000) -> Lane:
        market = node.market
        receipt = await market.chain.send(
            market.hub.open_lane(node.owner.address, 1, payer.address, micro), payer.signer
        )
        await market.final()
        lane = cls(node, payer, receipt.event(LaneOpened).lane)

        async def seen() -> bool:
            status, _ = await lane.pay(0)
            return status != 402

        await until(seen)
        return lane

    async def pay(self, micro: int) -> tuple[int, Any]:
        body = {"voucher": self._signer.sign(micro).hex()}
        return await self.node.request("POST", f"/v1/lanes/{self.number}", body=body)

    async def read(self, root: bytes, index: int, micro: int | None = None, span: str | None = None) -> tuple[int, Any]:
        headers = {"Blackhole-Lane": str(self.number)}
        if micro is not None:
            headers["Blackhole-Voucher"] = self._signer.sign(micro).hex()
        if span is not None:
            headers["Range"] = span
        return await self.node.request("GET", f"/v1/pieces/{root.hex()}/blocks/{index}", headers=headers)


# -------------------------------------------------------------------------------------------------- identity


async def test_the_manifest_is_the_registered_one_and_names_the_tls_key(market: Market, node: RunningNode) -> None:
    async def published() -> bool:
        _, raw = await node.request("GET", "/v1/manifest")
        registered = await market.chain.read(market.registry.node_of(node.id))
        return hashlib.sha256(raw).digest() == registered.manifest

    await until(published)
    _, raw = await node.request("GET", "/v1/manifest")
    manifest = NodeManifest.decode(raw)
    assert manifest.tls == tls.spki_hash(node.folder.tls)
    assert (manifest.endpoint, manifest.egress_micro_per_mib, manifest.prices) == (node.endpoint, 1000, {1: HOLE})
    _, health = await node.request("GET", "/v1/health")
    assert (health["node"], health["market"], health["draining"]) == (node.id, market.market.address, False)


async def test_older_tls_is_refused(node: RunningNode) -> None:
    host, port = node.endpoint.removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(host, int(port), ssl=context)


# --------------------------------------------------------------------------------------------------- staging


async def test_bytes_that_are_not_the_piece_are_refused(node: RunningNode, payer: Payer) -> None:
    status, body = await node.stage(payer, os.urandom(3000), root=bytes(31) + b"\7")
    assert (status, body["code"]) == (422, "wrong_root")


async def test_an_upload_is_acknowledged_once_and_again(node: RunningNode, payer: Payer) -> None:
    data = os.urandom(BLOCK + 5)
    assert (await node.stage(payer, data))[0] == 201
    status, body = await node.stage(payer, data)
    assert (status, body) == (200, {"leaves": 1025})
    status, body = await node.request("GET", f"/v1/pieces/{cut(data).piece.root.hex()}")
    assert (status, body["leaves"], body["bytes"]) == (200, 1025, BLOCK + 5)
    assert body["blocks"] == [digest.hex() for digest in cut(data).digests]


async def send_head(node: RunningNode, root: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Send the head of an upload and not one byte of its body; the answer."""
    host, port = node.endpoint.removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    lines = [f"PUT /v1/staging/{root.hex()} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    body = await asyncio.wait_for(reader.readexactly(size), 5)
    writer.close()
    return int(head.split()[1]), body


async def test_quotas_rights_and_money_are_checked_before_the_body(
    market: Market, node: RunningNode, payer: Payer
) -> None:
    root, poor = os.urandom(32), Payer(market, await market.account())
    expired = payer.upload_header(node.id, expiry=(await market.chain.block()).timestamp - 9)
    forged = payer.upload_header(node.id)
    forged["Blackhole-Upload"] = forged["Blackhole-Upload"].replace(payer.address, poor.address)
    cases = [
        ({"Content-Length": "9"}, 401, b"upload_missing"),
        ({"Content-Length": "9", "Blackhole-Upload": "{"}, 400, b"malformed"),
        ({"Content-Length": "9", **forged}, 403, b"upload_signature"),
        ({"Content-Length": "9", **payer.upload_header(node.id + 1)}, 403, b"wrong_node"),
        ({"Content-Length": "9", **expired}, 403, b"upload_expired"),
        ({"Content-Length": "9", **payer.upload_header(node.id, 8)}, 403, b"upload_used_up"),
        ({"Content-Length": "9", **poor.upload_header(node.id)}, 402, b"insufficient_funds"),
        ({"Content-Length": str(2**23 + 1), **payer.upload_header(node.id)}, 413, b"piece_size"),
        ({"Content-Length": "0", **payer.upload_header(node.id)}, 413, b"piece_size"),
        ({"Transfer-Encoding": "chunked", **payer.upload_header(node.id)}, 411, b"length_required"),
    ]
    for headers, status, code in cases:
        got, body = await send_head(node, root, headers)
        assert (got, code in body) == (status, True), (headers, got, body)


async def test_a_client_that_waits_hears_the_refusal_before_it_sends(node: RunningNode, payer: Payer) -> None:
    head = {"Content-Length": "9", "Expect": "100-continue"}
    assert (await send_head(node, os.urandom(32), head))[0] == 401
    data = os.urandom(40_000)
    url = f"{node.endpoint}/v1/staging/{cut(data).piece.root.hex()}"
    header = payer.upload_header(node.id)
    async with (
        aiohttp.ClientSession() as session,
        session.put(url, data=data, headers=header, expect100=True, ssl=False) as response,
    ):
        assert response.status == 201


async def test_one_payer_cannot_fill_the_staging(market: Market, node: RunningNode) -> None:
    greedy, other = await market.payer(), await market.payer()
    for _ in range(2):
        assert (await node.stage(greedy, os.urandom(2**23)))[0] == 201
    status, body = await node.stage(greedy, os.urandom(2**23))
    assert (status, body["code"]) == (429, "payer_quota")
    assert (await node.stage(other, os.urandom(2**20)))[0] == 201


async def test_a_right_to_upload_is_not_replayed(node: RunningNode, market: Market) -> None:
    payer = await market.payer()
    header = payer.upload_header(node.id, 5000)
    assert (await node.stage(payer, os.urandom(4000), header=header))[0] == 201
    status, body = await node.stage(payer, os.urandom(4000), header=header)
    assert (status, body["code"]) == (403, "upload_used_up")


# ----------------------------------------------------------------------------------------------------- deals


async def test_a_quote_binds_the_node_for_its_time(market: Market, node: RunningNode, payer: Payer) -> None:
    body = {"payer": payer.address, "leaves": 2**10, "periods": 5}
    status, shown = await node.request("POST", "/v1/quotes", body=body)
    assert (status, int(shown["quote"]["rate"])) == (200, HOLE // 2**10)
    data = os.urandom(4000)
    await node.stage(payer, data)
    terms, pieces = await node.draft(payer, [cut(data).piece], rate=HOLE * 4 // 2**20 - 1)
    status, body = await node.agree(terms, pieces, quote=shown)
    assert (status, body["code"], body["data"]["least_wei"]) == (409, "rate", str(HOLE * 4 // 2**20))
    shown["quote"]["rate"] = "1"
    status, body = await node.agree(terms, pieces, quote=shown)
    assert (status, body["code"]) == (403, "quote_signature")


async def test_terms_are_refused_with_the_reason(market: Market, node: RunningNode, payer: Payer) -> None:
    data, absent = os.urandom(4000), os.urandom(4000)
    await node.stage(payer, data)
    one = [cut(data).piece]
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"node": node.id + 1}, 409, "wrong_node"),
        ({"payee": payer.address}, 409, "wrong_payee"),
        ({"root": bytes(31) + b"\1"}, 422, "wrong_root"),
        ({"pieces": bytes(32)}, 422, "wrong_root"),
        ({"leaves": 5}, 422, "wrong_root"),
        ({"rate": 1, "prepaid": HOLE}, 409, "rate"),
        ({"start": await market.period()}, 409, "start"),
        ({"start": await market.period() + 3}, 409, "start"),
        ({"end": 1}, 409, "end"),
        ({"end": await market.period() + 2000}, 409, "end"),
        ({"prepaid": 1}, 409, "prepaid"),
        ({"prepaid": 10**24}, 402, "insufficient_funds"),
    ]
    for change, status, code in cases:
        terms, pieces = await node.draft(payer, one)
        terms = replace(terms, **change)
        got, body = await node.agree(terms, pieces)
        assert (got, body["code"]) == (status, code), (change, body)
        assert body["hint"]
    terms, pieces = await node.draft(payer, [*one, cut(absent).piece])
    status, body = await node.agree(terms, pieces)
    assert (status, body["data"]["missing"]) == (409, [cut(absent).piece.root.hex()])
    stranger = await market.payer()
    terms, pieces = await node.draft(stranger, one)
    status, body = await node.agree(terms, pieces)
    assert (status, body["code"]) == (409, "not_staged")


async def test_the_same_terms_get_the_same_signature_and_the_same_money_no_second(
    market: Market, node: RunningNode
) -> None:
    payer = await market.payer(deposit=HOLE)
    data = os.urandom(4000)
    await node.stage(payer, data)
    terms, pieces = await node.draft(payer, [cut(data).piece], prepaid=HOLE * 2 // 3)
    _, first = await node.agree(terms, pieces)
    assert (await node.agree(terms, pieces))[1] == first
    again, _ = await node.draft(payer, [cut(data).piece], prepaid=HOLE * 2 // 3)
    status, body = await node.agree(again, pieces)
    assert (status, body["code"]) == (402, "insufficient_funds")


# ----------------------------------------------------------------------------------------------------- reads


async def test_without_a_lane_a_read_costs_402(node: RunningNode, payer: Payer) -> None:
    data = os.urandom(9000)
    await node.stage(payer, data)
    path = f"/v1/pieces/{cut(data).piece.root.hex()}/blocks/0"
    status, body = await node.request("GET", path)
    assert (status, body["code"], body["data"]["payee"].lower()) == (
        402,
        "payment_required",
        node.owner.address.lower(),
    )
    status, body = await node.request("GET", path, headers={"Blackhole-Lane": "4000000000"})
    assert (status, body["code"]) == (402, "unknown_lane")


async def test_a_lane_is_served_one_mib_ahead_and_pays_exactly_what_it_read(
    market: Market, node: RunningNode, payer: Payer
) -> None:
    data = os.urandom(3 * BLOCK + 1024)
    await node.stage(payer, data)
    root = cut(data).piece.root
    lane = await Lane.open(node, payer)
    got = []
    status, body = await lane.read(root, 0)
    assert status == 200
    got.append(body)
    status, body = await lane.read(root, 1)
    assert (status, body["data"]["missing_micro"], body["data"]["served_bytes"]) == (402, 1000, BLOCK)
    for index, micro in ((1, 1000), (2, 2000), (3, 3000)):
        status, body = await lane.read(root, index, micro)
        assert status == 200
        got.append(body)
    assert b"".join(got) == data
    status, part = await lane.read(root, 1, None, "bytes=1024-2047")
    assert (status, part) == (206, data[BLOCK + 1024 : BLOCK + 2048])
    _, figures = await node.request("GET", f"/v1/lanes/{lane.number}")
    served = 3 * BLOCK + 2048
    owed = -(-served * 1000 // BLOCK)
    assert figures == {"lane": lane.number, "served_bytes": served, "accepted_micro": 3000, "owed_micro": owed}
    assert (await lane.pay(owed))[1]["accepted_micro"] == owed

    async def redeemed() -> bool:
        state = await market.chain.read(market.hub.lane_of(node.owner.address, 1, lane.number))
        return state.claimed == owed

    await market.jump()
    await until(redeemed, why=node.tail)


async def test_vouchers_of_others_and_beyond_the_deposit_buy_nothing(
    market: Market, node: RunningNode, payer: Payer
) -> None:
    data = os.urandom(2 * BLOCK)
    await node.stage(payer, data)
    root = cut(data).piece.root
    lane = await Lane.open(node, payer, 1500)
    thief = Lane(node, await market.payer(), lane.number)
    status, body = await thief.read(root, 0, 1000)
    assert (status, body["code"]) == (403, "voucher")
    status, body = await lane.read(root, 0, 2000)
    assert (status, body["code"]) == (402, "not_backed")
    assert (await lane.read(root, 0))[0] == 200
    status, body = await lane.read(root, 1, 1000)
    assert (status, body["data"]["missing_deposit_micro"]) == (402, 500)
    await market.chain.send(market.hub.top_up(node.owner.address, 1, lane.number, 500), payer.signer)
    await market.final()
    assert (await lane.read(root, 1, 1000))[0] == 200


async def test_a_thaw_makes_the_node_redeem_at_once_and_serve_no_more(
    market: Market, node: RunningNode, payer: Payer
) -> None:
    data = os.urandom(2 * BLOCK)
    await node.stage(payer, data)
    root = cut(data).piece.root
    lane = await Lane.open(node, payer, 5000)
    assert (await lane.read(root, 0))[0] == 200
    assert (await lane.pay(1000))[0] == 200
    await market.chain.send(market.hub.thaw(node.owner.address, 1, lane.number, 5000), payer.signer)

    async def redeemed() -> bool:
        state = await market.chain.read(market.hub.lane_of(node.owner.address, 1, lane.number))
        return state.claimed == 1000

    await until(redeemed, why=node.tail)
    status, body = await lane.read(root, 1)
    assert (status, body["data"]["missing_deposit_micro"]) == (402, 2000)


async def test_a_grant_of_the_owner_reads_what_it_names_and_no_more(market: Market, node: RunningNode) -> None:
    owner, reader = await market.payer(), await market.payer()
    data = os.urandom(5000)
    await node.deal(owner, [data])
    root = cut(data).piece.root
    expiry = (await market.chain.block()).timestamp + 10_000

    def grant(signer: Payer, size: int = 8000, scope: bytes = root) -> dict[str, str]:
        made = ReadGrant(signer.address, reader.address, scope, size, expiry, 1)
        signature = signer.signer.sign_digest(made.digest(market.domain))
        return {"Blackhole-Grant": GrantChain(((made, signature),)).encode().hex()}

    path = f"/v1/pieces/{root.hex()}/blocks/0"
    assert await node.request("GET", path, headers=grant(owner)) == (200, data)
    status, body = await node.request("GET", path, headers=grant(owner))
    assert (status, body["code"]) == (403, "grant_used_up")
    status, body = await node.request("GET", path, headers=grant(reader))
    assert (status, body["code"]) == (403, "grant_owner")
    status, body = await node.request("GET", path, headers=grant(owner, 9000, bytes(32)))
    assert (status, body["code"]) == (403, "grant_scope")


async def test_a_grant_over_a_manifest_covers_its_pieces(market: Market, node: RunningNode) -> None:
    owner, reader = await market.payer(), await market.payer()
    profile, data = PROFILES["dev"], os.urandom(2048)
    layout = SegmentLayout(profile, 3000)
    shards = [os.urandom(layout.shard_length) for _ in range(profile.n)]
    segment = Segment(profile, 3000, bytes(16), tuple(cut(shard).digests for shard in shards))
    manifest = SegmentsManifest(profile, 3000, bytes(32), (segment,)).encode()[0]
    await node.deal(owner, [shards[0], data, manifest.data])
    expiry = (await market.chain.block()).timestamp + 10_000
    made = ReadGrant(owner.address, reader.address, manifest.piece.root, 2**20, expiry, 2)
    signature = owner.signer.sign_digest(made.digest(market.domain))
    header = {"Blackhole-Grant": GrantChain(((made, signature),)).encode().hex()}
    for listed in (shards[0], manifest.data):
        path = f"/v1/pieces/{cut(listed).piece.root.hex()}/blocks/0"
        assert await node.request("GET", path, headers=header) == (200, listed)
    status, body = await node.request("GET", f"/v1/pieces/{cut(data).piece.root.hex()}/blocks/0", headers=header)
    assert (status, body["code"]) == (403, "grant_scope")


async def test_an_audit_read_proves_a_chunk_against_the_block(node: RunningNode, payer: Payer) -> None:
    data = os.urandom(BLOCK + 5 * 1024 + 100)
    await node.stage(payer, data)
    blocks = cut(data)
    path = f"/v1/pieces/{blocks.piece.root.hex()}/audit"
    for block, chunk in ((0, 0), (0, 1023), (1, 5)):
        status, proof = await node.request("GET", f"{path}?block={block}&chunk={chunk}")
        assert status == 200
        start = block * BLOCK + chunk * 1024
        found = verify_chunk(proof, blocks.digests[block], chunk, blocks.chunks(block))
        assert found == data[start : start + 1024]
    assert (await node.request("GET", f"{path}?block=1&chunk=6"))[0] == 400
    assert (await node.request("GET", f"{path}?block=2&chunk=0"))[0] == 404


# --------------------------------------------------------------------------------------------------- malformed


VALUES = ["", "1", "-1", "{}", "x" * 3000, "0x" + "0" * 148, '{"payer":1}', "bytes=5-1", "bytes=-", "\u00ff"]
WRONG: list[Any] = [
    None, -1, 2**256, 1.5, True, "", "0x", "zz", "9" * 90, [], {}, [[]], {"a": 1}, "0x" + "00" * 31, "\u0661", 2**63,
]  # fmt: skip


def mutate(
    random_: random.Random, node: RunningNode, payer: Payer, listed: PieceList, terms: Terms
) -> tuple[str, bytes]:
    """A request of ours with one value that is wrong."""
    id = terms.digest(node.market.domain).hex()
    bodies: list[tuple[str, Any]] = [
        ("/v1/agreements", {"terms": terms.to_json(), "pieces": [[p.root.hex(), p.leaves] for p in listed.pieces]}),
        ("/v1/quotes", {"payer": payer.address, "leaves": 5, "periods": 5}),
        (f"/v1/agreements/{id}/changes", {
            "change": {"id": str(int(id, 16)), "root": "0x" + "00" * 32, "pieces": "0x" + "00" * 32, "leaves": 0,
                       "rate": "0", "end": terms.end, "prepaid": "0", "nonce": 0}, "added": [], "removed": [],
        }),
    ]  # fmt: skip
    path, body = random_.choice(bodies)
    places: list[tuple[Any, Any]] = [(body, key) for key in body]
    for value in body.values():
        if isinstance(value, dict):
            places += [(value, key) for key in value]
        if isinstance(value, list):
            places += [(item, index) for item in value for index in range(len(item))]
    where, key = random_.choice(places)
    if random_.random() < 0.2 and isinstance(where, dict):
        del where[key]
    else:
        where[key] = random_.choice(WRONG)
    return path, json.dumps(body).encode()


def generate(random_: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    """One request that no client of ours sends."""
    root = random_.choice(["00" * 32, "zz", "0x" + "1" * 64, "%2e%2e%2f", "", "\u00e9", "f" * 63, "f" * 5000])
    number = random_.choice(["0", "-1", "1e9", "9" * 30, "\u0663", "", "0x10", "4294967296"])
    path = random_.choice(
        [
            "/", "/v1", "/v2/health", f"/v1/staging/{root}", f"/v1/pieces/{root}", f"/v1/pieces/{root}/blocks/{number}",
            f"/v1/pieces/{root}/audit?block={number}&chunk={number}", f"/v1/pieces/{root}/audit", f"/v1/lanes/{number}",
            f"/v1/agreements/{root}/pieces", f"/v1/agreements/{root}/changes", "/v1/agreements", "/v1/quotes",
        ]
    )  # fmt: skip
    junk: Any = random_.choice(
        [
            b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b'{"payer": 1}', b'{"terms": {}, "pieces": []}',
            b'{"terms": {"payer": "0x"}, "pieces": [[1, 2]]}', b'{"change": null, "added": 3}', b"[" * 5000,
            b'{"payer": "0x' + b"1" * 40 + b'", "leaves": 1e400, "periods": -1}',
            b'{"payer": "0x' + b"1" * 40 + b'", "leaves": "' + b"9" * 200 + b'", "periods": 1}',
            b'{"voucher": "' + b"0" * 148 + b'"}', os.urandom(200),
        ]
    )  # fmt: skip
    headers = {
        name: random_.choice(VALUES)
        for name in random_.sample(["Upload", "Payer", "Lane", "Voucher", "Grant", "Range"], 3)
    }
    headers = {name if name == "Range" else f"Blackhole-{name}": value for name, value in headers.items()}
    return random_.choice(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"]), path, headers, junk


async def test_malformed_requests_get_a_reason_and_never_a_traceback(
    market: Market, node: RunningNode, payer: Payer
) -> None:
    random_ = random.Random(int(os.environ.get("BLACKHOLE_SEED", "3")))
    terms, listed = await node.draft(payer, [cut(b"never staged").piece])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        for index in range(MALFORMED):
            if index % 2:
                method, headers = "POST", {}
                path, junk = mutate(random_, node, payer, listed, terms)
            else:
                method, path, headers, junk = generate(random_)
            url = URL(node.endpoint + path, encoded=False)
            async with session.request(method, url, headers=headers, data=junk, ssl=False) as response:
                body = await response.read()
                said = (index, method, path[:80], headers, junk[:80], response.status, body[:300])
                assert 400 <= response.status < 500 or (method == "GET" and "/lanes/" in path), said
                assert b"Traceback" not in body, said
                if method != "HEAD" and response.status >= 400:
                    assert {"code", "message", "hint", "data"} <= set(await response.json(content_type=None)), said
    assert node.records("request failed") == []


async def test_garbage_instead_of_http_ends_the_connection(node: RunningNode) -> None:
    host, port = node.endpoint.removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for junk in (
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"PUT /v1/staging/00 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(junk)
        answer = await asyncio.wait_for(reader.read(65536), 5)
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "malformed"
        writer.close()
    with socket.create_connection((host, int(port)), 5) as plain:
        plain.sendall(b"GET /v1/health HTTP/1.1\r\n\r\n")
        plain.settimeout(5)
        assert b"200 OK" not in plain.recv(4096)
    assert (await node.request("GET", "/v1/health"))[0] == 200
    assert "Traceback" not in node.log.read_text()


def raw_request(random_: random.Random) -> bytes:
    """A head and a body that need not belong together, nor be HTTP."""
    pick = random_.choice
    root = "ab" * 32
    target = pick(
        ["/", "*", "//", "", "/v1/health", "http://elsewhere/v1/health", f"/v1/staging/{root}", "/v1/quotes", "/\u00e9",
         "/v1/agreements", f"/v1/pieces/{root}/blocks/0", "/v1/lanes/7", "/" + "a" * 9000, "/a b", "/%00", "/%zz"]
    )  # fmt: skip
    method = pick(["GET", "PUT", "POST", "POST", "HEAD", "OPTIONS", "CONNECT", "TRACE", "G\0T", "", "get", "X" * 100])
    lengths = ["0", "5", "-1", "+5", "0x5", "5, 6", "five", "9" * 30, str(2**63), str(2**20)]
    fields = [
        "Host: a", "Host: a\r\nHost: b", f"Content-Length: {pick(lengths)}", f"Content-Length: {pick(lengths)}",
        f"Transfer-Encoding: {pick(['chunked', 'gzip', 'chunked, chunked', 'identity', 'x'])}",
        f"Content-Encoding: {pick(['gzip', 'deflate', 'br', 'x'])}", f"Expect: {pick(['100-continue', 'x'])}",
        "Connection: Upgrade\r\nUpgrade: websocket", "Upgrade: h2c", " folded: x", "No colon", "Na me: x", "X: a\0b",
        "X: " + "a" * 9000, "\r\n".join(f"H{i}: {i}" for i in range(300)), "Blackhole-Upload: {}", "Range: bytes=0-0",
        "Blackhole-Voucher: 00", "Blackhole-Lane: 1", "Cookie: \u00ff", ": empty", "Content-Type: multipart/form-data",
    ]  # fmt: skip
    head = [f"{method} {target} {pick(['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9.9', '', 'http'])}"]
    head += random_.sample(fields, random_.randrange(6))
    body = pick(
        [b"", b"{}", b"x" * 5, os.urandom(3000), b"5\r\nab", b"zz\r\n", b"f" * 17 + b"\r\n", b"0\r\n\r\n",
         b"5\r\nabcde\r\n0\r\nTrailer", b"GET / HTTP/1.1\r\n\r\n" * 3, b"\x1f\x8b\x08" + bytes(20)]
    )  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode("utf-8") + body


async def test_no_head_or_body_brings_a_node_down(node: RunningNode) -> None:
    random_ = random.Random(int(os.environ.get("BLACKHOLE_SEED", "5")))
    host, port = node.endpoint.removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    few = asyncio.Semaphore(20)

    async def one(sent: bytes) -> None:
        async with few:
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.write(sent)
            answer = b""
            # A body that was announced and never comes is waited for: then the sender is the one who leaves.
            with suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 1)
                if match := re.search(rb"(?i)content-length: (\d+)", answer):
                    answer += await asyncio.wait_for(reader.readexactly(int(match[1])), 1)
            writer.close()
            if not answer or answer.startswith(b"HTTP/1.1 100"):
                return
            status = int(answer.split(b" ")[1])
            said = (sent[:200], answer[:300])
            assert status < 500, said
            if status >= 400 and not sent.startswith(b"HEAD"):
                assert {"code", "message", "hint", "data"} <= set(json.loads(answer.partition(b"\r\n\r\n")[2])), said

    await asyncio.gather(*(one(raw_request(random_)) for _ in range(MALFORMED)))
    assert (await node.request("GET", "/v1/health"))[0] == 200
    assert node.records("request failed") == []
    assert "Traceback" not in node.log.read_text()


async def test_a_connection_that_sends_no_request_is_closed(node: RunningNode) -> None:
    host, port = node.endpoint.removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(b"GET /v1/health HTTP/1.1\r\nHost:")
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(10), 6) == b""
    writer.close()
