"""The payment hub against its executable model: any sequence of calls, compared after each on a real chain.

Half a minute; `HYPOTHESIS_PROFILE=fuzz` draws new sequences, ten times as many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from eth_utils import to_checksum_address
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model.chain import Chain, Contract, Reverted, compact, key, sign, typed_digest
from model.hub import U48, U96, U256, ZERO, Credit, Fee, Hub, Lane, Refused, Voucher

HOLE, MICRO = 10**18, 10**12
START = 1_800_000_000
DAY = 86_400
OPEN_LANE = (
    "OpenLane(address payer,address payee,uint16 service,address signer,uint48 amount,uint256 nonce,uint40 deadline)"
)
PERMIT = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
ALLOW = "Allow(address payer,address module,uint256 amount,uint256 nonce,uint40 deadline)"
VOUCHER = "Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)"
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

KEYS = [key(f"payer {i}") for i in range(3)]
PAYERS = [k.address for k in KEYS]
PAYEES = [key("payee 0").address, PAYERS[2]]  # one payee also pays
MODULES = [key(f"module {i}").address for i in range(2)]
SINK, TIMELOCK = key("sink").address, key("timelock").address
ACCOUNTS = [*PAYERS, PAYEES[0], *MODULES, SINK]
SERVICES = [1, 2]

payers = st.sampled_from(PAYERS)
payees = st.sampled_from(PAYEES)
modules = st.sampled_from(MODULES)
services = st.sampled_from(SERVICES)
# Where an amount stands between nothing and everything; the ends and one beyond are the interesting places.
parts = st.sampled_from(["zero", "one", "part", "most", "beyond"])
indices = st.integers(0, 5)
rarely = st.sampled_from([False] * 7 + [True])


def amount_of(part: str, most: int, percent: int = 37) -> int:
    return {"zero": 0, "one": 1, "part": max(1, most * percent // 100), "most": most, "beyond": most + 1}[part]


def credit_of(event: Any) -> Credit:
    """What a Credited says in words, a VoucherPaid in bits."""
    if event.name == "Credited":
        return Credit(**event.args)
    account, payment = event.args["account"], event.args["payment"]
    gross = int.from_bytes(payment[24:30], "big") * MICRO
    return Credit(
        payer=to_checksum_address(payment[:20]),
        payee=to_checksum_address(account[:20]),
        service=int.from_bytes(account[20:22], "big"),
        gross=gross,
        fee=gross * int.from_bytes(payment[30:], "big") // 10_000,
        receipt=account[:22] + bytes(6) + payment[20:24],
    )


class HubMachine(RuleBasedStateMachine):
    """Every rule makes one call on both sides; `same` compares result, error and events, the invariant the state."""

    chain: Chain
    hub: Contract
    token: Contract
    domain: bytes

    @initialize()
    def begin(self) -> None:
        self.saved = self.chain.snapshot()
        self.model = Hub(
            unit=MICRO,
            timelock=TIMELOCK,
            fees={0: Fee(SINK, 100, 100, START)},
            now=self.chain.now(),
            tokens=dict.fromkeys(PAYERS, 10000 * HOLE),
        )
        self.vouchers: list[tuple[tuple[str, int], bytes, Voucher]] = []
        self.ids = 0
        # Somebody has money, an allowance, a lane and a lock from the start, or most sequences would only be refused.
        for payer in PAYERS[:2]:
            self.same(payer, "deposit", (payer, 1000 * HOLE), lambda m, p=payer: m.deposit(p, p, 1000 * HOLE))
            self.allow(payer, MODULES[0], 300 * HOLE)
            self.open_lane(payer, PAYEES[0], 1, 0, "part")
            self.lock(MODULES[0], payer, PAYEES[0], 1, "part", 10, False)
        self.open_lane(PAYERS[0], PAYEES[1], 2, 1, "part")

    def teardown(self) -> None:
        if hasattr(self, "saved"):
            self.chain.revert(self.saved)

    # ----------------------------------------------------------------------------------------------- comparing

    def same(self, sender: str, name: str, args: tuple[Any, ...], effect: Callable[[Hub], Any]) -> Any:
        """Runs the call on both sides at the same second."""
        before = deepcopy(self.model)
        self.model.now += 1
        expected: Any = None
        refused: Refused | None = None
        try:
            expected = effect(self.model)
        except Refused as problem:
            now = self.model.now
            self.model, refused = before, problem
            self.model.now = now
        self.chain.rpc("evm_setNextBlockTimestamp", self.model.now)
        receipt = self.chain.send(self.hub, name, *args, sender=sender, check=False)
        if refused is None:
            assert int(receipt["status"], 16) == 1, f"{name}{args} reverted, the model accepts"
        else:
            assert int(receipt["status"], 16) == 0, f"{name}{args} passed, the model refuses: {refused}"
            # Nothing has changed since, so the call still fails in the same way.
            with pytest.raises(Reverted) as failure:
                self.chain.call(self.hub, name, *args, sender=sender)
            assert (failure.value.name, failure.value.arguments) == (refused.name, refused.arguments)
        credits = [credit_of(e) for e in receipt["events"] if e.name in ("Credited", "VoucherPaid")]
        if isinstance(expected, Credit):
            assert credits == [expected]
        elif isinstance(expected, tuple):
            assert credits == expected[2]
        else:
            assert credits == []
        return None if refused else expected

    @invariant()
    def states_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        model, hub = self.model, self.hub
        reads: list[tuple[Any, ...]] = [(self.token, "balanceOf", hub.address)]
        expected: list[Any] = [model.held]
        for account in ACCOUNTS:
            reads += [(hub, "balanceOf", account), (self.token, "balanceOf", account)]
            expected += [model.balances.get(account, 0), model.tokens.get(account, 0)]
        for payee in PAYEES:
            for service in SERVICES:
                lanes = model.lanes.get((payee, service), [])
                reads.append((hub, "laneCount", payee, service))
                expected.append(len(lanes))
                for i, lane in enumerate(lanes):
                    reads.append((hub, "laneOf", payee, service, i))
                    expected.append((lane.signer, lane.deposit, lane.claimed, lane.payer, lane.thawing, lane.thaw_at))
        for (module, id_), lock in model.locks.items():
            reads.append((hub, "lockOf", module, id_))
            expected.append((lock.payer, lock.amount, lock.payee, lock.expiry, lock.service, lock.released))
        for payer in PAYERS:
            reads += [(hub, "allowanceOf", payer, module) for module in MODULES]
            expected += [model.allowances.get((payer, module), 0) for module in MODULES]
            reads += [(hub, "nonceOf", payer, 0), (hub, "nonceOf", payer, 9)]
            expected += [model.next_nonce(payer, 0), model.next_nonce(payer, 9)]
        for service in SERVICES:
            reads.append((hub, "currentFee", service))
            expected.append(model.current_fee(service))
        for read, got, want in zip(reads, self.chain.calls(reads), expected, strict=True):
            assert got == want, f"{read[1]}{read[2:]}: chain {got}, model {want}"
        assert model.owed() == model.held

    # ----------------------------------------------------------------------------------------------- balances

    @rule(sender=payers, to=st.sampled_from([*ACCOUNTS, ZERO]), part=parts)
    def deposit(self, sender: str, to: str, part: str) -> None:
        amount = amount_of(part, self.model.tokens.get(sender, 0), 11)
        self.same(sender, "deposit", (to, amount), lambda m: m.deposit(sender, to, amount))

    @rule(sender=st.sampled_from(ACCOUNTS), to=st.sampled_from([*PAYERS, ZERO]), part=parts)
    def withdraw(self, sender: str, to: str, part: str) -> None:
        amount = amount_of(part, self.model.balances.get(sender, 0))
        self.same(sender, "withdraw", (to, amount), lambda m: m.withdraw(sender, to, amount))

    @rule(
        payer=st.sampled_from(range(3)),
        part=parts,
        flaw=st.sampled_from(["", "", "submitted first", "again", "signer", "deadline", "field"]),
    )
    def deposit_with_permit(self, payer: int, part: str, flaw: str) -> None:
        """A stranger submits the permit, or has submitted it to the token alone before."""
        by, m = PAYERS[payer], self.model
        amount = amount_of(part, m.tokens.get(by, 0), 7)
        deadline = m.now + (0 if flaw == "deadline" else 3)
        who = KEYS[(payer + (flaw == "signer")) % 3]
        nonce = self.chain.call(self.token, "nonces", by)
        signed = [by, self.hub.address, amount + (flaw == "field"), nonce, deadline]
        signature = sign(who, typed_digest(self.chain.call(self.token, "DOMAIN_SEPARATOR"), PERMIT, signed))
        signer = None if flaw == "field" else who.address
        if flaw == "submitted first":
            v, r, s = signature[64], signature[:32], signature[32:64]
            self._send(self.token, "permit", by, self.hub.address, amount, deadline, v, r, s, sender=SINK)

        def effect(model: Hub) -> bool:
            return model.deposit_with_permit(by, amount, deadline, signer)

        args = (by, amount, deadline, signature)
        deposited = self.same(MODULES[0], "depositWithPermit", args, effect)
        if deposited and flaw == "again":
            self.same(
                MODULES[0], "depositWithPermit", args, lambda m: m.deposit_with_permit(by, amount, deadline, None)
            )
        self._send(self.token, "approve", self.hub.address, U256, sender=by)

    def _send(self, contract: Contract, name: str, *args: Any, sender: str) -> None:
        """A call that the model does not follow, a second later."""
        self.model.now += 1
        self.chain.rpc("evm_setNextBlockTimestamp", self.model.now)
        self.chain.send(contract, name, *args, sender=sender)

    # -------------------------------------------------------------------------------------------------- lanes

    @rule(payer=payers, payee=payees, service=services, signer=st.sampled_from([0, 0, 1]), part=parts)
    def open_lane(self, payer: str, payee: str, service: int, signer: int, part: str) -> None:
        amount = min(U48, amount_of(part, self.model.balances.get(payer, 0) // MICRO, 9))
        by = PAYERS[(PAYERS.index(payer) + signer) % 3]
        self.same(
            payer,
            "openLane",
            (payee, service, by, amount),
            lambda m: m.open_lane(payer, payee, service, by, amount),
        )

    @rule(
        payer=st.sampled_from(range(3)),
        payee=payees,
        part=parts,
        nonce_key=st.sampled_from([0, 9]),
        flaw=st.sampled_from(["", "", "signer", "nonce", "deadline", "field"]),
    )
    def open_lane_by_sig(self, payer: int, payee: str, part: str, nonce_key: int, flaw: str) -> None:
        by, m = PAYERS[payer], self.model
        amount = min(U48, amount_of(part, m.balances.get(by, 0) // MICRO, 5))
        nonce = m.next_nonce(by, nonce_key) + (flaw == "nonce")
        deadline = m.now + (0 if flaw == "deadline" else 1)
        who = KEYS[(payer + (flaw == "signer")) % 3]
        signed = [by, payee, 1, by, (amount + 1) % 2**48 if flaw == "field" else amount, nonce, deadline]
        signature = sign(who, typed_digest(self.domain, OPEN_LANE, signed))
        signer = None if flaw == "field" else who.address

        def effect(model: Hub) -> int:
            model.authorize(by, signer, nonce, deadline)
            return model.open_lane(by, payee, 1, by, amount)

        self.same(MODULES[0], "openLaneBySig", (by, payee, 1, by, amount, nonce, deadline, signature), effect)

    def _lane(self, pick: int, unknown: bool) -> tuple[str, int, int, Lane]:
        """Payee, service, id and state of a lane; now and then one that is not there."""
        if unknown:
            return PAYEES[0], 1, 1000 + pick, Lane(PAYERS[0], PAYERS[0], 5)
        lanes = [(*where, i, lane) for where, found in self.model.lanes.items() for i, lane in enumerate(found)]
        return lanes[-1 - pick % len(lanes)]

    @rule(sender=payers, pick=indices, part=parts, unknown=rarely)
    def top_up(self, sender: str, pick: int, part: str, unknown: bool) -> None:
        payee, service, lane, _ = self._lane(pick, unknown)
        amount = min(U48, amount_of(part, self.model.balances.get(sender, 0) // MICRO, 7))
        self.same(
            sender, "topUp", (payee, service, lane, amount), lambda m: m.top_up(sender, payee, service, lane, amount)
        )

    @rule(pick=indices, part=parts, stranger=rarely, unknown=rarely)
    def thaw(self, pick: int, part: str, stranger: bool, unknown: bool) -> None:
        payee, service, lane, found = self._lane(pick, unknown)
        sender = SINK if stranger else found.payer
        amount = min(U48, amount_of(part, found.deposit - found.claimed))
        self.same(
            sender, "thaw", (payee, service, lane, amount), lambda m: m.thaw(sender, payee, service, lane, amount)
        )

    @rule(pick=indices, stranger=rarely, unknown=rarely)
    def reclaim(self, pick: int, stranger: bool, unknown: bool) -> None:
        payee, service, lane, found = self._lane(pick, unknown)
        sender = SINK if stranger else found.payer
        self.same(sender, "reclaim", (payee, service, lane), lambda m: m.reclaim(sender, payee, service, lane))

    @rule(
        pick=indices,
        part=st.sampled_from(["part", "most"]),
        wait=st.sampled_from([DAY - 2, DAY - 1, 8 * DAY - 2, 8 * DAY - 1]),
        percent=st.sampled_from([0, 50, 100]),
    )
    def thaw_wait_reclaim(self, pick: int, part: str, wait: int, percent: int) -> None:
        """A thaw to both sides of its maturity and its end, with or without a voucher in between."""
        payee, service, lane, found = self._lane(pick, False)
        amount = amount_of(part, found.deposit - found.claimed)
        sender = found.payer
        self.same(
            sender, "thaw", (payee, service, lane, amount), lambda m: m.thaw(sender, payee, service, lane, amount)
        )
        if percent:
            cumulative = found.deposit * percent // 100
            who = KEYS[PAYERS.index(sender)]
            raw = sign(who, typed_digest(self.domain, VOUCHER, [payee, service, lane, cumulative]))
            row = lane.to_bytes(4, "big") + cumulative.to_bytes(6, "big") + compact(raw)
            rows = [Voucher(lane, cumulative, sender)]
            self.same(SINK, "redeem", (payee, service, row), lambda m: m.redeem(payee, service, rows))
        self.time_passes(wait - (percent > 0))
        self.same(sender, "reclaim", (payee, service, lane), lambda m: m.reclaim(sender, payee, service, lane))

    @rule(
        pick=indices,
        percent=st.sampled_from([0, 10, 50, 100, 150]),
        who=st.sampled_from(["payer", "payer", "signer", "other"]),
        flaw=st.sampled_from(["", "", "", "other lane", "high s", "noise"]),
        unknown=rarely,
    )
    def sign_voucher(self, pick: int, percent: int, who: str, flaw: str, unknown: bool) -> None:
        """Keeps a voucher for later redemptions; by the lane's payer or signer, or by another."""
        payee, service, lane, found = self._lane(pick, unknown)
        cumulative = min(U48, found.deposit * percent // 100)
        by = {"payer": found.payer, "signer": found.signer}.get(who, PAYERS[pick % 3])
        signed_lane = lane + (flaw == "other lane")
        digest = typed_digest(self.domain, VOUCHER, [payee, service, signed_lane, cumulative])
        raw = sign(KEYS[PAYERS.index(by)], digest)
        if flaw == "high s":
            mirrored = (CURVE_ORDER - int.from_bytes(raw[32:64], "big")) % 2**255
            raw = raw[:32] + mirrored.to_bytes(32, "big") + bytes([55 - raw[64]])
        if flaw == "noise":
            raw = raw[:40] + bytes(24) + raw[64:]
        row = lane.to_bytes(4, "big") + cumulative.to_bytes(6, "big") + compact(raw)
        self.vouchers.append(((payee, service), row, Voucher(lane, cumulative, None if flaw else by)))

    @precondition(lambda self: self.vouchers)
    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=6), sender=payers)
    def redeem(self, picks: list[int], sender: str) -> None:
        """Kept vouchers in any order, repeated, also those of another payee or service than the first one's."""
        chosen = [self.vouchers[-1 - p % len(self.vouchers)] for p in picks]
        payee, service = chosen[0][0]
        rows = [v if where == (payee, service) else Voucher(v.lane, v.cumulative, None) for where, _, v in chosen]
        packed = b"".join(row for _, row, _ in chosen)
        self.same(sender, "redeem", (payee, service, packed), lambda m: m.redeem(payee, service, rows))

    # -------------------------------------------------------------------------------------------------- locks

    @rule(payer=payers, module=st.sampled_from([*MODULES, ZERO]), amount=st.sampled_from([0, 1, 300 * HOLE, U256]))
    def allow(self, payer: str, module: str, amount: int) -> None:
        self.same(payer, "allow", (module, amount), lambda m: m.allow(payer, module, amount))

    @rule(
        payer=st.sampled_from(range(3)),
        module=modules,
        amount=st.sampled_from([0, 500 * HOLE, U256]),
        flaw=st.sampled_from(["", "", "signer", "nonce", "deadline"]),
    )
    def allow_by_sig(self, payer: int, module: str, amount: int, flaw: str) -> None:
        by, m = PAYERS[payer], self.model
        nonce = m.next_nonce(by, 0) + (flaw == "nonce")
        deadline = m.now + (0 if flaw == "deadline" else 1)
        who = KEYS[(payer + (flaw == "signer")) % 3]
        signature = sign(who, typed_digest(self.domain, ALLOW, [by, module, amount, nonce, deadline]))

        def effect(model: Hub) -> None:
            model.authorize(by, who.address, nonce, deadline)
            model.allow(by, module, amount)

        self.same(SINK, "allowBySig", (by, module, amount, nonce, deadline, compact(signature)), effect)

    @rule(
        module=modules,
        payer=st.sampled_from([*PAYERS, *PAYERS, ZERO]),
        payee=payees,
        service=services,
        part=parts,
        days=st.sampled_from([0, 1, 10, 10, 40, 100_000]),
        again=st.booleans(),
    )
    def lock(self, module: str, payer: str, payee: str, service: int, part: str, days: int, again: bool) -> None:
        m = self.model
        most = min(m.balances.get(payer, 0), m.allowances.get((payer, module), 0))
        amount = min(U96, amount_of(part, most, 15))
        expiry = m.now + 1 + days * DAY
        self.ids += not again
        id_ = self.ids
        self.same(
            module,
            "lock",
            (id_, payer, payee, service, amount, expiry),
            lambda m: m.lock(module, id_, payer, payee, service, amount, expiry),
        )

    def _lock(self, pick: int) -> tuple[str, int, int, int, str]:
        """Module, id, amount, expiry and payer of a lock."""
        locks = list(self.model.locks.items())
        (module, id_), found = locks[-1 - pick % len(locks)]
        return module, id_, found.amount, found.expiry, found.payer

    @rule(pick=indices, part=parts, later=st.sampled_from([-1, 0, 0, DAY]))
    def increase(self, pick: int, part: str, later: int) -> None:
        module, id_, _, expiry, payer = self._lock(pick)
        m = self.model
        most = min(m.balances.get(payer, 0), m.allowances.get((payer, module), 0))
        amount, until = min(U96, amount_of(part, most, 5)), expiry + later
        self.same(module, "increase", (id_, amount, until), lambda m: m.increase(module, id_, amount, until))

    @rule(pick=indices)
    def revoke_and_prolong(self, pick: int) -> None:
        """After a revocation the date stands, also without more money."""
        module, id_, _, expiry, payer = self._lock(pick)
        self.allow(payer, module, 0)
        self.same(module, "increase", (id_, 0, expiry + 1), lambda m: m.increase(module, id_, 0, expiry + 1))

    @rule(pick=indices, part=parts, other=rarely)
    def release(self, pick: int, part: str, other: bool) -> None:
        module, id_, most, _, _ = self._lock(pick)
        sender = SINK if other else module
        amount = min(U96, amount_of(part, most))
        self.same(sender, "release", (id_, amount), lambda m: m.release(sender, id_, amount))

    @rule(pick=indices, part=parts, other=rarely)
    def refund(self, pick: int, part: str, other: bool) -> None:
        module, id_, most, _, _ = self._lock(pick)
        sender = SINK if other else module
        amount = min(U96, amount_of(part, most))
        self.same(sender, "refund", (id_, amount), lambda m: m.refund(sender, id_, amount))

    @rule(pick=indices, other=rarely, wait=st.sampled_from([0, 14 * DAY - 2, 14 * DAY - 1, 14 * DAY]))
    def reclaim_lock(self, pick: int, other: bool, wait: int) -> None:
        """Around the end of the grace, when it has not passed."""
        module, id_, _, expiry, payer = self._lock(pick)
        sender = SINK if other else payer
        if wait and expiry + wait > self.model.now:
            self.time_passes(expiry + wait - self.model.now)
        self.same(sender, "reclaimLock", (module, id_), lambda m: m.reclaim_lock(sender, module, id_))

    # --------------------------------------------------------------------------------------------- fees and time

    @rule(
        service=st.sampled_from([0, 1]),
        bps=st.sampled_from([0, 7, 500, 501]),
        sink=st.sampled_from([SINK, PAYEES[0], ZERO]),
        sender=st.sampled_from([TIMELOCK] * 5 + [SINK]),
    )
    def set_fee(self, service: int, bps: int, sink: str, sender: str) -> None:
        self.same(sender, "setFee", (service, bps, sink), lambda m: m.set_fee(sender, service, bps, sink))

    @rule(seconds=st.sampled_from([1, DAY - 2, DAY, 7 * DAY - 1, 14 * DAY, 30 * DAY]))
    def time_passes(self, seconds: int) -> None:
        self.model.now += seconds
        self.chain.warp(self.model.now)


@pytest.fixture(scope="module")
def machine() -> Iterator[type[HubMachine]]:
    with Chain(timestamp=START) as chain:
        owner = chain.accounts[0]
        token = chain.deploy("BlackholeToken", [owner], [10**27], TIMELOCK)
        hub = chain.deploy("PaymentHub", token.address, MICRO, True, TIMELOCK, 100, SINK)
        chain.fund(TIMELOCK, *ACCOUNTS)
        for payer in PAYERS:
            chain.send(token, "transfer", payer, 10_000 * HOLE, sender=owner)
            chain.send(token, "approve", hub.address, U256, sender=payer)
        HubMachine.chain, HubMachine.hub, HubMachine.token = chain, hub, token
        HubMachine.domain = chain.call(hub, "domainSeparator")
        yield HubMachine


def test_hub_does_what_the_model_does(machine: type[HubMachine]) -> None:
    fuzz = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=600 if fuzz else 60,
            stateful_step_count=40,
            deadline=None,
            derandomize=not fuzz,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
