"""The surroundings are what the operator knows of the place that a resource is in, beside the resource itself.

What does its namespace say: does it give pods their user ids, and in which data zones may its requests be answered? Ids change
so seldom that an answer is kept for half a minute; zones are looked at every few seconds. So is what the administrator says
of the site, and the Secrets that resources name. What changes has every resource reconciled. And which nodes are there? They
are listed only while a pod finds none, or is to be made later, and at most once a minute.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

from genset.desired.context import Locality, Settings
from genset.desired.site import Site
from genset.kube import observe
from genset.kube.client import ApiError, ApiServer
from genset.kube.site import SiteReader
from genset.sizing.nodes import Node

log = logging.getLogger(__name__)

KEPT_SECONDS = 30.0
NODES_SECONDS = 60.0  # for which a list of nodes is taken for the world


class Surroundings:
    """These are the operator's settings as they hold in each namespace. `clock`: seconds, monotonic."""

    def __init__(self, api: ApiServer, settings: Settings, reader: SiteReader, clock: Callable[[], float]) -> None:
        self._api = api
        self.settings = settings
        self._reader = reader
        self._clock = clock
        self._site = Site()
        self._known: dict[str, tuple[float, Locality]] = {}  # by namespace: until when, and what it says
        self._nodes: tuple[Node, ...] | None = None  # None: no right to list them
        self._nodes_until = -math.inf
        self._listing = asyncio.Lock()

    async def settings_in(self, namespace: str) -> Settings:
        """Returns the settings for resources of one namespace."""
        known = self._known.get(namespace)
        if known is None or known[0] < self._clock():
            known = await self._read(namespace)
        return replace(self.settings, place=replace(known[1], site=self._site))

    async def nodes(self) -> tuple[Node, ...] | None:
        """Returns the cluster's nodes as they are when empty; None if the operator may not list them."""
        async with self._listing:
            if self._nodes_until < self._clock():
                self._nodes = await observe.nodes(self._api)
                self._nodes_until = self._clock() + NODES_SECONDS
            return self._nodes

    async def look(self) -> bool:
        """Reads the site, and the zones of namespaces. Returns whether anything has changed."""
        before, self._site = self._site, await self._reader.read()
        return await self._zones_changed() or before != self._site

    async def _zones_changed(self) -> bool:
        """Reads the labels of all namespaces at once; one by one if only some may be read, as in namespaced mode."""
        before = {namespace: known for namespace, (_, known) in self._known.items()}
        if not before:
            return False
        labels = await observe.data_zone_labels(self._api)
        again = [name for name, known in before.items() if labels is None or not known.is_known]
        now = dict(zip(again, [found for _, found in await asyncio.gather(*map(self._read, again))], strict=True))
        if labels is not None:
            now = {name: replace(known, data_zones=labels.get(name)) for name, known in before.items()} | now
        changed = [name for name, known in before.items() if _zones(now[name]) != _zones(known)]
        for namespace in changed:
            self._known.pop(namespace, None)
        return bool(changed)

    async def _read(self, namespace: str) -> tuple[float, Locality]:
        found = await observe.locality(self._api, namespace)
        before = self._known.get(namespace)
        if not found.is_known and (before is None or before[1].is_known):
            log.warning(
                "Namespace %s may not be read: its policies stay in zone house, whatever its label says", namespace
            )
        self._known[namespace] = made = (self._clock() + KEPT_SECONDS, found)
        return made


def _zones(known: Locality) -> tuple[bool, str | None]:
    return known.is_known, known.data_zones


async def poll(surroundings: Surroundings, changed: Callable[[], Awaitable[object]], *, period: float) -> None:
    """Looks until cancelled, and calls `changed` after each change until that has succeeded."""
    due = False
    while True:
        await asyncio.sleep(period)
        try:
            if await surroundings.look():
                log.info("The site's settings, or what a namespace says of data zones, have changed")
                due = True
            if due:
                await changed()
                due = False
        except ApiError as error:
            log.warning("Could not follow the site's settings: %s", error.message)
