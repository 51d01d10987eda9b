"""RoutePolicy status.outages goes from what each router sees to one list for people, and to the Events of its changes.

An outage is there as soon as one router sees it. It keeps the `since` that it was first written with: routers notice at
different moments, and those that start later notice later still. A side that no router can tell of (all of them have
just started and have never seen it up) stays as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from genset.addresses import server_of
from genset.api.event_reasons import EventReason
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy_status import Outage, OutageReason, OutageScope
from genset.contracts.router_admin import ConfigReport, OutageReport
from genset.router.providers import PROVIDERS
from genset.status import node_outages
from genset.status.conditions import Event, clip
from genset.status.outage_words import effect, listed
from genset.status.outline import BackendOutline, Outline
from genset.status.pod import PodView

_CAUSES = {"auth": OutageReason.BACKEND_AUTH_FAILED, "model_not_found": OutageReason.BACKEND_MODEL_NOT_FOUND}
_RESTORED = {
    OutageReason.EGRESS_DOWN: EventReason.EGRESS_RESTORED,
    OutageReason.HOUSE_DOWN: EventReason.HOUSE_RESTORED,
    OutageReason.PROVIDER_SUSPENDED: EventReason.PROVIDER_RESTORED,
    OutageReason.BACKEND_AUTH_FAILED: EventReason.BACKEND_RESTORED,
    OutageReason.BACKEND_MODEL_NOT_FOUND: EventReason.BACKEND_RESTORED,
    OutageReason.MODEL_RETIRED: EventReason.BACKEND_RESTORED,
    OutageReason.NODE_DOWN: EventReason.NODE_RESTORED,
    OutageReason.LEDGER_AWAY: EventReason.LEDGER_RESTORED,
}
_PROVIDER_HOSTS = {server_of(found.base_url).host for found in PROVIDERS.values() if found.base_url}
_OF_A_BACKEND = (OutageScope.PROVIDER, OutageScope.BACKEND)
#: What an account's backends say, by why they refuse.
_REFUSED = {
    "key": "has a key that is refused",
    "denied": "may do nothing there",
    "unpaid": "has nothing left to pay with",
    "suspended": "is suspended",
}
_RETIRED = "retired"
_Identity = tuple[OutageScope, str, OutageReason]


def evaluate(
    policy: Outline,
    routers: Mapping[str, ConfigReport | None],
    deployments: Mapping[str, ModelDeployment],
    now: str,
    pods: Collection[PodView] = (),
) -> list[Outage]:
    """Returns what is down: Cloud, House, nodes, then accounts, and backends that are of none of these, in the order of the
    spec; last the ledger.

    `routers` by pod name: what each that runs said when it last spoke; None: nothing yet. `deployments`: those that the
    policy names and that exist. `now` (RFC 3339) is for what has no time of its own. `pods` are the routers'.
    """
    heard = {name: ack for name, ack in sorted(routers.items()) if ack is not None}
    known = {_identity(outage): outage for outage in policy.known}
    gone = node_outages.gone(policy, deployments)
    if not heard:
        told_by_routers = [one for one in known.values() if one.scope is not OutageScope.NODE]
        found = [*told_by_routers, *node_outages.told(policy, deployments, pods, gone, now)]
        return found if policy.wants_routers else []
    seen: dict[_Identity, list[OutageReport]] = {}
    for ack in heard.values():
        for outage in ack.outages:
            identity = _of_router(policy, outage)
            if identity is not None:
                seen.setdefault(identity, []).append(outage)
    seen = _told_once(policy, seen)
    wanted = [*seen, *(identity for identity in known if identity not in seen and _untold(identity, heard.values()))]
    order = {backend.name: number for number, backend in enumerate(policy.backends)}
    down = gone.union(name for identity in wanted for name in _affected(policy, identity))
    out = node_outages.told(policy, deployments, pods, down, now)
    by_nodes = gone >= set(policy.named(side_is_cloud=False))  # the house is down because they are, which is told
    for identity in sorted(wanted, key=lambda i: (list(OutageScope).index(i[0]), order.get(_first(i), 0))):
        scope, name, reason = identity
        backend = next((b for b in policy.backends if b.name == _first(identity)), None)
        if (scope in _OF_A_BACKEND and backend is None) or (
            scope is OutageScope.HOUSE and (by_nodes or _rests(deployments))
        ):
            continue
        told, before = seen.get(identity), known.get(identity)
        if told is None:
            assert before is not None
            out.append(before)
            continue
        seen_by = f"seen by {len(told)} of {len(heard)} routers"
        affected = _affected(policy, identity)
        message = _message(policy, reason, backend, told[0], seen_by, effect(policy, affected, down))
        since = before.since if before else min((o.since for o in told if o.since), default=now)
        made = Outage(scope=scope, reason=reason, message=clip(message), since=since)
        if scope is OutageScope.PROVIDER and backend is not None:
            made = made.model_copy(update={"account": backend.account, "backends": affected})
        out.append(made.model_copy(update={"backend": name}) if scope is OutageScope.BACKEND else made)
    return sorted(out, key=lambda outage: list(OutageScope).index(outage.scope))


def events(policy: Outline, new: Iterable[Outage]) -> list[Event]:
    """Returns Events of what has begun and what is over since the policy's own status."""
    before = {_identity(outage): outage for outage in policy.known}
    after = {_identity(outage): outage for outage in new}
    suspended = {
        name for outage in after.values() if outage.scope is OutageScope.PROVIDER for name in outage.backends or ()
    }
    of_nodes = any(outage.scope is OutageScope.NODE for outage in after.values())
    begun: list[Event] = [
        ("Warning", outage.reason, outage.message) for key, outage in after.items() if key not in before
    ]
    over: list[Event] = [
        ("Normal", _RESTORED[outage.reason], _restored(policy, outage))
        for key, outage in before.items()
        if key not in after and outage.backend not in suspended and not (of_nodes and outage.scope is OutageScope.HOUSE)
    ]
    return begun + over


