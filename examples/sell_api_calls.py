"""Sell calls of an API for vouchers: no account, no invoice, no transaction a call.

    python examples/sell_api_calls.py SELLER_KEY_FILE BUYER_KEY_FILE

BLACKHOLE_NETWORK says where. The buyer opens a lane (prepaid money for one seller) and sends a voucher with every call:
"on this lane you have earned so much in all". The seller checks it in microseconds, without the chain, serves, and
redeems the last voucher once for all calls.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession, web
from blackhole.chain.signers import load_key_file
from blackhole.client import AsyncBlackhole
from blackhole.errors import BlackholeError
from blackhole.escrow.lanes import LaneId, read_lane
from blackhole.escrow.vouchers import VoucherVerifier
from blackhole.units import Tokens

SERVICE = 60_000
"""Lanes are kept apart by service; any number the catalog gives to nobody else will do for an API of one's own."""
PRICE = 250
"""micro-HOLE a call."""
CALLS = 40


@dataclass
class Tab:
    """What one lane may still buy."""

    verifier: VoucherVerifier
    backed: int
    """micro that the lane surely pays."""
    calls: int = 0
    best: bytes = b""
    """The highest voucher; it replaces all before it."""


class Seller:
    """A server that answers paid calls only."""

    def __init__(self, client: AsyncBlackhole) -> None:
        self.client = client
        self.account = client.connection.account
        self.tabs: dict[int, Tab] = {}

    async def open(self, lane: int) -> Tab:
        """The lane as a final block has it: what could still vanish in a reorganisation pays for nothing."""
        state = await read_lane(self.client.connection, LaneId(self.account, SERVICE, lane), at="finalized")
        now = (await self.client.chain.block("latest")).timestamp
        return Tab(await self.client.escrow.voucher_verifier(state.id), state.backed(now))

    async def answer(self, request: web.Request) -> web.Response:
        """GET /square/N with the headers Lane and Voucher."""
        try:
            lane = int(request.headers["Lane"])
            if lane not in self.tabs:
                self.tabs[lane] = await self.open(lane)
            tab = self.tabs[lane]
            row = bytes.fromhex(request.headers["Voucher"])
            promised = tab.verifier.verify(row)
        except KeyError as missing:
            return web.json_response({"error": f"pay first: there is no header {missing}"}, status=402)
        except (ValueError, BlackholeError) as error:
            return web.json_response({"error": f"this voucher does not pay: {error}"}, status=402)
        due = (tab.calls + 1) * PRICE
        if promised < due or due > tab.backed:
            return web.json_response({"due_micro": due, "backed_micro": tab.backed}, status=402)
        tab.calls, tab.best = tab.calls + 1, row
        return web.json_response({"square": int(request.match_info["number"]) ** 2})

    async def redeem(self) -> int:
        """Pay all lanes out in one transaction; the wei that arrived. Do it at the latest when a thaw starts."""
        rows = [tab.best for tab in self.tabs.values() if tab.best]
        credited = await self.client.escrow.redeem(self.account, SERVICE, rows)
        return sum(each.gross - each.fee for each in credited)


async def buy(client: AsyncBlackhole, url: str, seller: str) -> int:
    """Make the calls and return what they cost, in micro."""
    lane = await client.escrow.open_lane(seller, SERVICE, CALLS * PRICE)
    signer = await client.escrow.voucher_signer(lane)
    async with ClientSession() as session:
        async with session.get(f"{url}/square/7") as refused:
            assert refused.status == 402
            print("without a voucher: 402", (await refused.json())["error"])
        spent = 0
        for number in range(CALLS):
            headers = {"Lane": str(lane.lane), "Voucher": signer.sign(spent + PRICE).hex()}
            async with session.get(f"{url}/square/{number}", headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                assert (await answer.json())["square"] == number**2
            spent += PRICE
        headers = {"Lane": str(lane.lane), "Voucher": signer.sign(spent + PRICE).hex()}
        async with session.get(f"{url}/square/1", headers=headers) as refused:
            assert refused.status == 402
            print("beyond the lane's money: 402", await refused.json())
    return spent


async def main(seller_key: Path, buyer_key: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        seller = AsyncBlackhole(signer=load_key_file(seller_key), home=Path(folder) / "seller")
        # What the buyer sends waits until it is final: so the seller sees the lane at once.
        buyer = AsyncBlackhole(signer=load_key_file(buyer_key), home=Path(folder) / "buyer", wait="finalized")
        async with seller, buyer:
            if await buyer.escrow.balance() < Tokens("1"):
                await buyer.escrow.deposit(Tokens("1"))
            shop = Seller(seller)
            app = web.Application()
            app.router.add_get("/square/{number:[0-9]+}", shop.answer)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            try:
                host, port = runner.addresses[0][:2]
                spent = await buy(buyer, f"http://{host}:{port}", shop.account)
            finally:
                await runner.cleanup()
            before = await seller.escrow.balance()
            earned = await shop.redeem()
            assert await seller.escrow.balance() == before + earned
            print(f"{CALLS} calls, {spent} micro-HOLE signed, one transaction, {earned} wei in the seller's bank")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
