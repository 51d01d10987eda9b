"""The demand book knows who asks for what: it reads the routers' `/-/demand` once a second and enqueues what should be
woken or put to rest.

No request to the API server: reconciles tell which routers run and which deployments are autoscaled, routers tell of
requests over kept-alive HTTP, and `desired.autoscale` decides. All memory here is of this session; what must survive it
(awake or not, when there was last a request) is in the deployment's status. Level-triggered: a decision is made anew at
each look and at each reconcile, so that nothing is lost when one of them fails.

A router that does not answer is never taken for a silent one. One that is going away, and does not answer, is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from genset import names
from genset.api.autoscaling import Autoscaling, ModelPool
from genset.api.modeldeployment import ModelDeployment
from genset.contracts.router_admin import DemandReport
from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.controllers.references import References
from genset.controllers.turns import Turns, pool_of
from genset.desired import autoscale, schedule
from genset.desired.autoscale import ScalingDecision, TotalDemand
from genset.desired.pool import PoolMember
from genset.desired.recommend import Recommendations
from genset.kube.probe import Prober
from genset.status.pod import PodView
from genset.times import seconds

log = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0  # between two looks; a wake-up takes no longer than this and a reconcile
FRESH_SECONDS = 5.0  # an older answer says nothing about now
SETTLE_SECONDS = 30.0  # of a new session, in which nothing is said about routers that have not been met yet

RouterKey = tuple[Key, str]  # RoutePolicy and pod name


@dataclass(frozen=True)
class DeploymentUse:
    """This is what one router says of one deployment. `last_request` is in seconds since 1970; `load` counts requests in
    work and waiting, `waiting` the latter alone."""

    last_request: float | None = None
    load: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class Report:
    """A report is one router's answer. Times are seconds since 1970; `since` is when its memory begins."""

    at: float
    since: float
    deployments: Mapping[str, DeploymentUse]

    @classmethod
    def of(cls, answer: DemandReport, now: float) -> Report:
        deployments = {
            name: DeploymentUse(
                None if told.last_request_seconds is None else now - told.last_request_seconds,
                told.in_flight + told.waiting,
                told.waiting,
            )
            for name, told in answer.deployments.items()
        }
        return cls(now, now - answer.up_seconds, deployments)


@dataclass
class _KnownRouter:
    address: str
    leaving: bool
    report: Report | None = None
    silent_since: float | None = None  # it was asked, and has not answered since


@dataclass
class _Deployment:
    """This is an autoscaled deployment as its last reconcile left it."""

    resource: ModelDeployment
    decision: ScalingDecision
    available_since: float | None
    told: str | None
    history: Recommendations  # of this session
    last_request: float | None = None  # as far as this session has heard
    floor: float = field(default=0.0)  # no earlier silence is believed: status lags behind by a minute
    occupies: bool = False  # pods of it are there
    released: float = 0.0  # until when pods were there that finished their answers: what asked before asks no more


