"""One writer a key: nothing is sent twice, nothing is lost, whatever dies when."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from blackhole.chain.client import Chain
from blackhole.chain.raw_transactions import RawTransaction
from blackhole.chain.rpc import Rpc, RpcError
from blackhole.chain.signers import LocalSigner
from blackhole.chain.transactions import watch
from blackhole.chain.transactions.flights import Step
from blackhole.chain.transactions.logbook import IN_FLIGHT_MAX
from blackhole.chain.transactions.writer import Writer
from blackhole.chain.values import Address, Receipt, Tx
from blackhole.errors import InsufficientFunds, KeyInUse, Reverted, TransactionReplaced, TransactionUnknown
from blackhole.journal import Journal
from blackhole.network import Network
from blackhole.paths import Home

from .conftest import KEYS, Anvil

ROOT = Path(__file__).resolve().parent.parent.parent
T = TypeVar("T")
REVERTS = bytes.fromhex("60006000fd")
# Stores 7 in slot 0 unless slot 0 is 7 already: then it reverts.
ONCE = bytes.fromhex("600054600714600f576007600055005b60006000fd")


def key(number: int) -> LocalSigner:
    return LocalSigner(bytes.fromhex(KEYS[number][2:]))


def pay(to: str | Address, wei: int = 1) -> Tx[None]:
    return Tx(Address(to), b"", wei, name="pay")


@pytest.fixture
async def chain(fresh_anvil: Anvil, home: Path) -> AsyncIterator[Chain]:
    chain = Chain(Rpc(fresh_anvil.url, 31337), home=Home(home))
    yield chain
    await chain.close()


def journal_of(home: Path) -> Path:
    (found,) = (home / "journals" / "transactions").glob("*.journal")
    return found


def steps(home: Path) -> list[tuple[str, int]]:
    with Journal.open(journal_of(home), "transactions", Step) as journal:
        return [(str(record.step), record["nonce"]) for record in journal.records()]


async def test_signed_bytes_are_journalled_before_they_are_sent(chain: Chain, home: Path) -> None:
    seen: list[bool] = []
    request = chain.rpc.request

    async def spy(method: str, *parameters: Any) -> Any:
        if method == "eth_sendRawTransaction":
            seen.append(parameters[0][2:].encode() in journal_of(home).read_bytes())
        return await request(method, *parameters)

    chain.rpc.request = spy  # type: ignore[method-assign]
    receipt = await chain.send(pay(key(1).address), key(0))
    assert seen == [True]
    assert receipt.gas_used == 21_000


async def test_many_concurrent_sends_use_each_nonce_once(chain: Chain) -> None:
    target = LocalSigner.generate().address
    receipts = await _mined(chain, _all(chain.send(pay(target, wei), key(0)) for wei in range(1, 61)))
    assert await chain.balance(target) == sum(range(1, 61))
    assert len({receipt.hash for receipt in receipts if isinstance(receipt, Receipt)}) == 60
    assert await chain.transaction_count(key(0).address) == 60


async def test_transactions_an_endpoint_refuses_leave_no_gap_before_the_others(chain: Chain) -> None:
    """Their nonces come back while others are being signed; what was signed after them must not wait for ever."""
    target = LocalSigner.generate().address
    request = chain.rpc.request
    writer = await chain.writer(key(0))

    async def refuse_some(method: str, *parameters: Any) -> Any:
        if method == "eth_sendRawTransaction":
            flight = next(f for f in writer.pending if "0x" + f.versions[-1].raw.hex() == parameters[0])
            if flight.versions[-1].transaction.value % 3 == 1:
                raise RpcError("the endpoint", method, {"code": -32000, "message": "not today"})
        return await request(method, *parameters)

    chain.rpc.request = refuse_some  # type: ignore[method-assign]
    sending = (chain.send(pay(target, wei), key(0), timeout=60) for wei in range(1, 41))
    outcomes = await _mined(chain, _all(sending))
    refused = [wei for wei, outcome in enumerate(outcomes, 1) if isinstance(outcome, RpcError)]
    assert refused == [wei for wei in range(1, 41) if wei % 3 == 1]
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 40 - len(refused)
    assert await chain.balance(target) == sum(wei for wei in range(1, 41) if wei % 3 != 1)


async def test_at_most_sixteen_are_on_their_way(chain: Chain) -> None:
    await chain.rpc.request("evm_setAutomine", False)
    target = LocalSigner.generate().address
    sending = asyncio.ensure_future(chain.send_many([pay(target)] * 40, key(0)))
    most = 0
    while not sending.done():
        pool = await chain.rpc.request("txpool_status")
        most = max(most, int(pool["pending"], 16) + int(pool["queued"], 16))
        await chain.rpc.request("evm_mine")
        await asyncio.sleep(0.02)
    assert 1 < most <= IN_FLIGHT_MAX
    assert await chain.balance(target) == 40
    assert len(await sending) == 40


async def test_a_later_transaction_may_rely_on_an_earlier_one(chain: Chain) -> None:
    """The receiver has nothing until the first arrives; then it pays on."""
    rich, poor = key(0), LocalSigner.generate()
    await chain.send_many([pay(poor.address, 10**18), pay(poor.address, 10**18)], rich)
    await chain.send(pay(rich.address, 10**18), poor)
    assert await chain.balance(poor.address) < 10**18


async def test_a_revert_is_found_before_anything_is_signed(chain: Chain, home: Path) -> None:
    with pytest.raises(Reverted):
        await chain.send(Tx(None, REVERTS, name="refuse"), key(0))
    assert await chain.transaction_count(key(0).address) == 0
    await chain.send(pay(key(1).address), key(0))
    await chain.close()
    assert steps(home)[0] == ("signed", 0)


async def test_a_transaction_that_reverts_in_its_block_is_an_error(chain: Chain) -> None:
    await chain.rpc.request("anvil_setCode", "0x" + "77" * 20, "0x" + ONCE.hex())
    tx: Tx[None] = Tx(Address("0x" + "77" * 20), b"", name="once")
    await chain.rpc.request("evm_setAutomine", False)
    both = asyncio.gather(
        chain.send(tx, key(0), gas=100_000), chain.send(tx, key(1), gas=100_000), return_exceptions=True
    )
    await _mine_until(chain, both)
    outcomes = await both
    (error,) = [each for each in outcomes if isinstance(each, BaseException)]
    assert isinstance(error, Reverted)
    assert error.transaction is not None
    assert "once reverted" in str(error)


async def _pooled(chain: Chain, count: int) -> None:
    for _ in range(1_000):
        if int((await chain.rpc.request("txpool_status"))["pending"], 16) >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the transactions did not reach the pool")


async def _all_final(writer: Writer) -> None:
    for _ in range(1_000):
        if not writer.pending:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the transactions did not become final")


async def _mine_until(chain: Chain, future: asyncio.Future[Any]) -> None:
    while not future.done():
        await chain.rpc.request("evm_mine")
        await asyncio.sleep(0.05)


async def _mined(chain: Chain, sending: Coroutine[Any, Any, T]) -> T:
    """For many at once: anvil leaves some in its pool when they arrive while it mines the others."""
    future = asyncio.ensure_future(sending)
    await _mine_until(chain, future)
    return await future


async def _all(sendings: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    return await asyncio.gather(*sendings, return_exceptions=True)


async def test_too_little_gas_money_names_what_is_missing(chain: Chain) -> None:
    poor = LocalSigner.generate()
    await chain.send(pay(poor.address, 10**12), key(0))
    with pytest.raises(InsufficientFunds) as caught:
        await chain.send(pay(key(0).address, 10**12), poor)
    assert caught.value.unit == "ETH"
    assert caught.value.missing > 0


async def test_a_stuck_transaction_is_replaced_with_higher_fees(
    chain: Chain, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sent again many times before it counts as stuck, as with the true figures: the one may not put off the other.
    monkeypatch.setattr(watch, "REBROADCAST_SECONDS", 0.01)
    monkeypatch.setattr(watch, "STUCK_SECONDS", 1.5)
    await chain.rpc.request("evm_setAutomine", False)
    target = LocalSigner.generate().address
    sending = asyncio.ensure_future(chain.send_many([pay(target, 1), pay(target, 2)], key(0)))
    await _pooled(chain, 2)
    # The base fee rises beyond what was offered: blocks pass without us.
    for _ in range(watch.STUCK_BLOCKS + 3):
        await chain.rpc.request("anvil_setNextBlockBaseFeePerGas", hex(500 * 10**9))
        await chain.rpc.request("evm_mine")
        await asyncio.sleep(0.3)
    while not sending.done():
        await chain.rpc.request("anvil_setNextBlockBaseFeePerGas", hex(500 * 10**9))
        await chain.rpc.request("evm_mine")
        await asyncio.sleep(0.3)
    receipts = await sending
    assert [receipt.effective_gas_price >= 500 * 10**9 for receipt in receipts] == [True, True]
    assert await chain.balance(target) == 3
    await chain.close()
    with Journal.open(journal_of(home), "transactions", Step) as journal:
        signed = [record for record in journal.records() if record.step is Step.SIGNED and record["nonce"] == 0]
    for older, newer in itertools.pairwise(signed):
        for fee in ("tip", "max_fee"):
            assert int(newer[fee]) * 100 >= int(older[fee]) * 110
    assert len(signed) >= 2


async def test_another_program_with_the_same_key_is_noticed(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    await chain.send(pay(key(1).address), key(0))
    await chain.rpc.request("evm_setAutomine", False)
    sending = asyncio.ensure_future(chain.send(pay(key(1).address, 5), key(0)))
    await _pooled(chain, 1)
    foreign = RawTransaction(31337, 1, 50 * 10**9, 90 * 10**9, 21_000, key(2).address, 9, b"").sign(key(0))
    await chain.rpc.request("eth_sendRawTransaction", "0x" + foreign.raw.hex())
    await chain.rpc.request("evm_mine")
    with pytest.raises(TransactionReplaced):
        await asyncio.wait_for(sending, 30)
    await chain.rpc.request("evm_setAutomine", True)
    assert (await chain.send(pay(key(1).address), key(0))).gas_used == 21_000


async def test_a_reorganised_transaction_is_sent_again_before_its_old_block_would_be_final(chain: Chain) -> None:
    target = LocalSigner.generate().address
    writer = await chain.writer(key(0))
    receipts = await chain.send_many([pay(target, 7), pay(target, 8)], key(0))
    # Not mined by itself: what comes back comes back because it was sent, not because blocks went by.
    await chain.rpc.request("evm_setAutomine", False)
    await chain.rpc.request("anvil_reorg", receipts[1].block - receipts[0].block + 1, [])
    assert await chain.balance(target) == 0
    await _pooled(chain, 2)
    await chain.rpc.request("evm_mine")
    assert await chain.balance(target) == 15
    assert await chain.transaction_count(key(0).address) == 2
    for receipt in receipts:
        again = await chain.rpc.request("eth_getTransactionReceipt", "0x" + receipt.hash.hex())
        assert again["blockHash"] != "0x" + receipt.block_hash.hex()
    await chain.rpc.request("anvil_mine", hex(5))
    await _all_final(writer)


async def test_what_waits_for_a_reorganised_transaction_waits_for_its_new_block(chain: Chain) -> None:
    target = LocalSigner.generate().address
    writer = await chain.writer(key(0))
    await chain.rpc.request("evm_setAutomine", False)
    final = asyncio.ensure_future(chain.send(pay(target, 7), key(0), wait="finalized"))
    await _pooled(chain, 1)
    await chain.rpc.request("evm_mine")
    for _ in range(1_000):
        if writer.pending[0].mined is not None:
            break
        await asyncio.sleep(0.01)
    assert (first := writer.pending[0].mined) is not None
    await chain.rpc.request("anvil_reorg", 1, [])
    await _pooled(chain, 1)
    arriving = asyncio.ensure_future(writer.arrive())
    await asyncio.sleep(0)
    assert not arriving.done()
    await _mine_until(chain, final)
    assert await arriving == 1
    assert "0x" + (await final).block_hash.hex() != first["blockHash"]


async def test_finality_is_waited_for(chain: Chain) -> None:
    sending = asyncio.ensure_future(chain.send(pay(key(1).address), key(0), wait="finalized"))
    await asyncio.sleep(0.5)
    assert not sending.done()
    await chain.rpc.request("anvil_mine", hex(5))
    receipt = await asyncio.wait_for(sending, 20)
    assert receipt.block <= (await chain.block("finalized")).number
    assert (await chain.writer(key(0))).pending == ()


async def test_a_timeout_keeps_the_transaction(chain: Chain, home: Path, fresh_anvil: Anvil) -> None:
    await chain.rpc.request("evm_setAutomine", False)
    target = LocalSigner.generate().address
    with pytest.raises(TransactionUnknown, match="not in a block"):
        await chain.send(pay(target, 3), key(0), timeout=0.3, intent="three")
    await chain.close()
    again = Chain(Rpc(fresh_anvil.url, 31337), home=Home(home))
    sending = asyncio.ensure_future(again.send(pay(target, 3), key(0), intent="three"))
    await _mine_until(again, sending)
    await sending
    assert await again.balance(target) == 3
    await again.close()


async def test_closing_at_the_moment_of_news_ends(chain: Chain) -> None:
    await chain.send(pay(key(1).address), key(0))
    writer = await chain.writer(key(0))
    assert writer.pending  # not final: somebody watches
    await asyncio.sleep(0.1)
    writer._watch.start()
    async with asyncio.timeout(20):
        await chain.close()


async def test_an_intent_is_sent_once_even_after_it_is_final(chain: Chain, home: Path, fresh_anvil: Anvil) -> None:
    target = LocalSigner.generate().address
    first = await chain.send(pay(target), key(0), intent="rent of may")
    assert (await chain.send(pay(target), key(0), intent="rent of may")).hash == first.hash
    await chain.rpc.request("anvil_mine", hex(5))
    await asyncio.sleep(0.1)
    await chain.close()
    for _ in range(2):
        again = Chain(Rpc(fresh_anvil.url, 31337), home=Home(home))
        writer = await again.writer(key(0))
        await _all_final(writer)
        receipts = await again.send_many([pay(target), pay(target)], key(0), intents=["rent of may", None])
        assert receipts[0].hash == first.hash
        await again.rpc.request("anvil_mine", hex(5))
        await again.close()
    assert await chain.balance(target) == 3


async def test_an_intent_of_two_tasks_or_twice_in_a_batch_is_sent_once(chain: Chain) -> None:
    target = LocalSigner.generate().address
    several = _all(chain.send(pay(target), key(0), intent="rent of june") for _ in range(5))
    june = await _mined(chain, several)
    twice = chain.send_many([pay(target), pay(target, 10), pay(target)], key(0), intents=["may", None, "may"])
    may = await _mined(chain, twice)
    assert len({receipt.hash for receipt in june if isinstance(receipt, Receipt)}) == 1
    assert may[0].hash == may[2].hash != may[1].hash
    assert await chain.balance(target) == 12


async def test_a_failed_intent_may_be_tried_again(chain: Chain) -> None:
    await chain.rpc.request("anvil_setCode", "0x" + "77" * 20, "0x" + REVERTS.hex())
    tx: Tx[None] = Tx(Address("0x" + "77" * 20), b"", name="refuse")
    with pytest.raises(Reverted):
        await chain.send(tx, key(0), gas=50_000, intent="x")
    await chain.rpc.request("anvil_setCode", "0x" + "77" * 20, "0x00")
    assert (await chain.send(tx, key(0), gas=50_000, intent="x")).gas_used >= 21_000


async def test_cancelling_before_the_send_takes_the_signature_back(chain: Chain, home: Path) -> None:
    target = LocalSigner.generate().address
    book = (await chain.writer(key(0)))._logbook
    write = book._write
    entered = asyncio.Event()

    async def slow(records: Any) -> None:
        await write(records)
        entered.set()
        await asyncio.sleep(0.2)

    book._write = slow  # type: ignore[method-assign]
    sending = asyncio.ensure_future(chain.send(pay(target, 5), key(0)))
    await entered.wait()
    book._write = write  # type: ignore[method-assign]
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await chain.send(pay(target, 2), key(0))
    assert await chain.balance(target) == 2
    assert await chain.transaction_count(key(0).address) == 1
    await chain.close()
    assert steps(home)[:3] == [("signed", 0), ("dropped", 0), ("signed", 0)]


async def test_a_second_process_is_told_who_holds_the_key(chain: Chain, home: Path, fresh_anvil: Anvil) -> None:
    await chain.send(pay(key(1).address), key(0))
    result = await asyncio.to_thread(run_child, fresh_anvil, home, "0x" + "99" * 20, "")
    assert result.returncode == 1
    assert "KeyInUse" in result.stderr
    assert f"process {os.getpid()} (since 20" in result.stderr
    await chain.close()
    result = await asyncio.to_thread(run_child, fresh_anvil, home, "0x" + "99" * 20, "")
    assert result.returncode == 0, result.stderr


def test_a_forked_child_reads_but_leaves_the_key_to_its_parent(fresh_anvil: Anvil, home: Path, tmp_path: Path) -> None:
    target = LocalSigner.generate().address
    Network("test", [fresh_anvil.url], 31337, {"BlackholeToken": target}, 12, 10**12).save(tmp_path / "network.json")
    program = textwrap.dedent("""
        import os, sys
        from blackhole import Blackhole
        from blackhole.chain.values import Tx
        from blackhole.errors import KeyInUse
        from blackhole.face import portal
        market = Blackhole(sys.argv[1], sys.argv[2])
        pay = lambda: portal().run(market.connection.send(Tx(sys.argv[3], b"", 7, name="pay")))
        balance = lambda: portal().run(market.chain.balance(sys.argv[3]))
        pay()
        told, tell = os.pipe()
        closed, close = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(close)
            try:
                pay()
            except KeyInUse as error:
                assert error.holder == os.getppid(), error
                assert balance() == 7
                os.write(tell, b"x")
                os.read(closed, 1)
                pay()
                market.close()
                os._exit(3)
            os._exit(1)
        os.close(tell)
        os.read(told, 1)
        market.close()
        os.close(close)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        pay()
        print(balance())
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "network.json"), KEYS[0], target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "21\n", done.stderr


