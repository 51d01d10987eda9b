"""Says what may be spent: budgets, and with whom they are shared. Nothing has a default here. Pure."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genset.contracts.access_config import PeersConfig
from genset.contracts.config_parts import ConfigPart, Label, each_once
from genset.contracts.price_config import Currency

BudgetAmount = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", examples=["500"])]
Named = Annotated[str, Field(min_length=1, max_length=253, examples=["invoices"])]


class BudgetConfig(ConfigPart):
    """A budget is what may be spent in one window. Of consumers, teams, routes and backends, None means all."""

    name: Label
    amount: BudgetAmount
    currency: Currency
    window: Literal["Day", "Week", "Month"]
    time_zone: str = Field(min_length=1, max_length=64, examples=["Europe/Berlin"])
    when_spent: Literal["HouseOnly", "NextTier", "Refuse"]
    warn_at_percent: int = Field(ge=1, le=100)
    consumers: tuple[Named, ...] | None = Field(default=None, min_length=1)
    teams: tuple[Named, ...] | None = Field(default=None, min_length=1)
    routes: tuple[Label, ...] | None = Field(default=None, min_length=1)
    backends: tuple[Label, ...] | None = Field(default=None, min_length=1)


class BudgetsConfig(ConfigPart):
    """Budgets hold over all routers together. `routers`: how many there are."""

    routers: int = Field(ge=1)
    budgets: tuple[BudgetConfig, ...] = Field(min_length=1)
    peers: PeersConfig | None = Field(default=None, description="The other routers; None: nobody hears of them.")

    @model_validator(mode="after")
    def _budgets_once(self) -> Self:
        each_once("budgets", [budget.name for budget in self.budgets])
        return self
