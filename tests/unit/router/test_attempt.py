"""The state machine up to the first token, without sockets and without time: events in, decisions out."""

from __future__ import annotations

from typing import Any

import pytest

from genset.router.backends.breaker import State
from genset.router.backends.latency import EVERY
from genset.router.backends.outcomes import Outcome
from genset.router.machine.decisions import DEADLINE_OVER, Answer, Interrupt, Phase, Try
from tests.support.router.machines import cloud, committed, fail, house, machine, where

# outcome, next steps after the first attempt at house/10.0.0.1 (of two pods) while it keeps failing; delay of the first
ROWS: list[tuple[Outcome, list[str], float]] = [
    (Outcome.UNREACHABLE, ["house/10.0.0.2", "cloud/cloud.test"], 0.0),
    (Outcome.INTERRUPTED, ["house/10.0.0.2", "cloud/cloud.test"], 0.0),
    (Outcome.TOO_LATE, ["cloud/cloud.test"], 0.0),
    (Outcome.SERVER_ERROR, ["house/10.0.0.1", "cloud/cloud.test"], 0.2),
    (Outcome.UNAVAILABLE, ["house/10.0.0.2", "cloud/cloud.test"], 0.0),
    (Outcome.RATE_LIMITED_SHORT, ["house/10.0.0.1", "cloud/cloud.test"], 2.0),
    (Outcome.RATE_LIMITED, ["cloud/cloud.test"], 0.0),
    (Outcome.AUTH, ["cloud/cloud.test"], 0.0),
    (Outcome.MODEL_NOT_FOUND, ["cloud/cloud.test"], 0.0),
    (Outcome.CONTEXT_EXCEEDED, ["cloud/cloud.test"], 0.0),
    (Outcome.CONTENT_FILTER, [], 0.0),
    (Outcome.REJECTED, [], 0.0),
    (Outcome.UNSUPPORTED, [], 0.0),  # unless toCloudOn says so: test_to_cloud_on.py
    (Outcome.DENIED, [], 0.0),
    (Outcome.CONFLICT, ["house/10.0.0.1"], 0.2),
    (Outcome.INVALID_RESPONSE, ["cloud/cloud.test"], 0.0),
]


@pytest.mark.parametrize(("outcome", "steps", "delay"), ROWS, ids=[row[0] for row in ROWS])
def test_rows(outcome: Outcome, steps: list[str], delay: float) -> None:
    local = house(pods=2)
    local.pool._turn = -1  # the first pod's turn
    one = machine(local, cloud())
    assert where(one.begin(1.0)) == "house/10.0.0.1"
    failure = fail(outcome, retry_after=2.0 if outcome is Outcome.RATE_LIMITED_SHORT else None, status=400)
    decision = one.failed(1.0, failure)
    for number, step in enumerate(steps):
        assert where(decision) == step
        assert isinstance(decision, Try) and decision.delay == pytest.approx(delay if number == 0 else 0.0)
        if step.startswith("cloud"):
            break
        one.connecting()
        decision = one.failed(1.0 + decision.delay, failure)
    if not steps:
        assert isinstance(decision, Answer) and decision.answer.status == 400
    assert (one.trail[0].backend, one.trail[0].word) == ("house", outcome.value)


@pytest.mark.parametrize(
    ("outcome", "asked"), [(Outcome.SERVER_ERROR, 2), (Outcome.UNAVAILABLE, 2), (Outcome.UNREACHABLE, 1)]
)
def test_one_pod_has_no_sibling(outcome: Outcome, asked: int) -> None:
    one = machine(house(), cloud())
    decision: object = one.begin(0.0)
    count = 0
    while where(decision).startswith("house"):
        count += 1
        one.connecting()
        decision = one.failed(1.0, fail(outcome))
    assert count == asked


ORIGINAL = b'{"error":{"message":"t"}}'
FINAL: list[tuple[Outcome, dict[str, Any], int, str]] = [
    (Outcome.UNREACHABLE, {}, 502, "provider_unreachable"),
    (Outcome.TOO_LATE, {}, 504, "provider_timeout"),
    (Outcome.SERVER_ERROR, {"status": 500}, 502, "provider_error"),
    (Outcome.UNAVAILABLE, {"status": 503}, 503, "provider_unavailable"),
    (Outcome.RATE_LIMITED, {"status": 429, "retry_after": 7.0}, 429, "provider_rate_limited"),
    (Outcome.AUTH, {"status": 401}, 502, "provider_auth"),
    (Outcome.MODEL_NOT_FOUND, {"status": 404}, 502, "provider_model_not_found"),
    (Outcome.CONTEXT_EXCEEDED, {"status": 400, "body": ORIGINAL}, 400, "provider_context_exceeded"),
    (Outcome.REJECTED, {"status": 422, "body": ORIGINAL}, 422, "provider_rejected"),
    (Outcome.INVALID_RESPONSE, {}, 502, "provider_invalid_response"),
]


