"""Events: ranges an endpoint accepts, a cursor that goes on after a restart and notices a reorganisation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from blackhole.chain.bindings.blackhole_token import Approval, BlackholeToken, Transfer
from blackhole.chain.client import Chain
from blackhole.chain.events import EventCursor, decode_log
from blackhole.chain.rpc import Rpc, RpcError
from blackhole.chain.signers import LocalSigner
from blackhole.chain.values import ZERO, Log, address
from blackhole.errors import Reorganised
from blackhole.paths import Home

from .conftest import KEYS, Anvil, deploy_market

OWNER = LocalSigner(bytes.fromhex(KEYS[0][2:]))


@pytest.fixture
async def chain(fresh_anvil: Anvil, home: Path) -> AsyncIterator[Chain]:
    chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
    yield chain
    await chain.close()


@pytest.fixture
def token(fresh_anvil: Anvil, tmp_path: Path) -> BlackholeToken:
    return BlackholeToken(deploy_market(fresh_anvil, tmp_path / "deployment").address("BlackholeToken"))


async def test_long_ranges_are_cut_until_the_endpoint_accepts_them(token: BlackholeToken, chain: Chain) -> None:
    await chain.rpc.request("anvil_mine", hex(400))
    await chain.send_many([token.transfer(ZERO[:-1] + "1", n) for n in range(1, 4)], OWNER)  # type: ignore[arg-type]
    request, asked = chain.rpc.request, []

    async def limited(method: str, *parameters: Any) -> Any:
        if method == "eth_getLogs":
            span = int(parameters[0]["toBlock"], 16) - int(parameters[0]["fromBlock"], 16) + 1
            asked.append(span)
            if span > 100:
                raise RpcError("endpoint", method, {"code": -32602, "message": "range too large"})
        return await request(method, *parameters)

    chain.rpc.request = limited  # type: ignore[method-assign]
    found = await chain.events(token.address, [Transfer], 0)
    assert [each.event.value for each in found][-3:] == [1, 2, 3]
    assert min(asked) > 0
    assert sum(span for span in asked if span <= 100) >= 400
    blocks = [each.block for each in found]
    assert blocks == sorted(blocks)


async def test_a_cursor_goes_on_where_its_state_stands(token: BlackholeToken, chain: Chain) -> None:
    cursor = EventCursor(chain, token.address, [Transfer, Approval])
    assert len((await cursor.advance()).events) == 4  # the genesis
    await chain.send(token.approve(address("0x" + "11" * 20), 5), OWNER)
    state = orjson.loads(orjson.dumps(cursor.state()))
    resumed = EventCursor(chain, token.address, [Transfer, Approval], state=state)
    (seen,) = (await resumed.advance()).events
    assert isinstance(seen.event, Approval)
    assert seen.event.value == 5
    assert (await resumed.advance()).events == []
    assert len((await cursor.advance()).events) == 1


async def test_a_cursor_says_how_far_to_go_back_after_a_reorganisation(token: BlackholeToken, chain: Chain) -> None:
    target = address("0x" + "22" * 20)
    cursor = EventCursor(chain, token.address, [Transfer])
    await cursor.advance()
    common = (await chain.block()).number
    await chain.send(token.transfer(target, 1), OWNER)
    assert [each.event.value for each in (await cursor.advance()).events] == [1]
    await chain.send(token.transfer(target, 2), OWNER)
    assert [each.event.value for each in (await cursor.advance()).events] == [2]
    await chain.rpc.request("anvil_reorg", 2, [])
    page = await cursor.advance()
    assert page.rewound_to == common
    assert all(each.block > common for each in page.events)


async def test_a_reorganisation_beyond_memory_is_an_error(token: BlackholeToken, chain: Chain) -> None:
    cursor = EventCursor(chain, token.address, [Transfer])
    await cursor.advance()
    state = cursor.state()
    state["hashes"] = dict.fromkeys(state["hashes"], "00" * 32)
    with pytest.raises(Reorganised):
        await EventCursor(chain, token.address, [Transfer], state=state).advance()


def test_foreign_and_malformed_logs_are_left_untyped() -> None:
    def log(topics: tuple[bytes, ...], data: bytes) -> Log:
        return Log(ZERO, topics, data, 1, bytes(32), bytes(32), 0)

    word = bytes(32)
    good = decode_log(log((Transfer.TOPIC, word, word), (7).to_bytes(32, "big")))
    assert good == Transfer(ZERO, ZERO, 7)
    assert good is not None
    assert good.address == ZERO
    assert decode_log(log((), b"")) is None
    assert decode_log(log((b"\1" * 32,), b"")) is None
    assert decode_log(log((Transfer.TOPIC, word, word), b"short")) is None
    assert decode_log(log((Transfer.TOPIC, word), word + word)) is None
    assert decode_log(log((Transfer.TOPIC, b"\xff" * 32, word), word)) is None
