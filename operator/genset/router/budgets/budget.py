"""A budget is what may be spent in one window: what was, what requests in work have reserved, whether one more fits. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.contracts.budget_config import BudgetConfig
from genset.pricing.money import counted
from genset.router.budgets.counts import WindowCounts
from genset.router.budgets.payers import Payers
from genset.windows import window

HOUSE_ONLY: Final = "HouseOnly"
NEXT_TIER: Final = "NextTier"
REFUSE: Final = "Refuse"
KEPT_WINDOWS: Final = 3  # of which counts are kept: a clock that was wrong may come back


@final
class BudgetRoom:
    """Room is whether a budget has some for a request: it has, it may have in a moment, or not before the next window."""

    YES: Final = 0
    RESERVED: Final = 1  # what is left is reserved by requests in work
    SPENT: Final = 2


@final
class Terms:
    """Terms are what a configuration says of a budget. Scopes are None if everything is in them."""

    __slots__ = (
        "amount", "backends", "consumers", "currency", "kind", "name", "routes", "teams", "time_zone", "told_amount",
        "warn_percent", "when_spent",
    )  # fmt: skip

    def __init__(self, config: BudgetConfig) -> None:
        self.name: Final = config.name
        self.amount: Final = counted(config.amount)
        self.told_amount: Final = config.amount
        self.currency: Final = config.currency
        self.kind: Final = config.window
        self.time_zone: Final = config.time_zone
        self.when_spent: Final = config.when_spent
        self.warn_percent: Final = config.warn_at_percent
        self.consumers: Final = frozenset(config.consumers) if config.consumers is not None else None
        self.teams: Final = frozenset(config.teams) if config.teams is not None else None
        self.routes: Final = frozenset(config.routes) if config.routes is not None else None
        self.backends: Final = frozenset(config.backends) if config.backends is not None else None

    def holds(self, route: str, consumer: str, team: str) -> bool:
        """Returns whether requests of this route and consumer are in its scope; "" is nobody's name."""
        return (
            (self.routes is None or route in self.routes)
            and (self.consumers is None or consumer in self.consumers)
            and (self.teams is None or team in self.teams)
        )

    def covers(self, backend: str) -> bool:
        """Returns whether what this backend costs is in its scope."""
        return self.backends is None or backend in self.backends


@final
class Budget:
    """A budget outlives configurations: what was spent stays spent. `now` is seconds of the router's clock, `wall` since 1970.

    `elsewhere` is what other routers have reserved. `refused` counts requests that it kept from a backend, `uncounted` attempts
    whose cost nobody knows.
    """

    __slots__ = (
        "_base", "_counts", "_grant", "_short", "counts", "elsewhere", "end", "payers", "refused", "reserved", "routers",
        "terms", "uncounted",
    )  # fmt: skip

    def __init__(self, terms: Terms, wall: float, routers: int = 1) -> None:
        self.terms = terms
        self.routers = routers
        self.refused = 0
        self.uncounted = 0
        self.reserved = 0
        self.elsewhere = 0
        self.end = 0
        self.counts = WindowCounts(0)
        self._counts: dict[int, WindowCounts] = {}
        self.payers = Payers()
        self._grant: int | None = None  # what this router may spend until it hears from others again; None: it is alone
        self._base = 0  # what it had spent and reserved when it last heard
        self._short = 0  # what was left when that was too little for a usual request
        self.move(wall)

    def take(self, terms: Terms, wall: float, routers: int) -> None:
        """Takes other terms."""
        self.terms = terms
        self.routers = routers
        self.end = 0
        self.move(wall)

    def move(self, wall: float) -> None:
        """Goes over to the window that holds this moment, if it is another one."""
        if self.counts.begin <= wall < self.end:
            return
        begin, self.end = window(self.terms.kind, self.terms.time_zone, wall)
        self.counts = self.of(begin)
        self._short = 0
        self.heard(self.routers)

    def of(self, begin: int) -> WindowCounts:
        """Returns the counts of the window that begins then."""
        found = self._counts.get(begin)
        if found is None:
            found = self._counts[begin] = WindowCounts(begin)
            for old in sorted(self._counts)[: max(0, len(self._counts) - KEPT_WINDOWS)]:
                if old != self.counts.begin:
                    del self._counts[old]
        return found

    @property
    def left(self) -> int:
        """Returns what nobody has spent; below zero if more was."""
        return self.terms.amount - self.counts.total

    @property
    def percent(self) -> int:
        """Returns which part of it was spent, in whole percent."""
        amount = self.terms.amount
        return self.counts.total * 100 // amount if amount else 100

    @property
    def is_spent(self) -> bool:
        """Returns whether nothing is left, or too little for what requests usually cost."""
        return self.left <= self._short

    def falls_short(self, usual: int) -> None:
        """A request was refused. `usual`: what one usually costs."""
        if usual > self.left > 0:
            self._short = self.left

    def heard(self, routers: int) -> None:
        """Others have told what they have spent: until they tell it again, each router may spend an equal part of what is left.

        Nobody is heard for a while: then it keeps to that part.
        """
        self.routers = routers
        self._grant = max(0, self.left - self.reserved - self.elsewhere) // routers if routers > 1 else None
        self._base = self.counts.own + self.reserved

    def fits(self, want: int, payer: str, now: float, *, unknown: bool = False) -> int:
        """Returns whether somebody may spend about so much more: one of `BudgetRoom`.

        What costs nothing always may. The first one in a window may, however large it is: nobody could ever ask otherwise. So may
        one at a time while it is `unknown` what answers cost.
        """
        if want <= 0:
            return BudgetRoom.YES
        self.payers.come(payer, now)
        left, held = self.left, self.reserved + self.elsewhere
        if want > left:
            first = left > 0 and not held and (unknown or not self.counts.total)
            return BudgetRoom.YES if first else BudgetRoom.SPENT if not held else BudgetRoom.RESERVED
        if want > left - held:
            return BudgetRoom.RESERVED
        if self._grant is not None:
            since = self.counts.own + self.reserved - self._base
            if since > 0 and since + want > self._grant:
                return BudgetRoom.RESERVED  # for what others may have spent since they told it
        # One caller must not hold everything that is left, whatever it asks for.
        return BudgetRoom.RESERVED if self.payers.is_greedy(payer, want, left, now) else BudgetRoom.YES

    def reserve(self, amount: int, payer: str) -> None:
        self.reserved += amount
        self.payers.reserve(payer, amount)

    def release(self, amount: int, payer: str) -> None:
        """Gives back what was reserved."""
        self.reserved -= amount
        self.payers.release(payer, amount)

    def refuse(self) -> None:
        """WindowCounts a request that it has kept from a backend."""
        self.refused += 1

    def miss(self) -> None:
        """WindowCounts an attempt whose cost nobody knows."""
        self.uncounted += 1

    def reserved_elsewhere(self, amount: int) -> None:
        self.elsewhere = amount

    def known(self) -> list[WindowCounts]:
        """Returns the counts of all windows that are remembered."""
        return list(self._counts.values())
