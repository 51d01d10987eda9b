"""Limits of routers that share them: never exceeded, nearly used up, and kept to shares where nobody is heard."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.contracts.access_config import AllowanceConfig
from genset.router.access.consumer import Consumer, Visit
from genset.router.access.sharing import EXCHANGE_SECONDS, Sharing

TOKEN = b"of the routers' Secret"


class FakeRouter:
    """A router as far as limits go: one consumer, and what it shares. `phase`: when in each second it asks the others."""

    def __init__(
        self, name: str, limit: int | None, routers: int, phase: float, *, in_flight: int | None = None
    ) -> None:
        self.consumer = Consumer("lab", "lab")
        self.consumer.take("", AllowanceConfig(requests_per_minute=limit, max_in_flight=in_flight), routers)
        self.sharing = Sharing(name, TOKEN, routers)
        self.due = phase * EXCHANGE_SECONDS

    def exchange(self, others: list[FakeRouter], now: float) -> None:
        if now < self.due:
            return
        self.due += EXCHANGE_SECONDS
        for other in others:
            told = other.sharing.tell([other.consumer], b"1", now)
            assert self.sharing.hear(told, b"1", now) == (other is not self)
        self.sharing.settle([self.consumer], now)

    def ask(self, now: float) -> bool:
        found = self.consumer.enter(0, 0, now)
        if isinstance(found, Visit):
            found.leave(0, 0, failed=False, now=now)
        return isinstance(found, Visit)


def served(limit: int, weights: list[float], rate: float, seconds: int, seed: int, burst: int = 0) -> list[float]:
    """Returns when requests were served that come to routers by these weights, `rate` a second; `burst` of them at once."""
    chance = random.Random(seed)
    routers = [FakeRouter(f"r{i}", limit, len(weights), chance.random()) for i in range(len(weights))]
    times: list[float] = []
    step = 0.1
    for tick in range(int(seconds / step)):
        now = 1000 + tick * step
        for router in routers:
            router.exchange(routers, now)
        coming = burst if tick == 50 else int(rate * step + chance.random())
        for router in chance.choices(routers, weights, k=coming):
            if router.ask(now):
                times.append(now)
    return times


@pytest.mark.parametrize("weights", [[9, 1], [1, 1], [1, 0], [5, 3, 1, 1]])
@pytest.mark.parametrize("rate", [15, 60])
def test_skewed_load_gets_the_limit_within_a_tenth(weights: list[float], rate: float) -> None:
    times = served(300, weights, rate, 183, 7)
    assert 0.9 * 900 <= len(times) <= 900, f"{len(times)} of 900 in three minutes, by load {weights}"
    for end in range(1060, 1183, 5):
        assert sum(end - 60 < at <= end for at in times) <= 300


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=4), st.integers(1, 40), st.integers(0, 99), st.integers(0, 120))
def test_no_load_exceeds_a_limit(weights: list[int], limit: int, seed: int, burst: int) -> None:
    times = served(limit, [w or 0.01 for w in weights], 5, 65, seed, burst)
    # Before the first exchange each router keeps to its part, of which there is at least one.
    for end in times:
        assert sum(end - 60 < at <= end for at in times) <= max(limit, len(weights))


def test_whoever_is_not_heard_keeps_to_its_share_and_is_counted_with_it() -> None:
    one, two = FakeRouter("a", 60, 3, 0), FakeRouter("b", 60, 3, 0)
    assert sum(one.ask(1000) for _ in range(100)) == 20, "alone: a third"
    two.sharing.hear(one.sharing.tell([one.consumer], b"n", 1001), b"n", 1001)
    two.sharing.settle([two.consumer], 1001)
    assert sum(two.ask(1001) for _ in range(100)) <= 20, "of the 20 that neither the first nor the silent one claims"
    two.sharing.settle([two.consumer], 1010)
    assert two.consumer.requests is not None and two.consumer.requests.told == 20, "nobody is heard any more"


def in_work(limit: int, weights: list[float], clients: int, lasts: float, seconds: int, seed: int) -> list[int]:
    """Returns how many requests were in work, ten times a second: clients ask one after another, and once a second if refused."""
    chance = random.Random(seed)
    routers = [FakeRouter(f"r{i}", None, len(weights), chance.random(), in_flight=limit) for i in range(len(weights))]
    busy: list[tuple[float, Visit]] = []
    asks_at = [1000 + chance.random() for _ in range(clients)]
    counts: list[int] = []
    for tick in range(seconds * 10):
        now = 1000 + tick * 0.1
        for router in routers:
            router.exchange(routers, now)
        for until, visit in [one for one in busy if one[0] <= now]:
            visit.leave(0, 0, failed=False, now=now)
            busy.remove((until, visit))
        for client in range(clients):
            if asks_at[client] > now:
                continue
            found = chance.choices(routers, weights)[0].consumer.enter(0, 0, now)
            ends = now + chance.expovariate(1 / lasts) if isinstance(found, Visit) else now + 1
            asks_at[client] = ends
            if isinstance(found, Visit):
                busy.append((ends, found))
        counts.append(len(busy))
    return counts


@pytest.mark.parametrize("weights", [[9, 1], [1, 1], [1, 0], [5, 3, 1, 1], [1, 0, 0, 0]])
@pytest.mark.parametrize("limit", [20, 100])
@pytest.mark.parametrize("lasts", [2, 20])
def test_skewed_load_gets_its_places_within_a_tenth(weights: list[float], limit: int, lasts: float) -> None:
    counts = in_work(limit, weights, 3 * limit, lasts, 120, 7)
    assert max(counts) <= limit
    steady = counts[200:]
    assert sum(steady) / len(steady) >= 0.9 * limit, f"{sum(steady) / len(steady):.1f} of {limit}, by load {weights}"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=4), st.integers(1, 40), st.integers(0, 99), st.integers(1, 60))
def test_no_load_has_more_in_work_than_its_limit(weights: list[int], limit: int, seed: int, clients: int) -> None:
    counts = in_work(limit, [w or 0.01 for w in weights], clients, 3, 60, seed)
    assert max(counts) <= max(limit, len(weights)), "each router has one place at least"


@pytest.mark.parametrize(("limit", "weights"), [(4, [1, 1]), (2, [1, 1]), (1, [1, 1]), (3, [1, 1, 1, 1])])
def test_who_asks_one_thing_after_another_is_never_refused(limit: int, weights: list[float]) -> None:
    """Fewer places than routers, too: a client cannot choose its router."""
    counts = in_work(limit, weights, 1, 2, 120, 7)
    assert sum(counts) > 0.95 * len(counts)


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"{}", b"[]", b'{"told": 1, "proof": 2}', b'{"told": "{}", "proof": "00"}',
        Sharing("x", b"another token", 2).tell([], b"n", 0), Sharing("x", TOKEN, 2).tell([], b"an old nonce", 0),
        Sharing("me", TOKEN, 2).tell([], b"n", 0),
    ],
)  # fmt: skip
def test_nobody_else_counts_for_a_consumer(answer: bytes) -> None:
    mine = Sharing("me", TOKEN, 2)
    assert not mine.hear(answer, b"n", 0) and mine.settle([], 0) == 0
