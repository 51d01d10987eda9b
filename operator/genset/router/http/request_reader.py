"""What arrives from a client: bytes become requests, in a queue. Bounds what a client may send."""

from __future__ import annotations

from typing import Any, Final

import httptools

from genset.router.dialects.openai.api import PATHS
from genset.router.errors import VOCABULARY, ErrorAnswer, error
from genset.router.http.callers import FORWARDED_FOR, FORWARDED_FOR_BYTES
from genset.router.http.codings import is_plain
from genset.router.http.holding import LINE_BYTES, REQUEST_BYTES, Holding
from genset.router.http.request import Request, decides, head_without_offers
from genset.router.http.target import is_host, path_of
from genset.router.http.trace_context import TRACESTATE, TRACESTATE_BYTES
from genset.router.shared import Shared

HEAD_BYTES: Final = 64 * 1024  # request line and headers
HEAD_LINES: Final = 256  # different headers: each costs far more than its bytes
SMALL_HEAD_BYTES: Final = 4 * 1024  # a larger one counts as a body does, for as long as its request is here
SMALL_HEAD_LINES: Final = 32  # the same
SLICE_BYTES: Final = 64 * 1024  # of a body: parsed at once
REQUESTS_SLICE_BYTES: Final = 16 * 1024  # of what may be many requests
#: Methods with a meaning for us or for a browser. What another one makes of its body is not ours to guess: CONNECT has none.
METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"PATCH", b"DELETE"))
PIECES_AT_ONCE: Final = 1024  # an object for two bytes takes twenty times as many


class Stage:
    """How far the parser is. A request in work (`exchange`) is apart from it: the next one may be half parsed."""

    IDLE: Final = 0
    HEAD: Final = 1
    BODY: Final = 2
    DEAF: Final = 3  # what came was refused, and requests before it are still to be answered
    LINGER: Final = 4
    CLOSED: Final = 5


