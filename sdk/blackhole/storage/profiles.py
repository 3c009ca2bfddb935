"""Erasure profiles: how many shards a segment becomes and how many suffice to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from blackhole import protocol
from blackhole.protocol import BLOCK, LEAF

TAG: Final = 16
"""bytes. The authentication tag AES-GCM adds to each chunk."""


@dataclass(frozen=True, slots=True)
class Profile:
    """k of n shards restore a segment; below `repair_at` live shards repair starts; `unit` is the full stripe unit in
    bytes."""

    name: str
    k: int
    n: int
    repair_at: int
    unit: int

    def __post_init__(self) -> None:
        if not (1 <= self.k < self.n <= 255 and self.k <= self.repair_at <= self.n):
            raise ValueError(f"profile {self.name}: needs 1 ≤ k < n ≤ 255 and k ≤ repair_at ≤ n")
        if self.unit < LEAF or self.unit % LEAF or BLOCK % self.unit:
            raise ValueError(f"profile {self.name}: a unit is a whole number of KiB that divides 1 MiB")

    @property
    def expansion(self) -> float:
        """Stored bytes for each byte of a large object."""
        return self.n / self.k

    def unit_for(self, plaintext: int) -> int:
        """The stripe unit of a segment with so many plaintext bytes: what one stripe needs, in KiB, at most `unit`."""
        needed = -(-(plaintext + TAG * self.k) // self.k)
        return min(self.unit, -(-needed // LEAF) * LEAF)


PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile("dev", protocol.DEV_DATA, protocol.DEV_SHARDS, protocol.DEV_REPAIR, protocol.DEV_UNIT),
        Profile("std", protocol.STD_DATA, protocol.STD_SHARDS, protocol.STD_REPAIR, protocol.STD_UNIT),
        Profile("dc", protocol.DC_DATA, protocol.DC_SHARDS, protocol.DC_REPAIR, protocol.DC_UNIT),
        Profile("wide", protocol.WIDE_DATA, protocol.WIDE_SHARDS, protocol.WIDE_REPAIR, protocol.WIDE_UNIT),
    )
}
"""The profiles by name. `dc` is for data that has a second copy elsewhere."""
