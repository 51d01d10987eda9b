"""Reasons of Events that tell of no condition, each with what it means and what to do about it. Pure.

A condition that changes is told by an Event, too, whose reason is the condition's (`api.meanings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from genset import names


class EventReason(StrEnum):
    """Reasons of Events that tell of no condition. Those of an outage that begins are `OutageReason`."""

    # ModelDeployment
    WOKEN = "Woken"
    SCALED = "Scaled"
    PUT_TO_REST = "PutToRest"
    FIELD_OVERRULED = "FieldOverruled"  # also of a RoutePolicy
    # RoutePolicy: an outage is over
    EGRESS_RESTORED = "EgressRestored"
    HOUSE_RESTORED = "HouseRestored"
    PROVIDER_RESTORED = "ProviderRestored"
    BACKEND_RESTORED = "BackendRestored"
    NODE_RESTORED = "NodeRestored"
    LEDGER_RESTORED = "LedgerRestored"
    # RoutePolicy: budgets
    BUDGET_NEARLY_SPENT = "BudgetNearlySpent"
    BUDGET_SPENT = "BudgetSpent"
    BUDGET_OPEN = "BudgetOpen"
    # RoutePolicy: drills
    DRILL_BEGAN = "DrillBegan"
    DRILL_PASSED = "DrillPassed"
    DRILL_MISSED_OBJECTIVE = "DrillMissedObjective"
    DRILL_ABORTED = "DrillAborted"
    DRILL_MISSED = "DrillMissed"


@dataclass(frozen=True)
class EventMeaning:
    """A meaning says of which `kinds` an Event is, its `type`, what it tells, and what to do; "" if nothing is needed."""

    type: Literal["Normal", "Warning"]
    tells: str
    remedy: str = ""
    kinds: tuple[str, ...] = (names.ROUTE_POLICY,)


_MODEL = (names.MODEL_DEPLOYMENT,)
_MISSED = "Read `status.drills[].last`: what was lost, and how long it took. Then the route's tiers, and what stood in."
EVENTS: Mapping[EventReason, EventMeaning] = {
    EventReason.WOKEN: EventMeaning(
        "Normal", "Autoscaling: a request came to a model at rest, which wakes.", kinds=_MODEL
    ),
    EventReason.SCALED: EventMeaning(
        "Normal", "Autoscaling: the load, or a schedule, changes the replicas.", kinds=_MODEL
    ),
    EventReason.PUT_TO_REST: EventMeaning(
        "Normal", "Autoscaling: no request came for `autoscaling.idleSeconds`, and the model rests.", kinds=_MODEL
    ),
    EventReason.FIELD_OVERRULED: EventMeaning(
        "Normal",
        "A field of a child does not become what genset wants: somebody else writes it again, and genset lets it be.",
        "Nothing, if that is wanted; else find who writes it: `kubectl get … -o yaml --show-managed-fields`.",
        (names.MODEL_DEPLOYMENT, names.ROUTE_POLICY),
    ),
    EventReason.EGRESS_RESTORED: EventMeaning("Normal", "The way out of the house works again: clouds answer."),
    EventReason.HOUSE_RESTORED: EventMeaning("Normal", "A backend of the house answers again."),
    EventReason.PROVIDER_RESTORED: EventMeaning("Normal", "The provider takes the account's key again."),
    EventReason.BACKEND_RESTORED: EventMeaning(
        "Normal", "A backend that had refused its key or its model answers again."
    ),
    EventReason.NODE_RESTORED: EventMeaning("Normal", "A node that was lost is back, or its pods serve elsewhere."),
    EventReason.LEDGER_RESTORED: EventMeaning(
        "Normal", "The ledger takes records again; what routers had kept is sent once."
    ),
    EventReason.BUDGET_NEARLY_SPENT: EventMeaning(
        "Warning",
        "More than `warnAtPercent` of a budget is spent; the message says what it comes to if it goes on so.",
        "`genset usage --by consumer,route` says who spends it; raise `amount`, or let it do what `whenSpent` says.",
    ),
    EventReason.BUDGET_SPENT: EventMeaning(
        "Warning",
        "A budget is spent: until its window ends, requests that it holds go where `whenSpent` says.",
        "Raise `amount`, or wait for the window that the message names.",
    ),
    EventReason.BUDGET_OPEN: EventMeaning(
        "Normal", "A budget has room again: its window began anew, or its amount was raised."
    ),
    EventReason.DRILL_BEGAN: EventMeaning("Normal", "A drill has begun; `genset drill list` shows how far it is."),
    EventReason.DRILL_PASSED: EventMeaning("Normal", "A drill has met its objective; the message has the numbers."),
    EventReason.DRILL_MISSED_OBJECTIVE: EventMeaning(
        "Warning", "A drill has run, and its objective was missed.", _MISSED
    ),
    EventReason.DRILL_ABORTED: EventMeaning(
        "Warning",
        "A drill has ended before its end and proves nothing; the message says why.",
        "Run it again once the reason is gone: `genset drill run POLICY NAME`.",
    ),
    EventReason.DRILL_MISSED: EventMeaning(
        "Warning",
        "A drill was due and could not run: no operator was there, or another drill ran.",
        "Nothing; it runs at its next time. If it happens often, move its schedule.",
    ),
}
