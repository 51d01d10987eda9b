"""This module makes bodies and events of the OpenAI API, as model servers send them. Pure: request in, bytes out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from testbed.upstream.counting import next_number, word
from testbed.upstream.steps import Answer, Raw, Segments, Step

CREATED = 1_790_000_000  # fixed, so that answers are the same bytes in every run
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def stream_of(events: Iterable[bytes], cut: int | None, how: str = "fin", head: bytes = STREAM_HEAD) -> Step:
    """Returns a stream of these events, each a chunk. After `cut` of them `how` happens; None, or how "end": the body ends."""
    chunks = [b"%x\r\n%b\r\n" % (len(one), one) for one in events][:cut]
    if cut is None or how == "end":
        return Segments((head, *chunks, b"0\r\n\r\n"))
    return Raw(b"".join((head, *chunks)), how)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Asked:
    """Asked is what a request wants of its answer."""

    kind: str  # chat.completion | text_completion | embedding
    stream: bool
    usage: bool
    model: str
    max_tokens: int | None
    said: str  # counted text that the answer continues

    @classmethod
    def of(cls, path: str, body: Any) -> Asked:
        body = body if isinstance(body, dict) else {}
        kind = "chat.completion"
        if path.endswith("/embeddings"):
            kind = "embedding"
        elif path.endswith("/completions") and not path.endswith("/chat/completions"):
            kind = "text_completion"
        options = body.get("stream_options") or {}
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return cls(
            kind=kind,
            stream=body.get("stream") is True and kind != "embedding",
            usage=bool(options.get("include_usage")),
            model=str(body.get("model", "")),
            max_tokens=limit if isinstance(limit, int) else None,
            said=_said(kind, body),
        )


def _said(kind: str, body: dict[str, Any]) -> str:
    if kind == "text_completion":
        prompt = body.get("prompt", "")
        return prompt if isinstance(prompt, str) else ""
    messages = body.get("messages") or []
    last = messages[-1] if isinstance(messages, list) and messages else {}
    content = last.get("content") if isinstance(last, dict) and last.get("role") == "assistant" else ""
    return content if isinstance(content, str) else ""


def pieces(answer: Answer, asked: Asked) -> tuple[list[str], str | None]:
    """Returns the text of each content chunk, and the finish reason."""
    if answer.texts is not None:
        return list(answer.texts), answer.finish_reason
    first = next_number(asked.said)
    tokens = [word(number) for number in range(first, answer.words)]
    reason = answer.finish_reason
    if asked.max_tokens is not None and asked.max_tokens < len(tokens):
        tokens = tokens[: asked.max_tokens]
        reason = reason and "length"
    size = answer.chunk_words
    return ["".join(tokens[i : i + size]) for i in range(0, len(tokens), size)], reason


def usage(completion: int, prompt: int = 7) -> dict[str, int]:
    """Returns a usage block, in tokens."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(payload: dict[str, Any]) -> bytes:
    """Returns one server-sent event."""
    return b"data: " + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


@dataclass(frozen=True)
class StreamEvents:
    """A streamed answer in parts: what comes before the first content, the content chunks, what ends it."""

    head: bytes
    chunks: tuple[bytes, ...]
    tail: bytes

    @property
    def whole(self) -> bytes:
        """Returns the event stream that arrives if nothing breaks."""
        return self.head + b"".join(self.chunks) + self.tail


def stream_events(answer: Answer, asked: Asked, identity: str) -> StreamEvents:
    """Returns the events of a streamed answer."""
    texts, reason = pieces(answer, asked)
    chat = asked.kind == "chat.completion"
    base = {
        "id": identity,
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": CREATED,
        "model": answer.model or asked.model,
    }

    def chunk(delta: dict[str, Any], text: str, finish: str | None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        choice |= {"delta": delta} if chat else {"text": text}
        return event({**base, "choices": [choice]})

    head = chunk({"role": "assistant", "content": None}, "", None) if answer.role_chunk and chat else b""
    tail = chunk({}, "", reason) if reason is not None else b""
    if answer.usage or (answer.usage is None and asked.usage):
        tail += event({**base, "choices": [], "usage": usage(len("".join(texts)) // 5)})
    if answer.done:
        tail += b"data: [DONE]\n\n"
    return StreamEvents(head, tuple(chunk({"content": text}, text, None) for text in texts), tail)


def plain_body(answer: Answer, asked: Asked, identity: str) -> bytes:
    """Returns the body of an answer that is not streamed."""
    model = answer.model or asked.model
    if asked.kind == "embedding":
        data = [{"object": "embedding", "index": 0, "embedding": [0.0, 0.5, 1.0]}]
        return json.dumps({"object": "list", "data": data, "model": model, "usage": usage(0)}).encode()
    texts, reason = pieces(answer, asked)
    text = "".join(texts)
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    choice |= {"message": {"role": "assistant", "content": text}} if asked.kind == "chat.completion" else {"text": text}
    body: dict[str, Any] = {"id": identity, "object": asked.kind, "created": CREATED, "model": model}
    body["choices"] = [choice]
    if answer.usage is not False:
        body["usage"] = usage(len(text) // 5)
    return json.dumps(body, ensure_ascii=False).encode()
