"""What budgets make of a request is explained by the router's own purse: which hold it, and what if some of them were spent."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from genset.contracts.router_config import RouterConfig
from genset.router.access.consumer import Consumer
from genset.router.budgets.budget_book import BudgetBook, clouds_of
from genset.router.budgets.purse import Expectation, Permission
from genset.router.budgets.refusal import passed_over
from genset.router.errors import ConfigRejected, ErrorAnswer
from genset.router.machine.answer_room import limit_of
from genset.router.machine.decisions import Candidate
from genset.router.routing.plan import Plan
from genset.router.routing.table import LeftOut


@dataclass
class Paid:
    """What budgets leave of a plan. `budgets`: `whenSpent` of those that hold the request, by name."""

    candidates: list[Candidate]
    left_out: list[LeftOut] = field(default_factory=list)
    refused: ErrorAnswer | None = None
    budgets: Mapping[str, str] = field(default_factory=dict)


def paid(
    config: RouterConfig,
    plan: Plan,
    consumer: Consumer | None,
    tokens: int,
    chat: dict[str, Any],
    spent: Collection[str],
) -> Paid:
    """Returns what would be left if the budgets of these names were spent. Raises ConfigRejected for names that none has."""
    known = [one.name for one in config.budgets.budgets] if config.budgets is not None else []
    for name in spent:
        if name not in known:
            raise ConfigRejected(f"--spent {name}: no such budget; the policy has {', '.join(known) or 'none'}")
    if config.budgets is None:
        return Paid(plan.candidates)
    book, route = BudgetBook("explain", time.time, time.monotonic), plan.route.name
    book.take(config.budgets.model_copy(update={"routers": 1}), clouds_of(config))
    for name in spent:
        book.spend(name)
    who = (consumer.name, consumer.team) if consumer is not None else ("", "")
    held = book.holds(route, *who)
    purse = book.purse(route, *who, "", Expectation(tokens, limit_of(chat), 1, 0, chats=True))
    found = Paid([], budgets={one.terms.name: one.terms.when_spent for one in held})
    for candidate in plan.candidates:
        name, verdict = candidate.backend.name, purse.verdict(candidate.backend, 0.0)
        if verdict == Permission.ASK:
            found.candidates.append(candidate)
            continue
        found.left_out.append(LeftOut(route, name, passed_over(name, purse.barred[name])))
        if verdict == Permission.REFUSE:
            break
    if not found.candidates:
        found.refused = purse.refusal()
    return found
