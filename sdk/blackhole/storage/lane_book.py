"""What this machine knows of its own lanes: how much was received and signed on each, kept across runs.

A lane belongs to one process at a time (a file lock): two readers that sign on one lane would undercut each other, so
the second takes another lane. The figures are written before a voucher leaves, so a killed reader never signs less than
it has promised, nor more than it received and a bounded loss.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from blackhole.errors import JournalError, NodeError
from blackhole.filelock import FileLock
from blackhole.paths import disk_errors, open_private, private_folder

SCHEMA = 1
MIB = 2**20
DISPUTED_MAX = 4 * MIB
"""bytes. What a node may claim to have sent beyond what was verified (transfers that broke off); more is refused."""
_ROOM = 1024
"""bytes of a lane's file: it is overwritten in place, so its length never changes."""


def cost_micro(count: int, price: int) -> int:
    """Micro-HOLE for `count` bytes at `price` micro a MiB, rounded up."""
    return -(-count * price // MIB)


@dataclass(slots=True)
class LaneFigures:
    """One lane's figures.

    Attributes:
        chain_id, hub, payee, service, lane: which lane.
        deposit: micro this machine knows to be in it.
        price: micro a MiB now.
        received: bytes received and verified, all time.
        signed: highest cumulative signed, micro.
        base_bytes, base_micro: bytes and cost up to the last change of price.
    """

    chain_id: int
    hub: str
    payee: str
    service: int
    lane: int
    deposit: int
    price: int
    received: int = 0
    signed: int = 0
    base_bytes: int = 0
    base_micro: int = 0

    def owed(self, more: int = 0) -> int:
        """Cumulative cost of what was received and `more` bytes, micro."""
        return self.base_micro + cost_micro(self.received + more - self.base_bytes, self.price)

    def reprice(self, price: int) -> None:
        """From here on reads cost `price`; what was read before keeps its price."""
        if price != self.price:
            self.base_micro, self.base_bytes, self.price = self.owed(), self.received, price

    def affords(self, count: int) -> int:
        """Micro that are missing for reading `count` more bytes; 0 if the deposit covers them."""
        return max(0, self.owed(count) - self.deposit)

    def concede(self, served: int) -> None:
        """Accept that the node counted `served` bytes: transfers that broke off are paid, within a bound.

        Raises:
            NodeError: it claims more than `DISPUTED_MAX` beyond what was verified.
        """
        if served - self.received > DISPUTED_MAX:
            raise NodeError(
                f"A node claims to have sent {served - self.received} bytes that never arrived.",
                code="node_overcharges",
                hint="Read from other nodes.",
                data={"claimed_bytes": served, "received_bytes": self.received},
            )
        self.received = max(self.received, served)


class HeldLane:
    """A lane this process holds until `close`."""

    def __init__(self, path: Path, lock: FileLock, figures: LaneFigures) -> None:
        self.figures = figures
        self.path = path
        self._lock = lock
        with disk_errors(path):
            self._descriptor = open_private(path, os.O_RDWR | os.O_CREAT)

    def save(self, *, durable: bool = False) -> None:
        """Write the figures. They survive this process at once, and a power cut if `durable`. Raises DiskFull,
        DiskError."""
        row = orjson.dumps({"schema": SCHEMA, **asdict(self.figures)}).ljust(_ROOM)
        with disk_errors(self.path):
            done = 0
            while done < len(row):
                done += os.pwrite(self._descriptor, row[done:], done)
            if durable:
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the lane back. Closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._lock.release()


class LaneBook:
    """The lanes of one account, a file each under `folder`."""

    def __init__(self, folder: Path, account: str) -> None:
        self._folder = folder / account.lower()

    def hold(self, chain_id: int, hub: str, payee: str, service: int) -> HeldLane | None:
        """The lane to that payee with most money left that no other process holds; None if there is none."""
        known = [(path, figures) for path, figures in self._all() if _is(figures, chain_id, hub, payee, service)]
        for path, _ in sorted(known, key=lambda pair: pair[1].signed - pair[1].deposit):
            lock = FileLock(path.with_suffix(".lock"))
            if lock.acquire():
                figures = _read(path)  # again: its last holder may have changed it
                if figures is not None:
                    return HeldLane(path, lock, figures)
                lock.release()
        return None

    def add(self, figures: LaneFigures) -> HeldLane:
        """Write down a lane that was just opened, and hold it."""
        private_folder(self._folder)
        name = f"{figures.chain_id}-{figures.hub[2:10]}-{figures.payee[2:].lower()}-{figures.service}-{figures.lane}"
        path = self._folder / f"{name}.json"
        lock = FileLock(path.with_suffix(".lock"))
        if not lock.acquire():
            raise JournalError(f"{path} is held by {lock.holder() or 'another process'}")
        held = HeldLane(path, lock, figures)
        held.save(durable=True)
        return held

    def figures(self) -> list[LaneFigures]:
        """All lanes this machine knows."""
        return [figures for _, figures in self._all()]

    def _all(self) -> list[tuple[Path, LaneFigures]]:
        if not self._folder.is_dir():
            return []
        read = [(path, _read(path)) for path in sorted(self._folder.glob("*.json"))]
        return [(path, figures) for path, figures in read if figures is not None]


def _is(figures: LaneFigures, chain_id: int, hub: str, payee: str, service: int) -> bool:
    have = (figures.chain_id, figures.hub.lower(), figures.payee.lower(), figures.service)
    return have == (chain_id, hub.lower(), payee.lower(), service)


def _read(path: Path) -> LaneFigures | None:
    """The figures of a file; None for one that a crash left empty (nothing was signed on it yet)."""
    try:
        raw = path.read_bytes().strip()
        row: dict[str, Any] = orjson.loads(raw) if raw else {}
        schema = row.pop("schema", 0)
        if schema > SCHEMA:
            raise JournalError(f"{path} was written by a newer version", hint="Update Blackhole.")
        return LaneFigures(**row) if row else None
    except (orjson.JSONDecodeError, TypeError, OSError):
        # Without its figures a lane cannot be used safely; its money comes back by thawing it.
        return None
