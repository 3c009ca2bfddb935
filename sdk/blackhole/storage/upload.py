"""Sending pieces to nodes: all nodes at once, each at its own pace, another node in the place of one that fails.

Every shard has a slot and every slot a worker that sends its pieces in order. A segment's shard file is kept until all
slots have taken theirs, and only a few segments are under way, so a slow node slows the encoder down instead of filling
the disk; a node that stands still is replaced, and its successor gets everything from the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from blackhole.errors import BlackholeError, NodeError, NodeRefused
from blackhole.storage.transport import NodeClient

AHEAD = 2
"""Segments encoded and not yet taken by all nodes."""
TRIES = 4
"""How often a node that is busy (429, 503) is asked before another takes its place."""
NO_MONEY = "insufficient_funds"
"""What a node says that does not see the payer's money."""
BUSY_SECONDS = 1.0
"""First pause before a busy node is asked again; it doubles."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A piece on its way to a node.

    Attributes:
        root: of the piece.
        length: bytes.
        parts: gives its bytes from the start, and whether making them takes more than reading a file.
    """

    root: bytes
    length: int
    parts: Callable[[], tuple[Iterator[bytes], bool]]


class Destination(Protocol):
    """Where slots send to; the put implements it."""

    def client(self, slot: int) -> NodeClient:
        """The node that has the slot now."""
        ...

    async def headers(self, slot: int) -> dict[str, str]:
        """What the node wants to see before it takes bytes."""
        ...

    def staged(self, slot: int, root: bytes) -> bool:
        """Whether the slot's node has acknowledged that piece."""
        ...

    async def acknowledged(self, slot: int, root: bytes) -> None:
        """The slot's node has it on its disk."""
        ...

    async def replace(self, slot: int, error: BlackholeError) -> None:
        """Give the slot to another node. Raises NoFreeNodes."""
        ...


class Uploads:
    """The workers of all slots. Offer the pieces of each position in order, then `finish`."""

    def __init__(self, slots: int, destination: Destination, sent: Callable[[int], None]) -> None:
        self._slots = slots
        self._destination = destination
        self._sent = sent
        self._positions: list[list[Outgoing]] = []
        self._after: list[Callable[[], None] | None] = []
        self._taken: list[set[int]] = []
        self._more = asyncio.Condition()
        self._ended = False
        self._places = asyncio.Semaphore(AHEAD)
        self._workers: list[asyncio.Task[None]] = []

    async def place(self) -> None:
        """Wait until another position may be offered. Raises what a worker failed with."""
        acquire = asyncio.ensure_future(self._places.acquire())
        try:
            await asyncio.wait([acquire, *self._workers], return_when=asyncio.FIRST_COMPLETED)
            while not acquire.done():
                self._raise_failure()
                await asyncio.wait(
                    [acquire, *(worker for worker in self._workers if not worker.done())],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            if not acquire.done():
                acquire.cancel()

    async def offer(self, pieces: list[Outgoing], after: Callable[[], None] | None = None) -> None:
        """The next position: a piece a slot. `after` runs once every slot has taken its own."""
        if not self._workers:
            self._workers = [asyncio.create_task(self._work(slot)) for slot in range(self._slots)]
        async with self._more:
            self._positions.append(pieces)
            self._after.append(after)
            self._taken.append(set())
            self._more.notify_all()

    async def finish(self) -> None:
        """No more positions come: wait for all workers. Raises the first failure, after the others were ended."""
        async with self._more:
            self._ended = True
            self._more.notify_all()
        try:
            await asyncio.gather(*self._workers)
        except BaseException:
            await self.cancel()
            raise

    async def cancel(self) -> None:
        """End all workers and clean up."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for index, after in enumerate(self._after):
            if after is not None:
                self._after[index] = None
                after()

    def _raise_failure(self) -> None:
        for worker in self._workers:
            if worker.done() and not worker.cancelled() and (error := worker.exception()) is not None:
                raise error

    async def _work(self, slot: int) -> None:
        position = 0
        while True:
            async with self._more:
                await self._more.wait_for(lambda at=position: len(self._positions) > at or self._ended)  # type: ignore[misc]
                if len(self._positions) <= position:
                    return
            try:
                await self._send(slot, self._positions[position][slot])
            except NodeError as error:
                if error.code == NO_MONEY:
                    raise  # another node would say the same
                await self._destination.replace(slot, error)
                position = 0  # the successor has nothing yet
                continue
            self._took(slot, position)
            position += 1

    def _took(self, slot: int, position: int) -> None:
        taken = self._taken[position]
        taken.add(slot)
        after = self._after[position]
        if len(taken) == self._slots and after is not None:
            self._after[position] = None
            after()
            self._places.release()

    async def _send(self, slot: int, piece: Outgoing) -> None:
        if self._destination.staged(slot, piece.root):
            return
        pause = BUSY_SECONDS
        for attempt in range(TRIES):
            try:
                await self._put(slot, piece)
                break
            except NodeRefused as error:
                # A node sees the payer's money a block or two after the chain has it.
                later = error.status in {429, 503} or error.code == NO_MONEY
                if not later or attempt == TRIES - 1:
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        await self._destination.acknowledged(slot, piece.root)

    async def _put(self, slot: int, piece: Outgoing) -> None:
        counted = 0

        async def body() -> AsyncIterator[memoryview]:
            nonlocal counted
            parts, costly = piece.parts()
            while part := await asyncio.to_thread(next, parts, b"") if costly else next(parts, b""):
                yield memoryview(part)
                counted += len(part)
                self._sent(len(part))

        try:
            await self._destination.client(slot).put(
                f"/v1/staging/{piece.root.hex()}", piece.length, body(), await self._destination.headers(slot)
            )
        except BaseException:
            self._sent(-counted)
            raise
        self._sent(piece.length - counted)  # a node that has it already takes no bytes
