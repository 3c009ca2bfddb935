"""A whole Blackhole network of real processes on one machine.

    with Devnet.up(nodes=10) as net:          # blackhole.devnet.handle.Devnet
        net.kill(3)

The chain, the supervisor and every node are processes of their own; everything they write is in one run folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blackhole.devnet.handle import Devnet as Devnet

__all__ = ["Devnet"]


def __getattr__(name: str) -> object:
    if name == "Devnet":
        from blackhole.devnet.handle import Devnet

        return Devnet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
