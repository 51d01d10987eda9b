"""Conditions: transition times, churn, clipping, Events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genset.api.base import Condition
from genset.api.modeldeployment import Reason
from genset.status.conditions import MESSAGE_LIMIT, Verdict, clip, events_of, first, merged, refused
from genset.status.problem import Problem

THEN, NOW = "2026-11-20T08:00:00Z", "2026-11-21T10:00:00Z"


def one(verdict: Verdict, old: list[Condition] | None = None, now: str = NOW) -> Condition:
    (condition,) = merged(old or [], [("Ready", verdict)], 3, now)
    return condition


def test_the_time_moves_only_when_the_status_flips() -> None:
    starting = one(Verdict("False", "Starting", "0 of 1"), now=THEN)
    failed = one(Verdict("False", "CrashLoop", "it crashed"), [starting])
    ready = one(Verdict("True", "Ready", "up"), [failed])
    assert (failed.reason, failed.last_transition_time) == ("CrashLoop", THEN)
    assert ready.last_transition_time == NOW


def test_a_condition_that_is_no_longer_said_is_gone() -> None:
    stalled = merged([], [("Stalled", Verdict("True", "NotGGUF", "no"))], 1, THEN)
    assert merged(stalled, [("Ready", Verdict("True", "Ready", "up"))], 1, NOW)[0].type == "Ready"
    assert len(merged(stalled, [("Ready", Verdict("True", "Ready", "up"))], 1, NOW)) == 1


@given(
    st.lists(st.tuples(st.sampled_from(["True", "False", "Unknown"]), st.sampled_from(["A", "B"]), st.text(max_size=5)))
)
def test_the_same_verdict_twice_changes_nothing(said: list[tuple[str, str, str]]) -> None:
    old: list[Condition] = []
    for status, reason, message in said:
        verdict = Verdict(status, reason, message)  # type: ignore[arg-type]
        new = merged(old, [("Ready", verdict)], 1, THEN)
        assert merged(new, [("Ready", verdict)], 1, NOW) == new
        old = new


def test_the_first_check_with_something_to_say_decides() -> None:
    checks = (lambda n: None, lambda n: Verdict("False", "Odd", "odd") if n % 2 else None)
    assert first(checks, 1, Verdict("True", "Even", "even")).reason == "Odd"
    assert first(checks, 2, Verdict("True", "Even", "even")).reason == "Even"


def test_long_words_are_cut() -> None:
    assert clip("a" * 2000) == "a" * (MESSAGE_LIMIT - 1) + "…"
    assert len(one(Verdict("False", "X", "b" * 5000)).message) == MESSAGE_LIMIT


def test_events_tell_changes_once_and_alarm_only_for_faults() -> None:
    old = merged(
        [], [("Available", Verdict("True", "Available", "1 of 1")), ("Ready", Verdict("True", "Ready", "up"))], 1, THEN
    )
    crash = Verdict("False", "CrashLoop", "it crashed")
    new = merged(
        old, [("Available", crash), ("Ready", crash), ("Stalled", Verdict("True", "CrashLoop", "it crashed"))], 1, NOW
    )
    assert events_of(old, new, frozenset({"CrashLoop"})) == [("Warning", "CrashLoop", "it crashed")]
    assert events_of(new, new, frozenset({"CrashLoop"})) == []
    assert [kind for kind, _, _ in events_of(new, old, frozenset({"CrashLoop"}))] == ["Normal", "Normal"]


def test_other_words_for_the_same_reason_are_no_event() -> None:
    old = merged([], [("Ready", Verdict("False", "ReplicasMissing", "1 of 3"))], 1, THEN)
    new = merged(old, [("Ready", Verdict("False", "ReplicasMissing", "2 of 3"))], 1, NOW)
    assert events_of(old, new, frozenset()) == []


def test_only_what_goes_away_by_itself_needs_nobody() -> None:
    leaving, wrong = Problem(Reason.PREDECESSOR_LEAVING, "leaves"), Problem(Reason.NAME_CONFLICT, "is somebody's")
    assert not refused((leaving,)).needs_person
    assert refused((wrong, leaving)).needs_person
