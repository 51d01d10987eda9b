"""A crowd is clients with several addresses: some ask, some do not read, some do neither."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.router import RunningRouter
from testbed.upstream.client import chat

OTHER = "127.0.0.2"  # somebody else's address
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
MB = 1_000_000


class Client:
    """A client is a raw connection from one of the addresses of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, router: RunningRouter, source: str = "127.0.0.1") -> Client:
        port = router.router.listen_port
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    async def ask(self, **more: object) -> int:
        """Sends a request. Returns the status of its whole answer."""
        data = json.dumps(chat(stream=False, **more)).encode()
        self.writer.write(HEAD % len(data) + data)
        return await self.status()

    async def status(self, within: float = 5.0) -> int:
        async with asyncio.timeout(within):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self.reader.readexactly(length)
        return int(head.split()[1])

    async def is_closed(self, within: float = 5.0) -> bool:
        async with asyncio.timeout(within):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.close()


def deaf(port: int, sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    """Opens a client that reads nothing, and has sent as much of `sent` as goes without waiting."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.bind((source, 0))
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    send_more(client, sent)
    return client


def send_more(client: socket.socket, data: bytes) -> None:
    try:
        client.send(data)
    except OSError:
        pass  # not connected yet, full, or cut off


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Leaves only `count` file descriptors to this process, which is the router's and its clients'."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
