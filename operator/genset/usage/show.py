"""Egress records are shown as a table for people, as JSON lines and as CSV. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from genset.columns import aligned
from genset.contracts.usage import EgressEntry
from genset.times import rfc3339

COLUMNS = (
    "time", "request", "consumer", "policy", "route", "backend", "zone", "host", "bytesOut", "bytesIn", "inputTokens",
    "outputTokens", "outcome",
)  # fmt: skip
_SHOWN = ("time", "request", "consumer", "route", "backend", "zone", "host", "bytesOut", "bytesIn", "outcome")
UNFINISHED = "unfinished"  # no end was written: it runs, or its router was killed


def table(entries: Sequence[EgressEntry]) -> str:
    """Returns a line for each entry, and the sums."""
    rows = [[column.upper() for column in _SHOWN], *([row(entry)[column] for column in _SHOWN] for entry in entries)]
    out, into = sum(entry.bytes_out or 0 for entry in entries), sum(entry.bytes_in or 0 for entry in entries)
    unfinished = sum(entry.ended is None for entry in entries)
    more = f", {unfinished} of them unfinished" if unfinished else ""
    return "\n".join([*aligned(rows), "", f"{len(entries)} attempts{more}; {out} bytes out, {into} bytes in"])


def lines(entries: Sequence[EgressEntry]) -> str:
    """Returns a JSON object a line, with every field."""
    return "\n".join(json.dumps({**asdict(entry), "time": entry.time}, ensure_ascii=False) for entry in entries)


def as_csv(entries: Sequence[EgressEntry]) -> str:
    """Returns a table for other programs. No cell begins as a formula does in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([harmless(row(entry)[column]) for column in COLUMNS] for entry in entries)
    return text.getvalue().rstrip("\n")


def row(entry: EgressEntry) -> dict[str, str]:
    """Returns the cells of an entry; empty for what is not known."""
    numbers = {
        "bytesOut": entry.bytes_out,
        "bytesIn": entry.bytes_in,
        "inputTokens": entry.input_tokens,
        "outputTokens": entry.output_tokens,
    }
    return {
        "time": rfc3339(entry.time),
        "request": entry.request,
        "consumer": entry.consumer,
        "policy": entry.policy,
        "route": entry.route,
        "backend": entry.backend,
        "zone": entry.zone,
        "host": entry.host,
        **{name: "" if value is None else str(value) for name, value in numbers.items()},
        "outcome": entry.outcome or UNFINISHED,
    }


def harmless(cell: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell
