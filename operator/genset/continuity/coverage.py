"""Coverage says, before anything happens, what each route of a policy loses if one thing is lost. Pure.

A loss takes backends away: the way out all clouds, an account those that use its key, a data zone those that answer there, a
node the replicas that stand on it, the house all of its models. What is left is asked in the order of the tiers, as a router
does it: a cloud behind a model of the house only if `failover.toCloudOn` lets the reason pass. If nobody is left, the route is
lost. If a later tier stands in, if the route can do less than before, or if what is left makes fewer tokens a second than the
last hour asked for, it is degraded. Otherwise it survives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MOST_PERCENT: Final = 999  # of the load, that is told: more says nothing
#: What is told as lacking beside the capabilities of backends.
CONTEXT: Final = "context"
SENSITIVE: Final = "sensitive"


class LossKind(StrEnum):
    """This is what can be lost at once."""

    CLOUD = "Cloud"  # the way out: no cloud can be reached
    HOUSE = "House"  # every model of the house
    PROVIDER = "Provider"  # one account: a provider, a host and a key
    ZONE = "Zone"  # one data zone
    NODE = "Node"  # one node of the cluster


class Survival(StrEnum):
    """Survival is what becomes of a route."""

    SURVIVES = "Survives"
    DEGRADED = "Degraded"
    LOST = "Lost"


class AnswererState(StrEnum):
    """This is how a backend is before the loss."""

    UP = "up"
    RESTS = "rests"  # a request wakes it
    DOWN = "down"  # it answers nobody now, so it stands in for nobody


@dataclass(frozen=True)
class ReplicaPlace:
    """A replica place is the replicas of a model on one node. `tokens_per_second`: of all its slots; None: not measured yet."""

    node: str
    tokens_per_second: float | None = None


@dataclass(frozen=True)
class Answerer:
    """An answerer is a backend as far as coverage goes.

    `account` is "" for the house. `places`: where its replicas are; () for a cloud, and for a server of the house elsewhere.
    `context_tokens`: None holds any prompt.
    """

    name: str
    house: bool
    zone: str
    account: str = ""
    state: AnswererState = AnswererState.UP
    lacks: frozenset[str] = frozenset()
    context_tokens: int | None = None
    places: tuple[ReplicaPlace, ...] = ()


@dataclass(frozen=True)
class RouteView:
    """A view is a route as far as coverage goes: names of backends by tier, without those that its data zones leave out.

    `load`: tokens a second that it gave in the last hour; None: not known. `keeps_in_house`: what it finds in requests keeps
    some of them in the house.
    """

    name: str
    tiers: tuple[tuple[str, ...], ...]
    to_cloud_on: frozenset[str]
    load: float | None = None
    keeps_in_house: bool = False


@dataclass(frozen=True)
class World:
    """A world is everything that can be lost. `router_nodes`: where the routers of the policy stand."""

    answerers: Mapping[str, Answerer]
    routes: tuple[RouteView, ...]
    router_nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loss:
    """A loss is one thing that is gone. `name`: which account, zone or node; "" for Cloud and House."""

    kind: LossKind
    name: str = ""

    @property
    def words(self) -> str:
        return f"{self.kind} {self.name}" if self.name else str(self.kind)


@dataclass(frozen=True)
class Consequence:
    """A consequence is what one loss does to one route.

    `tier`: the tier that answers then, counted from 1; None: nobody does. `percent`: of the load of the last hour, that what is
    left makes; None: it is not bounded, or not measured.
    """

    loss: Loss
    outcome: Survival
    why: str
    tier: int | None = None
    lacks: tuple[str, ...] = ()
    percent: int | None = None


#: Who would answer a route, in order, each with its tier.
Answerers = list[tuple[int, Answerer]]
#: What `failover.toCloudOn` calls it that a model of the house does not answer at once.
_FAULTS: Final = {AnswererState.DOWN: "Unreachable", AnswererState.RESTS: "Cold"}


def losses(world: World) -> list[Loss]:
    """Returns everything that can be lost, each once: sides, accounts, zones, nodes, by name."""
    used = [world.answerers[name] for name in sorted({name for route in world.routes for name in _named(route)})]
    found = []
    if any(not answerer.house for answerer in used):
        found.append(Loss(LossKind.CLOUD))
    if any(answerer.house for answerer in used):
        found.append(Loss(LossKind.HOUSE))
    found += [Loss(LossKind.PROVIDER, name) for name in sorted({t.account for t in used if t.account})]
    found += [Loss(LossKind.ZONE, name) for name in sorted({t.zone for t in used if not t.house})]
    nodes = {place.node for answerer in used for place in answerer.places if place.node}
    found += [Loss(LossKind.NODE, name) for name in sorted(nodes.union(world.router_nodes))]
    return found


def coverage(world: World) -> dict[str, list[Consequence]]:
    """Returns what each loss does to each route, by the route's name. A loss that does not touch a route is left out."""
    found: dict[str, list[Consequence]] = {route.name: [] for route in world.routes}
    users: dict[str, list[RouteView]] = {}
    for route in world.routes:
        for name in _named(route):
            users.setdefault(name, []).append(route)
    now = {route.name: _answering(world.answerers, route) for route in world.routes}
    for loss in losses(world):
        changed = {
            name: after for name, answerer in world.answerers.items() if (after := _without(answerer, loss)) != answerer
        }
        no_router = loss.kind is LossKind.NODE and set(world.router_nodes) == {loss.name}
        touched = {route.name: route for name in changed for route in users.get(name, ())}
        touched = {route.name: route for route in world.routes if no_router or route.name in touched}
        left = {**world.answerers, **changed}
        then = now | {name: _answering(left, route) for name, route in touched.items()}
        for name, route in touched.items():
            if no_router:
                why = f"every router of the policy is on node {loss.name}"
                found[name].append(Consequence(loss, Survival.LOST, why))
            elif not then[name]:
                found[name].append(Consequence(loss, Survival.LOST, _why_lost(world.answerers, left, route, now[name])))
            else:
                percent = _percent(world.routes, then, route)
                found[name].append(_consequence(loss, route, now[name], then[name], percent))
    return found


