"""The operations of `blackhole.staking` on both faces."""

from __future__ import annotations

from blackhole.chain.service import ConnectedService
from blackhole.face import M


class Staking(ConnectedService[M]):
    """See the module."""
