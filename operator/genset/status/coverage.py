"""status.coverage says what each route survives, and condition Covered whether that is what the policy wants. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from genset.api.continuity import MOST_TOLD, LossCoverage, RouteCoverage
from genset.api.routepolicy import Reason, RoutePolicy
from genset.continuity.coverage import AnswererState, Consequence, Loss, Survival, World, coverage, worst
from genset.status import conditions
from genset.status.conditions import clip

_WORST_FIRST = list(reversed(Survival))
_SHOWN = 4  # losses in the words of a condition
_WHY = 256  # characters


def told(world: World | None, down: Collection[str]) -> list[RouteCoverage] | None:
    """Returns what each route survives. `down`: backends that routers see as down now, and which stand in for nobody."""
    if world is None:
        return None
    answerers = {
        name: replace(answerer, state=AnswererState.DOWN, places=()) if name in down else answerer
        for name, answerer in world.answerers.items()
    }
    found = coverage(replace(world, answerers=answerers))
    kept = _worst_of_all(found.items())
    return [
        RouteCoverage(
            route=route,
            outcome=worst(consequences),
            losses=[_told(one) for one in _ordered(consequences) if (route, one.loss) in kept],
        )
        for route, consequences in found.items()
    ]


def verdict(resource: RoutePolicy, found: Iterable[RouteCoverage] | None) -> conditions.Verdict | None:
    """Returns what the condition Covered says; None if the policy does not want to know it."""
    if found is None or resource.spec.continuity is None or not resource.spec.continuity.required:
        return None
    lost = [
        f"{words_of(loss)} ends route {route.route} ({loss.why})"
        for route in found
        for loss in route.losses
        if loss.outcome is Survival.LOST
    ]
    if not lost:
        return conditions.Verdict("True", Reason.EVERY_LOSS_SURVIVED, "Every route survives each single loss")
    more = f"; and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    words = "; ".join(clip(one, 200) for one in lost[:_SHOWN])
    return conditions.Verdict(
        "False",
        Reason.LOSS_NOT_SURVIVED,
        f"{words}{more}. Give each of them a backend that such a loss leaves alone, in a later tier",
    )


def words_of(loss: LossCoverage) -> str:
    """Names a loss, as `the loss of Provider openAI with key openai/api-key`."""
    return f"the loss of {Loss(loss.kind, loss.name or '').words}"


def _worst_of_all(found: Iterable[tuple[str, list[Consequence]]]) -> set[tuple[str, Loss]]:
    """Returns the losses that are told, of all routes together: a status is for reading, and has to fit."""
    every = [(route, one) for route, consequences in found for one in consequences]
    every.sort(key=lambda one: _WORST_FIRST.index(one[1].outcome))
    return {(route, one.loss) for route, one in every[:MOST_TOLD]}


def _ordered(consequences: Iterable[Consequence]) -> list[Consequence]:
    return sorted(consequences, key=lambda one: _WORST_FIRST.index(one.outcome))


def _told(found: Consequence) -> LossCoverage:
    return LossCoverage(
        kind=found.loss.kind,
        name=clip(found.loss.name, _WHY) or None,
        outcome=found.outcome,
        tier=found.tier,
        lacks=list(found.lacks) or None,
        capacity_percent=found.percent,
        why=clip(found.why, _WHY),
    )
