"""Reference model of the vault (contracts/staking/StakeManager.sol): the same rules in plain integers.

Every method takes the caller first and either changes the model or raises `Refused` with the name of the contract's
error. `now` is set by whoever drives it. Money only moves between `balances`, the burned too, so that the whole supply
can be checked.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

DAY = 86_400
EXIT = 21 * DAY
ROUND = 6 * DAY
MAX_FREEZE = 14 * DAY
RESERVE_MAX = 400 * DAY
UNRESERVE_DELAY = 60 * DAY
BURN_BPS, FAULT_BOUNTY_MAX, CLAIM_BOUNTY_MAX, BPS = 3_000, 500, 2_000, 10_000
NOBODY = "0x" + "0" * 40
VAULT, BURNED = "vault", "burned"


class Refused(Exception):
    """The call reverts with the error of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass
class Stake:
    active: int = 0
    reserved: int = 0
    reserved_until: int = 0
    closed: bool = False
    exiting: int = 0
    frozen: int = 0
    exit_at: int = 0

    @property
    def free(self) -> int:
        return max(0, self.active - self.reserved - self.frozen)


@dataclass
class Round:
    since: int
    awards: int = 0
    stake: int = 0
    held: int = 0
    settled: bool = False


@dataclass
class Hold:
    node: int
    service: int
    round: Round
    amount: int
    until: int
    state: str = "Frozen"
    victim: str = NOBODY
    reporter: str = NOBODY
    bounty: int = 0


def require(condition: bool, error: str) -> None:
    if not condition:
        raise Refused(error)


