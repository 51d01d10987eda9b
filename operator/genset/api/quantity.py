"""Kubernetes quantities are read here: "500m", "2Gi", "1e3".

Source: apimachinery pkg/api/resource/quantity.go (grammar in the type's comment). Pure.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

_SUFFIX = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip
_GRAMMAR = re.compile(
    r"^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]{1,2})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$"
)

#: The same grammar for the CRD's `pattern` (non-negative: no field of ours may be below zero).
QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(([eE][+-]?[0-9]{1,2})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$"


def parse_quantity(text: str) -> Decimal:
    """Returns the value of a quantity: cores for CPU, bytes for memory. ValueError with an example if it is none."""
    match = _GRAMMAR.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity; write a number with an optional unit such as 500m, 2 or 12Gi")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIX[suffix or ""]


def whole(text: str) -> int:
    """Returns the value rounded up to a whole number, e.g. bytes, or cores for a thread count."""
    return int(parse_quantity(text).to_integral_value(ROUND_CEILING))
