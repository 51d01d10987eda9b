"""What a client of each API asks, and what an application makes of the answer: whole, told that it is not, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from testbed.upstream.client import Response


@dataclass(frozen=True)
class Seen:
    """`verdict`: "whole", "told", or the status and the name of an error. `text`: what came of the answer."""

    verdict: str
    text: str


class Messages:
    """A client of the Messages API."""

    path = "/v1/messages"

    def body(self, *, stream: bool, **more: Any) -> dict[str, Any]:
        asked = {"model": "counting", "max_tokens": 4096, "messages": [{"role": "user", "content": "count"}]}
        return {**asked, **({"stream": True} if stream else {}), **more}

    def seen(self, answer: Response) -> Seen:
        if answer.status != 200:
            found = answer.json
            assert found["type"] == "error" and found["error"]["message"] and found["request_id"], answer
            assert answer.headers["request-id"] == found["request_id"] == answer.headers["x-request-id"]
            return Seen(f"{answer.status} {found['error']['type']}", "")
        if not answer.events:
            message = answer.json
            assert message["stop_reason"] and message["usage"]["output_tokens"] >= 0, answer
            return Seen("whole", "".join(block.get("text", "") for block in message["content"]))
        events = answer.chunks
        kinds = [event["type"] for event in events if event["type"] != "ping"]
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        text = "".join(delta.get("text", "") for delta in deltas)
        assert all(event.data != "[DONE]" for event in answer.events)
        assert kinds.count("message_start") <= 1 and len({e["message"]["id"] for e in events if "message" in e}) <= 1
        if kinds[-1] == "message_stop":
            assert answer.ended == "clean" and kinds[-2] == "message_delta" and "error" not in kinds, answer
            assert kinds.count("content_block_start") == kinds.count("content_block_stop"), kinds
            return Seen("whole", text)
        assert kinds[-1] == "error" and answer.ended == "truncated", answer
        assert "message_delta" not in kinds and events[-1]["error"]["details"]["genset"]["attempts"], answer
        return Seen("told", text)


class Responses:
    """A client of the Responses API."""

    path = "/v1/responses"

    def body(self, *, stream: bool, **more: Any) -> dict[str, Any]:
        return {"model": "counting", "input": "count", **({"stream": True} if stream else {}), **more}

    def seen(self, answer: Response) -> Seen:
        if answer.status != 200:
            assert answer.json["error"]["message"], answer
            return Seen(f"{answer.status} {answer.json['error']['code']}", "")
        if not answer.events:
            return Seen("whole", _text_of(answer.json))
        events = answer.chunks
        kinds = [event["type"] for event in events]
        assert [event["sequence_number"] for event in events] == list(range(len(events))), kinds
        assert kinds.count("response.created") == 1 and kinds[0] == "response.created"
        assert len({event["response"]["id"] for event in events if "response" in event}) == 1
        text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        if kinds[-1] == "response.completed":
            assert answer.ended == "clean", answer
            assert _text_of(events[-1]["response"]) == text, events[-1]
            assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done"), kinds
            return Seen("whole", text)
        assert kinds[-1] == "response.failed" and answer.ended == "truncated", answer
        assert events[-1]["response"]["error"]["message"] and "response.completed" not in kinds
        return Seen("told", text)


def _text_of(response: dict[str, Any]) -> str:
    assert response["status"] == "completed" and response["usage"]["total_tokens"] >= 0
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


DIALECTS: dict[str, Messages | Responses] = {"messages": Messages(), "responses": Responses()}
