"""The operations of `blackhole.escrow` on both faces."""

from __future__ import annotations

from blackhole.chain.service import ConnectedService
from blackhole.face import M


class Escrow(ConnectedService[M]):
    """See the module."""
