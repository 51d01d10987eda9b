"""What a policy can lose, written short: `house=` and `cloud=` make targets, `Case` says what a loss must do to a route."""

from __future__ import annotations

from dataclasses import dataclass

from genset.continuity.coverage import (
    Answerer,
    AnswererState,
    Loss,
    LossKind,
    ReplicaPlace,
    RouteView,
    Survival,
    World,
)

EVERYTHING = frozenset({"Unreachable", "Cold", "Full", "TooLate", "ServerError", "TooLong"})
CLOUD, HOUSE = Loss(LossKind.CLOUD), Loss(LossKind.HOUSE)


def account(name: str) -> Loss:
    return Loss(LossKind.PROVIDER, name)


def zone(name: str) -> Loss:
    return Loss(LossKind.ZONE, name)


def node(name: str) -> Loss:
    return Loss(LossKind.NODE, name)


def cloud(name: str, account: str = "", zone: str = "world", lacks: str = "", **more: object) -> Answerer:
    return Answerer(name, False, zone, account or name, lacks=frozenset(lacks.split()), **more)  # type: ignore[arg-type]


def house(name: str, nodes: str = "n1", speed: float | None = None, lacks: str = "", **more: object) -> Answerer:
    """`speed`: tokens a second of each node."""
    places = tuple(ReplicaPlace(at, speed) for at in nodes.split())
    return Answerer(name, True, "house", places=places, lacks=frozenset(lacks.split()), **more)  # type: ignore[arg-type]


def resting(name: str) -> Answerer:
    return Answerer(name, True, "house", state=AnswererState.RESTS)


def down(target: Answerer) -> Answerer:
    return Answerer(target.name, target.house, target.zone, target.account, AnswererState.DOWN)


def route(
    tiers: str, load: float | None = None, only: str | None = None, name: str = "r", *, sensitive: bool = False
) -> RouteView:
    """`tiers`: names of backends, tiers parted by `>`. `only`: words of toCloudOn."""
    words = EVERYTHING if only is None else frozenset(only.split())
    return RouteView(name, tuple(tuple(tier.split()) for tier in tiers.split(">")), words, load, sensitive)


def world(*targets: Answerer, routes: list[RouteView], routers: str = "") -> World:
    return World({target.name: target for target in targets}, tuple(routes), tuple(routers.split()))


@dataclass(frozen=True)
class Case:
    """A case is what a loss has to do to the route `r`. `outcome` None: the loss does not touch it."""

    what: str
    world: World
    loss: Loss
    outcome: Survival | None
    tier: int | None = None
    lacks: tuple[str, ...] = ()
    percent: int | None = None
    why: str = ""  # is in it
