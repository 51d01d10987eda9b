"""What may be spent, as routers are told it. A budget that can never act is told, and is harmless. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from genset.api.budgets import BudgetSpec
from genset.api.fault import FieldFault
from genset.api.routepolicy import RoutePolicy
from genset.contracts.budget_config import BudgetConfig, BudgetsConfig
from genset.desired.access import peers_config
from genset.desired.context import RoutePolicyContext
from genset.windows import is_time_zone

UTC = "UTC"


def budgets_config(resource: RoutePolicy, context: RoutePolicyContext) -> BudgetsConfig | None:
    """Builds what routers are told of budgets; None if there are none. One whose time zone nobody knows is left out: a condition
    tells."""
    budgets = tuple(_budget(one) for one in resource.spec.budgets if is_time_zone(one.time_zone or UTC))
    if not budgets:
        return None
    return BudgetsConfig(
        routers=max(1, resource.spec.router.replicas),
        budgets=budgets,
        peers=peers_config(resource) if not context.from_files else None,
    )


def _budget(said: BudgetSpec) -> BudgetConfig:
    scope = said.scope.model_dump(exclude_none=True) if said.scope is not None else {}
    return BudgetConfig(
        name=said.name,
        amount=said.amount,
        currency=said.currency,
        window=said.window.value,
        time_zone=said.time_zone or UTC,
        when_spent=said.when_spent.value,
        warn_at_percent=said.warn_at_percent,
        **{name: tuple(sorted(names)) for name, names in scope.items()},
    )


def faults(resource: RoutePolicy) -> Iterator[FieldFault]:
    """Yields what no schema can tell: time zones that nobody knows."""
    for budget in resource.spec.budgets:
        if not is_time_zone(budget.time_zone or UTC):
            field = f"spec.budgets[{budget.name}].timeZone"
            yield FieldFault(
                field,
                f"{field} {budget.time_zone} is not in the time zone database: write a name such as Europe/Berlin; until then "
                "the budget counts nothing",
            )
