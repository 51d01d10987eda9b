"""A RoutePolicy is reconciled: observe, validate, desired, apply and prune, program the routers, status.

Programming: the configuration reaches a running router as files of its mounted volumes. The kubelet refreshes them
within a minute or so; an annotation on the pod makes it do so at once. Then each router is asked what it serves, until
all of them serve what they should.
"""

from __future__ import annotations

import asyncio
import secrets as secrets_of_python
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from genset import desired, kinds, names
from genset.api.children import OnUpgrade
from genset.api.drills import DrillStatus
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.api.routepolicy_status import RoutePolicyStatus
from genset.continuity.coverage import World
from genset.contracts.load import LoadReport
from genset.contracts.router_admin import ConfigReport
from genset.contracts.router_config import credentials_hash
from genset.controllers.keys import Key
from genset.controllers.loads import loads
from genset.controllers.outages import OutageBook, is_of
from genset.controllers.session import (
    BLOCKED_SECONDS,
    DELETING_SECONDS,
    SANDBOX_SECONDS,
    Session,
    parse,
    soonest,
    version_of,
)
from genset.controllers.told_policies import ToldPolicies
from genset.controllers.upgrades import Permit, UpgradeCandidate, told_upgrade
from genset.desired import coverage, data_zones, drills, router, router_config
from genset.desired import metadata as child_names
from genset.desired.config_document import document
from genset.desired.context import RoutePolicyContext
from genset.desired.kept import Running
from genset.desired.secrets import UserSecret
from genset.kube import observe
from genset.kube.apply import ApplyResult
from genset.kube.client import Object
from genset.status import outages, refs, servers, work
from genset.status import route_policy as status
from genset.status.conditions import is_ready
from genset.status.observed import RoutePolicyObserved, Upgrade
from genset.status.outline import Outline
from genset.status.pod import PodView
from genset.status.pods import live as live_pods
from genset.status.pods import trouble
from genset.status.problem import Problem
from genset.status.rollout import is_refused, rollout

POLL_SECONDS = 0.1  # between two questions to a router that was just nudged
PROGRAM_SECONDS = 3.0  # that one reconcile waits for routers to follow
NUDGE_AGAIN_SECONDS = 1.0  # the kubelet may have refreshed from a cache that did not know the new content yet
FIRST_LOOK_SECONDS = 1.0  # before another reconcile when routers did not follow; doubles up to ...
LONGEST_LOOK_SECONDS = 30.0
_DRILL_SECONDS = 1.0  # between two looks at a drill that runs

Acks = dict[str, ConfigReport | None]


@dataclass(frozen=True)
class _Wanted:
    """This is what routers should serve."""

    config: str
    credentials: str
    drill: str = ""  # id of the run that is ordered

    def is_served(self, ack: ConfigReport | None) -> bool:
        """Returns whether a router serves this, and runs this drill or none; one that has ended is none."""
        if ack is None or (ack.hash, ack.credentials_hash) != (self.config, self.credentials):
            return False
        if ack.drill is None or (not self.drill and ack.drill.ended):
            return not self.drill
        return ack.drill.id == self.drill

    @property
    def annotation(self) -> str:
        return "-".join(part for part in (self.config, self.credentials, self.drill) if part)


