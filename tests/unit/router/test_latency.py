"""The adaptive first-token deadline: what recent answers took, and what that gives the next one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.backends.latency import EVERY, VALUES, Recent
from testbed.router_config import made


def backend(kind: str, seen: Sequence[float] = ()) -> Backend:
    target = UrlTarget(base_url="http://b.test/v1", provider="openAICompatible")
    config = made(BackendConfig, name="b", kind=kind, model="m", url=target)
    one = Backend(config, Credentials({}, "nowhere"), lambda: 0.5)
    for seconds in seen:
        one.deadlines.first_tokens.add(seconds)
    return one


# kind, tokens of the prompt, seconds of the recent answers, deadline
ROWS: list[tuple[str, str, int, list[float], float]] = [
    ("nothing known: a cloud", "cloud", 100_000, [], 15.0),
    ("nothing known: the house reads 500 tokens/s", "local", 5_000, [], 25.0),
    ("fast answers shorten nothing", "cloud", 100, [0.2] * 128, 15.0),
    ("too few answers say nothing", "cloud", 100, [14.0] * 15, 15.0),
    ("slow answers are given twice their time", "cloud", 100, [14.0] * 16, 28.0),
    ("the slowest hundredth counts, not the mean", "cloud", 100, [1.0] * 126 + [14.0] * 2, 28.0),
    ("a single slow one of 128 does not", "cloud", 100, [1.0] * 127 + [14.0], 15.0),
    ("old answers are forgotten", "cloud", 100, [14.0] * 128 + [1.0] * 128, 15.0),
    ("a long prompt beats them", "local", 20_000, [14.0] * 128, 55.0),
    ("they beat a short prompt", "local", 100, [14.0] * 128, 28.0),
    ("never more than two minutes", "cloud", 100, [100.0] * 128, 120.0),
    ("but a prompt may need more", "local", 100_000, [100.0] * 128, 215.0),
]


@pytest.mark.parametrize(("kind", "tokens", "seen", "seconds"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_first_token_deadline(kind: str, tokens: int, seen: list[float], seconds: float) -> None:
    assert backend(kind, seen).deadlines.first_token_seconds(tokens) == pytest.approx(seconds)


@given(st.lists(st.floats(0, 1000), min_size=EVERY, max_size=3 * VALUES))
def test_p99_is_the_nearest_rank_of_the_window(values: list[float]) -> None:
    recent = Recent()
    for number, value in enumerate(values, 1):
        recent.add(value)
        if number % EVERY == 0:
            window = sorted(values[max(0, number - VALUES) : number])
            assert recent.p99 == window[math.ceil(0.99 * len(window)) - 1]
