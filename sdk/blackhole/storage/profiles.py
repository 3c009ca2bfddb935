"""Erasure profiles: how many shards a segment becomes and how many suffice to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
        Profile("dev", k=3, n=10, repair_at=7, unit=64 << 10),
        Profile("std", k=20, n=40, repair_at=30, unit=32 << 10),
        Profile("dc", k=10, n=14, repair_at=12, unit=64 << 10),
        Profile("wide", k=29, n=80, repair_at=52, unit=16 << 10),
    )
}
"""The profiles by name. `dc` is for data that has a second copy elsewhere."""
