"""Upgrades decide when pods may become new for what only a release, or a setting of the operator, changes of them.

Asked by a reconcile while an upgrade is pending, and not at all otherwise. Nobody is served by pods that are not there, or
that cannot start: these take it at once. Pods that had no request for a while take it with WhenIdle, all others with Now.
One resource of a kind goes at a time in each namespace, and the next one when that is Ready again, so that a release that
breaks one breaks no second one. What is remembered is of this session; a roll-out that an earlier one began is seen at its
Deployment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from genset import kinds, names
from genset.api.children import OnUpgrade
from genset.api.modeldeployment import Reason
from genset.controllers.keys import Key
from genset.engines.base import WorkMetrics
from genset.kube.apply import ApplyResult
from genset.kube.client import ApiServer, Object
from genset.kube.probe import Prober
from genset.status.observed import Upgrade
from genset.status.pod import PodView
from genset.status.work import ServerWork, read

IDLE_SECONDS = 600.0  # without a request, after which pods count as idle
LOOKS = 20  # at the pods in that time
TURN_SECONDS = 3.0  # between two looks whether it is a resource's turn

_OWNERS = {names.MODEL_DEPLOYMENT: names.LABEL_MODEL_DEPLOYMENT, names.ROUTE_POLICY: names.LABEL_ROUTE_POLICY}


@dataclass(frozen=True)
class UpgradeCandidate:
    """A candidate is a resource with a pending upgrade, as far as it matters when that is taken."""

    release: str  # that has made its pods
    fields: tuple[str, ...]  # that differ
    on_upgrade: OnUpgrade
    wanted: int  # pods
    pods: Sequence[PodView]
    stuck: bool  # they cannot come up, or cannot even be made
    metrics: WorkMetrics | None  # None: their server does not tell of its work, and never counts as idle
    port: int


@dataclass(frozen=True)
class Permit:
    """A permit says whether the upgrade goes now; if not, what status tells, and when to ask again."""

    upgrade: Upgrade | None = None
    again: float | None = None

    @property
    def now(self) -> bool:
        return self.upgrade is None


@dataclass
class _Seen:
    """This is the work of a pod as it was seen last, and since when that has not changed."""

    work: ServerWork
    since: float


class Upgrades:
    """Upgrades know whose turn it is in each namespace, and since when pods have been idle. `clock`: seconds, monotonic."""

    def __init__(
        self, api: ApiServer, prober: Prober, *, clock: Callable[[], float], idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._api = api
        self._prober = prober
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._turns: dict[tuple[str, str], Key] = {}  # by namespace and kind
        self._seen: dict[Key, dict[str, _Seen]] = {}  # by pod and the starts of its container

    async def permit(self, key: Key, candidate: UpgradeCandidate) -> Permit:
        """Decides about one resource now."""
        present = [pod for pod in candidate.pods if pod.counts]
        if candidate.wanted == 0 or (candidate.stuck and not any(pod.ready for pod in present)):
            return Permit()
        if candidate.on_upgrade is not OnUpgrade.NOW and not await self._idle(key, candidate, present):
            return Permit(self._told(candidate, ""), self._idle_seconds / LOOKS)
        other = await self._other(key)
        if other:
            return Permit(self._told(candidate, other), TURN_SECONDS)
        self._turns[key.namespace, key.kind] = key
        return Permit()

    def settled(self, key: Key, *, pending: bool, ready: bool) -> None:
        """Takes what came of a reconcile: whoever has the turn gives it back once he is Ready with the upgrade."""
        if not pending:
            self._seen.pop(key, None)
            if ready and self._turns.get((key.namespace, key.kind)) == key:
                del self._turns[key.namespace, key.kind]

    def drop(self, key: Key) -> None:
        """Forgets a resource that is gone."""
        self._seen.pop(key, None)
        if self._turns.get((key.namespace, key.kind)) == key:
            del self._turns[key.namespace, key.kind]

    def _told(self, candidate: UpgradeCandidate, turn: str) -> Upgrade:
        return Upgrade(candidate.release, candidate.fields, turn, round(self._idle_seconds))

    async def _other(self, key: Key) -> str:
        """Names who has the turn; empty if it is this resource's own, or nobody's."""
        label = _OWNERS[key.kind]
        before = self._turns.get((key.namespace, key.kind))
        if before is None:
            live = await self._api.list(
                kinds.DEPLOYMENT, key.namespace, f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{label}"
            )
            before = self._turns.get((key.namespace, key.kind))  # somebody may have come first meanwhile
            rolling = _rolling(item for item in live if item["metadata"]["labels"][label] != key.name)
            if before is None and rolling is not None:
                return str(rolling["metadata"]["labels"][label])
        return "" if before is None or before == key else before.name

    async def _idle(self, key: Key, candidate: UpgradeCandidate, pods: Sequence[PodView]) -> bool:
        """Looks at all pods. Returns whether none has had a request for long enough; one that says nothing is in use."""
        metrics = candidate.metrics
        if metrics is None:
            return False
        pages = await asyncio.gather(*(self._prober.metrics(pod.address, candidate.port, metrics.path) for pod in pods))
        before, now, seen = self._seen.get(key, {}), self._clock(), {}
        for pod, page in zip(pods, pages, strict=True):
            work = read(page, metrics) if page is not None else None
            if work is None:
                continue
            name = f"{pod.uid}/{sum(state.restarts for state in pod.containers)}"
            known = before.get(name)
            same = known is not None and known.work == work and not work.busy
            seen[name] = known if known is not None and same else _Seen(work, now)
        self._seen[key] = seen
        return len(seen) == len(pods) > 0 and all(now - one.since >= self._idle_seconds for one in seen.values())


def told_upgrade(permit: Permit, applied: ApplyResult) -> Upgrade | None:
    """Returns what status tells of an upgrade that waits: nothing if two operators contest the children. Which of them is the
    new one cannot be said, and they would write one status in turn."""
    contested = any(problem.reason == Reason.CONTESTED for problem in applied.problems)
    return None if contested else permit.upgrade


def _rolling(deployments: Iterable[Object]) -> Object | None:
    """Returns a Deployment in which pods of an older template are still being replaced."""
    for live in deployments:
        status = live.get("status") or {}
        behind = int(status.get("observedGeneration") or 0) < int(live["metadata"].get("generation") or 0)
        older = int(status.get("replicas") or 0) > int(status.get("updatedReplicas") or 0)
        if status and (behind or older):
            return live
    return None
