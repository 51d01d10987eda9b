"""The table: for the terminal, for docs/performance.md (between markers), and as JSON for whoever wants to plot it."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.install import ROOT
from bench.summary import Goal, Row, Value

PERFORMANCE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "bench" / "results"

Cell = Callable[[Row], Value]

COLUMNS: tuple[tuple[str, Cell, str], ...] = (
    ("requests/s", lambda r: r.requests_per_second, ",.0f"),
    ("CPU µs/request", lambda r: r.cpu_per_request, ".1f"),
    ("CPU µs/chunk", lambda r: r.cpu_per_chunk, ".1f"),
    ("added p50 ms", lambda r: r.added_p50, ".2f"),
    ("added p99 ms", lambda r: r.added_p99, ".2f"),
    ("lag p99 ms", lambda r: r.lag_p99, ".1f"),
    ("RSS idle MiB", lambda r: r.idle_mib, ".0f"),
    ("RSS streams MiB", lambda r: r.streams_mib, ".0f"),
    ("failures", lambda r: Value(r.failures, r.rounds), ".0f"),
)


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu.group(1).strip() if cpu else platform.processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def table(found: Sequence[Row], versions: Mapping[str, str], own: str = "genset") -> str:
    """Markdown. In parentheses: how many times the own value, for every peer but the own. !: from flawed windows."""
    base = next((row for row in found if row.peer == own), None)
    lines = ["| | " + " | ".join(name for name, _, _ in COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for row in found:
        cells = [_cell(get(row), get(base) if base and row is not base else None, form) for _, get, form in COLUMNS]
        lines.append(f"| {' '.join((row.peer, versions.get(row.peer, ''))).strip()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: Value, base: Value | None, form: str) -> str:
    if value.median is None:
        return "–"
    text = format(value.median, form) + (" !" if value.flawed else "")
    if base is None or not base.median or value.median <= 0 or base.median < 0:
        return text
    return f"{text} ({value.median / base.median:.2f}×)"


def verdicts(judged: Sequence[Goal]) -> str:
    """One line per goal."""
    lines = []
    for goal in judged:
        verdict = "held" if goal.held else "missed"
        doubt = ", on a disturbed machine" if goal.flawed else ""
        lines.append(f"- {goal.text}: {goal.measured:.2f}, wanted at least {goal.wanted:g}: {verdict}{doubt}")
    return "\n".join(lines)


def caveats(found: Sequence[Row]) -> str:
    """What the reader must know before believing the table."""
    if not any(get(row).flawed for row in found for _, get, _ in COLUMNS):
        return ""
    return (
        "A ! marks medians of windows that are no good measurement, because there were no others: the load generator's "
        "core was full, or other programs ran on the peer's core."
    )


def write_section(name: str, text: str, file: Path = PERFORMANCE) -> None:
    """Replaces what stands between the section's markers; the rest of the page is written by people."""
    begin, end = f"<!-- {name}: written by `make bench` -->", f"<!-- end of {name} -->"
    page = file.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{file} has no section {name}; it needs the lines {begin} and {end}")
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    file.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}")


def write_json(name: str, content: Mapping[str, Any], now: datetime) -> Path:
    """The raw numbers, replacing those of the last run."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    body = {"date": now.isoformat(timespec="seconds"), "machine": machine(), **content}
    path.write_text(json.dumps(body, indent=1, default=_plain) + "\n")
    return path


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{value!r} is no JSON")
