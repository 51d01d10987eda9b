"""Money is kept as two whole numbers, because a database adds those up exactly: millionths of a currency unit, and the rest.

The rest counts parts of 10^-15 of the unit, fewer than a millionth. Both sums stay below 63 bits for nine billion rows and
nine trillion units. What a cost has beyond its fifteenth decimal is rounded when it is booked, half to even; raw records have it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

REST: Final = 10**9  # parts of the rest that are one millionth
_PLACES: Final = 15
_MOST_MILLIONTHS: Final = 10**15  # of one record: a billion units, beyond which something is wrong
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_CENT: Final = Decimal("0.01")


def split(money: Decimal | None) -> tuple[int, int]:
    """Returns millionths and the rest of an amount; none for what is not known, or no amount that a request can cost."""
    if money is None or not money.is_finite() or money.adjusted() > _PLACES:
        return 0, 0
    whole, rest = divmod(int(_EXACT.scaleb(money, _PLACES).to_integral_value(ROUND_HALF_EVEN)), REST)
    return (whole, rest) if 0 <= whole <= _MOST_MILLIONTHS else (0, 0)


def joined(millionths: int, rest: int) -> Decimal:
    """Returns the amount of two sums."""
    return _EXACT.scaleb(Decimal(millionths * REST + rest), -_PLACES)


def digits(money: Decimal) -> str:
    """Writes an amount in full, without zeros at its end."""
    text = f"{money:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def cents(money: Decimal) -> str:
    """Writes an amount to the cent, for people."""
    return f"{money.quantize(_CENT, ROUND_HALF_EVEN, _EXACT):f}"
