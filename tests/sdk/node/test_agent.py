"""A node from first upload to pay, with real contracts and real processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .market import Market, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_deal_is_staged_signed_opened_proven_and_paid(market: Market, tmp_path: Path) -> None:
    payer = await market.payer()
    node = await market.node(tmp_path / "node")
    await node.start()
    try:
        data = [os.urandom(2 * 2**20 + 777), os.urandom(5000)]
        id, terms, _ = await node.deal(payer, data)
        await market.jump(2)
        await node.proven(terms.start)
        await market.jump(1)

        async def settled() -> bool:
            return (await market.chain.read(market.market.agreement_of(id))).settled_to > terms.start

        await until(settled, why=node.tail)
        assert await market.chain.read(market.hub.balance_of(node.owner.address)) > 0
    finally:
        await node.stop()
