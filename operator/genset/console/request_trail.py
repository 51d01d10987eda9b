"""A request is shown as its trail: who asked, which backends were tried, in a waterfall, and how each attempt ended. Pure.

The ledger knows when attempts outside the house began and ended. Attempts run one after the other, so one in the house lies
between its neighbours; its bar says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genset.console import words
from genset.console.heard import Sees
from genset.contracts.reading import count, duration, items, text
from genset.contracts.usage_records import UsageAttempt

_ID: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)  # as routers take them
_OK: Final = ("ok", "cancelled")
_POLICY: Final = "policy"


@dataclass(frozen=True)
class TrailBar:
    """A bar is one attempt: its begin and its length, in thousandths of the whole. `exact`: its times were written down."""

    backend: str
    tier: int
    zone: str
    model: str
    outcome: str
    tone: str
    left: int
    width: int
    exact: bool
    took: str
    tokens: str
    cost: str
    host: str


@dataclass(frozen=True)
class RequestTrail:
    """A trail is one request that has ended."""

    request: str
    policy: str
    router: str
    time: str
    took: str
    status: int
    outcome: str
    tone: str
    consumer: str
    team: str
    route: str
    api: str
    model: str
    drill: str
    avoided: str
    bars: Sequence[TrailBar]


def is_id(given: str) -> bool:
    """Returns whether this can be a request's id."""
    return _ID.fullmatch(given) is not None and given not in (".", "..")


def policies(told: Mapping[str, Any]) -> set[str]:
    """Returns whose requests of this id there are: NAMESPACE/NAME. Clients choose ids, so there may be several."""
    return {text(one.get(_POLICY)) for one in items(told.get("usage")) if isinstance(one, dict)}


def trails(told: Mapping[str, Any], sees: Sees) -> list[RequestTrail]:
    """Returns the requests of an id that somebody sees, from the ledger's answer."""
    egress = [one for one in items(told.get("egress")) if isinstance(one, dict)]
    found = []
    for one in items(told.get("usage")):
        policy = text(one.get(_POLICY)) if isinstance(one, dict) else ""
        if policy and sees(policy.partition("/")[0]):
            found.append(_trail(one, [line for line in egress if text(line.get(_POLICY)) == policy]))
    return found


def _trail(one: Mapping[str, Any], egress: Sequence[Mapping[str, Any]]) -> RequestTrail:
    began, lasted = duration(one.get("time")) or 0.0, duration(one.get("seconds")) or 0.0
    attempts = [UsageAttempt.read(told) for told in items(one.get("attempts")) if isinstance(told, dict)]
    outcome = text(one.get("outcome"))
    avoided = text(one.get("avoided"))
    return RequestTrail(
        text(one.get("request")),
        text(one.get(_POLICY)),
        text(one.get("router")),
        words.stamp(began),
        words.took(lasted),
        count(one.get("status")),
        outcome,
        "well" if outcome in _OK else "bad",
        text(one.get("consumer")) or words.UNKNOWN,
        text(one.get("team")) or words.UNKNOWN,
        text(one.get("route")) or words.UNKNOWN,
        text(one.get("api")) or words.UNKNOWN,
        text(one.get("model")) or words.UNKNOWN,
        text(one.get("drill")),
        f"{avoided} {text(one.get('avoidedCurrency'))}" if avoided else "",
        _bars(attempts, egress, began, lasted),
    )


def _bars(
    attempts: Sequence[UsageAttempt], egress: Sequence[Mapping[str, Any]], began: float, lasted: float
) -> list[TrailBar]:
    """Returns a bar for each attempt. Those outside the house are found in the egress record by their backend, in order."""
    known = _known(egress)
    found: list[tuple[float, float, str] | None] = []
    for attempt in attempts:
        place = next((at for at, (backend, *_) in enumerate(known) if backend == attempt.backend), None)
        found.append(known.pop(place)[1:] if place is not None else None)
    bars, end = [], began + lasted
    for at, (attempt, times) in enumerate(zip(attempts, found, strict=True)):
        before = next((one[1] for one in reversed(found[:at]) if one is not None), began)
        after = next((one[0] for one in found[at + 1 :] if one is not None), end)
        first, last, host = times or (before, max(before, after), "")
        left = _place(first - began, lasted)
        width = max(4, min(1000 - left, _place(last - first, lasted)))
        bars.append(_bar(attempt, left, width, times is not None, last - first, host))
    return bars


def _known(egress: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float, str]]:
    """Returns backend, begin, end and host of each attempt that was written down whole, by its begin."""
    begun: dict[tuple[str, int], Mapping[str, Any]] = {}
    found = []
    for one in egress:
        key = (text(one.get("incarnation")), count(one.get("n")))
        if one.get("kind") == "begun":
            begun[key] = one
    for one in egress:
        first = begun.get((text(one.get("incarnation")), count(one.get("n"))))
        if one.get("kind") == "ended" and first is not None:
            times = duration(first.get("time")) or 0.0, duration(one.get("time")) or 0.0
            found.append((text(first.get("backend")), *times, text(first.get("host"))))
    return sorted(found, key=lambda one: one[1])


def _place(seconds: float, lasted: float) -> int:
    return max(0, min(996, round(1000 * seconds / lasted))) if lasted > 0 else 0


def _bar(attempt: UsageAttempt, left: int, width: int, exact: bool, seconds: float, host: str) -> TrailBar:
    cost = f"{attempt.cost:f} {attempt.currency}" if attempt.cost is not None else ""
    return TrailBar(
        attempt.backend,
        attempt.tier + 1,
        attempt.zone,
        attempt.model,
        attempt.outcome,
        "well" if attempt.outcome in _OK else "bad",
        left,
        width,
        exact,
        words.took(max(0.0, seconds)) if exact else f"at most {words.took(max(0.0, seconds))}",
        f"{words.number(attempt.prompt)} / {words.number(attempt.completion)}",
        cost or ("house" if attempt.zone == "house" else "unknown"),
        host,
    )
