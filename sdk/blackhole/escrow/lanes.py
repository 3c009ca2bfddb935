"""Lanes as the chain has them: which money backs a voucher, and reading many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from blackhole.chain.client import At
from blackhole.chain.connection import Connection
from blackhole.chain.values import ZERO, Address
from blackhole.errors import InputError
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner, VoucherVerifier, lane_receipt
from blackhole.protocol import THAW_LAPSE


class LaneId(NamedTuple):
    """The key of a lane. Ids count up from 0 for each (payee, service) and are never reused."""

    payee: Address
    service: int
    lane: int

    @property
    def receipt(self) -> bytes:
        """As `Credited` and ratings name it."""
        return lane_receipt(*self)


@dataclass(frozen=True, slots=True)
class LaneState:
    """One lane. Amounts are micro over the life of the lane, times seconds."""

    id: LaneId
    payer: Address
    signer: Address
    """Who signs its vouchers; the payer may too."""
    deposit: int
    claimed: int
    thawing: int
    """Asked back by the payer."""
    thaw_at: int
    """From when it may be reclaimed; 0 when nothing is."""

    def thaw_counts(self, now: int) -> bool:
        """Whether the thaw is open: it lapses THAW_LAPSE after it matured."""
        return self.thawing > 0 and now <= self.thaw_at + THAW_LAPSE

    def backed(self, now: int) -> int:
        """The highest cumulative amount that is surely paid: money asked back, matured or not, backs nothing."""
        taken = self.thawing if self.thaw_counts(now) else 0
        return max(self.deposit - taken, self.claimed)

    def unspent(self, now: int) -> int:
        """Micro that vouchers can still promise."""
        return self.backed(now) - self.claimed


async def read_lane(connection: Connection, lane: LaneId, *, at: At = "latest") -> LaneState:
    """The lane's state. Raises `InputError` when there is no such lane."""
    return (await read_lanes(connection, [lane], at=at))[0]


async def read_lanes(connection: Connection, lanes: Iterable[LaneId], *, at: At = "latest") -> list[LaneState]:
    """States in the order of the ids. Raises `InputError` for one that does not exist."""
    ids = [LaneId(*each) for each in lanes]
    found = await connection.chain.read_many([connection.hub.lane_of(*each) for each in ids], at=at)
    states: list[LaneState] = []
    for key, raw in zip(ids, found, strict=True):
        if raw.payer == ZERO:
            raise InputError(f"there is no lane {key.lane} of {key.payee} for service {key.service}")
        states.append(LaneState(key, raw.payer, raw.signer, raw.deposit, raw.claimed, raw.thawing, raw.thaw_at))
    return states


async def voucher_domain(connection: Connection) -> VoucherDomain:
    """What vouchers of this network's hub are bound to."""
    return VoucherDomain(await connection.chain.chain_id(), connection.hub.address)


async def voucher_signer(connection: Connection, lane: LaneId) -> VoucherSigner:
    """Signs vouchers of a lane with the connection's key."""
    return VoucherSigner(await voucher_domain(connection), *lane, connection.require_signer())


async def voucher_verifier(connection: Connection, lane: LaneId) -> VoucherVerifier:
    """Checks vouchers of a lane against its signer and payer, as the hub does. Raises `InputError`: no such lane."""
    state = await read_lane(connection, lane)
    return VoucherVerifier(await voucher_domain(connection), *lane, state.signer, state.payer)
