"""At which use the house is cheaper than the cloud: by hand, and what is said where somebody does not know."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genset.ledger.report import UsageQuestion, UsageReport, UsageRow
from genset.usage.breakeven import EvenLine, HourPrice, HourPrices, lines
from genset.usage.house import of_resources
from genset.usage.sources import UsageError

EUR = HourPrice(Decimal("0.40"), "EUR")


def row(model: str, answers: int, avoided: dict[str, str], unknown: int = 0) -> UsageRow:
    made = UsageRow((model,), avoided={currency: Decimal(amount) for currency, amount in avoided.items()})
    made.counts.update(answered_by_house=answers, avoided_unknown=unknown, prompt=10 * answers, completion=answers)
    return made


def compared(rows: list[UsageRow], prices: dict[str, HourPrice], hours: int = 100) -> list[EvenLine]:
    total = UsageRow(())
    for one in rows:
        for name, count in one.counts.items():
            total.counts[name] += count
        for currency, amount in one.avoided.items():
            total.avoided[currency] = total.avoided.get(currency, Decimal()) + amount
    report = UsageReport(UsageQuestion(0, hours * 3600, ("model",), {"zone": "house"}), rows, total)
    return lines(report, HourPrices(prices))


def test_by_hand() -> None:
    """0.40 EUR an hour, 1,000 answers in 100 hours that would have cost 2 EUR: 0.002 each, so 200 an hour are even."""
    (line,) = compared([row("small", 1000, {"EUR": "2"})], {"small": EUR})
    assert (line.reserved, line.per_answer, line.even_at, line.now) == (40, Decimal("0.002"), 200, 10)
    assert line.cheaper == "cloud" and line.tokens == 11_000
    (busy,) = compared([row("small", 30_000, {"EUR": "60"})], {"small": EUR})
    assert (busy.even_at, busy.now, busy.cheaper) == (200, 300, "house")
    (even,) = compared([row("small", 20_000, {"EUR": "40"})], {"small": EUR})
    assert even.cheaper == "even"


CASES = [
    ({}, row("small", 10, {"EUR": "1"}), "unknown", "nobody says what it costs the house"),
    ({"small": EUR}, row("small", 10, {}, 10), "unknown", "nobody knows what a cloud would have asked"),
    ({"small": EUR}, row("small", 10, {"USD": "1"}), "unknown", "the house is paid in EUR, the cloud in USD"),
    ({"small": EUR}, row("small", 10, {"EUR": "1", "USD": "1"}), "unknown", "the house is paid in EUR, the cloud in EUR and USD"),
    ({"small": EUR}, row("small", 10, {"EUR": "0"}), "cloud", ""),  # a cloud that is free
    ({"small": HourPrice(Decimal(0), "EUR")}, row("small", 10, {"EUR": "1"}), "house", ""),
    ({"small": HourPrice(Decimal(0), "EUR")}, row("small", 10, {"EUR": "0"}), "even", ""),
]  # fmt: skip


@pytest.mark.parametrize(("prices", "asked", "cheaper", "why"), CASES)
def test_what_cannot_be_compared_is_not_guessed(
    prices: dict[str, HourPrice], asked: UsageRow, cheaper: str, why: str
) -> None:
    (line,) = compared([asked], prices)
    assert (line.cheaper, line.why_not) == (cheaper, why)
    assert not why or (line.per_answer, line.even_at) == (None, None)


def test_answers_of_unknown_cost_are_in_no_average() -> None:
    (line,) = compared([row("small", 1000, {"EUR": "1"}, 500)], {"small": EUR})
    assert line.per_answer == Decimal("0.002") and line.now == 10


def test_a_model_that_nobody_asked_costs_all_the_same() -> None:
    (small, idle) = compared([row("small", 10, {"EUR": "1"})], {"small": EUR, "large": EUR})
    assert (idle.model, idle.answers, idle.reserved, idle.cheaper) == ("large", 0, 40, "cloud")
    assert small.model == "small"


def test_the_whole_house_has_one_line() -> None:
    (line,) = compared([row("small", 10, {"EUR": "1"}), row("large", 10, {"EUR": "3"})], {"": EUR})
    assert (line.model, line.answers, line.avoided["EUR"]) == ("", 20, 4)


def resource(model: str, reserved: str = "", currency: str = "EUR") -> dict[str, object]:
    price = {"price": {"reservedPerHour": reserved, "currency": currency}} if reserved else {}
    return {"metadata": {"name": model}, "status": {"model": model, **price}}


def test_a_cluster_s_prices_add_up_by_model() -> None:
    found = of_resources([resource("a", "0.4"), resource("a", "0.2"), resource("b"), resource("c", "1"), resource("c")])
    assert found.by_model == {"a": HourPrice(Decimal("0.6"), "EUR")}, "half a price is none"
    assert found.reserved(Decimal(10)) == {"EUR": Decimal(6)}
    with pytest.raises(UsageError, match="model a has prices in EUR and USD"):
        of_resources([resource("a", "0.4"), resource("a", "0.2", "USD")])
