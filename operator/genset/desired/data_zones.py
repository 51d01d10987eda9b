"""What is said of data zones for a policy: by the cluster, its namespace, itself and its routes. Pure.

The builder of configurations leaves out of each route what is in none of its zones, and of the configuration what no route
may ask: routers do not so much as look such a name up. The conditions say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from genset import names
from genset.api.access import ANONYMOUS, Access, AccessMode
from genset.api.fault import FieldFault
from genset.api.routepolicy import Route, RoutePolicy, zone_of
from genset.data_zones import HOUSE, ZoneRule, allowed, is_zone, told
from genset.data_zones import names as names_of
from genset.desired.context import Settings

UNREAD: Final = "its label may not be read by the operator"


def rules_above(resource: RoutePolicy, settings: Settings) -> list[ZoneRule]:
    """Returns what holds for every route of a policy."""
    found, metadata = [], resource.metadata
    if settings.data_zones:
        found.append(ZoneRule("the cluster (dataZones of genset's chart)", frozenset(settings.data_zones)))
    if (
        not settings.place.is_known
    ):  # what it forbids is not known: what nobody could read must not be looser than what it says
        found.append(ZoneRule(f"namespace {metadata.namespace} ({UNREAD})", frozenset((HOUSE,))))
    elif (label := settings.place.data_zones) is not None:
        zones = frozenset(zone for zone in label.split(".") if is_zone(zone))
        found.append(ZoneRule(f"namespace {metadata.namespace} (label {names.LABEL_DATA_ZONES})", zones))
    if resource.spec.data_zones is not None:
        said_by = f"RoutePolicy {metadata.namespace}/{metadata.name} (spec.dataZones)"
        found.append(ZoneRule(said_by, frozenset(resource.spec.data_zones)))
    if resource.spec.access is not None and (of_all := _of_anybody(resource.spec.access)) is not None:
        said_by = f"RoutePolicy {metadata.namespace}/{metadata.name} (spec.access: dataZones of all consumers together)"
        found.append(ZoneRule(said_by, of_all))
    return found


def _of_anybody(access: Access) -> frozenset[str] | None:
    """Returns the zones in which somebody's request may be answered; None if that is any: what is beyond them nobody reaches."""
    defaults = access.defaults.data_zones if access.defaults is not None else None
    each = [defaults if one.data_zones is None else one.data_zones for one in access.consumers]
    unnamed = access.mode == AccessMode.OPEN and all(one.name != ANONYMOUS for one in access.consumers)
    if unnamed or access.consumer_selector is not None or access.jwt is not None:
        each.append(defaults)
    found: set[str] = set()
    for zones in each:
        if zones is None:
            return None
        found.update(zones)
    return frozenset(found)


def shown(resource: RoutePolicy, settings: Settings) -> str:
    """Returns the zones that all routes of a policy may use, as its status tells them."""
    zones = allowed(rules_above(resource, settings))
    return "all" if zones is None else names_of(zones)


def rules_of(resource: RoutePolicy, route: Route, settings: Settings) -> list[ZoneRule]:
    """Returns everything that is said of the zones of a route."""
    above = rules_above(resource, settings)
    return above if route.data_zones is None else [*above, route_rule(route.name, route.data_zones)]


def route_rule(name: str, zones: list[str]) -> ZoneRule:
    """Returns the rule of a route."""
    return ZoneRule(f"route {name} (dataZones)", frozenset(zones))


def left_out(resource: RoutePolicy, route: Route, settings: Settings) -> dict[str, str]:
    """Returns the backends of a route that are in none of its zones, each with its own zone."""
    zones = allowed(rules_of(resource, route, settings))
    if zones is None:
        return {}
    known = {backend.name: zone_of(backend) for backend in resource.spec.backends}
    named = (backend.name for tier in route.tiers for backend in tier.backends)
    return {name: known[name] for name in named if known[name] not in zones}


def reachable(resource: RoutePolicy, settings: Settings) -> frozenset[str]:
    """Returns the backends that some route may ask, and those that no route names but some route might."""
    named, kept, zones = set(), set(), []
    for route in resource.spec.routes:
        of_route = {backend.name for tier in route.tiers for backend in tier.backends}
        named |= of_route
        kept |= of_route - left_out(resource, route, settings).keys()
        zones.append(allowed(rules_of(resource, route, settings)))
    unnamed = {
        backend.name
        for backend in resource.spec.backends
        if backend.name not in named and any(may is None or zone_of(backend) in may for may in zones)
    }
    return frozenset(kept | unnamed)


def faults(resource: RoutePolicy, settings: Settings) -> Iterator[FieldFault]:
    """Yields the routes that have no backend in their zones."""
    for route in resource.spec.routes:
        out = left_out(resource, route, settings)
        if all(backend.name in out for tier in route.tiers for backend in tier.backends):
            field = f"spec.routes[{route.name}]"
            there = ", ".join(f"{name} ({zone})" for name, zone in out.items())
            yield FieldFault(
                field,
                f"{field} has no backend in its data zones and answers 403: {told(rules_of(resource, route, settings))}; its "
                f"backends are {there}; add one in an allowed zone, or have the zones widened",
            )


def unread(resource: RoutePolicy, settings: Settings) -> Iterator[FieldFault]:
    """Yields that requests stay in the house because nobody knows what their namespace says."""
    if settings.place.is_known or all(zone_of(backend) == HOUSE for backend in resource.spec.backends):
        return
    yield FieldFault(
        "metadata.namespace",
        f"namespace {resource.metadata.namespace} may not be read by the operator, so what its label {names.LABEL_DATA_ZONES} "
        f"forbids is not known, and requests stay in zone {HOUSE}: let it get the namespace, as the roles of its chart do",
    )