@pytest.mark.parametrize(("outcome", "more", "status", "word"), FINAL, ids=[row[0] for row in FINAL])
def test_the_last_failure_is_what_the_client_sees(
    outcome: Outcome, more: dict[str, Any], status: int, word: str
) -> None:
    one = machine(cloud(), max_attempts=1)
    one.begin(0.0)
    decision = one.failed(1.0, fail(outcome, **more))
    assert isinstance(decision, Answer)
    assert (decision.answer.status, decision.answer.kind.word) == (status, word)
    assert (decision.answer.body() == ORIGINAL) is ("body" in more)
    assert (decision.answer.retry_after is not None) is (status in (429, 503))
    assert one.phase == Phase.DONE


def test_larger_context_only() -> None:
    one = machine(house(context=8000), cloud("same", 8000), cloud("less", 4000), cloud("more", 9000), cloud("any"))
    one.begin(0.0)
    assert where(one.failed(0.1, fail(Outcome.CONTEXT_EXCEEDED, status=400))) == "more/cloud.test"
    assert where(one.failed(0.2, fail(Outcome.CONTEXT_EXCEEDED, status=400))) == "any/cloud.test"
    decision = one.failed(0.3, fail(Outcome.CONTEXT_EXCEEDED, status=400, body=b"x"))
    assert isinstance(decision, Answer) and decision.answer.status == 400


def test_deadlines_of_the_phases() -> None:
    one = machine(house(), cloud(), tokens=5000)
    one.begin(0.0)
    assert one.expired(1.4) is None
    late = one.expired(1.6)
    assert late is not None and late.outcome is Outcome.UNREACHABLE  # connect: 1.5 s in the house
    one.sent(0.5)
    assert one.expired(25.4) is None
    late = one.expired(25.6)
    assert late is not None and late.outcome is Outcome.TOO_LATE  # 15 s and 5000 tokens at 500/s
    one.head()
    assert one.expired(25.4) is None and one.expired(25.6) is not None
    one.committed(20.0)
    assert one.expired(30.0) is None and one.expired(30.1) is not None  # stall: 10 s in the house
    one.last = 29.0
    assert one.expired(38.9) is None
    one.finishing(31.0, awaits_usage=False, wrote_on=False)
    assert one.expired(1000.0) is None
    assert not one.finish_over(35.9) and one.finish_over(36.0)


def test_the_wait_behind_a_finish_is_a_silence_and_no_guillotine() -> None:
    one = committed(machine(house()))
    for now in (2.0, 6.0, 10.0):  # an event each
        one.finishing(now, awaits_usage=False, wrote_on=False)
        assert not one.finish_over(now + 4.9) and one.finish_over(now + 5.0)
    one.finishing(20.0, awaits_usage=True, wrote_on=False)
    assert not one.finish_over(29.9) and one.finish_over(30.0), "usage that was asked for takes longer"


def test_what_is_written_on_has_its_stall_deadline_again() -> None:
    one = committed(machine(house(), stall_seconds=20))
    one.finishing(2.0, awaits_usage=False, wrote_on=False)
    one.writes_on(4.0)
    assert not one.finish_over(9.5) and one.expired(23.9) is None and one.expired(24.1) is not None
    one.finishing(10.0, awaits_usage=False, wrote_on=True)
    assert not one.finish_over(29.9) and one.finish_over(30.0), "the next event may take as long as any"


def test_a_client_that_takes_nothing_stops_the_wait_and_the_deadline_ends_it() -> None:
    one = committed(machine(house()))
    one.finishing(2.0, awaits_usage=False, wrote_on=False)
    one.rests(6.5)
    assert not one.finish_over(11.4) and one.finish_over(11.5)
    one.finishing(one.deadline - 1, awaits_usage=False, wrote_on=False)
    assert not one.finish_over(one.deadline - 0.1) and one.finish_over(one.deadline)


def test_a_cloud_has_its_own_deadlines_and_a_route_overrides_them() -> None:
    one = machine(cloud(), cloud("other"), tokens=50_000)
    one.begin(0.0)
    assert one.expired(1.9) is None and one.expired(2.1) is not None
    one.sent(0.0)
    assert one.expired(14.9) is None and one.expired(15.1) is not None
    one.head()
    one.committed(0.0)
    assert one.expired(15.0) is None and one.expired(15.1) is not None
    two = machine(cloud(), first_token_seconds=3, stall_seconds=2)
    two.begin(0.0)
    two.sent(0.0)
    assert two.expired(2.9) is None and two.expired(3.0) is not None
    two.head()
    two.committed(0.0)
    assert two.expired(2.1) is not None


