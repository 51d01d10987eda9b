"""What the house and the cloud cost for the same answers is shown as a table for people, as JSON and as CSV. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from genset.columns import aligned
from genset.ledger import money
from genset.ledger.report import UsageQuestion
from genset.times import rfc3339
from genset.usage.breakeven import EvenLine
from genset.usage.show import harmless

_UNKNOWN: Final = "-"
_HEADS: Final = (
    "MODEL", "ANSWERS", "TOKENS", "HOUSE COST", "AVOIDED", "AN ANSWER", "EVEN AT", "NOW", "CHEAPER",
)  # fmt: skip


def table(found: Sequence[EvenLine], asked: UsageQuestion) -> str:
    """Returns a line for each model, what the columns mean, and what is not known."""
    lines = [list(_HEADS), *(_cells(line) for line in found)]
    return "\n".join([*aligned(lines, words=1), "", *_notes(found, asked)])


def _cells(line: EvenLine) -> list[str]:
    price = line.price
    each, even = line.per_answer, line.even_at
    return [
        line.model or "the house",
        str(line.answers),
        str(line.tokens),
        f"{money.cents(line.reserved)} {price.currency}"
        if price is not None and line.reserved is not None
        else _UNKNOWN,
        " + ".join(f"{money.cents(amount)} {currency}" for currency, amount in sorted(line.avoided.items()))
        or _UNKNOWN,
        f"{each:.6f} {price.currency}" if each is not None and price is not None else _UNKNOWN,
        f"{even:.1f}/h" if even is not None else _UNKNOWN,
        f"{line.now:.1f}/h",
        line.cheaper,
    ]


def _notes(found: Sequence[EvenLine], asked: UsageQuestion) -> list[str]:
    notes = [
        f"from {rfc3339(asked.begin)} to {rfc3339(asked.end)}, at what the house costs now",
        "EVEN AT: so many such answers an hour cost the house as much as the first cloud of their routes; with more the house is "
        "cheaper",
    ]
    for line in found:
        name = line.model or "the house"
        if line.why_not:
            notes.append(f"{name}: {line.why_not}")
        if line.unknown:
            notes.append(
                f"{name}: of {line.unknown} answers nobody knows what they would have cost; they are not in AN ANSWER"
            )
    return notes


_COLUMNS: Final = (
    "model", "hours", "answers", "unknown", "tokens", "housePerHour", "houseCost", "currency", "avoided", "perAnswer", "evenAt",
    "now", "cheaper", "why",
)  # fmt: skip


def _told(line: EvenLine) -> dict[str, Any]:
    price = line.price
    return {
        "model": line.model,
        "hours": _digits(line.hours),
        "answers": line.answers,
        "unknown": line.unknown,
        "tokens": line.tokens,
        "housePerHour": _digits(price.per_hour if price is not None else None),
        "houseCost": _digits(line.reserved),
        "currency": price.currency if price is not None else None,
        "avoided": {currency: money.digits(amount) for currency, amount in sorted(line.avoided.items())},
        "perAnswer": _digits(line.per_answer),
        "evenAt": _digits(line.even_at),
        "now": _digits(line.now),
        "cheaper": line.cheaper,
        "why": line.why_not,
    }


def as_json(found: Sequence[EvenLine], asked: UsageQuestion) -> str:
    told = {"from": asked.begin, "to": asked.end, "rows": [_told(line) for line in found]}
    return json.dumps(told, indent=2, ensure_ascii=False)


def as_csv(found: Sequence[EvenLine], _: UsageQuestion) -> str:
    """Returns a table for other programs, numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for line in found:
        told = _told(line)
        told["avoided"] = " ".join(f"{amount} {currency}" for currency, amount in told["avoided"].items())
        writer.writerow([harmless(str("" if told[name] is None else told[name])) for name in _COLUMNS])
    return text.getvalue().rstrip("\n")


def _digits(value: Decimal | None) -> str | None:
    return None if value is None else money.digits(value)