class Arriving(Holding):
    """The half of a client connection that reads. `served`: requests that have begun."""

    __slots__ = (
        "_announced",
        "_blocks",
        "_body",
        "_declining",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_limit",
        "_method",
        "_parser",
        "_parsing",
        "_path",
        "_read_bytes",
        "_since",
        "_url",
        "_version_10",
        "mark",
        "served",
        "stage",
    )

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.stage = Stage.IDLE
        self.mark = 0.0  # when the stage began, or last made progress
        self.served = 0
        self._parser: Any = httptools.HttpRequestParser(self)
        self._parsing = False
        self._declining = False
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._method = b""
        self._path = b""
        self._keep_alive = False
        self._version_10 = False
        self._head_bytes = 0  # of the lines of the head that are whole
        self._read_bytes = 0  # of reads that brought nothing but a part of a head, or no byte of a body
        self._body: list[bytes] = []
        self._blocks = 0  # parts of the body that were many small ones
        self._announced = 0  # by content-length
        self._limit = 0
        self._since = 0.0  # when the request that is arriving began

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def _refuse(self, answer: ErrorAnswer) -> None:
        """Answers a request that never became whole, and closes."""
        raise NotImplementedError

    def _make_room(self) -> bool:
        """Whether the request that is arriving still has its place, now that whoever holds most has made way."""
        raise NotImplementedError

    def _feed_on(self, data: bytes) -> None:
        """Parses what came; requests that are whole with it are in the queue then.

        One body is parsed as a whole. What may be many requests is parsed in slices, and the rest waits for its turn.
        """
        size, at = len(data), REQUESTS_SLICE_BYTES
        if size <= at:
            self._feed(data)
            return
        self._feed(data[:at])
        while at < size and self.stage == Stage.BODY:
            self._feed(data[at : at + SLICE_BYTES])
            at += SLICE_BYTES
        if at < size and self.stage < Stage.DEAF:
            self._keep_pending(data[at:])

    def _feed(self, data: bytes) -> None:
        stage, had = self.stage, self._body_bytes
        if stage == Stage.IDLE:
            self._read_bytes = 0
        else:
            self._read_bytes += len(data)
            if stage == Stage.BODY:
                self.mark = self.shared.now()
        self._parsing = True
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._feed_past_offers(data, upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse(error("caller_bad_request", "the request is not valid HTTP/1.1"))
        self._parsing = False
        if self.stage == Stage.HEAD:
            self._hold_head(self._head_cost() + max(self._read_bytes, len(data)))
            self._look_at_budget()
        elif len(self._queue) > 1:
            self._look_at_budget()
        if self._body_bytes != had:
            self._read_bytes = 0
        elif self._read_bytes > HEAD_BYTES and (self.stage == Stage.HEAD or self.stage == Stage.BODY):
            self._head_too_large()

    def _feed_past_offers(self, data: bytes, offset: int) -> None:
        while True:
            data = data[offset:]
            if self._declining:
                self._decline_upgrade()
            if not data or self.stage >= Stage.DEAF:
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

    def _head_cost(self) -> int:
        """Bytes that the request takes beside its body."""
        return REQUEST_BYTES + LINE_BYTES * len(self._headers) + self._head_bytes

    def _look_at_budget(self) -> None:
        if self.shared.budget.is_over(self.payer):
            self._make_room()

    def _drop_body(self) -> None:
        super()._drop_body()
        self._body.clear()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self.stage = Stage.HEAD if self.stage < Stage.DEAF else self.stage
        self.mark = self._since = self.shared.now()
        self.payer = self.origin
        self._headers = {}
        self._url = b""
        self._body = []
        self._blocks = 0
        self._head_bytes = self._read_bytes = 0  # each head is counted for itself

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.stage != Stage.HEAD:  # trailers have no say in how a request is treated (RFC 9110, 6.5.1)
            return
        headers = self._headers
        name = name.lower()
        self._head_bytes += len(name) + len(value) + 4
        if name in headers:
            value = self._repeated(name, headers[name], value)
        headers[name] = value
        if self._head_bytes > HEAD_BYTES or len(headers) > HEAD_LINES:
            self._head_too_large()

    def _repeated(self, name: bytes, first: bytes, value: bytes) -> bytes:
        """What counts of a header that is there again."""
        if name == TRACESTATE:  # a list, in as many lines as there are vendors
            return b"%b,%b" % (first[:TRACESTATE_BYTES], value)
        if name == FORWARDED_FOR:  # a list, in as many lines as there are proxies; its end counts
            return b"%b,%b" % (first[-FORWARDED_FOR_BYTES:], value)
        if name == b"transfer-encoding":
            return b"%b, %b" % (first, value)
        if name == b"host" or (first != value and decides(name, self.shared.configured.matched_headers)):
            shown = name[:64].decode("latin-1")
            self._refuse(error("caller_bad_request", f"the request has more than one {shown} header"))
        return value

    def on_headers_complete(self) -> None:
        if self.stage >= Stage.DEAF:
            return
        self.stage = Stage.BODY
        if self._head_held:
            self._hold_head(0)
        configured = self.shared.configured
        if configured.proxies is not None:
            self.payer = configured.payer_of(self.address, self._headers)
        if self._queue or self._head_bytes > SMALL_HEAD_BYTES or len(self._headers) > SMALL_HEAD_LINES:
            self._hold_head(self._head_cost())
        if not self._is_served():
            return
        self._limit = configured.most_body_bytes
        length = self._headers.get(b"content-length")
        self._announced = int(length) if length is not None else 0
        if self._announced > self._limit:
            self._too_large()
        elif b"expect" in self._headers and self._expects_continue():
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _is_served(self) -> bool:
        """Whether the head is one of HTTP/1.0 or 1.1 that can be answered; else it is refused before its body."""
        parser, headers, url = self._parser, self._headers, self._url
        self._method = method = parser.get_method()
        self._keep_alive = keep_alive = parser.should_keep_alive()
        # Only HTTP/1.1 keeps a connection unasked, and the parser's answer to which version it is takes its time.
        self._version_10 = False
        if not keep_alive or b"connection" in headers:
            version = parser.get_http_version()
            self._version_10 = version == "1.0"
            if not self._version_10 and version != "1.1":
                self._refuse(error("caller_bad_request", f"HTTP/{version} is not served here; use HTTP/1.1"))
                return False
        if b"transfer-encoding" in headers and not self._is_only_chunked(headers[b"transfer-encoding"]):
            return False
        if method not in METHODS:
            shown = method.decode("latin-1")
            self._refuse(error("caller_method_not_allowed", f"the method {shown} is not served; use POST, or GET"))
            return False
        host = headers.get(b"host")
        if host is None and not self._version_10:
            self._refuse(error("caller_bad_request", "the request has no Host header (RFC 9112, 3.2)"))
            return False
        if host is not None and not is_host(host):
            self._refuse(error("caller_bad_request", "the request's Host header names no host (RFC 9112, 3.2)"))
            return False
        path = url if url in PATHS else path_of(url)
        if path is None:
            self._refuse(
                error("caller_bad_request", "the request's target is no path, or has a malformed escape in it")
            )
            return False
        self._path = path
        return True

    def _is_only_chunked(self, coding: bytes) -> bool:
        """Whether that is all that the body's bytes went through; else it is refused (RFC 9112, 6.1)."""
        if self._version_10:
            self._refuse(error("caller_bad_request", "HTTP/1.0 knows no transfer-encoding (RFC 9112, 6.1)"))
            return False
        if coding.strip().lower() == b"chunked":
            return True
        kind = VOCABULARY["caller_unsupported_encoding"]
        told = "the request has a transfer-encoding other than chunked; codings belong into content-encoding"
        self._refuse(ErrorAnswer(kind, told, status_override=501))
        return False

    def _expects_continue(self) -> bool:
        """A client behind others in the pipeline learns it when its turn has come, from the answer itself."""
        expected = self._headers[b"expect"].lower() == b"100-continue" and self._parser.get_http_version() == "1.1"
        return expected and not self._queue

    def on_body(self, data: bytes) -> None:
        if self.stage >= Stage.DEAF:
            return
        budget, size = self.shared.budget, len(data)
        self._body_bytes += size
        budget.take(self.payer, size)
        if self._body_bytes > self._limit:
            self._too_large()
            return
        if budget.is_over(self.payer) and not self._make_room():
            return
        body = self._body
        body.append(data)
        if len(body) - self._blocks >= PIECES_AT_ONCE:
            body[self._blocks :] = [b"".join(body[self._blocks :])]
            self._blocks += 1

    def on_message_complete(self) -> None:
        if self.stage >= Stage.DEAF:
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
        coding = headers[b"content-encoding"] if b"content-encoding" in headers and body else b""
        if coding and is_plain(coding):
            coding = b""
        self._body = []
        held = len(body) + self._head_held
        self._body_bytes = self._head_held = 0  # counted on until the request is answered
        self._headers = {}  # which go with the request
        method, path, keep_alive = self._method, self._path, self._keep_alive
        self._queue.append(Request(method, path, headers, body, keep_alive, self._version_10, held, self.payer, coding))
        self.stage = Stage.IDLE

    def _too_large(self) -> None:
        self._refuse(error("caller_body_too_large", f"the request body exceeds {self._limit} bytes (limits.maxBody)"))

    def _head_too_large(self) -> None:
        self._refuse(
            error(
                "caller_headers_too_large",
                f"request line and headers exceed {HEAD_BYTES} bytes or {HEAD_LINES} headers",
            )
        )
