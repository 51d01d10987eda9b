"""What a model of the house costs goes by the hour, whether it is asked or not. Pure."""

from __future__ import annotations

from genset.pricing.money import counted

HOURS_A_MONTH = 730  # a twelfth of a year
_MICRO = 10**6  # what is shown is rounded to whole millionths of the currency's unit


def hourly(watts: int, per_kwh: str, hardware_per_month: str) -> int:
    """Returns what an hour costs, counted as `pricing.money` does and rounded: its electricity, its share of a month."""
    power = watts * counted(per_kwh) * HOURS_A_MONTH
    exact = power + counted(hardware_per_month) * 1000
    each = 1000 * HOURS_A_MONTH * _MICRO
    return (exact + each // 2) // each * _MICRO