def test_an_answer_that_is_no_stream_has_only_the_requests_deadline() -> None:
    one = machine(cloud(), stream=False, deadline=100.0)
    one.begin(0.0)
    one.sent(0.0, streams=False)
    assert one.expired(99.0) is None and one.expired(100.0) is not None
    decision = one.failed(100.0, fail(Outcome.TOO_LATE))
    assert isinstance(decision, Answer) and decision.answer.kind.word == "router_deadline"


#: What is late when the request's time is over after 3 s: stream or not, the slowest of recent first tokens, settings,
#: tokens of the prompt; and whose fault it is.
OUT_OF_TIME: dict[str, tuple[bool, float, dict[str, Any], int, Outcome]] = {
    "nobody knows how long it takes": (True, 0.0, {}, 100, Outcome.OUT_OF_TIME),
    "no slower than others were": (True, 2.0, {}, 100, Outcome.OUT_OF_TIME),
    "slower than all others": (True, 0.5, {}, 100, Outcome.TOO_LATE),
    "a long prompt": (True, 0.5, {}, 2000, Outcome.OUT_OF_TIME),
    "nobody knows, but it is the route's own time": (True, 0.0, {"total_seconds": 3}, 100, Outcome.TOO_LATE),
    "a whole answer, an impatient client": (False, 0.5, {}, 100, Outcome.OUT_OF_TIME),
    "a whole answer, the route's own time": (False, 0.5, {"total_seconds": 3}, 100, Outcome.TOO_LATE),
}


@pytest.mark.parametrize("row", OUT_OF_TIME)
def test_whose_fault_it_is_that_the_requests_time_is_over(row: str) -> None:
    stream, usual, settings, tokens, expected = OUT_OF_TIME[row]
    backend = house()
    for _ in range(EVERY if usual else 0):
        backend.deadlines.first_tokens.add(usual)
    for _ in range(5):
        one = machine(backend, stream=stream, tokens=tokens, deadline=3.0, **settings)
        if not isinstance(one.begin(0.0), Try):
            break
        one.sent(0.0, streams=stream)
        assert one.expired(2.9) is None
        late = one.expired(3.0)
        assert late is not None and late.outcome is expected
        decision = one.failed(3.0, late)
        assert isinstance(decision, Answer) and decision.answer.kind.word == "router_deadline"
    assert (backend.breaker.state is State.CLOSED) == (expected is Outcome.OUT_OF_TIME)


def test_a_long_answer_that_runs_into_its_end_is_nobodys_fault() -> None:
    backend = house()
    for _ in range(5):
        one = committed(machine(backend, deadline=60.0))
        one.last = 59.9
        late = one.expired(60.0)
        assert late is not None and late.outcome is Outcome.OUT_OF_TIME
        decision = one.broke(60.0, late, DEADLINE_OVER, blame=False)
        assert isinstance(decision, Interrupt) and decision.kind.word == "router_deadline"
    assert backend.breaker.state is State.CLOSED
    one = committed(machine(backend, deadline=60.0))
    one.last = 40.0  # silent for longer than its stall deadline: that counts
    late = one.expired(60.0)
    assert late is not None and late.outcome is Outcome.TOO_LATE


def test_no_retry_that_would_miss_the_deadline() -> None:
    one = machine(cloud(), deadline=1.0)
    one.begin(0.0)
    assert isinstance(one.failed(0.9, fail(Outcome.SERVER_ERROR)), Answer)


def test_attempts_are_bounded_over_all_backends() -> None:
    one = machine(cloud("a"), cloud("b"), cloud("c"), max_attempts=2)
    one.begin(0.0)
    assert where(one.failed(0.0, fail(Outcome.UNREACHABLE))) == "b/cloud.test"
    assert isinstance(one.failed(0.0, fail(Outcome.UNREACHABLE)), Answer)


@pytest.mark.parametrize(
    ("first", "second", "again"),
    [
        (Outcome.INTERRUPTED, Outcome.UNREACHABLE, "a/cloud.test"),
        (Outcome.INTERRUPTED, Outcome.RATE_LIMITED, "a/cloud.test"),
        (Outcome.UNREACHABLE, Outcome.INTERRUPTED, "b/cloud.test"),
        (Outcome.INTERRUPTED, Outcome.INTERRUPTED, ""),  # the request may be what both fell over
        (Outcome.INTERRUPTED, Outcome.INVALID_RESPONSE, ""),
        (Outcome.TOO_LATE, Outcome.UNREACHABLE, ""),
    ],
)
def test_a_lost_connection_is_tried_once_more_if_nobody_else_had_the_request(
    first: Outcome, second: Outcome, again: str
) -> None:
    one = machine(cloud("a"), cloud("b"))
    one.begin(0.0)
    assert where(one.failed(0.0, fail(first))) == "b/cloud.test"
    decision = one.failed(0.0, fail(second))
    assert isinstance(decision, Try) == bool(again)
    if again:
        assert where(decision) == again
        assert isinstance(one.failed(0.0, fail(Outcome.INTERRUPTED)), Answer), "once"


