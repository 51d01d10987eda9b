"""From what cells have met to the table. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.continuity.asking import Verdict
from bench.continuity.faults import FAULTS, Side
from bench.continuity.run import MOMENTS, Outcome


@dataclass(frozen=True)
class Result:
    """One peer under one fault: seconds at the median and the 99th percentile, and counts of requests."""

    peer: str
    fault: str
    first: Side
    stream: bool
    runs: int
    asked: int
    lost: int
    lied: int
    detection: tuple[float, float]  # inf: not within the time that was looked at
    first_byte: tuple[float, float]  # nan: nothing was answered
    details: Mapping[str, int]  # what the lost and the lied were, with how often


def results(outcomes: Sequence[Outcome]) -> list[Result]:
    """One result for each peer, fault, direction and kind of answer, in order of first appearance."""
    groups: dict[tuple[str, str, Side, bool], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.peer, one.cell.fault.name, one.cell.first, one.cell.stream), []).append(one)
    return [_result(*key, found) for key, found in groups.items()]


def _result(peer: str, fault: str, first: Side, stream: bool, found: Sequence[Outcome]) -> Result:
    answers = [answer for one in found for answer in one.answers]
    bad = Counter(f"{answer.verdict}: {answer.detail}" for answer in answers if answer.verdict is not Verdict.WHOLE)
    return Result(
        peer,
        fault,
        first,
        stream,
        len(found),
        len(answers),
        sum(one.count(Verdict.LOST) for one in found),
        sum(one.count(Verdict.LIED) for one in found),
        _percentiles([math.inf if one.detection is None else one.detection for one in found]),
        _percentiles([seconds for one in found for seconds in one.added]),
        dict(bad.most_common(3)),
    )


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Returns the median and the 99th percentile, by nearest rank."""
    if not values:
        return math.nan, math.nan
    ordered = sorted(values)
    return tuple(ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))  # type: ignore[return-value]


def table(found: Sequence[Result], first: Side) -> str:
    """Markdown for one direction."""
    names = list(dict.fromkeys(one.peer for one in found))
    columns = "".join(f" {name}: noticed | first byte | lost | lied |" for name in names)
    lines = [f"| {first} first, fault | answers |{columns}", "|---|---|" + "---:|---:|---:|---:|" * len(names)]
    for fault in FAULTS:
        for stream in (True, False):
            row = {one.peer: one for one in found if (one.fault, one.first, one.stream) == (fault, first, stream)}
            if row:
                cells = "".join(_cells(row.get(name)) for name in names)
                lines.append(f"| {fault} | {'stream' if stream else 'whole'} |{cells}")
    return "\n".join(lines)


def _cells(one: Result | None) -> str:
    if one is None:
        return " – | – | – | – |"
    return f" {_pair(one.detection)} | {_pair(one.first_byte)} | {_share(one.lost, one.asked)} | {_share(one.lied, one.asked)} |"


def _pair(pair: tuple[float, float]) -> str:
    return " / ".join(map(_seconds, pair))


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"> {MOMENTS[-1]:.0f}" if math.isinf(value) else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _share(count: int, asked: int) -> str:
    return f"**{count}** of {asked}" if count else "0"


def totals(found: Sequence[Result]) -> str:
    """What each peer has lost and lied in all."""
    lines = ["| | requests under a fault | lost | lied |", "|---|---:|---:|---:|"]
    for name in dict.fromkeys(one.peer for one in found):
        own = [one for one in found if one.peer == name]
        asked, lost, lied = (sum(getattr(one, what) for one in own) for what in ("asked", "lost", "lied"))
        lines.append(f"| {name} | {asked:,} | {lost:,} ({lost / asked:.1%}) | {lied:,} ({lied / asked:.1%}) |")
    return "\n".join(lines)
