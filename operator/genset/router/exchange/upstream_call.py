"""The upstream side of an exchange: a place at an endpoint, a connection, and the request on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Final

from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.failures import masked
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.continuation import APPEND, FALLBACK, RULES, Rule, why_not
from genset.router.continuation.ask import ask
from genset.router.continuation.splice import Splice
from genset.router.dialects.openai.aggregate import can_rebuild
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.dialects.openai.transcript import Transcript
from genset.router.dialects.openai.whole_answer import choices_of
from genset.router.errors import ErrorAnswer, error
from genset.router.exchange.answer_headers import upstream_id
from genset.router.exchange.client_answer import Outgoing
from genset.router.exchange.payload import body_for, bound_names, head_for
from genset.router.exchange.record import Record
from genset.router.exchange.reply import Reply
from genset.router.http.bodies import again
from genset.router.http.connect import ConnectFailed, NothingLeft, remember_session
from genset.router.http.downstream import ClientConnection
from genset.router.http.request import Request
from genset.router.http.upstream import UpstreamConnection
from genset.router.machine.added_fields import (
    PREFILL,
    STREAM,
    added_to,
    features_of,
    refused_field,
    refused_for,
    remember,
)
from genset.router.machine.answer_room import limit_of, limit_that_fits, lower_limit, with_limit
from genset.router.machine.decisions import Candidate, Phase
from genset.router.machine.final_error import story_of
from genset.router.machine.machine import RequestMachine
from genset.router.routing.hops import HOPS_HEADER, header_for
from genset.router.shared import Shared
from genset.times import rfc3339

log = logging.getLogger(__name__)

_NOTHING: Final[dict[str, Any]] = {}


class Calling(Outgoing):
    """What becomes of a call is told to `failed`."""

    __slots__ = (
        "_api",
        "_connection",
        "_heard",
        "_loop",
        "_lowered",
        "_occupied",
        "_refused_rules",
        "_reply",
        "_rule",
        "_sent",
        "_task",
        "_timer",
        "_tree",
        "_want_usage",
        "_weighed_at",
        "_weight",
        "_without",
        "record",
    )

    def __init__(
        self,
        shared: Shared,
        client: ClientConnection,
        request: Request,
        api: Api,
        parsed: dict[str, Any],
        record: Record,
    ) -> None:
        super().__init__(shared, client, request, record.identity, stream=record.stream)
        self.record = record
        self._api = api
        self._tree: dict[str, Any] | None = parsed
        self._loop = shared.loop
        self._connection: UpstreamConnection | None = None
        self._reply: Reply | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._occupied: Endpoint | None = None  # whose in_flight counts us
        self._sent: Transcript | None = None  # what the client had when its stream broke
        self._rule: Rule | None = None  # by which the present attempt writes on
        self._refused_rules: list[Backend] | None = None
        #: fields of ours that it has just refused, and the features of what it got
        self._without: tuple[Backend, set[str], frozenset[str]] | None = None
        self._heard: dict[bytes, bytes] | None = None  # headers of the reply that the last failure came from
        #: has less room for the answer than the client's limit: how much, and whether that is the second guess
        self._lowered: tuple[Backend, int, bool] | None = None
        self._weighed_at = 0.0
        self._weight: tuple[Reply, int] | None = None  # tokens that had come by then
        options = parsed.get("stream_options")
        self._want_usage = isinstance(options, dict) and bool(options.get("include_usage"))

    def failed(self, failure: Failure) -> None:
        """The attempt ended before it was committed."""
        raise NotImplementedError

    def _ask_otherwise(self, failure: Failure, word: str) -> None:
        """Asks the same endpoint in another way."""
        raise NotImplementedError

    def give_up(self, answer: ErrorAnswer) -> None:
        """Ends the request with this error."""
        raise NotImplementedError

    def _listener(self, reader: StreamReader | None, splice: Splice | None) -> Reply:
        """Who reads the answer: `reader` where it is to be a stream, `splice` where it continues another."""
        raise NotImplementedError

    @property
    def part(self) -> str:
        """The list that an answer in one piece holds."""
        return self._api.part

    @property
    def machine(self) -> RequestMachine:
        """Of a request that a route took."""
        machine = self.record.routed
        assert machine is not None, "no route took the request"
        return machine

    @property
    def backend(self) -> Backend:
        candidate = self.machine.candidate
        assert candidate is not None, "an attempt is running"
        return candidate.backend

    @property
    def _json(self) -> dict[str, Any]:
        """The request's JSON, parsed anew if it was let go of, and not kept: a tree can be many times as large."""
        tree = self._tree
        if tree is None:
            tree = again(self.request.body)
        return tree

    def forget_tree(self) -> None:
        """The tree is not needed for now: what is kept of the request is its text."""
        self._tree = None

    # To an endpoint

    def _call(self, candidate: Candidate, endpoint: Endpoint) -> None:
        self._timer = None
        self.machine.connecting()
        idle = endpoint.idle
        while idle:
            connection = idle.pop()
            if not connection.closed and not connection.transport.is_closing():
                self._send(connection, candidate, endpoint)
                return
        self._connect(candidate, endpoint)

    def _connect(self, candidate: Candidate, endpoint: Endpoint) -> None:
        self._task = self._loop.create_task(self._open(candidate, endpoint))

    async def _open(self, candidate: Candidate, endpoint: Endpoint) -> None:
        try:
            connection = await self.shared.connector.open(candidate.backend.target, endpoint)
        except ConnectFailed as problem:
            self._task = None
            outcome = Outcome.EXHAUSTED if isinstance(problem, NothingLeft) else Outcome.UNREACHABLE
            self.failed(Failure(outcome, problem.detail))
        except Exception as problem:
            log.exception("Failed to connect to backend %s", candidate.backend.name)
            self._task = None
            self.failed(Failure(Outcome.UNREACHABLE, f"could not be reached ({type(problem).__name__})"))
        else:
            self._task = None
            self._send(connection, candidate, endpoint)

    def _send(self, connection: UpstreamConnection, candidate: Candidate, endpoint: Endpoint) -> None:
        backend = candidate.backend
        self._connection = connection
        request = parsed = self._tree = self._json  # kept until it is sent
        raw = self.request.body
        left_out = self._left_out(backend)
        reader: StreamReader | None = None
        splice: Splice | None = None
        if self.stream or self._rebuilds(parsed, left_out):
            if self.machine.continuing:
                assert self._sent is not None
                request, splice, self._rule = ask(
                    parsed,
                    self._sent,
                    self._rule_of(backend, left_out),
                    of_the_house=backend.config.local is not None,
                    want_usage=self._want_usage,
                )
                raw = b""
            frames = backend.learned.frames[self._api.operation, not self.stream]
            if not self.stream:
                reader = self.rebuilder(frames)
            else:
                hide = not self._want_usage and splice is None
                choices, bad = choices_of(parsed), backend.target.provider.bad_finishes
                reader = Forward(
                    hide_usage=hide,
                    choices=choices,
                    bad_finishes=bad,
                    frames=frames,
                    shortcuts=backend.learned.shortcuts,
                )
        self._reply = reply = self._listener(reader, splice)
        if self._lowered is not None or backend.learned.refuses_limits:
            fitting = self._with_fitting_limit(request, backend)
            if fitting is not request:
                request, raw = fitting, b""
        try:
            sent = self.request.body, parsed
            body = body_for(backend.target, self._api, request, raw, reader is not None, left_out, sent)
        except TypeError:  # orjson reads deeper than it writes
            self.give_up(error("caller_bad_request", "the body is nested too deeply (more than 250 levels)"))
            return
        self._tree = None
        request = parsed = _NOTHING
        sent = (b"", _NOTHING)
        path = backend.target.continuation_path if self._rule is not None and self._rule.name == "Prefix" else None
        identity, streams = self.identity, reader is not None
        headers = self.request.headers
        hops = (
            header_for(headers.get(HOPS_HEADER), self.shared.configured.site) if backend.target.may_be_router else b""
        )
        head = head_for(backend.target, endpoint, self._api, headers, identity, len(body), streams, path, hops)
        now = self.shared.now()
        if not self.record.sent_at:
            self.record.sent_at = now
        self.machine.sent(now, streams=streams)  # what is rebuilt from a stream has its deadlines, too
        connection.begin(reply, head + body, self.shared.outbox)

    def _with_fitting_limit(self, request: dict[str, Any], backend: Backend) -> dict[str, Any]:
        """The request with a limit of the answer for which the backend has room."""
        if self._lowered is not None and self._lowered[0] is backend:
            return with_limit(request, self._lowered[1])
        asked = limit_of(request)
        if not asked or not backend.learned.refuses_limits or backend.context_tokens is None:
            return request
        fitting = limit_that_fits(asked, self._estimate(), backend.context_tokens)
        return request if fitting is None else with_limit(request, fitting)

    def lowers_limit(self, failure: Failure) -> bool:
        """Whether only the limit of the answer was too much for a refusing server. Then it is asked again, with a lower one."""
        asked, backend, before = limit_of(self._json), self.backend, self._lowered
        if not asked:
            return False
        if self._rule is not None:
            asked += self._rule.surplus_tokens
        again = before is not None and before[0] is backend
        if before is not None and again:
            if before[2]:
                return False
            asked = min(asked, before[1])
        elif backend.learned.refuses_limits and backend.context_tokens is not None:
            asked = limit_that_fits(asked, self._estimate(), backend.context_tokens) or asked
        lower = lower_limit(asked, failure.words, self._estimate(), backend.context_tokens, again=again)
        if lower is None:
            return False
        backend.learned.limit_refused()
        self._lowered = (backend, lower, again)
        self._ask_otherwise(failure, "lower_max_tokens")
        return True

    def _estimate(self) -> int:
        return self.machine.input_tokens + (self._sent.tokens if self._sent is not None else 0)

    def rebuilder(self, frames: Frames | None = None) -> Rebuild:
        """Who makes a whole answer of a stream."""
        choices, bad, shortcuts = (
            choices_of(self._json),
            self.backend.target.provider.bad_finishes,
            self.backend.learned.shortcuts,
        )
        return Rebuild(self._api, choices=choices, bad_finishes=bad, frames=frames, shortcuts=shortcuts)

    def _rebuilds(self, parsed: dict[str, Any], left_out: Collection[str]) -> bool:
        """Whether an answer that is no stream is asked for as one."""
        if not self.machine.settings.rebuild_answers:
            return False
        return STREAM not in left_out and can_rebuild(self._api, parsed)

    def _rule_of(self, backend: Backend, left_out: Collection[str]) -> Rule:
        if not self._api.chat:
            return APPEND
        if PREFILL in left_out:
            return RULES[FALLBACK]
        if self._refused_rules and backend in self._refused_rules:
            return RULES[FALLBACK]
        return RULES[backend.target.continuation]

    # Fields of our own

    def _left_out(self, backend: Backend) -> Collection[str]:
        """Fields that this backend does not take, of such a request."""
        now = self._just_refused(backend)
        return (
            {*now, *refused_for(self._json, backend.learned.refused_fields)} if backend.learned.refused_fields else now
        )

    def _just_refused(self, backend: Backend) -> Collection[str]:
        return self._without[1] if self._without is not None and self._without[0] is backend else ()

    def _leave_out(self, backend: Backend, field: str) -> None:
        """The next attempt at this backend goes without it."""
        self._without = (backend, {*self._just_refused(backend), field}, features_of(self._json))

    def _remember_fields(self) -> None:
        """The backend has answered what it got without the fields that it refused: so it was they."""
        if self._without is not None and self._without[0] is self.backend:
            remember(self.backend.learned.refused_fields, self._without[1], self._without[2])
        self._without = None

    def _refused_field(self, backend: Backend, failure: Failure, *, streamed: bool) -> str:
        """The field of ours that a refusal names; "" if it means the client's own request."""
        refused, parsed = self._left_out(backend), self._json
        names = bound_names(backend.target, self._api, parsed, refused)
        usage = streamed and backend.target.provider.usage_option
        return refused_field(failure, added_to(parsed, names, streamed=streamed, usage=usage, refused=refused))

    def _noted(self, failure: Failure) -> Failure:
        """The failure without our own keys; it stands in what `/-/state` shows of the backend."""
        shared, reply, endpoint = self.shared, self._reply, self.machine.endpoint
        mask = shared.configured.mask
        failure = masked(failure, mask)
        heard = self.machine.phase > Phase.CONNECT and failure.outcome not in (Outcome.UNREACHABLE, Outcome.EXHAUSTED)
        self._heard = reply.headers if reply is not None and heard else None
        shared.failures.add(
            self.backend.name,
            failure,
            mask,
            at=rfc3339(shared.wall()),
            headers=self._heard or {},
            endpoint=endpoint.name if endpoint is not None else "",
            request_id=self.identity.decode(),
        )
        self.machine.stories.append(story_of(self.backend.name, failure))
        return failure

    def _upstream_id(self) -> bytes:
        """What the backend calls the request whose failure is the answer, as a header line."""
        return self.shared.configured.mask.hide_whole(upstream_id(self._heard or {}, self.identity))

    def listens_to(self, reply: Reply) -> bool:
        """Whether this is still the answer that is waited for."""
        return self._connection is not None and self._reply is reply

    def _weigh(self, now: float) -> None:
        """Looks at times whether what went on held any token: events without one do not keep a stream alive for ever."""
        reply, machine = self._reply, self.machine
        weighed, before = self._weighed_at, self._weight
        self._weighed_at, self._weight = now, None
        if machine.phase != Phase.COMMIT or reply is None or reply.reader is None:
            return
        tokens = reply.reader.tokens()
        self._weight = (reply, tokens)
        if before is not None and before[0] is reply and before[1] == tokens:
            machine.last = weighed

    def _is_bound(self) -> bool:
        """Whether nobody else could write on the answer that stalls, where no setting says how long that may take."""
        machine, reply = self.machine, self._reply
        if not self.stream or machine.settings.stall_seconds is not None or reply is None:
            return False
        reader = reply.reader
        sent = self._sent or (reader.fold() if isinstance(reader, Forward) else None)
        if sent is None or not why_not(self._json, sent, chat=self._api.chat):
            return False
        machine.is_bound()
        return True

    # What the connection tells, and what it is told

    def connection_lost(self) -> None:
        self._connection = None

    def reconnect(self) -> None:
        """A kept-alive connection was closed under the request: not an attempt of its own."""
        machine = self.machine
        assert machine.candidate is not None and machine.endpoint is not None
        machine.unsent()
        self._connect(machine.candidate, machine.endpoint)

    def client_slow(self) -> None:
        if self._connection is not None and self.head_sent:
            self._connection.pause()

    def client_caught_up(self) -> None:
        if self._connection is not None:
            self.machine.last = self.shared.now()  # the silence was the client's
            self._connection.resume()

    # Away from it

    def _release_upstream(self, now: float) -> None:
        connection, self._connection = self._connection, None
        self._vacate()
        if connection is None:
            return
        if not connection.reused and self.backend.target.tls is not None:
            remember_session(self.backend.target, connection)
        if not connection.leave(now) and not connection.closed:
            self.shared.running_out.add(connection)

    def _drop_upstream(self) -> None:
        self.client.drop_collected()
        connection, self._connection = self._connection, None
        task, self._task = self._task, None
        if connection is not None:
            connection.drop()
        if task is not None:
            task.cancel()
        self._vacate()

    def _vacate(self) -> None:
        endpoint, self._occupied = self._occupied, None
        if endpoint is not None:
            endpoint.leave()
            if endpoint.demand is not None:
                endpoint.demand.left(self.shared.now())
