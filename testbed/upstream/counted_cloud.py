"""A cloud that counts every byte at its socket, by request: what a packet filter would count of TCP's load."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field

_ANSWER = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "large",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "0 1 2"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }
).encode()
_CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "large"}
_CHUNKS = (
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "0 1"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": " 2"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}},
)
_EVENTS = b"".join(b"data: %b\n\n" % json.dumps({**_CHUNK, **more}).encode() for more in _CHUNKS) + b"data: [DONE]\n\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n"
_STREAM = [
    _HEAD % (b"text/event-stream", b"transfer-encoding: chunked"),
    *(b"%x\r\n%b\r\n" % (len(_EVENTS[i : i + 99]), _EVENTS[i : i + 99]) for i in range(0, len(_EVENTS), 99)),
    b"0\r\n\r\n",
]
_WHOLE = [_HEAD % (b"application/json", b"content-length: %d" % len(_ANSWER)) + _ANSWER]


@dataclass
class CountedCloud:
    """Answers each request after `delay` seconds, a stream in pieces."""

    delay: float = 0.0
    host: str = "127.0.0.1"
    bytes_in: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    bytes_out: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    connections: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _served: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = field(default_factory=dict)

    async def __aenter__(self) -> CountedCloud:
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._served.values():
            writer.close()
        while self._served:
            await asyncio.sleep(0)

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._served[asyncio.current_task()] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                told = dict(re.findall(rb"(?im)^([a-z-]+): (.*?)\r$", head))
                body = await reader.readexactly(int(told.get(b"content-length", b"0")))
                identity = told.get(b"x-request-id", b"").decode()
                self.bytes_in[identity] += len(head) + len(body)
                if self.delay:
                    await asyncio.sleep(self.delay)
                pieces = _STREAM if b'"stream":true' in body.replace(b" ", b"") else _WHOLE
                for piece in pieces:
                    writer.write(piece)
                    self.bytes_out[identity] += len(piece)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            del self._served[asyncio.current_task()]
