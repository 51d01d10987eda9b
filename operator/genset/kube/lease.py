"""Leader election on a Lease sees to it that at most one operator writes.

The rules are client-go's (tools/leaderelection/leaderelection.go): a candidate trusts its own clock only,
counting from when it last saw the record change; a leader that could not renew for `renew_deadline` stops by itself,
well before `lease_duration` lets another one take over. Beyond them, `held` is a fence that every write asks, and a Lease
belongs to its holder's pod: an uninstall takes the rights away before the process can give the Lease back, and then the
API server's garbage collection removes it with the pod.

Own loop, because the one of `kubernetes.aio` (37.0) has no fence, does not give the Lease back when it stops, writes
renewal times in local time marked as UTC, and counts no transitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp

from genset.kinds import LEASE
from genset.kube.client import ApiError, ApiServer, Object
from genset.kube.metrics import Metrics
from genset.times import micro_time

log = logging.getLogger(__name__)


TELL_SECONDS = 60.0  # between two log lines about the same trouble


@dataclass(frozen=True)
class Timings:
    """The timings are seconds."""

    lease_duration: float = 15.0  # after this long without renewal another candidate takes over
    renew_deadline: float = 10.0  # after this long without renewal the leader stops by itself
    retry_period: float = 2.0  # between tries, of candidates and of the leader
    stop_limit: float = 4.0  # how long the work may take to end before the Lease is given back regardless

    @classmethod
    def of(cls, lease_duration: float) -> Timings:
        """Returns client-go's proportions: 15, 10 and 2 seconds."""
        return cls(lease_duration, lease_duration * 2 / 3, lease_duration * 2 / 15, min(4.0, lease_duration * 4 / 15))


class OwnPod(NamedTuple):
    """This is the pod that a process runs in."""

    name: str
    uid: str


