"""What of a route's requests may not leave the house is found here, and what becomes of such a request is decided. Pure."""

from __future__ import annotations

from typing import Any, Final, final

from genset.contracts.route_config import RouteConfig, SensitiveConfig
from genset.contracts.router_config import RouterConfig
from genset.data_zones import HOUSE, ZoneRule
from genset.router.errors import ConfigRejected, ErrorAnswer, error
from genset.sensitive.detector import TOO_MUCH, UNREADABLE, detector
from genset.sensitive.engine import BadPattern

_WORDS: Final = {
    TOO_MUCH: "more text than is looked at",
    UNREADABLE: "what cannot be looked at (tokens instead of text, a recording, or a key twice in one object)",
}


@final
class SensitiveRule:
    """A sensitive rule belongs to one route. Raises ConfigRejected for a pattern that cannot be used."""

    __slots__ = ("_detector", "_refuses", "_route")

    def __init__(self, route: str, config: SensitiveConfig) -> None:
        self._route = route
        self._refuses = config.then == "Refuse"
        try:
            self._detector = detector(
                config.detect, config.countries, tuple((p.name, p.regex) for p in config.patterns)
            )
        except BadPattern as problem:
            raise ConfigRejected(f"routes[{route}].sensitive.patterns: {problem}; correct the expression") from problem

    def found(self, request: dict[str, Any]) -> tuple[str, ...]:
        """Returns what was found in a request, by name; nothing if it may go anywhere."""
        return self._detector.found(request)

    def zones(self, found: tuple[str, ...]) -> ZoneRule | ErrorAnswer:
        """Returns what a finding says of the zones of its request, or that it is refused."""
        if self._refuses:
            return self.refusal(found, "refuses it (sensitive.then Refuse)")
        return ZoneRule(f"route {self._route} (sensitive: found {told(found)})", frozenset((HOUSE,)))

    def refusal(self, found: tuple[str, ...], what: str) -> ErrorAnswer:
        """Returns the error of a request that is not answered for what was found in it."""
        return error(
            "policy_sensitive",
            f"the request holds {told(found)}, and route {self._route} {what}. Nothing was sent; take it out, or ask a model of "
            "the house",
        )


def told(found: tuple[str, ...]) -> str:
    """Says what was found, never what it was."""
    return " and ".join(_WORDS.get(name, name) for name in found)


def prepare(config: RouterConfig) -> None:
    """Makes what the rules of a configuration look with, which takes a second at the first time, so that it is there then.

    Raises ConfigRejected.
    """
    for route in config.routes:
        sensitive_rule(route)


def sensitive_rule(config: RouteConfig) -> SensitiveRule | None:
    """Returns the rule of a route; None if nothing is looked for, which costs its requests nothing."""
    return SensitiveRule(config.name, config.sensitive) if config.sensitive is not None else None
