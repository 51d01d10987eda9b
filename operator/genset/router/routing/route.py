"""A route decides which requests it takes, and names the tiers of backends that they are sent to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genset.contracts.route_config import ColdStartConfig, MatchConfig, RouteConfig
from genset.data_zones import ZoneRule
from genset.pricing.price import Price
from genset.router.backends.backend import Backend
from genset.router.machine.decisions import Candidate
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.trail import Step, evidence
from genset.router.routing.needs import NeededAbilities
from genset.router.routing.zones import RouteZones, zones_of
from genset.router.shapes.request_shape import RequestShape
from genset.router.shapes.rule import ShapeRule


@dataclass(frozen=True, slots=True)
class Route:
    """A route has its backends looked up, and most requests find here what they need of its configuration.

    An attribute of a pydantic model takes twenty times as long to read.
    """

    config: RouteConfig
    name: str
    exact: frozenset[str]
    prefixes: tuple[str, ...]
    any_model: bool
    plain: bool  # matches by model name alone
    shape: ShapeRule | None  # None: requests of any shape
    tiers: tuple[tuple[tuple[Candidate, int], ...], ...]  # candidates with their weights
    fixed: list[Candidate] | None  # the order of every request that fits all backends, if nothing changes it
    holds: int | None  # tokens that the smallest backend can hold
    max_input_tokens: int | None
    headers: tuple[tuple[bytes, bytes], ...]  # required headers: names in lower case, and values
    failover: FailoverSettings
    cold_start: ColdStartConfig
    reads_prompt: bool  # the balancing of a backend needs the beginning of the prompt
    prefix_tokens: int  # and at most so many tokens of it
    tells_asked_model: bool  # answers tell the name that the request gave, and not that of the backend's model
    needed: (
        NeededAbilities | None
    )  # capabilities that some backend does not have: only these are looked for in requests
    zones: RouteZones
    avoids: Price | None  # of its first cloud tier: what an answer of the house would have cost; None: nobody knows
    spends: bool  # some backend has a price, or tells what its answers cost

    def takes(self, model: str, tokens: int, headers: Mapping[bytes, bytes], shape: RequestShape | None = None) -> bool:
        """Returns whether the request meets all conditions of the route. Header names are lower case.

        `shape` is None if nobody can tell it: no route with a shape takes such a request.
        """
        if not (self.any_model or model in self.exact or model.startswith(self.prefixes or ("\0",))):
            return False
        if self.plain:
            return True
        if self.max_input_tokens is not None and tokens > self.max_input_tokens:
            return False
        for name, value in self.headers:
            if headers.get(name) != value:
                return False
        return self.shape is None or (shape is not None and self.shape.takes(shape))

    def why_not(
        self, model: str, tokens: int, headers: Mapping[bytes, bytes], shape: RequestShape | None = None
    ) -> str:
        """Says which condition of the route the request does not meet; "" if it meets all."""
        if self.takes(model, tokens, headers, shape):
            return ""
        if not (self.any_model or model in self.exact or model.startswith(self.prefixes or ("\0",))):
            return "match.models does not hold the model"
        if self.max_input_tokens is not None and tokens > self.max_input_tokens:
            return f"match.maxInputTokens is {self.max_input_tokens}, and the prompt has about {tokens} tokens"
        for name, value in self.headers:
            if headers.get(name) != value:
                return f"match.headers wants another {name.decode()}"
        return self.shape.why_not(shape) if self.shape is not None and shape is not None else "match.shape"


Tiers = tuple[tuple[tuple[Candidate, int], ...], ...]


def _first_cloud_price(tiers: Tiers) -> Price | None:
    """Returns the price at the first tier that has a cloud: of the one that is asked most there, the first of equals."""
    for tier in tiers:
        clouds = [(weight, candidate) for candidate, weight in tier if not candidate.backend.local]
        if clouds:
            return max(clouds, key=lambda cloud: cloud[0])[1].backend.target.price
    return None


def route_of(config: RouteConfig, backends: Mapping[str, Backend], above: Sequence[ZoneRule] = ()) -> Route:
    """Builds the route that a configuration describes, with these backends by name. `above`: zones of all routes."""
    zones = zones_of(config, above, {name: backend.config for name, backend in backends.items()})
    named = (tuple(b for b in tier if b.backend not in zones.left_out) for tier in config.tiers)
    tiers = tuple(
        tuple((_candidate(backends[b.backend], index), b.weight) for b in tier)
        for index, tier in enumerate(tier for tier in named if tier)
    )
    return _route(config, tiers, zones)


def route_for(route: Route, model: str, adapters: Mapping[str, Mapping[str, Backend]]) -> Route | None:
    """Returns the route as a request for this model takes it, or None if nobody there has the model.

    `adapters` are those of each backend, by their names. A tier asks those of its backends that have an adapter of this name, as
    that adapter, and those whose model is called so. If none has, it asks all but those that have other adapters: among their
    names, one that they do not know is a mistake. The model's own name is known, and each name that the route takes in full.
    """
    tiers: list[tuple[tuple[Candidate, int], ...]] = []
    for tier in route.tiers:
        own: list[tuple[Candidate, int]] = []
        namesakes: list[tuple[Candidate, int]] = []
        others: list[tuple[Candidate, int]] = []
        for candidate, weight in tier:
            named = adapters.get(candidate.backend.name, {})
            adapter = named.get(model)
            if adapter is not None:
                own.append((_candidate(adapter, candidate.tier), weight))
                continue
            if model == candidate.backend.target.model:
                namesakes.append((candidate, weight))
            if not named or model == candidate.backend.target.model or model in route.exact:
                others.append((candidate, weight))
        if own or others:
            tiers.append(tuple(own + namesakes if own else others))
    if not tiers and route.tiers:
        return None
    return _route(route.config, tuple(tiers), route.zones)


def _route(config: RouteConfig, tiers: Tiers, zones: RouteZones) -> Route:
    match: MatchConfig = config.match
    failover = FailoverSettings(config.failover, wait_when_full=config.when_full == "Wait")
    exact = frozenset(m for m in match.models if not m.endswith("*"))
    prefixes = tuple(m[:-1] for m in match.models if m.endswith("*"))
    contexts = [c.backend.context_tokens for tier in tiers for c, _ in tier if c.backend.context_tokens is not None]
    # Weights, contexts and tasks choose among candidates.
    in_one_order = bool(tiers) and all(len(tier) == 1 and tier[0][0].backend.task is None for tier in tiers)
    lacking: frozenset[str] = frozenset[str]().union(*(c.backend.target.lacks for tier in tiers for c, _ in tier))
    return Route(
        config=config,
        name=config.name,
        exact=exact,
        prefixes=prefixes,
        any_model=not match.models or "" in prefixes,
        plain=match.max_input_tokens is None and not match.headers and match.shape is None,
        shape=ShapeRule(match.shape) if match.shape is not None else None,
        tiers=tiers,
        max_input_tokens=match.max_input_tokens,
        headers=tuple((header.name.lower().encode(), header.value.encode()) for header in match.headers),
        failover=failover,
        cold_start=config.cold_start,
        fixed=[tier[0][0] for tier in tiers] if in_one_order else None,
        holds=min(contexts, default=None),
        reads_prompt=any(candidate.backend.pool.prefix_tokens for tier in tiers for candidate, _ in tier),
        prefix_tokens=max((c.backend.pool.prefix_tokens or 0 for tier in tiers for c, _ in tier), default=0),
        tells_asked_model=config.response is not None and config.response.model == "Asked",
        needed=NeededAbilities(lacking) if lacking else None,
        avoids=_first_cloud_price(tiers),
        spends=any(
            c.backend.target.price is not None or (not c.backend.local and c.backend.target.provider.tells_cost)
            for tier in tiers
            for c, _ in tier
        ),
        zones=zones,
    )


def _candidate(backend: Backend, tier: int) -> Candidate:
    return Candidate(backend, tier, evidence(backend.name, tier, "", [Step(backend.name)]), backend.config.zone)
