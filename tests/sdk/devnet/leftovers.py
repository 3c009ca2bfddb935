"""Finding what a test left running."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from blackhole.devnet.processes import RUN_VARIABLE


def left(run: Path) -> list[int]:
    """Processes that carry the run folder in their environment or command line, however they were started."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            command = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        ours = f"{RUN_VARIABLE}={run}".encode() in environment or str(run).encode() in command
        if ours and state not in "ZX":
            found.append(int(entry))
    return found


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "condition not met in time"
        time.sleep(0.05)
