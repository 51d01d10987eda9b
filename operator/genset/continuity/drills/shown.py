"""Drills are shown to people as a table and in sentences, from the status of policies. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_HEAD: Final = ("POLICY", "DRILL", "LAST", "OUTCOME", "RTO", "DETECTED", "GIVEN BACK", "LOST", "NEXT")
_TIMES: Final = ("rtoSeconds", "detectionSeconds", "giveBackSeconds")


def status_of(policy: Mapping[str, Any], drill: str) -> dict[str, Any]:
    """Returns how a drill is; empty if nothing is known of it yet."""
    found: Iterable[dict[str, Any]] = (policy.get("status") or {}).get("drills") or []
    return next((one for one in found if one.get("name") == drill), {})


def table(policies: Iterable[Mapping[str, Any]]) -> str:
    """Returns a line for each drill; "" if there is none."""
    rows = [_cells(policy, one) for policy, one in _drills(policies)]
    if not rows:
        return ""
    widths = [max(len(row[place]) for row in (_HEAD, *rows)) for place in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (_HEAD, *rows))
    return "\n".join(line.rstrip() for line in lines)


def as_json(policies: Iterable[Mapping[str, Any]]) -> str:
    """Returns an object for each drill, one a line."""
    return "\n".join(json.dumps({"policy": policy, **one}, sort_keys=True) for policy, one in _drills(policies))


def sentence(last: Mapping[str, Any]) -> str:
    """Tells in words how a run has ended."""
    if last.get("outcome") == "Aborted":
        return f"Aborted: {last.get('message', '')}"
    rto, detected, back = (_seconds(last.get(name)) for name in _TIMES)
    of = last.get("requests") or {}
    numbers = (
        f"answered again after {rto}, detected after {detected}, given back after {back}; first token p50 "
        f"{_seconds(last.get('firstByteP50Seconds'))}, p99 {_seconds(last.get('firstByteP99Seconds'))}; of "
        f"{of.get('asked', 0)} requests {of.get('lost', 0)} lost, {of.get('cut', 0)} cut, {of.get('continued', 0)} continued, "
        f"{of.get('degraded', 0)} degraded"
    )
    if "live" in of:
        numbers += f"; {of['live']} were of clients, {of.get('spared', 0)} of these went back"
    why = f" ({last['message']})" if last.get("message") else ""
    return f"{last.get('outcome', '?')}{why}: {numbers}"


def _drills(policies: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for policy in policies:
        for drill in (policy.get("spec") or {}).get("drills") or []:
            name = drill["name"]
            yield policy["metadata"]["name"], {"name": name, **status_of(policy, name)}


def _cells(policy: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    last = one.get("last") or {}
    running = one.get("running")
    of = last.get("requests") or {}
    lost = str(of.get("lost", 0) + of.get("cut", 0)) if of else "-"
    times = [_seconds(last.get(name)) if of else "-" for name in _TIMES]
    outcome = running["phase"] if running else last.get("outcome", "-")
    return (policy, one["name"], last.get("ended", "-"), outcome, *times, lost, one.get("next", "by hand"))


def _seconds(value: Any) -> str:
    return f"{value:g} s" if isinstance(value, int | float) else "never"
