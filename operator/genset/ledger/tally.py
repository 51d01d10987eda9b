"""Booked counts are what this process has booked, for its metrics and for collectors; the database knows what ever was. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from genset.ledger import money
from genset.ledger.facts import MEASURES, Sums

#: Of one namespace; then its teams and policies count together, and further currencies not at all. Tokens of an identity provider
#: may name any number of teams, and who has a namespace's token any number of everything, for himself alone.
MOST_ROWS: Final = 300
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
        self._rows: Counter[str] = Counter()  # by namespace

    def booked(self, kinds: Mapping[str, int], latest: int, hourly: Sums) -> None:
        """Takes what one transaction has booked."""
        self.records.update(kinds)
        self.latest = max(self.latest, latest)
        for (_, series), measures in hourly.items():
            namespace = series.policy.partition("/")[0]
            group = Group(series.policy, series.team, series.zone)
            if group not in self.usage and not self._has_room(namespace):
                group = Group(f"{namespace}/{OTHERS}", OTHERS, "")
            self.usage.setdefault(group, Counter()).update({name: measures[_PLACES[name]] for name in COUNTED})
            for held, name, currency in (
                (self.cost, "cost", series.currency),
                (self.avoided, "avoided", series.avoided_currency),
            ):
                if currency and ((group, currency) in held or self._has_room(namespace)):
                    place = _PLACES[name]
                    amount = money.joined(measures[place], measures[place + 1])
                    held[group, currency] = held.get((group, currency), Decimal()) + amount

    def _has_room(self, namespace: str) -> bool:
        """Returns whether a namespace may have one row more, and counts it."""
        if self._rows[namespace] >= MOST_ROWS:
            return False
        self._rows[namespace] += 1
        return True
