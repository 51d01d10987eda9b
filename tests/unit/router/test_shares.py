"""Shares of something scarce: one alone gets nearly everything, whoever comes finds some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.routing.shares import ALPHA, Shares

MOST = 64 * 1024 * 1024


def fill(shares: Shares, origin: str, size: int) -> int:
    while shares.takes(origin, size):
        pass
    return shares.held(origin)


@pytest.mark.parametrize("size", [1, 300, 3_000, 255 * 1024])
def test_each_that_comes_finds_some(size: int) -> None:
    shares = Shares(MOST)
    first = fill(shares, "a", size)
    assert 0.86 * MOST < first <= ALPHA / (ALPHA + 1) * MOST
    second = fill(shares, "b", min(size, 3_000))
    assert second > 0.85 * (MOST - first)
    assert fill(shares, "c", min(size, 3_000)) > 0 and shares.taken <= MOST


def test_a_share_shrinks_while_others_want_it() -> None:
    shares = Shares(80)
    shares.take("a", 70)
    assert not shares.is_over("a")
    shares.take("b", 5)
    assert shares.is_over("a") and not shares.is_over("b")
    shares.give("a", 35)
    assert not shares.is_over("a")


def test_a_share_of_nothing_is_not_kept() -> None:
    shares = Shares(100)
    shares.take("a", 0)
    shares.take("b", 5)
    shares.take("b", -5)
    assert shares.taken == 0 and not shares._held


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.booleans()), max_size=60))
def test_nothing_is_lost_or_made_up(steps: list[tuple[str, int, bool]]) -> None:
    shares = Shares(100)
    held: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for origin, size, back in steps:
        if back and held[origin]:
            shares.give(origin, held[origin].pop())
        elif shares.takes(origin, size):
            held[origin].append(size)
        assert {origin: shares.held(origin) for origin in held} == {o: sum(sizes) for o, sizes in held.items()}
        assert shares.taken == sum(map(sum, held.values())) <= 100
    for origin, sizes in held.items():
        for size in sizes:
            shares.give(origin, size)
    assert shares.taken == 0 and not shares._held
