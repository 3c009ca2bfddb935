"""kill -9 at every journalled step: with half of its record on the disk, and right after all of it.

Nothing paid for is lost, nothing is promised or paid twice.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from blackhole.chain.bindings.payment_hub import LaneOpened
from blackhole.chain.bindings.storage_market import ChangeExpired
from blackhole.errors import Reverted
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner
from blackhole.journal import CRASH_VARIABLE
from blackhole.node.storage.steps import KIND, Step
from blackhole.protocol import START_LEAD

from .market import Market, Payer, RunningNode, cut, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOMENTS = ("torn", "after")
EVERYWHERE = MOMENTS if os.environ.get("BLACKHOLE_ALL_MOMENTS") else ("after",)
"""Where a torn record only means that the step did not happen, it is tried by environment."""


def crash_at(step: Step, moment: str) -> dict[str, str]:
    return {CRASH_VARIABLE: f"{KIND}:{step}:1:{moment}"}


async def crashed(node: RunningNode) -> None:
    """Wait until the plugin was killed by its own journal; then end the supervisor the same way."""

    async def logged() -> bool:
        return bool(node.records("plugin crashed"))

    await until(logged, seconds=30, why=node.tail)
    assert node.records("plugin crashed")[0]["code"] == -9
    await node.kill()


async def crash_during(node: RunningNode, step: Step, moment: str, what: object) -> None:
    """Start the agent so that it dies at `step`, do `what`, and wait for its death."""
    await node.start(**crash_at(step, moment))
    # The node dies under the request.
    with suppress(aiohttp.ClientError, AssertionError, ConnectionError, TimeoutError):
        await what  # type: ignore[misc]
    await crashed(node)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_an_upload_is_either_whole_or_sent_again(market: Market, tmp_path: Path, moment: str) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    data = os.urandom(2**20 + 500)
    header = payer.upload_header(node.id, len(data))
    await crash_during(node, Step.STAGED, moment, _stage(node, payer, data, header))
    await node.start()
    try:
        status, body = await node.stage(payer, data, header=header)
        # Journalled: it is there and asks for no second right. Not journalled: nothing is left, the right is whole.
        assert status == (200 if moment == "after" else 201), body
        blocks = sum(1 for path in (node.folder.store / "blocks" / "blocks").glob("*/*"))
        assert blocks == 2
    finally:
        await node.kill()


async def _stage(node: RunningNode, payer: Payer, data: bytes, header: dict[str, str]) -> None:
    await node.stage(payer, data, header=header)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_terms_are_signed_once_for_one_capacity(market: Market, tmp_path: Path, moment: str) -> None:
    payer = await market.payer()
    node = await market.node(tmp_path / "node", storage__capacity_gib=1)
    data = os.urandom(4000)
    await node.start()
    await node.stage(payer, data)
    await node.stop()
    terms, pieces = await node.draft(payer, [cut(data).piece], start=2)
    await crash_during(node, Step.TERMS_SIGNED, moment, node.agree(terms, pieces))
    await node.start()
    try:
        held = (await node.status())["plugins"]["storage"]
        assert held["agreements"]["signed"] == (1 if moment == "after" else 0)
        status, body = await node.agree(terms, pieces)
        assert status == 200, body
        assert (await node.status())["plugins"]["storage"]["leaves"]["promised"] == 4
        await node.open(payer, terms, body["signature"])
    finally:
        await node.kill()


@pytest.mark.parametrize("moment", EVERYWHERE)
@pytest.mark.parametrize("step", [Step.OPENED, Step.PROVING, Step.PROVED, Step.SETTLING, Step.SETTLED])
async def test_a_paid_deal_survives_and_is_proven_and_paid_once(
    market: Market, tmp_path: Path, step: Step, moment: str
) -> None:
    payer = await market.payer()
    node = await market.node(tmp_path / "node", chain__report_missed=False)
    data = os.urandom(2**20 + 3000)
    await node.start(**crash_at(step, moment))
    before = await market.chain.read(market.hub.balance_of(payer.address))
    id, terms, _ = await node.deal(payer, [data], periods=2)
    if step is not Step.OPENED:
        await market.jump(2)
        if step in {Step.SETTLING, Step.SETTLED}:
            await node.proven(terms.start)
            await market.jump(1)
    await crashed(node)
    await node.start()
    try:
        if step is Step.OPENED:
            await market.jump(2)
        await node.proven(terms.start)
        if await market.period() < terms.end:
            await market.jump(1)
        await node.proven(terms.start + 1)
        await market.jump(1)

        async def closed() -> bool:
            return (await market.chain.read(market.market.agreement_of(id))).status == 3

        await until(closed, seconds=30, why=node.tail)
        paid = before - await market.chain.read(market.hub.balance_of(payer.address))
        assert paid == 2 * terms.rate
        # One release for both periods or two, the fee rounded down at each.
        earned = await market.chain.read(market.hub.balance_of(node.owner.address))
        assert earned in {paid - paid // 100, paid - 2 * (terms.rate // 100)}
    finally:
        await node.kill()


@pytest.mark.parametrize("moment", EVERYWHERE)
@pytest.mark.parametrize("step", [Step.CHANGE_SIGNED, Step.CHANGED])
async def test_a_change_survives_and_old_pieces_go_only_when_it_is_final(
    market: Market, tmp_path: Path, step: Step, moment: str
) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    old, new = os.urandom(3000), os.urandom(5000)
    await node.start()
    id, terms, pieces = await node.deal(payer, [old])
    await node.stage(payer, new)

    async def opened() -> bool:
        return (await node.status())["plugins"]["storage"]["agreements"]["open"] == 1

    await until(opened, why=node.tail)
    await node.stop()
    ask = node.change(payer, id, pieces, added=[cut(new).piece], removed=[cut(old).piece.root], rate=2 * terms.rate)
    if step is Step.CHANGE_SIGNED:
        await crash_during(node, step, moment, ask)
        await node.start()
        ask = node.change(payer, id, pieces, added=[cut(new).piece], removed=[cut(old).piece.root], rate=2 * terms.rate)
    else:
        await node.start(**crash_at(step, moment))
    change, status, body = await ask
    assert status == 200, body
    await market.chain.send(
        market.market.change(
            change.values(),  # type: ignore[arg-type]
            payer.signer.sign_digest(change.digest(market.domain)),
            bytes.fromhex(body["signature"]),
        ),
        payer.signer,
    )
    if step is Step.CHANGED:
        await crashed(node)
        await node.start()
    try:

        async def gone() -> bool:
            status, _ = await node.request("GET", f"/v1/pieces/{cut(old).piece.root.hex()}")
            return status == 404

        await until(gone, why=node.tail)
        assert (await node.request("GET", f"/v1/pieces/{cut(new).piece.root.hex()}"))[0] == 200
        await market.jump(2)
        await node.proven(terms.start)
    finally:
        await node.kill()


@pytest.mark.parametrize("moment", EVERYWHERE)
async def test_a_change_nobody_applied_lapses_with_what_was_staged_for_it(
    market: Market, tmp_path: Path, moment: str
) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    old, new = os.urandom(3000), os.urandom(5000)
    await node.start(**crash_at(Step.CHANGE_LAPSED, moment))
    id, terms, pieces = await node.deal(payer, [old], periods=20)

    async def opened() -> bool:
        return (await node.status())["plugins"]["storage"]["agreements"]["open"] == 1

    await until(opened, why=node.tail)
    await node.stage(payer, new)
    swap = {"added": [cut(new).piece], "removed": [cut(old).piece.root], "rate": 2 * terms.rate}
    now = await market.period()
    for never in (now - 1, now + START_LEAD + 1):
        _, status, body = await node.change(payer, id, pieces, **swap, last_period=never)
        assert (status, body["code"]) == (409, "last_period")
    change, status, body = await node.change(payer, id, pieces, **swap)
    assert status == 200, body
    await market.jump(START_LEAD + 1)
    await crashed(node)
    await node.start()
    try:

        async def gone() -> bool:
            status, _ = await node.request("GET", f"/v1/pieces/{cut(new).piece.root.hex()}")
            held = (await node.status())["plugins"]["storage"]
            return status == 404 and held["leaves"]["staged"] == 0

        await until(gone, seconds=30, why=node.tail)
        assert (await node.request("GET", f"/v1/pieces/{cut(old).piece.root.hex()}"))[0] == 200
        with pytest.raises(Reverted) as late:
            await market.chain.send(
                market.market.change(
                    change.values(),  # type: ignore[arg-type]
                    payer.signer.sign_digest(change.digest(market.domain)),
                    bytes.fromhex(body["signature"]),
                ),
                payer.signer,
            )
        assert late.value.decoded == ChangeExpired(change.last_period)
    finally:
        await node.kill()


@pytest.mark.parametrize("moment", EVERYWHERE)
@pytest.mark.parametrize("step", [Step.VOUCHER, Step.REDEEMING, Step.REDEEMED])
async def test_a_voucher_that_was_answered_is_redeemed_once(
    market: Market, tmp_path: Path, step: Step, moment: str
) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    data = os.urandom(2**21)
    await node.start()
    await node.stage(payer, data)
    await node.stop()
    receipt = await market.chain.send(market.hub.open_lane(node.owner.address, 1, payer.address, 5000), payer.signer)
    await market.final()
    lane = receipt.event(LaneOpened).lane
    hub = VoucherDomain(market.network.chain_id, market.hub.address)
    row = VoucherSigner(hub, node.owner.address, 1, lane, payer.signer).sign(1000).hex()
    path = f"/v1/pieces/{cut(data).piece.root.hex()}/blocks/"
    first = {"Blackhole-Lane": str(lane)}
    paid = {**first, "Blackhole-Voucher": row}

    async def read() -> None:
        await node.request("GET", path + "0", headers=first)
        status, _ = await node.request("GET", path + "1", headers=paid)
        assert status == 200
        await market.jump()

    await crash_during(node, step, moment, read())
    await node.start()
    try:
        if step is Step.VOUCHER and moment != "after":
            # It was never answered: the reader still has it and shows it again.
            status, _ = await node.request("GET", path + "1", headers=paid)
            assert status == 200
        await market.jump()

        async def claimed() -> bool:
            state = await market.chain.read(market.hub.lane_of(node.owner.address, 1, lane))
            return state.claimed == 1000

        await until(claimed, seconds=30, why=node.tail)
        _, figures = await node.request("GET", f"/v1/lanes/{lane}")
        assert figures["accepted_micro"] == 1000
        fee = 1000 * 10**12 // 100
        assert await market.chain.read(market.hub.balance_of(node.owner.address)) == 1000 * 10**12 - fee
    finally:
        await node.kill()


@pytest.mark.parametrize("moment", EVERYWHERE)
@pytest.mark.parametrize("step", [Step.DROPPED, Step.TERMS_LAPSED, Step.CLOSED])
async def test_what_is_let_go_leaves_no_byte_behind(market: Market, tmp_path: Path, step: Step, moment: str) -> None:
    payer, node = await market.payer(), await market.node(tmp_path / "node")
    data = os.urandom(2**20 + 7)
    await node.start(**crash_at(step, moment))
    if step is Step.CLOSED:
        _, terms, _ = await node.deal(payer, [data], periods=1)
        await market.jump(2)
        await node.proven(terms.start)
        await market.jump(1)
    else:
        await node.stage(payer, data)
        if step is Step.TERMS_LAPSED:
            terms, pieces = await node.draft(payer, [cut(data).piece])
            assert (await node.agree(terms, pieces))[0] == 200
        for _ in range(4):
            await market.jump(1)
    await crashed(node)
    await node.start()
    try:
        await market.jump(1)

        async def empty() -> bool:
            return not any((node.folder.store / "blocks" / "blocks").glob("*/*")) and not any(
                (node.folder.store / "pieces").glob("*/*")
            )

        await until(empty, seconds=30, why=node.tail)
        held = (await node.status())["plugins"]["storage"]
        assert held["agreements"] == {"open": 0, "signed": 0}
        assert held["leaves"]["staged"] == 0
    finally:
        await node.kill()


async def test_every_step_is_killed_at_somewhere_here() -> None:
    text = Path(__file__).read_text()  # noqa: ASYNC240
    assert [step for step in Step if f"Step.{step.name}" not in text] == []
