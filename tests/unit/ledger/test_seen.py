"""A number counts once, in whatever order it comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.ledger.seen import Seen


@given(st.lists(st.integers(1, 60), max_size=200))
def test_it_is_a_set(numbers: list[int]) -> None:
    seen, known = Seen(), set[int]()
    for number in numbers:
        assert seen.add(number) == (number not in known)
        known.add(number)
        seen = Seen(seen.runs())  # as it is kept between two transactions
    assert {number for first, last in seen for number in range(first, last + 1)} == known
    assert len(seen) == len(known)
    runs = seen.runs()
    assert all(first <= last for first, last in runs)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(runs))
    assert all((number in seen) == (number in known) for number in range(62))


@pytest.mark.parametrize(
    ("runs", "missing"),
    [([], []), ([[1, 5]], []), ([[3, 5], [8, 8]], [(1, 2), (6, 7)])],
)
def test_what_is_missing_lies_between_the_runs(runs: list[list[int]], missing: list[tuple[int, int]]) -> None:
    assert list(Seen(runs).missing()) == missing
