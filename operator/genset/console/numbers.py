"""The numbers of a router are read from its page of metrics: only those that pages show, and only so many of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

MOST_LINES: Final = 4096  # that are read of one page
_LINE: Final = re.compile(rb"^(genset_router_[a-z_]+)\{(.*)\} ([0-9.e+]+)$")
_LABEL: Final = re.compile(rb'([a-z]+)="((?:[^"\\]|\\.)*)"')
_WANTED: Final = (
    b"genset_router_requests_total", b"genset_router_failovers_total", b"genset_router_tokens_total",
    b"genset_router_first_token_seconds_bucket",
)  # fmt: skip

FailoverKey = tuple[str, str, str]  # route, backend, reason


@dataclass
class RouterNumbers:
    """These are counters of one router since its start. `first_token`: cumulative counts by bound, of each backend."""

    answers: dict[str, float] = field(default_factory=dict)  # whole ones, by route
    failed: dict[str, float] = field(default_factory=dict)  # by route
    failovers: dict[FailoverKey, float] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)  # made, by backend
    first_token: dict[str, dict[float, float]] = field(default_factory=dict)


def read(page: bytes) -> RouterNumbers:
    """Reads a page in Prometheus' text format."""
    found = RouterNumbers()
    for name, labels, value in _lines(page):
        if name == _WANTED[0]:
            held = found.answers if labels.get("status") == "200" and not labels.get("error") else found.failed
            route = labels.get("route", "")
            held[route] = held.get(route, 0.0) + value
        elif name == _WANTED[1]:
            key = (labels.get("route", ""), labels.get("backend", ""), labels.get("reason", ""))
            found.failovers[key] = value
        elif name == _WANTED[2]:
            if labels.get("direction") == "output":
                found.tokens[labels.get("backend", "")] = value
        else:
            bound = float(labels.get("le", "inf"))
            found.first_token.setdefault(labels.get("backend", ""), {})[bound] = value
    return found


def _lines(page: bytes) -> Iterator[tuple[bytes, Mapping[str, str], float]]:
    count = 0
    for line in page.split(b"\n"):
        if not line.startswith(_WANTED) or (matched := _LINE.match(line)) is None or matched[1] not in _WANTED:
            continue
        count += 1
        if count > MOST_LINES:
            return
        try:
            labels = {name.decode(): _plain(value) for name, value in _LABEL.findall(matched[2])}
            yield matched[1], labels, float(matched[3])
        except ValueError:  # a number that is none, a name that nobody can read
            continue


def _plain(value: bytes) -> str:
    return value.decode().replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
