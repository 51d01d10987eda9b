"""A call to an endpoint is a place there, a connection, the request on it, and the reply that is awaited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, final

from genset.data_zones import HOUSE
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.identity import NoTokenError
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.backends.target import Target
from genset.router.dialects.base import Untranslatable
from genset.router.errors import error, unrecorded
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies import reply_for
from genset.router.exchange.replies.base import Reply
from genset.router.exchange.upstream_request import Unsendable
from genset.router.http.connect import ConnectFailed, NothingLeft, remember_session
from genset.router.http.egress import Entry
from genset.router.http.upstream import UpstreamConnection
from genset.router.machine.decisions import Candidate, Try
from genset.router.machine.trail import OK
from genset.router.shared import Shared

CANCELLED: Final = "cancelled"  # outcome of a call that nobody waits for any more

log = logging.getLogger(__name__)


@final
class UpstreamCall:
    """An upstream call makes one attempt after the other for one request, whose `handler` is told what becomes of each.

    `reply` is that of the last call, also after its end. A task exists only while a new connection is opened.
    """

    __slots__ = ("_connection", "_entry", "_occupied", "_shared", "_task", "_timer", "reply")

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._connection: UpstreamConnection | None = None
        self._occupied: Endpoint | None = None  # whose requests in work count this one
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None  # during the pause before a call
        self._entry: Entry | None = None  # of the egress record, if there is one and this call leaves the house
        self.reply: Reply | None = None

    # To an endpoint

    def begin(self, handler: ReplyHandler, decision: Try) -> None:
        """Calls an endpoint, after the pause that was decided on. Its place there is taken at once: nobody else gets it."""
        self._occupied = endpoint = decision.endpoint
        endpoint.enter()
        if endpoint.demand is not None:
            endpoint.demand.entered(self._shared.now())
        if decision.delay:
            call, loop = self._call, self._shared.loop
            self._timer = loop.call_later(decision.delay, call, handler, decision.candidate, endpoint)
        else:
            self._call(handler, decision.candidate, endpoint)

    def again(self, handler: ReplyHandler, candidate: Candidate, endpoint: Endpoint) -> None:
        """Calls the endpoint on a new connection; the place there is taken already."""
        if candidate.zone != HOUSE and self._shared.egress is not None and not self._leaves(handler, candidate, None):
            return
        self._task = self._shared.loop.create_task(self._open(handler, candidate, endpoint))

    def _call(self, handler: ReplyHandler, candidate: Candidate, endpoint: Endpoint) -> None:
        self._timer = None
        handler.machine.connecting()
        idle = endpoint.idle
        while idle:
            connection = idle.pop()
            if not connection.closed and not connection.transport.is_closing():
                self._send(handler, connection, candidate, endpoint)
                return
        self.again(handler, candidate, endpoint)

    async def _open(self, handler: ReplyHandler, candidate: Candidate, endpoint: Endpoint) -> None:
        try:
            connection = await self._shared.connector.open(candidate.backend.target, endpoint)
        except ConnectFailed as problem:
            self._task = None
            outcome = Outcome.EXHAUSTED if isinstance(problem, NothingLeft) else Outcome.UNREACHABLE
            handler.failed(Failure(outcome, problem.detail))
        except Exception as problem:
            log.exception("Failed to connect to backend %s", candidate.backend.name)
            self._task = None
            handler.failed(Failure(Outcome.UNREACHABLE, f"could not be reached ({type(problem).__name__})"))
        else:
            self._task = None
            self._send(handler, connection, candidate, endpoint)

    def _send(
        self, handler: ReplyHandler, connection: UpstreamConnection, candidate: Candidate, endpoint: Endpoint
    ) -> None:
        self._connection = connection
        shared = self._shared
        try:
            site = shared.configured.site
            left = handler.machine.deadline - shared.now() if candidate.backend.target.may_be_router else 0.0
            text, reader, splice = handler.request.prepare(candidate.backend, endpoint, site, left)
        except NoTokenError as problem:
            handler.failed(Failure(Outcome.UNAVAILABLE, f"was not asked: the router has no token for it ({problem})"))
            return
        except Unsendable as problem:
            handler.give_up(error("caller_bad_request", str(problem)))
            return
        except Untranslatable as missing:
            handler.failed(Failure(Outcome.UNSUPPORTED, f"was not asked: {missing}", words=str(missing)))
            return
        if candidate.zone != HOUSE and shared.egress is not None:
            if not self._leaves(handler, candidate, len(text)):
                return
            assert self._entry is not None
            self._entry.sends(connection, len(text))
        self.reply = reply = reply_for(handler, reader, splice)
        now = shared.now()
        handler.record.sent(now)
        handler.machine.sent(now, streams=reader is not None)  # what is rebuilt from a stream has its deadlines, too
        connection.begin(reply, text, shared.outbox)

    def _leaves(self, handler: ReplyHandler, candidate: Candidate, size: int | None) -> bool:
        """Writes down that this call leaves the house, before a connection is used for it. False: it must not, and has ended."""
        egress = self._shared.egress
        if egress is None or self._entry is not None:
            return True
        record = handler.record
        place = (candidate.backend.name, candidate.zone, candidate.backend.target.host)
        consumer = record.consumer.name if record.consumer is not None else ""
        self._entry = egress.begun(record.identity, consumer, record.route, place, size)
        if self._entry is None:
            handler.give_up(unrecorded(egress.refuses))
        return self._entry is not None

    @property
    def runs(self) -> bool:
        """Returns whether an attempt is in work, from its decision to its end."""
        return self._occupied is not None

    # The connection

    def awaits(self, reply: object) -> bool:
        """Returns whether this is the reply that is awaited."""
        return self._connection is not None and self.reply is reply

    def connection_lost(self) -> None:
        """The connection has closed itself."""
        self._connection = None

    def pass_chunks(self, raw: Callable[[bytes], bool]) -> None:
        """From here on `raw` gets each chunk of the body, frame and all, before anybody reads it."""
        if self._connection is not None:
            self._connection.pass_chunks(raw)

    def pause(self) -> None:
        """Nothing more is read for now."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> bool:
        """What was paused goes on. Returns whether there is anything that can."""
        if self._connection is None:
            return False
        self._connection.resume()
        return True

    # Away from it

    def release(self, target: Target, now: float) -> None:
        """The reply is complete: the connection to the target is kept for others, if the end of the body has come, too."""
        connection, self._connection = self._connection, None
        self._vacate()
        if self._entry is not None:
            self._written(OK, connection)
        if connection is None:
            return
        if not connection.reused and target.tls is not None:
            remember_session(target, connection)
        if not connection.leave(now) and not connection.closed:
            self._shared.running_out.add(connection)

    def drop(self, outcome: str = CANCELLED) -> None:
        """Whatever goes on, a pause included, ends here with this outcome, and the upstream learns of it at once."""
        connection, self._connection = self._connection, None
        task, self._task = self._task, None
        timer, self._timer = self._timer, None
        if connection is not None:
            connection.drop()
        if task is not None:
            task.cancel()
        if timer is not None:
            timer.cancel()
        self._vacate()
        if self._entry is not None:
            self._written(outcome, connection)

    def _written(self, outcome: str, connection: UpstreamConnection | None) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            entry.ended(outcome, self.reply.tokens() if self.reply is not None else (0, 0), connection)

    def _vacate(self) -> None:
        endpoint, self._occupied = self._occupied, None
        if endpoint is not None:
            endpoint.leave()
            if endpoint.demand is not None:
                endpoint.demand.left(self._shared.now())
