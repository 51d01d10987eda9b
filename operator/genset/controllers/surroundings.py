"""The surroundings are what the operator knows of the place that a resource is in, beside the resource itself.

Does its namespace give pods their user ids? That is read from the Namespace, which changes so seldom that an answer is kept
for half a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from genset.desired.context import Place, Settings
from genset.kube.client import ApiServer
from genset.kube.observe import assigns_ids

KEPT_SECONDS = 30.0


class Surroundings:
    """These are the operator's settings as they hold in each namespace. `clock`: seconds, monotonic."""

    def __init__(self, api: ApiServer, settings: Settings, clock: Callable[[], float]) -> None:
        self._api = api
        self.settings = settings
        self._clock = clock
        self._assigned: dict[str, tuple[float, bool]] = {}  # by namespace: until when, and whether

    async def settings_in(self, namespace: str) -> Settings:
        """Returns the settings for resources of one namespace."""
        known = self._assigned.get(namespace)
        if known is None or known[0] < self._clock():
            known = (self._clock() + KEPT_SECONDS, await assigns_ids(self._api, namespace))
            self._assigned[namespace] = known
        return replace(self.settings, place=Place(assigned_ids=True)) if known[1] else self.settings
