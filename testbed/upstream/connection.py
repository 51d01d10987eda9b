"""One connection of a ScriptedUpstream reads requests, plays their steps, and notices when the client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import socket
import struct
import termios
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from testbed.upstream.steps import Answer, Break, Close, Raw, Reset, Segments, Silence, Status, Step
from testbed.upstream.wire import Asked, plain_body, stream_events

if TYPE_CHECKING:
    from testbed.upstream.scripted import Received, ScriptedUpstream


def reset_on_close(sock: socket.socket) -> None:
    """Makes close() send RST instead of FIN (SO_LINGER on, zero seconds)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Gone(Exception):
    """The connection was ended by either side."""


class Connection(asyncio.Protocol):
    """A connection answers the requests of one socket, one after another."""

    def __init__(self, upstream: ScriptedUpstream, sock: socket.socket, number: int) -> None:
        self._upstream = upstream
        self._sock = sock
        self._number = number
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._left = asyncio.Event()
        self._current: Received | None = None
        self._chunked = False

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from it

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._arrived.set()

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._upstream.closed(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _leave(self) -> None:
        current = self._current
        if current and current.finished_at is None and current.client_left_at is None:
            current.client_left_at = asyncio.get_running_loop().time()
        self._left.set()
        self._arrived.set()
        self._writable.set()
        self._upstream.notice()

    # -- requests

    async def run(self) -> None:
        """Serves until one side closes."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.cut, reset=False)
            stack.enter_context(contextlib.suppress(_Gone))
            while True:
                method, path, headers = await self._head()
                body = await self._body(headers)
                received = self._upstream.record(self._number, method, path, headers, body)
                self._current = received
                assert received.step is not None
                await self._play(received, received.step)
                received.finished_at = asyncio.get_running_loop().time()
                self._current = None
                self._upstream.notice()
                if headers.get("connection", "").lower() == "close":
                    return

    async def _more(self) -> None:
        if self._left.is_set():
            raise _Gone
        self._arrived.clear()
        await self._arrived.wait()

    async def _until(self, separator: bytes) -> bytes:
        while (end := self._data.find(separator)) < 0:
            await self._more()
        found = bytes(self._data[:end])
        del self._data[: end + len(separator)]
        return found

    async def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            await self._more()
        found = bytes(self._data[:size])
        del self._data[:size]
        return found

    async def _head(self) -> tuple[str, str, dict[str, str]]:
        lines = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        if headers.get("expect", "").lower() == "100-continue":
            await self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return method, path, headers

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self._exactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int((await self._until(b"\r\n")).split(b";")[0], 16):
            body += await self._exactly(size)
            await self._exactly(2)
        await self._until(b"\r\n")
        return body

    # -- steps

    async def _play(self, received: Received, step: Step) -> None:
        match step:
            case Answer():
                await self._answer(received, step)
            case Status():
                await self._pause(step.delay)
                body = step.body if isinstance(step.body, bytes | str) else json.dumps(step.body)
                data = body.encode() if isinstance(body, str) else body
                headers = {"content-type": "application/json", **step.headers, "content-length": str(len(data))}
                await self._start(received, step.code, headers)
                await self._write(data)
                received.bytes_sent = len(data)
                if step.close:
                    self._finish("fin")
            case Reset():
                await self._pause(step.delay)
                self._finish("rst")
            case Close():
                await self._pause(step.delay)
                self._finish("fin")
            case Silence():
                if step.headers:
                    headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
                    await self._start(received, 200, headers)
                await self._silence()
            case Raw():
                await self._write(step.data)
                received.bytes_sent = len(step.data)
                await self._delivered()
                await self._then(step.how)
            case Segments():
                for part in step.parts:
                    if isinstance(part, bytes):
                        await self._write(part)
                        await self._delivered()
                    else:
                        await self._pause(part)
                await self._then(step.how)

    async def _then(self, how: str) -> None:
        if how == "stall":
            await self._silence()
        if how != "continue":
            self._finish(how)

    async def _answer(self, received: Received, answer: Answer) -> None:
        asked = Asked.of(received.path.partition("?")[0], received.json)
        identity = f"scripted-{received.number}"
        await self._pause(answer.header_delay)
        streamed = asked.stream if answer.stream is None else answer.stream
        if streamed:
            events = stream_events(answer, asked, identity)
            head, chunks, tail = events.head, events.chunks, events.tail
        else:
            head, chunks, tail = b"", (plain_body(answer, asked, identity),), b""
        framing = answer.framing or ("chunked" if streamed else "length")
        headers = {"content-type": "text/event-stream" if streamed else "application/json", **answer.headers}
        if framing == "length":
            headers["content-length"] = str(len(head) + sum(map(len, chunks)) + len(tail))
        else:
            headers |= {"transfer-encoding": "chunked"} if framing == "chunked" else {"connection": "close"}
        await self._start(received, 200, headers)
        self._chunked = framing == "chunked"
        await self._stream(received, answer, head, chunks, tail)
        if framing == "close":
            received.finished_at = asyncio.get_running_loop().time()
            self._finish("fin")

    async def _stream(
        self, received: Received, answer: Answer, head: bytes, chunks: tuple[bytes, ...], tail: bytes
    ) -> None:
        """Sends the parts at their pace; the break, wherever it lies, splits the part that it falls into."""
        if answer.burst:
            parts = [(0.0, head + b"".join(chunks) + tail)]
        else:
            paces = [answer.first_delay, *[answer.interval] * (len(chunks) - 1)]
            parts = [(0.0, head), *zip(paces, chunks, strict=False), (0.0, tail)]
        brk = answer.brk
        at = _place(brk, head, chunks) if brk else None
        sent = 0
        for index, (pause, part) in enumerate(parts):
            if brk and at is not None and sent + len(part) > at:
                await self._pause(pause if at > sent else 0.0)
                await self._payload(received, part[: at - sent])
                await self._break(received, brk)
                sent, part, at, pause = at, part[at - sent :], None, 0.0
            await self._pause(pause)
            await self._payload(received, part)
            sent += len(part)
            received.chunks_sent += 0 < index <= len(chunks) and not answer.burst
        if brk and at is not None:
            await self._break(received, brk)
        if self._chunked:
            await self._write(b"0\r\n\r\n")

    async def _break(self, received: Received, brk: Break) -> None:
        await self._payload(received, brk.send)
        if brk.how == "continue":
            return
        await self._delivered()
        if brk.how == "stall":
            await self._silence()
        if brk.how == "end":
            if self._chunked:
                await self._write(b"0\r\n\r\n")
            received.finished_at = asyncio.get_running_loop().time()
            self._finish("fin")
        else:
            self._finish(brk.how)

    # -- bytes

    async def _start(self, received: Received, code: int, headers: Mapping[str, str]) -> None:
        reason = HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else "Unknown"
        head = f"HTTP/1.1 {code} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._chunked = False
        await self._write(head.encode("latin-1") + b"\r\n")

    async def _payload(self, received: Received, data: bytes) -> None:
        if data:
            await self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
            received.bytes_sent += len(data)

    async def _write(self, data: bytes) -> None:
        transport = self._transport
        if self._left.is_set() or transport is None or transport.is_closing():
            raise _Gone
        transport.write(data)
        await self._writable.wait()

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._left.wait(), seconds)
        except TimeoutError:
            return
        raise _Gone

    async def _silence(self) -> None:
        await self._left.wait()
        raise _Gone

    async def _delivered(self) -> None:
        """Waits until the peer's kernel has every byte: a reset that follows must not take sent bytes with it."""
        transport = self._transport
        while transport and not transport.is_closing():
            unsent = struct.unpack("i", fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
            if unsent == 0 and transport.get_write_buffer_size() == 0:
                return
            await asyncio.sleep(0.001)

    def _finish(self, how: str) -> None:
        self.cut(reset=how == "rst")
        raise _Gone

    def cut(self, reset: bool) -> None:
        """Ends the connection: by RST, or by FIN after what was written (TLS: no close_notify, as in a crash)."""
        transport = self._transport
        if transport is None:
            self._sock.close()
            return
        if reset:
            with contextlib.suppress(OSError):  # already closed
                reset_on_close(self._sock)
            transport.abort()
        elif not transport.is_closing():
            if transport.get_write_buffer_size() == 0:
                transport.abort()
            else:
                transport.close()


def _place(brk: Break, head: bytes, chunks: tuple[bytes, ...]) -> int:
    """Returns the break's offset in the event stream, in bytes."""
    if brk.after_bytes is not None:
        return brk.after_bytes
    return len(head) + sum(len(chunk) for chunk in chunks[: brk.after_chunks])
