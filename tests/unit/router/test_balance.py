"""Endpoint choice inside a backend: turns, rendezvous order, bounded load, and what of a prompt decides."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.backend_config import BackendConfig, BalancingConfig, DnsEndpoints, LocalTarget
from genset.router.backends.backend import Backend
from genset.router.backends.balance import STRATEGIES, least_in_flight
from genset.router.backends.balance.prefix_affinity import LOAD_FACTOR, choose, most_in_flight, weight
from genset.router.backends.balance.prompt import prompt_key
from genset.router.backends.credentials import Credentials
from genset.router.backends.histograms import BackendNumbers
from testbed.router_config import made


class Loaded:
    def __init__(self, in_flight: int = 0, seed: int = 0) -> None:
        self.in_flight = in_flight
        self.seed = seed


def pods(count: int, **balancing: Any) -> Backend:
    target = made(LocalTarget, dns=DnsEndpoints(host="house.test", port=80))
    config = made(
        BackendConfig, name="house", kind="local", model="m", local=target, balancing=made(BalancingConfig, **balancing)
    )
    backend = Backend(config, Credentials({}, "nowhere"), lambda: 0.5)
    backend.pool.take(tuple(backend.pool.make(f"10.0.0.{n}", 80) for n in range(1, count + 1)))
    for endpoint in backend.endpoints:
        backend.probed(endpoint, True, 0.0)
    return backend


def test_least_in_flight_takes_turns_among_equals() -> None:
    numbers = BackendNumbers()
    endpoints = [Loaded(), Loaded(), Loaded()]
    seen = [endpoints.index(least_in_flight.choose(endpoints, turn, None, numbers)) for turn in range(6)]
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]
    assert least_in_flight.choose([Loaded(3), Loaded(1), Loaded(2)], 0, None, numbers).in_flight == 1


def test_only_affinity_reads_prompts() -> None:
    assert {name for name, strategy in STRATEGIES.items() if strategy.reads_prompt} == {"PrefixAffinity"}
    assert pods(2, prefixTokens=100).pool.prefix_tokens == 0, "a default backend would cost every request its prompt"
    assert pods(2, strategy="PrefixAffinity").pool.prefix_tokens == 256


# Rendezvous order

SEEDS = st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=12, unique=True)
KEYS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50)


@given(SEEDS, KEYS, st.data())
def test_an_endpoint_that_leaves_moves_only_its_own_prompts(
    seeds: list[int], keys: list[int], data: st.DataObject
) -> None:
    endpoints = [Loaded(seed=seed) for seed in seeds]
    leaving = data.draw(st.sampled_from(endpoints))
    rest = [endpoint for endpoint in endpoints if endpoint is not leaving]
    for key in keys:
        before = choose(endpoints, 0, key, BackendNumbers())
        after = choose(rest, 0, key, BackendNumbers())
        assert before is leaving or after is before


@given(SEEDS, KEYS, st.randoms(use_true_random=False))
def test_the_order_of_the_addresses_does_not_matter(seeds: list[int], keys: list[int], random: Any) -> None:
    endpoints = [Loaded(seed=seed) for seed in seeds]
    shuffled = random.sample(endpoints, len(endpoints))
    for key in keys:
        assert choose(endpoints, 0, key, BackendNumbers()) is choose(shuffled, 7, key, BackendNumbers())


@pytest.mark.parametrize("count", [2, 3, 8, 20])
def test_prompts_spread_evenly_over_real_addresses(count: int) -> None:
    backend = pods(count, strategy="PrefixAffinity")
    prompts = 4000
    keys = [prompt_key({"prompt": f"customer {number}: where is my order?"}, 256) for number in range(prompts)]
    shares = Counter(choose(backend.endpoints, 0, key, backend.numbers).name for key in keys)
    mean = prompts / count
    spread = math.sqrt(mean * (1 - 1 / count))
    assert len(shares) == count
    assert all(abs(share - mean) < 5 * spread for share in shares.values()), shares


def test_the_second_choice_is_spread_as_well() -> None:
    """The prompts of a lost endpoint must not all land on one other."""
    backend = pods(6, strategy="PrefixAffinity")
    lost, *rest = backend.endpoints
    keys = [key for key in range(6000) if choose(backend.endpoints, 0, key, backend.numbers) is lost]
    shares = Counter(choose(rest, 0, key, backend.numbers).name for key in keys)
    assert len(shares) == 5 and max(shares.values()) < 1.3 * len(keys) / 5, shares


def test_weights_never_change() -> None:
    """Two routers of different releases must agree: a change would empty every prompt cache during a roll-out."""
    assert weight(0x1234, 0x5678) == 0x75A819A7DBFF573F and weight(1, 2**63) == 0x89CC0C9C3B8D8C9C
    assert prompt_key({"prompt": "hello"}, 256) == 0x3610A686  # the CRC-32 of RFC 1952
    assert prompt_key(said(("system", "s"), ("user", "u")), 256) == 0xD9415E0B
    assert pods(1).endpoints[0].seed == 0x10BABA142DBC806B


# Bounded load


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_no_endpoint_gets_more_than_its_share(loads: list[int], key: int) -> None:
    endpoints = [Loaded(load, seed) for seed, load in enumerate(loads)]
    chosen = choose(endpoints, 0, key, BackendNumbers())
    share = math.ceil(LOAD_FACTOR * (sum(loads) + 1) / len(loads))
    assert most_in_flight(endpoints) == share
    assert chosen.in_flight + 1 <= share


@given(st.integers(2, 8), st.lists(st.integers(0, 3), min_size=1, max_size=100), st.randoms(use_true_random=False))
def test_few_popular_prompts_do_not_pile_up(count: int, keys: list[int], random: Any) -> None:
    endpoints = [Loaded(seed=seed * 7919) for seed in range(count)]
    for key in keys:
        chosen = choose(endpoints, 0, key, BackendNumbers())
        chosen.in_flight += 1
        assert chosen.in_flight <= math.ceil(LOAD_FACTOR * sum(e.in_flight for e in endpoints) / count)
        if random.random() < 0.3:
            random.choice([endpoint for endpoint in endpoints if endpoint.in_flight]).in_flight -= 1


def test_a_popular_prompt_overflows_to_the_next_in_its_order_and_returns() -> None:
    endpoints = [Loaded(seed=seed) for seed in (11, 22, 33)]
    numbers = BackendNumbers()
    favourite = choose(endpoints, 0, 5, numbers)
    second = choose([e for e in endpoints if e is not favourite], 0, 5, BackendNumbers())
    favourite.in_flight = 6
    assert choose(endpoints, 0, 5, numbers) is second
    favourite.in_flight = 0
    assert choose(endpoints, 0, 5, numbers) is favourite
    assert (numbers.affinity_hits, numbers.affinity_misses) == (2, 1)


def test_without_a_prompt_load_alone_decides() -> None:
    numbers = BackendNumbers()
    assert choose([Loaded(3), Loaded(1)], 0, None, numbers).in_flight == 1
    assert (numbers.affinity_hits, numbers.affinity_misses) == (0, 0)


# What of a prompt decides


def said(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


LONG = "x" * 1024  # 256 tokens

SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the rest of a long prompt", said(("system", LONG + "a")), said(("system", LONG + "b"))),
    ("a question behind a long system prompt", said(("system", LONG), ("user", "a")), said(("system", LONG), ("user", "b"))),
    ("the next turn of a short conversation", said(("system", "s"), ("user", "u")),
     said(("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "more"))),
    ("settings of the request", {**said(("user", "u")), "max_tokens": 5}, said(("user", "u"))),
    ("text as parts", said(("user", [{"type": "text", "text": "u"}])), said(("user", "u"))),
    ("a long prompt of a completion", {"prompt": LONG + "a"}, {"prompt": LONG + "b"}),
    ("the rest of tokens", {"prompt": [7] * 256 + [1]}, {"prompt": [7] * 256 + [2]}),
    ("the rest of umlauts", {"prompt": "ö" * 512 + "a"}, {"prompt": "ö" * 512 + "b"}),
]  # fmt: skip

OTHER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the last byte that counts", {"prompt": LONG[1:] + "a"}, {"prompt": LONG[1:] + "b"}),
    ("the role", said(("system", "u")), said(("user", "u"))),
    ("the question behind a short system prompt", said(("system", "s"), ("user", "a")), said(("system", "s"), ("user", "b"))),
    ("the order", said(("user", "a"), ("user", "b")), said(("user", "b"), ("user", "a"))),
    ("tokens", {"prompt": [1, 2]}, {"prompt": [1, 3]}),
    ("the first of a batch", {"prompt": ["a", "z"]}, {"prompt": ["b", "z"]}),
]  # fmt: skip


@pytest.mark.parametrize(("one", "two"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_what_does_not_decide(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert prompt_key(one, 256) == prompt_key(two, 256) is not None


@pytest.mark.parametrize(("one", "two"), [row[1:] for row in OTHER], ids=[row[0] for row in OTHER])
def test_what_decides(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert prompt_key(one, 256) != prompt_key(two, 256)


@pytest.mark.parametrize(
    "request_",
    [{}, {"messages": []}, {"messages": "x"}, {"messages": [None, 7, {"content": 3}]}, {"prompt": []}, {"prompt": 7},
     {"prompt": [[]]}, {"prompt": [["x"]]}, {"prompt": [None]}, {"input": "an embedding"}, said(("user", "")),
     {"prompt": [1, json.loads("[" * 300 + "]" * 300)]}],
)  # fmt: skip
def test_no_prompt_no_key(request_: dict[str, Any]) -> None:
    assert prompt_key(request_, 256) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "text"]), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["messages", "prompt"]), JSON), st.integers(1, 8))
def test_no_body_can_break_it(body: dict[str, Any], tokens: int) -> None:
    assert prompt_key(body, tokens) is None or 0 <= (prompt_key(body, tokens) or 0) < 2**32
