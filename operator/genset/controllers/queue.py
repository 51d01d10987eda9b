"""The work queue decides which key is reconciled next, and when a failed one comes again.

Owns what Kopf's `on.event` handlers do not: deduplication, never two workers on one key, retries with backoff, delays,
and an answer to "does work still flow?". The rules are those of client-go's workqueue, written for one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from genset.kube.metrics import Metrics

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

FIRST_BACKOFF = 0.25  # seconds after the first failure of a key; doubles with each
LONGEST_BACKOFF = 60.0  # seconds
STALL_SECONDS = 120.0  # a key that waits or runs longer means that work no longer flows


@dataclass
class _Delay:
    due: float
    handle: asyncio.TimerHandle


@dataclass
class WorkQueue(Generic[Key]):
    """A work queue is a keyed, deduplicating queue of one event loop.

    A key is in at most one of the states waiting, running, running-and-dirty; besides, it may have one delayed add
    (the earliest wins). Of the waiting keys, those of a resync or a first listing come last: a person's change never
    waits behind a fleet that merely is to be looked at.
    """

    metrics: Metrics
    rng: random.Random = field(default_factory=random.Random)
    first_backoff: float = FIRST_BACKOFF
    longest_backoff: float = LONGEST_BACKOFF
    stall_seconds: float = STALL_SECONDS

    def __post_init__(self) -> None:
        self._waiting: dict[Key, float] = {}  # key -> since when, in order
        self._background: dict[Key, float] = {}  # the same, taken when nothing else waits
        self._running: dict[Key, float] = {}
        self._dirty: set[Key] = set()  # added while running: runs again after
        self._delays: dict[Key, _Delay] = {}
        self._failures: dict[Key, int] = {}
        self._idle_workers: deque[asyncio.Future[None]] = deque()
        self._closed = False

    # -- adding -------------------------------------------------------------------------------------------------------

    def add(self, key: Key, delay: float = 0.0, *, background: bool = False) -> None:
        """Has the key reconciled, now or after a delay in seconds. It is never forgotten, never doubled."""
        if self._closed:
            return
        if delay > 0:
            self._add_later(key, delay)
            return
        self._cancel_delay(key)
        if key in self._running:
            self._dirty.add(key)
        elif key in self._background and not background:
            self._waiting[key] = self._background.pop(key)
        elif key not in self._waiting and key not in self._background:
            (self._background if background else self._waiting)[key] = self._now()
            self._wake()
        self._measure()

    def retry(self, key: Key) -> float:
        """Adds the key after its backoff, which grows with each failure in a row. Returns the seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        backoff: float = min(self.first_backoff * 2 ** min(failures - 1, 30), self.longest_backoff)
        backoff *= self.rng.uniform(0.8, 1.2)
        self.metrics.retries.inc()
        self.add(key, backoff)
        return backoff

    def forget(self, key: Key) -> None:
        """Notes that the key went well: its next failure starts from the shortest backoff."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """Returns the failures in a row."""
        return self._failures.get(key, 0)

    def _add_later(self, key: Key, delay: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        earlier = self._delays.get(key)
        if earlier is not None:
            if earlier.due <= due:
                return
            earlier.handle.cancel()
        self._delays[key] = _Delay(due, loop.call_at(due, self._due, key))
        self._measure()

    def _due(self, key: Key) -> None:
        self._delays.pop(key, None)
        self.add(key)

    def _cancel_delay(self, key: Key) -> None:
        delay = self._delays.pop(key, None)
        if delay is not None:
            delay.handle.cancel()

    # -- working ------------------------------------------------------------------------------------------------------

    async def run(self, workers: int, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        """Works until cancelled or closed.

        `reconcile` handles its own failures (see `retry`); what escapes is a bug, and is retried too: no key is lost.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(reconcile), name=f"worker-{number}")

    async def _work(self, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        while (key := await self._take()) is not None:
            try:
                await reconcile(key)
            except Exception:
                log.exception("Reconcile of %s ended with an unexpected error", key)
                self.retry(key)
            finally:
                self._done(key)

    async def _take(self) -> Key | None:
        while not self.depth:
            if self._closed:
                return None
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_workers.append(idle)
            try:
                await idle
            except asyncio.CancelledError:
                if idle.done() and not idle.cancelled():
                    self._wake()  # woken and cancelled at once: someone else must take the key
                raise
        line = self._waiting or self._background
        key = next(iter(line))
        since = line.pop(key)
        now = self._now()
        self.metrics.wait_seconds.observe(now - since)
        self._running[key] = now
        self._measure()
        return key

    def _done(self, key: Key) -> None:
        self._running.pop(key, None)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)
        self._measure()

    def _wake(self) -> None:
        while self._idle_workers:
            idle = self._idle_workers.popleft()
            if not idle.done():
                idle.set_result(None)
                return

    def close(self) -> None:
        """Takes no key any more; workers end after the key that they work on."""
        self._closed = True
        for key in list(self._delays):
            self._cancel_delay(key)
        self._waiting.clear()
        self._background.clear()
        self._dirty.clear()
        while self._idle_workers:
            self._wake()
        self._measure()

    # -- watching -----------------------------------------------------------------------------------------------------

    def outdated(self, key: Key) -> bool:
        """Returns whether the key, while in work, was added again: what the worker has read is no longer all there is."""
        return key in self._dirty

    @property
    def depth(self) -> int:
        """Returns how many keys wait for a worker."""
        return len(self._waiting) + len(self._background)

    @property
    def idle(self) -> bool:
        """Returns whether nothing waits and nothing runs; delayed keys may exist."""
        return not self.depth and not self._running and not self._dirty

    def stalled(self) -> str | None:
        """Says why work no longer flows, naming the oldest key; None while it does."""
        now = self._now()
        for state, keys in (("in work", self._running), ("waiting", self._waiting)):
            if keys:
                key, since = min(keys.items(), key=lambda item: item[1])
                if now - since > self.stall_seconds:
                    return f"{key} has been {state} for {now - since:.0f} s"
        return None

    def _measure(self) -> None:
        self.metrics.depth.set(self.depth)
        self.metrics.delayed.set(len(self._delays))
        self.metrics.running.set(len(self._running))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
