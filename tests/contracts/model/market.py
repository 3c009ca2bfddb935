"""What the storage market does, said plainly: no packing, no trees, no proxies. A call does it or says why it fails.

Written from the design (statements 9, 11, 15, 16 and 17, the order of a deal, time, faults), so every loop runs over
periods one by one where the contract counts bits. Money is wei, times are seconds, leaves are KiB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

START_LEAD, NOTICE, MISS_STEP, MISS_END, WINDOWS = 2, 7, 3, 10, 4
DRAW_DELAY, BLOCKHASHES = 2, 256
REMAINDER_DELAY = 60 * 86_400
BPS, BURN_BPS, BOUNTY_BPS = 10_000, 3_000, 500


class Status(Enum):
    NONE, OPEN, TERMINATED, CLOSED, LOST = range(5)


class Refused(Exception):
    """A call fails with one of these errors."""

    def __init__(self, *names: str) -> None:
        super().__init__(names)
        self.names = set(names)


@dataclass
class Deal:
    node: int
    payer: str
    root: bytes
    leaves: int
    start: int
    end: int
    position: int
    collateral: int
    locked: int
    settled_to: int
    rates: dict[int, int]
    """Rate of each period it may be paid for."""
    nonce: int = 0
    status: Status = Status.OPEN
    paid: int = 0
    repaired: int = 0
    round: int = 0

    @property
    def live(self) -> bool:
        return self.status in (Status.OPEN, Status.TERMINATED)


@dataclass
class Draw:
    point: int
    samples: int = 0
    void: bool = False
    block: int = 0
    time: int = 0

    @property
    def drawn(self) -> bool:
        return self.samples > 0


@dataclass
class Fund:
    amount: int = 0
    leaves: int = 0
    since: int = 0
    ended: int = 0
    taken_bps: int = 0
    """Share of the reserve that the faults of this run took."""


@dataclass
class Node:
    owner: str
    payee: str
    active: int
    reserved: int = 0
    misses: int = 0
    last_proven: int = 0
    duty_from: int = 0
    """No period before this one is owed or can be counted any more."""
    ended_at: int = 0
    round: int = 0
    positions: list[int | None] = field(default_factory=list)
    """Deal a position, None where free."""
    freed: list[int] = field(default_factory=list)


@dataclass
class Market:
    """`now` and `block` are those of the block a call runs in."""

    period: int
    window: int
    blocks: int
    fault_bps: int
    collateral: int
    min_bond: int
    samples: int
    now: int
    block: int
    nodes: dict[int, Node]
    hub: dict[str, int]
    """Balances in the bank."""
    wallets: dict[str, int] = field(default_factory=dict)
    """HOLE paid out to accounts."""
    deals: dict[int, Deal] = field(default_factory=dict)
    draws: dict[int, Draw] = field(default_factory=dict)
    bits: set[tuple[int, int]] = field(default_factory=set)
    funds: dict[tuple[int, int], Fund] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------------- time

    @property
    def current(self) -> int:
        return self.now // self.period

    def window_open(self, period: int) -> bool:
        draw = self.draws.get(period)
        if draw is None or not draw.drawn:
            return False
        return self.now <= draw.time + self.window or self.block <= draw.block + self.blocks

    def decided(self, period: int) -> bool:
        """Whether nothing about a period can change any more, for any node."""
        draw = self.draws.get(period)
        if draw is not None and (draw.drawn or draw.void):
            return not self.window_open(period)
        return self.current > period + 1

    @property
    def first_undecided(self) -> int:
        undecided = [p for p in (*self.draws, self.current - 1) if p < self.current and not self.decided(p)]
        return min(undecided, default=self.current)

    def proving(self, number: int) -> bool:
        """Whether a node's leaves may not move: a seed is known or about to be, and it has not answered."""
        node = self.nodes[number]
        if not self.leaves_of(number) or node.ended_at:
            return False
        for period, draw in self.draws.items():
            under_way = not draw.drawn and not draw.void and period == self.current - 1
            owed = period >= node.duty_from and (number, period) not in self.bits
            if owed and (under_way or self.window_open(period)):
                return True
        return False

    def draw(self, period: int) -> None:
        if period != self.current - 1:
            raise Refused("NotDrawable")
        draw = self.draws.get(period)
        if draw is None:
            drawn = [p for p, d in self.draws.items() if d.drawn]
            if len(drawn) >= WINDOWS and self.window_open(sorted(drawn)[-WINDOWS]):
                raise Refused("WindowOpen")
            self.draws[period] = Draw(self.block + DRAW_DELAY)
        elif draw.drawn:
            raise Refused("AlreadyDrawn")
        elif draw.void:
            raise Refused("DrawVoid")
        elif self.block <= draw.point:
            raise Refused("DrawPending")
        elif self.block > draw.point + BLOCKHASHES:
            draw.void = True
        else:
            draw.samples, draw.block, draw.time = self.samples, self.block, self.now

    # ------------------------------------------------------------------------------------------------------ leaves

    def leaves_of(self, number: int) -> int:
        return sum(d.leaves for d in self.deals.values() if d.node == number and d.live)

    def place_of(self, number: int, index: int) -> tuple[int, int]:
        """Deal and offset of a node's leaf, by the order of positions."""
        for id_ in self.nodes[number].positions:
            if id_ is not None:
                if index < self.deals[id_].leaves:
                    return id_, index
                index -= self.deals[id_].leaves
        raise IndexError(index)

    def count_of(self, number: int) -> int:
        return sum(d.live for d in self.deals.values() if d.node == number)

    def end_of(self, id_: int) -> int:
        deal = self.deals[id_]
        ended = self.nodes[deal.node].ended_at
        return min(deal.end, ended) if ended and deal.live else deal.end

    # ------------------------------------------------------------------------------------------------------- deals

    def open(
        self, id_: int, payer: str, number: int, root: bytes, leaves: int, rate: int, start: int, end: int, prepaid: int
    ) -> None:
        node = self.nodes[number]
        why = set()
        if id_ in self.deals:
            why.add("AgreementExists")
        if not self.current < start <= self.current + START_LEAD:
            why.add("StartOutOfRange")
        if end <= start:
            why.add("EndOutOfRange")
        if prepaid < rate * (end - start):
            why.add("PrepaidTooLow")
        if node.active < self.min_bond:
            why.add("BondTooLow")
        if node.ended_at:
            why.add("NodeHasEnded")
        if self.proving(number):
            why.add("NodeIsProving")
        if leaves * self.collateral + node.reserved > node.active:
            why.add("InsufficientFreeStake")
        if prepaid > self.hub[payer]:
            why.add("InsufficientBalance")
        if prepaid == 0:
            why.add("ZeroAmount")
        if why:
            raise Refused(*why)
        if self.count_of(number) == 0 or start < node.duty_from:
            node.duty_from = start
        if node.freed:
            position = node.freed.pop()
            node.positions[position] = id_
        else:
            position = len(node.positions)
            node.positions.append(id_)
        node.reserved += leaves * self.collateral
        self.hub[payer] -= prepaid
        rates = dict.fromkeys(range(start, end), rate)
        self.deals[id_] = Deal(
            number, payer, root, leaves, start, end, position, self.collateral, prepaid, start, rates
        )

    def settle(self, id_: int, to: int | None = None) -> None:
        """Pays the proven periods before `to`: by default those whose window has closed."""
        deal = self.deals.get(id_)
        if deal is None or not deal.live:
            return
        to = min(deal.end, self.first_undecided if to is None else to)
        for period in range(deal.settled_to, to):
            if (deal.node, period) in self.bits:
                deal.paid += deal.rates[period]
                deal.locked -= deal.rates[period]
                self.hub[self.nodes[deal.node].payee] += deal.rates[period]
        deal.settled_to = max(deal.settled_to, to)

    def change(
        self, id_: int, root: bytes, leaves: int, rate: int, end: int, prepaid: int, nonce: int, last_period: int
    ) -> None:
        deal = self.deals.get(id_)
        if deal is None or not deal.live:
            raise Refused("UnknownAgreement")
        node = self.nodes[deal.node]
        why = set()
        if nonce != deal.nonce:
            why.add("NonceMismatch")
        if self.current > last_period:
            why.add("ChangeExpired")
        if node.ended_at:
            why.add("NodeHasEnded")
        if self.current >= deal.end:
            why.add("AgreementEnded")
        if end <= self.current or end <= deal.start:
            why.add("EndOutOfRange")
        if self.proving(deal.node):
            why.add("NodeIsProving")
        # For this node a period is decided as soon as it is proven.
        decided = self.first_undecided
        while decided < self.current and (deal.node, decided) in self.bits:
            decided += 1
        if decided < self.current and deal.settled_to < self.current:
            why.add("PeriodUndecided")
        more = (leaves - deal.leaves) * deal.collateral
        if (more > 0 or end > deal.end) and node.reserved + more > node.active:
            why.add("InsufficientFreeStake")
        if prepaid > self.hub[deal.payer]:
            why.add("InsufficientBalance")
        # The rate in force stays for this period; what is owed up to the new end must lie in the lock.
        began = max(self.current + 1, deal.start) if self.current >= deal.start else deal.start
        rates = {p: r for p, r in deal.rates.items() if p < began}
        rates.update(dict.fromkeys(range(began, end), rate))
        proven_now = sum(
            deal.rates[p] for p in range(deal.settled_to, min(self.current, deal.end)) if (deal.node, p) in self.bits
        )
        owed = sum(r for p, r in rates.items() if p >= max(self.current, deal.settled_to))
        if deal.locked - proven_now + prepaid < owed:
            why.add("PrepaidTooLow")
        if why:
            raise Refused(*why)
        self.settle(id_, self.current)
        node.reserved += more
        self.hub[deal.payer] -= prepaid
        deal.locked += prepaid
        if leaves and not deal.leaves:
            # Filled again, it owes nothing for the periods it was empty.
            deal.start = max(deal.start, self.current)
        deal.root, deal.leaves, deal.rates, deal.end = root, leaves, rates, end
        deal.status = Status.OPEN
        deal.nonce += 1

    def terminate(self, id_: int, sender: str) -> None:
        deal = self.deals.get(id_)
        if deal is None or deal.status is not Status.OPEN:
            raise Refused("UnknownAgreement")
        if self.current >= self.end_of(id_):
            raise Refused("AgreementEnded")
        node = self.nodes[deal.node]
        if sender not in (deal.payer, node.owner):
            raise Refused("NotParty")
        deal.end = min(self.end_of(id_), self.current + NOTICE)
        deal.status = Status.TERMINATED
        deal.nonce += 1
        if sender != deal.payer:
            share = deal.leaves * deal.collateral * self.fault_bps // BPS
            self._pay_out(deal.payer, self._fault(deal.node, share, deal.payer))

    def close(self, id_: int) -> None:
        deal = self.deals.get(id_)
        if deal is None or not deal.live:
            raise Refused("UnknownAgreement")
        node = self.nodes[deal.node]
        end = self.end_of(id_)
        why = set()
        if self.current < end:
            why.add("NotEnded")
        if self.proving(deal.node):
            why.add("NodeIsProving")
        if max(deal.settled_to, min(deal.end, self.first_undecided)) < end:
            why.add("PeriodUndecided")
        if why:
            raise Refused(*why)
        self.settle(id_)
        deal.end = end
        deal.status = Status.LOST if node.ended_at else Status.CLOSED
        deal.round = node.round
        self.hub[deal.payer] += deal.locked
        deal.locked = 0
        node.reserved = max(0, node.reserved - deal.leaves * deal.collateral)
        node.positions[deal.position] = None
        node.freed.append(deal.position)
        if self.count_of(deal.node) == 0:
            node.misses = node.ended_at = 0

    # ------------------------------------------------------------------------------------------------------ proofs

    def prove(self, number: int, period: int, right: bool) -> None:
        node = self.nodes[number]
        draw = self.draws.get(period)
        why = set()
        if node.ended_at:
            why.add("NodeHasEnded")
        if draw is None or not draw.drawn:
            why.add("NotDrawn")
        elif not self.window_open(period):
            why.add("WindowClosed")
        if self.leaves_of(number) == 0 or period < node.duty_from:
            why.add("NothingToProve")
        if (number, period) in self.bits:
            why.add("AlreadyProven")
        if not why and not right:
            why |= {"WrongPiece", "WrongBlock", "WrongChunk", "WrongPosition", "TrailingAnswers", "MalformedAnswer"}
        if why:
            raise Refused(*why)
        self.bits.add((number, period))
        node.last_proven = max(node.last_proven, period)
        node.misses = 0

    def report_missed(self, number: int, period: int, id_: int) -> None:
        node, draw, deal = self.nodes[number], self.draws.get(period), self.deals.get(id_)
        why = set()
        if node.ended_at:
            why.add("NodeHasEnded")
        if draw is None or not draw.drawn:
            why.add("NotDrawn")
        elif self.window_open(period):
            why.add("WindowOpen")
        if (number, period) in self.bits or period < node.duty_from or period <= node.last_proven:
            why.add("NotMissed")
        if (
            deal is None
            or deal.node != number
            or not deal.live
            or not deal.leaves
            or not deal.start <= period < deal.end
        ):
            why.add("NotInForce")
        if why:
            raise Refused(*why)
        node.duty_from = period + 1
        node.misses += 1
        ends = node.misses == MISS_END
        if not ends and node.misses % MISS_STEP:
            return
        # Each run of misses has a fund of its own, from its first fault on.
        node.round += node.misses == MISS_STEP
        fund = self.funds.setdefault((number, node.round), Fund())
        fund.leaves, fund.since = self.leaves_of(number), self.current
        # A run of misses costs the reserve, no more: the tenth takes what the third, sixth and ninth left of it.
        share = BPS - fund.taken_bps if ends else self.fault_bps
        fund.taken_bps += share
        if ends:
            node.ended_at, fund.ended = period + 1, self.now
        fund.amount += self._fault(number, node.reserved * share // BPS, "reporter")

    def claim_remainder(self, id_: int) -> None:
        deal = self.deals.get(id_)
        if deal is None:
            raise Refused("NotLost")
        node = self.nodes[deal.node]
        number = deal.round if deal.status is Status.LOST else node.round
        fund = self.funds.get((deal.node, number), Fund())
        lost = deal.status is Status.LOST or (deal.live and node.ended_at)
        if not lost or not fund.ended:
            raise Refused("NotLost")
        if self.now < fund.ended + REMAINDER_DELAY:
            raise Refused("NotBefore")
        if deal.repaired == deal.leaves:
            raise Refused("NothingLeft")
        share = fund.amount * (deal.leaves - deal.repaired) // fund.leaves
        deal.repaired = deal.leaves
        self._pay_out(deal.payer, share)

    def _fault(self, number: int, amount: int, reporter: str) -> int:
        """What reaches the market's account in the bank."""
        node = self.nodes[number]
        taken = min(amount, node.reserved, node.active)
        node.active -= taken
        bounty = taken * BOUNTY_BPS // BPS
        rest = taken - taken * BURN_BPS // BPS - bounty
        self.wallets[reporter] = self.wallets.get(reporter, 0) + bounty
        self.hub["market"] += rest
        return rest

    def _pay_out(self, account: str, amount: int) -> None:
        self.hub["market"] -= amount
        self.wallets[account] = self.wallets.get(account, 0) + amount
