"""What a record adds to sums: each attempt what it made, the request once."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from genset.contracts.usage_records import UsageAttempt, UsageRecord
from genset.ledger.facts import DAY, HOUR, MEASURES, MOST_COUNT, Fact, Sums, add, coarser, facts

HOUSE = UsageAttempt("house", zone="house", model="qwen", outcome="ok", prompt=10, completion=5, price="house")
CLOUD = UsageAttempt(
    "paris",
    1,
    "eu",
    "mistral",
    outcome="ok",
    prompt=10,
    completion=5,
    cost=Decimal("0.000002"),
    currency="EUR",
    price="policy",
)
CUT = UsageAttempt("paris", 1, "eu", "mistral", outcome="cut", prompt=10, completion=1, price="unknown")


def record(outcome: str, *attempts: UsageAttempt, **more: Any) -> UsageRecord:
    return UsageRecord(
        "abc", 1, 7200.9, "law/assistant", consumer="letters", outcome=outcome, attempts=attempts, **more
    )


def counted(fact: Fact) -> dict[str, int]:
    return {name: value for name, value in zip(MEASURES, fact.measures, strict=True) if value}


CASES: dict[str, tuple[UsageRecord, list[tuple[str, dict[str, int]]]]] = {
    "answered by the house, what the cloud would have cost is avoided": (
        record("ok", HOUSE, avoided=Decimal("0.5"), avoided_currency="USD"),
        [("house", {"requests": 1, "answered": 1, "attempts": 1, "prompt": 10, "completion": 5, "avoided": 500_000})],
    ),
    "failed over: both attempts book, the request once": (
        record("ok", CUT, HOUSE),
        [
            ("paris", {"attempts": 1, "prompt": 10, "completion": 1, "unpriced": 1}),
            ("house", {"requests": 1, "answered": 1, "attempts": 1, "failovers": 1, "prompt": 10, "completion": 5}),
        ],
    ),
    "a cut answer costs what it made": (
        record("cut", CLOUD),
        [("paris", {"requests": 1, "cut": 1, "attempts": 1, "prompt": 10, "completion": 5, "cost": 2})],
    ),
    "cancelled": (
        record("cancelled", HOUSE),
        [("house", {"requests": 1, "cancelled": 1, "attempts": 1, "prompt": 10, "completion": 5})],
    ),
    "refused before anybody was asked": (record("refused"), [("", {"requests": 1, "refused": 1})]),
    "an outcome of a later release": (record("deferred"), [("", {"requests": 1})]),
}


@pytest.mark.parametrize("case", CASES)
def test_facts(case: str) -> None:
    given, expected = CASES[case]
    assert [(fact.series.backend, counted(fact)) for fact in facts(given)] == expected


def test_currencies_belong_to_amounts() -> None:
    (fact,) = facts(record("ok", HOUSE, avoided=Decimal(1), avoided_currency="USD"))
    assert (fact.series.currency, fact.series.avoided_currency) == ("", "USD")
    (fact,) = facts(record("ok", CLOUD))
    assert (fact.series.currency, fact.series.avoided_currency) == ("EUR", "")


def test_nothing_overflows_a_sum_whatever_a_backend_has_told() -> None:
    wild = UsageAttempt("house", prompt=2**63 - 1, model="\0" + "m" * 1000)
    (fact,) = facts(record("ok", wild))
    assert counted(fact)["prompt"] == MOST_COUNT
    assert fact.series.model == "m" * 199


def test_the_rest_of_money_is_carried() -> None:
    part = UsageAttempt("paris", cost=Decimal("0.0000009999"), currency="EUR")
    sums: Sums = {}
    for _ in range(10_000):
        add(sums, facts(record("ok", part)), HOUR)
    ((_, row),) = sums.items()
    held = dict(zip(MEASURES, row, strict=True))
    assert (held["cost"], held["cost_rest"]) == (9999, 0)


def test_days_are_the_sums_of_their_hours() -> None:
    sums: Sums = {}
    found = [fact for hour in range(50) for fact in facts(UsageRecord("a", 1, hour * 3600.0, attempts=(CLOUD,)))]
    add(sums, found, HOUR)
    days = coarser(sums, DAY // HOUR)
    whole: Sums = {}
    add(whole, found, DAY)
    assert days == whole
    assert Counter(slot for slot, _ in sums) == dict.fromkeys(range(50), 1)


@pytest.mark.parametrize("cost", ["90000000000", "1E+30", "1000000001"])
def test_a_cost_that_no_request_has_is_known_to_nobody(cost: str) -> None:
    """A broken server told 2^53 tokens: the cost was left out of the sum without a word."""
    absurd = UsageAttempt("b", prompt=2**53, cost=Decimal(cost), currency="USD", price="policy")
    (fact,) = facts(UsageRecord("i", 1, 1.0, avoided=Decimal(cost), avoided_currency="USD", attempts=(absurd,)))
    told = dict(zip(MEASURES, fact.measures, strict=True))
    assert (told["cost"], told["cost_rest"], told["avoided"], told["unpriced"]) == (0, 0, 0, 1)
    assert (fact.series.currency, fact.series.avoided_currency) == ("", "")
    assert told["prompt"] == MOST_COUNT
