"""Processes the demo starts beside the network's own: the cheats and the repairer."""

from __future__ import annotations

import os
import sys
import threading


def end_with_parent() -> None:
    """End this process when the one that holds the other end of its standard input ends, however that happens.

    The network's table of processes does not know it, so `blackhole devnet down` after a crash would not find it.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1 << 10):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
