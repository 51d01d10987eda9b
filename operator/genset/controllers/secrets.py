"""Changed Secrets are noticed here, without the right to list or watch them.

The operator may only `get` Secrets, so those that resources name (and the routers' own credentials) are read by name,
every few seconds, metadata only. A reader whose last reconcile saw another version is enqueued.
"""

from __future__ import annotations

import asyncio
import logging

from genset import kinds
from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.controllers.references import References, SecretKey
from genset.kube.client import ApiError, ApiServer

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
READS_PER_SECOND = 40.0  # with more Secrets than fit, a round takes longer
_PARALLEL = 4


async def poll(
    api: ApiServer, references: References, queue: WorkQueue[Key], *, period: float = PERIOD_SECONDS
) -> None:
    """Looks until cancelled."""
    while True:
        readers = references.secrets()
        await asyncio.sleep(max(period, len(readers) / READS_PER_SECOND))
        await look(api, references, queue)


async def look(api: ApiServer, references: References, queue: WorkQueue[Key]) -> None:
    """Makes one round: reads each Secret once and enqueues the readers that know another version."""
    slots = asyncio.Semaphore(_PARALLEL)

    async def read(secret: SecretKey) -> None:
        async with slots:
            try:
                found = await api.get_metadata(kinds.SECRET, *secret)
            except ApiError as error:
                log.warning("Could not read Secret %s/%s: %s", *secret, error.message)
                return
        version = found["metadata"]["resourceVersion"] if found else None
        for key, seen in references.secrets().get(secret, ()):  # as of now: a reconcile may have run meanwhile
            if seen != version:
                log.info("Secret %s/%s changed, for %s", *secret, key)
                queue.add(key)

    await asyncio.gather(*(read(secret) for secret in references.secrets()))
