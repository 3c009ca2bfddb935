"""The bank: balances, lanes, vouchers, locks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

from blackhole.chain.bindings.lane_receipts import SettledOfResult
from blackhole.chain.bindings.payment_hub import Credited, Fee, LaneOpened, Lock, ThawStarted, VoucherPaid
from blackhole.chain.events import EventCursor
from blackhole.chain.service import ConnectedService, Plan, one, several, write
from blackhole.chain.values import Address, Event, Logged, Receipt, Tx, address
from blackhole.errors import InputError, InsufficientFunds
from blackhole.escrow.credits import KINDS, credited
from blackhole.escrow.lanes import LaneId, LaneState, read_lane, read_lanes, voucher_signer, voucher_verifier
from blackhole.escrow.signed import SignedAllow, SignedLane, SignedPermit, sign_allow, sign_lane, sign_permit
from blackhole.escrow.vouchers import VoucherSigner, VoucherVerifier, pack_rows
from blackhole.face import M, operation, stream
from blackhole.units import format_tokens, micro_to_wei

E = TypeVar("E", bound=Event)
_PERMIT_SECONDS = 3600


class Escrow(ConnectedService[M]):
    """The hub. Balances and locks are wei; lanes and vouchers are micro (1e12 wei). Errors of the hub arrive as
    `Reverted` with the typed error of `blackhole.chain.bindings.payment_hub`.

    Source: `contracts/escrow/PaymentHub.sol`, `contracts/escrow/FeeSplitter.sol`, `contracts/escrow/LaneReceipts.sol`.
    """

    # Balances

    @operation
    async def balance(self, account: str | None = None) -> int:
        """wei an account has in the hub, income and unspent money in one; default: the signer's."""
        return await self.connection.chain.read(self.connection.hub.balance_of(self._account(account)))

    @write
    async def deposit(self, amount: int, to: str | None = None) -> Plan[Receipt]:
        """Move `amount` wei of one's tokens into the hub, credited to oneself or to `to`.

        One transaction for oneself (the token takes a permit), an approval before it for somebody else. Raises
        `InsufficientFunds` when the tokens are not there. Reverts InvalidAddress, ZeroAmount, UnexpectedTransfer.
        """
        account = self.connection.account
        have = await self.connection.chain.read(self.connection.token.balance_of(account))
        if have < amount:
            raise InsufficientFunds.in_wallet(account, have=have, need=amount)
        if to is None or address(to) == account:
            return one(self._redeem_permit(await self._permit(amount)))
        hub = self.connection.hub
        return several(self.connection.token.approve(hub.address, amount), hub.deposit(address(to), amount))

    @operation
    async def sign_deposit(self, amount: int) -> SignedPermit:
        """Let anybody move `amount` wei of one's tokens into one's own balance within an hour; costs no gas."""
        return await self._permit(amount)

    @write
    async def submit_deposit(self, permit: SignedPermit) -> Plan[Receipt]:
        """Pay the gas for a signed deposit of somebody. Reverts Expired, InvalidSignature."""
        return one(self._redeem_permit(permit))

    @write
    async def withdraw(self, amount: int, to: str | None = None) -> Plan[Receipt]:
        """Send `amount` wei of one's balance as tokens to oneself or `to`. Raises `InsufficientFunds`."""
        await self._require(amount, hint="Withdraw at most what is there: `blackhole escrow show`.")
        return one(self.connection.hub.withdraw(self._account(to), amount))

    # Lanes

    @operation
    async def lane(self, payee: str, service: int, lane: int) -> LaneState:
        """A lane's state. Raises `InputError` when there is none."""
        return await read_lane(self.connection, LaneId(address(payee), service, lane))

    @operation
    async def lanes(self, payer: str | None = None) -> list[LaneState]:
        """Every lane an account has opened, in order; default: the signer's."""
        account = self._account(payer)
        opened = await self.connection.chain.events(
            self.connection.hub.address, [LaneOpened], self.connection.network.block
        )
        ids = [
            LaneId(each.event.payee, each.event.service, each.event.lane)
            for each in opened
            if each.event.payer == account
        ]
        return await read_lanes(self.connection, ids)

    @operation
    async def lane_count(self, payee: str, service: int) -> int:
        """How many lanes have been opened to a payee for a service; ids run from 0 to below this."""
        return await self.connection.chain.read(self.connection.hub.lane_count(address(payee), service))

    @operation
    async def settled(self, lane: LaneId) -> SettledOfResult:
        """What has been paid on a lane so far, in wei, as ratings see it; all zero when there is no such lane."""
        return await self.connection.chain.read(self.connection.lane_receipts.settled_of(LaneId(*lane).receipt))

    @write
    async def open_lane(self, payee: str, service: int, amount: int, signer: str | None = None) -> Plan[LaneId]:
        """Prepay `amount` micro to `payee` for `service`; `signer` (default: oneself) signs the vouchers.

        Anyone. Raises `InsufficientFunds`. Reverts InvalidAddress, ZeroAmount, LanesExhausted.
        """
        await self._require(micro_to_wei(amount))
        tx = self.connection.hub.open_lane(address(payee), service, self._account(signer), amount)
        return Plan((tx,), _opened)

    @operation
    async def sign_open_lane(
        self, payee: str, service: int, amount: int, deadline: int, *, signer: str | None = None, nonce_key: int = 0
    ) -> SignedLane:
        """A signed order to open a lane, for somebody else to submit until `deadline` (seconds)."""
        return await sign_lane(
            self.connection, address(payee), service, self._account(signer), amount, deadline, nonce_key
        )

    @write
    async def submit_open_lane(self, order: SignedLane) -> Plan[LaneId]:
        """Pay the gas for a signed order. Anyone. Reverts Expired, InvalidNonce, InvalidSignature."""
        tx = self.connection.hub.open_lane_by_sig(
            order.payer,
            order.payee,
            order.service,
            order.signer,
            order.amount,
            order.nonce,
            order.deadline,
            order.signature,
        )
        return Plan((tx,), _opened)

    @write
    async def top_up(self, lane: LaneId, amount: int) -> Plan[Receipt]:
        """Add `amount` micro of one's balance to a lane, whoever its payer is. Raises `InsufficientFunds`. Reverts
        UnknownLane, LaneFull.
        """
        await self._require(micro_to_wei(amount))
        return one(self.connection.hub.top_up(*LaneId(*lane), amount))

    @write
    async def thaw(self, lane: LaneId, amount: int) -> Plan[Receipt]:
        """Ask `amount` micro back: 24 hours later, for 7 days, `reclaim` pays what vouchers left; 0 cancels. The lane's
        payer. Reverts NotPayer, InsufficientLane.
        """
        return one(self.connection.hub.thaw(*LaneId(*lane), amount))

    @write
    async def reclaim(self, lane: LaneId) -> Plan[Receipt]:
        """Take back what was asked back. The lane's payer. Reverts NotThawing, StillThawing, ThawLapsed."""
        return one(self.connection.hub.reclaim(*LaneId(*lane)))

    # Vouchers

    @operation
    async def voucher_signer(self, lane: LaneId) -> VoucherSigner:
        """Signs vouchers of a lane; its `sign(cumulative micro)` gives 74 bytes and needs no chain."""
        return await voucher_signer(self.connection, LaneId(*lane))

    @operation
    async def voucher_verifier(self, lane: LaneId) -> VoucherVerifier:
        """Checks vouchers of a lane as the hub will; needs no chain afterwards."""
        return await voucher_verifier(self.connection, LaneId(*lane))

    @write
    async def redeem(self, payee: str, service: int, vouchers: Iterable[bytes]) -> Plan[tuple[Credited, ...]]:
        """Pay vouchers of one payee and service into the payee's balance. Anyone. Rows that pay nothing are skipped;
        the result has a `Credited` for each that paid (`gross` and `fee` in wei).
        """
        packed = pack_rows(vouchers)
        if not packed:
            raise InputError("there are no vouchers to redeem")
        hub, unit = self.connection.hub, self.connection.network.unit
        return Plan(
            (hub.redeem(address(payee), service, packed),),
            lambda receipts: tuple(credited(each, unit) for each in receipts[0].events_of(VoucherPaid, hub.address)),
        )

    @stream
    async def watch_thaws(
        self, payee: str | None = None, *, from_block: int | None = None
    ) -> AsyncIterator[Logged[ThawStarted]]:
        """Thaws of lanes that pay `payee`, as they start: redeem at once. For ever."""
        async for each in self._watch([ThawStarted], from_block):
            if each.event.payee == self._account(payee):
                yield each

    @stream
    async def watch_credits(
        self, payee: str | None = None, *, from_block: int | None = None
    ) -> AsyncIterator[Logged[Credited]]:
        """Payments that reach `payee`, as they happen. For ever."""
        async for each in self._watch(KINDS, from_block):
            event = credited(each.event, self.connection.network.unit)
            if event.payee == self._account(payee):
                yield Logged(event, each.log)

    @operation
    async def credits(self, payee: str | None = None, from_block: int | None = None) -> list[Logged[Credited]]:
        """Payments that have reached `payee` since a block (default: ever)."""
        start = self.connection.network.block if from_block is None else from_block
        found = await self.connection.chain.events(self.connection.hub.address, KINDS, start)
        unit, account = self.connection.network.unit, self._account(payee)
        paid = (Logged(credited(each.event, unit), each.log) for each in found)
        return [each for each in paid if each.event.payee == account]

    # Allowances and locks

    @operation
    async def allowance(self, module: str, payer: str | None = None) -> int:
        """wei `module` may still lock of an account."""
        return await self.connection.chain.read(self.connection.hub.allowance_of(self._account(payer), address(module)))

    @write
    async def allow(self, module: str, amount: int) -> Plan[Receipt]:
        """Set how much wei `module` (the storage market, the disputes) may lock of one's balance from now on; 0
        revokes.
        """
        return one(self.connection.hub.allow(address(module), amount))

    @operation
    async def sign_allow(self, module: str, amount: int, deadline: int, *, nonce_key: int = 0) -> SignedAllow:
        """A signed allowance, for somebody else to submit until `deadline` (seconds)."""
        return await sign_allow(self.connection, address(module), amount, deadline, nonce_key)

    @write
    async def submit_allow(self, order: SignedAllow) -> Plan[Receipt]:
        """Pay the gas for a signed allowance. Anyone. Reverts Expired, InvalidNonce, InvalidSignature."""
        return one(
            self.connection.hub.allow_by_sig(
                order.payer, order.module, order.amount, order.nonce, order.deadline, order.signature
            )
        )

    @operation
    async def lock(self, module: str, lock: int) -> Lock:
        """Money a module holds; all zero when there is no such lock."""
        return await self.connection.chain.read(self.connection.hub.lock_of(address(module), lock))

    @write
    async def reclaim_lock(self, module: str, lock: int) -> Plan[Receipt]:
        """Take a lock back 14 days after its expiry, whatever the module does. Its payer. Reverts LockNotExpired."""
        return one(self.connection.hub.reclaim_lock(address(module), lock))

    # Fees

    @operation
    async def fee(self, service: int) -> Fee:
        """The service's fee now: `bps` and `sink` are what a payment costs and who gets it; the rest is the stored
        row.
        """
        stored, current = await self._fee(service)
        return stored._replace(bps=current[0], sink=current[1])

    @operation
    async def burned(self, epoch: int | None = None) -> int:
        """wei of fees burned in an epoch of 7 days since 1970; default: the running one."""
        splitter, chain = self.connection.splitter, self.connection.chain
        number = await chain.read(splitter.current_epoch()) if epoch is None else epoch
        return await chain.read(splitter.burned(number))

    @write
    async def split_fees(self) -> Plan[Receipt]:
        """Burn and pay out the fees the splitter has collected. Anyone. Reverts NothingToSplit."""
        return one(self.connection.splitter.split())

    async def _fee(self, service: int) -> tuple[Fee, tuple[int, Address]]:
        import asyncio

        hub, chain = self.connection.hub, self.connection.chain
        stored, current = await asyncio.gather(chain.read(hub.fee_of(service)), chain.read(hub.current_fee(service)))
        return stored, (current.bps, current.sink)

    def _account(self, account: str | None) -> Address:
        return self.connection.account if account is None else address(account)

    async def _permit(self, amount: int) -> SignedPermit:
        now = (await self.connection.chain.block()).timestamp
        return await sign_permit(self.connection, amount, now + _PERMIT_SECONDS)

    def _redeem_permit(self, permit: SignedPermit) -> Tx[None]:
        return self.connection.hub.deposit_with_permit(permit.from_, permit.amount, permit.deadline, permit.signature)

    async def _require(self, wei: int, hint: str = "") -> None:
        account = self.connection.account
        have = await self.connection.chain.read(self.connection.hub.balance_of(account))
        if have < wei:
            missing = format_tokens(wei - have)
            hint = hint or f"blackhole escrow deposit {missing}"
            raise InsufficientFunds(f"balance of {account} in the hub", have=have, need=wei, hint=hint)

    async def _watch(self, kinds: Sequence[type[E]], from_block: int | None) -> AsyncIterator[Logged[E]]:
        start = (await self.connection.chain.block()).number if from_block is None else from_block
        cursor = EventCursor(self.connection.chain, self.connection.hub.address, kinds, from_block=start)
        async for page in cursor.follow():
            for each in page.events:
                yield each


def _opened(receipts: list[Receipt]) -> LaneId:
    opened = receipts[-1].event(LaneOpened)
    return LaneId(opened.payee, opened.service, opened.lane)
