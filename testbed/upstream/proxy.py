"""ConnectProxy is a small egress HTTP proxy (CONNECT only), as houses without direct internet access have one.

It tells who asked for which host, and with which credentials. It can refuse, hang, and stand in for DNS, so that a
cloud's name leads to a server of the test.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class Tunnel:
    """A tunnel is one CONNECT. Bytes are those of the tunnel, without the proxy's own answer."""

    host: str
    port: int
    headers: dict[str, str]
    status: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    closed: bool = False


@dataclass
class ConnectProxy:
    """A proxy can be told how to answer CONNECT.

    credentials: user:password that Basic authentication must carry. refuse: a status for every CONNECT. hang: never
    answers a CONNECT. leads: (host, port) by host name, in place of DNS.
    """

    credentials: str | None = None
    refuse: int | None = None
    hang: bool = False
    leads: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    tunnels: list[Tunnel] = field(default_factory=list, init=False)
    port: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ConnectProxy:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Returns http://HOST:PORT."""
        return f"http://127.0.0.1:{self.port}"

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._tunnel(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        fields = (line.partition(":") for line in lines[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        host, _, port = target.rpartition(":")
        tunnel = Tunnel(host.strip("[]"), int(port or 0), headers)
        self.tunnels.append(tunnel)
        if self.hang:
            await reader.read()
            return
        tunnel.status = self._verdict(method, headers)
        if tunnel.status == 200:
            try:
                up_reader, up_writer = await asyncio.open_connection(
                    *self.leads.get(tunnel.host, (tunnel.host, tunnel.port))
                )
            except OSError:
                tunnel.status = 502
        if tunnel.status != 200:
            demand = 'Proxy-Authenticate: Basic realm="egress"\r\n' if tunnel.status == 407 else ""
            writer.write(f"HTTP/1.1 {tunnel.status} Refused\r\n{demand}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, up_writer, tunnel, up=True))
                group.create_task(_pump(up_reader, writer, tunnel, up=False))
        finally:
            tunnel.closed = True
            up_writer.close()

    def _verdict(self, method: str, headers: Mapping[str, str]) -> int:
        if method != "CONNECT":
            return 405
        if self.credentials is not None:
            wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
            if headers.get("proxy-authorization") != wanted:
                return 407
        return self.refuse or 200


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: Tunnel, *, up: bool) -> None:
    """Copies one direction until its sender closes; the other side is then told so."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            if up:
                tunnel.bytes_up += len(data)
            else:
                tunnel.bytes_down += len(data)
            writer.write(data)
            await writer.drain()
    # Both sides are closed: HTTP and TLS clients do not use half-closed connections.
    with contextlib.suppress(OSError):
        writer.close()
