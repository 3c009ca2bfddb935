"""The devnet's chain and the driver of its clock, on a real chain."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackhole.devnet import clock as clock_module
from blackhole.devnet.chain import DevnetChain, start_chain
from blackhole.devnet.clock import Clock
from blackhole.devnet.processes import ProcessTable
from blackhole.errors import DevnetError

PERIOD = 240


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
    until = time.monotonic() + 20
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
    final, head = chain.call("eth_getBlockByNumber", "finalized", False), chain.head()[0]
    assert isinstance(final, dict)
    assert head - int(final["number"], 16) in {2, 3}


async def test_a_step_lands_on_the_start_of_the_next_period_and_time_goes_on_from_there(chain: DevnetChain) -> None:
    async def nobody(period: int) -> set[int]:
        return set()

    clock = Clock(chain, PERIOD, nobody, pace=0)
    before = await clock.now()
    step = await clock.step()
    assert step.period == before + 1 == await clock.now()
    blocks = mined(chain, 2)
    assert [after[1] - before[1] for before, after in itertools.pairwise(blocks)] == [1, 1]
    assert blocks[0][1] - step.period * PERIOD < 40


async def test_a_period_waits_for_its_proofs(chain: DevnetChain) -> None:
    asked: list[int] = []

    async def third_look(period: int) -> set[int]:
        asked.append(period)
        return set() if len(asked) == 3 else {4}

    clock = Clock(chain, PERIOD, third_look, pace=0)
    current = await clock.now()
    step = await clock.step()
    assert asked == [current - 1] * 3
    assert step.unproven == ()


async def test_a_proof_that_never_comes_ends_the_period_at_the_limit(
    chain: DevnetChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "PERIOD_WALL_MAX", 0.6)

    async def never(period: int) -> set[int]:
        return {7, 3}

    step = await Clock(chain, PERIOD, never, pace=0).step()
    assert step.unproven == (3, 7)


async def test_a_held_clock_does_not_jump(chain: DevnetChain) -> None:
    async def nobody(period: int) -> set[int]:
        return set()

    clock = Clock(chain, PERIOD, nobody, pace=0, held=True)
    task = asyncio.create_task(clock.run())
    _, before = chain.head()
    await asyncio.sleep(0.8)
    assert chain.head()[1] - before < 10
    clock.held = False
    await asyncio.sleep(0.8)
    assert chain.head()[1] - before >= PERIOD
    task.cancel()


async def test_time_cannot_be_moved_back(chain: DevnetChain) -> None:
    async def nobody(period: int) -> set[int]:
        return set()

    with pytest.raises(DevnetError, match="only moves forward"):
        await Clock(chain, PERIOD, nobody, pace=0).jump(-1)


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