def passed_over(policy: Outline, down: Iterable[Outage]) -> set[str]:
    """Returns the backends that are passed over because of what is down."""
    return {name for outage in down for name in _affected(policy, _identity(outage))}


def _identity(outage: Outage) -> _Identity:
    """Names an outage: an account by its backends."""
    return outage.scope, outage.backend or outage.node or ",".join(outage.backends or ()), outage.reason


def _first(identity: _Identity) -> str:
    return identity[1].partition(",")[0]


def _told_once(policy: Outline, seen: Mapping[_Identity, list[OutageReport]]) -> dict[_Identity, list[OutageReport]]:
    """Leaves out the backends of suspended accounts, which routers tell of one by one, too."""
    suspended = {
        name for identity in seen if identity[0] is OutageScope.PROVIDER for name in _affected(policy, identity)
    }
    return {
        identity: reports
        for identity, reports in seen.items()
        if identity[2] is not OutageReason.BACKEND_AUTH_FAILED or identity[1] not in suspended
    }


def _of_router(policy: Outline, outage: OutageReport) -> _Identity | None:
    """Returns what a router's outage is; None if it is of a later version, which knows scopes or causes that we do not."""
    if outage.scope == OutageScope.PROVIDER:
        found = ",".join(backend.name for backend in policy.backends if backend.name in outage.backends)
        return (OutageScope.PROVIDER, found, OutageReason.PROVIDER_SUSPENDED) if found else None
    if outage.scope == OutageScope.CLOUD:
        return OutageScope.CLOUD, "", OutageReason.EGRESS_DOWN
    if outage.scope == OutageScope.HOUSE:
        return OutageScope.HOUSE, "", OutageReason.HOUSE_DOWN
    if outage.scope == OutageScope.LEDGER:
        return OutageScope.LEDGER, "", OutageReason.LEDGER_AWAY
    reason = _CAUSES.get(outage.cause)
    if reason is OutageReason.BACKEND_MODEL_NOT_FOUND:
        known = any(one.reason is OutageReason.MODEL_RETIRED and one.backend == outage.backend for one in policy.known)
        if outage.why == _RETIRED or known:  # a router that has started since does not know that it worked
            reason = OutageReason.MODEL_RETIRED
    return (OutageScope.BACKEND, outage.backend, reason) if reason and outage.scope == OutageScope.BACKEND else None


def _untold(identity: _Identity, heard: Iterable[ConfigReport]) -> bool:
    """Returns whether no router can tell if the side is still down."""
    return all(identity[0] in ack.unknown for ack in heard)


def _rests(deployments: Mapping[str, ModelDeployment]) -> bool:
    """Returns whether the whole house is at zero because someone set it so."""
    return bool(deployments) and all(found.spec.replicas == 0 for found in deployments.values())


def _affected(policy: Outline, identity: _Identity) -> list[str]:
    """Lists the backends that are passed over because of one outage."""
    scope, name, _ = identity
    if scope is OutageScope.BACKEND:
        return [name]
    if scope is OutageScope.PROVIDER:
        return name.split(",")
    if scope in (OutageScope.NODE, OutageScope.LEDGER):
        return []  # who is passed over because of a node, routers tell; coverage knows what stands there
    return policy.named(scope is OutageScope.CLOUD)