async def test_a_second_loop_of_the_process_cannot_write_either(chain: Chain, home: Path, fresh_anvil: Anvil) -> None:
    await chain.send(pay(key(1).address), key(0))

    async def other() -> None:
        second = Chain(Rpc(fresh_anvil.url, 31337), home=Home(home))
        try:
            await second.send(pay(key(1).address), key(0))
        finally:
            await second.close()

    with pytest.raises(KeyInUse, match="another connection of this process"):
        await asyncio.to_thread(asyncio.run, other())
    third = Chain(Rpc(fresh_anvil.url, 31337), home=Home(home))
    await third.send(pay(key(1).address), key(0))
    await third.close()
    await chain.send(pay(key(1).address), key(0))


CHILD = textwrap.dedent("""
    import asyncio, sys
    from blackhole.chain.client import Chain
    from blackhole.chain.rpc import Rpc, RpcError
    from blackhole.chain.signers import LocalSigner
    from blackhole.chain.values import Tx
    from blackhole.paths import Home
    url, home, key, target = sys.argv[1:]
    async def main():
        chain = Chain(Rpc(url, 31337), home=Home.locate(home))
        signer = LocalSigner(bytes.fromhex(key[2:]))
        for wei in (1, 10, 100):
            await chain.send(Tx(target, b"", wei, name="pay"), signer, intent=f"pay {wei}")
        await chain.close()
    asyncio.run(main())
""")


