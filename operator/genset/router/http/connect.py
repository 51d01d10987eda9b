"""Opens connections to endpoints: looks addresses up, keeps the last good ones, and speaks TCP, CONNECT to a proxy, TLS.

The deadline of a connection belongs to the state machine: the exchange cancels the task that runs `open`.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from genset.off_limits import OffLimits
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.target import Target
from genset.router.http.accept import FULL
from genset.router.http.outbox import Outbox
from genset.router.http.upstream import UpstreamConnection

log = logging.getLogger(__name__)

FRESH_SECONDS = 30.0  # an address is looked up again after this
PROXY_HEAD_BYTES = 16 * 1024
THREADS = 8  # that ask DNS
ADDRESS_SECONDS = 1.0  # one address of several before the next is tried


class ConnectFailed(Exception):
    """There is no connection. `detail` says which step failed, without any secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NothingLeft(ConnectFailed):
    """The process has no descriptor left, or its kernel no port (connect(2)): no fault of whom it wanted to reach."""


class Resolver:
    """The resolver asks DNS in threads of its own, so that a dead name server never holds up anything else.

    `addresses` answers from the last good lookup if a fresh one fails or takes long.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dns")
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._running: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def lookup(self, host: str) -> tuple[str, ...]:
        """Asks DNS for all addresses of a name. Raises OSError (socket.gaierror) if it has none."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, _getaddrinfo, host)
        self._known[host] = (loop.time(), found)
        return found

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Returns addresses to connect to, the fresh ones or the last good ones. Raises OSError."""
        if _is_address(host):
            return (host,)
        now = asyncio.get_running_loop().time()
        known = self._known.get(host)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        task = self._running.get(host)
        if task is None:
            task = self._running[host] = asyncio.create_task(self.lookup(host))
            task.add_done_callback(lambda done: self._finished(host, done))
        if known is not None:
            return known[1]
        return await asyncio.shield(task)

    def _finished(self, host: str, task: asyncio.Task[tuple[str, ...]]) -> None:
        self._running.pop(host, None)
        if not task.cancelled() and (problem := task.exception()) is not None:
            log.warning("Kept the last addresses of %s: %s", host, problem)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)  # as a URL has an address of IPv6
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Connector:
    """The connector opens connections to backends, of which it knows no more than their targets."""

    def __init__(self, resolver: Resolver, outbox: Outbox) -> None:
        self.resolver = resolver
        self.outbox = outbox
        self.off_limits: OffLimits | None = None
        self._detours: dict[Target, Connector] = {}  # empty but for live drills

    def detour(self, targets: Iterable[Target], by: Connector | None) -> None:
        """Has connections to these targets opened by another connector from now on; None: by nobody else."""
        for target in targets:
            if by is not None:
                self._detours[target] = by
            else:
                self._detours.pop(target, None)

    def guard(self, off_limits: OffLimits | None) -> None:
        """Takes the networks in which no server at a URL may be; None: it may be anywhere."""
        self.off_limits = off_limits

    async def open(self, target: Target, endpoint: Endpoint) -> UpstreamConnection:
        """Opens a connection, which is ready for its first request. Raises ConnectFailed."""
        if self._detours and (other := self._detours.get(target)) is not None:
            return await other.open(target, endpoint)
        connection = UpstreamConnection(endpoint)
        try:
            await self._open(target, endpoint, connection)
        except BaseException:
            connection.drop()
            raise
        return connection

    async def _open(self, target: Target, endpoint: Endpoint, connection: UpstreamConnection) -> None:
        loop = asyncio.get_running_loop()
        proxy, tls = target.proxy, target.tls
        off_limits = self.off_limits if target.host else None  # what DNS gives for a house of ours is ours
        if off_limits is not None and off_limits.names(endpoint.host):
            raise _forbidden(endpoint.name)  # behind a proxy nobody else would look
        if proxy is not None:
            tunnel = _Tunnel(endpoint.name, proxy.credentials)
            try:
                transport = await self._dial(proxy.host, proxy.port, tunnel, "the proxy", off_limits)
                await tunnel.opened
            except BaseException:
                tunnel.close()
                raise
            transport.set_protocol(connection)
            connection.transport = transport  # so that dropping the connection closes it
        else:
            transport = await self._dial(endpoint.host, endpoint.port, connection, endpoint.name, off_limits)
        if tls is None:
            connection.connection_made(transport)
            return
        connection.made_over(transport)
        try:
            secure = await loop.start_tls(
                transport, connection, tls, server_hostname=target.host, ssl_handshake_timeout=10.0
            )
        except (ssl.SSLError, OSError) as problem:
            raise ConnectFailed(f"TLS with {target.host} failed: {_reason(problem)}") from problem
        if secure is None:
            raise ConnectFailed(f"TLS with {target.host} failed: the connection was closed")
        connection.connection_made(secure)

    async def _dial(
        self, host: str, port: int, protocol: asyncio.Protocol, name: str, off_limits: OffLimits | None
    ) -> Any:
        loop = asyncio.get_running_loop()
        try:
            addresses = await self.resolver.addresses(host)
        except OSError as problem:
            raise ConnectFailed(f"DNS has no address for {host}: {_reason(problem)}") from problem
        if off_limits is not None:  # what is dialled is what was looked at: no name is resolved again
            addresses = tuple(address for address in addresses if not off_limits.holds(address))
            if not addresses:
                raise _forbidden(name)
        problem_seen: OSError | None = None
        for index, address in enumerate(addresses):
            last = index == len(addresses) - 1
            try:
                async with asyncio.timeout(None if last else ADDRESS_SECONDS):
                    transport, _ = await loop.create_connection(lambda: protocol, address, port)
                return transport
            except OSError as problem:  # TimeoutError is one, too
                problem_seen = problem
        own = problem_seen is not None and problem_seen.errno in (*FULL, errno.EADDRNOTAVAIL)
        failed = NothingLeft if own else ConnectFailed
        raise failed(f"could not connect to {name}: {_reason(problem_seen)}") from problem_seen


class _Tunnel(asyncio.Protocol):
    """A tunnel is the protocol of a connection to a proxy until the answer to CONNECT is complete."""

    def __init__(self, target: str, credentials: bytes) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: Any = None
        self._head = b""
        authorization = b""
        if credentials:
            authorization = b"Proxy-Authorization: Basic " + base64.b64encode(credentials) + b"\r\n"
        name = target.encode("idna" if not target.isascii() else "ascii")
        self._request = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (name, name, authorization)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request)

    def close(self) -> None:
        self.opened.cancel()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            return
        self._head += data
        if b"\r\n\r\n" not in self._head:
            if len(self._head) > PROXY_HEAD_BYTES:
                self._fail("sent an endless head")
            return
        words = self._head.split(b"\r\n", 1)[0].split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].startswith(b"2"):
            shown = words[1].decode("latin-1")[:3] if len(words) > 1 else "no HTTP"
            self._fail(f"answered {shown} to CONNECT")
        else:
            self.opened.set_result(None)

    def connection_lost(self, problem: BaseException | None) -> None:
        if not self.opened.done():
            self._fail("closed the connection before it answered CONNECT")

    def _fail(self, what: str) -> None:
        self.opened.set_exception(ConnectFailed(f"the proxy {what}"))


def remember_session(target: Target, connection: UpstreamConnection) -> None:
    """Keeps the TLS session of a connection that has answered."""
    ssl_object = connection.transport.get_extra_info("ssl_object")
    if ssl_object is not None and target.tls is not None:
        target.tls.remember(target.host, ssl_object)


def _forbidden(name: str) -> ConnectFailed:
    return ConnectFailed(
        f"{name} is at an address that no router may dial (loopback, link-local, metadata, API server)"
    )


def _reason(problem: BaseException | None) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return problem.verify_message
    if isinstance(problem, TimeoutError):
        return "timed out"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return str(problem) or type(problem).__name__
