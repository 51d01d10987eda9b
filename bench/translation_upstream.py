"""The upstream of the bench of translations: canned answers of OpenAI's chat and of Anthropic's Messages, whole or streamed."""

from __future__ import annotations

import asyncio
import json

EVENTS = 100  # chunks of a streamed answer, each a write of its own
WORD = " word"
PAUSE_SECONDS = 0.002  # between two writes, so that each is a read of its own
_BASE = {"id": "chatcmpl-1", "created": 1_790_000_000, "model": "bench"}
_COUNTS = {"prompt_tokens": 20, "completion_tokens": EVENTS, "total_tokens": 20 + EVENTS}
_TEXT = WORD * EVENTS
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def chat_whole() -> bytes:
    message = {"role": "assistant", "content": _TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return json.dumps({**_BASE, "object": "chat.completion", "choices": [choice], "usage": _COUNTS}).encode()


def chat_events() -> list[bytes]:
    def event(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _data({**_BASE, "object": "chat.completion.chunk", "choices": [choice]})

    usage = _data({**_BASE, "object": "chat.completion.chunk", "choices": [], "usage": _COUNTS})
    begun = event({"role": "assistant", "content": ""})
    return [begun, *([event({"content": WORD})] * EVENTS), event({}, "stop"), usage, b"data: [DONE]\n\n"]


def messages_whole() -> bytes:
    return json.dumps({**_message([{"type": "text", "text": _TEXT}]), "stop_reason": "end_turn"}).encode()


def messages_events() -> list[bytes]:
    delta = {"index": 0, "delta": {"type": "text_delta", "text": WORD}}
    return [
        _event("message_start", {"message": _message([])}),
        _event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *([_event("content_block_delta", delta)] * EVENTS),
        _event("content_block_stop", {"index": 0}),
        _event(
            "message_delta",
            {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": EVENTS}},
        ),
        _event("message_stop", {}),
    ]


def _message(content: list[dict[str, str]]) -> dict[str, object]:
    usage = {"input_tokens": 20, "output_tokens": EVENTS, "cache_read_input_tokens": 0}
    base = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-5", "content": content}
    return {**base, "stop_reason": None, "stop_sequence": None, "usage": usage}


def _data(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _event(kind: str, value: dict[str, object]) -> bytes:
    return f"event: {kind}\n".encode() + _data({"type": kind, **value})


async def serve(port: int) -> asyncio.Server:
    """Listens on the loopback."""
    whole = {True: messages_whole(), False: chat_whole()}
    events = {True: messages_events(), False: chat_events()}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").lower().split("\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
                body = await reader.readexactly(length)
                of_claude = "/messages" in lines[0]
                if lines[0].startswith("post") and not of_claude and "/chat/completions" not in lines[0]:
                    writer.write(_NOT_FOUND)  # who passes a request on as it is has translated nothing
                elif json.loads(body or b"{}").get("stream"):
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                    )
                    for one in events[of_claude]:
                        writer.write(b"%x\r\n%b\r\n" % (len(one), one))
                        await asyncio.sleep(PAUSE_SECONDS)
                    writer.write(b"0\r\n\r\n")
                else:
                    said = whole[of_claude] if lines[0].startswith("post") else b"{}"
                    head_ = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
                        said
                    )
                    writer.write(head_ + said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)
