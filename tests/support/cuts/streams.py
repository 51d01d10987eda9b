"""These streams are to be cut: bytes of a real llama-server and vLLM, and others in the style of vLLM and OpenAI.

A stream is its response head and the payload of its HTTP chunks, so that it can be framed in other ways than it came.
Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from testbed.upstream.counting import counted
from tests.support.cuts.judge import Wanted

DATA = Path(__file__).resolve().parents[2] / "data" / "streams"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"


@dataclass(frozen=True)
class Recorded:
    """A recorded stream. `chunks`: payloads of HTTP chunks. `chunked`: otherwise the body ends with the connection."""

    name: str
    head: bytes
    chunks: tuple[bytes, ...]
    wanted: Wanted
    chunked: bool = True
    request: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def framed(self) -> tuple[bytes, ...]:
        """Returns what a server writes, piece by piece: the head, each chunk, the end of the body."""
        if not self.chunked:
            return (self.head, *self.chunks)
        return (self.head, *(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in self.chunks), b"0\r\n\r\n")

    @cached_property
    def wire(self) -> bytes:
        return b"".join(self.framed)

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Returns where each of the pieces ends in `wire`."""
        ends, at = [], 0
        for piece in self.framed:
            at += len(piece)
            ends.append(at)
        return tuple(ends)

    def reframed(self, name: str, size: int | None, newline: bytes = b"\n", *, chunked: bool = True) -> Recorded:
        """Returns the same events with other line ends, in chunks of `size` bytes (None: as they are)."""
        chunks = [chunk.replace(b"\n", newline) for chunk in self.chunks]
        if size is not None:
            body = b"".join(chunks)
            chunks = [body[at : at + size] for at in range(0, len(body), size)]
        head = self.head if chunked else self.head.replace(b"transfer-encoding: chunked\r\n", b"")
        return Recorded(name, head, tuple(chunks), self.wanted, chunked, self.request)


def recorded(engine: str) -> Recorded:
    """Returns 16 words with usage, as sent by a real llama.cpp (an event a word) or vLLM (held for a stop word)."""
    raw = (DATA / f"{engine}-counting.http").read_bytes()
    head, _, rest = raw.partition(b"\r\n\r\n")
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunk, rest = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        if chunk:
            chunks.append(chunk)
    wanted = Wanted(counted(16), usage=True)
    return Recorded(engine, head + b"\r\n\r\n", tuple(chunks), wanted, request=USAGE)


USAGE = {"stream_options": {"include_usage": True}}
#: In pieces as a tokenizer would make them; the client sees characters of two to four bytes.
PIECES = (
    "Diese",
    " Größe",
    " ist",
    " 42",
    "\n\n",
    "日本",
    "語",
    " 🏠",
    "🏠",
    ' "ok\\',
    '"',
    " und",
    " 0007",
    " 0008",
    ".\n",
)


def vllm(texts: tuple[str, ...], reasoning: tuple[str, ...] = ()) -> Recorded:
    """Writes what vLLM's generator writes (vllm/entrypoints/openai/chat_completion/serving.py): only set fields."""
    base = {"id": "chatcmpl-9f1c", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "counting"}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        if finish:
            choice["stop_reason"] = None
        return _event({**base, "choices": [choice]})

    chunks = [event({"role": "assistant", "content": ""})]
    chunks += [event({"reasoning": piece}) for piece in reasoning]
    chunks += [event({"content": piece}) for piece in texts[:-1]]
    chunks += [event({"content": texts[-1]}, "stop")]  # the last text and the finish_reason come together
    usage = {"prompt_tokens": 9, "total_tokens": 9 + len(texts), "completion_tokens": len(texts)}
    chunks += [_event({**base, "choices": [], "usage": usage}), b"data: [DONE]\n\n"]
    wanted = Wanted("".join(texts), "".join(reasoning), usage=True, thinks_anew=True)
    head = b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    return Recorded("vLLM", head + b"transfer-encoding: chunked\r\n\r\n", tuple(chunks), wanted, request=USAGE)


def completion(texts: tuple[str, ...]) -> Recorded:
    """Writes a legacy completion as vLLM streams it (vllm/entrypoints/openai/completion/serving.py)."""
    base = {"id": "cmpl-9f1c", "object": "text_completion", "created": 1_790_000_000, "model": "counting"}

    def event(text: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish, "stop_reason": None}
        return _event({**base, "choices": [choice]})

    chunks = [*(event(text) for text in texts[:-1]), event(texts[-1], "stop")]
    usage = {"prompt_tokens": 9, "total_tokens": 9 + len(texts), "completion_tokens": len(texts)}
    chunks += [_event({**base, "choices": [], "usage": usage}), b"data: [DONE]\n\n"]
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    return Recorded("completion", head, tuple(chunks), Wanted("".join(texts), usage=True), request=USAGE)


def openai(texts: tuple[str, ...] = PIECES) -> Recorded:
    """Writes what the OpenAI API reference shows: padding (`obfuscation`), usage null, no usage wanted by the client."""
    base: dict[str, Any] = {
        "id": "chatcmpl-CgT",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "frontier-1",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**base, "choices": [choice], "usage": None, "obfuscation": "k3"})

    chunks = [event({"role": "assistant", "content": "", "refusal": None})]
    chunks += [event({"content": piece}) for piece in texts]
    chunks += [event({}, "stop")]
    usage = {"prompt_tokens": 9, "completion_tokens": len(texts), "total_tokens": 9 + len(texts)}
    chunks += [_event({**base, "choices": [], "usage": usage, "obfuscation": ""}), b"data: [DONE]\n\n"]
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    return Recorded("OpenAI", head, tuple(chunks), Wanted("".join(texts)))


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
