"""The state machine after the first token: who writes on, how often, and what the client reads when nobody may."""

from __future__ import annotations

from typing import Any

import pytest

from genset.router.backends.breaker import State
from genset.router.backends.outcomes import Outcome
from genset.router.machine.decisions import (
    DEADLINE_OVER,
    FAILED_INSIDE,
    INTERRUPTED,
    STALLED,
    Answer,
    Break,
    Interrupt,
    Phase,
    Try,
)
from tests.support.router.machines import cloud, committed, fail, house, machine, where


@pytest.mark.parametrize("kind", [INTERRUPTED, STALLED, FAILED_INSIDE, DEADLINE_OVER])
def test_a_break_that_nobody_may_continue_is_told(kind: Break) -> None:
    one = committed(machine(house(), cloud()))
    decision = one.broke(2.0, fail(Outcome.INTERRUPTED), kind, "tool_call")
    assert isinstance(decision, Interrupt) and decision.kind is kind.kind
    assert one.phase == Phase.DONE and one.candidate is not None


# name: pods of the house, tiers, settings, what the first break leads to
CONTINUED: dict[str, tuple[int, tuple[str, ...], dict[str, Any], str]] = {
    "a sibling first": (2, ("Anchor",), {}, "house/10.0.0.2"),
    "the next backend": (1, ("Anchor",), {}, "cloud/cloud.test"),
    "not one that is off": (1, ("Off", "Anchor"), {}, "cloud2/cloud.test"),
    "the same once more, where nobody else is": (1, (), {}, "house/10.0.0.1"),
    "switched off": (1, ("Anchor",), {"continue_streams": False}, ""),
    "attempts used up": (1, ("Anchor",), {"max_attempts": 1}, ""),
}


@pytest.mark.parametrize("row", CONTINUED)
def test_a_broken_stream_is_continued(row: str) -> None:
    pods, rules, settings, expected = CONTINUED[row]
    local = house(pods=pods)
    local.pool._turn = -1
    clouds = [cloud(f"cloud{n + 1 if n else ''}", rule=rule) for n, rule in enumerate(rules)]
    one = committed(machine(local, *clouds, **settings))
    decision = one.broke(2.0, fail(Outcome.INTERRUPTED), INTERRUPTED)
    assert one.continuing
    if expected:
        assert where(decision) == expected
    else:
        assert isinstance(decision, Interrupt) and decision.kind.word == "provider_interrupted"


def test_an_answer_is_continued_twice_and_then_told() -> None:
    one = committed(machine(*(cloud(f"cloud{n}") for n in range(4))))
    for now in (2.0, 3.0):
        assert isinstance(one.broke(now, fail(Outcome.INTERRUPTED), INTERRUPTED), Try)
        one.sent(now)
        one.head()
        one.committed(now)
    assert isinstance(one.broke(4.0, fail(Outcome.INTERRUPTED), INTERRUPTED), Interrupt)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_no_failure_of_a_continuation_shows_the_upstreams_own_error(outcome: Outcome) -> None:
    one = committed(machine(cloud("first"), cloud("second"), cloud("third")))
    one.broke(2.0, fail(Outcome.INTERRUPTED), INTERRUPTED)
    decision: object = None
    for _ in range(6):
        one.connecting()
        decision = one.failed(3.0, fail(outcome, body=b"secret", status=400))
        if not isinstance(decision, Try):
            break
    assert isinstance(decision, Interrupt) and decision.kind.word == "provider_interrupted"
    assert any(step.backend == "third" for step in one.trail), "not everybody was asked"


def test_a_refused_way_of_asking_is_asked_otherwise() -> None:
    one = committed(machine(cloud("first"), cloud("second")))
    assert where(one.broke(2.0, fail(Outcome.INTERRUPTED), INTERRUPTED)).startswith("second")
    assert where(one.once_more(3.0, fail(Outcome.REJECTED, status=400), "no_prefill")).startswith("second")
    assert (one.trail[-1].backend, one.trail[-1].word) == ("second", "no_prefill")


def test_asking_otherwise_is_no_attempt() -> None:
    one = machine(cloud("first"), cloud("second"), max_attempts=1)
    one.begin(0.0)
    for number in range(3):
        one.sent(1.0)
        assert where(one.once_more(1.0, fail(Outcome.REJECTED, status=400), f"lower_{number}")).startswith("first")
    assert one.attempts == 4, "calls are counted as they are"
    assert isinstance(one.failed(2.0, fail(Outcome.SERVER_ERROR)), Answer)
    late = machine(cloud("first"), deadline=5.0)
    late.begin(0.0)
    assert isinstance(late.once_more(5.0, fail(Outcome.REJECTED, status=400), "no_stream"), Answer)


def test_breaks_open_the_breaker() -> None:
    backend = cloud()
    for _ in range(3):
        one = committed(machine(backend), 0.0)
        one.broke(1.0, fail(Outcome.INTERRUPTED), INTERRUPTED)
    assert backend.breaker.state is State.OPEN
