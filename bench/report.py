"""The table: for the terminal, for docs/performance.md (between markers), and as JSON for whoever wants to plot it."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.failover import FailoverResult
from bench.goals import Goal
from bench.install import ROOT
from bench.measure import Run
from bench.scenarios import SCENARIOS
from bench.summary import DIRECT, Round, Row, Value

PERFORMANCE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "bench" / "results"

Cell = Callable[[Row], Value]

COLUMNS: tuple[tuple[str, Cell, str], ...] = (
    ("passed on/s", lambda r: r.untouched, ",.0f"),
    ("short streams/s", lambda r: r.short, ",.0f"),
    ("rebuilt/s", lambda r: r.whole, ",.0f"),
    ("CPU µs/rebuilt", lambda r: r.cpu_per_request, ".1f"),
    ("CPU µs/chunk", lambda r: r.cpu_per_chunk, ".1f"),
    ("added p50 ms", lambda r: r.added_p50, ".2f"),
    ("added p99 ms", lambda r: r.added_p99, ".2f"),
    ("700 streams: lag p99 ms", lambda r: r.steady_lag, ",.1f"),
    ("1,200 streams: chunks/s", lambda r: r.many_rate, ",.0f"),
    ("lag p99 ms", lambda r: r.many_lag, ",.1f"),
    ("2,000 streams: lag p99 ms", lambda r: r.crowd_lag, ",.1f"),
    ("MiB", lambda r: r.crowd_mib, ",.0f"),
    ("MiB idle", lambda r: r.idle_mib, ",.0f"),
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
    failed = f"{value.failures:,} errors" if value.failures else ""
    if value.median is None:
        return failed or "–"
    text = format(value.median, form) + (" !" if value.flawed else "")
    if base is not None and base.median and base.median > 0 and value.median > 0:
        text += f" ({_ratio(value.median / base.median)}×)"
    return f"{text}, {failed}" if failed else text


def _ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def instrument(rounds: Sequence[Round]) -> str:
    """How much of its core the load took, straight and with each peer between: what it could still have passed."""
    names = list(dict.fromkeys(one.peer for one in rounds))
    lines = [
        "| load's core, % | " + " | ".join(names) + " | direct: µs per request or chunk |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for scenario in SCENARIOS.values():
        found = {
            name: [one.runs[scenario.name] for one in rounds if one.peer == name and scenario.name in one.runs]
            for name in names
        }
        cells = [
            f"{100 * median(run.share('load', 'upstream') for run in found[name]):.0f}" if found[name] else "–"
            for name in names
        ]
        if any(found.values()):
            lines.append(f"| {scenario.about} | {' | '.join(cells)} | {_cost(found.get(DIRECT, []))} |")
    return "\n".join(lines)


def _cost(runs: Sequence[Run]) -> str:
    """Generator + upstream."""
    shares = [
        [run.share(name) * run.seconds / count * 1e6 for name in ("load", "upstream")]
        for run in runs
        if (count := run.chunks or run.requests)
    ]
    if not shares:
        return "–"
    return " + ".join(f"{median(share[part] for share in shares):.1f}" for part in (0, 1))


def failover_table(found: FailoverResult) -> str:
    """Of genset alone."""
    lines = [
        "| genset: to the next candidate's first byte, ms | p50 | p99 | most | samples | lost |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {case.about} | {case.p50:.2f} | {case.p99:.2f} | {case.most:.2f} | {case.samples} | {case.lost} |"
        for case in found.cases
    ]
    return "\n".join(lines)


def errors(found: Sequence[Row]) -> str:
    """What failed, by peer and scenario."""
    lines = []
    for row in found:
        for scenario, kinds in row.errors.items():
            told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
            lines.append(f"- {row.peer}, {SCENARIOS[scenario].about}: {told}")
    return "\n".join(["Errors:", "", *lines]) if lines else ""


def verdicts(judged: Sequence[Goal]) -> str:
    """One line per goal."""
    lines = []
    for goal in judged:
        verdict = "held" if goal.held else "missed"
        doubt = ", from windows that do not count (!)" if goal.flawed else ""
        side = "at least" if goal.at_least else "at most"
        lines.append(f"- {goal.text}: {goal.measured:,.2f}, wanted {side} {goal.bound:,.4g}: {verdict}{doubt}")
    return "\n".join(lines)


def caveats(found: Sequence[Row]) -> str:
    """What the reader must know before believing the table."""
    if not any(get(row).flawed for row in found for _, get, _ in COLUMNS):
        return ""
    return (
        "A ! marks medians of windows that are no good measurement of the peer, because there were no others: the load "
        "generator and the upstream filled their core or were late themselves, or other programs ran on one of the two."
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
