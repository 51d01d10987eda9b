"""Data zones take candidates off the list of a request before any backend is asked. Pure.

What holds for a whole route is settled when the table is made; only what a request itself says, or what is found in it,
costs at its time. Later steps only shrink the list, so whatever is retried, continued or waited for stays in its zones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, final

from genset.contracts.backend_config import BackendConfig
from genset.contracts.route_config import LeftOutConfig, RouteConfig
from genset.contracts.router_config import RouterConfig
from genset.data_zones import MOST_ZONES, ZoneRule, allowed, is_zone, names, told
from genset.router.errors import ErrorAnswer, error
from genset.router.routing.sensitive import SensitiveRule, sensitive_rule

_LINES_KEPT: Final = 64  # of each route: clients may say what they like
ZONES_HEADER: Final = b"x-genset-data-zones"
_SAID_BY: Final = f"the header {ZONES_HEADER.decode()} of the request"
_MALFORMED: Final = (
    f"the header {ZONES_HEADER.decode()} is malformed: name 1 to {MOST_ZONES} data zones with commas between them, e.g. "
    "house, eu"
)


@final
class RouteZones:
    """A route's zones are what cluster, namespace, policy and route say, which of its backends that leaves out, and what of a
    request keeps it in the house.

    `left_out`: names of backends with their zones. `line`: the header line that tells another site of the zones. What requests
    and consumers say again and again is kept.
    """

    __slots__ = ("_lines", "left_out", "line", "rules", "sensitive")

    def __init__(
        self, rules: Sequence[ZoneRule], left_out: Mapping[str, str], sensitive: SensitiveRule | None = None
    ) -> None:
        self.rules: Final = tuple(rules)
        self.left_out: Final = dict(left_out)
        self.line: Final = header_line(allowed(rules))
        self.sensitive: Final = sensitive
        self._lines: dict[frozenset[str], bytes] = {}

    def line_within(self, rule: ZoneRule) -> bytes:
        """Returns the header line of a request of this route for which one more rule holds."""
        line = self._lines.get(rule.zones)
        if line is None:
            line = header_line(allowed((*self.rules, rule)))
            if len(self._lines) >= _LINES_KEPT:
                self._lines.clear()
            self._lines[rule.zones] = line
        return line

    def refusal(self, route: str) -> ErrorAnswer | None:
        """Returns what a route says whose backends are all left out; None if it never had one."""
        return no_backend(route, self.rules, self.left_out) if self.left_out else None


def reachable(config: RouterConfig) -> RouterConfig:
    """Returns the configuration without backends that no route may ask, as the operator writes it: nobody gets their keys, probes
    them or looks their names up, whoever wrote the file. A backend that no route names stays if some route's zones allow it.
    """
    above = [said.rule for said in config.data_zones or ()]
    known = {backend.name: backend for backend in config.backends}
    zones = {route.name: zones_of(route, above, known) for route in config.routes}
    named = {(route.name, one.backend) for route in config.routes for tier in route.tiers for one in tier}
    kept = {name for route, name in named if name not in zones[route].left_out}
    unnamed = known.keys() - {name for _, name in named}
    may = [allowed(of_route.rules) for of_route in zones.values()]
    kept |= {name for name in unnamed if any(some is None or known[name].zone in some for some in may)}
    if len(kept) == len(known):
        return config
    routes = tuple(_without(route, kept, zones[route.name].left_out) for route in config.routes)
    return config.model_copy(update={"backends": tuple(b for b in config.backends if b.name in kept), "routes": routes})


def _without(route: RouteConfig, kept: Collection[str], left_out: Mapping[str, str]) -> RouteConfig:
    """Returns a route that names only backends that are kept, and tells the zones of the others."""
    tiers = (tuple(one for one in tier if one.backend in kept) for tier in route.tiers)
    out = tuple(LeftOutConfig(backend=name, zone=zone) for name, zone in left_out.items())
    return route.model_copy(update={"tiers": tuple(tier for tier in tiers if tier), "left_out": out or None})


def zones_of(config: RouteConfig, above: Sequence[ZoneRule], backends: Mapping[str, BackendConfig]) -> RouteZones:
    """Returns the zones of a route. `above`: what holds for all routes."""
    rules = list(above)
    if config.data_zones is not None:
        rules.append(ZoneRule(f"route {config.name} (dataZones)", frozenset(config.data_zones)))
    out = {item.backend: item.zone for item in config.left_out or ()}
    zones = allowed(rules)
    if zones is not None:
        named = (backends[weighted.backend] for tier in config.tiers for weighted in tier)
        out.update((backend.name, backend.zone) for backend in named if backend.zone not in zones)
    return RouteZones(rules, out, sensitive_rule(config))


def asked_zones(header: bytes) -> ZoneRule | ErrorAnswer:
    """Returns what a request says of its zones; the error if that cannot be read, because a guess might let it out."""
    zones = [zone.strip() for zone in header.decode("latin-1").split(",")]
    if len(zones) > MOST_ZONES or not all(is_zone(zone) for zone in zones):
        return error("caller_bad_request", _MALFORMED)
    return ZoneRule(_SAID_BY, frozenset(zones))


def no_backend(route: str, rules: Sequence[ZoneRule], there: Mapping[str, str]) -> ErrorAnswer:
    """Returns the error of a request that no backend may answer. `there`: the backends by name, with their zones."""
    found = ", ".join(f"{name} ({zone})" for name, zone in sorted(there.items()))
    return error(
        "policy_data_zone",
        f"route {route} has no backend in the data zones of this request: {told(rules)}; its backends are {found}. Nothing was "
        "sent; ask a model that is answered there, or have the zones widened",
    )


def header_line(zones: frozenset[str] | None) -> bytes:
    """Returns the header line by which another site's router keeps the request in the same zones; none if all are allowed."""
    return b"%b: %b\r\n" % (ZONES_HEADER, names(zones).encode()) if zones is not None else b""
