"""Shares by size class and side, by hand."""

from __future__ import annotations

import csv
import io
import json

from genset.ledger.report import UsageQuestion, UsageReport, UsageRow
from genset.usage import shares


def report(*rows: tuple[str, str, str, str, int, int]) -> UsageReport:
    made = []
    for *key, answered, tokens in rows:
        row = UsageRow(tuple(map(str, key)))
        row.counts.update(answered=int(answered), prompt=int(tokens) - 1, completion=1)
        made.append(row)
    return UsageReport(UsageQuestion(0, 3600, ("month", "sizeClass", "speedClass", "zone")), made, UsageRow(()))


FOUND = report(
    ("2026-10", "small", "fast", "house", 60, 1000),
    ("2026-10", "large", "fast", "house", 10, 500),
    ("2026-10", "large", "", "us", 20, 400),
    ("2026-10", "", "", "eu", 10, 100),
    ("2026-11", "small", "slow", "house", 0, 10),
)


def test_by_hand() -> None:
    found = {
        (c.time, c.kind, c.side, c.model_class): (c.answers, c.of_answers, c.of_tokens) for c in shares.cells(FOUND)
    }
    assert found == {
        ("2026-10", "size", "house", "small"): (60, 60, 50),
        ("2026-10", "size", "house", "large"): (10, 10, 25),
        ("2026-10", "size", "cloud", "large"): (20, 20, 20),
        ("2026-10", "size", "cloud", "unknown"): (10, 10, 5),
        ("2026-10", "speed", "house", "fast"): (70, 70, 75),
        ("2026-10", "speed", "cloud", "unknown"): (30, 30, 25),
        ("2026-11", "size", "house", "small"): (0, None, 100),
        ("2026-11", "speed", "house", "slow"): (0, None, 100),
    }


def test_a_table_for_people() -> None:
    size, speed = shares.table(FOUND).split("\n\n")
    assert [line.split() for line in size.splitlines()[1:3]] == [
        ["MONTH", "HOUSE", "SMALL", "HOUSE", "LARGE", "CLOUD", "LARGE", "CLOUD", "UNKNOWN"],
        ["2026-10", *["60.0%", "/", "50.0%", "10.0%", "/", "25.0%", "20.0%", "/", "20.0%", "10.0%", "/", "5.0%"]],
    ]
    assert size.splitlines()[3].split() == ["2026-11", "-", "/", "100.0%", "-", "-", "-"]
    assert speed.startswith("PARAMETERS THAT A TOKEN USES")


def test_for_programs() -> None:
    rows = list(csv.DictReader(io.StringIO(shares.as_csv(FOUND))))
    assert rows[0] == {
        "month": "2026-10", "kind": "size", "class": "small", "side": "house", "answers": "60", "tokens": "1000",
        "percentOfAnswers": "60.0000", "percentOfTokens": "50.0000",
    }  # fmt: skip
    assert len(json.loads(shares.as_json(FOUND))["rows"]) == len(rows) == 8


def test_nothing_is_no_error() -> None:
    assert "PARAMETERS IN TOTAL" in shares.table(report())
