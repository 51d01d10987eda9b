"""The admin port serves /-/healthy /-/ready /-/config /-/state /-/demand /metrics to operator, kubelet and Prometheus.

It is a port of its own and never on the Service for clients: what it shows (addresses, names) is not for them.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import httptools
import orjson

from genset.contracts.load import LOAD_PATH
from genset.contracts.router_admin import CONFIG_PATH, DEMAND_PATH, LIMITS_PATH
from genset.contracts.usage import EGRESS_PATH
from genset.router.access.sharing import NONCE_CHARACTERS
from genset.router.http.callers import peer_of
from genset.router.http.heads import NOSNIFF, reason_phrase
from genset.router.http.origin import origin_of
from genset.router.process.options import AdminTimeouts
from genset.router.process.parts import Parts
from genset.router.process.views import config_report, demand_report, load_report, shown_state

REQUEST_BYTES = 16 * 1024  # of a request's head, and of received bytes that are not parsed yet
SLICE_BYTES = 1024  # parsed at a time: a few requests
CONNECTIONS = 64  # beyond so many, the address with the most loses the connection that has been still for longest
METRICS_SECONDS = 1.0  # between two renderings of /metrics: each takes milliseconds, in which no request moves
STATE_SECONDS = 0.1  # between two renderings of /-/state
JSON = b"application/json"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_LOAD = LOAD_PATH.encode()
_CONFIG, _DEMAND, _LIMITS = CONFIG_PATH.encode(), DEMAND_PATH.encode(), LIMITS_PATH.encode()
_EGRESS = EGRESS_PATH.encode()

Asked = tuple[bytes, bytes, bool]  # method, path, whether the connection is kept alive


class Page:
    """A page is rendered once in `seconds`, and once more for whoever looks twice in that time."""

    def __init__(self, render: Callable[[], bytes], seconds: float, now: Callable[[], float]) -> None:
        self._render = render
        self._seconds = seconds
        self._now = now
        self._body = b""
        self._due = [-math.inf, -math.inf]  # when it may be rendered again, the earlier time first

    def body(self) -> bytes:
        now = self._now()
        if now >= self._due[0]:
            self._body = self._render()
            self._due = [self._due[1], max(now, self._due[1]) + self._seconds]
        return self._body


class AdminPort:
    """The admin port is what its connections share. `metrics` renders the page for Prometheus."""

    def __init__(self, parts: Parts, metrics: Callable[[], bytes], timeouts: AdminTimeouts) -> None:
        self.parts = parts
        self.timeouts = timeouts
        self.connections: set[AdminConnection] = set()
        self.metrics = Page(metrics, METRICS_SECONDS, parts.shared.now)
        self.state = Page(lambda: orjson.dumps(shown_state(parts)), STATE_SECONDS, parts.shared.now)

    def connect(self) -> AdminConnection:
        return AdminConnection(self)

    def make_way(self, newcomer: AdminConnection) -> None:
        """Closes another connection if there are too many.

        It is one of the address that has the most: the one whose request, or silence, has lasted longest.
        """
        open_ones = [connection for connection in self.connections if not connection.closing]
        if len(open_ones) <= CONNECTIONS:
            return
        counts = Counter(connection.origin for connection in open_ones)
        open_ones.remove(newcomer)
        min(open_ones, key=lambda connection: (-counts[connection.origin], connection.mark)).drop()

    def expire(self, now: float) -> None:
        """Closes what has taken too long; called once a second."""
        for connection in list(self.connections):
            connection.expire(now)

    def close(self) -> None:
        for connection in list(self.connections):
            connection.close()

    def page(self, path: bytes) -> tuple[int, bytes, bytes]:
        """Returns status, content type and body of a page."""
        parts = self.parts
        if path == b"/-/healthy":
            return 200, TEXT, b"ok\n"
        if path == b"/-/ready":
            why_not = parts.why_not_ready()
            return 503 if why_not else 200, TEXT, (why_not or "ok").encode() + b"\n"
        if path == _CONFIG:
            return 200, JSON, parts.shared.configured.mask.hide(config_report(parts).to_json())
        if path == b"/-/state":
            return 200, JSON, self.state.body()
        if path == _DEMAND:
            return 200, JSON, demand_report(parts).to_json()
        if path == _LOAD:
            return 200, JSON, load_report(parts).to_json()
        if path.startswith(_LIMITS) and len(path) <= len(_LIMITS) + NONCE_CHARACTERS:
            return self._limits(path[len(_LIMITS) :])
        if path == b"/metrics":
            return 200, TEXT, self.metrics.body()
        if path.startswith(_EGRESS) and (found := parts.egress.page(path)) is not None:
            return 200, JSON if path == _EGRESS else TEXT, found
        return 404, TEXT, b"unknown path\n"

    def _limits(self, nonce: bytes) -> tuple[int, bytes, bytes]:
        """Returns what consumers have used here, for another router that shares their limits."""
        configured = self.parts.shared.configured
        if configured.sharing is None:
            return 404, TEXT, b"no limits are shared\n"
        limited = configured.consumers.limited() if configured.consumers is not None else []
        return 200, JSON, configured.sharing.tell(limited, nonce, self.parts.shared.now())


class AdminConnection(asyncio.Protocol):
    """One connection to the admin port answers GET requests, one in each turn of the event loop."""

    def __init__(self, port: AdminPort) -> None:
        self._port = port
        self._shared = port.parts.shared
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._has_body = False
        self._bytes = 0  # of a request that is not complete
        self._pending = b""  # received and not parsed yet
        self._asked: deque[Asked] = deque()
        self._refused: tuple[int, bytes] | None = None  # status and text, sent after the answers as the last
        self._due = False  # the loop is going to call `_go_on`
        self._stuck = False  # the client does not read what was written
        self.closing = False
        self.origin = ""  # the client's, as shares go
        self.mark = 0.0  # when something last happened, seconds of the router's clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.origin = origin_of(peer_of(transport.get_extra_info("peername")))
        self.mark = self._shared.now()
        self._port.connections.add(self)
        self._port.make_way(self)

    def connection_lost(self, problem: BaseException | None) -> None:
        self.closing = True
        self._port.connections.discard(self)
        self._parser = None

    def close(self) -> None:
        """Closes the connection after what was written."""
        self.closing = True
        self._transport.close()

    def drop(self) -> None:
        self.closing = True
        self._transport.abort()

    def expire(self, now: float) -> None:
        """Closes the connection if something has taken too long; called about once a second."""
        age, timeouts = now - self.mark, self._port.timeouts
        if age > timeouts.idle and (self._stuck or self.closing):
            self.drop()
        elif age > timeouts.idle or (self._bytes and age > timeouts.head):
            self.close()

    def pause_writing(self) -> None:
        self._stuck = True
        self.mark = self._shared.now()

    def resume_writing(self) -> None:
        self._stuck = False
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if self.closing or self._refused:
            return
        self._pending += data
        if len(self._pending) > REQUEST_BYTES:
            self._transport.pause_reading()
        if not self._due and not self._stuck:
            self._go_on()

    def _go_on(self) -> None:
        """Answers one request; the next one waits for the loop's next turn."""
        self._due = False
        if self._stuck or self.closing:
            return
        while not self._asked and self._pending and not self._refused:
            self._feed()
        if self._asked:
            method, path, keep = self._asked.popleft()
            self._answer(method, path, keep)
        elif self._refused:
            status, words = self._refused
            self._write(status, TEXT, words, keep=False)
        if self.closing:
            return
        if self._asked or self._pending or self._refused:
            self._due = True
            self._shared.loop.call_soon(self._go_on)
        else:
            self._transport.resume_reading()

    def _feed(self) -> None:
        data, self._pending = self._pending[:SLICE_BYTES], self._pending[SLICE_BYTES:]
        if not self._bytes:
            self.mark = self._shared.now()
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, b"not HTTP/1.1\n")
        if self._bytes > REQUEST_BYTES:
            self._refuse(413, b"too large\n")

    def _refuse(self, status: int, words: bytes) -> None:
        self._refused = self._refused or (status, words)
        self._pending = b""

    def on_message_begin(self) -> None:
        self._url = b""
        self._has_body = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            self._has_body = True

    def on_headers_complete(self) -> None:
        if self._has_body:
            self._refuse(413, b"requests have no body here\n")

    def on_message_complete(self) -> None:
        self._bytes = 0
        if self._parser.should_upgrade():  # CONNECT, too: what follows is not HTTP
            self._refuse(400, b"not HTTP/1.1\n")
        if not self._refused:
            path = self._url.split(b"?", 1)[0]
            self._asked.append((self._parser.get_method(), path, self._parser.should_keep_alive()))

    def _answer(self, method: bytes, path: bytes, keep: bool) -> None:
        if method not in (b"GET", b"HEAD"):
            self._write(405, TEXT, b"only GET\n", keep=keep)
            return
        status, content_type, body = self._port.page(path)
        self._write(status, content_type, body, keep=keep, bodiless=method == b"HEAD")

    def _write(self, status: int, content_type: bytes, body: bytes, *, keep: bool, bodiless: bool = False) -> None:
        self.mark = self._shared.now()
        self._transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%bcontent-length: %d\r\nconnection: %b\r\n\r\n"
            % (status, reason_phrase(status), content_type, NOSNIFF, len(body), b"keep-alive" if keep else b"close")
        )
        if not bodiless:
            self._transport.write(body)
        if not keep:
            self.close()
