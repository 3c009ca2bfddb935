"""The operations of `blackhole.disputes` on both faces."""

from __future__ import annotations

from blackhole.chain.service import ConnectedService
from blackhole.face import M


class Disputes(ConnectedService[M]):
    """See the module."""
