"""The reception takes whole requests: it answers what needs no backend, and finds a route and a place for the others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, final

from genset.contracts.router_config import LimitsConfig
from genset.router.backends.balance.prompt import beginning_of
from genset.router.backends.mask import Mask
from genset.router.dialects.client import ClientPath, ClientWriter, RefusedRequest
from genset.router.dialects.clients import CLIENT_PATHS
from genset.router.dialects.openai.api import PATHS, Api
from genset.router.dialects.tolerant import dumps
from genset.router.errors import BROKEN_SECONDS, UNCONFIGURED_SECONDS, ErrorAnswer, error
from genset.router.exchange.client_answer import ClientAnswer
from genset.router.exchange.exchange import Exchange
from genset.router.exchange.local_answers import LocalAnswer
from genset.router.exchange.record import Record
from genset.router.exchange.upstream_request import UpstreamRequest
from genset.router.http import bodies
from genset.router.http import trace_context as context
from genset.router.http.downstream import ClientConnection
from genset.router.http.request import DEADLINE_HEADER, Request, patience
from genset.router.http.request_id import request_id
from genset.router.http.rewritten import rewrite
from genset.router.machine.facts import Facts
from genset.router.machine.machine import RequestMachine
from genset.router.machine.patience import DEFAULT, Timeouts
from genset.router.routing.gate import ROUTER_FULL, Gate
from genset.router.routing.hops import HOPS_HEADER, refusal
from genset.router.routing.table import Plan, Table, answer_tokens, estimate_tokens
from genset.router.shared import Observer, Shared


class RequestObserver(Observer):
    """A request observer hears of all requests; metrics, the access log and traces stand behind it.

    `unlogged` says why requests must be refused for want of a log; empty if they need not.
    """

    @property
    @abstractmethod
    def unlogged(self) -> str: ...

    @abstractmethod
    def began(self, record: Record, mask: Mask) -> None:
        """A request that names a model has arrived. `mask` hides the router's own keys."""

    @abstractmethod
    def finished(self, record: Record, now: float) -> None:
        """A request that names a model has ended."""


