"""The status of a RoutePolicy is four conditions, each a chain of small checks, and the counts beside them.

Accepted     the spec makes sense and children could be applied
ResolvedRefs every deployment, Secret and key that it names exists
Programmed   every running router serves this generation, by its own word (/-/config)
Ready        programmed, every reference resolved, and all wanted routers are available
Stalled      present, and True, only when nothing will change unless a person does something
Warnings     present, and True, only when something in the spec does nothing
UpgradePending  present, and True, only while routers of an earlier release, or of other settings, serve on
PricesKnown  present, and False, only while nobody knows what a cloud costs
LocalShareMet  present only if a route has a localShare; False while the house gives less
ProofStale   present only if the policy has drills; True while one was not passed for too long
Covered      present only if continuity.required; False while a single loss ends a route

Backends that resolve are programmed even while others do not. A policy whose routers are at zero on purpose is
Ready=True with reason NoRouters: what was asked for is so.
"""

from __future__ import annotations

from dataclasses import dataclass

from genset.api.routepolicy import ConditionType, Reason, RoutePolicy
from genset.api.routepolicy_status import RoutePolicyStatus
from genset.continuity.coverage import World
from genset.contracts.router_admin import ConfigReport
from genset.desired import metadata
from genset.desired.router import port_of
from genset.names import SERVICE_PORT, SERVICE_TLS_PORT
from genset.status import budgets, coverage, drills, local_share, outages, pods, prices, retiring, upgrades, warnings
from genset.status.conditions import Event, Verdict, events_of, first, merged, refused
from genset.status.observed import RoutePolicyObserved
from genset.status.outline import Outline
from genset.status.pod import PodView
from genset.status.problem import Problem
from genset.status.rollout import RolloutState, incomplete, rollout

_UNRESOLVED = frozenset(
    {
        Reason.DEPLOYMENT_NOT_FOUND,
        Reason.SECRET_NOT_FOUND,
        Reason.SECRET_KEY_NOT_FOUND,
        Reason.SECRET_KEY_INVALID,
        Reason.SECRET_NOT_ALLOWED,
    }
)
_ALARMING = _UNRESOLVED | {
    Reason.INVALID_SPEC,
    Reason.NAME_CONFLICT,
    Reason.APPLY_REJECTED,
    Reason.NAMESPACE_NOT_MANAGED,
    Reason.NO_BACKEND_IN_ZONE,
    Reason.CONTESTED,
    Reason.SANDBOX_FAILED,
    Reason.ROUTER_UNREACHABLE,
    Reason.CONFIG_REJECTED,
    Reason.UNSCHEDULABLE,
    Reason.IMAGE_PULL_FAILED,
    Reason.STARTUP_TIMEOUT,
    Reason.CRASH_LOOP,
    Reason.REPLICAS_MISSING,
    Reason.LOCAL_SHARE_BELOW,
    Reason.LOSS_NOT_SURVIVED,
    Reason.PROOF_TOO_OLD,
}


@dataclass(frozen=True)
class _View:
    """The view is what the checks look at."""

    resource: RoutePolicy
    observed: RoutePolicyObserved
    state: RolloutState
    routers: list[PodView]  # pods that should serve
    trouble: Verdict | None  # what keeps pods from coming up
    accepted: Verdict
    resolved: Verdict

    def ack(self, pod: PodView) -> ConfigReport | None:
        return self.observed.acknowledgements.get(pod.name)

    def serves(self, pod: PodView) -> bool:
        ack = self.ack(pod)
        return (
            ack is not None
            and ack.hash == self.observed.config_hash
            and ack.credentials_hash == self.observed.credentials_hash
        )


