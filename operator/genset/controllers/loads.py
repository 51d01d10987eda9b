"""The load book remembers what the routers of each policy give, and how fast they have seen models of the house write.

The reconcile of a policy fills it; coverage is reckoned with it. Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from genset.contracts.load import LoadReport
from genset.controllers.keys import Key

NEWS: Final = 0.2  # of a pace, by which another one is news
STEP: Final = 1.25  # from one load that is told to the next
LEAST_SECONDS: Final = 300.0  # a router looks back, before what it gives counts


class LoadBook:
    """The load book holds paces by policy and deployment, in tokens a second of one answer."""

    def __init__(self) -> None:
        self._paces: dict[Key, dict[str, float]] = {}

    def heard(self, policy: Key, reports: Iterable[LoadReport], deployments: Mapping[str, str]) -> set[str]:
        """Takes what a policy's routers say. `deployments`: of each backend of the house. Returns those with news, by name."""
        before, now = self._paces.get(policy, {}), dict(self._paces.get(policy, {}))
        sums: defaultdict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
        for report in reports:
            for name, one in report.backends.items():
                if name in deployments and one.tokens_per_second > 0:
                    answers, seconds = sums[deployments[name]]
                    sums[deployments[name]] = answers + one.answers, seconds + one.answers / one.tokens_per_second
        for name, (answers, seconds) in sums.items():
            pace = answers / seconds
            if name not in before or abs(pace - before[name]) > NEWS * before[name]:
                now[name] = pace
        self._paces[policy] = {name: pace for name, pace in now.items() if name in deployments.values()}
        return {name for name, pace in self._paces[policy].items() if before.get(name) != pace}

    def drop(self, policy: Key) -> None:
        """Forgets a policy that is gone."""
        self._paces.pop(policy, None)

    def pace(self, namespace: str, deployment: str) -> float | None:
        """Returns how fast routers have seen a deployment write; None if none has: the slowest, if several have."""
        found = [
            paces[deployment]
            for key, paces in self._paces.items()
            if key.namespace == namespace and deployment in paces
        ]
        return min(found, default=None)


def loads(reports: Iterable[LoadReport]) -> dict[str, float]:
    """Returns what each route gives, of all routers together, in tokens a second: up to the next step, so that statuses rest."""
    found: defaultdict[str, float] = defaultdict(float)
    for report in reports:
        for route, tokens in report.routes.items() if report.seconds >= LEAST_SECONDS else ():
            found[route] += tokens
    return {route: STEP ** math.ceil(math.log(tokens, STEP)) if tokens > 0 else 0.0 for route, tokens in found.items()}
