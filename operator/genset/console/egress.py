"""What left the house is shown entry by entry, with the rules of who may go where. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from genset.console import words
from genset.console.heard import Heard, Sees
from genset.console.paging import AskedPage, PageOf, page_of
from genset.contracts.usage import EgressEntry
from genset.data_zones import HOUSE, WORLD
from genset.usage.show import UNFINISHED

SPANS: Final = {"hour": ("last hour", 3600), "day": ("24 hours", 86_400), "week": ("7 days", 604_800)}


@dataclass(frozen=True)
class EgressRow:
    """A row is one attempt at a backend outside the house."""

    time: str
    policy: str
    consumer: str
    route: str
    backend: str
    zone: str
    host: str
    out: str
    into: str
    tokens: str
    outcome: str
    request: str


@dataclass(frozen=True)
class ZoneRow:
    """A row is one policy: in which zones its requests may be answered, and which backends are in which."""

    namespace: str
    policy: str
    allowed: str
    places: str
    narrowed: str


@dataclass(frozen=True)
class EgressPage:
    """The page sums up what it has found, by zone."""

    entries: PageOf[EgressRow]
    zones: Sequence[tuple[str, int, str]]
    rules: Sequence[ZoneRow]


def page(entries: Sequence[EgressEntry], heard: Heard, sees: Sees, asked: AskedPage) -> EgressPage:
    """Returns what left the house from policies that somebody sees, the newest first."""
    seen = [one for one in entries if sees(one.policy.partition("/")[0])]
    sums: dict[str, tuple[int, int]] = {}
    for one in seen:
        count, sent = sums.get(one.zone, (0, 0))
        sums[one.zone] = (count + 1, sent + (one.bytes_out or 0))
    found = page_of(reversed(seen), asked, _text)
    rows = PageOf(list(map(_row, found.rows)), asked, found.page, found.pages, found.found, found.every)
    zones = [(zone or "(unknown)", count, words.size(sent)) for zone, (count, sent) in sorted(sums.items())]
    return EgressPage(rows, zones, list(rules(heard, sees)))


def rules(heard: Heard, sees: Sees) -> Iterator[ZoneRow]:
    """Yields who may go where, by each policy's status and spec."""
    for policy in heard.policies:
        if not sees(policy.line.namespace):
            continue
        places: dict[str, list[str]] = {}
        for backend in policy.spec.get("backends") or ():
            zone = str(backend.get("dataZone", WORLD)) if backend.get("cloud") else HOUSE
            places.setdefault(zone, []).append(str(backend.get("name", "")))
        narrowed = [
            f"{route.get('name', '')}: {', '.join(map(str, route['dataZones']))}"
            for route in policy.spec.get("routes") or ()
            if route.get("dataZones")
        ]
        yield ZoneRow(
            policy.line.namespace,
            policy.line.name,
            str(policy.status.get("dataZones", "")) or "every zone",
            "; ".join(f"{zone}: {', '.join(names)}" for zone, names in sorted(places.items())),
            "; ".join(narrowed) or words.UNKNOWN,
        )


def _text(one: EgressEntry) -> str:
    return f"{one.request} {one.consumer} {one.policy} {one.route} {one.backend} {one.zone} {one.host} {one.outcome}"


def _row(one: EgressEntry) -> EgressRow:
    tokens = [
        words.UNKNOWN if count is None else words.number(count) for count in (one.input_tokens, one.output_tokens)
    ]
    return EgressRow(
        words.stamp(one.time),
        one.policy,
        one.consumer or words.UNKNOWN,
        one.route,
        one.backend,
        one.zone,
        one.host,
        words.UNKNOWN if one.bytes_out is None else words.size(one.bytes_out),
        words.UNKNOWN if one.bytes_in is None else words.size(one.bytes_in),
        " / ".join(tokens),
        one.outcome or UNFINISHED,
        one.request,
    )
