"""Progress: monotone figures with a rate and the time left, and a last call with everything."""

import pytest
from blackhole.storage import progress


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_rate_and_time_left_follow_the_last_seconds(clock: Clock) -> None:
    calls: list[tuple[int, int | None, float, float | None]] = []
    meter = progress.Meter(1000, lambda *figures: calls.append(figures))
    for _ in range(10):
        clock.now += 1
        meter.add(10)
    assert calls[-1] == (100, 1000, 10.0, 90.0)
    for _ in range(10):
        clock.now += 1
        meter.add(20)
    assert calls[-1] == (300, 1000, 20.0, 35.0)


def test_it_calls_back_seldom_and_at_the_end(clock: Clock) -> None:
    calls: list[int] = []
    meter = progress.Meter(1000, lambda done, *_: calls.append(done))
    for _ in range(1000):
        clock.now += 0.001
        meter.add(1)
    meter.finish()
    assert len(calls) <= 12
    assert calls[-1] == 1000


def test_an_unknown_total_has_no_time_left(clock: Clock) -> None:
    calls: list[tuple[int, int | None, float, float | None]] = []
    meter = progress.Meter(None, lambda *figures: calls.append(figures))
    clock.now += 1
    meter.add(5)
    meter.finish()
    assert calls[-1] == (5, None, 5.0, None)


def test_what_is_taken_back_is_not_counted(clock: Clock) -> None:
    meter = progress.Meter(10, None)
    meter.add(8)
    meter.add(-8)
    assert meter.done == 0
