"""What may be spent is said here: budgets, what they hold, and what becomes of requests once one is spent."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from genset.api.base import DNS_LABEL, ApiModel, CelRule
from genset.api.cron import TimeZone
from genset.api.price import Currency

Label = Annotated[str, Field(pattern=DNS_LABEL, min_length=1, max_length=63, examples=["frontier"])]
Named = Annotated[str, Field(min_length=1, max_length=253, examples=["invoices"])]
MOST_BUDGETS = 32  # of a policy
_MOST_NAMED = 32  # of each kind in a scope
WARN_PERCENT = 80


class BudgetWindow(StrEnum):
    """What a budget is for: it begins anew with each of these."""

    MONTH = "Month"
    WEEK = "Week"
    DAY = "Day"


class WhenSpent(StrEnum):
    """What becomes of requests that a spent budget holds."""

    HOUSE_ONLY = "HouseOnly"
    NEXT_TIER = "NextTier"
    REFUSE = "Refuse"


def _scope(what: str) -> Any:
    return Field(
        default=None,
        min_length=1,
        max_length=_MOST_NAMED,
        description=f"{what} Default: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class BudgetScope(ApiModel):
    """What a budget holds: what is in all of the lists that are given."""

    consumers: list[Named] | None = _scope("Requests of these consumers; needs spec.access.")
    teams: list[Named] | None = _scope("Requests of consumers of these teams; needs spec.access.")
    routes: list[Label] | None = _scope("Requests of these routes.")
    backends: list[Label] | None = _scope("What these backends cost; clouds alone, because the house costs no request.")


class BudgetSpec(ApiModel):
    """What may be spent in a day, a week or a month, over all routers of the policy. See docs/budgets.md."""

    name: str = Field(
        pattern=DNS_LABEL,
        min_length=1,
        max_length=63,
        examples=["frontier-month"],
        description="Name in messages, metrics and status. What was spent is kept by it: another name begins anew.",
    )
    scope: BudgetScope | None = Field(default=None, description="What it holds. Default: every request to a cloud.")
    amount: str = Field(
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$",
        max_length=16,
        examples=["500"],
        description='What may be spent in one window, as text in quotes: "500". "0": nothing that costs anything.',
    )
    currency: Currency = Field(
        description="Currency (ISO 4217). What costs another one is not counted, because nothing is converted: a condition tells."
    )
    window: BudgetWindow = Field(
        default=BudgetWindow.MONTH, strict=False, description="When it begins anew: weeks begin on Monday."
    )
    time_zone: TimeZone | None = Field(
        default=None,
        description="Whose midnight begins it, by its name in the time zone database. Default: UTC.",
    )
    warn_at_percent: int = Field(
        default=WARN_PERCENT, ge=1, le=100, description="Part of it that is spent when an Event warns."
    )
    when_spent: WhenSpent = Field(
        default=WhenSpent.HOUSE_ONLY,
        strict=False,
        description="HouseOnly: requests that it holds are answered by models of the house alone. NextTier: its backends are "
        "passed over, and whoever comes next in the route answers. Refuse: a request whose turn comes at one of its backends "
        "gets 429, so that no other model answers unseen. Models of the house are never passed over for money.",
    )


def _scopes(spec: Any) -> list[BudgetScope]:
    return [budget.scope for budget in spec.budgets if budget.scope is not None]


def _routes_known(spec: Any) -> bool:
    known = {route.name for route in spec.routes}
    return all(name in known for scope in _scopes(spec) for name in scope.routes or ())


def _clouds_named(spec: Any) -> bool:
    clouds = {backend.name for backend in spec.backends if backend.cloud is not None}
    return all(name in clouds for scope in _scopes(spec) for name in scope.backends or ())


def _askers_known(spec: Any) -> bool:
    return spec.access is not None or not any(scope.consumers or scope.teams for scope in _scopes(spec))


#: Rules of a policy's spec. Lists of names are made once: see `routepolicy`.
BUDGET_RULES = (
    CelRule(
        "!has(self.budgets) || [self.routes.map(x, x.name)].all(n, self.budgets.all(b, !has(b.scope) || !has(b.scope.routes) || "
        "b.scope.routes.all(r, r in n)))",
        "budgets: each of scope.routes must be one of spec.routes: correct the name, or add the route",
        _routes_known,
    ),
    CelRule(
        "!has(self.budgets) || [self.backends.filter(x, has(x.cloud)).map(x, x.name)].all(n, self.budgets.all(b, "
        "!has(b.scope) || !has(b.scope.backends) || b.scope.backends.all(c, c in n)))",
        "budgets: each of scope.backends must be a cloud of spec.backends; models of the house cost no request, so that a "
        "budget of them could never act: take them out",
        _clouds_named,
    ),
    CelRule(
        "!has(self.budgets) || has(self.access) || self.budgets.all(b, !has(b.scope) || (!has(b.scope.consumers) && "
        "!has(b.scope.teams)))",
        "budgets: scope.consumers and scope.teams need spec.access: without it nobody knows who asks",
        _askers_known,
    ),
)
