"""The driver of a devnet's clock: it ends a period when its proofs are in, or when none can come any more."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Protocol

from blackhole.devnet.chain import DevnetChain
from blackhole.errors import BlackholeError, DevnetError
from blackhole.protocol import BLOCK_MILLISECONDS

LOOK_SECONDS = BLOCK_MILLISECONDS / 1000 / 2
"""Wall time between two looks at the chain: twice a block."""

JUMP_SECONDS = 60.0
"""Wall time after which a chain that makes no block counts as stuck."""


class Proofs(Protocol):
    """What the clock waits for."""

    async def unproven(self, period: int) -> set[int]:
        """Nodes that are expected to prove a period and have not yet."""
        ...

    async def closed(self, period: int) -> bool:
        """Whether the window of a period is over: no proof of it can come any more."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One jump of the clock.

    Attributes:
        period: the period that began with it.
        seconds: wall time spent waiting for the proofs of the period before.
        unproven: nodes that were expected to prove and did not while they could.
    """

    period: int
    seconds: float
    unproven: tuple[int, ...]


class Clock:
    """Moves the chain from period to period.

    During period `p` the nodes draw and prove period `p - 1`; when all expected nodes have, the clock jumps to `p + 1`.
    A slow machine is waited for as long as the chain itself allows: until the window of `p - 1` has closed or, where
    nobody drew it, `p` has passed. `held`, the clock moves only when asked; else it moves by itself, no faster than one
    period in `pace` seconds of wall time.
    """

    def __init__(self, chain: DevnetChain, period: int, proofs: Proofs, *, pace: float, held: bool = False) -> None:
        self.chain = chain
        self.period = period
        self.pace = pace
        self.held = held
        self._proofs = proofs
        self._lock = asyncio.Lock()

    async def now(self) -> int:
        """The current period."""
        return (await asyncio.to_thread(self.chain.head))[1] // self.period

    async def step(self, *, wait: bool = True) -> Step:
        """End the current period: wait for its proofs (if `wait`), then jump to the start of the next one."""
        async with self._lock:
            return await self._step(wait)

    async def _step(self, wait: bool) -> Step:
        began = time.monotonic()
        current = await self.now()
        missing: set[int] = set()
        while wait:
            missing = await self._proofs.unproven(current - 1)
            if not missing or await self._proofs.closed(current - 1) or await self.now() > current:
                break
            await asyncio.sleep(LOOK_SECONDS)
        waited = time.monotonic() - began
        await self._jump((current + 1) * self.period)
        return Step(current + 1, waited, tuple(sorted(missing)))

    async def jump(self, seconds: int) -> int:
        """Move the chain's time forward by `seconds`, whatever is still to prove. Returns the new timestamp (s)."""
        if seconds <= 0:
            raise DevnetError("A chain's time only moves forward.", hint="Name a positive number of seconds.")
        async with self._lock:
            _, timestamp = await asyncio.to_thread(self.chain.head)
            return await self._jump(timestamp + seconds)

    async def _jump(self, to: int) -> int:
        _, timestamp = await asyncio.to_thread(self.chain.head)
        if timestamp >= to:
            return timestamp
        await asyncio.to_thread(self.chain.jump, to)
        until = time.monotonic() + JUMP_SECONDS
        while True:
            _, timestamp = await asyncio.to_thread(self.chain.head)
            if timestamp >= to:
                return timestamp
            if time.monotonic() > until:
                raise DevnetError("The chain mines no blocks.", hint="See the chain's log in the run folder.")
            await asyncio.sleep(LOOK_SECONDS)

    async def run(self) -> None:
        """Move by itself until cancelled. What goes wrong once (a slow answer of the chain) is said and tried again."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.held or time.monotonic() - began < self.pace:
                continue
            try:
                await self.step()
            except BlackholeError as error:
                sys.stderr.write(f"clock: {error.message}\n")
                sys.stderr.flush()
            began = time.monotonic()
