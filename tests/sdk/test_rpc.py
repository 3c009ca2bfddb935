"""Reads against a real chain, through a proxy that misbehaves as endpoints do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from blackhole.chain.bindings.blackhole_token import BlackholeToken
from blackhole.chain.bindings.payment_hub import PaymentHub
from blackhole.chain.client import Chain
from blackhole.chain.rpc import Rpc, RpcError
from blackhole.chain.transport import HttpTransport, without_credentials
from blackhole.chain.values import ZERO, Tx
from blackhole.errors import ChainError, EndpointBehind, InputError, Reverted, RpcUnavailable, WrongChain
from blackhole.network import Network

from .conftest import Anvil

Fault = Callable[[list[dict[str, Any]]], "web.Response | None"]


class Proxy:
    """Passes requests on to anvil; `fault` may answer in its place, `rewrite` may change the answers."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.fault: Fault = lambda requests: None
        self.rewrite: Callable[[list[dict[str, Any]], list[dict[str, Any]]], Any] = lambda requests, answers: answers
        self.batches: list[int] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        requests = body if isinstance(body, list) else [body]
        self.batches.append(len(requests))
        if (refusal := self.fault(requests)) is not None:
            return refusal
        async with aiohttp.ClientSession() as session, session.post(self.target, json=requests) as answer:
            answers = await answer.json()
        changed = self.rewrite(requests, answers)
        return web.json_response(changed if isinstance(body, list) or not isinstance(changed, list) else changed[0])


