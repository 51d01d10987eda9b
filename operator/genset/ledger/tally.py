"""Booked counts are what this process has booked, for its metrics and for collectors; the database knows what ever was. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from genset.ledger import money
from genset.ledger.facts import MEASURES, Sums

MOST_GROUPS: Final = 1000  # then teams count together: tokens of an identity provider may name any number of them
OTHERS: Final = "(others)"
COUNTED: Final = ("requests", "answered", "failovers", "prompt", "completion", "unpriced")
_PLACES: Final = {name: MEASURES.index(name) for name in (*COUNTED, "cost", "avoided")}


class Group(NamedTuple):
    """A group is what usage is told apart by in metrics."""

    policy: str
    team: str
    zone: str


class BookedCounts:
    """Booked counts only grow. One thread writes them, others read."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()  # lines, by kind
        self.sendings: Counter[str] = Counter()  # pieces of segments, by what became of them
        self.bytes = 0
        self.latest = 0  # seconds since 1970: the beginning of the newest request
        self.usage: dict[Group, Counter[str]] = {}
        self.cost: dict[tuple[Group, str], Decimal] = {}  # by currency, too
        self.avoided: dict[tuple[Group, str], Decimal] = {}

    def booked(self, kinds: Mapping[str, int], latest: int, hourly: Sums) -> None:
        """Takes what one transaction has booked."""
        self.records.update(kinds)
        self.latest = max(self.latest, latest)
        for (_, series), measures in hourly.items():
            group = Group(series.policy, series.team, series.zone)
            if group not in self.usage:
                if len(self.usage) >= MOST_GROUPS:
                    group = group._replace(team=OTHERS)
                self.usage.setdefault(group, Counter())
            self.usage[group].update({name: measures[_PLACES[name]] for name in COUNTED})
            for held, name, currency in (
                (self.cost, "cost", series.currency),
                (self.avoided, "avoided", series.avoided_currency),
            ):
                if currency:
                    place = _PLACES[name]
                    amount = money.joined(measures[place], measures[place + 1])
                    held[group, currency] = held.get((group, currency), Decimal()) + amount
