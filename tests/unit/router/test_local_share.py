"""The window of a local share moves with the time, and forgets what is older."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genset.router.telemetry.local_share import SLOTS, CountedShare


def test_what_is_older_than_the_window_counts_no_more() -> None:
    share = CountedShare(3600)
    for minute in range(60):
        share.count(60.0 * minute, house=minute < 30)
    assert share.counted(59 * 60) == (60, 30)
    assert share.counted(95 * 60) == (25, 0)
    assert share.counted(10_000 * 60) == (0, 0)
    assert (share.answers, share.house) == (60, 30), "the counters go on"


@given(st.lists(st.tuples(st.floats(0, 500), st.booleans()), max_size=60), st.sampled_from([60.0, 3600.0]))
def test_as_counted_by_hand(steps: list[tuple[float, bool]], window: float) -> None:
    share, now, counted = CountedShare(window), 0.0, []
    for seconds, house in steps:
        now += seconds
        share.count(now, house=house)
        counted.append((int(now * SLOTS / window), house))
    oldest = int(now * SLOTS / window) - SLOTS
    inside = [house for epoch, house in counted if epoch >= oldest]
    assert share.counted(now) == (len(inside), sum(inside))
