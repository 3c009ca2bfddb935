"""Status, renewal, removal, repair on a network of real processes whose clock the tests step."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agreements import agreements, opened_by
from blackhole.client import Blackhole
from blackhole.devnet.handle import Devnet
from blackhole.errors import CapError, NotEnoughShards, PriceTooHigh
from blackhole.face import portal
from blackhole.storage import deals
from blackhole.storage.caps import parse_cap
from blackhole.storage.lane_book import MIB
from blackhole.storage.types import StoredObject
from blackhole.units import Tokens
from block_damage import Damage
from storage_accounts import Account

if TYPE_CHECKING:
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached
    from blackhole.storage.terms import Terms

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def nobody_has_missed(network: Devnet) -> None:
    """A node that missed a period, by a kill or a jump of an earlier test, is suspect until it has proven another."""
    with Blackhole(network.network) as reader:
        everybody = [each.node for each in network.nodes()]
        step_until(network, lambda: not any(misses(reader, everybody)))


def store(payer: Account, size: int = MIB, periods: int = 60) -> tuple[StoredObject, bytes]:
    data = os.urandom(size)
    return payer.client.storage.put(data, profile="dev", periods=periods, name="object"), data


def states(payer: Account, cap: str) -> dict[str, int]:
    """How many shards are in which state."""
    found: dict[str, int] = {}
    for row in payer.client.storage.status(cap).rows:
        if row.segment >= 0:
            found[row.state] = found.get(row.state, 0) + 1
    return found


def test_a_whole_object_is_full_for_every_kind_of_cap(payer: Account) -> None:
    stored, _ = store(payer)
    verify = parse_cap(stored.cap).verify_cap.text
    for cap in (stored.cap, stored.repair_cap, verify, "object"):
        status = payer.client.storage.status(cap)
        assert (status.state, status.healthy, status.needed, status.shards, status.exit_code) == ("full", 10, 3, 10, 0)
        assert status.paid_until == stored.end


def test_silent_nodes_are_unconfirmed_not_lost(payer: Account, killed: Callable[[int], None]) -> None:
    stored, data = store(payer)
    for node in stored.nodes[:3]:
        killed(node)
    status = payer.client.storage.status(stored.cap)
    assert (status.state, status.exit_code) == ("degraded", 3)
    assert states(payer, stored.cap) == {"healthy": 7, "unconfirmed": 3}
    assert payer.client.storage.get(stored.cap).data == data


def test_a_node_that_could_not_prove_starts_again(payer: Account, network: Devnet, corrupt: Damage) -> None:
    stored, _ = store(payer)
    node = stored.nodes[0]
    corrupt(node)
    network.advance(2, wait=False)
    wait_until_unproven(network.node(node).folder)
    network.kill(node)
    assert network.start(node) > 0


def test_too_few_nodes_are_unreadable(payer: Account, killed: Callable[[int], None]) -> None:
    stored, _ = store(payer)
    for node in stored.nodes[:8]:
        killed(node)
    status = payer.client.storage.status(stored.cap)
    assert (status.state, status.exit_code) == ("unreadable", 4)


def test_what_else_the_payer_stores_says_nothing_of_an_object(payer: Account) -> None:
    short, _ = store(payer, periods=20)
    long, _ = store(payer, periods=60)
    for stored in (short, long):
        status = payer.client.storage.status(stored.cap)
        assert status.paid_until == stored.end
        assert {row["agreement"] for row in status.nodes.values()} == set(stored.agreements)


def test_renewal_moves_the_end_and_keeps_within_the_limit(payer: Account) -> None:
    stored, _ = store(payer, periods=20)
    with pytest.raises(PriceTooHigh):
        payer.client.storage.renew(stored.cap, 10, max_price=1)
    before = payer.client.escrow.balance()
    kept = payer.client.storage.renew(stored.cap, 10)
    assert (len(kept.agreements), kept.failed, kept.end) == (10, {}, stored.end + 10)
    assert before - payer.client.escrow.balance() == kept.cost == stored.quote.rate * 10
    assert payer.client.storage.status(stored.cap).paid_until == stored.end + 10
    assert payer.client.storage.ls()[0].end == stored.end + 10


@pytest.mark.parametrize("early", [0, 10**9], ids=["from the next period", "from the one after"])
def test_removal_gives_everything_up_and_forgets_the_cap(
    payer: Account, monkeypatch: pytest.MonkeyPatch, early: int
) -> None:
    monkeypatch.setattr(deals, "EARLY_SECONDS", early)
    stored, _ = store(payer)
    kept = payer.client.storage.remove(stored.cap)
    assert (len(kept.agreements), kept.terminated, kept.failed) == (10, (), {})
    assert payer.client.storage.ls() == []
    assert states(payer, stored.cap) == {"missing": 10}
    assert payer.client.storage.status(stored.cap).paid_until == 0
    with pytest.raises(NotEnoughShards, match="No agreement holds this object any more"):
        payer.client.storage.get(stored.cap)


def test_the_owner_repairs_and_the_bytes_are_the_same(
    payer: Account, network: Devnet, killed: Callable[[int], None]
) -> None:
    stored, data = store(payer, size=2 * MIB)
    lost = stored.nodes[:3]
    for node in lost:
        killed(node)
    done = payer.client.storage.repair(stored.cap, silent=True)
    assert done.failed == {}
    assert {(row.segment, row.shard) for row in done.restored} == {(0, 0), (0, 1), (0, 2)}
    assert not {row.node for row in done.restored} & set(stored.nodes)
    assert states(payer, stored.cap) == {"healthy": 10}
    # Only the new nodes and one old one are left: the restored shards themselves are read.
    for node in stored.nodes[4:]:
        killed(node)
    fetched = payer.client.storage.get(stored.cap)
    assert fetched.data == data
    assert len(set(fetched.served) & {row.node for row in done.restored}) >= 2


def test_repair_pays_until_the_end_of_its_own_object(payer: Account, killed: Callable[[int], None]) -> None:
    short, _ = store(payer, periods=20)
    store(payer, periods=60)
    killed(short.nodes[0])
    done = payer.client.storage.repair(short.cap, silent=True)
    assert len(done.restored) == 1
    assert {each.end for each in agreements(payer, [row.agreement for row in done.restored])} == {short.end}


def test_terms_whose_first_period_came_before_they_were_open_are_signed_anew(
    payer: Account, network: Devnet, killed: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, _ = store(payer)
    killed(stored.nodes[0])
    sign, signed = deals.ask_signature, []

    async def late(core: StorageCore, reached: Reached, terms: Terms, *rest: Any, **more: Any) -> bytes:
        signature = await sign(core, reached, terms, *rest, **more)
        if not signed:
            await asyncio.to_thread(network.advance, 3, wait=False)
        signed.append(terms)
        return signature

    monkeypatch.setattr(deals, "ask_signature", late)
    done = payer.client.storage.repair(stored.cap, silent=True)
    assert (len(done.restored), done.failed) == (1, {})
    assert signed[-1].start > signed[0].start + 1
    assert done.cost == signed[-1].prepaid


def test_nothing_lost_costs_nothing(payer: Account) -> None:
    stored, _ = store(payer)
    before = payer.client.escrow.balance()
    assert payer.client.storage.repair(stored.cap).restored == ()
    assert payer.client.escrow.balance() == before


def test_another_accounts_object_is_not_repaired_without_an_order(account: Callable[..., Account]) -> None:
    owner, other = account(), account()
    stored, _ = store(owner)
    with pytest.raises(CapError):
        other.client.storage.repair(stored.repair_cap)


def test_a_repairer_restores_by_order_without_any_secret_of_the_owner(
    account: Callable[..., Account], network: Devnet, killed: Callable[[int], None], tmp_path: Path
) -> None:
    owner, repairer = account(), account(hole="5", allowed="0")
    # In one agreement a node with another object: what was lost stands in no manifest, but in copies of the lists.
    store(owner)
    stored, data = store(owner, size=2 * MIB)
    assert len(opened_by(owner)) == 10
    order = owner.client.storage.repair_order(stored.cap, budget=Tokens("5"))
    file = tmp_path / "order.json"
    file.write_text(json.dumps(order.to_json()))
    lost = stored.nodes[:3]
    for node in lost:
        killed(node)
    assert states(owner, stored.cap) == {"healthy": 7, "unconfirmed": 3}
    wait_for_misses(owner, network, lost)
    owner.release()
    repairer.release()
    command = [sys.executable, "-m", "blackhole.storage.repairer", str(file)]
    run = subprocess.run(command, env=repairer.environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["event"] for row in rows].count("restored") == 3, run.stdout + run.stderr
    assert states(owner, stored.cap) == {"healthy": 10}
    assert owner.client.storage.get(stored.cap).data == data
    key, cap = owner.key_file.read_text(), stored.cap
    for path in [file, *(each for each in repairer.home.rglob("*") if each.is_file())]:
        content = path.read_bytes()
        assert key.encode() not in content
        assert bytes.fromhex(key) not in content
        assert cap.encode() not in content


def wait_for_misses(owner: Account, network: Devnet, nodes: Sequence[int]) -> None:
    """Step the clock until the chain has a reported miss of each node."""
    step_until(network, lambda: all(misses(owner.client, nodes)))


def misses(reader: Blackhole, nodes: Sequence[int]) -> list[int]:
    """The misses in a row that the chain counts for each node that holds something."""
    connection = reader.connection
    ledgers = portal().run(connection.chain.read_many([connection.market.ledger_of(node) for node in nodes]))
    return [ledger.misses if ledger.leaves else 0 for ledger in ledgers]


def step_until(network: Devnet, there: Callable[[], bool]) -> None:
    """Step the clock until something is so."""
    for _ in range(12):
        if there():
            return
        network.advance()
    raise AssertionError("twelve periods did not bring it about")


def wait_until_unproven(folder: Path) -> None:
    """Wait until the agent says of itself that it cannot prove a period."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        address = json.loads((folder / "status.json").read_text())["health"]
        try:
            urllib.request.urlopen(f"http://{address}/health", timeout=5).close()
        except urllib.error.HTTPError as unwell:
            if json.load(unwell)["plugins"]["storage"]["unprovable_periods"]:
                return
        time.sleep(0.1)
    raise AssertionError("the agent said nothing of a period it could not prove")
