"""Metrics are counters and histograms of the router: plain numbers on the hot path, rendered by `exposition`.

Labels are names from the configuration and words of closed vocabularies, never a client's input.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from genset.contracts.router_config import RouterConfig
from genset.contracts.usage_records import UNKNOWN
from genset.data_zones import HOUSE
from genset.router.backends.histograms import ADDED_SECONDS, BackendNumbers, Histogram
from genset.router.backends.use import NOBODY, BackendLabels, Use, UseKey, WritingPace
from genset.router.exchange.record import Record
from genset.router.exchange.spending import Spending
from genset.router.telemetry.load import Load
from genset.router.telemetry.local_share import CountedShare


class Metrics:
    """The metrics are all numbers of this process."""

    def __init__(self) -> None:
        self._backends: dict[str, BackendNumbers] = {}
        self.whole_answers: dict[str, int] = {}  # by route
        self.other_answers: dict[tuple[str, int, str], int] = {}  # by route, status, error word
        self.failovers: defaultdict[tuple[str, str, str], int] = defaultdict(int)  # by route, backend, reason
        self.continuations: defaultdict[str, int] = defaultdict(int)  # of broken streams, by outcome
        self.refused: defaultdict[str, int] = defaultdict(int)  # before a request was complete, by error word
        self.made_way = {"body": 0, "connection": 0, "line": 0}  # others for a client, by what was scarce
        self.sensitive: defaultdict[str, int] = defaultdict(int)  # requests, by what was found in them
        #: Counted as `pricing.money` does, by route, backend, currency, and whose word the price is.
        self.cost: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
        self.unpriced: defaultdict[tuple[str, str], int] = defaultdict(int)  # attempts, by route and backend
        self.avoided: dict[tuple[str, str], int] = {}  # by route and currency
        self.given: dict[str, int] = {}  # tokens of whole answers, by route
        self.load = Load()
        self.shares: dict[str, CountedShare] = {}  # by route; of those whose local share somebody wants to know
        self.uses: dict[UseKey, Use] = {}
        self.added_request = Histogram(ADDED_SECONDS)
        self.added_answer = Histogram(ADDED_SECONDS)
        self.loop_lag = Histogram(ADDED_SECONDS)
        self.spans = {"exported": 0, "lost": 0}  # counted by the exporter's thread
        self.reloads = 0
        self.reload_failures = 0
        self.log_lines_dropped = 0

    def backend(self, name: str) -> BackendNumbers:
        found = self._backends.get(name)
        if found is None:
            found = self._backends[name] = BackendNumbers()
        return found

    @property
    def backends(self) -> dict[str, BackendNumbers]:
        return self._backends

    def use(self, operation: str, model: str, asked: BackendLabels) -> Use:
        """Returns the numbers of these labels; they outlive the backend's configuration."""
        found = self.uses.get((operation, model, asked))
        if found is None:
            numbers = self.backend(asked.backend) if asked is not NOBODY else None
            found = self.uses[operation, model, asked] = Use(numbers)
        return found

    def took(self, config: RouterConfig) -> None:
        """Counts a configuration that was taken. What was counted of a route's share goes on if its window stays."""
        self.reloads += 1
        before, self.shares = self.shares, {}
        for route in config.routes:
            if route.local_share is not None:
                known, window = before.get(route.name), float(route.local_share.window_seconds)
                self.shares[route.name] = (
                    known if known is not None and known.window == window else CountedShare(window)
                )

    def rejected(self) -> None:
        """Counts a configuration that was refused."""
        self.reload_failures += 1

    def answered(self, route: str, status: int, word: str) -> None:
        """Counts an answer; `route` is empty if none took the request, `word` for whole answers, whose status is 200."""
        if not word:
            self.whole_answers[route] = self.whole_answers.get(route, 0) + 1
            return
        key: Any = (route, status, word)  # made once: mypyc takes a typed tuple apart and rebuilds it for each use
        self.other_answers[key] = self.other_answers.get(key, 0) + 1

    def look(self, now: float) -> None:
        """Looks at the load if it is time; called once a second."""
        if self.load.is_due(now):
            self.load.sample(now, self.given, self.paces())

    def paces(self) -> dict[str, WritingPace]:
        """Returns how fast each backend has written its whole answers, by name."""
        found: dict[str, WritingPace] = {}
        for (_, _, labels), use in self.uses.items():
            if labels.backend:
                known = found.get(labels.backend, WritingPace(0, 0.0))
                found[labels.backend] = WritingPace(
                    known.answers + sum(use.per_token.counts), known.seconds + use.per_token.sum
                )
        return found

    def answers(self) -> dict[tuple[str, int, str], int]:
        """Returns how many answers there were, by route, status and error word."""
        return {**{(route, 200, ""): count for route, count in self.whole_answers.items()}, **self.other_answers}

    def spent(self, route: str, spending: Spending) -> None:
        """Books what a request has cost, attempt by attempt, and what it has avoided."""
        if spending.outside:
            for one in spending.attempts:
                if one.cost is not None and one.currency:
                    self.cost[(route, one.candidate.backend.name, one.currency, one.source)] += one.cost
                elif one.source == UNKNOWN:
                    self.unpriced[(route, one.candidate.backend.name)] += one.cost is None
        if spending.avoided is not None:
            key: Any = (route, spending.avoided_currency)
            self.avoided[key] = self.avoided.get(key, 0) + spending.avoided

    def finished(self, record: Record, now: float) -> None:
        """Books a request that has ended: with its error word, or as a whole answer if that is empty."""
        word = record.word
        if record.spending is not None:
            self.spent(record.route, record.spending)
        self.answered(record.route, record.status, word)
        received = record.received
        first = record.first_token - received if record.first_token and not record.in_one_piece else 0.0
        for name in record.sensitive:
            self.sensitive[name] += 1
        prompt, completion = record.tokens
        machine = record.routed
        candidate = machine.candidate if machine is not None else None
        if candidate is None:
            use = self.use(record.operation, record.named, NOBODY)
        else:
            backend = candidate.backend
            numbers = backend.numbers
            numbers.used(prompt, max(0, completion - record.booked))
            labels = record.operation, record.named
            uses = backend.uses
            found = uses.known.get(labels)
            if found is None:
                found = uses.known[labels] = self.use(*labels, uses.asked)
            use = found
            if word:
                if first:
                    numbers.first_token.observe(first)
            else:
                numbers.answered()
                self.given[record.route] = self.given.get(record.route, 0) + completion
                if self.shares and (share := self.shares.get(record.route)) is not None:
                    share.count(now, house=candidate.zone == HOUSE)
                if candidate.tier > 0 and machine is not None:
                    self.failovers[(record.route, backend.name, machine.reason)] += 1
            if record.sent_at:
                self.added_request.observe(record.sent_at - received)
                if record.held:
                    self.added_answer.observe(record.held)
        if word:
            use.failed(word, now - received)
        else:
            use.answered(now - received, first, prompt, completion)
