"""Shares say how much small, medium and large models answer, in the house and elsewhere, in the course of time. Pure.

Size is by parameters in total, speed by those that a token uses. A model whose parameters nobody knows is of no class.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from genset.columns import aligned
from genset.ledger.facts import HOUSE
from genset.ledger.report import UsageReport
from genset.usage.show import harmless

KINDS: Final = {"size": "sizeClass", "speed": "speedClass"}  # of classes, and the words that usage is asked by
_ORDER: Final = {"small": 0, "medium": 1, "large": 2, "fast": 0, "moderate": 1, "slow": 2}
_SIDES: Final = ("house", "cloud")
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class ShareCell:
    """A cell is what models of one class have done on one side in one span of time."""

    time: str
    kind: str  # size or speed
    model_class: str
    side: str
    answers: int
    tokens: int
    all_answers: int  # of that time
    all_tokens: int

    @property
    def of_answers(self) -> Decimal | None:
        return Decimal(100 * self.answers) / self.all_answers if self.all_answers else None

    @property
    def of_tokens(self) -> Decimal | None:
        return Decimal(100 * self.tokens) / self.all_tokens if self.all_tokens else None


def cells(report: UsageReport) -> list[ShareCell]:
    """Returns the cells of a report by a time, sizeClass, speedClass and zone."""
    times: dict[str, list[int]] = {}
    sums: dict[tuple[str, str, str, str], list[int]] = {}
    for row in report.rows:
        time, size, speed, zone = row.key
        counted = row.counts["answered"], row.counts["prompt"] + row.counts["completion"]
        side = _SIDES[0] if zone == HOUSE else _SIDES[1]
        held = [(time, kind, found or _UNKNOWN, side) for kind, found in zip(KINDS, (size, speed), strict=True)]
        for sum_ in (times.setdefault(time, [0, 0]), *(sums.setdefault(key, [0, 0]) for key in held)):
            sum_[0] += counted[0]
            sum_[1] += counted[1]
    made = [ShareCell(*key, *sum_, *times[key[0]]) for key, sum_ in sums.items()]
    return sorted(made, key=lambda cell: (list(KINDS).index(cell.kind), cell.time, _place(cell)))


def _place(cell: ShareCell) -> tuple[int, int, str]:
    return _SIDES.index(cell.side), _ORDER.get(cell.model_class, 9), cell.model_class


def table(report: UsageReport) -> str:
    """Returns two tables for people, by size and by speed: a line for each time, a column for each side and class."""
    found, parts = cells(report), []
    for kind, words in (("size", "PARAMETERS IN TOTAL"), ("speed", "PARAMETERS THAT A TOKEN USES")):
        own = [cell for cell in found if cell.kind == kind]
        columns = sorted({(_place(cell), f"{cell.side} {cell.model_class}") for cell in own})
        heads = [report.question.time, *(name for _, name in columns)]
        lines = [[head.upper() for head in heads]]
        for time in dict.fromkeys(cell.time for cell in own):
            here = {f"{cell.side} {cell.model_class}": cell for cell in own if cell.time == time}
            lines.append([time, *(_shown(here.get(name)) for _, name in columns)])
        parts.append("\n".join([f"{words}: share of answers / of tokens", *aligned(lines)]))
    return "\n\n".join(parts)


def _shown(cell: ShareCell | None) -> str:
    if cell is None:
        return "-"
    return " / ".join("-" if share is None else f"{share:.1f}%" for share in (cell.of_answers, cell.of_tokens))


COLUMNS: Final = ("kind", "class", "side", "answers", "tokens", "percentOfAnswers", "percentOfTokens")


def as_csv(report: UsageReport) -> str:
    """Returns a line for each cell, for charts."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([report.question.time, *COLUMNS])
    writer.writerows([harmless(str(value)) for value in _row(cell)] for cell in cells(report))
    return text.getvalue().rstrip("\n")


def as_json(report: UsageReport) -> str:
    names = (report.question.time, *COLUMNS)
    rows = [dict(zip(names, _row(cell), strict=True)) for cell in cells(report)]
    return json.dumps({"from": report.question.begin, "to": report.question.end, "rows": rows}, indent=2)


def _row(cell: ShareCell) -> tuple[str | int, ...]:
    shares = ("" if share is None else f"{share:.4f}" for share in (cell.of_answers, cell.of_tokens))
    return cell.time, cell.kind, cell.model_class, cell.side, cell.answers, cell.tokens, *shares
