"""What a transaction may cost: its gas limit, its EIP-1559 fees, and by how much they rise when it is stuck."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blackhole.chain.rpc import RpcError
from blackhole.chain.values import Address
from blackhole.errors import InsufficientFunds

if TYPE_CHECKING:
    from blackhole.chain.client import Chain
    from blackhole.chain.raw_transactions import RawTransaction

GAS_CAP: Final = 1 << 24
"""The most gas one transaction may ask for (EIP-7825)."""
TRANSFER_GAS: Final = 21_000
"""What a transfer of coins takes."""
_GAS_MARGIN: Final = 5
"""An estimate is raised by a fifth: state may change between estimate and execution."""
_GAS_SLOT: Final = 25_000
"""… and by what a fresh storage slot costs: somebody else may have taken the room in the one that was looked at."""
_BUMP_PERCENT: Final = 113
"""Pools replace a transaction only when both fees rise by 10 % or more."""
_TIP_FALLBACK: Final = 1_000_000_000
"""For endpoints that suggest none."""


def gas_limit(estimate: int) -> int:
    """The gas to ask for. An estimate above the cap stays as it is: the chain itself says why it refuses it."""
    return min(estimate + estimate // _GAS_MARGIN + _GAS_SLOT, GAS_CAP) if estimate <= GAS_CAP else estimate


@dataclass(frozen=True, slots=True)
class Fees:
    """wei of the chain's coin a gas."""

    base: int
    """The newest block's base fee."""
    tip: int
    max_fee: int
    """Base fee and tip at most: twice the base fee holds through six full blocks."""

    @classmethod
    async def now(cls, chain: Chain) -> Fees:
        """What the chain asks for. Raises `RpcUnavailable`, `EndpointBehind`."""
        block, tip = await asyncio.gather(chain.block("latest"), _tip(chain))
        return cls(block.base_fee, tip, 2 * block.base_fee + tip)

    def above(self, old: RawTransaction) -> Fees:
        """These, but high enough to replace `old`."""
        tip = max(self.tip, -(-old.tip * _BUMP_PERCENT // 100))
        return Fees(self.base, tip, max(self.max_fee, -(-old.max_fee * _BUMP_PERCENT // 100), tip))


async def _tip(chain: Chain) -> int:
    try:
        return int(await chain.rpc.request("eth_maxPriorityFeePerGas"), 16)
    except RpcError:
        return _TIP_FALLBACK


async def funds_error(chain: Chain, account: Address, need: int) -> InsufficientFunds:
    """The error of an account whose coins do not pay `need` wei of gas and value."""
    have = await chain.balance(account)
    return InsufficientFunds(
        f"coins of {account} for gas",
        have=have,
        need=max(need, have + 1),
        unit="ETH",
        hint="Send the chain's own coin to the account: gas is paid with it.",
    )
