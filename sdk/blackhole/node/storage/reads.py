"""Reads: what was paid by voucher, what an owner granted, what audits may take.

A voucher counts once its lane holds the money at a final block and the journal has it; then bytes leave, at most one
MiB beyond what is paid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blackhole.chain.values import address
from blackhole.errors import IntegrityError, NodeRefused
from blackhole.escrow.vouchers import VoucherDomain, VoucherVerifier
from blackhole.node.config import Config
from blackhole.node.storage.chainwatch import ChainWatch, LaneView
from blackhole.node.storage.metering import Allowance, LaneAccount, cost_micro
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.recorder import Recorder
from blackhole.node.storage.refusal import Refusal
from blackhole.node.storage.scope import Scopes
from blackhole.node.storage.state import State
from blackhole.node.storage.steps import Step
from blackhole.protocol import STORAGE

if TYPE_CHECKING:
    from blackhole.storage.grants import GrantChain
    from blackhole.storage.terms import MarketDomain

VERIFIERS = 1024
"""Lanes whose verifier is kept."""

GRANTS = 65_536
"""Grants whose use is remembered before those that expired are forgotten."""


class Reads:
    """Admits reads of one node."""

    def __init__(
        self,
        config: Config,
        watch: ChainWatch,
        state: State,
        store: PieceStore,
        recorder: Recorder,
        hub: VoucherDomain,
        market: MarketDomain,
    ) -> None:
        self.config = config
        self.watch = watch
        self.state = state
        self.store = store
        self.recorder = recorder
        self.hub = hub
        self.market = market
        self.audits = Allowance(config.storage.audit_bytes_per_day)
        self.grants = Allowance(config.storage.grant_bytes_per_day)
        self.scopes = Scopes(store)
        self.served_bytes = 0
        self._verifiers: dict[tuple[int, str, str], VoucherVerifier] = {}
        self._granted: dict[bytes, tuple[int, int]] = {}

    def reconfigure(self, config: Config) -> None:
        """Take new prices for what is read from now on."""
        self.config = config
        self.audits.bytes_per_day = config.storage.audit_bytes_per_day
        self.grants.bytes_per_day = config.storage.grant_bytes_per_day

    async def by_lane(self, lane: int, row: bytes | None, count: int) -> LaneAccount:
        """Admit a read of `count` bytes on `lane`, with a new voucher `row` or without. Raises Refusal 402, 403."""
        view = await self.watch.lane(lane) or await self.watch.lane(lane, fresh=True)
        if view is None:
            raise Refusal(
                402, "unknown_lane", f"There is no lane {lane} to this node at a final block.",
                hint="Open one to the node's payee for service 1, or wait until it is final.",
                data={"lane": lane, "payee": self.watch.payee, "service": STORAGE},
            )  # fmt: skip
        price = self.config.storage.egress_micro_per_mib
        account = self.state.lanes.setdefault(lane, LaneAccount(lane, price))
        account.reprice(price)
        if row is not None:
            view = await self._accept(account, row, view)
        if view.backing < account.owed(count):
            # Perhaps it was topped up since: ask before refusing.
            view = await self.watch.lane(lane, fresh=True) or view
        account.take(count, view.backing)
        return account

    async def _accept(self, account: LaneAccount, row: bytes, view: LaneView) -> LaneView:
        cumulative = self._verify(account.lane, row, view)
        if cumulative <= account.accepted:
            return view
        if cumulative > view.backing:
            view = await self.watch.lane(account.lane, fresh=True) or view
        if cumulative > view.backing:
            raise Refusal(
                402, "not_backed", f"The voucher is over {cumulative} micro, {view.backing} in the lane do not thaw.",
                hint="Top up the lane, or sign for less.",
                data={"lane": account.lane, "backing_micro": view.backing, "cumulative_micro": cumulative},
            )  # fmt: skip
        await self.recorder.record(Step.VOUCHER, **replace(account, accepted=cumulative, row=row).to_json())
        return view

    def _verify(self, lane: int, row: bytes, view: LaneView) -> int:
        signers = (view.signer, view.payer)
        verifier = self._verifiers.get((lane, *signers))
        if verifier is None:
            if len(self._verifiers) >= VERIFIERS:
                self._verifiers.pop(next(iter(self._verifiers)))
            verifier = VoucherVerifier(self.hub, address(self.watch.payee), STORAGE, lane, *map(address, signers))
            self._verifiers[lane, *signers] = verifier
        try:
            return verifier.verify(row)
        except IntegrityError as error:
            raise Refusal(
                403, "voucher", f"{error.message}.", hint="Sign it for this payee, service and lane.",
                data={"lane": lane},
            ) from None  # fmt: skip

    async def by_grant(self, grant: GrantChain, root: bytes, count: int) -> None:
        """Admit a read of `count` bytes of piece `root` under an owner's grants. Raises Refusal 403, 429."""
        now = self.watch.now
        payer = grant.links[0][0].payer.lower()
        holders = [self.state.deals.get(holder.hex()) for holder in await self.store.holders(root)]
        if not any(deal is not None and deal.payer == payer for deal in holders):
            raise Refusal(403, "grant_owner", "Whoever granted this does not own the piece.", hint="Ask its owner.")
        try:
            scopes = {link.root for link, _ in grant.links if link.root != root}
            manifests = [scope for scope in scopes if root in await self.scopes.pieces(scope)]
            grant.check(self.market, payer=payer, piece=root, now=now, manifests=manifests)
        except NodeRefused as error:
            raise Refusal(error.status, error.code, error.message, hint=error.hint) from None
        digests = grant.digests(self.market)
        # Every link counts what is read below it, so passing a grant on never makes more of it.
        for (link, _), digest in zip(grant.links, digests, strict=True):
            used, _ = self._granted.get(digest, (0, 0))
            if used + count > link.max_bytes:
                raise Refusal(
                    403, "grant_used_up", f"The grant is over {link.max_bytes} bytes, {used} are used.",
                    hint="Ask its owner for a new one.", data={"max_bytes": link.max_bytes, "used": used},
                )  # fmt: skip
        self.grants.take(payer, count, now, "granted reads")
        if len(self._granted) > GRANTS:
            self._granted = {key: value for key, value in self._granted.items() if value[1] > now}
        for (link, _), digest in zip(grant.links, digests, strict=True):
            used, _ = self._granted.get(digest, (0, 0))
            self._granted[digest] = (used + count, link.expiry)

    def without_lane(self, count: int) -> Refusal:
        """The 402 for whoever shows neither lane nor grant."""
        price = self.config.storage.egress_micro_per_mib
        return Refusal(
            402, "payment_required", "Reads are paid: show a lane and its voucher, or a grant.",
            hint="Open a lane to the node's payee for service 1.",
            data={
                "payee": self.watch.payee, "service": STORAGE, "egress_micro_per_mib": price,
                "missing_micro": cost_micro(count, price),
            },
        )  # fmt: skip