@final
class Reception:
    """The reception knows the table of routes, the requests in work, and the gate that bounds their number.

    `table` is None until the first configuration was taken; `problem` says why the last one was not, if it was not.

    `chance` is uniform in [0, 1).
    """

    __slots__ = ("_chance", "_finished", "_observer", "_shared", "_timeouts", "exchanges", "gate", "problem", "table")

    def __init__(
        self, shared: Shared, observer: RequestObserver, chance: Callable[[], float], timeouts: Timeouts = DEFAULT
    ) -> None:
        self._shared = shared
        self._observer = observer
        self._chance = chance
        self._timeouts = timeouts
        self._finished = self.finished  # made once
        self.table: Table | None = None
        self.problem: str | None = None
        self.exchanges: set[Exchange] = set()
        self.gate: Gate[Exchange] = Gate(Exchange.begin, lambda then: shared.loop.call_soon(then), self._evict)

    def take(self, table: Table, limits: LimitsConfig) -> None:
        """Uses this configuration for the requests that come from here on."""
        self.table = table
        self.problem = None
        self.gate.set_limits(limits)

    def reject(self, problem: str) -> None:
        """Notes why a configuration was not taken. The table in force stays."""
        self.problem = problem

    def why_not_ready(self) -> str:
        """Returns why requests cannot be served; empty if they can."""
        if self._shared.draining:
            return "draining"
        if self.table is None:
            return f"no configuration: {self.problem}"
        return self._observer.unlogged

    def receive(self, client: ClientConnection, request: Request) -> None:
        """Takes one whole request."""
        identity = request_id(request.headers.get(b"x-request-id"))
        api = PATHS.get(request.path)
        table, unlogged = self.table, self._observer.unlogged
        if unlogged:
            answer = error("router_log_unavailable", unlogged, retry_after=BROKEN_SECONDS)
        elif api is None or request.method != b"POST":
            spoken = CLIENT_PATHS.get(request.path) if request.method == b"POST" else None
            if spoken is not None:
                self._receive_other(client, request, identity, spoken)
                return
            known = table.catalogue if table is not None else {}
            LocalAnswer(self._shared, client, request, identity).other(known, self.why_not_ready())
            return
        elif table is None:
            answer = self._unconfigured()
        else:
            parsed = self._parsed(client, request)
            if not isinstance(parsed, ErrorAnswer):
                self._begin(client, request, identity, api, parsed, parsed["model"], table)
                return
            answer = parsed
        LocalAnswer(self._shared, client, request, identity).error(answer)

    def _unconfigured(self) -> ErrorAnswer:
        why = f"no configuration yet: {self.problem}"
        return error("router_not_configured", why, retry_after=UNCONFIGURED_SECONDS)

    def _parsed(self, client: ClientConnection, request: Request) -> Any:
        """Returns the JSON object of a body that names a model, or the error that its client gets."""
        parsed: Any = client.unpack(request) if request.coding else None
        if parsed is None:
            parsed = bodies.parsed(request.body, self._shared.configured.room_bytes, self._shared.budget.taken)
        if isinstance(parsed, ErrorAnswer):
            return parsed
        model = parsed.get("model") if isinstance(parsed, dict) else None
        if isinstance(model, str) and model:
            return parsed
        return error("caller_missing_model", "the body must be a JSON object with a model name in `model`")

    def _receive_other(self, client: ClientConnection, request: Request, identity: bytes, spoken: ClientPath) -> None:
        """Takes a request in another API than OpenAI's chat: from here on it is one of OpenAI's, with a writer of its own."""
        table, local = self.table, LocalAnswer(self._shared, client, request, identity)
        if table is None:
            local.error(self._unconfigured())
            return
        parsed = self._parsed(client, request)
        if isinstance(parsed, ErrorAnswer):
            local.error(parsed)
            return
        try:
            if spoken.counts:
                chat = spoken.dialect.counted(parsed)
            else:
                chat, writer = spoken.dialect.request(parsed, self._shared.wall())
        except RefusedRequest as refused:
            local.error(refused.answer())
            return
        tokens, model = estimate_tokens(chat), parsed["model"]
        if spoken.counts:
            plan = table.plan(model, tokens, 0, request.headers, self._chance, Api.CHAT.task)
            if isinstance(plan, ErrorAnswer) and plan.kind.word == "policy_model_not_found":
                local.error(plan)
            else:
                local.told(spoken.dialect.count(tokens))
            return
        writer.expects(tokens)
        try:
            rewrite(self._shared, request, dumps(chat))
        except (TypeError, ValueError):
            local.error(error("caller_bad_request", "the body is nested too deeply (more than 250 levels)"))
            return
        self._begin(client, request, identity, Api.CHAT, chat, model, table, spoken.asked, writer)

    def _begin(
        self,
        client: ClientConnection,
        request: Request,
        identity: bytes,
        api: Api,
        parsed: dict[str, Any],
        model: str,
        table: Table,
        asked_as: str = "",
        writer: ClientWriter | None = None,
    ) -> None:
        """Begins a request that names a model: it has a record, and if a route takes it an exchange, from here on.

        `asked_as` and `writer` are those of a client that speaks another API than OpenAI's.
        """
        shared, headers = self._shared, request.headers
        configured = shared.configured
        now = shared.now()
        stream = api.streams and parsed.get("stream") is True
        record = Record(
            identity, client.address, headers, asked_as or api.asked, api.operation, model, now, stream=stream
        )
        if model in table.named:
            record.named = model
        record.trace = context.take(headers)
        self._observer.began(record, configured.mask)
        tokens = estimate_tokens(parsed)
        looped = refusal(headers.get(HOPS_HEADER), configured.site)
        plan = looped or table.plan(model, tokens, answer_tokens(parsed), headers, self._chance, api.task)
        answer = ClientAnswer(shared, client, request, identity, writer, stream=stream)
        if isinstance(plan, ErrorAnswer):
            keep = answer.error(None, plan)
            record.ended(plan.status, plan.kind.word)
            self._observer.finished(record, now)
            client.finish(keep, now)
            return
        machine = self._machine(plan, record, request, api, parsed, tokens)
        record.route, record.routed = plan.route.name, machine
        asked = UpstreamRequest(request, identity, api, parsed, machine, writer, stream=stream)
        exchange = Exchange(shared, record, machine, asked, answer, self._finished)
        client.begin(exchange, now)
        self.exchanges.add(exchange)
        exchange.placed = record.placed = True
        if not self.gate.enter(exchange, now, request.payer):
            exchange.placed = record.placed = False
            exchange.give_up(ROUTER_FULL)
        asked.forget_tree()

    def _machine(
        self, plan: Plan, record: Record, request: Request, api: Api, parsed: dict[str, Any], tokens: int
    ) -> RequestMachine:
        route = plan.route
        facts = Facts(
            plan.candidates,
            route.failover,
            record.received + patience(request.headers.get(DEADLINE_HEADER), route.total_seconds),
            streams=record.stream,
            input_tokens=tokens,
            random=self._chance,
            cold_start=route.cold_start,
            origin=request.payer,
            path=api.path,
            body=request.body,
            prompt=beginning_of(parsed, route.prefix_tokens) if route.reads_prompt else None,
            wait_when_full=route.wait_when_full,
            timeouts=self._timeouts,
        )
        return RequestMachine(facts, plan.skipped)

    def finished(self, exchange: Exchange, now: float) -> None:
        """Frees the place of an exchange that has ended, and tells of it."""
        self.exchanges.discard(exchange)
        self._observer.finished(exchange.record, now)
        self._leave(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """Cuts off the client of an exchange that cannot be ended in any other way."""
        self.exchanges.discard(exchange)
        exchange.abandon()
        self._leave(exchange)

    def stood_still(self, seconds: float) -> None:
        """Adds the seconds that the clock has skipped to what requests took, because their clients have waited."""
        for exchange in self.exchanges:
            exchange.record.stood_still(seconds)

    def _leave(self, exchange: Exchange) -> None:
        if exchange.placed:
            exchange.placed = False
            self.gate.leave(exchange, exchange.machine.facts.origin)

    def _evict(self, exchange: Exchange) -> None:
        self._observer.made_way("line", 1)
        exchange.give_up(ROUTER_FULL)