def evaluate(
    resource: RoutePolicy, observed: RoutePolicyObserved, now: str, world: World | None = None
) -> RoutePolicyStatus:
    """Returns the whole new status. `world`: what the policy can lose, of `desired.coverage`; None: it is not known.

    Equal inputs give an equal status; `now` (RFC 3339) is used only if a status flips.
    """
    view = _view(resource, observed)
    old = resource.status or RoutePolicyStatus()
    programmed = first(_PROGRAMMED, view, Verdict("True", Reason.PROGRAMMED, _programmed_message(view)))
    ready = first(_READY, view, programmed)
    if ready is programmed and ready.status == "True":
        counts = f"{view.state.available} of {view.state.wanted} routers are available"
        ready = Verdict("True", Reason.READY, f"{counts} and serve generation {resource.metadata.generation}")
    verdicts: list[tuple[str, Verdict]] = [
        (ConditionType.ACCEPTED, view.accepted),
        (ConditionType.RESOLVED_REFS, view.resolved),
        (ConditionType.PROGRAMMED, programmed),
        (ConditionType.READY, ready),
    ]
    stalled = next((verdict for _, verdict in verdicts if verdict.needs_person), None)
    if stalled is not None:
        verdicts.append((ConditionType.STALLED, Verdict("True", stalled.reason, stalled.message)))
    outline, name = Outline.of(resource), resource.metadata.name
    down = outages.evaluate(outline, observed.heard, observed.deployments, now, observed.pods)
    shares = local_share.shares(resource, observed.heard.values())
    drilled = drills.evaluate(resource, observed.drills, observed.heard, now)
    covered = coverage.told(world, outages.passed_over(outline, down))
    only_if_there: tuple[tuple[str, Verdict | None], ...] = (
        (ConditionType.WARNINGS, warnings.verdict(_warnings(resource, observed))),
        (ConditionType.PRICES_KNOWN, prices.verdict(resource)),
        (ConditionType.LOCAL_SHARE_MET, local_share.verdict(resource, shares)),
        (ConditionType.PROOF_STALE, drills.verdict(resource, drilled, now)),
        (ConditionType.COVERED, coverage.verdict(resource, covered)),
        (
            ConditionType.UPGRADE_PENDING,
            upgrades.verdict(observed.upgrade, resource.kind, name, "spec.router.onUpgrade"),
        ),
    )
    verdicts += [(kind, verdict) for kind, verdict in only_if_there if verdict is not None]
    spent = budgets.evaluate(resource, observed.heard.values(), old.budgets, now)
    return RoutePolicyStatus(
        observed_generation=resource.metadata.generation,
        conditions=merged(old.conditions, verdicts, resource.metadata.generation, now),
        url=_url(resource),
        data_zones=observed.data_zones,
        config_hash=observed.config_hash,
        programmed_routers=sum(view.serves(pod) for pod in view.routers),
        replicas=view.state.replicas,
        ready_replicas=view.state.ready,
        selector=",".join(f"{key}={value}" for key, value in metadata.router_selector(resource.metadata.name).items()),
        local_share=shares,
        house_share=local_share.shown(shares),
        spent=budgets.fullest(spent),
        budgets=spent,
        drills=drilled,
        drill_evidence=drills.evidence(resource, drilled, observed.heard),
        outages=down,
        coverage=covered,
    )


def _url(resource: RoutePolicy) -> str:
    port, secure = port_of(resource), resource.spec.router.tls is not None
    host = f"{metadata.router(resource.metadata.name)}.{resource.metadata.namespace}.svc"
    usual = SERVICE_TLS_PORT if secure else SERVICE_PORT
    scheme = "https" if secure else "http"
    return f"{scheme}://{host}/v1" if port == usual else f"{scheme}://{host}:{port}/v1"


def _warnings(resource: RoutePolicy, observed: RoutePolicyObserved) -> list[Problem]:
    unused = observed.unused_problems
    return [
        *retiring.of_route_policy(resource, observed.heard.values()),
        *observed.warnings,
        *warnings.of_route_policy(resource, unused),
        *budgets.warnings(resource),
    ]


def events(resource: RoutePolicy, new: RoutePolicyStatus, observed: RoutePolicyObserved) -> list[Event]:
    """Returns (type, reason, message) of what has changed since the resource's own status."""
    before = resource.status.conditions if resource.status else []
    after = [condition for condition in new.conditions if condition.type != ConditionType.WARNINGS]
    told, known = (
        next((condition.message for condition in found if condition.type == ConditionType.WARNINGS), "")
        for found in (new.conditions, before)
    )
    warned = _warnings(resource, observed) if told != known else []  # those of a large policy take their time
    return [
        *events_of(before, after, _ALARMING),
        *warnings.events(before, warned, told, ConditionType.WARNINGS),
        *drills.events(resource.status.drills if resource.status else [], new.drills),
        *budgets.events(resource.status.budgets if resource.status else [], new.budgets),
        *outages.events(Outline.of(resource), new.outages),
    ]


