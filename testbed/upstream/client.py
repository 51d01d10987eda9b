"""This raw HTTP and SSE client tells what a user's client would have seen, byte for byte and with its times.

It is built on h11, which judges framing strictly, so that a truncated body is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import h11

from testbed.upstream.counting import numbers

Ended = Literal["open", "clean", "truncated", "reset", "malformed"]


@dataclass(frozen=True)
class Event:
    """One server-sent event, or one comment line if `comment` is set. `at` is the loop's clock, in seconds."""

    data: str
    comment: str | None
    at: float

    @property
    def json(self) -> Any:
        """Returns the data as JSON; None if it is not JSON."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):  # nested deeper than Python reads
            return None


@dataclass
class Response:
    """A response is an answer as far as it came. Times are the loop's clock, in seconds.

    ended: "clean" only if the HTTP body was complete; "truncated" if it closed early; "reset" by RST; "open" if it is
    still running; "malformed" if it was not HTTP.
    """

    started: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    events: list[Event] = field(default_factory=list)
    ended: Ended = "open"
    headers_at: float | None = None
    ended_at: float | None = None
    keep_alive: bool = False

    @property
    def json(self) -> Any:
        """Returns the body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # nested deeper than Python reads
            return None

    @property
    def chunks(self) -> list[Any]:
        """Returns the JSON of every data event but [DONE]."""
        return [event.json for event in self.events if event.comment is None and event.data != "[DONE]"]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """Returns choice 0 of every chunk that has one."""
        return [chunk["choices"][0] for chunk in self.chunks if isinstance(chunk, dict) and chunk.get("choices")]

    @property
    def text(self) -> str:
        """Returns the content of the answer, streamed or not."""
        if not self.events:
            choice = ((self.json or {}).get("choices") or [{}])[0]
            return str((choice.get("message") or {}).get("content") or choice.get("text") or "")
        parts = ((c.get("delta") or {}).get("content") or c.get("text") or "" for c in self.choices)
        return "".join(parts)

    @property
    def numbers(self) -> list[int]:
        """Returns the numbers of a counted answer."""
        return numbers(self.text)

    @property
    def finish_reason(self) -> str | None:
        """Returns the finish_reason of choice 0, streamed or not."""
        found = self.choices if self.events else ((self.json or {}).get("choices") or [])
        return next((c["finish_reason"] for c in reversed(found) if c.get("finish_reason")), None)

    @property
    def usage(self) -> dict[str, Any] | None:
        """Returns the usage block, streamed or not."""
        bodies = self.chunks if self.events else [self.json or {}]
        return next((c["usage"] for c in reversed(bodies) if isinstance(c, dict) and c.get("usage")), None)

    @property
    def error(self) -> dict[str, Any] | None:
        """Returns the error object: of the body, or in-band of the stream."""
        bodies = self.chunks if self.events else [self.json]
        return next((c["error"] for c in bodies if isinstance(c, dict) and isinstance(c.get("error"), dict)), None)

    @property
    def done(self) -> bool:
        """A stream is done if it said [DONE]."""
        return any(event.data == "[DONE]" for event in self.events)

    @property
    def complete(self) -> bool:
        """An answer is complete if a client takes it for whole: clean end, finish reason, no error, [DONE] if streamed."""
        whole = self.ended == "clean" and self.finish_reason is not None and self.error is None and self.status == 200
        return whole and (self.done or not self.events)

    @property
    def first_content_at(self) -> float | None:
        """Returns when the first text arrived."""
        for event in self.events:
            chunk = event.json
            choice = (chunk.get("choices") or [{}])[0] if isinstance(chunk, dict) else {}
            if (choice.get("delta") or {}).get("content") or choice.get("text"):
                return event.at
        return None


