"""The chain the contract tests run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from model.chain import Chain, Reverted, compact, key, sign


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain() as running:
        yield running


def test_deploys_sends_reads_and_decodes_errors_and_events(chain: Chain) -> None:
    owner, other = chain.accounts[:2]
    token = chain.deploy("BlackholeToken", [owner], [100], owner)
    receipt = chain.send(token, "transfer", other, 40, sender=owner)
    assert [e.args for e in receipt["events"]] == [{"from": owner, "to": other, "value": 40}]
    assert chain.calls([(token, "balanceOf", owner), (token, "balanceOf", other)]) == [60, 40]
    with pytest.raises(Reverted) as failure:
        chain.send(token, "transfer", other, 61, sender=owner)
    assert failure.value.name == "ERC20InsufficientBalance"
    assert failure.value.arguments == (owner, 60, 61)


def test_time_and_snapshots(chain: Chain) -> None:
    saved, before = chain.snapshot(), chain.now()
    chain.advance(86_400)
    assert chain.now() == before + 86_400
    chain.revert(saved)
    assert chain.now() == before


def test_compact_signatures_hold_the_same_numbers() -> None:
    signature = sign(key("alice"), b"\x01" * 32)
    short = compact(signature)
    assert short[:32] == signature[:32]
    assert int.from_bytes(short[32:], "big") % 2**255 == int.from_bytes(signature[32:64], "big")
