"""Bonds: what a node puts at risk for a service, and how it leaves."""

from __future__ import annotations

from blackhole.chain.bindings.stake_manager import Award, Hold, Round, RoundsOfResult, Stake, Withdrawn
from blackhole.chain.service import ConnectedService, Plan, one, several, write
from blackhole.chain.values import ZERO, Address, Receipt, address
from blackhole.errors import InsufficientFunds
from blackhole.face import M, operation


class Staking(ConnectedService[M]):
    """The vault. Amounts are wei of HOLE, times seconds. Stake is kept per (node, service). Errors arrive as `Reverted`
    with the typed error of `blackhole.chain.bindings.stake_manager`.

    Source: `contracts/staking/StakeManager.sol`.
    """

    @operation
    async def stake(self, node: int, service: int) -> Stake:
        """Active, reserved, exiting and frozen stake as if touched now; `exit_at` is when `exiting` may leave."""
        return await self.connection.chain.read(self.connection.vault.stake_of(node, service))

    @operation
    async def free(self, node: int, service: int) -> int:
        """wei neither reserved nor frozen: what a new deal or an exit can take."""
        return await self.connection.chain.read(self.connection.vault.free_of(node, service))

    @operation
    async def staker(self, node: int) -> Address | None:
        """Who bonds, exits and withdraws for the node; None before its first bond."""
        found = await self.connection.chain.read(self.connection.vault.staker_of(node))
        return None if found == ZERO else found

    @operation
    async def pending_staker(self, node: int) -> Address | None:
        """To whom the staker's role is offered; None when to nobody."""
        found = await self.connection.chain.read(self.connection.vault.pending_staker_of(node))
        return None if found == ZERO else found

    @operation
    async def bonded(self, node: int) -> int:
        """wei of a node over all services, active and exiting."""
        return await self.connection.chain.read(self.connection.vault.bond_of(node))

    @operation
    async def votes(self, staker: str | None = None) -> int:
        """wei an account has bonded over all its nodes, active and exiting; default: the signer's."""
        account = self.connection.account if staker is None else address(staker)
        return await self.connection.chain.read(self.connection.vault.get_bond(account))

    @operation
    async def unreserved(self, node: int, service: int) -> int:
        """wei `unreserve` has freed and the verifier not given back yet: deals closed late give back this first."""
        return await self.connection.chain.read(self.connection.vault.unreserved_of(node, service))

    @operation
    async def verifier(self, service: int) -> Address | None:
        """Who reserves stake of the service, as the vault remembers it for ever; None before the first reserve."""
        found = await self.connection.chain.read(self.connection.vault.verifier_of(service))
        return None if found == ZERO else found

    @operation
    async def past_votes(self, staker: str, timestamp: int) -> int:
        """wei an account had bonded at a past time: its voting power. Reverts FutureLookup."""
        return await self.connection.chain.read(self.connection.vault.get_past_bond(address(staker), timestamp))

    @operation
    async def hold(self, claim: int) -> Hold:
        """What a claim holds of a stake."""
        return await self.connection.chain.read(self.connection.vault.hold_of(claim))

    @operation
    async def award(self, claim: int) -> Award:
        """Who an awarded claim pays, and the reporter's share in basis points; all zero without an award."""
        return await self.connection.chain.read(self.connection.vault.award_of(claim))

    @operation
    async def rounds(self, node: int, service: int) -> RoundsOfResult:
        """The number of the last round of claims against a stake, and how many are settled."""
        return await self.connection.chain.read(self.connection.vault.rounds_of(node, service))

    @operation
    async def round(self, node: int, service: int, number: int) -> Round:
        """A round of claims, counted from 1."""
        return await self.connection.chain.read(self.connection.vault.round_of(node, service, number))

    @write
    async def bond(self, node: int, service: int, amount: int) -> Plan[Receipt]:
        """Add `amount` wei of one's tokens to the active stake; approves the vault first where it is needed.

        The staker; at a node's first bond its owner, who becomes the staker. Raises `InsufficientFunds`. Reverts
        NotStaker, ZeroAmount.
        """
        account, vault, token = self.connection.account, self.connection.vault, self.connection.token
        have, allowed = await self.connection.chain.read_many(
            [token.balance_of(account), token.allowance(account, vault.address)]
        )
        if have < amount:
            raise InsufficientFunds.in_wallet(account, have=have, need=amount)
        bond = vault.bond(node, service, amount)
        return one(bond) if allowed >= amount else several(token.approve(vault.address, amount), bond)

    @write
    async def request_exit(self, node: int, service: int, amount: int) -> Plan[Receipt]:
        """Ask `amount` wei of free stake out: the whole bucket may leave 21 days from now. The staker. Reverts
        InsufficientFreeStake, ZeroAmount, NotStaker.
        """
        return one(self.connection.vault.request_exit(node, service, amount))

    @write
    async def cancel_exit(self, node: int, service: int) -> Plan[Receipt]:
        """Move the exit bucket back to active. The staker. Reverts NoExit."""
        return one(self.connection.vault.cancel_exit(node, service))

    @write
    async def withdraw(self, node: int, service: int, to: str | None = None) -> Plan[int]:
        """Send the matured exit bucket to oneself or `to`; the result is wei. The staker. Reverts NoExit, ExitPending,
        ExitFrozen.
        """
        receiver = self.connection.account if to is None else address(to)
        tx = self.connection.vault.withdraw(node, service, receiver)
        return Plan((tx,), lambda receipts: receipts[0].event(Withdrawn).amount)

    @write
    async def unreserve(self, node: int, service: int) -> Plan[Receipt]:
        """Free a reserve its verifier has left behind, 60 days after its end. The staker. Reverts ReserveLive."""
        return one(self.connection.vault.unreserve(node, service))

    @write
    async def set_reservable(self, node: int, service: int, reservable: bool) -> Plan[Receipt]:
        """Close (False) or open the stake to new deals; live ones run on. The staker."""
        return one(self.connection.vault.set_reservable(node, service, reservable))

    @write
    async def transfer_staker(self, node: int, to: str | None) -> Plan[Receipt]:
        """Offer the staker's role to another, who accepts; None takes the offer back. The staker."""
        return one(self.connection.vault.transfer_staker(node, ZERO if to is None else address(to)))

    @write
    async def accept_staker(self, node: int) -> Plan[Receipt]:
        """Take over an offered staker's role with all its stake. Reverts NotPendingStaker."""
        return one(self.connection.vault.accept_staker(node))

    @write
    async def pay(self, claim: int) -> Plan[Receipt]:
        """Pay an award at the end of its round. Anyone. Reverts InvalidClaimState, RoundOpen."""
        return one(self.connection.vault.pay(claim))

    @write
    async def lapse(self, claim: int) -> Plan[Receipt]:
        """End a claim without award after its round. Anyone. Reverts InvalidClaimState, RoundOpen."""
        return one(self.connection.vault.lapse(claim))
