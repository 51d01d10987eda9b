"""The load is what routes have given in the last hour, and how fast backends write: for who reckons what survives a loss.

Counters are looked at once a minute, so that no request pays for it. Pure: the clock and the counters come in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, final

from genset.contracts.load import BackendLoad, LoadReport
from genset.router.backends.use import WritingPace

SAMPLE_SECONDS: Final = 60.0  # between two looks at the counters
SAMPLES: Final = 60  # so that an hour is looked back at
LEAST_ANSWERS: Final = 5  # of a backend, before its pace is told


class _Sample(NamedTuple):
    at: float
    given: dict[str, int]
    paces: dict[str, WritingPace]


@final
class Load:
    """The load keeps one sample a minute, for an hour."""

    __slots__ = ("_due", "_samples")

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES + 1)
        self._due = 0.0

    def is_due(self, now: float) -> bool:
        """Returns whether a minute has passed since the last look."""
        return now >= self._due

    def sample(self, now: float, given: Mapping[str, int], paces: Mapping[str, WritingPace]) -> None:
        """Looks at the counters: tokens of answers by route, and paces by backend, since the process began."""
        self._due = now + SAMPLE_SECONDS
        self._samples.append(_Sample(now, dict(given), dict(paces)))

    def report(self, now: float, given: Mapping[str, int], paces: Mapping[str, WritingPace]) -> LoadReport:
        """Returns the load since the oldest sample. Nothing is told before there is one."""
        if not self._samples or now <= self._samples[0].at:
            return LoadReport()
        before = self._samples[0]
        seconds = now - before.at
        routes = {route: (tokens - before.given.get(route, 0)) / seconds for route, tokens in given.items()}
        backends = {}
        for name, pace in paces.items():
            known = before.paces.get(name, WritingPace(0, 0.0))
            answers, took = pace.answers - known.answers, pace.seconds - known.seconds
            if answers >= LEAST_ANSWERS and took > 0:
                backends[name] = BackendLoad(answers, answers / took)
        return LoadReport(seconds, routes, backends)