def test_retries_stop_when_the_backends_budget_is_spent() -> None:
    local = cloud("a")
    again = 0
    for _ in range(40):
        one = machine(local, cloud("b"))
        local.breaker.success(0.0, 0.0)  # keeps the breaker out of this test
        first = one.begin(0.0)
        if where(first) != "a/cloud.test":
            break
        again += where(one.failed(0.0, fail(Outcome.SERVER_ERROR))) == "a/cloud.test"
        local.breaker.success(0.0, 0.0)
        local.breaker._close(0.0)
    assert 5 <= again <= 8, f"{again} of 40 requests were repeated"


def test_an_open_breaker_is_passed_by_and_told() -> None:
    local, other = cloud("a"), cloud("b")
    for _ in range(3):
        local.breaker.failure(0.0, 0.0)
    one = machine(local, other)
    assert where(one.begin(1.0)) == "b/cloud.test" and one.reason == "breaker_open"


def test_the_least_bad_is_tried_when_nothing_else_is_left() -> None:
    first, second = cloud("a"), cloud("b")
    for backend, at in ((first, 1.0), (second, 0.0)):
        for _ in range(3):
            backend.breaker.failure(at, at)
    one = machine(first, second)
    assert where(one.begin(2.0)) == "b/cloud.test"  # open for less long
    assert where(one.failed(2.0, fail(Outcome.UNREACHABLE))) == "a/cloud.test"
    assert isinstance(one.failed(2.0, fail(Outcome.UNREACHABLE)), Answer)


def test_what_refused_us_or_cools_is_no_last_resort() -> None:
    for outcome, status in ((Outcome.AUTH, 502), (Outcome.RATE_LIMITED, 429), (Outcome.MODEL_NOT_FOUND, 502)):
        backend = cloud()
        first = machine(backend)
        first.begin(0.0)
        first.failed(0.0, fail(outcome, retry_after=30.0))
        decision = machine(backend).begin(1.0)
        assert isinstance(decision, Answer) and decision.answer.status == status


def test_no_endpoint_at_all_is_503() -> None:
    decision = machine(house(pods=0)).begin(0.0)
    assert isinstance(decision, Answer)
    assert (
        decision.answer.status == 503
        and decision.answer.retry_after
        and "house: no_endpoint" in decision.answer.message
    )


def test_half_open_lets_one_request_through_and_commit_gives_the_token_back() -> None:
    backend, other = cloud("a"), cloud("b")
    for _ in range(3):
        backend.breaker.failure(0.0, 0.0)
    one, two = machine(backend, other), machine(backend, other)
    assert where(one.begin(5.0)) == "a/cloud.test"
    assert where(two.begin(5.0)) == "b/cloud.test"
    one.sent(5.0)
    one.head()
    one.committed(5.1)
    assert where(machine(backend, other).begin(5.2)) == "a/cloud.test"


def test_a_client_that_leaves_teaches_nothing() -> None:
    backend = cloud()
    for _ in range(5):
        one = machine(backend)
        one.begin(0.0)
        one.sent(0.0)
        one.cancelled(1.0)
    assert backend.breaker.state is State.CLOSED
    for _ in range(3):
        backend.breaker.failure(1.0, 1.0)
    probe = machine(backend)
    probe.begin(6.0)
    probe.cancelled(6.5)
    assert backend.admits(6.5), "the half-open token was lost with the client"


def test_a_sibling_is_the_last_resort_of_a_request() -> None:
    one = machine(house(pods=2))
    first = where(one.begin(0.0))
    second = where(one.failed(1.0, fail(Outcome.TOO_LATE)))
    assert first != second and second.startswith("house/")
    assert isinstance(one.failed(2.0, fail(Outcome.TOO_LATE)), Answer)


def test_a_connection_that_a_busy_loop_did_not_look_at_has_its_time() -> None:
    one = machine(house())
    one.begin(0.0)
    one.looked_away(1.0)
    assert one.expired(2.4) is None, "lost to the router's own deadline"
    failure = one.expired(2.6)
    assert failure is not None and failure.outcome is Outcome.UNREACHABLE
    one.sent(2.6)
    limit = one.patience.until
    one.looked_away(1.0)
    assert one.patience.until == limit, "only what is looked for can be missed"
