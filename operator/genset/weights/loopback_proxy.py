"""A library that dials by itself is kept from what is off limits by a proxy on the loopback, through which it has to go.

obstore's connections are its own: it resolves names again, follows redirects of a store, and asks the `token_uri` and the
`gcs_base_url` that a service account's file names. Whatever it asks, it asks this proxy (RFC 9110, 9.3.6 and 7.1), which dials
what may be dialled, itself or through the site's proxy. TLS stays between the library and the store.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import cast
from urllib.parse import unquote, urlsplit

import httpcore

from genset.addresses import host_and_port
from genset.api.modeldeployment import Reason
from genset.off_limits import OffLimits
from genset.weights.client import tls_context
from genset.weights.failure import WeightsFailure
from genset.weights.guard import Guarded, forbidden
from genset.weights.proxy import proxy_for

_HEAD_BYTES = 64 << 10  # of one request
_DIAL_SECONDS = 15.0
_SILENCE_SECONDS = 60.0  # on both sides; the library's own deadline is shorter
_ANSWER_BYTES = (
    256 << 20
)  # of one connection: a list of 100,000 objects has some 40 MB, and the library holds it in memory
_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_AWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class LoopbackProxy(socketserver.ThreadingTCPServer):
    """A loopback proxy dials nothing `off_limits`. `trouble` is why it dialled nothing the last time."""

    daemon_threads = True

    def __init__(self, off_limits: OffLimits, environ: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.off_limits = off_limits
        self.environ = environ
        self.trouble: Exception | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def dialled(self, host: str, port: int, proxy: str | None) -> socket.socket:
        """Returns a connection to a host, or to the site's proxy on the way there. Raises WeightsFailure for what is off
        limits, and httpcore's errors."""
        if self.off_limits.names(host):
            raise forbidden(host)  # behind a proxy nobody else would look
        if proxy is None:
            stream = Guarded(httpcore.SyncBackend(), self.off_limits).connect_tcp(host, port, timeout=_DIAL_SECONDS)
            return cast(socket.socket, stream.get_extra_info("socket"))
        parts = urlsplit(proxy)
        name, at = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        stream = Guarded(httpcore.SyncBackend(), OffLimits()).connect_tcp(name, at, timeout=_DIAL_SECONDS)
        if parts.scheme == "https":
            stream = stream.start_tls(tls_context(""), name, _DIAL_SECONDS)
        return cast(socket.socket, stream.get_extra_info("socket"))


@contextmanager
def through(off_limits: OffLimits, environ: Mapping[str, str]) -> Iterator[LoopbackProxy]:
    """Runs a loopback proxy."""
    with LoopbackProxy(off_limits, environ) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()


class _Connection(socketserver.BaseRequestHandler):
    """One request, and whatever its connection carries afterwards: to the one server that was looked at."""

    server: LoopbackProxy

    def handle(self) -> None:
        head, rest = self._read_head()
        line, _, fields = head.partition(b"\r\n")
        try:
            method, target, _ = line.decode("ascii").split(" ")
            tunnel = method == "CONNECT"
            host, port = _server_of(target, tunnel)
        except ValueError:
            return  # no request of the library's
        proxy = proxy_for(f"{'https' if tunnel else 'http'}://{target.removeprefix('http://')}", self.server.environ)
        try:
            upstream = self.server.dialled(host, port, proxy)
        except (WeightsFailure, httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            self.server.trouble = error
            self.request.sendall(_REFUSED if isinstance(error, WeightsFailure) else _AWAY)
            return
        with closing(upstream), contextlib.suppress(OSError):  # a side that is lost is the end of both
            if proxy is None and tunnel:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(_as_sent(line, fields, proxy) + rest)
            if not _relay(self.request, upstream):
                self.server.trouble = WeightsFailure(
                    Reason.SOURCE_UNREACHABLE,
                    f"{host} answers more than {_ANSWER_BYTES >> 20} MiB, which no list of objects has; check the endpoint",
                )

    def _read_head(self) -> tuple[bytes, bytes]:
        self.request.settimeout(_SILENCE_SECONDS)
        held = b""
        while b"\r\n\r\n" not in held and len(held) < _HEAD_BYTES:
            more = self.request.recv(16 << 10)
            if not more:
                return b"", b""
            held += more
        head, _, rest = held.partition(b"\r\n\r\n")
        return head, rest


def _server_of(target: str, tunnel: bool) -> tuple[str, int]:
    """Returns the host and the port of a request's target. Raises ValueError."""
    if tunnel:
        found = host_and_port(target)
        if found is None:
            raise ValueError(target)
        return found
    parts = urlsplit(target)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(target)
    return parts.hostname, parts.port or 80


def _as_sent(line: bytes, fields: bytes, proxy: str | None) -> bytes:
    """Returns a request's head as the next hop takes it: a proxy whole URLs with its password, a server paths."""
    method, target, version = line.split(b" ")
    kept = [
        field for field in fields.split(b"\r\n") if field and not field.lower().startswith((b"proxy-", b"connection:"))
    ]
    if proxy is None:
        parts = urlsplit(target.decode("ascii"))
        path = parts._replace(scheme="", netloc="").geturl() or "/"
        line = b" ".join((method, path.encode("ascii"), version))
    elif (user := urlsplit(proxy)).username is not None:
        pair = f"{unquote(user.username)}:{unquote(user.password or '')}".encode()
        kept.append(b"Proxy-Authorization: Basic " + base64.b64encode(pair))
    if method != b"CONNECT":
        kept.append(b"Connection: close")  # the next request may be for another server
    return b"\r\n".join((line, *kept, b"", b""))


def _relay(client: socket.socket, upstream: socket.socket) -> bool:
    """Carries bytes both ways until one side has ended: the library's requests are small, and it ends none of them half.

    Returns False if the server has sent more than anybody may.
    """
    carried = 0
    upstream.settimeout(_SILENCE_SECONDS)
    ends = {client: upstream, upstream: client}
    while True:
        held = isinstance(upstream, ssl.SSLSocket) and upstream.pending()
        ready = [upstream] if held else select.select(list(ends), [], [], _SILENCE_SECONDS)[0]
        for one in ready:
            piece = one.recv(64 << 10)
            if not piece:
                return True
            carried += len(piece)
            if carried > _ANSWER_BYTES:
                return False
            ends[one].sendall(piece)
        if not ready:
            return True