@dataclass
class Vault:
    """`owners`: the registry's; `verifiers`: the catalog's; `disputes`: the one caller of faults and claims."""

    owners: dict[int, str]
    verifiers: dict[int, str]
    disputes: str
    balances: dict[str, int]
    now: int = 0
    stakers: dict[int, str] = field(default_factory=dict)
    pending: dict[int, str] = field(default_factory=dict)
    stakes: dict[tuple[int, int], Stake] = field(default_factory=lambda: defaultdict(Stake))
    # Freed by the staker and not yet given back by the verifier.
    freed: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    rounds: dict[tuple[int, int], list[Round]] = field(default_factory=lambda: defaultdict(list))
    holds: dict[int, Hold] = field(default_factory=dict)
    history: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    # ------------------------------------------------------------------------------------------------ stakers

    def bond(self, caller: str, node: int, service: int, amount: int) -> None:
        require(amount > 0, "ZeroAmount")
        will_hold = self._would_hold(node, service)
        staker = self.stakers.get(node) if will_hold else None
        require(caller == (staker or self.owners.get(node)), "NotStaker")
        require(self.balances.get(caller, 0) >= amount, "ERC20InsufficientBalance")
        stake = self._touch(node, service)
        self.stakers[node] = caller
        stake.active += amount
        self._move(caller, VAULT, amount)
        self._checkpoint(caller)

    def request_exit(self, caller: str, node: int, service: int, amount: int) -> None:
        self._only_staker(caller, node)
        require(amount > 0, "ZeroAmount")
        require(amount <= self.preview(node, service).free, "InsufficientFreeStake")
        stake = self._touch(node, service)
        stake.active -= amount
        stake.exiting += amount
        stake.exit_at = self.now + EXIT

    def cancel_exit(self, caller: str, node: int, service: int) -> None:
        self._only_staker(caller, node)
        require(self.preview(node, service).exiting > 0, "NoExit")
        stake = self._touch(node, service)
        stake.active, stake.exiting, stake.exit_at = stake.active + stake.exiting, 0, 0

    def withdraw(self, caller: str, node: int, service: int, to: str) -> int:
        self._only_staker(caller, node)
        require(to != NOBODY, "ZeroAddress")
        seen = self.preview(node, service)
        require(seen.exiting > 0, "NoExit")
        require(self.now >= seen.exit_at, "ExitPending")
        require(seen.frozen < seen.exiting, "ExitFrozen")
        stake = self._touch(node, service)
        amount = stake.exiting - stake.frozen
        stake.exiting = stake.frozen
        if stake.exiting == 0:
            stake.exit_at = 0
        self._left(node)
        self._move(VAULT, to, amount)
        return amount

    def transfer_staker(self, caller: str, node: int, to: str) -> None:
        self._only_staker(caller, node)
        self.pending[node] = to

    def accept_staker(self, caller: str, node: int) -> None:
        require(self.pending.get(node, NOBODY) == caller, "NotPendingStaker")
        old, self.stakers[node] = self.stakers[node], caller
        del self.pending[node]
        self._checkpoint(old)
        self._checkpoint(caller)

    def unreserve(self, caller: str, node: int, service: int) -> None:
        self._only_staker(caller, node)
        stake = self.stakes[node, service]
        require(stake.reserved > 0, "ZeroAmount")
        require(self.now >= stake.reserved_until + UNRESERVE_DELAY, "ReserveLive")
        self.freed[node, service] += stake.reserved
        stake.reserved = stake.reserved_until = 0

    def set_reservable(self, caller: str, node: int, service: int, reservable: bool) -> None:
        self._only_staker(caller, node)
        self.stakes[node, service].closed = not reservable

    # --------------------------------------------------------------------------------- verifiers and disputes

    def reserve(self, caller: str, node: int, service: int, delta: int, until: int) -> None:
        require(self.verifiers.get(service) == caller, "NotVerifier")
        if delta >= 0:
            require(self.now <= until <= self.now + RESERVE_MAX, "InvalidReserveEnd")
            require(not self.stakes[node, service].closed, "ReserveClosed")
            seen = self.preview(node, service)
            require(seen.reserved + delta + seen.frozen <= seen.active, "InsufficientFreeStake")
            stake = self._touch(node, service)
            stake.reserved += delta
            stake.reserved_until = max(stake.reserved_until, until)
        else:
            stake = self.stakes[node, service]
            again = min(self.freed[node, service], -delta)
            self.freed[node, service] -= again
            stake.reserved = max(0, stake.reserved + delta + again)
        if stake.reserved == 0:
            stake.reserved_until = 0

    def fault(self, caller: str, node: int, service: int, amount: int, bounty: int, reporter: str, remedy: str) -> int:
        require(caller == self.disputes, "NotDisputes")
        require(bounty <= FAULT_BOUNTY_MAX, "BountyTooHigh")
        require(remedy != NOBODY, "ZeroAddress")
        stake = self._touch(node, service)
        taken = min(amount, stake.reserved, stake.active)
        stake.active -= taken
        if taken:
            self._left(node)
        self._slash(taken, bounty, reporter, remedy)
        return taken

    def freeze(self, caller: str, claim: int, node: int, service: int, amount: int) -> None:
        require(caller == self.disputes, "NotDisputes")
        require(amount > 0, "ZeroAmount")
        require(claim not in self.holds, "ClaimExists")
        self._settle(node, service)
        rounds = self.rounds[node, service]
        if not rounds or self.now >= rounds[-1].since + ROUND:
            rounds.append(Round(self.now))
        rounds[-1].held += amount
        self.stakes[node, service].frozen += amount
        self.holds[claim] = Hold(node, service, rounds[-1], amount, rounds[-1].since + MAX_FREEZE)

    def award(self, caller: str, claim: int, amount: int, bounty: int, victim: str, reporter: str) -> None:
        require(caller == self.disputes, "NotDisputes")
        require(amount > 0, "ZeroAmount")
        require(victim != NOBODY, "ZeroAddress")
        require(bounty <= CLAIM_BOUNTY_MAX, "BountyTooHigh")
        hold = self.holds.get(claim)
        require(hold is not None and hold.state == "Frozen", "InvalidClaimState")
        assert hold is not None
        require(self.now < hold.until, "RoundOver")
        require(amount <= hold.amount, "AwardTooHigh")
        self.stakes[hold.node, hold.service].frozen -= hold.amount - amount
        hold.round.held -= hold.amount
        hold.round.awards += amount
        hold.amount, hold.state = amount, "Awarded"
        hold.victim, hold.reporter, hold.bounty = victim, reporter, bounty

    def pay(self, _caller: str, claim: int) -> int:
        hold = self.holds.get(claim)
        require(hold is not None and hold.state == "Awarded", "InvalidClaimState")
        assert hold is not None
        require(self.now >= hold.until, "RoundOpen")
        self._settle(hold.node, hold.service)
        share = hold.amount * hold.round.stake // hold.round.awards
        hold.round.awards -= hold.amount
        hold.round.stake -= share
        hold.state = "Paid"
        return self._slash(share, hold.bounty, hold.reporter, hold.victim)

    def lapse(self, caller: str, claim: int) -> None:
        hold = self.holds.get(claim)
        require(hold is not None and hold.state == "Frozen", "InvalidClaimState")
        assert hold is not None
        require(caller == self.disputes or self.now >= hold.until, "RoundOpen")
        hold.state = "Lapsed"
        if not hold.round.settled:
            hold.round.held -= hold.amount
            self.stakes[hold.node, hold.service].frozen -= hold.amount

    # -------------------------------------------------------------------------------------------------- views

    def preview(self, node: int, service: int) -> Stake:
        """The stake with the rounds that are over settled, the model unchanged."""
        stake = Stake(**vars(self.stakes[node, service]))
        for due in self._over(node, service):
            self._take(stake, due)
        return stake

    def bonded(self, node: int) -> int:
        """Active and exiting stake of a node, settled or not."""
        return sum(s.active + s.exiting for (n, _), s in self.stakes.items() if n == node)

    def votes(self, staker: str) -> int:
        return self.history[staker][-1][1] if self.history[staker] else 0

    def past_votes(self, staker: str, time: int) -> int:
        return next((amount for at, amount in reversed(self.history[staker]) if at <= time), 0)

    @property
    def burned(self) -> int:
        return self.balances.get(BURNED, 0)

    def unpaid(self) -> int:
        """What settled rounds hold."""
        return sum(r.stake for rounds in self.rounds.values() for r in rounds)

    # ----------------------------------------------------------------------------------------------- internal

    def _only_staker(self, caller: str, node: int) -> None:
        require(self.stakers.get(node) == caller, "NotStaker")

    def _over(self, node: int, service: int) -> list[Round]:
        return [r for r in self.rounds[node, service] if not r.settled and self.now >= r.since + MAX_FREEZE]

    @staticmethod
    def _take(stake: Stake, due: Round) -> int:
        stake.frozen -= due.awards + due.held
        from_exit = min(due.awards, stake.exiting)
        from_active = min(due.awards - from_exit, stake.active)
        stake.exiting -= from_exit
        stake.active -= from_active
        if stake.exiting == 0:
            stake.exit_at = 0
        return from_exit + from_active

    def _would_hold(self, node: int, service: int) -> bool:
        """Whether the node has any stake once this one's rounds are settled."""
        now, then = self.stakes[node, service], self.preview(node, service)
        return self.bonded(node) - (now.active + now.exiting) + then.active + then.exiting > 0

    def _touch(self, node: int, service: int) -> Stake:
        if self.stakes[node, service].frozen:
            self._settle(node, service)
        return self.stakes[node, service]

    def _settle(self, node: int, service: int) -> None:
        for due in self._over(node, service):
            due.stake = self._take(self.stakes[node, service], due)
            due.settled = True
            if due.stake:
                self._left(node)

    def _left(self, node: int) -> None:
        """Stake has left a node."""
        staker = self.stakers[node]
        if self.bonded(node) == 0:
            del self.stakers[node]
            self.pending.pop(node, None)
        self._checkpoint(staker)

    def _checkpoint(self, staker: str) -> None:
        amount = sum(self.bonded(n) for n, s in self.stakers.items() if s == staker)
        trace = self.history[staker]
        if trace and trace[-1][0] == self.now:
            trace.pop()
        trace.append((self.now, amount))

    def _slash(self, amount: int, bounty: int, reporter: str, to: str) -> int:
        burn = amount * BURN_BPS // BPS
        share = amount * bounty // BPS if reporter != NOBODY else 0
        self._move(VAULT, BURNED, burn)
        self._move(VAULT, reporter, share)
        self._move(VAULT, to, amount - burn - share)
        return amount - burn - share

    def _move(self, source: str, to: str, amount: int) -> None:
        if amount:
            self.balances[source] = self.balances.get(source, 0) - amount
            self.balances[to] = self.balances.get(to, 0) + amount