class RoutePolicyController:
    """This controller holds nothing but how often routers did not follow, and what they said last."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.outages = OutageBook()
        self._told = ToldPolicies(session.metrics)
        self._looks: dict[Key, int] = {}
        self._life = secrets_of_python.token_hex(4)  # what drills that this operator begins are known by

    async def reconcile(self, key: Key) -> float | None:
        """Makes one pass over one resource."""
        session = self._session
        live = await session.api.get(kinds.ROUTE_POLICY, key.namespace, key.name)
        if live is None or live["metadata"].get("deletionTimestamp"):
            session.references.drop(key)  # children go by their owner reference
            session.demand.drop_policy(key)
            session.upgrades.drop(key)
            session.status.forget(kinds.ROUTE_POLICY, key.namespace, key.name)
            self.outages.drop(key)
            self._told.drop(key)
            self._looks.pop(key, None)
            self._tell_servers(key, session.servers.drop(key))
            return None
        try:
            resource = parse(RoutePolicy, live)
        except ValidationError as error:
            await self._refuse(key, live, error)
            return None
        children = await self._children(key, live)
        context, versions = await self._context(key, resource, live, children)
        problems = refs.check_route_policy(resource, context)
        permit = await self._permit(key, resource, context)
        asked = str((live["metadata"].get("annotations") or {}).get(names.ANNOTATION_DRILL, ""))
        planned = drills.plan(resource, time.time(), self._life, asked[: drills.ANNOTATION_CHARACTERS])
        context = replace(context, upgrade=permit.now, drill=planned.order)
        wanted = _Wanted(
            document(resource, context).hash,
            credentials_hash(router_config.credential_files(resource, context)),
            planned.order.id if planned.order is not None else "",
        )
        objects = desired.route_policy(resource, context)
        applied = await session.applier.reconcile(live, objects, children, prune=not problems)
        if all(one["kind"] != kinds.DEPLOYMENT.kind for one in objects):
            await self._scaled(key, resource, applied)
        session.endure(key, applied)
        own = applied.objects.get(kinds.SECRET.key(child_names.router_credentials(key.name)))
        session.references.set_secrets(key, {**versions, child_names.router_credentials(key.name): version_of(own)})
        deployment = applied.objects.get(kinds.DEPLOYMENT.key(child_names.router(key.name)))
        pods, acks, look = await self._program(key, deployment, wanted, applied)
        told = await self._report(
            live,
            resource,
            context,
            wanted,
            deployment,
            pods,
            acks,
            problems,
            applied,
            told_upgrade(permit, applied),
            planned.drills,
        )
        session.upgrades.settled(key, pending=not permit.now, ready=is_ready(told.conditions))
        session.note(live, applied.notes)
        if applied.failed is not None:
            raise applied.failed
        if applied.namespace_terminating:
            return None
        return soonest(
            look,
            permit.again,
            planned.again if planned.order is None else _DRILL_SECONDS,
            DELETING_SECONDS if applied.deleting else None,
            BLOCKED_SECONDS if applied.problems or is_refused(deployment) else None,
            SANDBOX_SECONDS if any(pod.waits_for_sandbox for pod in pods) else None,
        )

    async def _scaled(self, key: Key, resource: RoutePolicy, applied: ApplyResult) -> None:
        """Leaves routers whose pods may not be as the policy says as they are, but for their number: it can always be changed."""
        place = kinds.DEPLOYMENT.key(child_names.router(key.name))
        if (found := applied.objects.get(place)) is not None:
            wanted = resource.spec.router.replicas
            applied.objects[place] = await self._session.applier.scale(kinds.DEPLOYMENT, found, wanted, applied)

    # -- observe ------------------------------------------------------------------------------------------------------

    async def _children(self, key: Key, live: Object) -> dict[Any, Object]:
        """Lists the children by label, and reads the credentials Secret by its name: Secrets may not be listed.

        A resource without status has no children yet.
        """
        api = self._session.api
        found: dict[Any, Object] = {}
        if live.get("status"):
            labels = observe.selector(names.LABEL_ROUTE_POLICY, key.name)
            found.update(await observe.children(api, key.namespace, desired.ROUTE_POLICY.listed, labels))
        secret = await api.get(kinds.SECRET, key.namespace, child_names.router_credentials(key.name))
        if secret is not None:
            found[kinds.SECRET.key(child_names.router_credentials(key.name))] = secret
        return found

    async def _context(
        self, key: Key, resource: RoutePolicy, live: Object, children: Mapping[Any, Object]
    ) -> tuple[RoutePolicyContext, dict[str, str | None]]:
        """Returns what the policy names, as far as it exists, and the versions of the Secrets that were read."""
        session = self._session
        named = {backend.deployment.name for backend in resource.spec.backends if backend.deployment is not None}
        deployments = await self._deployments(key, named)
        settings = await session.surroundings.settings_in(key.namespace)
        secrets, versions = await session.read_secrets(
            key, [use.ref.name for use in refs.policy_secret_uses(resource, deployments, settings)]
        )
        listed = await self._listed(key, resource)
        own = children.get(kinds.SECRET.key(child_names.router_credentials(key.name)))
        running = children.get(kinds.DEPLOYMENT.key(child_names.router(key.name)))
        running = running if running is not None and observe.is_owned(running, live) else None
        bearer = children.get(kinds.SERVICE_ACCOUNT.key(child_names.router(key.name)))
        context = RoutePolicyContext(
            settings=settings,
            deployments=deployments,
            secrets=secrets,
            listed=listed,
            fresh_token=secrets_of_python.token_hex(32).encode(),
            applied_credentials=observe.decoded(own) if own is not None and observe.is_owned(own, live) else {},
            running=running,
            operator=session.applier.identity,
            bearer=bearer,
            before_this_release=Running(running, bearer).of_another_release,
            router_addresses=observe.service_addresses(children.get(kinds.SERVICE.key(child_names.router(key.name)))),
        )
        return context, versions

    async def _listed(self, key: Key, resource: RoutePolicy) -> Mapping[str, UserSecret] | None:
        """Returns the Secrets that may be consumers; None if the operator has no right to list them.

        From now on Secrets that come, go or change among them are the policy's, too.
        """
        session = self._session
        wanted = resource.spec.access.consumer_selector if resource.spec.access is not None else None
        if wanted is None:
            session.references.set_selection(key, "", {})
            return {}
        selector = observe.consumer_selector(wanted.match_labels)
        found = await observe.labelled_secrets(session.api, key.namespace, selector)
        session.references.set_selection(key, selector, observe.versions(found))
        return None if found is None else {item["metadata"]["name"]: observe.user_secret(item) for item in found}

    async def _permit(self, key: Key, resource: RoutePolicy, context: RoutePolicyContext) -> Permit:
        """Returns whether the routers may become new for what an upgrade changes of them.

        Those that cannot read what their policy says wait for nothing: it may use what only this release knows.
        """
        pending, session = router.pending(resource, context), self._session
        if pending is None:
            return Permit()
        pods = await observe.pods(session.api, key.namespace, observe.selector(names.LABEL_ROUTE_POLICY, key.name))
        wanted = resource.spec.router.replicas
        candidate = UpgradeCandidate(
            release=pending.release,
            fields=pending.fields,
            on_upgrade=OnUpgrade.NOW if self.outages.any_refuses(key) else resource.spec.router.on_upgrade,
            wanted=wanted,
            pods=pods,
            stuck=trouble(pods) is not None or bool(rollout(context.running, wanted).refusal),
            metrics=work.ROUTER,
            port=names.ROUTER_ADMIN_PORT,
        )
        return await session.upgrades.permit(key, candidate)

    async def _deployments(self, key: Key, named: Collection[str]) -> dict[str, ModelDeployment]:
        """Returns those that exist. From now on their changes are the policy's, too."""
        session, ordered = self._session, sorted(named)
        session.references.set_deployments(key, named)
        found = await asyncio.gather(
            *(session.api.get(kinds.MODEL_DEPLOYMENT, key.namespace, name) for name in ordered)
        )
        deployments: dict[str, ModelDeployment] = {}
        for name, item in zip(ordered, found, strict=True):
            if item is not None and not item["metadata"].get("deletionTimestamp"):
                try:
                    deployments[name] = parse(ModelDeployment, item)
                except ValidationError:
                    continue  # it says so itself; here it counts as one that is not there
        return deployments

    # -- program ------------------------------------------------------------------------------------------------------

    async def _program(
        self, key: Key, deployment: Object | None, wanted: _Wanted, applied: ApplyResult
    ) -> tuple[tuple[PodView, ...], Acks, float | None]:
        """Returns the pods, what they serve, and when to look again (None: all of them follow)."""
        if deployment is None or not deployment.get("status"):
            return (), {}, None
        labels = observe.selector(names.LABEL_ROUTE_POLICY, key.name)
        pods = await observe.pods(self._session.api, key.namespace, labels)
        self._session.demand.set_routers(key, pods)
        running = {pod.name: pod for pod in pods if pod.running}
        acks = await self._ask(key, running.values())
        mounted = (child_names.router_config(key.name), child_names.router_credentials(key.name))
        if applied.namespace_terminating or any(name in mounted for _, _, name in applied.behind):
            return pods, acks, None  # the configuration that they should follow is not there
        stale = [name for name, ack in acks.items() if not wanted.is_served(ack)]
        if stale:
            await self._follow(key, running, stale, acks, wanted)
        if all(wanted.is_served(ack) for ack in acks.values()):
            self._looks.pop(key, None)
            return pods, acks, None
        looks = self._looks[key] = self._looks.get(key, 0) + 1
        return pods, acks, min(FIRST_LOOK_SECONDS * 2 ** (looks - 1), LONGEST_LOOK_SECONDS)

    async def _follow(
        self, key: Key, running: Mapping[str, PodView], stale: Sequence[str], acks: Acks, wanted: _Wanted
    ) -> None:
        """Nudges the kubelets of stale routers and asks until all follow, or time is up. Fills `acks`.

        Gives way at once when the policy has changed again: what is waited for is then no longer wanted.
        """
        loop = asyncio.get_running_loop()
        began = nudged = loop.time()
        await self._nudge([running[name] for name in stale], wanted.annotation)
        while stale and loop.time() - began < PROGRAM_SECONDS and not self._session.queue.outdated(key):
            await asyncio.sleep(POLL_SECONDS)
            acks.update(await self._ask(key, (running[name] for name in stale)))
            stale = [name for name in stale if not wanted.is_served(acks[name])]
            if not any(acks[name] is not None for name in stale):
                break  # nobody there to wait for: a router that starts reads the new files anyway
            if loop.time() - nudged > NUDGE_AGAIN_SECONDS:
                nudged = loop.time()
                pods = [running[name] for name in stale if acks[name] is not None]
                await self._nudge(pods, f"{wanted.annotation}.{int(nudged - began)}")
        if not stale:
            self._session.metrics.programming_seconds.observe(loop.time() - began)

    async def _nudge(self, pods: Sequence[PodView], value: str) -> None:
        await asyncio.gather(*(self._annotate(pod, value) for pod in pods))

    async def _annotate(self, pod: PodView, value: str) -> None:
        """Changes an annotation, which makes the kubelet sync the pod, and with it the mounted volumes, at once."""
        if pod.annotations.get(names.ANNOTATION_CONFIG_HASH) == value:
            return
        await self._session.patch_pod(pod, {"annotations": {names.ANNOTATION_CONFIG_HASH: value}}, "annotate")

    async def _ask(self, key: Key, pods: Iterable[PodView]) -> Acks:
        asked = list(pods)
        answers = await asyncio.gather(*(self._session.prober.router_config(pod.address) for pod in asked))
        return {pod.name: answer if is_of(answer, key) else None for pod, answer in zip(asked, answers, strict=True)}

    # -- status -------------------------------------------------------------------------------------------------------

    async def _report(
        self,
        live: Object,
        resource: RoutePolicy,
        context: RoutePolicyContext,
        wanted: _Wanted,
        deployment: Object | None,
        pods: tuple[PodView, ...],
        acks: Acks,
        problems: Sequence[Problem],
        applied: ApplyResult,
        upgrade: Upgrade | None,
        drilled: tuple[DrillStatus, ...],
    ) -> RoutePolicyStatus:
        session, metadata = self._session, resource.metadata
        key = Key(names.ROUTE_POLICY, metadata.namespace, metadata.name)
        heard = self._heard(key, pods, acks)
        known = servers.probes(resource, context.deployments, heard.values(), wanted.config)
        self._tell_servers(key, session.servers.heard(key, known))
        observed = RoutePolicyObserved(
            drills=drilled,
            deployment=deployment,
            pods=pods,
            acknowledgements=acks,
            heard=heard,
            deployments=context.deployments,
            data_zones=data_zones.shown(resource, context.settings),
            problems=tuple(problems),
            unused_problems=tuple(refs.check_unused_backends(resource, context)),
            warnings=tuple(refs.check_surroundings(resource, context)),
            apply_errors=tuple(applied.problems),
            config_hash=wanted.config,
            credentials_hash=wanted.credentials,
            namespace_terminating=applied.namespace_terminating,
            upgrade=upgrade,
        )
        reports = await self._loads(key, resource, pods)
        new = status.evaluate(resource, observed, session.now(), self._world(resource, context, pods, reports))
        self._told.tell(key, new)
        events = status.events(resource, new, observed)
        await session.tell(kinds.ROUTE_POLICY, live, new, events)
        return new

    async def _loads(self, key: Key, resource: RoutePolicy, pods: Iterable[PodView]) -> list[LoadReport]:
        """Returns what routers give, and has ModelDeployments reconciled of whose pace they have news."""
        session, running = self._session, [pod.address for pod in pods if pod.running]
        reports = list(await asyncio.gather(*(session.prober.router_load(address) for address in running)))
        house = {backend.name: backend.deployment.name for backend in resource.spec.backends if backend.deployment}
        self._tell_servers(key, session.servers.loads.heard(key, reports, house))
        return reports

    @staticmethod
    def _world(
        resource: RoutePolicy, context: RoutePolicyContext, pods: Iterable[PodView], reports: Iterable[LoadReport]
    ) -> World:
        config, files = document(resource, context).config, router_config.credential_files(resource, context)
        nodes = [pod.node for pod in pods if pod.ready]
        return coverage.world(resource, config, files, context.deployments, loads=loads(reports), router_nodes=nodes)

    def _tell_servers(self, key: Key, deployments: Iterable[str]) -> None:
        """Has ModelDeployments reconciled whose server routers have news of."""
        for name in deployments:
            self._session.queue.add(Key(names.MODEL_DEPLOYMENT, key.namespace, name))

    def _heard(self, key: Key, pods: Iterable[PodView], acks: Acks) -> Acks:
        """Returns what each router that runs says, or said when it last spoke."""
        addresses = {pod.name: pod.address for pod in pods if pod.running}
        return self.outages.heard(key, addresses, acks)

    async def _refuse(self, key: Key, live: Object, error: ValidationError) -> None:
        """Tells that the policy is refused.

        Its routers serve on as they did: what they ask to be woken and see as down counts.
        """
        session, policy, before = self._session, Outline.of_refused(live), live.get("status") or {}
        deployments = await self._deployments(key, policy.deployments)
        labels = observe.selector(names.LABEL_ROUTE_POLICY, key.name)
        pods = await observe.pods(session.api, key.namespace, labels)
        session.demand.set_routers(key, pods)
        acks = await self._ask(key, (pod for pod in pods if pod.running))
        down = outages.evaluate(policy, self._heard(key, pods, acks), deployments, session.now())
        self._told.tell_outages(key, down)
        served, there = str(before.get("configHash") or ""), live_pods(pods)
        await session.refuse(
            kinds.ROUTE_POLICY,
            live,
            error,
            RoutePolicyStatus,
            outages.events(policy, down),
            outages=down,
            spent=str(before.get("spent") or ""),
            budgets=before.get("budgets") or [],
            url=str(before.get("url") or ""),
            config_hash=served,
            selector=str(before.get("selector") or ""),
            programmed_routers=sum(ack is not None and ack.hash == served for ack in acks.values()),
            replicas=len(there),
            ready_replicas=sum(pod.ready for pod in there),
        )
