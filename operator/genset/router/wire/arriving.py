"""What arrives from a client: bytes become requests, in a queue. Bounds what a client may send."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools

from genset.router.codings import ACCEPTED, CodingError, TooLargeError, UnknownCodingError, is_plain, unpacked
from genset.router.errors import ErrorAnswer, error
from genset.router.telemetry.context import TRACESTATE, TRACESTATE_BYTES
from genset.router.wire.known_head import KnownHeads
from genset.router.wire.request import Request, head_without_offers

if TYPE_CHECKING:
    from genset.router.server import Router

HEAD_BYTES: Final = 64 * 1024  # request line and headers


class Stage:
    """How far the parser is. A request in work (`exchange`) is apart from it: the next one may be half parsed."""

    IDLE: Final = 0
    HEAD: Final = 1
    BODY: Final = 2
    LINGER: Final = 3
    CLOSED: Final = 4


class Arriving(asyncio.Protocol):
    """The half of a client connection that reads. `served`: requests that have begun."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_declining",
        "_head_bytes",
        "_headers",
        "_known",
        "_limit",
        "_parser",
        "_parsing",
        "_queue",
        "_since",
        "_url",
        "mark",
        "router",
        "served",
        "stage",
        "transport",
    )

    def __init__(self, router: Router) -> None:
        self.router = router
        self.transport: Any = None
        self.stage = Stage.IDLE
        self.mark = 0.0  # when the stage began, or last made progress
        self.served = 0
        self._parser: Any = httptools.HttpRequestParser(self)
        self._parsing = False
        self._declining = False
        self._queue: deque[Request] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._limit = 0
        self._since = 0.0  # when the request that is arriving began
        self._known: KnownHeads | None = None  # of a client that has sent two requests

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def _refuse(self, answer: ErrorAnswer) -> None:
        """Answers a request that never became whole, and closes."""
        raise NotImplementedError

    def _take(self, data: bytes) -> None:
        """What came. Requests that are whole with it are in the queue then."""
        if self.stage != Stage.IDLE:
            self._feed(data)
        elif self._known is None or not self._take_known(self._known, data):
            self._feed(data)
            if self.served and len(self._queue) == 1 and self.stage == Stage.IDLE:
                self._learn(data, self._queue[0])

    def _take_known(self, known: KnownHeads, data: bytes) -> bool:
        """Whether this is one whole request under a head that the client sent before. It waits in the queue then."""
        found = known.find(data)
        if found is None:
            return False
        head, body = found
        router, size = self.router, len(body)
        if size > router.most_body_bytes or router.buffered_bytes + size > router.most_buffered_bytes:
            return False  # refused in the parser's way
        self.mark = router.now()
        router.buffered_bytes += size
        self._queue.append(Request(head.method, head.path, head.headers.copy(), body, True, False))
        return True

    def _learn(self, data: bytes, request: Request) -> None:
        if self._known is None:
            self._known = KnownHeads()
        if request.keep_alive:
            self._known.learn(data, request.headers, method=request.method, path=request.path)

    def _feed(self, data: bytes) -> None:
        stage = self.stage
        if stage == Stage.HEAD:
            self._head_bytes += len(data)
        else:
            self._head_bytes = 0  # a head that begins in this read is counted from the next one on
            if stage == Stage.BODY:
                self.mark = self.router.now()
        self._parsing = True
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._feed_past_offers(data, upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse(error("caller_bad_request", "the request is not valid HTTP/1.1"))
        self._parsing = False
        if self.stage == Stage.HEAD and self._head_bytes > HEAD_BYTES:
            self._refuse(error("caller_headers_too_large", f"request line and headers exceed {HEAD_BYTES} bytes"))

    def _feed_past_offers(self, data: bytes, offset: int) -> None:
        while True:
            data = data[offset:]
            if self._declining:
                self._decline_upgrade()
            if not data:
                return
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                offset = upgrade.args[0]

    def _decline_upgrade(self) -> None:
        """The parser takes such a request for finished before its body: a fresh one reads the head without the offer."""
        self._declining = False
        head = head_without_offers(self._parser.get_method(), self._url, self._headers)
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)

    def _drop_body(self) -> None:
        self.router.buffered_bytes -= self._body_bytes
        self._body_bytes = 0
        self._body.clear()

    def _drop_queue(self) -> None:
        self.router.buffered_bytes -= sum(len(request.body) for request in self._queue)
        self._queue.clear()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self.stage = Stage.HEAD if self.stage < Stage.LINGER else self.stage
        self.mark = self._since = self.router.now()
        self._headers = {}
        self._url = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers
        name = name.lower()
        if name == TRACESTATE and name in headers:  # a list, in as many lines as there are vendors
            value = b"%b,%b" % (headers[name][:TRACESTATE_BYTES], value)
        if self.stage == Stage.HEAD:  # trailers have no say in how a request is treated (RFC 9110, 6.5.1)
            headers[name] = value

    def on_headers_complete(self) -> None:
        if self.stage >= Stage.LINGER:
            return
        self.stage = Stage.BODY
        self._limit = self.router.most_body_bytes
        length = self._headers.get(b"content-length")
        if length is not None and int(length) > self._limit:
            self._too_large()
        elif b"expect" in self._headers and self._expects_continue():
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _expects_continue(self) -> bool:
        """A client behind others in the pipeline learns it when its turn has come, from the answer itself."""
        expected = self._headers[b"expect"].lower() == b"100-continue" and self._parser.get_http_version() == "1.1"
        return expected and not self._queue

    def on_body(self, data: bytes) -> None:
        if self.stage >= Stage.LINGER:
            return
        self._body_bytes += len(data)
        self.router.buffered_bytes += len(data)
        if self._body_bytes > self._limit:
            self._too_large()
            return
        if self.router.buffered_bytes > self.router.most_buffered_bytes:
            self._refuse(error("router_overloaded", "the router holds too many request bodies", retry_after=1))
            return
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self.stage >= Stage.LINGER:
            return
        parser = self._parser
        headers = self._headers
        if (
            b"upgrade" in headers
            and (b"content-length" in headers or b"transfer-encoding" in headers)
            and parser.should_upgrade()
        ):
            self._declining = True  # the body follows; see _decline_upgrade
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if b"content-encoding" in headers and body:
            plain = self._unpack(headers[b"content-encoding"], body)
            if plain is None:
                return
            body = plain
        self._body = []
        self._body_bytes = 0  # counted on until the request is answered
        keep_alive = parser.should_keep_alive()
        # Only HTTP/1.1 keeps a connection unasked, and the parser's answer to which version it is takes its time.
        version_10 = not (keep_alive and b"connection" not in headers) and parser.get_http_version() == "1.0"
        self._queue.append(Request(parser.get_method(), self._url, headers, body, keep_alive, version_10))
        self.stage = Stage.IDLE

    def _unpack(self, coding: bytes, body: bytes) -> bytes | None:
        """The body as it was before its content coding; None where it was refused."""
        router = self.router
        try:
            plain = body if is_plain(coding) else unpacked(coding, body, self._limit)
        except UnknownCodingError as unknown:
            accepted = ACCEPTED.decode()
            self._refuse(
                error(
                    "caller_unsupported_encoding", f"the request body is {unknown}; there are {accepted}, one at a time"
                )
            )
        except TooLargeError:
            self._too_large()
        except CodingError as problem:
            self._refuse(error("caller_bad_request", f"the request has a body {problem}"))
        else:
            router.buffered_bytes += len(plain) - len(body)
            self._body_bytes = len(plain)
            if router.buffered_bytes <= router.most_buffered_bytes:
                return plain
            self._refuse(error("router_overloaded", "the router holds too many request bodies", retry_after=1))
        return None

    def _too_large(self) -> None:
        self._refuse(error("caller_body_too_large", f"the request body exceeds {self._limit} bytes (limits.maxBody)"))
