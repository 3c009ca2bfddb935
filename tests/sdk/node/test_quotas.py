"""Quotas and meters: counted exactly, refused before anything is read or served."""

from __future__ import annotations

import pytest
from blackhole.node.config import Limits
from blackhole.node.storage.metering import Allowance, LaneAccount, cost_micro
from blackhole.node.storage.quotas import Permit, StagingQuota, Ticket
from blackhole.node.storage.refusal import Refusal
from blackhole.protocol import SERVE_AHEAD
from hypothesis import given
from hypothesis import strategies as st

PAYER, OTHER = "0x" + "1" * 40, "0x" + "2" * 40
PLENTY = 2**50


def admit(
    quota: StagingQuota, size: int, payer: str = PAYER, nonce: int = 1, bytes: int = 10_000, **how: int
) -> Ticket:
    room = {"now": 100, "free_disk": PLENTY, "room": PLENTY} | how
    return quota.admit(payer, size, Permit(bytes, 200), nonce, **room)


def refused(quota: StagingQuota, *args: int, **how: object) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        admit(quota, *args, **how)  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value.status, caught.value.code


def quota(**limits: object) -> StagingQuota:
    return StagingQuota(Limits(**{"free_disk_bytes": 0, "piece_bytes": 5_000, **limits}))  # type: ignore[arg-type]


def test_each_limit_refuses_with_its_own_reason() -> None:
    assert refused(quota(), 5_001) == (413, "piece_size")
    assert refused(quota(), 0) == (413, "piece_size")
    assert refused(quota(), 1, now=200) == (403, "upload_expired")
    assert refused(quota(), 11, bytes=10) == (403, "upload_used_up")
    assert refused(quota(deny=(PAYER,)), 1) == (403, "payer_not_served")
    assert refused(quota(allow=(OTHER,)), 1) == (403, "payer_not_served")
    assert refused(quota(staging_bytes_per_payer=9), 10) == (429, "payer_quota")
    assert refused(quota(staging_bytes=9), 10) == (507, "staging_full")
    assert refused(quota(), 10, room=9) == (507, "capacity")
    assert refused(quota(free_disk_bytes=5), 10, free_disk=14) == (507, "disk")
    assert refused(quota(uploads=0), 1) == (429, "too_many_uploads")


def test_a_permit_is_spent_once_whatever_is_tried() -> None:
    q = quota()
    first = admit(q, 4_000)
    admit(q, 4_000).done()
    assert refused(q, 4_000) == (403, "upload_used_up")
    first.abandoned()
    admit(q, 4_000).done()
    assert refused(q, 4_000) == (403, "upload_used_up")
    admit(q, 4_000, nonce=2).done()


def test_uploads_of_one_payer_leave_room_for_another() -> None:
    q = quota(uploads_per_payer=1)
    held = admit(q, 10)
    assert refused(q, 10) == (429, "too_many_uploads")
    admit(q, 10, payer=OTHER).done()
    held.done()
    admit(q, 10).done()


@given(st.lists(st.tuples(st.integers(1, 600), st.booleans(), st.sampled_from([PAYER, OTHER])), max_size=30))
def test_what_goes_in_comes_out(moves: list[tuple[int, bool, str]]) -> None:
    q = quota(staging_bytes=4_000, staging_bytes_per_payer=3_000)
    staged: list[tuple[str, int]] = []
    for nonce, (size, arrives, payer) in enumerate(moves):
        try:
            ticket = admit(q, size, payer, nonce)
        except Refusal:
            continue
        if arrives:
            ticket.done()
            staged.append((payer, size))
        else:
            ticket.abandoned()
        assert q.staged == sum(size for _, size in staged) <= 4_000
    assert (q.coming, q.uploads) == (0, 0)
    for payer, size in staged:
        q.released(payer, size)
    assert (q.staged, q.payers) == (0, {})
    q.forget(200)
    assert q.permits == {}


def test_a_lane_is_served_one_mib_ahead_and_no_byte_more() -> None:
    lane = LaneAccount(1, price=10)
    lane.take(SERVE_AHEAD, backing=100)
    with pytest.raises(Refusal) as caught:
        lane.take(1, backing=100)
    assert caught.value.status == 402
    assert caught.value.data["missing_micro"] == 1
    assert lane.served == SERVE_AHEAD
    lane.accepted = 10
    lane.take(SERVE_AHEAD, backing=100)
    with pytest.raises(Refusal):
        lane.take(1024, backing=100)


def test_money_that_is_not_in_the_lane_serves_nothing() -> None:
    lane = LaneAccount(1, price=10, accepted=50)
    with pytest.raises(Refusal) as caught:
        lane.take(SERVE_AHEAD, backing=9)
    assert caught.value.data["missing_deposit_micro"] == 1
    lane.take(SERVE_AHEAD, backing=10)


@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 1000)), max_size=20))
def test_a_change_of_price_never_changes_what_was_read_before(reads: list[tuple[int, int]]) -> None:
    lane = LaneAccount(1, price=7)
    exact = 0.0
    for count, price in reads:
        before = lane.owed()
        lane.reprice(price)
        assert lane.owed() == before
        lane.served += count
        exact += count * price / 2**20
        assert lane.owed() >= before
    # Rounding up happens at most once a change of price.
    assert exact - 1e-6 <= lane.owed() <= exact + len(reads) + 1


@given(st.integers(0, 2**48), st.integers(0, 2**40))
def test_cost_is_rounded_up(count: int, price: int) -> None:
    cost = cost_micro(count, price)
    assert cost * 2**20 >= count * price > (cost - 1) * 2**20


def test_an_allowance_is_a_day_s() -> None:
    allowance = Allowance(100, keys=2)
    allowance.take("a", 100, 10, "audits")
    with pytest.raises(Refusal) as caught:
        allowance.take("a", 1, 86_399, "audits")
    assert caught.value.status == 429
    allowance.take("a", 100, 86_400, "audits")
    allowance.take("b", 1, 86_400, "audits")
    allowance.take("c", 1, 86_400, "audits")
