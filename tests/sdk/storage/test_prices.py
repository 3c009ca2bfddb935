"""What keeping and reading objects costs is known before it is paid, and a limit holds to the last block."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from blackhole.devnet.handle import Devnet
from blackhole.errors import PriceTooHigh
from blackhole.protocol import MICRO
from blackhole.storage.lane_book import MIB
from blackhole.storage.reading import Purse
from storage_accounts import Account

pytestmark = pytest.mark.timeout(300)


def test_a_purse_holds_for_all_nodes_together_and_a_refusal_changes_nothing() -> None:
    purse = Purse(10)
    purse.hold(1, 4)
    purse.hold(2, 5)
    purse.hold(2, 6)  # what a node is owed grows: only the difference counts
    with pytest.raises(PriceTooHigh):
        purse.hold(1, 5)
    with pytest.raises(PriceTooHigh):
        purse.require(1)
    purse.require(0)
    Purse().hold(1, 2**48)


def test_a_read_costs_what_was_quoted_and_never_more_than_its_limit(
    account: Callable[..., Account], tmp_path: Path
) -> None:
    payer, reader = account(), account(hole="5", allowed="0")
    data = os.urandom(5 * MIB + 1)
    storage = payer.client.storage
    stored = storage.put(data, profile="dev", periods=60, name="film")
    quote = storage.read_quote("film")
    assert (quote.size, len(quote.nodes)) == (len(data), 3)
    part = storage.read_quote("film", start=10, length=MIB)
    assert part.size == MIB
    assert 0 < part.total < quote.total

    with pytest.raises(PriceTooHigh) as refused:
        storage.get("film", tmp_path / "film", max_price=quote.total - MICRO)
    assert refused.value.data["price_wei"] == str(quote.total)
    assert not payer.client.escrow.lanes()
    assert not (tmp_path / "film").exists()
    read = storage.get("film", tmp_path / "film", max_price=quote.total)
    assert (tmp_path / "film").read_bytes() == data
    assert quote.total - 3 * MICRO <= read.spent_micro * MICRO <= quote.total

    # Who has only the cap does not have the manifest: what a read costs cannot be known, but it can be bounded.
    with pytest.raises(PriceTooHigh, match="manifest"):
        reader.client.storage.read_quote(stored.cap)
    with pytest.raises(PriceTooHigh):
        reader.client.storage.get(stored.cap, max_price=0)
    assert not reader.client.escrow.lanes()
    bounded = reader.client.storage.get(stored.cap, max_price=2 * quote.total)
    assert bounded.data == data
    assert bounded.spent_micro * MICRO <= 2 * quote.total


def test_a_renewal_and_a_repair_cost_what_was_quoted(network: Devnet, account: Callable[..., Account]) -> None:
    payer = account()
    storage = payer.client.storage
    stored = storage.put(os.urandom(MIB), profile="dev", periods=60, name="object")
    before = payer.client.escrow.balance()
    longer = storage.renew_quote("object", 7)
    assert sorted(int(each, 16) for each in longer.agreements) == sorted(int(each, 16) for each in stored.agreements)
    assert storage.repair_quote("object").lost == ()
    assert payer.client.escrow.balance() == before
    with pytest.raises(PriceTooHigh):
        storage.renew("object", 7, max_price=longer.total - 1)
    kept = storage.renew("object", 7, max_price=longer.total)
    assert (kept.cost, kept.end) == (longer.total, longer.end)

    victim = stored.nodes[4]
    network.stop(victim)
    try:
        quote = storage.repair_quote("object", silent=True)
        assert quote.lost == ((0, 4),)
        assert not set(quote.nodes) & set(stored.nodes)
        done = storage.repair("object", max_price=quote.total, silent=True)
        assert (len(done.restored), done.failed) == (1, {})
        assert done.cost <= quote.total
        assert done.read_micro <= quote.read_micro
    finally:
        network.start(victim)
