"""A server's work is read from its own metrics: whether a request runs, and how much was done so far.

Two readings with the same sum and nothing running at either say that nobody was served between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from genset.engines.base import WorkMetrics

#: What a router of any release tells of its requests.
ROUTER = WorkMetrics("/metrics", running=("genset_router_in_flight",), done=("genset_router_requests_total",))


@dataclass(frozen=True)
class ServerWork:
    """The work of one server. `done` is the sum of its counters."""

    busy: bool
    done: float


def read(page: bytes, metrics: WorkMetrics) -> ServerWork | None:
    """Reads a page in Prometheus' text format; None if it does not tell what runs: no server is taken for idle then."""
    found: dict[str, float] = {}
    for line in page.decode(errors="replace").splitlines():
        name, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        if name in (*metrics.running, *metrics.done):
            value = _number(rest.rpartition("}")[2].split())
            found[name] = found.get(name, 0.0) + value
    if not all(name in found for name in metrics.running):
        return None
    running = (found[name] for name in metrics.running)
    done = sum(found.get(name, 0.0) for name in metrics.done)
    return ServerWork(any(value != 0 for value in running), done)


def _number(words: list[str]) -> float:
    """Returns the value of a sample; a timestamp may follow it. What is no number counts as one that no other equals."""
    try:
        return float(words[0])
    except (ValueError, IndexError):
        return math.nan
