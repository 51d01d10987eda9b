"""Telemetry tells metrics, access log and traces of requests; nothing else knows all three."""

from __future__ import annotations

from typing import final

from genset.router.backends.backend import Backend
from genset.router.backends.mask import Mask
from genset.router.budgets.budget_book import BudgetBook
from genset.router.errors import ErrorAnswer
from genset.router.exchange.reception import RequestObserver
from genset.router.exchange.record import Record
from genset.router.exchange.spending import own_spending
from genset.router.shared import Unrouted
from genset.router.telemetry.journal import Journal
from genset.router.telemetry.metrics import Metrics
from genset.router.telemetry.usage_book import UsageBook
from genset.router.telemetry.wanted import Traces


@final
class Telemetry(RequestObserver):
    """Telemetry is what is kept and reported of the requests of one router."""

    __slots__ = ("budgets", "journal", "metrics", "traces", "usage")

    def __init__(self, metrics: Metrics, journal: Journal, traces: Traces) -> None:
        self.metrics = metrics
        self.journal = journal
        self.traces = traces
        self.usage: UsageBook | None = None  # None: nobody keeps records of what requests use
        self.budgets: BudgetBook | None = None  # None: anything may be spent

    def keep_usage(self, usage: UsageBook | None) -> None:
        """Takes the book of usage records, as a configuration wants it."""
        self.usage = usage

    def keep_budgets(self, budgets: BudgetBook | None) -> None:
        """Takes the budgets that the router's own requests count in, too."""
        self.budgets = budgets

    @property
    def unlogged(self) -> str:
        return self.journal.unlogged

    def began(self, record: Record, mask: Mask) -> None:
        tracing = self.traces.tracing
        if tracing is not None:
            tracing.begin(record, mask)

    def finished(self, record: Record, now: float) -> None:
        self.metrics.finished(record, now)
        self.journal.ended(record, now)
        if record.span is not None:
            record.span.end(record, now)
        if self.usage is not None:
            self.usage.ended(record, now, record.drill)

    def drilled(self, record: Record, now: float, drill: str) -> None:
        """Books what a request of a drill has used. It is nobody's, so metrics and the log tell nothing of it."""
        if record.spending is not None:
            self.metrics.spent(record.route, record.spending)
        if self.usage is not None:
            self.usage.ended(record, now, drill)

    def paid(self, backend: Backend, path: str, body: bytes) -> None:
        """Books what a cloud has answered to the router itself, for no client: a suspicion was settled, or it is back."""
        target = backend.target
        if self.usage is None and target.price is None and not target.provider.tells_cost:
            return
        spending = own_spending(backend, path, body)
        if self.budgets is not None:
            for spent in spending.attempts:
                spent.counts_in(self.budgets.own(backend, spent.cost, spent.currency))
        self.metrics.spent("", spending)
        if self.usage is not None:
            self.usage.own(spending, path)

    def refused(self, request: Unrouted) -> None:
        if request.error is not None:
            self.metrics.refused[request.error.kind.word] += 1
        self.journal.unrouted(request)

    def answered(self, request: Unrouted) -> None:
        if request.error is not None:
            self.metrics.answered("", request.status, request.error.kind.word)
        self.journal.unrouted(request)

    def failed(self, record: Record, answer: ErrorAnswer) -> None:
        """Books a request with which the router failed, and which it could not even end in the usual way."""
        self.metrics.answered(record.route, answer.status, answer.kind.word)
        told = Unrouted(record.peer, record.headers, record.identity, record.asked, answer.status, answer)
        self.journal.unrouted(told)
        if self.usage is not None:
            record.ended(answer.status, answer.kind.word)
            self.usage.ended(record, record.received)

    def flush(self) -> None:
        """Hands lines to the access log; called ten times a second."""
        self.metrics.log_lines_dropped += self.journal.flush()

    def made_way(self, what: str, count: int) -> None:
        self.metrics.made_way[what] += count

    def continued(self, outcome: str) -> None:
        self.metrics.continuations[outcome] += 1

    async def close(self) -> None:
        """Sends and writes what is left."""
        await self.traces.close()
        self.journal.close()
