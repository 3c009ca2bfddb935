"""HOLE: balances, transfers, approvals, permits, votes."""

from __future__ import annotations

from blackhole.chain.service import ConnectedService, Plan, one, write
from blackhole.chain.values import Address, Receipt, address
from blackhole.errors import InsufficientFunds
from blackhole.face import M, operation


class Tokens(ConnectedService[M]):
    """The token. All amounts are wei (`Tokens("2.5")` of `blackhole.units` reads decimals).

    Source: `contracts/tokens/BlackholeToken.sol`.
    """

    @operation
    async def balance(self, account: str | None = None) -> int:
        """wei an account holds outside the hub and the vault; default: the signer's."""
        return await self.connection.chain.read(self.connection.token.balance_of(_account(self, account)))

    @operation
    async def allowance(self, owner: str, spender: str) -> int:
        """wei `spender` may still take from `owner`."""
        return await self.connection.chain.read(self.connection.token.allowance(address(owner), address(spender)))

    @operation
    async def supply(self) -> int:
        """wei in existence: minted and not burned."""
        return await self.connection.chain.read(self.connection.token.total_supply())

    @operation
    async def votes(self, account: str | None = None) -> int:
        """Voting power of an account now, in wei: what is delegated to it."""
        return await self.connection.chain.read(self.connection.token.get_votes(_account(self, account)))

    @write
    async def transfer(self, to: str, amount: int) -> Plan[Receipt]:
        """Send `amount` wei. Raises `InsufficientFunds`. Reverts ERC20InvalidReceiver."""
        account = self.connection.account
        have = await self.connection.chain.read(self.connection.token.balance_of(account))
        if have < amount:
            raise InsufficientFunds.in_wallet(account, have=have, need=amount)
        return one(self.connection.token.transfer(address(to), amount))

    @write
    async def approve(self, spender: str, amount: int) -> Plan[Receipt]:
        """Let `spender` take up to `amount` wei. The hub needs it for `deposit`, the vault for `bond`; both do it
        themselves in the operations of this package.
        """
        return one(self.connection.token.approve(address(spender), amount))

    @write
    async def burn(self, amount: int) -> Plan[Receipt]:
        """Destroy `amount` wei of one's own; the cap does not grow again. Reverts ERC20InsufficientBalance."""
        return one(self.connection.token.burn(amount))

    @write
    async def delegate(self, to: str) -> Plan[Receipt]:
        """Let `to` vote with one's tokens; oneself to vote oneself."""
        return one(self.connection.token.delegate(address(to)))


def _account(service: Tokens[M], account: str | None) -> Address:
    return service.connection.account if account is None else address(account)
