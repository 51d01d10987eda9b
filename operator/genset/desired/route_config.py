"""Makes of each route of a RoutePolicy what its routers are told of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genset.api.egress import Egress, EgressRecord
from genset.api.fault import FieldFault
from genset.api.local_share import WINDOW_SECONDS
from genset.api.match import Match
from genset.api.routepolicy import TO_CLOUD_ON, Route, RoutePolicy
from genset.api.sensitive import Sensitive
from genset.contracts.route_config import (
    ColdStartConfig,
    FailoverConfig,
    HeaderMatchConfig,
    LeftOutConfig,
    LocalShareConfig,
    MatchConfig,
    ResponseConfig,
    RouteConfig,
    SensitiveConfig,
    SensitivePatternConfig,
    WeightedBackend,
)
from genset.contracts.router_config import EgressConfig
from genset.desired.shape import shape_config
from genset.sensitive.detector import without_effect


def route_config(route: Route, known: set[str], left_out: Mapping[str, str]) -> RouteConfig:
    """Returns what routers are told of a route.

    `known`: names of the backends that they know. `left_out`: those of its tiers that are in no zone that it may use, and
    their zones.
    """
    known = known - left_out.keys()
    tiers = (
        tuple(WeightedBackend(backend=b.name, weight=b.weight) for b in tier.backends if b.name in known)
        for tier in route.tiers
    )
    failover = route.failover
    return RouteConfig(
        name=route.name,
        match=_match(route.match),
        tiers=tuple(tier for tier in tiers if tier),
        failover=FailoverConfig(
            first_token_seconds=failover.first_token_seconds,
            stall_seconds=failover.stall_seconds,
            total_seconds=failover.total_seconds,
            max_attempts=failover.max_attempts,
            continue_streams=failover.continue_streams,
            rebuild_answers=failover.rebuild_answers,
            to_cloud_on=TO_CLOUD_ON
            if failover.to_cloud_on is None
            else tuple(word.value for word in failover.to_cloud_on),
        ),
        cold_start=ColdStartConfig(mode=route.cold_start.mode.value, seconds=route.cold_start.seconds),
        when_full=route.when_full.value,
        response=ResponseConfig(model=route.response.model.value) if route.response is not None else None,
        local_share=LocalShareConfig(window_seconds=WINDOW_SECONDS[route.local_share.window])
        if route.local_share is not None
        else None,
        data_zones=tuple(sorted(route.data_zones)) if route.data_zones is not None else None,
        sensitive=_sensitive(route.sensitive),
        left_out=tuple(LeftOutConfig(backend=name, zone=zone) for name, zone in sorted(left_out.items())) or None,
    )


def country_faults(resource: RoutePolicy) -> Iterator[FieldFault]:
    """Yields countries by which nothing more is found: somebody relies on them."""
    for route in resource.spec.routes:
        said = route.sensitive
        if said is None or not said.countries:
            continue
        unknown = without_effect(tuple(kind.value for kind in said.detect), tuple(said.countries))
        if unknown:
            field = f"spec.routes[{route.name}].sensitive.countries"
            yield FieldFault(
                field,
                f"{field}: {', '.join(unknown)} has no effect, because none of detect ({', '.join(said.detect)}) knows such a "
                "country: write codes of ISO 3166 (GB, not UK; GR, not EL), or take it out",
            )


def egress_config(egress: Egress | None) -> EgressConfig | None:
    """Returns how routers write down what leaves the house; None if they do not."""
    if egress is None or egress.record is None:
        return None
    return EgressConfig(required=egress.record is EgressRecord.REQUIRED)


def _sensitive(sensitive: Sensitive | None) -> SensitiveConfig | None:
    if sensitive is None:
        return None
    return SensitiveConfig(
        detect=tuple(kind.value for kind in sensitive.detect),
        countries=tuple(sensitive.countries),
        patterns=tuple(SensitivePatternConfig(name=item.name, regex=item.regex) for item in sensitive.patterns),
        then=sensitive.then.value,
    )


def _match(match: Match) -> MatchConfig:
    return MatchConfig(
        models=tuple(match.models),
        max_input_tokens=match.max_input_tokens,
        headers=tuple(HeaderMatchConfig(name=header.name.lower(), value=header.value) for header in match.headers),
        shape=shape_config(match.shape),
    )
