"""The recorder sends Kubernetes Events: what people see under `kubectl describe`.

Recording never blocks and never fails a reconcile: events wait in a bounded queue, a few senders empty it. The same event
again becomes a series (a count), written at most once a minute; each object has a budget, so that a resource that flaps
cannot flood etcd. (Rules after client-go's tools/events: 25 in a burst.)
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from genset import names
from genset.kinds import EVENT
from genset.kube.client import ApiError, ApiServer, LeadershipLost, Object
from genset.kube.metrics import Metrics
from genset.times import micro_time

log = logging.getLogger(__name__)

QUEUED = 4096  # events; more are dropped and counted
SENDERS = 4
REMEMBERED = 4096  # distinct events and objects
SERIES_SECONDS = 60.0  # between two writes of one series' count
SERIES_LIFETIME = 1800.0  # an event that comes again later is a new one
BURST = 25  # events of one object ...
REFILL_SECONDS = 60.0  # ... and one more each minute
LONGEST_NOTE = 1024  # events.k8s.io/v1: note


@dataclass(frozen=True)
class _Happened:
    """This is one thing that happened to one object."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    type: str  # Normal | Warning
    reason: str
    note: str


@dataclass
class _Series:
    name: str  # of the Event object
    count: int
    first: float
    written: float


@dataclass
class _Budget:
    tokens: float
    at: float


class Recorder:
    """The recorder sends Events in the background; `run` is its task."""

    def __init__(
        self,
        api: ApiServer,
        metrics: Metrics,
        instance: str,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._instance = instance[:128]
        self._monotonic = monotonic
        self._queue: asyncio.Queue[_Happened] = asyncio.Queue(QUEUED)
        self._series: OrderedDict[_Happened, _Series] = OrderedDict()
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()

    def record(self, regarding: Object, event_type: str, reason: str, note: str) -> None:
        """Queues an Event about an object."""
        metadata = regarding["metadata"]
        happened = _Happened(
            regarding["apiVersion"], regarding["kind"], metadata["namespace"], metadata["name"], metadata["uid"],
            event_type, reason[:128], note if len(note) <= LONGEST_NOTE else note[: LONGEST_NOTE - 1] + "…",
        )  # fmt: skip
        try:
            self._queue.put_nowait(happened)
        except asyncio.QueueFull:
            self._metrics.events.labels(result="dropped").inc()

    async def run(self) -> None:
        """Sends until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(SENDERS):
                group.create_task(self._send_all(), name=f"recorder-{number}")

    async def _send_all(self) -> None:
        while True:
            happened = await self._queue.get()
            try:
                result = await self._send(happened)
            except (ApiError, LeadershipLost) as error:
                result = "failed"
                log.debug("Could not record %s on %s/%s: %s", happened.reason, happened.namespace, happened.name, error)
            self._metrics.events.labels(result=result).inc()

    async def _send(self, happened: _Happened) -> str:
        now = self._monotonic()
        series = self._series.get(happened)
        if series is not None and now - series.first < SERIES_LIFETIME:
            return await self._continue(happened, series, now)
        if not self._spend(happened.uid, now):
            return "limited"
        name = f"{happened.name}.{int(datetime.now(UTC).timestamp() * 1e9):x}"
        self._remember(happened, _Series(name, 1, now, now))  # before the request: the other senders see it
        try:
            await self._api.create(EVENT, self._body(happened, name))
        except BaseException:
            self._series.pop(happened, None)
            raise
        return "created"

    async def _continue(self, happened: _Happened, series: _Series, now: float) -> str:
        series.count += 1
        if now - series.written < SERIES_SECONDS:
            return "counted"
        series.written = now
        body: Object = {"series": {"count": series.count, "lastObservedTime": self._stamp()}}
        try:
            await self._api.merge_patch(
                EVENT, happened.namespace, series.name, body, field_manager=names.EVENT_COMPONENT
            )
        except ApiError as error:
            if not error.not_found:
                raise
            self._series.pop(happened, None)  # expired on the server: the next one starts anew
        return "counted"

    def _spend(self, uid: str, now: float) -> bool:
        budget = self._budgets.setdefault(uid, _Budget(BURST, now))
        self._budgets.move_to_end(uid)
        while len(self._budgets) > REMEMBERED:
            self._budgets.popitem(last=False)
        budget.tokens = min(BURST, budget.tokens + (now - budget.at) / REFILL_SECONDS)
        budget.at = now
        if budget.tokens < 1:
            return False
        budget.tokens -= 1
        return True

    def _remember(self, happened: _Happened, series: _Series) -> None:
        self._series[happened] = series
        while len(self._series) > REMEMBERED:
            self._series.popitem(last=False)

    def _body(self, happened: _Happened, name: str) -> Object:
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": happened.namespace},
            "eventTime": self._stamp(),
            "reportingController": names.EVENT_COMPONENT,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": happened.type,
            "reason": happened.reason,
            "note": happened.note,
            "regarding": {
                "apiVersion": happened.api_version,
                "kind": happened.kind,
                "namespace": happened.namespace,
                "name": happened.name,
                "uid": happened.uid,
            },
        }

    def _stamp(self) -> str:
        return micro_time(datetime.now(UTC))