@pytest.fixture
async def make_proxy(anvil: Anvil) -> AsyncIterator[Callable[[], Awaitable[Proxy]]]:
    runners: list[web.AppRunner] = []

    async def make() -> Proxy:
        proxy = Proxy(anvil.url)
        app = web.Application()
        app.router.add_post("/", proxy.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return proxy

    yield make
    for runner in runners:
        await runner.cleanup()


async def test_reads_of_one_tick_travel_in_one_request(anvil: Anvil, market: Network) -> None:
    rpc = Rpc(anvil.url, market.chain_id)
    chain = Chain(rpc)
    token, hub = BlackholeToken(market.address("BlackholeToken")), PaymentHub(market.address("PaymentHub"))
    await chain.read(token.name())
    before = rpc.requests
    supply, unit, name, *balances = await asyncio.gather(
        chain.read(token.total_supply()),
        chain.read(hub.unit()),
        chain.read(token.name()),
        *(chain.read(token.balance_of(ZERO)) for _ in range(90)),
    )
    assert rpc.requests == before + 1
    assert (unit, name, set(balances)) == (10**12, "Blackhole", {0})
    assert 3 * 10**24 < supply <= 4 * 10**24  # fees burn
    before = rpc.requests
    await chain.read_many([token.balance_of(ZERO)] * 1_000)
    assert rpc.requests == before + 10
    await chain.close()


async def test_a_refused_batch_is_split_until_it_passes(make_proxy: Any, market: Network) -> None:
    proxy = await make_proxy()

    def at_most_ten(requests: list[dict[str, Any]]) -> web.Response | None:
        if len(requests) > 10:
            return web.json_response({"jsonrpc": "2.0", "error": {"code": -32600, "message": "batch too large"}})
        return None

    proxy.fault = at_most_ten
    chain = Chain(Rpc(proxy.url, market.chain_id))
    token = BlackholeToken(market.address("BlackholeToken"))
    assert set(await chain.read_many([token.balance_of(ZERO)] * 100)) == {0}
    learned = len(proxy.batches)
    assert set(await chain.read_many([token.balance_of(ZERO)] * 20)) == {0}
    assert max(proxy.batches[learned:]) <= 10
    await chain.close()


async def test_an_endpoint_without_batches_still_serves(make_proxy: Any, market: Network) -> None:
    proxy = await make_proxy()
    proxy.fault = lambda requests: web.Response(status=400, text="no batches") if len(requests) > 1 else None
    chain = Chain(Rpc(proxy.url, market.chain_id))
    token = BlackholeToken(market.address("BlackholeToken"))
    assert await chain.read_many([token.balance_of(ZERO)] * 5) == [0] * 5
    await chain.close()


async def test_answers_left_out_or_overloaded_are_asked_again(make_proxy: Any, market: Network) -> None:
    proxy = await make_proxy()
    first = True

    def lossy(requests: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        nonlocal first
        if not first or len(answers) < 5:
            return answers
        first = False
        slow = {"jsonrpc": "2.0", "id": answers[1]["id"], "error": {"code": -32005, "message": "limit exceeded"}}
        return [answers[0], slow, *reversed(answers[3:])]

    proxy.rewrite = lossy
    chain = Chain(Rpc(proxy.url, market.chain_id))
    token = BlackholeToken(market.address("BlackholeToken"))
    wanted = await asyncio.gather(chain.read(token.name()), chain.read(token.symbol()), *(chain.balance(ZERO),) * 4)
    assert wanted[:2] == ["Blackhole", "HOLE"]
    await chain.close()


async def test_a_dead_endpoint_is_passed_over(make_proxy: Any, anvil: Anvil, market: Network) -> None:
    proxy = await make_proxy()
    proxy.fault = lambda requests: web.Response(status=503)
    chain = Chain(Rpc(["http://127.0.0.1:9", proxy.url, anvil.url], market.chain_id))
    token = BlackholeToken(market.address("BlackholeToken"))
    assert await chain.read(token.symbol()) == "HOLE"
    assert len(proxy.batches) == 1
    await chain.close()


async def test_all_endpoints_dead_is_an_error_within_the_patience() -> None:
    chain = Chain(Rpc(["http://127.0.0.1:9", "http://user:secret@127.0.0.1:10/key"], 1, patience=0.3))
    with pytest.raises(RpcUnavailable) as caught:
        await asyncio.wait_for(chain.balance(ZERO), 20)
    assert "secret" not in str(caught.value)
    assert "key" not in str(caught.value.message)
    await chain.close()


async def test_an_endpoint_of_another_chain_is_never_used(anvil: Anvil, market: Network) -> None:
    other = Anvil(("--chain-id", "777"))
    try:
        rpc = Rpc([other.url, anvil.url], market.chain_id)
        chain = Chain(rpc)
        assert await chain.read(BlackholeToken(market.address("BlackholeToken")).symbol()) == "HOLE"
        await chain.close()
        chain = Chain(Rpc(other.url, market.chain_id))
        with pytest.raises(WrongChain, match="serves chain 777"):
            await chain.balance(ZERO)
        await chain.close()
    finally:
        other.stop()


async def test_an_endpoint_behind_the_highest_block_seen_is_refused(
    make_proxy: Any, anvil: Anvil, market: Network
) -> None:
    lagging = await make_proxy()
    true_head = (await _height(anvil.url)) - 3

    def old(requests: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        heads = {each["id"] for each in requests if each["method"] == "eth_blockNumber"}
        return [{**each, "result": hex(true_head)} if each["id"] in heads else each for each in answers]

    chain = Chain(Rpc(anvil.url, market.chain_id))
    head = (await chain.block()).number
    lagging.rewrite = old
    rpc = Rpc([lagging.url, anvil.url], market.chain_id)
    rpc.saw_block(head)
    behind = Chain(rpc)
    token = BlackholeToken(market.address("BlackholeToken"))
    assert await behind.read(token.symbol()) == "HOLE"
    assert len(lagging.batches) == 2  # which chain, and the answer that was refused
    alone = Chain(Rpc(lagging.url, market.chain_id, patience=0.2))
    alone.rpc.saw_block(head)
    with pytest.raises(EndpointBehind):
        await alone.read(token.symbol())
    alone.rpc.forget_blocks()
    assert await alone.read(token.symbol()) == "HOLE"
    for each in (chain, behind, alone):
        await each.close()


async def _height(url: str) -> int:
    chain = Chain(Rpc(url))
    number = (await chain.block()).number
    await chain.close()
    return number


async def test_web3_objects_and_providers_are_transports(anvil: Anvil, market: Network) -> None:
    from web3 import AsyncWeb3, Web3

    token = BlackholeToken(market.address("BlackholeToken"))
    for endpoint in (
        Web3(Web3.HTTPProvider(anvil.url)),
        Web3.HTTPProvider(anvil.url),
        AsyncWeb3(AsyncWeb3.AsyncHTTPProvider(anvil.url)),
    ):
        chain = Chain(Rpc(endpoint, market.chain_id))
        assert await asyncio.gather(chain.read(token.symbol()), chain.read(token.name())) == ["HOLE", "Blackhole"]
        with pytest.raises(Reverted):
            await chain.simulate(token.transfer(ZERO, 1), ZERO)
        await chain.close()
    with pytest.raises(InputError, match="no endpoint"):
        Rpc(object())


async def test_a_persistent_connection_stays_its_givers(anvil: Anvil, market: Network) -> None:
    from web3 import AsyncWeb3, WebSocketProvider

    token = BlackholeToken(market.address("BlackholeToken"))
    provider = WebSocketProvider(anvil.url.replace("http", "ws"))
    unopened = Chain(Rpc(provider, market.chain_id, patience=0.2))
    with pytest.raises(RpcUnavailable) as caught:
        await unopened.read(token.symbol())
    assert "provider.connect()" in caught.value.hint
    async with AsyncWeb3(provider) as connected:
        chain = Chain(Rpc(connected, market.chain_id))
        assert await asyncio.gather(chain.read(token.symbol()), chain.read(token.name())) == ["HOLE", "Blackhole"]
        await chain.close()
        assert await connected.eth.chain_id == market.chain_id


async def test_refusals_of_the_endpoint_are_not_retried(anvil: Anvil) -> None:
    rpc = Rpc(anvil.url)
    with pytest.raises(RpcError) as caught:
        await rpc.request("eth_noSuchMethod")
    assert caught.value.number == -32601 or caught.value.number == -32602
    await rpc.close()


async def test_an_address_without_contract_is_named(anvil: Anvil) -> None:
    chain = Chain(Rpc(anvil.url))
    with pytest.raises(ChainError, match="no contract at"):
        await chain.read(BlackholeToken("0x" + "11" * 20).total_supply())
    with pytest.raises(Reverted):
        await chain.estimate(Tx(None, bytes.fromhex("60006000fd")), ZERO)
    await chain.close()


def test_names_of_endpoints_hide_credentials() -> None:
    assert without_credentials("https://user:pass@host.example:8545/v3/KEY?token=T") == "https://host.example:8545/…"
    assert HttpTransport("http://127.0.0.1:8545").name == "http://127.0.0.1:8545"
    with pytest.raises(InputError) as caught:
        HttpTransport("ftp://user:secret@host/")
    assert "secret" not in str(caught.value)
