"""Counters and histograms of the router: plain numbers on the hot path, rendered by `exposition`.

Labels are names from the configuration and words of closed vocabularies, never a client's input.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from genset.router.genai import NOBODY, Key, Use
from genset.router.numbers import ADDED_SECONDS, BackendNumbers, Histogram

if TYPE_CHECKING:
    from genset.router.wire.exchange import Exchange


class Metrics:
    """All numbers of this process."""

    def __init__(self) -> None:
        self._backends: dict[str, BackendNumbers] = {}
        self.answers: defaultdict[tuple[str, int, str], int] = defaultdict(int)  # route, status, error word
        self.failovers: defaultdict[tuple[str, str, str], int] = defaultdict(int)  # route, backend that answered, why
        self.continuations: defaultdict[str, int] = defaultdict(int)  # broken streams, by outcome
        self.refused: defaultdict[str, int] = defaultdict(int)  # before a request was whole, by error word
        self.uses: defaultdict[Key, Use] = defaultdict(Use)
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

    def finished(self, exchange: Exchange, status: int, word: str, now: float) -> None:
        """Books a request that has ended: with `word`, or with a whole answer where that is empty."""
        self.answers[(exchange.route, status, word)] += 1
        seconds = now - exchange.received
        first = exchange.first_token - exchange.received if exchange.first_token else 0.0
        machine = exchange.machine
        candidate = machine.candidate if machine is not None else None
        if candidate is None or machine is None:
            asked = NOBODY
        else:
            backend = candidate.backend
            asked = backend.asked
            numbers = backend.numbers
            prompt, completion = exchange.tokens
            numbers.prompt_tokens += prompt
            numbers.tokens += completion
            if first:
                numbers.first_token.observe(first)
            if not word:
                numbers.requests += 1
                numbers.duration.observe(seconds)
                if candidate.tier > 0:
                    self.failovers[(exchange.route, backend.name, machine.reason)] += 1
            if exchange.sent_at:
                self.added_request.observe(exchange.sent_at - exchange.received)
                if exchange.held:
                    self.added_answer.observe(exchange.held)
        streamed = 0.0 if exchange.in_one_piece else first
        self.uses[exchange.operation, exchange.named, asked].book(word, seconds, streamed, exchange.tokens)
