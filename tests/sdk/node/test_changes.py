"""Changes of agreements from the node's side: what it signs, what it refuses, what it holds back for them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.terms import Change

from .market import HOLE, Market, Payer, RunningNode, cut, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(market: Market, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    node = await market.node(tmp_path_factory.mktemp("changes") / "node")
    await node.start()
    yield node
    await node.stop()


async def opened(node: RunningNode, payer: Payer, data: bytes, **how: Any) -> tuple[int, PieceList]:
    """A deal of this payer that the node knows to be open."""
    before = (await node.status())["plugins"]["storage"]["agreements"]["open"]
    id, _, pieces = await node.deal(payer, [data], **how)

    async def known() -> bool:
        return (await node.status())["plugins"]["storage"]["agreements"]["open"] > before

    await until(known, why=node.tail)
    return id, pieces


async def staged(node: RunningNode, payer: Payer, size: int) -> Piece:
    data = os.urandom(size)
    status, body = await node.stage(payer, data)
    assert status == 201, body
    return cut(data).piece


async def send(market: Market, payer: Payer, change: Change, signature: str) -> None:
    struct: Any = change.values()
    own = payer.signer.sign_digest(change.digest(market.domain))
    await market.chain.send(market.market.change(struct, own, bytes.fromhex(signature)), payer.signer)


async def promised(node: RunningNode) -> int:
    """Leaves the node holds back for deals and signed Changes."""
    leaves: int = (await node.status())["plugins"]["storage"]["leaves"]["promised"]
    return leaves


async def test_a_further_file_is_signed_once_held_and_proven(market: Market, node: RunningNode) -> None:
    payer = await market.payer()
    id, pieces = await opened(node, payer, os.urandom(3000))
    more = await staged(node, payer, 5000)
    change, status, body = await node.change(payer, id, pieces, added=[more])
    assert status == 200, body
    assert (await node.change(payer, id, pieces, added=[more]))[2] == body
    await send(market, payer, change, body["signature"])
    path = f"/v1/agreements/{id:064x}/pieces?root={change.root.hex()}"
    status, listed = await node.request("GET", path)
    assert (status, PieceList.decode(listed)) == (200, pieces.changed([more]))
    # The next one is over what the chain has now, final or not.
    another = await staged(node, payer, 700)
    _, status, body = await node.change(payer, id, pieces.changed([more]), added=[another], rate=2 * change.rate)
    assert status == 200, body
    first = await market.period() + 1
    await market.jump(2)
    await node.proven(first)


async def test_changes_are_refused_with_their_reason(market: Market, node: RunningNode) -> None:
    payer, other = await market.payer(), await market.payer()
    id, pieces = await opened(node, payer, os.urandom(3000))
    own, foreign = await staged(node, payer, 5000), await staged(node, other, 4000)
    now, period = await market.chain.read(market.market.agreement_of(id)), await market.period()
    missing = cut(os.urandom(900)).piece
    cases: list[tuple[int, str, dict[str, Any]]] = [
        (409, "nonce", {"added": [own], "nonce": now.nonce + 1}),
        (409, "not_staged", {"added": [missing]}),
        (409, "not_staged", {"added": [foreign]}),
        (409, "rate", {"added": [own], "rate": now.rate}),
        (409, "end", {"added": [own], "end": 2**31}),
        (422, "wrong_root", {"added": [own], "root": os.urandom(32)}),
        (422, "wrong_root", {"added": [own], "leaves": 1}),
        (402, "insufficient_funds", {"added": [own], "prepaid": 2000 * HOLE}),
    ]
    for expected, code, values in cases:
        _, status, body = await node.change(payer, id, pieces, **values)
        assert (status, body["code"]) == (expected, code), (values, body)
    status, body = await node.request(
        "POST", f"/v1/agreements/{id:064x}/changes",
        body={"change": Change(id, bytes(32), bytes(32), 0, 0, now.end, 0, now.nonce, period).to_json(), "added": [],
              "removed": [missing.root.hex()]},
    )  # fmt: skip
    assert (status, body["code"]) == (422, "wrong_pieces")
    # A piece is in a list once.
    again = Piece(pieces.pieces[0].root, pieces.pieces[0].leaves)
    body = {"change": Change(id, os.urandom(32), os.urandom(32), 9, HOLE, now.end, 0, now.nonce, period).to_json(),
            "added": [[again.root.hex(), again.leaves]], "removed": []}  # fmt: skip
    status, answer = await node.request("POST", f"/v1/agreements/{id:064x}/changes", body=body)
    assert (status, answer["code"]) == (422, "wrong_pieces")
    # Under notice nothing new comes in, and the end moves no more; what goes may go.
    await market.chain.send(market.market.terminate(id), payer.signer)
    for values in ({"added": [own]}, {"end": now.end + 1}):
        _, status, body = await node.change(payer, id, pieces, **values)
        assert (status, body["code"]) == (409, "notice"), values
    removed = [pieces.pieces[0].root]
    assert (await node.change(payer, id, pieces, removed=removed, prepaid=0))[1] == 200


async def test_of_changes_for_one_nonce_only_the_largest_is_held_back(market: Market, node: RunningNode) -> None:
    payer = await market.payer(deposit=100 * HOLE)
    id, pieces = await opened(node, payer, os.urandom(1000))
    before = await promised(node)
    small, large = await staged(node, payer, 20 * 1024), await staged(node, payer, 50 * 1024)
    # Each takes most of the money: one of them can happen, not both.
    for piece in (small, large):
        _, status, body = await node.change(payer, id, pieces, added=[piece], prepaid=80 * HOLE)
        assert status == 200, body
    assert await promised(node) == before + large.leaves
    # Somebody else's money it is not: a new deal has to do with what is left.
    third = await staged(node, payer, 3000)
    terms, listed = await node.draft(payer, [third], prepaid=40 * HOLE)
    status, body = await node.agree(terms, listed)
    assert (status, body["code"], body["data"]["need_wei"]) == (402, "insufficient_funds", str(120 * HOLE))


async def test_stake_that_leaves_backs_nothing_new(market: Market, tmp_path_factory: pytest.TempPathFactory) -> None:
    payer = await market.payer()
    node = await market.node(tmp_path_factory.mktemp("leaving") / "node")
    await node.start()
    try:
        id, pieces = await opened(node, payer, os.urandom(1000))
        more = await staged(node, payer, 5000)
        stake = await market.chain.read(market.stakes.stake_of(node.id, 1))
        leaving = market.stakes.request_exit(node.id, 1, stake.active - stake.reserved)
        await market.chain.send(leaving, node.owner)
        _, status, body = await node.change(payer, id, pieces, added=[more])
        assert (status, body["code"]) == (409, "bond"), body
        # What leaves needs no bond.
        removed = [pieces.pieces[0].root]
        assert (await node.change(payer, id, pieces, removed=removed, prepaid=0))[1] == 200
    finally:
        await node.stop()


async def test_the_list_of_another_nodes_agreement_is_kept_if_the_chain_confirms_it(
    market: Market, node: RunningNode, tmp_path_factory: pytest.TempPathFactory
) -> None:
    payer, stranger = await market.payer(), await market.payer()
    await opened(node, payer, os.urandom(1000))
    other = await market.node(tmp_path_factory.mktemp("other") / "node")
    await other.start()
    try:
        id, pieces = await opened(other, payer, os.urandom(2000))
        path = f"/v1/agreements/{id:064x}/pieces"
        assert (await node.request("GET", path))[0] == 404
        assert (await node.request("PUT", path, data=pieces.encode()))[0] == 201
        assert await node.request("GET", f"{path}?root={pieces.root.hex()}") == (200, pieces.encode())
        assert (await node.request("GET", f"{path}?root={'00' * 32}"))[0] == 404
        wrong = PieceList((Piece(os.urandom(32), pieces.leaves),)).encode()
        for data in (wrong, b"junk", b""):
            status, body = await node.request("PUT", path, data=data)
            assert (status, body["code"] in {"wrong_root", "wrong_list"}) == (422, True), (data, body)
        foreign, listed = await opened(other, stranger, os.urandom(1500))
        status, body = await node.request("PUT", f"/v1/agreements/{foreign:064x}/pieces", data=listed.encode())
        assert (status, body["code"]) == (403, "not_a_payer")
        # A Change makes it another list; the old copy goes.
        more = await staged(other, payer, 800)
        change, status, body = await other.change(payer, id, pieces, added=[more])
        assert status == 200, body
        await send(market, payer, change, body["signature"])
        assert (await node.request("PUT", path, data=pieces.encode()))[0] == 422
        newer = pieces.changed([more]).encode()
        assert (await node.request("PUT", path, data=newer))[0] == 201
        assert await node.request("GET", path) == (200, newer)
        assert (await node.request("GET", f"{path}?root={pieces.root.hex()}"))[0] == 404
        assert len(list((node.folder.store / "copies").glob("*/*"))) == 1
    finally:
        await other.stop()
