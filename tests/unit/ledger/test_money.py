"""Money is kept exactly, and adds up exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.ledger import money

AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=15, allow_nan=False)


@pytest.mark.parametrize(
    ("amount", "pair"),
    [
        ("0", (0, 0)),
        ("1", (1_000_000, 0)),
        ("0.001234", (1234, 0)),
        ("0.0000012345", (1, 234_500_000)),
        ("0.000000000000001", (0, 1)),
        ("0.0000000000000005", (0, 0)),  # half to even
        ("0.0000000000000015", (0, 2)),
        ("1000000000", (10**15, 0)),
        ("1E+20", (0, 0)),  # more than a request can cost
        ("-1", (0, 0)),
        ("NaN", (0, 0)),
        ("Infinity", (0, 0)),
    ],
)
def test_an_amount_is_two_whole_numbers(amount: str, pair: tuple[int, int]) -> None:
    assert money.split(Decimal(amount)) == pair


def test_what_nobody_knows_is_no_amount() -> None:
    assert money.split(None) == (0, 0)


@given(st.lists(AMOUNTS, max_size=50))
def test_sums_are_exact(amounts: list[Decimal]) -> None:
    pairs = [money.split(amount) for amount in amounts]
    assert money.joined(sum(m for m, _ in pairs), sum(r for _, r in pairs)) == sum(amounts, Decimal())


@pytest.mark.parametrize(("amount", "written"), [("1.500", "1.5"), ("100", "100"), ("0E-15", "0"), ("0.10", "0.1")])
def test_digits_are_written_in_full_without_zeros_at_the_end(amount: str, written: str) -> None:
    assert money.digits(Decimal(amount)) == written


@pytest.mark.parametrize(
    ("amount", "written"), [("0.005", "0.00"), ("0.015", "0.02"), ("12.3456", "12.35"), ("9", "9.00")]
)
def test_cents_are_rounded_half_to_even(amount: str, written: str) -> None:
    assert money.cents(Decimal(amount)) == written
