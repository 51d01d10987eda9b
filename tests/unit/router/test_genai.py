"""How ended requests are sorted into histograms."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.backends.histograms import SECONDS, BackendNumbers, Histogram
from genset.router.backends.use import TOKENS, Use


@given(st.lists(st.floats(min_value=0, max_value=1000, allow_nan=False)))
def test_many_at_once_are_the_same_as_one_after_another(values: list[float]) -> None:
    single, bulk = Histogram(), Histogram()
    for value in values:
        single.observe(value)
    bulk.add(iter(values))
    assert bulk.counts == single.counts and bulk.sum == pytest.approx(single.sum)
    assert bulk.buckets()[-1] == ("+Inf", len(values))


def test_a_value_on_a_bound_is_under_it() -> None:
    """`le` means less or equal."""
    histogram = Histogram((1.0, 2.0))
    histogram.add([1.0, 1.5, 2.0, 2.5])
    assert histogram.buckets() == [("1.0", 1), ("2.0", 3), ("+Inf", 4)]


def test_what_is_folded() -> None:
    numbers = BackendNumbers()
    use = Use(numbers)
    use.whole += [(1.0, 0.5, 10, 11), (2.0, 0.0, 20, 5), (3.0, 1.0, 0, 1), (4.0, 0.5, 7, 0)]
    use.failed += [("provider_timeout", 9.0), ("provider_timeout", 8.0), ("caller_gone", 0.1)]
    use.fold()
    use.fold()  # nothing twice
    assert {word: (sum(h.counts), h.sum) for word, h in use.durations.items()} == {
        "": (4, 10.0), "provider_timeout": (2, 17.0), "caller_gone": (1, 0.1),
    }  # fmt: skip
    assert sum(use.first_token.counts) == 3 and use.first_token.sum == 2.0
    assert sum(use.per_token.counts) == 1 and use.per_token.sum == pytest.approx(0.05)
    assert use.input_tokens.sum == 37 and sum(use.input_tokens.counts) == 3
    assert use.output_tokens.sum == 17 and use.output_tokens.counts[bisect_left(TOKENS, 11)] == 1 + 1
    assert numbers.duration.sum == 10.0 and numbers.duration.counts[bisect_left(SECONDS, 3.0)] == 2
    assert numbers.first_token.sum == 2.0
