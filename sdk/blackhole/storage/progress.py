"""How far a transfer is: bytes, rate and time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

ProgressCallback: TypeAlias = "Callable[[int, int | None, float, float | None], None]"
"""Called with bytes done, bytes in all (None: unknown), bytes a second, and seconds left (None: unknown).

It runs on the transfer's own thread: return quickly, and do not call the synchronous face from it.
"""

WINDOW_SECONDS = 5.0
"""The rate is that of the last seconds, so it follows what happens now."""


class Meter:
    """Counts bytes and calls back at most every `interval` seconds, and once at the end."""

    def __init__(self, total: int | None, callback: ProgressCallback | None, *, interval: float = 0.1) -> None:
        self.total = total
        self.done = 0
        self._callback = callback
        self._interval = interval
        self._called = 0.0
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def add(self, count: int) -> None:
        """`count` more bytes are done; a negative count takes back what has to be done again."""
        self.done += count
        if self._callback is None:
            return
        now = time.monotonic()
        if now - self._called >= self._interval:
            self._report(now)

    def finish(self) -> None:
        """Everything is done."""
        if self.total is not None:
            self.done = self.total
        if self._callback is not None:
            self._report(time.monotonic())

    @property
    def rate(self) -> float:
        """bytes a second over the last seconds."""
        (since, before), (until, after) = self._samples[0], self._samples[-1]
        return max(0.0, (after - before) / (until - since)) if until > since else 0.0

    def _report(self, now: float) -> None:
        self._called = now
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_SECONDS:
            self._samples.popleft()
        rate = self.rate
        left = (self.total - self.done) / rate if self.total is not None and rate > 0 else None
        assert self._callback is not None
        self._callback(self.done, self.total, rate, left)
