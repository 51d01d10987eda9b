"""The reception takes whole requests: it answers what needs no backend, and finds a route and a place for the others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, final

from genset.contracts.router_config import LimitsConfig
from genset.router.access.consumer import Consumer
from genset.router.access.consumers import Consumers
from genset.router.access.limit_headers import limit_lines
from genset.router.backends.balance.prompt import beginning_of
from genset.router.backends.mask import Mask
from genset.router.budgets.purse import Purse
from genset.router.dialects.anthropic.client import speaks
from genset.router.dialects.client import ClientPath, ClientWriter, NativeCall, RefusedRequest
from genset.router.dialects.clients import CLIENT_PATHS
from genset.router.dialects.counting import CountWriter
from genset.router.dialects.openai.api import PATHS, Api
from genset.router.dialects.openai.renamed import RenamedWriter
from genset.router.dialects.tolerant import dumps
from genset.router.errors import BROKEN_SECONDS, UNCONFIGURED_SECONDS, ErrorAnswer, error
from genset.router.exchange.client_answer import ClientAnswer
from genset.router.exchange.decision import decide
from genset.router.exchange.diversion import Diversion
from genset.router.exchange.exchange import Exchange
from genset.router.exchange.expected import purse_of
from genset.router.exchange.local_answers import LocalAnswer, needs_no_key
from genset.router.exchange.record import Record
from genset.router.exchange.spending import Spending
from genset.router.exchange.spoken import Spoken
from genset.router.exchange.upstream_request import UpstreamRequest
from genset.router.http import bodies
from genset.router.http import trace_context as context
from genset.router.http.downstream import ClientConnection
from genset.router.http.multipart import NoFormError, form_of
from genset.router.http.request import Request, patience
from genset.router.http.request_id import request_id
from genset.router.http.rewritten import rewrite
from genset.router.machine.facts import Facts
from genset.router.machine.machine import RequestMachine
from genset.router.machine.patience import DEFAULT, Timeouts
from genset.router.routing.gate import ROUTER_FULL, Gate
from genset.router.routing.hops import HOPS_HEADER, refusal
from genset.router.routing.plan import Plan
from genset.router.routing.table import Table, answer_tokens, estimate_tokens
from genset.router.shared import Observer, Shared

_TOO_DEEP: Final = error("caller_bad_request", "the body is nested too deeply (more than 250 levels)")


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

    __slots__ = (
        "_chance", "_diversion", "_finished", "_observer", "_shared", "_timeouts", "exchanges", "gate", "problem", "table",
    )  # fmt: skip

    def __init__(
        self, shared: Shared, observer: RequestObserver, chance: Callable[[], float], timeouts: Timeouts = DEFAULT
    ) -> None:
        self._shared = shared
        self._observer = observer
        self._chance = chance
        self._timeouts = timeouts
        self._diversion: Diversion | None = None  # a live drill
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

    def divert(self, diversion: Diversion | None) -> None:
        """Lets a live drill have its share of the requests that come from here on; None: there is none any more."""
        self._diversion = diversion

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
        consumers, unknown = self._shared.configured.consumers, None
        if consumers is not None and request.consumer is None:  # those of a body are known since its head
            unknown = self._introduce(consumers, request)
        if unlogged:
            answer = error("router_log_unavailable", unlogged, retry_after=BROKEN_SECONDS)
        elif consumers is not None and unknown is not None:
            local = LocalAnswer(self._shared, client, request, identity)
            client.turn_away(consumers, unknown, request.payer, local.error, local.left)
            return
        elif api is None or request.method != b"POST":
            spoken = CLIENT_PATHS.get(request.path) if request.method == b"POST" else None
            if spoken is not None:
                self._receive_other(client, request, identity, spoken)
                return
            known = table.listed() if table is not None else {}
            LocalAnswer(self._shared, client, request, identity).other(known, self.why_not_ready())
            return
        elif table is None:
            answer = self._unconfigured()
        else:
            parsed = self._form(client, request) if api.form else self._parsed(client, request, api, table)
            if not isinstance(parsed, ErrorAnswer):
                self._begin(client, request, identity, api, parsed, parsed["model"], table)
                return
            answer = parsed
        LocalAnswer(self._shared, client, request, identity).error(answer)

    def _introduce(self, consumers: Consumers, request: Request) -> ErrorAnswer | None:
        """Finds out who asks. Returns the error for somebody who may not."""
        found = consumers.who(request.headers)
        if isinstance(found, ErrorAnswer):
            return None if needs_no_key(request) else found
        request.is_from(found)
        return None

    def _unconfigured(self) -> ErrorAnswer:
        why = f"no configuration yet: {self.problem}"
        return error("router_not_configured", why, retry_after=UNCONFIGURED_SECONDS)

    def _parsed(
        self, client: ClientConnection, request: Request, api: Api | None = None, table: Table | None = None
    ) -> Any:
        """Returns the JSON object of a body that names a model, or the error that its client gets."""
        parsed: Any = client.unpack(request) if request.coding else None
        if parsed is None:
            parsed = bodies.parsed(request.body, self._shared.configured.room_bytes, self._shared.budget.taken)
        if isinstance(parsed, ErrorAnswer):
            return parsed
        model = parsed.get("model") if isinstance(parsed, dict) else None
        if isinstance(model, str) and model:
            return parsed
        if api is Api.MODERATIONS and table is not None and isinstance(parsed, dict) and model is None:
            return self._moderation(request, parsed, table)
        return error("caller_missing_model", "the body must be a JSON object with a model name in `model`")

    def _moderation(self, request: Request, parsed: dict[str, Any], table: Table) -> Any:
        """Returns a moderation that names no model with the one that it stands for, or the error that its client gets."""
        consumer = request.consumer
        found = table.moderating(consumer.models if consumer is not None else None)
        if isinstance(found, ErrorAnswer):
            return found
        named = {**parsed, "model": found}
        try:
            rewrite(self._shared, request, dumps(named))
        except (TypeError, ValueError):
            return _TOO_DEEP
        return named

    def _form(self, client: ClientConnection, request: Request) -> Any:
        """Returns what is to be known of a form with a file, or the error that its client gets."""
        refused: ErrorAnswer | None = client.unpack(request) if request.coding else None
        if refused is not None:
            return refused
        try:
            return {"model": form_of(request.headers.get(b"content-type", b""), request.body).model}
        except NoFormError as problem:
            return error("caller_missing_model" if problem.missing else "caller_bad_request", str(problem))

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
        if spoken.counts:
            self._count(client, request, identity, spoken, parsed, table)
            return
        dialect = spoken.dialect
        native = dialect.native(parsed, request.body, request.headers) if dialect.wire in table.wires else None
        try:
            chat, writer = dialect.request(parsed, self._shared.wall())
        except RefusedRequest as refused:
            if native is None:
                local.error(refused.answer())
                return
            native.bind(refused)  # whoever speaks the client's API decides on it
            chat, writer = dialect.outline(parsed)
        if self._rewritten(local, request, chat, kept=native is not None):
            model = parsed["model"]
            self._begin(client, request, identity, Api.CHAT, chat, model, table, spoken.asked, writer, native)

    def _count(
        self,
        client: ClientConnection,
        request: Request,
        identity: bytes,
        spoken: ClientPath,
        parsed: dict[str, Any],
        table: Table,
    ) -> None:
        """Begins a request for the number of tokens of a prompt: a backend is asked that can tell it for nothing."""
        dialect = spoken.dialect
        native = dialect.count_call(request.body, request.headers) if dialect.wire in table.wires else None
        local = LocalAnswer(self._shared, client, request, identity)
        try:
            chat = dialect.counted(parsed)
        except RefusedRequest as refused:
            if native is None:
                local.error(refused.answer())
                return
            native.bind(refused)
            chat, _ = dialect.outline(parsed)
        chat.pop("max_tokens", None)
        writer = CountWriter(dialect.count, dialect.error)
        if self._rewritten(local, request, chat, kept=native is not None):
            model = parsed["model"]
            self._begin(client, request, identity, Api.COUNT, chat, model, table, spoken.asked, writer, native)

    def _rewritten(self, local: LocalAnswer, request: Request, chat: dict[str, Any], *, kept: bool) -> bool:
        """Makes `chat` the request's body. False if it cannot be written, of which the client has been told."""
        try:
            rewrite(self._shared, request, dumps(chat), kept=kept)
        except (TypeError, ValueError):
            local.error(_TOO_DEEP)
            return False
        return True

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
        native: NativeCall | None = None,
    ) -> None:
        """Begins a request that names a model: it has a record, and if a route takes it an exchange, from here on.

        `asked_as`, `writer` and `native` are those of a client that speaks another API than OpenAI's.
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
        record.asked_by(request.consumer)
        record.trace = context.take(headers)
        self._observer.began(record, configured.mask)
        tokens = estimate_tokens(parsed)
        if writer is not None:
            writer.expects(tokens, passes=native is not None)
        looped = refusal(headers.get(HOPS_HEADER), configured.site)
        unrecorded = shared.egress.refuses if shared.egress is not None else ""
        needs = tokens, answer_tokens(parsed), api.task
        plan = looped or decide(
            table,
            record,
            parsed,
            needs,
            self._chance,
            native,
            body=request.body,
            form=api.form,
            unrecorded=unrecorded,
            now=shared.wall,
        )
        if record.consumer is not None and isinstance(plan, Plan):
            counted = (0, 0) if api is Api.COUNT else (tokens, needs[1])  # a number costs no token
            plan = self._admitted(record.consumer, record, plan, counted)
        if isinstance(plan, Plan) and plan.route.tells_asked_model:
            writer = writer or RenamedWriter(model)
            writer.tells_asked_model()
        limits = b"" if record.consumer is None else self._limits_of(record.consumer, request, now)
        answer = ClientAnswer(shared, client, request, identity, writer, limits, stream=stream)
        diversion = self._diversion
        if diversion is not None and isinstance(plan, Plan) and diversion.takes(plan, record):
            answer.tells(diversion.line)
        if isinstance(plan, ErrorAnswer):
            estimate = writer.instead_of_error(plan) if writer is not None else None
            if estimate is not None:
                keep = answer.estimate(None, estimate)
                record.ended(200, "")
            else:
                keep = answer.error(None, plan)
                record.ended(plan.status, plan.kind.word)
            self._observer.finished(record, now)
            client.finish(keep, now)
            return
        purse = None
        if shared.budgets is not None and api is not Api.COUNT:  # a number costs nothing
            purse = purse_of(shared.budgets, plan.route.name, record.consumer, request, parsed, tokens, api)
        machine = self._machine(plan, record, request, api, parsed, tokens, purse)
        record.route, record.routed = plan.route.name, machine
        if plan.route.spends or shared.records_usage or purse is not None:
            record.spends(Spending(plan.route.avoids, purse))
        asked = UpstreamRequest(request, identity, api, parsed, machine, Spoken(writer, native), stream=stream)
        exchange = Exchange(shared, record, machine, asked, answer, self._finished)
        client.begin(exchange, now)
        self.exchanges.add(exchange)
        if diversion is not None and record.drill:
            diversion.follows(exchange)
        exchange.placed = record.placed = True
        if not self.gate.enter(exchange, now, machine.facts.origin, machine.facts.rank):
            exchange.placed = record.placed = False
            exchange.give_up(ROUTER_FULL)
        asked.forget_tree()

    def _admitted(self, consumer: Consumer, record: Record, plan: Plan, tokens: tuple[int, int]) -> Plan | ErrorAnswer:
        """Returns the plan if the consumer is within its limits. `tokens`: what prompt and answer are expected to need."""
        visit = consumer.enter(tokens[0], tokens[1], record.received)
        if isinstance(visit, ErrorAnswer):
            return visit
        record.visit = visit
        return plan

    def _limits_of(self, consumer: Consumer, request: Request, now: float) -> bytes:
        return limit_lines(consumer, now, self._shared.wall, anthropic=speaks(request.path, request.headers))

    def _machine(
        self,
        plan: Plan,
        record: Record,
        request: Request,
        api: Api,
        parsed: dict[str, Any],
        tokens: int,
        purse: Purse | None,
    ) -> RequestMachine:
        route = plan.route
        facts = Facts(
            plan.candidates,
            route.failover,
            record.received + patience(request.headers, route.failover.total_seconds),
            streams=record.stream,
            input_tokens=tokens,
            random=self._chance,
            cold_start=route.cold_start,
            origin=request.origin,
            path=api.path,
            body=request.body,
            prompt=beginning_of(parsed, route.prefix_tokens) if route.reads_prompt else None,
            rank=request.rank,
            zones_line=plan.zones_line,
            purse=purse,
            timeouts=self._timeouts,
        )
        return RequestMachine(facts, plan.skipped)

    def finished(self, exchange: Exchange, now: float) -> None:
        """Frees the place of an exchange that has ended, and tells of it."""
        self.exchanges.discard(exchange)
        exchange.record.left(now)
        self._observer.finished(exchange.record, now)
        self._leave(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """Cuts off the client of an exchange that cannot be ended in any other way."""
        self.exchanges.discard(exchange)
        exchange.record.left(self._shared.now())
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
