"""However long an outage was, its end is noticed within 30 s: a day of a breaker's life in no time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.backends.breaker import Breaker, State

STEP = 0.25
LOOK = 5.0


def seconds_until_closed(outage: float, chance: float, every: float, *, free_probe: bool) -> float:
    """A request each `every` seconds; the backend is away for the first `outage` seconds."""
    breaker = Breaker(lambda: chance)
    if free_probe:
        breaker.look_often()
    now, next_request, next_look = 0.0, 0.0, LOOK
    while now < outage + 120.0:
        away = now < outage
        if free_probe and now >= next_look and breaker.state is not State.CLOSED:
            next_look = now + LOOK
            if away:
                breaker.despair(now, now + LOOK)
            else:
                breaker.hope(now)
        if now >= next_request:
            next_request = now + every
            if breaker.admits(now):
                token = breaker.take(now)
                if away:
                    breaker.failure(now, now, token)
                else:
                    breaker.success(now, now, token)
        if not away and breaker.view(now) is State.CLOSED:
            return now - outage
        now += STEP
    raise AssertionError("it never came back")


@pytest.mark.parametrize("free_probe", [True, False])
@given(outage=st.floats(5.0, 2000.0), chance=st.floats(0.0, 0.999))
def test_back_within_thirty_seconds(free_probe: bool, outage: float, chance: float) -> None:
    assert seconds_until_closed(outage, chance, 0.5, free_probe=free_probe) <= 30.0 + STEP


def test_while_probes_fail_no_request_is_spent() -> None:
    breaker = Breaker(lambda: 0.5)
    for _ in range(3):
        breaker.failure(0.0, 0.0)
    for second in range(5, 600, 5):
        breaker.despair(float(second) - 0.01, float(second) + 5.0)
        assert not breaker.admits(float(second))


def test_while_a_probe_is_under_way_no_request_is_spent() -> None:
    breaker = Breaker(lambda: 0.5)
    for _ in range(3):
        breaker.failure(0.0, 0.0)
    breaker.looks(4.0, 20.0)
    assert not breaker.admits(19.0), "its pause of 5 s is over, but a probe hangs"
    breaker.looked()
    assert breaker.admits(19.0)
    breaker.looks(19.0, 30.0)
    assert not breaker.admits(29.0) and breaker.admits(30.0), "a probe that never ends keeps nobody away for ever"


def test_a_probe_does_not_take_back_a_health_that_was_seen() -> None:
    breaker = Breaker(lambda: 0.5)
    for _ in range(3):
        breaker.failure(0.0, 0.0)
    breaker.hope(6.0)
    assert breaker.view(6.0) is State.HALF_OPEN
    breaker.looks(7.0, 20.0)
    assert breaker.admits(8.0)


def test_a_probe_that_is_answered_proves_no_completion() -> None:
    breaker = Breaker(lambda: 0.5)
    for _ in range(3):
        breaker.failure(0.0, 0.0)
    for second in range(1, 60):
        breaker.hope(float(second))
    assert breaker.view(60.0) is State.HALF_OPEN and breaker.take(60.0)
    breaker.success(60.0, 60.0, True)
    assert breaker.state is State.CLOSED
