"""Reports of usage are shown as a table for people, as JSON, as CSV and as a workbook. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from xlsxwriter import Workbook

from genset.columns import aligned
from genset.ledger import money
from genset.ledger.facts import HOUR
from genset.ledger.report import COUNTS, UsageReport, UsageRow
from genset.times import rfc3339
from genset.usage.breakeven import HourPrices
from genset.usage.show import harmless

#: What a table has for people: heading, and the name in answers.
_SHOWN: Final = {
    "REQUESTS": "requests",
    "ANSWERED": "answered",
    "ATTEMPTS": "attempts",
    "FAILOVERS": "failovers",
    "PROMPT": "prompt",
    "CACHED": "cached",
    "COMPLETION": "completion",
    "REASONING": "reasoning",
}
_NOBODY: Final = "-"


def table(report: UsageReport) -> str:
    """Returns a line for each row and one for the sum, and what a reader must know of them."""
    return "\n".join([*_lines(report, [*_SHOWN, "HOUSE", "COST", "AVOIDED"], _cells), "", *notes(report)])


def avoided(report: UsageReport, prices: HourPrices) -> str:
    """Returns what the house's answers would have cost, and what the house has cost meanwhile. `report` is of zone house."""
    asked = report.question
    reserved = prices.reserved(Decimal(asked.end - asked.begin) / HOUR)
    paid = f"the house cost {_amounts(reserved)} in this time, at what it costs now: that is in no sum above"
    unknown = "nobody says what the house costs: spec.price of its ModelDeployments, or --per-hour"
    heads = ["ANSWERED", "PROMPT", "CACHED", "COMPLETION", "UNKNOWN", "AVOIDED"]
    more = [paid if reserved else unknown]
    if report.total.counts["avoided_unknown"]:
        more.append("UNKNOWN: answers of which nobody knows what they would have cost; they are not in AVOIDED")
    return "\n".join([*_lines(report, heads, _avoided_cells), "", *notes(report), *more])


def _lines(
    report: UsageReport, heads: Sequence[str], cells: Callable[[Sequence[str], UsageRow], list[str]]
) -> list[str]:
    """Returns rows and their sum with aligned columns: words to the left, numbers to the right."""
    by = report.question.by
    lines = [[*(word.upper() for word in by), *heads], *(cells(row.key, row) for row in report.rows)]
    if by:
        lines.append(cells(("total", *[""] * (len(by) - 1)), report.total))
    return aligned(lines, words=len(by))


def notes(report: UsageReport) -> list[str]:
    """Returns the span of time, and what is not in the sums."""
    asked, counts = report.question, report.total.counts
    found = [f"from {rfc3339(asked.begin)} to {rfc3339(asked.end)}"]
    if asked.time and datetime.fromtimestamp(asked.begin, asked.time_zone).minute:
        found.append("sums are kept by the hour: one that lies across midnight is part of the day in which it begins")
    if counts["unpriced"]:
        found.append(f"{counts['unpriced']} attempts at backends whose price nobody knows are not in the cost")
    if counts["estimated"]:
        found.append(f"of {counts['estimated']} attempts routers counted the tokens, because the backend did not tell")
    return found


def as_json(report: UsageReport) -> str:
    return json.dumps(report.told(), indent=2, ensure_ascii=False)


def as_csv(report: UsageReport) -> str:
    """Returns a table for other programs, money in full, a column for each currency."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spent, avoided = _currencies(report)
    writer.writerow(_columns(report, spent, avoided))
    for row in report.rows:
        writer.writerow(
            [
                *map(harmless, row.key),
                *(row.counts[measure] for measure in COUNTS.values()),
                *(_digits(row.cost, currency) for currency in spent),
                *(_digits(row.avoided, currency) for currency in avoided),
            ]
        )
    return text.getvalue().rstrip("\n")


def as_xlsx(report: UsageReport) -> bytes:
    """Returns a workbook of one sheet, with the sum in its last line. No cell is a formula."""
    made = io.BytesIO()
    book = Workbook(made, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    sheet = book.add_worksheet("usage")
    bold, amount = book.add_format({"bold": True}), book.add_format({"num_format": "#,##0.00"})
    spent, avoided = _currencies(report)
    columns = _columns(report, spent, avoided)
    sheet.write_row(0, 0, columns, bold)
    by = report.question.by
    total = UsageRow(
        ("total", *[""] * (len(by) - 1)) if by else (), report.total.counts, report.total.cost, report.total.avoided
    )
    rows = [*report.rows, total] if by else report.rows
    for line, row in enumerate(rows, 1):
        for place, cell in enumerate([*row.key, *(row.counts[measure] for measure in COUNTS.values())]):
            sheet.write(line, place, cell)
        paid = [row.cost.get(currency) for currency in spent] + [row.avoided.get(currency) for currency in avoided]
        for place, found in enumerate(paid, len(columns) - len(paid)):
            if found is not None:
                sheet.write_number(
                    line, place, found, amount
                )  # a spreadsheet's number has 15 digits, and this all of them
    sheet.freeze_panes(1, len(by))
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) - 1)
    sheet.autofit()
    book.close()
    return made.getvalue()


def _currencies(report: UsageReport) -> tuple[list[str], list[str]]:
    return sorted(report.total.cost), sorted(report.total.avoided)


def _columns(report: UsageReport, spent: Sequence[str], avoided: Sequence[str]) -> list[str]:
    paid = [*(f"cost {currency}" for currency in spent), *(f"avoided {currency}" for currency in avoided)]
    return [*report.question.by, *COUNTS, *paid]


def _digits(amounts: Mapping[str, Decimal], currency: str) -> str:
    found = amounts.get(currency)
    return "" if found is None else money.digits(found)


def _cells(key: Sequence[str], row: UsageRow) -> list[str]:
    share = row.house_share
    return [
        *_words(key),
        *(str(row.counts[COUNTS[name]]) for name in _SHOWN.values()),
        _NOBODY if share is None else f"{share:.1f}%",
        _amounts(row.cost),
        _amounts(row.avoided),
    ]


def _avoided_cells(key: Sequence[str], row: UsageRow) -> list[str]:
    counted = ("answered", "prompt", "cached", "completion", "avoided_unknown")
    return [*_words(key), *(str(row.counts[name]) for name in counted), _amounts(row.avoided)]


def _words(key: Sequence[str]) -> list[str]:
    return [word or _NOBODY if place == 0 else word for place, word in enumerate(key)]


def _amounts(amounts: Mapping[str, Any]) -> str:
    return " + ".join(f"{money.cents(amount)} {currency}" for currency, amount in sorted(amounts.items())) or _NOBODY
