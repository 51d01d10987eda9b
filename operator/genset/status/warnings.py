"""Warnings tell of configuration that is valid and does nothing: a person meant something else by it.

They stand in a condition of their own, `Warnings`, which is absent if there is none. Nothing waits for it: what has a
warning serves all the same. Each new one is told by an Event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from genset.api.base import Condition
from genset.api.routepolicy import Reason, Route, RoutePolicy
from genset.status.conditions import MESSAGE_LIMIT, Event, Verdict, clip
from genset.status.observed import Problem
from genset.status.reach import Hidden, hidden

MODEL_BYTES = 256  # of UTF-8: the router looks up no longer name of a model
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
        *_unused(resource),
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


def _unused(resource: RoutePolicy) -> Iterator[Problem]:
    used = used_backends(resource)
    for backend in resource.spec.backends:
        if backend.name not in used:
            at = f"spec.backends[{backend.name}]"
            yield Problem(
                Reason.UNUSED_BACKEND, f"{at} is named by no route: name it in a tier, or remove the backend", at
            )


def _shown(models: Sequence[str]) -> str:
    named = ", ".join(clip(model, 64) for model in models[:_NAMED])
    return f"{named} and {len(models) - _NAMED} more" if len(models) > _NAMED else named
