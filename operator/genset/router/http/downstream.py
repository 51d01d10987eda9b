"""The connection of one client begins requests in their turn, writes answers, and notices that the client leaves.

Reading never stops while a request is in work, because only a read tells that the client has left; what a pipelining
client sends meanwhile is kept up to 64 KiB. An EOF counts as leaving: a client that dies sends nothing else. A client
that does not read its answers gets no further ones, and its upstream is paused: what is unsent has a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, final

from genset.router.access.consumers import TOO_MANY_TRIALS, Consumers
from genset.router.errors import ErrorAnswer
from genset.router.http.answering import Answering
from genset.router.http.callers import peer_of
from genset.router.http.client_timeouts import DEFAULT, ClientTimeouts
from genset.router.http.coded import unpack
from genset.router.http.heavy import LARGE_BODY_BYTES
from genset.router.http.holder import Gives, Holder, Work, Worth
from genset.router.http.late_answer import LateAnswer
from genset.router.http.origin import Peer
from genset.router.http.pipeline import Pipeline
from genset.router.http.refusals import NO_DESCRIPTOR, TOO_MUCH_HELD, TOO_MUCH_SENT, Refusals
from genset.router.http.request import BROKEN, Request
from genset.router.http.request_reader import NOT_HTTP, RequestReader, Stage
from genset.router.http.scarce import make_room
from genset.router.shared import Shared

UNREAD_BYTES: Final = 16 * 1024  # up to here a connection has left nothing unread that is worth its end
SLOW_HEAD_SECONDS: Final = 2.0  # after which it makes way where descriptors are scarce
ANSWERED_AT_ONCE: Final = 16  # pipelined requests of one client, before everybody else has a turn
WRITE_HIGH_BYTES: Final = 64 * 1024  # unsent to a client before its upstream is paused
WRITE_LOW_BYTES: Final = 16 * 1024


class _End:
    """How far a connection is on its way to its end."""

    OPEN: Final = 0
    LINGERS: Final = 1  # its last answer is written, and it is read on for a moment
    CLOSED: Final = 2


@final
class ClientConnection(Holder, asyncio.Protocol):
    """A client's connection is made of what it reads, what waits in its pipeline, and what it answers.

    `exchange` is the request in work. `receive` is given each whole request in its turn.
    """

    __slots__ = (
        "_end",
        "_pump_due",
        "_pumping",
        "_receive",
        "_refusals",
        "_timeouts",
        "answering",
        "exchange",
        "mark",
        "peer",
        "pipeline",
        "reader",
        "shared",
        "transport",
    )

    def __init__(
        self,
        shared: Shared,
        receive: Callable[[ClientConnection, Request], None],
        timeouts: ClientTimeouts = DEFAULT,
    ) -> None:
        self.shared = shared
        self._receive = receive
        self._timeouts = timeouts
        self.transport: Any = None
        self.mark = 0.0
        self.exchange: Work | None = None
        self.peer = Peer()
        self.pipeline = Pipeline(shared.budget, self.peer)
        self.reader = RequestReader(shared, self, self.peer, self.pipeline)
        self.answering = Answering(shared.budget, self.peer)
        self._refusals = Refusals(shared, self.peer, self.reader, self.pipeline)
        self._end = _End.OPEN
        self._pumping = False
        self._pump_due = False  # the loop will call `_pump_on`

    # What the exchange does with a connection

    @property
    def address(self) -> str:
        """Returns the host of the peer."""
        return self.peer.address

    @property
    def paused(self) -> bool:
        """Returns whether the client reads more slowly than we write."""
        return self.answering.paused

    def write(self, data: bytes) -> None:
        self.shared.outbox.write(self.transport, data)

    def begin(self, exchange: Work, now: float) -> None:
        """Takes the request that is in work from here on."""
        self.exchange = exchange
        self.mark = now

    def cut_off(self) -> None:
        """Ends the connection without an answer."""
        self.exchange = None
        self.transport.abort()

    def finish(self, keep_alive: bool, now: float) -> None:
        """Goes on to the next request: the exchange has written its whole answer."""
        self.exchange = None
        self.answering.end()
        if self._end == _End.CLOSED:
            return
        if not keep_alive:
            self._linger()
            return
        self.mark = now
        if (self.pipeline.requests or self.pipeline.pending) and not self.reader.parsing:
            self._pump()

    def collects(self, size: int) -> bool:
        """Counts what has come of a whole answer, and says whether it is still wanted: without room it may have made way."""
        exchange, payer = self.exchange, self.answering.collect(size)
        if self.shared.budget.is_over(payer):
            make_room(self.shared, payer, self)
        return exchange is not None and self.exchange is exchange

    def drop_collected(self) -> None:
        """Gives back what was collected: it goes out, or will not."""
        self.answering.drop_collected()

    def unpack(self, request: Request) -> ErrorAnswer | None:
        """Puts the plain body in place of the compressed one of the request in work; or says why that cannot be."""
        return unpack(self.shared, self, request)

    # What it holds, and its end

    @property
    def origin(self) -> str:
        return self.peer.origin

    @property
    def held_bytes(self) -> int:
        return self.reader.held + self.pipeline.held + self.answering.held

    @property
    def busy(self) -> bool:
        stage = self.reader.stage
        if self.exchange is not None or stage == Stage.HEAD or stage == Stage.BODY or self._waits():
            return True
        return self._end != _End.CLOSED and self._unsent_bytes() > 0

    def gives(self, now: float) -> tuple[str, int, float] | None:
        reader, answering = self.reader, self.answering
        if self.transport.is_closing():
            return None
        if reader.arrives:
            return reader.payer, Gives.ARRIVING, -reader.pace(now)
        if answering.unread + self.pipeline.unread > UNREAD_BYTES:
            return self.origin, Gives.UNREAD, now - self.mark
        if answering.collected:
            return reader.payer, Gives.COLLECTED, float(self.held_bytes)
        return None

    def worth(self, now: float) -> int:
        if self.transport.is_closing():
            return Worth.WORK  # closed already
        if self._unsent_bytes():
            return Worth.UNREAD
        if self.exchange is not None:
            return Worth.WORK
        if self._waits():
            return Worth.UNREAD
        if self._end == _End.LINGERS:
            return Worth.SLOW
        stage = self.reader.stage
        if stage == Stage.IDLE:
            return Worth.IDLE
        return Worth.SLOW if stage == Stage.HEAD and now - self.mark > SLOW_HEAD_SECONDS else Worth.HALF

    def make_way(self) -> None:
        if self.reader.arrives and not self.pipeline.requests:
            self.refuse(TOO_MUCH_SENT)
            return
        self.reader.drop()
        self._refusals.drop_pipeline()
        if self.exchange is not None:
            self.exchange.give_up(TOO_MUCH_HELD)
        if self.answering.unread:
            self.answering.count_unread(0)
            self.reader.turn_deaf()
            self.transport.abort()
        elif self._end == _End.OPEN:
            self._linger()

    def close_now(self) -> None:
        stage = self.reader.stage
        if self._unsent_bytes() or self._waits() or stage == Stage.DEAF:
            self._refusals.drop_pipeline()
            if self.exchange is not None:
                self.exchange.give_up(NO_DESCRIPTOR)
            self.transport.abort()
            return
        if stage != Stage.IDLE:
            self.refuse(NO_DESCRIPTOR)
        self.close()

    def close_idle(self) -> None:
        if self.reader.stage == Stage.IDLE and not self.busy:
            self.close()

    def close(self) -> None:
        self.shared.outbox.flush()
        self.transport.close()

    def _waits(self) -> bool:
        """Returns whether something that the client has sent waits for its turn."""
        return bool(self.pipeline.requests or self.pipeline.pending)

    def _unsent_bytes(self) -> int:
        self.shared.outbox.flush()
        unsent: int = self.transport.get_write_buffer_size()
        return unsent

    def _linger(self) -> None:
        """Closes after the answer, reading on for a moment: closing over unread bytes would reset the connection."""
        self._end = _End.LINGERS
        self.reader.turn_deaf()
        self.mark = self.shared.now()
        self._refusals.drop_pipeline()
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.shared.outbox.flush()
            self.transport.write_eof()
        else:
            self.close()

    # Requests that are refused here, and those that nobody will answer

    def refuse(self, answer: ErrorAnswer) -> None:
        if self._end != _End.OPEN:
            return
        reader, pipeline = self.reader, self.pipeline
        reader.drop()
        pipeline.keep(b"")
        if pipeline.requests or self.transport.is_closing():
            if reader.stage != Stage.DEAF:  # after what came before it
                reader.turn_deaf()
                pipeline.refuse(answer)
            return
        consumers = self.shared.configured.consumers
        if consumers is not None and answer.status == 401:
            reader.turn_deaf()
            self.turn_away(consumers, answer, reader.payer, self._answer_last, self._refusals.left)
        else:
            self._answer_last(answer)

    def _answer_last(self, answer: ErrorAnswer) -> None:
        self.exchange = None
        self.write(self._refusals.last_answer(answer))
        self._linger()

    def turn_away(
        self,
        consumers: Consumers,
        refused: ErrorAnswer,
        address: str,
        tell: Callable[[ErrorAnswer], None],
        left: Callable[[ErrorAnswer], None],
    ) -> None:
        """Has somebody told whose key is unknown: later and later, if the address goes on trying.

        `left` hears of one who has not waited for it.
        """
        shared = self.shared
        now = shared.now()
        wait = consumers.delay(refused, address, now)
        if wait is None:
            tell(TOO_MANY_TRIALS)
        elif not wait:
            tell(refused)
        else:
            late = LateAnswer(tell, left, refused, lambda: consumers.trials.answered(address))
            self.begin(late, now)
            late.wait(shared.loop, wait)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.peer.is_at(peer_of(transport.get_extra_info("peername")))
        self.transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        self.mark = self.shared.now()
        self.shared.connections.add(self)

    def connection_lost(self, problem: BaseException | None) -> None:
        self._refusals.tell_broken_off()
        self._end = _End.CLOSED
        self.shared.connections.discard(self)
        self.reader.end()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone()
        self.reader.drop()
        self._refusals.drop_pipeline()
        self.answering.end()
        self.answering.count_unread(0)

    def eof_received(self) -> None:
        """Lets the transport close itself; `connection_lost` follows."""

    def data_received(self, data: bytes) -> None:
        pipeline = self.pipeline
        if self.reader.stage == Stage.DEAF:
            return
        if self.exchange is not None or self.answering.paused or pipeline.requests or pipeline.pending:
            pipeline.keep(pipeline.pending + data)
            if pipeline.is_full:
                self.transport.pause_reading()
            self._keep_to_share()
            return
        self._read(data)
        if pipeline.requests or pipeline.pending:
            self._pump()

    def pause_writing(self) -> None:
        self.answering.pause(self.transport.get_write_buffer_size())
        self.shared.loop.call_soon(self._keep_to_share)  # the transport is in the middle of its write
        self.mark = self.shared.now()
        if self.exchange is not None:
            self.exchange.client_slow()

    def resume_writing(self) -> None:
        self.mark = self.shared.now()
        self.answering.resume(self.transport.get_write_buffer_size())
        if self.exchange is not None:
            self.exchange.client_caught_up()
        elif self._waits():
            self._pump()

    # Requests in their turn

    def _read(self, data: bytes) -> None:
        """Has the bytes read, which is progress of a request that is not whole."""
        reader = self.reader
        if reader.stage == Stage.BODY:
            self.mark = self.shared.now()
        reader.feed(data)
        if (reader.stage == Stage.HEAD or reader.stage == Stage.BODY) and reader.since > self.mark:
            self.mark = reader.since

    def _pump(self) -> None:
        """Begins the next request that is complete, if none is in work and the client has taken its answers."""
        if self._pumping:
            return
        self._pumping = True
        pipeline, left = self.pipeline, ANSWERED_AT_ONCE
        try:
            while self.exchange is None and self._end == _End.OPEN and not self.answering.paused:
                if not left:
                    self._pump_later()
                    break
                left -= 1
                if pipeline.requests:
                    request = pipeline.requests[0]
                    if (request.coding or request.held > LARGE_BODY_BYTES) and not self.shared.heavy.admits(self):
                        self.mark = self.shared.now()
                        break
                    del pipeline.requests[0]
                    if request is BROKEN:
                        self.refuse(pipeline.refusal or NOT_HTTP)
                        break
                    self.answering.begin(request)
                    self._receive(self, request)
                elif pipeline.pending:
                    self._read(pipeline.take())
                    if not pipeline.is_full:
                        self.transport.resume_reading()
                else:
                    break
        finally:
            self._pumping = False

    def go_on(self) -> None:
        """Goes on: the turn of its large body has come."""
        self._pump()

    def _pump_later(self) -> None:
        if not self._pump_due:
            self._pump_due = True
            self.shared.loop.call_soon(self._pump_on)

    def _pump_on(self) -> None:
        self._pump_due = False
        self._pump()

    def _keep_to_share(self) -> None:
        """Makes room if what lies unread, on either side, is more than the client's share."""
        if self.shared.budget.is_over(self.origin):
            make_room(self.shared, self.origin, self)

    # The sweep

    def expire(self, now: float) -> None:
        unsent = self._unsent_bytes()
        if unsent != self.answering.unread:  # the client takes some: no other clock runs meanwhile
            self.mark = now
            self.answering.count_unread(unsent)
            self._keep_to_share()
        age = now - self.mark
        if unsent:
            if age > self._timeouts.write:
                self.transport.abort()
        elif self.exchange is not None:
            pass
        elif self._end == _End.LINGERS:
            if age > self._timeouts.linger:
                self.transport.abort()
        elif self.reader.stage == Stage.IDLE:
            if age > self._timeouts.idle:
                self.close()
        else:
            late = self.reader.late(now, age, self._timeouts)
            if late is not None:
                self.refuse(late)
