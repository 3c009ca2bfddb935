"""What the node signs: quotes, Terms and Changes; and every reason for which it does not.

Before a signature leaves: every piece is on the disk, root and digest are computed again, the price is the node's, the
payer has the money at a final block, capacity and bond are free, and the journal has the promise. The same request gets
the same signature; the same capacity never gets two.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from blackhole.chain.bindings.storage_market import Agreement
from blackhole.chain.signers import Signer
from blackhole.errors import IntegrityError
from blackhole.node.config import Config
from blackhole.node.logs import Log
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.pieces import PieceStore
from blackhole.node.storage.recorder import Recorder
from blackhole.node.storage.refusal import Refusal
from blackhole.node.storage.staging import LEAVES_PER_GIB, Staging
from blackhole.node.storage.state import Deal, State
from blackhole.node.storage.steps import Step
from blackhole.protocol import QUOTE_VALID, START_LEAD, STORAGE
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.terms import Change, MarketDomain, Quote, Terms

OPEN_STATES = (1, 2)
"""Status Open and Terminated of IStorageMarket: the agreement is live."""

NOTICE_GIVEN = 2
"""Status Terminated of IStorageMarket."""

SIGNED_PER_PAYER = 256
"""Terms and Changes one payer may have signed and not on chain: what they promise is held back from others."""


def price(leaves: int, per_gib: int) -> int:
    """wei a period of so many leaves at `per_gib` wei a GiB and period, rounded up."""
    return -(-leaves * per_gib // LEAVES_PER_GIB)


class Deals:
    """Signs, or says why not."""

    def __init__(
        self,
        config: Config,
        watch: ChainWatch,
        state: State,
        store: PieceStore,
        recorder: Recorder,
        staging: Staging,
        signer: Signer,
        domain: MarketDomain,
        log: Log,
    ) -> None:
        self.config = config
        self.watch = watch
        self.state = state
        self.store = store
        self.recorder = recorder
        self.staging = staging
        self.signer = signer
        self.domain = domain
        self.log = log
        # One promise at a time: what is free is read, promised and journalled without another in between.
        self.promising = asyncio.Lock()

    # ------------------------------------------------------------------------------------------------ quotes

    def quote(self, payer: str, leaves: int, periods: int) -> tuple[Quote, bytes]:
        """A quote valid for QUOTE_VALID seconds and its signature. Raises Refusal 403, 409, 503."""
        self._accepting(payer)
        settings = self.config.storage
        if periods > settings.deal_periods_max:
            raise Refusal(
                409, "too_long", f"This node signs for at most {settings.deal_periods_max} periods.",
                hint="Ask for fewer periods and renew.", data={"most_periods": settings.deal_periods_max},
            )  # fmt: skip
        if leaves > (free := self.staging.free_leaves()):
            raise Refusal(
                409, "capacity", "The node has not that much room.", hint="Ask for less, or another node.",
                data={"free_leaves": max(free, 0)},
            )  # fmt: skip
        quote = Quote(
            node=self.watch.node,
            payer=payer,
            payee=self.watch.payee,
            service=STORAGE,
            leaves=leaves,
            rate=price(leaves, settings.price_wei_per_gib_period),
            egress=settings.egress_micro_per_mib,
            staging=self.config.limits.staging_bytes_per_payer,
            valid_until=self.watch.now + QUOTE_VALID,
            nonce=secrets.randbits(63),
        )
        return quote, self.signer.sign_digest(quote.digest(self.domain))

    def _least_rate(self, payer: str, leaves: int, quoted: tuple[Quote, bytes] | None) -> int:
        """The least rate accepted for `leaves`: today's, or that of a quote of ours that still holds."""
        today = price(leaves, self.config.storage.price_wei_per_gib_period)
        if quoted is None:
            return today
        quote, signature = quoted
        if self.signer.sign_digest(quote.digest(self.domain)) != signature:
            raise Refusal(403, "quote_signature", "The quote is not this node's.", hint="Ask for a new quote.")
        if quote.valid_until < self.watch.now or quote.payer.lower() != payer or leaves > quote.leaves:
            raise Refusal(
                409, "quote_expired", "The quote is of another payer, for less, or no longer valid.",
                hint="Ask for a new quote.", data={"valid_until": quote.valid_until, "now": self.watch.now},
            )  # fmt: skip
        return min(today, -(-quote.rate * leaves // quote.leaves))

    def _accepting(self, payer: str) -> None:
        if not self.config.storage.accept:
            raise Refusal(503, "not_accepting", "The node takes no new deals.", hint="Choose another node.")
        self.staging.quota.listed(payer)

    # ------------------------------------------------------------------------------------------------- terms

    async def sign_terms(
        self, terms: Terms, pieces: PieceList, quoted: tuple[Quote, bytes] | None, *, by_policy: bool = False
    ) -> str:
        """The signature over `terms`, hex.

        `by_policy`: the money comes by the payer's repair policy, which the market checks.

        Raises:
            Refusal: 402, 403, 404, 409, 503 with the reason.
        """
        digest = terms.digest(self.domain).hex()
        await self.watch.refresh()
        async with self.promising:
            if (known := self.state.deals.get(digest)) is not None:
                return known.signature
            payer = terms.payer.lower()
            self._accepting(payer)
            self._check_terms(terms, pieces)
            least = self._least_rate(payer, terms.leaves, quoted)
            if terms.rate < least:
                raise _too_cheap(terms.rate, least)
            await self._check_pieces(pieces.pieces, {payer, terms.repairer.lower()})
            waiting = self._waiting(payer)
            if not by_policy:
                await self._check_funds(payer, terms.prepaid, waiting)
            await self._check_room(terms.leaves, terms.leaves)
            signature = self.signer.sign_digest(bytes.fromhex(digest)).hex()
            await self.store.write_list(bytes.fromhex(digest), pieces)
            await self.store.hold(bytes.fromhex(digest), [piece.root for piece in pieces.pieces])
            await self.record(Step.TERMS_SIGNED, id=digest, terms=terms.to_json(), signature=signature)
        self.log.info("terms signed", agreement=digest, payer=payer, leaves=terms.leaves, start=terms.start)
        return signature

    def _check_terms(self, terms: Terms, pieces: PieceList) -> None:
        if terms.node != self.watch.node:
            raise _conflict("wrong_node", f"These terms are for node {terms.node}, this is {self.watch.node}.")
        if terms.payee.lower() != self.watch.payee:
            raise _conflict("wrong_payee", f"The node's payee is {self.watch.payee}.")
        self._check_content(terms.root, terms.pieces, terms.leaves, pieces)
        period = self.watch.period
        if not period < terms.start <= period + START_LEAD:
            raise Refusal(
                409, "start", f"A deal starts in period {period + 1} to {period + START_LEAD}.",
                hint="Take the current period from the chain.", data={"period": period},
            )  # fmt: skip
        if not 0 < terms.end - terms.start <= self.config.storage.deal_periods_max:
            raise _conflict("end", f"A deal lasts 1 to {self.config.storage.deal_periods_max} periods.")
        if terms.prepaid < (needed := terms.rate * (terms.end - terms.start) + terms.repair_share):
            raise Refusal(
                409, "prepaid", f"Prepaid money is below rate x periods + repair share: {needed} wei.",
                hint="Raise prepaid.", data={"needed_wei": str(needed)},
            )  # fmt: skip

    def _check_content(self, root: bytes, digest: bytes, leaves: int, pieces: PieceList) -> None:
        found = pieces.tree().root if pieces.pieces else bytes(32)
        if (found, pieces.digest(), pieces.leaves) != (root, digest, leaves):
            raise Refusal(
                422, "wrong_root", "Root, digest or leaves are not those of the pieces.",
                hint="Compute them from the list of pieces.",
                data={"root": found.hex(), "pieces": pieces.digest().hex(), "leaves": pieces.leaves},
            )  # fmt: skip

    async def _check_pieces(self, pieces: Sequence[Piece], parties: set[str]) -> None:
        """Every piece is here, whole, and one of `parties` brought it or has it under a deal already."""
        known = await self.store.known([piece.root for piece in pieces])
        missing = []
        for piece in pieces:
            staged = self.state.staged.get(piece.root.hex())
            ours = staged is not None and staged.payer in parties
            if not ours and piece.root in known:
                holders = [self.state.deals.get(holder.hex()) for holder in await self.store.holders(piece.root)]
                ours = any(deal is not None and deal.payer in parties for deal in holders)
            if not ours or (staged is not None and staged.leaves != piece.leaves):
                missing.append(piece.root.hex())
        if missing:
            raise Refusal(
                409, "not_staged", f"{len(missing)} pieces are not staged.", hint="Upload them first.",
                data={"missing": missing[:100]},
            )  # fmt: skip

    def _waiting(self, payer: str) -> int:
        """wei this payer has yet to lock for what is signed. Raises Refusal 429 when that is too much to wait for."""
        deals = [deal for deal in self.state.deals.values() if deal.payer == payer]
        if sum(len(deal.changes) + (not deal.opened) for deal in deals) >= SIGNED_PER_PAYER:
            raise Refusal(
                429, "too_many_signed", "Too many signed deals and changes are not on chain.", hint="Send them first."
            )
        return sum(deal.waiting_wei for deal in deals)

    async def _check_funds(self, payer: str, needed: int, waiting: int) -> None:
        """The payer's balance and allowance cover `needed` beside what his other signed deals here will take."""
        funds = await self.watch.funds(payer)
        if min(funds.balance, funds.allowance) < needed + waiting:
            await self.watch.refresh()
            funds = await self.watch.funds(payer)
        for what, have, hint in (
            ("balance", funds.balance, "Deposit more, or wait until the deposit is final."),
            ("allowance", funds.allowance, "Raise the market's allowance in the bank."),
        ):
            if have < needed + waiting:
                raise Refusal(
                    402, "insufficient_funds", f"The payer's {what} in the bank is below {needed + waiting} wei.",
                    hint=hint,
                    data={"what": what, "have_wei": str(have), "need_wei": str(needed + waiting)},
                )  # fmt: skip

    async def _check_room(self, leaves: int, growth: int) -> None:
        """Capacity and bond are free for `growth` more leaves, and the catalog is open."""
        capacity = self.config.storage.capacity_gib * LEAVES_PER_GIB
        if self.state.promised_leaves + growth > capacity:
            raise _conflict("capacity", "The node's capacity is promised.", "Choose another node.")
        stake = await self.watch.chain.read(self.watch.stakes.stake_of(self.watch.node, STORAGE))
        service = await self.watch.chain.read(self.watch.catalog.service(STORAGE))
        free = stake.active - stake.reserved - stake.frozen
        unopened = sum(deal.promised - (deal.leaves if deal.opened else 0) for deal in self.state.deals.values())
        needed = (unopened + growth) * service.collateral_per_leaf
        if (missing := max(needed - free, service.min_bond - stake.active)) > 0:
            self.log.warning("the bond is too small", missing_wei=str(missing), mend="blackhole node bond")
            raise Refusal(
                409, "bond", "The node's bond does not cover this deal.", hint="Choose another node.",
                data={"free_wei": str(max(free, 0)), "needed_wei": str(needed), "missing_wei": str(missing)},
            )  # fmt: skip

    # ----------------------------------------------------------------------------------------------- changes

    async def sign_change(
        self, change: Change, added: Sequence[Piece], removed: Sequence[bytes], quoted: tuple[Quote, bytes] | None
    ) -> str:
        """The signature over `change`, hex. Raises Refusal 402, 403, 404, 409, 422, 503."""
        name = change.id.to_bytes(32, "big").hex()
        digest = change.digest(self.domain).hex()
        await self.watch.refresh()
        async with self.promising:
            deal = self._open_deal(name)
            if (known := deal.changes.get(digest)) is not None:
                return known.signature
            now = await self.watch.chain.read(self.watch.market.agreement_of(change.id))
            if now.status not in OPEN_STATES:
                raise _conflict("not_open", "The agreement is not open.")
            if added or change.end > now.end:
                self._accepting(deal.payer)
                if now.status == NOTICE_GIVEN:
                    raise _conflict("notice", "The agreement was given notice.", "Open another one.")
            if change.nonce != now.nonce:
                raise Refusal(
                    409, "nonce", f"The next change of this agreement has nonce {now.nonce}.",
                    hint="Read the agreement again.", data={"nonce": now.nonce},
                )  # fmt: skip
            pieces = await self._changed_list(deal, now.root, added, removed)
            self._check_content(change.root, change.pieces, change.leaves, pieces)
            self._check_change(change, now, added, quoted, deal)
            if added:
                await self._check_pieces(added, {deal.payer, str(deal.terms["repairer"]).lower()})
            waiting = self._waiting(deal.payer)
            if change.prepaid:
                # Of several Changes for one nonce one happens: only the dearest of them waits for money.
                await self._check_funds(deal.payer, change.prepaid, waiting - deal.prepaid_at(change.nonce))
            growth = max(change.leaves - now.leaves, 0)
            if growth:
                await self._check_room(change.leaves, max(growth - deal.growth_at(change.nonce), 0))
            signature = self.signer.sign_digest(bytes.fromhex(digest)).hex()
            await self.store.write_list(bytes.fromhex(name), pieces)
            await self.hold(deal, pieces)
            await self.record(
                Step.CHANGE_SIGNED, id=name, digest=digest, change=change.to_json(), growth=growth, signature=signature
            )
        self.log.info("change signed", agreement=name, added=len(added), removed=len(removed), leaves=change.leaves)
        return signature

    async def _changed_list(
        self, deal: Deal, root: bytes, added: Sequence[Piece], removed: Sequence[bytes]
    ) -> PieceList:
        old = await self.store.read_list(bytes.fromhex(deal.id), root)
        try:
            return old.changed(added, removed)
        except IntegrityError as error:
            raise Refusal(
                422, "wrong_pieces", f"{error.message}.", hint="Read the agreement's pieces again."
            ) from error

    def _check_change(
        self,
        change: Change,
        now: Agreement,
        added: Sequence[Piece],
        quoted: tuple[Quote, bytes] | None,
        deal: Deal,
    ) -> None:
        period = self.watch.period
        if not period <= change.last_period <= period + START_LEAD:
            raise Refusal(
                409, "last_period", f"A change is good until period {period} to {period + START_LEAD}.",
                hint="Take the current period from the chain.", data={"period": period},
            )  # fmt: skip
        if change.end <= period or change.end - period > self.config.storage.deal_periods_max + START_LEAD:
            raise _conflict("end", f"A deal ends at most {self.config.storage.deal_periods_max} periods from now.")
        more = sum(piece.leaves for piece in added)
        if change.end > now.end:
            least = self._least_rate(deal.payer, change.leaves, quoted)  # a renewal is at today's price
        else:
            # What stays keeps its price, what comes is at today's.
            kept = change.leaves - more
            least = now.rate * kept // now.leaves if now.leaves else 0
            least += self._least_rate(deal.payer, more, quoted) if more else 0
        if change.rate < least:
            raise _too_cheap(change.rate, least)

    # ------------------------------------------------------------------------------------------------ shared

    async def hold(self, deal: Deal, *more: PieceList) -> list[bytes]:
        """Hold every piece the deal has or may come to have; returns the roots nothing holds any more."""
        roots = {piece.root for pieces in more for piece in pieces.pieces}
        for root in deal.roots():
            listed = await self.store.read_list(bytes.fromhex(deal.id), bytes.fromhex(root))
            roots |= {piece.root for piece in listed.pieces}
        return await self.store.hold(bytes.fromhex(deal.id), roots)

    def _open_deal(self, name: str) -> Deal:
        deal = self.state.deals.get(name)
        if deal is None:
            raise Refusal(404, "unknown_agreement", "This node has no such agreement.", hint="Check the id.")
        return deal

    async def record(self, step: Step, **fields: Any) -> None:
        """Journal a step; it is taken into account when this returns."""
        await self.recorder.record(step, **fields)


def _conflict(code: str, message: str, hint: str = "Correct it and ask again.") -> Refusal:
    return Refusal(409, code, message, hint=hint)


def _too_cheap(rate: int, least: int) -> Refusal:
    return Refusal(
        409, "rate", f"The rate is below the node's price: {least} wei a period.", hint="Ask for a quote.",
        data={"rate_wei": str(rate), "least_wei": str(least)},
    )  # fmt: skip
