"""Warnings tell of configuration that is valid and does nothing: a person meant something else by it.

They stand in a condition of their own, `Warnings`, which is absent if there is none. Nothing waits for it: what has a
warning serves all the same. Each new one is told by an Event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from genset.addresses import server_of
from genset.api.access import Access, Allowance
from genset.api.backend import MAX_QUEUED
from genset.api.base import Condition
from genset.api.routepolicy import ColdStart, Reason, Route, RoutePolicy, WhenFull, zone_of
from genset.data_zones import HOUSE
from genset.status.conditions import MESSAGE_LIMIT, Event, Verdict, clip
from genset.status.problem import Problem
from genset.status.reach import Hidden, hidden, untaken

MODEL_BYTES = 256  # of UTF-8: the router looks up no longer name of a model
ANSWER_TOKENS = 256  # of an answer, or fewer if the request says so, for which a backend must have room to be asked
GRPC_PORT = 4317  # of OTLP
TRACES_PATH = "/v1/traces"  # that routers append to the address of a collector
_TO_BE_CONTINUED = "; and {} more"
_NAMED = 5  # patterns that one warning names


def used_backends(resource: RoutePolicy) -> frozenset[str]:
    """Returns the names of the backends that a route names."""
    return frozenset(
        backend.name for route in resource.spec.routes for tier in route.tiers for backend in tier.backends
    )


def of_route_policy(resource: RoutePolicy, unresolved: Iterable[Problem]) -> list[Problem]:
    """Returns what of a policy does nothing. `unresolved`: what unused backends name that is not there."""
    return [
        *(_unreachable(item) for item in hidden(resource.spec.routes)),
        *_too_long(resource.spec.routes),
        *_twice(resource.spec.routes),
        *_without_effect(resource),
        *_unused(resource),
        *_tiny(resource),
        *_in_vain(resource),
        *_nowhere(resource),
        *_without_spans(resource),
        *(Problem(Reason.UNUSED_BACKEND, f"{p.message} (no route needs it)", p.field) for p in unresolved),
    ]


def verdict(warnings: Sequence[Problem]) -> Verdict | None:
    """Returns what the condition says; None if there is nothing to tell. A long list ends in a number."""
    messages = list(dict.fromkeys(warning.message for warning in warnings))
    if not messages:
        return None
    told = [clip(messages[0], MESSAGE_LIMIT - len(_TO_BE_CONTINUED) - 4)]
    for number, message in enumerate(messages[1:], 1):
        more = _TO_BE_CONTINUED.format(len(messages) - number)
        if len("; ".join([*told, message])) + len(more) > MESSAGE_LIMIT:
            return Verdict("True", warnings[0].reason, "; ".join(told) + more)
        told.append(message)
    return Verdict("True", warnings[0].reason, "; ".join(told))


def events(old: Sequence[Condition], warnings: Sequence[Problem], told: str, kind: str) -> list[Event]:
    """Returns an Event for each warning that the condition tells now (`told`) and did not before. `kind`: its type."""
    before = next((condition.message for condition in old if condition.type == kind), "")
    return [
        ("Warning", warning.reason, warning.message)
        for warning in dict.fromkeys(warnings)
        if warning.message in told and warning.message not in before
    ]


def _unreachable(item: Hidden) -> Problem:
    here, by = f"spec.routes[{item.route}]", " and ".join(f"spec.routes[{name}]" for name in item.by)
    take = "which stands before it, takes" if len(item.by) == 1 else "which stand before it, take"
    if not item.models:
        return Problem(
            Reason.UNREACHABLE_ROUTE,
            f"{here} gets no request, because {by}, {take} everything that it would: move it up, or narrow their match",
            here,
        )
    field, one = f"{here}.match.models", len(item.models) == 1
    arrive, remedy = ("arrives", "it: take it out") if one else ("arrive", "them: take them out")
    return Problem(
        Reason.UNREACHABLE_ROUTE,
        f"{field}: {_shown(item.models)} never {arrive} there, because {by}, {take} {remedy}, or move the route up",
        field,
    )


def _too_long(routes: Iterable[Route]) -> Iterator[Problem]:
    for route in routes:
        long = [model for model in route.match.models if len(model.removesuffix("*").encode()) > MODEL_BYTES]
        if long:
            field = f"spec.routes[{route.name}].match.models"
            yield Problem(
                Reason.UNREACHABLE_ROUTE,
                f"{field}: {_shown(long)} can match no request, because names of models have at most {MODEL_BYTES} "
                "bytes: shorten it",
                field,
            )


def _twice(routes: Iterable[Route]) -> Iterator[Problem]:
    for route in routes:
        places: dict[str, list[int]] = {}
        for number, tier in enumerate(route.tiers):
            for backend in tier.backends:
                places.setdefault(backend.name, []).append(number)
        for name, tiers in places.items():
            if len(tiers) > 1:
                field = f"spec.routes[{route.name}].tiers"
                yield Problem(
                    Reason.DUPLICATE_BACKEND,
                    f"{field} name backend {name} in {' and '.join(f'tiers[{tier}]' for tier in tiers)}: a backend "
                    "that has failed once is asked the same again; take it out of all but one",
                    field,
                )


def _without_effect(resource: RoutePolicy) -> Iterator[Problem]:
    """Yields settings of routes that ask for what their tiers do not have."""
    clouds = {backend.name for backend in resource.spec.backends if backend.cloud is not None}
    places = {
        backend.name: MAX_QUEUED if backend.balancing.max_queued is None else backend.balancing.max_queued
        for backend in resource.spec.backends
        if backend.balancing.max_in_flight_per_endpoint is not None
    }  # where requests may wait
    zones = {backend.name: zone_of(backend) for backend in resource.spec.backends}
    for route in resource.spec.routes:
        sides = [(number, b.name in clouds) for number, tier in enumerate(route.tiers) for b in tier.backends]
        last_cloud = max((number for number, is_cloud in sides if is_cloud), default=-1)
        first_house = min((number for number, is_cloud in sides if not is_cloud), default=len(route.tiers))
        at = f"spec.routes[{route.name}]"
        if route.failover.to_cloud_on is not None and last_cloud < first_house:
            field = f"{at}.failover.toCloudOn"
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field} has no effect, because no cloud of the route stands behind a model of the house: take it out, or "
                "add such a tier",
                field,
            )
        longest, cold = route.failover.total_seconds, route.cold_start
        if cold.seconds > longest and "seconds" in cold.model_fields_set:
            field = f"{at}.coldStart.seconds"
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field} {cold.seconds} has no effect beyond failover.totalSeconds, {longest}, after which the request has "
                "failed: lower it, or raise that one",
                field,
            )
        bounded = [places[b.name] for tier in route.tiers for b in tier.backends if b.name in places]
        if route.when_full is WhenFull.WAIT and bounded and not any(bounded):
            field = f"{at}.whenFull"
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field} Wait has no effect, because balancing.maxQueued of its backends is 0, and nobody may wait there: raise "
                "it, or use NextTier",
                field,
            )
        if first_house == len(route.tiers) and route.cold_start != ColdStart():
            field = f"{at}.coldStart"
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field} has no effect, because the route has clouds alone, which never rest: take it out",
                field,
            )
        at_home = {zones.get(b.name) == HOUSE for tier in route.tiers for b in tier.backends}
        if route.local_share is not None and len(at_home) == 1:
            field, side, share = f"{at}.localShare", *(("in", 100) if True in at_home else ("outside", 0))
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field} tells nothing, because all of the route's backends are {side} data zone house, whose share is always "
                f"{share} %: take it out, or add backends on the other side",
                field,
            )


def _unused(resource: RoutePolicy) -> Iterator[Problem]:
    used = used_backends(resource)
    for backend in resource.spec.backends:
        if backend.name not in used:
            at = f"spec.backends[{backend.name}]"
            yield Problem(
                Reason.UNUSED_BACKEND, f"{at} is named by no route: name it in a tier, or remove the backend", at
            )


def _tiny(resource: RoutePolicy) -> Iterator[Problem]:
    """Yields backends that hold no more than the answer that routers leave room for."""
    for backend in resource.spec.backends:
        tokens = backend.context_tokens
        if tokens is not None and tokens <= ANSWER_TOKENS:
            field = f"spec.backends[{backend.name}].contextTokens"
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field} {tokens} leaves room for no prompt beside an answer of {ANSWER_TOKENS} tokens, so that requests pass "
                f"the backend by: did you mean {tokens * 1024}?",
                field,
            )


def _in_vain(resource: RoutePolicy) -> Iterator[Problem]:
    """Yields models that consumers may name and no route takes."""
    access, routes = resource.spec.access, resource.spec.routes
    if access is None or any(not route.match.models for route in routes):
        return
    taken = {model for route in routes for model in route.match.models}
    for at, allowance in _allowances(access):
        if vain := untaken(allowance.models or (), taken):
            field = f"{at}.models"
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{field}: {_shown(vain)} can be answered by no route, because match.models of none takes it: correct the name, "
                "or take it out",
                field,
            )


def _nowhere(resource: RoutePolicy) -> Iterator[Problem]:
    """Yields consumers whose zones are those of no backend."""
    access, there = resource.spec.access, {zone_of(backend) for backend in resource.spec.backends}
    if access is None:
        return
    for at, allowance in _allowances(access):
        zones = allowance.data_zones
        if zones is not None and there.isdisjoint(zones):
            yield Problem(
                Reason.WITHOUT_EFFECT,
                f"{at}.dataZones: no backend is in {', '.join(zones)}, so that every request gets 403: name one of "
                f"{', '.join(sorted(there))}, or take it out",
                f"{at}.dataZones",
            )


def _allowances(access: Access) -> Iterator[tuple[str, Allowance]]:
    """Yields what is said of consumers, each with its place."""
    for consumer in access.consumers:
        yield f"spec.access.consumers[{consumer.name}]", consumer
    if access.defaults is not None:
        yield "spec.access.defaults", access.defaults


def _without_spans(resource: RoutePolicy) -> Iterator[Problem]:
    telemetry, field = resource.spec.router.telemetry, "spec.router.telemetry.otlpEndpoint"
    if telemetry is None:
        return
    url = telemetry.otlp_endpoint
    if url.rstrip("/").endswith(TRACES_PATH):
        yield Problem(
            Reason.WITHOUT_EFFECT,
            f"{field} ends in {TRACES_PATH}, which routers add, so that no span arrives: leave it out",
            field,
        )
    if server_of(url).port == GRPC_PORT:
        yield Problem(
            Reason.WITHOUT_EFFECT,
            f"{field} names port {GRPC_PORT}, where collectors speak gRPC, so that no span arrives: routers speak HTTP, for "
            "which collectors have 4318",
            field,
        )


def _shown(models: Sequence[str]) -> str:
    named = ", ".join(clip(model, 64) for model in models[:_NAMED])
    return f"{named} and {len(models) - _NAMED} more" if len(models) > _NAMED else named
