"""The resync is the periodic truth: it LISTs all resources and has each reconciled, whatever the watches saw.

Watches lose events (deletions during a 410 re-list, drops of handlers). Each reconcile LISTs its own children, so
enqueueing every resource that exists, and every one that was known and is gone, covers all of them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from genset.controllers.keys import KINDS, Key
from genset.controllers.queue import WorkQueue
from genset.controllers.references import References
from genset.kube.client import ApiError, ApiServer
from genset.kube.metrics import Metrics

log = logging.getLogger(__name__)

AFTER_FAILURE_SECONDS = 10.0


async def resync(
    api: ApiServer, queue: WorkQueue[Key], references: References, namespaces: Sequence[str | None]
) -> int:
    """Resyncs once, and returns how many resources exist. `namespaces` is (None,) for the whole cluster."""
    found: set[Key] = set()
    for kind in KINDS.values():
        for namespace in namespaces:
            for item in await api.list(kind, namespace, metadata_only=True):
                found.add(Key(kind.kind, item["metadata"]["namespace"], item["metadata"]["name"]))
    for key in found | references.keys():
        queue.add(key, background=True)
    return len(found)


async def keep_resyncing(
    api: ApiServer,
    queue: WorkQueue[Key],
    references: References,
    namespaces: Sequence[str | None],
    metrics: Metrics,
    *,
    seconds: float,
    rng: random.Random,
) -> None:
    """Resyncs every `seconds`, give or take a tenth so that clusters spread; soon again after a failure."""
    pause = seconds
    while True:
        await asyncio.sleep(pause * rng.uniform(0.9, 1.1))
        try:
            count = await resync(api, queue, references, namespaces)
        except ApiError as error:
            log.warning("Could not resync: %s", error.message)
            metrics.resyncs.labels(result="error").inc()
            pause = min(AFTER_FAILURE_SECONDS, seconds)
        else:
            log.info("Resynced %d resources", count)
            metrics.resyncs.labels(result="ok").inc()
            pause = seconds
