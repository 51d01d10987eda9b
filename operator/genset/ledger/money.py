"""Money is kept as two whole numbers, because a database adds those up exactly: millionths of a currency unit, and the rest.

The rest counts parts of 10^-15 of the unit, fewer than a millionth. Both sums stay below 63 bits for nine billion rows and
nine trillion units. What a cost has beyond its fifteenth decimal is rounded when it is booked, half to even; raw records have it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

REST: Final = 10**9  # parts of the rest that are one millionth
_PLACES: Final = 15
MOST_UNITS: Final = 10**9  # of a currency, for one request: beyond it something is wrong
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_CENT: Final = Decimal("0.01")


def believed(money: Decimal | None) -> Decimal | None:
    """Returns an amount; None for one that no request can cost: then nobody knows it, whatever a broken server has told."""
    return money if money is not None and money.is_finite() and 0 <= money <= MOST_UNITS else None


def split(money: Decimal | None) -> tuple[int, int]:
    """Returns millionths and the rest of an amount; none for what is not known, or not believed."""
    known = believed(money)
    if known is None:
        return 0, 0
    return divmod(int(_EXACT.scaleb(known, _PLACES).to_integral_value(ROUND_HALF_EVEN)), REST)


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
