"""The head of a request arrives line by line, within bounds; once it is whole, it says whether the request is served at all."""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.access.acquaintance import Acquaintance
from genset.router.access.consumer import Consumer
from genset.router.access.consumers import Consumers
from genset.router.dialects.openai.api import PATHS
from genset.router.errors import VOCABULARY, ErrorAnswer, error
from genset.router.http.callers import FORWARDED_FOR, FORWARDED_FOR_BYTES
from genset.router.http.request import LINE_BYTES, REQUEST_BYTES, decides
from genset.router.http.target import is_host, path_of
from genset.router.http.trace_context import TRACESTATE, TRACESTATE_BYTES

HEAD_BYTES: Final = 64 * 1024  # request line and headers
HEAD_LINES: Final = 256  # different headers: each costs far more than its bytes
SMALL_HEAD_BYTES: Final = 4 * 1024  # a larger one counts as a body does, for as long as its request is here
SMALL_HEAD_LINES: Final = 32  # the same
#: Methods with a meaning for us or for a browser. What another one makes of its body is not ours to guess: CONNECT has none.
METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"PATCH", b"DELETE"))
#: Names of headers that clients send, as most of them are spelled. One that is found needs no lower case made of it, and has its
#: hash: half of what a header costs.
_SPELLED: Final = {
    spelled: name
    for name in (
        b"accept accept-encoding accept-language anthropic-beta anthropic-version api-key authorization connection "
        b"content-length content-type host openai-beta openai-organization openai-project traceparent tracestate user-agent "
        b"x-api-key x-envoy-external-address x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip "
        b"x-request-id x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os x-stainless-package-version "
        b"x-stainless-read-timeout x-stainless-retry-count x-stainless-runtime x-stainless-runtime-version x-stainless-timeout"
    ).split()
    for spelled in (name, name.title())
}
TOO_LARGE: Final = error(
    "caller_headers_too_large", f"request line and headers exceed {HEAD_BYTES} bytes or {HEAD_LINES} headers"
)


