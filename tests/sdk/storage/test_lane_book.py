"""Own lanes: costs round up once over all bytes, figures survive, one holder a lane, claims of a node are bounded."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blackhole.errors import DiskFull, NodeError
from blackhole.storage.lane_book import DISPUTED_MAX, MIB, LaneBook, LaneFigures, cost_micro
from hypothesis import given
from hypothesis import strategies as st

ACCOUNT, HUB, PAYEE = "0x" + "a1" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20


def figures(lane: int = 1, **fields: int) -> LaneFigures:
    base: dict[str, int] = {"deposit": 1000, "price": 10} | fields
    return LaneFigures(31337, HUB, PAYEE, 1, lane, **base)


@given(st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(0, 50)), max_size=20))
def test_the_cost_is_that_of_the_sum_however_it_was_read(reads: list[tuple[int, int]]) -> None:
    lane = figures(price=reads[0][1] if reads else 0)
    by_price: list[list[int]] = []
    for count, price in reads:
        if not by_price or by_price[-1][1] != price:
            by_price.append([0, price])
        lane.reprice(price)
        lane.received += count
        by_price[-1][0] += count
    assert lane.owed() == sum(cost_micro(count, price) for count, price in by_price)


def test_what_is_missing_is_told() -> None:
    lane = figures(deposit=25)
    assert lane.affords(2 * MIB) == 0
    assert lane.affords(3 * MIB) == 5


def test_figures_survive_and_the_fullest_lane_is_taken_first(tmp_path: Path) -> None:
    book = LaneBook(tmp_path, ACCOUNT)
    for lane, deposit in ((1, 50), (2, 500), (3, 5)):
        book.add(figures(lane, deposit=deposit)).close()
    held = LaneBook(tmp_path, ACCOUNT.upper().replace("0X", "0x")).hold(
        31337, HUB, PAYEE.upper().replace("0X", "0x"), 1
    )
    assert held is not None
    assert held.figures.lane == 2
    held.figures.received, held.figures.signed = 7 * MIB, 470
    held.save()
    held.close()
    again = book.hold(31337, HUB, PAYEE, 1)
    assert again is not None
    assert again.figures.lane == 1
    assert {row.lane: row.signed for row in book.figures()} == {1: 0, 2: 470, 3: 0}


def test_other_payees_hubs_and_chains_are_not_mixed(tmp_path: Path) -> None:
    book = LaneBook(tmp_path, ACCOUNT)
    book.add(figures()).close()
    assert book.hold(31337, HUB, HUB, 1) is None
    assert book.hold(31337, PAYEE, PAYEE, 1) is None
    assert book.hold(1, HUB, PAYEE, 1) is None
    assert book.hold(31337, HUB, PAYEE, 2) is None
    assert LaneBook(tmp_path, HUB).hold(31337, HUB, PAYEE, 1) is None


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_lane_book as t
held = t.LaneBook(Path(sys.argv[1]), t.ACCOUNT).hold(31337, t.HUB, t.PAYEE, 1)
print(held.figures.lane if held else None, flush=True)
sys.stdin.read()
"""


def test_a_second_process_takes_another_lane(tmp_path: Path) -> None:
    book = LaneBook(tmp_path, ACCOUNT)
    for lane in (1, 2):
        book.add(figures(lane)).close()

    def reader() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(Path(__file__).parent)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    readers = [reader() for _ in range(3)]
    try:
        took = []
        for process in readers:
            assert process.stdout is not None
            took.append(process.stdout.readline().strip())
        assert sorted(took) == ["1", "2", "None"]
    finally:
        for process in readers:
            process.kill()
            process.communicate(timeout=10)
    # A killed holder holds nothing.
    assert book.hold(31337, HUB, PAYEE, 1) is not None


def test_a_voucher_that_cannot_be_written_down_is_not_signed_for(
    tmp_path: Path, file_limit: Callable[[int | None], None]
) -> None:
    book = LaneBook(tmp_path, ACCOUNT)
    lane = book.add(figures())
    file_limit(10)
    lane.figures.signed = 500
    with pytest.raises(DiskFull):
        lane.save()
    file_limit(None)
    lane.save(durable=True)
    lane.close()
    assert [each.signed for each in book.figures()] == [500]


def test_a_nodes_claim_is_bounded() -> None:
    lane = figures(received=10 * MIB)
    lane.concede(11 * MIB)
    assert lane.received == 11 * MIB
    lane.concede(3 * MIB)
    assert lane.received == 11 * MIB
    with pytest.raises(NodeError):
        lane.concede(11 * MIB + DISPUTED_MAX + 1)


@pytest.mark.parametrize("content", [b"", b"   ", b"{", b"[]", b'{"schema": 1}', b'{"schema": 1, "lane": 2}'])
def test_a_damaged_file_is_passed_over(tmp_path: Path, content: bytes) -> None:
    book = LaneBook(tmp_path, ACCOUNT)
    held = book.add(figures())
    held.close()
    held.path.write_bytes(content)
    assert book.hold(31337, HUB, PAYEE, 1) is None
