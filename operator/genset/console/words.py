"""Numbers, sizes, ages and money are written for people here, alike on every page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

UNKNOWN: Final = "–"
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def size(count: int) -> str:
    """Writes bytes: 812 B, 4.2 GiB."""
    if not count:
        return UNKNOWN
    amount, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "B" else f"{amount:.1f} {unit}"


def number(value: int | float) -> str:
    """Writes a number with blanks between thousands, which no language takes for a fraction."""
    return f"{value:,.0f}".replace(",", "\u202f")


def rate(value: float | None) -> str:
    """Writes a number per second."""
    if value is None:
        return UNKNOWN
    return "0" if value < 0.05 else f"{value:.1f}" if value < 10 else number(value)


def took(seconds: float | None) -> str:
    """Writes a wait: 85 ms, 1.4 s, 12 min."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else age(seconds)


def age(seconds: float) -> str:
    """Writes how long ago something was, in its largest unit."""
    for length, unit in _STEPS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def ago(moment: float | None, now: float) -> str:
    """Writes when something was; "never" without it."""
    return "never" if moment is None else f"{age(max(0.0, now - moment))} ago"


def clock(moment: float) -> str:
    """Writes a moment of today, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")


def stamp(moment: float) -> str:
    """Writes a moment, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def moment(text: object) -> float | None:
    """Reads a time of a status; None if it is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def money(amounts: Mapping[str, Decimal]) -> str:
    """Writes amounts of several currencies to the cent; less than a cent as such."""
    found = [_amount(amount, currency) for currency, amount in sorted(amounts.items()) if amount]
    return " + ".join(found) or "0"


def _amount(amount: Decimal, currency: str) -> str:
    if 0 < amount < Decimal("0.01"):
        return f"<\u00a00.01\u00a0{currency}"
    cents = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{cents:,.2f}".replace(",", "\u202f") + f"\u00a0{currency}"


def percent(part: float, whole: float) -> int:
    """Returns a share in whole percent; 0 of nothing."""
    return round(100 * part / whole) if whole else 0
