"""How long the state machine waits: signs of life, nobody else to ask, and who is not asked again. No time passes."""

from __future__ import annotations

from typing import Any

import pytest

from genset.router.backends.breaker import State
from genset.router.backends.outcomes import Outcome
from genset.router.machine.decisions import INTERRUPTED, STALLED, Answer, Interrupt, Try
from genset.router.machine.patience import LIFE_MOST_SECONDS
from tests.support.router.machines import cloud, committed, fail, house, machine, where


def outcome(one: Any, now: float) -> Outcome | None:
    failure = one.expired(now)
    return failure.outcome if failure is not None else None


def test_a_sign_of_life_gives_the_first_token_its_time_anew() -> None:
    one = machine(cloud(), cloud("other"))
    one.begin(0.0)
    one.sent(0.0)
    one.head()
    one.alive(10.0)
    assert outcome(one, 24.9) is None and outcome(one, 25.0) is Outcome.TOO_LATE
    one.alive(20.0)
    assert outcome(one, 34.9) is None and outcome(one, 35.0) is Outcome.TOO_LATE


def test_signs_of_life_alone_have_an_end() -> None:
    one = machine(cloud(), cloud("other"))
    one.begin(0.0)
    one.sent(0.0)
    for now in range(1, 200):
        one.alive(float(now))
    assert outcome(one, LIFE_MOST_SECONDS - 0.1) is None and outcome(one, LIFE_MOST_SECONDS) is Outcome.TOO_LATE


def test_a_longer_time_that_a_route_gives_is_not_shortened_by_a_sign_of_life() -> None:
    one = machine(cloud(), cloud("other"), first_token_seconds=300)
    one.begin(0.0)
    one.sent(0.0)
    one.alive(200.0)
    assert outcome(one, 299.9) is None and outcome(one, 300.0) is Outcome.TOO_LATE


def test_signs_of_life_between_tokens_put_the_stall_off_with_an_end() -> None:
    one = committed(machine(cloud(), cloud("other")))
    for now in range(10, 200, 10):
        one.alive(float(now))
    assert outcome(one, 1.0 + LIFE_MOST_SECONDS) is None and outcome(one, 1.1 + LIFE_MOST_SECONDS) is Outcome.TOO_LATE
    one = committed(machine(cloud(), cloud("other")))
    one.alive(14.0)
    assert outcome(one, 29.0) is None and outcome(one, 29.1) is Outcome.TOO_LATE


#: Who else there is: backends, settings; whether the first one is given up after its 15 s.
ELSE: dict[str, tuple[list[Any], dict[str, Any], bool]] = {
    "nobody": ([], {}, False),
    "another backend": ([cloud("other")], {}, True),
    "a backend whose breaker is open": (["open"], {}, False),
    "no attempt is left": ([cloud("other")], {"max_attempts": 1}, False),
    "nobody, but the route says how long": ([], {"first_token_seconds": 15}, True),
}


@pytest.mark.parametrize("row", ELSE)
def test_who_is_alone_has_the_requests_own_time(row: str) -> None:
    others, settings, given_up = ELSE[row]
    backends = []
    for other in others:
        backend = cloud("open") if other == "open" else other
        if other == "open":
            for _ in range(3):
                backend.breaker.failure(14.0, 14.0)
        backends.append(backend)
    one = machine(cloud(), *backends, **settings)
    one.begin(0.0)
    one.sent(0.0)
    assert outcome(one, 15.1) is (Outcome.TOO_LATE if given_up else None)
    assert outcome(one, 600.0) is Outcome.TOO_LATE, "a failure after such waiting counts"


def test_who_comes_back_is_asked_even_late() -> None:
    other = cloud("other")
    for _ in range(3):
        other.breaker.failure(0.0, 0.0)
    one = machine(cloud(), other)
    one.begin(0.0)
    one.sent(0.0)
    other.breaker.failure(14.0, 14.0)
    late = next(now for now in range(15, 600) if outcome(one, float(now)))
    assert 15 < late < 120, "its breaker lets a request through again"


def test_the_impatience_of_a_client_is_no_fault_but_lateness_is() -> None:
    for deadline, expected in ((14.0, Outcome.OUT_OF_TIME), (20.0, Outcome.TOO_LATE)):
        one = machine(cloud(), deadline=deadline)
        one.begin(0.0)
        one.sent(0.0)
        assert outcome(one, deadline - 0.1) is None and outcome(one, deadline) is expected


def test_a_stall_that_nobody_else_can_write_on_is_waited_for() -> None:
    backend = cloud()
    one = committed(machine(backend, deadline=100.0))
    assert outcome(one, 99.0) is None and outcome(one, 100.0) is Outcome.TOO_LATE
    late = one.expired(100.0)
    assert late is not None
    decision = one.broke(100.0, late, STALLED)
    assert isinstance(decision, Interrupt) and decision.kind.word == "router_deadline"
    assert outcome(committed(machine(cloud(), stall_seconds=5)), 6.1) is Outcome.TOO_LATE
    off = cloud("other", rule="Off")
    assert outcome(committed(machine(cloud(), off)), 50.0) is None
    assert outcome(committed(machine(cloud(), cloud("other"), continue_streams=False)), 50.0) is None
    assert outcome(committed(machine(cloud(), off, stream=False)), 50.0) is Outcome.TOO_LATE, "is asked anew"
    bound = committed(machine(cloud(), cloud("other")))
    assert outcome(bound, 50.0) is Outcome.TOO_LATE
    bound.is_bound()  # a tool call is open
    assert outcome(bound, 50.0) is None
    bound.last = 51.0
    assert outcome(bound, 70.0) is Outcome.TOO_LATE, "looked at anew after every event"


def test_one_more_pod_is_asked_after_a_slow_one_and_no_third() -> None:
    one = machine(house(pods=3))
    first = where(one.begin(0.0))
    one.sent(0.0)
    late = one.expired(15.3)
    assert late is not None and late.outcome is Outcome.TOO_LATE
    decision = one.failed(15.3, late)
    assert where(decision) != first
    one.sent(15.3)
    assert outcome(one, 100.0) is None, "the second is waited for"
    assert isinstance(one.failed(100.0, fail(Outcome.TOO_LATE)), Answer)


def test_a_stalled_server_is_not_asked_again_but_a_lost_one_is() -> None:
    stalled = committed(machine(house()))
    assert isinstance(stalled.broke(20.0, fail(Outcome.TOO_LATE), STALLED), Interrupt)
    lost = committed(machine(house()))
    assert isinstance(lost.broke(20.0, fail(Outcome.INTERRUPTED), INTERRUPTED), Try)


def test_waiting_alone_opens_the_breaker_in_the_end() -> None:
    backend = cloud()
    for _ in range(3):
        one = machine(backend, deadline=40.0)
        one.begin(0.0)
        one.sent(0.0)
        late = one.expired(40.0)
        assert late is not None
        one.failed(40.0, late)
    assert backend.breaker.state is State.OPEN
