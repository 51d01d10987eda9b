"""A request's way through its phases: which step is legal where, and what a wire that errs is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genset.router.backends.outcomes import Outcome
from genset.router.machine.decisions import INTERRUPTED, NEXT, Phase, may_follow
from genset.router.machine.machine import RequestMachine
from tests.support.router.machines import cloud, committed, fail, machine

PHASES = range(Phase.DONE + 1)


def test_the_table_and_its_bits_say_the_same() -> None:
    assert list(NEXT) == list(PHASES), "the bits are in the order of the phases"
    for before in PHASES:
        assert {phase for phase in PHASES if may_follow(phase, before)} == set(NEXT[before])


def test_every_phase_is_reached_and_only_the_end_is_one() -> None:
    assert {phase for following in NEXT.values() for phase in following} == set(PHASES)
    assert [phase for phase in PHASES if not NEXT[phase]] == [Phase.DONE]
    assert all(Phase.DONE in NEXT[phase] for phase in PHASES if phase != Phase.DONE), "clients leave at any time"


def begun() -> RequestMachine:
    one = machine(cloud())
    one.begin(0.0)
    return one


def sent() -> RequestMachine:
    one = begun()
    one.sent(0.0)
    return one


def over() -> RequestMachine:
    one = committed(machine(cloud()))
    one.succeeded(2.0)
    return one


#: What was there before, and what a wire must not report then.
ILLEGAL: dict[str, tuple[Callable[[], RequestMachine], Callable[[RequestMachine], object]]] = {
    "begun twice": (begun, lambda one: one.begin(1.0)),
    "an answer to what was not sent": (begun, lambda one: one.head()),
    "a token without a head": (sent, lambda one: one.committed(1.0)),
    "sent twice": (sent, lambda one: one.sent(1.0)),
    "closed unseen, after its answer began": (lambda: committed(machine(cloud())), lambda one: one.unsent()),
    "an end without a beginning": (sent, lambda one: one.finishing(1.0, awaits_usage=False, wrote_on=False)),
    "more behind the end": (over, lambda one: one.writes_on(3.0)),
    "a failure behind the end": (over, lambda one: one.failed(3.0, fail(Outcome.UNREACHABLE))),
    "a break behind the end": (over, lambda one: one.broke(3.0, fail(Outcome.INTERRUPTED), INTERRUPTED)),
    "complete twice": (over, lambda one: one.succeeded(3.0)),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_a_step_that_no_request_takes_is_refused(name: str) -> None:
    before, step = ILLEGAL[name]
    one = before()
    with pytest.raises(AssertionError, match="phase"):
        step(one)


def test_a_client_that_leaves_when_all_is_over_changes_nothing() -> None:
    one = over()
    one.cancelled(3.0)
    assert one.phase == Phase.DONE and [step.word for step in one.trail] == ["ok"]
