"""Payments as the hub reports them, one type for both ways: the release of a lock says `Credited`; a voucher, of which
a batch pays hundreds, says the same in two packed words, `VoucherPaid`.
"""

from __future__ import annotations

from typing import Final

from blackhole.chain.bindings.payment_hub import Credited, VoucherPaid
from blackhole.chain.values import address
from blackhole.protocol import BPS, MICRO

__all__ = ["KINDS", "credited"]

KINDS: Final[tuple[type[Credited | VoucherPaid], ...]] = (Credited, VoucherPaid)
"""The events of the hub that report a payment."""


def credited(event: Credited | VoucherPaid, unit: int = MICRO) -> Credited:
    """The payment an event reports; of a voucher with the lane's receipt. `unit` is the hub's wei a micro.

    docs/voucher-format.md has the two words.
    """
    if isinstance(event, Credited):
        return event
    account, payment = event.account, event.payment
    gross = int.from_bytes(payment[24:30], "big") * unit
    paid = Credited(
        payer=address(payment[:20]),
        payee=address(account[:20]),
        service=int.from_bytes(account[20:22], "big"),
        gross=gross,
        fee=gross * int.from_bytes(payment[30:], "big") // BPS,
        receipt=account[:28] + payment[20:24],
    )
    paid.address = event.address
    return paid
