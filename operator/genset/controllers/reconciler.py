"""The reconciler is what the work queue calls: it knows each kind's controller, and what an outcome means for the key."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.kube.client import ApiError, LeadershipLost
from genset.kube.metrics import Metrics

log = logging.getLogger(__name__)


class Reconciler:
    """The reconciler calls the controller of a key, and decides from the outcome when the key comes again."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        metrics: Metrics,
        controllers: Mapping[str, Callable[[Key], Awaitable[float | None]]],
    ) -> None:
        self._queue = queue
        self._metrics = metrics
        self._controllers = controllers

    async def __call__(self, key: Key) -> None:
        began = time.monotonic()
        result = "error"
        try:
            again = await self._controllers[key.kind](key)
            self._queue.forget(key)
            if again is not None:
                self._queue.add(key, again)
            result = "ok" if again is None else "again"
        except ApiError as error:
            seconds = self._queue.retry(key)
            log.warning("Could not reconcile %s, next try in %.1f s: %s", key, seconds, error.message)
        except LeadershipLost:
            result = "fenced"  # the session is about to end; the next leader reconciles everything
        finally:
            self._metrics.reconciles.labels(kind=key.kind, result=result).inc()
            self._metrics.reconcile_seconds.labels(kind=key.kind).observe(time.monotonic() - began)
