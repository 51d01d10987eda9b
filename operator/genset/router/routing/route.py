"""A route decides which requests it takes, and names the tiers of backends that they are sent to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genset.contracts.router_config import ColdStartConfig, MatchConfig, RouteConfig
from genset.router.backends.backend import Backend
from genset.router.machine.decisions import Candidate
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.trail import Step, evidence


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
    tiers: tuple[tuple[tuple[Candidate, int], ...], ...]  # candidates with their weights
    fixed: list[Candidate] | None  # the order of every request that fits all backends, if nothing changes it
    holds: int | None  # tokens that the smallest backend can hold
    max_input_tokens: int | None
    headers: tuple[tuple[bytes, bytes], ...]  # required headers: names in lower case, and values
    failover: FailoverSettings
    total_seconds: float
    cold_start: ColdStartConfig
    reads_prompt: bool  # the balancing of a backend needs the beginning of the prompt
    prefix_tokens: int  # and at most so many tokens of it
    wait_when_full: bool

    def takes(self, model: str, tokens: int, headers: Mapping[bytes, bytes]) -> bool:
        """Returns whether the request meets all conditions of the route. Header names are lower case."""
        if not (self.any_model or model in self.exact or model.startswith(self.prefixes or ("\0",))):
            return False
        if self.plain:
            return True
        if self.max_input_tokens is not None and tokens > self.max_input_tokens:
            return False
        for name, value in self.headers:  # noqa: SIM110 (few routes have one)
            if headers.get(name) != value:
                return False
        return True


def route_of(config: RouteConfig, backends: Mapping[str, Backend]) -> Route:
    """Builds the route that a configuration describes, with these backends by name."""
    match: MatchConfig = config.match
    failover = FailoverSettings(config.failover)
    exact = frozenset(m for m in match.models if not m.endswith("*"))
    prefixes = tuple(m[:-1] for m in match.models if m.endswith("*"))
    tiers = tuple(
        tuple((_candidate(backends[b.backend], index), b.weight) for b in tier)
        for index, tier in enumerate(tier for tier in config.tiers if tier)
    )
    contexts = [c.backend.context_tokens for tier in tiers for c, _ in tier if c.backend.context_tokens is not None]
    # Weights, contexts and tasks choose among candidates.
    in_one_order = bool(tiers) and all(len(tier) == 1 and tier[0][0].backend.task is None for tier in tiers)
    return Route(
        config=config,
        name=config.name,
        exact=exact,
        prefixes=prefixes,
        any_model=not match.models or "" in prefixes,
        plain=match.max_input_tokens is None and not match.headers,
        tiers=tiers,
        max_input_tokens=match.max_input_tokens,
        headers=tuple((header.name.lower().encode(), header.value.encode()) for header in match.headers),
        failover=failover,
        total_seconds=failover.total_seconds,
        cold_start=config.cold_start,
        fixed=[tier[0][0] for tier in tiers] if in_one_order else None,
        holds=min(contexts, default=None),
        reads_prompt=any(candidate.backend.pool.prefix_tokens for tier in tiers for candidate, _ in tier),
        prefix_tokens=max((c.backend.pool.prefix_tokens or 0 for tier in tiers for c, _ in tier), default=0),
        wait_when_full=config.when_full == "Wait",
    )


def _candidate(backend: Backend, tier: int) -> Candidate:
    return Candidate(backend, tier, evidence(backend.name, tier, "", [Step(backend.name)]))
