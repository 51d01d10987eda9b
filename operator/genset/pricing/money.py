"""Money is counted in whole millionths of a millionth of a currency's unit, so that sums are exact in any order.

A price per million tokens with at most six digits behind its point is a whole number of these for each token. At the edges an
amount is a decimal string. Nothing here, and nothing that uses it, is ever a float. Pure.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final

DIGITS: Final = 12  # behind the point of a currency's unit
UNIT: Final = 10**DIGITS  # how many make one of a currency's unit
PER_MILLION_DIGITS: Final = 6  # behind the point of a price per million: the smallest part of it is one for each token
MOST: Final = 10**9 * 10**DIGITS  # a billion; what a provider tells beyond it is no cost of one request


def counted(text: str) -> int:
    """Returns an amount as a whole number. Raises ValueError for what is no amount, or has more digits than are counted."""
    try:
        scaled = Decimal(text).scaleb(DIGITS)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount; write digits with a point, such as 0.25") from None
    found = int(scaled) if scaled.is_finite() else -1
    if found != scaled or found < 0:
        raise ValueError(f"{text!r} is no amount from 0 on with at most {DIGITS} digits behind its point")
    return found


def for_each(text: str) -> int:
    """Returns what one token costs, as a whole number, of a price per million. Raises ValueError."""
    amount = counted(text)
    if amount % 10**PER_MILLION_DIGITS:
        raise ValueError(f"{text!r} has more than {PER_MILLION_DIGITS} digits behind its point")
    return amount // 10**PER_MILLION_DIGITS


def told(value: Any) -> int | None:
    """Returns an amount that a provider tells as a number of JSON, to the nearest whole one; None if it is none.

    JSON's numbers come as floats, whose shortest decimal is what was written.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        scaled = Decimal(str(value)).scaleb(DIGITS)
    except InvalidOperation:
        return None
    if not scaled.is_finite() or not 0 <= scaled < MOST:
        return None
    return int(scaled.to_integral_value(ROUND_HALF_EVEN))


def digits(amount: int) -> str:
    """Returns an amount as a decimal string, with as many digits as it needs: 1234000000 is 0.001234."""
    whole = amount // UNIT
    rest = amount - whole * UNIT
    return ("%d.%012d" % (whole, rest)).rstrip("0") if rest else str(whole)  # noqa: UP031 - a third of the time of a format
