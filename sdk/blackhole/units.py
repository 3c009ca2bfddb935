"""Amounts are integers: wei (1e-18 HOLE) and micro (1e-6 HOLE = 1e12 wei). There is no float anywhere near money."""

from __future__ import annotations

import re
from typing import Final, overload

from blackhole.errors import InputError
from blackhole.protocol import MICRO

DECIMALS: Final = 18
WEI_PER_TOKEN: Final = 10**DECIMALS

_DECIMAL = re.compile(r"\s*(\d{1,60})(?:\.(\d{1,60}))?\s*", re.ASCII)


class Tokens(int):
    """An amount in wei, written in whole tokens: `Tokens("2.5") == 2_500_000_000_000_000_000`.

    It is an `int` of wei and can be passed wherever wei are asked for; arithmetic gives plain `int` wei.
    Accepts a decimal string with at most 18 places, or an int of whole tokens. Floats are refused.
    Raises `InputError` for anything else, negative amounts included.
    """

    @overload
    def __new__(cls, amount: str) -> Tokens: ...
    @overload
    def __new__(cls, amount: int) -> Tokens: ...
    def __new__(cls, amount: str | int) -> Tokens:
        return super().__new__(cls, _parse(amount))

    def __repr__(self) -> str:
        return f"Tokens('{format_tokens(self)}')"

    def __str__(self) -> str:
        return format_tokens(self)

    def __reduce__(self) -> tuple[object, ...]:
        return Tokens, (format_tokens(self),)

    def __copy__(self) -> Tokens:
        return self

    def __deepcopy__(self, memo: object) -> Tokens:
        return self


def _parse(amount: object) -> int:
    if isinstance(amount, bool | float):
        raise InputError(f"an amount is a decimal string or an int of whole tokens, not {type(amount).__name__}")
    if isinstance(amount, Tokens):
        raise InputError("the amount is in wei already: Tokens() of Tokens would count it 1e18 times")
    if isinstance(amount, int):
        if amount < 0:
            raise InputError(f"an amount is not negative: {amount}")
        return int(amount) * WEI_PER_TOKEN
    if not isinstance(amount, str) or (match := _DECIMAL.fullmatch(amount)) is None:
        raise InputError(f"not an amount: {amount!r}", hint='Write it as decimal digits, for example "2.5".')
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > DECIMALS:
        raise InputError(f"{amount.strip()} has more than {DECIMALS} decimal places")
    return int(whole) * WEI_PER_TOKEN + int(fraction.ljust(DECIMALS, "0") or "0")


def format_tokens(wei: int) -> str:
    """Wei as an exact decimal number of tokens, without trailing zeros: `1500000000000000000` gives `1.5`."""
    whole, fraction = divmod(abs(int(wei)), WEI_PER_TOKEN)
    digits = f"{fraction:0{DECIMALS}d}".rstrip("0")
    sign = "-" if wei < 0 else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def micro_to_wei(micro: int) -> int:
    """Micro as wei, exactly."""
    return micro * MICRO


def wei_to_micro(wei: int) -> int:
    """Wei as micro, rounded down: what the amount can pay for at most."""
    return wei // MICRO


def wei_to_micro_up(wei: int) -> int:
    """Wei as micro, rounded up: what has to be set aside so that the amount is covered."""
    return -(-wei // MICRO)
