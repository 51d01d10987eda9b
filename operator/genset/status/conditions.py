"""Conditions are made here from verdicts, without churn, and Events from two lists of conditions.

A verdict is what a chain of checks says of one condition. `lastTransitionTime` moves only when the status flips, and
equal verdicts give equal conditions, so a steady world is never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from genset.api.base import Condition
from genset.api.modeldeployment import Reason
from genset.status.problem import Problem

ConditionStatus = Literal["True", "False", "Unknown"]
MESSAGE_LIMIT = 1024  # characters; a status is for reading

Event = tuple[Literal["Normal", "Warning"], str, str]  # type, reason, message
T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    """A verdict is what a condition should say. `needs_person`: nothing will change unless a person does something."""

    status: ConditionStatus
    reason: str
    message: str
    needs_person: bool = False


def refused(problems: tuple[Problem, ...]) -> Verdict:
    """Returns the verdict False for the first problem's reason, with all of them in words."""
    words = "; ".join(dict.fromkeys(problem.message for problem in problems))
    passes = problems[0].reason == Reason.PREDECESSOR_LEAVING  # it goes away by itself
    return Verdict("False", problems[0].reason, words, needs_person=not passes)


def first(checks: Iterable[Callable[[T], Verdict | None]], given: T, otherwise: Verdict) -> Verdict:
    """Returns what the first check that has something to say decides; `otherwise` if none has."""
    for check in checks:
        verdict = check(given)
        if verdict is not None:
            return verdict
    return otherwise


def merged(
    old: Sequence[Condition], verdicts: Iterable[tuple[str, Verdict]], generation: int, now: str
) -> list[Condition]:
    """Returns conditions in the order of the verdicts. `now` (RFC 3339) marks those whose status flips."""
    before = {condition.type: condition for condition in old}
    out = []
    for kind, verdict in verdicts:
        known = before.get(kind)
        same = known is not None and known.status == verdict.status
        out.append(
            Condition(
                type=kind,
                status=verdict.status,
                reason=verdict.reason,
                message=clip(verdict.message),
                observed_generation=generation,
                last_transition_time=known.last_transition_time if known is not None and same else now,
            )
        )
    return out


def is_ready(conditions: Iterable[Condition]) -> bool:
    """Returns whether the condition Ready is True."""
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


def events_of(old: Sequence[Condition], new: Sequence[Condition], alarming: frozenset[str]) -> list[Event]:
    """Returns Events for conditions that flipped or changed their reason. `alarming` reasons are Warnings.

    Several conditions often have the same reason (Available, Ready, Stalled): it is told once, in the words of the
    last one, which knows most.
    """
    before = {condition.type: condition for condition in old}
    out: dict[str, Event] = {}
    for condition in new:
        known = before.get(condition.type)
        if known is not None and (known.status, known.reason) == (condition.status, condition.reason):
            continue
        kind: Literal["Normal", "Warning"] = "Warning" if condition.reason in alarming else "Normal"
        out[condition.reason] = (kind, condition.reason, condition.message)
    return list(out.values())


def clip(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Returns at most `limit` characters, with an ellipsis if it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
