"""A ModelDeployment is reconciled: observe, validate, desired, apply and prune, prove, status.

Reads everything anew each time and writes only what differs. Returns when to come again without an event; raises
ApiError for what another attempt can heal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from genset import desired, kinds, names
from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.contracts.puller import DownloadProgress
from genset.controllers import sleep
from genset.controllers.census import Census, row_of
from genset.controllers.completions import Completions
from genset.controllers.downloads import bound_to_downloads
from genset.controllers.group_crashes import GroupCrashes
from genset.controllers.joined import refused_adapters, tell_of_adapters
from genset.controllers.keys import Key
from genset.controllers.reserved import Reserved
from genset.controllers.session import (
    BLOCKED_SECONDS,
    DELETING_SECONDS,
    SANDBOX_SECONDS,
    Session,
    parse,
    soonest,
)
from genset.controllers.turns import pool_of
from genset.controllers.upgrades import Permit, UpgradeCandidate, told_upgrade
from genset.desired import autoscale, multi_node, needs, site_objects, workload
from genset.desired import metadata as child_names
from genset.desired.autoscale import ScalingDecision
from genset.desired.context import ModelDeploymentContext
from genset.desired.owned import replicas_owner
from genset.engines import managed_engine_of
from genset.kube import observe
from genset.kube.apply import ApplyResult, unchanged
from genset.kube.client import Object
from genset.sizing.model import ModelFacts
from genset.status import model_deployment as status
from genset.status import refs, room, scaling, servers, size, warned
from genset.status.conditions import is_ready
from genset.status.observed import ModelDeploymentObserved, Prefetch
from genset.status.pod import PodView
from genset.status.pods import trouble
from genset.status.rollout import is_refused, rollout

log = logging.getLogger(__name__)

GROUPS_SECONDS = 5.0  # between two looks at groups of pods that are not as wanted
DOWNLOAD_SECONDS = 5.0  # between two looks at a download


class ModelDeploymentController:
    """This controller holds nothing but what completions have proven, how groups have ended, and a count of what there is."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._completions = Completions(session)
        self._crashes = GroupCrashes()
        self._census = Census(session.metrics.model_deployments)
        self._reserved = Reserved(session.metrics.house_cost)

    async def reconcile(self, key: Key) -> float | None:
        """Makes one pass over one resource."""
        session = self._session
        live = await session.api.get(kinds.MODEL_DEPLOYMENT, key.namespace, key.name)
        if live is None or live["metadata"].get("deletionTimestamp"):
            session.references.drop(key)  # children go by their owner reference
            session.demand.drop(key)
            session.upgrades.drop(key)
            session.status.forget(kinds.MODEL_DEPLOYMENT, key.namespace, key.name)
            self._completions.forget(key)
            self._crashes.forget(key)
            self._census.drop(key)
            self._reserved.drop(key)
            return None
        try:
            resource = parse(ModelDeployment, live)
        except ValidationError as error:
            model, before = (live.get("spec") or {}).get("model") or key.name, live.get("status") or {}
            decided: dict[str, Any] = {
                "desired_replicas": before.get("desiredReplicas"),
                "last_active_time": before.get("lastActiveTime"),
                "scaling": before.get("scaling"),
            }
            await session.refuse(kinds.MODEL_DEPLOYMENT, live, error, ModelDeploymentStatus, model=model, **decided)
            session.demand.drop(key)
            self._census.drop(key)
            self._reserved.drop(key)
            return None
        settings = await session.surroundings.settings_in(key.namespace)
        named = [use.ref.name for use in refs.secret_uses(resource, settings)]
        secrets, versions = await session.read_secrets(key, named)
        session.references.set_secrets(key, versions)
        decision = session.demand.decide(key, resource, await self._fellows(key, resource))
        children = await self._children(key, live)
        place = workload_place(resource)
        running = children.get(place)
        context = ModelDeploymentContext(
            settings=settings,
            secrets=secrets,
            scaling=decision,
            running=seen_workload(running) if running is not None and observe.is_owned(running, live) else None,
            operator=session.applier.identity,
            bearer=children.get(kinds.SERVICE.key(child_names.endpoints_service(key.name))),
        )
        if needs.is_derived(resource) and size.is_outdated(resource):
            context = replace(context, model=await self._model(key))
        problems = refs.check_model_deployment(resource, context)
        permit = Permit() if problems else await self._permit(key, resource, context)
        context = replace(context, upgrade=permit.now)
        if problems:
            applied = await self._scaled(key, live, resource, children, decision)
        else:
            applied = await session.applier.reconcile(live, desired.model_deployment(resource, context), children)
        session.endure(key, applied)
        observed, again = await self._observe(key, resource, applied, decision)
        observed = replace(
            observed,
            warned=(*warned.of_site(site_objects.token_not_used(resource, settings)), *observed.warned),
            replicas_owner=replicas_owner(live),
        )
        observed, again = replace(observed, upgrade=told_upgrade(permit, applied)), soonest(again, permit.again)
        told = await self._report(live, resource, observed, tuple(problems), applied)
        self._census.count(key, row_of(resource, told))
        self._reserved.tell(key, told.price)
        session.note(live, applied.notes)
        session.upgrades.settled(key, pending=not permit.now, ready=is_ready(told.conditions))
        session.demand.watch(key, resource, decision, observed.pods, told.last_active_time)
        if applied.failed is not None:
            raise applied.failed
        return again

    async def _fellows(self, key: Key, resource: ModelDeployment) -> tuple[str, ...]:
        """Returns the deployments of its pool that have pods, or should have, by their status."""
        pool = pool_of(resource)
        if pool is None:
            return ()
        listed = await self._session.api.list(kinds.MODEL_DEPLOYMENT, key.namespace)
        return tuple(
            item["metadata"]["name"]
            for item in listed
            if item["metadata"]["name"] != key.name
            and (((item.get("spec") or {}).get("autoscaling") or {}).get("pool") or {}).get("name") == pool.name
            and any((item.get("status") or {}).get(count) for count in ("replicas", "desiredReplicas"))
        )

    async def _permit(self, key: Key, resource: ModelDeployment, context: ModelDeploymentContext) -> Permit:
        """Returns whether the pods may become new for what an upgrade changes of them; nobody is asked if it changes
        nothing."""
        pending, engine = workload.pending(resource, context), managed_engine_of(resource)
        if pending is None or engine is None:
            return Permit()
        session = self._session
        found = await observe.pods(session.api, key.namespace, observe.selector(names.LABEL_MODEL_DEPLOYMENT, key.name))
        pods = with_api(found)
        wanted = autoscale.replicas(resource, context.scaling)
        candidate = UpgradeCandidate(
            release=pending.release,
            fields=pending.fields,
            on_upgrade=resource.spec.rollout.on_upgrade,
            wanted=wanted,
            pods=pods,
            stuck=trouble(pods) is not None or bool(rollout(context.running, wanted).refusal),
            metrics=engine.work,
            port=names.ENGINE_PORT,
        )
        return await session.upgrades.permit(key, candidate)

    async def _model(self, key: Key) -> ModelFacts | None:
        """Returns the model as a pod of the resource tells of it."""
        labels = observe.selector(names.LABEL_MODEL_DEPLOYMENT, key.name)
        return size.facts_in(await observe.pods(self._session.api, key.namespace, labels))

    async def _children(self, key: Key, live: Object) -> observe.Children:
        """Reads the children. A resource without status has none yet: what there may be is read by name on apply."""
        if not live.get("status"):
            return {}
        labels = observe.selector(names.LABEL_MODEL_DEPLOYMENT, key.name)
        return await observe.children(self._session.api, key.namespace, desired.MODEL_DEPLOYMENT.listed, labels)

    async def _scaled(
        self,
        key: Key,
        live: Object,
        resource: ModelDeployment,
        children: observe.Children,
        decision: ScalingDecision,
    ) -> ApplyResult:
        """Leaves the children of a refused spec as they are, but for the number of pods: what runs can always be scaled."""
        applied = unchanged(live, children)
        place = workload_place(resource)
        if place in applied.objects and managed_engine_of(resource) is not None:
            wanted = autoscale.replicas(resource, decision)
            deployment = applied.objects[place]
            kind = kinds.kind_of(deployment)
            applied.objects[place] = await self._session.applier.scale(kind, deployment, wanted, applied)
        return applied

    async def _observe(
        self,
        key: Key,
        resource: ModelDeployment,
        applied: ApplyResult,
        decision: ScalingDecision,
    ) -> tuple[ModelDeploymentObserved, float | None]:
        session = self._session
        found = applied.objects.get(workload_place(resource))
        deployment = seen_workload(found) if found is not None else None
        job = next((item for place, item in applied.objects.items() if place[1] == kinds.JOB.kind), None)
        every: tuple[PodView, ...] = ()
        if job is not None or (deployment is not None and deployment.get("status")):
            labels = observe.selector(names.LABEL_MODEL_DEPLOYMENT, key.name)
            every = await observe.pods(session.api, key.namespace, labels)
        fetchers = tuple(pod for pod in every if pod.labels.get(names.LABEL_COMPONENT) == names.COMPONENT_PREFETCH)
        pods = tuple(pod for pod in every if pod not in fetchers)
        ahead = Prefetch(job, fetchers) if job is not None else None
        podless = ahead is not None and not fetchers and not ahead.succeeded
        if ahead is not None and podless:
            ahead = replace(ahead, refused=await observe.refused_pods(session.api, ahead.job))
        await bound_to_downloads(session, resource, pods)
        unsettled = await sleep.settle(session.prober, resource, pods, awake=decision.awake)
        await tell_of_adapters(session, resource, pods)
        adapters, not_joined = await refused_adapters(session, resource, pods)
        weights = await self._weights(every)
        completion, look = await self._completions.check(key, resource, deployment, with_api(pods))
        asked_by = await self._asked_by(key, resource)
        if asked_by is not None:
            completion = session.servers.known(key.namespace, key.name, asked_by)
        downloading = any(progress.state != "done" for progress in weights.values())
        again = soonest(
            look,
            DOWNLOAD_SECONDS if downloading else None,
            DELETING_SECONDS if applied.deleting else None,
            BLOCKED_SECONDS if applied.problems or is_refused(deployment) else None,
            GROUPS_SECONDS if resource.spec.nodes > 1 and not self._settled(resource, deployment, decision) else None,
            unsettled,
            not_joined,
            SANDBOX_SECONDS if podless or any(pod.waits_for_sandbox for pod in every) else None,
        )
        claim = applied.objects.get(kinds.PVC.key(child_names.weights_claim(key.name)))
        if multi_node.is_multi_node(resource):
            wanted = autoscale.replicas(resource, decision)
            pods = self._crashes.carried(key, resource.metadata.generation, pods, wanted=wanted)
        observed = ModelDeploymentObserved(
            deployment=deployment,
            pods=pods,
            weights=weights,
            warned=adapters,
            completion=completion,
            pvc=claim,
            prefetch=ahead,
            scaling=decision,
            last_request=session.demand.last_request(key),
            asked_by=asked_by,
        )
        return observed, None if applied.namespace_terminating else again

    def _paces(self, resource: ModelDeployment, pods: Sequence[PodView]) -> dict[str, float]:
        """Returns how fast the model writes: each pod when it proved itself, and under "" as routers have seen it."""
        key = Key(names.MODEL_DEPLOYMENT, resource.metadata.namespace, resource.metadata.name)
        seen = self._session.servers.loads.pace(key.namespace, key.name)
        return self._completions.paces(key, pods) | ({"": seen} if seen is not None else {})

    @staticmethod
    def _settled(resource: ModelDeployment, deployment: Object | None, decision: ScalingDecision) -> bool:
        """Returns whether groups of pods are as wanted: no watch tells of their counts."""
        return rollout(deployment, autoscale.replicas(resource, decision)).complete

    async def _asked_by(self, key: Key, resource: ModelDeployment) -> tuple[str, ...] | None:
        """Returns the policies whose routers ask a server elsewhere; None if its pods are ours.

        Read from the API server: what the book has of policies is not complete when an operator has just started.
        """
        if managed_engine_of(resource) is not None:
            return None
        return servers.routed_by(key.name, await self._session.api.list(kinds.ROUTE_POLICY, key.namespace))

    async def _weights(self, pods: Sequence[PodView]) -> dict[str, DownloadProgress]:
        """Returns progress by pod name, of the pullers that run and answer."""
        asked = [pod for pod in pods if _pulls(pod)]
        answers = await asyncio.gather(*(self._session.prober.weights_progress(pod.address) for pod in asked))
        found = {}
        for pod, progress in zip(asked, answers, strict=True):
            if progress is not None:
                found[pod.name] = progress
        return found

    async def _report(
        self,
        live: Object,
        resource: ModelDeployment,
        observed: ModelDeploymentObserved,
        problems: tuple[Any, ...],
        applied: ApplyResult,
    ) -> ModelDeploymentStatus:
        session = self._session
        seen = replace(
            observed,
            problems=problems,
            apply_errors=tuple(applied.problems),
            namespace_terminating=applied.namespace_terminating,
        )
        nodes = await session.surroundings.nodes() if room.asks(resource, seen) else None
        new = status.evaluate(resource, seen, session.now(), nodes, self._paces(resource, seen.pods))
        scaled = scaling.events(resource, new)
        await session.tell(kinds.MODEL_DEPLOYMENT, live, new, (*status.events(resource.status, new), *scaled))
        for _, reason, message in scaled:
            log.info(
                "%s ModelDeployment %s/%s: %s", reason, resource.metadata.namespace, resource.metadata.name, message
            )
            session.metrics.scalings.labels(event=reason).inc()
        return new


def workload_place(resource: ModelDeployment) -> kinds.ObjectKey:
    """Returns the identity of what makes the pods."""
    name = resource.metadata.name
    if multi_node.is_multi_node(resource):
        return kinds.LEADER_WORKER_SET.key(child_names.groups(name))
    return kinds.DEPLOYMENT.key(name)


def seen_workload(live: Object) -> Object:
    """Returns what makes the pods as a Deployment, whichever kind it is."""
    return multi_node.as_deployment(live) if kinds.kind_of(live) is kinds.LEADER_WORKER_SET else live


def with_api(pods: Sequence[PodView]) -> tuple[PodView, ...]:
    """Returns the pods that can be asked for a completion: of a group its leader alone."""
    return tuple(pod for pod in pods if pod.labels.get(names.LABEL_COMPONENT) != names.COMPONENT_WORKER)


def _pulls(pod: PodView) -> bool:
    """Returns whether the pod's weights container runs right now."""
    puller = pod.container(names.WEIGHTS_CONTAINER)
    return puller is not None and puller.running and bool(pod.address)
