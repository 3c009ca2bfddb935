"""A repairer: `python -m blackhole.storage.repairer ORDER.json … [--watch SECONDS]`.

A process of its own, with a key and a home of its own. From each order it knows a repair-cap and its owner's policy: it
can restore shards and spend the policy's budget on new agreements, but reads nothing and moves no other money. It looks
after the objects once, or every so many seconds, and takes its pay when a new node has proven a period.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from blackhole.errors import BlackholeError, InputError
from blackhole.paths import private_folder, write_private

if TYPE_CHECKING:
    from blackhole.client import AsyncBlackhole
    from blackhole.storage.repair_order import RepairOrder, Replacement


def load_order(path: Path) -> RepairOrder:
    """The order in a file. Raises InputError."""
    from blackhole.storage.repair_order import RepairOrder

    try:
        raw = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{path} holds no repair order.", hint="Ask the owner for it again.") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no repair order.", hint="Ask the owner for it again.")
    return RepairOrder.from_json(raw)


class Ledger:
    """Replacements whose pay has not been taken yet, on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> list[Replacement]:
        """What is still due."""
        from blackhole.storage.repair_order import Replacement

        try:
            rows = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            return []
        return [Replacement(**row) for row in rows["due"]]

    def save(self, due: Sequence[Replacement]) -> None:
        """Replace what is due."""
        private_folder(self._path.parent)
        write_private(self._path, orjson.dumps({"schema": 1, "due": [asdict(each) for each in due]}))


async def look(client: AsyncBlackhole, orders: Sequence[RepairOrder]) -> list[dict[str, object]]:
    """Look after every order's object once and take what pay can be taken; a row for what was done or failed."""
    ledger = Ledger(client.connection.home.root / "repairs" / f"{client.connection.account.lower()}.json")
    rows: list[dict[str, object]] = []
    due = ledger.open()
    for order in orders:
        try:
            done = await client.storage.repair_by_order(order)
        except BlackholeError as error:
            rows.append({"event": "failed", "error": error.to_json()})
            continue
        due += done.restored
        ledger.save(due)
        rows.extend({"event": "restored", **asdict(each)} for each in done.restored)
        rows.extend({"event": "not_restored", "shard": which, "reason": why} for which, why in done.failed.items())
        if not done.restored and not done.failed:
            rows.append({"event": "healthy", "healthy": done.before.healthy, "shards": done.before.shards})
    for each in list(due):
        if await client.storage.claim_repair(each):
            due.remove(each)
            rows.append({"event": "paid", "agreement": each.agreement})
    ledger.save(due)
    return rows


async def run(orders: Sequence[RepairOrder], watch: float | None) -> int:
    """Look once, or until SIGTERM or SIGINT; a JSON line for everything done. Returns an exit code."""
    from blackhole.client import AsyncBlackhole

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    failed = False
    async with AsyncBlackhole() as client:
        while True:
            for row in await look(client, orders):
                failed = failed or row["event"] in {"failed", "not_restored"}
                sys.stdout.write(orjson.dumps(row).decode() + "\n")
            sys.stdout.flush()
            if watch is None:
                return 3 if failed else 0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), watch)
            if stop.is_set():
                return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; BLACKHOLE_NETWORK, BLACKHOLE_KEY_FILE and BLACKHOLE_HOME say where, who and in which home."""
    parser = argparse.ArgumentParser(prog="python -m blackhole.storage.repairer", description=__doc__)
    parser.add_argument("orders", nargs="+", type=Path, help="files with repair orders")
    parser.add_argument("--watch", type=float, default=None, metavar="SECONDS", help="look again so often")
    chosen = parser.parse_args(arguments)
    try:
        return asyncio.run(run([load_order(path) for path in chosen.orders], chosen.watch))
    except BlackholeError as error:
        sys.stderr.write(f"error: {error.message}\n  next: {error.hint}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
