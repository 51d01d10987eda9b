"""The surroundings are what the operator knows of the place that a resource is in, beside the resource itself.

Does its namespace give pods their user ids? That is read from the Namespace, which changes so seldom that an answer is kept
for half a minute. And what does the administrator say of the site? That is read every few seconds, like the Secrets that
resources name, and what changes has every resource reconciled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from genset.desired.context import Locality, Settings
from genset.desired.site import Site
from genset.kube.client import ApiError, ApiServer
from genset.kube.observe import assigns_ids
from genset.kube.site import SiteReader

log = logging.getLogger(__name__)

KEPT_SECONDS = 30.0


class Surroundings:
    """These are the operator's settings as they hold in each namespace. `clock`: seconds, monotonic."""

    def __init__(self, api: ApiServer, settings: Settings, reader: SiteReader, clock: Callable[[], float]) -> None:
        self._api = api
        self.settings = settings
        self._reader = reader
        self._clock = clock
        self._site = Site()
        self._assigned: dict[str, tuple[float, bool]] = {}  # by namespace: until when, and whether

    async def settings_in(self, namespace: str) -> Settings:
        """Returns the settings for resources of one namespace."""
        known = self._assigned.get(namespace)
        if known is None or known[0] < self._clock():
            known = (self._clock() + KEPT_SECONDS, await assigns_ids(self._api, namespace))
            self._assigned[namespace] = known
        return replace(self.settings, place=Locality(assigned_ids=known[1], site=self._site))

    async def look(self) -> bool:
        """Reads the site. Returns whether it has changed."""
        before, self._site = self._site, await self._reader.read()
        return before != self._site


async def poll(surroundings: Surroundings, changed: Callable[[], Awaitable[object]], *, period: float) -> None:
    """Looks until cancelled, and calls `changed` after each change until that has succeeded."""
    due = False
    while True:
        await asyncio.sleep(period)
        try:
            if await surroundings.look():
                log.info("The site's settings have changed")
                due = True
            if due:
                await changed()
                due = False
        except ApiError as error:
            log.warning("Could not follow the site's settings: %s", error.message)
