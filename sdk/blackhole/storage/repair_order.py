"""A repair in three records: the order an owner gives a repairer, one restored shard, and what a repair did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blackhole.errors import InputError
from blackhole.storage.terms import Policy

if TYPE_CHECKING:
    from blackhole.storage.caps import ReadCap
    from blackhole.storage.core import StorageCore
    from blackhole.storage.types import ObjectStatus

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RepairOrder:
    """What an owner gives a repairer. It lets its holder rebuild shards and spend the policy's budget on new
    agreements; it reads nothing.

    Attributes:
        cap: a repair-cap.
        policy: the standing order.
        signature: the payer's, over it.
    """

    cap: str
    policy: Policy
    signature: bytes

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "schema": SCHEMA,
            "cap": self.cap,
            "policy": self.policy.to_json(),
            "signature": "0x" + self.signature.hex(),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> RepairOrder:
        """Read `to_json`'s result. Raises InputError."""
        if not isinstance(raw, Mapping) or raw.get("schema") != SCHEMA:
            raise InputError("This is no repair order of a kind this version knows.", hint="Update Blackhole.")
        try:
            signature = bytes.fromhex(str(raw["signature"]).removeprefix("0x"))
            return cls(str(raw["cap"]), Policy.from_json(raw["policy"]), signature)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("The repair order is cut off or malformed.", hint="Ask the owner for it again.") from error


@dataclass(frozen=True, slots=True)
class Replacement:
    """One restored shard.

    Attributes:
        segment, shard: which.
        lost: agreement (0x-hex) that lost it, empty if none is known.
        agreement: the new one.
        node: where it is now.
        piece, leaves: its root (hex) and KiB.
        lost_path, new_path: hex, for `claimRepair`.
    """

    segment: int
    shard: int
    lost: str
    agreement: str
    node: int
    piece: str
    leaves: int
    lost_path: str = ""
    new_path: str = ""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did.

    Attributes:
        before: status it found.
        restored: shards that have a node again.
        failed: "segment/shard" → why not.
        cost: wei locked anew; under a policy from lost locks and its budget.
        read_micro: micro-HOLE paid for reading.
    """

    before: ObjectStatus
    restored: tuple[Replacement, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    cost: int = 0
    read_micro: int = 0


def sign_order(core: StorageCore, cap: ReadCap, *, max_rate: int, budget: int, expiry: int) -> RepairOrder:
    """The owner's order for one object.

    Args:
        max_rate: wei per GiB and period a new node may ask.
        budget: wei that may be spent beyond what lost locks give back.
        expiry: unix seconds.
    """
    policy = Policy(
        payer=core.account,
        manifest=cap.piece.root,
        max_rate=max_rate,
        budget=budget,
        allowed_nodes=bytes(32),
        expiry=expiry,
        nonce=int.from_bytes(os.urandom(7), "big"),
    )
    return RepairOrder(cap.repair_cap.text, policy, core.signer.sign_digest(policy.digest(core.domain)))
