"""Who may read how much: lanes, grants, audits. Pure bookkeeping in bytes and micro-HOLE, no I/O.

A lane's cost is ceil(bytes x price / 2^20), cumulative. The node serves one MiB beyond the last voucher.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from blackhole.node.storage.refusal import Refusal
from blackhole.protocol import SERVE_AHEAD

MIB = 2**20
DAY = 86_400


def cost_micro(count: int, price: int) -> int:
    """Price of `count` bytes at `price` micro a MiB, rounded up."""
    return -(-count * price // MIB)


@dataclass(slots=True)
class LaneAccount:
    """What one lane read and paid.

    Attributes:
        lane: its id.
        price: micro a MiB now.
        served: bytes served, all time.
        accepted: highest cumulative accepted, micro.
        row: that voucher, 74 bytes.
        base_bytes, base_micro: bytes and cost up to the last change of price: what was read before keeps its price.
    """

    lane: int
    price: int
    served: int = 0
    accepted: int = 0
    row: bytes = b""
    base_bytes: int = 0
    base_micro: int = 0

    def owed(self, more: int = 0) -> int:
        """Cumulative cost of all bytes served and `more`, micro."""
        return self.base_micro + cost_micro(self.served + more - self.base_bytes, self.price)

    def reprice(self, price: int) -> None:
        """From here on reads cost `price`."""
        if price != self.price:
            self.base_micro, self.base_bytes, self.price = self.owed(), self.served, price

    def required(self, more: int) -> int:
        """The cumulative a voucher must have before `more` bytes are served."""
        return max(self.owed(more) - cost_micro(SERVE_AHEAD, self.price), 0)

    def take(self, more: int, backing: int) -> None:
        """Count `more` bytes as served.

        Args:
            more: bytes of this answer.
            backing: what the lane can pay at all, micro: its deposit at a final block, less what thaws.

        Raises:
            Refusal: 402; `data` says how much is missing and what the lane must hold.
        """
        required = self.required(more)
        if self.accepted < required or backing < self.owed(more):
            raise self.payment_required(more, backing)
        self.served += more

    def payment_required(self, more: int, backing: int) -> Refusal:
        """The 402 for `more` bytes."""
        required, owed = self.required(more), self.owed(more)
        short = max(owed - backing, 0)
        return Refusal(
            402,
            "payment_required",
            f"Lane {self.lane} is missing a voucher over {required} micro."
            if not short
            else f"Lane {self.lane} holds {backing} micro that do not thaw, this read needs {owed}.",
            hint="Sign a voucher over what was received and verified." if not short else "Top up the lane.",
            data={
                "lane": self.lane,
                "missing_micro": max(required - self.accepted, 0),
                "required_micro": required,
                "accepted_micro": self.accepted,
                "served_bytes": self.served,
                "egress_micro_per_mib": self.price,
                "missing_deposit_micro": short,
            },
        )

    def merge(self, recorded: LaneAccount) -> None:
        """Take over what was journalled; what was read or paid since stays."""
        if recorded.accepted > self.accepted:
            self.accepted, self.row = recorded.accepted, recorded.row
        self.served = max(self.served, recorded.served)
        if recorded.base_bytes >= self.base_bytes:
            self.price, self.base_bytes, self.base_micro = recorded.price, recorded.base_bytes, recorded.base_micro

    def give_back(self, count: int) -> None:
        """`count` bytes that were counted never left."""
        self.served -= count

    def to_json(self) -> dict[str, int | str]:
        """For the journal."""
        return {
            "lane": self.lane, "price": self.price, "served": self.served, "accepted": self.accepted,
            "row": self.row.hex(), "base_bytes": self.base_bytes, "base_micro": self.base_micro,
        }  # fmt: skip


@dataclass(slots=True)
class Allowance:
    """Bytes a day for each of many keys, at most `keys` of them remembered."""

    bytes_per_day: int
    keys: int = 65_536
    _used: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)

    def take(self, key: str, count: int, now: int, what: str) -> None:
        """Count `count` bytes for `key` at chain time `now`, or raise Refusal 429."""
        day, used = self._used.pop(key, (now // DAY, 0))
        if day != now // DAY:
            used = 0
        if used + count > self.bytes_per_day:
            self._used[key] = (now // DAY, used)
            raise Refusal(
                429, "allowance_used_up", f"The daily allowance for {what} is used up.",
                hint="Read with a lane, or wait for the next day.",
                data={"bytes_per_day": self.bytes_per_day, "used": used},
            )  # fmt: skip
        self._used[key] = (now // DAY, used + count)
        while len(self._used) > self.keys:
            self._used.popitem(last=False)
