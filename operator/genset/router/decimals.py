"""Writes times and amounts as numbers: orjson and Python's formats take more than twice as long, for digits that no clock has.

Pure.
"""

from __future__ import annotations

from typing import Final, final

from genset.pricing.money import UNIT

_POINTS: Final = [b"%d." % number for number in range(1000)]
_THREE_DIGITS: Final = [b"%03d" % number for number in range(1000)]
_BELOW_ONE: Final = [b"0.%03d" % number for number in range(1000)]


@final
class _Second:
    """This is the second since 1970 that was written last: thousands of lines in a row tell the same one."""

    __slots__ = ("number", "text")

    def __init__(self) -> None:
        self.number = 0
        self.text = b"0."

    def point(self, number: int) -> bytes:
        """Returns the digits of a second, and the point behind them."""
        if number != self.number:
            self.number = number
            self.text = b"%d." % number
        return self.text


_last: Final = _Second()


def six_decimals(seconds: float) -> bytes:
    """Writes a time to the microsecond; 0.0 for what is not above it."""
    if seconds <= 0.0:
        return b"0.0"
    whole = int(seconds)
    fraction = int((seconds - whole) * 1_000_000 + 0.5)
    if fraction >= 1_000_000:
        whole, fraction = whole + 1, 0
    thousands = fraction // 1000
    if not whole:
        return _BELOW_ONE[thousands] + _THREE_DIGITS[fraction - 1000 * thousands]
    point = _POINTS[whole] if whole < len(_POINTS) else _last.point(whole)
    return b"%b%b%b" % (point, _THREE_DIGITS[thousands], _THREE_DIGITS[fraction - 1000 * thousands])


def three_decimals(seconds: float) -> bytes:
    """Writes a time, above all one since 1970, to the millisecond."""
    whole = int(seconds)
    fraction = int((seconds - whole) * 1_000 + 0.5)
    if fraction >= 1_000:
        whole, fraction = whole + 1, 0
    if not whole:
        return _BELOW_ONE[fraction]
    return (_POINTS[whole] if whole < len(_POINTS) else _last.point(whole)) + _THREE_DIGITS[fraction]


def amount_decimals(amount: int) -> bytes:
    """Writes an amount of money as `pricing.money.digits` does, with noughts up to the next three digits."""
    whole = amount // UNIT
    rest = amount - whole * UNIT
    micro = rest // 1_000_000
    pico = rest - micro * 1_000_000
    if not (pico or whole):
        return _BELOW_ONE[micro // 1000] + _THREE_DIGITS[micro % 1000]
    if not pico:
        return b"%d.%b%b" % (whole, _THREE_DIGITS[micro // 1000], _THREE_DIGITS[micro % 1000])
    return b"%d.%b%b%b%b" % (
        whole,
        _THREE_DIGITS[micro // 1000],
        _THREE_DIGITS[micro % 1000],
        _THREE_DIGITS[pico // 1000],
        _THREE_DIGITS[pico % 1000],
    )
