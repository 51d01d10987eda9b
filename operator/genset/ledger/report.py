"""A report is what was used in a span of time, told apart by what people ask for. Pure; all sums are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, Final

from genset.contracts.ledger import DIMENSIONS, TIMES
from genset.ledger import money
from genset.ledger.facts import HOUR, HOUSE, MEASURES, MONEY, Series

#: What a row of a report counts: names in answers, and the measures behind them.
COUNTS: Final = {
    "requests": "requests",
    "answered": "answered",
    "answeredByHouse": "answered_by_house",
    "cancelled": "cancelled",
    "cut": "cut",
    "refused": "refused",
    "attempts": "attempts",
    "failovers": "failovers",
    "prompt": "prompt",
    "cached": "cached",
    "cacheWrite": "cache_write",
    "completion": "completion",
    "reasoning": "reasoning",
    "audioIn": "audio_in",
    "audioOut": "audio_out",
    "images": "images",
    "searches": "searches",
    "estimated": "estimated",
    "unpriced": "unpriced",
    "avoidedUnknown": "avoided_unknown",
}
_PLACES: Final = {measure: place for place, measure in enumerate(MEASURES)}


@dataclass(frozen=True)
class UsageQuestion:
    """A question is what is asked of usage, from `begin` to `end`: seconds since 1970, whole hours.

    `by`: words of dimensions and times. `only`: values that dimensions must have. `time_zone`: in which days and months begin.
    """

    begin: int
    end: int
    by: tuple[str, ...] = ()
    only: Mapping[str, str] = field(default_factory=dict)
    time_zone: tzinfo = UTC

    def problems(self) -> list[str]:
        """Says what is wrong with it."""
        known = (*DIMENSIONS, *TIMES)
        unknown = [word for word in (*self.by, *self.only) if word not in known]
        found = [
            f"{word!r} is nothing that usage is told apart by; take some of {', '.join(known)}" for word in unknown
        ]
        if sum(word in TIMES for word in self.by) > 1:
            found.append(f"take one of {', '.join(TIMES)}")
        if any(word in TIMES for word in self.only):
            found.append("a time is asked for by its begin and end")
        if self.end <= self.begin:
            found.append("the end must be after the begin")
        return found

    @property
    def time(self) -> str:
        """Returns the time by which rows are told apart; empty if they are not."""
        return next((word for word in self.by if word in TIMES), "")


@dataclass
class UsageRow:
    """A row is what was used under one key. Money is by currency."""

    key: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS.values(), 0))
    cost: dict[str, Decimal] = field(default_factory=dict)
    avoided: dict[str, Decimal] = field(default_factory=dict)

    @property
    def house_share(self) -> Decimal | None:
        """Returns the percentage of answers that the house gave; None if nothing was answered."""
        answered = self.counts["answered"]
        return Decimal(100 * self.counts["answered_by_house"]) / answered if answered else None

    def add(self, series: Series, measures: Sequence[int]) -> None:
        """Adds one row of sums."""
        counts = self.counts
        for name in COUNTS.values():
            if name in _PLACES:
                counts[name] += measures[_PLACES[name]]
        if series.zone == HOUSE:
            counts["answered_by_house"] += measures[_PLACES["answered"]]
            if not series.avoided_currency:
                counts["avoided_unknown"] += measures[_PLACES["answered"]]
        for name, held, currency in (
            (MONEY[0], self.cost, series.currency),
            (MONEY[1], self.avoided, series.avoided_currency),
        ):
            if currency:
                amount = money.joined(measures[_PLACES[name]], measures[_PLACES[name] + 1])
                held[currency] = held.get(currency, Decimal()) + amount

    def told(self, by: Sequence[str]) -> dict[str, Any]:
        """Returns the row as answers have it: money in full, as text."""
        return {
            **dict(zip(by, self.key, strict=True)),
            **{name: self.counts[measure] for name, measure in COUNTS.items()},
            "cost": {currency: money.digits(amount) for currency, amount in sorted(self.cost.items())},
            "avoided": {currency: money.digits(amount) for currency, amount in sorted(self.avoided.items())},
        }

    @classmethod
    def read(cls, by: Sequence[str], told: Mapping[str, Any]) -> UsageRow:
        """Reads what `told` has written. Raises KeyError, TypeError or ArithmeticError."""
        return cls(
            tuple(str(told[word]) for word in by),
            {measure: int(told[name]) for name, measure in COUNTS.items()},
            {currency: Decimal(amount) for currency, amount in told["cost"].items()},
            {currency: Decimal(amount) for currency, amount in told["avoided"].items()},
        )


@dataclass
class UsageReport:
    """A report has rows in the order of their keys, and their sum."""

    question: UsageQuestion
    rows: list[UsageRow]
    total: UsageRow

    def told(self) -> dict[str, Any]:
        """Returns the report as the ledger answers it."""
        return {
            "from": self.question.begin,
            "to": self.question.end,
            "by": list(self.question.by),
            "rows": [row.told(self.question.by) for row in self.rows],
            "total": self.total.told(()),
        }

    @classmethod
    def read(cls, question: UsageQuestion, told: Mapping[str, Any]) -> UsageReport:
        """Reads what `told` has written. Raises KeyError, TypeError or ArithmeticError."""
        rows = [UsageRow.read(question.by, row) for row in told["rows"]]
        return cls(question, rows, UsageRow.read((), told["total"]))


def report(question: UsageQuestion, sums: Iterable[tuple[int, Series, Sequence[int]]], slot: int = HOUR) -> UsageReport:
    """Makes a report of sums of the question's span, by slots of so many seconds since 1970."""
    rows: dict[tuple[str, ...], UsageRow] = {}
    total = UsageRow(())
    parts = [_part(word, question.time_zone, slot) for word in question.by]
    for moment, series, measures in sums:
        if any(getattr(series, DIMENSIONS[word]) != value for word, value in question.only.items()):
            continue
        key = tuple(part(moment, series) for part in parts)
        row = rows.get(key)
        if row is None:
            row = rows[key] = UsageRow(key)
        row.add(series, measures)
        total.add(series, measures)
    return UsageReport(question, [rows[key] for key in sorted(rows)], total)


def _part(word: str, zone: tzinfo, slot: int) -> Callable[[int, Series], str]:
    if word in DIMENSIONS:
        place = Series._fields.index(DIMENSIONS[word])
        return lambda _, series: series[place]
    form = {"hour": "%Y-%m-%dT%H:00%z", "day": "%Y-%m-%d", "month": "%Y-%m"}[word]
    written: dict[int, str] = {}

    def time(moment: int, _: Series) -> str:
        found = written.get(moment)
        if found is None:
            found = written[moment] = datetime.fromtimestamp(moment * slot, zone).strftime(form)
        return found

    return time