def worst(consequences: Iterable[Consequence]) -> Survival:
    """Returns the worst outcome; Survives if nothing touches the route."""
    order = list(Survival)
    return max((one.outcome for one in consequences), key=order.index, default=Survival.SURVIVES)


def _named(route: RouteView) -> list[str]:
    return [name for tier in route.tiers for name in tier]


def _without(answerer: Answerer, loss: Loss) -> Answerer:
    if loss.kind is LossKind.NODE:
        places = tuple(place for place in answerer.places if place.node != loss.name)
        gone = bool(answerer.places) and not places and answerer.state is AnswererState.UP
        return replace(answerer, places=places, state=AnswererState.DOWN) if gone else replace(answerer, places=places)
    gone = {
        LossKind.CLOUD: not answerer.house,
        LossKind.HOUSE: answerer.house,
        LossKind.PROVIDER: answerer.account == loss.name,
        LossKind.ZONE: answerer.zone == loss.name,
    }[loss.kind]
    return replace(answerer, state=AnswererState.DOWN, places=()) if gone else answerer


def _answering(answerers: Mapping[str, Answerer], route: RouteView) -> Answerers:
    """Returns who would answer, in order, each with its tier: a cloud only if no model of the house before it bars the way."""
    found, barred = [], False
    for number, tier in enumerate(route.tiers, 1):
        for name in tier:
            answerer = answerers[name]
            if barred and not answerer.house:
                continue
            if answerer.state is not AnswererState.DOWN:
                found.append((number, answerer))
            fault = _FAULTS.get(answerer.state)
            if answerer.house and fault is not None and fault not in route.to_cloud_on:
                barred = True
    return found


def _consequence(loss: Loss, route: RouteView, was: Answerers, left: Answerers, percent: int | None) -> Consequence:
    """Says what becomes of a route that somebody still answers."""
    tier, first = left[0]
    lacks = _lacking(was, left, keeps_in_house=route.keeps_in_house)
    words = []
    if was and tier > was[0][0]:
        words.append(f"tier {tier} ({first.name}) stands in for tier {was[0][0]}")
    if first.state is AnswererState.RESTS and not (was and was[0][1].state is AnswererState.RESTS):
        words.append(f"{first.name} rests, and has to wake first")
    if lacks:
        words.append(f"nobody left has {', '.join(lacks)}")
    if percent is not None and percent < 100:
        words.append(f"what is left makes {percent} % of the tokens a second that the last hour asked for")
    if words:
        return Consequence(loss, Survival.DEGRADED, "; ".join(words), tier, lacks, percent)
    return Consequence(loss, Survival.SURVIVES, f"{first.name} answers, in tier {tier}", tier, (), percent)


def _why_lost(before: Mapping[str, Answerer], after: Mapping[str, Answerer], route: RouteView, was: Answerers) -> str:
    if not was:
        return "nobody can answer even now"
    named = _named(route)
    barred = [name for name in named if not after[name].house and after[name].state is not AnswererState.DOWN]
    if barred:
        return f"failover.toCloudOn keeps requests from {', '.join(barred)}"
    down = [name for name in named if before[name].state is AnswererState.DOWN]
    gone = [name for name in named if name not in down]
    also = f", and {', '.join(down)} {'is' if len(down) == 1 else 'are'} down already" if down else ""
    return f"it has no backend but {', '.join(gone)}{also}"


def _lacking(was: Answerers, left: Answerers, *, keeps_in_house: bool) -> tuple[str, ...]:
    """Returns what somebody could do before, and nobody can now."""
    every = frozenset[str]().union(*(answerer.lacks for _, answerer in (*was, *left)))
    lacks = {word for word in every if _anybody_can(was, word) and not _anybody_can(left, word)}
    if _room(left) < _room(was):
        lacks.add(CONTEXT)
    if (
        keeps_in_house
        and any(answerer.house for _, answerer in was)
        and not any(answerer.house for _, answerer in left)
    ):
        lacks.add(SENSITIVE)
    return tuple(sorted(lacks))


def _anybody_can(answerers: Answerers, word: str) -> bool:
    return any(word not in answerer.lacks for _, answerer in answerers)


def _room(answerers: Answerers) -> float:
    """Returns the longest prompt that somebody holds."""
    return max((answerer.context_tokens or math.inf for _, answerer in answerers), default=0.0)


def _percent(routes: Iterable[RouteView], then: Mapping[str, Answerers], route: RouteView) -> int | None:
    """Returns how much of its load a route's models of the house make, shared with the routes that also come to them.

    None if a cloud is left, which has no bound that is known; if nothing was measured; if there was no load.
    """
    left = then[route.name]
    if any(not answerer.house for _, answerer in left):
        return None
    speeds = [place.tokens_per_second for _, answerer in left for place in answerer.places]
    if not speeds or any(speed is None for speed in speeds):
        return None
    names = {answerer.name for _, answerer in left}
    sharing = (one for one in routes if then[one.name] and then[one.name][0][1].name in names)
    load = sum(one.load or 0.0 for one in sharing)
    return min(int(100 * sum(speed or 0.0 for speed in speeds) / load), MOST_PERCENT) if load > 0 else None