class DemandBook:
    """The demand book is what this session knows of demand. `now` gives seconds since 1970."""

    def __init__(self, references: References, now: Callable[[], float], *, settle: float = SETTLE_SECONDS) -> None:
        self._references = references
        self._now = now
        self._settle_seconds = settle
        self._began = now()
        self._routers: dict[Key, dict[str, _KnownRouter]] = {}
        self._deployments: dict[Key, _Deployment] = {}
        self._turns = Turns(now)

    # -- what reconciles tell -----------------------------------------------------------------------------------------

    def set_routers(self, policy: Key, pods: Iterable[PodView]) -> None:
        """Takes the router pods of a policy, those that are going away among them."""
        before, found = self._routers.get(policy, {}), {}
        for pod in pods:
            if not pod.address or not (pod.leaving or pod.running):
                continue
            known = before.get(pod.name)
            if known is None or known.address != pod.address:
                known = _KnownRouter(pod.address, pod.leaving)
            known.leaving = pod.leaving
            found[pod.name] = known
        self._routers[policy] = found

    def drop_policy(self, policy: Key) -> None:
        self._routers.pop(policy, None)

    def decide(self, key: Key, resource: ModelDeployment, fellows: Iterable[str] = ()) -> ScalingDecision:
        """Returns what a reconcile should bring about.

        `fellows`: names of deployments of its pool that have pods, or should have, by their status; the book may not have met
        them.
        """
        scaling, entry = resource.spec.autoscaling, self._deployments.get(key)
        if scaling is None:
            return autoscale.AWAKE
        awake = autoscale.was_awake(resource)
        told = resource.status.desired_replicas if resource.status is not None else None
        current = autoscale.replicas(resource, ScalingDecision(awake)) if told is None else told
        history = entry.history if entry is not None else Recommendations(current, self._now())
        decision = self._due(key, resource, scaling, history, awake=awake, current=current)
        if scaling.pool is None:
            return decision
        blocked = not (awake and resource.status is not None) and any(
            Key(key.kind, key.namespace, name) not in self._deployments for name in fellows
        )
        return self._turns.taken(key, scaling.pool.name, decision, blocked=blocked)

    def watch(
        self, key: Key, resource: ModelDeployment, decision: ScalingDecision, pods: Iterable[PodView], told: str | None
    ) -> None:
        """Notes that a reconcile has acted on `decision` and told lastActiveTime, so that a look tells when they are
        outdated."""
        if resource.spec.autoscaling is None:
            self.drop(key)
            return
        entry_pods = tuple(pods)
        before = self._deployments.get(key)
        if before is not None and before.resource.metadata.uid != resource.metadata.uid:
            before = None
        history = Recommendations(autoscale.replicas(resource, decision), self._now())
        entry = _Deployment(resource, decision, _available_since(entry_pods), told, history)
        if before is not None:
            entry.last_request, entry.floor, entry.history = before.last_request, before.floor, before.history
            entry.released = before.released
        elif told is not None:
            entry.floor = min(self._now(), seconds(told) + autoscale.TOLD_SECONDS)
            entry.released = 0.0 if decision.awake else seconds(told) + 1.0
        entry.occupies = bool(entry_pods)
        if not decision.awake and (entry.occupies or (before is not None and before.occupies)):
            entry.released = self._now()
        self._deployments[key] = entry
        self._turns.acted(key, resource, decision)

    def drop(self, key: Key) -> None:
        """Forgets a deployment that is gone, or no longer autoscaled."""
        self._deployments.pop(key, None)
        self._turns.drop(key)

    def last_request(self, key: Key) -> float | None:
        entry = self._deployments.get(key)
        return entry.last_request if entry is not None else None

    # -- what routers tell --------------------------------------------------------------------------------------------

    def routers(self) -> list[tuple[RouterKey, str]]:
        """Lists (router, address) of everyone who can tell of an autoscaled deployment."""
        policies = {policy for key in self._deployments for policy in self._policies(key)}
        return [
            ((policy, name), router.address)
            for policy in sorted(policies)
            for name, router in self._routers.get(policy, {}).items()
        ]

    def take(self, router: RouterKey, answer: DemandReport | None) -> list[Key]:
        """Notes a router's answer (None: it gave none). Returns the deployments that should now be reconciled."""
        policy, name = router
        known = self._routers.get(policy, {}).get(name)
        if known is None:
            return []
        now = self._now()
        if answer is None:
            if known.silent_since is None:
                known.silent_since = now
                if known.report is not None and not known.leaving:
                    log.warning("Lost sight of router %s/%s: what it serves stays awake", policy.namespace, name)
            return []
        report = known.report = Report.of(answer, now)
        known.silent_since = None
        for key, entry in self._deployments.items():
            asked = report.deployments.get(key.name) if key.namespace == policy.namespace else None
            if asked is not None and asked.last_request is not None:
                entry.last_request = max(entry.last_request or 0.0, asked.last_request)
        return self.outdated(key for key in self._deployments if policy in self._policies(key))

    def outdated(self, keys: Iterable[Key] | None = None) -> list[Key]:
        """Lists the deployments for which another decision is due than the one acted on, or a later lastActiveTime."""
        found = []
        for key in self._deployments if keys is None else keys:
            entry = self._deployments[key]
            scaling, acted = entry.resource.spec.autoscaling, entry.decision
            if scaling is None:
                continue
            current = autoscale.replicas(entry.resource, acted)
            due = self._due(key, entry.resource, scaling, entry.history, awake=acted.awake, current=current)
            later = entry.last_request is not None and (
                entry.told is None or entry.last_request - seconds(entry.told) >= autoscale.TOLD_SECONDS
            )
            if due != acted or (later and acted.awake):
                found.append(key)
        return found

    # -- inner workings -----------------------------------------------------------------------------------------------

    def _due(
        self,
        key: Key,
        resource: ModelDeployment,
        scaling: Autoscaling,
        history: Recommendations,
        *,
        awake: bool,
        current: int,
    ) -> ScalingDecision:
        """Returns the decision that is due, given what was decided last."""
        now, demand = self._now(), self._demand(key, resource, awake)
        pool, bounds = scaling.pool, schedule.in_force(scaling, now)
        if pool is not None and not awake:
            demand = self._asked_anew(key, demand)
        decision = autoscale.decide(scaling, demand, awake=awake, now=now)
        if pool is not None:
            decision = replace(decision, awake=decision.awake or autoscale.waited(resource))
            member = replace(self._member(key, resource, pool), serves=awake and resource.status is not None)
            decision = self._turns.due(member, self._others(key, pool.name), decision)
        return autoscale.counted(scaling, decision, bounds, demand, history, current=current, now=now)

    def _asked_anew(self, key: Key, demand: TotalDemand) -> TotalDemand:
        """Returns the demand for one that has made way: what its pods still finish asks for no other turn."""
        entry = self._deployments.get(key)
        released = 0.0 if entry is None else self._now() if entry.occupies else entry.released
        asked = demand.last_request if demand.last_request is not None and demand.last_request > released else None
        return replace(demand, busy=demand.waiting > 0, last_request=asked)

    def _others(self, key: Key, pool: str) -> list[PoolMember]:
        """Returns the other members of a pool, as far as they have been met."""
        return [
            self._member(other, entry.resource, found)
            for other, entry in self._deployments.items()
            if other != key
            and other.namespace == key.namespace
            and (found := pool_of(entry.resource)) is not None
            and found.name == pool
        ]

    def _member(self, key: Key, resource: ModelDeployment, pool: ModelPool) -> PoolMember:
        entry = self._deployments.get(key)
        return PoolMember(
            key.name,
            pool.min_awake_seconds,
            resource.spec.rollout.startup_seconds,
            waits_since=self._turns.waits_since(key),
            turn_since=self._turns.since(key, pool.name),
            serves_since=entry.available_since if entry is not None else None,
            occupies=entry is not None and entry.occupies,
        )

    def _policies(self, key: Key) -> tuple[Key, ...]:
        return self._references.dependents(key.namespace, key.name)

    def _demand(self, key: Key, resource: ModelDeployment, awake: bool) -> TotalDemand:
        """Returns all that is known of one deployment, now."""
        now = self._now()
        policies = self._policies(key)
        entry = self._deployments.get(key)
        load, waiting, gap, since = 0, 0, not policies, 0.0
        unknown = "" if policies else "no RoutePolicy names it, so that nobody could wake it"
        for policy in sorted(policies):
            routers = self._routers.get(policy, {})
            if not any(not router.leaving for router in routers.values()):
                gap = True
                unknown = unknown or f"no router of RoutePolicy {policy.name} runs"
            for name, router in routers.items():
                report = router.report
                fresh = report is not None and now - report.at < FRESH_SECONDS
                if report is not None and fresh:
                    use = report.deployments.get(key.name, DeploymentUse())
                    load, waiting = load + use.load, waiting + use.waiting
                    since = max(since, min(report.since, self._began))
                elif not router.leaving:
                    gap = True
                    if router.silent_since is not None and now - router.silent_since >= FRESH_SECONDS:
                        unknown = unknown or f"router {name} does not tell of its requests"
        last = entry.last_request if entry is not None else None
        floor = entry.floor if entry is not None and awake else 0.0
        young = now - self._began < self._settle_seconds
        return TotalDemand(
            busy=load > 0,
            load=load,
            waiting=waiting,
            last_request=last,
            available_since=entry.available_since if entry is not None else None,
            known_since=None if gap else max(since, floor, last or 0.0),
            unknown="" if young else unknown,
        )


async def watch_demand(book: DemandBook, prober: Prober, queue: WorkQueue[Key]) -> None:
    """Looks until cancelled. Each answer counts as it comes: a router that is slow to answer delays no other."""
    loop = asyncio.get_running_loop()

    async def ask(router: RouterKey, address: str) -> None:
        for key in book.take(router, await prober.router_demand(address)):
            queue.add(key)

    while True:
        began = loop.time()
        await asyncio.gather(*(ask(router, address) for router, address in book.routers()))
        for key in book.outdated():
            queue.add(key)
        await asyncio.sleep(max(0.0, began + PERIOD_SECONDS - loop.time()))


def _available_since(pods: Iterable[PodView]) -> float | None:
    """Returns when the first of the ready pods became ready; None if none is. A worker of a group serves nobody."""
    moments = (pod.ready_since for pod in pods if pod.labels.get(names.LABEL_COMPONENT) != names.COMPONENT_WORKER)
    return min((seconds(moment) for moment in moments if moment), default=None)
