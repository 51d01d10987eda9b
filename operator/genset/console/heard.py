"""What was heard is what pages are made of: resources, what routers say, and how old each of these is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genset import kinds, overview
from genset.console.history import PolicyTrack
from genset.console.outage_log import SeenOutage
from genset.contracts.router_admin import ConfigReport
from genset.contracts.router_state import RouterState

Resource = Mapping[str, Any]
Sees = Callable[[str], bool]  # whether somebody sees a namespace
STALE_SECONDS: Final = 15.0  # after which a page says that what it shows is old


@dataclass(frozen=True)
class HeardModel:
    """A model is one ModelDeployment: as the API server has it, as a line, and what is wrong with it."""

    resource: Resource
    line: overview.ModelLine
    matters: tuple[overview.Matter, ...]


@dataclass(frozen=True)
class HeardPolicy:
    """A policy is one RoutePolicy, likewise."""

    resource: Resource
    line: overview.PolicyLine
    matters: tuple[overview.Matter, ...]

    @property
    def key(self) -> str:
        """Returns NAMESPACE/NAME."""
        return f"{self.line.namespace}/{self.line.name}"

    @property
    def spec(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.resource.get("spec") or {}
        return found

    @property
    def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.resource.get("status") or {}
        return found


@dataclass(frozen=True)
class HeardRouter:
    """A router is one pod. `at`: when it last answered; `problem`: why it does not, if it does not."""

    namespace: str
    policy: str
    pod: str
    address: str
    at: float | None = None
    problem: str = ""
    config: ConfigReport | None = None
    state: RouterState | None = None


@dataclass(frozen=True)
class SourceHealth:
    """A source is where something was heard from. `at`: when it was last well; `problem`: why it is not now."""

    name: str
    at: float | None
    problem: str = ""

    def is_stale(self, now: float) -> bool:
        return bool(self.problem) and (self.at is None or now - self.at > STALE_SECONDS)


@dataclass(frozen=True)
class Heard:
    """This is everything that was heard until `now`. `used`: memory of pods by namespace and deployment, if it is measured."""

    now: float
    models: Sequence[HeardModel] = ()
    policies: Sequence[HeardPolicy] = ()
    routers: Sequence[HeardRouter] = ()
    tracks: Mapping[str, PolicyTrack] = field(default_factory=dict)
    outages: Sequence[SeenOutage] = ()  # the newest first
    sources: Sequence[SourceHealth] = ()
    used: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def routers_of(self, policy: str) -> list[HeardRouter]:
        """Returns the routers of NAMESPACE/NAME."""
        return [one for one in self.routers if f"{one.namespace}/{one.policy}" == policy]

    @property
    def stale(self) -> list[SourceHealth]:
        """Returns the sources of which nothing new comes."""
        return [one for one in self.sources if one.is_stale(self.now)]


def model(resource: Resource) -> HeardModel:
    """Returns a ModelDeployment as it is shown."""
    seen = overview.of([{**resource, "kind": kinds.MODEL_DEPLOYMENT.kind}])
    return HeardModel(resource, seen.models[0], seen.matters)


def policy(resource: Resource) -> HeardPolicy:
    """Returns a RoutePolicy as it is shown."""
    seen = overview.of([{**resource, "kind": kinds.ROUTE_POLICY.kind}])
    return HeardPolicy(resource, seen.policies[0], seen.matters)


def tone(matters: Iterable[overview.Matter], *, serves: bool) -> str:
    """Returns how a state is coloured: well, passing or bad."""
    if serves:
        return "well"
    return "bad" if any(not one.passes for one in matters) else "passing"


def urgency(matters: Iterable[overview.Matter], *, serves: bool) -> int:
    """Orders lines: first what does not serve and needs somebody, then what needs somebody, then what is on its way."""
    if any(not one.passes for one in matters):
        return 1 if serves else 0
    return 3 if serves else 2
