"""A repairer: `python -m blackhole.devnet.demo.repairer ORDER_FILE`, a process with its own home and key.

It restores what the owner's order lets it restore, then collects its pay from the failed nodes' funds once the new
nodes have proven a period. JSON lines on stdout: `repaired`, then `paid`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from blackhole.client import AsyncBlackhole
from blackhole.devnet.demo.child import end_with_parent
from blackhole.errors import BlackholeError
from blackhole.storage.repair_order import RepairOrder

PAY_SECONDS = 240.0
LOOK_SECONDS = 0.5


def say(event: str, **found: Any) -> None:
    """One line for whoever started this."""
    sys.stdout.write(json.dumps({"event": event, **found}) + "\n")
    sys.stdout.flush()


async def repair(order: RepairOrder) -> None:
    """Repair, say what came of it, and wait for the pay."""
    async with AsyncBlackhole() as blackhole:
        done = await blackhole.storage.repair_by_order(order)
        say(
            "repaired",
            state=done.before.state,
            restored=[asdict(each) for each in done.restored],
            failed=dict(done.failed),
            read_micro=done.read_micro,
        )
        waiting = list(done.restored)
        until = time.monotonic() + PAY_SECONDS
        while waiting and time.monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)
            waiting = [each for each in waiting if not await blackhole.storage.claim_repair(each)]
        say("paid", claimed=len(done.restored) - len(waiting))


def main() -> int:
    """Entry of the process."""
    end_with_parent()
    try:
        asyncio.run(repair(RepairOrder.from_json(json.loads(Path(sys.argv[1]).read_text()))))
    except BlackholeError as error:
        sys.stderr.write(f"error: {error.message}\n  next: {error.hint}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
