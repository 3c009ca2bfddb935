"""The journal as the event loop uses it: steps that are recorded at the same moment share one write and one fsync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from blackhole.errors import BlackholeError
from blackhole.journal import Journal, Record
from blackhole.node.storage.steps import KIND, Step


class Recorder:
    """Records steps; `record` returns when the step is on the disk and `apply` has taken it into account.

    Both happen here, so that a snapshot taken between two writes holds exactly what is recorded.
    """

    def __init__(self, path: Path, apply: Callable[[Record[Step]], None]) -> None:
        """Raises JournalInUse, JournalError, DiskError."""
        self._journal = Journal.open(path, KIND, Step)
        self._apply = apply
        self.length = 0
        """Records written since the journal was opened or compacted."""
        self._waiting: list[tuple[Record[Step], asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    def records(self) -> list[Record[Step]]:
        """Everything recorded, oldest first."""
        return self._journal.records()

    async def compact(self, snapshot: Callable[[], Iterable[Record[Step]]]) -> None:
        """Replace everything recorded by `snapshot()`, taken while nothing is being written."""
        while self._running is not None:
            await asyncio.shield(self._running)
        self._running = asyncio.create_task(self._replace(list(snapshot())))
        await asyncio.shield(self._running)

    async def record(self, step: Step, **fields: Any) -> None:
        """Record one step. Raises DiskFull, DiskError: then it did not happen."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((Record(step, fields), future))
        if self._running is None:
            self._running = asyncio.create_task(self._write())
        # A caller that is cancelled leaves the others' write alone.
        await asyncio.shield(future)

    async def _replace(self, records: list[Record[Step]]) -> None:
        try:
            await asyncio.to_thread(self._journal.compact, records)
            self.length = 0
        finally:
            self._running = None
            if self._waiting:
                self._running = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    await asyncio.to_thread(self._journal.append_many, [record for record, _ in batch])
                except BlackholeError as error:
                    for _, future in batch:
                        future.set_exception(error)
                        future.exception()  # seen, even if its caller has left
                else:
                    self.length += len(batch)
                    for record, future in batch:
                        self._apply(record)
                        future.set_result(None)
        finally:
            self._running = None

    async def close(self) -> None:
        """Write what waits and close the journal."""
        while self._running is not None:
            await self._running
        self._journal.close()