def run_child(anvil: Anvil, home: Path, target: str, crash: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BLACKHOLE_CRASH_AT": crash}
    command = [sys.executable, "-c", CHILD, anvil.url, str(home), KEYS[0], target]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before", "torn", "after"])
def test_killed_at_any_step_it_resumes_and_pays_once(fresh_anvil: Anvil, home: Path, nth: int, moment: str) -> None:
    target = LocalSigner.generate().address
    killed = run_child(fresh_anvil, home, target, f"transactions:signed:{nth}:{moment}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = journal_of(home).read_bytes()
    resumed = run_child(fresh_anvil, home, target, "")
    assert resumed.returncode == 0, resumed.stderr

    async def check() -> None:
        chain = Chain(Rpc(fresh_anvil.url, 31337), home=Home(home))
        assert await chain.balance(target) == 111
        assert await chain.transaction_count(key(0).address) == 3
        if moment == "after":
            with Journal.open(journal_of(home), "transactions", Step) as journal:
                raws = {r["nonce"]: r["raw"] for r in journal.records() if r.step is Step.SIGNED}
            # The bytes that were signed before the kill are the bytes that are on the chain.
            if nth - 1 in raws:
                assert raws[nth - 1].encode() in before
        await chain.close()

    asyncio.run(check())


def test_the_journal_of_another_chain_with_the_same_id_is_not_taken_up(home: Path) -> None:
    target = LocalSigner.generate().address
    first = Anvil()
    run_child(first, home, target, "transactions:signed:2:after")
    first.stop()
    time.sleep(1.1)  # anvil's genesis holds the second it was started
    second = Anvil()
    try:
        done = run_child(second, home, target, "")
        assert done.returncode == 0, done.stderr
        assert len(list((home / "journals" / "transactions").glob("*.journal"))) == 2
    finally:
        second.stop()


async def test_the_writer_compacts_what_is_done(chain: Chain, home: Path, fresh_anvil: Anvil) -> None:
    await _mined(chain, chain.send_many([pay(key(1).address)] * 30, key(0)))
    await chain.rpc.request("anvil_mine", hex(5))
    writer = await chain.writer(key(0))
    await _all_final(writer)
    await chain.close()
    before = journal_of(home).stat().st_size
    again = Chain(Rpc(fresh_anvil.url, 31337), home=Home(home))
    await again.writer(key(0))
    assert journal_of(home).stat().st_size < before / 20
    await again.close()


def test_ctrl_c_while_waiting_keeps_the_transaction_and_the_next_run_finishes_it(
    fresh_anvil: Anvil, home: Path, tmp_path: Path
) -> None:
    target = LocalSigner.generate().address
    network = Network("test", [fresh_anvil.url], 31337, {"BlackholeToken": target}, 12, 10**12)
    network.save(tmp_path / "network.json")
    program = textwrap.dedent("""
        import sys
        from blackhole import Blackhole
        from blackhole.chain.values import Tx
        from blackhole.face import portal
        market = Blackhole(sys.argv[1], sys.argv[2])
        async def pay():
            await market.connection.send(Tx(sys.argv[3], b"", 7, name="pay"), intent="seven")
        try:
            print("sending", flush=True)
            portal().run(pay())
            print("mined", flush=True)
        except KeyboardInterrupt:
            market.close()
            print("interrupted", flush=True)
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "network.json"), KEYS[0], target]

    async def request(method: str, *parameters: Any) -> Any:
        rpc = Rpc(fresh_anvil.url)
        try:
            return await rpc.request(method, *parameters)
        finally:
            await rpc.close()

    asyncio.run(request("evm_setAutomine", False))
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(500):
            if int(asyncio.run(request("txpool_status"))["pending"], 16):
                break
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert output.split() == ["sending", "interrupted"]
    asyncio.run(request("evm_setAutomine", True))
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert again.stdout.split() == ["sending", "mined"], again.stderr
    assert int(asyncio.run(request("eth_getBalance", target, "latest")), 16) == 7
    assert int(asyncio.run(request("eth_getTransactionCount", key(0).address, "latest")), 16) == 1