class Exchange:
    """An exchange is a response that is still arriving: read on, or leave."""

    def __init__(self, connection: HttpConnection, response: Response) -> None:
        self._connection = connection
        self.response = response
        self._partial = b""
        self._given = 0

    async def read(self) -> bool:
        """Waits for more. Returns False if the answer has ended, for whatever reason."""
        response = self.response
        if response.ended != "open":
            return False
        now = asyncio.get_running_loop().time
        try:
            event = await self._connection.next_event()
        except ConnectionResetError:
            self._end("reset")
        except ssl.SSLError:
            self._end("truncated")
        except h11.RemoteProtocolError:
            self._end("truncated" if self._connection.at_end else "malformed")
        else:
            if isinstance(event, h11.Response):
                response.status = event.status_code
                response.headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                response.headers_at = now()
            elif isinstance(event, h11.Data):
                self._body(bytes(event.data), now())
            elif isinstance(event, h11.EndOfMessage):
                self._end("clean")
            elif isinstance(event, h11.ConnectionClosed):
                self._end("truncated")
        return response.ended == "open"

    def _end(self, how: Ended) -> None:
        self.response.ended = how
        self.response.ended_at = asyncio.get_running_loop().time()
        self.response.keep_alive = how == "clean" and self._connection.reusable

    def _body(self, data: bytes, at: float) -> None:
        self.response.body += data
        if not self.response.headers.get("content-type", "").startswith("text/event-stream"):
            return
        *blocks, self._partial = (self._partial + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            lines = block.decode("utf-8", "replace").split("\n")
            comments = [line[1:].strip() for line in lines if line.startswith(":")]
            fields = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
            self.response.events += [Event("", comment, at) for comment in comments]
            if fields:
                self.response.events.append(Event("\n".join(fields), None, at))
        while self._partial.startswith(b":") and b"\n" in self._partial:  # a comment needs no blank line
            line, _, self._partial = self._partial.partition(b"\n")
            self.response.events.append(Event("", line[1:].decode("utf-8", "replace").strip(), at))

    async def whole(self, within: float = 30.0) -> Response:
        """Reads to the end, for at most `within` seconds.

        The TimeoutError's attribute `response` then holds what has come.
        """
        async with asyncio.timeout(within):
            while await self.read():
                pass
        return self.response

    async def events(self) -> AsyncIterator[Event]:
        """Yields events as they arrive."""
        while True:
            while self._given < len(self.response.events):
                self._given += 1
                yield self.response.events[self._given - 1]
            if not await self.read() and self._given == len(self.response.events):
                return

    async def until_text(self, count: int, within: float = 10.0) -> None:
        """Reads until `count` counting words have arrived."""
        async with asyncio.timeout(within):
            while len(self.response.numbers) < count and await self.read():
                pass

    def leave(self, reset: bool = False) -> None:
        """Closes the client's side at once."""
        self._connection.close(reset=reset)
        if self.response.ended == "open":
            self.response.ended_at = asyncio.get_running_loop().time()


class HttpConnection:
    """One connection of a client sends requests one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host
        self._h11 = h11.Connection(h11.CLIENT)
        self.at_end = False  # the server has closed its side

    @classmethod
    async def open(cls, url: str, context: ssl.SSLContext | None = None, within: float = 10.0) -> HttpConnection:
        """Connects to the root of a URL. Raises OSError."""
        parts = urlsplit(url)
        assert parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(
                parts.hostname, port, ssl=context if parts.scheme == "https" else None
            )
        return cls(reader, writer, parts.netloc)

    async def start(
        self,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        method: str | None = None,
    ) -> Exchange:
        """Sends one request: JSON, unless the body is bytes."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        fields = [("host", self._host), *given]
        if body is not None:
            fields += [("content-type", "application/json"), ("content-length", str(len(data)))]
        request = h11.Request(method=method or ("GET" if body is None else "POST"), target=path, headers=fields)
        wire = self._h11.send(request) or b""
        wire += self._h11.send(h11.Data(data=data)) or b""
        wire += self._h11.send(h11.EndOfMessage()) or b""
        exchange = Exchange(self, Response(started=asyncio.get_running_loop().time()))
        self._writer.write(wire)
        with contextlib.suppress(ConnectionError):  # told by the response, if the server said something first
            await self._writer.drain()
        return exchange

    @property
    def reusable(self) -> bool:
        """A connection is reusable if another request can follow."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    async def next_event(self) -> Any:
        """Returns the next h11 event of the response."""
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(65536)
            self.at_end = not data
            self._h11.receive_data(data)
        return event

    def close(self, reset: bool = False) -> None:
        """Closes the connection by FIN, or by RST."""
        if reset:
            self._writer.transport.abort()
        self._writer.close()


@contextlib.asynccontextmanager
async def stream(
    url: str, body: Any = None, headers: Mapping[str, str] | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[Exchange]:
    """Sends one request on a connection of its own, for the caller to read the answer."""
    connection = await HttpConnection.open(url, context)
    try:
        parts = urlsplit(url)
        yield await connection.start(parts.path + (f"?{parts.query}" if parts.query else ""), body, headers or {})
    finally:
        connection.close()


async def request(
    url: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
    within: float = 30.0,
) -> Response:
    """Sends one request on a connection of its own, and reads its answer to the end. GET without a body."""
    async with stream(url, body, headers, context) as exchange:
        return await exchange.whole(within)


def chat(stream: bool = True, model: str = "counting", **more: Any) -> dict[str, Any]:
    """Returns a chat request that asks for counting; streamed ones ask for usage."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "count"}], **more}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


async def raw(host: str, port: int, data: bytes, within: float = 5.0) -> bytes:
    """Sends bytes as they are. Returns all that comes until the server closes, or the time is up."""
    reader, writer = await asyncio.open_connection(host, port)
    got = b""
    try:
        writer.write(data)
        async with asyncio.timeout(within):
            while more := await reader.read(65536):
                got += more
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return got


def statuses(got: bytes) -> list[int]:
    """Returns the statuses of the answers in what one connection sent."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]