@final
class ArrivingHead:
    """A head is that of one request at a time, of those that come over a connection.

    `size`: bytes of its lines. `method`, `path` (decoded, without the query), `keep_alive` and `version_10` are those of the
    last head that was `judged`. `consumer` is who asks, if the request has a body and somebody wants to know.
    """

    __slots__ = (
        "_acquaintance",
        "_host",
        "_target",
        "consumer",
        "headers",
        "keep_alive",
        "method",
        "path",
        "size",
        "url",
        "version_10",
    )

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.size = 0
        self.method = b""
        self.path = b""
        self.keep_alive = False
        self.version_10 = False
        self.consumer: Consumer | None = None
        # Clients say the same again and again over one connection. These were good, or it would have been closed.
        self._target = b""  # that `path` was made of
        self._host = b""
        self._acquaintance = Acquaintance()

    def begin(self) -> None:
        """Forgets the last head: another request begins."""
        self.url = b""
        if self.headers:
            self.headers = {}
        self.size = 0
        self.consumer = None

    def introduce(self, consumers: Consumers) -> ErrorAnswer | None:
        """Finds out who asks. Returns the error for somebody who may not."""
        found = self._acquaintance.who(consumers, self.headers)
        if isinstance(found, ErrorAnswer):
            return found
        self.consumer = found
        return None

    def add_url(self, url: bytes) -> None:
        """Takes a part of the target, which is almost always the whole."""
        self.url = self.url + url if self.url else url
        self.size += len(url)

    def add(self, name: bytes, value: bytes, matched: frozenset[bytes]) -> ErrorAnswer | None:
        """Takes a header, or says why its request is refused. `matched`: names that routes look at."""
        headers = self.headers
        name = _SPELLED.get(name) or name.lower()
        self.size += len(name) + len(value) + 4
        if name not in headers:
            headers[name] = value
        elif (refused := self._add_again(name, value, matched)) is not None:
            return refused
        return TOO_LARGE if self.size > HEAD_BYTES or len(headers) > HEAD_LINES else None

    def _add_again(self, name: bytes, value: bytes, matched: frozenset[bytes]) -> ErrorAnswer | None:
        """Takes a header whose name is there already."""
        first = self.headers[name]
        if name == TRACESTATE:  # a list, in as many lines as there are vendors
            value = b"%b,%b" % (first[:TRACESTATE_BYTES], value)
        elif name == FORWARDED_FOR:  # a list, in as many lines as there are proxies; its end counts
            kept = max(0, len(first) - FORWARDED_FOR_BYTES)
            value = b"%b,%b" % (first[kept:], value)
        elif name == b"transfer-encoding":
            value = b"%b, %b" % (first, value)
        elif name == b"host" or (first != value and decides(name, matched)):
            shown = name[:64].decode("latin-1")
            return error("caller_bad_request", f"the request has more than one {shown} header")
        self.headers[name] = value
        return None

    @property
    def cost(self) -> int:
        """Returns how many bytes the request takes beside its body."""
        return REQUEST_BYTES + LINE_BYTES * len(self.headers) + self.size

    @property
    def is_small(self) -> bool:
        """Returns whether it costs too little to be counted."""
        return self.size <= SMALL_HEAD_BYTES and len(self.headers) <= SMALL_HEAD_LINES

    @property
    def length(self) -> int:
        """Returns the content-length, which the parser has checked; 0 without one."""
        digits = self.headers.get(b"content-length")
        if digits is None:
            return 0
        length = 0
        for at in range(len(digits)):  # `int` takes five times as long
            digit = digits[at]
            if not 48 <= digit <= 57:  # blanks behind the number, at most
                return int(digits)
            length = 10 * length + digit - 48
        return length

    def judged(self, parser: Any) -> ErrorAnswer | None:
        """Takes the whole head, or says why its request is refused before its body: only HTTP/1.0 and 1.1 are served.

        `parser` is the one of httptools that has read it.
        """
        headers = self.headers
        refused = self._judged_version(parser)
        if refused is None and b"transfer-encoding" in headers:
            refused = self._judged_coding(headers[b"transfer-encoding"])
        if refused is not None:
            return refused
        method: bytes = parser.get_method()
        if method != self.method:
            if method not in METHODS:
                shown = method.decode("latin-1")
                return error("caller_method_not_allowed", f"the method {shown} is not served; use POST, or GET")
            self.method = method
        host = headers.get(b"host")
        if host is None:
            if not self.version_10:
                return error("caller_bad_request", "the request has no Host header (RFC 9112, 3.2)")
        elif host != self._host:
            if not is_host(host):
                return error("caller_bad_request", "the request's Host header names no host (RFC 9112, 3.2)")
            self._host = host
        url = self.url
        if url != self._target:
            path = url if url in PATHS else path_of(url)
            if path is None:
                return error("caller_bad_request", "the request's target is no path, or has a malformed escape in it")
            self._target, self.path = url, path
        return None

    def _judged_version(self, parser: Any) -> ErrorAnswer | None:
        self.keep_alive = keep_alive = parser.should_keep_alive()
        self.version_10 = False
        # Only HTTP/1.1 keeps a connection unasked, and the parser's answer to which version it is takes its time.
        if not keep_alive or b"connection" in self.headers:
            version = parser.get_http_version()
            self.version_10 = version == "1.0"
            if not self.version_10 and version != "1.1":
                return error("caller_bad_request", f"HTTP/{version} is not served here; use HTTP/1.1")
        return None

    def _judged_coding(self, coding: bytes) -> ErrorAnswer | None:
        """Returns why a transfer-encoding is refused that is more than chunks (RFC 9112, 6.1)."""
        if self.version_10:
            return error("caller_bad_request", "HTTP/1.0 knows no transfer-encoding (RFC 9112, 6.1)")
        if coding.strip().lower() == b"chunked":
            return None
        kind = VOCABULARY["caller_unsupported_encoding"]
        told = "the request has a transfer-encoding other than chunked; codings belong into content-encoding"
        return ErrorAnswer(kind, told, status_override=501)

    def expects_continue(self, parser: Any) -> bool:
        """Returns whether the client waits for a word before it sends the body (RFC 9110, 10.1.1)."""
        expected = self.headers.get(b"expect")
        return expected is not None and expected.lower() == b"100-continue" and parser.get_http_version() == "1.1"