def _message(
    policy: Outline, reason: OutageReason, backend: BackendOutline | None, told: OutageReport, seen_by: str, effect: str
) -> str:
    """Says what is down, what it means for requests, what to do. Nothing in it changes by itself."""
    if reason is OutageReason.EGRESS_DOWN:
        clouds = _affected(policy, (OutageScope.CLOUD, "", reason))
        hosts = f" ({clip(found, 300)})" if (found := _told(told.detail)) else ""
        return (
            f"No cloud can be reached, {seen_by}{hosts}. Until a probe gets through, {listed('backend', clouds)} "
            f"{'is' if len(clouds) == 1 else 'are'} passed over. {effect} "
            "Look at the way out: DNS, firewall, egress proxy, NetworkPolicies"
        )
    if reason is OutageReason.HOUSE_DOWN:
        house = _affected(policy, (OutageScope.HOUSE, "", reason))
        return (
            f"No model of the house can answer, {seen_by}: {listed('backend', house)}. {effect} "
            f"Look at the conditions of {listed('ModelDeployment', policy.deployments)}"
        )
    if reason is OutageReason.LEDGER_AWAY:
        return (
            f"The ledger takes no records, {seen_by}. Requests are answered as ever; routers keep their records on their own "
            "disks, whose room is bounded, and send them when it is back. Look at the ledger's pod, its volume or database, and "
            "NetworkPolicies"
        )
    assert backend is not None
    said = f"it {clip(told.detail, 200)}, {seen_by}. {effect}"
    if reason is OutageReason.PROVIDER_SUSPENDED:
        return (
            f"Account {backend.account} {_REFUSED.get(told.why, 'is refused')}: {said} One of its backends is asked "
            f"for all, each 10 s. {_remedy(backend, told.why)}"
        )
    if reason is OutageReason.BACKEND_AUTH_FAILED:
        return (
            f"Backend {backend.name} refuses the routers' key: {said} It is asked again each 10 s, or as soon as the "
            f"key changes. {_remedy(backend, told.why)}"
        )
    if reason is OutageReason.MODEL_RETIRED:
        ended = f", which ended on {told.ends[:10]} as it has told" if told.ends else ""
        field = (
            f"spec.backends[{backend.name}].cloud.model" if backend.cloud else f"ModelDeployment {backend.deployment}"
        )
        return f"Backend {backend.name} does not know model {backend.model} any more{ended}: {said} Name its successor in {field}"
    if backend.cloud:
        remedy = f"Correct spec.backends[{backend.name}].cloud.model"
        return f"Backend {backend.name} does not know model {backend.model}: {said} {remedy}"
    return (
        f"Backend {backend.name} does not know its model: {said} Correct spec.model of ModelDeployment "
        f"{backend.deployment}"
    )


def _told(detail: str) -> str:
    """Returns what may be told of hosts that cannot be reached: what was met only if the host is a provider's own.

    Others are at addresses that a user has chosen, and how they fail would tell which ports are open.
    """
    parts = [part.partition(": ") for part in detail.split("; ")]
    return "; ".join(f"{host}: {words}" if host in _PROVIDER_HOSTS else host for host, said, words in parts if said)


def _remedy(backend: BackendOutline, why: str) -> str:
    """Says what a person does about a refused key: another key does not help who has not paid."""
    if backend.cloud and why == "unpaid":
        return "Pay, or raise the account's limit, at the provider: nothing has to be changed here"
    if backend.cloud and why == "suspended":
        return "Ask the provider why: nothing has to be changed here, unless another account is used"
    return _key_of(backend)


def _key_of(backend: BackendOutline) -> str:
    if not backend.cloud:
        return f"Renew the key that apiKeySecretRef of ModelDeployment {backend.deployment} names"
    if backend.key is None:
        return f"It wants a key: set spec.backends[{backend.name}].cloud.credentialsSecretRef"
    secret, key = backend.key
    return f"Renew key {key} of Secret {secret}, or look at the account's balance"


def _restored(policy: Outline, outage: Outage) -> str:
    if outage.scope is OutageScope.CLOUD:
        return f"The cloud can be reached again; routes use it as they say. It was down since {outage.since}"
    if outage.scope is OutageScope.HOUSE:
        return f"The house can answer again; routes use it as they say. It was down since {outage.since}"
    if outage.scope is OutageScope.NODE:
        missed = "nothing that stood there is missed any more"
        return f"Node {outage.node} answers again, or {missed}; it was down since {outage.since}"
    if outage.scope is OutageScope.LEDGER:
        return f"The ledger takes records again, also those that have waited; it was away since {outage.since}"
    if outage.scope is OutageScope.PROVIDER:
        return f"Account {outage.account} is asked again; it was passed over since {outage.since}"
    if any(backend.name == outage.backend for backend in policy.backends):
        return f"Backend {outage.backend} is asked again; it was passed over since {outage.since}"
    return f"Backend {outage.backend} is no longer part of the policy"
