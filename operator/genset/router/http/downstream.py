"""One client connection: begins requests in their turn, writes answers, feels the client leave.

Reading never stops while a request is in work, because only a read tells that the client has left; what a pipelining
client sends meanwhile is kept up to 64 KiB. An EOF counts as leaving: a client that dies sends nothing else. A client
that does not read its answers gets no further ones, and its upstream is paused: what is unsent has a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from genset.router.errors import FULL_SECONDS, ErrorAnswer, error
from genset.router.http.callers import peer_of
from genset.router.http.coded import plain_body
from genset.router.http.heads import NOSNIFF, reason_phrase
from genset.router.http.heavy import LARGE_BODY_BYTES
from genset.router.http.holder import Work, Worth
from genset.router.http.origin import origin_of
from genset.router.http.request import BROKEN, Request, asked
from genset.router.http.request_id import request_id
from genset.router.http.request_reader import SLICE_BYTES, Arriving, Stage
from genset.router.http.scarce import make_room
from genset.router.shared import Shared

PENDING_BYTES: Final = 64 * 1024  # pipelined behind a request in work
HEAD_SECONDS = 15.0  # from the first byte of a request to the end of its headers
SLOW_HEAD_SECONDS: Final = 2.0  # after which it makes way where descriptors are scarce
BODY_SECONDS = 30.0  # without a byte of the body
BODY_BYTES_PER_SECOND: Final = (
    240  # least pace of a body, once the times above are over: else a trickle holds a place for hours
)
PACE_SECONDS = 10.0  # a body that has come fast must go on so: its pace is that of the last so many seconds
WHOLE_BODY_SECONDS: Final = 1200.0  # in which a large body has to come: its least pace follows from what it announced
ANSWERED_AT_ONCE: Final = 16  # pipelined requests of one client, before everybody else has a turn
IDLE_SECONDS = 75.0  # kept alive between requests
LINGER_SECONDS = 2.0  # reading on after an early answer, so that the client can read it
WRITE_SECONDS = 120.0  # a client that takes not one byte of what waits for it for so long is gone
WRITE_HIGH_BYTES: Final = 64 * 1024  # unsent to a client before its upstream is paused
WRITE_LOW_BYTES: Final = 16 * 1024
BROKEN_OFF: Final = error("caller_gone", "the connection ended before the request was answered")
TOO_MUCH_SENT: Final = error("router_overloaded", "the router holds too many request bodies", retry_after=FULL_SECONDS)
NO_DESCRIPTOR: Final = error("router_overloaded", "the router has too many connections", retry_after=FULL_SECONDS)
TOO_MUCH_HELD: Final = error(
    "router_overloaded", "too much waits for this client, unread or unanswered", retry_after=FULL_SECONDS
)


class ClientConnection(Arriving):
    """`exchange` is the request in work; `receive` is given each whole request in its turn."""

    __slots__ = (
        "_judged_at",
        "_judged_bytes",
        "_pump_due",
        "_pumping",
        "_receive",
        "_refusal",
        "_swept_at",
        "_swept_bytes",
        "exchange",
        "paused",
    )

    def __init__(self, shared: Shared, receive: Callable[[ClientConnection, Request], None]) -> None:
        super().__init__(shared)
        self._receive = receive
        self.exchange: Work | None = None
        self.paused = False  # the client reads more slowly than we write
        self._pumping = False
        self._pump_due = False  # the loop will call `_pump_on`
        self._refusal: ErrorAnswer | None = None  # of what came behind the requests in the queue
        self._judged_at = 0.0  # since when the pace of the body is measured, and from which of its bytes
        self._judged_bytes = 0
        self._swept_at = 0.0  # when the sweep last looked, and what of the body was there
        self._swept_bytes = 0

    # What the exchange does with a connection

    def write(self, data: bytes) -> None:
        self.shared.outbox.write(self.transport, data)

    def begin(self, exchange: Work) -> None:
        """A request of this connection is in work from here on."""
        self.exchange = exchange

    def cut_off(self) -> None:
        """Ends the connection without an answer."""
        self.exchange = None
        self.transport.abort()

    def finish(self, keep_alive: bool, now: float) -> None:
        """The exchange has written its whole answer."""
        self.exchange = None
        if self._collected_bytes:
            self.drop_collected()
        self._drop_working()
        if self.stage == Stage.CLOSED:
            return
        if not keep_alive:
            self._linger()
            return
        self.mark = now
        if (self._queue or self._pending) and not self._parsing:
            self._pump()

    def collects(self, size: int) -> bool:
        """So much of a whole answer has come. Whether it is still wanted: without room it, or another one, makes way."""
        exchange, payer = self.exchange, self._hold_collected(size)
        if self.shared.budget.is_over(payer):
            make_room(self.shared, payer, self)
        return exchange is not None and not exchange.ended

    @property
    def arrives(self) -> bool:
        """Whether a part of a request is here that counts, and its end is not."""
        return (self.stage == Stage.BODY or self.stage == Stage.HEAD) and self._body_bytes + self._head_held > 0

    @property
    def collecting(self) -> bool:
        return self._collected_bytes > 0

    def make_way(self) -> None:
        """For somebody who holds less: nothing more of it is read, or what the client has not read is lost."""
        if self.arrives and not self._queue:
            self._refuse(TOO_MUCH_SENT)
            return
        self._drop_body()
        self._drop_queue()
        self._keep_pending(b"")
        if self.exchange is not None:
            self.exchange.give_up(TOO_MUCH_HELD)
        if self._unread_bytes:
            self._count_unread(0)
            self.stage = Stage.DEAF
            self.transport.abort()
        elif self.stage < Stage.LINGER:
            self._linger()

    def pace(self, now: float) -> float:
        """Bytes per second at which the body has come of late."""
        if self._since > self._swept_at:  # it began after the sweep last looked
            return (self._body_bytes + self._head_held) / max(now - self._since, 0.1)
        return (self._body_bytes - self._swept_bytes) / max(now - self._swept_at, 0.1)

    def worth(self, now: float) -> int:
        """What closing it would cost."""
        if self.transport.is_closing():
            return Worth.WORK  # closed already
        if self._unsent_bytes():
            return Worth.UNREAD
        if self.exchange is not None:
            return Worth.WORK
        if self._queue or self._pending:
            return Worth.UNREAD
        if self.stage == Stage.IDLE:
            return Worth.IDLE
        slow = self.stage == Stage.LINGER or (self.stage == Stage.HEAD and now - self.mark > SLOW_HEAD_SECONDS)
        return Worth.SLOW if slow else Worth.HALF

    def close_now(self) -> None:
        """Somebody else needs its descriptor: what is arriving is refused, what is unread is lost."""
        if self._unsent_bytes() or self._queue or self._pending or self.stage >= Stage.DEAF:
            self._drop_queue()
            self._keep_pending(b"")
            if self.exchange is not None:
                self.exchange.give_up(NO_DESCRIPTOR)
            self.transport.abort()
            return
        if self.stage != Stage.IDLE:
            self._refuse(NO_DESCRIPTOR)
        self.close()

    @property
    def busy(self) -> bool:
        """Whether a request is arriving or in work, or an answer is still on its way."""
        if (
            self.exchange is not None
            or self.stage == Stage.HEAD
            or self.stage == Stage.BODY
            or self._queue
            or self._pending
        ):
            return True
        return self.stage != Stage.CLOSED and self._unsent_bytes() > 0

    def close_idle(self) -> None:
        """Drain: if nothing is in work here, nothing should begin."""
        if self.stage == Stage.IDLE and not self.busy:
            self.close()

    def close(self) -> None:
        """After what was written."""
        self.shared.outbox.flush()
        self.transport.close()

    def _unsent_bytes(self) -> int:
        self.shared.outbox.flush()
        unsent: int = self.transport.get_write_buffer_size()
        return unsent

    def _tell_of_broken_off(self) -> None:
        """The client has gone: what it asked that nobody has begun to answer leaves its lines, as far as it can be read."""
        if self._pending and self.stage < Stage.DEAF:
            data = self._pending
            self._keep_pending(b"")
            self._feed(data[:SLICE_BYTES])
        if self.stage == Stage.HEAD or self.stage == Stage.BODY:
            self._tell_refused(BROKEN_OFF)

    def _drop_queue(self) -> None:
        """No request in the queue will be answered: each leaves its line."""
        for request in self._queue:
            if request is BROKEN:
                self._tell_refused(self._refusal or BROKEN_OFF)
            else:
                identity = request_id(request.headers.get(b"x-request-id"))
                shown = asked(request.method, request.path)
                self.shared.observer.refused(self.address, request.headers, identity, shown, BROKEN_OFF)
        super()._drop_queue()

    def _tell_refused(self, answer: ErrorAnswer) -> bytes:
        """The line of a request that is not whole. Returns its id."""
        identity = request_id(self._headers.get(b"x-request-id"))
        shown = asked(self._parser.get_method() if self._url and self._parser is not None else b"", self._url)
        self.shared.observer.refused(self.address, self._headers, identity, shown, answer)
        return identity

    def _linger(self) -> None:
        """Closes after the answer, reading on for a moment: closing over unread bytes would reset the connection."""
        self.stage = Stage.LINGER
        self.mark = self.shared.now()
        self._drop_queue()
        self._keep_pending(b"")
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.shared.outbox.flush()
            self.transport.write_eof()
        else:
            self.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.address = peer_of(transport.get_extra_info("peername"))
        self.origin = self.payer = origin_of(self.address)
        self.transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        self.mark = self.shared.now()
        self.shared.connections.add(self)

    def connection_lost(self, problem: BaseException | None) -> None:
        self._tell_of_broken_off()
        self.stage = Stage.CLOSED
        self.shared.connections.discard(self)
        self._parser = None
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone()
        self._drop_all()

    def eof_received(self) -> None:
        """The transport closes itself, and `connection_lost` follows."""

    def data_received(self, data: bytes) -> None:
        if self.stage >= Stage.DEAF:
            return
        if self.exchange is not None or self.paused or self._queue or self._pending:
            self._keep_pending(self._pending + data)
            if len(self._pending) > PENDING_BYTES:
                self.transport.pause_reading()
            self._keep_to_share()
            return
        self._feed_on(data)
        if self._queue or self._pending:
            self._pump()

    def pause_writing(self) -> None:
        self.paused = True
        self._count_unread(self.transport.get_write_buffer_size())
        self.shared.loop.call_soon(self._keep_to_share)  # the transport is in the middle of its write
        self.mark = self.shared.now()
        if self.exchange is not None:
            self.exchange.client_slow()

    def resume_writing(self) -> None:
        self.paused = False
        self.mark = self.shared.now()
        self._count_unread(self.transport.get_write_buffer_size())
        if self.exchange is not None:
            self.exchange.client_caught_up()
        elif self._queue or self._pending:
            self._pump()

    def _pump(self) -> None:
        """Begins the next request that is complete, if none is in work and the client has taken its answers."""
        if self._pumping:
            return
        self._pumping = True
        left = ANSWERED_AT_ONCE
        try:
            while self.exchange is None and self.stage < Stage.LINGER and not self.paused:
                if not left:
                    self._pump_later()
                    break
                left -= 1
                if self._queue:
                    request = self._queue[0]
                    if (request.coding or request.held > LARGE_BODY_BYTES) and not self.shared.heavy.admits(self):
                        break
                    self._queue.popleft()
                    if request is BROKEN:
                        self._refuse(self._refusal or error("caller_bad_request", "the request is not valid HTTP/1.1"))
                        break
                    self.served += 1
                    self._working = request
                    self._receive(self, request)
                elif self._pending:
                    self._take_pending()
                else:
                    break
        finally:
            self._pumping = False

    def go_on(self) -> None:
        """Its turn has come to have a large body read."""
        self._pump()

    def unpack(self, request: Request) -> ErrorAnswer | None:
        """Puts the plain body in place of the compressed one of the request in work; or why that cannot be."""
        shared, coded = self.shared, len(request.body)
        problem = plain_body(request, shared.configured.most_body_bytes)
        more = len(request.body) - coded
        request.held += more
        shared.budget.take(request.payer, more)
        make_room(shared, request.payer, self)
        if problem is None and shared.budget.is_over(request.payer):
            problem = TOO_MUCH_SENT
        return problem

    def _pump_later(self) -> None:
        if not self._pump_due:
            self._pump_due = True
            self.shared.loop.call_soon(self._pump_on)

    def _pump_on(self) -> None:
        self._pump_due = False
        self._pump()

    def _take_pending(self) -> None:
        data = self._pending
        self._keep_pending(b"")
        self._feed_on(data)
        if len(self._pending) <= PENDING_BYTES:
            self.transport.resume_reading()

    def _refuse(self, answer: ErrorAnswer) -> None:
        """Answers a request that never became whole, and closes. Nothing that comes behind it is read."""
        if self.stage >= Stage.LINGER:
            return
        self._drop_body()
        self._keep_pending(b"")
        if self._queue or self.transport.is_closing():
            if self.stage != Stage.DEAF:  # after what came before it
                self.stage = Stage.DEAF
                self._refusal = answer
                self._queue.append(BROKEN)
            return
        identity = self._tell_refused(answer)
        cors = self.shared.configured.cors
        more = answer.headers() if cors is None else answer.headers() + cors.lines(self._headers)
        body = answer.body()
        self.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
            b"%bconnection: close\r\n\r\n%b"
            % (answer.status, reason_phrase(answer.status), len(body), identity, NOSNIFF + more, body)
        )
        self._linger()

    def _make_room(self) -> bool:
        """Whether the request that is arriving still has its place, now that whoever holds most has made way."""
        make_room(self.shared, self.payer, self)
        if self.shared.budget.is_over(self.payer):
            self.make_way()
        return self.stage < Stage.DEAF

    def _keep_to_share(self) -> None:
        """What lies unread, on either side, is within the client's share, or something of it goes."""
        if self.shared.budget.is_over(self.origin):
            make_room(self.shared, self.origin, self)

    # The sweep

    def expire(self, now: float) -> None:
        """Called about once a second: closes what has taken too long."""
        unsent = self._unsent_bytes()
        if unsent != self._unread_bytes:  # the client takes some: no other clock runs meanwhile
            self.mark = now
            self._count_unread(unsent)
            self._keep_to_share()
        stage, age = self.stage, now - self.mark
        if unsent:
            if age > WRITE_SECONDS:
                self.transport.abort()
        elif self.exchange is not None:
            pass
        elif stage == Stage.IDLE:
            if age > IDLE_SECONDS:
                self.close()
        elif stage == Stage.HEAD:
            if age > HEAD_SECONDS:
                self._refuse(error("caller_timeout", f"the request's headers took more than {HEAD_SECONDS:g} s"))
        elif stage == Stage.BODY:
            if age > BODY_SECONDS:
                self._refuse(error("caller_timeout", f"no byte of the request's body came for {BODY_SECONDS:g} s"))
            elif self._is_slow(now):
                pace = self._least_pace()
                self._refuse(error("caller_timeout", f"the request's body came at less than {pace} bytes/s"))
        elif stage == Stage.LINGER and age > LINGER_SECONDS:
            self.transport.abort()

    def _least_pace(self) -> int:
        """Bytes per second: a place is not held for hours."""
        return max(BODY_BYTES_PER_SECOND, int(max(self._announced, self._body_bytes) / WHOLE_BODY_SECONDS))

    def _is_slow(self, now: float) -> bool:
        """Whether the body comes too slowly, on the whole or of late, and has had its time to begin."""
        least, size = self._least_pace(), self._body_bytes
        self._swept_at, self._swept_bytes = now, size
        graced = self._since + HEAD_SECONDS + BODY_SECONDS
        slow = size < (now - graced) * BODY_BYTES_PER_SECOND
        if self._judged_at < self._since:
            self._judged_at, self._judged_bytes = self._since, 0
        span = now - self._judged_at
        if span >= PACE_SECONDS:
            slow = slow or (now > graced and size - self._judged_bytes < least * span)
            self._judged_at, self._judged_bytes = now, size
        return slow
