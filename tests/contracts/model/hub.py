"""The payment hub as a specification that runs: what each call does, and with which error it refuses.

Everything is exact integers; amounts in wei, lanes in micro. A refusal leaves the state as it was. `Hub.now` is the
time of the call. The rule machine in `test_hub_machine.py` compares this with the contract after every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

THAW = 86_400
THAW_LAPSE = 7 * 86_400
GRACE = 14 * 86_400
NOTICE = 30 * 86_400
FEE_MAX = 500
BPS = 10_000
U32, U48, U96, U256 = 2**32 - 1, 2**48 - 1, 2**96 - 1, 2**256 - 1
ZERO = "0x" + "00" * 20


class Refused(Exception):
    """The hub refuses with this custom error and arguments."""

    def __init__(self, name: str, *args: Any) -> None:
        super().__init__(name, *args)
        self.name, self.arguments = name, args


@dataclass
class Lane:
    payer: str
    signer: str
    deposit: int
    claimed: int = 0
    thawing: int = 0
    thaw_at: int = 0


@dataclass
class Lock:
    payer: str
    payee: str
    service: int
    amount: int
    expiry: int
    released: int = 0


@dataclass
class Fee:
    sink: str
    bps: int
    next_bps: int
    next_at: int

    def at(self, now: int) -> int:
        return self.next_bps if now >= self.next_at else self.bps


@dataclass(frozen=True)
class Voucher:
    """A row as the hub judges it; `signer` is who signed exactly this payee, service, lane and amount, if anybody."""

    lane: int
    cumulative: int
    signer: str | None


@dataclass(frozen=True)
class Credit:
    """A Credited event."""

    payer: str
    payee: str
    service: int
    gross: int
    fee: int
    receipt: bytes


@dataclass
class Hub:
    unit: int
    timelock: str
    fees: dict[int, Fee]
    now: int
    tokens: dict[str, int] = field(default_factory=dict)  # wallets; an account without entry has none
    held: int = 0  # tokens of the hub
    balances: dict[str, int] = field(default_factory=dict)
    lanes: dict[tuple[str, int], list[Lane]] = field(default_factory=dict)
    locks: dict[tuple[str, int], Lock] = field(default_factory=dict)
    allowances: dict[tuple[str, str], int] = field(default_factory=dict)
    nonces: dict[tuple[str, int], int] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------ balances

    def deposit(self, sender: str, to: str, amount: int) -> None:
        if to == ZERO:
            raise Refused("InvalidAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        available = self.tokens.get(sender, 0)
        if amount > available:
            raise Refused("ERC20InsufficientBalance", sender, available, amount)
        self.tokens[sender] = available - amount
        self.held += amount
        self._credit(to, amount)

    def deposit_with_permit(self, owner: str, amount: int, deadline: int, signer: str | None) -> bool:
        """`signer` is whose key signed exactly this permit, while it counts: unused, or nothing drawn on it yet."""
        if self.now > deadline:
            raise Refused("Expired", deadline)
        if signer != owner:
            raise Refused("InvalidSignature", owner)
        self.deposit(owner, owner, amount)
        return True

    def withdraw(self, sender: str, to: str, amount: int) -> None:
        if to == ZERO:
            raise Refused("InvalidAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        self._debit(sender, amount)
        self.held -= amount
        self.tokens[to] = self.tokens.get(to, 0) + amount

    # --------------------------------------------------------------------------------------------------- lanes

    def open_lane(self, payer: str, payee: str, service: int, signer: str, amount: int) -> int:
        if ZERO in (payee, signer):
            raise Refused("InvalidAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        self._debit(payer, amount * self.unit)
        lanes = self.lanes.setdefault((payee, service), [])
        lanes.append(Lane(payer, signer, amount))
        return len(lanes) - 1

    def top_up(self, sender: str, payee: str, service: int, lane: int, amount: int) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        found = self._lane(payee, service, lane)
        if found.deposit + amount > U48:
            raise Refused("LaneFull", payee, service, lane)
        self._debit(sender, amount * self.unit)
        found.deposit += amount

    def thaw(self, sender: str, payee: str, service: int, lane: int, amount: int) -> None:
        found = self._own_lane(sender, payee, service, lane)
        if amount > found.deposit - found.claimed:
            raise Refused("InsufficientLane", found.deposit - found.claimed, amount)
        found.thawing = amount
        found.thaw_at = self.now + THAW if amount else 0

    def reclaim(self, sender: str, payee: str, service: int, lane: int) -> None:
        found = self._own_lane(sender, payee, service, lane)
        if found.thawing == 0:
            raise Refused("NotThawing")
        if self.now < found.thaw_at:
            raise Refused("StillThawing", found.thaw_at)
        if self.now >= found.thaw_at + THAW_LAPSE:
            raise Refused("ThawLapsed", found.thaw_at + THAW_LAPSE)
        amount = min(found.thawing, found.deposit - found.claimed)
        found.deposit -= amount
        found.thawing = found.thaw_at = 0
        self._credit(sender, amount * self.unit)

    def redeem(self, payee: str, service: int, rows: list[Voucher]) -> tuple[int, int, list[Credit]]:
        """Gross micro, rows that paid, and their events."""
        bps, sink = self.current_fee(service)
        lanes = self.lanes.get((payee, service), [])
        micro, credits = 0, list[Credit]()
        for row in rows:
            if row.lane >= len(lanes) or row.signer is None:
                continue
            lane = lanes[row.lane]
            if row.signer not in (lane.payer, lane.signer):
                continue
            paid = min(row.cumulative, lane.deposit) - lane.claimed
            if paid <= 0:
                continue
            lane.claimed += paid
            micro += paid
            gross = paid * self.unit
            fee = gross * bps // BPS
            self._credit(payee, gross - fee)
            self._credit(sink, fee)
            receipt = int(payee, 16) << 96 | service << 80 | row.lane
            credits.append(Credit(lane.payer, payee, service, gross, fee, receipt.to_bytes(32, "big")))
        return micro, len(credits), credits

    # --------------------------------------------------------------------------------------------------- locks

    def allow(self, payer: str, module: str, amount: int) -> None:
        if module == ZERO:
            raise Refused("InvalidAddress")
        self.allowances[payer, module] = amount

    def lock(self, module: str, id_: int, payer: str, payee: str, service: int, amount: int, expiry: int) -> None:
        if (module, id_) in self.locks:
            raise Refused("LockExists", module, id_)
        if ZERO in (payer, payee):
            raise Refused("InvalidAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        if expiry <= self.now or expiry > U32:
            raise Refused("InvalidExpiry", expiry)
        self._spend(payer, module, amount)
        self.locks[module, id_] = Lock(payer, payee, service, amount, expiry)

    def increase(self, module: str, id_: int, amount: int, expiry: int) -> None:
        found = self._lock(module, id_)
        if expiry != found.expiry:
            if expiry < found.expiry or expiry > U32:
                raise Refused("InvalidExpiry", expiry)
            if self.allowances.get((found.payer, module), 0) == 0:
                raise Refused("InsufficientAllowance", found.payer, module, 0, 1)
        if amount:
            if amount > U96 - found.amount:
                raise Refused("InsufficientLock", U96 - found.amount, amount)
            self._spend(found.payer, module, amount)
        found.amount += amount
        found.expiry = expiry

    def release(self, module: str, id_: int, amount: int) -> Credit:
        found = self._lock(module, id_)
        self._take(found, amount)
        bps, sink = self.current_fee(found.service)
        fee = amount * bps // BPS
        found.released = min(U48, found.released + amount // self.unit)
        self._credit(found.payee, amount - fee)
        self._credit(sink, fee)
        return Credit(found.payer, found.payee, found.service, amount, fee, id_.to_bytes(32, "big"))

    def refund(self, module: str, id_: int, amount: int) -> None:
        found = self._lock(module, id_)
        self._take(found, amount)
        self._credit(found.payer, amount)

    def reclaim_lock(self, sender: str, module: str, id_: int) -> None:
        found = self._lock(module, id_)
        if sender != found.payer:
            raise Refused("NotPayer", sender, found.payer)
        if self.now < found.expiry + GRACE:
            raise Refused("LockNotExpired", found.expiry + GRACE)
        amount = found.amount
        self._take(found, amount)
        self._credit(sender, amount)

    # ------------------------------------------------------------------------------------------- fees, signatures

    def set_fee(self, sender: str, service: int, bps: int, sink: str) -> None:
        if sender != self.timelock:
            raise Refused("NotTimelock", sender)
        if bps > FEE_MAX:
            raise Refused("FeeTooHigh", bps)
        if sink == ZERO:
            raise Refused("InvalidAddress")
        current, _ = self.current_fee(service)
        self.fees[service] = Fee(sink, current, bps, self.now + NOTICE)

    def current_fee(self, service: int) -> tuple[int, str]:
        row = self.fees.get(service, self.fees[0])
        return row.at(self.now), row.sink

    def next_nonce(self, account: str, key: int) -> int:
        return key << 64 | self.nonces.get((account, key), 0)

    def authorize(self, payer: str, signer: str | None, nonce: int, deadline: int) -> None:
        """A BySig call's check: `signer` is whose key signed exactly these fields. The caller runs the effect after
        it and forgets both when the effect is refused."""
        if self.now > deadline:
            raise Refused("Expired", deadline)
        expected = self.next_nonce(payer, nonce >> 64)
        if nonce != expected:
            raise Refused("InvalidNonce", payer, expected)
        if signer != payer:
            raise Refused("InvalidSignature", payer)
        self.nonces[payer, nonce >> 64] = (nonce & (2**64 - 1)) + 1

    # ------------------------------------------------------------------------------------------------- internal

    def owed(self) -> int:
        """All the hub owes; never more than it holds."""
        in_lanes = sum(lane.deposit - lane.claimed for lanes in self.lanes.values() for lane in lanes)
        return sum(self.balances.values()) + in_lanes * self.unit + sum(lock.amount for lock in self.locks.values())

    def _credit(self, account: str, amount: int) -> None:
        self.balances[account] = self.balances.get(account, 0) + amount

    def _debit(self, account: str, amount: int) -> None:
        balance = self.balances.get(account, 0)
        if amount > balance:
            raise Refused("InsufficientBalance", account, balance, amount)
        self.balances[account] = balance - amount

    def _spend(self, payer: str, module: str, amount: int) -> None:
        """Takes from allowance and balance, or from neither."""
        allowance = self.allowances.get((payer, module), 0)
        if amount > allowance:
            raise Refused("InsufficientAllowance", payer, module, allowance, amount)
        self._debit(payer, amount)
        if allowance != U256:
            self.allowances[payer, module] = allowance - amount

    @staticmethod
    def _take(found: Lock, amount: int) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        if amount > found.amount:
            raise Refused("InsufficientLock", found.amount, amount)
        found.amount -= amount

    def _lane(self, payee: str, service: int, lane: int) -> Lane:
        lanes = self.lanes.get((payee, service), [])
        if lane >= len(lanes):
            raise Refused("UnknownLane", payee, service, lane)
        return lanes[lane]

    def _own_lane(self, sender: str, payee: str, service: int, lane: int) -> Lane:
        found = self._lane(payee, service, lane)
        if sender != found.payer:
            raise Refused("NotPayer", sender, found.payer)
        return found

    def _lock(self, module: str, id_: int) -> Lock:
        if (module, id_) not in self.locks:
            raise Refused("UnknownLock", module, id_)
        return self.locks[module, id_]
