"""A refusal tells a client which budget keeps its request from being answered, when that begins anew, and what helps. Pure."""

from __future__ import annotations

import math
from typing import Final

from genset.router.budgets.budget import Budget
from genset.router.errors import ErrorAnswer, error
from genset.times import rfc3339

RESERVED_SECONDS: Final = 2  # after which what is reserved may have come back
LONGEST_SECONDS: Final = 3600  # of a Retry-After: a budget may be raised long before its window ends
_EACH: Final = {"Day": "a day", "Week": "a week", "Month": "a month"}


def refusal(backend: str, budget: Budget, wall: float, *, waits: bool) -> ErrorAnswer:
    """Returns the error of a request that a budget keeps from a backend, and nobody else is left.

    `wall`: seconds since 1970. `waits`: there may be room in a moment.
    """
    name, terms = budget.terms.name, budget.terms
    told = f"budget {name} ({terms.told_amount} {terms.currency} {_EACH[terms.kind]})"
    if waits:
        words = (
            f"what is left of {told} is reserved by requests in work, here or at other routers: backend {backend} was not asked; "
            "try again in a moment"
        )
        return error("policy_budget_spent", words, retry_after=RESERVED_SECONDS)
    again = max(1, min(LONGEST_SECONDS, math.ceil(budget.end - wall)))
    words = (
        f"{told} is spent: backend {backend} may be asked again from {rfc3339(budget.end)} on, or when the RoutePolicy's "
        f"budgets[{name}].amount is raised"
    )
    return error("policy_budget_spent", words, retry_after=again)


def passed_over(backend: str, budget: Budget) -> str:
    """Tells in a few words why a backend was not asked."""
    return f"{backend} was not asked: budget {budget.terms.name} is spent"
