"""The budget book knows all budgets of one router, and what it and others have spent of each.

Three tell it of others: the other routers, twice a second; the ledger, twice a second; and what this router's own disk
remembers of earlier lives. It is blind while neither the ledger nor all other routers were heard lately: then each budget keeps
to this router's equal part of what was left. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from genset.contracts.budget_config import BudgetsConfig
from genset.contracts.router_admin import BudgetReport
from genset.contracts.router_config import RouterConfig
from genset.pricing.money import digits
from genset.pricing.money import told as money_told
from genset.router.backends.backend import Backend
from genset.router.budgets.budget import Budget, Terms
from genset.router.budgets.purse import Booked, Expectation, Purse
from genset.router.budgets.usual import Usual

FRESH_SECONDS: Final = 1.5  # for which what others have told is all that they have spent
HEARD_SECONDS: Final = 3.5  # for which what another router has reserved counts
MOST_SCOPES: Final = 4096  # pairs of a route and a consumer of which it is remembered which budgets hold them

Key = tuple[str, str, int]  # of one window: a budget's name, its currency, when the window begins


@final
class BudgetBook:
    """`wall`: seconds since 1970. `now`: seconds of the router's clock. `identity` names this life of this router."""

    __slots__ = (
        "_budgets", "_clouds", "_heard", "_heard_ledger", "_now", "_reserved", "_routers", "_scopes", "_usual", "_wall",
        "identity",
    )  # fmt: skip

    def __init__(self, identity: str, wall: Callable[[], float], now: Callable[[], float]) -> None:
        self.identity = identity
        self._wall = wall
        self._now = now
        self._routers = 1
        self._budgets: dict[str, Budget] = {}
        self._clouds: dict[str, frozenset[str]] = {}  # clouds of each route
        self._scopes: dict[tuple[str, str, str], tuple[Budget, ...]] = {}
        self._usual: dict[str, Usual] = {}
        self._reserved: dict[str, tuple[float, Mapping[str, Any]]] = {}  # by other routers, and when they said so
        self._heard = 0  # other routers, the last time
        self._heard_ledger = -HEARD_SECONDS

    def spend(self, name: str) -> bool:
        """Takes a budget for spent, for `genset explain`. Returns whether there is one of this name."""
        budget = self._budgets.get(name)
        if budget is not None:
            budget.counts.add(max(1, budget.left))
        return budget is not None

    def take(self, config: BudgetsConfig, clouds: Mapping[str, frozenset[str]]) -> None:
        """Takes the budgets of a configuration. `clouds`: names of those that each route asks."""
        wall = self._wall()
        self._routers = config.routers
        self._clouds = dict(clouds)
        self._scopes.clear()
        before, self._budgets = self._budgets, {}
        for one in config.budgets:
            terms, known = Terms(one), before.get(one.name)
            if known is not None and known.terms.currency == terms.currency:
                known.take(terms, wall, config.routers)
                self._budgets[one.name] = known
            else:
                self._budgets[one.name] = Budget(terms, wall, config.routers)

    @property
    def budgets(self) -> list[Budget]:
        """Returns all budgets, each in its window of now."""
        wall = self._wall()
        for budget in self._budgets.values():
            budget.move(wall)
        return list(self._budgets.values())

    def purse(self, route: str, consumer: str, team: str, payer: str, ask: Expectation) -> Purse:
        """Returns what a request of this route and consumer may spend. `payer`: who asks, as shares go."""
        found = self.holds(route, consumer, team)
        return Purse(found, payer, ask, self.usual, self._wall)

    def holds(self, route: str, consumer: str, team: str) -> tuple[Budget, ...]:
        """Returns the budgets that hold requests of this route and consumer."""
        key: Any = (route, consumer, team)
        found = self._scopes.get(key)
        if found is None:
            found = self._holding(route, consumer, team)
            if len(self._scopes) >= MOST_SCOPES:
                self._scopes.clear()
            self._scopes[key] = found
        return found

    def _holding(self, route: str, consumer: str, team: str) -> tuple[Budget, ...]:
        clouds = self._clouds.get(route, frozenset())
        return tuple(
            budget
            for budget in self._budgets.values()
            if budget.terms.holds(route, consumer, team) and any(budget.terms.covers(name) for name in clouds)
        )

    @property
    def is_blind(self) -> bool:
        """Returns whether others may have spent what this router does not know of."""
        if self._routers == 1 or self._heard >= self._routers - 1:
            return False
        return self._now() - self._heard_ledger > FRESH_SECONDS

    def usual(self, backend: str) -> Usual:
        found = self._usual.get(backend)
        if found is None:
            found = self._usual[backend] = Usual()
        return found

    def own(self, backend: Backend, cost: int | None, currency: str) -> Booked:
        """Books what a request of the router's own has cost, which no route has sent there. Returns where."""
        wall = self._wall()
        booked: list[tuple[str, int]] = []
        for budget in self._budgets.values():
            if budget.terms.holds("", "", "") and budget.terms.covers(backend.name) and not backend.local:
                budget.move(wall)
                if cost is None:
                    budget.miss()
                elif cost and currency == budget.terms.currency:
                    budget.counts.add(cost)
                    booked.append((budget.terms.name, budget.counts.begin))
        return tuple(booked)

    # What others know

    def asked(self) -> list[Key]:
        """Returns the windows of which others are asked."""
        return [(one.terms.name, one.terms.currency, one.counts.begin) for one in self.budgets]

    def hear(self, key: Key, spent: Mapping[str, Any]) -> None:
        """Takes what lives of routers have spent in one window, as somebody tells it. What is no amount is left out."""
        name, currency, begin = key
        budget = self._budgets.get(name)
        if budget is None or budget.terms.currency != currency or begin != budget.counts.begin:
            return
        for identity, amount in spent.items():
            known = money_told(amount)
            if identity != self.identity and known is not None:
                budget.counts.hear(str(identity), known)

    def heard_ledger(self) -> None:
        """The ledger has told what it knows."""
        self._heard_ledger = self._now()
        self.renew()

    def renew(self) -> None:
        """Others were heard: this router may spend its part of what is left."""
        for budget in self.budgets:
            budget.heard(self._routers)

    def tell(self) -> list[dict[str, Any]]:
        """Returns everything that is known of the windows of now, for other routers and for the next life of this one."""
        return [
            {
                "name": one.terms.name,
                "currency": one.terms.currency,
                "begin": one.counts.begin,
                "spent": {identity: digits(amount) for identity, amount in one.counts.told(self.identity)},
                "reserved": digits(one.reserved),
            }
            for one in self.budgets
        ]

    def usuals(self) -> dict[str, tuple[int, int, int]]:
        """Returns what answers of each backend usually are, for the next life of this router."""
        return {name: usual.told() for name, usual in self._usual.items() if usual.learned}

    def hear_all(self, told: Any, router: str = "") -> None:
        """Takes what another router, or an earlier life of this one, has told by `tell`. What cannot be read is left out."""
        reserved: dict[str, int] = {}
        for one in told if isinstance(told, list) else ():
            try:
                name, currency, begin = str(one["name"]), str(one["currency"]), int(one["begin"])
                self.hear((name, currency, begin), one["spent"])
                reserved[name] = money_told(one.get("reserved")) or 0
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        if router:
            self._reserved[router] = self._now(), reserved

    def settle(self, heard: int) -> None:
        """Hears how many other routers there are that tell what they spend."""
        now = self._now()
        self._heard = heard
        for router in [name for name, (at, _) in self._reserved.items() if now - at > HEARD_SECONDS]:
            del self._reserved[router]
        for name, budget in self._budgets.items():
            budget.reserved_elsewhere(sum(held.get(name, 0) for _, held in self._reserved.values()))
        if heard >= self._routers - 1:
            self.renew()

    # What is shown

    def reports(self) -> tuple[BudgetReport, ...]:
        """Returns what the operator is told of each budget."""
        return tuple(
            BudgetReport(
                one.terms.name,
                one.terms.currency,
                one.counts.begin,
                one.end,
                digits(one.counts.total),
                one.percent,
                one.is_spent,
                one.uncounted,
            )
            for one in self.budgets
        )


def clouds_of(config: RouterConfig) -> dict[str, frozenset[str]]:
    """Returns which clouds each route asks, by their names."""
    local = {backend.name for backend in config.backends if backend.kind == "local"}
    return {
        route.name: frozenset(one.backend for tier in route.tiers for one in tier) - local for route in config.routes
    }
