"""How ended requests are counted in histograms."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.backends.histograms import SECONDS, BackendNumbers, Histogram
from genset.router.backends.use import TOKENS, Use


@given(st.lists(st.floats(min_value=0, max_value=1000, allow_nan=False)))
def test_values_are_counted_under_the_first_bound_that_holds_them(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    wanted = [0] * (len(SECONDS) + 1)
    for value in values:
        wanted[bisect_left(SECONDS, value)] += 1
    assert histogram.counts == wanted and histogram.sum == pytest.approx(sum(values))
    assert histogram.buckets()[-1] == ("+Inf", len(values))


def test_a_value_on_a_bound_is_under_it() -> None:
    """`le` means less or equal."""
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 1), ("2.0", 3), ("+Inf", 4)]


def test_what_is_counted() -> None:
    numbers = BackendNumbers()
    use = Use(numbers)
    for seconds, first, tokens, made in ((1.0, 0.5, 10, 11), (2.0, 0.0, 20, 5), (3.0, 1.0, 0, 1), (4.0, 0.5, 7, 0)):
        use.answered(seconds, first, tokens, made)
    for word, seconds in (("provider_timeout", 9.0), ("provider_timeout", 8.0), ("caller_gone", 0.1)):
        use.failed(word, seconds)
    assert {word: (sum(h.counts), h.sum) for word, h in use.durations.items()} == {
        "": (4, 10.0), "provider_timeout": (2, 17.0), "caller_gone": (1, 0.1),
    }  # fmt: skip
    assert sum(use.first_token.counts) == 3 and use.first_token.sum == 2.0
    assert sum(use.per_token.counts) == 1 and use.per_token.sum == pytest.approx(0.05)
    assert use.input_tokens.sum == 37 and sum(use.input_tokens.counts) == 3
    assert use.output_tokens.sum == 17 and use.output_tokens.counts[bisect_left(TOKENS, 11)] == 1 + 1
    assert numbers.duration.sum == 10.0 and numbers.duration.counts[bisect_left(SECONDS, 3.0)] == 2
    assert numbers.first_token.sum == 2.0
