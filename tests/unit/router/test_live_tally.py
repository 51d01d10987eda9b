"""A live drill takes no more than its share of requests, never many at once, and ends when what it may cost is reached."""

from __future__ import annotations

import random

import pytest

from genset.contracts.drill import LiveOrder
from genset.router.drills.live import LEAST_FOR_RATE, MOST_PER_SECOND, _Tally


def test_the_share_is_what_was_asked_for() -> None:
    """envoy 9597 drew twice for some requests, so that half became three quarters."""
    tally, chance = _Tally(LiveOrder(share=30, lost=1, error_rate=5)), random.Random(7)
    taken = sum(tally.draws(float(second), chance.random()) for second in range(10_000))
    assert 2_800 <= taken <= 3_200


def test_few_are_taken_at_once() -> None:
    """Envoy has max_active_faults because faults of everything took all there was."""
    tally = _Tally(LiveOrder(share=100, lost=1, error_rate=5))
    assert sum(tally.draws(7.5, 0.0) for _ in range(1_000)) == MOST_PER_SECOND
    assert tally.draws(8.0, 0.0)


@pytest.mark.parametrize(("failed", "why"), [(0, ""), (5, "5 of 10 requests of clients have failed")])
def test_a_rate_needs_enough_of_them(failed: int, why: str) -> None:
    tally = _Tally(LiveOrder(share=100, lost=1000, error_rate=50))
    for number in range(LEAST_FOR_RATE):
        assert tally.why_stop(0) == ""
        tally.ended(failed=number < failed, lost=False)
    assert tally.why_stop(0).startswith(why) and bool(tally.why_stop(0)) is bool(why)


def test_those_in_work_that_went_back_count_as_lost() -> None:
    tally = _Tally(LiveOrder(share=100, lost=3, error_rate=100))
    tally.ended(failed=True, lost=True)
    assert tally.why_stop(1) == "" and "3 requests of clients would have been lost" in tally.why_stop(2)
