"""A model's classes are words for its size and its speed, by numbers of parameters."""

from __future__ import annotations

from enum import StrEnum

BILLION = 10**9
MEDIUM_FROM = 15 * BILLION  # parameters in total
LARGE_ABOVE = 70 * BILLION
MODERATE_FROM = 5 * BILLION  # parameters that a token uses
SLOW_ABOVE = 20 * BILLION


class SizeClass(StrEnum):
    """How much a model needs: below 15 billion parameters, up to 70, above."""

    SMALL = "Small"
    MEDIUM = "Medium"
    LARGE = "Large"


class SpeedClass(StrEnum):
    """How fast it answers on one and the same machine: by the parameters that a token uses, below 5 billion, up to 20,
    above."""

    FAST = "Fast"
    MODERATE = "Moderate"
    SLOW = "Slow"


def size_class(total: int) -> SizeClass:
    """Returns the size class of so many parameters."""
    if total < MEDIUM_FROM:
        return SizeClass.SMALL
    return SizeClass.LARGE if total > LARGE_ABOVE else SizeClass.MEDIUM


def speed_class(active: int) -> SpeedClass:
    """Returns the speed class of so many active parameters."""
    if active < MODERATE_FROM:
        return SpeedClass.FAST
    return SpeedClass.SLOW if active > SLOW_ABOVE else SpeedClass.MODERATE


def count_text(parameters: int) -> str:
    """Writes a number of parameters as people do: 8.03 B, 671 B, 1.04 T, 270 M."""
    for unit, size in (("T", 10**12), ("B", BILLION), ("M", 10**6)):
        if parameters >= 0.9995 * size:  # what rounds to 1,000 of the unit below
            return f"{parameters / size:.3g} {unit}"
    return str(parameters)
