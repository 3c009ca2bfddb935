"""The storage market on a real chain against its reference model, driven by Hypothesis: deals, draws, proofs,
settlement, misses and their ends in any order, and after each of them every number of both sides is compared. The
design's statements 9, 11, 15, 16 and 17 hold by the model's own words, and so on the chain.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from model import market as reference
from model.chain import Chain, Reverted
from model.market_chain import Change, Market, Node, Terms, Times, deploy_market
from model.storage_proof import Content, content_of

HOLE = 10**18
RATE = 10**15
BOND = 100 * HOLE
COLLATERAL = HOLE
START = 1_800_000_000
TIMES = Times(period=86_400, window=21_600, blocks=12)
PAYERS = ("first payer", "second payer")
MONEY = 1_000 * HOLE
MOST_DEALS = 8

picks = st.integers(0, MOST_DEALS - 1)
nodes = st.integers(0, 1)
# Mostly what can succeed, sometimes what cannot.
rarely = st.sampled_from([False] * 7 + [True])


# One rule with weights: of single rules Hypothesis leaves out some in each example, and most examples came to nothing.
STEPS = [
    (
        3,
        "open",
        {
            "node": nodes,
            "payer": st.sampled_from(PAYERS),
            "shape": st.sampled_from([[1], [2], [3], [1, 2], [2, 1, 1], [7], [45]]),
            "lead": st.sampled_from([1, 1, 1, 2, 0, 3]),
            "length": st.sampled_from([12, 1, 2, 3, 5, 8, 12, 0]),
            "rate": st.sampled_from([RATE, 1, 7 * RATE, RATE, 0]),
            "extra": st.sampled_from([0, 0, 1, 3 * RATE, 1, -1]),
            "again": rarely,
        },
    ),
    (
        5,
        "change",
        {
            "pick": picks,
            "shape": st.sampled_from([None, [1], [3], [2, 2], [1, 1, 1], [], [60]]),
            "rate": st.sampled_from([None, 0, RATE, 5 * RATE]),
            "length": st.sampled_from([None, None, 1, 4, 10, 0]),
            "prepaid": st.sampled_from([0, 0, RATE, 60 * RATE]),
            "stale": rarely,
            "good_for": st.sampled_from([2, 2, 2, 1, 0, 0, -1]),
        },
    ),
    (1, "terminate", {"pick": picks, "who": st.sampled_from(["payer", "payer", "owner", "reporter"])}),
    (2, "close", {"pick": picks}),
    (3, "settle", {"picked": st.lists(picks, max_size=4)}),
    (2, "draw", {"back": st.sampled_from([1, 1, 1, 1, 0, 2])}),
    (
        3,
        "prove",
        {
            "node": nodes,
            "back": st.sampled_from([1, 1, 1, 2, 3, 0]),
            "right": st.sampled_from([True, True, True, False]),
        },
    ),
    (2, "report_missed", {"pick": picks, "back": st.sampled_from([1, 1, 2, 2, 3, 4])}),
    (1, "claim_remainder", {"pick": picks}),
    (2, "blocks_pass", {"blocks": st.sampled_from([1, 3, 3, 3, TIMES.blocks, 250, 300])}),
    (2, "time_passes", {"to": st.sampled_from(["window", "period", "period", "half", "long"])}),
    (
        7,
        "whole_period",
        {
            "proves": st.sampled_from([(True, True), (True, False), (False, True), (False, False)]),
            "reports": st.booleans(),
            "between": st.sampled_from([None, None, "open", "change", "close", "prove"]),
            "pick": picks,
        },
    ),
    (1, "ten_periods_missed", {"node": nodes}),
]
steps = st.one_of(
    *[st.tuples(st.just(name), st.fixed_dictionaries(args)) for weight, name, args in STEPS for _ in range(weight)]
)


class World:
    """One chain for all examples; each starts from the same snapshot."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.market: Market = deploy_market(chain, TIMES, collateral=COLLATERAL, samples=2, min_bond=60 * HOLE)
        self.nodes: list[Node] = [self.market.node(f"node {i}", BOND) for i in range(2)]
        self.payers = {name: self.market.payer(name, MONEY) for name in PAYERS}
        self.reporter = self.market.made.account("reporter")
        chain.rpc("anvil_setBlockTimestampInterval", 1)
        chain.warp((START // TIMES.period + 1) * TIMES.period + TIMES.period // 2)
        self.saved = chain.snapshot()

    def fresh(self) -> None:
        self.chain.revert(self.saved)
        self.saved = self.chain.snapshot()
        self.chain.rpc("anvil_setBlockTimestampInterval", 1)


class MarketMachine(RuleBasedStateMachine):
    world: World

    @initialize()
    def start(self) -> None:
        world = self.world
        world.fresh()
        self.chain, self.market = world.chain, world.market
        self.contract, self.made = world.market.contract, world.market.made
        block = self.chain.rpc("eth_getBlockByNumber", "latest", False)
        self.model = reference.Market(
            TIMES.period,
            TIMES.window,
            TIMES.blocks,
            fault_bps=500,
            collateral=COLLATERAL,
            min_bond=60 * HOLE,
            samples=2,
            now=int(block["timestamp"], 16),
            block=int(block["number"], 16),
            nodes={n.id: reference.Node(n.owner.address, n.owner.address, BOND) for n in world.nodes},
            hub={**dict.fromkeys((p.address for p in world.payers.values()), MONEY), "market": 0}
            | dict.fromkeys((n.owner.address for n in world.nodes), 0),
        )
        self.ids: list[int] = []
        self.contents: dict[int, Content] = {}
        self.payer_of: dict[int, Any] = {}
        self.salt = 0
        for node, length in ((0, 30), (0, 3), (1, 12)):
            self.open(node, PAYERS[node], [2, 1], 1, length, RATE, 0, False)

    # ------------------------------------------------------------------------------------------------ both sides

    def both(self, sender: str, name: str, args: tuple[Any, ...], does: Callable[[], None]) -> bool:
        """The same call on the chain and in the model, and every number compared; whether it went through."""
        self.model.now += 1
        self.model.block += 1
        receipt = self.chain.send(self.contract, name, *args, sender=sender, check=False)
        failed = int(receipt["status"], 16) != 1
        why = self._try(does)
        reason = self._reason(name, args, sender) if failed else ""
        assert failed == bool(why), f"{name}: {reason or 'done'}, expected {why or 'done'}"
        assert not failed or reason in why, f"{name}: {reason}, expected {why}"
        self.compare()
        return not failed

    @staticmethod
    def _try(does: Callable[[], None]) -> set[str]:
        try:
            does()
        except reference.Refused as why:
            return why.names
        return set()

    def _reason(self, name: str, args: tuple[Any, ...], sender: str) -> str:
        """Why a call failed: the state is as before and the newest block is the one it failed in."""
        try:
            self.chain.call(self.contract, name, *args, sender=sender)
        except Reverted as why:
            return why.name or "no reason"
        return "done when tried again"

    def compare(self) -> None:
        model, contract, made = self.model, self.contract, self.made
        recent = [p for p in model.draws if p > model.current - 6]
        rows: list[tuple[tuple[Any, ...], Any]] = [((contract, "firstUndecided"), model.first_undecided)]
        for number, node in model.nodes.items():
            leaves = model.leaves_of(number)
            rows += [
                ((contract, "isProving", number), model.proving(number)),
                ((contract, "treeTotal", number), leaves),
                *(((contract, "bitOf", number, p), (number, p) in model.bits) for p in recent),
                *(((contract, "leafAt", number, i), model.place_of(number, i)) for i in range(leaves)),
                ((made.hub, "balanceOf", node.payee), model.hub[node.payee]),
            ]
        for payer in self.world.payers.values():
            rows.append(((made.hub, "balanceOf", payer.address), model.hub[payer.address]))
            rows.append(((made.token, "balanceOf", payer.address), model.wallets.get(payer.address, 0)))
        rows.append(((made.token, "balanceOf", self.world.reporter), model.wallets.get("reporter", 0)))
        rows.append(((made.hub, "balanceOf", contract.address), model.hub["market"]))
        rows += [((contract, "endOf", i), model.end_of(i)) for i in self.ids]
        answers = self.chain.calls([call for call, _ in rows])
        for (call, expected), answer in zip(rows, answers, strict=True):
            assert answer == expected, (call[1:], answer, expected)
        self._compare_structs()

    def _compare_structs(self) -> None:
        model, contract, made = self.model, self.contract, self.made
        numbers = list(model.nodes)
        ledgers = self.chain.calls([(contract, "ledgerOf", n) for n in numbers])
        stakes = self.chain.calls([(made.vault, "stakeOf", n, 1) for n in numbers])
        for number, ledger, stake in zip(numbers, ledgers, stakes, strict=True):
            node = model.nodes[number]
            assert (ledger.count, ledger.leaves) == (model.count_of(number), model.leaves_of(number))
            assert (ledger.misses, ledger.lastProven, ledger.missedTo, ledger.endedAt, ledger.round) == (
                node.misses,
                node.last_proven,
                node.duty_from,
                node.ended_at,
                node.round,
            )
            assert (stake.active, stake.reserved) == (node.active, node.reserved)
            fund = self.chain.call(contract, "fundOf", number, node.round)
            expected = model.funds.get((number, node.round), reference.Fund())
            assert tuple(fund) == (
                expected.amount,
                expected.leaves,
                expected.since,
                expected.ended,
                expected.taken_bps,
            )
        agreements = self.chain.calls([(contract, "agreementOf", i) for i in self.ids])
        locks = self.chain.calls([(made.hub, "lockOf", contract.address, i) for i in self.ids])
        for id_, agreement, lock in zip(self.ids, agreements, locks, strict=True):
            deal = model.deals[id_]
            assert (agreement.root, agreement.node, agreement.leaves) == (deal.root, deal.node, deal.leaves)
            assert (agreement.start, agreement.end, agreement.settledTo) == (deal.start, deal.end, deal.settled_to)
            assert (agreement.nonce, agreement.status) == (deal.nonce, deal.status.value)
            assert lock.amount == deal.locked

    @rule(step=steps)
    def step(self, step: tuple[str, dict[str, Any]]) -> None:
        name, arguments = step
        getattr(self, name)(**arguments)

    def deal(self, pick: int) -> int | None:
        return self.ids[pick % len(self.ids)] if self.ids else None

    # ------------------------------------------------------------------------------------------------------ deals

    def open(
        self, node: int, payer: str, shape: list[int], lead: int, length: int, rate: int, extra: int, again: bool
    ) -> None:
        if len(self.ids) >= MOST_DEALS:
            return
        on, account = self.world.nodes[node], self.world.payers[payer]
        self.salt += not again
        content = content_of([[32] * blocks for blocks in shape], self.salt)
        start = self.model.current + lead
        prepaid = max(0, rate * length + extra)
        terms = Terms(
            account.address,
            on.id,
            on.owner.address,
            content.tree.root,
            b"\x01" * 32,
            content.tree.leaves,
            rate,
            start,
            start + length,
            prepaid,
            salt=self.salt,
        )
        id_ = self.market.id_of(terms)

        def does() -> None:
            self.model.open(
                id_, account.address, on.id, terms.root, terms.leaves, rate, start, terms.end, terms.prepaid
            )
            self.ids.append(id_)

        if self.both(account.address, "open", self.market.signed(terms, account, on), does):
            self.contents[id_], self.payer_of[id_] = content, account

    def change(
        self,
        pick: int,
        shape: list[int] | None,
        rate: int | None,
        length: int | None,
        prepaid: int,
        stale: bool,
        good_for: int,
    ) -> None:
        id_ = self.deal(pick)
        if id_ is None:
            return
        deal = self.model.deals[id_]
        self.salt += 1
        content = self.contents[id_] if shape is None else content_of([[32] * blocks for blocks in shape], self.salt)
        root = content.tree.root if content.pieces else bytes(32)
        rate = deal.rates.get(self.model.current, RATE) if rate is None else rate
        end = deal.end if length is None else self.model.current + length
        nonce, last = deal.nonce + stale, self.model.current + good_for
        change = Change(id_, root, b"\x02" * 32, content.tree.leaves, rate, end, prepaid, nonce, last)
        on = self.world.nodes[deal.node - self.world.nodes[0].id]
        args = self.market.signed_change(change, self.payer_of[id_], on)

        def does() -> None:
            self.model.change(id_, root, change.leaves, rate, end, prepaid, nonce, last)

        if self.both(self.world.reporter, "change", args, does):
            self.contents[id_] = content

    def terminate(self, pick: int, who: str) -> None:
        id_ = self.deal(pick)
        if id_ is None:
            return
        deal = self.model.deals[id_]
        sender = {"payer": deal.payer, "owner": self.model.nodes[deal.node].owner}.get(who, self.world.reporter)
        self.both(sender, "terminate", (id_,), lambda: self.model.terminate(id_, sender))

    def close(self, pick: int) -> None:
        id_ = self.deal(pick)
        if id_ is not None:
            self.both(self.world.reporter, "close", (id_,), lambda: self.model.close(id_))

    def settle(self, picked: list[int]) -> None:
        ids = [id_ for pick in picked if (id_ := self.deal(pick)) is not None] + [12345]

        def does() -> None:
            for id_ in ids:
                self.model.settle(id_)

        self.both(self.world.reporter, "settle", (ids,), does)

    # ----------------------------------------------------------------------------------------------------- proofs

    def draw(self, back: int) -> None:
        period = self.model.current - back
        self.both(self.world.reporter, "draw", (period,), lambda: self.model.draw(period))

    def prove(self, node: int, back: int, right: bool) -> None:
        self._prove(self.world.nodes[node], self.model.current - back, right)

    def _prove(self, on: Node, period: int, right: bool) -> None:
        answers = b""
        draw = self.model.draws.get(period)
        if draw is not None and draw.drawn and self.model.leaves_of(on.id):
            answers = self.market.answers(on.id, period, self.contents)
            if not right:
                place = self.salt % len(answers)
                answers = answers[:place] + bytes([answers[place] ^ 0x80]) + answers[place + 1 :]
        self.both(on.signer.address, "prove", (on.id, period, answers), lambda: self.model.prove(on.id, period, right))

    def report_missed(self, pick: int, back: int) -> None:
        id_ = self.deal(pick)
        if id_ is not None:
            self._report(id_, self.model.current - back)

    def _report(self, id_: int, period: int) -> None:
        number = self.model.deals[id_].node
        self.both(
            self.world.reporter,
            "reportMissed",
            (number, period, id_),
            lambda: self.model.report_missed(number, period, id_),
        )

    def claim_remainder(self, pick: int) -> None:
        id_ = self.deal(pick)
        if id_ is not None:
            self.both(self.world.reporter, "claimRemainder", (id_,), lambda: self.model.claim_remainder(id_))

    # ------------------------------------------------------------------------------------------------------- time

    def blocks_pass(self, blocks: int) -> None:
        self.chain.mine(blocks)
        self.model.block += blocks
        self.model.now += blocks
        self.compare()

    def time_passes(self, to: str) -> None:
        model = self.model
        model.now = {
            "window": model.now + TIMES.window,
            "period": (model.current + 1) * TIMES.period,
            "half": model.now + TIMES.period // 2,
            "long": model.now + 61 * 86_400,
        }[to]
        self._warp()

    def _warp(self) -> None:
        self.chain.warp(self.model.now)
        self.model.block += 1
        self.compare()

    def whole_period(self, proves: tuple[bool, bool], reports: bool, between: str | None = None, pick: int = 0) -> None:
        """The next period as it mostly goes, so that proven and missed periods come often; `between` its draw and its
        proofs something is tried that may have to wait."""
        model = self.model
        period = model.current
        model.now = (period + 1) * TIMES.period
        self._warp()
        self.both(self.world.reporter, "draw", (period,), lambda: model.draw(period))
        self.blocks_pass(3)
        if between == "open":
            self.open(pick % 2, PAYERS[0], [1], 1, 5, RATE, 0, False)
        elif between == "change":
            self.change(pick, [2], None, 9, 20 * RATE, False, 0)
        self.both(self.world.reporter, "draw", (period,), lambda: model.draw(period))
        if between == "close":
            self.close(pick)
        elif between == "prove":
            self._prove(self.world.nodes[pick % 2], period, False)
        for node, proving in zip(self.world.nodes, proves, strict=True):
            if proving:
                self._prove(node, period, True)
        self.blocks_pass(TIMES.blocks)
        model.now += TIMES.window
        self._warp()
        if reports:
            for id_ in self.ids[:3]:
                self._report(id_, period)

    def ten_periods_missed(self, node: int) -> None:
        """What ends a node, in one rule: by single steps it would hardly ever come about."""
        number = self.world.nodes[node].id
        deals = [i for i in self.ids if self.model.deals[i].node == number and self.model.deals[i].live]
        if not deals:
            return
        longest = max(deals, key=lambda i: self.model.deals[i].end)
        for _ in range(10):
            if self.model.nodes[number].ended_at or not self.model.deals[longest].live:
                return
            proves = (number != self.world.nodes[0].id, number == self.world.nodes[0].id)
            self.whole_period(proves, False)
            self._report(longest, self.model.current - 1)


@pytest.fixture(scope="module")
def machine() -> Iterator[type[MarketMachine]]:
    with Chain(timestamp=START) as chain:
        MarketMachine.world = World(chain)
        yield MarketMachine


def test_market_does_what_the_model_does(machine: type[MarketMachine]) -> None:
    fuzz = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=300 if fuzz else 22,
            stateful_step_count=40,
            deadline=None,
            derandomize=not fuzz,
            database=None,
            phases=(Phase.generate, Phase.shrink) if fuzz else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
