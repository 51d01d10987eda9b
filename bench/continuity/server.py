"""The servers of the benchmark count, and lose their answers in every way that servers do.

An answer is a counted text of WORDS words, one every PACE_SECONDS; asked for whole it comes after that time. A server
writes on from a partial answer as its kind does: from a last message of role `assistant`, or, told to repeat its last characters,
with these first.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bench.continuity.faults import Side
from testbed.upstream.counting import counted, next_number, word

WORDS: Final = 20
PACE_SECONDS: Final = 0.06
BEFORE_CUT: Final = 5  # words of an answer that begins while answers are cut
ALL: Final = counted(WORDS)
_STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CUTS: Final = ("cut-rst", "cut-fin", "cut-clean", "error-inside")
_REFUSALS: Final = {  # status, code and words, as OpenAI has them
    "rate-limited": (429, "rate_limit_exceeded", "Rate limit reached for {model}"),
    "suspended-key": (403, "account_deactivated", "Your account is not active, please check your billing details."),
    "model-gone": (404, "model_not_found", "The model `{model}` does not exist or you do not have access to it."),
}
_REASONS: Final = {200: "OK", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}
_IN_WORK: Final = {"error": {"code": "internal_error", "type": "server_error", "message": "The engine has died"}}


@dataclass
class Place:
    """A place is what all servers of one side share. `fault`: what happens to answers now; "" in peace."""

    side: Side
    fault: str = ""
    connections: set[Server] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)  # models that this side was asked for since somebody looked

    def begin(self, fault: str) -> None:
        """Lets a fault happen, to answers that are on their way, too."""
        self.fault = fault
        if fault in _CUTS:
            for connection in tuple(self.connections):
                connection.cut()

    def close_all(self, *, reset: bool) -> None:
        for connection in tuple(self.connections):
            connection.close(reset=reset)


class Server(asyncio.Protocol):
    """A server is one connection: it reads whole requests, one after the other, and answers each."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._received = b""
        self._answer: asyncio.Task[None] | None = None
        self._cut: asyncio.Event = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._place.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.connections.discard(self)
        if self._answer is not None:
            self._answer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._received = body[length:]
        self._cut.clear()
        if lines[0].startswith(b"POST"):
            self._answer = asyncio.create_task(self._complete(json.loads(body[:length])))
        else:
            self._get()

    def cut(self) -> None:
        """Ends the answer that is on its way, if there is one, as the fault of the place says."""
        self._cut.set()

    def close(self, *, reset: bool) -> None:
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
        else:
            self._transport.close()

    def _get(self) -> None:
        if self._place.fault == "suspended-key":
            self._refuse("")
        else:
            self._write_whole(200, {"object": "list", "data": [], "status": "ok"})

    def _refuse(self, model: str) -> None:
        status, code, words = _REFUSALS[self._place.fault]
        error = {"code": code, "type": "invalid_request_error", "param": None, "message": words.format(model=model)}
        self._write_whole(status, {"error": error})

    async def _complete(self, request: dict[str, Any]) -> None:
        self._place.asked.add(str(request.get("model")))
        fault = self._place.fault
        if fault in _REFUSALS:
            self._refuse(str(request.get("model")))
        elif fault == "slow-first-token":
            if request.get("stream"):
                self._transport.write(_STREAM_HEAD)
            await asyncio.Event().wait()
        elif request.get("stream"):
            await self._stream(request, BEFORE_CUT if fault in _CUTS else None)
        else:
            await self._whole(request, fault)

    async def _stream(self, request: dict[str, Any], most: int | None) -> None:
        self._transport.write(_STREAM_HEAD)
        self._event(_chunk(request, {"role": "assistant", "content": ""}))
        if most is not None and self._place.fault == "error-inside":
            most = 0
        for number, piece in enumerate(_pieces(request)):
            if number == most or await self._pause(PACE_SECONDS):
                self._end_early()
                return
            self._event(_chunk(request, {"content": piece}))
        self._event(_chunk(request, {}, "stop"))
        if (request.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 9, "completion_tokens": WORDS, "total_tokens": 9 + WORDS}
            self._event({**_chunk(request, {}), "choices": [], "usage": usage})
        self._transport.write(_framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async def _whole(self, request: dict[str, Any], fault: str) -> None:
        pieces = list(_pieces(request))
        broken = fault in _CUTS
        if not broken:
            broken = await self._pause(PACE_SECONDS * len(pieces))
        if broken and self._place.fault == "error-inside":
            self._write_whole(200, _IN_WORK)
            return
        message = {"role": "assistant", "content": "".join(pieces)}
        answer = {
            **_chunk(request, {}),
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": len(pieces), "total_tokens": 9 + len(pieces)},
        }
        if broken:
            await self._write_half(json.dumps(answer).encode())
        else:
            self._write_whole(200, answer)

    async def _pause(self, seconds: float) -> bool:
        """Waits; returns whether the answer was cut in the meantime."""
        try:
            await asyncio.wait_for(self._cut.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _end_early(self) -> None:
        fault = self._place.fault
        if fault == "cut-clean":
            self._transport.write(b"0\r\n\r\n")
        elif fault == "error-inside":
            self._event(_IN_WORK)
            self._transport.write(_framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        else:
            self.close(reset=fault == "cut-rst")

    async def _write_half(self, body: bytes) -> None:
        half = body[: len(body) // 2]
        clean = self._place.fault == "cut-clean"
        self._transport.write(_head(200, len(half if clean else body)) + half)
        if not clean:
            await asyncio.sleep(0.02)  # a reset may overtake what was written before it
            self.close(reset=self._place.fault == "cut-rst")

    def _write_whole(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self._transport.write(_head(status, len(body)) + body)

    def _event(self, content: dict[str, Any]) -> None:
        self._transport.write(_framed(b"data: " + json.dumps(content).encode() + b"\n\n"))


def _head(status: int, length: int) -> bytes:
    more = "retry-after: 20\r\n" if status == 429 else ""
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
    return head.encode()


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chunk(request: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request.get("model")}
    return {**head, "choices": [choice]}


def _pieces(request: dict[str, Any]) -> Iterator[str]:
    """Yields what is said to a request: all words, or those that a partial answer lacks."""
    messages = request.get("messages") or [{}]
    said = next((str(one["content"]) for one in reversed(messages) if one.get("role") == "assistant"), "")
    if said and messages[-1].get("role") == "user":
        yield str(messages[-1]["content"]).rpartition("\n")[2]  # the words to repeat stand last
    first = next_number(said)
    for number in range(first, min(WORDS, first + int(request.get("max_tokens") or WORDS))):
        yield word(number)
