"""Draws and proofs: a seed is drawn by whichever node comes first, and every drawn period this node owes is proven.

Nodes take turns by keccak(node, period), measured in chain time, so that one of them pays for a draw and not all.
"""

from __future__ import annotations

from blackhole.errors import BlackholeError, Reverted
from blackhole.hashing import keccak256
from blackhole.node.logs import Log
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.deals import Deals
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.sender import Sender
from blackhole.node.storage.steps import Step
from blackhole.storage.agreement_tree import AgreementTree
from blackhole.storage.proofs import Held, build_answer

VOID_POINT = 2**40 - 1
"""pendingDraw().point of a draw whose randomness was lost."""

LOOK_BACK = 4
"""Periods whose window may still be open: as many as the market keeps."""

TURNS = 60
"""A period's TURNS-th part is the span over which nodes take turns to draw."""


def turn(node: int, period: int, what: str, span: int) -> int:
    """A node's place in 0 … span for one period: the same for everybody who computes it, and another each period."""
    word = keccak256(what.encode() + node.to_bytes(4, "big") + period.to_bytes(4, "big"))
    return int.from_bytes(word[:8], "big") % (span + 1)


class Turns:
    """Whose turn it is, in blocks since this node saw that something is to be done: jumps of time do not matter."""

    def __init__(self, watch: ChainWatch) -> None:
        self._watch = watch
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}

    def passed(self, what: tuple[str, int], span: int) -> bool:
        """Whether this node's turn of 0 … span blocks has come for `what` (a name and a period)."""
        number = self._watch.latest.number
        if what not in self._seen:
            for old in [key for key, (period, _) in self._seen.items() if period < self._watch.period - 2 * LOOK_BACK]:
                del self._seen[old]
            self._seen[what] = (self._watch.period, number)
        return number >= self._seen[what][1] + turn(self._watch.node, what[1], what[0], span)


class Prover:
    """Draws and proves for one node."""

    def __init__(self, watch: ChainWatch, store: PieceStore, deals: Deals, sender: Sender, log: Log) -> None:
        self.watch = watch
        self.store = store
        self.deals = deals
        self.sender = sender
        self.log = log
        self.failed: dict[int, str] = {}
        """Periods that could not be proven, and why."""
        self.turns = Turns(watch)
        self._done = -1
        self._trees: dict[tuple[int, bytes], AgreementTree] = {}

    async def step(self) -> None:
        """Draw when it is this node's turn; prove what is drawn and owed."""
        market, read = self.watch.market, self.watch.chain.read_many
        period = self.watch.period
        if self._done == period or not self.deals.state.deals:
            return
        (ledger,) = await read([market.ledger_of(self.watch.node)])
        if not ledger.leaves or ledger.ended_at:
            return
        owed = list(range(max(period - LOOK_BACK, ledger.missed_to, 0), period))
        if not owed:
            return
        seeds = await read([market.seed_of(p) for p in owed])
        bits = await read([market.bit_of(self.watch.node, p) for p in owed])
        if owed[-1] == period - 1 and not seeds[-1].seed:
            await self._draw(period - 1)
        for p, seed, bit in zip(owed, seeds, bits, strict=True):
            if seed.seed and not bit and p not in self.failed and await self._window_open(p):
                await self._prove(p, seed.samples)
            elif p == period - 1 and bit:
                self._done = period  # nothing more can be owed before the next period
        for p in [p for p in self.failed if p < period - LOOK_BACK]:
            del self.failed[p]

    async def _draw(self, p: int) -> None:
        market = self.watch.market
        pending = await self.watch.chain.read(market.pending_draw())
        if pending.p != p:
            start = (p + 1) * self.watch.period_seconds
            waited = self.turns.passed(("draw", p), 3)
            if not waited or self.watch.now < start + turn(
                self.watch.node, p, "draw", self.watch.period_seconds // TURNS
            ):
                return
        else:
            lost = pending.point == VOID_POINT
            if lost or self.watch.latest.number <= pending.point or not self.turns.passed(("seed", p), 3):
                return
        try:
            await self.sender.send(market.draw(p), "draw")
        except Reverted as error:
            self.log.debug("another node drew first", period=p, reason=error.message)

    async def _window_open(self, p: int) -> bool:
        window = await self.watch.chain.read(self.watch.market.window_of(p))
        return self.watch.now <= window.closes_at or self.watch.latest.number <= window.closes_block

    async def _prove(self, p: int, samples: int) -> None:
        try:
            answers = await self._answers(p, samples)
        except BlackholeError as error:
            # Bytes are missing or damaged: asking the disk again changes nothing within this window.
            self.failed[p] = error.code
            self.log.error("cannot prove", period=p, code=error.code, reason=error.message)
            return
        await self.deals.record(Step.PROVING, period=p)
        try:
            receipt = await self.sender.send(self.watch.market.prove(self.watch.node, p, answers), "prove")
        except Reverted as error:
            self.log.error("proof refused", period=p, reason=error.message)
            if not await self.watch.chain.read(self.watch.market.bit_of(self.watch.node, p)):
                return
        else:
            self.log.info("proven", period=p, gas=receipt.gas_used)
        await self.deals.record(Step.PROVED, period=p)

    async def _answers(self, p: int, samples: int) -> bytes:
        """What `prove` takes: the answers to all samples, in order."""
        market, read = self.watch.market, self.watch.chain.read_many
        node = self.watch.node
        indices = await read([market.sample_of(node, p, i) for i in range(samples)])
        places = await read([market.leaf_at(node, index) for index in indices])
        answers = []
        for place in places:
            held = Held(await self._tree(place.id), self.store.require_piece)
            answers.append(await self.store.in_disk_thread(build_answer, held, place.offset, self.store.blocks))
        return b"".join(answers)

    async def _tree(self, agreement: int) -> AgreementTree:
        now = await self.watch.chain.read(self.watch.market.agreement_of(agreement))
        key = (agreement, now.root)
        tree = self._trees.get(key)
        if tree is None:
            pieces = await self.store.read_list(agreement.to_bytes(32, "big"), now.root)
            tree = pieces.tree()
            if len(self._trees) >= 4:
                self._trees.pop(next(iter(self._trees)))
            self._trees[key] = tree
        return tree
