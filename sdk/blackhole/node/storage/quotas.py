"""Quotas of staging: what one payer, and all of them, may have on the way. Pure bookkeeping, no I/O.

Everything is decided from headers, before a byte of a body is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from blackhole.node.config import Limits
from blackhole.node.storage.refusal import Refusal


@dataclass(slots=True)
class Usage:
    """What one payer holds: bytes staged or on their way, uploads running."""

    staged: int = 0
    coming: int = 0
    uploads: int = 0


@dataclass(slots=True)
class Permit:
    """A right to upload, `Upload(payer, node, bytes, expiry, nonce)` as its payer signed it, and what is used of it."""

    bytes: int
    expiry: int
    used: int = 0


@dataclass(slots=True)
class Ticket:
    """An upload that was let in. Give it back with `done` or `abandoned`, once."""

    quota: StagingQuota
    payer: str
    nonce: int
    bytes: int
    open: bool = True

    def done(self) -> None:
        """The bytes are staged: they count until `released`."""
        self._leave()
        usage = self.quota.payers[self.payer]
        usage.staged += self.bytes
        self.quota.staged += self.bytes

    def abandoned(self) -> None:
        """The bytes did not arrive, or were wrong: nothing is counted, the permit is whole again."""
        if self.open:
            self._leave()
            permit = self.quota.permits.get((self.payer, self.nonce))
            if permit is not None:
                permit.used -= self.bytes
            self.quota._tidy(self.payer)

    def _leave(self) -> None:
        if not self.open:
            raise RuntimeError("the ticket was given back already")
        self.open = False
        usage = self.quota.payers[self.payer]
        usage.coming -= self.bytes
        usage.uploads -= 1
        self.quota.coming -= self.bytes
        self.quota.uploads -= 1


@dataclass(slots=True)
class StagingQuota:
    """Counts staging of one node against its limits. Addresses are lower-case hex."""

    limits: Limits
    staged: int = 0
    coming: int = 0
    uploads: int = 0
    payers: dict[str, Usage] = field(default_factory=dict)
    permits: dict[tuple[str, int], Permit] = field(default_factory=dict)

    def listed(self, payer: str) -> None:
        """Raise Refusal 403 when the operator's lists keep this payer out."""
        if payer in self.limits.deny or (self.limits.allow and payer not in self.limits.allow):
            raise Refusal(403, "payer_not_served", "This node does not serve this payer.", hint="Choose another node.")

    def admit(
        self, payer: str, size: int, permit: Permit, nonce: int, *, now: int, free_disk: int, room: int
    ) -> Ticket:
        """Let an upload of `size` bytes in, or raise Refusal.

        Args:
            payer: who signed the permit.
            size: bytes of the piece, from Content-Length.
            permit: as signed; what was used of it under `nonce` is remembered until it expires.
            nonce: of the permit.
            now: chain time, seconds.
            free_disk: bytes the disk has.
            room: bytes of capacity neither stored nor promised.
        """
        limits = self.limits
        self.listed(payer)
        if size < 1 or size > limits.piece_bytes:
            raise Refusal(
                413, "piece_size", f"A piece has 1 to {limits.piece_bytes} bytes, this one {size}.",
                hint="Split the object into smaller pieces.", data={"most_bytes": limits.piece_bytes},
            )  # fmt: skip
        if permit.expiry <= now:
            raise Refusal(
                403, "upload_expired", "The right to upload has expired.", hint="Sign a new one.", data={"now": now}
            )
        known = self.permits.get((payer, nonce), permit)
        if known.used + size > permit.bytes:
            raise Refusal(
                403, "upload_used_up", f"The right to upload holds {permit.bytes} bytes, {known.used} are used.",
                hint="Sign one with a new nonce.", data={"bytes": permit.bytes, "used": known.used},
            )  # fmt: skip
        usage = self.payers.get(payer) or Usage()
        waiting = {"Retry-After": "2"}
        if self.uploads >= limits.uploads or usage.uploads >= limits.uploads_per_payer:
            raise Refusal(429, "too_many_uploads", "Too many uploads at once.", hint="Try again soon.", data=waiting)
        if usage.staged + usage.coming + size > limits.staging_bytes_per_payer:
            raise Refusal(
                429, "payer_quota", "This payer's staging quota is used up.",
                hint="Open the agreements over what is staged, or wait until it is dropped.",
                data={"most_bytes": limits.staging_bytes_per_payer, "used": usage.staged + usage.coming},
            )  # fmt: skip
        if self.staged + self.coming + size > limits.staging_bytes:
            raise Refusal(
                507, "staging_full", "The node's staging is full.", hint="Try another node, or later.",
                data={"most_bytes": limits.staging_bytes},
            )  # fmt: skip
        if size > room:
            raise Refusal(
                507, "capacity", "The node's capacity is taken.", hint="Try another node.", data={"room": room}
            )
        if free_disk - self.coming - size < limits.free_disk_bytes:
            raise Refusal(507, "disk", "The node's disk is nearly full.", hint="Try another node.")
        known.used += size
        self.permits[payer, nonce] = known
        self.payers[payer] = usage
        usage.coming += size
        usage.uploads += 1
        self.coming += size
        self.uploads += 1
        return Ticket(self, payer, nonce, size)

    def restore(self, payer: str, nonce: int, size: int, permit: Permit) -> None:
        """Count a piece the journal says is staged."""
        usage = self.payers.setdefault(payer, Usage())
        usage.staged += size
        self.staged += size
        self.permits.setdefault((payer, nonce), permit).used += size

    def released(self, payer: str, size: int) -> None:
        """A staged piece was taken under an agreement or dropped."""
        usage = self.payers.get(payer)
        if usage is not None:
            usage.staged -= size
            self.staged -= size
            self._tidy(payer)

    def _tidy(self, payer: str) -> None:
        if self.payers[payer] == Usage():
            del self.payers[payer]

    def forget(self, now: int) -> None:
        """Drop permits that have expired."""
        for key in [key for key, permit in self.permits.items() if permit.expiry <= now]:
            del self.permits[key]
