"""The use at which the house costs as much as the cloud would: from what it answered, and from what it costs by the hour. Pure.

Nothing is guessed: answers whose avoided cost nobody knows are left out and counted, and amounts of different currencies are
not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from genset.ledger.facts import HOUR
from genset.ledger.report import UsageReport, UsageRow

WHOLE = ""  # in place of a model


@dataclass(frozen=True)
class HourPrice:
    """A price is what something costs the house for an hour, whether it is asked or not."""

    per_hour: Decimal
    currency: str


@dataclass(frozen=True)
class HourPrices:
    """Prices are by model; that of the whole house stands under WHOLE, alone."""

    by_model: Mapping[str, HourPrice] = field(default_factory=dict)

    @property
    def whole(self) -> HourPrice | None:
        return self.by_model.get(WHOLE)

    def reserved(self, hours: Decimal) -> dict[str, Decimal]:
        """Returns what the house has cost in so many hours, by currency."""
        found: dict[str, Decimal] = {}
        for price in self.by_model.values():
            found[price.currency] = found.get(price.currency, Decimal()) + price.per_hour * hours
        return found


@dataclass(frozen=True)
class EvenLine:
    """A line compares what a model costs the house with what its answers would have cost elsewhere.

    `answers` are those of the house, `unknown` of them have no avoided cost that anybody knows. Rates are by the hour.
    """

    model: str
    hours: Decimal
    answers: int
    unknown: int
    tokens: int
    avoided: Mapping[str, Decimal]
    price: HourPrice | None

    @property
    def why_not(self) -> str:
        """Says why it cannot be compared; empty if it can."""
        if self.price is None:
            return "nobody says what it costs the house"
        if not self.answers:
            return ""
        if self.answers == self.unknown:
            return "nobody knows what a cloud would have asked"
        if set(self.avoided) != {self.price.currency}:
            return f"the house is paid in {self.price.currency}, the cloud in {' and '.join(sorted(self.avoided))}"
        return ""

    @property
    def reserved(self) -> Decimal | None:
        """Returns what the house has paid in these hours."""
        return self.price.per_hour * self.hours if self.price is not None else None

    @property
    def per_answer(self) -> Decimal | None:
        """Returns what a cloud would have asked for one answer, on average."""
        if self.why_not or self.price is None or self.answers == self.unknown:
            return None
        return self.avoided[self.price.currency] / (self.answers - self.unknown)

    @property
    def even_at(self) -> Decimal | None:
        """Returns at how many such answers an hour the house costs as much as the cloud."""
        each = self.per_answer
        return self.price.per_hour / each if each and self.price is not None else None

    @property
    def now(self) -> Decimal:
        """Returns how many answers there were in an hour."""
        return Decimal(self.answers) / self.hours

    @property
    def cheaper(self) -> str:
        """Returns which side is cheaper at the use that was measured: house, cloud, even or unknown."""
        if self.why_not or self.price is None:
            return "unknown"
        even = self.even_at
        if even is None:  # such answers cost nothing elsewhere, or there were none
            return "cloud" if self.price.per_hour else "even"
        return "house" if self.now > even else "cloud" if self.now < even else "even"


def lines(report: UsageReport, prices: HourPrices) -> list[EvenLine]:
    """Compares each model, or the whole house if it has one price. `report` is of zone house, by model."""
    hours = Decimal(report.question.end - report.question.begin) / HOUR
    if prices.whole is not None:
        return [_line("", report.total, prices.whole, hours)]
    rows = {row.key[0]: row for row in report.rows}
    found = [_line(model, row, prices.by_model.get(model), hours) for model, row in rows.items()]
    idle = [model for model in prices.by_model if model not in rows]
    return [*found, *(_line(model, UsageRow((model,)), prices.by_model[model], hours) for model in sorted(idle))]


def _line(model: str, row: UsageRow, price: HourPrice | None, hours: Decimal) -> EvenLine:
    counts = row.counts
    return EvenLine(
        model,
        hours,
        counts["answered_by_house"],
        counts["avoided_unknown"],
        counts["prompt"] + counts["completion"],
        row.avoided,
        price,
    )
