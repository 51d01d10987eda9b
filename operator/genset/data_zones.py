"""Data zones say where a request may be answered: every backend is in one, and rules name those that are allowed.

Rules stand on the cluster, a namespace, a policy, a route, a consumer and a single request. What they allow together is
their intersection: each can tighten, none can loosen. If nobody says anything, every zone is allowed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

HOUSE: Final = "house"  # of deployments
WORLD: Final = "world"  # of clouds of which nothing is said
ZONE: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
ZONE_CHARACTERS: Final = 32
MOST_ZONES: Final = 16  # that one rule names
_ZONE: Final = re.compile(ZONE)


class ZoneRule(NamedTuple):
    """A zone rule is what one object says of data zones. `said_by` names the object and the field, in words for people."""

    said_by: str
    zones: frozenset[str]


def is_zone(name: str) -> bool:
    """Returns whether a name can be that of a zone."""
    return len(name) <= ZONE_CHARACTERS and _ZONE.fullmatch(name) is not None


def allowed(rules: Iterable[ZoneRule]) -> frozenset[str] | None:
    """Returns the zones that all rules allow; None if there is no rule, which allows all."""
    found: frozenset[str] | None = None
    for rule in rules:
        found = rule.zones if found is None else found & rule.zones
    return found


def told(rules: Sequence[ZoneRule]) -> str:
    """Says which object allows which zones."""
    return " and ".join(f"{rule.said_by} allows {names(rule.zones)}" for rule in rules)


def names(zones: Iterable[str]) -> str:
    """Says which zones these are."""
    return ", ".join(sorted(zones)) or "none"
