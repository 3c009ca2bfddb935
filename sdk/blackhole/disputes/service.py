"""Claims: bonded, conceded or contested, ruled by one arbitrator."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from blackhole.chain.bindings.dispute_manager import Claim, ClaimOpened, LockIdsOfResult, State
from blackhole.chain.bindings.panel_arbitrator import Vote
from blackhole.chain.connection import Connection
from blackhole.chain.service import ConnectedService, Plan, one, write
from blackhole.chain.values import ZERO, Address, Receipt, Tx, address
from blackhole.errors import InsufficientFunds
from blackhole.face import M, operation
from blackhole.units import format_tokens


class Panel(NamedTuple):
    """Who rules: `threshold` of `members` must agree."""

    members: tuple[Address, ...]
    threshold: int


class Disputes(ConnectedService[M]):
    """The second door to slashing (faults are the first and need nobody). Amounts are wei of HOLE, times seconds.
    Errors arrive as `Reverted` with the typed error of `blackhole.chain.bindings.dispute_manager` or
    `panel_arbitrator`.

    Source: `contracts/disputes/DisputeManager.sol`, `contracts/disputes/PanelArbitrator.sol`.
    """

    @operation
    async def claim(self, claim: int) -> Claim:
        """A claim as stored; all zero when there is none."""
        return await self.connection.chain.read(self.connection.disputes.claim_of(claim))

    @operation
    async def claim_on(self, receipt: bytes, source: str | None = None) -> int | None:
        """The claim on a receipt of `source` (default: the storage market), if there was one."""
        where = self._source(source)
        return await self.connection.chain.read(self.connection.disputes.claim_on(where, receipt)) or None

    @operation
    async def claim_count(self) -> int:
        """How many claims there have been; ids run from 1 to this."""
        return await self.connection.chain.read(self.connection.disputes.claim_count())

    @operation
    async def contester(self, claim: int) -> Address | None:
        """Who contested a claim and locked a bond for it; None when nobody did."""
        found = await self.connection.chain.read(self.connection.disputes.contester_of(claim))
        return None if found == ZERO else found

    @operation
    async def bond_locks(self, claim: int) -> LockIdsOfResult:
        """The ids of both sides' bonds among the hub's locks, whose module is the disputes."""
        return await self.connection.chain.read(self.connection.disputes.lock_ids_of(claim))

    @operation
    async def ruling(self, claim: int) -> tuple[State, int]:
        """How a claim stands, and the award in wei."""
        found = await self.connection.chain.read(self.connection.disputes.ruling_of(claim))
        return State(found.state), found.award

    @operation
    async def bond_for(self, amount: int) -> int:
        """wei each side of a claim over `amount` locks: 10 %, at least 10 HOLE."""
        return await self.connection.chain.read(self.connection.disputes.bond_for(amount))

    @operation
    async def arbitrator(self) -> Address:
        """Who rules on claims that are contested from now on."""
        return await self.connection.chain.read(self.connection.disputes.arbitrator())

    @operation
    async def panel(self) -> Panel:
        """The panel as it stands."""
        panel, chain = self.connection.panel, self.connection.chain
        members, threshold = await asyncio.gather(chain.read(panel.members()), chain.read(panel.threshold()))
        return Panel(tuple(members), threshold)

    @operation
    async def panel_vote(self, claim: int, member: str) -> Vote | None:
        """A member's last vote on a claim; None before one."""
        found = await self.connection.chain.read(self.connection.panel.vote_of(claim, address(member)))
        return found if found.cast else None

    @operation
    async def agreeing(self, claim: int, award: int, reasons: bytes = bytes(32)) -> int:
        """How many members of the panel voted for this award (wei) with these reasons."""
        return await self.connection.chain.read(self.connection.panel.agreeing(claim, award, reasons))

    @write
    async def open(
        self, receipt: bytes, amount: int, evidence: bytes = bytes(32), source: str | None = None
    ) -> Plan[int]:
        """Claim `amount` wei of a node's stake for a receipt; the result is the claim's id.

        The receipt's payer, once a receipt, ever; at most what was settled on it. Locks the bond in the hub, and allows
        the disputes to do so where it is needed. `evidence`: digest of what you publish. Raises `InsufficientFunds`.
        Reverts NotReceiptPayer, AmountAboveSettled, AlreadyClaimed, NoStake, NotVerifier.
        """
        disputes = self.connection.disputes
        bond = await self.connection.chain.read(disputes.bond_for(amount))
        allow: tuple[Tx[None], ...] = await _allow_bond(self.connection, bond)
        tx = disputes.open(self._source(source), receipt, amount, evidence)
        return Plan((*allow, tx), lambda receipts: receipts[-1].event(ClaimOpened).claim)

    @write
    async def concede(self, claim: int) -> Plan[Receipt]:
        """Admit an open claim: it is awarded in full. The node's staker. Reverts InvalidState, NotStaker."""
        return one(self.connection.disputes.concede(claim))

    @write
    async def contest(self, claim: int, evidence: bytes = bytes(32)) -> Plan[Receipt]:
        """Contest an open claim with the same bond, within 3 days. Anyone. Raises `InsufficientFunds`. Reverts
        InvalidState, DeadlinePassed.
        """
        bond = (await self.connection.chain.read(self.connection.disputes.claim_of(claim))).bond
        allow: tuple[Tx[None], ...] = await _allow_bond(self.connection, bond)
        return Plan((*allow, self.connection.disputes.contest(claim, evidence)), lambda receipts: receipts[-1])

    @write
    async def vote(self, claim: int, award: int, reasons: bytes = bytes(32)) -> Plan[Receipt]:
        """Vote as a member of the panel; it rules when enough agree on `award` (wei) and `reasons` (a digest).

        Reverts NotMember, NotContested, AwardAboveClaim.
        """
        return one(self.connection.panel.vote(claim, award, reasons))

    @write
    async def finalise(self, claim: int) -> Plan[Receipt]:
        """End a claim whose deadline has passed: a silent node loses, a silent arbitrator lapses it. Anyone. Reverts
        InvalidState, DeadlinePending.
        """
        return one(self.connection.disputes.finalise(claim))

    def _source(self, source: str | None) -> Address:
        return self.connection.market.address if source is None else address(source)


async def _allow_bond(connection: Connection, bond: int) -> tuple[Tx[None], ...]:
    """What has to be sent before a bond can be locked. Raises `InsufficientFunds`."""
    account, hub, disputes = connection.account, connection.hub, connection.disputes
    have, allowed = await connection.chain.read_many(
        [hub.balance_of(account), hub.allowance_of(account, disputes.address)]
    )
    if have < bond:
        missing = format_tokens(bond - have)
        raise InsufficientFunds(
            f"balance of {account} in the hub for the bond",
            have=have,
            need=bond,
            hint=f"blackhole escrow deposit {missing}",
        )
    return () if allowed >= bond else (hub.allow(disputes.address, bond),)
