"""Costs are shown by team, model and zone, beside what the house has avoided, and budgets as bars. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from genset.console import words
from genset.console.heard import Heard, Sees
from genset.ledger.questions import whole_hour
from genset.ledger.report import UsageQuestion, UsageReport, UsageRow
from genset.usage.show import harmless

BY: Final = ("policy", "team", "model", "zone")  # what is asked of the ledger; the first says whose it is
SPANS: Final = {"month": "this month", "last": "last month", "day": "24 hours", "week": "7 days"}
PARTS: Final = {"team": "team", "model": "model", "zone": "data zone", "policy": "policy"}
_FIRST_PART: Final = 0.05  # of a month, before which nothing is projected
_LARGE: Final = 10**15


@dataclass(frozen=True)
class CostRow:
    """A row is what one team, model, zone or policy has used. `share`: of the largest cost, in percent, for its bar."""

    name: str
    requests: str
    prompt: str
    completion: str
    house: str
    failovers: str
    cost: str
    avoided: str
    share: int
    unpriced: int


@dataclass(frozen=True)
class BudgetBar:
    """A budget in its window. `projected` is empty while it is too early to tell."""

    namespace: str
    policy: str
    name: str
    state: str
    tone: str
    percent: int
    spent: str
    left: str
    projected: str
    ends: str
    uncounted: int


@dataclass(frozen=True)
class CostPage:
    """The page has a table by one word. `projected`: what the month would come to if it went on as it has."""

    span: str
    part: str
    rows: Sequence[CostRow]
    total: CostRow
    projected: str
    budgets: Sequence[BudgetBar]
    begin: str
    end: str


def span_of(word: str, now: float) -> tuple[int, int]:
    """Returns begin and end of a span in whole hours, seconds since 1970; months are those of UTC."""
    moment = datetime.fromtimestamp(now, UTC)
    month = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begins = {
        "last": (month - timedelta(days=1)).replace(day=1),
        "day": moment - timedelta(days=1),
        "week": moment - timedelta(days=7),
    }
    end = month if word == "last" else moment
    return whole_hour(begins.get(word, month).timestamp()), whole_hour(end.timestamp())


def question(word: str, now: float) -> UsageQuestion:
    """Returns what the ledger is asked."""
    begin, end = span_of(word, now)
    return UsageQuestion(begin, max(end, begin + 3600), BY)


def seen(report: UsageReport, sees: Sees) -> list[UsageRow]:
    """Returns the rows of policies that somebody sees."""
    return [row for row in report.rows if sees(row.key[0].partition("/")[0])]


def page(rows: Sequence[UsageRow], heard: Heard, sees: Sees, span: str, part: str) -> CostPage:
    """Returns what was used, told apart by one word."""
    place, begin_end = BY.index(part), span_of(span, heard.now)
    sums: dict[str, UsageRow] = {}
    for row in rows:
        _add(sums.setdefault(row.key[place], UsageRow((row.key[place],))), row)
    total = UsageRow(("",))
    for row in sums.values():
        _add(total, row)
    ordered = sorted(sums.values(), key=lambda row: (-_weight(row), row.key))
    largest = max((_weight(row) for row in ordered), default=Decimal())
    return CostPage(
        span,
        part,
        [_row(row, largest) for row in ordered],
        _row(total, Decimal()),
        _projected(total, heard.now) if span == "month" else "",
        list(_budgets(heard, sees)),
        words.stamp(begin_end[0])[:16],
        words.stamp(begin_end[1])[:16],
    )


def as_csv(rows: Iterable[UsageRow]) -> str:
    """Returns everything for other programs, money in full. No cell begins as a formula does in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *BY,
            "requests",
            "answered",
            "failovers",
            "prompt",
            "completion",
            "cost",
            "currency",
            "avoided",
            "avoidedCurrency",
        ]
    )
    for row in rows:
        counts = [row.counts[name] for name in ("requests", "answered", "failovers", "prompt", "completion")]
        costs, avoided = sorted(row.cost.items()), sorted(row.avoided.items())
        for at in range(max(1, len(costs), len(avoided))):  # counts stand once, whatever the currencies
            spent = (f"{costs[at][1]:f}", costs[at][0]) if at < len(costs) else ("", "")
            saved = (f"{avoided[at][1]:f}", avoided[at][0]) if at < len(avoided) else ("", "")
            numbers = counts if at == 0 else ["" for _ in counts]
            writer.writerow([*map(harmless, row.key), *numbers, *spent, *saved])
    return text.getvalue()


def _add(held: UsageRow, row: UsageRow) -> None:
    for name, count in row.counts.items():
        held.counts[name] += count
    for into, more in ((held.cost, row.cost), (held.avoided, row.avoided)):
        for currency, amount in more.items():
            into[currency] = into.get(currency, Decimal()) + amount


def _weight(row: UsageRow) -> Decimal:
    """Orders rows by what they cost. Currencies are not converted: a bar is for the eye, the figure beside it counts."""
    return sum(row.cost.values(), Decimal())


def _row(row: UsageRow, largest: Decimal) -> CostRow:
    counts, weight = row.counts, _weight(row)
    house = row.house_share
    return CostRow(
        row.key[0] or "(none)",
        words.number(counts["requests"]),
        words.number(counts["prompt"]),
        words.number(counts["completion"]),
        words.UNKNOWN if house is None else f"{house:.0f} %",
        words.number(counts["failovers"]),
        words.money(row.cost),
        words.money(row.avoided),
        int(100 * weight / largest) if largest else 0,
        counts["unpriced"],
    )


def _projected(total: UsageRow, now: float) -> str:
    """Returns what the month would cost; "" in its first day or so."""
    moment = datetime.fromtimestamp(now, UTC)
    month = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (month + timedelta(days=32)).replace(day=1)
    part = (now - month.timestamp()) / (following - month).total_seconds()
    if part < _FIRST_PART or not total.cost:
        return ""
    return words.money({currency: amount / Decimal(part) for currency, amount in total.cost.items()})


def _budgets(heard: Heard, sees: Sees) -> Iterable[BudgetBar]:
    for policy in heard.policies:
        for one in policy.status.get("budgets") or () if sees(policy.line.namespace) else ():
            yield _bar(policy.line.namespace, policy.line.name, one)


def _when(told: object) -> str:
    moment = words.moment(told)
    return f"{words.stamp(moment)[:16]} UTC" if moment is not None else words.UNKNOWN


def _bar(namespace: str, policy: str, one: Mapping[str, object]) -> BudgetBar:
    state, currency, percent, uncounted = (
        str(one.get("state", "")),
        one.get("currency", ""),
        one.get("percent"),
        one.get("uncounted"),
    )
    return BudgetBar(
        namespace,
        policy,
        str(one.get("name", "")),
        state,
        {"Warned": "warned", "Spent": "bad"}.get(state, "well"),
        min(percent if isinstance(percent, int) else 0, _LARGE),
        f"{one.get('spent', '')} of {one.get('amount', '')} {currency}",
        f"{one.get('left', '')} {currency}",
        f"{one['projected']} {currency}" if one.get("projected") else "",
        _when(one.get("windowEnd")),
        uncounted if isinstance(uncounted, int) else 0,
    )
