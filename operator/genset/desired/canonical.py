"""Values are made here as the API server gives them back, so that what is wanted equals what is there.

The API server rewrites some quantities ("1000m" becomes "1", "1.5Gi" becomes "1536Mi") and keeps the spelling of others
("1.5G"). The canonical form is what it never changes; with the user's own spelling an object could look different for
ever. Source: apimachinery pkg/api/resource/quantity.go (ParseQuantity,
CanonicalizeBytes) and kubernetes pkg/apis/core/v1/defaults.go (resource lists are rounded up to thousandths).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from genset.api.quantity import parse_quantity

_DECIMAL = ("m", "", "k", "M", "G", "T", "P", "E")  # thousandths to 10^18
_MOST = Decimal(2**63 - 1)  # the server's bound for binary units
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def quantity(text: str) -> str:
    """Returns the canonical form of a quantity inside a resource list: no fraction, the largest unit that loses
    nothing."""
    binary = text.endswith("i")
    amount = min(parse_quantity(text), _MOST) if binary else parse_quantity(text)
    thousandths = int((amount * 1000).to_integral_value(ROUND_CEILING))
    if thousandths == 0:
        return "0"
    if binary and thousandths % 1024_000 == 0:  # a number without a unit would be taken for a decimal one
        number, power = _reduced(thousandths // 1000, 1024, len(_BINARY) - 1)
        return f"{number}{_BINARY[power]}"
    number, power = _reduced(thousandths, 1000, len(_DECIMAL) - 1)
    return f"{number}{_exponent(power - 1) if _has_exponent(text) else _DECIMAL[power]}"


def _reduced(number: int, base: int, most: int) -> tuple[int, int]:
    """Returns `number` as n x base^power with the greatest power up to `most`."""
    power = 0
    while power < most and number % base == 0:
        number //= base
        power += 1
    return number, power


def _has_exponent(text: str) -> bool:
    return text[-1].isdigit() and ("e" in text or "E" in text)


def _exponent(power: int) -> str:
    return f"e{power * 3}" if power else ""
