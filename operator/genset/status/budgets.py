"""What was spent of budgets becomes status, Events, and warnings of budgets that can never act.

Routers tell what they know of all of them together, so the most that one knows is what was spent. What was told of a window stays
until there is a percent more, or the window ends: a policy at rest is never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, InvalidOperation

from genset.api.budgets import BudgetSpec
from genset.api.event_reasons import EventReason
from genset.api.routepolicy import Reason, RoutePolicy
from genset.api.routepolicy_status import BudgetState, BudgetStatus
from genset.contracts.router_admin import BudgetReport, ConfigReport
from genset.desired.budgets import UTC as UTC_NAME
from genset.desired.prices import is_known, price_config
from genset.router.providers import PROVIDERS
from genset.status.conditions import Event
from genset.status.problem import Problem
from genset.times import rfc3339, seconds
from genset.windows import is_time_zone, window

_CENT = Decimal("0.01")
_EARLY = 20  # parts of a window, in the first of which nothing is projected
_DOLLARS = "USD"  # in which providers tell their own figure


def evaluate(
    resource: RoutePolicy, heard: Iterable[ConfigReport | None], old: Sequence[BudgetStatus], now: str
) -> list[BudgetStatus]:
    """Returns what is told of each budget. `now`: RFC 3339."""
    moment = seconds(now)
    before = {one.name: one for one in old}
    told = [report for said in heard if said is not None for report in said.budgets]
    found = []
    for budget in resource.spec.budgets:
        zone = budget.time_zone or UTC_NAME
        if not is_time_zone(zone):
            continue
        begin, end = window(budget.window.value, zone, moment)
        mine = [one for one in told if (one.name, one.currency, one.begin) == (budget.name, budget.currency, begin)]
        found.append(_status(budget, mine, before.get(budget.name), (begin, moment, end)))
    return found


def _status(
    budget: BudgetSpec, told: Sequence[BudgetReport], old: BudgetStatus | None, times: tuple[int, float, int]
) -> BudgetStatus:
    begin, moment, end = times
    amount = Decimal(budget.amount)
    spent = max((_money(one.spent) for one in told), default=Decimal(0))
    same = old is not None and (old.amount, old.currency, old.window_begin) == (
        budget.amount, budget.currency, rfc3339(begin),
    )  # fmt: skip
    if same and old is not None:
        spent = max(spent, _money(old.spent))
    percent = int((spent * 100 / amount).to_integral_value(ROUND_DOWN)) if amount else 100
    short = any(one.short for one in told)
    state = _state(spent, amount, percent, budget.warn_at_percent, short=short)
    uncounted = sum(one.uncounted for one in told)
    if same and old is not None and (old.percent, old.state, old.uncounted > 0) == (percent, state, uncounted > 0):
        return old
    early = moment - begin < (end - begin) / _EARLY
    projected = spent * int(end - begin) / max(1, int(moment - begin))
    return BudgetStatus(
        name=budget.name,
        state=state,
        amount=budget.amount,
        currency=budget.currency,
        spent=_cents(spent),
        left=_cents(max(Decimal(0), amount - spent)),
        percent=percent,
        projected="" if early else _cents(projected),
        window_begin=rfc3339(begin),
        window_end=rfc3339(end),
        uncounted=uncounted,
    )


def _state(spent: Decimal, amount: Decimal, percent: int, warn_at: int, *, short: bool) -> BudgetState:
    if spent >= amount or short:
        return BudgetState.SPENT
    return BudgetState.WARNED if percent >= warn_at else BudgetState.OPEN


def fullest(budgets: Sequence[BudgetStatus]) -> str:
    """Returns the budget of which most is spent, for a column."""
    if not budgets:
        return ""
    one = max(budgets, key=lambda budget: budget.percent)
    return f"{one.spent} of {one.amount} {one.currency} ({one.name})"


def events(old: Sequence[BudgetStatus], new: Sequence[BudgetStatus]) -> list[Event]:
    """Returns Events of budgets that are nearly spent, spent, or begin anew."""
    before = {one.name: one for one in old}
    found: list[Event] = []
    for one in new:
        was = before.get(one.name)
        if was is not None and was.state == one.state and was.window_begin == one.window_begin:
            continue
        told = f"Budget {one.name}: {one.spent} of {one.amount} {one.currency} are spent ({one.percent} %)"
        if one.state == BudgetState.SPENT:
            found.append(("Warning", EventReason.BUDGET_SPENT, f"{told}; it begins anew at {one.window_end}"))
        elif one.state == BudgetState.WARNED:
            ahead = f"; {one.projected} {one.currency} if it goes on so until {one.window_end}" if one.projected else ""
            found.append(("Warning", EventReason.BUDGET_NEARLY_SPENT, told + ahead))
        elif was is not None and was.state != BudgetState.OPEN:
            found.append(("Normal", EventReason.BUDGET_OPEN, f"{told}; its backends may be asked again"))
    return found


def warnings(resource: RoutePolicy) -> Iterator[Problem]:
    """Yields budgets that can never act, and what they do not count."""
    for budget in resource.spec.budgets:
        yield from _warned(resource, budget)


def _warned(resource: RoutePolicy, budget: BudgetSpec) -> Iterator[Problem]:
    field, scope = f"spec.budgets[{budget.name}]", budget.scope
    routes = [r for r in resource.spec.routes if scope is None or scope.routes is None or r.name in scope.routes]
    asked = {b.name for route in routes for tier in route.tiers for b in tier.backends}
    held = [
        b
        for b in resource.spec.backends
        if b.cloud is not None and b.name in asked and (not scope or scope.backends is None or b.name in scope.backends)
    ]
    if not held:
        yield Problem(
            Reason.WITHOUT_EFFECT,
            f"{field} can never act, because no route of its scope asks a cloud of its scope: widen scope, or take it out",
            field,
        )
        return
    yield from _unknown_askers(resource, budget, field)
    others, unknown = [], []
    for backend in held:
        assert backend.cloud is not None
        price = price_config(backend.cloud)
        tells = PROVIDERS[backend.cloud.provider].tells_cost
        if not is_known(backend.cloud):
            unknown.append(backend.name)
        elif (price is None or price.currency != budget.currency) and not (tells and budget.currency == _DOLLARS):
            others.append(f"{backend.name} ({price.currency if price is not None else _DOLLARS})")
    never = ", so that it can never act" if len(others) + len(unknown) == len(held) else ""
    if others:
        yield Problem(
            Reason.WITHOUT_EFFECT,
            f"{field} counts {budget.currency} alone, because nothing is converted: what goes to "
            f"{', '.join(others)} is not in it{never}; make another budget in that currency",
            f"{field}.currency",
        )
    if unknown:
        yield Problem(
            Reason.PRICE_UNKNOWN,
            f"{field} does not count what goes to {', '.join(unknown)}, because nobody knows what it costs{never}; write it into "
            "cloud.price; once the budget is spent, it is not asked either",
            field,
        )


def _unknown_askers(resource: RoutePolicy, budget: BudgetSpec, field: str) -> Iterator[Problem]:
    """Yields names in a scope that nobody can have: consumers are known by the policy alone only without tokens and selectors."""
    access, scope = resource.spec.access, budget.scope
    if access is None or scope is None or access.jwt is not None or access.consumer_selector is not None:
        return
    names = {one.name for one in access.consumers} | {"anonymous"}
    teams = {one.team for one in access.consumers if one.team}
    for kind, said, known in (("consumers", scope.consumers, names), ("teams", scope.teams, teams)):
        if said and known.isdisjoint(said):
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field}.scope.{kind} can never act: spec.access has none of {', '.join(said[:3])}; correct the name",
                f"{field}.scope.{kind}",
            )


def _money(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() and found > 0 else Decimal(0)


def _cents(amount: Decimal) -> str:
    return f"{amount.quantize(_CENT, ROUND_HALF_EVEN):f}"
