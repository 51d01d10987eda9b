"""Limits per minute: never more than the limit in any 60 seconds, and what was taken back is there again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.access_config import AllowanceConfig
from genset.router.access.consumer import Consumer, Visit
from genset.router.access.minute import WINDOW_SECONDS, Minute
from genset.router.access.quota import Quota
from genset.router.errors import ErrorAnswer


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 5)), max_size=120), st.integers(1, 12))
def test_no_minute_holds_more_than_the_limit(steps: list[tuple[float, int]], limit: int) -> None:
    quota, now = Quota(limit, 1), 1000.0
    taken: list[tuple[float, int]] = []
    for pause, count in steps:
        now += pause
        if count <= limit and quota.takes(count, now):
            taken.append((now, count))
    for end, _ in taken:
        within = sum(count for at, count in taken if end - WINDOW_SECONDS < at <= end)
        assert within <= limit, f"{within} of {limit} in the minute before {end}"


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), min_size=1, max_size=60))
def test_after_the_wait_there_is_room(steps: list[tuple[float, int]]) -> None:
    quota, now = Quota(10, 1), 50.0
    for pause, count in steps:
        now += pause
        if not quota.takes(count, now):
            wait = quota.wait(count, now)
            assert 0 < wait <= WINDOW_SECONDS + 1
            assert quota.takes(count, now + wait + 0.001), "the client came when it was told to, and was refused"
            now += wait + 0.001


def test_what_is_taken_back_is_there_again() -> None:
    minute = Minute()
    minute.add(10, 5.0)
    minute.take_back(4, 5.0, 20.0)
    assert minute.used == 6
    minute.take_back(4, 5.0, 100.0)
    assert minute.used == 0, "what is forgotten cannot be taken back"


def test_a_request_that_wants_more_than_there_ever_is_gets_everything() -> None:
    quota = Quota(100, 1)
    assert quota.takes(250, 10.0) and not quota.takes(1, 11.0)
    assert quota.takes(250, 72.0)


def test_routers_share_a_limit() -> None:
    assert Quota(10, 4).share == 2 and Quota(1, 4).share == 1


def consumer(**allowance: int) -> Consumer:
    made = Consumer("lab", "consumer lab")
    made.take("", AllowanceConfig.model_validate(allowance), 1)
    return made


def entered(found: Visit | ErrorAnswer) -> Visit:
    assert isinstance(found, Visit), found
    return found


@pytest.mark.parametrize(
    ("prompt", "completion", "failed", "left"),
    [(30, 20, False, 50), (70, 40, False, -10), (0, 0, True, 100), (0, 0, False, 40), (10, 0, True, 90)],
)
def test_tokens_count_as_they_were_used(prompt: int, completion: int, failed: bool, left: int) -> None:
    lab = consumer(tokensPerMinute=100)
    entered(lab.enter(40, 20, 10.0)).leave(prompt, completion, failed=failed, now=12.0)
    assert lab.tokens is not None and lab.tokens.limit - lab.tokens.minute.used == left


def test_a_refusal_takes_nothing() -> None:
    lab = consumer(tokensPerMinute=100, requestsPerMinute=5, maxInFlight=2)
    first = entered(lab.enter(60, 20, 10.0))
    refused = lab.enter(60, 20, 10.0)
    assert isinstance(refused, ErrorAnswer) and "tokensPerMinute" in refused.message and refused.retry_after == 61
    assert lab.requests is not None and lab.requests.minute.used == 1 and lab.places.in_work == 1
    first.leave(10, 0, failed=False, now=11.0)
    assert lab.places.in_work == 0 and entered(lab.enter(60, 20, 11.0))


def test_another_configuration_forgets_nothing() -> None:
    lab = consumer(requestsPerMinute=2)
    entered(lab.enter(0, 0, 10.0))
    lab.take("", AllowanceConfig.model_validate({"requestsPerMinute": 1}), 1)
    assert isinstance(lab.enter(0, 0, 20.0), ErrorAnswer)
