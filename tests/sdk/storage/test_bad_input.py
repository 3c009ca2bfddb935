"""What a client is given and cannot use: said before anything is sent or paid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blackhole.errors import CapError, InputError
from blackhole.storage.repair import RepairOrder
from storage_accounts import Account


def test_an_object_of_another_market_is_named_as_such(payer: Account, tmp_path: Path) -> None:
    payer.client.storage.put(b"abc", profile="dev", periods=5, name="mine")
    network = json.loads((payer.network if payer.network.is_file() else payer.network / "network.json").read_text())
    here, there = network["addresses"]["StorageMarket"], network["addresses"]["PaymentHub"]
    network["addresses"]["StorageMarket"] = there  # as if this network's market were another
    (tmp_path / "network.json").write_text(json.dumps(network))
    payer.release()
    elsewhere = Account(payer.home, payer.key_file, tmp_path / "network.json")
    try:
        with pytest.raises(CapError, match=f"stored on the market {here}") as caught:
            elsewhere.client.storage.get("mine")
        assert caught.value.data == {"market": here, "expected": there}
        assert "--network" in caught.value.hint
    finally:
        elsewhere.release()
    assert payer.client.storage.get("mine").data == b"abc"


def test_what_another_account_stores_is_neither_renewed_nor_removed(account: Callable[..., Account]) -> None:
    owner, other = account(), account(hole="1")
    cap = owner.client.storage.put(b"abc", profile="dev", periods=5).cap
    before = other.client.escrow.balance()
    attempts: list[Callable[[], object]] = [
        lambda: other.client.storage.renew(cap, 5),
        lambda: other.client.storage.remove(cap),
        lambda: other.client.storage.repair(cap),
    ]
    for attempt in attempts:
        with pytest.raises(CapError, match="another account's"):
            attempt()
    assert other.client.escrow.balance() == before
    assert owner.client.storage.get(cap).data == b"abc"


@pytest.mark.parametrize(
    "raw",
    [
        [],
        {},
        None,
        {"schema": 2},
        {"schema": "1"},
        {"schema": 1},
        {"schema": 1, "cap": "bh1", "policy": {}, "signature": "0x"},
        {"schema": 1, "cap": "bh1", "policy": [], "signature": "zz"},
    ],
)
def test_what_is_no_repair_order_is_said(raw: Any) -> None:
    with pytest.raises(InputError):
        RepairOrder.from_json(raw)
