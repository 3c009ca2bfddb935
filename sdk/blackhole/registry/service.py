"""The operations of `blackhole.registry` on both faces."""

from __future__ import annotations

from blackhole.chain.service import ConnectedService
from blackhole.face import M


class Registry(ConnectedService[M]):
    """See the module."""
