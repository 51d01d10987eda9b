"""The parts of a router are everything that its admin port, its metrics and its sweep look at."""

from __future__ import annotations

from typing import final

from genset.router.backends.demand import Demands
from genset.router.exchange.reception import Reception
from genset.router.process.budget_keeper import BudgetKeeper
from genset.router.process.drill_keeper import DrillKeeper
from genset.router.process.egress_keeper import EgressKeeper
from genset.router.process.ledger_sender import LedgerSender
from genset.router.process.usage_keeper import UsageKeeper
from genset.router.shared import Shared
from genset.router.telemetry.observer import Telemetry
from genset.router.watch.outage_watch import OutageWatch


@final
class Parts:
    """Parts hold the rooms of one router, and what is known of the process.

    `credentials_hash` and `loaded_at` (RFC 3339) are those of the configuration in force; empty until there is one.
    `began` is when the process started, by the router's clock.
    """

    __slots__ = (
        "began",
        "budgets",
        "credentials_hash",
        "demands",
        "drills",
        "egress",
        "ledger",
        "listening",
        "loaded_at",
        "outages",
        "reception",
        "shared",
        "telemetry",
        "usage",
    )

    def __init__(
        self,
        shared: Shared,
        reception: Reception,
        telemetry: Telemetry,
        outages: OutageWatch,
        egress: EgressKeeper,
        usage: UsageKeeper,
        ledger: LedgerSender,
        budgets: BudgetKeeper,
        demands: Demands,
        drills: DrillKeeper,
    ) -> None:
        self.shared = shared
        self.reception = reception
        self.telemetry = telemetry
        self.outages = outages
        self.egress = egress
        self.usage = usage
        self.ledger = ledger
        self.budgets = budgets
        self.demands = demands
        self.drills = drills
        self.credentials_hash = ""
        self.loaded_at = ""
        self.began = shared.now()
        self.listening = False

    def why_not_ready(self) -> str:
        """Returns why the router takes no clients; empty if it does."""
        return self.reception.why_not_ready() or ("" if self.listening else "starting")

    def taken(self, credentials_hash: str, at: str) -> None:
        """Notes that a configuration has been taken."""
        self.credentials_hash = credentials_hash
        self.loaded_at = at
