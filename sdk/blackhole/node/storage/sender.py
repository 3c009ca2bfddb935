"""Every transaction of the node, sent by the hot signer, counted, and its gas watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blackhole.chain.signers import Signer
from blackhole.chain.values import Receipt, Tx
from blackhole.errors import InsufficientFunds
from blackhole.node.logs import Log

if TYPE_CHECKING:
    from blackhole.chain.client import Chain


class Sender:
    """Sends what the duties want sent."""

    def __init__(self, chain: Chain, signer: Signer, alarm_wei: int, log: Log) -> None:
        self.chain = chain
        self.signer = signer
        self.alarm_wei = alarm_wei
        self.log = log
        self.sent: dict[str, int] = {}
        self.gas: dict[str, int] = {}
        self.fees_wei = 0
        self.balance_wei: int | None = None
        self.alarm = False

    async def send(self, tx: Tx[Any], what: str) -> Receipt:
        """Send and wait until it is mined. Raises Reverted, InsufficientFunds, ChainError."""
        receipt = await self.chain.send(tx, self.signer)
        self.sent[what] = self.sent.get(what, 0) + 1
        self.gas[what] = self.gas.get(what, 0) + receipt.gas_used
        self.fees_wei += receipt.fee
        return receipt

    async def check_gas(self) -> None:
        """Read the signer's balance and raise or end the alarm."""
        self.balance_wei = await self.chain.balance(self.signer.address)
        low = self.balance_wei < self.alarm_wei
        if low and not self.alarm:
            self.log.error(
                "the hot signer is running out of gas", address=self.signer.address, balance_wei=str(self.balance_wei),
                alarm_wei=str(self.alarm_wei),
            )  # fmt: skip
        elif self.alarm and not low:
            self.log.info("the hot signer has gas again", balance_wei=str(self.balance_wei))
        self.alarm = low

    def require_gas(self) -> None:
        """Raises InsufficientFunds when the last look found nothing to pay gas with."""
        if self.balance_wei == 0:
            raise InsufficientFunds("gas of the hot signer", have=0, need=self.alarm_wei, unit="coin of the chain")
