"""The devnet's chain and the driver of its clock, on a real chain."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackhole.devnet.chain import DevnetChain, start_chain
from blackhole.devnet.clock import Clock
from blackhole.devnet.processes import ProcessTable
from blackhole.errors import DevnetError

PERIOD = 240


class Expected:
    """Proofs as a test wants them."""

    def __init__(self, *looks: set[int], closes_after: int | None = None) -> None:
        self.looks = list(looks)
        self.closes_after = closes_after
        self.asked: list[int] = []

    async def unproven(self, period: int) -> set[int]:
        self.asked.append(period)
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    async def closed(self, period: int) -> bool:
        return self.closes_after is not None and len(self.asked) >= self.closes_after


NOBODY: set[int] = set()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[DevnetChain]:
    table = ProcessTable(tmp_path / "processes.json", tmp_path)
    try:
        yield start_chain(table, tmp_path / "chain", tmp_path / "chain.log")
    finally:
        table.end(list(table.records), grace=5)


def mined(chain: DevnetChain, count: int) -> list[tuple[int, int]]:
    """The next `count` blocks as (number, timestamp)."""
    first = chain.head()[0]
    until = time.monotonic() + 60
    while chain.head()[0] < first + count:
        assert time.monotonic() < until, "no blocks"
        time.sleep(0.02)
    found = []
    for number in range(first, first + count + 1):
        block = chain.call("eth_getBlockByNumber", hex(number), False)
        assert isinstance(block, dict)
        found.append((number, int(block["timestamp"], 16)))
    return found


def test_each_block_is_one_second_after_the_last(chain: DevnetChain) -> None:
    blocks = mined(chain, 3)
    assert [after[1] - before[1] for before, after in itertools.pairwise(blocks)] == [1, 1, 1]


def test_finality_trails_by_two_blocks(chain: DevnetChain) -> None:
    mined(chain, 4)
    before = chain.head()[0]
    final = chain.call("eth_getBlockByNumber", "finalized", False)
    assert isinstance(final, dict)
    assert before - 3 <= int(final["number"], 16) <= chain.head()[0] - 2


async def test_a_step_lands_on_the_start_of_the_next_period_and_time_goes_on_from_there(chain: DevnetChain) -> None:
    clock = Clock(chain, PERIOD, Expected(NOBODY), pace=0)
    before = await clock.now()
    step = await clock.step()
    assert step.period == before + 1 == await clock.now()
    blocks = mined(chain, 2)
    assert [after[1] - before[1] for before, after in itertools.pairwise(blocks)] == [1, 1]
    assert blocks[0][1] // PERIOD == step.period


async def test_a_period_waits_for_its_proofs(chain: DevnetChain) -> None:
    proofs = Expected({4}, {4}, NOBODY)
    clock = Clock(chain, PERIOD, proofs, pace=0)
    current = await clock.now()
    step = await clock.step()
    assert proofs.asked == [current - 1] * 3
    assert step.unproven == ()


async def test_a_proof_that_never_comes_is_waited_for_until_its_window_has_closed(chain: DevnetChain) -> None:
    proofs = Expected({7, 3}, closes_after=4)
    step = await Clock(chain, PERIOD, proofs, pace=0).step()
    assert len(proofs.asked) == 4
    assert step.unproven == (3, 7)


async def test_a_period_nobody_draws_ends_with_the_chain_s_own_time(chain: DevnetChain) -> None:
    clock = Clock(chain, 3, Expected({7}), pace=0)
    before = await clock.now()
    assert (await clock.step()).unproven == (7,)
    assert await clock.now() > before


async def test_a_held_clock_does_not_jump(chain: DevnetChain) -> None:
    clock = Clock(chain, PERIOD, Expected(NOBODY), pace=0, held=True)
    task = asyncio.create_task(clock.run())
    blocks = await asyncio.to_thread(mined, chain, 4)
    assert [after[1] - before[1] for before, after in itertools.pairwise(blocks)] == [1] * 4
    clock.held = False
    until = time.monotonic() + 60
    while await clock.now() == blocks[-1][1] // PERIOD:
        assert time.monotonic() < until, "it never moves"
    task.cancel()


async def test_a_clock_that_stumbles_goes_on(chain: DevnetChain) -> None:
    class Stumbling(Expected):
        async def unproven(self, period: int) -> set[int]:
            if not self.asked:
                self.asked.append(period)
                raise DevnetError("the chain was busy")
            return await super().unproven(period)

    clock = Clock(chain, PERIOD, Stumbling(NOBODY), pace=0)
    before = await clock.now()
    task = asyncio.create_task(clock.run())
    until = time.monotonic() + 60
    while await clock.now() == before:
        assert time.monotonic() < until, "it never moves"
    task.cancel()


async def test_time_cannot_be_moved_back(chain: DevnetChain) -> None:
    with pytest.raises(DevnetError, match="only moves forward"):
        await Clock(chain, PERIOD, Expected(NOBODY), pace=0).jump(-1)


def test_the_chain_writes_only_into_its_folder(tmp_path: Path) -> None:
    table = ProcessTable(tmp_path / "processes.json", tmp_path)
    try:
        start_chain(table, tmp_path / "chain", tmp_path / "logs" / "chain.log")
        home = Path("/proc") / str(table.records["chain"].pid) / "environ"
        assert f"HOME={tmp_path / 'chain'}".encode() in home.read_bytes().split(b"\0")
    finally:
        table.end(list(table.records), grace=5)


def test_a_chain_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bin" / "anvil"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no such option; exit 2\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:/usr/bin:/bin")
    table = ProcessTable(tmp_path / "processes.json", tmp_path)
    with pytest.raises(DevnetError, match="ended with code 2: no such option"):
        start_chain(table, tmp_path / "chain", tmp_path / "chain.log")
