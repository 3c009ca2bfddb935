"""The vault on a real chain against its reference model, driven by Hypothesis: any calls by anyone in any order, and
after each of them every number of both sides is compared. DESIGN's statements 5, 6, 7, 8 and 12 are asserted on the
chain's own numbers.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from model import vault as reference
from model.chain import Chain, Contract, Reverted
from model.vault_chain import HOLE, SERVICE, Deployment, deploy

OTHER_SERVICE = 2
NODES = 2
GIFT = 5_000 * HOLE

nodes = st.integers(1, NODES)
services = st.sampled_from([SERVICE, OTHER_SERVICE])
people = st.sampled_from(["first", "second", "third"])
# Who calls: mostly whoever may, sometimes somebody else.
callers = st.sampled_from(["right"] * 8 + ["first", "second", "third"])
amounts = st.one_of(st.integers(1, 2_000 * HOLE), st.sampled_from([1, 2, 3, HOLE, 1000 * HOLE]))
# A share of what there is, in 1/8, or one wei more than all of it.
shares = st.sampled_from([0, 1, 2, 4, 7, 8, 8, 9])
delays = st.one_of(
    st.integers(1, 10 * reference.DAY),
    st.sampled_from([reference.ROUND, reference.MAX_FREEZE, reference.EXIT, reference.EXIT - 1, 61 * reference.DAY]),
)


def part(share: int, whole: int) -> int:
    return whole + 1 if share == 9 else whole * share // 8


class World:
    """One chain for all examples; each starts from the same snapshot."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.made: Deployment = deploy(chain)
        self.made.open_service(OTHER_SERVICE, self.made.verifier.address)
        self.people = {name: self.made.account(name, GIFT) for name in ("first", "second", "third")}
        self.owners = {node + 1: self.people[name] for node, name in enumerate(("first", "second"))}
        for owner in self.owners.values():
            self.made.register(owner)
        chain.fund(self.made.disputes.address)
        self.supply: int = chain.call(self.made.token, "totalSupply")
        self.saved = chain.snapshot()

    def fresh(self) -> None:
        self.chain.revert(self.saved)
        self.saved = self.chain.snapshot()


WORLD: World | None = None


class VaultMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        assert WORLD is not None
        self.world, self.chain, self.made = WORLD, WORLD.chain, WORLD.made
        self.world.fresh()
        verifier, self.disputes = self.made.verifier.address, self.made.disputes.address
        balances = dict.fromkeys(self.world.people.values(), GIFT)
        self.model = reference.Vault(
            dict(self.world.owners), {SERVICE: verifier, OTHER_SERVICE: verifier}, self.disputes, balances
        )
        self.model.now = self.chain.now()
        self.claims = 0
        for node, owner in self.world.owners.items():
            for service in (SERVICE, OTHER_SERVICE):
                self.both("bond", owner, "bond", node, service, 1000 * HOLE)

    # ---------------------------------------------------------------------------------------------- both sides

    def caller(self, who: str, right: str) -> str:
        return right if who == "right" else self.world.people[who]

    def claim(self, which: int, state: str) -> int:
        """Mostly a claim in that state, sometimes any, or none."""
        fitting = [claim for claim, hold in self.model.holds.items() if hold.state == state]
        if fitting and which % 5:
            return fitting[which % len(fitting)]
        return 1 + which % (self.claims + 1)

    def staker(self, node: int) -> str:
        return self.model.stakers.get(node, self.world.owners[node])

    def at_now(self, contract: Contract, data: bytes, sender: str | None) -> tuple[str, list[Any]]:
        """An eth_call at the model's time."""
        call = {"to": contract.address, "data": "0x" + data.hex(), "gas": hex(16_000_000)}
        if sender:
            call["from"] = sender
        return "eth_call", [call, "latest", {}, {"time": hex(self.model.now)}]

    def both(self, name: str, caller: str, contract_name: str, *args: Any) -> None:
        """One call on the model and on the chain: the same answer, or the same error."""
        self.model.now += 1
        vault = self.made.vault
        data = vault.encode(contract_name, *args)
        (answer,) = self.chain.batch([self.at_now(vault, data, caller)])
        refused, expected, before = "", None, copy.deepcopy(self.model)
        try:
            expected = getattr(self.model, name)(caller, *args)
        except reference.Refused as refusal:
            self.model, refused = before, refusal.name
        if refused:
            assert isinstance(answer, Reverted), f"{name}: expected {refused}, the chain accepted"
            assert answer.name == refused
            return
        assert not isinstance(answer, Exception), f"{name}: the chain refused with {answer!r}"
        if expected is not None:
            assert vault.method(contract_name, len(args)).decode(bytes.fromhex(answer[2:])) == expected
        self.chain.rpc("evm_setNextBlockTimestamp", self.model.now)
        receipt = self.chain.transact(vault.address, "0x" + data.hex(), caller)
        assert int(receipt["status"], 16) == 1

    # --------------------------------------------------------------------------------------------------- rules

    @rule(delay=delays)
    def wait(self, delay: int) -> None:
        self.model.now += delay

    @rule(which=st.integers(0, 30), off=st.sampled_from([-2, -1, 0, 1, reference.DAY]))
    def wait_for_a_date(self, which: int, off: int) -> None:
        """To just before or after something is due."""
        dates = {stake.exit_at for stake in self.model.stakes.values()}
        dates |= {stake.reserved_until + reference.UNRESERVE_DELAY for stake in self.model.stakes.values()}
        dates |= {hold.until for hold in self.model.holds.values()}
        dates |= {rounds[-1].since + reference.ROUND for rounds in self.model.rounds.values() if rounds}
        later = sorted(date for date in dates if self.model.now < date + off < self.model.now + 500 * reference.DAY)
        if later:
            self.model.now = later[which % len(later)] + off

    @rule(who=callers, node=nodes, service=services, amount=amounts)
    def bond(self, who: str, node: int, service: int, amount: int) -> None:
        self.both("bond", self.caller(who, self.staker(node)), "bond", node, service, amount)

    @rule(who=callers, node=nodes, service=services, share=shares)
    def request_exit(self, who: str, node: int, service: int, share: int) -> None:
        amount = part(share, self.model.preview(node, service).free)
        self.both("request_exit", self.caller(who, self.staker(node)), "requestExit", node, service, amount)

    @rule(who=callers, node=nodes, service=services)
    def cancel_exit(self, who: str, node: int, service: int) -> None:
        self.both("cancel_exit", self.caller(who, self.staker(node)), "cancelExit", node, service)

    @rule(who=callers, node=nodes, service=services, to=people)
    def withdraw(self, who: str, node: int, service: int, to: str) -> None:
        caller = self.caller(who, self.staker(node))
        self.both("withdraw", caller, "withdraw", node, service, self.world.people[to])

    @rule(who=callers, node=nodes, to=people, accept=st.booleans())
    def transfer_staker(self, who: str, node: int, to: str, accept: bool) -> None:
        taker = self.world.people[to]
        self.both("transfer_staker", self.caller(who, self.staker(node)), "transferStaker", node, taker)
        if accept:
            self.both("accept_staker", taker, "acceptStaker", node)

    @rule(who=callers, node=nodes, to=people)
    def accept_staker(self, who: str, node: int, to: str) -> None:
        caller = self.caller(who, self.model.pending.get(node, self.world.people[to]))
        self.both("accept_staker", caller, "acceptStaker", node)

    @rule(who=callers, node=nodes, service=services, share=shares, days=st.integers(-1, 401), less=st.booleans())
    def reserve(self, who: str, node: int, service: int, share: int, days: int, less: bool) -> None:
        stake = self.model.preview(node, service)
        delta = -part(share, stake.reserved) if less else part(share, stake.free)
        caller = self.caller(who, self.made.verifier.address)
        self.chain.fund(caller)
        until = self.model.now + days * reference.DAY
        self.both("reserve", caller, "reserve", node, service, delta, until)

    @rule(who=callers, node=nodes, service=services)
    def unreserve(self, who: str, node: int, service: int) -> None:
        self.both("unreserve", self.caller(who, self.staker(node)), "unreserve", node, service)

    @rule(who=callers, node=nodes, service=services, on=st.booleans())
    def set_reservable(self, who: str, node: int, service: int, on: bool) -> None:
        self.both("set_reservable", self.caller(who, self.staker(node)), "setReservable", node, service, on)

    @rule(who=callers, node=nodes, service=services, share=shares, bounty=st.integers(0, 501), reporter=st.booleans())
    def fault(self, who: str, node: int, service: int, share: int, bounty: int, reporter: bool) -> None:
        amount = part(share, self.model.preview(node, service).reserved)
        to = self.world.people["third"] if reporter else reference.NOBODY
        caller = self.caller(who, self.disputes)
        before = self.model.preview(node, service)
        self.both("fault", caller, "fault", node, service, amount, bounty, to, self.made.treasury)
        after = self.model.preview(node, service)
        assert (after.exiting, after.reserved) == (before.exiting, before.reserved)

    @rule(who=callers, node=nodes, service=services, amount=amounts, again=st.booleans())
    def freeze(self, who: str, node: int, service: int, amount: int, again: bool) -> None:
        claim = max(1, self.claims) if again and self.claims % 5 == 0 else self.claims + 1
        self.both("freeze", self.caller(who, self.disputes), "freeze", claim, node, service, amount)
        self.claims = max(self.claims, *self.model.holds, 0)

    @rule(node=nodes, service=services, amount=amounts, share=shares, victim=people)
    def freeze_and_award(self, node: int, service: int, amount: int, share: int, victim: str) -> None:
        self.freeze("right", node, service, amount, False)
        hold = self.model.holds[self.claims]
        args = (self.claims, part(share, hold.amount), 2000, self.world.people[victim], self.made.treasury)
        self.both("award", self.disputes, "award", *args)

    @rule(who=callers, which=st.integers(0, 30), share=shares, bounty=st.integers(0, 2001), victim=people)
    def award(self, who: str, which: int, share: int, bounty: int, victim: str) -> None:
        claim = self.claim(which, "Frozen")
        hold = self.model.holds.get(claim)
        amount = part(share, hold.amount if hold else HOLE)
        people_ = self.world.people
        self.both(
            "award", self.caller(who, self.disputes), "award", claim, amount, bounty, people_[victim], people_["third"]
        )

    @rule(who=callers, which=st.integers(0, 30))
    def lapse(self, who: str, which: int) -> None:
        self.both("lapse", self.caller(who, self.disputes), "lapse", self.claim(which, "Frozen"))

    @rule(who=people, which=st.integers(0, 30))
    def pay(self, who: str, which: int) -> None:
        self.both("pay", self.world.people[who], "pay", self.claim(which, "Awarded"))

    @rule(staker=people, back=st.integers(0, 60 * reference.DAY))
    def past_votes(self, staker: str, back: int) -> None:
        person, time = self.world.people[staker], self.model.now - back
        data = self.made.vault.encode("getPastBond", person, time)
        (answer,) = self.chain.batch([self.at_now(self.made.vault, data, None)])
        if back == 0:
            assert isinstance(answer, Reverted)
            assert answer.name == "FutureLookup"
        else:
            assert int(answer, 16) == self.model.past_votes(person, time)

    # ---------------------------------------------------------------------------------------------- everywhere

    @invariant()
    def both_sides_agree(self) -> None:
        vault, token, model = self.made.vault, self.made.token, self.model
        pairs = [(node, service) for node in range(1, NODES + 1) for service in (SERVICE, OTHER_SERVICE)]
        persons = list(self.world.people.values())
        asked: list[tuple[Contract, str, tuple[Any, ...]]] = []
        asked += [(vault, "stakeOf", pair) for pair in pairs]
        asked += [(vault, "freeOf", pair) for pair in pairs]
        asked += [(vault, "unreservedOf", pair) for pair in pairs]
        asked += [(vault, "stakerOf", (node,)) for node in range(1, NODES + 1)]
        asked += [(vault, "bondOf", (node,)) for node in range(1, NODES + 1)]
        asked += [(vault, "getBond", (person,)) for person in persons]
        asked += [(token, "balanceOf", (person,)) for person in persons]
        asked += [(token, "balanceOf", (vault.address,)), (token, "totalSupply", ())]
        answers = self.chain.batch([self.at_now(c, c.encode(name, *args), None) for c, name, args in asked])
        values = [
            c.method(name, len(args)).decode(bytes.fromhex(a[2:]))
            for (c, name, args), a in zip(asked, answers, strict=True)
        ]
        rest = iter(values)
        stakes, free, freed = ([next(rest) for _ in pairs] for _ in range(3))
        for pair, found, found_free, found_freed in zip(pairs, stakes, free, freed, strict=True):
            mine = model.preview(*pair)
            assert tuple(found) == tuple(vars(mine).values()), pair
            assert (found_free, found_freed) == (mine.free, model.freed[pair])
        for node in range(1, NODES + 1):
            assert next(rest) == model.stakers.get(node, reference.NOBODY)
        for node in range(1, NODES + 1):
            assert next(rest) == model.bonded(node)
        votes = [next(rest) for _ in persons]
        assert votes == [model.votes(person) for person in persons]
        assert [next(rest) for _ in persons] == [model.balances[person] for person in persons]
        held, supply = next(rest), next(rest)
        # 5: the balance is all stake and all unpaid rounds. 7: only slashes burn. 12: votes never exceed the supply.
        assert held == sum(model.bonded(node) for node in range(1, NODES + 1)) + model.unpaid()
        assert supply == self.world.supply - model.burned
        assert sum(votes) <= held

    def teardown(self) -> None:
        """5, 8: in the end everything leaves, to the last wei, without anybody's help."""
        if not hasattr(self, "model"):
            return
        self.model.now += 600 * reference.DAY
        for claim, hold in list(self.model.holds.items()):
            if hold.state == "Awarded":
                self.both("pay", self.world.people["third"], "pay", claim)
        for node, service in list(self.model.stakes):
            stake = self.model.preview(node, service)
            if stake.active + stake.exiting == 0:
                continue
            staker = self.model.stakers[node]
            if stake.reserved:
                self.both("unreserve", staker, "unreserve", node, service)
            if stake.active:
                self.both("request_exit", staker, "requestExit", node, service, stake.active)
            self.model.now += reference.EXIT
            self.both("withdraw", staker, "withdraw", node, service, staker)
        assert self.chain.call(self.made.token, "balanceOf", self.made.vault.address) == 0


def test_the_vault_does_what_its_model_does() -> None:
    global WORLD
    with Chain() as chain:
        WORLD = World(chain)
        run_state_machine_as_test(
            VaultMachine,
            settings=settings(
                max_examples=60,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    WORLD = None