class LeaderElection:
    """A leader election is one candidate.

    `api` must be one of its own, so that renewals wait for nobody, and without a fence.
    """

    def __init__(
        self,
        api: ApiServer,
        metrics: Metrics,
        *,
        namespace: str,
        name: str,
        identity: str,
        timings: Timings,
        rng: random.Random,
        pod: OwnPod | None = None,
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._timings = timings
        self._rng = rng
        self._owners: list[Object] = []
        if pod is not None:
            self._owners = [{"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}]
        self._held_until = 0.0  # loop time
        # Holder, renewal and transitions as last seen, and the loop time of their last change.
        self._seen: tuple[tuple[Any, ...], float] = ((), 0.0)
        self._lease: Object | None = None  # as last written by us
        self._told = float("-inf")  # loop time when `trouble` was logged
        self.trouble = ""  # why the Lease could not be read or renewed the last time; "": it could
        self.last_answer = float("-inf")  # loop time of the API server's last answer

    def held(self) -> bool:
        """Returns whether this process may write: it has renewed recently enough that nobody else can have taken over."""
        return self._now() < self._held_until

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Campaigns, runs `lead` while it leads, and campaigns again after a loss.

        Cancel it to stop: the Lease is given back once `lead` has ended.
        """
        try:
            while True:
                await self._acquire()
                log.info("Became leader as %s", self._identity)
                await self._lead(lead)
        finally:
            self._metrics.leader.set(0)

    async def _acquire(self) -> None:
        while not await self._try():
            await asyncio.sleep(self._timings.retry_period * self._rng.uniform(0.9, 1.2))

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        self._metrics.leader.set(1)
        work = asyncio.ensure_future(lead())
        try:
            await self._renew_while(work)
        finally:
            if not work.done():
                work.cancel()
            await asyncio.wait({work}, timeout=self._timings.stop_limit)
            self._metrics.leader.set(0)
            await self._release()
        if work.done() and not work.cancelled():
            work.result()  # the work ended by itself: its failure is ours

    async def _renew_while(self, work: asyncio.Future[None]) -> None:
        """Renews while the work runs. Returns when the Lease is lost or the work has ended."""
        while not work.done():
            await asyncio.wait({work}, timeout=self._timings.retry_period)
            if work.done():
                return
            limit = max(0.05, self._held_until - self._now())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._try()
            if not self.held():
                log.warning("Lost the Lease %s/%s: stopped writing", self._namespace, self._name)
                return

    async def _try(self) -> bool:
        """Tries once to take or renew the Lease. Never raises for what the API server does."""
        started = self._now()
        try:
            try:
                won = await self._take(started)
            except ApiError as error:
                if not error.not_found or self._lease is None:
                    raise
                self._lease = None  # somebody removed it: whoever makes the next one leads
                won = await self._take(started)
        except ApiError as error:
            self._lease = None  # read again before the next write
            if error.conflict:
                self.last_answer = self._now()
            else:
                self._tell(f"could not renew or read the Lease {self._namespace}/{self._name}: {error.message}")
            return False
        self.last_answer = self._now()
        if self.trouble:
            log.info("Reached the Lease %s/%s again", self._namespace, self._name)
            self.trouble = ""
        if won:
            self._held_until = started + self._timings.renew_deadline
        return won

    def _tell(self, trouble: str) -> None:
        """Logs a trouble when it begins, and once a minute while it lasts: it is met every other second."""
        now = self._now()
        if not self.trouble or now - self._told >= TELL_SECONDS:
            self._told = now
            log.warning("%s", trouble[0].upper() + trouble[1:])
        self.trouble = trouble

    async def _take(self, started: float) -> bool:
        lease = self._lease or await self._read()
        if lease is None:
            metadata = {"name": self._name, "namespace": self._namespace, "ownerReferences": self._owners}
            self._lease = await self._send("POST", {"metadata": metadata, "spec": self._spec({}, new=True)})
            return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._expired(spec, started):
            self._held_until = 0.0
            return False
        taken = {**lease, "metadata": {**lease["metadata"], "ownerReferences": self._owners}}
        self._lease = await self._send("PUT", {**taken, "spec": self._spec(spec, new=holder != self._identity)})
        return True

    def _expired(self, spec: Object, now: float) -> bool:
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen[0]:
            self._seen = (record, now)
        return now >= self._seen[1] + float(spec.get("leaseDurationSeconds") or self._timings.lease_duration)

    def _spec(self, old: Object, *, new: bool) -> Object:
        stamp = _micro_time()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timings.lease_duration)),
            "acquireTime": stamp if new else old.get("acquireTime") or stamp,
            "renewTime": stamp,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (1 if new and old else 0),
        }

    async def _read(self) -> Object | None:
        try:
            return await self._api.request(
                "GET", LEASE.path(self._namespace, self._name), attempts=1, timeout=self._limit
            )
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def _send(self, method: str, body: Object) -> Object:
        body = {**body, "apiVersion": LEASE.api_version, "kind": LEASE.kind}
        path = LEASE.path(self._namespace, None if method == "POST" else self._name)
        return await self._api.request(method, path, body=body, attempts=1, timeout=self._limit)

    async def _release(self) -> None:
        """Gives the Lease back as well as it can, so that the next one need not wait."""
        lease, held = self._lease, self.held()
        self._held_until, self._lease = 0.0, None
        if not held:
            return
        try:
            lease = lease or await self._read()  # none: the last renewal has failed
            spec = (lease or {}).get("spec") or {}
            if lease is None or spec.get("holderIdentity") != self._identity:
                return
            given = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()}
            metadata = {**lease["metadata"], "ownerReferences": []}  # it outlives this pod
            await self._send("PUT", {**lease, "metadata": metadata, "spec": given})
            log.info("Gave the Lease back")
        except ApiError as error:
            runs_out = f"it goes with this pod, or runs out within {self._timings.lease_duration:g} s"
            if error.status in (401, 403, 404):  # an uninstall takes rights and namespace away before the process ends
                log.info("Could not give the Lease back, because the rights to it are gone already: %s", runs_out)
            else:
                log.warning("Could not give the Lease back: %s; %s", error.message, runs_out)

    @property
    def _limit(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=self._timings.renew_deadline / 2)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _micro_time() -> str:
    """Writes a metav1.MicroTime; other processes show it, none computes with it."""
    return micro_time(datetime.now(UTC))
