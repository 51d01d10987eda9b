"""A policy of a scenario is served for as long as the scenario needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e.world import World, until
from genset import names
from testbed.resources import Object


@asynccontextmanager
async def served(world: World, policy: Object) -> AsyncIterator[str]:
    """Applies a policy, and gives its routers' URL once it is Ready; afterwards it and its routers are gone."""
    house, name, namespace = world.house, policy["metadata"]["name"], policy["metadata"]["namespace"]
    house.apply(policy)
    try:
        await asyncio.to_thread(house.until, "rp", namespace, name, "Ready", seconds=90)
        yield world.service_url(namespace, f"{name}{names.ROUTER_SUFFIX}") + "/v1"
    finally:
        house.kubectl("-n", namespace, "delete", "rp", name, "--wait=true")
        # The next policy's Service would select routers of this one, and where they end lose a connection for half a minute.
        routers = f"{names.LABEL_ROUTE_POLICY}={name}"
        await until(lambda: not house.list("pods", namespace, routers), "the end of its routers", seconds=60)
