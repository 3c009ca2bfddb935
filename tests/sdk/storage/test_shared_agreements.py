"""Further objects join the agreements an account has: no new ones, the same bytes back, paid to the wei."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from agreements import advance, agreements, changed, opened_by, period, proven, settled
from blackhole.chain.values import Receipt
from blackhole.devnet.handle import Devnet
from blackhole.storage.changes import ChangeDesk
from blackhole.storage.lane_book import MIB
from blackhole.storage.terms import Change
from blackhole.storage.types import StoredObject
from storage_accounts import Account

pytestmark = pytest.mark.timeout(300)


def put(account: Account, name: str, size: int = MIB, periods: int = 60) -> tuple[StoredObject, bytes]:
    data = os.urandom(size)
    return account.client.storage.put(data, profile="dev", periods=periods, name=name), data


def test_a_second_object_joins_and_every_period_pays_its_own_rate(payer: Account, network: Devnet) -> None:
    storage = payer.client.storage
    first, one = put(payer, "one")
    before = payer.client.escrow.balance()
    quote = storage.quote(2 * MIB, profile="dev", periods=60)
    assert {row.joins for row in quote.nodes if row.shard is not None} == set(first.agreements)
    second, two = put(payer, "two", 2 * MIB)
    # In one period ends are the same: no new agreement, nothing paid longer.
    assert (second.nodes, second.agreements, second.end) == (first.nodes, first.agreements, first.end)
    assert second.cost == quote.total == second.quote.total == before - payer.client.escrow.balance()
    assert len(opened_by(payer)) == 10
    assert all(len(changed(payer, each)) == 1 for each in first.agreements)
    assert storage.get(first.cap).data == one
    assert storage.get(second.cap).data == two
    low = [agreement.rate for agreement in agreements(payer, first.agreements)]
    assert sum(low) == first.quote.rate + second.quote.rate
    # Once they run: what comes is paid from the next period on, until the same end.
    advance(network, first.end - 60 + 1 - period(payer))
    third, three = put(payer, "three", MIB // 2, periods=first.end - period(payer) - 1)
    since = period(payer) + 1
    assert (third.agreements, third.end) == (first.agreements, first.end)
    high = [agreement.rate for agreement in agreements(payer, first.agreements)]
    assert sum(high) == sum(low) + third.quote.rate
    advance(network, 3)
    starts, proving = first.end - 60, 0
    for at, (node, agreement) in enumerate(zip(first.nodes, first.agreements, strict=True)):
        if not proven(payer, node, range(since, since + 1)):
            continue  # a busy machine: it missed the period, and is paid for none it missed
        proving += 1
        until = time.monotonic() + 60
        while (found := settled(payer, agreement))[1] <= since and time.monotonic() < until:
            time.sleep(0.2)
        paid, to = found
        periods = proven(payer, node, range(starts, to))
        assert since in periods
        assert paid == sum(low[at] if each < since else high[at] for each in periods)
    assert proving > 5
    for stored, data in ((first, one), (second, two), (third, three)):
        assert storage.get(stored.cap).data == data
        assert storage.status(stored.cap).paid_until == first.end


def test_puts_side_by_side_share_their_changes(payer: Account) -> None:
    datas = [os.urandom(MIB // 2 + each) for each in range(4)]

    def store(at: int) -> StoredObject:
        return payer.client.storage.put(datas[at], profile="dev", periods=60, name=f"object {at}")

    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(store, range(4)))
    assert len(opened_by(payer)) == 10
    assert len({each.agreements for each in stored}) == 1
    for each, data in zip(stored, datas, strict=True):
        assert payer.client.storage.get(each.cap).data == data
    # One opened; the others waited for it and for each other.
    assert all(1 <= len(changed(payer, each)) <= 3 for each in stored[0].agreements)
    assert sum(agreement.rate for agreement in agreements(payer, stored[0].agreements)) == sum(
        each.quote.rate for each in stored
    )


def test_ends_that_differ_are_kept_apart_and_aligned_ones_are_not(payer: Account, network: Devnet) -> None:
    short, _ = put(payer, "short", periods=50)
    long, _ = put(payer, "long", periods=60)
    assert not set(short.agreements) & set(long.agreements)
    assert {agreement.end for agreement in agreements(payer, short.agreements)} == {short.end}
    storage = payer.client.storage
    # Ten periods after a multiple of 40, so that two periods later the next multiple is still the same.
    periods = 50 - (period(payer) + 2) % 40
    one = storage.put(os.urandom(1000), profile="dev", periods=periods, align=40, name="one")
    advance(network, 2)
    quote = storage.quote(1000, profile="dev", periods=periods, align=40)
    two = storage.put(os.urandom(1000), profile="dev", periods=periods, align=40, name="two")
    assert (one.end % 40, two.end, two.agreements) == (0, one.end, one.agreements)
    assert quote.joining == 10
    assert quote.total == two.cost
    assert storage.status("short").paid_until == short.end


def test_removing_one_object_leaves_the_others(payer: Account) -> None:
    storage = payer.client.storage
    one, first = put(payer, "one")
    two, _ = put(payer, "two", 2 * MIB)
    kept = storage.remove(two.cap)
    assert (set(kept.agreements), kept.terminated, kept.failed) == (set(one.agreements), (), {})
    assert sum(agreement.rate for agreement in agreements(payer, one.agreements)) == one.quote.rate
    assert {agreement.end for agreement in agreements(payer, one.agreements)} == {one.end}
    assert [entry.name for entry in storage.ls()] == ["one"]
    assert storage.status("one").paid_until == one.end
    assert "missing" not in {row.state for row in storage.status("one").rows}
    assert storage.get(one.cap).data == first
    assert {row.state for row in storage.status(two.cap).rows} == {"missing"}


def test_renewing_one_object_moves_it_and_neither_extends_nor_charges_the_others(payer: Account) -> None:
    storage = payer.client.storage
    one, first = put(payer, "one", periods=20)
    two, second = put(payer, "two", 2 * MIB, periods=20)
    three, third = put(payer, "three", periods=20)
    before = payer.client.escrow.balance()
    kept = storage.renew("two", 15)
    assert (kept.failed, kept.end, len(kept.agreements)) == ({}, two.end + 15, 10)
    assert set(kept.moved) == set(one.agreements)
    assert kept.cost == before - payer.client.escrow.balance()
    assert storage.status("two").paid_until == two.end + 15
    for other in (one, three):
        assert storage.status(other.name).paid_until == other.end
    assert sum(each.rate for each in agreements(payer, one.agreements)) == one.quote.rate + three.quote.rate
    # The next one that is renewed as long joins it there, and the last, alone now, just gets a later end.
    opened = len(opened_by(payer))
    assert set(storage.renew("three", 15).moved.values()) == set(kept.agreements)
    assert storage.renew("one", 7).moved == {}
    assert len(opened_by(payer)) == opened
    assert storage.status("one").paid_until == one.end + 7
    by_name = {entry.name: entry for entry in storage.ls()}
    assert by_name["two"].agreements == by_name["three"].agreements
    assert (by_name["two"].end, by_name["one"].agreements) == (two.end + 15, one.agreements)
    for stored, data in ((one, first), (two, second), (three, third)):
        assert storage.get(stored.cap).data == data


def test_who_loses_a_race_drafts_anew_over_the_other_ones_list(
    payer: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = put(payer, "first")
    # The same account on another machine: another home, so only the agreement's nonce is between them.
    elsewhere = Account(tmp_path / "elsewhere", payer.key_file, payer.network)
    theirs: list[tuple[StoredObject, bytes]] = []
    submit, once = ChangeDesk.submit, asyncio.Lock()

    async def late(self: ChangeDesk, change: Change, signature: bytes, until: float) -> Receipt | None:
        if self is payer.client.storage._core.desk:
            async with once:
                if not theirs:
                    theirs.append(await asyncio.to_thread(put, elsewhere, "theirs"))
        return await submit(self, change, signature, until)

    monkeypatch.setattr(ChangeDesk, "submit", late)
    before = payer.client.escrow.balance()
    try:
        own, data = put(payer, "own", 2 * MIB)
    finally:
        elsewhere.release()
    ((other, others),) = theirs
    assert first.agreements == own.agreements == other.agreements
    assert len(opened_by(payer)) == 10
    assert before - payer.client.escrow.balance() == own.cost + other.cost
    assert all(len(changed(payer, each)) == 2 for each in first.agreements)
    rates = sum(each.quote.rate for each in (first, own, other))
    assert sum(agreement.rate for agreement in agreements(payer, first.agreements)) == rates
    assert payer.client.storage.get(own.cap).data == data
    assert payer.client.storage.get(other.cap).data == others