def _view(resource: RoutePolicy, observed: RoutePolicyObserved) -> _View:
    answering = observed.acknowledgements
    return _View(
        resource=resource,
        observed=observed,
        state=rollout(observed.deployment, resource.spec.router.replicas),
        # One that is not ready takes no requests; it counts once it answers, or should.
        routers=[pod for pod in pods.live(observed.pods) if pod.ready or answering.get(pod.name) is not None],
        trouble=pods.trouble(observed.pods),
        accepted=_accepted(resource, observed),
        resolved=_resolved(observed),
    )


def _accepted(resource: RoutePolicy, observed: RoutePolicyObserved) -> Verdict:
    if observed.namespace_terminating:
        return Verdict(
            "False",
            Reason.NAMESPACE_TERMINATING,
            f"Namespace {resource.metadata.namespace} is being deleted: nothing new can be made in it",
        )
    problems = (*observed.apply_errors, *(p for p in observed.problems if p.reason not in _UNRESOLVED))
    if problems:
        return refused(problems)
    return Verdict("True", Reason.ACCEPTED, "The spec is valid")


def _resolved(observed: RoutePolicyObserved) -> Verdict:
    problems = tuple(problem for problem in observed.problems if problem.reason in _UNRESOLVED)
    if problems:
        return refused(problems)
    whose = "its routes need" if observed.unused_problems else "the policy names"
    return Verdict("True", Reason.RESOLVED_REFS, f"Every deployment and Secret that {whose} exists")


# Programmed


def _no_routers(view: _View) -> Verdict | None:
    if view.routers:
        return None
    if view.resource.spec.router.replicas == 0:
        return Verdict("False", Reason.NO_ROUTERS, "spec.router.replicas is 0: no router runs")
    return view.trouble or Verdict("False", Reason.NO_ROUTERS, "No router is ready yet")


def _rejected(view: _View) -> Verdict | None:
    for pod in view.routers:
        ack = view.ack(pod)
        if ack is not None and ack.error and not view.serves(pod):
            message = f"Router {pod.name} keeps its last good configuration: {ack.error}"
            return Verdict("False", Reason.CONFIG_REJECTED, message, needs_person=True)
    return None


def _unreachable(view: _View) -> Verdict | None:
    silent = [pod.name for pod in view.routers if view.ack(pod) is None]
    if not silent:
        return None
    return Verdict(
        "False",
        Reason.ROUTER_UNREACHABLE,
        f"The admin port of {', '.join(silent)} does not answer the operator: look at the pod, and at NetworkPolicies",
    )


def _pending(view: _View) -> Verdict | None:
    if all(view.serves(pod) for pod in view.routers):
        return None
    return Verdict("False", Reason.PENDING, _programmed_message(view))


_PROGRAMMED = (_no_routers, _rejected, _unreachable, _pending)


def _programmed_message(view: _View) -> str:
    serving = sum(view.serves(pod) for pod in view.routers)
    return f"{serving} of {len(view.routers)} running routers serve generation {view.resource.metadata.generation}"


# Ready


def _not_accepted(view: _View) -> Verdict | None:
    return view.accepted if view.accepted.status == "False" else None


def _not_resolved(view: _View) -> Verdict | None:
    return view.resolved if view.resolved.status == "False" else None


def _at_rest(view: _View) -> Verdict | None:
    if view.resource.spec.router.replicas > 0:
        return None
    if not view.state.current or view.state.replicas > 0:
        return Verdict("False", Reason.ROLLING_OUT, f"Routers that are still to go: {view.state.replicas}")
    return Verdict("True", Reason.NO_ROUTERS, "At rest, as asked: spec.router.replicas is 0")


def _not_complete(view: _View) -> Verdict | None:
    missing = incomplete(view.state, "routers", sum(pod.coming for pod in view.observed.pods))
    return (view.trouble or missing) if missing is not None else None


_READY = (_not_accepted, _not_resolved, _at_rest, _not_complete)
