"""A plan is what is decided of a request before anybody is asked: its route, and who are the candidates. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from genset.data_zones import ZoneRule, allowed
from genset.router.errors import ErrorAnswer
from genset.router.machine.decisions import Candidate
from genset.router.routing.route import Route
from genset.router.routing.zones import header_line, no_backend


@final
class Plan:
    """A plan is what POLICY decided: a route and its frozen list of candidates.

    `skipped`: why a better one is missing. `zones_line`: see Facts.
    """

    __slots__ = ("_more", "candidates", "route", "skipped", "zones_line")

    def __init__(self, route: Route, candidates: list[Candidate], skipped: str = "") -> None:
        self.route = route
        self.candidates = candidates
        self.skipped = skipped
        self.zones_line = route.zones.line
        self._more: tuple[ZoneRule, ...] = ()  # rules beyond those of the route

    def leave_out(self, candidates: Sequence[Candidate]) -> bool:
        """Takes these candidates off the list. Returns whether any is left."""
        self.candidates = [one for one in self.candidates if one not in candidates]
        return bool(self.candidates)

    def go_through(self, candidates: list[Candidate]) -> None:
        """Takes these candidates instead: the same ones, some of them as a drill has them."""
        self.candidates = candidates

    @property
    def rules(self) -> tuple[ZoneRule, ...]:
        """Returns all that is said of its zones."""
        return (*self.route.zones.rules, *self._more)

    def keep_in(self, rules: list[ZoneRule]) -> ErrorAnswer | None:
        """Takes the candidates off the list that are not in the zones of these rules, too; the error if none is left."""
        if not rules:
            return None
        route, there = self.route, self.candidates
        if len(rules) == 1 and not self._more:  # that of a consumer, which holds for one request after the other
            zones: frozenset[str] | None = rules[0].zones
            self.zones_line = route.zones.line_within(rules[0])
            self._more = (rules[0],)
        else:
            zones = allowed(rules)
            self._more = (*self._more, *rules)
            self.zones_line = header_line(allowed(self.rules))
        self.candidates = [candidate for candidate in there if zones is None or candidate.zone in zones]
        if self.candidates:
            if self.candidates[0].tier > there[0].tier:
                self.skipped = "data_zone"
            return None
        found = {candidate.backend.name: candidate.zone for candidate in there}
        return no_backend(route.name, self.rules, {**route.zones.left_out, **found})
