"""Times are written as JSON writes numbers, to the digits that they have."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.decimals import six_decimals, three_decimals

times = st.floats(min_value=0, max_value=4e9, allow_nan=False)


@given(times)
def test_times_are_numbers_within_half_of_the_last_digit(seconds: float) -> None:
    assert json.loads(six_decimals(seconds)) == pytest.approx(seconds, abs=6e-7)
    assert json.loads(three_decimals(seconds)) == pytest.approx(seconds, abs=6e-4)


@pytest.mark.parametrize(
    ("seconds", "six", "three"),
    [
        (0.0, b"0.0", b"0.000"),
        (0.0000004, b"0.000000", b"0.000"),
        (0.9999996, b"1.000000", b"1.000"),
        (1.25, b"1.250000", b"1.250"),
        (1796000000.9996, b"1796000000.999600", b"1796000001.000"),
        (59.000001, b"59.000001", b"59.000"),
    ],
)
def test_what_is_written(seconds: float, six: bytes, three: bytes) -> None:
    assert six_decimals(seconds)[:-1] == six[:-1] and three_decimals(seconds) == three


def test_no_time_is_below_zero() -> None:
    assert six_decimals(-0.5) == b"0.0"
